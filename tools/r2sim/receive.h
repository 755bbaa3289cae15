#ifndef R2SIM_RECEIVE_H
#define R2SIM_RECEIVE_H
/* The request as it comes in: its headers, and its body with its digests. */
#include "tools/r2sim/exchange.h"

struct MHD_Connection;

void receive_headers(struct exchange *ex, struct MHD_Connection *connection);
void receive_begin(struct exchange *ex); /* by kind, or as ex->to_blob says for the control endpoint */
void receive_data(struct exchange *ex, const char *data, size_t len);
/* False, with the error in the reply, when the body is not what the headers say or could not be stored. */
bool receive_end(struct exchange *ex);
#endif
