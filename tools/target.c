#include "tools/target.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs/explain.h"

/* ---- mountinfo ---- */

struct row {
    unsigned major, minor;
    char *root, *mountpoint, *type, *source, *options;
};

/* \040 and the like, in place. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
            *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static bool parse_device(const char *text, struct row *row)
{
    char *end;

    row->major = (unsigned)strtoul(text, &end, 10);
    if (end == text || *end != ':')
        return false;
    row->minor = (unsigned)strtoul(end + 1, &end, 10);
    return *end == '\0';
}

/* ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS TAGS… - TYPE SOURCE SUPEROPTIONS; row points into line. */
static bool parse_row(char *line, struct row *row)
{
    char *fields[6], *save = NULL, *field = strtok_r(line, " \n", &save);

    for (int i = 0; i < 6; i++, field = strtok_r(NULL, " \n", &save)) {
        if (!field)
            return false;
        fields[i] = field;
    }
    while (field && strcmp(field, "-") != 0)
        field = strtok_r(NULL, " \n", &save);
    row->type = strtok_r(NULL, " \n", &save);
    row->source = strtok_r(NULL, " \n", &save);
    row->options = strtok_r(NULL, " \n", &save);
    row->root = fields[3];
    row->mountpoint = fields[4];
    if (!row->options || !parse_device(fields[2], row))
        return false;
    unescape(row->root);
    unescape(row->mountpoint);
    unescape(row->source);
    return true;
}

/* The rest of path below directory, without its slash; NULL: it is not below. */
static const char *below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    if (!strcmp(directory, "/"))
        return path[0] == '/' ? path + 1 : NULL;
    if (strncmp(path, directory, length) != 0)
        return NULL;
    return path[length] == '/' ? path + length + 1 : path[length] ? NULL : path + length;
}

static int fill(struct target *target, const struct row *row, const char *rest)
{
    const char *user = strstr(row->options, "user_id="), *root = row->root[1] ? row->root + 1 : "";

    target_fini(target);
    target->mountpoint = strdup(row->mountpoint);
    target->source = strdup(row->source);
    if (asprintf(&target->below, "%s%s%s", root, *root && *rest ? "/" : "", rest) < 0)
        target->below = NULL;
    target->is_r2fs = !strcmp(row->type, "fuse.r2fs");
    target->is_trigger = !strcmp(row->type, "autofs");
    target->dev = makedev(row->major, row->minor);
    target->user = user ? (uid_t)strtoul(user + 8, NULL, 10) : 0;
    return target->mountpoint && target->source && target->below ? 0 : -ENOMEM;
}

/* The mount that an absolute path lies on: the longest mount point, the newest of several. */
static int look_up(struct target *target, const char *path, bool exact)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t capacity = 0, best = 0;
    int r = -ENOENT;

    if (!file)
        return -errno;
    while (r != -ENOMEM && getline(&line, &capacity, file) > 0) {
        struct row row;
        const char *rest;
        if (!parse_row(line, &row) || !(rest = below(path, row.mountpoint)) || (exact && *rest) || strlen(row.mountpoint) < best)
            continue;
        best = strlen(row.mountpoint);
        r = fill(target, &row, rest);
    }
    free(line);
    fclose(file);
    if (r)
        target_fini(target);
    return r;
}

/* ---- paths ---- */

/* path made absolute, without empty and `.` segments, as typed otherwise. NULL: it has `..`, which only the file system
 * can follow, or no memory. */
static char *lexical(const char *path)
{
    char here[PATH_MAX], *joined, *to, *save = NULL;

    if (path[0] == '/')
        here[0] = '\0';
    else if (!getcwd(here, sizeof here))
        return NULL;
    if (asprintf(&joined, "%s/%s", here, path) < 0)
        return NULL;
    char *copy = strdup(joined);
    to = joined;
    for (char *segment = copy ? strtok_r(copy, "/", &save) : NULL; segment; segment = strtok_r(NULL, "/", &save)) {
        if (!strcmp(segment, "."))
            continue;
        if (!strcmp(segment, "..")) {
            free(copy);
            free(joined);
            return NULL;
        }
        *to++ = '/';
        to = stpcpy(to, segment);
    }
    if (to == joined)
        *to++ = '/';
    *to = '\0';
    free(copy);
    return joined;
}

