/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_large.c - a large volume, thinly written: what opening, snapshots, going back to one,
 * clones and deletion take, and how much memory it needs at rest.
 *
 *   bench_large [--json] [--quick] [--extents N] [--dir DIRECTORY] [--store DIRECTORY]
 *
 * Numbers, not pass or fail. 1 TiB gets N (ten million) extents of 4 KiB, each at a place of its
 * own that chance gives. The store is in memory and keeps maps whole, of data the headers alone:
 * nothing can be read back but maps. DIRECTORY (default: the current one) gets a folder that is
 * removed at the end, with a local log of 512 MiB; all that is written goes through it, 50 GiB, so
 * that it had better be in memory. Of each step are shown time and processor time, and of an open
 * by how much the process has grown when it has come to rest.
 *
 * With --store the volume, "large", is made in that (existing) directory, of data that shrinks to
 * some 60 bytes a block, and stays: for whoever wants to look at a server of it.
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lsvd/lsvd.h>

#include "bench.h"
#include "store_null.h"

#define BLOCK 4096u
#define BITS 28u                 /* 1 TiB of blocks */
#define BATCH 64u
#define NAME "large"

static char dir[512];
static struct lsvd_store *store;
static uint8_t *pool;
static uint64_t extents = 10000000, log_bytes; /* 0: 512 MiB */

/* ------------------------------------------------------------------------------------ measuring */

struct step {
	double at, cpu;
};

static struct step begin(void)
{
	return (struct step){ now(), cpu_now() };
}

static void end(const char *name, struct step s)
{
	const struct step e = begin();
	char text[96];

	(void)snprintf(text, sizeof text, "%s, time", name); /* fits */
	result(text, e.at - s.at, "s");
	(void)snprintf(text, sizeof text, "%s, processor", name); /* fits */
	result(text, e.cpu - s.cpu, "s");
}

static double resident(void)
{
	unsigned long pages = 0;
	FILE *f;

	(void)malloc_trim(0); /* says whether there was any */
	f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		die("/proc/self/statm");
	(void)fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* -------------------------------------------------------------------------------------- writing */

/* The i-th block number of a permutation of [0, 2^BITS). */
static uint64_t shuffled(uint64_t i)
{
	const uint64_t mask = (UINT64_C(1) << BITS) - 1;

	for (int round = 0; round < 3; round++) {
		i = (i * 0x9e3779b97f4a7c15u + 0x7f4a7c15u) & mask;
		i ^= i >> (BITS / 2);
		i = (i * 0xd1342543de82ef95u) & mask;
		i ^= i >> (BITS / 2 - 1);
	}
	return i;
}

struct batch {
	struct lsvd_io io[BATCH];
	struct iovec iov[BATCH];
	pthread_mutex_t lock;
	pthread_cond_t over;
	unsigned left;
};

static void written(struct lsvd_io *io)
{
	struct batch *b = io->user;

	must(io->err, "write");
	(void)pthread_mutex_lock(&b->lock);
	if (--b->left == 0)
		(void)pthread_cond_signal(&b->over);
	(void)pthread_mutex_unlock(&b->lock);
}

static void write_batch(struct lsvd_volume *v, struct batch *b, uint64_t first, unsigned n)
{
	b->left = n;
	for (unsigned i = 0; i < n; i++) {
		b->iov[i] = (struct iovec){ pool + (first + i) % 1024 * BLOCK, BLOCK };
		b->io[i] = (struct lsvd_io){ .kind = LSVD_IO_WRITE,
					     .off = shuffled(first + i) * BLOCK, .len = BLOCK,
					     .iov = &b->iov[i], .iovcnt = 1, .done = written,
					     .user = b };
		if (i)
			b->io[i - 1].next = &b->io[i];
	}
	lsvd_volume_submit(v, &b->io[0]);
	(void)pthread_mutex_lock(&b->lock);
	while (b->left)
		(void)pthread_cond_wait(&b->over, &b->lock);
	(void)pthread_mutex_unlock(&b->lock);
}

static struct lsvd_volume_options options(void)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;

	o.cache_dir = dir;
	o.rcache_bytes = UINT64_MAX;
	o.log_bytes = log_bytes;
	return o;
}

static struct lsvd_volume *opened(const char *name, const struct lsvd_volume_options *o)
{
	struct lsvd_volume *v;

