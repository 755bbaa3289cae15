#include "tools/r2sim/fault.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static const struct {
	const char *name;
	bool effect; /* takes place where the rule says nothing */
} fault_answers[FAULT_ANSWERS] = {
    [FAULT_NORMAL] = {"normal", true},
    [FAULT_STATUS] = {"status", false},
    [FAULT_RESET] = {"reset", false},
    [FAULT_RESET_HEADERS] = {"reset-headers", true},
    [FAULT_RESET_BODY] = {"reset-body", true},
    [FAULT_RESET_UPLOAD] = {"reset-upload", false},
    [FAULT_TRUNCATE] = {"truncate", true},
    [FAULT_WRONG_LENGTH] = {"wrong-length", true},
    [FAULT_CORRUPT] = {"corrupt", true},
    [FAULT_HANG] = {"hang", false},
    [FAULT_ERROR_200] = {"error-200", false},
    [FAULT_EMPTY_200] = {"empty-200", false},
    [FAULT_REDIRECT] = {"redirect", false},
    [FAULT_PAGE_REPEAT] = {"page-repeat", true},
    [FAULT_PAGE_SHORT] = {"page-short", true},
    [FAULT_PAGE_EMPTY] = {"page-empty", true},
    [FAULT_PAGE_STALE] = {"page-stale", true},
    [FAULT_DATE_SKEW] = {"date-skew", true},
};

struct fault_rule {
	uint64_t id, seen, hits;
	json_t *json; /* as it was given */
	bool kinds[KIND_COUNT];
	const char *key; /* a glob; NULL: any */
	int64_t skip, count, every;
	double probability;
	uint64_t random;
	struct fields headers;
	struct fault_hit hit;
	struct fault_rule *prev, *next;
};

void fault_init(struct fault_table *t) {
	*t = (struct fault_table){.next_id = 1};
	pthread_mutex_init(&t->mutex, NULL);
}

static void fault_free(struct fault_rule *rule) {
	json_decref(rule->json);
	fields_free(&rule->headers);
	free(rule);
}

void fault_fini(struct fault_table *t) {
	struct fault_rule *rule, *next;
	DL_FOREACH_SAFE(t->rules, rule, next)
		fault_free(rule);
	DL_FOREACH_SAFE(t->removed, rule, next)
		fault_free(rule);
	pthread_mutex_destroy(&t->mutex);
}

/* A kind's name, or "*", "mutating", "reading". */
static bool fault_add_kind(struct fault_rule *rule, const char *name) {
	bool found = false;
	for (int kind = 0; name && kind < KIND_COUNT; kind++) {
		bool mutates = exchange_kind_mutates((enum kind)kind);
		if (!strcmp(name, "*") || !strcmp(name, exchange_kind_name((enum kind)kind)) || !strcmp(name, mutates ? "mutating" : "reading"))
			found = rule->kinds[kind] = true;
	}
	return found;
}

static char *fault_kinds(struct fault_rule *rule, const json_t *value) {
	if (!value) {
		fault_add_kind(rule, "*");
		return NULL;
	}
	size_t n = json_is_array(value) ? json_array_size(value) : 1;
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
		if (!fault_add_kind(rule, name))
			return mem_printf("there is no kind of request %s", name ? name : "that is no string");
	}
	return NULL;
}

static char *fault_number(const json_t *value, const char *name, int64_t *to) {
	if (!json_is_integer(value))
		return mem_printf("%s takes a whole number", name);
	*to = json_integer_value(value);
	return NULL;
}

static char *fault_answer(struct fault_rule *rule, const char *name) {
	for (int i = 0; name && i < FAULT_ANSWERS; i++)
		if (!strcmp(name, fault_answers[i].name)) {
			rule->hit.answer = (enum fault_answer)i;
			return NULL;
		}
	return mem_printf("there is no answer %s", name ? name : "that is no string");
}

static char *fault_effect(struct fault_rule *rule, const json_t *value) {
	const char *name = json_string_value(value);
	if (!value)
		rule->hit.effect = fault_answers[rule->hit.answer].effect ? FAULT_EFFECT_DONE : FAULT_EFFECT_NONE;
	else if (name && !strcmp(name, "done"))
		rule->hit.effect = FAULT_EFFECT_DONE;
	else if (name && !strcmp(name, "none"))
		rule->hit.effect = FAULT_EFFECT_NONE;
	else if (name && !strcmp(name, "late"))
		rule->hit.effect = FAULT_EFFECT_LATE;
	else
		return mem_copy("effect is done, none or late");
	return NULL;
}

static char *fault_headers(struct fault_rule *rule, const json_t *value) {
	const char *name;
	json_t *text;
	json_object_foreach((json_t *)(uintptr_t)value, name, text) {
		if (!json_is_string(text))
			return mem_printf("header %s takes a string", name);
		fields_add(&rule->headers, name, json_string_value(text));
	}
	return NULL;
}

