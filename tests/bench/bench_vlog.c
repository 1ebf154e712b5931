/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_vlog.c - the value log: putting and committing, getting, scanning, collecting (N14).
 *
 *   bench_vlog [--json] [--quick] [--dir DIRECTORY] [--rounds N] [--size BYTES]
 *
 * Numbers, not pass or fail. For values of 128 bytes to 1 MiB that cannot be compressed, in a
 * directory store with the page cache warm, and beside it in the same run what the file system
 * alone does with as many bytes: one file, written and synced; read by one pread(2) at random
 * places. Every get of ours verifies the record's checksum; the bare pread verifies nothing.
 *
 * Turns: each figure is the median of as many rounds, ours and the bare one taken one after the
 * other.
 */
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lsvd/lsvd.h>

#include "bench.h"

#define MIB (UINT64_C(1) << 20)
#define ROUNDS_MAX 15
#define THREADS_MAX 4
#define KEY_BYTES 12u

static bool quick;
static unsigned rounds = 3;
static char base[500];

/* One size of values. */
struct set {
	size_t len;
	size_t count;
	struct lsvd_store *store;
	struct lsvd_vlog *log;
	struct lsvd_vlog_cache *cache;
	struct lsvd_vlog_handle *at;
	uint8_t *value;
	int fd;                      /* the bare file: the same values, one after the other */
};

static void fill(void *buf, size_t len, uint64_t seed)
{
	uint64_t s = seed * 2654435761u + 88172645463325252u;
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i % 8 ? s >> (i % 8 * 8) : chance(&s));
}

/* In the order of the numbers. */
static void key_of(char key[KEY_BYTES + 1], size_t i)
{
	(void)snprintf(key, KEY_BYTES + 1, "%012u", (unsigned)i);
}

static void name_of(char name[80], const struct set *s, const char *what)
{
	if (s->len >= 1024)
		(void)snprintf(name, 80, "%zu KiB: %s", s->len >> 10, what);
	else
		(void)snprintf(name, 80, "%zu B: %s", s->len, what);
}

static void show(const struct set *s, const char *what, double value, const char *unit)
{
	char name[80];

	name_of(name, s, what);
	result(name, value, unit);
}

static struct lsvd_vlog_stats stats_of(const struct set *s)
{
	struct lsvd_vlog_stats st = { .size = sizeof st };

	must(lsvd_vlog_stats(s->log, &st), "stats");
	return st;
}

/* Reads that this process has asked the kernel for. */
static uint64_t read_calls(void)
{
	FILE *f = fopen("/proc/self/io", "re");
	unsigned long long n = 0;
	char line[100];

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "syscr: %llu", &n) == 1)
			break;
	if (f)
		(void)fclose(f); /* it was only read */
	return n;
}

static void open_log(struct set *s, uint64_t cache_bytes)
{
	struct lsvd_vlog_options o = LSVD_VLOG_OPTIONS_INIT;

	if (cache_bytes)
		must(lsvd_vlog_cache_new(&s->cache, cache_bytes), "cache");
	o.cache = s->cache;
	o.flags = LSVD_VLOG_CREATE;
	must(lsvd_vlog_open(&s->log, s->store, "bench", &o), "open");
}

static void close_log(struct set *s)
{
	must(lsvd_vlog_close(s->log), "close");
	s->log = NULL;
	lsvd_vlog_cache_free(s->cache);
	s->cache = NULL;
}

/* -------------------------------------------------------------------------------------- writing */

static double put_all(struct set *s)
{
	struct lsvd_vlog_writer *w;
	struct lsvd_vlog_pin *pin;
	double begun = now();
	char key[KEY_BYTES + 1];

	must(lsvd_vlog_writer_open(s->log, &w), "writer");
	for (size_t i = 0; i < s->count; i++) {
		key_of(key, i);
		memcpy(s->value, &i, sizeof i); /* all differ */
		must(lsvd_vlog_put(w, key, KEY_BYTES, s->value, s->len, &s->at[i]), "put");
	}
	must(lsvd_vlog_commit(w, &pin), "commit");
	lsvd_vlog_pin_release(pin);
	return now() - begun;
}

static double write_bare(struct set *s)
{
	double begun = now();

	if (ftruncate(s->fd, 0) < 0)
		die("bare file");
	for (size_t i = 0; i < s->count; i++)
		if (pwrite(s->fd, s->value, s->len, (off_t)(i * s->len)) != (ssize_t)s->len)
			die("bare file");
	if (fsync(s->fd) < 0)
		die("bare file");
	return now() - begun;
}

