/* Configuration files of any bytes: no crash, no value beyond its maximum, and an error names a line that is there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs/conf_ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(void *user, const char *section, const char *name, const char *value)
{
    (void)user;
    if (strlen(value) > CONF_INI_VALUE_MAX || strchr(value, '\n') || strchr(section, '\n') || strchr(name, '\n'))
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    int line = 0, lines = 1;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    if (conf_ini_parse(text, take, NULL, &line) == -22 && (line < 1 || line > lines))
        abort();
    free(text);
    return 0;
}