	must(lsvd_volume_open(&v, store, name, o), "open");
	return v;
}

/* With room for the whole map, and few checkpoints: it is not this that is measured. */
static void fill(void)
{
	static struct batch b = { .lock = PTHREAD_MUTEX_INITIALIZER,
				  .over = PTHREAD_COND_INITIALIZER };
	struct lsvd_volume_options o = options();
	struct step s = begin();
	struct lsvd_volume *v;

	o.map_memory_bytes = UINT64_C(2) << 30;
	o.checkpoint_segments = 4096;
	must(lsvd_volume_create(store, NAME, (uint64_t)BLOCK << BITS, NULL, NULL), "create");
	v = opened(NAME, &o);
	for (uint64_t i = 0; i < extents; i += BATCH)
		write_batch(v, &b, i, (unsigned)(extents - i < BATCH ? extents - i : BATCH));
	must(lsvd_volume_close(v, UINT32_MAX), "close");
	end("filled", s);
}

/* --------------------------------------------------------------------------------- measurements */

static void reopen(const char *name, const char *what)
{
	const struct lsvd_volume_options o = options();
	struct lsvd_stats st = LSVD_STATS_INIT;
	double before = resident();
	struct step s = begin();
	struct lsvd_volume *v = opened(name, &o);
	char text[96];

	(void)snprintf(text, sizeof text, "open %s", what); /* fits */
	end(text, s);
	must(lsvd_volume_sync(v, UINT32_MAX), "sync");
	must(lsvd_volume_stats(v, &st), "stats");
	(void)snprintf(text, sizeof text, "open %s, memory at rest", what); /* fits */
	result(text, (resident() - before) / (1 << 20), "MiB");
	(void)snprintf(text, sizeof text, "open %s, map fetched", what); /* fits */
	result(text, (double)st.map_get_bytes / (1 << 20), "MiB");
	s = begin();
	must(lsvd_volume_close(v, UINT32_MAX), "close");
	(void)snprintf(text, sizeof text, "close of that"); /* fits */
	end(text, s);
}

/* Bytes that are not holes. All of the map passes by; what stays is what map_memory allows. */
static uint64_t mapped_bytes(struct lsvd_volume *v)
{
	const uint64_t bytes = (uint64_t)BLOCK << BITS;
	static struct lsvd_status_extent e[4096];
	uint64_t mapped = 0;
	int n = 1;

	for (uint64_t off = 0; off < bytes && n > 0;) {
		n = lsvd_volume_block_status(v, off, bytes - off, e, 4096);
		must(n, "block status");
		for (int i = 0; i < n; i++) {
			off += e[i].len;
			if (!(e[i].flags & LSVD_STATUS_HOLE))
				mapped += e[i].len;
		}
	}
	return mapped;
}

static void must_be_whole(struct lsvd_volume *v)
{
	const uint64_t mapped = mapped_bytes(v);

	if (mapped == extents * BLOCK)
		return;
	(void)fprintf(stderr, "bench_large: %" PRIu64 " bytes of %" PRIu64 " are mapped\n", mapped,
		      extents * BLOCK);
	exit(1);
}

static void walk(void)
{
	const struct lsvd_volume_options o = options();
	double before = resident();
	struct lsvd_volume *v = opened(NAME, &o);
	struct step s = begin();

	must_be_whole(v);
	end("status of all of it", s);
	result("status of all of it, memory after it", (resident() - before) / (1 << 20), "MiB");
	must(lsvd_volume_close(v, UINT32_MAX), "close");
}

static void trim(void)
{
	const struct lsvd_volume_options o = options();
	struct lsvd_volume *v = opened(NAME, &o);
	struct step s = begin();

	must(lsvd_volume_trim(v, 0, (uint64_t)BLOCK << BITS, 0), "trim");
	end("all of it trimmed", s);
	must(lsvd_volume_close(v, UINT32_MAX), "close");
	end("all of it trimmed, stored and closed", s);
}

/* With all stored before, so that it is the going back that is measured. */
static void go_back(struct lsvd_volume *v, const char *after)
{
	struct step s;
	char text[96];

	must(lsvd_volume_sync(v, UINT32_MAX), "sync");
	s = begin();
	must(lsvd_snapshot_rollback(v, "start", UINT32_MAX), "rollback");
	(void)snprintf(text, sizeof text, "rollback after %s", after); /* fits */
	end(text, s);
}

