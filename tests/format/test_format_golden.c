/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_format_golden.c - objects of every kind against the files in golden/, which stay for ever.
 *
 *	test_format_golden                 compares
 *	test_format_golden --write DIR     writes the files; only for kinds of objects that are new
 *
 * X.obj is an object; X.txt says what is in it, written from what the object was made of, not from
 * its bytes: decode.py must print the same of X.obj. Where a compressor of another version may give
 * other bytes, the bytes are not compared, but the old ones must still be read.
 */
#include "format/fmt_claim.h"
#include "format/fmt_slot.h"
#include "format/fmt_volume.h"
#include "t_check.h"

#include <lsvd/volume.h>
#include <zlib.h>

#include "base/alloc.h"
#include "format/fmt_mirror.h"
#include "format/fmt_record.h"
#include "format/fmt_wal.h"
#include "segment/seg_adopt.h"
#include "volume/checkpoint.h"
#include "vlog/vlog_build.h"
#include "vlog/vlog_table.h"
#include "t_segment.h"

static const struct uuid volume = { { 0x5e, 0x9d, 0x11, 0x0a, 0x77, 0x01, 0x4c, 0x3b, 0x9f, 0x00,
				      0x01, 0x02, 0x03, 0x04, 0x05, 0x06 } };
static const struct uuid cache = { { 0xca, 0xc4, 0xe1, 0xd0, 0x00, 0x00, 0x40, 0x00, 0x80, 0x00,
				     0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa } };
#define VOLUME_TEXT "5e9d110a-7701-4c3b-9f00-010203040506"
#define CACHE_TEXT "cac4e1d0-0000-4000-8000-fffefdfcfbfa"

/* An object and what is in it. */
struct sample {
	struct t_object object;
	FILE *text;
	char *listing;
	size_t listing_len;
};

static void begin(struct sample *s)
{
	memset(s, 0, sizeof *s);
	s->text = open_memstream(&s->listing, &s->listing_len);
	ck_assert_ptr_nonnull(s->text);
}

static void end(struct sample *s)
{
	ck_assert_int_eq(fclose(s->text), 0);
	s->text = NULL;
}

static void sample_free(struct sample *s)
{
	t_object_free(&s->object);
	free(s->listing);
}

static void list_head(FILE *f, const char *kind, const struct object_head *h)
{
	fprintf(f, "kind %s\nvolume " VOLUME_TEXT "\nepoch %" PRIu64 "\nseq %" PRIu64
		   "\nobject %" PRIu64 "\nheader_bytes %u\nbody_bytes %" PRIu64 "\n",
		kind, h->epoch, h->seq, h->object, h->header_bytes, h->body_bytes);
}

static void list_chain(FILE *f, const struct chain_part *c)
{
	fprintf(f, "prev_checksum %016" PRIx64 "\nfirst_op %" PRIu64 "\nlast_op %" PRIu64
		   "\nacked_seq %" PRIu64 "\nroot %" PRIu64 " %" PRIu64 "\nvolume_bytes %" PRIu64
		   "\nnext_object %" PRIu64 "\nflags %u\n",
		c->prev_checksum, c->first_op, c->last_op, c->acked_seq, c->root.epoch,
		c->root.number, c->volume_bytes, c->next_object, c->flags);
}

/* ----------------------------------------------------------------------- objects without a body */

static const struct uuid heir = { { 0xc1, 0x09, 0xe0, 0x00, 0x00, 0x01, 0x4a, 0xbc, 0x8d, 0xef,
				     0x10, 0x20, 0x30, 0x40, 0x50, 0x60 } };
#define HEIR_TEXT "c109e000-0001-4abc-8def-102030405060"

static void take_bytes(struct sample *s, const void *bytes, size_t len)
{
	s->object.bytes = malloc(len);
	ck_assert_ptr_nonnull(s->object.bytes);
	memcpy(s->object.bytes, bytes, len);
	s->object.len = len;
}

static void make_volume(struct sample *s)
{
	struct fmt_volume v = { .kind = OBJECT_VOLUME, .uuid = volume,
				.name = "Disk_1.old-copy",
				.bytes = UINT64_C(3) << 40, .created_ms = 1700000000123 };
	struct object_head h = { .header_bytes = FMT_VOLUME_BYTES };
	uint8_t buf[FMT_VOLUME_BYTES];

	lsvd_volume_record_encode(buf, &v);
	take_bytes(s, buf, sizeof buf);
	list_head(s->text, "volume", &h);
	fprintf(s->text, "bytes 3298534883328\ncreated_ms 1700000000123\nname Disk_1.old-copy\n");
}

static void make_vlog(struct sample *s)
{
	struct fmt_volume v = { .kind = OBJECT_VLOG, .uuid = volume, .name = "values",
				.created_ms = -5 };
	struct object_head h = { .header_bytes = FMT_VOLUME_BYTES };
	uint8_t buf[FMT_VOLUME_BYTES];

	lsvd_volume_record_encode(buf, &v);
	take_bytes(s, buf, sizeof buf);
	list_head(s->text, "vlog", &h);
	fprintf(s->text, "bytes 0\ncreated_ms -5\nname values\n");
}

/* A clone of a clone. */
static void make_clone(struct sample *s)
{
	struct fmt_volume v = { .kind = OBJECT_VOLUME, .uuid = volume, .name = "c.2", .bytes = 4096,
				.base = { .ancestors = 2, .own_first = 5000, .snapshot = cache,
					  .root = { 3, 4711 }, .at_epoch = 4, .at_seq = 65,
					  .list = { { 0, heir }, { 4000, cache } } } };
	struct object_head h = { .header_bytes = fmt_volume_bytes(&v) };
	uint8_t buf[FMT_VOLUME_BYTES_MAX];

	lsvd_volume_record_encode(buf, &v);
	take_bytes(s, buf, h.header_bytes);
	list_head(s->text, "volume", &h);
	fprintf(s->text, "bytes 4096\ncreated_ms 0\nname c.2\n"
			 "snapshot " CACHE_TEXT " root 3 4711 at 4 65 own_first 5000\n"
			 "ancestor " HEIR_TEXT " from 0\nancestor " CACHE_TEXT " from 4000\n");
}