static void bench_put(struct set *s)
{
	double ours[ROUNDS_MAX], bare[ROUNDS_MAX], bytes = (double)(s->count * s->len);
	struct lsvd_vlog_stats st;

	for (unsigned r = 0; r < rounds; r++) {
		must(lsvd_vlog_clear(s->log), "clear");
		ours[r] = bytes / put_all(s) / 1e6;
		bare[r] = bytes / write_bare(s) / 1e6;
	}
	show(s, "put and commit", median(ours, rounds), "MB/s");
	show(s, "write and sync of a bare file", median(bare, rounds), "MB/s");
	show(s, "put and commit / bare file", median(ours, rounds) / median(bare, rounds), "");
	st = stats_of(s);
	show(s, "bytes written for each of values",
	     (double)(st.segment_put_bytes + st.note_put_bytes + st.checkpoint_bytes) /
		     (double)st.put_bytes, "");
}

/* -------------------------------------------------------------------------------------- reading */

struct reader {
	struct set *s;
	uint64_t seed;
	size_t gets;
	bool bare;
	pthread_t thread;
};

static void get_bare(struct set *s, size_t i, uint8_t *buf)
{
	if (pread(s->fd, buf, s->len, (off_t)(i * s->len)) != (ssize_t)s->len)
		die("bare file");
}

static void get_ours(struct set *s, size_t i)
{
	struct lsvd_vlog_value *v;
	size_t id;

	must(lsvd_vlog_get(s->log, &s->at[i], &v), "get");
	memcpy(&id, lsvd_vlog_value_data(v), sizeof id);
	if (lsvd_vlog_value_size(v) != s->len || id != i)
		die("another value was got");
	lsvd_vlog_value_unref(v);
}

static void *get_some(void *ctx)
{
	struct reader *r = ctx;
	uint8_t *buf = malloc(r->s->len);

	if (!buf)
		die("memory");
	for (size_t n = 0; n < r->gets; n++) {
		size_t i = (size_t)(chance(&r->seed) % r->s->count);

		if (r->bare)
			get_bare(r->s, i, buf);
		else
			get_ours(r->s, i);
	}
	free(buf);
	return NULL;
}

/* Gets a second, by so many threads. */
static double get_rate(struct set *s, unsigned threads, size_t gets, bool bare)
{
	struct reader r[THREADS_MAX];
	double begun = now();

	for (unsigned i = 0; i < threads; i++) {
		r[i] = (struct reader){ .s = s, .seed = i + 7, .gets = gets, .bare = bare };
		if (pthread_create(&r[i].thread, NULL, get_some, &r[i]) != 0)
			die("thread");
	}
	for (unsigned i = 0; i < threads; i++)
		(void)pthread_join(r[i].thread, NULL);
	return (double)(gets * threads) / (now() - begun);
}

static void bench_get(struct set *s, unsigned threads, size_t gets)
{
	double ours[ROUNDS_MAX], bare[ROUNDS_MAX], cpu = 0, begun;
	struct lsvd_vlog_stats before = stats_of(s), after;
	uint64_t calls, asked = 0;
	char what[80];

	for (unsigned r = 0; r < rounds; r++) {
		begun = cpu_now();
		calls = read_calls();
		ours[r] = get_rate(s, threads, gets, false);
		asked += read_calls() - calls;
		cpu += cpu_now() - begun;
		bare[r] = get_rate(s, threads, gets, true);
	}
	after = stats_of(s);
	(void)snprintf(what, sizeof what, "random get, %u threads%s", threads,
		       s->cache ? ", cache" : "");
	show(s, what, median(ours, rounds), "gets/s");
	if (s->cache) {
		show(s, "CPU for a get, cache", cpu * 1e6 / (double)(gets * rounds), "us");
		return;
	}
	(void)snprintf(what, sizeof what, "random pread of a bare file, %u threads", threads);
	show(s, what, median(bare, rounds), "reads/s");
	(void)snprintf(what, sizeof what, "get / bare pread, %u threads", threads);
	show(s, what, median(ours, rounds) / median(bare, rounds), "");
	if (threads > 1) {
		(void)snprintf(what, sizeof what, "CPU for a get, %u threads", threads);
		show(s, what, cpu * 1e6 / (double)(gets * rounds * threads), "us");
		return;
	}
	show(s, "CPU for a get", cpu * 1e6 / (double)(gets * rounds), "us");
	show(s, "reads asked of the kernel for a get", (double)asked / (double)(gets * rounds), "");
	show(s, "bytes read for each of values",
	     (double)(after.get_request_bytes - before.get_request_bytes) /
		     (double)(after.get_bytes - before.get_bytes), "");
}

