/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of opening a volume on its cache alone: what is there, what may be done, what comes of it
 * when the store is back; and of the copy of the map that makes it possible, damaged in every way.
 * lsvd-test: timeout=300 labels=tsan
 */
#include "format/fmt_mirror.h"
#include "t_volume.h"
#include "volume/volume_internal.h"

#define MIB (1u << 20)

static char *map_path(const struct tv *t, unsigned which)
{
	return tmpdir_path(t->cache, which ? TV_NAME ".map1" : TV_NAME ".map0");
}

/* From now on no request of the kinds gets through. */
static void store_away(struct tv *t, unsigned verbs)
{
	store_fault_reset_counts(t->fault);
	tv_fault(t, (struct fault_rule){ .verbs = verbs });
}

static void store_back(struct tv *t)
{
	store_fault_clear(t->fault);
}

static int try_offline(struct tv *t)
{
	int err;

	t->o.flags |= LSVD_OPEN_OFFLINE;
	err = tv_try_open(t);
	t->o.flags &= ~LSVD_OPEN_OFFLINE;
	return err;
}

static void open_offline(struct tv *t)
{
	ck_assert_ok(try_offline(t));
}

/* Half of it stored, most of that long gone from the log, and some only in the log. */
static void write_much(struct tv *t)
{
	for (unsigned i = 0; i < 64; i++) {
		tv_write(t, i % 48 * 65536, 65536, 100 + i);
		if (i % 16 == 7)
			tv_trim(t, i * 65536 / 2, 8192);
	}
	tv_sync(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT });
	for (unsigned i = 0; i < 12; i++)
		tv_write(t, i * 131072 + 4096, 40960, 300 + i);
	tv_zero(t, 5 * MIB, 65536, LSVD_IO_NO_HOLE);
	tv_flush(t);
	tv_write(t, 6 * MIB, 512, 400); /* carries the watermark */
}

/* An online writer, killed. The mirror is made in the background: waits for it. */
static void online_run(struct tv *t)
{
	tv_open(t);
	write_much(t);
}

static void offline_run(struct tv *t)
{
	store_away(t, FAULT_ANY);
	open_offline(t);
	for (unsigned i = 0; i < 5; i++)
		tv_write(t, 3 * MIB + i * 20480, 16384, 700 + i);
	tv_flush(t);
	tv_trim(t, MIB, 65536);
	tv_write(t, 3 * MIB, 512, 800);
}

static void second_offline_run(struct tv *t)
{
	store_away(t, FAULT_ANY);
	open_offline(t);
	tv_check(t, 3 * MIB, 65536);
	tv_write(t, 3 * MIB + 1024, 512, 900);
	tv_write(t, 9 * MIB, 65536, 901);
}

static struct tv *killed(void)
{
	struct tv *t = tv_new();

	t->o.log_bytes = MIB;
	tv_killed(t, online_run);
	return t;
}

/* -------------------------------------------------------------------------------- what is there */

START_TEST(offline_open_asks_the_store_for_nothing_and_has_the_log)
{
	struct tv *t = killed();

	store_away(t, FAULT_ANY);
	open_offline(t);
	for (unsigned i = 0; i < 12; i++)
		tv_check(t, i * 131072 + 4096, 40960);
	tv_check(t, 5 * MIB, 65536);
	tv_check(t, 12 * MIB, MIB); /* never written: that is known without the store */
	tv_write(t, 11 * MIB, 65536, 1);
	tv_flush(t);
	tv_check(t, 11 * MIB, 65536);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_ANY), 0);
	ck_assert_int_eq(tv_close_in(t, UINT32_MAX), 1); /* not everything is stored */
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_ANY), 0);
	tv_free(t);
}
END_TEST

