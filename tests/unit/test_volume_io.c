/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of a volume's reads, writes, trims, zeroes, flushes and block status, in the log, in
 * objects, and over both; lsvd-test: labels=asan timeout=300
 */
#include "t_volume.h"

#include "volume/volume_internal.h"

/* Where the data lies when it is read: in memory or the log, in objects, after an open. */
enum { IN_LOG, IN_OBJECTS, AFTER_OPEN, AFTER_CHECKPOINT, STAGES };

static void settle(struct tv *t, int stage)
{
	if (stage == IN_OBJECTS)
		tv_sync(t);
	if (stage == AFTER_OPEN)
		tv_reopen(t);
	if (stage == AFTER_CHECKPOINT) {
		ck_assert_ok(lsvd_volume_checkpoint(t->v, UINT32_MAX));
		tv_reopen(t);
	}
}

static struct tv *fresh(void)
{
	struct tv *t = tv_new();

	tv_open(t);
	return t;
}

/* -------------------------------------------------------------------------------- reads, writes */

/*
 * What a crash leaves is whole records, so where records are cut decides what can be torn: the
 * records of a long write that starts at any sector must meet between the volume's 4 KiB blocks.
 */
START_TEST(a_long_write_is_cut_between_blocks_whatever_its_start)
{
	struct tv *t = tv_new();
	uint64_t records = 0, start = (uint64_t)(_i + 1) * 512;

	t->o.segment_bytes = 64u << 20;
	tv_open(t);
	tv_write(t, start, 3u << 20, 1);
	lsvd_port_enter(&t->v->port); /* the log's own timer writes, too */
	list_for_each(n, lsvd_wal_groups(t->v->wal)) {
		const struct wal_group *g = list_entry(n, struct wal_group, link);

		for (uint32_t i = 0; i < g->head.records; i++, records++)
			if (g->records[i].lba * 512 != start)
				ck_assert_uint_eq(g->records[i].lba % 8, 0);
	}
	lsvd_port_leave(&t->v->port, false);
	ck_assert_uint_ge(records, 3);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(what_was_never_written_reads_as_zeroes)
{
	struct tv *t = fresh();

	tv_check(t, 0, 512);
	tv_check(t, TV_BYTES - 512, 512);
	tv_check_all(t);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_GET), tv_stats(t).recovery_gets);
	tv_free(t);
}
END_TEST

START_TEST(a_write_is_returned_by_the_next_read)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 8; i++) {
		tv_write(t, i * 65536, 4096 << (i % 5), i);
		tv_check(t, i * 65536, 4096 << (i % 5));
	}
	settle(t, _i);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_read_across_overlapping_writes_sees_the_newest_of_each_sector)
{
	struct tv *t = fresh();

	tv_write(t, 0, 65536, 1);
	tv_write(t, 32768, 65536, 2);
	tv_write(t, 16384, 512, 3);
	tv_write(t, 49152 + 512, 4096, 4);
	settle(t, _i);
	tv_check(t, 0, 131072);
	tv_check(t, 16384 - 512, 1536);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_part_of_an_extent_can_be_read)
{
	struct tv *t = fresh();

	tv_write(t, 8192, 131072, 1);
	tv_write_text(t, 1u << 20, 131072, 2);
	settle(t, _i);
	for (uint32_t at = 0; at < 131072; at += 7 * 512) {
		uint32_t len = at % (3 * 512) + 512 < 131072 - at ? at % (3 * 512) + 512 : 512;

		len -= len % 512;
		tv_check(t, 8192 + at, len);
		tv_check(t, (1u << 20) + at, len);
	}
	tv_free(t);
}
END_TEST

START_TEST(a_read_that_starts_before_an_extent_is_right)
{
	struct tv *t = fresh();

	tv_write(t, 65536, 4096, 1);
	tv_write(t, 65536 + 12288, 8192, 2);
	settle(t, _i);
	tv_check(t, 65536 - 512, 1024);
	tv_check(t, 65536 - 4096, 8192);
	tv_check(t, 0, 131072);
	tv_check(t, 65536 + 4096, 16384);
	tv_free(t);
}
END_TEST

