/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vlog_codec.c - the bytes of a value log: handles, records, segments, tables;
 * and any bytes at all.
 */
#include <errno.h>

#include "t_check.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "vlog/vlog_table.h"

static const struct uuid log_uuid = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };

/* -------------------------------------------------------------------------------------- handles */

START_TEST(a_handle_read_back_is_the_same_and_short)
{
	uint64_t random = t_seed();

	for (unsigned i = 0; i < 10000; i++) {
		struct lsvd_vlog_handle h = { t_random(&random) >> (24 + i % 40),
					      t_random(&random) >> (24 + i % 40),
					      t_random(&random) >> (31 + i % 33) }, got;
		unsigned char bytes[LSVD_VLOG_HANDLE_MAX];
		size_t n = lsvd_vlog_handle_encode(&h, bytes);

		ck_assert_uint_le(n, 17);
		ck_assert_int_eq(lsvd_vlog_handle_decode(&got, bytes, sizeof bytes), (int)n);
		ck_assert_mem_eq(&h, &got, sizeof h);
		for (size_t cut = 0; cut < n; cut++)
			ck_assert_err(lsvd_vlog_handle_decode(&got, bytes, cut), LSVD_E_CORRUPT);
	}
}
END_TEST

START_TEST(a_handle_is_spelled_in_one_way)
{
	const struct lsvd_vlog_handle h = { 300, 128, 5 };
	const unsigned char right[] = { 0xac, 0x02, 0x80, 0x01, 0x05 };
	const unsigned char padded[] = { 0xac, 0x02, 0x80, 0x01, 0x85, 0x00 };
	const unsigned char huge[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1, 1 };
	unsigned char bytes[LSVD_VLOG_HANDLE_MAX];
	struct lsvd_vlog_handle got;

	ck_assert_uint_eq(lsvd_vlog_handle_encode(&h, bytes), sizeof right);
	ck_assert_mem_eq(bytes, right, sizeof right);
	ck_assert_err(lsvd_vlog_handle_decode(&got, padded, sizeof padded), LSVD_E_CORRUPT);
	ck_assert_err(lsvd_vlog_handle_decode(&got, huge, sizeof huge), LSVD_E_CORRUPT);
}
END_TEST

/* ------------------------------------------------------------------------------------- segments */

/* A sealed segment, in one piece; allocated. */
static unsigned char *make_segment(uint64_t *ret_footer_at, size_t *ret_len, unsigned records)
{
	struct lsvd_vlog_handle h;
	struct vlog_build *b;
	unsigned char value[100], *bytes, *p;
	char key[16];

	ck_assert_ok(lsvd_vlog_build_new(&b, &log_uuid, 3, 42));
	for (unsigned i = 0; i < records; i++) {
		t_fill(value, sizeof value, i);
		(void)snprintf(key, sizeof key, "key%04u", i * 7919 % 100);
		ck_assert_ok(lsvd_vlog_build_add(b, NULL, 0, key, 7, value, i % 100, &h));
	}
	ck_assert_ok(lsvd_vlog_build_seal(b, "meta", 4));
	p = bytes = malloc(b->object_bytes);
	for (int i = 0; i < b->iovcnt; i++) {
		memcpy(p, b->iov[i].iov_base, b->iov[i].iov_len);
		p += b->iov[i].iov_len;
	}
	ck_assert_uint_eq((uint64_t)(p - bytes), b->object_bytes);
	*ret_footer_at = b->footer_at;
	*ret_len = b->object_bytes;
	lsvd_vlog_build_free(b);
	return bytes;
}

static int read_footer(const unsigned char *segment, size_t len, uint64_t at, uint64_t id,
		       struct vlog_footer *ret)
{
	uint8_t *copy = lsvd_malloc(len - at);

	memcpy(copy, segment + at, len - at);
	return lsvd_vlog_footer_decode(ret, copy, len - at, lsvd_uuid_seed(&log_uuid), id, at, "x");
}

