/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_fmt_object.c - headers of objects: every field survives, every damage is noticed.
 *
 * Headers that are well summed but say nonsense are made by encoding nonsense: the encoders do not
 * judge, the decoders must.
 */
#include "format/fmt_chain.h"
#include "format/fmt_claim.h"
#include "format/fmt_slot.h"
#include "format/fmt_varint.h"
#include "format/fmt_volume.h"
#include "t_check.h"

#include <lsvd/volume.h>

#include "base/bytes.h"
#include "format/fmt_object.h"

static const struct uuid volume = { { 1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15,
				      16 } };
static const struct uuid other = { { 1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15,
				     17 } };

#define CHAIN_BYTES (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)

static struct object_head a_head(int kind)
{
	return (struct object_head){
		.kind = (uint16_t)kind,
		.header_bytes = CHAIN_BYTES,
		.compat = 0x80000001,
		.volume = volume,
		.epoch = 0x1122334455667788,
		.seq = kind == OBJECT_BASE ? 1 : 0x2233445566778899,
		.object = 0x33445566778899aa,
		.body_bytes = 0x445566778899aabb,
	};
}

static struct chain_part a_chain(void)
{
	return (struct chain_part){
		.prev_checksum = 0x0102030405060708,
		.first_op = 1000,
		.last_op = 2000,
		.volume_bytes = 1 << 20,
		.next_object = 77,
		.root = { 5, 6 },
	};
}

/* A chain object's header of the two, well summed. */
static void encode(uint8_t buf[CHAIN_BYTES], struct object_head *h, const struct chain_part *c)
{
	memset(buf, 0, CHAIN_BYTES);
	lsvd_chain_part_encode(buf + OBJECT_HEAD_BYTES, c);
	lsvd_object_head_encode(buf, h);
}

static int decode(const uint8_t buf[CHAIN_BYTES], struct chain_part *ret)
{
	struct object_head h;
	int err = lsvd_object_head_decode(&h, buf, CHAIN_BYTES, "x");

	return err < 0 ? err : lsvd_chain_part_decode(ret, buf, &h, "x");
}

/* ----------------------------------------------------------------------------------- fixed part */

START_TEST(a_head_read_back_is_the_same)
{
	struct object_head h = a_head(OBJECT_CLOSE), got;
	struct chain_part c = a_chain();
	uint8_t buf[CHAIN_BYTES];

	encode(buf, &h, &c);
	ck_assert_ok(lsvd_object_head_decode(&got, buf, sizeof buf, "x"));
	ck_assert_uint_eq(got.kind, h.kind);
	ck_assert_uint_eq(got.header_bytes, h.header_bytes);
	ck_assert_uint_eq(got.compat, h.compat);
	ck_assert_uint_eq(got.incompat, 0);
	ck_assert(lsvd_uuid_equal(&got.volume, &volume));
	ck_assert_uint_eq(got.epoch, h.epoch);
	ck_assert_uint_eq(got.seq, h.seq);
	ck_assert_uint_eq(got.object, h.object);
	ck_assert_uint_eq(got.body_bytes, h.body_bytes);
	ck_assert_uint_eq(got.checksum, h.checksum);
}
END_TEST

START_TEST(the_layout_is_the_documented_one)
{
	struct object_head h = a_head(OBJECT_CLOSE);
	struct chain_part c = a_chain();
	uint8_t buf[CHAIN_BYTES];

	c.flags = CHAIN_FLUSH_REMOTE;
	c.acked_seq = 0x99;
	encode(buf, &h, &c);
	ck_assert_mem_eq(buf, "LSVDOBJ\0\1\0\6\0\xd0\0\0\0\1\0\0\x80\0\0\0\0", 24);
	ck_assert_mem_eq(buf + 24, volume.b, 16);
	ck_assert_uint_eq(le64_get(buf + 40), h.epoch);
	ck_assert_uint_eq(le64_get(buf + 48), h.seq);
	ck_assert_uint_eq(le64_get(buf + 56), h.object);
	ck_assert_uint_eq(le64_get(buf + 64), h.body_bytes);
	ck_assert_uint_eq(le64_get(buf + 72), h.checksum);
	ck_assert_uint_eq(le64_get(buf + 80), c.prev_checksum);
	ck_assert_uint_eq(le64_get(buf + 104), c.acked_seq);
	ck_assert_uint_eq(le64_get(buf + 128), c.volume_bytes);
	ck_assert_uint_eq(le32_get(buf + 168), c.flags);
}
END_TEST