static void bench_scan(struct set *s)
{
	double rate[ROUNDS_MAX];

	for (unsigned r = 0; r < rounds; r++) {
		struct lsvd_vlog_iter *it;
		struct lsvd_vlog_item item;
		double begun = now();
		size_t n = 0;
		int more;

		must(lsvd_vlog_iter_open(s->log, NULL, &it), "scan");
		while ((more = lsvd_vlog_iter_next(it, &item)) > 0)
			n += item.value.size;
		must(more, "scan");
		lsvd_vlog_iter_close(it);
		if (n != s->count * s->len)
			die("the scan has not seen all");
		rate[r] = (double)n / (now() - begun) / 1e6;
	}
	show(s, "scan in order of keys", median(rate, rounds), "MB/s");
}

/* ----------------------------------------------------------------------------------- collecting */

/* Every second key has been deleted. */
static int is_live(void *ctx, struct lsvd_vlog_query *q, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++)
		q[i].live = (((const char *)q[i].key.data)[KEY_BYTES - 1] - '0') % 2;
	return 0;
}

static int relocate(void *ctx, const struct lsvd_vlog_move *m, size_t n)
{
	(void)m;
	*(uint64_t *)ctx += n;
	return 0;
}

static int finish(void *ctx, uint64_t *ret_applied)
{
	*ret_applied = *(uint64_t *)ctx;
	*(uint64_t *)ctx = 0;
	return 0;
}

static void bench_gc(struct set *s)
{
	uint64_t moved = 0;
	struct lsvd_vlog_index index = { .size = sizeof index, .ctx = &moved, .is_live = is_live,
					 .relocate = relocate, .finish = finish };
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;
	double begun;

	for (size_t i = 0; i < s->count; i += 2)
		must(lsvd_vlog_note_stale(s->log, &s->at[i], s->len), "note");
	begun = now();
	must(lsvd_vlog_rollover(s->log, NULL, 0, &index, NULL, &r), "gc");
	begun = now() - begun;
	if (r.moved_items != s->count / 2)
		die("gc has not moved half of all");
	show(s, "collecting segments of which half is stale",
	     (double)(s->count * s->len) / begun / 1e6, "MB/s");
}

/* ----------------------------------------------------------------------------------------- main */

static void bench_size(size_t len, uint64_t bytes)
{
	struct lsvd_store_options o = LSVD_STORE_OPTIONS_INIT;
	struct set s = { .len = len, .count = (size_t)(bytes / len) & ~(size_t)1 };
	size_t gets = quick ? 200 : len <= 4096 ? 100000 : (size_t)(512 * MIB / len);
	char path[600], url[700], command[800];

	(void)snprintf(path, sizeof path, "%s/bench-vlog-XXXXXX", base);
	if (!mkdtemp(path))
		die(path);
	(void)snprintf(url, sizeof url, "dir:%s/store", path);
	o.flags = LSVD_STORE_CREATE;
	must(lsvd_store_open(&s.store, url, &o), "store");
	(void)snprintf(command, sizeof command, "%s/bare", path);
	s.fd = open(command, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	s.at = malloc(s.count * sizeof *s.at);
	s.value = malloc(len);
	if (s.fd < 0 || !s.at || !s.value)
		die("memory");
	fill(s.value, len, len);
	open_log(&s, 0);
	bench_put(&s);
	for (unsigned threads = 1; threads <= THREADS_MAX; threads *= 2)
		bench_get(&s, threads, gets);
	bench_scan(&s);
	close_log(&s);
	open_log(&s, 64 * MIB);
	bench_get(&s, 1, gets);
	bench_gc(&s);
	close_log(&s);
	lsvd_store_close(s.store);
	(void)close(s.fd); /* nothing of it is needed */
	free(s.at);
	free(s.value);
	(void)snprintf(command, sizeof command, "rm -rf '%s'", path);
	if (system(command) != 0)
		die("rm");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "quick", no_argument, NULL, 'q' },
		{ "dir", required_argument, NULL, 'd' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "size", required_argument, NULL, 's' },
		{ 0 },
	};
	size_t only = 0;
	int c;

	(void)snprintf(base, sizeof base, "%s", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'j')
			json = true;
		else if (c == 'q')
			quick = true;
		else if (c == 'd')
			(void)snprintf(base, sizeof base, "%s", optarg);
		else if (c == 'r')
			rounds = (unsigned)atoi(optarg);
		else if (c == 's')
			only = (size_t)atoi(optarg);
		else
			return 2;
	}
	if (!rounds || rounds > ROUNDS_MAX)
		return 2;
	for (unsigned i = 0; i < 5; i++) {
		size_t len = ((const size_t[]){ 128, 1024, 4096, 65536, 1u << 20 })[i];

		if (!only || only == len)
			bench_size(len, quick ? 4 * MIB : len == 128 ? 64 * MIB : 256 * MIB);
	}
	results_end();
	return 0;
}
