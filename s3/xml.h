/*
 * s3/xml.h: reading the XML of answers, by libxml2's SAX. Bounded in depth and text, without DTDs, entities of its own, or
 * network. A document that breaks any of this is not well-formed for us.
 */
#ifndef R2FS_S3_XML_H
#define R2FS_S3_XML_H

#include <stddef.h>

#define XML_DEPTH_MAX 12
#define XML_TEXT_MAX (64u << 10) /* bytes of text in one element */

struct xml_events {
    /* Either may be NULL. depth is 0 for the root; names are without their namespace; text is what stands in the element
     * itself after its last child. All borrowed for the call. */
    void (*open)(void *arg, int depth, const char *name);
    void (*close)(void *arg, int depth, const char *parent, const char *name, const char *text);
};

/* 0; -EBADMSG: not well-formed (events came up to there), -ENOMEM. Does not block; thread-safe. */
int xml_parse(const char *data, size_t length, const struct xml_events *events, void *arg);

#endif
