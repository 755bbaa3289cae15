#ifndef R2SIM_CONTROL_H
#define R2SIM_CONTROL_H
/* The unsigned endpoint /_r2sim/ by which tests look and steer. r2sim(1) lists what it takes. */
#include "tools/r2sim/exchange.h"

void control_begin(struct exchange *ex); /* the headers are in: says where the body goes */
void control_execute(struct exchange *ex);

/* control_bucket.c: objects and buckets without a signature. rest: what follows /_r2sim/WORD/ in the path, encoded. */
void control_bucket_object(struct exchange *ex, const char *rest);
void control_bucket_dump(struct exchange *ex, const char *rest);
void control_bucket_uploads(struct exchange *ex, const char *rest);
void control_bucket_change(struct exchange *ex, const char *rest);
void control_bucket_plant(struct exchange *ex, const char *rest);

/* Helpers: the body as JSON (NULL with the error replied), and replies. control_reply takes over the reference. */
json_t *control_json(struct exchange *ex);
void control_reply(struct exchange *ex, json_t *json);
void control_error(struct exchange *ex, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
#endif
