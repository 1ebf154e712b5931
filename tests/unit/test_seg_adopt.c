/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_seg_adopt.c - what garbage collection copies: its object, and the record that adopts it.
 */
#include "t_check.h"

#include <lsvd/volume.h>

#include "base/alloc.h"
#include "format/fmt_record.h"
#include "segment/seg_adopt.h"
#include "t_segment.h"

#define OBJECT 77u
#define SECTORS (LSVD_VOLUME_MAX_BYTES / SECTOR_BYTES)

static const struct uuid volume = { { 9, 8, 7 } };
static struct t_group group;

static struct segment *a_moved(enum codec codec)
{
	const struct seg_options o = { .codec = codec, .unit_bytes = 16384, .moved = true };
	struct segment *s;

	group.n = 0;
	t_group_data(&group, 100, 24, NULL);
	t_fill(group.data[0], 24 * SECTOR_BYTES, 1);
	t_group_rehash(&group, 0);
	t_group_data(&group, 124, 8, NULL);
	t_fill(group.data[1], 8 * SECTOR_BYTES, 2);
	t_group_rehash(&group, 1);
	t_group_data(&group, 5000, 40, NULL);
	ck_assert_ok(lsvd_segment_build(&s, group.records, group.n, lsvd_uuid_seed(&volume), OBJECT,
					&o));
	return s;
}

static struct t_object finished(struct segment *s, struct object_head *h)
{
	*h = (struct object_head){ .volume = volume, .epoch = 3, .seq = OBJECT, .object = OBJECT };
	(void)lsvd_segment_finish_moved(s, h);
	return t_object_of(s);
}

START_TEST(a_moved_object_read_back_has_its_extents)
{
	struct segment *s = a_moved(_i ? CODEC_LZ4 : CODEC_RAW);
	struct object_head h, got;
	struct moved_part part;
	struct seg_extent *e;
	uint32_t n;
	struct t_object o = finished(s, &h);

	ck_assert_ok(lsvd_object_head_decode(&got, o.bytes, o.len, "m"));
	ck_assert_uint_eq(got.kind, OBJECT_MOVED);
	ck_assert_ok(lsvd_moved_part_decode(&part, o.bytes, &got, "m"));
	ck_assert_ok(lsvd_segment_moved_extents(&e, &n, o.bytes, &got, &part, "m"));
	ck_assert_uint_eq(n, s->extent_count);
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_uint_eq(e[i].lba, s->extents[i].lba);
		ck_assert_uint_eq(e[i].off, s->extents[i].off);
		ck_assert_uint_eq(e[i].kind, s->extents[i].kind);
	}
	lsvd_free(e);
	t_object_free(&o);
	lsvd_segment_free(s);
	t_group_free(&group);
}
END_TEST

static const struct seg_run runs[] = { { 10, 5 }, { 20, 900 }, { 2, 0 }, { 40, 5 } };

static uint8_t *a_payload(uint32_t *len, struct segment *s)
{
	const struct seg_adopt name = { .object = OBJECT, .epoch = 3, .number = OBJECT };
	uint8_t *bytes;

	ck_assert_ok(lsvd_adopt_encode(&bytes, len, 24, s, &name, runs, 4));
	memmove(bytes, bytes + 24, *len);
	return bytes;
}

START_TEST(an_adoption_read_back_says_the_source_of_every_sector)
{
	struct segment *s = a_moved(CODEC_RAW);
	struct seg_walk walk = { .extent = 0 };
	struct seg_piece p;
	struct seg_adopt a;
	uint64_t at = 0;
	uint32_t len;
	uint8_t *bytes = a_payload(&len, s);

	ck_assert_ok(lsvd_adopt_decode(&a, bytes, len, SECTORS, "n"));
	ck_assert_uint_eq(a.object, OBJECT);
	ck_assert_uint_eq(a.epoch, 3);
	ck_assert_uint_eq(a.header_bytes, s->header_bytes);
	ck_assert_uint_eq(a.body_bytes, s->body_bytes);
	while (lsvd_adopt_next(&a, &walk, &p)) {
		uint64_t run_end = at < 10 ? 10 : at < 30 ? 30 : at < 32 ? 32 : 72;

		ck_assert_uint_eq(p.source, at < 10 ? 5 : at < 30 ? 900 : at < 32 ? 0 : 5);
		ck_assert_uint_eq(p.extent->lba + p.skip, at < 32 ? 100 + at : 5000 + at - 32);
		ck_assert_uint_le(at + p.sectors, run_end);
		at += p.sectors;
	}
	ck_assert_uint_eq(at, 72);
	lsvd_adopt_free(&a);
	lsvd_free(bytes);
	lsvd_segment_free(s);
	t_group_free(&group);
}
END_TEST

/*
 * Whatever byte is changed, or wherever it ends: an error, or another adoption that holds together.
 */
