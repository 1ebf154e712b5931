/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_nbd_transmission.c - requests of all kinds, good and bad, whole and in pieces: the right
 * answer to each, and nothing done that was not asked for.
 */
#include "nbd_peer.h"

static struct peer t;

static void set_up(void)
{
	peer_init(&t);
}

static void tear_down(void)
{
	peer_fini(&t);
}

static void simple(void)
{
	set_up();
	peer_go(&t, "disk", false);
}

static void structured(void)
{
	set_up();
	peer_go(&t, "disk", true);
}

static const uint8_t *expect_data(uint64_t cookie, uint64_t off, uint32_t len)
{
	uint32_t got;
	const uint8_t *p = expect_chunk(&t, cookie, NBD_REPLY_TYPE_OFFSET_DATA, &got);

	ck_assert_uint_eq(got, 8 + len);
	ck_assert_uint_eq(be64_get(p), off);
	return p + 8;
}

static void disk_holds(uint64_t off, uint32_t len, uint64_t seed)
{
	uint8_t *data = malloc((size_t)len + 1);

	ck_assert_ptr_nonnull(data);
	t_fill(data, len, seed);
	ck_assert_mem_eq(t.disk + off, data, len);
	free(data);
}

/* ------------------------------------------------------------------------ ordinary requests */

START_TEST(write_then_read_gives_the_data_back)
{
	say_write(&t, 7, 4096, 1536, 42);
	say_request(&t, NBD_CMD_READ, 0, 8, 4096, 1536);
	peer_run(&t);
	expect_simple(&t, 7, 0);
	expect_simple(&t, 8, 0);
	ck_assert_mem_eq(take_bytes(&t, 1536), t.disk + 4096, 1536);
	disk_holds(4096, 1536, 42);
	ck_assert_uint_eq(said(&t), 0);
}
END_TEST

START_TEST(structured_read_is_one_chunk_of_data)
{
	const uint8_t *p;

	t_fill(t.disk, 8192, 3);
	say_request(&t, NBD_CMD_READ, _i ? NBD_CMD_FLAG_DF : 0, 9, 512, 4096);
	peer_run(&t);
	p = expect_data(9, 512, 4096);
	ck_assert_mem_eq(p, t.disk + 512, 4096);
	ck_assert_uint_eq(said(&t), 0);
}
END_TEST

START_TEST(zeroes_of_a_large_structured_read_may_be_left_out)
{
	struct nbd_req *req;
	uint32_t len;
	const uint8_t *p;

	t.hold = true;
	say_request(&t, NBD_CMD_READ, 0, 9, 512, 1 << 20);
	peer_run(&t);
	req = t.held[--t.held_count];
	ck_assert(nbd_req_may_skip(req));
	nbd_conn_complete_hole(&t.conn, req);
	peer_run(&t);
	p = expect_chunk(&t, 9, NBD_REPLY_TYPE_OFFSET_HOLE, &len);
	ck_assert_uint_eq(len, 12);
	ck_assert_uint_eq(be64_get(p), 512);
	ck_assert_uint_eq(be32_get(p + 8), 1 << 20);
	say_request(&t, NBD_CMD_READ, 0, 10, 0, 512);
	peer_run(&t);
	ck_assert(!nbd_req_may_skip(t.held[0]));
}
END_TEST

START_TEST(trim_and_zeroes_reach_the_volume_with_their_flags)
{
	t_fill(t.disk, 1 << 20, 5);
	say_request(&t, NBD_CMD_TRIM, NBD_CMD_FLAG_FUA, 1, 0, 512);
	peer_run(&t);
	ck_assert_uint_eq(t.last_io_flags, LSVD_IO_FUA);
	say_request(&t, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO, 2, 512,
		    512);
	peer_run(&t);
	ck_assert_uint_eq(t.last_io_flags, LSVD_IO_NO_HOLE);
	say_request(&t, NBD_CMD_WRITE_ZEROES, 0, 3, 1024, 512);
	peer_run(&t);
	ck_assert_uint_eq(t.last_io_flags, 0);
	for (uint64_t cookie = 1; cookie <= 3; cookie++)
		expect_simple(&t, cookie, 0);
	for (int i = 0; i < 1536; i++)
		ck_assert_uint_eq(t.disk[i], 0);
	ck_assert_uint_ne(t.disk[1536] | t.disk[1537] | t.disk[1538], 0);
}
END_TEST

