#include "test/unit/libcache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/db.h"
#include "cache/inode.h"
#include "cache/spool.h"
#include "cache/tree.h"

char *libcache_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/r2fs-unit-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

static void run(const char *program, const char *option, const char *from, const char *to)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execlp(program, program, option, from, to, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

void libcache_remove(char *folder)
{
    run("rm", "-rf", folder, NULL);
    free(folder);
}

char *libcache_copy(const char *folder)
{
    char *copy = libcache_folder();
    char from[4096];
    snprintf(from, sizeof from, "%s/.", folder);
    run("cp", "-a", from, copy);
    return copy;
}

struct cache *libcache_open(const char *folder)
{
    struct cache *cache = calloc(1, sizeof *cache);
    assert_non_null(cache);
    char why[512] = "";
    cache->config = (struct cache_config){
        .endpoint = "http://127.0.0.1:1", .bucket = "bucket", .prefix = "a/b", .cache_dir = strdup(folder),
        .file_mode = 0644, .dir_mode = 0755, .uid = 1000, .gid = 1000, .size_max = 1u << 30, .free_min = 1,
        .keep_base_max = 64u << 20, .write_back_ms = 1000, .dirty_age_max_ms = 5000,
    };
    lock_init(&cache->news_lock, LOCK_LOG);
    int rc = spool_open(cache, why, sizeof why);
    if (!rc)
        rc = db_open(cache, why, sizeof why);
    if (rc)
        fail_msg("%s", why);
    assert_int_equal(inode_table_start(cache), 0);
    assert_int_equal(tree_start(cache), 0);
    return cache;
}

void libcache_close(struct cache *cache)
{
    tree_stop(cache);
    inode_table_stop(cache);
    db_close(cache);
    spool_close(cache);
    lock_fini(&cache->news_lock);
    free((char *)cache->config.cache_dir);
    free(cache);
}
