/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_gc.c - what garbage collection costs: bytes written in all for a byte that a user writes.
 *
 *   bench_gc [--json] [--quick] [--blocks N] [--only uniform|zipf] [--live PERCENT] [--separate]
 *            [--dir DIRECTORY]
 *
 * Numbers, not pass or fail. The volume itself: it is written over in blocks of 4 KiB, uniformly or
 * by zipf 0.99, and collects by itself, with a target that says how much of what is stored is
 * alive. After each segment it is waited for until the target is kept, so that the figure is that
 * of this share. First it is written over some times until it has settled, then some times for the
 * figure.
 *
 * The store is in memory, and what is written shrinks to next to nothing: copies are counted by
 * what they are before that. Segments are small, so that there are many. Writes of the same block
 * in one segment are stored once; the figure counts them as written, and another says what was
 * really stored.
 *
 * Theory, for uniform writes and whatever is collected first: of a victim x lives, where the share
 * that lives of all is (x - 1) / ln x; each byte then costs 1 / (1 - x).
 */
#include <getopt.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lsvd/lsvd.h>

#include "bench.h"
#include "gc_model.h"

#define BLOCK 4096u
#define NAME "gc"

static char dir[512];
static uint32_t blocks = 131072;
static uint32_t segment = 1u << 20;
static bool separate;
static unsigned settle = 4, measured = 2;

struct run {
	struct lsvd_volume *v;
	struct gc_model chance;  /* which block is next */
	uint32_t percent;        /* the target */
	uint64_t writes;
	double kept;             /* sum of data / live, and of how many */
	unsigned samples;
};

static double theory(double live)
{
	double lo = 0, hi = 1 - 1e-9;

	for (int i = 0; i < 100; i++) {
		double x = (lo + hi) / 2;

		if (x > 0 && (x - 1) / log(x) < live)
			lo = x;
		else
			hi = x;
	}
	return 1 / (1 - lo);
}

static struct lsvd_volume *opened(struct lsvd_store *store, uint32_t percent)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *v;

	o.cache_dir = dir;
	o.rcache_bytes = UINT64_MAX;
	o.log_bytes = 32u << 20;
	o.segment_bytes = segment;
	o.seal_after_ms = UINT32_MAX;
	o.gc = LSVD_GC_AUTO;
	o.gc_strategy = separate ? LSVD_GC_SEPARATE : LSVD_GC_COST_BENEFIT;
	o.gc_target_percent = percent;
	o.gc_bytes_per_second = UINT64_MAX;
	o.gc_idle_ms = UINT32_MAX;
	must(lsvd_volume_open(&v, store, NAME, &o), "open");
	return v;
}

/* Everything is stored, and no more is stored than there is to be. */
static void settle_down(struct run *r)
{
	const struct timespec moment = { 0, 100000 };
	struct lsvd_gc_status s = LSVD_GC_STATUS_INIT;

	must(lsvd_volume_sync(r->v, UINT32_MAX), "sync");
	for (;;) {
		must(lsvd_volume_gc_status(r->v, &s), "status");
		if (s.failed_rounds)
			die("a round of collection failed");
		if (!(s.flags & LSVD_GC_RUNNING) && s.data_bytes * 100 <= s.live_bytes * r->percent)
			break;
		(void)nanosleep(&moment, NULL); /* cut short: looks earlier */
	}
	r->kept += (double)s.data_bytes / (double)s.live_bytes;
	r->samples++;
}

static void write_block(struct run *r, uint32_t block)
{
	uint8_t data[BLOCK];

	memset(data, (int)block, sizeof data);
	must(lsvd_volume_write(r->v, data, (uint64_t)block * BLOCK, BLOCK, 0), "write");
	if (++r->writes % (segment / BLOCK) == 0)
		settle_down(r);
}

static void overwrite(struct run *r, unsigned times)
{
	for (uint64_t n = (uint64_t)blocks * times; n; n--)
		write_block(r, gc_model_pick(&r->chance));
}

static struct lsvd_stats stats_of(const struct run *r)
{
	struct lsvd_stats s = LSVD_STATS_INIT;

	must(lsvd_volume_stats(r->v, &s), "stats");
	return s;
}