static char *fault_member(struct fault_rule *rule, const char *name, const json_t *value) {
	struct fault_hit *hit = &rule->hit;
	int64_t status = hit->status;
	const struct {
		const char *name;
		int64_t *to;
	} numbers[] = {{"skip", &rule->skip}, {"count", &rule->count}, {"every", &rule->every}, {"late_ms", &hit->late_ms}, {"delay_ms", &hit->delay_ms},
	    {"hang_ms", &hit->hang_ms}, {"after_bytes", &hit->after_bytes}, {"age_ms", &hit->age_ms}, {"skew_s", &hit->skew_s},
	    {"drop_bytes", &hit->drop_bytes}, {"status", &status}, {"seed", (int64_t *)&rule->random}};
	const struct {
		const char *name;
		const char **to;
	} strings[] = {{"key", &rule->key}, {"code", &hit->code}, {"message", &hit->message}, {"body", &hit->body}, {"location", &hit->location}};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (!strcmp(name, numbers[i].name)) {
			char *error = fault_number(value, name, numbers[i].to);
			hit->status = (int)status;
			return error;
		}
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		if (!strcmp(name, strings[i].name)) {
			*strings[i].to = json_string_value(value);
			return *strings[i].to ? NULL : mem_printf("%s takes a string", name);
		}
	if (!strcmp(name, "kind"))
		return fault_kinds(rule, value);
	if (!strcmp(name, "answer"))
		return fault_answer(rule, json_string_value(value));
	if (!strcmp(name, "headers"))
		return fault_headers(rule, value);
	if (!strcmp(name, "probability")) {
		rule->probability = json_number_value(value);
		return json_is_number(value) ? NULL : mem_copy("probability takes a number");
	}
	return strcmp(name, "effect") != 0 ? mem_printf("a rule has no member %s", name) : NULL;
}

char *fault_add(struct fault_table *t, const json_t *json, uint64_t *id) {
	if (!json_is_object(json))
		return mem_copy("a rule is a JSON object");
	struct fault_rule *rule = mem_zero(sizeof *rule);
	rule->json = json_deep_copy(json);
	rule->count = 1;
	rule->every = 1;
	rule->probability = 1;
	rule->random = 1;
	char *error = json_object_get(rule->json, "kind") ? NULL : fault_kinds(rule, NULL);
	const char *name;
	json_t *value;
	json_object_foreach(rule->json, name, value)
		if (!error)
			error = fault_member(rule, name, value);
	if (!error)
		error = fault_effect(rule, json_object_get(rule->json, "effect"));
	if (!error && rule->every < 1)
		error = mem_copy("every is at least 1");
	if (error) {
		fault_free(rule);
		return error;
	}
	rule->hit.headers = &rule->headers;
	/* xorshift stands still at 0. */
	rule->random = rule->random * 0x9e3779b97f4a7c15u | 1;
	pthread_mutex_lock(&t->mutex);
	*id = rule->id = t->next_id++;
	DL_APPEND(t->rules, rule);
	pthread_mutex_unlock(&t->mutex);
	return NULL;
}

bool fault_remove(struct fault_table *t, uint64_t id) {
	bool found = false;
	struct fault_rule *rule, *next;
	pthread_mutex_lock(&t->mutex);
	DL_FOREACH_SAFE(t->rules, rule, next) {
		if (id && rule->id != id)
			continue;
		DL_DELETE(t->rules, rule);
		DL_APPEND(t->removed, rule);
		found = true;
	}
	pthread_mutex_unlock(&t->mutex);
	return found || !id;
}

json_t *fault_list(struct fault_table *t) {
	json_t *all = json_array();
	struct fault_rule *rule;
	pthread_mutex_lock(&t->mutex);
	DL_FOREACH(t->rules, rule) {
		json_t *e = json_deep_copy(rule->json);
		json_object_set_new(e, "id", json_integer((json_int_t)rule->id));
		json_object_set_new(e, "seen", json_integer((json_int_t)rule->seen));
		json_object_set_new(e, "hits", json_integer((json_int_t)rule->hits));
		json_array_append_new(all, e);
	}
	pthread_mutex_unlock(&t->mutex);
	return all;
}

static double fault_random(struct fault_rule *rule) {
	rule->random ^= rule->random << 13;
	rule->random ^= rule->random >> 7;
	rule->random ^= rule->random << 17;
	return (double)(rule->random >> 11) / (double)(UINT64_C(1) << 53);
}

/* A listing is matched by its prefix. */
static bool fault_means(const struct fault_rule *rule, const struct exchange *ex) {
	const char *prefix = exchange_query(ex, "prefix");
	const char *key = ex->key ? ex->key : prefix ? prefix : "";
	return rule->kinds[ex->kind] && (!rule->key || !fnmatch(rule->key, key, 0));
}

static bool fault_due(struct fault_rule *rule) {
	rule->seen++;
	if (rule->seen <= (uint64_t)rule->skip || (rule->count && rule->hits >= (uint64_t)rule->count))
		return false;
	if ((rule->seen - (uint64_t)rule->skip) % (uint64_t)rule->every)
		return false;
	return rule->probability >= 1 || fault_random(rule) < rule->probability;
}

bool fault_match(struct fault_table *t, struct exchange *ex, struct fault_hit *hit) {
	struct fault_rule *rule;
	bool found = false;
	pthread_mutex_lock(&t->mutex);
	DL_FOREACH(t->rules, rule) {
		if (!fault_means(rule, ex) || !fault_due(rule) || found)
			continue;
		rule->hits++;
		*hit = rule->hit;
		ex->fault = fault_answers[rule->hit.answer].name;
		found = true;
	}
	pthread_mutex_unlock(&t->mutex);
	return found;
}