START_TEST(a_damaged_adoption_is_refused_or_holds_together)
{
	struct segment *s = a_moved(CODEC_RAW);
	uint32_t len;
	uint8_t *bytes = a_payload(&len, s);
	unsigned refused = 0;

	for (uint32_t i = 0; i < len * 8 + len; i++) {
		uint32_t n = i < len * 8 ? len : i - len * 8;
		uint8_t *copy = malloc(n ? n : 1);
		struct seg_adopt a;

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, bytes, n);
		if (i < len * 8)
			copy[i / 8] ^= (uint8_t)(1u << i % 8);
		if (lsvd_adopt_decode(&a, copy, n, SECTORS, "n") == 0) {
			struct seg_walk walk = { .extent = 0 };
			struct seg_piece p;
			uint64_t sum = 0;

			while (lsvd_adopt_next(&a, &walk, &p))
				sum += p.sectors;
			for (uint32_t e = 0; e < a.extent_count; e++)
				sum -= a.extents[e].sectors;
			ck_assert_uint_eq(sum, 0);
			lsvd_adopt_free(&a);
		} else {
			refused++;
		}
		free(copy);
	}
	ck_assert_uint_gt(refused, len);
	lsvd_free(bytes);
	lsvd_segment_free(s);
	t_group_free(&group);
}
END_TEST

START_TEST(records_behind_the_extents_move_the_body_and_nothing_else)
{
	const struct seg_options o = { .codec = CODEC_RAW, .unit_bytes = 4096 };
	struct object_head h = { .volume = volume, .epoch = 1, .seq = 2, .object = OBJECT };
	struct chain_part c = { .volume_bytes = UINT64_C(1) << 30, .first_op = 1, .last_op = 1 };
	static struct t_array want, got;
	uint8_t records[64];
	struct record_walk walk;
	struct record r;
	struct t_header head;
	struct segment *s;
	struct t_object object;
	uint32_t n;

	group.n = 0;
	t_group_data(&group, 7, 33, NULL);
	t_fill(group.data[0], 33 * SECTOR_BYTES, 3);
	t_group_rehash(&group, 0);
	ck_assert_ok(lsvd_segment_build(&s, group.records, 1, lsvd_uuid_seed(&volume), OBJECT, &o));
	memset(records, 0x55, sizeof records);
	n = lsvd_record_frame(records, 30, RECORD_OPTIONAL, 11);
	n += lsvd_record_frame(records + n, 31, 0, 0);
	ck_assert_uint_eq(n, 24 + 8);
	ck_assert_ok(lsvd_segment_add_records(s, records, 2, n));
	(void)lsvd_segment_finish(s, &h, &c);
	object = t_object_of(s);
	ck_assert_ok(t_header_read(&head, object.bytes, object.len));
	ck_assert_uint_eq(head.chain.records, 2);
	lsvd_record_walk(&walk, object.bytes, &head.chain, "r");
	ck_assert_int_eq(lsvd_record_next(&walk, &r), 1);
	ck_assert_uint_eq(r.type, 30);
	ck_assert_uint_eq(r.len, 11);
	ck_assert_uint_eq(r.payload[10], 0x55);
	ck_assert_uint_eq(r.payload[11], 0);
	ck_assert_int_eq(lsvd_record_next(&walk, &r), 1);
	ck_assert_uint_eq(r.type, 31);
	ck_assert_int_eq(lsvd_record_next(&walk, &r), 0);
	lsvd_free(head.extents);
	t_array_clear(&want, 64);
	t_array_apply(&want, &group);
	t_array_clear(&got, 64);
	ck_assert_ok(t_array_read(&got, &object, lsvd_uuid_seed(&volume), OBJECT));
	ck_assert_int_eq(t_array_differs(&want, &got), -1);
	t_object_free(&object);
	lsvd_segment_free(s);
	t_group_free(&group);
}
END_TEST

START_TEST(records_that_do_not_fill_their_room_are_damage)
{
	uint8_t header[512] = { 0 };
	struct chain_part c = { .records = 1, .record_bytes = 24 };
	struct record_walk walk;
	struct record r;

	(void)lsvd_record_frame(header + chain_records_at(&c), 1, 0, 9);
	lsvd_record_walk(&walk, header, &c, "r");
	ck_assert_int_eq(lsvd_record_next(&walk, &r), 1);
	ck_assert_int_eq(lsvd_record_next(&walk, &r), 0);
	c.record_bytes = 32;
	lsvd_record_walk(&walk, header, &c, "r");
	ck_assert_int_eq(lsvd_record_next(&walk, &r), 1);
	ck_assert_err(lsvd_record_next(&walk, &r), LSVD_E_CORRUPT);
	c.records = 2;
	c.record_bytes = 24;
	lsvd_record_walk(&walk, header, &c, "r");
	ck_assert_int_eq(lsvd_record_next(&walk, &r), 1);
	ck_assert_err(lsvd_record_next(&walk, &r), LSVD_E_CORRUPT);
	c.record_bytes = 16;
	lsvd_record_walk(&walk, header, &c, "r");
	ck_assert_err(lsvd_record_next(&walk, &r), LSVD_E_CORRUPT);
}
END_TEST

static Suite *seg_adopt_suite(void)
{
	Suite *s = suite_create("seg_adopt");
	TCase *c = tcase_create("moved");

	tcase_add_loop_test(c, a_moved_object_read_back_has_its_extents, 0, 2);
	tcase_add_test(c, an_adoption_read_back_says_the_source_of_every_sector);
	tcase_add_test(c, a_damaged_adoption_is_refused_or_holds_together);
	suite_add_tcase(s, c);

	c = tcase_create("records");
	tcase_add_test(c, records_behind_the_extents_move_the_body_and_nothing_else);
	tcase_add_test(c, records_that_do_not_fill_their_room_are_damage);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(seg_adopt_suite)
