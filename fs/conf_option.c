/*
 * The table of options: ours, and every one that `rclone mount` takes (Debian's rclone 1.60, its mount flags, global flags and
 * --s3-* flags, and those of newer ones that stand on mount lines). It is meant to be read: what an option does here is its macro.
 *
 *   VALUE    effective: form, field, commands, help
 *   ALWAYS   r2fs does so anyway
 *   NOTE     nothing here: one line in the log
 *   REFUSE   would change which files are seen or how they are stored, or carries a secret: a usage error, unless set to
 *            rclone's default
 */
#include "fs/conf_option.h"

#include <string.h>

#define M (1u << CONF_MOUNT)
#define U (1u << CONF_UMOUNT)
#define F (1u << CONF_FLUSH)
#define S (1u << CONF_STATUS)
#define L (1u << CONF_LS)
#define ALL (M | U | F | S | L | 1u << CONF_VERSION | 1u << CONF_HELP)

#define FIELD(f) .offset = offsetof(struct conf, f)
#define GIVEN(f) .given = true, .offset = offsetof(struct conf_given, f)
#define VALUE(n, f, where, c, ...) { .name = n, .form = FORM_##f, .meaning = MEANS_VALUE, where, .commands = c, .text = __VA_ARGS__ }
#define ALWAYS(n, f) { .name = n, .form = FORM_##f, .meaning = MEANS_NOTHING }
#define NOTE(n, f) { .name = n, .form = FORM_##f, .meaning = MEANS_NOTE }
#define NOTE_WORDS(n, w) { .name = n, .form = FORM_CHOICE, .meaning = MEANS_NOTE, .words = w }
#define REFUSE(n, f, d, ...) { .name = n, .form = FORM_##f, .meaning = MEANS_NO, .standard = d, .text = __VA_ARGS__ }

#define SEEN "would change which files are seen"
#define STORED "would change how files are stored"
#define SECRET "carries a secret, which everybody could read in the process list; keys belong into the environment or a file named by --credentials"