/* A clone of a volume over others: ancestors, a gap, lowers. */
static void make_over(struct sample *s)
{
	struct fmt_volume v = { .kind = OBJECT_VOLUME, .uuid = volume, .name = "over.1",
				.bytes = 1048576, .created_ms = 7,
				.base = { .ancestors = 1, .own_first = 77, .snapshot = cache,
					  .root = { 1, 9 }, .at_epoch = 1, .at_seq = 3,
					  .list = { { 0, heir } } },
				.lowers = { .count = 2, .list = {
					{ heir, cache, 1048576, "base", "s.1" },
					{ cache, heir, 4096, "Other_1", "then" } } } };
	struct object_head h = { .header_bytes = fmt_volume_bytes(&v) };
	uint8_t buf[FMT_VOLUME_BYTES_MAX];

	lsvd_volume_record_encode(buf, &v);
	take_bytes(s, buf, h.header_bytes);
	list_head(s->text, "volume", &h);
	fprintf(s->text, "bytes 1048576\ncreated_ms 7\nname over.1\n"
			 "snapshot " CACHE_TEXT " root 1 9 at 1 3 own_first 77\n"
			 "ancestor " HEIR_TEXT " from 0\n"
			 "lower " HEIR_TEXT " " CACHE_TEXT " 1048576 base s.1\n"
			 "lower " CACHE_TEXT " " HEIR_TEXT " 4096 Other_1 then\n");
}

static void make_slot(struct sample *s)
{
	const struct fmt_slot slot = { .what = SLOT_ADD, .clone = heir, .name = "copy-of-it" };
	struct object_head h = { .header_bytes = FMT_SLOT_BYTES, .seq = 17 };
	uint8_t buf[FMT_SLOT_BYTES];

	lsvd_slot_encode(buf, &volume, 17, &slot);
	take_bytes(s, buf, sizeof buf);
	list_head(s->text, "slot", &h);
	fprintf(s->text, "slot add " HEIR_TEXT " copy-of-it\n");
}

static void make_slot_close(struct sample *s)
{
	const struct fmt_slot slot = { .what = SLOT_CLOSE };
	struct object_head h = { .header_bytes = FMT_SLOT_BYTES };
	uint8_t buf[FMT_SLOT_BYTES];

	lsvd_slot_encode(buf, &volume, 0, &slot);
	take_bytes(s, buf, sizeof buf);
	list_head(s->text, "slot", &h);
	fprintf(s->text, "slot close 00000000-0000-0000-0000-000000000000 \n");
}

static void claim_of(struct sample *s, uint64_t void_from)
{
	struct fmt_claim c = { .cache_id = cache, .host = "storage7.example", .pid = 4194304,
			       .created_ms = -1, .void_from = void_from };
	struct object_head h = { .header_bytes = FMT_CLAIM_BYTES, .epoch = 0x1f };
	uint8_t buf[FMT_CLAIM_BYTES];

	lsvd_claim_encode(buf, &volume, 0x1f, &c);
	take_bytes(s, buf, sizeof buf);
	list_head(s->text, "claim", &h);
	fprintf(s->text, "cache_id " CACHE_TEXT "\npid 4194304\ncreated_ms -1\n"
			 "host storage7.example\nvoid_from %" PRIu64 "\n", void_from);
}

static void make_claim(struct sample *s)
{
	claim_of(s, 0);
}

static void make_claim_after(struct sample *s)
{
	claim_of(s, 0x1e);
}

static struct chain_part a_chain(void)
{
	return (struct chain_part){
		.prev_checksum = 0x0123456789abcdef,
		.first_op = 1001,
		.last_op = 1000,
		.acked_seq = 0,
		.root = { 2, 77 },
		.volume_bytes = LSVD_VOLUME_MAX_BYTES,
		.next_object = 4712,
		.flags = CHAIN_FLUSH_REMOTE,
	};
}

static void make_bare(struct sample *s, const char *kind, struct object_head *h,
		      const struct chain_part *c)
{
	uint8_t buf[OBJECT_HEAD_BYTES + CHAIN_PART_BYTES] = { 0 };

	h->header_bytes = sizeof buf;
	h->volume = volume;
	lsvd_chain_part_encode(buf + OBJECT_HEAD_BYTES, c);
	lsvd_object_head_encode(buf, h);
	take_bytes(s, buf, sizeof buf);
	list_head(s->text, kind, h);
	list_chain(s->text, c);
}

static void make_base(struct sample *s)
{
	struct object_head h = { .kind = OBJECT_BASE, .epoch = 5, .seq = 1 };
	struct chain_part c = a_chain();

	c.prev_checksum = 0;
	c.base_epoch = 3;
	c.base_seq = UINT64_C(0x1122334455);
	make_bare(s, "base", &h, &c);
	fprintf(s->text, "base 3 73588229205\n");
}

static void make_fence(struct sample *s)
{
	struct object_head h = { .kind = OBJECT_FENCE, .epoch = 5, .seq = 900 };
	struct chain_part c = a_chain();

	c.acked_seq = 890;
	c.fenced_by = 8;
	make_bare(s, "fence", &h, &c);
	fprintf(s->text, "fenced_by 8\n");
}

static void make_close(struct sample *s)
{
	struct object_head h = { .kind = OBJECT_CLOSE, .epoch = UINT32_MAX, .seq = 3 };
	struct chain_part c = a_chain();

	c.acked_seq = 2;
	c.flags = 0;
	make_bare(s, "close", &h, &c);
}

/* --------------------------------------------------------------------------------- data objects */

static struct t_group group;

static const char *text_of(uint64_t sectors)
{
	static char text[128 * SECTOR_BYTES];
	size_t n = 0;

	ck_assert_uint_le(sectors, 128);
	for (unsigned i = 0; n + 40 < sizeof text; i++)
		n += (size_t)snprintf(text + n, sizeof text - n,
				      "line %u of a text that repeats\n", i % 1000);
	return text;
}

static const uint8_t *noise_of(uint64_t seed)
{
	static uint8_t noise[64 * SECTOR_BYTES];

	t_fill(noise, sizeof noise, seed);
	return noise;
}

