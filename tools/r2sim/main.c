#include "tools/r2sim/escape.h"
#include "tools/r2sim/server.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libxml/parser.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct main_options {
	struct server_options server;
	const char *data, *access_key, *secret_key, *session_token, *port_file;
	bool memory, parent_dies;
	struct fields buckets;
	char *cert, *key;
};

static void main_help(void) {
	struct text settings = {0};
	settings_help(&settings);
	printf("usage: r2sim [--listen HOST:PORT] --memory|--data DIR --bucket NAME... --access-key KEY --secret-key SECRET [option...]\n"
	       "An S3 server for tests that speaks Cloudflare R2's dialect. See r2sim(1) for the control endpoint under /_r2sim/.\n\n"
	       "  --listen HOST:PORT             where to listen (127.0.0.1:0: the kernel picks a port)\n"
	       "  --memory                       keep everything in memory\n"
	       "  --data DIR                     keep everything in DIR, also over restarts\n"
	       "  --bucket NAME                  make this bucket; may be repeated\n"
	       "  --access-key, --secret-key     the credentials of an administrator\n"
	       "  --session-token TOKEN          ... which are then temporary\n"
	       "  --region NAME                  the one region that signatures may name (those of R2)\n"
	       "  --path-prefix /PATH            the endpoint's path\n"
	       "  --tls-cert FILE, --tls-key FILE\n"
	       "                                 https, with these in PEM\n"
	       "  --port-file FILE               write the port here once it listens\n"
	       "  --parent-dies                  end when the process that started it ends\n"
	       "  --threads N                    threads that serve (4)\n"
	       "  --idle-timeout SECONDS         close connections that are idle so long (0: never)\n"
	       "  --help, --version\n\n"
	       "Switches are set by --NAME and cleared by --no-NAME; each can be changed later at /_r2sim/config:\n%s",
	    settings.data);
	text_free(&settings);
}

static int main_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int main_usage(const char *format, ...) {
	va_list ap;
	va_start(ap, format);
	fputs("r2sim: ", stderr);
	vfprintf(stderr, format, ap);
	fputs("\n", stderr);
	va_end(ap);
	return 1;
}

static const struct {
	const char *name;
	char id;
	bool argument;
} main_table[] = {{"listen", 'l', true}, {"memory", 'm', false}, {"data", 'd', true}, {"bucket", 'b', true}, {"access-key", 'a', true},
    {"secret-key", 's', true}, {"session-token", 't', true}, {"region", 'r', true}, {"path-prefix", 'p', true}, {"tls-cert", 'c', true},
    {"tls-key", 'k', true}, {"port-file", 'f', true}, {"parent-dies", 'x', false}, {"threads", 'n', true}, {"idle-timeout", 'i', true}};

