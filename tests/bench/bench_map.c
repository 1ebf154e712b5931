/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_map.c - what the two maps cost: nanoseconds an operation, bytes an extent.
 *
 * Numbers, not pass or fail. All addresses are 4 KiB blocks; random ones come from a permutation of
 * all block numbers, so that no extent is met twice by accident and none is kept in an array that
 * would share the caches with the map. Places are what 8 MiB objects of raw 4 KiB units give.
 * "bytes" is the map's own account; "resident" what the process grew by, as the system sees it.
 *
 *   bench_map [--json] [--extents N] [--seed N]
 */
#include <getopt.h>
#include <inttypes.h>
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

/* Bytes of the process in memory. */
static double resident(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

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

static void result(const char *map, const char *what, uint64_t ops, double ns, uint64_t extents,
		   uint64_t bytes, double grown)
{
	double each = ns / (double)ops;
	double per = extents ? (double)bytes / (double)extents : 0;
	double rss = extents ? grown / (double)extents : 0;

	if (json)
		printf("%s\n  {\"map\": \"%s\", \"case\": \"%s\", \"ops\": %" PRIu64
		       ", \"ns_per_op\": %.1f, \"extents\": %" PRIu64
		       ", \"bytes_per_extent\": %.2f, \"resident_per_extent\": %.2f}",
		       results++ ? "," : "[", map, what, ops, each, extents, per, rss);
	else
		printf("%-7s %-34s %10" PRIu64 " %9.1f %10" PRIu64 " %9.2f %9.2f\n", map, what,
		       ops, each, extents, per, rss);
	(void)fflush(stdout);
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

static void store_find(const struct store_map *m, const char *what, uint64_t n, uint64_t ops,
		       unsigned bits)
{
	double t = now();

	for (uint64_t i = 0; i < ops; i++) {
		struct map_extent e;
		uint64_t block = shuffled((i * 0x5851f42d4c957f2du) % n, bits);

		if (!lsvd_store_map_find(m, block * BLOCK_SECTORS, &e) ||
		    e.lba != block * BLOCK_SECTORS)
			die("an extent is missing");
		sink += e.off;
	}
	result("store", what, ops, now() - t, lsvd_store_map_extents(m),
	       lsvd_store_map_memory(m), 0);
}

static void store_encode(const struct store_map *m, const char *what)
{
	static uint8_t buf[STORE_MAP_PAGE_MAX_BYTES];
	uint64_t bytes = 0, extents = lsvd_store_map_extents(m);
	double t = now();

	for (uint64_t page = 0;; page++) {
		page = lsvd_store_map_next_page(m, page, false);
		if (page == UINT64_MAX)
			break;
		bytes += (uint64_t)lsvd_store_map_encode_page(m, page, buf, sizeof(buf));
	}
	result("store", what, extents, now() - t, extents, bytes, 0);
}

static void bench_store_sequential(uint64_t n)
{
	double base = resident(), t = now();
	struct store_map *m = store_new();

	for (uint64_t i = 0; i < n; i++)
		store_insert(m, i, i);
	result("store", "sequential fill", n, now() - t, lsvd_store_map_extents(m),
	       lsvd_store_map_memory(m), resident() - base);
	t = now();
	if (lsvd_store_map_remove(m, 0, UINT64_MAX, count_gone, &sink) < 0)
		die("no memory");
	result("store", "remove all of it at once", n, now() - t, 0, 0, 0);
	lsvd_store_map_free(m);
}

static void bench_store_random(uint64_t n)
{
	uint64_t ops = min_u64(n, 4000000), k = n;
	double base = resident(), t = now();
	struct store_map *m = store_new();

	for (uint64_t i = 0; i < n; i++)
		store_insert(m, shuffled(i, SPARSE_BITS), i);
	result("store", "random fill over 1 TiB", n, now() - t, lsvd_store_map_extents(m),
	       lsvd_store_map_memory(m), resident() - base);
	store_find(m, "random look-up", n, ops, SPARSE_BITS);
	t = now();
	for (uint64_t i = 0; i < ops; i++)
		store_insert(m, shuffled((i * 0x5851f42d4c957f2du) % n, SPARSE_BITS), k++);
	result("store", "random update", ops, now() - t, lsvd_store_map_extents(m),
	       lsvd_store_map_memory(m), resident() - base);
	store_encode(m, "encode all pages");
	lsvd_store_map_free(m);
}

/* `spread` objects lie between two writes to the region: as in a volume written for long. */
static void bench_store_dense(uint64_t spread, const char *fill, const char *find,
			      const char *update, const char *encode)
{
	uint64_t n = UINT64_C(1) << DENSE_BITS, k = 0;
	double base = resident(), t = now();
	struct store_map *m = store_new();

	for (uint64_t i = 0; i < n; i++, k += spread)
		store_insert(m, shuffled(i, DENSE_BITS), k);
	result("store", fill, n, now() - t, lsvd_store_map_extents(m),
	       lsvd_store_map_memory(m), resident() - base);
	store_find(m, find, n, 2 * n, DENSE_BITS);
	t = now();
	for (uint64_t i = 0; i < 2 * n; i++, k += spread)
		store_insert(m, shuffled(i * 7, DENSE_BITS), k);
	result("store", update, 2 * n, now() - t, lsvd_store_map_extents(m),
	       lsvd_store_map_memory(m), resident() - base);
	store_encode(m, encode);
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

static struct extent_map *overlay_new(void)
{
	struct extent_map *m;

	if (lsvd_extent_map_new(&m) < 0)
		die("no memory");
	return m;
}

static void bench_overlay_sequential(uint64_t n)
{
	struct extent_map *m = overlay_new();
	double base = resident(), t = now();

	for (uint64_t i = 0; i < n; i++)
		overlay_insert(m, i, i);
	result("overlay", "sequential fill", n, now() - t, lsvd_extent_map_count(m),
	       lsvd_extent_map_memory(m), resident() - base);
	lsvd_extent_map_free(m);
}

static void bench_overlay_random(uint64_t n, unsigned bits)
{
	struct extent_map *m = overlay_new();
	double base = resident(), t = now();
	struct extent e;

	for (uint64_t i = 0; i < n; i++)
		overlay_insert(m, shuffled(i, bits), i);
	result("overlay", "random fill", n, now() - t, lsvd_extent_map_count(m),
	       lsvd_extent_map_memory(m), resident() - base);
	t = now();
	for (uint64_t i = 0; i < 2 * n; i++) {
		if (!lsvd_extent_map_find(m, shuffled(i * 7 % n, bits) * BLOCK_SECTORS, &e))
			die("an extent is missing");
		sink += e.value;
	}
	result("overlay", "random look-up", 2 * n, now() - t, lsvd_extent_map_count(m),
	       lsvd_extent_map_memory(m), 0);
	t = now();
	for (uint64_t i = 0; i < 2 * n; i++)
		overlay_insert(m, shuffled(i * 7 % n, bits), n + i);
	result("overlay", "random overwrite", 2 * n, now() - t, lsvd_extent_map_count(m),
	       lsvd_extent_map_memory(m), 0);
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
		printf("%-7s %-34s %10s %9s %10s %9s %9s\n", "map", "case", "ops", "ns/op",
		       "extents", "bytes/ext", "resident");
	result("-", "one uncached load of memory", 1, memory_latency(), 0, 0, 0);
	bench_store_sequential(n);
	bench_store_random(n);
	bench_store_dense(1, "dense 4 GiB: random fill", "dense 4 GiB: random look-up",
			  "dense 4 GiB: random update", "dense 4 GiB: encode all pages");
	bench_store_dense(256, "dense, aged: random fill", "dense, aged: random look-up",
			  "dense, aged: random update", "dense, aged: encode all pages");
	bench_overlay_sequential(131072);
	bench_overlay_random(131072, 18);
	bench_overlay_random(1000000, SPARSE_BITS);
	if (json)
		printf("\n]\n");
	/* To standard error: it only keeps the compiler from leaving work out. */
	(void)fprintf(stderr, "checksum %" PRIu64 "\n", sink);
	return 0;
}
