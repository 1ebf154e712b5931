/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of clones that leave their base: with all that was in it, whenever they are interrupted,
 * and not before nothing of theirs needs it any more.
 * lsvd-test: timeout=300 labels=tsan
 */
#include <pthread.h>
#include <stdatomic.h>

#include "t_clone.h"
#include "volume/volume_internal.h"

static void expect_sound(struct tv *t, const char *name)
{
	struct lsvd_check_options o = LSVD_CHECK_OPTIONS_INIT;
	struct lsvd_check_report r = LSVD_CHECK_REPORT_INIT;

	o.flags = LSVD_CHECK_DEEP;
	ck_assert_ok(lsvd_volume_check(t->store, name, &o, &r));
	ck_assert_uint_eq(r.errors, 0);
	ck_assert_uint_eq(r.warnings, 0);
	ck_assert_uint_eq(r.complete, 1);
	ck_assert_uint_eq(r.verified_objects, r.data_objects);
}

/* With objects of all kinds: compressed, raw, collected, of zeroes; and pages of a map. */
static struct tv *full_base(void)
{
	struct tv *t = fresh();

	scatter(t, 400, 1);
	tv_write_text(t, 3u << 20, 1u << 20, 3);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
	tv_zero(t, 1u << 20, 65536, 0);
	scatter(t, 100, 2);
	snapshot(t, "s");
	return t;
}

/* Nothing of the base is left; the volume has been closed. */
static void delete_base(struct tv *t)
{
	if (t->v)
		tv_close(t);
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
}

static void expect_whole(struct other *c)
{
	tv_check_all(&c->t);
	lsvd_vol_check_parts(c->t.v);
	scatter(&c->t, 50, 77);
	close_other(c);
	/* On another machine, too. */
	tv_run("rm -rf '%s'", c->t.cache, NULL);
	open_other(c);
	tv_check_all(&c->t);
	close_other(c);
	expect_sound(&c->t, c->name);
	open_other(c);
}

/*
 * Before it has a checkpoint of its own, and after; with pages of the map in memory, and without.
 */
START_TEST(a_flat_clone_has_everything_and_its_base_can_go)
{
	struct tv *t = full_base();
	struct other *c;

	if (_i == 2)
		t->o.map_memory_bytes = 1u << 20;
	c = clone_of(t, TV_NAME, "s", "c");
	scatter(&c->t, 300, 4);
	tv_trim(&c->t, 5u << 20, 1u << 20);
	if (_i % 2)
		ck_assert_ok(lsvd_volume_checkpoint(c->t.v, EVER));
	scatter(&c->t, 100, 5);
	ck_assert_ok(lsvd_volume_flatten(c->t.v, EVER));
	delete_base(t);
	expect_whole(c);
	ck_assert_ok(lsvd_volume_flatten(c->t.v, EVER)); /* there is nothing to do */
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(a_clone_that_is_not_flat_keeps_its_base)
{
	struct tv *t = full_base();
	struct other *a = clone_of(t, TV_NAME, "s", "a"), *b = clone_of(t, TV_NAME, "s", "b");

	ck_assert_ok(lsvd_volume_flatten(a->t.v, EVER));
	ck_assert_err(lsvd_snapshot_delete(t->v, "s", EVER), -EBUSY);
	ck_assert_error_says("1 volume: b");
	ck_assert_ok(lsvd_volume_flatten(b->t.v, EVER));
	ck_assert_ok(lsvd_snapshot_delete(t->v, "s", EVER));
	ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
	tv_check_all(t);
	delete_base(t);
	expect_whole(a);
	expect_whole(b);
	close_other(a);
	ck_assert_ok(lsvd_volume_delete(t->store, "a"));
	end_other(a);
	end_other(b);
	tv_free(t);
}
END_TEST

/* The last, which reads objects of all that are before it; then those in between. */
START_TEST(a_clone_of_a_clone_leaves_all_of_them_and_none_is_left_that_one_needs)
{
	struct tv *t = full_base();
	struct other *middle = clone_of(t, TV_NAME, "s", "middle"), *last;

	scatter(&middle->t, 300, 10);
	snapshot(&middle->t, "m");
	last = clone_of(&middle->t, "middle", "m", "last");
	scatter(&last->t, 300, 11);
	ck_assert_err(lsvd_volume_flatten(middle->t.v, EVER), -EBUSY);
	ck_assert_error_says("1 of its snapshots, too: m");
	ck_assert_err(lsvd_snapshot_delete(middle->t.v, "m", EVER), -EBUSY);
	ck_assert_ok(lsvd_volume_flatten(last->t.v, EVER));
	if (_i == 0) {
		ck_assert_ok(lsvd_snapshot_delete(middle->t.v, "m", EVER));
		ck_assert_ok(lsvd_volume_flatten(middle->t.v, EVER));
		delete_base(t);
		expect_whole(middle);
	}
	close_other(middle);
	ck_assert_ok(lsvd_volume_delete(t->store, "middle"));
	if (_i == 1)
		delete_base(t);
	expect_whole(last);
	end_other(middle);
	end_other(last);
	tv_free(t);
}
END_TEST

START_TEST(a_flat_clone_has_snapshots_and_clones_of_its_own)
{
	struct tv *t = full_base();
	struct other *c = clone_of(t, TV_NAME, "s", "c"), *child;

	snapshot(&c->t, "early");
	ck_assert_err(lsvd_volume_flatten(c->t.v, EVER), -EBUSY);
	ck_assert_error_says("early");
	scatter(&c->t, 100, 20);
	snapshot(&c->t, "later");
	ck_assert_err(lsvd_volume_flatten(c->t.v, EVER), -EBUSY);
	ck_assert_error_says("2 of its snapshots, too: early, later");
	ck_assert_ok(lsvd_snapshot_delete(c->t.v, "early", EVER));
	ck_assert_ok(lsvd_snapshot_delete(c->t.v, "later", EVER));
	ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
	ck_assert_ok(lsvd_volume_flatten(c->t.v, EVER));
	snapshot(&c->t, "flat");
	child = clone_of(&c->t, "c", "flat", "child");
	scatter(&c->t, 500, 21);
	ck_assert_ok(lsvd_volume_flatten(c->t.v, EVER)); /* "flat" does not need it */
	delete_base(t);
	expect_whole(child);
	ck_assert_ok(lsvd_snapshot_rollback(c->t.v, "flat", EVER));
	scatter(&child->t, 100, 22);
	ck_assert_ok(lsvd_volume_flatten(child->t.v, EVER));
	ck_assert_ok(lsvd_snapshot_delete(c->t.v, "flat", EVER));
	close_other(c);
	ck_assert_ok(lsvd_volume_delete(t->store, "c"));
	expect_whole(child);
	end_other(c);
	end_other(child);
	tv_free(t);
}
END_TEST

struct stopper {
	unsigned after, calls;
	uint64_t left;           /* least that was still to be copied */
};

static int stop_after(void *ctx, const struct lsvd_gc_status *s)
{
	struct stopper *stop = ctx;

	if (s->left_bytes && s->left_bytes < stop->left)
		stop->left = s->left_bytes;
	return ++stop->calls == stop->after;
}

static int flatten_until(struct other *c, struct stopper *stop)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;

	o.flags = LSVD_COLLECT_FLATTEN;
	o.progress = stop_after;
	o.ctx = stop;
	return lsvd_volume_collect(c->t.v, &o, NULL);
}