int target_at(struct target *target, const char *path)
{
    memset(target, 0, sizeof *target);
    return look_up(target, path, true);
}

int target_find(struct target *target, const char *path, bool follow)
{
    char resolved[PATH_MAX], *typed = lexical(path);
    int r = -ENOENT, e;

    memset(target, 0, sizeof *target);
    if (typed)
        r = look_up(target, typed, false);
    free(typed);
    if (!r && target->is_r2fs && !follow)
        return 0;
    if (realpath(path, resolved))
        return look_up(target, resolved, false);
    e = errno;
    /* A dead mount is found by what was typed. */
    if (!r && target->is_r2fs && e != ENOENT && e != ENOTDIR)
        return 0;
    target_fini(target);
    return -e;
}

void target_fini(struct target *target)
{
    free(target->mountpoint);
    free(target->source);
    free(target->below);
    memset(target, 0, sizeof *target);
}

/* ---- the daemon ---- */

int target_connect(const struct target *target, struct ctl_client **client)
{
    int r = ctl_client_open(client, target->dev, target->user);

    if (r == -ENOENT || r == -ECONNREFUSED)
        explain_print("%s: the daemon of this mount is not running; r2fs umount %s, then mount again: what was not uploaded is kept and sent then",
                      target->mountpoint, target->mountpoint);
    else if (r)
        explain_print("%s: its control socket can't be reached: %s", target->mountpoint, strerror(-r));
    return r;
}

int target_open(struct target *target, struct ctl_client **client, const char *path, bool follow)
{
    int r = target_find(target, path, follow);

    if (r) {
        explain_print("%s: %s", path, strerror(-r));
        return r;
    }
    if (!target->is_r2fs) {
        explain_print("%s is not on an r2fs mount", path);
        target_fini(target);
        return -ENOENT;
    }
    r = target_connect(target, client);
    if (r)
        target_fini(target);
    return r;
}

static void print_left(const json_t *answer)
{
    const json_t *left = json_object_get(answer, "left"), *entry;
    const char *spool = json_string_value(json_object_get(answer, "spool"));
    json_int_t files = json_integer_value(json_object_get(answer, "left_files"));
    json_int_t bytes = json_integer_value(json_object_get(answer, "left_bytes"));
    size_t i;

    explain_print("%" JSON_INTEGER_FORMAT " file%s (%" JSON_INTEGER_FORMAT " bytes) left that %s not in the bucket yet, kept in %s", files,
                  files == 1 ? "" : "s", bytes, files == 1 ? "is" : "are", spool ? spool : "the cache directory");
    json_array_foreach(left, i, entry) {
        const char *path = json_string_value(json_object_get(entry, "path")), *error = json_string_value(json_object_get(entry, "error"));
        explain_print("left: %s (%" JSON_INTEGER_FORMAT " bytes)%s%s", path ? path : "?", json_integer_value(json_object_get(entry, "bytes")),
                      error ? ": " : "", error ? error : "");
    }
    if (files > (json_int_t)json_array_size(left))
        explain_print("left: and %" JSON_INTEGER_FORMAT " more", files - (json_int_t)json_array_size(left));
}

int target_report(const json_t *answer)
{
    const char *error = json_string_value(json_object_get(answer, "error"));
    const json_t *conflict;
    size_t i;

    if (json_integer_value(json_object_get(answer, "left_files")) > 0)
        print_left(answer);
    else if (error)
        explain_print("%s", error);
    json_array_foreach(json_object_get(answer, "conflicts"), i, conflict)
        explain_print("changed here and by another client, both versions are kept: %s", json_string_value(conflict));
    return (int)json_integer_value(json_object_get(answer, "exit"));
}

/* ---- signals ---- */

static const char *interrupted_sentence;

static void interrupted(int signal)
{
    ssize_t n = write(STDERR_FILENO, interrupted_sentence, strlen(interrupted_sentence));
    (void)n;
    (void)signal;
    _exit(EXIT_INTERRUPTED);
}

void target_interruptible(const char *sentence)
{
    struct sigaction action = { .sa_handler = interrupted };

    interrupted_sentence = sentence;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}
