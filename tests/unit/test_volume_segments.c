/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what becomes of writes in the store: when segments are sealed, what is in them, what
 * happens while the store is slow, away or full of faults, and when the log is full.
 * lsvd-test: timeout=300 labels=tsan
 */
#include <pthread.h>

#include "t_volume.h"

static struct tv *fresh(void)
{
	struct tv *t = tv_new();

	tv_open(t);
	return t;
}

/* ----------------------------------------------------------------------------------- sealing */

struct events {
	struct lsvd_segment_event list[256];
	unsigned count;
};

static void note_event(void *ctx, const struct lsvd_segment_event *event)
{
	struct events *e = ctx;
	unsigned n = __atomic_load_n(&e->count, __ATOMIC_RELAXED);

	e->list[n] = *event;
	__atomic_store_n(&e->count, n + 1, __ATOMIC_RELEASE);
}

static unsigned event_count(struct events *e)
{
	return __atomic_load_n(&e->count, __ATOMIC_ACQUIRE);
}

START_TEST(stored_segments_are_told_of_in_order_without_gaps)
{
	struct tv *t = tv_new();
	struct events e = { .count = 0 };
	uint64_t user_bytes = 0;

	t->o.segment_fn = note_event;
	t->o.segment_ctx = &e;
	tv_open(t);
	for (unsigned i = 0; i < 64; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_sync(t);
	tv_wait_for(event_count(&e) == tv_stats(t).segments);
	ck_assert_uint_ge(e.count, 16);
	for (unsigned i = 0; i < e.count; i++) {
		ck_assert_uint_eq(e.list[i].epoch, 1);
		ck_assert_uint_eq(e.list[i].seq, i + 2);
		ck_assert_uint_eq(e.list[i].first_op, i ? e.list[i - 1].last_op + 1 : 1);
		ck_assert_uint_ge(e.list[i].last_op, e.list[i].first_op);
		ck_assert_uint_gt(e.list[i].bytes, 0);
		user_bytes += e.list[i].user_bytes;
	}
	ck_assert_uint_eq(e.list[e.count - 1].last_op, 64);
	ck_assert_uint_eq(user_bytes, 64 * 65536);
	tv_free(t);
}
END_TEST

START_TEST(a_full_segment_is_stored_by_itself)
{
	struct tv *t = fresh();

	tv_write(t, 0, 65536, 1);
	tv_write(t, 65536, 32768, 2);
	ck_assert_uint_eq(tv_stats(t).segments, 0);
	tv_write(t, 131072, 65536, 3);
	tv_wait_for(tv_stats(t).segments == 1);
	tv_free(t);
}
END_TEST

START_TEST(a_quiet_segment_is_stored_though_not_full)
{
	struct tv *t = tv_new();

	t->o.seal_after_ms = 30;
	tv_open(t);
	tv_write(t, 0, 4096, 1);
	tv_wait_for(tv_stats(t).segments == 1);
	tv_trim(t, 0, 4096);
	tv_wait_for(tv_stats(t).segments == 2);
	ck_assert_uint_eq(tv_stats(t).stored_op, 2);
	tv_free(t);
}
END_TEST

/* Never quiet for as long as seal_after: each write follows the one before at once. */
START_TEST(a_trickle_of_writes_is_stored_though_it_never_stops)
{
	struct tv *t = tv_new();
	uint64_t writes = 0;

	t->o.seal_after_ms = 20;
	t->o.segment_bytes = 64u << 20;
	tv_open(t);
	/* One of them might be the end of a pause that was not meant. */
	while (tv_stats(t).segments < 4) {
		tv_write(t, writes++ % 64 * 4096, 512, 1);
		ck_assert_uint_lt(writes, UINT32_C(1) << 24);
	}
	tv_free(t);
}
END_TEST

START_TEST(seal_stores_what_there_is)
{
	struct tv *t = fresh();

	ck_assert_ok(lsvd_volume_seal(t->v)); /* nothing: nothing happens */
	tv_write(t, 0, 512, 1);
	ck_assert_ok(lsvd_volume_seal(t->v));
	tv_wait_for(tv_stats(t).stored_op == 1);
	ck_assert_uint_eq(tv_count(t, KEY_CHAIN), 2);
	tv_free(t);
}
END_TEST

START_TEST(an_idle_volume_puts_nothing)
{
	struct tv *t = tv_new();
	uint64_t calls;

	t->o.seal_after_ms = 10;
	tv_open(t);
	tv_write(t, 0, 4096, 1);
	tv_wait_for(tv_stats(t).segments == 1);
	calls = store_fault_calls(t->fault, FAULT_ANY);
	for (unsigned i = 0; i < 50; i++) {
		tv_check(t, 0, 4096);
		tv_flush(t);
	}
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_PUT | FAULT_REMOVE | FAULT_LIST |
					    FAULT_HEAD) + store_fault_calls(t->fault, FAULT_GET),
			  calls);
	tv_free(t);
}
END_TEST

