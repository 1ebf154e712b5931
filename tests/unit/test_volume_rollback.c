/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of going back to a snapshot: the volume is what it was, whatever happens on the way, and
 * nothing of what it was in between comes back.
 * lsvd-test: timeout=300 labels=tsan
 */
#include <pthread.h>

#include "t_volume.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

#define BLOCKS (TV_BYTES / TV_BLOCK)
#define EVER UINT32_MAX

static struct tv *fresh(void)
{
	struct tv *t = tv_new();

	tv_open(t);
	return t;
}

static void scatter(struct tv *t, unsigned n, uint64_t seed)
{
	for (unsigned i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		tv_write(t, (seed >> 33) % BLOCKS * TV_BLOCK, TV_BLOCK, seed);
	}
}

struct past {
	const char *name;
	uint8_t *model;
};

static struct past take(struct tv *t, const char *name)
{
	struct past p = { name, tv_buffer(TV_BYTES) };

	memcpy(p.model, t->model, TV_BYTES);
	ck_assert_ok(lsvd_snapshot_create(t->v, name, EVER, NULL));
	return p;
}

static void go_back(struct tv *t, const struct past *p)
{
	ck_assert_ok(lsvd_snapshot_rollback(t->v, p->name, EVER));
	memcpy(t->model, p->model, TV_BYTES);
	lsvd_vol_check_parts(t->v);
	tv_check_all(t);
}

static void check_past(struct tv *t, const struct past *p)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct tv at = *t;

	o.flags = LSVD_OPEN_READONLY;
	o.snapshot = p->name;
	ck_assert_ok(lsvd_volume_open(&at.v, t->store, TV_NAME, &o));
	at.model = p->model;
	tv_check_all(&at);
	ck_assert_err(lsvd_volume_close(at.v, 0), 0);
}

static void forget(struct past *p)
{
	free(p->model);
}

static void show_fault(void *ctx, const struct lsvd_check_finding *f)
{
	(void)ctx;
	if (f->severity >= LSVD_CHECK_WARNING)
		(void)fprintf(stderr, "%s: %s\n", f->object, f->text);
}

/* The store is whole. */
static void check_store(struct tv *t)
{
	struct lsvd_check_options o = LSVD_CHECK_OPTIONS_INIT;
	struct lsvd_check_report r = LSVD_CHECK_REPORT_INIT;

	o.flags = LSVD_CHECK_DEEP;
	o.finding = show_fault;
	ck_assert_ok(lsvd_volume_check(t->store, TV_NAME, &o, &r));
	ck_assert_uint_eq(r.errors + r.warnings, 0);
}

static uint64_t stored_bytes(struct tv *t)
{
	static const enum key_kind kinds[] = { KEY_CHAIN, KEY_FREE };
	uint64_t sum = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct tv_keys *k = tv_keys(t, kinds[i]);

		for (unsigned j = 0; j < k->count; j++)
			sum += k->bytes[j];
		free(k);
	}
	return sum;
}

/* ------------------------------------------------------------------------------ what it becomes */

/* With a map in memory, and with one of which no page stays that can go. */
START_TEST(a_volume_is_again_what_it_was_and_goes_on_from_there)
{
	struct tv *t = tv_new();
	struct past p;

	t->o.map_memory_bytes = _i ? 1u << 20 : 0;
	tv_open(t);
	scatter(t, 800, 1);
	ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
	scatter(t, 200, 2);
	p = take(t, "s");
	scatter(t, 1500, 3);
	tv_trim(t, 0, TV_BYTES / 4);
	if (_i)
		tv_reopen(t);
	go_back(t, &p);
	tv_reopen(t);
	tv_check_all(t);
	go_back(t, &p);
	scatter(t, 300, 4);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	check_past(t, &p);
	tv_close(t);
	check_store(t);
	forget(&p);
	tv_free(t);
}
END_TEST