static void rollbacks(void)
{
	static struct batch b = { .lock = PTHREAD_MUTEX_INITIALIZER,
				  .over = PTHREAD_COND_INITIALIZER };
	const struct lsvd_volume_options o = options();
	struct lsvd_volume *v = opened(NAME, &o);

	must(lsvd_snapshot_create(v, "start", UINT32_MAX, NULL), "snapshot");
	go_back(v, "nothing");
	for (uint64_t i = 0; i < extents / 100; i += BATCH)
		write_batch(v, &b, extents + i, BATCH);
	go_back(v, "a hundredth more");
	must(lsvd_volume_trim(v, 0, (uint64_t)BLOCK << BITS, 0), "trim");
	go_back(v, "all was trimmed");
	must_be_whole(v);
	must(lsvd_snapshot_delete(v, "start", UINT32_MAX), "snapshot");
	must(lsvd_volume_close(v, UINT32_MAX), "close");
}

static void lose_cache(void)
{
	char command[1024];

	(void)snprintf(command, sizeof command, "rm -rf '%s'/*", dir); /* fits */
	if (system(command) != 0)
		die(dir);
}

static void snapshots(void)
{
	const struct lsvd_volume_options o = options();
	struct lsvd_volume *v = opened(NAME, &o);
	struct step s = begin();

	must(lsvd_snapshot_create(v, "first", UINT32_MAX, NULL), "snapshot");
	end("snapshot made", s);
	must(lsvd_snapshot_create(v, "second", UINT32_MAX, NULL), "snapshot");
	s = begin();
	must(lsvd_snapshot_delete(v, "first", UINT32_MAX), "snapshot");
	end("snapshot deleted", s);
	must(lsvd_volume_close(v, UINT32_MAX), "close");
	s = begin();
	must(lsvd_volume_clone(store, NAME, "second", "clone", &o, NULL), "clone");
	end("clone made", s);
	reopen("clone", "of the clone");
	s = begin();
	must(lsvd_volume_delete(store, "clone"), "delete");
	end("clone deleted", s);
}

static void deletion(void)
{
	struct step s = begin();

	must(lsvd_volume_delete(store, NAME), "delete");
	end("volume deleted", s);
}

/* Of chance; or, to be small when it is stored, each block full of a number. */
static void make_pool(bool small)
{
	uint64_t s = 88172645463325252u;

	pool = malloc(1024 * BLOCK);
	if (!pool)
		die("memory");
	for (size_t i = 0; i < 1024 * BLOCK / 8; i++) {
		uint64_t word = small ? 1 + i / (BLOCK / 8) : chance(&s);

		memcpy(pool + 8 * i, &word, 8);
	}
}

static void open_store(const char *kept)
{
	char text[1024];

	if (!kept) {
		must(store_null_open_maps(&store), "store");
		return;
	}
	(void)snprintf(text, sizeof text, "dir:%s", kept); /* cut: another directory, or none */
	must(lsvd_store_open(&store, text, NULL), kept);
}

static void measure(void)
{
	reopen(NAME, "with its cache");
	lose_cache();
	reopen(NAME, "without");
	walk();
	snapshots();
	rollbacks();
	trim();
	deletion();
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "json", no_argument, NULL, 'j' }, { "quick", no_argument, NULL, 'q' },
		{ "extents", required_argument, NULL, 'e' },
		{ "dir", required_argument, NULL, 'd' },
		{ "store", required_argument, NULL, 's' }, { NULL, 0, NULL, 0 } };
	const char *parent = ".", *kept = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'j')
			json = true;
		else if (c == 'q')
			extents = 20000, log_bytes = 16u << 20;
		else if (c == 'e')
			extents = strtoull(optarg, NULL, 10);
		else if (c == 'd')
			parent = optarg;
		else if (c == 's')
			kept = optarg;
		else
			return 2;
	}
	if (snprintf(dir, sizeof dir, "%s/bench-large-%d", parent,
		     (int)getpid()) >= (int)sizeof dir ||
	    mkdir(dir, 0700) < 0)
		die(parent);
	make_pool(kept);
	open_store(kept);
	fill();
	if (!kept)
		measure();
	lsvd_store_close(store);
	lose_cache();
	if (rmdir(dir) < 0)
		die(dir);
	free(pool);
	results_end();
	return 0;
}