START_TEST(one_that_was_stopped_half_way_is_a_clone_and_goes_on)
{
	struct tv *t = full_base();
	struct other *c = clone_of(t, TV_NAME, "s", "c");
	uint64_t copied = UINT64_MAX;
	unsigned stops = 0;

	for (unsigned i = 1;; i++) {
		struct stopper stop = { .after = i, .left = UINT64_MAX };
		int err = flatten_until(c, &stop);

		if (!err)
			break;
		ck_assert_int_eq(err, -ECANCELED);
		if (stop.left != UINT64_MAX) {
			ck_assert_uint_le(stop.left, copied); /* what was done stays done */
			copied = stop.left;
		}
		ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
		scatter(&c->t, 20, i);
		if (i % 2)
			reopen_other(c);
		tv_check_all(&c->t);
		stops++;
	}
	ck_assert_uint_gt(stops, 2);
	delete_base(t);
	expect_whole(c);
	end_other(c);
	tv_free(t);
}
END_TEST

struct worker {
	struct other *c;
	atomic_bool stop;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; !atomic_load(&w->stop); i++) {
		scatter(&w->c->t, 5, 1000 + i);
		tv_trim(&w->c->t, (uint64_t)(i % 64) * 65536, 4096);
		tv_check(&w->c->t, (uint64_t)(i % 32) * 131072, 65536);
	}
	return NULL;
}

START_TEST(reads_and_writes_go_on_meanwhile)
{
	struct tv *t = full_base();
	struct worker w = { .c = clone_of(t, TV_NAME, "s", "c") };
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, work, &w), 0);
	ck_assert_ok(lsvd_volume_flatten(w.c->t.v, EVER));
	delete_base(t);
	atomic_store(&w.stop, true);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	expect_whole(w.c);
	end_other(w.c);
	tv_free(t);
}
END_TEST

static void *flatten_to_its_end(void *arg)
{
	struct other *c = arg;

	return (void *)(intptr_t)lsvd_volume_flatten(c->t.v, EVER);
}