/* Every kind of extent, short and long units, gaps, overwrites, the far end of the volume. */
static void make_group(void)
{
	const uint64_t end = LSVD_VOLUME_MAX_BYTES / SECTOR_BYTES;

	group.n = 0;
	t_group_data(&group, 0, 64, noise_of(1));
	t_group_data(&group, 64, 19, noise_of(2));
	t_group_data(&group, 1000, 128, text_of(128));
	t_group_data(&group, 10, 1, noise_of(3));
	t_group_data(&group, 2000, 16, NULL);
	t_group_blank(&group, 2016, 5, SEG_ZERO);
	t_group_blank(&group, 40, 3, SEG_ZERO);
	t_group_blank(&group, 5000, UINT64_C(1) << 40, SEG_HOLE);
	t_group_data(&group, (UINT64_C(1) << 33) + 4, 11, text_of(11));
	t_group_data(&group, end - 8, 8, noise_of(4));
}

/* The newest data of one sector, NULL for zeroes. */
static const uint8_t *sector_of(uint64_t lba)
{
	for (unsigned i = group.n; i-- > 0;) {
		const struct seg_record *r = &group.records[i];

		if (lba >= r->lba && lba - r->lba < r->sectors)
			return r->kind == SEG_RAW ? r->data + (lba - r->lba) * SECTOR_BYTES : NULL;
	}
	ck_abort_msg("sector %" PRIu64 " was not written", lba);
}

static uint32_t crc_of(const struct seg_extent *e)
{
	static const uint8_t zeroes[SECTOR_BYTES];
	uLong crc = crc32(0, NULL, 0);

	for (uint64_t i = 0; i < e->sectors; i++) {
		const uint8_t *data = sector_of(e->lba + i);

		crc = crc32(crc, data ? data : zeroes, SECTOR_BYTES);
	}
	return (uint32_t)crc;
}

static void list_extents(FILE *f, const struct segment *s)
{
	static const char *const names[] = { "raw", "unit", "zero", "hole" };

	fprintf(f, "extents %u\n", s->extent_count);
	for (uint32_t i = 0; i < s->extent_count; i++) {
		const struct seg_extent *e = &s->extents[i];

		fprintf(f, "%s lba %" PRIu64 " sectors %" PRIu64, names[e->kind], e->lba,
			e->sectors);
		if (e->off)
			fprintf(f, " off %u crc %08x", e->off, crc_of(e));
		fprintf(f, "\n");
	}
}

static void make_data(struct sample *s, enum codec codec, uint32_t unit_bytes)
{
	struct seg_options options = { .codec = codec, .unit_bytes = unit_bytes };
	struct object_head h = { .volume = volume, .epoch = 5, .seq = 2, .object = 4711 };
	struct chain_part c = a_chain();
	struct segment *segment;

	make_group();
	c.last_op = 1010;
	c.acked_seq = 1;
	ck_assert_ok(lsvd_segment_build(&segment, group.records, group.n, lsvd_uuid_seed(&volume),
					h.object, &options));
	(void)lsvd_segment_finish(segment, &h, &c); /* the sum stands in the header */
	s->object = t_object_of(segment);
	list_head(s->text, "data", &h);
	list_chain(s->text, &c);
	list_extents(s->text, segment);
	fprintf(s->text, "records 0\n");
	lsvd_segment_free(segment);
	t_group_free(&group);
}

static void make_data_raw(struct sample *s)
{
	make_data(s, CODEC_RAW, 4096);
}

static void make_data_lz4(struct sample *s)
{
	make_data(s, CODEC_LZ4, 16384);
}

static void make_data_zlib(struct sample *s)
{
	make_data(s, CODEC_ZLIB, 65536);
}

/* -------------------------------------------------------------------- notes, and what was moved */

/* As make_group(), without holes and without overwrites. */
static struct segment *build_moved(void)
{
	const struct seg_options options = { .codec = CODEC_RAW, .unit_bytes = 4096,
					     .moved = true };
	struct segment *segment;

	group.n = 0;
	t_group_data(&group, 3, 61, noise_of(5));
	t_group_data(&group, 70000, 8, NULL);
	t_group_data(&group, UINT64_C(1) << 35, 19, noise_of(6));
	ck_assert_ok(lsvd_segment_build(&segment, group.records, group.n, lsvd_uuid_seed(&volume),
					4800, &options));
	return segment;
}

static void make_moved(struct sample *s)
{
	struct object_head h = { .volume = volume, .epoch = 5, .seq = 4800, .object = 4800 };
	struct segment *segment = build_moved();

	(void)lsvd_segment_finish_moved(segment, &h);
	s->object = t_object_of(segment);
	list_head(s->text, "moved", &h);
	list_extents(s->text, segment);
	lsvd_segment_free(segment);
	t_group_free(&group);
}

/* A record that may be passed over, and the adoption of the object above. */
static void make_note(struct sample *s)
{
	static const struct seg_run runs[] = { { 60, 4711 }, { 10, 12 }, { 18, 0 } };
	const struct seg_adopt name = { .object = 4800, .epoch = 5, .number = 4800 };
	struct object_head h = { .kind = OBJECT_NOTE, .volume = volume, .epoch = 5, .seq = 3 };
	struct segment *segment = build_moved();
	struct chain_part c = a_chain();
	uint8_t buf[1024] = { 0 }, *payload;
	uint32_t len;

	ck_assert_ok(lsvd_adopt_encode(&payload, &len, 0, segment, &name, runs, 3));
	c.records = 2;
	memcpy(buf + 208 + RECORD_HEAD_BYTES, "nobody", 6);
	c.record_bytes = lsvd_record_frame(buf + 208, 999, RECORD_OPTIONAL, 6);
	memcpy(buf + 208 + c.record_bytes + RECORD_HEAD_BYTES, payload, len);
	c.record_bytes += lsvd_record_frame(buf + 208 + c.record_bytes, RECORD_ADOPT, 0, len);
	h.header_bytes = (uint32_t)round_up(208 + c.record_bytes, 16);
	ck_assert_uint_le(h.header_bytes, sizeof buf);
	lsvd_chain_part_encode(buf + OBJECT_HEAD_BYTES, &c);
	lsvd_object_head_encode(buf, &h);
	take_bytes(s, buf, h.header_bytes);
	list_head(s->text, "note", &h);
	list_chain(s->text, &c);
	fprintf(s->text, "records 2\nrecord 999 1 6\nrecord 1 0 %u\n"
			 "adopts 4800 5 4800 extents %u\nrun 60 source 4711\nrun 10 source 12\n"
			 "run 18 source 0\n", len, segment->extent_count);
	lsvd_free(payload);
	lsvd_segment_free(segment);
	t_group_free(&group);
}

