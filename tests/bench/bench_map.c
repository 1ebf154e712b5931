/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_map.c - what the two maps cost: nanoseconds an operation, bytes an extent.
 *
 * Numbers, not pass or fail. All addresses are 4 KiB blocks; random ones come from a permutation of
 * all block numbers, so that no extent is met twice by accident and none is kept in an array that
 * would share the caches with the map. Places are what 8 MiB objects of raw 4 KiB units give.
 * Look-ups and updates are measured in rounds: "best" is the quickest round, what it costs when
 * nobody else wants the memory; "mean" is over all. "announced" means 32 at a time, each prefetched
 * before the first is done. "bytes" is the map's own account with the allocator's overhead;
 * "resident" is by how much the process grew, as the system sees it.
 *
 *   bench_map [--json] [--extents N] [--seed N]
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "map/extent_map.h"
#include "map/store_map.h"

#define SPARSE_BITS 28u           /* 1 TiB of 4 KiB blocks */
#define DENSE_BITS 20u            /* 4 GiB */
#define UNIT_SPACE (16u + BLOCK_BYTES)
#define OBJECT_UNITS ((8u << 20) / UNIT_SPACE)
#define OBJECT_HEADER 8192u
#define ROUNDS 20u
#define ANNOUNCED 32u             /* operations known at a time */

static bool json;
static unsigned results;
static uint64_t seed = 1;
static uint64_t sink;             /* of what was looked up, so that nobody leaves it out */

static void die(const char *what)
{
	(void)fprintf(stderr, "bench_map: %s\n", what);
	exit(1);
}

/* Processor time: there is nothing here to wait for, and others may be at work on the machine. */
static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Bytes of the process in memory, but for what the allocator merely keeps. */
static double resident(void)
{
	unsigned long pages = 0;
	FILE *f;

	(void)malloc_trim(0); /* says whether there was any */
	f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		die("/proc/self/statm cannot be read");
	(void)fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/*
 * What one load costs that misses all caches, in a chain where each needs the one before: the unit
 * in which look-ups in a large map are to be thought of.
 */
static double memory_latency(void)
{
	size_t n = (128u << 20) / 64;
	uint64_t (*line)[8] = calloc(n, sizeof(*line));
	uint64_t at = 0;
	double t;

	if (!line)
		die("no memory");
	/* A full cycle through all lines: n is a power of two. */
	for (size_t i = 0; i < n; i++)
		line[i][0] = (i * 0x5851f42d4c957f2du + 0x14057b7ef767814fu) % n;
	t = now();
	for (unsigned i = 0; i < 1000000; i++)
		at = line[at][0];
	t = now() - t;
	sink += at;
	free(line);
	return t / 1000000;
}

/* The i-th block number of a permutation of [0, 2^bits). */
static uint64_t shuffled(uint64_t i, unsigned bits)
{
	uint64_t mask = (UINT64_C(1) << bits) - 1;

	i = (i + seed) & mask;
	for (int round = 0; round < 3; round++) {
		i = (i * 0x9e3779b97f4a7c15u + 0x7f4a7c15u) & mask;
		i ^= i >> (bits / 2);
		i = (i * 0xd1342543de82ef95u) & mask;
		i ^= i >> (bits / 2 - 1);
	}
	return i;
}

/* One line of the report. */
struct result {
	const char *map, *what;
	uint64_t ops;
	double best, mean;         /* ns an operation; best 0: not measured in rounds */
	uint64_t extents, bytes;
	double grown;              /* resident bytes */
};

static double per(double total, uint64_t n)
{
	return n ? total / (double)n : 0;
}

static void print(const struct result *r)
{
	double best = r->best > 0 ? r->best : r->mean;
	double bytes = per((double)r->bytes, r->extents);
	double grown = per(r->grown, r->extents);

	if (json)
		printf("%s\n  {\"map\": \"%s\", \"case\": \"%s\", \"ops\": %" PRIu64
		       ", \"best_ns\": %.1f, \"mean_ns\": %.1f, \"extents\": %" PRIu64
		       ", \"bytes_per_extent\": %.2f, \"resident_per_extent\": %.2f}",
		       results++ ? "," : "[", r->map, r->what, r->ops, best, r->mean, r->extents,
		       bytes, grown);
	else
		printf("%-7s %-36s %9" PRIu64 " %8.1f %8.1f %9" PRIu64 " %7.2f %9.2f\n", r->map,
		       r->what, r->ops, best, r->mean, r->extents, bytes, grown);
	(void)fflush(stdout);
}

/* What the operations of a case are about. */
struct bench {
	uint64_t extents;          /* in the map: the first so many of the permutation */
	unsigned bits;             /* of block numbers */
	uint64_t first_k;          /* place of the first update */
	uint64_t spread;           /* places from one update to the next */
};

/* Does operations [from, from + n). */
typedef void (*round_fn)(void *map, const struct bench *b, uint64_t from, uint64_t n);

/* The block of operation i: any of those in the map. */
static uint64_t block_of(const struct bench *b, uint64_t i)
{
	return shuffled(i * 0x5851f42d4c957f2du % b->extents, b->bits);
}

static void run_rounds(struct result *r, round_fn round, void *map, const struct bench *b)
{
	uint64_t n = r->ops / ROUNDS;
	double sum = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		double t = now();

		round(map, b, i * n, n);
		t = now() - t;
		sum += t;
		if (i == 0 || t / (double)n < r->best)
			r->best = t / (double)n;
	}
	r->mean = sum / (double)r->ops;
}

