/*
 * Who we are: an id drawn at each start and each resume of the machine, since a memory image may run twice. What an earlier
 * instance began is left alone, neither completed nor aborted: its copy may be at work on it. Only where the very same spool, on the
 * same boot of the same machine, is opened again by the next daemon does that one go on with the uploads of the last.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "cache/db.h"
#include "cache/poll.h"
#include "cache/push_attempt.h"
#include "cache/push_state.h"
#include "s3/base/clock.h"
#include "s3/base/log.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define SANDBOX_ID "/run/e2b/.E2B_SANDBOX_ID"

static void first_line(char *line, size_t size, const char *path)
{
    FILE *file = fopen(path, "re");
    line[0] = '\0';
    if (!file)
        return;
    if (!fgets(line, (int)size, file))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    fclose(file);
}

/* A copy of the spool has another folder, a copy of the machine another sandbox id, a rebooted one another boot id. */
static void place(const struct cache *cache, char out[384])
{
    struct stat st = { .st_ino = 0 };
    char boot[64], sandbox[128];
    if (stat(cache->spool, &st) < 0)
        st.st_ino = 0;
    first_line(boot, sizeof boot, BOOT_ID);
    first_line(sandbox, sizeof sandbox, SANDBOX_ID);
    snprintf(out, 384, "%llu:%llu %s %s", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, boot, sandbox);
}

static void draw_tx(struct cache *cache)
{
    push_attempt_nonce(cache->instance);
    db_setting_set(cache, "push.instance", cache->instance);
}

void push_instance_start_tx(struct cache *cache)
{
    char here[384];
    char *last = db_setting_get(cache, "push.instance"), *there = db_setting_get(cache, "push.place");
    place(cache, here);
    draw_tx(cache);
    if (last && there && strcmp(there, here) == 0)
        db_run(cache, "UPDATE attempt SET instance = ? WHERE instance = ?", "tt", cache->instance, last);
    db_setting_set(cache, "push.place", here);
    free(last);
    free(there);
}

void push_new_instance(struct cache *cache)
{
    struct push *push = cache->push;
    char here[384];
    place(cache, here);
    db_begin(cache);
    draw_tx(cache);
    db_setting_set(cache, "push.place", here);
    if (push) {
        lock_take(&push->lock);
        push->resumes++;
        push->resumed_ms = cache->config.poll_ms > 0 ? clock_wall_ms() : 0;
        lock_drop(&push->lock);
    }
    int error = db_commit(cache);
    if (error)
        log_error("the index cannot be written: %s", strerror(-error));
    push_kick(cache);
}

bool push_instance_settled(struct push *push)
{
    lock_take(&push->lock);
    int64_t resumed = push->resumed_ms;
    lock_drop(&push->lock);
    if (!resumed || !push->cache->poll)
        return true;
    if (poll_last_ms(push->cache) <= resumed)
        return false;
    lock_take(&push->lock);
    if (push->resumed_ms == resumed)
        push->resumed_ms = 0;
    lock_drop(&push->lock);
    return true;
}

bool push_upload_is_ours(struct cache *cache, const char *upload_id)
{
    db_begin(cache);
    sqlite3_stmt *row = db_query(cache, "SELECT 1 FROM attempt WHERE upload_id = ? AND instance = ? LIMIT 1", "tt", upload_id, cache->instance);
    bool found = db_step(cache, row);
    if (found)
        db_done(row);
    db_commit(cache);
    return found;
}
