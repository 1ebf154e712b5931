/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_engine.c - the engine alone, through its public interface: no server, no socket.
 *
 *   bench_engine [--json] [--quick] [--dir DIRECTORY] [--only PART]
 *
 * Numbers, not pass or fail. DIRECTORY (default: the current one) is on the disk to be measured and
 * gets a folder that is removed at the end. Data cannot be compressed; unless said otherwise the
 * store keeps nothing (store_null), so that only the engine and the local log are seen. Parts:
 *
 *   batch    4 KiB random writes, one thread, 32 submitted together, the process on one CPU; with
 *            the log on DIRECTORY and on tmpfs (there, no disk limits it)
 *   flush    sequential 4 KiB write + flush, against pwrite + fdatasync of a bare file of the same
 *            disk, in turns; and 16 writers against one
 *   bytes    bytes written to the local log for each byte of the user; objects stored per GiB
 *   reopen   time to open after SIGKILL with everything since the beginning to be read again
 */
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lsvd/lsvd.h>

#include "bench.h"
#include "store_null.h"

#define BLOCK 4096u
#define POOL_BYTES (64u << 20)
#define BATCH_MAX 64u
#define ROUNDS_MAX 9
#define WRITERS 16
#define GIB (UINT64_C(1) << 30)

static bool quick;
static const char *only;
static char base_dir[512];
static uint8_t *pool;
static unsigned dirs;

/* ------------------------------------------------------------------------------- small things */

static void make_pool(void)
{
	uint64_t s = 88172645463325252u, *p;
	size_t i;

	pool = aligned_alloc(BLOCK, POOL_BYTES);
	if (!pool)
		die("memory");
	p = (uint64_t *)(void *)pool;
	for (i = 0; i < POOL_BYTES / sizeof(*p); i++)
		p[i] = chance(&s);
}

static const void *some_data(uint64_t *s, size_t len)
{
	return pool + chance(s) % ((POOL_BYTES - len) / 512) * 512;
}

/* ------------------------------------------------------------------------------------ volumes */

#define PATH_ROOM 700

struct disk {
	struct lsvd_store *store;
	struct lsvd_volume *volume;
	char dir[PATH_ROOM];
};

static void new_dir(char dir[PATH_ROOM], const char *parent)
{
	(void)snprintf(dir, PATH_ROOM, "%s/bench-engine-%d-%u", parent, (int)getpid(), dirs++);
	if (mkdir(dir, 0700) < 0)
		die(dir);
}

static void put_path(char path[PATH_ROOM], const char *dir, const char *name)
{
	if (snprintf(path, PATH_ROOM, "%s/%s", dir, name) >= PATH_ROOM)
		die("the path of --dir is too long");
}

static void remove_dir(const char *dir)
{
	char command[PATH_ROOM + 16];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command) != 0)
		die(dir);
}

static struct lsvd_volume_options options_of(const struct disk *d)
{
	struct lsvd_volume_options opt = LSVD_VOLUME_OPTIONS_INIT;

	opt.cache_dir = d->dir;
	opt.rcache_bytes = UINT64_MAX;
	opt.lease_check_ms = UINT32_MAX;
	return opt;
}

static void disk_open(struct disk *d, const char *parent, uint64_t bytes)
{
	struct lsvd_volume_options opt;

	new_dir(d->dir, parent);
	opt = options_of(d);
	must(store_null_open(&d->store, 0), "store");
	must(lsvd_volume_create(d->store, "bench", bytes, NULL, NULL), "create");
	must(lsvd_volume_open(&d->volume, d->store, "bench", &opt), "open");
}

static void disk_close(struct disk *d)
{
	must(lsvd_volume_close(d->volume, UINT32_MAX), "close");
	lsvd_store_close(d->store);
	remove_dir(d->dir);
}

static struct lsvd_stats stats_of(const struct disk *d)
{
	struct lsvd_stats st = LSVD_STATS_INIT;

	must(lsvd_volume_stats(d->volume, &st), "stats");
	return st;
}

/* -------------------------------------------------------------------------------- batch, bytes */

