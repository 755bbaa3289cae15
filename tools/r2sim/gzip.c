#include "tools/r2sim/gzip.h"

#include <stdlib.h>
#include <zlib.h>

#define GZIP_MAX (256u << 20)

bool gzip_decode(const struct body *body, struct text *to) {
	enum { CHUNK = 1 << 16 };
	unsigned char *in = mem_grow(NULL, CHUNK), *out = mem_grow(NULL, CHUNK);
	z_stream z = {0};
	int rc = inflateInit2(&z, 16 + MAX_WBITS) == Z_OK ? Z_OK : Z_MEM_ERROR;
	uint64_t offset = 0;
	while (rc == Z_OK && to->len < GZIP_MAX) {
		if (!z.avail_in) {
			int64_t n = body_read(body, offset, in, CHUNK);
			if (n <= 0)
				break;
			offset += (uint64_t)n;
			z.next_in = in;
			z.avail_in = (uInt)n;
		}
		z.next_out = out;
		z.avail_out = CHUNK;
		rc = inflate(&z, Z_NO_FLUSH);
		text_add_n(to, out, CHUNK - z.avail_out);
	}
	inflateEnd(&z);
	free(in);
	free(out);
	return rc == Z_STREAM_END;
}