START_TEST(a_gap_between_extents_reads_as_zeroes)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 16; i++)
		tv_write(t, i * 16384, 4096, i + 1);
	settle(t, _i);
	tv_check(t, 0, 16 * 16384);
	tv_check(t, 4096, 4096);
	tv_check(t, 2048, 16384);
	tv_free(t);
}
END_TEST

START_TEST(zeroes_in_the_log_read_as_zeroes)
{
	struct tv *t = fresh();

	tv_write(t, 0, 65536, 1);
	tv_zero(t, 4096, 4096, 0);
	tv_zero(t, 12288, 512, LSVD_IO_NO_HOLE);
	tv_trim(t, 32768, 8192);
	settle(t, _i);
	tv_check(t, 4096, 4096);
	tv_check(t, 12288, 512);
	tv_check(t, 0, 65536);
	tv_free(t);
}
END_TEST

START_TEST(newer_data_within_an_old_zero_extent_stays)
{
	struct tv *t = fresh();

	tv_write(t, 0, 131072, 1);
	tv_zero(t, 0, 131072, _i & 1 ? LSVD_IO_NO_HOLE : 0);
	settle(t, _i / 2);
	tv_write(t, 40960, 8192, 2);
	tv_flush(t);
	tv_check(t, 0, 131072);
	settle(t, _i / 2);
	tv_check(t, 0, 131072);
	tv_check(t, 36864, 16384);
	tv_free(t);
}
END_TEST

START_TEST(zeroes_and_a_trim_leave_the_same_bytes_as_a_write_of_zeroes)
{
	struct tv *t = fresh();
	uint8_t *zeroes = calloc(1, 65536);

	tv_write(t, 0, 4 * 65536, 1);
	ck_assert_ok(lsvd_volume_write(t->v, zeroes, 0, 65536, 0));
	memset(t->model, 0, 65536);
	tv_zero(t, 65536, 65536, 0);
	tv_trim(t, 2 * 65536, 65536);
	settle(t, _i);
	tv_check(t, 0, 4 * 65536);
	tv_write(t, 8192, 512, 5);
	tv_check(t, 0, 4 * 65536);
	free(zeroes);
	tv_free(t);
}
END_TEST

START_TEST(sectors_are_written_where_they_belong)
{
	struct tv *t = fresh();

	tv_write(t, 0, 65536, 1);
	for (uint64_t lba = 1; lba < 128; lba += 3)
		tv_write(t, lba * 512, 512, lba);
	tv_write(t, 512, 3 * 512, 77);
	tv_write(t, 4096 - 512, 1024, 78);
	tv_trim(t, 9 * 512, 512);
	settle(t, _i);
	for (uint64_t lba = 0; lba < 128; lba++)
		tv_check(t, lba * 512, 512);
	tv_check(t, 0, 131072);
	tv_free(t);
}
END_TEST

START_TEST(the_latest_of_many_overwrites_wins)
{
	struct tv *t = fresh();

	for (uint64_t i = 0; i < 300; i++) {
		tv_write(t, 4096 * (i % 3), 4096, i);
		if (i % 50 == 49)
			tv_sync(t);
	}
	settle(t, _i);
	tv_check(t, 0, 16384);
	tv_free(t);
}
END_TEST

START_TEST(the_longest_write_is_read_back)
{
	struct tv *t = tv_new_of(UINT64_C(128) << 20);
	uint8_t *data = tv_buffer(LSVD_IO_MAX_BYTES), *back = tv_buffer(LSVD_IO_MAX_BYTES);

	tv_open(t);
	t_fill(data, LSVD_IO_MAX_BYTES, 9);
	ck_assert_ok(lsvd_volume_write(t->v, data, 512, LSVD_IO_MAX_BYTES, 0));
	ck_assert_ok(lsvd_volume_read(t->v, back, 512, LSVD_IO_MAX_BYTES));
	ck_assert_uint_eq(tv_differ(data, back, LSVD_IO_MAX_BYTES), LSVD_IO_MAX_BYTES);
	tv_reopen(t);
	memset(back, 1, LSVD_IO_MAX_BYTES);
	ck_assert_ok(lsvd_volume_read(t->v, back, 512, LSVD_IO_MAX_BYTES));
	ck_assert_uint_eq(tv_differ(data, back, LSVD_IO_MAX_BYTES), LSVD_IO_MAX_BYTES);
	free(data);
	free(back);
	tv_free(t);
}
END_TEST

