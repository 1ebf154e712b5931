/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor_store.c - how long the store takes, and how much it takes at once.
 *
 * Objects have names of their own, probe/doctor-<random>-<number>; they are removed
 * by these names, many at once, so that nothing depends on a listing. Bodies are random, so that
 * nothing on the way can compress them, and the same for all, so that little memory is needed.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "admin/doctor.h"
#include "admin/long.h"

#define OBJECTS_MAX   4000u
#define SMALL_SAMPLES 50u
#define LARGE_SAMPLES 6u
#define LATENCY_MS    5000.0 /* at most so long for each kind of request */
#define LEVEL_MS      2000.0 /* and for each level of parallelism */
#define PARALLEL_MAX  16u

struct bench {
	struct doctor *d;
	char dir[64];
	uint8_t *body;
	pthread_mutex_t lock;
	/* protected by lock */
	unsigned count; /* objects 0 … count - 1 may be there */
	int err;
	char error[512];
};

double doctor_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

void doctor_summarize(struct doctor_latency *l, double *ms, unsigned n)
{
	l->samples = n;
	if (!n)
		return;
	qsort(ms, n, sizeof *ms, compare);
	l->median_ms = ms[n / 2];
	l->p99_ms = ms[(n * 99 - 1) / 100];
}

/* ---------------------------------------------------------------------------------- requests */

static void note_failure(struct bench *b, int err)
{
	pthread_mutex_lock(&b->lock);
	if (!b->err) {
		b->err = err;
		(void)snprintf(b->error, sizeof b->error, "%s", lsvd_last_error()); /* is as long */
	}
	pthread_mutex_unlock(&b->lock);
}

static bool must_end(struct bench *b)
{
	bool end;

	pthread_mutex_lock(&b->lock);
	end = b->err || admin_stopped();
	pthread_mutex_unlock(&b->lock);
	return end;
}

/* A new name; false if there are enough. */
static bool take_number(struct bench *b, unsigned *ret)
{
	bool room;

	pthread_mutex_lock(&b->lock);
	room = b->count < OBJECTS_MAX;
	if (room)
		*ret = b->count++;
	pthread_mutex_unlock(&b->lock);
	return room;
}

static void name_object(const struct bench *b, char key[LSVD_KEY_MAX + 1], unsigned number)
{
	(void)snprintf(key, LSVD_KEY_MAX + 1, "%s%u", b->dir, number); /* fits */
}

/* An answer may be lost; then the name is taken by this very object. */
static int put(struct bench *b, unsigned number, size_t bytes)
{
	struct iovec iov = {b->body, bytes};
	char key[LSVD_KEY_MAX + 1];
	int err;

	name_object(b, key, number);
	err = lsvd_store_put_if_absent(b->d->store, key, &iov, 1);
	for (unsigned i = 0; i < 3 && err == LSVD_E_UNAVAILABLE; i++) {
		err = lsvd_store_put_if_absent(b->d->store, key, &iov, 1);
		err = err == -EEXIST ? 0 : err;
	}
	return err;
}

static int get(struct bench *b, unsigned number, size_t bytes, uint8_t *buf)
{
	char key[LSVD_KEY_MAX + 1];
	size_t len = 0;
	int err = LSVD_E_UNAVAILABLE;

	name_object(b, key, number);
	for (unsigned i = 0; i < 4 && err == LSVD_E_UNAVAILABLE; i++)
		err = lsvd_store_get(b->d->store, key, 0, buf, bytes, &len);
	if (err == 0 && (len != bytes || memcmp(buf, b->body, bytes) != 0))
		err = lsvd_store_fail(LSVD_E_CORRUPT, "%s: %zu bytes are not what was put", key,
				      len);
	return err;
}

static int head(struct bench *b, unsigned number)
{
	char key[LSVD_KEY_MAX + 1];
	uint64_t bytes;
	int err = LSVD_E_UNAVAILABLE;

	name_object(b, key, number);
	for (unsigned i = 0; i < 4 && err == LSVD_E_UNAVAILABLE; i++)
		err = lsvd_store_head(b->d->store, key, &bytes);
	return err;
}