START_TEST(an_index_is_in_order_and_leads_to_every_record)
{
	struct vlog_cursor c;
	struct vlog_footer f;
	unsigned char *segment;
	char last[16] = "";
	uint64_t at, last_offset = 0;
	unsigned n = 0;
	size_t len;
	int more;

	segment = make_segment(&at, &len, 150);
	ck_assert_ok(read_footer(segment, len, at, 42, &f));
	ck_assert_uint_eq(f.items, 150);
	ck_assert_uint_eq(f.metadata_bytes, 4);
	ck_assert_mem_eq(f.metadata, "meta", 4);
	lsvd_vlog_cursor_init(&c, &f, 42, at);
	while ((more = lsvd_vlog_cursor_next(&c)) > 0) {
		const struct vlog_place place = { lsvd_uuid_seed(&log_uuid), 42, c.entry.offset };
		const uint8_t *p = segment + c.entry.offset;
		struct vlog_record r;
		int d = strncmp(last, (const char *)c.entry.key, 7);

		ck_assert(d < 0 || (d == 0 && c.entry.offset < last_offset));
		memcpy(last, c.entry.key, 7);
		last_offset = c.entry.offset;
		ck_assert_ok(lsvd_vlog_record_decode(&r, p, c.entry.size, &place, "x"));
		ck_assert_ok(lsvd_vlog_record_verify(&r, p, c.entry.size, &place, NULL, "x"));
		ck_assert_uint_eq(r.raw, c.entry.raw);
		ck_assert_mem_eq(p + VLOG_RECORD_HEAD, c.entry.key, 7);
		n++;
	}
	ck_assert_ok(more);
	ck_assert_uint_eq(n, 150);
	lsvd_vlog_cursor_fini(&c);
	lsvd_vlog_footer_free(&f);
	free(segment);
}
END_TEST

START_TEST(no_flipped_bit_of_a_segment_goes_unseen)
{
	const uint64_t owner = lsvd_uuid_seed(&log_uuid);
	unsigned char *segment;
	struct vlog_footer f;
	uint64_t at;
	size_t len;

	segment = make_segment(&at, &len, 10);
	ck_assert_ok(read_footer(segment, len, at, 42, &f));
	for (size_t i = 0; i < len * 8; i++) {
		struct vlog_cursor c;
		struct object_head head;
		struct vlog_footer g;
		unsigned bad = 0;

		segment[i / 8] ^= (unsigned char)(1u << i % 8);
		bad += lsvd_object_head_decode(&head, segment, len, "x") < 0;
		if (read_footer(segment, len, at, 42, &g) < 0)
			bad++;
		else
			lsvd_vlog_footer_free(&g);
		lsvd_vlog_cursor_init(&c, &f, 42, at);
		while (lsvd_vlog_cursor_next(&c) > 0) {
			const struct vlog_place place = { owner, 42, c.entry.offset };
			const uint8_t *p = segment + c.entry.offset;
			struct vlog_record r;

			bad += lsvd_vlog_record_decode(&r, p, c.entry.size, &place, "x") < 0 ||
			       lsvd_vlog_record_verify(&r, p, c.entry.size, &place, NULL, "x") < 0;
		}
		lsvd_vlog_cursor_fini(&c);
		ck_assert_msg(bad == 1, "bit %zu of %zu: %u objects to it", i, len * 8, bad);
		segment[i / 8] ^= (unsigned char)(1u << i % 8);
	}
	lsvd_vlog_footer_free(&f);
	free(segment);
}
END_TEST

START_TEST(a_record_or_footer_in_another_place_does_not_verify)
{
	const uint64_t owner = lsvd_uuid_seed(&log_uuid);
	unsigned char *segment;
	struct vlog_footer f;
	struct vlog_record r;
	uint64_t at;
	size_t len;
	const struct vlog_place right = { owner, 42, VLOG_SEGMENT_HEADER };
	const struct vlog_place wrong[] = { { owner + 1, 42, VLOG_SEGMENT_HEADER },
					    { owner, 43, VLOG_SEGMENT_HEADER },
					    { owner, 42, VLOG_SEGMENT_HEADER + 8 } };

	segment = make_segment(&at, &len, 3);
	ck_assert_ok(lsvd_vlog_record_decode(&r, segment + right.offset, 0, &right, "x"));
	ck_assert_ok(lsvd_vlog_record_verify(&r, segment + right.offset, vlog_record_bytes(&r),
					     &right, NULL, "x"));
	for (unsigned i = 0; i < 3; i++)
		ck_assert_err(lsvd_vlog_record_verify(&r, segment + right.offset,
						      vlog_record_bytes(&r), &wrong[i], NULL, "x"),
			      LSVD_E_CORRUPT);
	ck_assert_err(read_footer(segment, len, at, 43, &f), LSVD_E_CORRUPT);
	free(segment);
}
END_TEST

/* --------------------------------------------------------------------------------------- tables */