static uint8_t *vector_of(struct iovec *iov, int *ret_n, size_t total, uint64_t *seed)
{
	uint8_t *p = tv_buffer(total);
	size_t at = 0;

	*ret_n = 0;
	while (at < total) {
		size_t len = (size_t)t_random_below(seed, 3000);

		if (len > total - at || *ret_n == 255)
			len = total - at;
		iov[(*ret_n)++] = (struct iovec){ p + at, len };
		at += len;
	}
	return p;
}

START_TEST(vectors_may_be_cut_anywhere)
{
	struct tv *t = fresh();
	uint64_t seed = t_seed();
	struct iovec iov[256];
	int n;

	for (unsigned i = 0; i < 40; i++) {
		size_t len = 512 * (1 + t_random_below(&seed, 200));
		uint64_t off = 512 * t_random_below(&seed, (TV_BYTES - len) / 512);
		uint8_t *p = vector_of(iov, &n, len, &seed);

		t_fill(p, len, i);
		ck_assert_ok(lsvd_volume_writev(t->v, iov, n, off, 0));
		memcpy(t->model + off, p, len);
		free(p);
		p = vector_of(iov, &n, len, &seed);
		if (i % 10 == 9)
			tv_sync(t);
		ck_assert_ok(lsvd_volume_readv(t->v, iov, n, off));
		ck_assert_mem_eq(p, t->model + off, len);
		free(p);
	}
	settle(t, _i);
	for (unsigned i = 0; i < 20; i++) {
		size_t len = 512 * (1 + t_random_below(&seed, 200));
		uint64_t off = 512 * t_random_below(&seed, (TV_BYTES - len) / 512);
		uint8_t *p = vector_of(iov, &n, len, &seed);

		ck_assert_ok(lsvd_volume_readv(t->v, iov, n, off));
		ck_assert_mem_eq(p, t->model + off, len);
		free(p);
	}
	tv_free(t);
}
END_TEST

