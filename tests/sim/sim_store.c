/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_store.c - the object store: effects now, answers later, failures by chance.
 *
 * Objects are in an array in order of their names; there are never many. A request goes through the
 * pool twice, for its effect and for its answer. Its fate is drawn when it is started.
 */
#include "sim_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/error.h>

#include "base/hash.h"

enum fate {
	FATE_GOOD,
	FATE_BEFORE,    /* no effect, LSVD_E_UNAVAILABLE */
	FATE_AFTER,     /* effect, LSVD_E_UNAVAILABLE */
	FATE_LATE,      /* LSVD_E_UNAVAILABLE, and a ghost has the effect */
};

/* -------------------------------------------------------------------------------------- objects */

/* Where `key` is (true) or would be. */
static bool find(const struct sim_store *store, const char *key, size_t *ret)
{
	size_t lo = 0, hi = store->count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int order = strcmp(store->at[mid].key, key);

		if (order == 0) {
			*ret = mid;
			return true;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret = lo;
	return false;
}

static void insert(struct sim_store *store, size_t i, const char *key, struct blob *blob)
{
	if (store->count == store->room) {
		store->room = store->room ? store->room * 2 : 64;
		store->at = sim_grow(store->at, store->room * sizeof *store->at);
	}
	memmove(store->at + i + 1, store->at + i, (store->count - i) * sizeof *store->at);
	store->at[i].key = strdup(key);
	if (!store->at[i].key)
		sim_die("no memory");
	store->at[i].blob = sim_blob_ref(blob);
	store->count++;
}

static void delete(struct sim_store *store, size_t i)
{
	free(store->at[i].key);
	sim_blob_unref(store->at[i].blob);
	store->count--;
	memmove(store->at + i, store->at + i + 1, (store->count - i) * sizeof *store->at);
}

void sim_store_clear(struct sim_store *store)
{
	while (store->count)
		delete(store, store->count - 1);
	free(store->at);
	store->at = NULL;
	store->room = 0;
}

void sim_store_clone(struct sim_store *to, const struct sim_store *from)
{
	sim_store_clear(to);
	for (size_t i = 0; i < from->count; i++)
		insert(to, i, from->at[i].key, from->at[i].blob);
}

/* -------------------------------------------------------------------------------------- effects */

static int put(struct sim *s, const char *key, struct blob *blob)
{
	size_t i;

	s->stats.puts++;
	if (find(&s->store, key, &i)) {
		s->stats.refused++;
		return -EEXIST;
	}
	insert(&s->store, i, key, blob);
	return 0;
}

static int remove_object(struct sim *s, const char *key)
{
	size_t i;

	s->stats.removes++;
	if (find(&s->store, key, &i))
		delete(&s->store, i);
	return 0;
}

static int get(struct sim *s, struct obj_io *io)
{
	const struct blob *b;
	size_t i, n;

	s->stats.gets++;
	if (!find(&s->store, io->key, &i))
		return -ENOENT;
	b = s->store.at[i].blob;
	n = io->off < b->len ? b->len - (size_t)io->off : 0;
	if (n > io->len)
		n = io->len;
	if (n)
		memcpy(io->buf, b->bytes + io->off, n);
	io->ret_len = n;
	return 0;
}

static int head(struct sim *s, struct obj_io *io)
{
	size_t i;

	s->stats.heads++;
	if (!find(&s->store, io->key, &i))
		return -ENOENT;
	io->ret_bytes = s->store.at[i].blob->len;
	return 0;
}

static int list(struct sim *s, struct obj_io *io)
{
	size_t n = strlen(io->key), i;

	s->stats.lists++;
	(void)find(&s->store, io->key, &i); /* there or not, names with the prefix begin here */
	for (; i < s->store.count && strncmp(s->store.at[i].key, io->key, n) == 0; i++) {
		const struct lsvd_object_info info = {
			.key = s->store.at[i].key,
			.bytes = s->store.at[i].blob->len,
			.modified_ms = 1,
		};

		if (io->list_fn(io->list_ctx, &info))
			break;
	}
	return 0;
}

static int usual_effect(struct sim *s, struct sim_event *e)
{
	switch (e->verb) {
	case IO_PUT:
		return put(s, e->key, e->blob);
	case IO_REMOVE:
		return remove_object(s, e->key);
	case IO_GET:
		return get(s, lsvd_container_of(e->io, struct obj_io, io));
	case IO_HEAD:
		return head(s, lsvd_container_of(e->io, struct obj_io, io));
	default:
		return list(s, lsvd_container_of(e->io, struct obj_io, io));
	}
}

/* What is seen of an object while it comes, and for ever if it never does. */
static int put_half(struct sim *s, struct sim_event *e)
{
	struct blob *half = sim_blob_new(e->blob->bytes, e->blob->len / 2);
	int err = put(s, e->key, half);

	sim_blob_unref(half);
	e->half = err == 0;
	if (sim_chance(s, 500))
		e->at_ms = s->now_ms + sim_random_below(s, 60000);
	return err;
}

static void take_half_away(struct sim *s, struct sim_event *e)
{
	size_t i;

	if (find(&s->store, e->key, &i))
		delete(&s->store, i);
	e->half = false;
}

static int damaged_get(struct sim *s, struct sim_event *e)
{
	struct obj_io *io = lsvd_container_of(e->io, struct obj_io, io);
	int err = get(s, io);

	if (err == 0 && io->ret_len)
		((uint8_t *)io->buf)[io->ret_len / 2] ^= 1;
	return err;
}

static int effect(struct sim *s, struct sim_event *e)
{
	int result = SIM_AS_USUAL;

	if (e->half)
		take_half_away(s, e);
	if (s->watch)
		result = s->watch(s->watch_ctx, e->host, e->verb, e->key,
				  e->blob ? e->blob->bytes : NULL, e->blob ? e->blob->len : 0);
	if (result == SIM_AS_USUAL)
		result = usual_effect(s, e);
	else if (result == SIM_DAMAGED)
		result = damaged_get(s, e);
	else if (result == SIM_HALF)
		result = put_half(s, e);
	sim_note(s, 100u + e->verb, e->host, lsvd_hash(e->key, strlen(e->key)),
		 (uint64_t)(int64_t)result);
	return result;
}

static struct sim_event *ghost_of(const struct sim_event *e)
{
	struct sim_event *g = sim_event_new(e->host->sim, EVENT_GHOST, e->host, NULL);

	g->verb = e->verb;
	g->blob = e->blob ? sim_blob_ref(e->blob) : NULL;
	memcpy(g->key, e->key, sizeof g->key);
	return g;
}

static int by_fate(struct sim *s, struct sim_event *e)
{
	if (s->away && !e->half) {
		s->stats.away++;
		return LSVD_E_UNAVAILABLE;
	}
	switch (e->fate) {
	case FATE_BEFORE:
		s->stats.failed_before++;
		return LSVD_E_UNAVAILABLE;
	case FATE_AFTER:
		s->stats.failed_after++;
		(void)effect(s, e); /* nobody is told */
		return LSVD_E_UNAVAILABLE;
	case FATE_LATE:
		s->stats.failed_late++;
		sim_list_add(&s->ghosts, ghost_of(e));
		return LSVD_E_UNAVAILABLE;
	default:
		return effect(s, e);
	}
}

void sim_store_effect(struct sim_event *e)
{
	struct sim *s = e->host->sim;

	e->result = by_fate(s, e);
	sim_boundary(s);
	if (!e->half)
		e->kind = EVENT_ANSWER;
	sim_list_add(&s->pool, e);
}

void sim_store_answer(struct sim_event *e)
{
	e->io->err = e->result;
	if (e->result < 0)
		(void)lsvd_store_fail(e->result, "simulated store: %s: %s", e->key,
				      lsvd_strerror(e->result));
	sim_boundary(e->host->sim);
	lsvd_port_finish(e->io);
}

void sim_ghost_effect(struct sim_event *e)
{
	e->host->sim->stats.ghosts++;
	(void)effect(e->host->sim, e); /* nobody is told */
	if (e->half)
		sim_list_add(&e->host->sim->ghosts, e);
	else
		sim_event_free(e->host->sim, e);
}

/* ------------------------------------------------------------------------------------- requests */

static struct blob *gather(const struct iovec *iov, int iovcnt)
{
	struct blob *b;
	size_t len = 0;

	for (int i = 0; i < iovcnt; i++)
		len += iov[i].iov_len;
	b = sim_blob_new(NULL, len);
	len = 0;
	for (int i = 0; i < iovcnt; i++) {
		memcpy(b->bytes + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return b;
}

static enum fate draw_fate(struct sim *s, enum io_kind verb)
{
	if (sim_chance(s, s->options.fail_before))
		return FATE_BEFORE;
	if (verb != IO_PUT && verb != IO_REMOVE)
		return FATE_GOOD;
	if (sim_chance(s, s->options.fail_after))
		return FATE_AFTER;
	if (sim_chance(s, s->options.fail_late))
		return FATE_LATE;
	return FATE_GOOD;
}

static void start(struct world *w, struct obj_io *io, bool may_wait)
{
	struct sim_host *h = sim_host_of(w);
	struct sim *s = h->sim;
	struct sim_event *e = sim_event_new(s, EVENT_EFFECT, h, &io->io);

	(void)may_wait;
	e->verb = io->io.kind;
	e->fate = (int)draw_fate(s, e->verb);
	if (e->verb == IO_PUT)
		e->blob = gather(io->iov, io->iovcnt);
	memcpy(e->key, io->key, sizeof e->key);
	if (s->options.latency_ms)
		e->at_ms = s->now_ms + s->options.latency_ms;
	if (sim_chance(s, s->options.slow)) {
		s->stats.slow++;
		e->at_ms = s->now_ms + sim_random_below(s, 60000);
	}
	sim_boundary(s);
	sim_list_add(&s->pool, e);
}

static uint32_t caps(struct world *w)
{
	return sim_host_of(w)->sim->caps;
}

static const char *name(struct world *w)
{
	(void)w;
	return "sim:";
}

const struct obj_ops sim_obj_ops = {
	.caps = caps,
	.name = name,
	.start = start,
};

/* ---------------------------------------------------------------------------------- for tests */

const uint8_t *sim_store_find(const struct sim *s, const char *key, size_t *ret_len)
{
	size_t i;

	if (!find(&s->store, key, &i))
		return NULL;
	*ret_len = s->store.at[i].blob->len;
	return s->store.at[i].blob->bytes;
}

void sim_store_put(struct sim *s, const char *key, const void *bytes, size_t len)
{
	struct blob *blob = sim_blob_new(bytes, len);
	size_t i;

	if (find(&s->store, key, &i))
		delete(&s->store, i);
	insert(&s->store, i, key, blob);
	sim_blob_unref(blob);
}

void sim_store_remove(struct sim *s, const char *key)
{
	size_t i;

	if (find(&s->store, key, &i))
		delete(&s->store, i);
}

size_t sim_store_count(const struct sim *s)
{
	return s->store.count;
}

const char *sim_store_key(const struct sim *s, size_t i)
{
	return s->store.at[i].key;
}

void sim_store_away(struct sim *s, bool away)
{
	s->away = away;
}

void sim_store_caps(struct sim *s, uint32_t new_caps)
{
	s->caps = new_caps;
}

void sim_store_watch(struct sim *s, sim_store_fn fn, void *ctx)
{
	s->watch = fn;
	s->watch_ctx = ctx;
}