/* ---------------------------------------------------------------------------------- store map */

static struct map_extent place(uint64_t block, uint64_t k)
{
	return (struct map_extent){
		.lba = block * BLOCK_SECTORS,
		.len = BLOCK_SECTORS,
		.object = 1 + k / OBJECT_UNITS,
		.off = OBJECT_HEADER + (uint32_t)(k % OBJECT_UNITS) * UNIT_SPACE,
		.kind = MAP_RAW,
	};
}

static void count_gone(void *ctx, const struct map_extent *gone)
{
	*(uint64_t *)ctx += gone->len;
}

static void store_insert(struct store_map *m, uint64_t block, uint64_t k)
{
	struct map_extent e = place(block, k);

	if (lsvd_store_map_insert(m, &e, count_gone, &sink) < 0)
		die("no memory");
}

static struct store_map *store_new(void)
{
	struct store_map *m;

	if (lsvd_store_map_new(&m) < 0)
		die("no memory");
	return m;
}

static void store_look(const struct store_map *m, uint64_t block)
{
	struct map_extent e;

	if (!lsvd_store_map_find(m, block * BLOCK_SECTORS, &e) || e.lba != block * BLOCK_SECTORS)
		die("an extent is missing");
	sink += e.off;
}

static void round_look(void *map, const struct bench *b, uint64_t from, uint64_t n)
{
	for (uint64_t i = from; i < from + n; i++)
		store_look(map, block_of(b, i));
}

static void round_update(void *map, const struct bench *b, uint64_t from, uint64_t n)
{
	for (uint64_t i = from; i < from + n; i++)
		store_insert(map, block_of(b, i), b->first_k + i * b->spread);
}

static void round_look_announced(void *map, const struct bench *b, uint64_t from, uint64_t n)
{
	uint64_t block[ANNOUNCED];

	for (uint64_t i = from; i < from + n; i += ANNOUNCED) {
		for (unsigned k = 0; k < ANNOUNCED; k++) {
			block[k] = block_of(b, i + k);
			lsvd_store_map_prefetch(map, block[k] * BLOCK_SECTORS);
		}
		for (unsigned k = 0; k < ANNOUNCED; k++)
			store_look(map, block[k]);
	}
}