START_TEST(trim_and_zeroes_may_be_longer_than_any_payload)
{
	say_request(&t, NBD_CMD_TRIM, 0, 1, 0, (uint32_t)DISK_BYTES);
	say_request(&t, NBD_CMD_WRITE_ZEROES, 0, 2, 0, (uint32_t)DISK_BYTES);
	say_request(&t, NBD_CMD_CACHE, 0, 3, 0, (uint32_t)DISK_BYTES);
	peer_run(&t);
	for (uint64_t cookie = 1; cookie <= 3; cookie++)
		expect_simple(&t, cookie, 0);
}
END_TEST

START_TEST(cache_asks_for_a_bounded_amount_of_work)
{
	t.hold = true;
	say_request(&t, NBD_CMD_CACHE, 0, 3, 0, (uint32_t)DISK_BYTES);
	peer_run(&t);
	ck_assert_uint_eq(t.held[0]->io.kind, LSVD_IO_PREFETCH);
	ck_assert_uint_le(t.held[0]->io.len, LSVD_IO_MAX_BYTES);
}
END_TEST

START_TEST(fua_is_taken_by_every_command)
{
	static const uint16_t types[] = {NBD_CMD_READ, NBD_CMD_FLUSH, NBD_CMD_TRIM, NBD_CMD_CACHE,
					 NBD_CMD_WRITE_ZEROES};

	for (unsigned i = 0; i < 5; i++)
		say_request(&t, types[i], NBD_CMD_FLAG_FUA, i, 0, types[i] == 3 ? 0 : 512);
	peer_run(&t);
	for (unsigned i = 0; i < 5; i++) {
		expect_simple(&t, i, 0);
		if (types[i] == NBD_CMD_READ)
			(void)take_bytes(&t, 512);
	}
}
END_TEST

START_TEST(fua_of_a_write_reaches_the_volume)
{
	static const uint8_t data[512];

	say_request(&t, NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 1, 0, 512);
	bytes_add(&t.in, data, sizeof data);
	peer_run(&t);
	ck_assert_uint_eq(t.last_io_flags, LSVD_IO_FUA);
	expect_simple(&t, 1, 0);
}
END_TEST

START_TEST(nothing_asked_for_is_granted)
{
	static const uint16_t types[] = {NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_TRIM, NBD_CMD_CACHE,
					 NBD_CMD_WRITE_ZEROES};

	t.hold = true;
	for (unsigned i = 0; i < 5; i++)
		say_request(&t, types[i], 0, i, DISK_BYTES, 0);
	peer_run(&t);
	for (unsigned i = 0; i < 5; i++)
		expect_simple(&t, i, 0);
	ck_assert_uint_eq(t.held_count, 0);
}
END_TEST

START_TEST(empty_structured_read_is_a_chunk_without_content)
{
	uint32_t len;

	say_request(&t, NBD_CMD_READ, 0, 1, 0, 0);
	peer_run(&t);
	(void)expect_chunk(&t, 1, NBD_REPLY_TYPE_NONE, &len);
	ck_assert_uint_eq(len, 0);
}
END_TEST

/* ------------------------------------------------------------------------------ block status */

START_TEST(block_status_tells_data_from_holes)
{
	uint32_t half = (uint32_t)DISK_BYTES / 2, len;
	const uint8_t *p;

	say_request(&t, NBD_CMD_BLOCK_STATUS, 0, 1, half - 4096, 12288);
	peer_run(&t);
	p = expect_chunk(&t, 1, NBD_REPLY_TYPE_BLOCK_STATUS, &len);
	ck_assert_uint_eq(len, 4 + 2 * 8);
	ck_assert_uint_eq(be32_get(p), 1);
	ck_assert_uint_eq(be32_get(p + 4), 4096);
	ck_assert_uint_eq(be32_get(p + 8), 0);
	ck_assert_uint_eq(be32_get(p + 12), 8192);
	ck_assert_uint_eq(be32_get(p + 16), NBD_STATE_HOLE | NBD_STATE_ZERO);
}
END_TEST