static char *main_read(const char *path) {
	struct text all = {0};
	char chunk[4096];
	FILE *f = fopen(path, "re");
	for (size_t n; f && (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
		text_add_n(&all, chunk, n);
	if (f)
		fclose(f);
	return f ? text_take(&all) : NULL;
}

static int main_set(struct sim *sim, struct main_options *o, char id, const char *argument) {
	const char *value = argument ? argument : "";
	switch (id) {
	case 'l': o->server.listen = value; break;
	case 'm': o->memory = true; break;
	case 'd': o->data = value; break;
	case 'b': fields_add(&o->buckets, value, ""); break;
	case 'a': o->access_key = value; break;
	case 's': o->secret_key = value; break;
	case 't': o->session_token = value; break;
	case 'r': sim->region = mem_copy(value); break;
	case 'p':
		free(sim->path_prefix);
		sim->path_prefix = mem_copy(value);
		for (size_t len = strlen(value); len && sim->path_prefix[len - 1] == '/'; len--)
			sim->path_prefix[len - 1] = 0;
		if (*sim->path_prefix && *sim->path_prefix != '/')
			return main_usage("--path-prefix begins with a slash");
		break;
	case 'c':
	case 'k': {
		char **to = id == 'c' ? &o->cert : &o->key;
		if (!(*to = main_read(value)))
			return main_usage("%s: %s", value, strerror(errno));
		break;
	}
	case 'f': o->port_file = value; break;
	case 'x': o->parent_dies = true; break;
	case 'n': o->server.threads = (unsigned)strtoul(value, NULL, 10); break;
	default: o->server.idle_timeout_s = (unsigned)strtoul(value, NULL, 10); break;
	}
	return 0;
}

/* --NAME VALUE or --NAME=VALUE. Not getopt_long, since the settings are a table of their own. */
static int main_parse(struct sim *sim, struct main_options *o, int argc, char **argv) {
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--", 2) != 0)
			return main_usage("%s is no option; see r2sim --help", argv[i]);
		char *name = mem_copy_n(argv[i] + 2, strcspn(argv[i] + 2, "=")), *equals = strchr(argv[i], '=');
		size_t known = 0, n = sizeof main_table / sizeof *main_table;
		while (known < n && strcmp(main_table[known].name, name) != 0)
			known++;
		bool argument = known < n && main_table[known].argument, setting = known == n && settings_is_option(name, &argument);
		const char *value = equals ? equals + 1 : argument && i + 1 < argc ? argv[++i] : NULL;
		int rc = 0;
		if (known == n && !setting)
			rc = main_usage("there is no option --%s; see r2sim --help", name);
		else if (argument != (value != NULL))
			rc = main_usage("--%s takes %s argument", name, argument ? "an" : "no");
		else if (!setting)
			rc = main_set(sim, o, main_table[known].id, value);
		else {
			char *error = settings_option(&sim->settings, name, value);
			rc = error ? main_usage("%s", error) : 0;
			free(error);
		}
		free(name);
		if (rc)
			return rc;
	}
	if (o->memory == (o->data != NULL))
		return main_usage("either --memory or --data DIR is needed");
	if (!o->access_key || !o->secret_key)
		return main_usage("--access-key and --secret-key are needed");
	if (!o->cert != !o->key)
		return main_usage("--tls-cert and --tls-key go together");
	o->server.tls_cert = o->cert;
	o->server.tls_key = o->key;
	if (!o->server.threads || o->server.threads > 64)
		return main_usage("--threads takes 1 to 64");
	return 0;
}

static int main_announce(const struct main_options *o, const struct server *server) {
	if (o->port_file) {
		/* Renamed into place, so that whoever waits for the file never reads half of it. */
		char *fresh = mem_printf("%s.new", o->port_file);
		FILE *f = fopen(fresh, "we");
		bool ok = f && fprintf(f, "%u\n", server_port(server)) > 0;
		ok = (!f || !fclose(f)) && ok && !rename(fresh, o->port_file);
		free(fresh);
		if (!ok)
			return main_usage("%s: %s", o->port_file, strerror(errno));
	}
	printf("r2sim: ready on %s\n", server_url(server));
	fflush(stdout);
	return 0;
}

static int main_serve(struct sim *sim, const struct main_options *o, const sigset_t *signals) {
	int rc = timer_start(&sim->timer);
	if (rc)
		return main_usage("no thread: %s", strerror(-rc));
	char *error = NULL;
	struct server *server = server_start(sim, &o->server, &error);
	if (!server) {
		rc = main_usage("%s", error);
		free(error);
		timer_stop(&sim->timer);
		return rc;
	}
	rc = main_announce(o, server);
	if (!rc)
		sigwait(signals, &(int){0});
	server_stop(server);
	server_free(server);
	return rc;
}

int main(int argc, char **argv) {
	struct sim sim = {.path_prefix = mem_copy("")};
	struct main_options o = {.server = {.listen = "127.0.0.1:0", .threads = 4}};
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "--version"))) {
		if (argv[1][2] == 'h')
			main_help();
		else
			puts("r2sim " R2FS_VERSION);
		free(sim.path_prefix);
		return 0;
	}
	settings_init(&sim.settings);
	verify_init(&sim.verify);
	record_init(&sim.record);
	fault_init(&sim.faults);
	xmlInitParser();
	int rc = main_parse(&sim, &o, argc, argv);
	pid_t parent = getppid();
	if (!rc && o.parent_dies && (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent))
		rc = main_usage("the process that started it is gone");
	/* Before any thread, so that every one of them leaves these to sigwait. */
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (!rc) {
		int opened = store_open(&sim.store, o.data);
		if (opened)
			rc = main_usage("%s: %s", o.data, opened == -EWOULDBLOCK ? "another r2sim uses it" : strerror(-opened));
		struct credential *c = verify_credential(o.access_key, o.secret_key, o.session_token);
		c->admin = true;
		verify_add(&sim.verify, c);
		struct exchange *clock = exchange_new(&sim, "");
		for (size_t i = 0; !rc && i < o.buckets.n; i++)
			store_bucket_add(&sim.store, o.buckets.v[i].name, exchange_now_ms(clock));
		exchange_put(clock);
		if (!rc)
			rc = main_serve(&sim, &o, &signals);
		store_close(&sim.store);
	}
	verify_fini(&sim.verify);
	record_fini(&sim.record);
	fault_fini(&sim.faults);
	fields_free(&o.buckets);
	free(o.cert);
	free(o.key);
	free(sim.region);
	free(sim.path_prefix);
	xmlCleanupParser();
	return rc;
}