/* A snapshot, and the end of another. */
static void make_note_snapshot(struct sample *s)
{
	struct object_head h = { .kind = OBJECT_NOTE, .volume = volume, .epoch = 5, .seq = 9 };
	struct chain_part c = a_chain();
	uint8_t buf[512] = { 0 }, *p = buf + 208 + RECORD_HEAD_BYTES;

	c.records = 2;
	memcpy(p, heir.b, 16);
	le64_put(p + 16, 1700000000456);
	le16_put(p + 24, 5);
	memcpy(p + 26, "daily", 5);
	c.record_bytes = lsvd_record_frame(buf + 208, RECORD_SNAPSHOT, 0, 31);
	memcpy(buf + 208 + c.record_bytes + RECORD_HEAD_BYTES, cache.b, 16);
	c.record_bytes += lsvd_record_frame(buf + 208 + c.record_bytes,
					    RECORD_SNAPSHOT_GONE, 0, 16);
	h.header_bytes = (uint32_t)round_up(208 + c.record_bytes, 16);
	lsvd_chain_part_encode(buf + OBJECT_HEAD_BYTES, &c);
	lsvd_object_head_encode(buf, &h);
	take_bytes(s, buf, h.header_bytes);
	list_head(s->text, "note", &h);
	list_chain(s->text, &c);
	fprintf(s->text, "records 2\nrecord 2 0 31\nsnapshot " HEIR_TEXT " 1700000000456 daily\n"
			 "record 3 0 16\nsnapshot gone " CACHE_TEXT "\n");
}

/* ------------------------------------------------------------------ nodes, as they lie in pages */

static void make_page_node(struct sample *s)
{
	static struct page_ref refs[PAGE_NODE];
	static uint8_t buf[PAGE_NODE_BYTES_MAX];

	refs[0] = (struct page_ref){ .object = 4801, .off = 80, .len = 25, .hash = 0x1111 };
	refs[1] = (struct page_ref){ .object = 77, .off = 105, .len = 40000,
				     .hash = UINT64_C(0x8877665544332211) };
	refs[PAGE_NODE - 1] = (struct page_ref){ .object = 1, .off = 1u << 22, .len = 1,
						 .hash = 0 };
	take_bytes(s, buf, lsvd_page_node_encode(buf, refs));
	fprintf(s->text, "page node 2\npage 2048 in 4801 off 80 len 25 0000000000001111\n"
			 "page 2049 in 77 off 105 len 40000 8877665544332211\n"
			 "page 3071 in 1 off 4194304 len 1 0000000000000000\n");
}

static void make_object_node(struct sample *s)
{
	static struct object_node node;
	static uint8_t buf[OBJECT_NODE_BYTES_MAX];
	const struct object_entry data = { .home = HOME_CHAIN, .epoch = 3, .seq = 9,
					   .bytes = 300000, .born = { 3, 9 }, .data = 262144,
					   .live = 4096 };
	const struct object_entry moved = { .home = HOME_MOVED, .epoch = 3, .seq = 1027,
					    .bytes = 1 << 20, .born = { 3, 11 }, .died = { 4, 2 },
					    .data = 700000 };
	const struct object_entry pages = { .home = HOME_PAGES, .epoch = 4, .seq = 1028,
					    .bytes = 900, .born = { 4, 1029 } };
	const struct object_entry root = { .home = HOME_ROOT, .epoch = 4, .seq = 1279, .bytes = 280,
					   .born = { 4, 64 }, .died = { 5, 1300 } };

	node = (struct object_node){ .used = 4 };
	node.entries[0] = data;
	node.entries[3] = moved;
	node.entries[4] = pages;
	node.entries[255] = root;
	take_bytes(s, buf, lsvd_object_node_encode(buf, &node));
	fprintf(s->text, "object node 4\n"
			 "object 1024 data 3 9 bytes 300000 born 3 9 died 0 0 data "
			 "262144 live 4096\n"
			 "object 1027 moved 3 1027 bytes 1048576 born 3 11 died 4 2 data "
			 "700000 live 0\n"
			 "object 1028 pages 4 1028 bytes 900 born 4 1029 died 0 0 data 0 live 0\n"
			 "object 1279 root 4 1279 bytes 280 born 4 64 died 5 1300 data 0 live 0\n");
}

static void make_snapshot_node(struct sample *s)
{
	static struct snapshot_node node;
	static uint8_t buf[SNAPSHOT_NODE_BYTES_MAX];

	node = (struct snapshot_node){ .number = 7, .count = 2 };
	node.list[0] = (struct snapshot){ .id = heir, .name = "a", .created_ms = -1, .op = 0,
					  .bytes = 512, .at = { 1, 2 }, .root = { 1, 1 },
					  .root_at = { 1, 1 } };
	node.list[1] = (struct snapshot){ .id = cache, .name = "hourly.2024-01-01_00", .op = 70000,
					  .created_ms = 1700000000789,
					  .bytes = LSVD_VOLUME_MAX_BYTES, .at = { 5, 300 },
					  .root = { 5, 4802 }, .root_at = { 5, 31 } };
	take_bytes(s, buf, lsvd_snapshot_node_encode(buf, &node));
	fprintf(s->text, "snapshot node 7\n"
			 "snapshot " HEIR_TEXT " -1 a op 0 bytes 512 at 1 2 root 1 1 "
			 "standing at 1 1\n"
			 "snapshot " CACHE_TEXT " 1700000000789 hourly.2024-01-01_00 "
			 "op 70000 bytes %" PRIu64 " at 5 300 root 5 4802 standing at 5 31\n",
		(uint64_t)LSVD_VOLUME_MAX_BYTES);
}

/* --------------------------------------------------------------------------------------- a root */