static void round_update_announced(void *map, const struct bench *b, uint64_t from, uint64_t n)
{
	uint64_t block[ANNOUNCED];

	for (uint64_t i = from; i < from + n; i += ANNOUNCED) {
		for (unsigned k = 0; k < ANNOUNCED; k++) {
			block[k] = block_of(b, i + k);
			lsvd_store_map_prefetch(map, block[k] * BLOCK_SECTORS);
		}
		for (unsigned k = 0; k < ANNOUNCED; k++)
			store_insert(map, block[k], b->first_k + (i + k) * b->spread);
	}
}

static void print_store(const char *group, const char *what, uint64_t ops, double best,
			double mean, const struct store_map *m, double base)
{
	char text[64];
	struct result r = { .map = "store", .what = text, .ops = ops, .best = best, .mean = mean };

	(void)snprintf(text, sizeof(text), "%s: %s", group, what); /* fits: all are short */
	r.extents = lsvd_store_map_extents(m);
	r.bytes = lsvd_store_map_memory(m);
	r.grown = resident() - base;
	print(&r);
}

static void store_rounds(const char *group, const char *what, round_fn round,
			 struct store_map *m, const struct bench *b, double base)
{
	/* A whole number of announcements in each round. */
	uint64_t n = min_u64(b->extents, 4000000) / (ROUNDS * ANNOUNCED) * (ROUNDS * ANNOUNCED);
	struct result r = { .ops = n ? n : ROUNDS * ANNOUNCED };

	run_rounds(&r, round, m, b);
	print_store(group, what, r.ops, r.best, r.mean, m, base);
}

static void store_encode(const char *group, const struct store_map *m)
{
	static uint8_t buf[STORE_MAP_PAGE_MAX_BYTES];
	struct result r = { .map = "store", .extents = lsvd_store_map_extents(m) };
	double t = now();
	char text[64];

	for (uint64_t page = 0;; page++) {
		page = lsvd_store_map_next_page(m, page, false);
		if (page == UINT64_MAX)
			break;
		r.bytes += (uint64_t)lsvd_store_map_encode_page(m, page, buf, sizeof(buf));
	}
	(void)snprintf(text, sizeof(text), "%s: encode all pages", group); /* fits */
	r.what = text;
	r.ops = r.extents;
	r.mean = per(now() - t, r.ops);
	print(&r);
}

/* Fills a map in an order, then looks up, updates and encodes. */
static void bench_store(const char *group, bool sequential, struct bench b)
{
	double base = resident(), t = now();
	struct store_map *m = store_new();

	for (uint64_t i = 0; i < b.extents; i++)
		store_insert(m, sequential ? i : shuffled(i, b.bits), i * b.spread);
	print_store(group, "fill", b.extents, 0, per(now() - t, b.extents), m, base);
	b.first_k = b.extents * b.spread;
	if (!sequential) {
		store_rounds(group, "look-up", round_look, m, &b, base);
		store_rounds(group, "look-up, announced", round_look_announced, m, &b, base);
		store_rounds(group, "update", round_update, m, &b, base);
		store_rounds(group, "update, announced", round_update_announced, m, &b, base);
	}
	store_encode(group, m);
	t = now();
	if (lsvd_store_map_remove(m, 0, UINT64_MAX, count_gone, &sink) < 0)
		die("no memory");
	print_store(group, "remove all in one call", b.extents, 0, per(now() - t, b.extents), m,
		    base);
	lsvd_store_map_free(m);
}

/* --------------------------------------------------------------------------------- extent map */

static void overlay_gone(void *ctx, const struct extent *gone)
{
	*(uint64_t *)ctx += gone->len;
}

static void overlay_insert(struct extent_map *m, uint64_t block, uint64_t value)
{
	struct extent e = { .lba = block * BLOCK_SECTORS,
			    .len = BLOCK_SECTORS,
			    .value = value * BLOCK_SECTORS };

	if (lsvd_extent_map_reserve(m, 1) < 0)
		die("no memory");
	lsvd_extent_map_insert(m, &e, overlay_gone, &sink);
}

