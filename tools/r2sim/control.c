#include "tools/r2sim/control.h"

#include "tools/r2sim/escape.h"
#include "tools/r2sim/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL_ROOT "/_r2sim/"

json_t *control_json(struct exchange *ex) {
	json_error_t error;
	json_t *json = json_loadb(ex->intake.len ? ex->intake.data : "{}", ex->intake.len ? ex->intake.len : 2, JSON_DECODE_ANY, &error);
	if (!json)
		control_error(ex, 400, "the body is no JSON: %s", error.text);
	return json;
}

void control_reply(struct exchange *ex, json_t *json) {
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(json);
	ex->reply.status = 200;
	fields_set(&ex->reply.headers, "Content-Type", "application/json");
	text_free(&ex->reply.text);
	text_add(&ex->reply.text, text ? text : "null");
	text_char(&ex->reply.text, '\n');
	free(text);
}

void control_error(struct exchange *ex, int status, const char *format, ...) {
	va_list ap;
	va_start(ap, format);
	char *s = mem_vprintf(format, ap);
	va_end(ap);
	reply_reset(&ex->reply);
	control_reply(ex, json_pack("{s:s}", "error", s));
	ex->reply.status = status;
	free(s);
}

static bool control_is(const struct exchange *ex, const char *method) {
	return !strcmp(ex->method, method);
}

static uint64_t control_number(const struct exchange *ex, const char *name) {
	const char *value = exchange_query(ex, name);
	return value ? strtoull(value, NULL, 10) : 0;
}

static void control_config(struct exchange *ex, const char *rest) {
	(void)rest;
	if (!control_is(ex, "GET")) {
		json_t *changes = control_json(ex);
		if (!changes)
			return;
		char *error = settings_apply(&ex->sim->settings, changes);
		json_decref(changes);
		if (error) {
			control_error(ex, 400, "%s", error);
			free(error);
			return;
		}
		struct settings now = settings_get(&ex->sim->settings);
		if (!now.frozen)
			server_thaw(ex->sim->server);
		if (now.cut)
			server_close_connections(ex->sim->server, true, ex->port);
	}
	control_reply(ex, settings_json(&ex->sim->settings));
}

static void control_counts(struct exchange *ex, const char *rest) {
	(void)rest;
	control_reply(ex, record_counts(&ex->sim->record, control_number(ex, "since"), exchange_query(ex, "prefix"), exchange_query(ex, "exclude")));
}

static void control_log(struct exchange *ex, const char *rest) {
	(void)rest;
	control_reply(ex, record_log(&ex->sim->record, control_number(ex, "since")));
}

static void control_journal(struct exchange *ex, const char *rest) {
	(void)rest;
	control_reply(ex, record_journal(&ex->sim->record, control_number(ex, "since")));
}

static void control_reset(struct exchange *ex, const char *rest) {
	(void)rest;
	record_reset(&ex->sim->record, exchange_query(ex, "journal") != NULL);
	control_reply(ex, json_true());
}

static void control_faults(struct exchange *ex, const char *rest) {
	if (control_is(ex, "DELETE")) {
		if (fault_remove(&ex->sim->faults, strtoull(rest, NULL, 10)))
			control_reply(ex, json_true());
		else
			control_error(ex, 404, "there is no rule %s", rest);
		return;
	}
	if (control_is(ex, "GET")) {
		control_reply(ex, fault_list(&ex->sim->faults));
		return;
	}
	json_t *rules = control_json(ex), *ids = json_array();
	size_t n = !rules ? 0 : json_is_array(rules) ? json_array_size(rules) : 1;
	char *error = NULL;
	for (size_t i = 0; i < n && !error; i++) {
		uint64_t id = 0;
		error = fault_add(&ex->sim->faults, json_is_array(rules) ? json_array_get(rules, i) : rules, &id);
		if (!error)
			json_array_append_new(ids, json_integer((json_int_t)id));
	}
	if (error)
		control_error(ex, 400, "%s", error);
	else if (rules)
		control_reply(ex, json_incref(ids));
	free(error);
	json_decref(ids);
	json_decref(rules);
}

static void control_strings(struct fields *to, const json_t *array) {
	size_t i;
	json_t *value;
	json_array_foreach((json_t *)(uintptr_t)array, i, value) {
		const char *s = json_string_value(value);
		if (s)
			fields_add(to, s, "");
	}
}

static json_t *control_names(const struct fields *f) {
	json_t *array = json_array();
	for (size_t i = 0; i < f->n; i++)
		json_array_append_new(array, json_string(f->v[i].name));
	return array;
}