static void make_table(struct vlog_table *t)
{
	memset(t, 0, sizeof *t);
	ck_assert_ok(lsvd_vlog_table_reserve(t, 20, 3));
	for (uint64_t i = 20; i > 0; i--) {
		struct vlog_segment *s = lsvd_calloc(1, sizeof *s);

		*s = (struct vlog_segment){ .id = i * 10, .epoch = 2, .commit = i,
					    .footer_at = 10096, .object_bytes = 11000 + i,
					    .created_ms = -7, .totals = { 100, 9000, 7000, 10000 },
					    .stale_items = i, .stale_raw = i * 90,
					    .stale_records = i * 100, .uncertain = i % 3 == 0 };
		lsvd_vlog_table_add(t, s);
	}
	t->commits = 99;
	lsvd_vlog_table_bury(t, &(struct vlog_dead){ .kind = KEY_CHAIN, .epoch = 1, .number = 5 });
	lsvd_vlog_table_bury(t, &(struct vlog_dead){ .kind = KEY_ROOT, .epoch = 2, .number = 6 });
}

START_TEST(a_root_read_back_is_the_same_table)
{
	struct object_head head = { .volume = log_uuid, .epoch = 4, .seq = 77, .object = 77 }, got;
	struct vlog_table t, back = { .at = NULL };
	uint8_t *bytes;
	size_t len;

	make_table(&t);
	ck_assert_ok(lsvd_vlog_root_encode(&t, &head, 12, &bytes, &len));
	ck_assert_ok(lsvd_object_head_decode(&got, bytes, len, "x"));
	ck_assert_uint_eq(le64_get(bytes + OBJECT_HEAD_BYTES), 4);
	ck_assert_uint_eq(le64_get(bytes + OBJECT_HEAD_BYTES + 8), 12);
	ck_assert_ok(lsvd_vlog_root_decode(&back, &got, bytes, len, "x"));
	ck_assert_uint_eq(back.count, 20);
	ck_assert_uint_eq(back.commits, 99);
	ck_assert_uint_eq(back.dead_count, 2);
	for (size_t i = 0; i < 20; i++) {
		ck_assert_uint_eq(back.at[i]->id, (i + 1) * 10);
		ck_assert_uint_eq(back.at[i]->stale_raw, (i + 1) * 90);
		ck_assert_int_eq(back.at[i]->created_ms, -7);
		ck_assert_int_eq(back.at[i]->uncertain, (i + 1) % 3 == 0);
	}
	ck_assert_ptr_eq(lsvd_vlog_table_find(&back, 50), back.at[4]);
	ck_assert_ptr_null(lsvd_vlog_table_find(&back, 55));
	for (size_t i = head.header_bytes; i < len; i++) {
		struct vlog_table bad = { .at = NULL };

		bytes[i] ^= 1;
		ck_assert_err(lsvd_vlog_root_decode(&bad, &got, bytes, len, "x"), -EBADMSG);
		lsvd_vlog_table_fini(&bad);
		bytes[i] ^= 1;
	}
	lsvd_vlog_table_fini(&back);
	lsvd_vlog_table_fini(&t);
	lsvd_free(bytes);
}
END_TEST

START_TEST(any_bytes_as_a_record_of_the_chain_crash_nothing)
{
	uint64_t random = t_seed(), ids[] = { 10, 20 };
	struct vlog_change c = { .ids = ids, .id_count = 2 };
	unsigned taken = 0;
	struct vlog_table t;
	uint8_t bytes[600];
	size_t len;

	make_table(&t);
	c.add = t.at;
	c.add_count = 3;
	ck_assert_uint_le(lsvd_vlog_change_room(&c), sizeof bytes);
	len = lsvd_vlog_change_encode(bytes, RECORD_VLOG_COMMIT, &c);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t other[600];
		struct vlog_change got;
		size_t n = len;

		memcpy(other, bytes, len);
		if (i % 3 == 0)
			t_fill(other, n = t_random_below(&random, sizeof other), t_random(&random));
		else if (i % 3 == 1)
			other[t_random_below(&random, len)] ^= (uint8_t)t_random(&random);
		else if (i > 2)
			n = t_random_below(&random, len);
		if (lsvd_vlog_change_decode(&got, i % 2 ? RECORD_VLOG_COMMIT : RECORD_VLOG_RETIRE,
					    other, n, "x") == 0) {
			taken++;
			lsvd_vlog_change_fini(&got);
		}
	}
	ck_assert_uint_gt(taken, 0);
	lsvd_vlog_table_fini(&t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("vlog_codec");
	TCase *c = tcase_create("bytes");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_handle_read_back_is_the_same_and_short);
	tcase_add_test(c, a_handle_is_spelled_in_one_way);
	tcase_add_test(c, an_index_is_in_order_and_leads_to_every_record);
	tcase_add_test(c, no_flipped_bit_of_a_segment_goes_unseen);
	tcase_add_test(c, a_record_or_footer_in_another_place_does_not_verify);
	tcase_add_test(c, a_root_read_back_is_the_same_table);
	tcase_add_test(c, any_bytes_as_a_record_of_the_chain_crash_nothing);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