static void round_overlay_look(void *map, const struct bench *b, uint64_t from, uint64_t n)
{
	for (uint64_t i = from; i < from + n; i++) {
		uint64_t lba = block_of(b, i) * BLOCK_SECTORS;
		struct extent e;

		if (!lsvd_extent_map_find(map, lba, &e) || e.lba != lba)
			die("an extent is missing");
		sink += e.value;
	}
}

static void round_overlay_overwrite(void *map, const struct bench *b, uint64_t from, uint64_t n)
{
	for (uint64_t i = from; i < from + n; i++)
		overlay_insert(map, block_of(b, i), b->first_k + i);
}

static void overlay_rounds(const char *what, round_fn round, struct extent_map *m,
			   const struct bench *b)
{
	struct result r = { .map = "overlay", .what = what };

	r.ops = 2 * b->extents / ROUNDS * ROUNDS;
	r.extents = lsvd_extent_map_count(m);
	r.bytes = lsvd_extent_map_memory(m);
	run_rounds(&r, round, m, b);
	print(&r);
}

static void bench_overlay(uint64_t n, bool sequential)
{
	struct bench b = { .extents = n, .bits = SPARSE_BITS, .first_k = n };
	struct result r = { .map = "overlay", .ops = n };
	double base = resident(), t = now();
	struct extent_map *m;

	if (lsvd_extent_map_new(&m) < 0)
		die("no memory");
	for (uint64_t i = 0; i < n; i++)
		overlay_insert(m, sequential ? i : shuffled(i, b.bits), i);
	r.what = sequential ? "sequential: fill" : "random: fill";
	r.mean = per(now() - t, n);
	r.extents = lsvd_extent_map_count(m);
	r.bytes = lsvd_extent_map_memory(m);
	r.grown = resident() - base;
	print(&r);
	if (!sequential) {
		overlay_rounds("random: look-up", round_overlay_look, m, &b);
		overlay_rounds("random: overwrite", round_overlay_overwrite, m, &b);
	}
	lsvd_extent_map_free(m);
}

/* ---------------------------------------------------------------------------------------- main */

static uint64_t number(const char *s)
{
	char *end;
	uint64_t v = strtoull(s, &end, 10);

	if (*s < '0' || *s > '9' || *end)
		die("a number is expected");
	return v;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "extents", required_argument, NULL, 'n' },
						 { "seed", required_argument, NULL, 's' },
						 { NULL, 0, NULL, 0 } };
	uint64_t n = 10000000;
	int c;

	while ((c = getopt_long(argc, argv, "jn:s:", options, NULL)) != -1) {
		if (c == 'j')
			json = true;
		else if (c == 'n')
			n = number(optarg);
		else if (c == 's')
			seed = number(optarg);
		else
			return 2;
	}
	if (n == 0 || n > UINT64_C(1) << SPARSE_BITS)
		die("--extents: 1 … 268435456");
	if (!json)
		printf("%-7s %-36s %9s %8s %8s %9s %7s %9s\n", "map", "case", "ops", "best ns",
		       "mean ns", "extents", "bytes", "resident");
	print(&(struct result){ .map = "-",
				.what = "one load that misses the caches",
				.ops = 1000000,
				.mean = memory_latency() });
	bench_store("random 1 TiB", false, (struct bench){ n, SPARSE_BITS, 0, 1 });
	bench_store("sequential", true, (struct bench){ n, SPARSE_BITS, 0, 1 });
	bench_store("dense 4 GiB", false, (struct bench){ 1u << DENSE_BITS, DENSE_BITS, 0, 1 });
	/* As in a volume written for long: the region's blocks lie in 250,000 objects. */
	bench_store("dense, aged", false, (struct bench){ 1u << DENSE_BITS, DENSE_BITS, 0, 512 });
	bench_overlay(131072, true);
	bench_overlay(131072, false);
	bench_overlay(1000000, false);
	if (json)
		printf("\n]\n");
	/* To standard error: it only keeps the compiler from leaving work out. */
	(void)fprintf(stderr, "checksum %" PRIu64 "\n", sink);
	return 0;
}
