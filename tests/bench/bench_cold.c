/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_cold.c - reads that only the store can answer: what they fetch, how long they take beside
 * the store itself, and what read-ahead makes of a sequential stream.
 *
 *   bench_cold [--json] [--quick] [--dir DIRECTORY] [--ms LATENCY]
 *
 * Numbers, not pass or fail. The store is memory that answers each request after 5 ms (random) or
 * 20 ms (sequential), or --ms. Each volume is written, closed and opened without a cache, so that
 * every read of what has not been read before is cold. The store's own figure is that of ranged
 * GETs of as many bytes as the volume asks for, at random places of one object, in turns with the
 * volume's.
 */
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lsvd/lsvd.h>

#include "bench.h"
#include "store_fault.h"

#define BLOCK 4096u
#define MIB (UINT64_C(1) << 20)
#define PROBE_KEY "probe"
#define READS_MAX 1000

static bool quick;
static unsigned given_ms;
static char dir[600];

/* ------------------------------------------------------------------------------------- volumes */

struct disk {
	struct lsvd_store *store;
	struct store_fault *fault;
	struct lsvd_volume *volume;
	uint64_t bytes;
};

static void fill(void *buf, size_t len, uint64_t seed, bool text)
{
	uint64_t s = seed * 2654435761u + 1, *p = buf;

	for (size_t i = 0; i < len / 8; i++)
		p[i] = text && i % 2 ? UINT64_C(0x2020202020202020) : chance(&s);
}

static struct lsvd_volume_options options(uint32_t ahead)
{
	struct lsvd_volume_options opt = LSVD_VOLUME_OPTIONS_INIT;

	opt.cache_dir = dir;
	opt.rcache_bytes = UINT64_MAX;
	opt.lease_check_ms = UINT32_MAX;
	opt.read_ahead_bytes = ahead;
	return opt;
}

static void write_all(struct disk *d, uint32_t step, bool text)
{
	struct lsvd_volume_options opt = options(0);
	uint8_t *buf = malloc(step);

	if (!buf)
		die("memory");
	must(lsvd_volume_open(&d->volume, d->store, "cold", &opt), "open");
	for (uint64_t off = 0; off < d->bytes; off += step) {
		fill(buf, step, off + 1, text);
		must(lsvd_volume_write(d->volume, buf, off, step, 0), "write");
	}
	must(lsvd_volume_close(d->volume, UINT32_MAX), "close");
	free(buf);
}

static void put_probe(struct disk *d)
{
	struct iovec iov = { calloc(1, 8 * MIB), 8 * MIB };

	if (!iov.iov_base)
		die("memory");
	must(lsvd_store_put_if_absent(d->store, PROBE_KEY, &iov, 1), "put");
	free(iov.iov_base);
}

/* From here on every request of the store takes so long. */
static void slow_down(struct disk *d, unsigned ms)
{
	const struct fault_rule rule = { .verbs = FAULT_GET, .kind = FAULT_DELAY,
					 .ms = given_ms ? given_ms : ms };

	must(store_fault_add(d->fault, &rule), "rule");
}

static void disk_new(struct disk *d, uint64_t bytes, uint32_t step, bool text)
{
	struct lsvd_store *inner;

	d->bytes = bytes;
	must(lsvd_store_open(&inner, "mem:", NULL), "store");
	must(store_fault_open(&d->store, &d->fault, inner, 1), "store");
	must(lsvd_volume_create(d->store, "cold", bytes, NULL, NULL), "create");
	write_all(d, step, text);
	put_probe(d);
}

static void open_reader(struct disk *d, uint32_t ahead)
{
	struct lsvd_volume_options opt = options(ahead);

	opt.flags = LSVD_OPEN_READONLY;
	opt.cache_dir = NULL;
	must(lsvd_volume_open(&d->volume, d->store, "cold", &opt), "open");
}

static void disk_end(struct disk *d)
{
	char log[700];

	lsvd_store_close(d->store);
	(void)snprintf(log, sizeof log, "rm -rf '%s'/*", dir);
	if (system(log) != 0)
		die(dir);
}

static struct lsvd_stats stats_of(const struct disk *d)
{
	struct lsvd_stats st = LSVD_STATS_INIT;

	must(lsvd_volume_stats(d->volume, &st), "stats");
	return st;
}

/* -------------------------------------------------------------------------------- random reads */

static double probe(struct disk *d, uint64_t *s, size_t len)
{
	static uint8_t buf[65536 + 64];
	uint64_t off = chance(s) % (8 * MIB - sizeof buf);
	double begun = now();
	size_t got;

	must(lsvd_store_get(d->store, PROBE_KEY, off, buf, len, &got), "get");
	return now() - begun;
}