START_TEST(block_status_of_one_extent_is_one_extent)
{
	uint32_t half = (uint32_t)DISK_BYTES / 2, len;
	const uint8_t *p;

	say_request(&t, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, 1, half - 4096, 12288);
	peer_run(&t);
	p = expect_chunk(&t, 1, NBD_REPLY_TYPE_BLOCK_STATUS, &len);
	ck_assert_uint_eq(len, 4 + 8);
	ck_assert_uint_eq(be32_get(p + 4), 4096);
}
END_TEST

START_TEST(block_status_fails_as_an_error)
{
	t.fail_with = LSVD_E_CORRUPT;
	say_request(&t, NBD_CMD_BLOCK_STATUS, 0, 1, 0, 4096);
	peer_run(&t);
	expect_error(&t, 1, NBD_EIO);
}
END_TEST

START_TEST(block_status_needs_a_context)
{
	say_request(&t, NBD_CMD_BLOCK_STATUS, 0, 1, 0, 4096);
	peer_run(&t);
	expect_simple(&t, 1, NBD_EINVAL);
}
END_TEST

/* ------------------------------------------------------------------------------- bad requests */

struct bad {
	uint16_t type, flags;
	uint64_t off;
	uint32_t len, error;
};

#define MAX64 UINT64_MAX

static const struct bad bad_requests[] = {
	/* beyond the end, by a little, by much, and so that the sum overflows */
	{NBD_CMD_READ, 0, DISK_BYTES - 512, 1024, NBD_EINVAL},
	{NBD_CMD_READ, 0, DISK_BYTES, 512, NBD_EINVAL},
	{NBD_CMD_READ, 0, MAX64 - 511, 512, NBD_EINVAL},
	{NBD_CMD_READ, 0, MAX64 - 511, 1024, NBD_EINVAL},
	{NBD_CMD_WRITE, 0, DISK_BYTES - 512, 1024, NBD_ENOSPC},
	{NBD_CMD_WRITE, 0, DISK_BYTES, 512, NBD_ENOSPC},
	{NBD_CMD_WRITE, 0, MAX64 - 511, 512, NBD_ENOSPC},
	{NBD_CMD_WRITE, 0, MAX64 - 511, 1024, NBD_ENOSPC},
	{NBD_CMD_TRIM, 0, DISK_BYTES - 512, 1024, NBD_EINVAL},
	{NBD_CMD_TRIM, 0, 0, UINT32_MAX - 511, NBD_EINVAL},
	{NBD_CMD_TRIM, 0, MAX64 - 511, 512, NBD_EINVAL},
	{NBD_CMD_CACHE, 0, DISK_BYTES - 512, 1024, NBD_EINVAL},
	{NBD_CMD_CACHE, 0, MAX64 - 511, 1024, NBD_EINVAL},
	{NBD_CMD_WRITE_ZEROES, 0, DISK_BYTES - 512, 1024, NBD_ENOSPC},
	{NBD_CMD_WRITE_ZEROES, 0, 0, UINT32_MAX - 511, NBD_ENOSPC},
	{NBD_CMD_WRITE_ZEROES, 0, MAX64 - 511, 1024, NBD_ENOSPC},
	{NBD_CMD_BLOCK_STATUS, 0, DISK_BYTES - 512, 1024, NBD_EINVAL},
	{NBD_CMD_BLOCK_STATUS, 0, MAX64 - 511, 1024, NBD_EINVAL},
	/* not whole sectors */
	{NBD_CMD_READ, 0, 1, 512, NBD_EINVAL},
	{NBD_CMD_READ, 0, 0, 511, NBD_EINVAL},
	{NBD_CMD_WRITE, 0, 256, 512, NBD_EINVAL},
	{NBD_CMD_WRITE, 0, 0, 1, NBD_EINVAL},
	{NBD_CMD_TRIM, 0, 0, 513, NBD_EINVAL},
	{NBD_CMD_CACHE, 0, 7, 512, NBD_EINVAL},
	{NBD_CMD_WRITE_ZEROES, 0, 511, 1, NBD_EINVAL},
	{NBD_CMD_BLOCK_STATUS, 0, 0, 100, NBD_EINVAL},
	{NBD_CMD_BLOCK_STATUS, 0, 0, 0, NBD_EINVAL},
	/* too large for one request */
	{NBD_CMD_READ, 0, 0, (64 << 20) + 512, NBD_EINVAL},
	{NBD_CMD_WRITE, 0, 0, (64 << 20) + 512, NBD_EINVAL},
	/* flags of other commands, and of none */
	{NBD_CMD_READ, NBD_CMD_FLAG_NO_HOLE, 0, 512, NBD_EINVAL},
	{NBD_CMD_READ, NBD_CMD_FLAG_REQ_ONE, 0, 512, NBD_EINVAL},
	{NBD_CMD_READ, 0x8000, 0, 512, NBD_EINVAL},
	{NBD_CMD_WRITE, NBD_CMD_FLAG_DF, 0, 512, NBD_EINVAL},
	{NBD_CMD_WRITE, 0x20, 0, 512, NBD_EINVAL},
	{NBD_CMD_FLUSH, NBD_CMD_FLAG_DF, 0, 0, NBD_EINVAL},
	{NBD_CMD_TRIM, NBD_CMD_FLAG_NO_HOLE, 0, 512, NBD_EINVAL},
	{NBD_CMD_CACHE, NBD_CMD_FLAG_FAST_ZERO, 0, 512, NBD_EINVAL},
	{NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_DF, 0, 512, NBD_EINVAL},
	{NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_DF, 0, 512, NBD_EINVAL},
	/* commands that there are not; their length is not that of a payload */
	{8, 0, 0, 0, NBD_EINVAL},
	{8, 0, 0, 1 << 20, NBD_EINVAL},
	{9, 0, 0, 512, NBD_EINVAL},
	{65535, 0xffff, MAX64, UINT32_MAX, NBD_EINVAL},
};
#define BAD_COUNT ((int)(sizeof bad_requests / sizeof bad_requests[0]))

