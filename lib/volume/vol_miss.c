/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_miss.c - single-flight GETs, joined where they lie side by side, and the filling of the
 * cache.
 *
 * GETs are not started where they are wanted but in a step queued at the port: it runs when the
 * whole batch of operations has been resolved, before this thread does anything else, so waiting
 * for neighbours costs nothing. Two wants are neighbours if the bytes between them are fewer than a
 * raw unit: joining must not double what is fetched.
 *
 * What is read ahead gives way: it is started after the others, at most AHEAD_GETS at once, so that
 * a read finds the store's connections free; and it is never run on the thread that leaves the
 * core, which may be a user's.
 */
#include "volume/vol_miss.h"

#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "rcache/rcache.h"
#include "segment/unit.h"
#include "volume/vol_line.h"
#include "volume/volume_internal.h"

#define NEIGHBOUR_GAP UNIT_RAW_BYTES
#define AHEAD_GETS 8u
#define AHEAD_BYTES_MAX (UINT64_C(32) << 20) /* in all, of one volume */
#define KEPT_BYTES_MAX (UINT64_C(16) << 20)

enum miss_state {
	MISS_QUEUED,
	MISS_GETTING,
	MISS_HERE,
};

struct miss {
	struct list link;            /* volume->misses.list */
	struct lsvd_volume *v;
	uint64_t object, first, end;
	enum miss_state state;
	struct list wants;           /* to be told */
	unsigned users;              /* wants that hold it, told or not */
	bool ahead;                  /* made ahead, whoever has joined since */
	bool needed;                 /* somebody waits for it */
	bool again;                  /* may be read again: not only for who copies it elsewhere */
	bool good;                   /* a part of it has verified */
	bool bad;                    /* another has not: joined by nobody */
	bool filled;                 /* the cache has it, or is being given it */
	bool kept, consumed;
	uint8_t *buf;
	size_t have;
	struct obj_io get;
	struct file_io *fills;
	unsigned fills_left;
};

void lsvd_misses_init(struct misses *m)
{
	*m = (struct misses){ .kicked = false };
	list_init(&m->list);
}

static void free_miss(struct miss *m)
{
	struct misses *all = &m->v->misses;

	if (m->ahead)
		all->ahead_bytes -= m->end - m->first;
	if (m->kept)
		all->kept_bytes -= m->end - m->first;
	if (!m->bad)
		list_del(&m->link);
	lsvd_free(m->fills);
	lsvd_free(m->buf);
	lsvd_free(m);
}

void lsvd_misses_fini(struct misses *all)
{
	list_for_each_safe(n, &all->list)
		free_miss(list_entry(n, struct miss, link));
}

uint64_t lsvd_miss_ahead_room(const struct lsvd_volume *v)
{
	uint64_t used = v->misses.ahead_bytes - v->misses.kept_bytes;

	return used < AHEAD_BYTES_MAX ? AHEAD_BYTES_MAX - used : 0;
}

/* -------------------------------------------------------------------------------------- finding */

struct miss *lsvd_miss_covering(struct lsvd_volume *v, uint64_t object, uint64_t first,
				uint64_t end)
{
	list_for_each(n, &v->misses.list) {
		struct miss *m = list_entry(n, struct miss, link);

		if (m->object == object && m->first <= first && end <= m->end)
			return m;
	}
	return NULL;
}

uint64_t lsvd_miss_end(struct lsvd_volume *v, uint64_t object, uint64_t at)
{
	struct miss *m = lsvd_miss_covering(v, object, at, at + 1);

	return m ? m->end : 0;
}

/* A miss that is not yet sent and may grow by the want. */
static struct miss *growing(struct lsvd_volume *v, const struct miss_want *w)
{
	list_for_each(n, &v->misses.list) {
		struct miss *m = list_entry(n, struct miss, link);

		if (m->state == MISS_QUEUED && m->object == w->object && m->ahead == w->ahead &&
		    w->first <= m->end + NEIGHBOUR_GAP && m->first <= w->end + NEIGHBOUR_GAP &&
		    max_u64(m->end, w->end) - min_u64(m->first, w->first) <= MISS_MAX_BYTES)
			return m;
	}
	return NULL;
}

static void grow(struct miss *m, const struct miss_want *w)
{
	uint64_t before = m->end - m->first;

	m->first = min_u64(m->first, w->first);
	m->end = max_u64(m->end, w->end);
	if (m->ahead)
		m->v->misses.ahead_bytes += m->end - m->first - before;
}

/* -------------------------------------------------------------------------------------- sending */