struct batch {
	struct lsvd_io io[BATCH_MAX];
	struct iovec iov[BATCH_MAX];
	atomic_uint left;
	pthread_mutex_t lock;
	pthread_cond_t done;
};

static void one_done(struct lsvd_io *io)
{
	struct batch *b = io->user;

	if (io->err < 0)
		die("a write of a batch");
	if (atomic_fetch_sub(&b->left, 1) > 1)
		return;
	(void)pthread_mutex_lock(&b->lock);    /* of the default kind: cannot fail */
	(void)pthread_cond_signal(&b->done);
	(void)pthread_mutex_unlock(&b->lock);
}

static void run_batch(struct lsvd_volume *v, struct batch *b, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		b->io[i].next = i + 1 < n ? &b->io[i + 1] : NULL;
	atomic_store(&b->left, n);
	lsvd_volume_submit(v, b->io);
	(void)pthread_mutex_lock(&b->lock);
	while (atomic_load(&b->left) > 0)
		(void)pthread_cond_wait(&b->done, &b->lock);
	(void)pthread_mutex_unlock(&b->lock);
}

/* Writes `total` bytes in batches of n blocks; at random places, or one after the other. */
static double write_batches(struct disk *d, uint64_t total, unsigned n, bool random)
{
	static struct batch b = { .lock = PTHREAD_MUTEX_INITIALIZER,
				  .done = PTHREAD_COND_INITIALIZER };
	uint64_t blocks = lsvd_volume_bytes(d->volume) / BLOCK, s = 2463534242u, at = 0, done;
	double begun = now();
	unsigned i;

	for (done = 0; done < total; done += (uint64_t)n * BLOCK) {
		for (i = 0; i < n; i++) {
			uint64_t block = random ? chance(&s) % blocks : at++ % blocks;

			b.iov[i].iov_base = (void *)(uintptr_t)some_data(&s, BLOCK);
			b.iov[i].iov_len = BLOCK;
			b.io[i] = (struct lsvd_io){ .kind = LSVD_IO_WRITE, .off = block * BLOCK,
						    .len = BLOCK, .iov = &b.iov[i], .iovcnt = 1,
						    .done = one_done, .user = &b };
		}
		run_batch(d->volume, &b, n);
	}
	return now() - begun;
}

static void on_one_cpu(void)
{
	cpu_set_t all, one;
	size_t cpu = 0;

	must(sched_getaffinity(0, sizeof(all), &all), "affinity");
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	must(sched_setaffinity(0, sizeof(one), &one), "affinity");
}

static void batch_on(const char *parent, const char *name)
{
	uint64_t total = quick ? GIB / 4 : GIB;
	double v[ROUNDS_MAX], cpu[ROUNDS_MAX];
	char text[80];
	struct disk d;
	int i, rounds = quick ? 1 : 5;

	disk_open(&d, parent, 16 * GIB);
	(void)write_batches(&d, GIB / 8, 32, true);
	for (i = 0; i < rounds; i++) {
		cpu[i] = cpu_now();
		v[i] = (double)(total / BLOCK) / write_batches(&d, total, 32, true);
		cpu[i] = (double)(total / BLOCK) / (cpu_now() - cpu[i]);
	}
	(void)snprintf(text, sizeof(text), "batch: %s", name);
	result(text, median(v, rounds), "writes/s");
	(void)snprintf(text, sizeof(text), "batch: %s, for a second of CPU", name);
	result(text, median(cpu, rounds), "writes");
	disk_close(&d);
}

/* In a child, because threads keep the processor they were started on. */
static void part_batch(void)
{
	int status;
	pid_t child;

	(void)fflush(stdout);
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		on_one_cpu();
		batch_on(base_dir, "log on disk");
		batch_on("/dev/shm", "log on tmpfs");
		exit(0);
	}
	if (waitpid(child, &status, 0) < 0 || status != 0)
		die("the child of batch");
	results += 4;
}

