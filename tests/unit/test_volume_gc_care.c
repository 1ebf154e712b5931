/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the care that collections and deletions take: what is not dead for sure stays, what
 * would be in vain is not done, and a close waits for who is at work.
 * lsvd-test: timeout=120 labels=tsan
 */
#include <pthread.h>
#include <stdatomic.h>

#include <lsvd/gc.h>

#include "t_volume.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

#define SEGMENT (128u << 10)
#define EVER UINT32_MAX

static struct tv *fresh(void)
{
	struct tv *t = tv_new();

	t->o.compression = LSVD_COMPRESS_NONE;
	tv_open(t);
	return t;
}

static void fill(struct tv *t, uint64_t bytes, uint64_t seed)
{
	for (uint64_t off = 0; off < bytes; off += 65536)
		tv_write(t, off, 65536, seed + off);
}

/* -------------------------------------------------------------------------------- not yet named */

static bool is_at_rest_locked(const struct lsvd_volume *v)
{
	return !v->root_named_by && !v->deletion && !v->anchoring && !v->checkpoint &&
	       lsvd_mirror_is_whole(v);
}

static bool is_at_rest(struct tv *t)
{
	bool rest;

	lsvd_port_enter(&t->v->port);
	rest = is_at_rest_locked(t->v);
	lsvd_port_leave(&t->v->port, false);
	return rest;
}

static bool is_anchoring(struct tv *t)
{
	bool anchoring;

	lsvd_port_enter(&t->v->port);
	anchoring = t->v->anchoring != NULL;
	lsvd_port_leave(&t->v->port, false);
	return anchoring;
}

static uint64_t newest_root(struct tv *t)
{
	uint64_t number;

	lsvd_port_enter(&t->v->port);
	number = t->v->root_number;
	lsvd_port_leave(&t->v->port, false);
	return number;
}

static void chain_fault(struct tv *t, uint64_t seq, enum fault_kind kind)
{
	const struct uuid u = tv_uuid(t);
	char key[KEY_CAP];

	lsvd_key_chain(key, &u, lsvd_log_epoch(t->v->log), seq);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = key, .kind = kind });
}

/* Begins an anchor, the last note of which is held; the place of whatever comes behind that. */
static uint64_t begin_anchor_that_does_not_end(struct tv *t)
{
	struct lsvd_volume *v = t->v;
	uint64_t last;

	lsvd_port_enter(&v->port);
	last = lsvd_log_acked_seq(v->log) + lsvd_log_until_anchor(v->log) + 2;
	lsvd_port_leave(&v->port, false);
	chain_fault(t, last, FAULT_HOLD);
	chain_fault(t, last + 1, FAULT_FAIL);
	lsvd_port_enter(&v->port);
	ck_assert(lsvd_vol_anchor(v));
	lsvd_port_leave(&v->port, true);
	store_fault_wait_held(t->fault, 1);
	return last + 1;
}

/* A checkpoint whose root is put, while what will name it is not. */
static void put_root_behind_the_notes(struct tv *t)
{
	uint64_t before = newest_root(t);

	lsvd_port_enter(&t->v->port);
	t->v->checkpoint_wanted = true;
	lsvd_vol_maybe_checkpoint(t->v);
	lsvd_port_leave(&t->v->port, true);
	tv_wait_for(newest_root(t) != before);
}

