#ifndef R2SIM_SIM_H
#define R2SIM_SIM_H
/* The parts of the running simulator. Each has a lock of its own; where two are held, the store's comes first. */
#include "tools/r2sim/fault.h"
#include "tools/r2sim/record.h"
#include "tools/r2sim/settings.h"
#include "tools/r2sim/store.h"
#include "tools/r2sim/timer.h"
#include "tools/r2sim/verify.h"

struct server;

struct sim {
	char *path_prefix; /* "" or "/a/b" */
	char *region;      /* the one region that signatures may name; NULL: those that R2 takes */
	struct settings_box settings;
	struct store store;
	struct verify verify;
	struct record record;
	struct fault_table faults;
	struct timer timer;
	struct server *server;
};
#endif
