/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer.c - loads an NBD server with stamped sectors and says whether what it kept is a prefix.
 *
 *   writer init  STATE --size BYTES [--offset BYTES] [--seed N]
 *   writer load  STATE URI [--acks N] [--depth N] [--connections N] [--seed N]
 *                          [--kill PID] [--may-die] [--no-reads] [--flush] [--most SECTORS]
 *                          [--patience SECONDS]
 *   writer count STATE
 *   writer check STATE URI [--flushed | --prefix | --first N] [--atomic BYTES]
 *
 * init makes a state file for a range of an export that reads as zeroes (writer.h says what it
 * holds). load issues random writes, trims, zeroes and flushes, many at once, and ends after N
 * replies, on SIGTERM, or (with --kill) by killing the server after N replies; with --flush an end
 * of the load's own will is a flush. check reads the range and compares it with the history; what
 * it finds is the base of the next load. It demands everything acknowledged, or what was flushed,
 * or any one prefix, or exactly the first N operations (of a load of --depth 1); count says how
 * many there are since the last check, flushes not counted.
 *
 * Exit code: 0 all is well, 1 it is not: the reason is on standard error.
 */
#include "writer.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_SIZE = 256, OPT_OFFSET, OPT_SEED, OPT_ACKS, OPT_DEPTH, OPT_CONNECTIONS, OPT_KILL,
       OPT_MAY_DIE, OPT_NO_READS, OPT_FLUSH, OPT_FLUSHED, OPT_ATOMIC, OPT_MOST, OPT_PREFIX,
       OPT_FIRST, OPT_PATIENCE };

static const struct option long_options[] = {
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "offset", required_argument, NULL, OPT_OFFSET },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "acks", required_argument, NULL, OPT_ACKS },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "kill", required_argument, NULL, OPT_KILL },
	{ "may-die", no_argument, NULL, OPT_MAY_DIE },
	{ "no-reads", no_argument, NULL, OPT_NO_READS },
	{ "flush", no_argument, NULL, OPT_FLUSH },
	{ "flushed", no_argument, NULL, OPT_FLUSHED },
	{ "atomic", required_argument, NULL, OPT_ATOMIC },
	{ "most", required_argument, NULL, OPT_MOST },
	{ "prefix", no_argument, NULL, OPT_PREFIX },
	{ "first", required_argument, NULL, OPT_FIRST },
	{ "patience", required_argument, NULL, OPT_PATIENCE },
	{ NULL, 0, NULL, 0 }
};

struct args {
	uint64_t size, offset, seed;
	struct load_options load;
	struct check_options check;
};

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0')
		errx(1, "not a number: %s", text);
	return v;
}

static void take(struct args *a, int c)
{
	switch (c) {
	case OPT_SIZE: a->size = number(optarg); break;
	case OPT_OFFSET: a->offset = number(optarg); break;
	case OPT_SEED: a->seed = a->load.seed = number(optarg); break;
	case OPT_ACKS: a->load.acks = number(optarg); break;
	case OPT_DEPTH: a->load.depth = (uint32_t)number(optarg); break;
	case OPT_CONNECTIONS: a->load.connections = (uint32_t)number(optarg); break;
	case OPT_KILL: a->load.kill_pid = (int)number(optarg); break;
	case OPT_MAY_DIE: a->load.may_die = true; break;
	case OPT_NO_READS: a->load.read_back = false; break;
	case OPT_FLUSH: a->load.flush_last = true; break;
	case OPT_FLUSHED: a->check.flushed_only = true; break;
	case OPT_ATOMIC: a->check.atomic_bytes = number(optarg); break;
	case OPT_MOST: a->load.most_sectors = number(optarg); break;
	case OPT_PATIENCE: a->load.patience_ms = (int)number(optarg) * 1000; break;
	case OPT_PREFIX: a->check.any_prefix = true; break;
	case OPT_FIRST: a->check.exactly = true; a->check.first = number(optarg); break;
	default: exit(1); /* getopt has said why */
	}
}

static void count(const char *path)
{
	uint64_t n = 0;
	struct state st;

	state_open(&st, path);
	for (uint64_t i = 0; i < st.head->op_count; i++)
		n += st.ops[i].kind != OP_FLUSH;
	state_close(&st);
	printf("%llu\n", (unsigned long long)n);
}

static int run(const char *verb, const char *path, const char *uri, struct args *a)
{
	struct state st;
	int rc;

	if (strcmp(verb, "init") == 0) {
		if (a->size == 0 || (a->size | a->offset) % SECTOR_BYTES != 0)
			errx(1, "--size and --offset are whole sectors");
		state_init(path, a->offset / SECTOR_BYTES, a->size / SECTOR_BYTES, a->seed);
		return 0;
	}
	if (strcmp(verb, "count") == 0) {
		count(path);
		return 0;
	}
	if (!uri)
		errx(1, "%s: no URI given", verb);
	a->load.uri = a->check.uri = uri;
	state_open(&st, path);
	if (strcmp(verb, "load") == 0)
		rc = load_run(&st, &a->load);
	else if (strcmp(verb, "check") == 0)
		rc = check_run(&st, &a->check);
	else
		errx(1, "%s: no such verb", verb);
	state_close(&st);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = {
		.seed = 1,
		.load = { .acks = UINT64_MAX, .depth = 32, .connections = 2, .seed = 1,
			  .read_back = true, .most_sectors = UINT64_MAX, .patience_ms = 30000 },
		.check = { .atomic_bytes = UINT64_C(1) << 20 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		take(&a, c);
	if (argc - optind < 2)
		errx(1, "usage: writer init|load|count|check STATE [URI] [options]");
	return run(argv[optind], argv[optind + 1], argv[optind + 2], &a);
}