static double read_block(struct disk *d, uint64_t *s)
{
	static uint8_t buf[BLOCK];
	uint64_t off = chance(s) % (d->bytes / BLOCK) * BLOCK;
	double begun = now();

	must(lsvd_volume_read(d->volume, buf, off, BLOCK), "read");
	return now() - begun;
}

static void random_reads(const char *name, uint32_t step, bool text)
{
	int n = quick ? 50 : READS_MAX;
	double ours[READS_MAX], store[READS_MAX], a, b;
	struct disk d;
	struct lsvd_stats st;
	uint64_t s = 2463534242u;
	char line[120];

	disk_new(&d, quick ? 32 * MIB : 256 * MIB, step, text);
	slow_down(&d, 5);
	open_reader(&d, 0);
	for (int i = 0; i < n; i++) {
		store[i] = probe(&d, &s, text ? 16384 : BLOCK + 16);
		ours[i] = read_block(&d, &s);
	}
	st = stats_of(&d);
	a = median(ours, n);
	b = median(store, n);
	(void)snprintf(line, sizeof line, "random 4 KiB, %s: bytes fetched / bytes read", name);
	result(line, (double)st.data_get_bytes / ((double)n * BLOCK), "");
	(void)snprintf(line, sizeof line, "random 4 KiB, %s: GETs for a read", name);
	result(line, (double)st.data_gets / n, "");
	(void)snprintf(line, sizeof line, "random 4 KiB, %s: median latency", name);
	result(line, a * 1e3, "ms");
	(void)snprintf(line, sizeof line, "random 4 KiB, %s: the store's own", name);
	result(line, b * 1e3, "ms");
	(void)snprintf(line, sizeof line, "random 4 KiB, %s: ours / the store's", name);
	result(line, a / b, "x");
	must(lsvd_volume_close(d.volume, 0), "close");
	disk_end(&d);
}

/* ---------------------------------------------------------------------------- sequential reads */

static double stream(struct disk *d, uint32_t ahead, uint32_t step, uint64_t bytes,
		     double *ret_fetched)
{
	uint8_t *buf = malloc(step), *want = malloc(step);
	struct lsvd_stats st;
	double begun, took;

	if (!buf || !want)
		die("memory");
	open_reader(d, ahead);
	begun = now();
	for (uint64_t off = 0; off < bytes; off += step)
		must(lsvd_volume_read(d->volume, buf, off, step), "read");
	took = now() - begun;
	fill(want, step, bytes - step + 1, false);
	if (step == 65536 && memcmp(buf, want, step) != 0)
		die("wrong data");
	st = stats_of(d);
	*ret_fetched = (double)st.data_get_bytes / (double)bytes;
	must(lsvd_volume_close(d->volume, 0), "close");
	free(buf);
	free(want);
	return (double)bytes / (double)MIB / took;
}

static void sequential_reads(void)
{
	static const uint32_t steps[] = { 4096, 65536, 1u << 20 };
	uint64_t bytes = quick ? 32 * MIB : 256 * MIB;
	struct disk d;
	char line[120];

	disk_new(&d, bytes, 65536, false);
	slow_down(&d, 20);
	for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
		/* Without it, a part is enough: it only takes longer. */
		double fetched, without, with;

		without = stream(&d, UINT32_MAX, steps[i], steps[i] * UINT64_C(100) < bytes
				 ? steps[i] * UINT64_C(100) : bytes, &fetched);
		with = stream(&d, 0, steps[i], bytes, &fetched);
		(void)snprintf(line, sizeof line,
			       "sequential %u KiB, one at a time: without read-ahead",
			       steps[i] / 1024);
		result(line, without, "MiB/s");
		(void)snprintf(line, sizeof line,
			       "sequential %u KiB, one at a time: with read-ahead",
			       steps[i] / 1024);
		result(line, with, "MiB/s");
		(void)snprintf(line, sizeof line, "sequential %u KiB: bytes fetched / bytes read",
			       steps[i] / 1024);
		result(line, fetched, "");
	}
	disk_end(&d);
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "json", no_argument, NULL, 'j' }, { "quick", no_argument, NULL, 'q' },
		{ "dir", required_argument, NULL, 'd' }, { "ms", required_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 } };
	const char *parent = ".";
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'j')
			json = true;
		else if (c == 'q')
			quick = true;
		else if (c == 'd')
			parent = optarg;
		else if (c == 'm')
			given_ms = (unsigned)atoi(optarg);
		else
			return 2;
	}
	if (snprintf(dir, sizeof dir, "%s/bench-cold-%d", parent,
		     (int)getpid()) >= (int)sizeof dir ||
	    mkdir(dir, 0700) < 0)
		die(parent);
	random_reads("written in 4 KiB", 4096, false);
	random_reads("stored raw", 65536, false);
	random_reads("compressed units", 65536, true);
	sequential_reads();
	if (rmdir(dir) < 0)
		die(dir);
	results_end();
	return 0;
}