static void say_bad(const struct bad *bad, uint64_t cookie)
{
	if (bad->type == NBD_CMD_WRITE)
		say_write(&t, cookie, bad->off, bad->len, 1);
	else
		say_request(&t, bad->type, bad->flags, cookie, bad->off, bad->len);
	if (bad->type == NBD_CMD_WRITE) /* say_write sends no flags */
		(void)be16_put(t.in.p + t.in.len - bad->len - NBD_REQUEST_BYTES + 4, bad->flags);
}

START_TEST(bad_request_is_refused_and_the_next_is_served)
{
	const struct bad *bad = &bad_requests[_i];

	t.hold = true; /* nothing reaches the volume */
	say_bad(bad, 1);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 0);
	expect_simple(&t, 1, bad->error);
	t.hold = false;
	say_request(&t, NBD_CMD_READ, 0, 2, 0, 512);
	peer_run(&t);
	expect_simple(&t, 2, 0);
	(void)take_bytes(&t, 512);
	ck_assert_uint_eq(said(&t), 0);
}
END_TEST

START_TEST(bad_request_is_refused_with_a_reason)
{
	const struct bad *bad = &bad_requests[_i];

	t.hold = true;
	say_bad(bad, 1);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 0);
	expect_error(&t, 1, bad->error);
	say_request(&t, NBD_CMD_FLUSH, 0, 2, 0, 0);
	t.hold = false;
	peer_run(&t);
	expect_simple(&t, 2, 0);
	ck_assert_uint_eq(said(&t), 0);
}
END_TEST

START_TEST(df_without_structured_replies_is_refused)
{
	say_request(&t, NBD_CMD_READ, NBD_CMD_FLAG_DF, 1, 0, 512);
	peer_run(&t);
	expect_simple(&t, 1, NBD_EINVAL);
}
END_TEST

