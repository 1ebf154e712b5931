/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of how space is given back: what is dead is deleted, what is alive in part is copied,
 * nothing of it is ever missed.
 * lsvd-test: timeout=300 labels=tsan
 */
#include <pthread.h>

#include <lsvd/gc.h>

#include "t_volume.h"
#include "volume/volume_internal.h"

#define BLOCKS (TV_BYTES / TV_BLOCK)

static struct tv *fresh(void)
{
	struct tv *t = tv_new();

	tv_open(t);
	return t;
}

static void fill(struct tv *t, uint64_t seed)
{
	for (uint64_t off = 0; off < TV_BYTES; off += 65536)
		tv_write(t, off, 65536, seed + off);
}

/* Blocks here and there. */
static void scatter(struct tv *t, unsigned n, uint64_t seed)
{
	for (unsigned i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		tv_write(t, (seed >> 33) % BLOCKS * TV_BLOCK, TV_BLOCK, seed);
	}
}

static void checkpoint(struct tv *t)
{
	ck_assert_ok(lsvd_volume_checkpoint(t->v, UINT32_MAX));
}

/* Without the cache, so that everything comes from the store. */
static void reopen_elsewhere(struct tv *t)
{
	tv_close(t);
	tv_run("rm -rf %s", t->cache, NULL);
	tv_open(t);
}

static uint64_t bytes_of(struct tv *t, enum key_kind kind)
{
	struct tv_keys *k = tv_keys(t, kind);
	uint64_t sum = 0;

	for (unsigned i = 0; i < k->count; i++)
		sum += k->bytes[i];
	free(k);
	return sum;
}

/* ------------------------------------------------------------------------------------- deletion */

