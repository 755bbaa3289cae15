/*
 * The help texts, from the table of options.
 */
#include <stdlib.h>
#include <string.h>

#include "fs/conf_option.h"
#include "s3/base/buf.h"

#define WIDTH 100
#define COLUMN 30

static const struct {
    const char *usage, *about;
} commands[CONF_COMMAND_COUNT] = {
    [CONF_HELP] = { "COMMAND [option …] [argument …]",
                    "r2fs mounts a prefix of an S3 bucket (Cloudflare R2 first) as a directory that programs can live in.\n\n"
                    "  mount SOURCE DIR   mount BUCKET/PREFIX, or REMOTE:BUCKET/PREFIX of rclone.conf, on DIR\n"
                    "  umount DIR         upload what is pending, unmount\n"
                    "  flush PATH         wait until everything under PATH is in the bucket\n"
                    "  status PATH        what the mount of PATH is doing\n"
                    "  ls SOURCE          list a bucket without mounting it: size and path of each object\n"
                    "  version            the version\n\n"
                    "r2fs COMMAND --help lists a command's options." },
    [CONF_MOUNT] = { "SOURCE DIR",
                     "Mounts SOURCE (BUCKET/PREFIX, or REMOTE:BUCKET/PREFIX of rclone.conf) on the directory DIR, and returns when it\n"
                     "is usable. Keys come from --credentials, the remote, the environment (S3_ACCESS_KEY, S3_ACCESS_SECRET,\n"
                     "S3_ENDPOINT_URL, the same with R2_, or Amazon's), /etc/r2fs/credentials, ~/.config/r2fs/credentials." },
    [CONF_UMOUNT] = { "DIR", "Uploads what is pending, unmounts, and waits for the rest. What is not in the bucket in the end is kept in the\n"
                             "cache directory, named here, and uploaded at the next mount; the exit code is then 3." },
    [CONF_FLUSH] = { "PATH", "Returns when everything under PATH that was written before is in the bucket." },
    [CONF_STATUS] = { "PATH", "Says what the mount that PATH is on is doing." },
    [CONF_LS] = { "SOURCE", "Lists all objects below SOURCE, size and path relative to it, one a line, without a mount." },
    [CONF_VERSION] = { "", "Prints the version." },
};

/* Text from column COLUMN on, broken at blanks. */
static void put_wrapped(struct buf *out, const char *text)
{
    size_t column = COLUMN;

    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > COLUMN && column + 1 + word > WIDTH) {
            buf_printf(out, "\n%*s", COLUMN, "");
            column = COLUMN;
        } else if (column > COLUMN) {
            buf_putc(out, ' ');
            column++;
        }
        buf_append(out, text, word);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    buf_putc(out, '\n');
}

/* `--name ARG` and the help, which two blanks separate in the table. */
static void put_option(struct buf *out, const struct conf_option *option)
{
    const char *gap = strstr(option->text, "  "), *help = gap ? gap + 2 : option->text;
    size_t from = out->length;

    buf_printf(out, "  --%s", option->name);
    if (gap)
        buf_printf(out, " %.*s", (int)(gap - option->text), option->text);
    if (out->failed)
        return;
    size_t used = out->length - from;
    if (used + 2 > COLUMN)
        buf_printf(out, "\n%*s", COLUMN, "");
    else
        buf_printf(out, "%*s", (int)(COLUMN - used), "");
    put_wrapped(out, help);
}

char *conf_help(enum conf_command command)
{
    struct buf out = BUF_INIT(1u << 16);

    if (command == CONF_HELP)
        buf_printf(&out, "Usage: r2fs %s\n\n%s\n", commands[command].usage, commands[command].about);
    else
        buf_printf(&out, "Usage: r2fs %s [option …]%s%s\n\n%s\n", conf_command_name(command), *commands[command].usage ? " " : "",
                   commands[command].usage, commands[command].about);
    if (command == CONF_HELP || command == CONF_VERSION)
        return buf_steal(&out);
    buf_puts(&out, "\nOptions, before or after the command:\n");
    for (size_t i = 0; i < conf_option_count; i++)
        if (conf_option_table[i].meaning == MEANS_VALUE && conf_option_table[i].commands & 1u << command)
            put_option(&out, &conf_option_table[i]);
    if (command == CONF_MOUNT)
        buf_puts(&out, "\n  -o NAME[=VALUE],…           any of these, with _ or -, and mount(8)'s: ro, noexec, _netdev, nofail, x-*, …\n\n"
                       "All other flags of `rclone mount` are taken too. One without a meaning here leaves a line in the log; one that\n"
                       "would change which files are seen or how they are stored is an error. See r2fs(1).\n");
    buf_puts(&out, "\nExit codes: 0 good, 1 usage or configuration, 2 this machine, 3 data not in the bucket yet, 8 interrupted,\n"
                   "32 mount failed, or no r2fs mount there.\n");
    return buf_steal(&out);
}
