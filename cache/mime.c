#include "cache/mime.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define TYPES_FILE "/etc/mime.types"
#define FILE_SIZE_MAX (1 << 20)
#define UNKNOWN "application/octet-stream"

struct row {
    const char *extension, *type;
};

static const struct row built_in[] = {
    { "avif", "image/avif" },       { "bmp", "image/bmp" },        { "bz2", "application/x-bzip" },
    { "css", "text/css" },          { "csv", "text/csv" },         { "gif", "image/gif" },
    { "gz", "application/gzip" },   { "htm", "text/html" },        { "html", "text/html" },
    { "ico", "image/x-icon" },      { "jpeg", "image/jpeg" },      { "jpg", "image/jpeg" },
    { "js", "text/javascript" },    { "json", "application/json" }, { "md", "text/markdown" },
    { "mjs", "text/javascript" },   { "mp3", "audio/mpeg" },       { "mp4", "video/mp4" },
    { "pdf", "application/pdf" },   { "png", "image/png" },        { "py", "text/x-python" },
    { "svg", "image/svg+xml" },     { "tar", "application/x-tar" }, { "txt", "text/plain" },
    { "wasm", "application/wasm" }, { "webm", "video/webm" },      { "webp", "image/webp" },
    { "woff", "font/woff" },        { "woff2", "font/woff2" },     { "xml", "application/xml" },
    { "zip", "application/zip" },
};

static const struct row *table = built_in;
static size_t table_count = sizeof built_in / sizeof built_in[0];
static pthread_once_t loaded = PTHREAD_ONCE_INIT;

static int by_extension(const void *a, const void *b)
{
    return strcasecmp(((const struct row *)a)->extension, ((const struct row *)b)->extension);
}

/* The whole file, its lines and words cut by NUL later; NULL when it can't be read. */
static char *read_types(void)
{
    int fd = open(TYPES_FILE, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    char *text = NULL;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_SIZE_MAX && (text = malloc((size_t)st.st_size + 1))) {
        ssize_t got = read(fd, text, (size_t)st.st_size);
        text[got > 0 ? got : 0] = '\0';
    }
    close(fd);
    return text;
}

/* Counts, or with rows writes, what the text says. */
static size_t parse(char *text, struct row *rows)
{
    size_t count = 0;
    char *line_end = NULL;
    for (char *line = strtok_r(text, "\n", &line_end); line; line = strtok_r(NULL, "\n", &line_end)) {
        char *word_end = NULL;
        const char *type = strtok_r(line, " \t\r", &word_end);
        if (!type || type[0] == '#')
            continue;
        for (const char *word; (word = strtok_r(NULL, " \t\r", &word_end)) != NULL; count++)
            rows[count] = (struct row){ word, type };
    }
    return count;
}

static size_t words(const char *text)
{
    size_t count = 1;
    for (; *text; text++)
        count += *text == ' ' || *text == '\t' || *text == '\n';
    return count;
}

static void load(void)
{
    char *text = read_types();
    struct row *rows = text ? calloc(words(text), sizeof *rows) : NULL;
    size_t count = rows ? parse(text, rows) : 0;
    if (count == 0) {
        free(rows);
        free(text);
        return;
    }
    struct row *fitting = realloc(rows, count * sizeof *rows);
    rows = fitting ? fitting : rows;
    qsort(rows, count, sizeof *rows, by_extension);
    table = rows; /* kept, with its text, for the life of the process */
    table_count = count;
}

const char *mime_type(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    const char *dot = strrchr(base, '.');
    if (!dot || dot == base || dot[1] == '\0')
        return UNKNOWN;
    pthread_once(&loaded, load);
    struct row wanted = { .extension = dot + 1 };
    const struct row *row = bsearch(&wanted, table, table_count, sizeof *table, by_extension);
    return row ? row->type : UNKNOWN;
}