START_TEST(an_anchor_that_comes_says_nothing_of_a_root_that_came_later)
{
	struct tv *t = fresh();
	unsigned roots;
	uint64_t names;

	fill(t, 4 * SEGMENT, 1);
	fill(t, 4 * SEGMENT, 2);
	ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
	tv_wait_for(is_at_rest(t));
	names = begin_anchor_that_does_not_end(t);
	put_root_behind_the_notes(t);
	lsvd_port_enter(&t->v->port);
	ck_assert_uint_eq(t->v->root_first_seq, names);
	lsvd_port_leave(&t->v->port, false);
	roots = tv_count(t, KEY_ROOT);
	ck_assert_uint_ge(roots, 2);
	store_fault_release(t->fault); /* the note that is held, and no more */
	tv_wait_for(!is_anchoring(t));
	/* Whoever opens it now begins at the root before. */
	lsvd_port_enter(&t->v->port);
	ck_assert_ptr_null(t->v->deletion);
	ck_assert_uint_eq(t->v->root_named_by, names);
	lsvd_port_leave(&t->v->port, false);
	ck_assert_uint_eq(tv_count(t, KEY_ROOT), roots);
	store_fault_clear(t->fault);
	tv_wait_for(is_at_rest(t));
	ck_assert_uint_lt(tv_count(t, KEY_ROOT), roots);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------ half in the map */

/* The object of a chain of which most is dead. */
static uint64_t worst_object(struct lsvd_volume *v)
{
	uint64_t worst = 0;
	uint32_t dead = 0;

	for (uint64_t n = lsvd_object_table_next(&v->objects, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(&v->objects, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(&v->objects, n);

		if (lsvd_object_is_data(e) && e->live && e->data - e->live > dead) {
			dead = e->data - e->live;
			worst = n;
		}
	}
	return worst;
}

static void say_it_is_being_applied(struct tv *t, uint64_t object)
{
	lsvd_port_enter(&t->v->port);
	t->v->applying_object = object;
	lsvd_port_leave(&t->v->port, false);
}

START_TEST(what_is_half_in_the_map_is_no_victim)
{
	struct tv *t = fresh();
	uint64_t worst;

	tv_write(t, 0, SEGMENT - 8192, 1);
	ck_assert_ok(lsvd_volume_seal(t->v));
	tv_sync(t);
	tv_write(t, 0, SEGMENT / 2, 2);
	tv_sync(t);
	lsvd_port_enter(&t->v->port);
	worst = worst_object(t->v);
	lsvd_port_leave(&t->v->port, false);
	ck_assert_uint_ne(worst, 0);
	say_it_is_being_applied(t, worst);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
	ck_assert_uint_eq(tv_stats(t).gc_copied_bytes, 0);
	say_it_is_being_applied(t, 0);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
	ck_assert_uint_gt(tv_stats(t).gc_copied_bytes, 0);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(where_there_are_no_checkpoints_any_more_nothing_is_copied)
{
	struct tv *t = fresh();

	tv_write(t, 0, SEGMENT - 8192, 1);
	tv_sync(t);
	tv_write(t, 0, SEGMENT / 2, 2);
	tv_sync(t);
	lsvd_port_enter(&t->v->port);
	t->v->checkpoints_off = true; /* as after one that failed */
	lsvd_port_leave(&t->v->port, false);
	ck_assert_err(lsvd_volume_gc(t->v, 100, EVER), LSVD_E_UNAVAILABLE);
	ck_assert_uint_eq(tv_stats(t).gc_copied_bytes, 0);
	tv_reopen(t); /* until the next open */
	ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
	ck_assert_uint_gt(tv_stats(t).gc_copied_bytes, 0);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------- held until an anchor */

static uint64_t stored(struct tv *t)
{
	struct lsvd_gc_status s = LSVD_GC_STATUS_INIT;

	ck_assert_ok(lsvd_volume_gc_status(t->v, &s));
	return s.stored_bytes;
}

/*
 * All that lives is in 64 objects, those before an anchor;
 * most behind it are dead when writing ends.
 */
START_TEST(what_is_held_until_an_anchor_leaves_when_nobody_writes_any_more)
{
	const uint64_t segment = TV_BYTES / 64;
	struct tv *t = tv_new();

	t->o.compression = LSVD_COMPRESS_NONE;
	t->o.gc = LSVD_GC_AUTO;
	t->o.gc_bytes_per_second = UINT64_MAX;
	t->o.gc_idle_ms = 100;
	t->o.segment_bytes = segment;
	tv_open(t);
	fill(t, TV_BYTES, 1);
	for (unsigned i = 0; i < 4; i++)
		fill(t, 12 * segment, 2 + i);
	tv_sync(t);
	tv_wait_for(stored(t) <= TV_BYTES * 125 / 100 + TV_BYTES / 20 + 4 * segment);
	tv_wait_for(is_at_rest(t));
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------------- in vain */

/* More is dead than is held back without an anchor being made for it. */
START_TEST(a_store_that_removes_nothing_is_not_sent_one_anchor_after_the_other)
{
	struct tv *t = tv_new();

	t->o.compression = LSVD_COMPRESS_NONE;
	t->o.gc = LSVD_GC_AUTO;
	t->o.segment_bytes = 1u << 20;
	t->o.log_bytes = 8u << 20;
	tv_open(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_REMOVE, .err = -EACCES });
	fill(t, 12u << 20, 1);
	fill(t, 12u << 20, 2);
	ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
	tv_wait_for(store_fault_hits(t->fault, FAULT_FAIL) > 0);
	tv_wait_for(is_at_rest(t));
	ck_assert_uint_eq(tv_stats(t).deleted_objects, 0);
	store_fault_clear(t->fault);
	ck_assert_ok(lsvd_volume_gc(t->v, 10000, EVER));
	ck_assert_uint_gt(tv_stats(t).deleted_objects, 0);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------- a close waits */

struct at_work {
	struct tv *t;
	struct lsvd_volume *v;
	int err, close_err;
	bool closed_early;
	atomic_bool inside, closed;
};

static bool is_stopping(struct lsvd_volume *v)
{
	bool stopping;

	lsvd_port_enter(&v->port);
	stopping = v->stopping;
	lsvd_port_leave(&v->port, false);
	return stopping;
}

static void *close_it(void *arg)
{
	struct at_work *w = arg;

	w->close_err = lsvd_volume_close(w->v, 0);
	atomic_store(&w->closed, true);
	return NULL;
}

/*
 * Waits until a close has nothing left to wait for but whoever calls this. What must not happen
 * then has a tenth of a second to happen; the volume is not looked at, for it may be gone.
 */
static void stay_until_it_stops(struct at_work *w)
{
	const struct timespec ms = { 0, 1000000 };

	tv_wait_for(is_stopping(w->v));
	for (unsigned i = 0; i < 100 && !atomic_load(&w->closed); i++)
		(void)nanosleep(&ms, NULL); /* cut short: looks earlier */
	w->closed_early = atomic_load(&w->closed);
}

/* Called without the lock, in the middle of a collection. */
static int until_it_stops(void *ctx, const struct lsvd_gc_status *s)
{
	struct at_work *w = ctx;

	(void)s;
	atomic_store(&w->inside, true);
	stay_until_it_stops(w);
	return 0;
}

static void *collect(void *arg)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;
	struct at_work *w = arg;

	o.percent = 100;
	o.progress = until_it_stops;
	o.ctx = w;
	w->err = lsvd_volume_collect(w->v, &o, NULL);
	return NULL;
}

static void *change(void *arg)
{
	struct at_work *w = arg;

	lsvd_port_enter(&w->v->port);
	w->err = lsvd_vol_begin_change(w->v, EVER);
	lsvd_port_leave(&w->v->port, false);
	atomic_store(&w->inside, true);
	stay_until_it_stops(w);
	if (w->closed_early)
		return NULL;
	lsvd_port_enter(&w->v->port);
	lsvd_vol_end_change(w->v);
	lsvd_port_leave(&w->v->port, true);
	return NULL;
}

static void *go_back(void *arg)
{
	struct at_work *w = arg;

	w->err = lsvd_snapshot_rollback(w->v, "s", EVER);
	return NULL;
}

START_TEST(a_close_waits_until_a_collection_has_left_the_volume)
{
	struct tv *t = fresh();
	struct at_work w = { .t = t, .v = t->v };
	pthread_t worker, closer;

	tv_write(t, 0, SEGMENT - 8192, 1);
	tv_sync(t);
	tv_write(t, 0, SEGMENT / 2, 2);
	tv_sync(t);
	ck_assert_int_eq(pthread_create(&worker, NULL, collect, &w), 0);
	tv_wait_for(atomic_load(&w.inside));
	ck_assert_int_eq(pthread_create(&closer, NULL, close_it, &w), 0);
	ck_assert_int_eq(pthread_join(worker, NULL), 0);
	ck_assert_int_eq(pthread_join(closer, NULL), 0);
	ck_assert(!w.closed_early);
	ck_assert_err(w.err, LSVD_E_SHUTDOWN);
	ck_assert_int_ge(w.close_err, 0);
	t->v = NULL;
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/*
 * A snapshot, another size, a rollback: any of them may be in something that is
 * not the volume's own.
 */
START_TEST(a_close_waits_until_a_change_has_left_the_volume)
{
	struct tv *t = fresh();
	struct at_work w = { .t = t, .v = t->v };
	pthread_t worker, closer;

	ck_assert_int_eq(pthread_create(&worker, NULL, change, &w), 0);
	tv_wait_for(atomic_load(&w.inside));
	ck_assert_int_eq(pthread_create(&closer, NULL, close_it, &w), 0);
	ck_assert_int_eq(pthread_join(worker, NULL), 0);
	ck_assert_int_eq(pthread_join(closer, NULL), 0);
	ck_assert(!w.closed_early);
	ck_assert_ok(w.err);
	ck_assert_int_ge(w.close_err, 0);
	t->v = NULL;
	tv_free(t);
}
END_TEST

/* It reads the snapshot, for which nothing of the volume itself is on its way. */
START_TEST(a_close_during_a_rollback_leaves_the_volume_as_it_was)
{
	struct tv *t = fresh();
	struct at_work w = { .t = t, .v = t->v };
	pthread_t worker, closer;

	fill(t, 4 * SEGMENT, 1);
	ck_assert_ok(lsvd_snapshot_create(t->v, "s", EVER, NULL));
	fill(t, 4 * SEGMENT, 2);
	tv_sync(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .kind = FAULT_HOLD });
	ck_assert_int_eq(pthread_create(&worker, NULL, go_back, &w), 0);
	store_fault_wait_held(t->fault, 1);
	ck_assert_int_eq(pthread_create(&closer, NULL, close_it, &w), 0);
	tv_wait_for(is_stopping(t->v));
	store_fault_clear(t->fault);
	ck_assert_int_eq(pthread_join(worker, NULL), 0);
	ck_assert_int_eq(pthread_join(closer, NULL), 0);
	ck_assert_int_lt(w.err, 0);
	t->v = NULL;
	tv_open(t); /* as it was: it had not come to the exchange */
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("volume_gc_care");
	TCase *c = tcase_create("care"), *close = tcase_create("close");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, an_anchor_that_comes_says_nothing_of_a_root_that_came_later);
	tcase_add_test(c, what_is_half_in_the_map_is_no_victim);
	tcase_add_test(c, where_there_are_no_checkpoints_any_more_nothing_is_copied);
	tcase_add_test(c, what_is_held_until_an_anchor_leaves_when_nobody_writes_any_more);
	tcase_add_test(c, a_store_that_removes_nothing_is_not_sent_one_anchor_after_the_other);
	suite_add_tcase(s, c);
	tcase_set_timeout(close, 60);
	tcase_add_test(close, a_close_waits_until_a_collection_has_left_the_volume);
	tcase_add_test(close, a_close_waits_until_a_change_has_left_the_volume);
	tcase_add_test(close, a_close_during_a_rollback_leaves_the_volume_as_it_was);
	suite_add_tcase(s, close);
	return s;
}

T_MAIN(suite)