/* With snapshots, and nothing else. */
static void make_root_snapshots(struct sample *s)
{
	const struct blob_ref ref = { 5, 4801, 80, 123, 0x4444 };
	struct object_head h = { .kind = OBJECT_ROOT, .header_bytes = ROOT_HEADER_BYTES,
				 .volume = volume, .epoch = 5, .seq = 4802, .object = 4802,
				 .body_bytes = ROOT_NODE_BYTES };
	struct root_part part = { .at = { 5, 31 }, .next_object = 4803, .volume_bytes = 512,
				  .snapshot_nodes = 1 };
	uint8_t buf[ROOT_HEADER_BYTES + ROOT_NODE_BYTES];

	lsvd_root_node_encode(buf + ROOT_HEADER_BYTES, 7, &ref);
	part.body_checksum = lsvd_hash_seeded(buf + ROOT_HEADER_BYTES, h.body_bytes,
					      lsvd_uuid_seed(&volume));
	lsvd_root_part_encode(buf, &part);
	lsvd_object_head_encode(buf, &h);
	take_bytes(s, buf, sizeof buf);
	list_head(s->text, "root", &h);
	fprintf(s->text, "at 5 31 last_op 0\nnext_object 4803\nvolume_bytes 512\n"
			 "snapshots node 7 in 5 4801 off 80 len 123\n");
}

/* Two nodes of pages, one of objects, one new object. */
static void make_root(struct sample *s)
{
	static const struct {
		uint64_t index;
		struct blob_ref ref;
	} nodes[] = {
		{ 0, { 5, 4801, 80, 900, 0x1111 } },
		{ UINT64_C(1) << 17, { 4, 77, 4096, 25, 0x2222 } },
		{ 18, { 5, 4801, 980, 300, 0x3333 } },
	};
	struct object_head h = { .kind = OBJECT_ROOT, .header_bytes = ROOT_HEADER_BYTES,
				 .volume = volume, .epoch = 5, .seq = 4802, .object = 4802,
				 .body_bytes = 3 * ROOT_NODE_BYTES + ROOT_NEW_BYTES };
	struct root_part part = { .at = { 5, 31 }, .last_op = 2000, .next_object = 4803,
				  .volume_bytes = LSVD_VOLUME_MAX_BYTES, .page_nodes = 2,
				  .object_nodes = 1, .new_objects = 1 };
	uint8_t buf[ROOT_HEADER_BYTES + 3 * ROOT_NODE_BYTES + ROOT_NEW_BYTES],
		*p = buf + ROOT_HEADER_BYTES;

	for (int i = 0; i < 3; i++, p += ROOT_NODE_BYTES)
		lsvd_root_node_encode(p, nodes[i].index, &nodes[i].ref);
	le64_put(p, 4801);
	le64_put(p + 8, 1280);
	part.body_checksum = lsvd_hash_seeded(buf + ROOT_HEADER_BYTES, h.body_bytes,
					      lsvd_uuid_seed(&volume));
	lsvd_root_part_encode(buf, &part);
	lsvd_object_head_encode(buf, &h);
	take_bytes(s, buf, sizeof buf);
	list_head(s->text, "root", &h);
	fprintf(s->text, "at 5 31 last_op 2000\nnext_object 4803\nvolume_bytes %" PRIu64 "\n"
			 "pages node 0 in 5 4801 off 80 len 900\n"
			 "pages node 131072 in 4 77 off 4096 len 25\n"
			 "objects node 18 in 5 4801 off 980 len 300\nnew 4801 bytes 1280\n",
		(uint64_t)LSVD_VOLUME_MAX_BYTES);
}

/* -------------------------------------------------------------------------------- value logs */

static void list_value(FILE *f, const struct lsvd_vlog_handle *h, int codec, const char *key,
		       const void *value, size_t len, uint64_t stored)
{
	fprintf(f, "value %" PRIu64 " codec %d key ", h->offset, codec);
	for (const char *p = key; *p; p++)
		fprintf(f, "%02x", (unsigned)*p);
	fprintf(f, " raw %zu stored %" PRIu64 " crc %08lx\n", len, stored,
		crc32(0, value, (uInt)len));
}

static void take_build(struct sample *s, struct vlog_build *b, FILE *text, const char *values,
		       const char *index)
{
	struct object_head h = { .header_bytes = VLOG_SEGMENT_HEADER, .epoch = 5, .seq = 4804,
				 .object = 4804 };
	uint8_t *p = malloc(b->object_bytes);

	ck_assert_ptr_nonnull(p);
	s->object.bytes = p;
	s->object.len = b->object_bytes;
	for (int i = 0; i < b->iovcnt; i++, p += b->iov[i - 1].iov_len)
		memcpy(p, b->iov[i].iov_base, b->iov[i].iov_len);
	h.body_bytes = b->object_bytes - h.header_bytes;
	list_head(text, "values", &h);
	fprintf(text, "created_ms 1700000000789\n%s%smetadata 6d657461\n", values, index);
	lsvd_vlog_build_free(b);
}

/* Two keys, one twice: the index has the later one first. */
static void make_values(struct sample *s)
{
	static const char *const keys[] = { "pear", "peach", "pear" };
	struct lsvd_vlog_handle h[3];
	struct vlog_build *b = NULL;
	char *values, index[200], value[200];
	size_t values_len;
	FILE *f = open_memstream(&values, &values_len);

	ck_assert_ptr_nonnull(f);
	ck_assert_ok(lsvd_vlog_build_new(&b, &volume, 5, 4804));
	b->created_ms = 1700000000789;
	memset(value, 'v', sizeof value);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_ok(lsvd_vlog_build_add(b, NULL, 0, keys[i], strlen(keys[i]), value,
						 100 * i, &h[i]));
		list_value(f, &h[i], 0, keys[i], value, 100 * i, 100 * i);
	}
	ck_assert_ok(lsvd_vlog_build_seal(b, "meta", 4));
	ck_assert_int_eq(fclose(f), 0);
	(void)snprintf(index, sizeof index, "index 7065616368 %" PRIu64 " %" PRIu64 " 100 0\n"
		       "index 70656172 %" PRIu64 " %" PRIu64 " 200 0\n"
		       "index 70656172 %" PRIu64 " %" PRIu64 " 0 0\n", h[1].offset, h[1].size,
		       h[2].offset, h[2].size, h[0].offset, h[0].size);
	take_build(s, b, s->text, values, index);
	free(values);
}

