/* SPDX-License-Identifier: BSD-2-Clause */
/* store_fault.c - a store around a store that misbehaves as it is told, and counts. */
#include "store_fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lsvd/error.h>
#include <lsvd/store.h>

#define VERBS 5
#define GARBLED_BYTES 512u

struct rule {
	struct rule *next;
	struct fault_rule r;
	char key[LSVD_KEY_MAX + 1];
	unsigned seen;               /* calls that matched */
	unsigned acted;
};

struct store_fault {
	struct lsvd_store *inner;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* protected by lock */
	struct rule *rules;
	uint64_t chance;             /* state of the random numbers */
	uint64_t calls[VERBS], bytes[VERBS], hits[FAULT_KINDS];
	unsigned in_flight, most;
	unsigned held;
	uint64_t releases;           /* counts up: who waits for a larger one goes on */
};

/* What a call is to suffer; kind FAULT_KINDS: nothing. */
struct fate {
	enum fault_kind kind;
	int err;
	unsigned ms;
	uint64_t chance;             /* which bit, which bytes */
};

static int verb_index(enum fault_verb verb)
{
	return __builtin_ctz((unsigned)verb);
}

static uint64_t next_chance_locked(struct store_fault *f)
{
	uint64_t z = f->chance += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* ---------------------------------------------------------------------------------------- rules */

static bool matches(const struct rule *rule, enum fault_verb verb, const char *key)
{
	return (!rule->r.verbs || rule->r.verbs & verb) && strstr(key, rule->key);
}

static bool acts_locked(struct store_fault *f, struct rule *rule)
{
	rule->seen++;
	if (rule->seen < rule->r.from || (rule->r.times && rule->acted >= rule->r.times))
		return false;
	if (rule->r.permille && next_chance_locked(f) % 1000 >= rule->r.permille)
		return false;
	rule->acted++;
	return true;
}

static struct fate decide_locked(struct store_fault *f, enum fault_verb verb, const char *key)
{
	struct fate fate = { .kind = FAULT_KINDS };

	for (struct rule *rule = f->rules; rule; rule = rule->next) {
		if (!matches(rule, verb, key) || !acts_locked(f, rule))
			continue;
		fate.kind = rule->r.kind;
		fate.err = rule->r.err ? rule->r.err
			   : fate.kind == FAULT_STALE ? -ENOENT : LSVD_E_UNAVAILABLE;
		fate.ms = rule->r.ms;
		fate.chance = next_chance_locked(f);
		f->hits[fate.kind]++;
		break;
	}
	return fate;
}

static void hold_locked(struct store_fault *f)
{
	uint64_t mine = f->releases;

	f->held++;
	pthread_cond_broadcast(&f->changed);
	while (f->releases == mine)
		pthread_cond_wait(&f->changed, &f->lock);
}

static void delay(unsigned ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static struct fate begin(struct store_fault *f, enum fault_verb verb, const char *key)
{
	struct fate fate;

	pthread_mutex_lock(&f->lock);
	f->calls[verb_index(verb)]++;
	f->in_flight++;
	if (f->in_flight > f->most)
		f->most = f->in_flight;
	fate = decide_locked(f, verb, key);
	if (fate.kind == FAULT_HOLD)
		hold_locked(f);
	pthread_mutex_unlock(&f->lock);
	if (fate.kind == FAULT_DELAY)
		delay(fate.ms);
	return fate;
}

static int end(struct store_fault *f, enum fault_verb verb, const char *key, struct fate fate,
	       uint64_t bytes, int err)
{
	pthread_mutex_lock(&f->lock);
	f->in_flight--;
	if (err == 0)
		f->bytes[verb_index(verb)] += bytes;
	pthread_mutex_unlock(&f->lock);
	if (fate.kind == FAULT_LOSE_REPLY)
		return lsvd_store_fail(fate.err, "%s: the reply is lost, on purpose", key);
	return err;
}

static int refuse(struct store_fault *f, enum fault_verb verb, const char *key, struct fate fate)
{
	int err = lsvd_store_fail(fate.err, "%s: refused, on purpose", key);

	return end(f, verb, key, fate, 0, err);
}

/* ----------------------------------------------------------------------------------- operations */

/* One at a time, so that none finds another's. */
static int overwrite(struct store_fault *f, const char *key, const struct iovec *iov, int iovcnt)
{
	int err;

	pthread_mutex_lock(&f->lock);
	err = lsvd_store_remove(f->inner, key);
	if (err == 0)
		err = lsvd_store_put_if_absent(f->inner, key, iov, iovcnt);
	pthread_mutex_unlock(&f->lock);
	return err;
}

static int fault_put(void *ctx, const char *key, const struct iovec *iov, int iovcnt)
{
	struct store_fault *f = ctx;
	struct fate fate = begin(f, FAULT_PUT, key);
	uint64_t bytes = 0;

	if (fate.kind == FAULT_FAIL)
		return refuse(f, FAULT_PUT, key, fate);
	for (int i = 0; i < iovcnt; i++)
		bytes += iov[i].iov_len;
	if (fate.kind == FAULT_OVERWRITE)
		return end(f, FAULT_PUT, key, fate, bytes, overwrite(f, key, iov, iovcnt));
	return end(f, FAULT_PUT, key, fate, bytes,
		   lsvd_store_put_if_absent(f->inner, key, iov, iovcnt));
}

/* Changes what was read; the new length. */
static size_t garble(struct fate fate, unsigned char *p, size_t len)
{
	size_t at, n;

	if (len == 0)
		return 0;
	at = (size_t)(fate.chance % len);
	if (fate.kind == FAULT_TRUNCATE)
		return len / 2;
	if (fate.kind == FAULT_FLIP)
		p[at] ^= (unsigned char)(1u << (fate.chance >> 32) % 8);
	if (fate.kind == FAULT_ZERO) {
		n = len - at < GARBLED_BYTES ? len - at : GARBLED_BYTES;
		memset(p + at, 0, n);
	}
	return len;
}

static int fault_get(void *ctx, const char *key, uint64_t off, void *buf, size_t len,
		     size_t *ret_len)
{
	struct store_fault *f = ctx;
	struct fate fate = begin(f, FAULT_GET, key);
	size_t got = 0;
	int err;

	if (fate.kind == FAULT_FAIL || fate.kind == FAULT_STALE)
		return refuse(f, FAULT_GET, key, fate);
	err = lsvd_store_get(f->inner, key, off, buf, len, &got);
	if (err == 0)
		*ret_len = garble(fate, buf, got);
	return end(f, FAULT_GET, key, fate, got, err);
}

static int fault_head(void *ctx, const char *key, uint64_t *ret_bytes)
{
	struct store_fault *f = ctx;
	struct fate fate = begin(f, FAULT_HEAD, key);

	if (fate.kind == FAULT_FAIL || fate.kind == FAULT_STALE)
		return refuse(f, FAULT_HEAD, key, fate);
	return end(f, FAULT_HEAD, key, fate, 0, lsvd_store_head(f->inner, key, ret_bytes));
}

static int fault_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	struct store_fault *f = ctx;
	struct fate fate = begin(f, FAULT_LIST, prefix);

	if (fate.kind == FAULT_FAIL)
		return refuse(f, FAULT_LIST, prefix, fate);
	if (fate.kind == FAULT_STALE)
		return end(f, FAULT_LIST, prefix, fate, 0, 0);
	return end(f, FAULT_LIST, prefix, fate, 0, lsvd_store_list(f->inner, prefix, fn, fn_ctx));
}

static int fault_remove(void *ctx, const char *key)
{
	struct store_fault *f = ctx;
	struct fate fate = begin(f, FAULT_REMOVE, key);

	if (fate.kind == FAULT_FAIL)
		return refuse(f, FAULT_REMOVE, key, fate);
	if (fate.kind == FAULT_STALE)
		return end(f, FAULT_REMOVE, key, fate, 0, 0);
	return end(f, FAULT_REMOVE, key, fate, 0, lsvd_store_remove(f->inner, key));
}

static void fault_close(void *ctx)
{
	struct store_fault *f = ctx;

	store_fault_clear(f);
	lsvd_store_close(f->inner);
	(void)pthread_cond_destroy(&f->changed);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

/* The capabilities differ, hence a table for each choice. */
#define OPS(caps_) \
	[caps_] = { \
		.size = sizeof(struct lsvd_store_ops), \
		.caps = caps_, \
		.put_if_absent = fault_put, \
		.get = fault_get, \
		.head = fault_head, \
		.list = fault_list, \
		.remove = fault_remove, \
		.close = fault_close, \
	}
static const struct lsvd_store_ops ops_by_caps[] = {
	OPS(0),
	OPS(LSVD_STORE_CAP_CREATE),
	OPS(LSVD_STORE_CAP_PROBE),
	OPS(LSVD_STORE_CAP_CREATE | LSVD_STORE_CAP_PROBE),
};

int store_fault_open_caps(struct lsvd_store **ret, struct store_fault **ret_fault,
			  struct lsvd_store *inner, uint64_t seed, uint32_t caps)
{
	struct store_fault *f = calloc(1, sizeof *f);
	int err;

	if (!f)
		return lsvd_store_fail(-ENOMEM, "fault store: no memory");
	f->inner = inner;
	f->chance = seed;
	(void)pthread_mutex_init(&f->lock, NULL); /* neither fails in glibc */
	(void)pthread_cond_init(&f->changed, NULL);
	err = lsvd_store_new(ret, lsvd_store_url(inner), &ops_by_caps[caps], f);
	if (err < 0)
		free(f);
	else
		*ret_fault = f;
	return err;
}

int store_fault_open(struct lsvd_store **ret, struct store_fault **ret_fault,
		     struct lsvd_store *inner, uint64_t seed)
{
	return store_fault_open_caps(ret, ret_fault, inner, seed,
				     lsvd_store_caps(inner) & LSVD_STORE_CAP_CREATE);
}

/* -------------------------------------------------------------------------------------- control */

int store_fault_add(struct store_fault *f, const struct fault_rule *rule)
{
	struct rule *new = calloc(1, sizeof *new), **at = &f->rules;

	if (!new)
		return lsvd_store_fail(-ENOMEM, "fault store: no memory");
	new->r = *rule;
	if (rule->key)
		memcpy(new->key, rule->key, strnlen(rule->key, LSVD_KEY_MAX));
	pthread_mutex_lock(&f->lock);
	while (*at)
		at = &(*at)->next;
	*at = new;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

int store_fault_cut(struct store_fault *f, unsigned n)
{
	const struct fault_rule rule = { .from = n, .kind = FAULT_FAIL };

	return store_fault_add(f, &rule);
}

/* They are not held from now on, whenever their threads wake: who waits for the next sees that. */
static void release_locked(struct store_fault *f)
{
	f->releases++;
	f->held = 0;
	pthread_cond_broadcast(&f->changed);
}

void store_fault_clear(struct store_fault *f)
{
	struct rule *rule;

	pthread_mutex_lock(&f->lock);
	while ((rule = f->rules)) {
		f->rules = rule->next;
		free(rule);
	}
	release_locked(f);
	pthread_mutex_unlock(&f->lock);
}

void store_fault_wait_held(struct store_fault *f, unsigned n)
{
	pthread_mutex_lock(&f->lock);
	while (f->held < n)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

void store_fault_release(struct store_fault *f)
{
	pthread_mutex_lock(&f->lock);
	release_locked(f);
	pthread_mutex_unlock(&f->lock);
}

uint64_t store_fault_calls(struct store_fault *f, unsigned verbs)
{
	uint64_t sum = 0;

	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < VERBS; i++)
		if (verbs & 1u << i)
			sum += f->calls[i];
	pthread_mutex_unlock(&f->lock);
	return sum;
}

static uint64_t read_locked(struct store_fault *f, const uint64_t *counter)
{
	uint64_t n;

	pthread_mutex_lock(&f->lock);
	n = *counter;
	pthread_mutex_unlock(&f->lock);
	return n;
}

uint64_t store_fault_bytes(struct store_fault *f, enum fault_verb verb)
{
	return read_locked(f, &f->bytes[verb_index(verb)]);
}

uint64_t store_fault_hits(struct store_fault *f, enum fault_kind kind)
{
	return read_locked(f, &f->hits[kind]);
}

unsigned store_fault_in_flight(struct store_fault *f, unsigned *ret_most)
{
	unsigned n;

	pthread_mutex_lock(&f->lock);
	n = f->in_flight;
	if (ret_most)
		*ret_most = f->most;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void store_fault_reset_counts(struct store_fault *f)
{
	pthread_mutex_lock(&f->lock);
	memset(f->calls, 0, sizeof f->calls);
	memset(f->bytes, 0, sizeof f->bytes);
	memset(f->hits, 0, sizeof f->hits);
	f->most = f->in_flight;
	pthread_mutex_unlock(&f->lock);
}