START_TEST(read_only_export_refuses_every_change)
{
	set_up();
	peer_go(&t, "locked", false);
	t_fill(t.disk, 4096, 8);
	say_write(&t, 1, 0, 4096, 9);
	say_request(&t, NBD_CMD_TRIM, 0, 2, 0, 4096);
	say_request(&t, NBD_CMD_WRITE_ZEROES, 0, 3, 0, 4096);
	say_request(&t, NBD_CMD_FLUSH, 0, 4, 0, 0);
	say_request(&t, NBD_CMD_READ, 0, 5, 0, 512);
	peer_run(&t);
	expect_simple(&t, 1, NBD_EPERM);
	expect_simple(&t, 2, NBD_EPERM);
	expect_simple(&t, 3, NBD_EPERM);
	expect_simple(&t, 4, 0);
	expect_simple(&t, 5, 0);
	disk_holds(0, 4096, 8);
	tear_down();
}
END_TEST

START_TEST(wrong_magic_ends_the_connection)
{
	for (int i = 0; i < 7; i++)
		bytes_add32(&t.in, 0x12345678);
	peer_run(&t);
	ck_assert(nbd_conn_finished(&t.conn));
}
END_TEST

START_TEST(absurd_write_ends_the_connection_at_its_header)
{
	say_request(&t, NBD_CMD_WRITE, 0, 1, 0, UINT32_MAX);
	peer_run(&t);
	ck_assert(nbd_conn_finished(&t.conn));
}
END_TEST

START_TEST(errors_of_the_volume_become_errors_of_the_wire)
{
	static const struct {
		int err;
		uint32_t wire;
	} rows[] = {
		{-EIO, NBD_EIO},
		{-ENOSPC, NBD_ENOSPC},
		{-EINVAL, NBD_EINVAL},
		{-EROFS, NBD_EPERM},
		{-EACCES, NBD_EIO}, /* the store refuses us: nothing that the client may not do */
		{-ENOMEM, NBD_ENOMEM},
		{-ENOENT, NBD_EIO},
		{LSVD_E_CORRUPT, NBD_EIO},
		{LSVD_E_FENCED, NBD_ESHUTDOWN},
		{LSVD_E_FAILED, NBD_EIO},
		{LSVD_E_UNAVAILABLE, NBD_EIO},
		{LSVD_E_SHUTDOWN, NBD_ESHUTDOWN},
	};

	for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		t.fail_with = rows[i].err;
		say_request(&t, NBD_CMD_READ, 0, 2 * i, 0, 512);
		say_write(&t, 2 * i + 1, 0, 512, 1);
		peer_run(&t);
		expect_error(&t, 2 * i, rows[i].wire);
		expect_error(&t, 2 * i + 1, rows[i].wire);
	}
}
END_TEST

START_TEST(failed_simple_read_carries_no_data)
{
	t.fail_with = -EIO;
	say_request(&t, NBD_CMD_READ, 0, 1, 0, 4096);
	peer_run(&t);
	expect_simple(&t, 1, NBD_EIO);
	ck_assert_uint_eq(said(&t), 0);
}
END_TEST

/* ------------------------------------------------------------------------- pipelining, the end */

START_TEST(requests_are_given_in_the_order_in_which_they_came)
{
	t.hold = true;
	for (uint64_t i = 0; i < 32; i++) {
		if (i % 3)
			say_write(&t, i, i * 512, i % 3 == 1 ? 512 : 100 << 10, i);
		else
			say_request(&t, NBD_CMD_READ, 0, i, 0, 512);
	}
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 32);
	for (uint64_t i = 0; i < 32; i++)
		ck_assert_uint_eq(t.held[i]->cookie, i);
}
END_TEST

START_TEST(replies_leave_in_the_order_in_which_operations_end)
{
	t.hold = true;
	for (uint64_t i = 0; i < 4; i++)
		say_write(&t, i, i * 512, 512, i);
	peer_run(&t);
	peer_finish_one(&t, 2);
	peer_finish_one(&t, 0);
	peer_run(&t);
	expect_simple(&t, 2, 0);
	expect_simple(&t, 0, 0);
	ck_assert_uint_eq(said(&t), 0);
}
END_TEST