/* More than a mebibyte, hence in pieces. */
static void make_values_zlib(struct sample *s)
{
	const size_t len = (1u << 20) + 1;
	struct vlog_codecs codecs;
	struct vlog_packer *packer = NULL;
	struct vlog_build *b = NULL;
	struct lsvd_vlog_handle h;
	char *zeroes = calloc(1, len), *values, index[100];
	size_t values_len;
	FILE *f = open_memstream(&values, &values_len);

	ck_assert(zeroes && f);
	ck_assert_ok(lsvd_vlog_codecs_init(&codecs, NULL, 0, NULL, LSVD_VLOG_CODEC_ZLIB));
	ck_assert_ok(lsvd_vlog_packer_new(&packer, &codecs));
	ck_assert_ok(lsvd_vlog_build_new(&b, &volume, 5, 4804));
	b->created_ms = 1700000000789;
	ck_assert_ok(lsvd_vlog_build_add(b, packer, LSVD_VLOG_CODEC_ZLIB, "big", 3, zeroes,
					 len, &h));
	list_value(f, &h, LSVD_VLOG_CODEC_ZLIB, "big", zeroes, len, b->totals.stored);
	ck_assert_ok(lsvd_vlog_build_seal(b, "meta", 4));
	ck_assert_int_eq(fclose(f), 0);
	(void)snprintf(index, sizeof index, "index 626967 %" PRIu64 " %" PRIu64 " %zu 0\n",
		       h.offset, h.size, len);
	take_build(s, b, s->text, values, index);
	lsvd_vlog_packer_free(packer);
	free(values);
	free(zeroes);
}

static struct vlog_segment a_segment(uint64_t id)
{
	return (struct vlog_segment){ .id = id, .epoch = 5, .object_bytes = 1000, .footer_at = 800,
				      .totals = { 3, 600, 500, 704 }, .created_ms = 1700000000789,
				      .stale_items = 1, .stale_raw = 200, .stale_records = 230 };
}
#define SEGMENT_TEXT "1000 800 3 600 500 704 1700000000789"

static void make_note_vlog(struct sample *s)
{
	struct object_head h = { .kind = OBJECT_NOTE, .volume = volume, .epoch = 5, .seq = 10 };
	struct vlog_segment one = a_segment(4804), two = a_segment(4806);
	struct vlog_segment *segments[] = { &one, &two };
	uint64_t from[] = { 70, 4000 }, gone[] = { 70 };
	const struct vlog_change commit = { .add = segments, .add_count = 2, .ids = from,
					    .id_count = 2 };
	const struct vlog_change retire = { .ids = gone, .id_count = 1 };
	struct chain_part c = a_chain();
	uint8_t buf[1024] = { 0 };
	size_t first, second;

	two.uncertain = true;
	c.records = 2;
	first = lsvd_vlog_change_encode(buf + 208 + RECORD_HEAD_BYTES, RECORD_VLOG_COMMIT, &commit);
	c.record_bytes = lsvd_record_frame(buf + 208, RECORD_VLOG_COMMIT, 0, (uint32_t)first);
	second = lsvd_vlog_change_encode(buf + 208 + c.record_bytes + RECORD_HEAD_BYTES,
					 RECORD_VLOG_RETIRE, &retire);
	c.record_bytes += lsvd_record_frame(buf + 208 + c.record_bytes, RECORD_VLOG_RETIRE, 0,
					    (uint32_t)second);
	h.header_bytes = (uint32_t)round_up(208 + c.record_bytes, 16);
	lsvd_chain_part_encode(buf + OBJECT_HEAD_BYTES, &c);
	lsvd_object_head_encode(buf, &h);
	take_bytes(s, buf, h.header_bytes);
	list_head(s->text, "note", &h);
	list_chain(s->text, &c);
	fprintf(s->text, "records 2\nrecord 16 0 %zu\ncommits 2\n"
			 "segment 4804 5 0 " SEGMENT_TEXT " 0 1 200 230\n"
			 "segment 4806 5 0 " SEGMENT_TEXT " 1 1 200 230\n"
			 "out of 70 4000\nrecord 17 0 %zu\nretires 70\n", first, second);
}

static void make_root_vlog(struct sample *s)
{
	struct object_head h = { .volume = volume, .epoch = 5, .seq = 4807, .object = 4807 };
	struct vlog_segment one = a_segment(4804), two = a_segment(4806);
	struct vlog_segment *segments[] = { &one, &two };
	struct vlog_dead dead[] = { { .kind = KEY_FREE, .epoch = 4, .number = 70, .bytes = 9000 },
				    { .kind = KEY_CHAIN, .epoch = 5, .number = 9 },
				    { .kind = KEY_ROOT, .epoch = 5, .number = 4803 } };
	const struct vlog_table t = { .at = segments, .count = 2, .commits = 12, .dead = dead,
				      .dead_count = 3 };
	uint8_t *bytes = NULL;
	size_t len;

	one.commit = 11;
	two.commit = 12;
	ck_assert_ok(lsvd_vlog_root_encode(&t, &h, 10, &bytes, &len));
	take_bytes(s, bytes, len);
	lsvd_free(bytes);
	list_head(s->text, "root", &h);
	fprintf(s->text, "at 5 10 commits 12\nsegment 4804 5 11 " SEGMENT_TEXT " 0 1 200 230\n"
			 "segment 4806 5 12 " SEGMENT_TEXT " 0 1 200 230\n"
			 "dead f 4 70 9000\ndead d 5 9 0\ndead k 5 4803 0\n");
}

/* ----------------------------------------------------------------------------------- a mirror */

