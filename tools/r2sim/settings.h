#ifndef R2SIM_SETTINGS_H
#define R2SIM_SETTINGS_H
/*
 * What can be switched: how the server differs from R2 as it is, and what the network and the account do to it.
 *
 * One table names each setting; --delay-ms 20 on the command line, {"delay_ms": 20} sent to /_r2sim/config and the manual page use
 * its names. A request works on the copy taken when it arrived; cut, frozen and the count of mutations are asked afresh.
 */
#include "tools/r2sim/text.h"

#include <jansson.h>
#include <pthread.h>

struct settings {
	/* The dialect. The defaults are R2's. */
	bool rate_limit, conditional_delete, cf_copy_conditions, aws_copy_conditions;
	bool ignore_put_conditions, ignore_copy_conditions, ignore_complete_conditions, ignore_get_conditions;
	bool equal_parts, copy_keeps_etag, nfc, gzip_decode, ignore_acl, continue_100;
	int64_t rate_limit_ms, min_part, max_keys;
	/* The weather. */
	int64_t delay_ms, bandwidth, clock_skew_s, quota, cut_after;
	bool frozen, cut, cut_answer, denied, bucket_gone;
};

struct settings_box {
	pthread_mutex_t mutex;
	struct settings now;
	int64_t mutations; /* since cut_after was set */
};

void settings_init(struct settings_box *box);
struct settings settings_get(struct settings_box *box);
/* Applies an object of settings, all or none; NULL, or a sentence that names what is wrong, the caller's. */
char *settings_apply(struct settings_box *box, const json_t *changes);
json_t *settings_json(struct settings_box *box);

/* A long option without its dashes, with its argument or NULL; --no-NAME clears a switch. false when it names no setting. */
bool settings_is_option(const char *option, bool *takes_argument);
char *settings_option(struct settings_box *box, const char *option, const char *argument); /* as settings_apply */
void settings_help(struct text *to);

enum settings_cut { SETTINGS_PASS, SETTINGS_LAST, SETTINGS_REFUSED };
/* Counts a mutating request that is about to take effect, against cut_after. SETTINGS_LAST: it does, and everything later is cut. */
enum settings_cut settings_count_mutation(struct settings_box *box);
#endif