static void show(const struct run *r, const char *name, double target, const struct lsvd_stats *a,
		 const struct lsvd_stats *b)
{
	double user = (double)blocks * measured * BLOCK;
	double copied = (double)(b->gc_copied_bytes - a->gc_copied_bytes);
	double coalesced = (double)(b->coalesced_bytes - a->coalesced_bytes);
	char text[96];

	(void)snprintf(text, sizeof text, "%s: written per user byte", name); /* fits */
	result(text, 1 + copied / user, "");
	if (target > 0) {
		(void)snprintf(text, sizeof text, "%s: theory", name); /* fits */
		result(text, target, "");
	}
	(void)snprintf(text, sizeof text, "%s: stored per user byte", name); /* fits */
	result(text, (user - coalesced + copied) / user, "");
	(void)snprintf(text, sizeof text, "%s: requests a segment", name); /* fits */
	result(text, (double)(b->data_puts - a->data_puts + b->gc_requests - a->gc_requests) /
			     (user / segment), "");
	(void)snprintf(text, sizeof text, "%s: really alive", name); /* fits */
	result(text, 100 * r->samples / r->kept, "%");
}

static void measure(double zipf, unsigned live)
{
	const struct gc_policy unused = { .target = 1 };
	struct run r = { .percent = (10000 + live / 2) / live };
	struct lsvd_store *store;
	struct lsvd_stats before, after;
	double cpu = cpu_now();
	char name[64];

	(void)snprintf(name, sizeof name, "%s, %u %% alive", zipf > 0 ? "zipf 0.99" : "uniform",
		       live); /* fits */
	must(lsvd_store_open(&store, "mem:", NULL), "store");
	must(lsvd_volume_create(store, NAME, (uint64_t)blocks * BLOCK, NULL, NULL), "create");
	r.v = opened(store, r.percent);
	gc_model_init(&r.chance, blocks, zipf, &unused);
	for (uint32_t b = 0; b < blocks; b++)
		write_block(&r, r.chance.shuffled[b]);
	overwrite(&r, settle);
	before = stats_of(&r);
	r.kept = r.samples = 0;
	overwrite(&r, measured);
	after = stats_of(&r);
	show(&r, name, zipf > 0 ? 0 : theory(100.0 / r.percent), &before, &after);
	(void)snprintf(name + strlen(name), sizeof name - strlen(name), ": processor"); /* fits */
	result(name, cpu_now() - cpu, "s");
	gc_model_free(&r.chance);
	must(lsvd_volume_close(r.v, UINT32_MAX), "close");
	lsvd_store_close(store);
}

static void empty(void)
{
	char command[640];

	(void)snprintf(command, sizeof command, "rm -rf '%s'/*", dir); /* fits */
	if (system(command) != 0)
		die(dir);
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "json", no_argument, NULL, 'j' }, { "quick", no_argument, NULL, 'q' },
		{ "blocks", required_argument, NULL, 'b' },
		{ "only", required_argument, NULL, 'o' },
		{ "live", required_argument, NULL, 'l' }, { "dir", required_argument, NULL, 'd' },
		{ "separate", no_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 } };
	const char *parent = ".", *only = "";
	unsigned alone = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'j')
			json = true;
		else if (c == 'q')
			blocks = 4096, segment = 128u << 10, settle = measured = 1;
		else if (c == 'b')
			blocks = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'o')
			only = optarg;
		else if (c == 'l')
			alone = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 's')
			separate = true;
		else if (c == 'd')
			parent = optarg;
		else
			return 2;
	}
	if (snprintf(dir, sizeof dir, "%s/bench-gc-%d", parent, (int)getpid()) >= (int)sizeof dir ||
	    mkdir(dir, 0700) < 0)
		die(parent);
	for (int zipf = 0; zipf < 2; zipf++)
		for (unsigned live = 60; live <= 90; live += 10) {
			if ((alone && live != alone) ||
			    strcmp(only, zipf ? "uniform" : "zipf") == 0)
				continue;
			measure(zipf ? 0.99 : 0, live);
			empty();
		}
	if (rmdir(dir) < 0)
		die(dir);
	results_end();
	return 0;
}