static void control_key(void *arg, const struct credential *c) {
	json_array_append_new(arg, json_pack("{s:s, s:b, s:b, s:b, s:o, s:o, s:I}", "access_key", c->access_key, "admin", c->admin, "read_only",
	    c->read_only, "session", c->session_token != NULL, "buckets", control_names(&c->buckets), "prefixes", control_names(&c->prefixes), "expires_ms",
	    (json_int_t)c->expires_ms));
}

static void control_keys(struct exchange *ex, const char *rest) {
	if (control_is(ex, "GET")) {
		json_t *all = json_array();
		verify_list(&ex->sim->verify, control_key, all);
		control_reply(ex, all);
		return;
	}
	if (control_is(ex, "DELETE")) {
		char *name = escape_unpercent(rest, strlen(rest), false);
		if (name && verify_revoke(&ex->sim->verify, name))
			control_reply(ex, json_true());
		else
			control_error(ex, 404, "there is no access key %s", rest);
		free(name);
		return;
	}
	json_t *json = control_json(ex);
	if (!json)
		return;
	const char *access = json_string_value(json_object_get(json, "access_key")), *secret = json_string_value(json_object_get(json, "secret_key"));
	if (!access || !secret) {
		control_error(ex, 400, "access_key and secret_key are needed");
	} else {
		struct credential *c = verify_credential(access, secret, json_string_value(json_object_get(json, "session_token")));
		c->admin = json_is_true(json_object_get(json, "admin"));
		c->read_only = json_is_true(json_object_get(json, "read_only"));
		c->expires_ms = (int64_t)json_integer_value(json_object_get(json, "expires_ms"));
		control_strings(&c->buckets, json_object_get(json, "buckets"));
		control_strings(&c->prefixes, json_object_get(json, "prefixes"));
		verify_add(&ex->sim->verify, c);
		control_reply(ex, json_true());
	}
	json_decref(json);
}

static void control_release(struct exchange *ex, const char *rest) {
	(void)rest;
	server_release(ex->sim->server);
	control_reply(ex, json_true());
}

static void control_close(struct exchange *ex, const char *rest) {
	(void)rest;
	const char *mode = exchange_query(ex, "mode");
	unsigned n = server_close_connections(ex->sim->server, mode && !strcmp(mode, "reset"), ex->port);
	control_reply(ex, json_integer((json_int_t)n));
}

static void control_info(struct exchange *ex, const char *rest) {
	(void)rest;
	control_reply(ex, json_pack("{s:s, s:I, s:I}", "url", server_url(ex->sim->server), "now_ms", (json_int_t)exchange_now_ms(ex), "bytes",
	    (json_int_t)atomic_load(&ex->sim->store.blobs.bytes)));
}

static const struct control_word {
	const char *word;
	const char *methods;
	void (*run)(struct exchange *ex, const char *rest);
} control_words[] = {
    {"info", "GET", control_info},
    {"config", "GET POST PUT", control_config},
    {"counts", "GET", control_counts},
    {"reset", "POST", control_reset},
    {"log", "GET", control_log},
    {"journal", "GET", control_journal},
    {"faults", "GET POST DELETE", control_faults},
    {"keys", "GET POST DELETE", control_keys},
    {"release", "POST", control_release},
    {"close-connections", "POST", control_close},
    {"object", "GET HEAD PUT DELETE", control_bucket_object},
    {"dump", "GET", control_bucket_dump},
    {"uploads", "GET", control_bucket_uploads},
    {"buckets", "GET PUT DELETE", control_bucket_change},
    {"plant", "POST", control_bucket_plant},
};

void control_begin(struct exchange *ex) {
	ex->to_blob = control_is(ex, "PUT") && !strncmp(ex->path, CONTROL_ROOT "object/", sizeof CONTROL_ROOT - 1 + 7);
}

void control_execute(struct exchange *ex) {
	const char *word = ex->path + sizeof CONTROL_ROOT - 1;
	size_t len = strcspn(word, "/");
	for (size_t i = 0; i < sizeof control_words / sizeof *control_words; i++) {
		const struct control_word *w = &control_words[i];
		if (strlen(w->word) != len || strncmp(w->word, word, len) != 0)
			continue;
		if (strstr(w->methods, ex->method))
			w->run(ex, word + len + (word[len] == '/'));
		else
			control_error(ex, 405, "%s takes %s", w->word, w->methods);
		return;
	}
	control_error(ex, 404, "there is no %s", ex->path);
}