START_TEST(operations_of_no_length_do_nothing_and_succeed)
{
	struct tv *t = fresh();
	struct lsvd_stats before = tv_stats(t), after;
	uint8_t byte = 0;

	ck_assert_ok(lsvd_volume_read(t->v, &byte, 0, 0));
	ck_assert_ok(lsvd_volume_write(t->v, &byte, 0, 0, 0));
	ck_assert_ok(lsvd_volume_writev(t->v, NULL, 0, TV_BYTES, 0));
	ck_assert_ok(lsvd_volume_trim(t->v, 512, 0, 0));
	ck_assert_ok(lsvd_volume_write_zeroes(t->v, TV_BYTES, 0, LSVD_IO_FUA));
	after = tv_stats(t);
	ck_assert_uint_eq(after.last_op, before.last_op);
	ck_assert_uint_eq(after.log_groups, before.log_groups);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------- far away, very long */

static void write_far(uint64_t bytes, uint64_t off)
{
	struct tv *t = tv_new_of(bytes);
	uint8_t *data = tv_buffer(16384), *back = tv_buffer(16384);

	tv_open(t);
	t_fill(data, 16384, off);
	ck_assert_ok(lsvd_volume_write(t->v, data, off, 16384, 0));
	tv_write(t, 0, 4096, 3);
	for (int stage = 0; stage < STAGES; stage++) {
		settle(t, stage);
		ck_assert_ok(lsvd_volume_read(t->v, back, off, 16384));
		ck_assert_mem_eq(data, back, 16384);
		memset(back, 1, 16384);
		tv_check(t, 0, 8192);
	}
	tv_free(t);
	free(data);
	free(back);
}

START_TEST(write_at_16_TiB_minus_4_KiB)
{
	write_far(UINT64_C(17) << 40, (UINT64_C(16) << 40) - 4096);
}
END_TEST

START_TEST(write_at_64_TiB)
{
	write_far(UINT64_C(65) << 40, UINT64_C(64) << 40);
}
END_TEST

START_TEST(write_at_the_end_of_the_largest_volume)
{
	write_far(LSVD_VOLUME_MAX_BYTES, LSVD_VOLUME_MAX_BYTES - 16384);
}
END_TEST

START_TEST(contiguous_trims_beyond_65535_blocks_are_taken)
{
	const uint64_t part = UINT64_C(128) << 20;
	struct tv *t = tv_new_of(UINT64_C(2) << 30);
	uint8_t *buf = tv_buffer(65536);

	tv_open(t);
	for (uint64_t at = 0; at < 8 * part; at += part / 4) {
		t_fill(buf, 65536, at);
		ck_assert_ok(lsvd_volume_write(t->v, buf, at, 65536, 0));
	}
	for (uint64_t i = 0; i < 4; i++)
		ck_assert_ok(lsvd_volume_trim(t->v, i * part, part, 0));
	ck_assert_ok(lsvd_volume_write_zeroes(t->v, 4 * part, 2 * part, LSVD_IO_NO_HOLE));
	for (int stage = 0; stage < STAGES; stage++) {
		settle(t, stage);
		for (uint64_t at = 0; at < 8 * part; at += part / 4) {
			uint8_t want[65536] = { 0 };

			if (at >= 6 * part)
				t_fill(want, 65536, at);
			ck_assert_ok(lsvd_volume_read(t->v, buf, at, 65536));
			ck_assert_mem_eq(buf, want, 65536);
		}
	}
	free(buf);
	tv_free(t);
}
END_TEST

START_TEST(a_trim_of_the_largest_volume_is_one_record)
{
	struct tv *t = tv_new_of(LSVD_VOLUME_MAX_BYTES);
	uint64_t op;

	tv_open(t);
	tv_write(t, 65536, 65536, 1);
	op = tv_stats(t).last_op;
	ck_assert_ok(lsvd_volume_trim(t->v, 0, LSVD_VOLUME_MAX_BYTES, 0));
	memset(t->model, 0, TV_BYTES);
	ck_assert_uint_eq(tv_stats(t).last_op, op + 1);
	tv_write(t, 4096, 4096, 2);
	for (int stage = 0; stage < STAGES; stage++) {
		settle(t, stage);
		tv_check(t, 0, 1u << 20);
	}
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------------- flushes */

START_TEST(a_flush_makes_everything_before_it_durable)
{
	struct tv *t = fresh();
	struct lsvd_stats s;

	tv_write(t, 0, 4096, 1);
	tv_write(t, 8192, 4096, 2);
	tv_flush(t);
	s = tv_stats(t);
	ck_assert_uint_eq(s.durable_op, s.last_op);
	ck_assert_uint_ge(s.log_syncs, 1);
	tv_free(t);
}
END_TEST

START_TEST(a_flush_with_nothing_new_does_not_sync)
{
	struct tv *t = fresh();
	uint64_t syncs;

	tv_write(t, 0, 4096, 1);
	tv_flush(t);
	syncs = tv_stats(t).log_syncs;
	for (unsigned i = 0; i < 10; i++)
		tv_flush(t);
	ck_assert_uint_eq(tv_stats(t).log_syncs, syncs);
	tv_free(t);
}
END_TEST

START_TEST(fua_makes_the_whole_prefix_durable)
{
	struct tv *t = fresh();
	struct lsvd_stats s;

	for (unsigned i = 0; i < 5; i++)
		tv_write(t, i * 8192, 4096, i);
	tv_write_flags(t, 65536, 4096, 9, LSVD_IO_FUA);
	s = tv_stats(t);
	ck_assert_uint_eq(s.durable_op, s.last_op);
	tv_write(t, 0, 512, 10);
	ck_assert_ok(lsvd_volume_trim(t->v, 4096, 4096, LSVD_IO_FUA));
	s = tv_stats(t);
	ck_assert_uint_eq(s.durable_op, s.last_op);
	tv_write(t, 0, 512, 11);
	ck_assert_ok(lsvd_volume_write_zeroes(t->v, 4096, 0, LSVD_IO_FUA));
	s = tv_stats(t);
	ck_assert_uint_eq(s.durable_op, s.last_op);
	tv_free(t);
}
END_TEST

START_TEST(flushes_put_nothing_into_the_store)
{
	struct tv *t = fresh();
	uint64_t puts = store_fault_calls(t->fault, FAULT_PUT);

	for (unsigned i = 0; i < 20; i++) {
		tv_write(t, i * 512, 512, i);
		tv_flush(t);
	}
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_PUT), puts);
	tv_free(t);
}
END_TEST