/* ----------------------------------------------------------------------------------- latency */

static int timed(struct bench *b, const char *operation, unsigned number, size_t bytes,
		 uint8_t *buf)
{
	if (*operation == 'p')
		return put(b, number, bytes);
	return *operation == 'g' ? get(b, number, bytes, buf) : head(b, number);
}

/* `first`: the objects to read, made by the PUTs before. */
static void measure(struct bench *b, struct doctor_latency *l, const char *operation, size_t bytes,
		    unsigned most, unsigned first, uint8_t *buf)
{
	double ms[SMALL_SAMPLES], end = doctor_now_ms() + LATENCY_MS;
	unsigned n = 0;

	l->operation = operation;
	l->bytes = bytes;
	while (n < most && !must_end(b) && (n == 0 || doctor_now_ms() < end)) {
		unsigned number = first + n;
		double start;
		int err;

		if (*operation == 'p' && !take_number(b, &number))
			break;
		start = doctor_now_ms();
		err = timed(b, operation, number, bytes, buf);
		if (err < 0) {
			note_failure(b, err);
			break;
		}
		ms[n++] = doctor_now_ms() - start;
	}
	doctor_summarize(l, ms, n);
}

static void measure_latency(struct bench *b, uint8_t *buf)
{
	struct doctor_latency *l = b->d->latency;

	doctor_step("latency of small objects");
	measure(b, &l[0], "put", DOCTOR_SMALL, SMALL_SAMPLES, 0, buf);
	measure(b, &l[1], "get", DOCTOR_SMALL, l[0].samples, 0, buf);
	measure(b, &l[2], "head", DOCTOR_SMALL, l[0].samples, 0, buf);
	doctor_step("latency of large objects");
	measure(b, &l[3], "put", DOCTOR_LARGE, LARGE_SAMPLES, 0, buf);
	measure(b, &l[4], "get", DOCTOR_LARGE, l[3].samples, l[0].samples, buf);
}

/* -------------------------------------------------------------------------------- throughput */

struct load {
	struct bench *bench;
	bool up;
	double end;
	unsigned first, count; /* down: the objects there are */
	pthread_t thread;
	uint64_t bytes;
};

static void run_up(struct load *l)
{
	unsigned number;
	int err = 0;

	while (!err && !must_end(l->bench) && take_number(l->bench, &number)) {
		err = put(l->bench, number, DOCTOR_LARGE);
		if (err == 0)
			l->bytes += DOCTOR_LARGE;
		if (doctor_now_ms() >= l->end)
			break;
	}
	if (err < 0)
		note_failure(l->bench, err);
}

static void run_down(struct load *l)
{
	uint8_t *buf = malloc(DOCTOR_LARGE);
	int err = buf ? 0 : lsvd_store_fail(-ENOMEM, "no memory for an object of %u bytes",
					    DOCTOR_LARGE);

	for (unsigned i = 0; !err && !must_end(l->bench); i++) {
		err = get(l->bench, l->first + i % l->count, DOCTOR_LARGE, buf);
		if (err == 0)
			l->bytes += DOCTOR_LARGE;
		if (doctor_now_ms() >= l->end)
			break;
	}
	if (err < 0)
		note_failure(l->bench, err);
	free(buf);
}

static void *run_load(void *arg)
{
	struct load *l = arg;

	if (l->up)
		run_up(l);
	else
		run_down(l);
	return NULL;
}

/* Bytes a second, of `parallel` threads. */
static double run_level(struct bench *b, bool up, unsigned parallel, unsigned first, unsigned count)
{
	struct load loads[PARALLEL_MAX];
	double start = doctor_now_ms();
	uint64_t bytes = 0;
	unsigned n = 0;

	for (; n < parallel; n++) {
		loads[n] = (struct load){.bench = b, .up = up, .end = start + LEVEL_MS,
					 .first = first + (count ? n % count : 0),
					 .count = count ? count - n % count : 0};
		if (pthread_create(&loads[n].thread, NULL, run_load, &loads[n]) != 0)
			break;
	}
	for (unsigned i = 0; i < n; i++) {
		(void)pthread_join(loads[i].thread, NULL); /* it is one */
		bytes += loads[i].bytes;
	}
	return must_end(b) ? 0 : (double)bytes / (doctor_now_ms() - start) * 1e3;
}