static void make_mirror(struct sample *s)
{
	static uint8_t buf[4 * MIRROR_HEAD_BYTES];
	/* Sectors 3 and 4 in a unit, 5 … 12 zeroes. */
	static const uint8_t page[] = { 1, 2, 3, 1 * 4 + 1, 2 * 50, 6 * 2 + 1, 9, 0, 7 * 4 + 2 };
	static const uint8_t objects[MIRROR_OBJECT_ENTRY_BYTES] = { 50, [8] = 5, [16] = 30,
								    [25] = 8, [33] = 4, [36] = 1,
								    [41] = 4 };
	struct mirror_head h = { .flags = MIRROR_COMPLETE, .generation = 3, .volume = volume,
				 .cache_id = cache, .run = 2, .nonce = UINT64_C(0x1122334455667788),
				 .volume_bytes = 1 << 30, .epoch = 5, .seq = 31, .last_op = 2000,
				 .next_object = 78, .snapshot_end = 3 * MIRROR_HEAD_BYTES };
	const struct mirror_mark mark = { 5, 31, 2000, 99 };
	uint8_t *p;

	memset(buf, 0, sizeof buf);
	lsvd_mirror_head_encode(buf, &h);
	p = buf + MIRROR_HEAD_BYTES + MIRROR_RECORD_BYTES;
	p[0] = 2;
	p[8] = sizeof page;
	memcpy(p + MIRROR_PAGE_ENTRY_BYTES, page, sizeof page);
	lsvd_mirror_record_encode(buf + MIRROR_HEAD_BYTES, &h, MIRROR_HEAD_BYTES, MIRROR_PAGES,
				  MIRROR_PAGE_ENTRY_BYTES + sizeof page);
	memcpy(buf + 2 * MIRROR_HEAD_BYTES + MIRROR_RECORD_BYTES, objects, sizeof objects);
	lsvd_mirror_record_encode(buf + 2 * MIRROR_HEAD_BYTES, &h, 2 * MIRROR_HEAD_BYTES,
				  MIRROR_OBJECTS, sizeof objects);
	lsvd_mirror_mark_encode(buf + 3 * MIRROR_HEAD_BYTES + MIRROR_RECORD_BYTES, &mark);
	lsvd_mirror_record_encode(buf + 3 * MIRROR_HEAD_BYTES, &h, 3 * MIRROR_HEAD_BYTES,
				  MIRROR_MARK, MIRROR_MARK_BYTES);
	take_bytes(s, buf, sizeof buf);
	fprintf(s->text, "kind mirror\ngeneration 3 volume " VOLUME_TEXT " cache " CACHE_TEXT
			 " run 2\n"
			 "volume_bytes 1073741824 at 5 31 last_op 2000 next_object 78 "
			 "snapshot_end 12288\n"
			 "mirrors 1 25\npage 2\nextent 3 2 unit 50 off 96 sub 9\n"
			 "extent 5 8 zeroes\n"
			 "mirrors 2 48\nobject 50 data 5 30 bytes 2048 data 1024 live 1024\n"
			 "mirrors 4 32\nmark 5 31 last_op 2000\n");
}

/* -------------------------------------------------------------------------------- a local log */

/*
 * One group: 9 sectors of data, zeroes, a hole; behind it one of another run, which does not count.
 */
static void make_log(struct sample *s)
{
	static uint8_t buf[WAL_RING_START + WAL_RING_MIN_BYTES];
	const struct wal_super super = { .generation = 4, .volume = volume, .cache_id = cache,
					 .run = 2, .run_start = 4096, .epoch = 5, .base_epoch = 3,
					 .ring_bytes = WAL_RING_MIN_BYTES, .tail = 4096,
					 .tail_op = 7, .tail_run = 1, .durable = 4096,
					 .stored_op = 6 };
	struct wal_super older = super;
	const struct wal_record records[] = { { .lba = 100, .sectors = 9, .kind = WAL_DATA },
					      { .lba = 8, .sectors = 1000000, .kind = WAL_ZERO },
					      { .lba = 0, .sectors = 8, .kind = WAL_HOLE } };
	struct wal_group_head h = { .pos = 4096, .run = 2, .prev_run = 1, .epoch = 5, .first_op = 7,
				    .durable = 4096, .stored_op = 6, .records = 3,
				    .header_bytes = wal_header_bytes(3, 2),
				    .data_bytes = 2 * BLOCK_BYTES };
	uint8_t *at = buf + WAL_RING_START + 4096;
	uint64_t hashes[2];

	memset(buf, 0, sizeof buf);
	older.generation = 3;
	older.tail = 0;
	lsvd_wal_super_encode(buf, &super);
	lsvd_wal_super_encode(buf + WAL_SLOT_BYTES, &older);
	memset(at + h.header_bytes, 'd', 9 * SECTOR_BYTES);
	hashes[0] = lsvd_hash(at + h.header_bytes, BLOCK_BYTES);
	hashes[1] = lsvd_hash(at + h.header_bytes + BLOCK_BYTES, SECTOR_BYTES);
	lsvd_wal_group_encode(at, &h, records, hashes, lsvd_uuid_seed(&volume));
	h.pos += h.header_bytes + h.data_bytes;
	h.run = h.prev_run = 1;
	h.records = h.data_bytes = 0;
	h.header_bytes = wal_header_bytes(0, 0);
	h.first_op = 10;
	lsvd_wal_group_encode(buf + WAL_RING_START + h.pos, &h, NULL, NULL,
			      lsvd_uuid_seed(&volume));
	take_bytes(s, buf, sizeof buf);
	fprintf(s->text, "kind log\ngeneration 4 volume " VOLUME_TEXT " cache " CACHE_TEXT
			 " flags 0\n"
			 "run 2 epoch 5 base_epoch 3 ring_bytes 65536 tail 4096 tail_op 7 "
			 "tail_run 1 durable 4096 stored_op 6 run_start 4096 whole_run 0 "
			 "offline_op 0\n"
			 "group 4096 run 2 after 1 epoch 5 durable 4096 stored_op 6 bytes 12288\n"
			 "op 7 data 100 9\nop 8 zeroes 8 1000000\nop 9 hole 0 8\n"
			 "end 16384 next op 10\n");
}

/* ------------------------------------------------------------------------------------ the files */

static const struct golden {
	const char *name;
	void (*make)(struct sample *s);
	enum {
		EXACT,
		COMPRESSED,    /* other versions of the compressor may give other bytes */
		NODE,          /* is no object */
		MIRROR, LOG,   /* are files of the cache directory */
	} as;
} goldens[] = {
	{ "volume", make_volume, EXACT },      { "claim", make_claim, EXACT },
	{ "claim-after", make_claim_after, EXACT },
	{ "base", make_base, EXACT },          { "fence", make_fence, EXACT },
	{ "close", make_close, EXACT },        { "data-raw", make_data_raw, EXACT },
	{ "data-lz4", make_data_lz4, COMPRESSED },   { "data-zlib", make_data_zlib, COMPRESSED },
	{ "moved", make_moved, EXACT },        { "note", make_note, EXACT },
	{ "root", make_root, EXACT },          { "root-snapshots", make_root_snapshots, EXACT },
	{ "note-snapshot", make_note_snapshot, EXACT },
	{ "clone", make_clone, EXACT },        { "vlog", make_vlog, EXACT },
	{ "volume-over", make_over, EXACT },
	{ "slot", make_slot, EXACT },          { "slot-close", make_slot_close, EXACT },
	{ "values", make_values, EXACT },      { "values-zlib", make_values_zlib, COMPRESSED },
	{ "note-vlog", make_note_vlog, EXACT }, { "root-vlog", make_root_vlog, EXACT },
	{ "mirror", make_mirror, MIRROR },    { "local", make_log, LOG },
	{ "pages-of", make_page_node, NODE },
	{ "objects-of", make_object_node, NODE },
	{ "snapshots-of", make_snapshot_node, NODE },
};
#define GOLDENS (int)(sizeof goldens / sizeof goldens[0])

