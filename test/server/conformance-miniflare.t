#!/bin/bash
# s3/ against miniflare, Cloudflare's own simulator of R2. The cases are those of test/server/conformance.c.
. "$(dirname "$0")/../lib.sh"
modules=${R2FS_TEST_CACHE:-/var/cache/r2fs-tests}/miniflare
[ -x "$modules/node_modules/.bin/node" ] || bail "miniflare is not installed: scripts/packages miniflare"
mkfifo "$TEST_DIR/end"
"$modules/node_modules/.bin/node" "$TOP/test/server/miniflare.mjs" "$modules" bucket testkey testsecret <"$TEST_DIR/end" >"$TEST_DIR/miniflare" 2>&1 &
exec 3>"$TEST_DIR/end" # it ends when this closes
wait_until 30 grep -q '^http' "$TEST_DIR/miniflare" || bail "miniflare did not start: $(cat "$TEST_DIR/miniflare")"
S3_ENDPOINT_URL=$(cat "$TEST_DIR/miniflare")
export S3_ENDPOINT_URL S3_ACCESS_KEY=testkey S3_ACCESS_SECRET=testsecret S3_BUCKET=bucket
CMOCKA_MESSAGE_OUTPUT=TAP "$TOP/${B:-build}/test/server/conformance" 3>&-