static void tell(struct miss *m, int err)
{
	struct list wants = LIST_INIT(wants), *node;

	list_splice_tail(&wants, &m->wants);
	while ((node = list_pop(&wants))) {
		struct miss_want *w = list_entry(node, struct miss_want, link);

		if (err)
			w->miss = NULL;
		w->got(w, err);
	}
}

/* Nobody finds it any more, and those who waited for it are told. */
static void fail_miss(struct miss *m, int err)
{
	list_del(&m->link);
	m->bad = true;
	tell(m, err);
	free_miss(m);
}

static void count_failure(struct lsvd_volume *v, int err)
{
	if (err == -EACCES || err == LSVD_E_CONFIG)
		v->stats.store_denied++;
	else if (err != -ENOENT)
		v->stats.store_away++;
}

static bool is_map(const struct lsvd_volume *v, uint64_t object)
{
	const struct object_entry *o = lsvd_object_table_get(&v->objects, object);

	return o && o->home == HOME_PAGES;
}

static void count_get(const struct miss *m, uint64_t bytes)
{
	struct lsvd_stats *s = &m->v->stats;

	if (is_map(m->v, m->object)) {
		s->map_gets++;
		s->map_get_bytes += bytes;
	} else if (!m->again) {
		s->gc_requests++;
		s->gc_bytes += bytes;
	} else {
		s->data_gets++;
		s->data_get_bytes += bytes;
	}
}

static void start_queued(struct lsvd_volume *v);

static void get_done(struct io *io)
{
	struct miss *m = lsvd_container_of(io, struct miss, get.io);
	struct lsvd_volume *v = m->v;

	count_get(m, io->err ? 0 : m->get.ret_len);
	if (m->ahead) {
		v->misses.ahead_gets--;
		start_queued(v);
	}
	if (io->err == -ENOENT && v->offline)
		io->err = LSVD_E_UNAVAILABLE; /* an empty mount point is no damage */
	if (io->err) {
		count_failure(v, io->err);
		fail_miss(m, io->err);
		return;
	}
	m->state = MISS_HERE;
	m->have = m->get.ret_len;
	if (m->ahead)
		v->stats.ahead_get_bytes += m->have;
	tell(m, 0);
}

static int send(struct miss *m)
{
	struct lsvd_volume *v = m->v;
	const struct object_entry *o = lsvd_object_table_get(&v->objects, m->object);

	if (!o)
		return -ENOENT;
	m->buf = lsvd_malloc(m->end - m->first);
	if (!m->buf)
		return lsvd_fail_plain(-ENOMEM);
	m->state = MISS_GETTING;
	if (m->ahead) {
		v->misses.ahead_gets++;
		v->stats.ahead_gets++;
	}
	lsvd_vol_object_key(m->get.key, v, o);
	m->get.io.kind = IO_GET;
	m->get.io.done = get_done;
	m->get.background = !m->needed;
	m->get.off = m->first;
	m->get.buf = m->buf;
	m->get.len = m->end - m->first;
	lsvd_port_start(&v->port, &m->get.io);
	return 0;
}

static struct miss *next_queued(struct lsvd_volume *v, bool needed)
{
	list_for_each(n, &v->misses.list) {
		struct miss *m = list_entry(n, struct miss, link);

		if (m->state == MISS_QUEUED && m->needed == needed)
			return m;
	}
	return NULL;
}

static void start_queued(struct lsvd_volume *v)
{
	struct miss *m;
	int err;

	for (;;) {
		m = next_queued(v, true);
		if (!m && v->misses.ahead_gets < AHEAD_GETS)
			m = next_queued(v, false);
		if (!m)
			return;
		/* Nobody waits for it, and a close should not either. */
		err = v->closing && !m->needed ? LSVD_E_SHUTDOWN : send(m);
		if (err)
			fail_miss(m, err);
	}
}

static void batch_over(struct io *io)
{
	struct misses *all = lsvd_container_of(io, struct misses, kick);

	all->kicked = false;
	start_queued(lsvd_container_of(all, struct lsvd_volume, misses));
}

static void kick(struct lsvd_volume *v)
{
	if (v->misses.kicked)
		return;
	v->misses.kicked = true;
	v->misses.kick = (struct io){ .kind = IO_STEP, .done = batch_over };
	lsvd_port_start(&v->port, &v->misses.kick);
}

/* -------------------------------------------------------------------------------------- wanting */

static struct miss *new_miss(struct lsvd_volume *v, const struct miss_want *w)
{
	struct miss *m = lsvd_calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->v = v;
	m->object = w->object;
	m->first = w->first;
	m->end = w->end;
	m->ahead = w->ahead;
	list_init(&m->wants);
	if (m->ahead)
		v->misses.ahead_bytes += m->end - m->first;
	list_add_tail(&v->misses.list, &m->link);
	return m;
}