static const char *ending_of(const struct golden *g)
{
	return g->as == NODE ? "node" : g->as == MIRROR ? "map" : g->as == LOG ? "log" : "obj";
}

static FILE *open_golden(const char *dir, const char *name, const char *ending, const char *mode)
{
	char path[4096];
	FILE *f;

	ck_assert_int_lt(snprintf(path, sizeof path, "%s/%s.%s", dir, name, ending),
			 (int)sizeof path);
	f = fopen(path, mode);
	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	return f;
}

static void write_file(const char *dir, const char *name, const char *ending, const void *bytes,
		       size_t len)
{
	FILE *f = open_golden(dir, name, ending, "wb");

	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static struct t_object read_file(const char *name, const char *ending)
{
	char dir[4000];
	const char *source = getenv("LSVD_SOURCE_DIR");
	struct t_object o = { malloc(1 << 20), 0 };
	FILE *f;

	(void)snprintf(dir, sizeof dir, "%s/tests/format/golden", source ? source : ".");
	f = open_golden(dir, name, ending, "rb");
	ck_assert_ptr_nonnull(o.bytes);
	o.len = fread(o.bytes, 1, 1 << 20, f);
	ck_assert_int_eq(fclose(f), 0);
	return o;
}

START_TEST(objects_made_today_are_the_golden_ones)
{
	struct t_object old = read_file(goldens[_i].name, ending_of(&goldens[_i]));
	struct sample s;

	begin(&s);
	goldens[_i].make(&s);
	end(&s);
	if (goldens[_i].as == COMPRESSED) {
		ck_assert_int_eq(memcmp(s.object.bytes, old.bytes, 12), 0);
	} else {
		ck_assert_uint_eq(s.object.len, old.len);
		ck_assert_mem_eq(s.object.bytes, old.bytes, old.len);
	}
	t_object_free(&old);
	sample_free(&s);
}
END_TEST

START_TEST(golden_listings_are_those_of_the_objects)
{
	struct t_object old = read_file(goldens[_i].name, "txt");
	struct sample s;

	begin(&s);
	goldens[_i].make(&s);
	end(&s);
	if (goldens[_i].as != COMPRESSED) {
		ck_assert_uint_eq(s.listing_len, old.len);
		ck_assert_mem_eq(s.listing, old.bytes, old.len);
	}
	ck_assert_ptr_nonnull(strstr(s.listing, goldens[_i].as == NODE ? " node " : "kind "));
	t_object_free(&old);
	sample_free(&s);
}
END_TEST

static void check_units(const struct t_object *o, const struct seg_extent *e)
{
	static uint8_t scratch[UNIT_MAX_BYTES];
	uint64_t lba = e->lba;
	size_t off = e->off;

	while (lba < e->lba + e->sectors) {
		const uint8_t *data;
		uint32_t bytes, need;

		ck_assert_ok(lsvd_unit_open(o->bytes + off, o->len - off, lsvd_uuid_seed(&volume),
					    4711, lba, scratch, &data, &bytes, &need, "golden"));
		for (uint32_t i = 0; i < bytes / SECTOR_BYTES; i++)
			ck_assert_mem_eq(data + i * SECTOR_BYTES, sector_of(lba + i), SECTOR_BYTES);
		lba += bytes / SECTOR_BYTES;
		off += need;
	}
}

START_TEST(golden_data_is_read)
{
	static const char *const names[] = { "data-raw", "data-lz4", "data-zlib" };
	struct t_object o = read_file(names[_i], "obj");
	struct t_header h;
	unsigned kinds = 0;

	make_group();
	ck_assert_ok(t_header_read(&h, o.bytes, o.len));
	ck_assert_ok(lsvd_object_head_expect(&h.head, &volume, OBJECT_DATA, 5, 2, "golden"));
	ck_assert_uint_eq(h.head.header_bytes + h.head.body_bytes, o.len);
	for (uint32_t i = 0; i < h.count; i++) {
		kinds |= 1u << h.extents[i].kind;
		if (h.extents[i].kind == SEG_RAW || h.extents[i].kind == SEG_UNIT)
			check_units(&o, &h.extents[i]);
	}
	ck_assert_uint_eq(kinds, _i == 0 ? 0xd : 0xf);
	lsvd_free(h.extents);
	t_object_free(&o);
	t_group_free(&group);
}
END_TEST

static Suite *format_golden_suite(void)
{
	Suite *s = suite_create("format_golden");
	TCase *c = tcase_create("golden files");

	tcase_add_loop_test(c, objects_made_today_are_the_golden_ones, 0, GOLDENS);
	tcase_add_loop_test(c, golden_listings_are_those_of_the_objects, 0, GOLDENS);
	tcase_add_loop_test(c, golden_data_is_read, 0, 3);
	suite_add_tcase(s, c);
	return s;
}

static const char *write_to;

START_TEST(write_golden_files)
{
	const struct golden *g = &goldens[_i];
	struct sample s;

	begin(&s);
	g->make(&s);
	end(&s);
	write_file(write_to, g->name, ending_of(g), s.object.bytes, s.object.len);
	write_file(write_to, g->name, "txt", s.listing, s.listing_len);
	sample_free(&s);
}
END_TEST

static Suite *writing_suite(void)
{
	Suite *s = suite_create("writing golden files");
	TCase *c = tcase_create("files");

	tcase_add_loop_test(c, write_golden_files, 0, GOLDENS);
	suite_add_tcase(s, c);
	return s;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--write") == 0) {
		write_to = argv[2];
		return t_run(writing_suite());
	}
	return t_run(format_golden_suite());
}