START_TEST(payloads_stay_untouched_until_their_operation_ends)
{
	t.hold = true;
	for (uint64_t i = 0; i < 100; i++) /* far more than a chunk */
		say_write(&t, i, i * (32 << 10), 32 << 10, i);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 100);
	while (t.held_count)
		peer_finish_one(&t, t.held_count / 2);
	for (uint64_t i = 0; i < 100; i++)
		disk_holds(i * (32 << 10), 32 << 10, i);
}
END_TEST

START_TEST(disconnect_answers_what_is_outstanding_first)
{
	t.hold = true;
	for (uint64_t i = 0; i < 8; i++)
		say_write(&t, i, i * 512, 512, i);
	say_request(&t, NBD_CMD_DISC, 0, 99, 0, 0);
	say_request(&t, NBD_CMD_FLUSH, 0, 100, 0, 0); /* comes too late */
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 8);
	ck_assert(!nbd_conn_finished(&t.conn));
	while (t.held_count)
		peer_finish_one(&t, t.held_count - 1);
	ck_assert(!nbd_conn_finished(&t.conn));
	peer_run(&t);
	for (uint64_t i = 8; i-- > 0;)
		expect_simple(&t, i, 0);
	ck_assert(nbd_conn_finished(&t.conn));
	ck_assert_uint_eq(said(&t), 0);
}
END_TEST

START_TEST(end_of_input_is_a_disconnect)
{
	t.hold = true;
	say_write(&t, 1, 0, 512, 1);
	peer_run(&t);
	nbd_conn_eof(&t.conn);
	ck_assert(!nbd_conn_finished(&t.conn));
	peer_finish_one(&t, 0);
	peer_run(&t);
	expect_simple(&t, 1, 0);
	ck_assert(nbd_conn_finished(&t.conn));
}
END_TEST

START_TEST(write_cut_off_by_the_end_is_not_applied)
{
	uint32_t len = _i ? 200 << 10 : 4096;

	t.hold = true;
	say_write(&t, 1, 0, len, 1);
	t.in.len -= 1;
	peer_run(&t);
	nbd_conn_eof(&t.conn);
	ck_assert_uint_eq(t.held_count, 0);
	ck_assert(nbd_conn_finished(&t.conn));
}
END_TEST

START_TEST(writes_behind_a_hang_up_are_not_applied)
{
	t.hold = true;
	t.limits.inflight = 2;
	for (uint64_t i = 0; i < 4; i++)
		say_write(&t, i, i * 512, 512, i);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 2); /* the rest lies in the buffer */
	nbd_conn_kill(&t.conn, "hung up");
	ck_assert(!nbd_conn_gone(&t.conn));
	while (t.held_count)
		peer_finish_one(&t, 0);
	peer_run(&t);
	ck_assert_uint_eq(t.held_count, 0);
	ck_assert(nbd_conn_gone(&t.conn));
	ck_assert_uint_eq(said(&t), 0);
}
END_TEST

START_TEST(requests_are_refused_while_stopping_and_the_rest_ends)
{
	t.hold = true;
	say_write(&t, 1, 0, 512, 1);
	peer_run(&t);
	nbd_conn_stop(&t.conn);
	say_write(&t, 2, 0, 512, 2);
	say_write(&t, 3, 0, 100 << 10, 2);
	say_request(&t, NBD_CMD_READ, 0, 4, 0, 512);
	peer_run(&t);
	expect_simple(&t, 2, NBD_ESHUTDOWN);
	expect_simple(&t, 3, NBD_ESHUTDOWN);
	expect_simple(&t, 4, NBD_ESHUTDOWN);
	ck_assert(!nbd_conn_idle(&t.conn));
	peer_finish_one(&t, 0);
	peer_run(&t);
	expect_simple(&t, 1, 0);
	ck_assert(nbd_conn_idle(&t.conn));
	disk_holds(0, 512, 1);
}
END_TEST

