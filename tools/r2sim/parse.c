#include "tools/r2sim/parse.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>

static xmlDoc *parse_document(const char *xml, size_t len, const char *root) {
	/* NOENT is not given: entities of a client's own are not expanded. */
	xmlDoc *doc = xmlReadMemory(xml, (int)len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_HUGE);
	xmlNode *top = doc ? xmlDocGetRootElement(doc) : NULL;
	if (top && !strcmp((const char *)top->name, root))
		return doc;
	xmlFreeDoc(doc);
	return NULL;
}

static bool parse_is(const xmlNode *node, const char *name) {
	return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static char *parse_text(xmlNode *node) {
	xmlChar *content = xmlNodeGetContent(node);
	char *copy = mem_copy(content ? (const char *)content : "");
	xmlFree(content);
	return copy;
}

bool parse_delete(struct parse_delete *d, const char *xml, size_t len) {
	xmlDoc *doc = parse_document(xml, len, "Delete");
	if (!doc)
		return false;
	bool ok = true;
	for (xmlNode *node = xmlDocGetRootElement(doc)->children; node; node = node->next) {
		if (parse_is(node, "Quiet")) {
			char *quiet = parse_text(node);
			d->quiet = !strcmp(quiet, "true");
			free(quiet);
		}
		if (!parse_is(node, "Object"))
			continue;
		struct parse_key k = {0};
		for (xmlNode *child = node->children; child; child = child->next) {
			char **to = parse_is(child, "Key") ? &k.key : parse_is(child, "ETag") ? &k.etag : NULL;
			if (to && !*to)
				*to = parse_text(child);
		}
		ok &= k.key && *k.key;
		d->keys = mem_grow(d->keys, (d->n + 1) * sizeof *d->keys);
		d->keys[d->n++] = k;
	}
	xmlFreeDoc(doc);
	return ok;
}

void parse_delete_free(struct parse_delete *d) {
	for (size_t i = 0; i < d->n; i++) {
		free(d->keys[i].key);
		free(d->keys[i].etag);
	}
	free(d->keys);
}

bool parse_complete(struct parse_complete *c, const char *xml, size_t len) {
	xmlDoc *doc = parse_document(xml, len, "CompleteMultipartUpload");
	if (!doc)
		return false;
	bool ok = true;
	for (xmlNode *node = xmlDocGetRootElement(doc)->children; node; node = node->next) {
		if (!parse_is(node, "Part"))
			continue;
		struct parse_part p = {0};
		for (xmlNode *child = node->children; child; child = child->next) {
			if (parse_is(child, "PartNumber")) {
				char *number = parse_text(child);
				p.number = (unsigned)strtoul(number, NULL, 10);
				free(number);
			} else if (parse_is(child, "ETag") && !p.etag) {
				p.etag = parse_text(child);
			}
		}
		ok &= p.number >= 1 && p.number <= 10000 && p.etag;
		c->parts = mem_grow(c->parts, (c->n + 1) * sizeof *c->parts);
		c->parts[c->n++] = p;
	}
	xmlFreeDoc(doc);
	return ok && c->n;
}

void parse_complete_free(struct parse_complete *c) {
	for (size_t i = 0; i < c->n; i++)
		free(c->parts[i].etag);
	free(c->parts);
}
