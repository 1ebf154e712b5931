/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_fmt_wal.c - superblocks of the local log that are well sealed and say nonsense.
 *
 * The encoder does not judge, the decoder must: the numbers of a superblock are counted with.
 */
#include "t_check.h"

#include "format/fmt_wal.h"

static struct wal_super a_super(void)
{
	return (struct wal_super){
		.generation = 5,
		.run = 3,
		.epoch = 2,
		.ring_bytes = 1 << 20,
		.tail = 40960,
		.tail_op = 17,
		.tail_run = 3,
		.durable = 81920,
		.stored_op = 16,
	};
}

static int round_trip(const struct wal_super *s, struct wal_super *ret)
{
	uint8_t slot[WAL_SLOT_BYTES];

	lsvd_wal_super_encode(slot, s);
	return lsvd_wal_super_decode(ret, slot, "local log x");
}

static void refused(const struct wal_super *s, const char *text)
{
	struct wal_super got;

	ck_assert_err(round_trip(s, &got), LSVD_E_CORRUPT);
	ck_assert_msg(strstr(lsvd_last_error(), text) != NULL, "%s", lsvd_last_error());
}

START_TEST(a_superblock_read_back_is_the_same)
{
	struct wal_super s = a_super(), got;

	memset(&got, 0, sizeof got);
	ck_assert_ok(round_trip(&s, &got));
	ck_assert_mem_eq(&got, &s, sizeof s);
}
END_TEST

START_TEST(rings_that_nobody_makes_are_refused)
{
	struct wal_super s = a_super(), got;

	s.ring_bytes = WAL_RING_MIN_BYTES;
	ck_assert_ok(round_trip(&s, &got));
	s.ring_bytes = WAL_RING_MAX_BYTES;
	ck_assert_ok(round_trip(&s, &got));
	s.ring_bytes += 4096;
	refused(&s, "ring of 1099511631872 bytes");
	s.ring_bytes = UINT64_MAX - 4095; /* the file's length would come round to nearly nothing */
	refused(&s, "ring of");
	s.ring_bytes = WAL_RING_MIN_BYTES - 4096; /* no group would ever fit */
	refused(&s, "ring of 61440 bytes");
	s.ring_bytes = 0;
	refused(&s, "ring of 0 bytes");
	s.ring_bytes = (1 << 20) + 512;
	refused(&s, "ring of");
}
END_TEST

START_TEST(tails_that_cannot_be_are_refused)
{
	struct wal_super s = a_super();

	s.tail = 4095;
	refused(&s, "tail at 4095");
	s.tail = UINT64_MAX - 4095;
	refused(&s, "tail at");
	s = a_super();
	s.tail_op = 0;
	refused(&s, "operation 0");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fmt_wal");
	TCase *c = tcase_create("superblocks");

	tcase_add_test(c, a_superblock_read_back_is_the_same);
	tcase_add_test(c, rings_that_nobody_makes_are_refused);
	tcase_add_test(c, tails_that_cannot_be_are_refused);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
