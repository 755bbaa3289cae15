/*
 * tools/cmd.h: the subcommands. Each takes the parsed command line and returns the process's exit code (fs/explain.h),
 * having said on stderr what failed.
 */
#ifndef R2FS_TOOLS_CMD_H
#define R2FS_TOOLS_CMD_H

#include "fs/conf.h"

int cmd_mount(struct conf *conf, char *const argv[]); /* completes conf; argv as main got it */
int cmd_umount(const struct conf *conf);
int cmd_flush(const struct conf *conf);
int cmd_status(const struct conf *conf);
int cmd_ls(struct conf *conf);

#endif