START_TEST(what_is_overwritten_leaves_the_store_after_a_checkpoint)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 8; i++) {
		fill(t, i);
		checkpoint(t);
	}
	tv_wait_for(tv_stats(t).deleted_objects > 0);
	tv_check_all(t);
	reopen_elsewhere(t);
	checkpoint(t);
	tv_write(t, 0, TV_BLOCK, 99);
	ck_assert_ok(lsvd_volume_gc(t->v, 10000, UINT32_MAX)); /* deletes, and copies nothing */
	ck_assert_uint_eq(tv_stats(t).gc_copied_bytes, 0);
	ck_assert_uint_lt(bytes_of(t, KEY_CHAIN), TV_BYTES * 5 / 4);
	ck_assert_uint_lt(tv_stats(t).stored_bytes, TV_BYTES * 5 / 4);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(old_checkpoints_leave_the_store)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 40; i++) {
		scatter(t, 20, i);
		checkpoint(t);
	}
	ck_assert_ok(lsvd_volume_gc(t->v, 10000, UINT32_MAX));
	ck_assert_uint_le(tv_count(t, KEY_ROOT), 2);
	ck_assert_uint_le(tv_count(t, KEY_FREE), 4);
	ck_assert_uint_gt(tv_stats(t).checkpoint_bytes, 0);
	ck_assert_uint_le(tv_stats(t).checkpoint_bytes,
			  bytes_of(t, KEY_FREE) + bytes_of(t, KEY_ROOT));
	reopen_elsewhere(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(trims_and_zeroes_leave_nothing_behind)
{
	struct tv *t = fresh();

	fill(t, 1);
	tv_sync(t);
	tv_trim(t, 0, TV_BYTES);
	tv_reopen(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	ck_assert_uint_eq(tv_stats(t).live_bytes, 0);
	ck_assert_uint_eq(tv_stats(t).stored_bytes, 0);
	ck_assert_uint_lt(bytes_of(t, KEY_CHAIN), 16384); /* bases, anchors, ends */
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------- copying */

START_TEST(what_is_alive_is_copied_and_the_rest_given_back)
{
	static const unsigned compressions[] = { LSVD_COMPRESS_NONE, LSVD_COMPRESS_LZ4 };
	struct tv *t = tv_new();

	t->o.compression = compressions[_i % 2];
	t->o.unit_bytes = 16384;
	tv_open(t);
	for (uint64_t off = 0; off < TV_BYTES; off += 65536)
		tv_write_text(t, off, 65536, off);
	scatter(t, BLOCKS, 7);
	tv_reopen(t); /* else the newest objects stay */
	ck_assert_uint_gt(tv_stats(t).stored_bytes, 0);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	ck_assert_uint_gt(tv_stats(t).gc_copied_bytes, TV_BYTES / 4);
	ck_assert_uint_eq(tv_stats(t).data_gets, 0); /* they are collection's */
	ck_assert_uint_eq(tv_stats(t).live_bytes, TV_BYTES);
	tv_check_all(t);
	ck_assert_uint_le(bytes_of(t, KEY_CHAIN) + bytes_of(t, KEY_FREE), TV_BYTES * 105 / 100);
	reopen_elsewhere(t);
	tv_check_all(t);
	ck_assert_uint_eq(tv_stats(t).live_bytes, TV_BYTES);
	tv_free(t);
}
END_TEST

START_TEST(what_lies_apart_in_one_object_is_copied_by_few_requests)
{
	struct tv *t = fresh();
	const uint64_t victims = TV_BYTES / t->o.segment_bytes;
	uint64_t before;

	fill(t, 1);
	for (uint64_t i = 0; i < BLOCKS; i++)
		if (i % 8)
			tv_write(t, i * TV_BLOCK, TV_BLOCK, i);
	reopen_elsewhere(t);
	before = tv_stats(t).gc_requests;
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	ck_assert_uint_eq(tv_stats(t).gc_copied_bytes, TV_BYTES / 8);
	/* Of each a header and the four blocks; and what is put. */
	ck_assert_uint_le(tv_stats(t).gc_requests - before, victims * 4);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(collected_again_and_again_it_stays_what_it_is)
{
	struct tv *t = fresh();

	fill(t, 3);
	for (unsigned i = 0; i < 6; i++) {
		scatter(t, 1500, i * 31 + 1);
		ck_assert_ok(lsvd_volume_gc(t->v, 110 + 20 * i, UINT32_MAX));
		if (i % 2)
			reopen_elsewhere(t);
		tv_check_all(t);
		lsvd_vol_check_parts(t->v);
	}
	tv_free(t);
}
END_TEST

static bool deletes_nothing(struct tv *t)
{
	bool nothing;

	lsvd_port_enter(&t->v->port);
	nothing = !t->v->root_named_by && !t->v->deletion;
	lsvd_port_leave(&t->v->port, false);
	return nothing;
}

START_TEST(an_adoption_is_replayed_where_there_is_no_checkpoint_after_it)
{
	struct tv *t = fresh();
	struct tv *c;

	fill(t, 3);
	scatter(t, 3000, 5);
	tv_sync(t);
	checkpoint(t);
	scatter(t, 200, 6);
	/* No room for roots: the collection happens, and what follows it does not. */
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/k/", .err = -EACCES });
	(void)!lsvd_volume_gc(t->v, 100, 3000);
	ck_assert_uint_gt(tv_stats(t).gc_copied_bytes, 0);
	scatter(t, 200, 7);
	tv_sync(t);
	tv_check_all(t);
	tv_wait_for(deletes_nothing(t));
	c = tv_copy(t);
	memcpy(c->model, t->model, TV_BYTES);
	c->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	tv_run("rm -rf %s", c->cache, NULL);
	tv_open(c);
	tv_check_all(c);
	ck_assert_uint_eq(tv_stats(c).live_bytes, TV_BYTES);
	tv_free(c);
	tv_free(t);
}
END_TEST

static void *collect(void *arg)
{
	struct tv *t = arg;

	for (unsigned i = 0; i < 5; i++)
		ck_assert_ok(lsvd_volume_gc(t->v, 105, UINT32_MAX));
	return NULL;
}

/* What is written while its old place is being copied must win. */
START_TEST(writes_during_a_collection_are_kept)
{
	struct tv *t = fresh();
	pthread_t thread;

	fill(t, 9);
	scatter(t, 2000, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, collect, t), 0);
	for (unsigned i = 0; i < 30; i++) {
		scatter(t, 100, 100 + i);
		if (i % 3 == 0)
			tv_trim(t, (i * 37 % 256) * 65536, 65536);
		tv_check(t, (i % 16) * 1048576, 1048576);
		ck_assert_ok(lsvd_volume_seal(t->v));
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	tv_check_all(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	reopen_elsewhere(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(what_does_not_verify_is_not_copied_and_stays)
{
	struct tv *t = fresh();
	struct tv_keys *k;
	uint8_t *buf = tv_buffer(TV_BLOCK);
	unsigned bad = 0;
	char *path;

	fill(t, 1);
	scatter(t, 2500, 2);
	tv_reopen(t);
	k = tv_keys(t, KEY_CHAIN);
	for (unsigned i = 10; i < 20; i++) {
		path = tv_object_path(t, k->keys[i]);
		for (uint64_t at = 20000; at + 4096 < k->bytes[i]; at += 16384)
			tv_flip(path, at);
		free(path);
	}
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	for (uint64_t b = 0; b < BLOCKS; b++) {
		int err = lsvd_volume_read(t->v, buf, b * TV_BLOCK, TV_BLOCK);

		ck_assert(err == 0 || err == LSVD_E_CORRUPT);
		if (err == 0)
			ck_assert_mem_eq(buf, t->model + b * TV_BLOCK, TV_BLOCK);
		bad += err != 0;
	}
	ck_assert_uint_gt(bad, 0);
	ck_assert_uint_lt(bad, 200);
	for (unsigned i = 10; i < 20; i++) {
		path = tv_object_path(t, k->keys[i]);
		ck_assert_int_eq(access(path, F_OK), 0);
		free(path);
	}
	free(k);
	free(buf);
	tv_free(t);
}
END_TEST

/* What lives in an object cannot be known where the map cannot be read: that object stays. */
START_TEST(a_damaged_page_of_the_map_does_not_keep_a_collection_from_ending)
{
	struct tv *t = fresh();
	uint8_t block[TV_BLOCK];
	struct tv_keys *k;
	char *path;

	fill(t, 1);
	scatter(t, 1000, 2);
	checkpoint(t);
	tv_close(t);
	k = tv_keys(t, KEY_FREE);
	ck_assert_uint_ge(k->count, 1);
	path = tv_object_path(t, k->keys[k->count - 1]);
	tv_flip(path, OBJECT_HEAD_BYTES + 16); /* in the first page */
	tv_open(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	ck_assert_err(lsvd_volume_read(t->v, block, 0, TV_BLOCK), LSVD_E_CORRUPT);
	ck_assert_ok(lsvd_volume_read(t->v, block, TV_BYTES - TV_BLOCK, TV_BLOCK));
	ck_assert_mem_eq(block, t->model + TV_BYTES - TV_BLOCK, TV_BLOCK);
	checkpoint(t); /* would empty the object of the damaged page */
	free(path);
	free(k);
	tv_free(t);
}
END_TEST

START_TEST(a_store_that_is_away_ends_a_collection_and_loses_nothing)
{
	struct tv *t = fresh();

	fill(t, 1);
	scatter(t, 2500, 2);
	tv_sync(t);
	t->o.read_timeout_ms = 500;
	tv_reopen(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .err = LSVD_E_UNAVAILABLE });
	ck_assert_int_lt(lsvd_volume_gc(t->v, 100, 20000), 0);
	ck_assert_uint_eq(tv_stats(t).gc_copied_bytes, 0);
	store_fault_clear(t->fault);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(wrong_calls_are_refused)
{
	struct tv *t = fresh();

	ck_assert_err(lsvd_volume_gc(t->v, 99, 1000), -EINVAL);
	ck_assert_err(lsvd_volume_gc(t->v, 10001, 1000), -EINVAL);
	ck_assert_error_says("10001");
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX)); /* of nothing */
	tv_close(t);
	t->o.flags = LSVD_OPEN_READONLY;
	tv_open(t);
	ck_assert_err(lsvd_volume_gc(t->v, 100, 1000), -EROFS);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------------------- by itself */

static struct lsvd_gc_status status_of(struct tv *t)
{
	struct lsvd_gc_status s = LSVD_GC_STATUS_INIT;

	ck_assert_ok(lsvd_volume_gc_status(t->v, &s));
	return s;
}

static bool is_on_target(struct tv *t)
{
	struct lsvd_gc_status s = status_of(t);

	return !(s.flags & LSVD_GC_RUNNING) &&
	       s.data_bytes * 100 <= s.live_bytes * s.target_percent;
}

START_TEST(a_volume_that_is_overwritten_gives_space_back_by_itself)
{
	struct tv *t = tv_new();

	t->o.gc = LSVD_GC_AUTO;
	t->o.gc_bytes_per_second = UINT64_MAX;
	tv_open(t);
	fill(t, 3);
	for (unsigned i = 0; i < 4; i++)
		scatter(t, 2000, i);
	tv_sync(t);
	tv_wait_for(is_on_target(t));
	ck_assert_uint_gt(status_of(t).copied_bytes, 0);
	ck_assert_uint_eq(status_of(t).failed_rounds, 0);
	tv_wait_for(tv_stats(t).deleted_objects > 0);
	tv_check_all(t);
	reopen_elsewhere(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(while_it_is_paused_nothing_is_copied)
{
	struct tv *t = fresh();

	fill(t, 3);
	scatter(t, 2500, 1);
	ck_assert_ok(lsvd_volume_gc_control(t->v, LSVD_GC_PAUSE));
	ck_assert_err(lsvd_volume_gc(t->v, 100, 50), -ETIMEDOUT);
	ck_assert_uint_eq(status_of(t).flags & (LSVD_GC_PAUSED | LSVD_GC_RUNNING), LSVD_GC_PAUSED);
	ck_assert_uint_eq(status_of(t).rounds, 0);
	ck_assert_ok(lsvd_volume_gc_control(t->v, LSVD_GC_RESUME));
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	ck_assert_uint_gt(status_of(t).copied_bytes, 0);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static int give_up_soon(void *ctx, const struct lsvd_gc_status *status)
{
	unsigned *calls = ctx;

	(void)status;
	return ++*calls == 2;
}

START_TEST(a_collection_can_be_given_up_and_begun_again)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;
	struct tv *t = fresh();
	unsigned calls = 0;

	fill(t, 3);
	scatter(t, 2500, 1);
	o.percent = 100;
	o.progress = give_up_soon;
	o.ctx = &calls;
	ck_assert_err(lsvd_volume_collect(t->v, &o, NULL), -ECANCELED);
	ck_assert_uint_eq(calls, 2);
	tv_check_all(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	ck_assert_uint_eq(status_of(t).data_bytes, status_of(t).live_bytes);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* The first thing that is waited for is idleness, an hour away. */
START_TEST(a_long_wait_does_not_hide_a_short_one)
{
	struct tv *t = tv_new();

	t->o.gc = LSVD_GC_AUTO;
	t->o.gc_idle_ms = 3600000;
	t->o.gc_bytes_per_second = 4u << 20; /* some tens of ms after each round near the target */
	tv_open(t);
	fill(t, 3);
	scatter(t, 4000, 1);
	tv_sync(t);
	tv_wait_for(is_on_target(t));
	ck_assert_uint_gt(status_of(t).copied_bytes, 0);
	tv_free(t);
}
END_TEST

START_TEST(a_volume_gives_space_back_after_an_open_without_a_write)
{
	struct tv *t = fresh();

	fill(t, 3);
	scatter(t, 4000, 1);
	tv_close(t);
	t->o.gc = LSVD_GC_AUTO;
	t->o.gc_bytes_per_second = UINT64_MAX;
	tv_open(t);
	tv_wait_for(is_on_target(t));
	ck_assert_uint_gt(status_of(t).copied_bytes, 0);
	tv_wait_for(tv_stats(t).deleted_objects > 0);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* All that the snapshot alone needed had died before: there is nothing to copy. */
START_TEST(what_died_before_its_snapshot_leaves_with_it_by_itself)
{
	struct tv *t = tv_new();

	t->o.gc = LSVD_GC_AUTO;
	t->o.gc_idle_ms = UINT32_MAX;
	tv_open(t);
	fill(t, 1);
	ck_assert_ok(lsvd_snapshot_create(t->v, "before", UINT32_MAX, NULL));
	fill(t, 2);
	checkpoint(t);
	ck_assert_uint_gt(bytes_of(t, KEY_CHAIN), 2 * TV_BYTES);
	ck_assert_ok(lsvd_snapshot_delete(t->v, "before", UINT32_MAX));
	tv_wait_for(bytes_of(t, KEY_CHAIN) < TV_BYTES * 11 / 10);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(what_lives_beside_what_a_snapshot_needed_is_copied_when_it_goes)
{
	struct tv *t = tv_new();

	t->o.gc = LSVD_GC_AUTO;
	t->o.gc_idle_ms = UINT32_MAX;
	t->o.gc_bytes_per_second = UINT64_MAX;
	tv_open(t);
	fill(t, 1);
	ck_assert_ok(lsvd_snapshot_create(t->v, "before", UINT32_MAX, NULL));
	scatter(t, 4000, 1);
	tv_sync(t);
	ck_assert(!is_on_target(t));
	ck_assert_ok(lsvd_snapshot_delete(t->v, "before", UINT32_MAX));
	tv_wait_for(is_on_target(t));
	tv_check_all(t);
	tv_free(t);
}
END_TEST

struct by_hand {
	struct tv *t;
	pthread_t thread;
	int err;
};

static void *collect_once(void *arg)
{
	struct by_hand *h = arg;

	h->err = lsvd_volume_gc(h->t->v, 100, UINT32_MAX);
	return NULL;
}

static void begin_by_hand(struct by_hand *h, struct tv *t)
{
	h->t = t;
	ck_assert_int_eq(pthread_create(&h->thread, NULL, collect_once, h), 0);
	tv_wait_for(status_of(t).flags & LSVD_GC_BY_HAND);
}

static int end_by_hand(struct by_hand *h)
{
	ck_assert_int_eq(pthread_join(h->thread, NULL), 0);
	return h->err;
}

START_TEST(a_second_collection_by_hand_is_refused_and_does_not_touch_the_first)
{
	struct tv *t = fresh();
	struct by_hand h;

	fill(t, 3);
	scatter(t, 2500, 1);
	tv_sync(t);
	ck_assert_ok(lsvd_volume_gc_control(t->v, LSVD_GC_PAUSE));
	begin_by_hand(&h, t);
	ck_assert_err(lsvd_volume_gc(t->v, 200, 50), -EBUSY);
	ck_assert_error_says("by hand already");
	ck_assert(status_of(t).flags & LSVD_GC_BY_HAND);
	ck_assert_ok(lsvd_volume_gc_control(t->v, LSVD_GC_RESUME));
	ck_assert_ok(end_by_hand(&h));
	ck_assert_uint_eq(status_of(t).data_bytes, status_of(t).live_bytes);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* Nothing is being copied yet: it still waits for the store. */
START_TEST(a_collection_is_cancelled_whatever_it_waits_for)
{
	struct tv *t = fresh();
	struct by_hand h;

	fill(t, 3);
	tv_sync(t);
	scatter(t, 100, 1);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/", .kind = FAULT_HOLD });
	begin_by_hand(&h, t);
	ck_assert_ok(lsvd_volume_gc_control(t->v, LSVD_GC_CANCEL));
	store_fault_clear(t->fault);
	ck_assert_err(end_by_hand(&h), -ECANCELED);
	ck_assert_uint_eq(status_of(t).rounds, 0);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	tv_free(t);
}
END_TEST

static bool runs_by_hand(struct tv *t, bool *ret_automatic_goes_on)
{
	const struct log_gc *gc = &t->v->gc;
	bool by_hand;

	lsvd_port_enter(&t->v->port);
	by_hand = gc->by_hand;
	*ret_automatic_goes_on = gc->running && !gc->asked && !gc->pass.cancelled;
	lsvd_port_leave(&t->v->port, false);
	return by_hand;
}

START_TEST(cancelling_what_was_asked_for_leaves_alone_what_began_by_itself)
{
	struct tv *t = tv_new();
	struct by_hand h;
	bool goes_on;

	t->o.gc = LSVD_GC_AUTO;
	t->o.gc_bytes_per_second = UINT64_MAX;
	tv_open(t);
	fill(t, 3);
	tv_sync(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = "/d/", .kind = FAULT_HOLD });
	scatter(t, 4000, 1);
	tv_sync(t);
	store_fault_wait_held(t->fault, 1); /* a round reads what its victims were made with */
	begin_by_hand(&h, t);
	tv_wait_for(runs_by_hand(t, &goes_on));
	ck_assert(goes_on);
	ck_assert_ok(lsvd_volume_gc_control(t->v, LSVD_GC_CANCEL));
	ck_assert(!runs_by_hand(t, &goes_on));
	ck_assert(goes_on);
	ck_assert_err(end_by_hand(&h), -ECANCELED);
	store_fault_clear(t->fault);
	tv_wait_for(is_on_target(t));
	ck_assert_uint_gt(status_of(t).copied_bytes, 0);
	ck_assert_uint_eq(status_of(t).failed_rounds, 0);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* Segments are never sealed by time here: what is written meanwhile keeps one open for ever. */
START_TEST(a_collection_does_not_wait_for_what_is_written_meanwhile)
{
	struct tv *t = fresh();
	struct by_hand h;

	fill(t, 3);
	scatter(t, 2500, 1);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/k/", .kind = FAULT_HOLD });
	begin_by_hand(&h, t);
	store_fault_wait_held(t->fault, 1);
	tv_write(t, 0, TV_BLOCK, 5);
	store_fault_clear(t->fault);
	ck_assert_ok(end_by_hand(&h));
	ck_assert_uint_gt(tv_stats(t).deleted_objects, 0);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(by_hand_the_stale_strategy_goes_as_far_as_it_is_told)
{
	struct tv *t = tv_new();

	t->o.gc_strategy = LSVD_GC_STALE;
	t->o.gc_target_percent = 1000;
	tv_open(t);
	fill(t, 3);
	scatter(t, 1000, 1);
	ck_assert_ok(lsvd_volume_gc(t->v, 1000, UINT32_MAX));
	ck_assert_uint_eq(status_of(t).copied_bytes, 0);
	ck_assert_ok(lsvd_volume_gc(t->v, 110, UINT32_MAX));
	ck_assert_uint_gt(status_of(t).copied_bytes, 0);
	ck_assert_uint_le(status_of(t).data_bytes * 100, status_of(t).live_bytes * 110);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	ck_assert_uint_eq(status_of(t).data_bytes, status_of(t).live_bytes);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* It lived until the next one was written, also if that was the very next. */
START_TEST(how_long_hot_segments_live_is_up_to_what_replaces_them)
{
	const uint32_t bytes = 128u << 10;
	const uint64_t apart = _i;
	struct tv *t = fresh();
	uint64_t lifespan;

	for (uint64_t i = 0; i < 3 * apart; i++) {
		tv_write(t, i % apart * bytes, bytes, i);
		tv_sync(t);
	}
	lsvd_port_enter(&t->v->port);
	lifespan = t->v->lifespan;
	lsvd_port_leave(&t->v->port, false);
	ck_assert_uint_eq(lifespan, apart * bytes);
	tv_free(t);
}
END_TEST

/* How many segments had a cold part. */
static uint64_t divided(struct tv *t)
{
	struct lsvd_stats s;

	tv_sync(t);
	s = tv_stats(t);
	return s.data_puts - s.segments;
}

/* How long hot segments live is known then. */
static void overwrite_the_first(struct tv *t)
{
	const uint64_t bytes = 128u << 10;

	for (uint64_t i = 0; i < 100; i++) {
		tv_write(t, i % 4 * bytes, bytes, i);
		tv_sync(t);
	}
}

/* Half of it over what is young by then, the other over what was never overwritten. */
static void mixed_segment(struct tv *t)
{
	const uint64_t bytes = 128u << 10;

	overwrite_the_first(t);
	for (uint64_t i = 0; i < 16; i++) {
		tv_write(t, 3 * bytes + i * TV_BLOCK, TV_BLOCK, i);
		tv_write(t, (i + 8) * 4 * bytes + TV_BLOCK, TV_BLOCK, i);
	}
}

START_TEST(what_is_written_over_old_data_lies_in_objects_of_its_own_if_that_is_asked_for)
{
	struct tv *t = tv_new();

	t->o.gc_strategy = _i ? LSVD_GC_SEPARATE : LSVD_GC_COST_BENEFIT;
	t->o.gc_target_percent = 101;
	tv_open(t);
	fill(t, 1);
	mixed_segment(t);
	ck_assert_uint_eq(divided(t), _i ? 1 : 0);
	tv_write(t, 3u << 17, 1u << 17, 9); /* else half of it would be older than the rest */
	fill(t, 2); /* in order of address: nothing to be kept apart */
	ck_assert_uint_eq(divided(t), _i ? 1 : 0);
	mixed_segment(t);
	ck_assert_uint_eq(divided(t), _i ? 2 : 0);
	tv_check_all(t);
	reopen_elsewhere(t);
	tv_check_all(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* Their names are taken by something of another's. */
static void take_next_names(struct tv *t, unsigned n)
{
	struct uuid uuid = tv_uuid(t);
	uint64_t last = 0;

	for (uint64_t i = 0; i != UINT64_MAX; i = lsvd_object_table_next(&t->v->objects, i + 1))
		last = i;
	for (unsigned i = 1; i <= n; i++) {
		char key[KEY_CAP], *path;

		lsvd_key_free(key, &uuid, 1, last + i);
		path = tv_object_path(t, key);
		tv_run("mkdir -p \"$(dirname '%s')\" && echo other >'%s'", path, path);
		free(path);
	}
}

static struct lsvd_stats stats_of_a_mixture(enum lsvd_gc_strategy strategy, unsigned taken)
{
	const uint64_t bytes = 128u << 10;
	struct tv *t = tv_new();
	struct lsvd_stats s;

	t->o.gc_strategy = strategy;
	t->o.gc_target_percent = 101;
	tv_open(t);
	fill(t, 1);
	overwrite_the_first(t);
	take_next_names(t, taken);
	for (uint64_t i = 0; i < 15; i++) {
		tv_write_text(t, 3 * bytes + i * TV_BLOCK, TV_BLOCK, i);
		tv_write_text(t, (i + 8) * 4 * bytes + TV_BLOCK, TV_BLOCK, i);
	}
	tv_write_text(t, 3 * bytes, TV_BLOCK, 99);
	ck_assert_uint_eq(divided(t), strategy == LSVD_GC_SEPARATE && !taken);
	s = tv_stats(t);
	tv_check_all(t);
	tv_free(t);
	return s;
}

/* In two parts, or in one after that was tried in vain. */
START_TEST(what_is_coalesced_and_compressed_is_counted_once_if_built_twice)
{
	struct lsvd_stats whole = stats_of_a_mixture(LSVD_GC_COST_BENEFIT, 0);
	struct lsvd_stats divided = stats_of_a_mixture(LSVD_GC_SEPARATE, 0);
	struct lsvd_stats again = stats_of_a_mixture(LSVD_GC_SEPARATE, 8);

	ck_assert_uint_eq(whole.coalesced_bytes, TV_BLOCK);
	ck_assert_uint_eq(whole.compressed_from, 30 * TV_BLOCK);
	ck_assert_uint_eq(divided.coalesced_bytes, whole.coalesced_bytes);
	ck_assert_uint_eq(divided.compressed_from, whole.compressed_from);
	ck_assert_uint_eq(again.coalesced_bytes, whole.coalesced_bytes);
	ck_assert_uint_eq(again.compressed_from, whole.compressed_from);
	ck_assert_uint_eq(again.compressed_to, whole.compressed_to);
}
END_TEST

/* Also what this open has written, and the notes that said so. */
START_TEST(a_collection_leaves_little_more_than_what_is_alive)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 6; i++) {
		fill(t, 3);
		scatter(t, 500, i);
		ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	}
	ck_assert_uint_lt(bytes_of(t, KEY_CHAIN) + bytes_of(t, KEY_FREE), TV_BYTES * 11 / 10);
	ck_assert_uint_lt(tv_count(t, KEY_CHAIN), 200);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* An object of that name, with something in it. */
static char *plant(struct tv *t, uint64_t epoch, uint64_t number)
{
	struct uuid uuid = tv_uuid(t);
	char key[KEY_CAP];
	char *path;

	lsvd_key_free(key, &uuid, epoch, number);
	path = tv_object_path(t, key);
	tv_run("echo cut off >'%s'", path, NULL);
	return path;
}

START_TEST(objects_that_nobody_knows_are_removed_unless_they_are_of_this_epoch)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;
	struct lsvd_gc_status s = LSVD_GC_STATUS_INIT;
	struct tv *t = fresh();
	char *old, *now;

	fill(t, 3);
	scatter(t, 500, 1);
	checkpoint(t);
	tv_reopen(t);
	old = plant(t, 1, 4000);
	now = plant(t, 2, 4001);
	o.flags = LSVD_COLLECT_ORPHANS | LSVD_COLLECT_NO_COPY;
	ck_assert_ok(lsvd_volume_collect(t->v, &o, &s));
	ck_assert_uint_eq(s.orphans, 1);
	ck_assert_uint_eq(s.orphan_bytes, strlen("cut off\n"));
	ck_assert_int_ne(access(old, F_OK), 0);
	ck_assert_int_eq(access(now, F_OK), 0);
	tv_check_all(t);
	reopen_elsewhere(t);
	tv_check_all(t);
	free(old);
	free(now);
	tv_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("volume_gc");
	TCase *c = tcase_create("deletion");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, what_is_overwritten_leaves_the_store_after_a_checkpoint);
	tcase_add_test(c, old_checkpoints_leave_the_store);
	tcase_add_test(c, trims_and_zeroes_leave_nothing_behind);
	suite_add_tcase(s, c);

	c = tcase_create("copying");
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, what_is_alive_is_copied_and_the_rest_given_back, 0, 2);
	tcase_add_test(c, what_lies_apart_in_one_object_is_copied_by_few_requests);
	tcase_add_test(c, collected_again_and_again_it_stays_what_it_is);
	tcase_add_test(c, an_adoption_is_replayed_where_there_is_no_checkpoint_after_it);
	tcase_add_test(c, writes_during_a_collection_are_kept);
	tcase_add_test(c, what_does_not_verify_is_not_copied_and_stays);
	tcase_add_test(c, a_damaged_page_of_the_map_does_not_keep_a_collection_from_ending);
	tcase_add_test(c, a_store_that_is_away_ends_a_collection_and_loses_nothing);
	tcase_add_test(c, wrong_calls_are_refused);
	suite_add_tcase(s, c);

	c = tcase_create("control");
	tcase_set_timeout(c, 120);
	tcase_add_test(c, a_volume_that_is_overwritten_gives_space_back_by_itself);
	tcase_add_test(c, a_long_wait_does_not_hide_a_short_one);
	tcase_add_test(c, a_volume_gives_space_back_after_an_open_without_a_write);
	tcase_add_test(c, what_died_before_its_snapshot_leaves_with_it_by_itself);
	tcase_add_test(c, what_lives_beside_what_a_snapshot_needed_is_copied_when_it_goes);
	tcase_add_test(c, while_it_is_paused_nothing_is_copied);
	tcase_add_test(c, a_second_collection_by_hand_is_refused_and_does_not_touch_the_first);
	tcase_add_test(c, a_collection_is_cancelled_whatever_it_waits_for);
	tcase_add_test(c, cancelling_what_was_asked_for_leaves_alone_what_began_by_itself);
	tcase_add_test(c, a_collection_does_not_wait_for_what_is_written_meanwhile);
	tcase_add_test(c, by_hand_the_stale_strategy_goes_as_far_as_it_is_told);
	tcase_add_loop_test(
		c, what_is_written_over_old_data_lies_in_objects_of_its_own_if_that_is_asked_for,
		0, 2);
	tcase_add_test(c, what_is_coalesced_and_compressed_is_counted_once_if_built_twice);
	tcase_add_loop_test(c, how_long_hot_segments_live_is_up_to_what_replaces_them, 1, 4);
	tcase_add_test(c, a_collection_can_be_given_up_and_begun_again);
	tcase_add_test(c, a_collection_leaves_little_more_than_what_is_alive);
	tcase_add_test(c, objects_that_nobody_knows_are_removed_unless_they_are_of_this_epoch);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
