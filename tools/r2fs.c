/*
 * r2fs, the command; also mount.r2fs, mount.fuse.r2fs and umount.fuse.r2fs by its name.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fs/explain.h"
#include "tools/cmd.h"

static int print_help(const struct conf *conf)
{
    char *text = conf_help(conf->command);
    /* Who typed no command at all has not asked for this. */
    bool asked = conf->help || conf->command != CONF_HELP;

    if (text)
        fputs(text, asked ? stdout : stderr);
    free(text);
    return !text ? EXIT_MACHINE : asked ? EXIT_GOOD : EXIT_USAGE;
}

static int dispatch(struct conf *conf, char *argv[])
{
    if (conf->help || conf->command == CONF_HELP)
        return print_help(conf);
    switch (conf->command) {
    case CONF_MOUNT:
        return cmd_mount(conf, argv);
    case CONF_UMOUNT:
        return cmd_umount(conf);
    case CONF_FLUSH:
        return cmd_flush(conf);
    case CONF_STATUS:
        return cmd_status(conf);
    case CONF_LS:
        return cmd_ls(conf);
    case CONF_VERSION:
        puts("r2fs " R2FS_VERSION);
        return EXIT_GOOD;
    case CONF_HELP:
    case CONF_COMMAND_COUNT:
        break;
    }
    return EXIT_USAGE;
}

int main(int argc, char *argv[])
{
    struct conf_error error;
    struct conf conf;
    int code;

    conf_protect();
    if (conf_parse(&conf, argc, argv, &error)) {
        explain_print("%s", error.message);
        return error.exit_code;
    }
    code = dispatch(&conf, argv);
    conf_fini(&conf);
    if (fflush(stdout) && code == EXIT_GOOD) {
        explain_print("standard output can't be written");
        code = EXIT_MACHINE;
    }
    return code;
}
