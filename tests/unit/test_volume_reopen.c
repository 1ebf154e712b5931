/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what an open finds: after a close, after a process was killed, after the log, a
 * checkpoint
 * or the chain was damaged in between; and of two openers. lsvd-test: timeout=300
 */
#include "t_volume.h"

#include "format/fmt_wal.h"

static struct tv *fresh(void)
{
	struct tv *t = tv_new();

	tv_open(t);
	return t;
}

/* -------------------------------------------------------------------------- after a clean close */

START_TEST(data_is_there_after_close_and_open)
{
	struct tv *t = fresh();

	tv_write(t, 0, 65536, 1);
	tv_write_text(t, 65536, 65536, 2);
	tv_trim(t, 8192, 4096);
	tv_reopen(t);
	ck_assert_uint_eq(tv_stats(t).replayed_ops, 0);
	tv_check(t, 4096, 65536);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(an_overwrite_after_an_open_is_not_stale)
{
	struct tv *t = fresh();

	for (uint64_t i = 0; i < 6; i++) {
		tv_write(t, 0, 65536, i);
		tv_check(t, 0, 65536);
		tv_reopen(t);
		tv_check(t, 0, 65536);
		tv_write(t, 4096, 4096, 100 + i);
		tv_check(t, 0, 65536);
	}
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_clean_close_may_be_followed_by_an_open_anywhere)
{
	struct tv *t = fresh();
	char *other = tmpdir_path(t->dir, "another/cache");

	tv_write(t, 0, 131072, 1);
	tv_close(t);
	t->o.cache_dir = other;
	tv_open(t);
	tv_check_all(t);
	tv_write(t, 4096, 4096, 2);
	tv_reopen(t);
	tv_check_all(t);
	tv_close(t);
	t->o.cache_dir = t->cache;
	tv_open(t);
	tv_check_all(t);
	free(other);
	tv_free(t);
}
END_TEST

START_TEST(the_map_is_built_from_segments_where_there_is_no_checkpoint)
{
	struct tv *t = fresh();
	char *other = tmpdir_path(t->dir, "other");

	for (unsigned i = 0; i < 20; i++)
		tv_write(t, i * 40960 % 262144, 65536, i);
	tv_sync(t);
	ck_assert_uint_eq(tv_count(t, KEY_ROOT), 0);
	/* Cut off from the store nothing more is stored, no checkpoint either. */
	ck_assert_ok(store_fault_cut(t->fault, 1));
	ck_assert_err(tv_close_in(t, 0), 1);
	store_fault_clear(t->fault);
	tv_open(t);
	ck_assert_uint_ge(tv_stats(t).replayed_segments, 2);
	tv_check_all(t);
	free(other);
	tv_free(t);
}
END_TEST

START_TEST(a_saved_map_is_used_and_what_came_after_it_is_read)
{
	struct tv *t = fresh();
	uint64_t segments;

	for (unsigned i = 0; i < 10; i++)
		tv_write(t, i * 65536, 65536, i);
	ck_assert_ok(lsvd_volume_checkpoint(t->v, UINT32_MAX));
	segments = tv_stats(t).segments;
	for (unsigned i = 0; i < 4; i++)
		tv_write(t, i * 65536 + 4096, 65536, 100 + i);
	tv_sync(t);
	segments = tv_stats(t).segments - segments;
	tv_write(t, 12288, 4096, 200); /* in the log only */
	ck_assert_ok(store_fault_cut(t->fault, 1));
	ck_assert_err(tv_close_in(t, 0), 1);
	store_fault_clear(t->fault);
	tv_open(t);
	ck_assert_uint_eq(tv_stats(t).replayed_segments, segments);
	ck_assert_uint_eq(tv_stats(t).replayed_ops, 1);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_clean_close_leaves_a_checkpoint)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 10; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_reopen(t);
	ck_assert_uint_eq(tv_stats(t).replayed_segments, 0);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(closing_with_the_store_away_keeps_everything_in_the_cache)
{
	struct tv *t = fresh();

	tv_write(t, 0, 65536, 1);
	tv_sync(t);
	for (unsigned i = 0; i < 8; i++)
		tv_write(t, i * 65536, 65536, i);
	ck_assert_ok(store_fault_cut(t->fault, 1));
	ck_assert_err(tv_close_in(t, 20), 1);
	ck_assert_err(tv_try_open(t), LSVD_E_UNAVAILABLE);
	store_fault_clear(t->fault);
	tv_open(t);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(two_volumes_of_a_store_do_not_see_each_other)
{
	struct tv *t = fresh();
	struct lsvd_volume *other;
	uint8_t buf[8192];

	ck_assert_ok(lsvd_volume_create(t->store, "other", 1u << 20, NULL, NULL));
	ck_assert_ok(lsvd_volume_open(&other, t->store, "other", &t->o));
	tv_write(t, 0, 65536, 1);
	memset(buf, 0x77, sizeof buf);
	ck_assert_ok(lsvd_volume_write(other, buf, 4096, 4096, 0));
	ck_assert_int_eq(lsvd_volume_close(other, UINT32_MAX), 0);
	tv_reopen(t);
	ck_assert_ok(lsvd_volume_open(&other, t->store, "other", &t->o));
	tv_check_all(t);
	memset(buf, 1, sizeof buf);
	ck_assert_ok(lsvd_volume_read(other, buf, 0, sizeof buf));
	for (unsigned i = 0; i < sizeof buf; i++)
		ck_assert_uint_eq(buf[i], i < 4096 ? 0 : 0x77);
	ck_assert_int_eq(lsvd_volume_close(other, UINT32_MAX), 0);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------ after a kill */

static void some_writes(struct tv *t)
{
	tv_open(t);
	for (unsigned i = 0; i < 40; i++)
		tv_write(t, i * 36864, 65536, i);
	tv_write(t, 512, 1536, 99);
}

START_TEST(a_killed_process_loses_no_acknowledged_write)
{
	struct tv *t = tv_new();

	tv_killed(t, some_writes);
	tv_open(t);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static void write_with_uploads_held(struct tv *t)
{
	tv_open(t);
	tv_write(t, 0, 131072, 1);
	tv_sync(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/", .kind = FAULT_HOLD });
	for (unsigned i = 0; i < 12; i++)
		tv_write(t, i * 32768, 65536, 10 + i);
	store_fault_wait_held(t->fault, 1);
	tv_write(t, 4096, 8192, 50);
	tv_flush(t);
}

START_TEST(crash_while_a_segment_is_being_stored_keeps_flushed_data)
{
	struct tv *t = tv_new();

	tv_killed(t, write_with_uploads_held);
	tv_open(t);
	tv_check_all(t);
	tv_write(t, 0, 4096, 60);
	/* What the first crash left behind must not come back later. */
	tv_reopen(t);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static void trim_after_storing(struct tv *t)
{
	tv_open(t);
	tv_write(t, 0, 262144, 1);
	tv_sync(t);
	tv_trim(t, 4096, 65536);
	tv_zero(t, 131072, 512, 0);
	tv_zero(t, 196608, 8192, LSVD_IO_NO_HOLE);
}

START_TEST(trim_survives_a_crash)
{
	struct tv *t = tv_new();

	tv_killed(t, trim_after_storing);
	tv_open(t);
	tv_check(t, 0, 262144);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static void write_over_and_over(struct tv *t)
{
	uint64_t seed = (uint64_t)getpid();

	tv_open(t);
	for (unsigned i = 0; i < 120; i++)
		tv_write(t, 4096 * t_random_below(&seed, 2000), 65536, t_random(&seed));
}

START_TEST(many_crashes_in_a_row_lose_nothing)
{
	struct tv *t = tv_new();

	t->o.checkpoint_segments = 5;
	for (unsigned i = 0; i < 8; i++)
		tv_killed(t, write_over_and_over);
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static int seed_of_cycle;

static void random_work(struct tv *t)
{
	uint64_t seed = (uint64_t)seed_of_cycle;

	for (unsigned i = 0; i < 60; i++) {
		uint32_t len = (uint32_t)(512 * (1 + t_random_below(&seed, 100)));
		uint64_t off = 512 * t_random_below(&seed, (TV_BYTES / 4 - len) / 512);

		switch (t_random_below(&seed, 8)) {
		case 0:
			tv_trim(t, off, len);
			break;
		case 1:
			tv_zero(t, off, len, LSVD_IO_NO_HOLE);
			break;
		case 2:
			tv_write_text(t, off, len, t_random(&seed));
			break;
		case 3:
			ck_assert_ok(lsvd_volume_seal(t->v));
			break;
		default:
			tv_write(t, off, len, t_random(&seed));
		}
	}
}

static void open_and_work(struct tv *t)
{
	tv_open(t);
	random_work(t);
}

START_TEST(closes_kills_and_cut_off_closes_in_any_order_lose_nothing)
{
	uint64_t seed = t_seed();
	struct tv *t = tv_new();

	t->o.checkpoint_segments = 4;
	for (unsigned i = 0; i < 16; i++) {
		uint64_t how = t_random_below(&seed, 3);

		seed_of_cycle = (int)(seed & 0xffffff) + (int)i;
		if (how == 0) {
			tv_killed(t, open_and_work);
			continue;
		}
		tv_open(t);
		tv_check_all(t);
		random_work(t);
		if (how == 1)
			ck_assert_ok(store_fault_cut(t->fault, 1));
		ck_assert_err(tv_close_in(t, how == 1 ? 0 : UINT32_MAX), how == 1 ? 1 : 0);
		store_fault_clear(t->fault);
	}
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* --------------------------------------------------------------------------- the end of the log */

/*
 * The volume is killed after one more write than was flushed. *before and *after: the log file
 * before and after that write; what differs is its record.
 */
struct torn {
	struct tv *t;
	uint8_t *before, *after;
	size_t len, first, end;
	uint8_t old[65536];   /* the range of the last write before it */
};

static void write_and_flush(struct tv *t)
{
	char *log = tv_log_path(t);

	tv_open(t);
	for (unsigned i = 0; i < 12; i++)
		tv_write(t, i * 32768, 16384, i);
	tv_flush(t);
	tv_run("cp '%s' '%s.before'", log, log);
	tv_write(t, 32768 * 3 + 8192, 65536, 77);
	free(log);
}

static void make_torn(struct torn *x)
{
	char *log, before[512];

	memset(x, 0, sizeof *x);
	x->t = tv_new();
	x->t->o.log_bytes = 1u << 20;
	/* Two segments before the last write, which fills none: nothing syncs or stores it. */
	x->t->o.segment_bytes = 96u << 10;
	tv_killed(x->t, write_and_flush);
	log = tv_log_path(x->t);
	(void)snprintf(before, sizeof before, "%s.before", log); /* shorter than that */
	x->before = tv_slurp(before, &x->len);
	x->after = tv_slurp(log, &x->len);
	free(log);
	ck_assert_int_eq(unlink(before), 0);
	/* Superblocks may have changed, too; they are not what is torn here. */
	x->first = WAL_RING_START + tv_differ(x->before + WAL_RING_START,
					      x->after + WAL_RING_START, x->len - WAL_RING_START);
	for (x->end = x->len; x->before[x->end - 1] == x->after[x->end - 1];)
		x->end--;
	ck_assert_uint_gt(x->end, x->first + 65536);
	for (unsigned i = 0; i < 12; i++) { /* the model without the last write */
		uint8_t buf[16384];

		t_fill(buf, sizeof buf, i);
		if (i == 3)
			memset(x->t->model + 32768 * 3 + 8192, 0, 65536);
		memcpy(x->t->model + i * 32768, buf, sizeof buf);
	}
}

static void end_torn(struct torn *x)
{
	free(x->before);
	free(x->after);
	tv_free(x->t);
}

static void check_cut_volume(struct tv *c)
{
	tv_open(c);
	tv_check_all(c);
	tv_write(c, 4096, 8192, 5);
	tv_write(c, 1u << 20, 65536, 6);
	tv_check_all(c);
	tv_reopen(c);
	tv_check_all(c);
	tv_free(c);
}

enum { TEAR_OLD, TEAR_ZERO, TEAR_GARBAGE, TEAR_ONE_BLOCK, TEARS };

static void tear(struct torn *x, struct tv *c, size_t at, int how)
{
	size_t len = how == TEAR_ONE_BLOCK ? 512 : x->end - at;
	char *log = tv_log_path(c);
	uint8_t *p = tv_buffer(len);

	if (how == TEAR_ZERO)
		memset(p, 0, len);
	else if (how == TEAR_GARBAGE)
		t_fill(p, len, at);
	else
		memcpy(p, x->before + at, len);
	tv_poke(log, p, len, at);
	free(p);
	free(log);
}

START_TEST(torn_last_record_is_cut)
{
	static const size_t cuts[] = { 0, 8, 16, 40, 96, 104, 200, 512, 4096, 4608, 20480, 65536 };
	struct torn x;

	make_torn(&x);
	for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
		struct tv *c;

		if (_i == TEAR_ONE_BLOCK && memcmp(x.before + x.first + cuts[i],
						   x.after + x.first + cuts[i], 512) == 0)
			continue; /* padding, which is as it was */
		c = tv_copy(x.t);
		tear(&x, c, x.first + cuts[i], _i);
		check_cut_volume(c);
	}
	end_torn(&x);
}
END_TEST

START_TEST(a_whole_last_record_is_kept)
{
	struct torn x;
	uint8_t buf[65536];

	make_torn(&x);
	t_fill(buf, sizeof buf, 77);
	memcpy(x.t->model + 32768 * 3 + 8192, buf, sizeof buf);
	tv_open(x.t);
	tv_check_all(x.t);
	tv_reopen(x.t);
	tv_check_all(x.t);
	end_torn(&x);
}
END_TEST

/* Flushed, and the watermark that says so is in the log. */
static void flush_and_mark(struct tv *t)
{
	tv_open(t);
	for (unsigned i = 0; i < 12; i++)
		tv_write(t, i * 32768, 16384, i + 1);
	tv_flush(t);
	tv_write(t, 1u << 20, 4096, 20);
	tv_flush(t);
	tv_write(t, 2u << 20, 4096, 21);
}

/* Where the data of a write begins in the log file. */
static size_t find_in_log(struct tv *t, uint64_t seed)
{
	char *path = tv_log_path(t);
	uint8_t want[512], *log;
	size_t len, at;

	t_fill(want, sizeof want, seed);
	log = tv_slurp(path, &len);
	for (at = WAL_RING_START; at < len && memcmp(log + at, want, sizeof want) != 0;)
		at += 4096;
	ck_assert_uint_lt(at, len);
	free(log);
	free(path);
	return at;
}

START_TEST(flushed_data_damaged_in_the_log_refuses_the_open)
{
	struct tv *t = tv_new();
	char *log = tv_log_path(t);

	t->o.segment_bytes = 512u << 10; /* nothing of it is stored */
	tv_killed(t, flush_and_mark);
	tv_flip(log, find_in_log(t, 5) + 1000);
	ck_assert_err(tv_try_open(t), LSVD_E_CORRUPT);
	ck_assert_error_says(TV_NAME ".log");
	ck_assert_err(tv_try_open(t), LSVD_E_CORRUPT); /* nothing was changed by trying */
	/* Accepting a rollback goes on before the damage: four writes are left. */
	t->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	tv_open(t);
	memset(t->model + 4 * 32768, 0, TV_BYTES - 4 * 32768);
	tv_check_all(t);
	tv_write(t, 0, 4096, 9);
	t->o.flags = 0;
	tv_reopen(t);
	tv_check_all(t);
	free(log);
	tv_free(t);
}
END_TEST

static void store_flush_and_mark(struct tv *t)
{
	tv_open(t);
	for (unsigned i = 0; i < 6; i++)
		tv_write(t, i * 32768, 32768, i + 1);
	tv_write(t, 32768, 4096, 77); /* over a part of one that will be damaged */
	tv_sync(t);
	for (unsigned i = 0; i < 3; i++)
		tv_write(t, i * 65536 + 8192, 32768, 100 + i);
	tv_flush(t);
	tv_write(t, 9 * 65536, 4096, 200); /* carries the watermark */
}

/* Of what is damaged in the log, the store has it, or a flush is lost. */
START_TEST(damage_in_the_log_that_the_store_has_is_passed_over)
{
	static const uint64_t stored[] = { 1, 2, 6, 77 }, local[] = { 100, 102 };
	struct tv *t = tv_new(), *c;
	char *log;

	t->o.log_bytes = 8u << 20; /* nothing is given up */
	t->o.segment_bytes = 512u << 10;
	tv_killed(t, store_flush_and_mark);
	for (unsigned i = 0; i < 8; i++) {
		c = tv_copy(t);
		log = tv_log_path(c);
		tv_flip(log, find_in_log(c, stored[i % 4]) - (i < 4 ? 4000 : 0));
		tv_open(c);
		tv_check_all(c);
		tv_write(c, 0, 65536, 500);
		tv_reopen(c);
		tv_check_all(c);
		free(log);
		tv_free(c);
	}
	for (unsigned i = 0; i < 4; i++) {
		c = tv_copy(t);
		log = tv_log_path(c);
		tv_flip(log, find_in_log(c, local[i % 2]) - (i < 2 ? 4000 : 0));
		ck_assert_err(tv_try_open(c), LSVD_E_CORRUPT);
		ck_assert_error_says(TV_NAME ".log");
		ck_assert_uint_eq(tv_count(c, KEY_CLAIM), 1); /* a refusal leaves nothing behind */
		c->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
		tv_open(c);
		tv_check(c, 0, 8192);
		if (i % 2)
			tv_check(c, 8192, 32768); /* the writes before it are there */
		free(log);
		tv_free(c);
	}
	tv_free(t);
}
END_TEST

START_TEST(a_log_cut_short_refuses_the_open)
{
	struct tv *t = tv_new();
	char *log = tv_log_path(t);

	tv_killed(t, flush_and_mark);
	tv_truncate(log, WAL_RING_START + (512u << 10));
	ck_assert_err(tv_try_open(t), LSVD_E_CORRUPT);
	ck_assert_error_says(TV_NAME ".log");
	tv_truncate(log, 5000);
	ck_assert_err(tv_try_open(t), LSVD_E_ROLLBACK); /* a cache that is gone */
	ck_assert_int_eq(unlink(log), 0);
	ck_assert_err(tv_try_open(t), LSVD_E_ROLLBACK);
	ck_assert_error_says(TV_NAME);
	free(log);
	tv_free(t);
}
END_TEST

START_TEST(one_superblock_may_be_lost_two_refuse_the_open)
{
	struct tv *t = tv_new(), *c;
	char *log;

	tv_killed(t, flush_and_mark);
	for (unsigned slot = 0; slot < 2; slot++) {
		c = tv_copy(t);
		log = tv_log_path(c);
		tv_flip(log, slot * 4096 + 40);
		if (slot == 0) {
			/*
			 * The first open wrote slot 1, then slot 0: the older one is not enough,
			 * and must not be taken for it.
			 */
			int err = tv_try_open(c);

			ck_assert_int_ne(err, 0);
		} else {
			tv_open(c);
			tv_check_all(c);
		}
		free(log);
		tv_free(c);
	}
	log = tv_log_path(t);
	tv_flip(log, 40);
	tv_flip(log, 4096 + 40);
	ck_assert_err(tv_try_open(t), LSVD_E_CORRUPT);
	ck_assert_error_says(TV_NAME ".log");
	free(log);
	tv_free(t);
}
END_TEST

static void note_where_the_log_is(struct tv *t)
{
	tv_open(t);
	tv_write(t, 0, 4096, 1);
}

START_TEST(a_log_that_was_never_used_is_made_again)
{
	struct tv *t = tv_new();
	char *log = tv_log_path(t);
	uint8_t zeroes[8192] = { 0 };

	ck_assert_int_eq(mkdir(t->cache, 0700), 0);
	tv_run("head -c 300000 /dev/zero >'%s'%s", log, "");
	tv_killed(t, note_where_the_log_is);
	tv_open(t);
	tv_check_all(t);
	tv_close(t);
	/* After a clean close it is all in the store, and a new log will do. */
	tv_poke(log, zeroes, sizeof zeroes, 0);
	tv_open(t);
	tv_check_all(t);
	free(log);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------ damage in the store */

/* Closed, with several data objects and a checkpoint; without the cache. */
static struct tv *stored(bool checkpoint)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 10; i++)
		tv_write(t, i * 131072, 131072, i);
	tv_sync(t);
	if (checkpoint) {
		ck_assert_ok(lsvd_volume_checkpoint(t->v, UINT32_MAX));
		tv_write(t, 65536, 131072, 50);
	}
	tv_close(t);
	return t;
}

static void check_damaged(struct tv *c, const char *key)
{
	int err = tv_try_open(c);

	ck_assert_msg(err == LSVD_E_CORRUPT, "%s damaged: %s: %s", key, lsvd_error_name(err),
		      lsvd_last_error());
	ck_assert_uint_gt(strlen(lsvd_last_error()), 20);
}

/* Right where it can be read at all; how many pieces cannot. */
static unsigned check_readable(struct tv *c)
{
	static uint8_t buf[65536];
	unsigned bad = 0;

	for (uint64_t off = 0; off < c->bytes && off < TV_BYTES; off += sizeof buf) {
		int err = lsvd_volume_read(c->v, buf, off, sizeof buf);

		ck_assert(err == 0 || err == LSVD_E_CORRUPT);
		if (err)
			bad++;
		else
			ck_assert_mem_eq(buf, c->model + off, sizeof buf);
	}
	return bad;
}

/* What is read at open refuses it, a page of the map the reads that need it; readers need all. */
static void check_page_damaged(struct tv *c, const char *key)
{
	int err = tv_try_open(c);

	if (err)
		ck_assert_err(err, LSVD_E_CORRUPT);
	else
		ck_assert_uint_gt(check_readable(c), 0);
	if (!err)
		ck_assert_int_ge(lsvd_volume_close(c->v, UINT32_MAX), 0);
	c->v = NULL;
	c->o.flags |= LSVD_OPEN_READONLY;
	check_damaged(c, key);
}

static void damage_each(struct tv *t, enum key_kind kind,
			void (*check)(struct tv *c, const char *key))
{
	struct tv_keys *k = tv_keys(t, kind);
	unsigned last = k->count - 1;

	ck_assert_uint_ge(k->count, 1);
	for (unsigned i = 0; i < 12; i++) {
		struct tv *c = tv_copy(t);
		char *path = tv_object_path(c, k->keys[last]);
		uint64_t at = k->bytes[last] * (i / 2) / 6;

		if (i & 1)
			tv_flip(path, at);
		else
			tv_truncate(path, at);
		check(c, k->keys[last]);
		free(path);
		tv_free(c);
	}
	free(k);
}

/* Of a checkpoint every byte is needed, and every length. */
START_TEST(a_damaged_or_truncated_checkpoint_refuses_the_open)
{
	struct tv *t = stored(true);

	damage_each(t, KEY_ROOT, check_damaged);
	tv_free(t);
}
END_TEST

START_TEST(a_damaged_page_of_the_map_refuses_the_open_or_the_reads_that_need_it)
{
	struct tv *t = stored(true);

	damage_each(t, KEY_FREE, check_page_damaged);
	tv_free(t);
}
END_TEST

START_TEST(a_missing_checkpoint_refuses_the_open)
{
	struct tv *t = stored(true);
	struct tv_keys *k = tv_keys(t, _i ? KEY_FREE : KEY_ROOT);

	ck_assert_uint_ge(k->count, 1);
	ck_assert_ok(lsvd_store_remove(t->store, k->keys[k->count - 1]));
	check_damaged(t, k->keys[k->count - 1]);
	free(k);
	tv_free(t);
}
END_TEST

START_TEST(a_hole_in_the_chain_refuses_the_open)
{
	struct tv *t = tv_new(), *c;

	tv_killed(t, some_writes);
	t->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	tv_open(t);
	ck_assert_ok(store_fault_cut(t->fault, 1));
	ck_assert_err(tv_close_in(t, 0), 1); /* no checkpoint */
	store_fault_clear(t->fault);
	t->o.flags = 0;
	for (uint64_t seq = 1; seq < 6; seq++) {
		struct uuid u;
		char key[KEY_CAP];
		int err;

		c = tv_copy(t);
		u = tv_uuid(c);
		lsvd_key_chain(key, &u, 1, seq);
		ck_assert_ok(lsvd_store_remove(c->store, key));
		err = tv_try_open(c);
		ck_assert_msg(err < 0, "object %d of the chain is missing, and the open said %d",
			      (int)seq, err);
		tv_free(c);
	}
	tv_free(t);
}
END_TEST

static void store_then_write_more(struct tv *t)
{
	tv_open(t);
	for (unsigned i = 0; i < 10; i++)
		tv_write(t, i * 131072, 131072, i);
	tv_sync(t);
	tv_write(t, 0, 4096, 50);
	tv_flush(t);
}

/* The cache has given up what the store acknowledged: nothing may pretend that it is there. */
START_TEST(a_store_that_lost_the_end_of_the_chain_is_refused)
{
	struct tv *t = tv_new();
	struct tv_keys *k;

	t->o.log_bytes = 1u << 20;
	tv_killed(t, store_then_write_more);
	k = tv_keys(t, KEY_CHAIN);
	for (unsigned i = 4; i < k->count; i++)
		ck_assert_ok(lsvd_store_remove(t->store, k->keys[i]));
	ck_assert_err(tv_try_open(t), LSVD_E_CORRUPT);
	free(k);
	tv_free(t);
}
END_TEST

START_TEST(altered_chain_headers_refuse_the_open)
{
	struct tv *t = stored(false), *c;

	for (unsigned i = 0; i < 16; i++) {
		struct tv_keys *k;
		char *path;

		c = tv_copy(t);
		k = tv_keys(c, KEY_CHAIN);
		path = tv_object_path(c, k->keys[i % k->count]);
		tv_flip(path, i * 11 % 120);
		/*
		 * The checkpoint of the clean close stands at the last data object: what lies
		 * before is not read at open, so it is the end of the chain that counts.
		 */
		if (i % k->count >= k->count - 2 || i % k->count == 0)
			check_damaged(c, k->keys[i % k->count]);
		free(path);
		free(k);
		tv_free(c);
	}
	tv_free(t);
}
END_TEST

START_TEST(an_altered_volume_record_or_claim_refuses_the_open)
{
	struct tv *t = stored(false), *c;
	char *path;

	for (unsigned i = 0; i < 6; i++) {
		c = tv_copy(t);
		path = tv_object_path(c, "volumes/" TV_NAME);
		if (i < 4)
			tv_flip(path, tv_file_size(path) * i / 4);
		else
			tv_truncate(path, i == 4 ? 0 : tv_file_size(path) - 1);
		check_damaged(c, "volumes/" TV_NAME);
		ck_assert_error_says("volumes/" TV_NAME);
		free(path);
		tv_free(c);
	}
	for (unsigned i = 0; i < 4; i++) {
		struct tv_keys *k;

		c = tv_copy(t);
		k = tv_keys(c, KEY_CLAIM);
		path = tv_object_path(c, k->keys[0]);
		if (i < 3)
			tv_flip(path, tv_file_size(path) * i / 3);
		else
			tv_truncate(path, 10);
		check_damaged(c, k->keys[0]);
		free(path);
		free(k);
		tv_free(c);
	}
	tv_free(t);
}
END_TEST

/* --------------------------------------------------------------------------------- two openers */

static int open_again(struct tv *t)
{
	struct lsvd_volume *v;
	struct lsvd_volume_options o = t->o;

	return lsvd_volume_open(&v, t->store, TV_NAME, &o) == LSVD_E_LOCKED ? 0 : 1;
}

START_TEST(second_open_of_a_cache_is_refused)
{
	struct tv *t = fresh();
	struct lsvd_volume *v;

	t->o.rcache_bytes = 1u << 20;
	tv_close(t);
	tv_open(t);
	tv_write(t, 0, 262144, 1);
	tv_sync(t);
	ck_assert_err(lsvd_volume_open(&v, t->store, TV_NAME, &t->o), LSVD_E_LOCKED);
	ck_assert_error_says(TV_NAME ".log");
	tv_check_all(t);
	tv_write(t, 4096, 4096, 2);
	tv_flush(t);
	ck_assert_int_eq(lsvd_volume_status(t->v, NULL, 0), 0);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static int serve_until_told(struct tv *t)
{
	char byte;
	int in = open("go", O_RDONLY), out = open("ready", O_WRONLY);

	tv_open(t);
	tv_write(t, 0, 65536, 1);
	if (in < 0 || out < 0 || write(out, "x", 1) != 1 || read(in, &byte, 1) < 0)
		return 1;
	tv_check_all(t);
	tv_close(t);
	return 0;
}

START_TEST(another_process_cannot_open_the_same_cache)
{
	struct tv *t = tv_new();
	int go, ready, status;
	char byte;
	pid_t pid;

	ck_assert_int_eq(chdir(t->dir), 0);
	ck_assert_int_eq(mkfifo("go", 0600), 0);
	ck_assert_int_eq(mkfifo("ready", 0600), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(serve_until_told(t));
	go = open("go", O_WRONLY);
	ready = open("ready", O_RDONLY);
	ck_assert_int_eq(read(ready, &byte, 1), 1);
	ck_assert_int_eq(tv_in_child(t, open_again), 0);
	ck_assert_err(tv_try_open(t), LSVD_E_LOCKED);
	ck_assert_int_eq(write(go, "x", 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	tv_open(t);
	tv_check_all(t);
	(void)close(go);    /* pipes */
	(void)close(ready);
	ck_assert_int_eq(chdir("/"), 0);
	tv_free(t);
}
END_TEST

static int work_on(struct lsvd_store *store, const char *name, const char *cache, uint64_t seed)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *v;
	uint8_t *buf = tv_buffer(65536);

	o.cache_dir = cache;
	o.log_bytes = 1u << 20;
	o.segment_bytes = 64u << 10;
	ck_assert_ok(lsvd_volume_open(&v, store, name, &o));
	for (unsigned i = 0; i < 64; i++) {
		t_fill(buf, 65536, seed + i);
		ck_assert_ok(lsvd_volume_write(v, buf, i * 65536, 65536, 0));
	}
	free(buf);
	return lsvd_volume_close(v, UINT32_MAX);
}

static void check_work(struct lsvd_store *store, const char *name, uint64_t seed)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *v;
	uint8_t *buf = tv_buffer(65536), *want = tv_buffer(65536);

	o.flags = LSVD_OPEN_READONLY;
	ck_assert_ok(lsvd_volume_open(&v, store, name, &o));
	for (unsigned i = 0; i < 64; i++) {
		t_fill(want, 65536, seed + i);
		ck_assert_ok(lsvd_volume_read(v, buf, i * 65536, 65536));
		ck_assert_mem_eq(buf, want, 65536);
	}
	free(buf);
	free(want);
	ck_assert_int_eq(lsvd_volume_close(v, 0), 0);
}

static unsigned entries_of(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	(void)closedir(d); /* only read */
	return n;
}

/* Two servers with the same working directory, which nobody may write to. */
START_TEST(two_processes_in_one_directory_do_not_disturb_each_other)
{
	struct tv *t = tv_new();
	const char *names[2] = { "left", "right" };
	char *cwd = tmpdir_path(t->dir, "cwd"), *caches[2];
	pid_t pids[2];
	int status;

	ck_assert_int_eq(mkdir(cwd, 0500), 0);
	ck_assert_int_eq(chdir(cwd), 0);
	for (unsigned i = 0; i < 2; i++) {
		caches[i] = tmpdir_path(t->dir, names[i]);
		ck_assert_ok(lsvd_volume_create(t->store, names[i], 8u << 20, NULL, NULL));
	}
	for (unsigned i = 0; i < 2; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (pids[i] == 0)
			_exit(work_on(t->store, names[i], caches[i], 1000 * i));
	}
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_uint_eq(entries_of(cwd), 2); /* "." and ".." */
	for (unsigned i = 0; i < 2; i++) {
		check_work(t->store, names[i], 1000 * i);
		free(caches[i]);
	}
	ck_assert_int_eq(chdir("/"), 0);
	free(cwd);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------------- suite */

static void add_close_tests(TCase *c)
{
	tcase_add_test(c, data_is_there_after_close_and_open);
	tcase_add_test(c, an_overwrite_after_an_open_is_not_stale);
	tcase_add_test(c, a_clean_close_may_be_followed_by_an_open_anywhere);
	tcase_add_test(c, the_map_is_built_from_segments_where_there_is_no_checkpoint);
	tcase_add_test(c, a_saved_map_is_used_and_what_came_after_it_is_read);
	tcase_add_test(c, a_clean_close_leaves_a_checkpoint);
	tcase_add_test(c, closing_with_the_store_away_keeps_everything_in_the_cache);
	tcase_add_test(c, two_volumes_of_a_store_do_not_see_each_other);
}

static void add_crash_tests(TCase *c)
{
	tcase_add_test(c, a_killed_process_loses_no_acknowledged_write);
	tcase_add_test(c, crash_while_a_segment_is_being_stored_keeps_flushed_data);
	tcase_add_test(c, trim_survives_a_crash);
	tcase_add_test(c, many_crashes_in_a_row_lose_nothing);
	tcase_add_test(c, closes_kills_and_cut_off_closes_in_any_order_lose_nothing);
}

static void add_log_tests(TCase *c)
{
	tcase_add_loop_test(c, torn_last_record_is_cut, 0, TEARS);
	tcase_add_test(c, a_whole_last_record_is_kept);
	tcase_add_test(c, flushed_data_damaged_in_the_log_refuses_the_open);
	tcase_add_test(c, damage_in_the_log_that_the_store_has_is_passed_over);
	tcase_add_test(c, a_log_cut_short_refuses_the_open);
	tcase_add_test(c, one_superblock_may_be_lost_two_refuse_the_open);
	tcase_add_test(c, a_log_that_was_never_used_is_made_again);
}

static void add_store_tests(TCase *c)
{
	tcase_add_test(c, a_damaged_or_truncated_checkpoint_refuses_the_open);
	tcase_add_test(c,
		       a_damaged_page_of_the_map_refuses_the_open_or_the_reads_that_need_it);
	tcase_add_loop_test(c, a_missing_checkpoint_refuses_the_open, 0, 2);
	tcase_add_test(c, a_hole_in_the_chain_refuses_the_open);
	tcase_add_test(c, a_store_that_lost_the_end_of_the_chain_is_refused);
	tcase_add_test(c, altered_chain_headers_refuse_the_open);
	tcase_add_test(c, an_altered_volume_record_or_claim_refuses_the_open);
}

static void add_opener_tests(TCase *c)
{
	tcase_add_test(c, second_open_of_a_cache_is_refused);
	tcase_add_test(c, another_process_cannot_open_the_same_cache);
	tcase_add_test(c, two_processes_in_one_directory_do_not_disturb_each_other);
}

static Suite *volume_reopen_suite(void)
{
	static const struct {
		const char *name;
		void (*add)(TCase *c);
	} cases[] = {
		{ "close", add_close_tests }, { "crash", add_crash_tests },
		{ "log", add_log_tests },     { "store", add_store_tests },
		{ "openers", add_opener_tests },
	};
	Suite *s = suite_create("volume_reopen");

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		TCase *c = tcase_create(cases[i].name);

		tcase_set_timeout(c, 120);
		cases[i].add(c);
		suite_add_tcase(s, c);
	}
	return s;
}

T_MAIN(volume_reopen_suite)
