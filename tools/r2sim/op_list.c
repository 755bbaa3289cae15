/* ListObjectsV2, and the older ListObjects, which differs in where it goes on. */
#include "tools/r2sim/escape.h"
#include "tools/r2sim/ops.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct op_list_page {
	const char *prefix, *delimiter;
	bool v2, url, owner;
	size_t max_keys;
	struct object **objects; /* the bucket's, or a past state of it */
	size_t n;
	/* The answer. */
	struct text contents, prefixes;
	size_t count;
	bool truncated;
	char *last; /* 'k' and the last key, or 'p' and the last common prefix: where the next page goes on */
};

static void op_list_name(struct text *to, const struct op_list_page *page, const char *name) {
	if (page->url)
		escape_percent(to, name, true);
	else
		escape_xml(to, name);
}

static size_t op_list_lower_bound(const struct op_list_page *page, const char *key) {
	struct bucket view = {.objects = page->objects, .n = page->n};
	return store_lower_bound(&view, key);
}

/* The first index from which keys no longer begin with prefix; all from i on do, or are greater. */
static size_t op_list_skip(const struct op_list_page *page, size_t i, const char *prefix) {
	size_t lo = i, hi = page->n, len = strlen(prefix);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (!strncmp(page->objects[mid]->key, prefix, len))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void op_list_object(struct op_list_page *page, const struct object *o) {
	char when[32];
	struct text *t = &page->contents;
	escape_time_iso(when, o->modified_ms);
	text_add(t, "<Contents><Key>");
	op_list_name(t, page, o->key);
	text_printf(t, "</Key><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag><Size>%llu</Size><StorageClass>STANDARD</StorageClass>", when, o->etag,
	    (unsigned long long)o->body->size);
	text_add(t, page->owner ? "<Owner><ID>r2sim</ID><DisplayName>r2sim</DisplayName></Owner></Contents>" : "</Contents>");
}

static void op_list_last(struct op_list_page *page, char kind, const char *name, size_t len) {
	free(page->last);
	page->last = mem_printf("%c%.*s", kind, (int)len, name);
}

/* from: the exclusive start, a key; or, where from_prefix, all that begins with it is passed over. */
static void op_list_fill(struct op_list_page *page, const char *from, bool from_prefix) {
	size_t prefix_len = strlen(page->prefix);
	size_t i = op_list_lower_bound(page, page->prefix);
	if (from) {
		size_t j = op_list_lower_bound(page, from);
		if (from_prefix)
			j = op_list_skip(page, j, from);
		else if (j < page->n && !strcmp(page->objects[j]->key, from))
			j++;
		i = j > i ? j : i;
	}
	while (i < page->n && !strncmp(page->objects[i]->key, page->prefix, prefix_len)) {
		if (page->count == page->max_keys) {
			page->truncated = page->max_keys > 0;
			return;
		}
		const char *key = page->objects[i]->key;
		const char *cut = page->delimiter ? strstr(key + prefix_len, page->delimiter) : NULL;
		page->count++;
		if (!cut) {
			op_list_object(page, page->objects[i++]);
			op_list_last(page, 'k', key, strlen(key));
			continue;
		}
		op_list_last(page, 'p', key, (size_t)(cut - key) + strlen(page->delimiter));
		text_add(&page->prefixes, "<CommonPrefixes><Prefix>");
		op_list_name(&page->prefixes, page, page->last + 1);
		text_add(&page->prefixes, "</Prefix></CommonPrefixes>");
		i = op_list_skip(page, i, page->last + 1);
	}
}

static int op_list_compare(const void *a, const void *b) {
	return strcmp((*(struct object *const *)a)->key, (*(struct object *const *)b)->key);
}

/* The bucket as it was age_ms ago. The caller frees the array; the objects are the bucket's. */
static void op_list_past(struct op_list_page *page, const struct bucket *b, int64_t age_ms) {
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	int64_t then = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 - age_ms;
	page->objects = mem_zero((b->n + b->dead_n + 1) * sizeof *page->objects);
	page->n = 0;
	for (size_t i = 0; i < b->n; i++)
		if (b->objects[i]->born_ms <= then)
			page->objects[page->n++] = b->objects[i];
	for (size_t i = 0; i < b->dead_n; i++)
		if (b->dead[i]->born_ms <= then && then < b->dead[i]->died_ms)
			page->objects[page->n++] = b->dead[i];
	qsort(page->objects, page->n, sizeof *page->objects, op_list_compare);
}

static void op_list_element(struct text *t, const struct op_list_page *page, const char *element, const char *value) {
	if (!value)
		return;
	text_printf(t, "<%s>", element);
	op_list_name(t, page, value);
	text_printf(t, "</%s>", element);
}

static void op_list_token(struct text *t, const char *element, const char *place) {
	text_printf(t, "<%s>", element);
	escape_base64(t, place, strlen(place));
	text_printf(t, "</%s>", element);
}

static void op_list_write(struct exchange *ex, const struct op_list_page *page) {
	const char *token = exchange_query(ex, "continuation-token");
	reply_xml(ex, 200);
	struct text *t = &ex->reply.text;
	text_printf(t, "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>%s</Name>", ex->bucket);
	if (page->contents.len)
		text_add_n(t, page->contents.data, page->contents.len);
	text_printf(t, "<IsTruncated>%s</IsTruncated><MaxKeys>%zu</MaxKeys>", page->truncated ? "true" : "false", page->max_keys);
	op_list_element(t, page, "Prefix", page->prefix);
	op_list_element(t, page, "Delimiter", page->delimiter);
	if (page->url)
		text_add(t, "<EncodingType>url</EncodingType>");
	if (page->v2) {
		text_printf(t, "<KeyCount>%zu</KeyCount>", page->count);
		op_list_element(t, page, "StartAfter", exchange_query(ex, "start-after"));
		if (token) {
			text_add(t, "<ContinuationToken>");
			escape_xml(t, token);
			text_add(t, "</ContinuationToken>");
		}
		if (page->truncated)
			op_list_token(t, "NextContinuationToken", page->last);
	} else {
		op_list_element(t, page, "Marker", exchange_query(ex, "marker") ? exchange_query(ex, "marker") : "");
		if (page->truncated)
			op_list_element(t, page, "NextMarker", page->last + 1);
	}
	if (page->prefixes.len)
		text_add_n(t, page->prefixes.data, page->prefixes.len);
	text_add(t, "</ListBucketResult>");
}

/* What a fault makes of the request before the page is filled. */
static void op_list_fault_before(const struct exchange *ex, struct op_list_page *page, const struct bucket *b, char **place) {
	if (ex->listing == LISTING_STALE)
		op_list_past(page, b, ex->listing_age_ms);
	if (ex->listing == LISTING_EMPTY)
		page->n = 0;
	if (ex->listing == LISTING_REPEAT) {
		free(*place);
		*place = NULL;
	}
	if (ex->listing == LISTING_SHORT)
		page->max_keys = (page->max_keys < page->n ? page->max_keys : page->n) / 2;
}

/* Parses the query; false with the error in the reply. place: where to go on, as in op_list_page.last, or NULL. */
static bool op_list_query(struct exchange *ex, struct op_list_page *page, char **place) {
	const char *type = exchange_query(ex, "list-type"), *encoding = exchange_query(ex, "encoding-type"), *max = exchange_query(ex, "max-keys");
	const char *owner = exchange_query(ex, "fetch-owner"), *token = exchange_query(ex, "continuation-token");
	const char *after = exchange_query(ex, "start-after"), *marker = exchange_query(ex, "marker");
	char *end = NULL, raw[1200];
	long long limit = max ? strtoll(max, &end, 10) : 1000;
	if ((type && strcmp(type, "2") != 0) || (encoding && strcmp(encoding, "url") != 0) || (max && (!*max || *end || limit < 0))) {
		reply_error(ex, "InvalidArgument");
		return false;
	}
	page->v2 = type != NULL;
	page->url = encoding != NULL;
	page->owner = !page->v2 || (owner && !strcmp(owner, "true"));
	page->max_keys = limit > ex->set.max_keys ? (size_t)ex->set.max_keys : (size_t)limit;
	page->prefix = exchange_query(ex, "prefix") ? exchange_query(ex, "prefix") : "";
	page->delimiter = exchange_query(ex, "delimiter");
	if (page->delimiter && !*page->delimiter)
		page->delimiter = NULL;
	if (token) {
		int n = escape_unbase64(token, raw, sizeof raw - 1);
		if (n < 2 || (*raw != 'k' && *raw != 'p')) {
			reply_error_detail(ex, "InvalidArgument", "The continuation token provided is incorrect");
			return false;
		}
		*place = mem_copy_n(raw, (size_t)n);
	} else if (after && *after) {
		*place = mem_printf("k%s", after);
	} else if (marker && *marker) {
		size_t len = strlen(marker), mark = page->delimiter ? strlen(page->delimiter) : 0;
		*place = mem_printf("%c%s", mark && len >= mark && !strcmp(marker + len - mark, page->delimiter) ? 'p' : 'k', marker);
	}
	return true;
}

void op_list(struct exchange *ex) {
	struct op_list_page page = {0};
	char *place = NULL;
	if (!op_list_query(ex, &page, &place)) {
		free(place);
		return;
	}
	store_lock(&ex->sim->store);
	struct bucket *b = op_common_bucket(ex);
	if (b) {
		size_t asked = page.max_keys;
		page.objects = b->objects;
		page.n = b->n;
		op_list_fault_before(ex, &page, b, &place);
		op_list_fill(&page, place ? place + 1 : NULL, place && *place == 'p');
		/* A short page claims to be the whole. */
		if (ex->listing == LISTING_SHORT) {
			page.truncated = false;
			page.max_keys = asked;
		}
		op_list_write(ex, &page);
		if (page.objects != b->objects)
			free(page.objects);
	}
	store_unlock(&ex->sim->store);
	free(place);
	free(page.last);
	text_free(&page.contents);
	text_free(&page.prefixes);
}
