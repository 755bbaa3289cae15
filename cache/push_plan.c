#include "cache/push_plan.h"

#include "s3/s3.h"

static bool holds_bytes(const struct push_facts *f)
{
    return f->present && f->have_ino == f->ino && f->have_data_version == f->data_version;
}

static bool holds_all(const struct push_facts *f)
{
    return holds_bytes(f) && f->have_meta_version == f->meta_version;
}

/* A single Copy goes up to S3_COPY_MAX; a larger object is copied part by part, which writes its headers anew too. */
static enum push_step copy_step(const struct push_facts *f, bool headers_known, enum push_step step)
{
    if (step != PUSH_COPY && !headers_known)
        return PUSH_HEAD;
    return f->size > S3_COPY_MAX ? PUSH_MULTIPART : step;
}

static enum push_step plan_file(const struct push_facts *f)
{
    if (holds_bytes(f))
        return copy_step(f, f->have_headers, PUSH_META);
    if (f->needed)
        return f->cycle ? PUSH_ASIDE : PUSH_WAIT_SOURCE;
    if (f->source == PUSH_SOURCE_AS_IS && f->size <= S3_COPY_MAX)
        return PUSH_COPY;
    if (f->source != PUSH_SOURCE_NONE)
        return copy_step(f, f->source_headers, PUSH_COPY_REPLACE);
    return f->size > PUSH_PUT_SINGLE_MAX ? PUSH_MULTIPART : PUSH_PUT;
}

enum push_step push_plan(const struct push_facts *f)
{
    if (f->busy)
        return PUSH_WAIT_KEY;
    if (f->unresolved)
        return PUSH_RESOLVE;
    switch (f->want) {
    case PUSH_WANT_EITHER:
        return PUSH_NOTHING;
    case PUSH_WANT_NOTHING:
        if (!f->present)
            return PUSH_NOTHING;
        return f->needed ? PUSH_WAIT_SOURCE : PUSH_DELETE;
    case PUSH_WANT_FILE:
        return holds_all(f) ? PUSH_NOTHING : plan_file(f);
    case PUSH_WANT_BODYLESS:
    case PUSH_WANT_DIRECTORY:
        break;
    }
    /* Small objects that come from a row: a PUT costs what a copy does. */
    if (holds_all(f))
        return PUSH_NOTHING;
    if (f->needed && !holds_bytes(f))
        return f->cycle ? PUSH_ASIDE : PUSH_WAIT_SOURCE;
    return f->present && f->have_ino == f->ino && !f->have_headers ? PUSH_HEAD : PUSH_PUT;
}

const char *push_step_name(enum push_step step)
{
    static const char *const names[] = {
        [PUSH_NOTHING] = "nothing", [PUSH_WAIT_KEY] = "wait for a request under way",
        [PUSH_WAIT_SOURCE] = "wait for a copy from here", [PUSH_RESOLVE] = "find out", [PUSH_ASIDE] = "copy aside",
        [PUSH_HEAD] = "head", [PUSH_PUT] = "put", [PUSH_MULTIPART] = "multipart", [PUSH_COPY] = "copy",
        [PUSH_COPY_REPLACE] = "copy with new metadata", [PUSH_META] = "metadata", [PUSH_DELETE] = "delete",
    };
    return names[step];
}