/* A sealed segment is on its way, held up in the store; the flush is of what came after it. */
START_TEST(flush_covers_the_segment_before)
{
	struct tv *t = fresh();
	struct lsvd_stats s;

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/d/", .kind = FAULT_HOLD });
	for (unsigned i = 0; i < 5; i++)
		tv_write(t, i * 65536, 65536, i);
	ck_assert_ok(lsvd_volume_seal(t->v));
	tv_write(t, 1u << 20, 4096, 7);
	tv_flush(t);
	s = tv_stats(t);
	ck_assert_uint_eq(s.durable_op, s.last_op);
	ck_assert_uint_lt(s.stored_op, s.last_op);
	store_fault_clear(t->fault);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ---------------------------------------------------------------------------------- submission */

struct many {
	struct lsvd_io io[64];
	struct iovec iov[64];
	uint8_t *data[64];
	unsigned left;
	int err;
	struct lsvd_volume *v;
	unsigned rounds;
};

static void one_done(struct lsvd_io *io)
{
	struct many *m = io->user;

	if (io->err)
		__atomic_store_n(&m->err, io->err, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&m->left, 1, __ATOMIC_RELEASE);
}

static bool all_done(struct many *m)
{
	return __atomic_load_n(&m->left, __ATOMIC_ACQUIRE) == 0;
}

static void prepare_io(struct many *m, unsigned i, uint32_t kind, uint64_t off, uint32_t len)
{
	m->iov[i] = (struct iovec){ m->data[i], len };
	m->io[i] = (struct lsvd_io){ .kind = kind, .off = off, .len = len, .iov = &m->iov[i],
				     .iovcnt = 1, .done = one_done, .user = m };
	if (i)
		m->io[i - 1].next = &m->io[i];
}

START_TEST(a_submitted_list_takes_effect_in_its_order)
{
	struct tv *t = fresh();
	struct many m = { .v = t->v, .left = 64 };

	for (unsigned i = 0; i < 64; i++) {
		m.data[i] = tv_buffer(65536);
		t_fill(m.data[i], 65536, i);
		prepare_io(&m, i, LSVD_IO_WRITE, (i % 4) * 4096, 65536);
		memcpy(t->model + (i % 4) * 4096, m.data[i], 65536);
	}
	lsvd_volume_submit(t->v, &m.io[0]);
	tv_wait_for(all_done(&m));
	ck_assert_int_eq(m.err, 0);
	tv_check(t, 0, 131072);
	settle(t, _i);
	tv_check(t, 0, 131072);
	for (unsigned i = 0; i < 64; i++)
		free(m.data[i]);
	tv_free(t);
}
END_TEST

/* Each end submits the next: writes, a read of what was written, a flush. */
static void chain_done(struct lsvd_io *io)
{
	struct many *m = io->user;
	unsigned round = m->rounds;

	if (io->err)
		m->err = io->err;
	if (io->kind == LSVD_IO_READ && memcmp(m->data[0], m->data[1], 4096) != 0)
		m->err = -EILSEQ;
	if (round == 3000 || m->err) {
		__atomic_store_n(&m->left, 0, __ATOMIC_RELEASE);
		return;
	}
	m->rounds++;
	if (round % 3 == 0)
		t_fill(m->data[0], 4096, round);
	prepare_io(m, 0, round % 3 == 0 ? LSVD_IO_WRITE : round % 3 == 1 ? LSVD_IO_READ :
		   LSVD_IO_FLUSH, round / 3 % 100 * 4096, round % 3 == 2 ? 0 : 4096);
	m->iov[0].iov_base = m->data[round % 3 == 1];
	m->io[0].done = chain_done;
	lsvd_volume_submit(m->v, &m->io[0]);
}

START_TEST(a_callback_may_submit_again_and_reuse_its_operation)
{
	struct tv *t = fresh();
	struct many m = { .v = t->v, .left = 1 };

	m.data[0] = tv_buffer(4096);
	m.data[1] = tv_buffer(4096);
	prepare_io(&m, 0, LSVD_IO_FLUSH, 0, 0);
	m.io[0].done = chain_done;
	lsvd_volume_submit(t->v, &m.io[0]);
	tv_wait_for(all_done(&m));
	ck_assert_int_eq(m.err, 0);
	ck_assert_uint_eq(m.rounds, 3000);
	free(m.data[0]);
	free(m.data[1]);
	tv_free(t);
}
END_TEST

START_TEST(bad_operations_of_a_list_fail_alone)
{
	struct tv *t = fresh();
	struct many m = { .v = t->v, .left = 5 };

	for (unsigned i = 0; i < 5; i++) {
		m.data[i] = tv_buffer(4096);
		prepare_io(&m, i, LSVD_IO_WRITE, i * 8192, 4096);
	}
	m.io[1].off = 100;
	m.io[2].kind = 99;
	m.io[3].off = TV_BYTES;
	lsvd_volume_submit(t->v, &m.io[0]);
	tv_wait_for(all_done(&m));
	ck_assert_int_eq(m.io[0].err, 0);
	ck_assert_int_eq(m.io[1].err, -EINVAL);
	ck_assert_int_eq(m.io[2].err, -EINVAL);
	ck_assert_int_eq(m.io[3].err, -ENOSPC);
	ck_assert_int_eq(m.io[4].err, 0);
	memset(t->model, 0xa5, 4096);
	memset(t->model + 4 * 8192, 0xa5, 4096);
	tv_check(t, 0, 65536);
	for (unsigned i = 0; i < 5; i++)
		free(m.data[i]);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------- block status */

static void check_status(struct tv *t, uint64_t off, uint64_t len,
			 const struct lsvd_status_extent *want, int n)
{
	struct lsvd_status_extent have[16];
	int count = lsvd_volume_block_status(t->v, off, len, have, 16);

	ck_assert_ok(count);
	ck_assert_int_eq(count, n);
	for (int i = 0; i < n; i++) {
		ck_assert_uint_eq(have[i].len, want[i].len);
		ck_assert_uint_eq(have[i].flags, want[i].flags);
	}
}

START_TEST(block_status_tells_data_holes_and_zeroes)
{
	const uint32_t hole = LSVD_STATUS_HOLE | LSVD_STATUS_ZERO, zero = LSVD_STATUS_ZERO;
	const struct lsvd_status_extent want[] = {
		{ 65536, 0, 0 }, { 65536, hole, 0 }, { 32768, 0, 0 }, { 32768, zero, 0 },
		{ 32768, hole, 0 }, { 32768, 0, 0 }, { TV_BYTES - 4 * 65536, hole, 0 },
	};
	struct tv *t = fresh();

	tv_write(t, 0, 65536, 1);
	tv_write(t, 131072, 131072, 2);
	tv_zero(t, 131072 + 32768, 32768, LSVD_IO_NO_HOLE);
	tv_trim(t, 131072 + 65536, 32768);
	settle(t, _i);
	check_status(t, 0, TV_BYTES, want, 7);
	check_status(t, 512, 65024, &(struct lsvd_status_extent){ 65024, 0, 0 }, 1);
	check_status(t, 131072 + 32768, 512, &(struct lsvd_status_extent){ 512, zero, 0 }, 1);
	tv_free(t);
}
END_TEST

START_TEST(block_status_stops_when_there_is_no_more_room)
{
	struct lsvd_status_extent have[3];
	struct tv *t = fresh();

	for (unsigned i = 0; i < 10; i++)
		tv_write(t, i * 16384, 8192, i);
	settle(t, _i);
	ck_assert_int_eq(lsvd_volume_block_status(t->v, 4096, TV_BYTES - 4096, have, 3), 3);
	ck_assert_uint_eq(have[0].len, 4096);
	ck_assert_uint_eq(have[1].len, 8192);
	ck_assert_uint_eq(have[2].len, 8192);
	ck_assert_int_eq(lsvd_volume_block_status(t->v, 4096, TV_BYTES - 4096, have, 1), 1);
	ck_assert_uint_eq(have[0].len, 4096);
	ck_assert_err(lsvd_volume_block_status(t->v, 100, 512, have, 1), -EINVAL);
	ck_assert_err(lsvd_volume_block_status(t->v, 0, TV_BYTES + 512, have, 1), -EINVAL);
	tv_free(t);
}
END_TEST

/* --------------------------------------------------------------------------------- statistics */

START_TEST(statistics_count_what_was_done)
{
	struct tv *t = fresh();
	struct lsvd_stats s;
	uint8_t buf[4096];

	tv_write(t, 0, 4096, 1);
	tv_write(t, 4096, 512, 1);
	tv_check(t, 0, 8192);
	tv_trim(t, 0, 512);
	tv_zero(t, 512, 512, 0);
	tv_flush(t);
	ck_assert_err(lsvd_volume_read(t->v, buf, 1, 512), -EINVAL);
	s = tv_stats(t);
	ck_assert_uint_eq(s.writes, 2);
	ck_assert_uint_eq(s.write_bytes, 4608);
	ck_assert_uint_eq(s.reads, 2);
	ck_assert_uint_eq(s.errors, 1);
	ck_assert_uint_eq(s.trims, 1);
	ck_assert_uint_eq(s.zeroes, 1);
	ck_assert_uint_eq(s.flushes, 1);
	ck_assert_uint_eq(s.read_memory_bytes + s.read_zero_bytes, 8192);
	ck_assert_uint_eq(s.last_op, 4);
	ck_assert_uint_eq(s.unstored_bytes, 4608);
	tv_sync(t);
	s = tv_stats(t);
	ck_assert_uint_eq(s.unstored_bytes, 0);
	ck_assert_uint_eq(s.stored_op, 4);
	ck_assert_uint_eq(s.data_puts, 1);
	tv_free(t);
}
END_TEST

START_TEST(statistics_of_a_later_caller_are_filled_as_far_as_known)
{
	struct tv *t = fresh();
	struct {
		struct lsvd_stats s;
		uint64_t later[2];
	} large = { .s = LSVD_STATS_INIT, .later = { 1, 2 } };
	struct lsvd_stats small = { .size = offsetof(struct lsvd_stats, read_bytes) };

	tv_write(t, 0, 512, 1);
	large.s.size = sizeof large;
	ck_assert_ok(lsvd_volume_stats(t->v, &large.s));
	ck_assert_uint_eq(large.s.writes, 1);
	ck_assert_uint_eq(large.later[0], 0);
	ck_assert_uint_eq(large.later[1], 0);
	ck_assert_err(lsvd_volume_stats(t->v, &small), -EINVAL);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------- random */

static void random_op(struct tv *t, uint64_t *seed)
{
	uint64_t kind = t_random_below(seed, 100);
	uint64_t max = t_random_below(seed, 8) == 0 ? 512 : 48;
	uint32_t len = (uint32_t)(512 * (1 + t_random_below(seed, max)));
	uint64_t span = t_random_below(seed, 2) ? TV_BYTES : 1u << 20;
	uint64_t off = 512 * t_random_below(seed, (span - len) / 512);

	if (kind < 35)
		tv_write(t, off, len, t_random(seed));
	else if (kind < 50)
		tv_write_text(t, off, len, t_random(seed));
	else if (kind < 57)
		tv_trim(t, off, len * 8 < span - off ? len * 8 : len);
	else if (kind < 64)
		tv_zero(t, off, len, kind & 1 ? LSVD_IO_NO_HOLE : 0);
	else if (kind < 90)
		tv_check(t, off, len);
	else if (kind < 94)
		tv_flush(t);
	else if (kind < 97)
		ck_assert_ok(lsvd_volume_seal(t->v));
	else if (kind == 97)
		ck_assert_ok(lsvd_volume_checkpoint(t->v, UINT32_MAX));
	else
		tv_check(t, off, len);
}

START_TEST(random_operations_equal_the_array)
{
	uint64_t seed = t_seed() + (uint64_t)_i * 1000;
	struct tv *t = tv_new();

	t->o.compression = 1 + (uint32_t)_i % 3;
	t->o.unit_bytes = 4096u << _i % 5;
	t->o.checkpoint_segments = 3 + (uint32_t)_i;
	t->o.rcache_bytes = _i % 2 ? UINT64_MAX : 1u << 20;
	tv_open(t);
	for (unsigned i = 0; i < 600; i++) {
		random_op(t, &seed);
		if (i % 200 == 150) {
			tv_reopen(t);
			tv_check_all(t);
		}
	}
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------------- suite */

static void add_place_tests(TCase *c)
{
	tcase_add_loop_test(c, a_write_is_returned_by_the_next_read, 0, STAGES);
	tcase_add_loop_test(c, a_read_across_overlapping_writes_sees_the_newest_of_each_sector, 0,
			    STAGES);
	tcase_add_loop_test(c, a_part_of_an_extent_can_be_read, 0, STAGES);
	tcase_add_loop_test(c, a_read_that_starts_before_an_extent_is_right, 0, STAGES);
	tcase_add_loop_test(c, a_gap_between_extents_reads_as_zeroes, 0, STAGES);
	tcase_add_loop_test(c, zeroes_in_the_log_read_as_zeroes, 0, STAGES);
	tcase_add_loop_test(c, newer_data_within_an_old_zero_extent_stays, 0, 2 * STAGES);
	tcase_add_loop_test(c, zeroes_and_a_trim_leave_the_same_bytes_as_a_write_of_zeroes, 0,
			    STAGES);
	tcase_add_loop_test(c, sectors_are_written_where_they_belong, 0, STAGES);
	tcase_add_loop_test(c, the_latest_of_many_overwrites_wins, 0, STAGES);
	tcase_add_loop_test(c, vectors_may_be_cut_anywhere, 0, STAGES);
	tcase_add_loop_test(c, a_submitted_list_takes_effect_in_its_order, 0, STAGES);
	tcase_add_loop_test(c, block_status_tells_data_holes_and_zeroes, 0, STAGES);
	tcase_add_loop_test(c, block_status_stops_when_there_is_no_more_room, 0, STAGES);
}

static void add_other_tests(TCase *c)
{
	tcase_add_loop_test(c, a_long_write_is_cut_between_blocks_whatever_its_start, 0, 8);
	tcase_add_test(c, what_was_never_written_reads_as_zeroes);
	tcase_add_test(c, operations_of_no_length_do_nothing_and_succeed);
	tcase_add_test(c, a_flush_makes_everything_before_it_durable);
	tcase_add_test(c, a_flush_with_nothing_new_does_not_sync);
	tcase_add_test(c, fua_makes_the_whole_prefix_durable);
	tcase_add_test(c, flushes_put_nothing_into_the_store);
	tcase_add_test(c, flush_covers_the_segment_before);
	tcase_add_test(c, a_callback_may_submit_again_and_reuse_its_operation);
	tcase_add_test(c, bad_operations_of_a_list_fail_alone);
	tcase_add_test(c, statistics_count_what_was_done);
	tcase_add_test(c, statistics_of_a_later_caller_are_filled_as_far_as_known);
}

static void add_far_tests(TCase *c)
{
	tcase_add_test(c, write_at_16_TiB_minus_4_KiB);
	tcase_add_test(c, write_at_64_TiB);
	tcase_add_test(c, write_at_the_end_of_the_largest_volume);
	tcase_add_test(c, contiguous_trims_beyond_65535_blocks_are_taken);
	tcase_add_test(c, a_trim_of_the_largest_volume_is_one_record);
	tcase_add_test(c, the_longest_write_is_read_back);
}

static Suite *volume_io_suite(void)
{
	Suite *s = suite_create("volume_io");
	TCase *places = tcase_create("places"), *others = tcase_create("operations");
	TCase *far = tcase_create("far"), *random = tcase_create("random");

	tcase_set_timeout(places, 60);
	add_place_tests(places);
	suite_add_tcase(s, places);
	tcase_set_timeout(others, 60);
	add_other_tests(others);
	suite_add_tcase(s, others);
	tcase_set_timeout(far, 120);
	add_far_tests(far);
	suite_add_tcase(s, far);
	tcase_set_timeout(random, 120);
	tcase_add_loop_test(random, random_operations_equal_the_array, 0, 6);
	suite_add_tcase(s, random);
	return s;
}

T_MAIN(volume_io_suite)
