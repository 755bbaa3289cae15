/*
 * cache/crc32c.h: CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where it has one.
 */
#ifndef R2FS_CACHE_CRC32C_H
#define R2FS_CACHE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continue with the result of the bytes before; 0 to start. */
uint32_t crc32c_extend(uint32_t crc, const void *data, size_t size);
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size); /* the same without the instruction, for tests */

#endif
