/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_destage.c - from the local log to the store: segments, in order.
 *
 * Published groups join the open segment. It is sealed when it is full, when it has been quiet for
 * seal_after_ms or ten times as old as that, when somebody waits for the store, or when the log
 * needs its room. Sealed segments take their turn: the object is built (vol_build.c), and it is put
 * once the log below its end is durable (the store is never ahead of an intact cache). When it and
 * all before it are acknowledged, it goes into the store map (vol_apply.c).
 *
 * Nothing here gives up: an allocation that fails is tried again a little later, and the store's
 * failures are the log's business.
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/vol_cold.h"

#define SEGMENT_RECORDS_MAX 65536u
#define AGAIN_MS 50u
#define SEAL_AGE_FACTOR 10u
#define QUICK_MS 2000u

/* ----------------------------------------------------------------------------- the open segment */

int lsvd_vol_spare_segments(struct lsvd_volume *v, unsigned groups)
{
	while (v->spare_count < groups) {
		struct vseg *s = lsvd_calloc(1, sizeof *s);

		if (!s)
			return lsvd_fail_plain(-ENOMEM);
		list_add_tail(&v->spares, &s->link);
		v->spare_count++;
	}
	return 0;
}

static struct vseg *open_segment(struct lsvd_volume *v)
{
	struct vseg *s;

	if (list_empty(&v->segments))
		return NULL;
	s = list_last(&v->segments, struct vseg, link);
	return s->state == VSEG_OPEN ? s : NULL;
}

static void seal_due(struct io *io);

static void arm_seal(struct lsvd_volume *v, uint64_t at_ms)
{
	if (v->seal_armed || v->opt.seal_after_ms == UINT32_MAX)
		return;
	v->seal_armed = true;
	v->seal_timer.io.kind = IO_TIMER;
	v->seal_timer.io.done = seal_due;
	v->seal_timer.io.owner = v;
	v->seal_timer.at_ms = at_ms;
	lsvd_port_start(&v->port, &v->seal_timer.io);
}

static void seal_due(struct io *io)
{
	struct lsvd_volume *v = io->owner;
	struct vseg *s = open_segment(v);
	uint64_t quiet = v->last_write_ms + v->opt.seal_after_ms, due;

	v->seal_armed = false;
	if (io->err || !s)
		return;
	/* A trickle of writes is never quiet; it is not left local-only either. */
	due = min_u64(quiet, s->opened_ms + (uint64_t)SEAL_AGE_FACTOR * v->opt.seal_after_ms);
	if (due > lsvd_vol_now(v))
		arm_seal(v, due);
	else
		lsvd_vol_seal(v);
}

static struct vseg *begin_segment(struct lsvd_volume *v, struct wal_group *g)
{
	struct vseg *s = list_entry(list_pop(&v->spares), struct vseg, link);

	assert(v->spare_count);
	v->spare_count--;
	s->volume = v;
	s->state = VSEG_OPEN;
	s->first = g;
	s->first_op = g->head.first_op;
	s->opened_ms = lsvd_vol_now(v);
	list_add_tail(&v->segments, &s->link);
	arm_seal(v, s->opened_ms + v->opt.seal_after_ms);
	return s;
}

void lsvd_vol_take_group(struct lsvd_volume *v, struct wal_group *g)
{
	struct vseg *s = open_segment(v);

	if (g->head.records == 0)
		return; /* pads and watermarks: whatever segment follows covers their room */
	if (!s)
		s = begin_segment(v, g);
	s->last = g;
	s->last_op = g->head.first_op + g->head.records - 1;
	s->groups++;
	s->records += g->head.records;
	s->data_bytes += g->head.data_bytes;
	for (uint32_t i = 0; i < g->head.records; i++)
		if (g->records[i].kind == WAL_DATA)
			s->user_bytes += g->records[i].sectors * SECTOR_BYTES;
	v->last_write_ms = lsvd_vol_now(v);
	if (s->data_bytes >= v->opt.segment_bytes || s->records >= SEGMENT_RECORDS_MAX)
		lsvd_vol_seal(v);
}

void lsvd_vol_seal(struct lsvd_volume *v)
{
	struct vseg *s = open_segment(v);

	if (s)
		s->state = VSEG_SEALED;
	lsvd_vol_destage(v);
}

/* -------------------------------------------------------------------------- groups of a segment */

static void pin_groups(struct vseg *s)
{
	vseg_for_each_group(g, s)
		g->refs++;
}

void lsvd_vseg_over(struct vseg *s)
{
	vseg_for_each_group(g, s) {
		lsvd_wal_unref(s->volume->wal, g);
		lsvd_wal_forget(s->volume->wal, g);
	}
	list_del(&s->link);
	lsvd_vseg_free_cold(s);
	lsvd_segment_free(s->built);
	lsvd_free(s);
}

/* Over the budget: what is sealed and not begun is forgotten, the newest first. */
static void save_memory(struct lsvd_volume *v)
{
	const uint64_t other = min_u64(lsvd_vol_gc_memory(v), v->opt.memory_bytes / 2);
	struct wal_stats stats;

	lsvd_wal_stats(v->wal, &stats);
	for (struct list *n = v->segments.prev; n != &v->segments; n = n->prev) {
		struct vseg *s = list_entry(n, struct vseg, link);

		if (stats.memory + other <= v->opt.memory_bytes)
			return;
		if (s->state != VSEG_SEALED)
			continue;
		vseg_for_each_group(g, s)
			lsvd_wal_forget(v->wal, g);
		lsvd_wal_stats(v->wal, &stats);
	}
}

/* -------------------------------------------------------------------------------------- storing */

