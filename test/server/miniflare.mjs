// Miniflare's S3 endpoint, as another server than our own to test against: Cloudflare's simulator of R2 speaks the dialect that they recorded from it.
//   node miniflare.mjs MODULES BUCKET ACCESS_KEY SECRET_KEY
// MODULES is the folder that npm installed miniflare into. Objects are kept in memory. Prints its endpoint once it answers; ends with its standard input.
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [modules, bucket, accessKeyId, secretAccessKey] = process.argv.slice(2);
if (secretAccessKey === undefined) {
    console.error("usage: node miniflare.mjs MODULES BUCKET ACCESS_KEY SECRET_KEY");
    process.exit(1);
}
const { Miniflare } = createRequire(resolve(modules, "package.json"))("miniflare");
const server = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    modules: true,
    script: "export default { fetch() { return new Response(null, { status: 404 }); } }",
    compatibilityDate: "2026-01-01",
    r2Buckets: { BUCKET: { id: bucket, s3Credentials: { accessKeyId, secretAccessKey } } },
});
const url = await server.ready;
console.log(new URL("/cdn-cgi/local/r2/s3", url).href);

for await (const _ of process.stdin);
await server.dispose();