START_TEST(offline_the_whole_volume_is_known_and_objects_that_can_be_read_are)
{
	struct tv *t = killed();

	store_away(t, FAULT_WRITES | FAULT_HEAD | FAULT_LIST);
	open_offline(t);
	tv_check_all(t);
	lsvd_vol_check_parts(t->v);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES | FAULT_HEAD | FAULT_LIST), 0);
	tv_free(t);
}
END_TEST

START_TEST(offline_without_any_store_the_log_is_there)
{
	struct tv *t = killed();
	struct lsvd_store *store = t->store;
	uint8_t byte[512];

	t->store = NULL;
	t->o.read_timeout_ms = 50;
	ck_assert_err(tv_try_open(t), -EINVAL);
	open_offline(t);
	tv_check(t, 4096, 40960);
	ck_assert_err(lsvd_volume_read(t->v, byte, 45 * 65536 + 512, 512), LSVD_E_UNAVAILABLE);
	ck_assert_int_eq(tv_close_in(t, UINT32_MAX), 1);
	t->store = store;
	tv_free(t);
}
END_TEST

START_TEST(offline_reads_that_need_the_store_fail_after_their_timeout)
{
	struct tv *t = killed();
	uint8_t buf[512];

	t->o.read_timeout_ms = 200;
	store_away(t, FAULT_ANY);
	open_offline(t);
	ck_assert_err(lsvd_volume_read(t->v, buf, 45 * 65536 + 512, 512), LSVD_E_UNAVAILABLE);
	ck_assert_int_eq(lsvd_error_errno(LSVD_E_UNAVAILABLE), EIO);
	store_back(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .err = -ENOENT });
	ck_assert_err(lsvd_volume_read(t->v, buf, 45 * 65536 + 512, 512), LSVD_E_UNAVAILABLE);
	ck_assert_uint_eq(tv_stats(t).corrupt, 0); /* an empty mount point is no damage */
	store_back(t);
	tv_check(t, 45 * 65536 + 512, 512);
	tv_free(t);
}
END_TEST

START_TEST(offline_the_read_cache_answers)
{
	struct tv *t = tv_new();

	t->o.rcache_bytes = 8 * MIB;
	t->o.log_bytes = MIB;
	tv_open(t);
	write_much(t);
	store_back(t);
	tv_reopen(t);
	tv_check_all(t); /* fills it */
	tv_close(t);
	store_away(t, FAULT_ANY);
	open_offline(t);
	tv_check_all(t);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_ANY), 0);
	tv_free(t);
}
END_TEST