START_TEST(a_header_that_is_not_all_there_says_how_long_it_is)
{
	struct object_head h = a_head(OBJECT_CLOSE), got;
	struct chain_part c = a_chain();
	uint8_t buf[CHAIN_BYTES];

	encode(buf, &h, &c);
	for (size_t len = OBJECT_HEAD_BYTES; len < CHAIN_BYTES; len++) {
		memset(&got, 0, sizeof got);
		ck_assert_err(lsvd_object_head_decode(&got, buf, len, "x"), -ENODATA);
		ck_assert_uint_eq(got.header_bytes, CHAIN_BYTES);
	}
	for (size_t len = 0; len < OBJECT_HEAD_BYTES; len++)
		ck_assert_err(lsvd_object_head_decode(&got, buf, len, "x"), LSVD_E_CORRUPT);
}
END_TEST

START_TEST(any_flipped_bit_of_a_header_is_noticed)
{
	struct object_head h = a_head(OBJECT_CLOSE), got;
	struct chain_part c = a_chain();
	uint8_t buf[CHAIN_BYTES];

	encode(buf, &h, &c);
	for (unsigned bit = 0; bit < CHAIN_BYTES * 8; bit++) {
		int err;

		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		err = lsvd_object_head_decode(&got, buf, sizeof buf, "x");
		/* A longer header is asked for, and then has a wrong checksum. */
		ck_assert_msg(err == LSVD_E_CORRUPT || (bit / 8 >= 8 && bit / 8 < 10 &&
							err == LSVD_E_VERSION) ||
				      (bit / 8 >= 12 && bit / 8 < 16 && err == -ENODATA),
			      "bit %u: %d", bit, err);
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	ck_assert_ok(lsvd_object_head_decode(&got, buf, sizeof buf, "x"));
}
END_TEST

START_TEST(a_header_of_80_bytes_is_checked_too)
{
	struct object_head h = a_head(OBJECT_ROOT), got;
	uint8_t buf[OBJECT_HEAD_BYTES] = { 0 };

	h.header_bytes = OBJECT_HEAD_BYTES;
	lsvd_object_head_encode(buf, &h);
	ck_assert_ok(lsvd_object_head_decode(&got, buf, sizeof buf, "x"));
	buf[50] ^= 1;
	ck_assert_err(lsvd_object_head_decode(&got, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
}
END_TEST

START_TEST(lengths_nobody_writes_are_refused_before_they_are_believed)
{
	static const uint32_t lengths[] = { 0, 16, 64, 81, 88, OBJECT_HEADER_MAX + 16, UINT32_MAX };
	struct object_head h = a_head(OBJECT_CLOSE), got;
	struct chain_part c = a_chain();
	uint8_t buf[CHAIN_BYTES];

	encode(buf, &h, &c);
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		le32_put(buf + 12, lengths[i]);
		ck_assert_err(lsvd_object_head_decode(&got, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
		ck_assert_error_says("object x: header of");
	}
}
END_TEST

START_TEST(a_newer_version_is_named_as_such)
{
	struct object_head h = a_head(OBJECT_CLOSE), got;
	struct chain_part c = a_chain();
	uint8_t buf[CHAIN_BYTES];

	encode(buf, &h, &c);
	le16_put(buf + 8, OBJECT_VERSION + 1);
	ck_assert_err(lsvd_object_head_decode(&got, buf, sizeof buf, "x"), LSVD_E_VERSION);
	ck_assert_error_says("version 2, this library knows 1");
	le16_put(buf + 8, 0);
	ck_assert_err(lsvd_object_head_decode(&got, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
}
END_TEST

START_TEST(an_unknown_incompatible_feature_is_refused_a_compatible_one_is_not)
{
	struct object_head h = a_head(OBJECT_CLOSE), got;
	struct chain_part c = a_chain();
	uint8_t buf[CHAIN_BYTES];

	h.compat = UINT32_MAX;
	encode(buf, &h, &c);
	ck_assert_ok(lsvd_object_head_decode(&got, buf, sizeof buf, "x"));
	for (int bit = 0; bit < 32; bit++) {
		h.incompat = 1u << bit;
		encode(buf, &h, &c);
		ck_assert_err(lsvd_object_head_decode(&got, buf, sizeof buf, "x"), LSVD_E_VERSION);
		ck_assert_error_says("incompatible features");
	}
}
END_TEST

START_TEST(an_unknown_kind_is_refused)
{
	struct object_head h = a_head(OBJECT_CLOSE), got;
	struct chain_part c = a_chain();
	uint8_t buf[CHAIN_BYTES];

	for (int kind = 0; kind < 70000; kind += kind < 20 ? 1 : 9999) {
		h.kind = (uint16_t)kind;
		encode(buf, &h, &c);
		if (h.kind >= OBJECT_VOLUME && h.kind <= OBJECT_SLOT)
			ck_assert_ok(lsvd_object_head_decode(&got, buf, sizeof buf, "x"));
		else
			ck_assert_err(lsvd_object_head_decode(&got, buf, sizeof buf, "x"),
				      LSVD_E_VERSION);
	}
}
END_TEST

START_TEST(a_header_in_the_wrong_place_says_what_was_expected)
{
	struct object_head h = a_head(OBJECT_CLOSE);

	ck_assert_ok(lsvd_object_head_expect(&h, &volume, OBJECT_CLOSE, h.epoch, h.seq, "x"));
	ck_assert_ok(lsvd_object_head_expect(&h, &volume, 0, h.epoch, h.seq, "x"));
	ck_assert_err(lsvd_object_head_expect(&h, &other, 0, h.epoch, h.seq, "x"), LSVD_E_CORRUPT);
	ck_assert_error_says("expected 01020304-0506-4708-890a-0b0c0d0e0f11");
	ck_assert_err(lsvd_object_head_expect(&h, &volume, OBJECT_DATA, h.epoch, h.seq, "x"),
		      LSVD_E_CORRUPT);
	ck_assert_error_says("kind 6, expected 4");
	ck_assert_err(lsvd_object_head_expect(&h, &volume, 0, h.epoch + 1, h.seq, "x"),
		      LSVD_E_CORRUPT);
	ck_assert_err(lsvd_object_head_expect(&h, &volume, 0, h.epoch, h.seq - 1, "x"),
		      LSVD_E_CORRUPT);
}
END_TEST

/* ----------------------------------------------------------------------------------- chain part */

START_TEST(a_chain_part_read_back_is_the_same)
{
	struct object_head h = a_head(OBJECT_DATA);
	struct chain_part c = {
		.prev_checksum = 1, .first_op = 2, .last_op = 3, .acked_seq = 4, .root = { 5, 6 },
		.volume_bytes = 512, .next_object = 8, .base_epoch = 9, .base_seq = 10,
		.fenced_by = 11, .flags = 12, .extents = 0, .extent_bytes = 0,
	}, got;
	uint8_t buf[CHAIN_BYTES];

	encode(buf, &h, &c);
	memset(&got, 0xee, sizeof got);
	ck_assert_ok(decode(buf, &got));
	ck_assert_uint_eq(got.prev_checksum, 1);
	ck_assert_uint_eq(got.first_op, 2);
	ck_assert_uint_eq(got.last_op, 3);
	ck_assert_uint_eq(got.acked_seq, 4);
	ck_assert_uint_eq(got.root.epoch, 5);
	ck_assert_uint_eq(got.root.number, 6);
	ck_assert_uint_eq(got.volume_bytes, 512);
	ck_assert_uint_eq(got.next_object, 8);
	ck_assert_uint_eq(got.base_epoch, 9);
	ck_assert_uint_eq(got.base_seq, 10);
	ck_assert_uint_eq(got.fenced_by, 11);
	ck_assert_uint_eq(got.flags, 12);
	ck_assert_uint_eq(got.extents, 0);
	ck_assert_uint_eq(got.extent_bytes, 0);
}
END_TEST

/* A chain object of `kind` that differs from a good one in what `c` and `h` say is refused. */
static void refused(struct object_head h, struct chain_part c, const char *text)
{
	struct chain_part got;
	uint8_t buf[CHAIN_BYTES];

	encode(buf, &h, &c);
	ck_assert_err(decode(buf, &got), LSVD_E_CORRUPT);
	ck_assert_error_says(text);
}

static void accepted(struct object_head h, struct chain_part c)
{
	struct chain_part got;
	uint8_t buf[CHAIN_BYTES];

	encode(buf, &h, &c);
	ck_assert_ok(decode(buf, &got));
}

START_TEST(chain_parts_that_contradict_themselves_are_refused)
{
	struct object_head h = a_head(OBJECT_CLOSE);
	struct chain_part c = a_chain();

	accepted(h, c);
	c.volume_bytes = 0;
	refused(h, c, "volume of 0 bytes");
	c.volume_bytes = 1000;
	refused(h, c, "volume of 1000 bytes");
	c.volume_bytes = LSVD_VOLUME_MAX_BYTES;
	accepted(h, c);
	c.volume_bytes += 512;
	refused(h, c, "volume of");
	c = a_chain();
	c.last_op = c.first_op - 1;
	accepted(h, c);
	c.last_op = c.first_op - 2;
	refused(h, c, "last operation 998, expected at least 999");
	c = a_chain();
	c.acked_seq = h.seq - 1;
	accepted(h, c);
	c.acked_seq = h.seq;
	refused(h, c, "acknowledged up to");
	c = a_chain();
	c.next_object = OBJECT_NUMBER_LIMIT;
	accepted(h, c);
	c.next_object++;
	refused(h, c, "next object 1099511627777");
	c.next_object = UINT64_MAX;
	refused(h, c, "next object");
}
END_TEST

START_TEST(a_base_goes_on_from_an_earlier_epoch_or_from_nothing)
{
	struct object_head h = a_head(OBJECT_BASE);
	struct chain_part c = a_chain();

	accepted(h, c);
	c.base_epoch = h.epoch - 1;
	c.base_seq = 3;
	accepted(h, c);
	c.base_seq = 0;
	refused(h, c, "base");
	c.base_epoch = 0;
	c.base_seq = 3;
	refused(h, c, "base");
	c.base_epoch = h.epoch;
	refused(h, c, "base");
	c = a_chain();
	h.seq = 2;
	refused(h, c, "base");
}
END_TEST

START_TEST(a_fence_is_by_a_later_epoch)
{
	struct object_head h = a_head(OBJECT_FENCE);
	struct chain_part c = a_chain();

	c.fenced_by = h.epoch + 1;
	accepted(h, c);
	c.fenced_by = h.epoch;
	refused(h, c, "fenced by");
}
END_TEST

START_TEST(data_must_have_a_number_and_room_for_its_extents)
{
	struct object_head h = a_head(OBJECT_DATA);
	struct chain_part c = a_chain();

	accepted(h, c);
	c.extent_bytes = 1;
	refused(h, c, "expected 224 for 1 bytes of extents");
	c.extent_bytes = UINT32_MAX;
	refused(h, c, "for 4294967295 bytes of extents");
	c.extent_bytes = 0;
	h.object = 0;
	refused(h, c, "number 0");
}
END_TEST

START_TEST(a_note_has_no_extents_no_body_and_no_operations)
{
	struct object_head h = a_head(OBJECT_NOTE);
	struct chain_part c = a_chain();

	h.body_bytes = 0;
	c.last_op = c.first_op - 1;
	accepted(h, c);
	c.last_op++;
	refused(h, c, "note with 0 extents");
	c.last_op--;
	c.extents = 1;
	refused(h, c, "note with 1 extents");
	c.extents = 0;
	h.body_bytes = 5;
	refused(h, c, "5 bytes of body");
	h.body_bytes = 0;
	c.record_bytes = 16;
	refused(h, c, "expected 224 for 0 bytes of extents and 16 of records");
	c.record_bytes = 12;
	refused(h, c, "0 records in 12 bytes");
	c.record_bytes = 16;
	c.records = 3;
	refused(h, c, "3 records in 16 bytes");
}
END_TEST

START_TEST(other_kinds_have_no_chain_part)
{
	static const int kinds[] = { OBJECT_VOLUME, OBJECT_CLAIM, OBJECT_PAGES, OBJECT_ROOT,
				     OBJECT_MOVED };

	for (size_t i = 0; i < 5; i++)
		refused(a_head(kinds[i]), a_chain(), "expected 3 to 6 or 9");
}
END_TEST

START_TEST(a_header_too_short_for_a_chain_part_is_refused)
{
	struct object_head h = a_head(OBJECT_CLOSE);
	struct chain_part c = a_chain();

	h.header_bytes = CHAIN_BYTES - 16;
	refused(h, c, "header of 192 bytes");
}
END_TEST

/* -------------------------------------------------------------------------------- small objects */

static struct fmt_volume a_volume(void)
{
	return (struct fmt_volume){ .kind = OBJECT_VOLUME, .uuid = volume, .name = "test",
				    .bytes = UINT64_C(1) << 41,
				    .created_ms = -5 };
}

START_TEST(a_volume_record_read_back_is_the_same)
{
	struct fmt_volume v = a_volume(), got;
	uint8_t buf[FMT_VOLUME_BYTES];

	memset(v.name, 'n', 64);
	v.name[64] = '\0';
	lsvd_volume_record_encode(buf, &v);
	ck_assert_ok(lsvd_volume_record_decode(&got, buf, sizeof buf, "x"));
	ck_assert(lsvd_uuid_equal(&got.uuid, &volume));
	ck_assert_str_eq(got.name, v.name);
	ck_assert_uint_eq(got.bytes, v.bytes);
	ck_assert_int_eq(got.created_ms, -5);
}
END_TEST

START_TEST(the_record_of_a_clone_read_back_is_the_same)
{
	struct fmt_volume v = a_volume(), got;
	uint8_t buf[FMT_VOLUME_BYTES_MAX];

	v.base = (struct fmt_base){ .ancestors = 2, .own_first = 5000, .snapshot = volume,
				    .root = { 3, 77 }, .at_epoch = 3, .at_seq = 9 };
	v.base.list[0] = (struct fmt_ancestor){ 0, volume };
	v.base.list[1] = (struct fmt_ancestor){ 1000, volume };
	lsvd_volume_record_encode(buf, &v);
	ck_assert_ok(lsvd_volume_record_decode(&got, buf, fmt_volume_bytes(&v), "x"));
	ck_assert_mem_eq(&got.base, &v.base, sizeof v.base);
	v.base.list[1].first = 5001;
	lsvd_volume_record_encode(buf, &v);
	ck_assert_err(lsvd_volume_record_decode(&got, buf, fmt_volume_bytes(&v), "x"),
		      LSVD_E_CORRUPT);
	ck_assert_error_says("5001");
}
END_TEST

START_TEST(a_slot_read_back_is_the_same)
{
	struct fmt_slot slot = { .what = SLOT_DROP, .clone = volume, .name = "c" }, got;
	uint8_t buf[FMT_SLOT_BYTES];

	lsvd_slot_encode(buf, &volume, 7, &slot);
	ck_assert_ok(lsvd_slot_decode(&got, &volume, 7, buf, sizeof buf, "x"));
	ck_assert_int_eq(got.what, SLOT_DROP);
	ck_assert_str_eq(got.name, "c");
	ck_assert_err(lsvd_slot_decode(&got, &volume, 8, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
	slot.what = (enum slot_what)5;
	lsvd_slot_encode(buf, &volume, 7, &slot);
	ck_assert_err(lsvd_slot_decode(&got, &volume, 7, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
}
END_TEST

/* It is shown to whoever may not delete the base. */
START_TEST(a_slot_whose_clone_has_no_name_is_refused)
{
	struct fmt_slot slot = { .what = SLOT_ADD, .clone = volume, .name = "\033[31mred" }, got;
	uint8_t buf[FMT_SLOT_BYTES];

	lsvd_slot_encode(buf, &volume, 7, &slot);
	ck_assert_err(lsvd_slot_decode(&got, &volume, 7, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
	slot = (struct fmt_slot){ .what = SLOT_CLOSE };
	lsvd_slot_encode(buf, &volume, 7, &slot);
	ck_assert_ok(lsvd_slot_decode(&got, &volume, 7, buf, sizeof buf, "x"));
}
END_TEST

START_TEST(a_volume_record_of_no_volume_is_refused)
{
	struct fmt_volume v = a_volume(), got;
	uint8_t buf[FMT_VOLUME_BYTES];

	v.bytes = 0;
	lsvd_volume_record_encode(buf, &v);
	ck_assert_err(lsvd_volume_record_decode(&got, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
	v.bytes = LSVD_VOLUME_MAX_BYTES + 512;
	lsvd_volume_record_encode(buf, &v);
	ck_assert_err(lsvd_volume_record_decode(&got, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
	v = a_volume();
	memcpy(v.name, "../x", 5);
	lsvd_volume_record_encode(buf, &v);
	ck_assert_err(lsvd_volume_record_decode(&got, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
	ck_assert_error_says("name");
}
END_TEST

START_TEST(a_claim_read_back_is_the_same)
{
	struct fmt_claim c = { .cache_id = other, .host = "host.example", .pid = 4711,
			       .created_ms = 1, .void_from = 9 }, got;
	uint8_t buf[FMT_CLAIM_BYTES];

	lsvd_claim_encode(buf, &volume, 9, &c);
	ck_assert_ok(lsvd_claim_decode(&got, &volume, 9, buf, sizeof buf, "x"));
	ck_assert(lsvd_uuid_equal(&got.cache_id, &other));
	ck_assert_str_eq(got.host, "host.example");
	ck_assert_uint_eq(got.pid, 4711);
	ck_assert_int_eq(got.created_ms, 1);
	ck_assert_uint_eq(got.void_from, 9);
	ck_assert_err(lsvd_claim_decode(&got, &volume, 10, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
	ck_assert_err(lsvd_claim_decode(&got, &other, 9, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
}
END_TEST

START_TEST(a_claim_is_not_void_by_epochs_after_it)
{
	struct fmt_claim c = { .host = "h", .void_from = 10 }, got;
	uint8_t buf[FMT_CLAIM_BYTES];

	lsvd_claim_encode(buf, &volume, 9, &c);
	ck_assert_err(lsvd_claim_decode(&got, &volume, 9, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
	ck_assert_error_says("void from epoch 10");
}
END_TEST

START_TEST(a_claims_host_cannot_command_a_terminal)
{
	struct fmt_claim c = { .host = "a\33[2Jb\n\xff" }, got;
	uint8_t buf[FMT_CLAIM_BYTES];

	lsvd_claim_encode(buf, &volume, 9, &c);
	ck_assert_ok(lsvd_claim_decode(&got, &volume, 9, buf, sizeof buf, "x"));
	ck_assert_str_eq(got.host, "a?[2Jb??");
}
END_TEST

START_TEST(one_small_object_is_not_another)
{
	struct fmt_claim c = { .host = "h" }, got_claim;
	struct fmt_volume v = a_volume(), got_volume;
	uint8_t buf[256];

	lsvd_claim_encode(buf, &volume, 0, &c);
	ck_assert_err(lsvd_volume_record_decode(&got_volume, buf, sizeof buf, "x"), LSVD_E_CORRUPT);
	ck_assert_error_says("kind 2, expected 1");
	lsvd_volume_record_encode(buf, &v);
	ck_assert_err(lsvd_claim_decode(&got_claim, &volume, 0, buf, sizeof buf, "x"),
		      LSVD_E_CORRUPT);
}
END_TEST

START_TEST(small_objects_cut_or_changed_anywhere_are_refused)
{
	struct fmt_volume v = a_volume(), got;
	struct fmt_claim c = { .host = "h" }, got_claim;
	uint8_t record[FMT_VOLUME_BYTES], claim[FMT_CLAIM_BYTES];

	lsvd_volume_record_encode(record, &v);
	lsvd_claim_encode(claim, &volume, 9, &c);
	for (size_t len = 0; len < sizeof record; len++) {
		ck_assert_err(lsvd_volume_record_decode(&got, record, len, "x"), LSVD_E_CORRUPT);
		ck_assert_err(lsvd_claim_decode(&got_claim, &volume, 9, claim, len, "x"),
			      LSVD_E_CORRUPT);
	}
	for (unsigned bit = 0; bit < sizeof record * 8; bit++) {
		record[bit / 8] ^= (uint8_t)(1u << bit % 8);
		claim[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_int_lt(lsvd_volume_record_decode(&got, record, sizeof record, "x"), 0);
		ck_assert_int_lt(lsvd_claim_decode(&got_claim, &volume, 9, claim, sizeof claim,
						   "x"), 0);
		record[bit / 8] ^= (uint8_t)(1u << bit % 8);
		claim[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}
END_TEST

START_TEST(random_bytes_are_never_an_object)
{
	uint64_t state = t_seed();
	uint8_t buf[300];

	for (int i = 0; i < 20000; i++) {
		size_t len = t_random_below(&state, sizeof buf);
		struct object_head h;
		struct fmt_volume v;

		t_fill(buf, len, t_random(&state));
		if (len >= 10 && i % 2)
			memcpy(buf, "LSVDOBJ\0\1\0", 10);
		ck_assert_int_lt(lsvd_object_head_decode(&h, buf, len, "x"), 0);
		ck_assert_err(lsvd_volume_record_decode(&v, buf, len, "x"), LSVD_E_CORRUPT);
	}
}
END_TEST

/* ------------------------------------------------------------------------------------- integers */

START_TEST(integers_read_back_are_the_same)
{
	uint64_t state = t_seed();

	for (int i = 0; i < 20000; i++) {
		uint64_t v = i < 128 ? (UINT64_C(1) << i / 2) - (i & 1) :
				       t_random(&state) >> t_random_below(&state, 64), got;
		uint8_t buf[11];
		size_t n = lsvd_varint_put(buf, v);

		ck_assert_uint_le(n, 10);
		ck_assert_uint_eq(lsvd_varint_get(buf, sizeof buf, &got), n);
		ck_assert_uint_eq(got, v);
		ck_assert_uint_eq(lsvd_varint_get(buf, n - 1, &got), 0);
	}
}
END_TEST

START_TEST(integers_have_one_form)
{
	uint64_t v;

	ck_assert_uint_eq(lsvd_varint_get((const uint8_t *)"\x80\x00", 2, &v), 0);
	ck_assert_uint_eq(lsvd_varint_get((const uint8_t *)"\xff\x80\x00", 3, &v), 0);
	ck_assert_uint_eq(lsvd_varint_get((const uint8_t *)"\x00", 1, &v), 1);
	ck_assert_uint_eq(v, 0);
}
END_TEST

START_TEST(integers_beyond_64_bits_are_refused)
{
	uint8_t bytes[11] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0 };
	uint64_t v;

	ck_assert_uint_eq(lsvd_varint_get(bytes, 10, &v), 10);
	ck_assert_uint_eq(v, UINT64_MAX);
	bytes[9] = 2;
	ck_assert_uint_eq(lsvd_varint_get(bytes, 10, &v), 0);
	bytes[9] = 0x81;
	ck_assert_uint_eq(lsvd_varint_get(bytes, 11, &v), 0);
}
END_TEST

static void add_head_tests(TCase *c)
{
	tcase_add_test(c, a_head_read_back_is_the_same);
	tcase_add_test(c, the_layout_is_the_documented_one);
	tcase_add_test(c, a_header_that_is_not_all_there_says_how_long_it_is);
	tcase_add_test(c, any_flipped_bit_of_a_header_is_noticed);
	tcase_add_test(c, a_header_of_80_bytes_is_checked_too);
	tcase_add_test(c, lengths_nobody_writes_are_refused_before_they_are_believed);
	tcase_add_test(c, a_newer_version_is_named_as_such);
	tcase_add_test(c, an_unknown_incompatible_feature_is_refused_a_compatible_one_is_not);
	tcase_add_test(c, an_unknown_kind_is_refused);
	tcase_add_test(c, a_header_in_the_wrong_place_says_what_was_expected);
	tcase_add_test(c, random_bytes_are_never_an_object);
}

static void add_chain_tests(TCase *c)
{
	tcase_add_test(c, a_chain_part_read_back_is_the_same);
	tcase_add_test(c, chain_parts_that_contradict_themselves_are_refused);
	tcase_add_test(c, a_base_goes_on_from_an_earlier_epoch_or_from_nothing);
	tcase_add_test(c, a_fence_is_by_a_later_epoch);
	tcase_add_test(c, data_must_have_a_number_and_room_for_its_extents);
	tcase_add_test(c, a_note_has_no_extents_no_body_and_no_operations);
	tcase_add_test(c, other_kinds_have_no_chain_part);
	tcase_add_test(c, a_header_too_short_for_a_chain_part_is_refused);
}

static void add_small_tests(TCase *c)
{
	tcase_add_test(c, a_volume_record_read_back_is_the_same);
	tcase_add_test(c, the_record_of_a_clone_read_back_is_the_same);
	tcase_add_test(c, a_slot_read_back_is_the_same);
	tcase_add_test(c, a_slot_whose_clone_has_no_name_is_refused);
	tcase_add_test(c, a_volume_record_of_no_volume_is_refused);
	tcase_add_test(c, a_claim_read_back_is_the_same);
	tcase_add_test(c, a_claim_is_not_void_by_epochs_after_it);
	tcase_add_test(c, a_claims_host_cannot_command_a_terminal);
	tcase_add_test(c, one_small_object_is_not_another);
	tcase_add_test(c, small_objects_cut_or_changed_anywhere_are_refused);
}

static Suite *fmt_object_suite(void)
{
	Suite *s = suite_create("fmt_object");
	TCase *head = tcase_create("head"), *chain = tcase_create("chain part");
	TCase *small = tcase_create("volume record and claim"), *numbers = tcase_create("integers");

	add_head_tests(head);
	suite_add_tcase(s, head);
	add_chain_tests(chain);
	suite_add_tcase(s, chain);
	add_small_tests(small);
	suite_add_tcase(s, small);
	tcase_add_test(numbers, integers_read_back_are_the_same);
	tcase_add_test(numbers, integers_have_one_form);
	tcase_add_test(numbers, integers_beyond_64_bits_are_refused);
	suite_add_tcase(s, numbers);
	return s;
}

T_MAIN(fmt_object_suite)