const struct conf_option conf_option_table[] = {
    /* The bucket and who we are. */
    VALUE("credentials", PATH, GIVEN(credentials), M | L, "FILE  keys (INI, AWS's names, endpoint_url and region; a section by bucket, or [default]); readable by its owner only", .elsewhere = true),
    VALUE("config", PATH, GIVEN(config), M | L, "FILE  rclone.conf, for a source NAME:bucket/prefix", .elsewhere = true),
    VALUE("s3-endpoint", STRING, GIVEN(endpoint), M | L, "URL  the endpoint; before what the environment and files say", .elsewhere = true),
    VALUE("s3-region", STRING, GIVEN(region), M | L, "NAME  the region", .elsewhere = true),
    VALUE("s3-force-path-style", FLAG, GIVEN(path_style), M | L, "the bucket in the path, not in the host name (default true)", .elsewhere = true),
    VALUE("s3-shared-credentials-file", PATH, GIVEN(credentials), M | L, "FILE  the same as --credentials", .elsewhere = true),
    VALUE("ca-cert", PATH, FIELD(ca_file), M | L, "FILE  PEM certificates to trust instead of the system's", .elsewhere = true),
    VALUE("user-agent", STRING, FIELD(user_agent), M | L, "TEXT  what requests call themselves", .elsewhere = true),

    /* The cache. */
    VALUE("cache-dir", PATH, FIELD(cache_dir), M, "DIR  where caches live (default /var/cache/r2fs for root, else ~/.cache/r2fs)", .elsewhere = true),
    VALUE("cache-size", SIZE, GIVEN(cache_size), M, "SIZE  cached file contents (default the smaller of 10Gi and half of what is free)"),
    VALUE("vfs-cache-max-size", SIZE, GIVEN(cache_size), M, "SIZE  the same as --cache-size"),
    VALUE("cache-min-free", SIZE, GIVEN(cache_min_free), M, "SIZE  always left free (default the smaller of 1Gi and 5 % of the file system)"),
    VALUE("vfs-cache-min-free-space", SIZE, GIVEN(cache_min_free), M, "SIZE  the same as --cache-min-free"),

    /* Write-back. */
    VALUE("write-back", DURATION, FIELD(write_back_ms), M, "TIME  upload this long after the last close, write or fsync (default 1s)"),
    VALUE("vfs-write-back", DURATION, FIELD(write_back_ms), M, "TIME  the same as --write-back"),
    VALUE("max-dirty-age", DURATION, GIVEN(max_dirty_age_ms), M, "TIME  upload a file that is written on and on this often (default 5s or the write-back delay, whichever is longer)"),
    VALUE("keep-base", SIZE, FIELD(keep_base), M, "SIZE  at its first write fetch the rest of a file up to this size (default 64M)"),
    VALUE("drain-timeout", DURATION, GIVEN(drain_timeout_ms), M | U, "TIME  at the end wait this long for uploads (default 30s)"),
    VALUE("fsync", CHOICE, FIELD(fsync), M, "local|remote  fsync returns when the data is on this disk, or in the bucket (default local)", .words = "local|remote"),
    VALUE("on-conflict", CHOICE, FIELD(on_conflict), M, "keep-both|ours|theirs  who keeps the name; the other version is always kept beside it (default keep-both: theirs)", .words = "keep-both|ours|theirs"),

    /* Coherence. */
    VALUE("poll-interval", DURATION, GIVEN(poll_ms), M, "TIME  look for changes of others this often (default 5s, read-only 30s; 0 or off: never)"),
    VALUE("dir-cache-time", DURATION, GIVEN(dir_cache_ms), M, "TIME  the same knob: the smaller of those given counts"),
    VALUE("poll-idle", DURATION, FIELD(poll_idle_ms), M, "TIME  poll only this often while nobody uses the mount (default: no slower; off: not at all)"),

    /* The tree. */
    VALUE("read-only", FLAG, FIELD(read_only), M, "send nothing but List, Get and Head"),
    VALUE("allow-other", FLAG, FIELD(allow_other), M, "other users may use the mount"),
    VALUE("uid", ID, GIVEN(uid), M, "N  owner of objects that name none (default SUDO_UID, else who mounts)"),
    VALUE("gid", ID, GIVEN(gid), M, "N  group of objects that name none (default SUDO_GID, else who mounts)"),
    VALUE("umask", UMASK, FIELD(umask), M, "OCTAL  taken from the two below (default 022)"),
    VALUE("file-perms", OCTAL, FIELD(file_perms), M, "OCTAL  of objects that name no mode (default 0666)"),
    VALUE("dir-perms", OCTAL, FIELD(dir_perms), M, "OCTAL  of directories that name no mode (default 0777)"),
    VALUE("devname", STRING, FIELD(devname), M, "NAME  the name in /proc/mounts (default the source as typed)"),
    VALUE("allow-non-empty", FLAG, FIELD(allow_non_empty), M, "mount even where something is mounted already"),

    /* The process and its log. */
    VALUE("foreground", FLAG, FIELD(foreground), M, "do not become a daemon"),
    VALUE("daemon", FLAG, FIELD(foreground), M, "become a daemon (default)", .inverted = true),
    VALUE("log-file", PATH, FIELD(log_file), M, "FILE  log there (default: syslog, in the foreground stderr)", .elsewhere = true),
    VALUE("log-level", CHOICE, GIVEN(level), M | L, "ERROR|NOTICE|INFO|DEBUG  (default NOTICE)", .words = "ERROR|NOTICE|INFO|DEBUG", .elsewhere = true),
    VALUE("syslog", FLAG, FIELD(log_syslog), M, "log to syslog in the foreground too", .elsewhere = true),
    VALUE("verbose", COUNT, GIVEN(verbose), M | L, "-v: log INFO, -vv: DEBUG", .elsewhere = true),
    VALUE("quiet", FLAG, GIVEN(quiet), M | L, "log errors only", .elsewhere = true),
    VALUE("help", FLAG, FIELD(help), ALL, "this text"),
    VALUE("version", FLAG, GIVEN(version), ALL, "the version"),

    /* Other commands. */
    VALUE("timeout", DURATION, FIELD(timeout_ms), F, "TIME  give up, with exit code 3, after this long", .elsewhere = true),
    VALUE("json", FLAG, FIELD(json), S, "one JSON object"),
    VALUE("lazy", FLAG, FIELD(lazy), U, "unmount now although files are in use; they stay usable until closed"),
    VALUE("force", FLAG, FIELD(force), U, "unmount a mount that does not answer"),

    /* rclone mount: what r2fs does anyway. */
    ALWAYS("default-permissions", FLAG),
    ALWAYS("s3-env-auth", FLAG),
    ALWAYS("s3-no-check-bucket", FLAG),
    ALWAYS("s3-provider", STRING),
    REFUSE("s3-profile", STRING, "default", "names a profile of AWS's configuration, which r2fs does not read; name a file by --credentials"),

    /* rclone mount: nothing here. */
    NOTE_WORDS("vfs-cache-mode", "off|minimal|writes|full"),
    NOTE("allow-root", FLAG),
    NOTE("async-read", FLAG),
    NOTE("attr-timeout", DURATION),
    NOTE("daemon-timeout", DURATION),
    NOTE("daemon-wait", DURATION),
    NOTE("debug-fuse", FLAG),
    NOTE("direct-io", FLAG),
    NOTE("fuse-flag", STRING),
    NOTE("max-read-ahead", SIZE),
    NOTE("network-mode", FLAG),
    NOTE("no-checksum", FLAG),
    NOTE("no-modtime", FLAG),
    NOTE("no-seek", FLAG),
    NOTE("noappledouble", FLAG),
    NOTE("noapplexattr", FLAG),
    NOTE("vfs-block-norm-dupes", FLAG),
    NOTE("vfs-cache-max-age", DURATION),
    NOTE("vfs-cache-poll-interval", DURATION),
    NOTE("vfs-disk-space-total-size", SIZE),
    NOTE("vfs-fast-fingerprint", FLAG),
    NOTE("vfs-read-ahead", SIZE),
    NOTE("vfs-read-chunk-size", SIZE),
    NOTE("vfs-read-chunk-size-limit", SIZE),
    NOTE("vfs-read-chunk-streams", INTEGER),
    NOTE("vfs-read-wait", DURATION),
    NOTE("vfs-refresh", FLAG),
    NOTE("vfs-used-is-size", FLAG),
    NOTE("vfs-write-wait", DURATION),
    NOTE("volname", STRING),
    NOTE("write-back-cache", FLAG),

    /* rclone mount: refused. */
    REFUSE("vfs-case-insensitive", FLAG, "false", SEEN),
    REFUSE("mount-case-insensitive", STRING, "unset", SEEN),
    REFUSE("vfs-links", FLAG, "false", STORED),
    REFUSE("vfs-metadata-extension", STRING, "", SEEN),
    REFUSE("links", FLAG, "false", STORED),

    /* rclone's global flags: nothing here. */
    NOTE("ask-password", FLAG),
    NOTE("auto-confirm", FLAG),
    NOTE("backup-dir", STRING),
    NOTE("bind", STRING),
    NOTE("buffer-size", SIZE),
    NOTE("bwlimit", STRING),
    NOTE("bwlimit-file", STRING),
    NOTE("check-first", FLAG),
    NOTE("checkers", INTEGER),
    NOTE("checksum", FLAG),
    NOTE("client-cert", STRING),
    NOTE("client-key", STRING),
    NOTE("compare-dest", STRING),
    NOTE("contimeout", DURATION),
    NOTE("copy-dest", STRING),
    NOTE("cpuprofile", STRING),
    NOTE("cutoff-mode", STRING),
    NOTE("delete-after", FLAG),
    NOTE("delete-before", FLAG),
    NOTE("delete-during", FLAG),
    NOTE("delete-excluded", FLAG),
    NOTE("disable", STRING),
    NOTE("disable-http-keep-alives", FLAG),
    NOTE("disable-http2", FLAG),
    NOTE("dscp", STRING),
    NOTE("dump", STRING),
    NOTE("dump-bodies", FLAG),
    NOTE("dump-headers", FLAG),
    NOTE("error-on-no-transfer", FLAG),
    NOTE("expect-continue-timeout", DURATION),
    NOTE("fast-list", FLAG),
    NOTE("fs-cache-expire-duration", DURATION),
    NOTE("fs-cache-expire-interval", DURATION),
    NOTE("human-readable", FLAG),
    NOTE("ignore-case", FLAG),
    NOTE("ignore-case-sync", FLAG),
    NOTE("ignore-checksum", FLAG),
    NOTE("ignore-errors", FLAG),
    NOTE("ignore-existing", FLAG),
    NOTE("ignore-size", FLAG),
    NOTE("ignore-times", FLAG),
    NOTE("kv-lock-time", DURATION),
    NOTE("log-format", STRING),
    NOTE("log-systemd", FLAG),
    NOTE("low-level-retries", INTEGER),
    NOTE("max-backlog", INTEGER),
    NOTE("max-delete", INTEGER),
    NOTE("max-duration", DURATION),
    NOTE("max-stats-groups", INTEGER),
    NOTE("max-transfer", SIZE),
    NOTE("memprofile", STRING),
    NOTE("metadata", FLAG),
    NOTE("modify-window", DURATION),
    NOTE("multi-thread-cutoff", SIZE),
    NOTE("multi-thread-streams", INTEGER),
    NOTE("no-check-certificate", FLAG),
    NOTE("no-check-dest", FLAG),
    NOTE("no-console", FLAG),
    NOTE("no-gzip-encoding", FLAG),
    NOTE("no-traverse", FLAG),
    NOTE("no-unicode-normalization", FLAG),
    NOTE("no-update-modtime", FLAG),
    NOTE("order-by", STRING),
    NOTE("password-command", STRING),
    NOTE("progress", FLAG),
    NOTE("progress-terminal-title", FLAG),
    NOTE("rc", FLAG),
    NOTE("rc-addr", STRING),
    NOTE("rc-allow-origin", STRING),
    NOTE("rc-baseurl", STRING),
    NOTE("rc-cert", STRING),
    NOTE("rc-client-ca", STRING),
    NOTE("rc-enable-metrics", FLAG),
    NOTE("rc-files", STRING),
    NOTE("rc-htpasswd", STRING),
    NOTE("rc-job-expire-duration", DURATION),
    NOTE("rc-job-expire-interval", DURATION),
    NOTE("rc-key", STRING),
    NOTE("rc-max-header-bytes", INTEGER),
    NOTE("rc-min-tls-version", STRING),
    NOTE("rc-no-auth", FLAG),
    NOTE("rc-realm", STRING),
    NOTE("rc-serve", FLAG),
    NOTE("rc-server-read-timeout", DURATION),
    NOTE("rc-server-write-timeout", DURATION),
    NOTE("rc-template", STRING),
    NOTE("rc-user", STRING),
    NOTE("rc-web-fetch-url", STRING),
    NOTE("rc-web-gui", FLAG),
    NOTE("rc-web-gui-force-update", FLAG),
    NOTE("rc-web-gui-no-open-browser", FLAG),
    NOTE("rc-web-gui-update", FLAG),
    NOTE("refresh-times", FLAG),
    NOTE("retries", INTEGER),
    NOTE("retries-sleep", DURATION),
    NOTE("server-side-across-configs", FLAG),
    NOTE("size-only", FLAG),
    NOTE("stats", DURATION),
    NOTE("stats-file-name-length", INTEGER),
    NOTE("stats-log-level", STRING),
    NOTE("stats-one-line", FLAG),
    NOTE("stats-one-line-date", FLAG),
    NOTE("stats-one-line-date-format", STRING),
    NOTE("stats-unit", STRING),
    NOTE("streaming-upload-cutoff", SIZE),
    NOTE("suffix", STRING),
    NOTE("suffix-keep-extension", FLAG),
    NOTE("syslog-facility", STRING),
    NOTE("temp-dir", STRING),
    NOTE("tpslimit", NUMBER),
    NOTE("tpslimit-burst", INTEGER),
    NOTE("track-renames", FLAG),
    NOTE("track-renames-strategy", STRING),
    NOTE("transfers", INTEGER),
    NOTE("update", FLAG),
    NOTE("use-cookies", FLAG),
    NOTE("use-json-log", FLAG),
    NOTE("use-mmap", FLAG),
    NOTE("use-server-modtime", FLAG),

    /* rclone's global flags: refused. */
    REFUSE("dry-run", FLAG, "false", STORED),
    REFUSE("exclude", STRING, "", SEEN),
    REFUSE("exclude-from", STRING, "", SEEN),
    REFUSE("exclude-if-present", STRING, "", SEEN),
    REFUSE("files-from", STRING, "", SEEN),
    REFUSE("files-from-raw", STRING, "", SEEN),
    REFUSE("filter", STRING, "", SEEN),
    REFUSE("filter-from", STRING, "", SEEN),
    REFUSE("header", STRING, "", SECRET, .secret = true),
    REFUSE("header-download", STRING, "", SECRET, .secret = true),
    REFUSE("header-upload", STRING, "", STORED, .secret = true),
    REFUSE("immutable", FLAG, "false", STORED),
    REFUSE("include", STRING, "", SEEN),
    REFUSE("include-from", STRING, "", SEEN),
    REFUSE("interactive", FLAG, "false", STORED),
    REFUSE("max-age", DURATION, "off", SEEN),
    REFUSE("max-depth", INTEGER, "-1", SEEN),
    REFUSE("max-size", SIZE, "off", SEEN),
    REFUSE("metadata-set", STRING, "", STORED),
    REFUSE("min-age", DURATION, "off", SEEN),
    REFUSE("min-size", SIZE, "off", SEEN),
    REFUSE("rc-pass", STRING, "", SECRET, .secret = true),

    /* rclone's --s3-*: nothing here. */
    NOTE("s3-bucket-acl", STRING),
    NOTE("s3-chunk-size", SIZE),
    NOTE("s3-copy-cutoff", SIZE),
    NOTE("s3-disable-checksum", FLAG),
    NOTE("s3-disable-http2", FLAG),
    NOTE("s3-download-url", STRING),
    NOTE("s3-leave-parts-on-error", FLAG),
    NOTE("s3-list-chunk", INTEGER),
    NOTE("s3-list-url-encode", STRING),
    NOTE("s3-list-version", INTEGER),
    NOTE("s3-location-constraint", STRING),
    NOTE("s3-max-upload-parts", INTEGER),
    NOTE("s3-memory-pool-flush-time", DURATION),
    NOTE("s3-memory-pool-use-mmap", FLAG),
    NOTE("s3-might-gzip", STRING),
    NOTE("s3-no-head", FLAG),
    NOTE("s3-no-head-object", FLAG),
    NOTE("s3-requester-pays", FLAG),
    NOTE("s3-upload-concurrency", INTEGER),
    NOTE("s3-upload-cutoff", SIZE),
    NOTE("s3-use-accelerate-endpoint", FLAG),
    NOTE("s3-use-multipart-etag", STRING),
    NOTE("s3-use-presigned-request", FLAG),
    NOTE("s3-v2-auth", FLAG),

    /* rclone's --s3-*: refused. */
    REFUSE("s3-access-key-id", STRING, "", SECRET, .secret = true),
    REFUSE("s3-acl", STRING, "", STORED),
    REFUSE("s3-decompress", FLAG, "false", SEEN),
    REFUSE("s3-directory-markers", FLAG, "false", STORED),
    REFUSE("s3-encoding", STRING, "Slash,InvalidUtf8,Dot", STORED),
    REFUSE("s3-no-system-metadata", FLAG, "false", STORED),
    REFUSE("s3-secret-access-key", STRING, "", SECRET, .secret = true),
    REFUSE("s3-server-side-encryption", STRING, "", STORED),
    REFUSE("s3-session-token", STRING, "", SECRET, .secret = true),
    REFUSE("s3-sse-customer-algorithm", STRING, "", STORED),
    REFUSE("s3-sse-customer-key", STRING, "", SECRET, .secret = true),
    REFUSE("s3-sse-customer-key-base64", STRING, "", SECRET, .secret = true),
    REFUSE("s3-sse-customer-key-md5", STRING, "", STORED, .secret = true),
    REFUSE("s3-sse-kms-key-id", STRING, "", STORED),
    REFUSE("s3-storage-class", STRING, "", STORED),
    REFUSE("s3-version-at", STRING, "off", SEEN),
    REFUSE("s3-versions", FLAG, "false", SEEN),
};
const size_t conf_option_count = sizeof conf_option_table / sizeof conf_option_table[0];

const struct conf_option *conf_option_find(const char *name)
{
    for (size_t i = 0; i < conf_option_count; i++)
        if (!strcmp(conf_option_table[i].name, name))
            return &conf_option_table[i];
    return NULL;
}