START_TEST(snapshots_made_later_stay_and_are_gone_back_to_in_any_order)
{
	static const unsigned order[] = { 1, 3, 0, 2, 2, 0, 3 };
	struct tv *t = fresh();
	struct past p[4];
	static const char *const names[] = { "a", "b", "c", "d" };

	for (unsigned i = 0; i < 4; i++) {
		scatter(t, 400, i + 1);
		if (i % 2)
			ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
		p[i] = take(t, names[i]);
	}
	for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++) {
		scatter(t, 200, 100 + i);
		go_back(t, &p[order[i]]);
		if (i % 3 == 1) {
			tv_reopen(t);
			ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
		}
		for (unsigned j = 0; j < 4; j++)
			check_past(t, &p[j]);
		tv_check_all(t);
	}
	tv_close(t);
	check_store(t);
	for (unsigned i = 0; i < 4; i++)
		forget(&p[i]);
	tv_free(t);
}
END_TEST

START_TEST(the_space_of_what_was_given_up_comes_back)
{
	struct tv *t = fresh();
	struct past p;

	for (uint64_t off = 0; off < TV_BYTES / 4; off += 131072)
		tv_write(t, off, 131072, off);
	p = take(t, "s");
	for (uint64_t off = 0; off < TV_BYTES; off += 131072)
		tv_write(t, off, 131072, off + 7);
	tv_reopen(t);
	ck_assert_uint_gt(stored_bytes(t), TV_BYTES);
	go_back(t, &p);
	tv_reopen(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
	ck_assert_uint_lt(stored_bytes(t), TV_BYTES / 4 * 11 / 10);
	tv_check_all(t);
	forget(&p);
	tv_free(t);
}
END_TEST

START_TEST(the_size_is_that_of_the_snapshot)
{
	struct tv *t = fresh();
	struct past p, q;

	scatter(t, 500, 1);
	p = take(t, "large");
	ck_assert_ok(lsvd_volume_resize(t->v, TV_BYTES / 2, LSVD_RESIZE_CUT));
	memset(t->model + TV_BYTES / 2, 0, TV_BYTES / 2);
	q = take(t, "small");
	go_back(t, &p);
	ck_assert_uint_eq(lsvd_volume_bytes(t->v), TV_BYTES);
	t->bytes = TV_BYTES / 2;
	go_back(t, &q);
	ck_assert_uint_eq(lsvd_volume_bytes(t->v), TV_BYTES / 2);
	tv_reopen(t);
	ck_assert_uint_eq(lsvd_volume_bytes(t->v), TV_BYTES / 2);
	t->bytes = TV_BYTES;
	go_back(t, &p);
	tv_reopen(t);
	tv_check_all(t);
	forget(&p);
	forget(&q);
	tv_free(t);
}
END_TEST

START_TEST(a_clone_goes_back_too_and_the_base_knows_nothing_of_it)
{
	struct tv *t = fresh();
	struct past p, q;
	struct tv c = *t;

	scatter(t, 800, 1);
	p = take(t, "s");
	ck_assert_ok(lsvd_volume_clone(t->store, TV_NAME, "s", "c", NULL, NULL));
	scatter(t, 300, 2);
	c.model = tv_buffer(TV_BYTES);
	memcpy(c.model, p.model, TV_BYTES);
	ck_assert_ok(lsvd_volume_open(&c.v, c.store, "c", &c.o));
	q = take(&c, "first");
	scatter(&c, 500, 3);
	go_back(&c, &q);
	scatter(&c, 100, 4);
	ck_assert_err(tv_close_in(&c, EVER), 0);
	go_back(t, &p);
	ck_assert_ok(lsvd_volume_open(&c.v, c.store, "c", &c.o));
	tv_check_all(&c);
	ck_assert_err(tv_close_in(&c, EVER), 0);
	free(c.model);
	forget(&p);
	forget(&q);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------- refusals */

START_TEST(what_cannot_be_gone_back_to_is_refused_and_nothing_changes)
{
	struct tv *t = fresh();
	uint64_t roots;

	scatter(t, 100, 1);
	tv_sync(t);
	roots = tv_count(t, KEY_ROOT);
	ck_assert_err(lsvd_snapshot_rollback(t->v, "none", EVER), -ENOENT);
	ck_assert_error_says("none");
	ck_assert_err(lsvd_snapshot_rollback(t->v, "../x", EVER), -EINVAL);
	ck_assert_err(lsvd_snapshot_rollback(t->v, NULL, EVER), -EINVAL);
	ck_assert_uint_eq(tv_count(t, KEY_ROOT), roots);
	scatter(t, 100, 2);
	tv_check_all(t);
	tv_close(t);
	t->o.flags = LSVD_OPEN_READONLY;
	tv_open(t);
	ck_assert_err(lsvd_snapshot_rollback(t->v, "none", EVER), -EROFS);
	tv_free(t);
}
END_TEST

struct going {
	struct tv *t;
	int err;
};

static void *go(void *arg)
{
	struct going *g = arg;

	g->err = lsvd_snapshot_rollback(g->t->v, "s", EVER);
	return NULL;
}

static bool is_changing(struct tv *t)
{
	bool changing;

	lsvd_port_enter(&t->v->port);
	changing = t->v->changing;
	lsvd_port_leave(&t->v->port, false);
	return changing;
}

/* The store does not answer: it waits, and operations do not. */
START_TEST(operations_that_come_meanwhile_are_refused)
{
	struct tv *t = fresh();
	struct going g = { t, 0 };
	struct lsvd_status_extent e;
	uint8_t buf[TV_BLOCK] = { 0 };
	pthread_t thread;
	struct past p;

	scatter(t, 300, 1);
	p = take(t, "s");
	scatter(t, 300, 2);
	tv_sync(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .kind = FAULT_HOLD });
	ck_assert_int_eq(pthread_create(&thread, NULL, go, &g), 0);
	store_fault_wait_held(t->fault, 1);
	ck_assert_err(lsvd_volume_read(t->v, buf, 0, TV_BLOCK), -EBUSY);
	ck_assert_err(lsvd_volume_write(t->v, buf, 0, TV_BLOCK, 0), -EBUSY);
	ck_assert_err(lsvd_volume_flush(t->v), -EBUSY);
	ck_assert_err(lsvd_volume_block_status(t->v, 0, TV_BLOCK, &e, 1), -EBUSY);
	/* nothing was collected: said so */
	ck_assert_err(lsvd_volume_gc(t->v, 100, UINT32_MAX), -EBUSY);
	store_fault_clear(t->fault);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_ok(g.err);
	memcpy(t->model, p.model, TV_BYTES);
	tv_check_all(t);
	scatter(t, 100, 3);
	tv_reopen(t);
	tv_check_all(t);
	forget(&p);
	tv_free(t);
}
END_TEST

/*
 * Only when everything is stored nobody is served any more:
 * that may take as long as the store is away.
 */
START_TEST(as_long_as_the_store_is_away_the_volume_is_served_and_who_waits_is_told)
{
	struct tv *t = fresh();
	struct going g = { t, 0 };
	pthread_t thread;
	struct past p;

	scatter(t, 100, 1);
	p = take(t, "s");
	scatter(t, 100, 2);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .kind = FAULT_HOLD });
	ck_assert_err(lsvd_snapshot_rollback(t->v, "s", 20), -ETIMEDOUT);
	ck_assert_error_says("not stored within 20 ms");
	ck_assert_int_eq(pthread_create(&thread, NULL, go, &g), 0);
	tv_wait_for(is_changing(t));
	tv_check_all(t);
	scatter(t, 20, 3);
	store_fault_clear(t->fault);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_ok(g.err);
	memcpy(t->model, p.model, TV_BYTES);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	forget(&p);
	tv_free(t);
}
END_TEST

