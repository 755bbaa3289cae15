/* What a client may send: lines of any bytes, in pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs/ctl_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ctl_line *line = malloc(sizeof *line);
    json_t *object;
    int r;

    if (!line)
        return 0;
    line->length = 0;
    while (size > 0) {
        size_t n = sizeof line->data - line->length;
        if (n > size)
            n = size;
        if (n > 1 + data[0] * 16u)
            n = 1 + data[0] * 16u;
        memcpy(line->data + line->length, data, n);
        line->length += n;
        data += n;
        size -= n;
        while ((r = ctl_line_next(line, &object)) > 0)
            json_decref(object);
        if (r < 0)
            break;
    }
    free(line);
    return 0;
}