static void measure_throughput(struct bench *b)
{
	static const unsigned levels[DOCTOR_LEVELS] = {1, 4, PARALLEL_MAX};

	for (unsigned i = 0; i < DOCTOR_LEVELS && !must_end(b); i++) {
		struct doctor_throughput *t = &b->d->throughput[i];
		unsigned first = b->count;
		char what[64];

		(void)snprintf(what, sizeof what, "throughput, %u at once", levels[i]); /* fits */
		doctor_step(what);
		t->parallel = levels[i];
		t->up = run_level(b, true, levels[i], 0, 0);
		if (b->count > first && !must_end(b))
			t->down = run_level(b, false, levels[i], first, b->count - first);
	}
}

/* ---------------------------------------------------------------------------------- removing */

/* 1000 at a time; all of them must be gone. */
static int remove_some(struct bench *b, unsigned first, unsigned n)
{
	static char names[1000][96];
	const char *keys[1000];
	int err = LSVD_E_UNAVAILABLE;

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(names[i], sizeof names[i], "%s%u", b->dir, first + i); /* fits */
		keys[i] = names[i];
	}
	for (unsigned i = 0; i < 5 && err == LSVD_E_UNAVAILABLE; i++)
		err = lsvd_store_remove_many(b->d->store, keys, n);
	return err;
}

static void remove_all(struct bench *b)
{
	uint64_t bytes;
	int err = 0;

	doctor_step("removing what was put");
	for (unsigned first = 0; first < b->count && !err; first += 1000)
		err = remove_some(b, first, b->count - first < 1000 ? b->count - first : 1000);
	if (err < 0) {
		note_failure(b, err);
		b->d->remove_many = LSVD_PROBE_BAD;
	} else if (b->count) {
		char key[LSVD_KEY_MAX + 1];

		name_object(b, key, b->count - 1);
		err = lsvd_store_head(b->d->store, key, &bytes);
		b->d->remove_many = err == -ENOENT ? LSVD_PROBE_GOOD : LSVD_PROBE_BAD;
	}
}

/* ----------------------------------------------------------------------------------- together */

static int fill(uint8_t *p, size_t len)
{
	for (size_t n = 0; n < len;) {
		ssize_t got = getrandom(p + n, len - n, 0);

		if (got < 0 && errno != EINTR)
			return lsvd_store_fail(-errno, "getrandom: %s", strerrordesc_np(errno));
		n += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

static int prepare(struct bench *b)
{
	uint64_t name[2];
	int err;

	b->body = malloc(DOCTOR_LARGE);
	if (!b->body)
		return lsvd_store_fail(-ENOMEM, "no memory for an object of %u bytes",
				       DOCTOR_LARGE);
	err = fill(b->body, DOCTOR_LARGE);
	memcpy(name, b->body, sizeof name);
	(void)snprintf(b->dir, sizeof b->dir, "probe/doctor-%016" PRIx64 "%016" PRIx64 "-", name[0],
		       name[1]); /* fits */
	return err;
}

void doctor_measure_store(struct doctor *d)
{
	struct bench b = {.d = d, .lock = PTHREAD_MUTEX_INITIALIZER};
	uint8_t *buf = malloc(DOCTOR_LARGE);
	int err = prepare(&b);

	if (!buf && !err)
		err = lsvd_store_fail(-ENOMEM, "no memory for an object of %u bytes", DOCTOR_LARGE);
	if (err < 0) {
		note_failure(&b, err);
	} else {
		measure_latency(&b, buf);
		measure_throughput(&b);
		remove_all(&b);
	}
	d->measure_err = b.err;
	memcpy(d->measure_error, b.error, sizeof d->measure_error);
	free(buf);
	free(b.body);
	(void)pthread_mutex_destroy(&b.lock); /* nobody has it */
}
