/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_options.c - the command line of lsvd-nbd: what may be said, and what does not go together.
 *
 * Deliberately absent: what needs a file or the store; main.c complains of that.
 */
#include "nbd/nbd_options.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/lsvd.h>

#include "common/args.h"

static const char about[] =
	"Serves log-structured volumes to NBD clients: the Linux kernel, QEMU, libnbd.";

static const char epilogue[] =
	"Exit status: 0 everything is in the store, 1 failure, 2 usage or configuration,\n"
	"3 all is safe but some of it only in the local cache, 4 ended by a second signal.";

uint64_t options_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	return (uint64_t)CPU_COUNT(&set);
}

static void set_defaults(struct options *o)
{
	*o = (struct options){ .log_level = LSVD_LOG_INFO, .connections = 100, .drain_s = 60 };
	o->threads = options_cpus() < 4 ? options_cpus() : 4;
}

static int check_together(const struct args *args, const struct options *o)
{
	if (!!o->address + !!o->unix_path + o->single > 1)
		return args_fail(args, "only one of --address, --unix and --single is possible");
	if (o->offline && !o->name)
		return args_fail(args, "--offline needs --name: the store, which knows all "
				       "names, is not asked");
	if (o->offline && (o->accept_rollback || o->takeover))
		return args_fail(args, "--offline goes with neither --accept-rollback nor "
				       "--takeover");
	if (o->single && o->run)
		return args_fail(args, "--single and --run do not go together");
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	const struct args_option table[] = {
		{ARGS_STRING, 'c', "config", &o->config, "FILE", "configuration file", 0, 0, true},
		{ARGS_STRING, 'n', "name", &o->name, "NAME",
		 "serve this volume (default: all of the store)", 0, 0, false},
		{ARGS_STRING, 'p', "cache", &o->cache, "DIR",
		 "directory of log and cache (default: cache_path)", 0, 0, false},
		{ARGS_STRING, 'a', "address", &o->address, "ADDRESS",
		 "HOST:PORT or unix:/PATH (default: " DEFAULT_ADDRESS ")", 0, 0, false},
		{ARGS_STRING, 'U', "unix", &o->unix_path, "PATH",
		 "listen on a Unix socket; -: a private one", 0, 0, false},
		{ARGS_FLAG, 's', "single", &o->single, NULL,
		 "serve one client on standard input and output", 0, 0, false},
		{ARGS_FLAG, 'r', "read-only", &o->readonly, NULL,
		 "change nothing, locally or in the store", 0, 0, false},
		{ARGS_FLAG, 0, "accept-rollback", &o->accept_rollback, NULL,
		 "go on from what the store has though the last cache is missing", 0, 0, false},
		{ARGS_FLAG, 0, "takeover", &o->takeover, NULL,
		 "the same if the last writer flushed to the store", 0, 0, false},
		{ARGS_FLAG, 0, "offline", &o->offline, NULL,
		 "open on the local cache alone while the store is away (needs --name)", 0, 0,
		 false},
		{ARGS_FLAG, 0, "unsafe-store", &o->unsafe_store, NULL,
		 "write though the store cannot keep two writers apart", 0, 0, false},
		{ARGS_NUMBER, 0, "drain-timeout", &o->drain_s, "SECONDS",
		 "try so long to store everything at the end (default: 60)", 0, 86400, false},
		{ARGS_STRING, 0, "run", &o->run, "COMMAND",
		 "serve while COMMAND runs; it is told $uri, $unixsocket, $exportname", 0, 0,
		 false},
		{ARGS_FLAG, 0, "print-uri", &o->print_uri, NULL,
		 "print the URI for clients to standard output", 0, 0, false},
		{ARGS_FLAG, 0, "exit-with-parent", &o->exit_with_parent, NULL,
		 "end when the parent process does", 0, 0, false},
		{ARGS_STRING, 'P', "pid-file", &o->pid_file, "FILE",
		 "write the process id when clients are served", 0, 0, false},
		{ARGS_NUMBER, 0, "threads", &o->threads, "N",
		 "event loops (default: one for each CPU, at most 4)", 1, LOOPS_MAX, false},
		{ARGS_NUMBER, 0, "connections", &o->connections, "N",
		 "clients at once (default: 100)", 1, 10000, false},
		{ARGS_NUMBER, 0, "poll-us", &o->poll_us, "N",
		 "look for work so many microseconds before sleeping (default: 0)", 0, 10000,
		 false},
		{ARGS_FLAG, 'D', "debug", &o->debug, NULL, "as --log-level debug", 0, 0, false},
		{ARGS_CHOICE, 0, "log-level", &o->log_level, "error|warn|info|debug",
		 "how much is said on standard error (default: info)", 0, 0, false},
		{ARGS_CHOICE, 0, "log-format", &o->log_format, "text|json",
		 "how it is said (default: text)", 0, 0, false},
		{ARGS_HELP, 'h', "help", NULL, NULL, "show this help", 0, 0, false},
		{ARGS_VERSION, 'V', "version", NULL, NULL, "show the version", 0, 0, false},
		{ARGS_END, 0, NULL, NULL, NULL, NULL, 0, 0, false},
	};
	const struct args args = {"lsvd-nbd",
				  "-c FILE [-n NAME] [-p DIR] "
				  "[-a ADDRESS | -U PATH | -s] [OPTION ...]", about,
				  epilogue, table};
	const char *debug = getenv("LSVD_DEBUG");
	int answer;

	set_defaults(o);
	answer = args_parse(&args, argc, argv, NULL);
	if (answer)
		return answer;
	answer = check_together(&args, o);
	if (answer)
		return answer;
	if (o->debug || (debug && *debug && strcmp(debug, "0") != 0))
		o->log_level = LSVD_LOG_DEBUG;
	return 0;
}
