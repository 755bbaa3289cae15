#ifndef R2SIM_SEND_H
#define R2SIM_SEND_H
/* The answer as it goes out, true or spoilt. */
#include "tools/r2sim/fault.h"

#include <microhttpd.h>

/* Ends a TCP connection at once by RST; what the kernel had still to send is lost. */
void send_reset(int fd);
/* Logs the request, then answers by the exchange's reply, as the fault (or NULL) has it. MHD_NO: the connection closes. */
enum MHD_Result send_answer(struct exchange *ex, struct MHD_Connection *connection, int fd, const struct fault_hit *fault);
#endif
