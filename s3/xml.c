#include "s3/xml.h"

#include <errno.h>
#include <libxml/parser.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "s3/base/buf.h"

#define NAME_MAX_BYTES 63

struct parse {
    const struct xml_events *events;
    void *arg;
    char names[XML_DEPTH_MAX][NAME_MAX_BYTES + 1];
    int depth; /* elements that are open */
    struct buf text;
    bool failed;
};

static void on_open(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int namespace_count,
                    const xmlChar **namespaces, int attribute_count, int default_count, const xmlChar **attributes)
{
    struct parse *parse = ctx;
    (void)prefix;
    (void)uri;
    (void)namespace_count;
    (void)namespaces;
    (void)attribute_count;
    (void)default_count;
    (void)attributes;
    size_t length = strlen((const char *)name);
    if (parse->failed || parse->depth == XML_DEPTH_MAX || length > NAME_MAX_BYTES) {
        parse->failed = true;
        return;
    }
    memcpy(parse->names[parse->depth], name, length + 1);
    buf_reset(&parse->text);
    if (parse->events->open)
        parse->events->open(parse->arg, parse->depth, parse->names[parse->depth]);
    parse->depth++;
}

static void on_close(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
    struct parse *parse = ctx;
    (void)name;
    (void)prefix;
    (void)uri;
    if (parse->failed)
        return;
    parse->depth--;
    if (parse->events->close)
        parse->events->close(parse->arg, parse->depth, parse->depth ? parse->names[parse->depth - 1] : "",
                             parse->names[parse->depth], parse->text.data ? parse->text.data : "");
    buf_reset(&parse->text);
}

static void on_text(void *ctx, const xmlChar *text, int length)
{
    struct parse *parse = ctx;
    if (parse->failed)
        return;
    buf_append(&parse->text, text, (size_t)length);
    parse->failed = parse->text.failed;
}

/* No answer of S3 has a document type; what has one may want to declare entities. */
static void on_document_type(void *ctx, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    (void)name;
    (void)external;
    (void)system;
    ((struct parse *)ctx)->failed = true;
}

/* libxml2 would print to stderr. */
static void on_complaint(void *ctx, const char *format, ...)
{
    (void)ctx;
    (void)format;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

int xml_parse(const char *data, size_t length, const struct xml_events *events, void *arg)
{
    struct parse parse = { .events = events, .arg = arg, .text = BUF_INIT(XML_TEXT_MAX) };
    xmlSAXHandler handler = {
        .initialized = XML_SAX2_MAGIC,
        .startElementNs = on_open,
        .endElementNs = on_close,
        .characters = on_text,
        .cdataBlock = on_text,
        .internalSubset = on_document_type,
        .error = on_complaint,
        .warning = on_complaint,
    };
    pthread_once(&once, xmlInitParser);
    if (length > INT_MAX)
        return -EBADMSG;
    xmlParserCtxtPtr context = xmlCreatePushParserCtxt(&handler, &parse, NULL, 0, NULL);
    if (!context)
        return -ENOMEM;
    xmlCtxtUseOptions(context, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    int rc = xmlParseChunk(context, data, (int)length, 1);
    bool good = rc == 0 && context->wellFormed && !parse.failed && parse.depth == 0;
    if (context->myDoc) {
        xmlFreeDoc(context->myDoc);
        context->myDoc = NULL;
    }
    xmlFreeParserCtxt(context);
    buf_fini(&parse.text);
    return good ? 0 : rc == XML_ERR_NO_MEMORY ? -ENOMEM : -EBADMSG;
}