static void unkeep(struct miss *m)
{
	if (m->kept)
		m->v->misses.kept_bytes -= m->end - m->first;
	m->kept = false;
}

static int join(struct miss *m, struct miss_want *w)
{
	struct lsvd_volume *v = m->v;

	w->miss = m;
	m->users++;
	unkeep(m);
	m->again = m->again || !w->once;
	if (!w->ahead) {
		m->needed = true;
		if (m->ahead)
			v->stats.ahead_used_bytes += w->end - w->first;
		if (w->end == m->end)
			m->consumed = true;
	}
	if (m->state == MISS_HERE)
		return 1;
	list_add_tail(&m->wants, &w->link);
	if (m->state == MISS_QUEUED)
		kick(v);
	return 0;
}

int lsvd_miss_want(struct lsvd_volume *v, struct miss_want *w)
{
	struct miss *m = lsvd_miss_covering(v, w->object, w->first, w->end);

	if (m) {
		v->stats.shared_gets += !w->once && !is_map(v, w->object);
		return join(m, w);
	}
	m = growing(v, w);
	if (m) {
		v->stats.shared_gets += !w->once && !is_map(v, w->object);
		grow(m, w);
	} else {
		m = new_miss(v, w);
	}
	return m ? join(m, w) : lsvd_fail_plain(-ENOMEM);
}

uint8_t *lsvd_miss_bytes(const struct miss_want *w, size_t *ret_len)
{
	const struct miss *m = w->miss;
	uint64_t skip = w->first - m->first;

	*ret_len = skip < m->have ? m->have - (size_t)skip : 0;
	return m->buf + skip;
}

/* -------------------------------------------------------------------------------------- leaving */

/* The oldest that are held for nobody in particular make room. */
static void keep(struct miss *m)
{
	struct misses *all = &m->v->misses;

	m->kept = true;
	all->kept_bytes += m->end - m->first;
	list_for_each_safe(n, &all->list) {
		struct miss *old = list_entry(n, struct miss, link);

		if (all->kept_bytes <= KEPT_BYTES_MAX)
			return;
		if (old->kept && old != m)
			free_miss(old);
	}
}

static void end_miss(struct miss *m)
{
	if (m->ahead && m->good && !m->bad && !m->consumed && !m->filled && !m->v->closing)
		keep(m);
	else
		free_miss(m);
}

static void fill_done(struct io *io)
{
	struct miss *m = io->owner;

	/* A fill that fails leaves a line that will not verify: a miss. */
	if (--m->fills_left == 0 && m->users == 0)
		end_miss(m);
}

/* A close waits for what somebody has read to be written, not for what was only read ahead. */
static bool is_worth_filling(const struct miss *m)
{
	return m->v->rcache && m->again && m->good && !m->bad && !m->filled && m->have > 0 &&
	       (m->needed || !m->v->closing);
}

/* Gives the bytes to the read cache; false if there is none, or no memory to do it. */
static bool fill(struct miss *m)
{
	struct lsvd_volume *v = m->v;
	const struct line_range r = { v, m->object, m->first, m->have, m->buf };
	unsigned n;

	if (!is_worth_filling(m))
		return false;
	n = lsvd_line_count(&r);
	m->fills = lsvd_calloc(n, sizeof *m->fills);
	if (!m->fills)
		return false;
	m->filled = true;
	m->fills_left = n;
	for (unsigned i = 0; i < n; i++) {
		struct file_io *io = &m->fills[i];

		lsvd_line_io(&r, i, lsvd_rcache_place(v->rcache, lsvd_vol_owner_of(v, m->object),
						      m->object,
						      lsvd_line_first(&r) + i), io);
		io->io.kind = IO_FILE_WRITE;
		io->io.owner = m;
		io->io.done = fill_done;
		v->stats.rcache_writes++;
		v->stats.rcache_write_bytes += io->len;
		lsvd_port_start(&v->port, &io->io);
	}
	return true;
}

void lsvd_miss_leave(struct miss_want *w, int verdict)
{
	struct miss *m = w->miss;

	if (!m)
		return;
	w->miss = NULL;
	if (verdict == 0)
		m->good = true;
	if (verdict == LSVD_E_CORRUPT && !m->bad) {
		m->bad = true;
		list_del(&m->link);
	}
	assert(m->users > 0 && m->state == MISS_HERE);
	if (--m->users == 0 && m->fills_left == 0 && !fill(m))
		end_miss(m);
}
