/* cache/push_upload.h: what push.c and tests need of multipart uploads beyond push_run.h. */
#ifndef R2FS_CACHE_PUSH_UPLOAD_H
#define R2FS_CACHE_PUSH_UPLOAD_H

#include "cache/push_run.h"

/* A queued job that the pool gives back unrun: true when it was a helper of an upload, which is now freed. */
bool push_upload_drop(struct cache *cache, struct pool_job *job);
/* The base that parts were to be copied from is another version now: its bytes can only come from here. */
enum push_next push_upload_base_lost(struct push_run *run);

#endif