START_TEST(offline_after_a_clean_close_goes_on_and_nothing_is_lost)
{
	struct tv *t = tv_new();

	tv_open(t);
	write_much(t);
	store_back(t);
	tv_close(t);
	offline_run(t);
	ck_assert_int_eq(tv_close_in(t, UINT32_MAX), 1);
	store_back(t);
	tv_open(t);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(offline_close_with_nothing_written_is_clean)
{
	struct tv *t = tv_new();

	tv_open(t);
	write_much(t);
	store_back(t);
	tv_close(t);
	store_away(t, FAULT_ANY);
	open_offline(t);
	ck_assert_int_eq(tv_close_in(t, UINT32_MAX), 0);
	store_back(t);
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(offline_runs_that_are_killed_come_to_the_store_later)
{
	struct tv *t = killed();

	tv_killed(t, offline_run);
	tv_killed(t, second_offline_run);
	tv_open(t);
	tv_check_all(t);
	tv_sync(t);
	tv_check_all(t);
	tv_close(t);
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(offline_a_new_volume_that_was_opened_once)
{
	struct tv *t = tv_new();

	tv_open(t);
	tv_close(t);
	offline_run(t);
	ck_assert_int_eq(tv_close_in(t, 0), 1);
	store_back(t);
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(offline_reader_changes_nothing)
{
	struct tv *t = killed();
	uint8_t byte[512] = { 0 }, *before, *after;
	char *path = tv_log_path(t);
	size_t len;

	before = tv_slurp(path, &len);
	store_away(t, FAULT_ANY);
	t->o.flags = LSVD_OPEN_READONLY;
	open_offline(t);
	tv_check(t, 4096, 40960);
	ck_assert_err(lsvd_volume_write(t->v, byte, 0, 512, 0), -EROFS);
	ck_assert_int_eq(tv_close_in(t, 0), 0);
	after = tv_slurp(path, &len);
	ck_assert_int_eq(memcmp(before, after, len), 0);
	store_back(t);
	t->o.flags = 0;
	tv_open(t);
	tv_check_all(t);
	free(before);
	free(after);
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(offline_many_snapshots_later_the_map_is_whole)
{
	struct tv *t = tv_new();
	struct mirror_head heads[2];
	char *path;
	uint8_t *p;
	size_t len;

	t->o.log_bytes = MIB;
	tv_open(t);
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < 16; i++)
			tv_write(t, (round * 7 + i * 5) % 250 * 65536, 32768, round * 100 + i);
		tv_sync(t);
	}
	tv_close(t);
	for (unsigned i = 0; i < 2; i++) {
		path = map_path(t, i);
		p = tv_slurp(path, &len);
		ck_assert_ok(lsvd_mirror_head_decode(&heads[i], p, path));
		ck_assert_uint_lt(len, MIB);
		free(p);
		free(path);
	}
	ck_assert_uint_gt(heads[0].generation + heads[1].generation, 4);
	store_away(t, FAULT_WRITES | FAULT_HEAD | FAULT_LIST);
	open_offline(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------------- what may be done */

START_TEST(offline_a_flush_to_the_store_fails_and_is_never_acknowledged)
{
	struct tv *t = tv_new();
	uint8_t buf[512] = { 1 };

	t->o.flush = LSVD_FLUSH_REMOTE;
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_flush(t);
	tv_close(t);
	store_away(t, FAULT_ANY);
	open_offline(t);
	tv_write(t, MIB, 65536, 2);
	ck_assert_err(lsvd_volume_flush(t->v), LSVD_E_UNAVAILABLE);
	ck_assert_error_says("offline");
	ck_assert_err(lsvd_volume_write(t->v, buf, 2 * MIB, 512, LSVD_IO_FUA), LSVD_E_UNAVAILABLE);
	memcpy(t->model + 2 * MIB, buf, 512); /* written, and not known to be safe */
	ck_assert_int_eq(tv_close_in(t, 0), 1);
	store_back(t);
	tv_open(t);
	tv_check_all(t);
	tv_flush(t);
	tv_free(t);
}
END_TEST

START_TEST(offline_asking_for_what_needs_the_store_says_so_at_once)
{
	struct tv *t = killed();
	char text[128];

	store_away(t, FAULT_ANY);
	open_offline(t);
	tv_write(t, 0, 512, 5);
	ck_assert_err(lsvd_volume_sync(t->v, UINT32_MAX), LSVD_E_UNAVAILABLE);
	ck_assert_error_says("offline");
	ck_assert_err(lsvd_volume_checkpoint(t->v, UINT32_MAX), LSVD_E_UNAVAILABLE);
	ck_assert_ok(lsvd_volume_seal(t->v));
	ck_assert_int_eq(lsvd_volume_status(t->v, text, sizeof text), LSVD_E_UNAVAILABLE);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_ANY), 0);
	tv_free(t);
}
END_TEST

START_TEST(offline_writers_wait_when_the_log_is_full_and_memory_stays_bounded)
{
	struct tv *t = tv_new();
	uint8_t *buf = tv_buffer(65536);
	unsigned n = 0;
	int err = 0;

	t->o.log_bytes = 12 * MIB;
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_close(t);
	t->o.stall_timeout_ms = 100;
	store_away(t, FAULT_ANY);
	open_offline(t);
	for (; n < 250 && !err; n++) {
		t_fill(buf, 65536, n);
		err = lsvd_volume_write(t->v, buf, n * 65536, 65536, 0);
		if (!err)
			memcpy(t->model + n * 65536, buf, 65536);
		ck_assert_uint_le(tv_stats(t).memory_bytes, 9 * MIB);
	}
	ck_assert_err(err, -EIO); /* with a timeout; without one it would wait */
	ck_assert_uint_gt(n, 120);
	tv_flush(t);
	ck_assert_int_eq(tv_close_in(t, 0), 1);
	store_back(t);
	tv_open(t);
	tv_check_all(t);
	free(buf);
	tv_free(t);
}
END_TEST

START_TEST(offline_goes_with_no_other_flag)
{
	struct tv *t = killed();

	t->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	ck_assert_err(try_offline(t), -EINVAL);
	t->o.flags = LSVD_OPEN_TAKEOVER;
	ck_assert_err(try_offline(t), -EINVAL);
	tv_free(t);
}
END_TEST

START_TEST(offline_is_refused_while_another_serves)
{
	struct tv *t = tv_new();
	struct lsvd_volume *v;

	tv_open(t);
	tv_reopen(t); /* there is a mirror from before */
	v = t->v;
	t->v = NULL;
	ck_assert_err(try_offline(t), LSVD_E_LOCKED);
	t->v = v;
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------- another took it meanwhile */

START_TEST(offline_writes_are_refused_later_if_another_host_went_on)
{
	struct tv *t = killed();
	char *other = tmpdir_path(t->dir, "other");

	offline_run(t);
	ck_assert_int_eq(tv_close_in(t, 0), 1);
	store_back(t);
	t->o.cache_dir = other;
	t->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	tv_open(t);
	tv_close(t);
	t->o.cache_dir = t->cache;
	t->o.flags = 0;
	ck_assert_err(tv_try_open(t), LSVD_E_FOREIGN_CACHE);
	free(other);
	tv_free(t);
}
END_TEST

/* The superblocks say that the offline run began before something that the store has. */
static void begin_earlier(struct tv *t)
{
	char *path = tv_log_path(t);
	struct wal_super super;
	size_t len;
	uint8_t *p = tv_slurp(path, &len);

	for (unsigned i = 0; i < 2; i++) {
		ck_assert_ok(lsvd_wal_super_decode(&super, p + i * 4096, path));
		if (super.offline_op)
			super.offline_op = 3;
		lsvd_wal_super_encode(p + i * 4096, &super);
	}
	tv_poke(path, p, 8192, 0);
	free(p);
	free(path);
}

START_TEST(offline_writes_are_refused_if_the_store_has_others_under_their_numbers)
{
	struct tv *t = killed(), *c;

	offline_run(t);
	ck_assert_int_eq(tv_close_in(t, 0), 1);
	store_back(t);
	c = tv_copy(t);
	begin_earlier(t);
	ck_assert_err(tv_try_open(t), LSVD_E_ROLLBACK);
	ck_assert_error_says("offline from operation 3");
	t->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	tv_open(t);
	tv_close(t);
	tv_free(t);
	tv_open(c);
	tv_check_all(c);
	tv_sync(c);
	ck_assert_int_eq(tv_close_in(c, 0), 1); /* no time: the log keeps what is stored by now */
	tv_open(c);
	tv_check_all(c);
	tv_free(c);
}
END_TEST

START_TEST(offline_a_history_that_was_given_up_does_not_come_back)
{
	struct tv *t = killed();
	char *path = tmpdir_path(t->dir, "other"), *map;
	uint8_t *old;
	size_t len;

	map = map_path(t, 0);
	old = tv_slurp(map, &len);
	t->o.cache_dir = path;
	t->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	tv_open(t);
	tv_close(t);
	/* Gives up what its log held, begins a history of its own, and leaves a mirror of that. */
	t->o.cache_dir = t->cache;
	tv_open(t);
	ck_assert_int_eq(tv_close_in(t, UINT32_MAX), 0);
	t->o.flags = 0;
	tv_truncate(map, len);
	tv_poke(map, old, len, 0);
	free(map);
	map = map_path(t, 1);
	tv_truncate(map, 0);
	ck_assert_err(try_offline(t), LSVD_E_UNAVAILABLE);
	ck_assert_error_says("another log");
	free(old);
	free(map);
	free(path);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------- mirrors that are bad */

START_TEST(offline_without_a_mirror_is_refused)
{
	struct tv *t = killed();

	tv_run("rm '%s'/%s", t->cache, TV_NAME ".map?");
	store_away(t, FAULT_ANY);
	ck_assert_err(try_offline(t), LSVD_E_UNAVAILABLE);
	ck_assert_error_says("no copy of its map");
	store_back(t);
	tv_open(t);
	tv_check_all(t);
	tv_close(t);
	open_offline(t); /* it was made again */
	tv_free(t);
}
END_TEST

/* Where the data of a write lies in the log file. */
static uint64_t find_in_log(struct tv *t, uint64_t seed)
{
	char *path = tv_log_path(t);
	uint8_t want[512], *log;
	size_t len, at = WAL_RING_START;

	t_fill(want, sizeof want, seed);
	log = tv_slurp(path, &len);
	while (at < len && memcmp(log + at, want, sizeof want) != 0)
		at += 4096;
	ck_assert_uint_lt(at, len);
	free(log);
	free(path);
	return at;
}

START_TEST(offline_damage_in_the_log_is_passed_over_if_the_mirror_has_it)
{
	struct tv *t = killed(), *c = tv_copy(t);
	char *path = tv_log_path(t);

	tv_flip(path, find_in_log(t, 163) + 700); /* stored, and still in the log */
	store_away(t, FAULT_WRITES | FAULT_HEAD | FAULT_LIST);
	open_offline(t);
	tv_check_all(t);
	free(path);
	tv_free(t);
	path = tv_log_path(c);
	tv_flip(path, find_in_log(c, 305) + 700); /* nowhere else */
	ck_assert_err(try_offline(c), LSVD_E_CORRUPT);
	ck_assert_error_says(TV_NAME ".log");
	free(path);
	tv_free(c);
}
END_TEST

START_TEST(offline_without_a_log_is_refused_and_none_is_made)
{
	struct tv *t = killed();
	char *path = tv_log_path(t);

	ck_assert_int_eq(unlink(path), 0);
	ck_assert_err(try_offline(t), LSVD_E_UNAVAILABLE);
	ck_assert_int_ne(access(path, F_OK), 0);
	tv_run("rm -r '%s'%s", t->cache, "");
	ck_assert_err(try_offline(t), LSVD_E_UNAVAILABLE);
	free(path);
	tv_free(t);
}
END_TEST

/*
 * What a deleted volume of the name has left behind is no copy of the map of the one there is now.
 */
START_TEST(offline_the_mirror_of_a_deleted_volume_is_refused_and_the_store_is_not_asked)
{
	struct tv *t = killed();
	struct mirror_head heads[2] = { { .flags = 0 }, { .flags = 0 } };

	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, NULL, NULL));
	memset(t->model, 0, TV_BYTES);
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_close(t);
	for (unsigned i = 0; i < 2; i++) {
		char *path = map_path(t, i);
		size_t len;
		uint8_t *p = tv_slurp(path, &len);

		(void)lsvd_mirror_head_decode(&heads[i], p, path); /* else it is not complete */
		free(p);
		free(path);
	}
	/*
	 * The new volume's is the newer one: it goes, the other is complete and of the old volume.
	 */
	ck_assert(heads[0].flags & heads[1].flags & MIRROR_COMPLETE);
	char *newest = map_path(t, heads[1].generation > heads[0].generation);

	tv_flip(newest, 100);
	free(newest);
	store_away(t, FAULT_ANY);
	ck_assert_err(try_offline(t), LSVD_E_UNAVAILABLE);
	ck_assert_error_says("another log");
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_ANY), 0);
	tv_free(t);
}
END_TEST

START_TEST(offline_a_log_older_than_the_mirror_is_refused)
{
	struct tv *t = tv_new();
	char *path = tv_log_path(t);
	uint8_t *old;
	size_t len;

	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_close(t);
	old = tv_slurp(path, &len);
	tv_open(t);
	tv_write(t, 65536, 65536, 1);
	tv_close(t);
	tv_poke(path, old, len, 0);
	ck_assert_err(try_offline(t), LSVD_E_ROLLBACK);
	free(old);
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(offline_a_mirror_older_than_the_log_is_refused)
{
	struct tv *t = tv_new();
	char *path = map_path(t, 0);
	uint8_t *old;
	size_t len;

	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_close(t);
	old = tv_slurp(path, &len);
	tv_open(t);
	tv_write(t, 65536, 65536, 1);
	tv_close(t);
	tv_truncate(path, len);
	tv_poke(path, old, len, 0);
	free(path);
	path = map_path(t, 1);
	tv_truncate(path, 100);
	ck_assert_err(try_offline(t), LSVD_E_UNAVAILABLE);
	ck_assert_error_says("the local log begins with");
	free(old);
	free(path);
	tv_free(t);
}
END_TEST

/* Any byte of the newer file is wrong: what opens is right, what does not says so. */
START_TEST(offline_with_any_byte_of_the_mirror_altered_is_right_or_refused)
{
	struct tv *t = tv_new(), *c;
	unsigned opened = 0, refused = 0;
	uint64_t size;
	char *path;

	t->o.log_bytes = MIB;
	tv_open(t);
	for (unsigned i = 0; i < 40; i++)
		tv_write(t, i * 65536, 32768, i);
	tv_sync(t);
	tv_close(t);
	path = map_path(t, 0);
	size = tv_file_size(path);
	free(path);
	for (uint64_t off = 0; off < size; off += off < 200 ? 7 : off % 4096 < 200 ? 41 : 977) {
		c = tv_copy(t);
		path = map_path(c, 0);
		tv_flip(path, off);
		if (try_offline(c) == 0) {
			tv_check_all(c);
			opened++;
		} else {
			ck_assert_error_says(TV_NAME);
			refused++;
		}
		free(path);
		tv_free(c);
	}
	ck_assert_uint_gt(refused, 10);
	ck_assert_uint_gt(opened, 10); /* padding: nothing looks at it */
	tv_free(t);
}
END_TEST

START_TEST(offline_with_the_mirror_cut_anywhere_is_right_or_refused)
{
	struct tv *t = killed(), *c;
	char *path = map_path(t, 0);
	uint64_t size = tv_file_size(path);

	free(path);
	for (uint64_t at = 0; at < size; at += 4096) {
		c = tv_copy(t);
		path = map_path(c, 0);
		tv_truncate(path, at + at % 3 * 1000);
		if (try_offline(c) == 0)
			tv_check_all(c);
		else
			ck_assert_error_says(TV_NAME);
		free(path);
		tv_free(c);
	}
	tv_free(t);
}
END_TEST

START_TEST(an_open_with_the_store_lives_with_any_mirror)
{
	struct tv *t = killed(), *c = tv_copy(t), *d = tv_copy(t);
	char *path = map_path(c, 0);

	for (unsigned off = 0; off < 4096; off += 512)
		tv_flip(path, off);
	tv_open(c);
	tv_check_all(c);
	tv_close(c);
	open_offline(c);
	tv_check_all(c);
	free(path);
	tv_free(c);
	/* A directory in its place: no mirror, and all else as ever. */
	tv_run("rm '%s'/%s", d->cache, TV_NAME ".map?");
	tv_run("mkdir '%s'/%s", d->cache, TV_NAME ".map1");
	tv_open(d);
	tv_check_all(d);
	write_much(d);
	store_back(d);
	tv_close(d);
	ck_assert_int_lt(try_offline(d), 0);
	tv_open(d);
	tv_check_all(d);
	tv_free(d);
	tv_free(t);
}
END_TEST

START_TEST(without_offline_an_open_during_an_outage_is_refused)
{
	struct tv *t = killed();

	store_away(t, FAULT_ANY);
	ck_assert_err(tv_try_open(t), LSVD_E_UNAVAILABLE);
	store_back(t);
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static Suite *volume_offline_suite(void)
{
	Suite *s = suite_create("volume_offline");
	TCase *there = tcase_create("what is there"), *done = tcase_create("what may be done"),
	      *others = tcase_create("another host"), *bad = tcase_create("bad mirrors");

	tcase_set_timeout(there, 60);
	tcase_set_timeout(done, 60);
	tcase_set_timeout(others, 60);
	tcase_set_timeout(bad, 250);
	tcase_add_test(there, offline_open_asks_the_store_for_nothing_and_has_the_log);
	tcase_add_test(there, offline_the_whole_volume_is_known_and_objects_that_can_be_read_are);
	tcase_add_test(there, offline_without_any_store_the_log_is_there);
	tcase_add_test(there, offline_reads_that_need_the_store_fail_after_their_timeout);
	tcase_add_test(there, offline_the_read_cache_answers);
	tcase_add_test(there, offline_after_a_clean_close_goes_on_and_nothing_is_lost);
	tcase_add_test(there, offline_close_with_nothing_written_is_clean);
	tcase_add_test(there, offline_runs_that_are_killed_come_to_the_store_later);
	tcase_add_test(there, offline_a_new_volume_that_was_opened_once);
	tcase_add_test(there, offline_reader_changes_nothing);
	tcase_add_test(there, offline_many_snapshots_later_the_map_is_whole);
	tcase_add_test(done, offline_a_flush_to_the_store_fails_and_is_never_acknowledged);
	tcase_add_test(done, offline_asking_for_what_needs_the_store_says_so_at_once);
	tcase_add_test(done, offline_writers_wait_when_the_log_is_full_and_memory_stays_bounded);
	tcase_add_test(done, offline_goes_with_no_other_flag);
	tcase_add_test(done, offline_is_refused_while_another_serves);
	tcase_add_test(others, offline_writes_are_refused_later_if_another_host_went_on);
	tcase_add_test(others,
		       offline_writes_are_refused_if_the_store_has_others_under_their_numbers);
	tcase_add_test(others, offline_a_history_that_was_given_up_does_not_come_back);
	tcase_add_test(bad, offline_without_a_mirror_is_refused);
	tcase_add_test(bad, offline_damage_in_the_log_is_passed_over_if_the_mirror_has_it);
	tcase_add_test(bad, offline_without_a_log_is_refused_and_none_is_made);
	tcase_add_test(
		bad, offline_the_mirror_of_a_deleted_volume_is_refused_and_the_store_is_not_asked);
	tcase_add_test(bad, offline_a_log_older_than_the_mirror_is_refused);
	tcase_add_test(bad, offline_a_mirror_older_than_the_log_is_refused);
	tcase_add_test(bad, offline_with_any_byte_of_the_mirror_altered_is_right_or_refused);
	tcase_add_test(bad, offline_with_the_mirror_cut_anywhere_is_right_or_refused);
	tcase_add_test(bad, an_open_with_the_store_lives_with_any_mirror);
	tcase_add_test(bad, without_offline_an_open_during_an_outage_is_refused);
	suite_add_tcase(s, there);
	suite_add_tcase(s, done);
	suite_add_tcase(s, others);
	suite_add_tcase(s, bad);
	return s;
}

T_MAIN(volume_offline_suite)
