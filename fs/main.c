#include "fs/mount.h"

#include <errno.h>
#include <string.h>

#include "fs/daemon.h"
#include "fs/explain.h"
#include "fs/report.h"
#include "s3/base/log.h"

int mount_run(const struct conf *conf, char *const argv[])
{
    struct report report = { .fd = -1, .foreground = conf->foreground };
    int exit_code;
    /* The process keeps the command line that it was started with, and only its name is set: see settle_process. */
    (void)argv;
    if (!conf->foreground && !report_fork(&report, &exit_code))
        return exit_code;
    int rc = log_open(conf->log_file, conf->foreground && !conf->log_syslog, conf->log_level);
    if (rc != 0)
        return report_failed(&report, EXIT_MACHINE, "log file %s: %s", conf->log_file, strerror(-rc));
    conf_log_notes(conf);
    exit_code = daemon_serve(conf, &report);
    log_close();
    return exit_code;
}