static void bytes_of(const char *name, unsigned n, uint64_t total)
{
	struct lsvd_stats st;
	struct disk d;
	char text[80];

	disk_open(&d, base_dir, 16 * GIB);
	(void)write_batches(&d, total, n, true);
	st = stats_of(&d);
	(void)snprintf(text, sizeof(text), "bytes: log per user byte, %s", name);
	result(text, (double)st.log_bytes / (double)st.write_bytes, "");
	disk_close(&d);
}

static void puts_of(const char *name, bool random, uint64_t blocks_of)
{
	uint64_t total = quick ? GIB / 4 : 2 * GIB;
	struct lsvd_stats st;
	struct disk d;
	char text[80];
	double gib;

	disk_open(&d, base_dir, blocks_of);
	(void)write_batches(&d, total, 64, random);
	must(lsvd_volume_sync(d.volume, UINT32_MAX), "sync");
	st = stats_of(&d);
	gib = (double)total / (double)GIB;
	(void)snprintf(text, sizeof(text), "bytes: data objects per GiB, %s", name);
	result(text, (double)st.data_puts / gib, "PUTs");
	(void)snprintf(text, sizeof(text), "bytes: objects of the map per GiB, %s", name);
	result(text, (double)st.checkpoint_puts / gib, "PUTs");
	(void)snprintf(text, sizeof(text), "bytes: stored per user byte, %s", name);
	result(text, (double)(st.data_put_bytes + st.checkpoint_put_bytes) /
		     (double)st.write_bytes, "");
	disk_close(&d);
}

static void part_bytes(void)
{
	uint64_t total = quick ? GIB / 8 : GIB / 2;

	bytes_of("batches of 256 KiB", 64, total);
	bytes_of("16 x 4 KiB", 16, total);
	bytes_of("4 KiB alone", 1, total / 8);
	puts_of("sequential", false, 8 * GIB);
	puts_of("random in 1 GiB", true, GIB);
}

/* --------------------------------------------------------------------------------------- flush */

static double flushed_writes(struct disk *d, int n, uint64_t *at)
{
	uint64_t s = 7;
	double begun = now();
	int i;

	for (i = 0; i < n; i++, *at += BLOCK) {
		must(lsvd_volume_write(d->volume, some_data(&s, BLOCK), *at % GIB, BLOCK, 0),
		     "write");
		must(lsvd_volume_flush(d->volume), "flush");
	}
	return n / (now() - begun);
}

static double bare_writes(int fd, int n, uint64_t *at)
{
	uint64_t s = 7;
	double begun = now();
	int i;

	for (i = 0; i < n; i++, *at += BLOCK)
		if (pwrite(fd, some_data(&s, BLOCK), BLOCK, (off_t)(*at % (GIB / 2))) != BLOCK ||
		    fdatasync(fd) < 0)
			die("bare file");
	return n / (now() - begun);
}

