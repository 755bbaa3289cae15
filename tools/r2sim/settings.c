#include "tools/r2sim/settings.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct setting {
	const char *name;
	size_t offset;
	bool is_switch;
	const char *help;
} settings_table[] = {
#define SWITCH(name, help) {#name, offsetof(struct settings, name), true, help}
#define NUMBER(name, help) {#name, offsetof(struct settings, name), false, help}
    SWITCH(rate_limit, "429 for a second write of one key within rate_limit_ms (on)"),
    NUMBER(rate_limit_ms, "the time between two writes of one key (1000)"),
    SWITCH(conditional_delete, "honour If-Match on DELETE and ETag in DeleteObjects, as AWS does (off)"),
    SWITCH(cf_copy_conditions, "honour cf-copy-destination-if-match and -if-none-match (on)"),
    SWITCH(aws_copy_conditions, "honour If-Match and If-None-Match of the destination on CopyObject (off)"),
    SWITCH(ignore_put_conditions, "ignore conditions on PutObject (off)"),
    SWITCH(ignore_copy_conditions, "ignore every condition on CopyObject (off)"),
    SWITCH(ignore_complete_conditions, "ignore conditions on CompleteMultipartUpload (off)"),
    SWITCH(ignore_get_conditions, "ignore conditions on GetObject and HeadObject (off)"),
    SWITCH(equal_parts, "refuse an upload whose parts differ in size, but for a smaller last one (on)"),
    NUMBER(min_part, "bytes that each part but the last must have (5242880)"),
    SWITCH(copy_keeps_etag, "a copied multipart object keeps its ETag; else it gets the MD5 of its bytes (on)"),
    SWITCH(nfc, "normalise keys to NFC (on)"),
    SWITCH(gzip_decode, "decode objects with Content-Encoding gzip for clients that do not accept it (on)"),
    SWITCH(ignore_acl, "ignore x-amz-acl, which older rclones send, instead of answering 501 (off)"),
    SWITCH(continue_100, "invite a body that is announced by Expect: 100-continue instead of answering 417 (off)"),
    NUMBER(max_keys, "the longest page of a listing (1000)"),
    NUMBER(delay_ms, "answer each request this much later, half of it before the effect, half after (0)"),
    NUMBER(bandwidth, "bytes a second of each connection, each way; 0 is no limit (0)"),
    NUMBER(clock_skew_s, "the server's clock is this much ahead (0)"),
    NUMBER(quota, "bytes that a bucket may hold, else 403 QuotaExceeded; 0 is no limit (0)"),
    SWITCH(frozen, "accept requests and never answer (off)"),
    NUMBER(cut_after, "let this many mutating requests take effect from now on, then cut; 0 is never (0)"),
    SWITCH(cut_answer, "the last request before the cut still gets its answer (off)"),
    SWITCH(cut, "reset every connection: the network is gone (off)"),
    SWITCH(denied, "403 AccessDenied to everybody (off)"),
    SWITCH(bucket_gone, "404 NoSuchBucket to everything (off)"),
#undef SWITCH
#undef NUMBER
};
#define SETTINGS_COUNT (sizeof settings_table / sizeof settings_table[0])

void settings_init(struct settings_box *box) {
	*box = (struct settings_box){.now = {.rate_limit = true,
	                                 .cf_copy_conditions = true,
	                                 .equal_parts = true,
	                                 .copy_keeps_etag = true,
	                                 .nfc = true,
	                                 .gzip_decode = true,
	                                 .rate_limit_ms = 1000,
	                                 .min_part = 5 << 20,
	                                 .max_keys = 1000}};
	pthread_mutex_init(&box->mutex, NULL);
}

struct settings settings_get(struct settings_box *box) {
	pthread_mutex_lock(&box->mutex);
	struct settings copy = box->now;
	pthread_mutex_unlock(&box->mutex);
	return copy;
}

static bool *settings_switch(struct settings *s, const struct setting *which) {
	return (bool *)((char *)s + which->offset);
}

static int64_t *settings_number(struct settings *s, const struct setting *which) {
	return (int64_t *)(void *)((char *)s + which->offset);
}

/* option: dashes and underscores are the same. */
static const struct setting *settings_find(const char *name) {
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const char *a = settings_table[i].name, *b = name;
		while (*a && (*a == *b || (*a == '_' && *b == '-')))
			a++, b++;
		if (!*a && !*b)
			return &settings_table[i];
	}
	return NULL;
}

char *settings_apply(struct settings_box *box, const json_t *changes) {
	if (!json_is_object(changes))
		return mem_copy("settings are a JSON object");
	pthread_mutex_lock(&box->mutex);
	struct settings next = box->now;
	char *error = NULL;
	bool recount = false;
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)changes, name, value) {
		const struct setting *which = settings_find(name);
		if (!which) {
			error = mem_printf("there is no setting %s", name);
			break;
		}
		if (which->is_switch ? !json_is_boolean(value) : !json_is_integer(value)) {
			error = mem_printf("%s takes %s", name, which->is_switch ? "true or false" : "a whole number");
			break;
		}
		if (which->is_switch)
			*settings_switch(&next, which) = json_is_true(value);
		else
			*settings_number(&next, which) = json_integer_value(value);
		recount |= !strcmp(which->name, "cut_after");
	}
	if (!error) {
		box->now = next;
		if (recount)
			box->mutations = 0;
	}
	pthread_mutex_unlock(&box->mutex);
	return error;
}

json_t *settings_json(struct settings_box *box) {
	struct settings s = settings_get(box);
	json_t *all = json_object();
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *which = &settings_table[i];
		json_object_set_new(all, which->name, which->is_switch ? json_boolean(*settings_switch(&s, which)) : json_integer(*settings_number(&s, which)));
	}
	return all;
}

bool settings_is_option(const char *option, bool *takes_argument) {
	const struct setting *which = settings_find(option);
	if (!which && !strncmp(option, "no-", 3) && (which = settings_find(option + 3)) && !which->is_switch)
		which = NULL;
	*takes_argument = which && !which->is_switch;
	return which != NULL;
}

char *settings_option(struct settings_box *box, const char *option, const char *argument) {
	const struct setting *which = settings_find(option);
	bool clear = !which;
	if (clear)
		which = settings_find(option + 3);
	assert(which);
	json_t *value = NULL;
	if (which->is_switch) {
		value = json_boolean(!clear);
	} else {
		char *end;
		errno = 0;
		long long number = strtoll(argument, &end, 10);
		if (errno || end == argument || *end)
			return mem_printf("--%s takes a whole number, not %s", option, argument);
		value = json_integer(number);
	}
	json_t *changes = json_object();
	json_object_set_new(changes, which->name, value);
	char *error = settings_apply(box, changes);
	json_decref(changes);
	return error;
}

void settings_help(struct text *to) {
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		char *option = mem_printf("--%s%s", settings_table[i].name, settings_table[i].is_switch ? "" : " N");
		for (char *p = option; *p; p++)
			if (*p == '_')
				*p = '-';
		text_printf(to, "  %-30s %s\n", option, settings_table[i].help);
		free(option);
	}
}

enum settings_cut settings_count_mutation(struct settings_box *box) {
	pthread_mutex_lock(&box->mutex);
	enum settings_cut what = box->now.cut ? SETTINGS_REFUSED : SETTINGS_PASS;
	if (what == SETTINGS_PASS && box->now.cut_after > 0 && ++box->mutations >= box->now.cut_after) {
		box->now.cut = true;
		what = SETTINGS_LAST;
	}
	pthread_mutex_unlock(&box->mutex);
	return what;
}