START_TEST(trims_alone_fill_segments_too)
{
	struct tv *t = tv_new();

	t->o.log_bytes = 1u << 20;
	tv_open(t);
	tv_write(t, 0, 262144, 1);
	for (unsigned i = 0; i < 3000; i++)
		tv_trim(t, 512 * (i % 512), 512);
	tv_sync(t);
	/* room is given back after the sync, not by it */
	tv_wait_for(tv_stats(t).log_used < 1u << 20);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------- what is stored */

START_TEST(what_is_overwritten_before_it_is_stored_is_not_stored)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 30; i++)
		tv_write(t, 0, 4096, i);
	tv_sync(t);
	ck_assert_uint_eq(tv_stats(t).coalesced_bytes, 29 * 4096);
	ck_assert_uint_lt(tv_stats(t).data_put_bytes, 3 * 4096);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(compressible_data_is_stored_smaller_and_random_data_as_it_is)
{
	static const uint32_t codecs[] = { LSVD_COMPRESS_NONE, LSVD_COMPRESS_LZ4,
					   LSVD_COMPRESS_ZLIB };
	struct tv *t = tv_new();
	struct lsvd_stats s;
	uint64_t random;

	t->o.compression = codecs[_i];
	t->o.segment_bytes = 512u << 10;
	tv_open(t);
	tv_write(t, 0, 262144, 1);
	tv_sync(t);
	random = tv_stats(t).data_put_bytes;
	ck_assert_uint_ge(random, 262144);
	ck_assert_uint_le(random, 262144 + 262144 / 100);
	tv_write_text(t, 1u << 20, 262144, 2);
	tv_sync(t);
	s = tv_stats(t);
	if (codecs[_i] == LSVD_COMPRESS_NONE)
		ck_assert_uint_ge(s.data_put_bytes - random, 262144);
	else
		ck_assert_uint_le(s.data_put_bytes - random, 262144 / 8);
	ck_assert_uint_ge(s.compressed_from, s.compressed_to);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(zeroes_take_no_room_in_the_store)
{
	struct tv *t = fresh();
	uint8_t *zeroes = calloc(1, 65536);

	tv_write(t, 0, 65536, 1);
	tv_sync(t);
	store_fault_reset_counts(t->fault);
	ck_assert_ok(lsvd_volume_write(t->v, zeroes, 0, 65536, 0));
	memset(t->model, 0, 65536);
	tv_sync(t);
	ck_assert_uint_le(store_fault_bytes(t->fault, FAULT_PUT), 1024);
	free(zeroes);
	tv_reopen(t);
	tv_check_all(t);
	ck_assert_uint_eq(tv_stats(t).live_bytes, 0);
	tv_free(t);
}
END_TEST

START_TEST(live_bytes_fall_when_data_is_overwritten_or_trimmed)
{
	struct tv *t = fresh();

	tv_write(t, 0, 131072, 1);
	tv_sync(t);
	ck_assert_uint_eq(tv_stats(t).live_bytes, 131072);
	tv_write(t, 65536, 131072, 2);
	tv_sync(t);
	ck_assert_uint_eq(tv_stats(t).live_bytes, 196608);
	tv_trim(t, 0, 32768);
	tv_sync(t);
	ck_assert_uint_eq(tv_stats(t).live_bytes, 163840);
	tv_reopen(t);
	ck_assert_uint_eq(tv_stats(t).live_bytes, 163840);
	ck_assert_uint_ge(tv_stats(t).stored_bytes, 262144);
	tv_free(t);
}
END_TEST

START_TEST(usage_counts_what_the_store_holds)
{
	struct tv *t = fresh();
	struct lsvd_volume_usage u = { .size = sizeof u };

	tv_write(t, 0, 131072, 1);
	tv_sync(t);
	tv_write(t, 0, 4096, 2);
	ck_assert_ok(lsvd_volume_usage(t->store, TV_NAME, &u));
	ck_assert_uint_eq(u.ops, 1);
	ck_assert_uint_eq(u.epoch, 1);
	ck_assert_uint_eq(u.closed_cleanly, 0);
	ck_assert_uint_eq(u.objects, 4); /* record, claim, base, data */
	tv_close(t);
	ck_assert_ok(lsvd_volume_usage(t->store, TV_NAME, &u));
	ck_assert_uint_eq(u.ops, 2);
	ck_assert_uint_eq(u.closed_cleanly, 1);
	ck_assert_uint_ge(u.checkpoints, 1);
	ck_assert_uint_gt(u.bytes, 131072);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------ nothing is written in place */

struct seen {
	char *path;
	struct stat st;
};

static struct seen seen[512];
static unsigned seen_count;

static void look_at_files(struct tv *t, bool compare)
{
	static const enum key_kind kinds[] = { KEY_CLAIM, KEY_CHAIN, KEY_FREE, KEY_ROOT };

	for (unsigned i = 0; compare && i < seen_count; i++) {
		struct stat st;

		if (stat(seen[i].path, &st) < 0)
			continue; /* may be removed, never changed */
		ck_assert_uint_eq(st.st_ino, seen[i].st.st_ino);
		ck_assert_int_eq(st.st_size, seen[i].st.st_size);
		ck_assert_int_eq(st.st_mtim.tv_sec, seen[i].st.st_mtim.tv_sec);
		ck_assert_int_eq(st.st_mtim.tv_nsec, seen[i].st.st_mtim.tv_nsec);
	}
	while (seen_count)
		free(seen[--seen_count].path);
	for (unsigned k = 0; k < 4; k++) {
		struct tv_keys *keys = tv_keys(t, kinds[k]);

		for (unsigned i = 0; i < keys->count && seen_count < 512; i++) {
			struct seen *s = &seen[seen_count];

			s->path = tv_object_path(t, keys->keys[i]);
			if (stat(s->path, &s->st) == 0)
				seen_count++;
			else
				free(s->path); /* removed since it was listed */
		}
		free(keys);
	}
}

START_TEST(objects_of_the_store_are_never_rewritten)
{
	struct tv *t = tv_new();

	t->o.checkpoint_segments = 3;
	for (unsigned round = 0; round < 6; round++) {
		tv_open(t);
		for (unsigned i = 0; i < 12; i++)
			tv_write(t, i * 65536, 65536, round * 100 + i);
		tv_sync(t);
		look_at_files(t, round > 0);
		tv_close(t);
		look_at_files(t, true);
	}
	ck_assert_uint_gt(seen_count, 20);
	while (seen_count)
		free(seen[--seen_count].path);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------- a slow or dead store */

START_TEST(as_many_objects_are_on_their_way_as_the_window_allows)
{
	struct tv *t = tv_new();
	unsigned most = 0;

	t->o.put_window = (uint32_t)_i;
	tv_open(t);
	store_fault_reset_counts(t->fault); /* an open asks several things at once */
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/", .kind = FAULT_HOLD });
	for (unsigned i = 0; i < 16; i++)
		tv_write(t, i * 65536, 65536, i);
	store_fault_wait_held(t->fault, (unsigned)_i);
	(void)store_fault_in_flight(t->fault, &most);
	ck_assert_uint_eq(most, (unsigned)_i);
	tv_check_all(t);
	store_fault_clear(t->fault);
	tv_sync(t);
	(void)store_fault_in_flight(t->fault, &most);
	ck_assert_uint_eq(most, (unsigned)_i);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_read_over_log_upload_and_objects_is_right)
{
	struct tv *t = fresh();

	tv_write(t, 0, 262144, 1);
	tv_reopen(t); /* in objects alone */
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/", .kind = FAULT_HOLD });
	tv_write(t, 65536, 65536, 2);
	tv_write(t, 147456, 4096, 3);
	ck_assert_ok(lsvd_volume_seal(t->v));
	store_fault_wait_held(t->fault, 1); /* being stored */
	tv_write(t, 90112, 8192, 4);        /* in the log */
	tv_zero(t, 12288, 4096, 0);
	tv_check(t, 0, 262144);
	for (uint32_t at = 0; at < 262144; at += 16384)
		tv_check(t, at + 1024, 20480);
	store_fault_clear(t->fault);
	tv_sync(t);
	tv_check(t, 0, 262144);
	tv_free(t);
}
END_TEST

START_TEST(writes_go_on_while_the_store_is_away_and_drain_when_it_is_back)
{
	struct tv *t = fresh();

	tv_write(t, 0, 65536, 1);
	tv_sync(t);
	ck_assert_ok(store_fault_cut(t->fault, 1));
	for (unsigned i = 0; i < 16; i++)
		tv_write(t, i * 65536, 65536, 10 + i);
	tv_flush(t);
	tv_wait_for(lsvd_volume_status(t->v, NULL, 0) == LSVD_E_UNAVAILABLE);
	tv_check_all(t);
	ck_assert_err(lsvd_volume_sync(t->v, 50), -ETIMEDOUT);
	store_fault_clear(t->fault);
	tv_sync(t);
	ck_assert_int_eq(lsvd_volume_status(t->v, NULL, 0), 0);
	ck_assert_uint_gt(tv_stats(t).retries, 0);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_lost_answer_to_a_put_is_found_out_by_reading_back)
{
	struct tv *t = fresh();

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .times = 6,
					 .kind = FAULT_LOSE_REPLY });
	for (unsigned i = 0; i < 12; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_sync(t);
	ck_assert_uint_eq(store_fault_hits(t->fault, FAULT_LOSE_REPLY), 6);
	ck_assert_uint_eq(tv_count(t, KEY_CHAIN), 1 + tv_stats(t).segments);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_full_or_forbidding_store_is_waited_for)
{
	static const int errs[] = { -ENOSPC, -EACCES, -EROFS, -EIO, -ENOMEM };
	static const int told[] = { -ENOSPC, -EACCES, -EROFS, LSVD_E_UNAVAILABLE,
				    LSVD_E_UNAVAILABLE };
	struct tv *t = fresh();
	char text[200];

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .kind = FAULT_FAIL,
					 .err = errs[_i] });
	for (unsigned i = 0; i < 4; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_wait_for(lsvd_volume_status(t->v, text, sizeof text) == told[_i]);
	ck_assert_msg(strstr(text, "refused, on purpose"),
		      "the store's text is not in \"%s\"", text);
	tv_flush(t);
	store_fault_clear(t->fault);
	ck_assert_err(tv_close_in(t, 30000), 0);
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_checkpoint_that_fails_harms_nothing)
{
	struct tv *t = tv_new();

	t->o.checkpoint_segments = 2;
	tv_open(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = _i ? "/k/" : "/f/",
					 .kind = FAULT_FAIL, .err = -EACCES });
	for (unsigned i = 0; i < 12; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_sync(t);
	tv_check_all(t);
	(void)tv_close_in(t, 300); /* 0 or 1: a checkpoint is no promise */
	store_fault_clear(t->fault);
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------------- a full local log */

static void *write_a_lot(void *ctx)
{
	struct tv *t = ctx;

	for (unsigned i = 0; i < 100; i++)
		tv_write(t, i * 65536 % (4u << 20), 65536, i);
	return NULL;
}

START_TEST(a_full_log_makes_writers_wait_and_they_go_on_by_themselves)
{
	struct tv *t = tv_new();
	pthread_t thread;

	t->o.log_bytes = 1u << 20;
	tv_open(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/", .kind = FAULT_HOLD });
	ck_assert_int_eq(pthread_create(&thread, NULL, write_a_lot, t), 0);
	tv_wait_for(tv_stats(t).stalls > 0);
	ck_assert_uint_lt(tv_stats(t).writes, 100);
	ck_assert_uint_le(tv_stats(t).log_used, 1u << 20);
	tv_flush(t); /* of what was acknowledged: needs no room */
	store_fault_clear(t->fault);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(the_log_goes_round_many_times)
{
	struct tv *t = tv_new();

	t->o.log_bytes = 1u << 20;
	tv_open(t);
	for (unsigned i = 0; i < 500; i++)
		tv_write(t, i * 40960 % (8u << 20), 16384 + i % 9 * 4096 + i % 5 * 512, i);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* What the log was made with counts, not what is asked for later. */
START_TEST(segments_fit_the_log_that_is_there)
{
	struct tv *t = tv_new();

	t->o.log_bytes = 1u << 20;
	tv_open(t);
	tv_close(t);
	t->o.log_bytes = 64u << 20;
	t->o.segment_bytes = 8u << 20;
	tv_open(t);
	for (unsigned i = 0; i < 8; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_wait_for(tv_stats(t).segments > 0);
	ck_assert_uint_eq(tv_stats(t).stalls, 0);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_writer_gives_up_after_the_stall_timeout_and_later_writes_succeed)
{
	struct tv *t = tv_new();
	uint8_t *buf = tv_buffer(65536);
	int err = 0;

	t->o.log_bytes = 1u << 20;
	t->o.stall_timeout_ms = 50;
	tv_open(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/", .kind = FAULT_HOLD });
	for (unsigned i = 0; i < 40 && !err; i++) {
		t_fill(buf, 65536, i);
		err = lsvd_volume_write(t->v, buf, i * 65536, 65536, 0);
		if (!err)
			memcpy(t->model + i * 65536, buf, 65536);
		else
			memset(t->model + i * 65536, 0, 65536);
	}
	ck_assert_err(err, -EIO);
	tv_check(t, 0, 65536);
	store_fault_clear(t->fault);
	t_fill(buf, 65536, 99);
	/* How long the log takes to be given room is the disk's affair. */
	tv_wait_for(lsvd_volume_write(t->v, buf, 8u << 20, 65536, 0) == 0);
	memcpy(t->model + (8u << 20), buf, 65536);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	free(buf);
	tv_free(t);
}
END_TEST

START_TEST(memory_is_bounded_and_what_was_forgotten_is_read_back_from_the_log)
{
	struct tv *t = tv_new_of(TV_BYTES);

	t->o.log_bytes = 24u << 20;
	t->o.segment_bytes = 1u << 20;
	t->o.memory_bytes = 4u << 20;
	tv_open(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/", .kind = FAULT_HOLD });
	for (unsigned i = 0; i < 14; i++)
		tv_write(t, i << 20, 1u << 20, i);
	ck_assert_uint_le(tv_stats(t).memory_bytes, 16u << 20);
	tv_check_all(t);
	ck_assert_uint_gt(tv_stats(t).read_log_bytes, 0);
	store_fault_clear(t->fault);
	tv_sync(t);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------- flushes to the store */

struct waiter {
	struct tv *t;
	int err, over;
};

static void *flush_it(void *ctx)
{
	struct waiter *w = ctx;

	w->err = lsvd_volume_flush(w->t->v);
	__atomic_store_n(&w->over, 1, __ATOMIC_RELEASE);
	return NULL;
}

START_TEST(a_remote_flush_returns_when_the_store_has_everything)
{
	struct tv *t = tv_new();
	struct waiter w = { .t = t };
	pthread_t thread;

	t->o.flush = LSVD_FLUSH_REMOTE;
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_flush(t);
	ck_assert_uint_eq(tv_stats(t).stored_op, 1);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/", .kind = FAULT_HOLD });
	tv_write(t, 65536, 4096, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, flush_it, &w), 0);
	store_fault_wait_held(t->fault, 1);
	ck_assert_int_eq(__atomic_load_n(&w.over, __ATOMIC_ACQUIRE), 0);
	store_fault_clear(t->fault);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_ok(w.err);
	ck_assert_uint_eq(tv_stats(t).stored_op, 2);
	tv_free(t);
}
END_TEST

static void remote_flush_then_die(struct tv *t)
{
	tv_open(t);
	for (unsigned i = 0; i < 7; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_flush(t);
}

START_TEST(what_a_remote_flush_covered_is_there_without_the_cache)
{
	struct tv *t = tv_new();

	t->o.flush = LSVD_FLUSH_REMOTE;
	tv_killed(t, remote_flush_then_die);
	tmpdir_remove(t->cache);
	ck_assert_err(tv_try_open(t), LSVD_E_ROLLBACK);
	t->o.flags = LSVD_OPEN_TAKEOVER;
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static void flush_done(struct lsvd_io *io)
{
	__atomic_store_n((int *)io->user, 1, __ATOMIC_RELEASE);
}

/* An operator who ends a server during an outage gets it ended. */
START_TEST(a_close_in_an_outage_does_not_wait_for_remote_flushes)
{
	struct tv *t = tv_new();
	int over = 0;
	struct lsvd_io io = { .kind = LSVD_IO_FLUSH, .done = flush_done, .user = &over };

	t->o.flush = LSVD_FLUSH_REMOTE;
	tv_open(t);
	ck_assert_ok(store_fault_cut(t->fault, 1));
	tv_write(t, 0, 65536, 1);
	lsvd_volume_submit(t->v, &io);
	ck_assert_err(tv_close_in(t, 50), 1);
	ck_assert_int_eq(over, 1);
	ck_assert_int_lt(io.err, 0);
	store_fault_clear(t->fault);
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------- every call, one by one */

/* On a store in memory, for speed: there are many of them. */
static struct tv *on_memory(void)
{
	struct tv *t = tv_blank();
	struct lsvd_store *inner;

	t->o.log_bytes = 1u << 20;
	t->o.checkpoint_segments = 2;
	ck_assert_ok(lsvd_store_open(&inner, "mem:", NULL));
	ck_assert_ok(store_fault_open(&t->store, &t->fault, inner, 1));
	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, NULL, NULL));
	store_fault_reset_counts(t->fault);
	return t;
}

/*
 * A volume's life in short; whatever fails must fail cleanly.
 * What was acknowledged is in the model.
 */
static int short_life(struct tv *t, uint32_t drain_ms)
{
	uint8_t *buf = tv_buffer(65536);
	int err = tv_try_open(t);

	for (unsigned i = 0; i < 9 && !err; i++) {
		t_fill(buf, 65536, i + 7);
		err = lsvd_volume_write(t->v, buf, i * 49152, 65536, 0);
		if (!err)
			memcpy(t->model + i * 49152, buf, 65536);
		if (!err && i % 4 == 3)
			(void)!lsvd_volume_sync(t->v, 0); /* starts it, waits for nothing */
		if (!err && i == 5)
			(void)!lsvd_volume_checkpoint(t->v, 20); /* may fail, too */
	}
	free(buf);
	if (t->v && !err)
		err = tv_close_in(t, drain_ms);
	return err;
}

START_TEST(every_store_call_may_fail_once)
{
	struct tv *t = on_memory();
	uint64_t calls, k;

	ck_assert_int_eq(short_life(t, UINT32_MAX), 0);
	calls = store_fault_calls(t->fault, FAULT_ANY);
	ck_assert_uint_gt(calls, 15);
	tv_free(t);
	for (k = 1; k <= calls; k++) {
		t = on_memory();
		tv_fault(t, (struct fault_rule){ .from = (unsigned)k, .times = 1,
						 .kind = _i ? FAULT_LOSE_REPLY : FAULT_FAIL });
		/* Only the record's look-up is not tried again: nothing has begun. */
		(void)short_life(t, 300);
		store_fault_clear(t->fault);
		tv_open(t);
		tv_check_all(t);
		tv_reopen(t);
		tv_check_all(t);
		tv_free(t);
	}
}
END_TEST

START_TEST(the_store_may_be_gone_from_any_call_on)
{
	struct tv *t = on_memory();
	uint64_t calls, k;

	ck_assert_int_eq(short_life(t, UINT32_MAX), 0);
	calls = store_fault_calls(t->fault, FAULT_ANY);
	tv_free(t);
	for (k = 1; k <= calls; k += k < 8 ? 1 : 2) {
		t = on_memory();
		/* EACCES is not tried again by an open: the test is quicker. */
		tv_fault(t, (struct fault_rule){ .from = (unsigned)k, .kind = FAULT_FAIL,
						 .err = -EACCES });
		(void)short_life(t, 300);
		store_fault_clear(t->fault);
		tv_open(t);
		tv_check_all(t);
		tv_reopen(t);
		tv_check_all(t);
		tv_free(t);
	}
}
END_TEST

/* -------------------------------------------------------------------------------------- suite */

static void add_segment_tests(TCase *c)
{
	tcase_add_test(c, stored_segments_are_told_of_in_order_without_gaps);
	tcase_add_test(c, a_full_segment_is_stored_by_itself);
	tcase_add_test(c, a_quiet_segment_is_stored_though_not_full);
	tcase_add_test(c, a_trickle_of_writes_is_stored_though_it_never_stops);
	tcase_add_test(c, seal_stores_what_there_is);
	tcase_add_test(c, an_idle_volume_puts_nothing);
	tcase_add_test(c, trims_alone_fill_segments_too);
	tcase_add_test(c, what_is_overwritten_before_it_is_stored_is_not_stored);
	tcase_add_loop_test(c, compressible_data_is_stored_smaller_and_random_data_as_it_is, 0, 3);
	tcase_add_test(c, zeroes_take_no_room_in_the_store);
	tcase_add_test(c, live_bytes_fall_when_data_is_overwritten_or_trimmed);
	tcase_add_test(c, usage_counts_what_the_store_holds);
	tcase_add_test(c, objects_of_the_store_are_never_rewritten);
}

static void add_store_tests(TCase *c)
{
	tcase_add_loop_test(c, as_many_objects_are_on_their_way_as_the_window_allows, 1, 5);
	tcase_add_test(c, a_read_over_log_upload_and_objects_is_right);
	tcase_add_test(c, writes_go_on_while_the_store_is_away_and_drain_when_it_is_back);
	tcase_add_test(c, a_lost_answer_to_a_put_is_found_out_by_reading_back);
	tcase_add_loop_test(c, a_full_or_forbidding_store_is_waited_for, 0, 5);
	tcase_add_loop_test(c, a_checkpoint_that_fails_harms_nothing, 0, 2);
}

static void add_log_tests(TCase *c)
{
	tcase_add_test(c, a_full_log_makes_writers_wait_and_they_go_on_by_themselves);
	tcase_add_test(c, the_log_goes_round_many_times);
	tcase_add_test(c, segments_fit_the_log_that_is_there);
	tcase_add_test(c, a_writer_gives_up_after_the_stall_timeout_and_later_writes_succeed);
	tcase_add_test(c, memory_is_bounded_and_what_was_forgotten_is_read_back_from_the_log);
	tcase_add_test(c, a_remote_flush_returns_when_the_store_has_everything);
	tcase_add_test(c, what_a_remote_flush_covered_is_there_without_the_cache);
	tcase_add_test(c, a_close_in_an_outage_does_not_wait_for_remote_flushes);
}

static Suite *volume_segments_suite(void)
{
	Suite *s = suite_create("volume_segments");
	TCase *segments = tcase_create("segments"), *store = tcase_create("store");
	TCase *log = tcase_create("log"), *calls = tcase_create("calls");

	tcase_set_timeout(segments, 60);
	add_segment_tests(segments);
	suite_add_tcase(s, segments);
	tcase_set_timeout(store, 60);
	add_store_tests(store);
	suite_add_tcase(s, store);
	tcase_set_timeout(log, 60);
	add_log_tests(log);
	suite_add_tcase(s, log);
	tcase_set_timeout(calls, 240);
	tcase_add_loop_test(calls, every_store_call_may_fail_once, 0, 2);
	tcase_add_test(calls, the_store_may_be_gone_from_any_call_on);
	suite_add_tcase(s, calls);
	return s;
}

T_MAIN(volume_segments_suite)