/* --------------------------------------------------------------------------- half-way and after */

static int open_offline(struct tv *t)
{
	int err;

	t->o.flags |= LSVD_OPEN_OFFLINE;
	err = tv_try_open(t);
	t->o.flags &= ~LSVD_OPEN_OFFLINE;
	return err;
}

/* The mirror is made in the background. */
static bool mirror_is_made(struct tv *t)
{
	bool made;

	lsvd_port_enter(&t->v->port);
	made = lsvd_mirror_is_there(t->v);
	lsvd_port_leave(&t->v->port, false);
	return made;
}

START_TEST(offline_the_volume_is_what_it_went_back_to)
{
	struct tv *t = fresh();
	struct past p;

	scatter(t, 300, 1);
	p = take(t, "s");
	scatter(t, 300, 2);
	go_back(t, &p);
	tv_wait_for(mirror_is_made(t));
	ck_assert_int_ge(tv_close_in(t, 0), 0);
	ck_assert_ok(open_offline(t));
	tv_check_all(t);
	tv_write(t, 0, 65536, 9);
	ck_assert_err(tv_close_in(t, 0), 1);
	tv_open(t);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	forget(&p);
	tv_free(t);
}
END_TEST

/* The note, which is the only chain object that is put then, does not get there. */
static pthread_t go_without_note(struct going *g)
{
	pthread_t thread;

	tv_fault(g->t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/" });
	ck_assert_int_eq(pthread_create(&thread, NULL, go, g), 0);
	tv_wait_for(store_fault_hits(g->t->fault, FAULT_FAIL) > 0);
	return thread;
}

static void die_before_the_note(struct tv *t)
{
	struct going g = { t, 0 };

	tv_open(t);
	scatter(t, 300, 2);
	tv_sync(t);
	tv_wait_for(mirror_is_made(t));
	(void)go_without_note(&g); /* dies with us */
}

static void *close_it(void *arg)
{
	struct going *g = arg;

	g->err = lsvd_volume_close(g->t->v, EVER);
	return NULL;
}

static bool is_closing(struct tv *t)
{
	bool closing;

	lsvd_port_enter(&t->v->port);
	closing = t->v->closing;
	lsvd_port_leave(&t->v->port, false);
	return closing;
}

START_TEST(a_close_that_comes_during_the_note_makes_no_failure_of_what_was_done)
{
	struct tv *t = fresh();
	struct going g = { t, 0 }, end = { t, 0 };
	pthread_t going, closing;
	struct past p;

	scatter(t, 300, 1);
	p = take(t, "s");
	scatter(t, 300, 2);
	tv_sync(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/", .kind = FAULT_HOLD });
	ck_assert_int_eq(pthread_create(&going, NULL, go, &g), 0);
	store_fault_wait_held(t->fault, 1);
	ck_assert_int_eq(pthread_create(&closing, NULL, close_it, &end), 0);
	tv_wait_for(is_closing(t));
	store_fault_clear(t->fault);
	ck_assert_int_eq(pthread_join(going, NULL), 0);
	ck_assert_int_eq(pthread_join(closing, NULL), 0);
	ck_assert_ok(g.err);
	ck_assert_err(end.err, 0);
	t->v = NULL;
	memcpy(t->model, p.model, TV_BYTES);
	tv_open(t);
	tv_check_all(t);
	forget(&p);
	tv_free(t);
}
END_TEST

/* All is void but what the store has: nothing may be put on top of what is not known. */
START_TEST(a_writer_that_dies_before_the_note_leaves_the_volume_as_it_was)
{
	struct tv *t = fresh();
	struct past p;

	scatter(t, 300, 1);
	p = take(t, "s");
	tv_close(t);
	tv_killed(t, die_before_the_note);
	ck_assert_err(open_offline(t), LSVD_E_UNAVAILABLE);
	tv_open(t);
	tv_check_all(t);
	tv_reopen(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
	go_back(t, &p);
	tv_reopen(t);
	tv_check_all(t);
	forget(&p);
	tv_free(t);
}
END_TEST

START_TEST(a_writer_that_is_fenced_before_the_note_changes_nothing_and_shows_nothing)
{
	struct tv *t = fresh(), other;
	struct going g = { t, 0 };
	uint8_t buf[TV_BLOCK];
	pthread_t thread;
	struct past p;

	scatter(t, 300, 1);
	p = take(t, "s");
	scatter(t, 300, 2);
	tv_sync(t);
	thread = go_without_note(&g);
	other = *t;
	other.v = NULL;
	other.o.cache_dir = other.cache = tmpdir_path(t->dir, "other");
	other.o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	tv_open_store(&other);
	tv_open(&other);
	tv_check_all(&other);
	store_fault_clear(t->fault);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(g.err, LSVD_E_FENCED);
	ck_assert_err(lsvd_volume_read(t->v, buf, 0, TV_BLOCK), LSVD_E_FENCED);
	ck_assert_err(tv_close_in(t, 0), LSVD_E_FENCED);
	scatter(&other, 100, 3);
	ck_assert_err(tv_close_in(&other, EVER), 0);
	tv_open(&other);
	tv_check_all(&other);
	ck_assert_ok(lsvd_snapshot_rollback(other.v, "s", EVER));
	memcpy(t->model, p.model, TV_BYTES);
	tv_check_all(&other);
	ck_assert_err(tv_close_in(&other, EVER), 0);
	lsvd_store_close(other.store);
	free(other.cache);
	forget(&p);
	tv_free(t);
}
END_TEST

static void write_and_die(struct tv *t)
{
	tv_open(t);
	scatter(t, 100, 2);
	tv_flush(t); /* in the log alone, but for what fills segments */
}

/*
 * A cache directory of before it went back comes back, of a closed volume or of a killed writer's.
 */
static struct tv *with_old_cache(struct past *ret, bool killed)
{
	struct tv *t = fresh();

	scatter(t, 300, 1);
	*ret = take(t, "s");
	tv_close(t);
	tv_killed(t, write_and_die);
	if (!killed) {
		tv_open(t);
		tv_wait_for(mirror_is_made(t));
		tv_close(t);
	}
	tv_run("cp -a '%s' '%s.old'", t->cache, t->cache);
	tv_open(t);
	go_back(t, ret);
	tv_close(t);
	tv_run("rm -rf '%s%s'", t->cache, "");
	tv_run("mv '%s.old' '%s'", t->cache, t->cache);
	return t;
}

/* With no cache at all. */
static void check_elsewhere(struct tv *t)
{
	tv_run("rm -rf '%s%s'", t->cache, "");
	t->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	tv_open(t);
	tv_check_all(t);
}

START_TEST(an_older_cache_that_comes_back_is_refused_or_changes_nothing)
{
	struct past p;
	struct tv *t = with_old_cache(&p, _i);
	int err = tv_try_open(t);

	/* Of what the killed one had written nobody can tell that it was stored. */
	ck_assert_err(err, _i ? LSVD_E_FOREIGN_CACHE : 0);
	if (!err) {
		tv_check_all(t);
		tv_close(t);
	}
	check_elsewhere(t);
	forget(&p);
	tv_free(t);
}
END_TEST

/* Alone it is the volume that it was; what is written to that does not come upon the other one. */
START_TEST(what_is_written_offline_to_an_older_cache_does_not_come_upon_what_was_gone_back_to)
{
	struct past p;
	struct tv *t = with_old_cache(&p, _i);
	uint8_t block[TV_BLOCK];
	int err = open_offline(t);

	memset(block, 7, sizeof block);
	ck_assert_ok(err);
	ck_assert_ok(lsvd_volume_write(t->v, block, 0, sizeof block, 0));
	ck_assert_int_ge(tv_close_in(t, 0), 0);
	ck_assert_int_lt(tv_try_open(t), 0);
	check_elsewhere(t);
	forget(&p);
	tv_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("volume_rollback");
	TCase *c = tcase_create("rollback");

	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, a_volume_is_again_what_it_was_and_goes_on_from_there, 0, 2);
	tcase_add_test(c, snapshots_made_later_stay_and_are_gone_back_to_in_any_order);
	tcase_add_test(c, the_space_of_what_was_given_up_comes_back);
	tcase_add_test(c, the_size_is_that_of_the_snapshot);
	tcase_add_test(c, a_clone_goes_back_too_and_the_base_knows_nothing_of_it);
	tcase_add_test(c, what_cannot_be_gone_back_to_is_refused_and_nothing_changes);
	tcase_add_test(c, operations_that_come_meanwhile_are_refused);
	tcase_add_test(c, as_long_as_the_store_is_away_the_volume_is_served_and_who_waits_is_told);
	tcase_add_test(c, a_close_that_comes_during_the_note_makes_no_failure_of_what_was_done);
	tcase_add_test(c, offline_the_volume_is_what_it_went_back_to);
	tcase_add_test(c, a_writer_that_dies_before_the_note_leaves_the_volume_as_it_was);
	tcase_add_test(c,
		       a_writer_that_is_fenced_before_the_note_changes_nothing_and_shows_nothing);
	tcase_add_loop_test(c, an_older_cache_that_comes_back_is_refused_or_changes_nothing, 0, 2);
	tcase_add_loop_test(
		c,
		what_is_written_offline_to_an_older_cache_does_not_come_upon_what_was_gone_back_to,
		0, 2);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