START_TEST(write_half_received_when_the_server_stops_is_refused)
{
	static const uint8_t nothing[512];

	say_write(&t, 1, 0, 100 << 10, 1);
	t.in.len -= 512;
	peer_run(&t);
	ck_assert_uint_eq(said(&t), 0);
	nbd_conn_stop(&t.conn);
	t.in.len += 512;
	peer_run(&t);
	expect_simple(&t, 1, NBD_ESHUTDOWN);
	ck_assert(nbd_conn_idle(&t.conn));
	ck_assert_mem_eq(t.disk, nothing, sizeof nothing);
}
END_TEST

/* -------------------------------------------------------------------------------- in pieces */

/* A session of every kind of message; what the server says to it depends on nothing else. */
static void say_session(struct peer *p, uint32_t large)
{
	say_flags(p, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	say_option(p, 4711, "unknown", 7);
	say_option(p, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	say_meta(p, NBD_OPT_SET_META_CONTEXT, "disk", "base:allocation");
	say_info(p, NBD_OPT_GO, "disk", 0, NULL);
	say_write(p, 1, 0, 512, 1);
	say_write(p, 2, 512, large, 2);
	say_write(p, 3, 1, 512, 3); /* refused */
	say_request(p, NBD_CMD_READ, 0, 4, 256 * 512, 512);
	say_request(p, NBD_CMD_BLOCK_STATUS, 0, 5, 0, 4096);
	say_request(p, NBD_CMD_TRIM, 0, 6, 0, 512);
	say_request(p, NBD_CMD_READ, 0, 7, 0, 1024);
	say_request(p, 77, 0, 8, 0, 0);
	say_request(p, NBD_CMD_FLUSH, 0, 9, 0, 0);
	say_request(p, NBD_CMD_DISC, 0, 10, 0, 0);
}

static void same_as_whole(struct peer *pieces, uint32_t large)
{
	struct peer whole;

	peer_init(&whole);
	say_session(&whole, large);
	peer_run(&whole);
	ck_assert(nbd_conn_finished(&whole.conn));
	ck_assert(nbd_conn_finished(&pieces->conn));
	ck_assert_uint_eq(pieces->out.len, whole.out.len);
	ck_assert_mem_eq(pieces->out.p, whole.out.p, whole.out.len);
	ck_assert_mem_eq(pieces->disk, whole.disk, 1 << 20);
	peer_fini(&whole);
}

START_TEST(session_cut_anywhere_in_two_is_the_same_session)
{
	struct peer model, cut;
	size_t len;

	peer_init(&model);
	say_session(&model, 1024);
	len = model.in.len;
	peer_run(&model);
	for (size_t at = 1; at < len; at++) {
		peer_init(&cut);
		say_session(&cut, 1024);
		cut.in.len = at;
		peer_run(&cut);
		cut.in.len = len;
		peer_run(&cut);
		ck_assert(nbd_conn_finished(&cut.conn));
		ck_assert_uint_eq(cut.out.len, model.out.len);
		ck_assert_mem_eq(cut.out.p, model.out.p, model.out.len);
		ck_assert_mem_eq(cut.disk, model.disk, 4096);
		peer_fini(&cut);
	}
	peer_fini(&model);
}
END_TEST

START_TEST(session_in_pieces_of_one_size_is_the_same_session)
{
	static const struct {
		size_t in, out;
		uint32_t large;
	} rows[] = {
		{1, 0, 1024},	      {0, 1, 1024},	    {1, 1, 1024},
		{1, 0, 200 << 10},    {7, 13, 32768},	    {29, 3, 32768 + 512},
		{4096, 0, 1 << 20},   {4095, 1, 70144},	    {65536, 1000, 3 << 20},
		{262144, 0, 1 << 20}, {262143, 0, 1 << 20},
	};

	peer_init(&t);
	t.in_step = rows[_i].in;
	t.out_step = rows[_i].out;
	say_session(&t, rows[_i].large);
	peer_run(&t);
	same_as_whole(&t, rows[_i].large);
	peer_fini(&t);
}
END_TEST

START_TEST(session_in_random_pieces_is_the_same_session)
{
	uint64_t seed = t_seed();

	for (int i = 0; i < 50; i++) {
		uint32_t large = 512 * (1 + (uint32_t)t_random_below(&seed, 1000));
		size_t len;

		peer_init(&t);
		say_session(&t, large);
		len = t.in.len;
		for (t.in.len = 0; t.in.len < len;) {
			t.in.len +=
				1 + t_random_below(&seed, t_random_below(&seed, 2) ? 40 : 80000);
			if (t.in.len > len)
				t.in.len = len;
			t.out_step = t_random_below(&seed, 100);
			peer_run(&t);
		}
		same_as_whole(&t, large);
		peer_fini(&t);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("nbd_transmission");
	TCase *c;

	c = tcase_create("simple replies");
	tcase_add_checked_fixture(c, simple, tear_down);
	tcase_add_test(c, write_then_read_gives_the_data_back);
	tcase_add_test(c, trim_and_zeroes_reach_the_volume_with_their_flags);
	tcase_add_test(c, trim_and_zeroes_may_be_longer_than_any_payload);
	tcase_add_test(c, cache_asks_for_a_bounded_amount_of_work);
	tcase_add_test(c, fua_is_taken_by_every_command);
	tcase_add_test(c, fua_of_a_write_reaches_the_volume);
	tcase_add_test(c, nothing_asked_for_is_granted);
	tcase_add_test(c, block_status_needs_a_context);
	tcase_add_loop_test(c, bad_request_is_refused_and_the_next_is_served, 0, BAD_COUNT);
	tcase_add_test(c, df_without_structured_replies_is_refused);
	tcase_add_test(c, wrong_magic_ends_the_connection);
	tcase_add_test(c, absurd_write_ends_the_connection_at_its_header);
	tcase_add_test(c, failed_simple_read_carries_no_data);
	suite_add_tcase(s, c);

	c = tcase_create("structured replies");
	tcase_add_checked_fixture(c, structured, tear_down);
	tcase_add_loop_test(c, structured_read_is_one_chunk_of_data, 0, 2);
	tcase_add_test(c, zeroes_of_a_large_structured_read_may_be_left_out);
	tcase_add_test(c, empty_structured_read_is_a_chunk_without_content);
	tcase_add_test(c, block_status_tells_data_from_holes);
	tcase_add_test(c, block_status_of_one_extent_is_one_extent);
	tcase_add_test(c, block_status_fails_as_an_error);
	tcase_add_loop_test(c, bad_request_is_refused_with_a_reason, 0, BAD_COUNT);
	tcase_add_test(c, errors_of_the_volume_become_errors_of_the_wire);
	suite_add_tcase(s, c);

	c = tcase_create("read-only");
	tcase_add_test(c, read_only_export_refuses_every_change);
	suite_add_tcase(s, c);

	c = tcase_create("pipelining");
	tcase_add_checked_fixture(c, simple, tear_down);
	tcase_add_test(c, requests_are_given_in_the_order_in_which_they_came);
	tcase_add_test(c, replies_leave_in_the_order_in_which_operations_end);
	tcase_add_test(c, payloads_stay_untouched_until_their_operation_ends);
	tcase_add_test(c, disconnect_answers_what_is_outstanding_first);
	tcase_add_test(c, end_of_input_is_a_disconnect);
	tcase_add_loop_test(c, write_cut_off_by_the_end_is_not_applied, 0, 2);
	tcase_add_test(c, writes_behind_a_hang_up_are_not_applied);
	tcase_add_test(c, requests_are_refused_while_stopping_and_the_rest_ends);
	tcase_add_test(c, write_half_received_when_the_server_stops_is_refused);
	suite_add_tcase(s, c);

	c = tcase_create("pieces");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, session_cut_anywhere_in_two_is_the_same_session);
	tcase_add_loop_test(c, session_in_pieces_of_one_size_is_the_same_session, 0, 11);
	tcase_add_test(c, session_in_random_pieces_is_the_same_session);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