/* As long as the log, and like it written once before it is used. */
static int bare_file(char path[PATH_ROOM + 8], const char *dir)
{
	uint64_t at;
	int fd;

	(void)snprintf(path, PATH_ROOM + 8, "%s/bare", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die(path);
	for (at = 0; at < GIB / 2; at += POOL_BYTES)
		if (pwrite(fd, pool, POOL_BYTES, (off_t)at) != POOL_BYTES)
			die(path);
	if (fsync(fd) < 0)
		die(path);
	return fd;
}

struct writer {
	pthread_t thread;
	struct disk *disk;
	unsigned number;
	uint64_t done;
	atomic_bool *stop;
};

static void *write_and_flush(void *arg)
{
	struct writer *w = arg;
	uint64_t s = w->number + 1;

	while (!atomic_load(w->stop)) {
		uint64_t at = (w->number * (GIB / WRITERS)) + chance(&s) % 4096 * BLOCK;

		must(lsvd_volume_write(w->disk->volume, some_data(&s, BLOCK), at, BLOCK, 0),
		     "write");
		must(lsvd_volume_flush(w->disk->volume), "flush");
		w->done++;
	}
	return NULL;
}

/* What some writers did together in a while. */
struct writers_did {
	double rate;     /* pairs of write and flush, a second */
	double shared;   /* pairs for each fdatasync */
	double cpu_us;   /* for each pair */
};

static struct writers_did writers_do(struct disk *d, unsigned n, double seconds)
{
	struct timespec ts = { .tv_sec = (time_t)seconds,
			       .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };
	struct writer w[WRITERS];
	atomic_bool stop = false;
	uint64_t done = 0;
	uint64_t syncs = stats_of(d).log_syncs;
	double begun = now(), cpu = cpu_now();
	unsigned i;

	for (i = 0; i < n; i++) {
		w[i] = (struct writer){ .disk = d, .number = i, .stop = &stop };
		if (pthread_create(&w[i].thread, NULL, write_and_flush, &w[i]) != 0)
			die("thread");
	}
	(void)nanosleep(&ts, NULL); /* the measured time; cut short it is still measured */
	atomic_store(&stop, true);
	for (i = 0; i < n; i++) {
		(void)pthread_join(w[i].thread, NULL); /* it exists and is joined once */
		done += w[i].done;
	}
	syncs = stats_of(d).log_syncs - syncs;
	return (struct writers_did){
		.rate = (double)done / (now() - begun),
		.shared = (double)done / (double)(syncs ? syncs : 1),
		.cpu_us = (cpu_now() - cpu) * 1e6 / (double)(done ? done : 1),
	};
}

/* One writer and many, in turns. */
static void writers_together(struct disk *d, int rounds)
{
	double one[ROUNDS_MAX], many[ROUNDS_MAX], shared[ROUNDS_MAX], cpu[ROUNDS_MAX];
	double alone[ROUNDS_MAX], seconds = quick ? 0.3 : 1;
	struct writers_did did;

	for (int i = 0; i < rounds; i++) {
		did = writers_do(d, 1, seconds);
		one[i] = did.rate;
		alone[i] = did.cpu_us;
		did = writers_do(d, WRITERS, seconds);
		many[i] = did.rate;
		shared[i] = did.shared;
		cpu[i] = did.cpu_us;
	}
	result("flush: 16 writers / 1 writer", median(many, rounds) / median(one, rounds), "x");
	result("flush: 16 writers, pairs for each sync", median(shared, rounds), "");
	result("flush: 16 writers, CPU of a pair", median(cpu, rounds), "us");
	result("flush: 1 writer, CPU of a pair", median(alone, rounds), "us");
}

static void part_flush(void)
{
	int rounds = quick ? 3 : ROUNDS_MAX, n = quick ? 300 : 2000, fd, i;
	double ours[ROUNDS_MAX], bare[ROUNDS_MAX], ratio[ROUNDS_MAX];
	uint64_t at = 0, bare_at = 0, puts;
	struct disk d;
	char path[PATH_ROOM + 8];

	disk_open(&d, base_dir, GIB);
	fd = bare_file(path, d.dir);
	puts = stats_of(&d).data_puts;
	for (i = 0; i < rounds; i++) {
		ours[i] = flushed_writes(&d, n, &at);
		bare[i] = bare_writes(fd, n, &bare_at);
		ratio[i] = ours[i] / bare[i];
	}
	result("flush: write + flush, one writer", median(ours, rounds), "pairs/s");
	result("flush: pwrite + fdatasync, bare file", median(bare, rounds), "pairs/s");
	result("flush: ours / bare", median(ratio, rounds), "x");
	puts = stats_of(&d).data_puts - puts;
	result("flush: objects stored per 1000 flushes",
	       1000.0 * (double)puts / ((double)n * rounds), "PUTs");
	writers_together(&d, rounds);
	(void)close(fd); /* removed next */
	disk_close(&d);
}

/* -------------------------------------------------------------------------------------- reopen */

static void fill_until_killed(const char *dir, const char *url, uint64_t bytes, int out)
{
	struct lsvd_store_options create = LSVD_STORE_OPTIONS_INIT;
	struct disk d = { 0 };
	struct lsvd_volume_options opt;

	create.flags = LSVD_STORE_CREATE;
	put_path(d.dir, dir, "cache");
	opt = options_of(&d);
	opt.log_bytes = quick ? GIB : 4 * GIB;
	opt.checkpoint_segments = 1u << 20;
	must(lsvd_store_open(&d.store, url, &create), "store");
	must(lsvd_volume_create(d.store, "bench", 16 * GIB, NULL, NULL), "create");
	must(lsvd_volume_open(&d.volume, d.store, "bench", &opt), "open");
	(void)write_batches(&d, bytes, 32, true);
	if (write(out, "x", 1) != 1)
		die("pipe");
	for (;;)
		(void)pause(); /* for the parent's SIGKILL */
}

static void report_reopen(const char *what, double seconds, const struct lsvd_stats *st,
			  uint64_t bytes)
{
	char text[80];
	double gib = (double)bytes / (double)GIB;

	(void)snprintf(text, sizeof(text), "reopen: %s", what);
	result(text, seconds, "s");
	(void)snprintf(text, sizeof(text), "reopen: %s, allowed by 0.3 + 0.3 per GiB", what);
	result(text, 0.3 + 0.3 * gib, "s");
	(void)snprintf(text, sizeof(text), "reopen: %s, operations from the log", what);
	result(text, (double)st->replayed_ops, "");
	(void)snprintf(text, sizeof(text), "reopen: %s, segments read", what);
	result(text, (double)st->replayed_segments, "");
}

static void reopen_after(const char *what, uint64_t bytes)
{
	struct disk d = { 0 };
	struct lsvd_volume_options opt;
	struct lsvd_stats st;
	char dir[PATH_ROOM], url[PATH_ROOM + 16], ready;
	int ends[2];
	double begun;
	pid_t child;

	sync(); /* what earlier parts left to the page cache is not this one's to wait for */
	new_dir(dir, base_dir);
	(void)snprintf(url, sizeof(url), "dir:%s/store", dir);
	if (pipe(ends) < 0 || (child = fork()) < 0)
		die("child");
	if (child == 0)
		fill_until_killed(dir, url, bytes, ends[1]);
	(void)close(ends[1]); /* so that the child's end is seen */
	if (read(ends[0], &ready, 1) != 1)
		die("the child that fills the volume");
	(void)close(ends[0]); /* nothing more comes */
	if (kill(child, SIGKILL) < 0 || waitpid(child, NULL, 0) < 0)
		die("kill");
	put_path(d.dir, dir, "cache");
	opt = options_of(&d);
	must(lsvd_store_open(&d.store, url, NULL), "store");
	begun = now();
	must(lsvd_volume_open(&d.volume, d.store, "bench", &opt), "open after the kill");
	begun = now() - begun;
	st = stats_of(&d);
	report_reopen(what, begun, &st, bytes);
	must(lsvd_volume_close(d.volume, 0), "close");
	lsvd_store_close(d.store);
	remove_dir(dir);
}

static void part_reopen(void)
{
	reopen_after("after 64 MiB", GIB / 16);
	if (quick) {
		reopen_after("after 256 MiB", GIB / 4);
		return;
	}
	reopen_after("after 1 GiB", GIB);
	reopen_after("after 2 GiB", 2 * GIB);
}

/* ---------------------------------------------------------------------------------------- main */

static const struct part {
	const char *name;
	void (*run)(void);
} parts[] = {
	/* batch and reopen fork: before any thread of this process has been started */
	{ "batch", part_batch },
	{ "reopen", part_reopen },
	{ "flush", part_flush },
	{ "bytes", part_bytes },
};

static const struct option long_options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "quick", no_argument, NULL, 'q' },
	{ "dir", required_argument, NULL, 'd' },
	{ "only", required_argument, NULL, 'o' },
	{ NULL, 0, NULL, 0 }
};

int main(int argc, char **argv)
{
	size_t i;
	int c;

	(void)strcpy(base_dir, ".");
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		switch (c) {
		case 'j': json = true; break;
		case 'q': quick = true; break;
		case 'd': (void)snprintf(base_dir, sizeof(base_dir), "%s", optarg); break;
		case 'o': only = optarg; break;
		default: return 2;
		}
	make_pool();
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!only || strcmp(only, parts[i].name) == 0)
			parts[i].run();
	results_end();
	return results == 0;
}
