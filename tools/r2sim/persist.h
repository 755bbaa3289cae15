#ifndef R2SIM_PERSIST_H
#define R2SIM_PERSIST_H
/* The store's index on disk; see store.h. Only store.c calls this, with the store's lock held. */
#include "tools/r2sim/store.h"

/* Reads DIR/index into an empty store, drops bodies that nothing refers to, writes the index anew. 0 or -errno. */
int persist_load(struct store *s, const char *dir);
void persist_close(struct store *s);

/* Each appends a line; in memory it does nothing. A failure ends the program, since the store must not go on without its index. */
void persist_bucket(struct store *s, const struct bucket *b, bool gone);
void persist_object(struct store *s, const struct bucket *b, const struct object *o);
void persist_removed(struct store *s, const struct bucket *b, const char *key);
void persist_upload(struct store *s, const struct bucket *b, const struct upload *u, bool gone);
void persist_part(struct store *s, const struct bucket *b, const struct upload *u, const struct part *p);
#endif