/* Before anything is copied, and after. */
START_TEST(one_that_waits_for_a_checkpoint_can_be_cancelled)
{
	struct tv *t = full_base();
	struct other *c = clone_of(t, TV_NAME, "s", "c");
	const struct uuid *u = &c->t.v->uuid;
	char roots[KEY_CAP];
	pthread_t thread;
	void *err;

	lsvd_key_prefix(roots, u, KEY_ROOT);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = roots, .from = (unsigned)_i + 1,
					 .times = 1, .kind = FAULT_HOLD });
	ck_assert_int_eq(pthread_create(&thread, NULL, flatten_to_its_end, c), 0);
	store_fault_wait_held(t->fault, 1);
	ck_assert_ok(lsvd_volume_gc_control(c->t.v, LSVD_GC_CANCEL));
	ck_assert_int_eq(pthread_join(thread, &err), 0);
	ck_assert_int_eq((int)(intptr_t)err, -ECANCELED);
	store_fault_clear(t->fault);
	ck_assert_ok(lsvd_volume_flatten(c->t.v, EVER));
	delete_base(t);
	expect_whole(c);
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(the_base_is_kept_until_the_store_has_said_that_it_is_left)
{
	struct tv *t = full_base();
	struct other *c = clone_of(t, TV_NAME, "s", "c");
	char slots[KEY_CAP];
	struct uuid base;

	tv_close(t);
	base = tv_uuid(t);
	lsvd_key_prefix(slots, &base, KEY_SLOT);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = slots, .times = 1,
					 .kind = _i ? FAULT_LOSE_REPLY : FAULT_FAIL, .err = -EIO });
	ck_assert_err(lsvd_volume_flatten(c->t.v, EVER), -EIO);
	if (_i == 0)
		ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
	tv_check_all(&c->t);
	reopen_other(c);
	ck_assert_ok(lsvd_volume_flatten(c->t.v, EVER));
	delete_base(t);
	expect_whole(c);
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(what_is_damaged_in_the_base_is_left_there_and_said)
{
	static const uint8_t rot[64] = { 1 };
	struct tv *t = full_base();
	struct tv_keys *k;
	struct other *c;
	char *path;
	unsigned n = 0;

	tv_close(t);
	t->o.rcache_bytes = 0;
	c = clone_of(t, TV_NAME, "s", "c");
	k = tv_keys(t, KEY_FREE);
	while (n < k->count && k->bytes[n] < 65536)
		n++;
	ck_assert_uint_lt(n, k->count);
	path = tv_object_path(t, k->keys[n]);
	tv_poke(path, rot, sizeof rot, k->bytes[n] / 2);
	ck_assert_err(lsvd_volume_flatten(c->t.v, EVER), LSVD_E_CORRUPT);
	ck_assert_error_says("1 objects of its base are damaged");
	ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
	/* All of it is written anew: there is nothing that it would need. */
	for (uint64_t off = 0; off < TV_BYTES; off += 1u << 20)
		tv_write(&c->t, off, 1u << 20, off);
	ck_assert_ok(lsvd_volume_flatten(c->t.v, EVER));
	delete_base(t);
	expect_whole(c);
	free(path);
	free(k);
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(wrong_calls_are_refused)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;
	struct tv *t = fresh();
	struct other *c;

	snapshot(t, "s");
	ck_assert_ok(lsvd_volume_flatten(t->v, EVER)); /* is no clone */
	o.flags = LSVD_COLLECT_FLATTEN | LSVD_COLLECT_ORPHANS;
	ck_assert_err(lsvd_volume_collect(t->v, &o, NULL), -EINVAL);
	tv_close(t);
	c = clone_of(t, TV_NAME, "s", "c");
	close_other(c);
	c->t.o.flags = LSVD_OPEN_READONLY;
	c->t.o.cache_dir = NULL;
	open_other(c);
	ck_assert_err(lsvd_volume_flatten(c->t.v, EVER), -EROFS);
	end_other(c);
	tv_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("volume_flatten");
	TCase *c = tcase_create("flatten");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, a_flat_clone_has_everything_and_its_base_can_go, 0, 3);
	tcase_add_test(c, a_clone_that_is_not_flat_keeps_its_base);
	tcase_add_loop_test(c,
			    a_clone_of_a_clone_leaves_all_of_them_and_none_is_left_that_one_needs,
			    0, 2);
	tcase_add_test(c, a_flat_clone_has_snapshots_and_clones_of_its_own);
	tcase_add_test(c, one_that_was_stopped_half_way_is_a_clone_and_goes_on);
	tcase_add_loop_test(c, one_that_waits_for_a_checkpoint_can_be_cancelled, 0, 2);
	tcase_add_test(c, reads_and_writes_go_on_meanwhile);
	tcase_add_loop_test(c, the_base_is_kept_until_the_store_has_said_that_it_is_left, 0, 2);
	tcase_add_test(c, what_is_damaged_in_the_base_is_left_there_and_said);
	tcase_add_test(c, wrong_calls_are_refused);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