/* At its pace of the last few segments, would the store take a whole log in QUICK_MS? */
bool lsvd_vol_store_is_quick(const struct lsvd_volume *v)
{
	uint64_t began = v->acked_ms[v->acks % LSVD_ARRAY_LEN(v->acked_ms)];
	struct wal_stats s;

	if (v->acks < LSVD_ARRAY_LEN(v->acked_ms))
		return false;
	lsvd_wal_stats(v->wal, &s);
	return (lsvd_vol_now(v) - began) * s.capacity <=
	       QUICK_MS * (uint64_t)LSVD_ARRAY_LEN(v->acked_ms) * v->opt.segment_bytes;
}

static void acked(struct log_put *put, int err)
{
	struct vseg *s = lsvd_container_of(put, struct vseg, put);
	struct lsvd_volume *v = s->volume;

	if (err)
		return; /* fenced, or closing: said elsewhere; the segment stays what it is */
	s->state = VSEG_ACKED;
	v->segments_out--;
	v->acked_ms[v->acks++ % LSVD_ARRAY_LEN(v->acked_ms)] = lsvd_vol_now(v);
	v->stats.data_puts++;
	v->stats.data_put_bytes += put->put_bytes;
	lsvd_vol_apply(v);
	lsvd_vol_destage(v);
	lsvd_vol_delete_dead(v);
}

static void count_compressed(struct lsvd_volume *v, const struct segment *built)
{
	v->stats.compressed_from += built->compressed_from;
	v->stats.compressed_to += built->compressed_to;
}

/* Not when it is built: that may happen twice (vol_cold.c). */
static void count_built(struct vseg *s)
{
	s->volume->stats.coalesced_bytes += s->built->coalesced_bytes;
	count_compressed(s->volume, s->built);
	if (s->cold)
		count_compressed(s->volume, s->cold->moved.built);
}

void lsvd_vseg_put(struct vseg *s)
{
	count_built(s);
	s->state = VSEG_PUTTING;
	s->put.kind = OBJECT_DATA;
	s->put.segment = s->built;
	s->put.first_op = s->first_op;
	s->put.last_op = s->last_op;
	s->put.acked = acked;
	lsvd_log_put(s->volume->log, &s->put);
}

void lsvd_vseg_is_built(struct vseg *s)
{
	if (s->state != VSEG_READY || !s->durable || s->volume->failed)
		return;
	if (s->cold)
		lsvd_vseg_put_cold(s);
	else
		lsvd_vseg_put(s);
}

static void locally_durable(struct wal_ticket *t, int err)
{
	struct vseg *s = lsvd_container_of(t, struct vseg, ticket);

	if (err)
		return;
	s->durable = true;
	lsvd_vseg_is_built(s);
}

static void start_segment(struct vseg *s)
{
	struct lsvd_volume *v = s->volume;

	s->state = VSEG_LOADING;
	v->segments_out++;
	pin_groups(s);
	lsvd_log_reserve(v->log, &s->put.place);
	s->ticket.pos = s->last->head.pos + s->last->span;
	s->ticket.done = locally_durable;
	lsvd_wal_sync(v->wal, &s->ticket);
	lsvd_vseg_load(s);
}

/* How many segments may be between the log and the store, by their number and by memory. */
static unsigned window(const struct lsvd_volume *v)
{
	uint64_t by_memory = v->opt.memory_bytes / 2 / v->opt.segment_bytes;

	return (unsigned)max_u64(1, min_u64(v->opt.put_window, by_memory));
}

static void seal_for_room(struct lsvd_volume *v)
{
	struct vseg *s = open_segment(v);

	if (v->want_room && s && list_first(&v->segments, struct vseg, link) == s)
		s->state = VSEG_SEALED;
	v->want_room = false;
}

void lsvd_vol_destage(struct lsvd_volume *v)
{
	if (v->offline)
		save_memory(v);
	if (v->failed || !v->log)
		return;
	seal_for_room(v);
	list_for_each_safe(n, &v->segments) {
		struct vseg *s = list_entry(n, struct vseg, link);

		if (s->state == VSEG_LOADING && !s->loads)
			lsvd_vseg_load(s);
		else if (s->state == VSEG_BUILDING && !s->build.run)
			lsvd_vseg_build(s);
		else if (s->state == VSEG_COLD)
			lsvd_vseg_put_cold(s);
		else if (s->state == VSEG_SEALED && v->segments_out < window(v))
			start_segment(s);
	}
	save_memory(v);
}

static void again_due(struct io *io)
{
	struct lsvd_volume *v = io->owner;

	v->again_armed = false;
	if (io->err)
		return;
	lsvd_vol_destage(v);
	lsvd_vol_apply(v);
}

void lsvd_vol_destage_again(struct lsvd_volume *v)
{
	if (v->again_armed || v->failed)
		return;
	v->again_armed = true;
	v->again_timer.io.kind = IO_TIMER;
	v->again_timer.io.done = again_due;
	v->again_timer.io.owner = v;
	v->again_timer.at_ms = lsvd_vol_now(v) + AGAIN_MS;
	lsvd_port_start(&v->port, &v->again_timer.io);
}

/* Closing: nothing of them is in the world any more. */
void lsvd_vol_drop_segments(struct lsvd_volume *v)
{
	struct list *n;

	while ((n = list_pop(&v->segments))) {
		struct vseg *s = list_entry(n, struct vseg, link);

		lsvd_vseg_free_build(s);
		lsvd_vseg_free_cold(s);
		lsvd_segment_free(s->built);
		lsvd_free(s);
	}
	while ((n = list_pop(&v->spares)))
		lsvd_free(list_entry(n, struct vseg, link));
}
