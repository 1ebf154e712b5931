/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vlog_v1.c - folders of fjall-rs/value-log, format V1: the golden one, and damaged ones.
 *
 * The golden segment has the records alpha=hello, beta= and gamma="value log"; its bytes were made
 * by that library and its checksums compared with libxxhash. They are written down here, not
 * computed, so that a misreading of the format cannot agree with itself.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lz4.h>
#include <xxhash.h>

#include <lsvd/vlog_v1.h>

#include "t_check.h"
#include "tmpdir.h"

#define RECORDS_BYTES 0x5e
#define METADATA_BYTES 46
#define SEGMENT_BYTES 396

static const unsigned char golden[RECORDS_BYTES + 1] =
	"VLGBLOB\x01\x52\xf1\x60\x63\xa5\x5e\x88\x8e\x00\x05" "alpha\x00\x00\x00\x05" "hello"
	"VLGBLOB\x01\x28\xfa\xff\x7f\x97\xdf\xf6\x41\x00\x04" "beta\x00\x00\x00\x00"
	"VLGBLOB\x01\x45\x34\x3f\x91\x41\xf0\xd9\x0d\x00\x05" "gamma\x00\x00\x00\x09" "value log"
	"";

static char *dir;
static unsigned char segment[SEGMENT_BYTES];

static void write_file(const char *name, const void *bytes, size_t len)
{
	char *path = tmpdir_path(dir, name);
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
	free(path);
}

static void put64(unsigned char *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (unsigned char)(v >> (56 - 8 * i));
}

static void write_manifest(size_t count, const uint64_t *ids)
{
	unsigned char bytes[8 + 8 * 16];

	put64(bytes, count);
	for (size_t i = 0; i < count; i++)
		put64(bytes + 8 + 8 * i, ids[i]);
	write_file("vlog_manifest", bytes, 8 + 8 * count);
}

/* The golden segment as its file has it. */
static void make_golden(void)
{
	static const unsigned char metadata[] = "VLOGSMD\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x0e"
						"\0\0\0\0\0\0\0\x0e\0\x05" "alpha\0\x05" "gamma";

	memset(segment, 0, sizeof segment);
	memcpy(segment, golden, RECORDS_BYTES);
	ck_assert_uint_eq(sizeof metadata - 1, METADATA_BYTES);
	memcpy(segment + RECORDS_BYTES, metadata, METADATA_BYTES);
	put64(segment + SEGMENT_BYTES - 256, RECORDS_BYTES);
	memcpy(segment + SEGMENT_BYTES - 8, "VLOGTRL\x01", 8);
}

static void setup(void)
{
	char *path;

	dir = tmpdir_new();
	path = tmpdir_path(dir, "segments");
	ck_assert_int_eq(mkdir(path, 0700), 0);
	free(path);
	write_file(".vlog", "VLG\x01", 4);
	write_manifest(1, (const uint64_t[]){ 0 });
	make_golden();
	write_file("segments/0", segment, sizeof segment);
}

static void teardown(void)
{
	tmpdir_free(dir);
}

static struct lsvd_vlog_v1 *open_folder(uint32_t flags, uint32_t codec)
{
	struct lsvd_vlog_v1_options o = LSVD_VLOG_V1_OPTIONS_INIT;
	struct lsvd_vlog_v1 *folder = NULL;

	o.flags = flags;
	o.codec = codec;
	ck_assert_ok(lsvd_vlog_v1_open(&folder, dir, &o));
	return folder;
}

static void expect_item(struct lsvd_vlog_v1 *folder, uint64_t id, uint64_t offset, const char *key,
			const char *value)
{
	struct lsvd_vlog_v1_item item;

	ck_assert_int_eq(lsvd_vlog_v1_next(folder, &item), 1);
	ck_assert_uint_eq(item.segment, id);
	ck_assert_uint_eq(item.offset, offset);
	ck_assert_uint_eq(item.key.size, strlen(key));
	ck_assert_mem_eq(item.key.data, key, strlen(key));
	ck_assert_uint_eq(item.value.size, strlen(value));
	ck_assert_mem_eq(item.value.data, value, strlen(value));
}

static void expect_end(struct lsvd_vlog_v1 *folder)
{
	struct lsvd_vlog_v1_item item;

	ck_assert_int_eq(lsvd_vlog_v1_next(folder, &item), 0);
	ck_assert_int_eq(lsvd_vlog_v1_next(folder, &item), 0);
	lsvd_vlog_v1_close(folder);
}

/* The next call fails with LSVD_E_CORRUPT and says this. */
static void expect_damage(struct lsvd_vlog_v1 *folder, const char *text)
{
	struct lsvd_vlog_v1_item item;

	ck_assert_err(lsvd_vlog_v1_next(folder, &item), LSVD_E_CORRUPT);
	ck_assert_error_says(text);
}

static void refuse(int err, const char *text)
{
	struct lsvd_vlog_v1 *folder = NULL;

	ck_assert_err(lsvd_vlog_v1_open(&folder, dir, NULL), err);
	ck_assert_error_says(text);
	ck_assert_ptr_null(folder);
}

START_TEST(golden_folder_is_read)
{
	struct lsvd_vlog_v1 *folder = open_folder(0, LSVD_VLOG_V1_STORED);

	ck_assert_uint_eq(lsvd_vlog_v1_segment_count(folder), 1);
	expect_item(folder, 0, 0, "alpha", "hello");
	expect_item(folder, 0, 32, "beta", "");
	expect_item(folder, 0, 58, "gamma", "value log");
	expect_end(folder);
}
END_TEST

START_TEST(golden_handles_are_read)
{
	static const unsigned char a[] = { 0x80, 0x01, 0xac, 0x02, 0xff };
	static const unsigned char b[] = { 0x80, 0x80, 0x80, 0x20, 0x05 };
	uint64_t id, offset;

	ck_assert_int_eq(lsvd_vlog_v1_handle_decode(a, sizeof a, &id, &offset), 4);
	ck_assert_uint_eq(id, 300);
	ck_assert_uint_eq(offset, 128);
	ck_assert_int_eq(lsvd_vlog_v1_handle_decode(b, sizeof b, &id, &offset), 5);
	ck_assert_uint_eq(id, 5);
	ck_assert_uint_eq(offset, 67108864);
	for (size_t len = 0; len < 4; len++)
		ck_assert_err(lsvd_vlog_v1_handle_decode(a, len, &id, &offset), LSVD_E_CORRUPT);
}
END_TEST

START_TEST(segments_come_in_order_of_their_numbers)
{
	struct lsvd_vlog_v1 *folder;

	write_manifest(3, (const uint64_t[]){ 11, 2, 0 });
	write_file("segments/2", segment, sizeof segment);
	write_file("segments/11", segment, sizeof segment);
	folder = open_folder(0, LSVD_VLOG_V1_STORED);
	ck_assert_uint_eq(lsvd_vlog_v1_segment_count(folder), 3);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t id = ((const uint64_t[]){ 0, 2, 11 })[i];

		expect_item(folder, id, 0, "alpha", "hello");
		expect_item(folder, id, 32, "beta", "");
		expect_item(folder, id, 58, "gamma", "value log");
	}
	expect_end(folder);
}
END_TEST

START_TEST(files_that_are_no_segments_are_passed_over)
{
	struct lsvd_vlog_v1 *folder;

	write_file("segments/.DS_Store", "x", 1);
	write_file("segments/00", "x", 1);
	write_file("segments/18446744073709551616", "x", 1);
	folder = open_folder(LSVD_VLOG_V1_ALL, LSVD_VLOG_V1_STORED);
	ck_assert_uint_eq(lsvd_vlog_v1_segment_count(folder), 1);
	expect_item(folder, 0, 0, "alpha", "hello");
	lsvd_vlog_v1_close(folder);
}
END_TEST

/* A segment of one record with this value. */
static void write_record(const void *value, size_t len)
{
	size_t end = 18 + 1 + 4 + len;
	unsigned char *p = calloc(1, end + 38 + 256), *both = malloc(1 + len);

	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_nonnull(both);
	both[0] = 'k';
	memcpy(both + 1, value, len);
	memcpy(p, "VLGBLOB\x01", 8);
	put64(p + 8, XXH3_64bits(both, 1 + len));
	p[17] = 1;
	p[18] = 'k';
	for (int i = 0; i < 4; i++)
		p[19 + i] = (unsigned char)(len >> (24 - 8 * i));
	memcpy(p + 23, value, len);
	memcpy(p + end, "VLOGSMD\x01", 8);
	put64(p + end + 8, 1);
	put64(p + end + 16, len);
	put64(p + end + 24, len);
	p[end + 33] = p[end + 36] = 1;
	p[end + 34] = p[end + 37] = 'k';
	put64(p + end + 38, end);
	memcpy(p + end + 38 + 248, "VLOGTRL\x01", 8);
	write_file("segments/0", p, end + 38 + 256);
	free(both);
	free(p);
}

START_TEST(value_longer_than_the_buffer_is_read)
{
	size_t len = 3u << 20;
	unsigned char *value = malloc(len);
	struct lsvd_vlog_v1_item item;
	struct lsvd_vlog_v1 *folder;

	ck_assert_ptr_nonnull(value);
	t_fill(value, len, 1);
	write_record(value, len);
	folder = open_folder(0, LSVD_VLOG_V1_STORED);
	ck_assert_int_eq(lsvd_vlog_v1_next(folder, &item), 1);
	ck_assert_uint_eq(item.value.size, len);
	ck_assert_mem_eq(item.value.data, value, len);
	expect_end(folder);
	free(value);
}
END_TEST

START_TEST(lz4_values_are_decompressed)
{
	char raw[10000], stored[10100];
	struct lsvd_vlog_v1_item item;
	struct lsvd_vlog_v1 *folder;
	int n;

	memset(raw, 'r', sizeof raw);
	memcpy(stored, "\x10\x27\0\0", 4);
	n = LZ4_compress_default(raw, stored + 4, sizeof raw, sizeof stored - 4);
	ck_assert_int_gt(n, 0);
	write_record(stored, 4 + (size_t)n);
	folder = open_folder(0, LSVD_VLOG_V1_LZ4);
	ck_assert_int_eq(lsvd_vlog_v1_next(folder, &item), 1);
	ck_assert_uint_eq(item.value.size, sizeof raw);
	ck_assert_mem_eq(item.value.data, raw, sizeof raw);
	ck_assert_uint_eq(item.stored_bytes, 4 + (size_t)n);
	expect_end(folder);
}
END_TEST

START_TEST(values_that_are_no_lz4_are_damage_not_a_crash)
{
	struct lsvd_vlog_v1 *folder;

	write_record("\xff\xff\xff\xff" "ab", 6);
	folder = open_folder(0, LSVD_VLOG_V1_LZ4);
	expect_damage(folder, "no LZ4 block of 4294967295");
	expect_end(folder);
	write_record("\x05\0\0\0" "abcdefg", 11);
	folder = open_folder(0, LSVD_VLOG_V1_LZ4);
	expect_damage(folder, "do not decompress into 5");
	expect_end(folder);
	write_record("abc", 3);
	folder = open_folder(0, LSVD_VLOG_V1_LZ4);
	expect_damage(folder, "3 bytes are no LZ4 block");
	expect_end(folder);
}
END_TEST

START_TEST(flipped_bit_in_a_value_is_told_and_the_rest_is_read)
{
	struct lsvd_vlog_v1 *folder;

	segment[28] ^= 1;
	write_file("segments/0", segment, sizeof segment);
	folder = open_folder(0, LSVD_VLOG_V1_STORED);
	expect_damage(folder, "record at byte 0: checksum 52f16063a55e888e");
	expect_item(folder, 0, 32, "beta", "");
	expect_item(folder, 0, 58, "gamma", "value log");
	expect_end(folder);
}
END_TEST

START_TEST(lost_head_of_a_record_ends_its_segment)
{
	struct lsvd_vlog_v1 *folder;

	segment[33] ^= 1;
	write_file("segments/0", segment, sizeof segment);
	write_file("segments/1", golden, 0);
	write_manifest(2, (const uint64_t[]){ 0, 1 });
	folder = open_folder(0, LSVD_VLOG_V1_STORED);
	expect_item(folder, 0, 0, "alpha", "hello");
	expect_damage(folder, "byte 32: no record begins there");
	expect_damage(folder, "segments/1: 0 bytes");
	expect_end(folder);
}
END_TEST

START_TEST(no_flipped_byte_goes_unseen_or_crashes)
{
	for (size_t i = 0; i < RECORDS_BYTES; i++) {
		struct lsvd_vlog_v1_item item;
		struct lsvd_vlog_v1 *folder;
		int err, damage = 0;

		make_golden();
		segment[i] ^= 0x81;
		write_file("segments/0", segment, sizeof segment);
		folder = open_folder(0, LSVD_VLOG_V1_STORED);
		while ((err = lsvd_vlog_v1_next(folder, &item)) != 0)
			damage += err == LSVD_E_CORRUPT;
		ck_assert_msg(damage > 0, "byte %zu was changed, and nothing was told", i);
		lsvd_vlog_v1_close(folder);
	}
}
END_TEST

START_TEST(record_cut_out_is_told_by_the_metadata)
{
	struct lsvd_vlog_v1 *folder;

	memmove(segment + 32, segment + 58, SEGMENT_BYTES - 58);
	put64(segment + SEGMENT_BYTES - 26 - 256, RECORDS_BYTES - 26);
	write_file("segments/0", segment, SEGMENT_BYTES - 26);
	folder = open_folder(0, LSVD_VLOG_V1_STORED);
	expect_item(folder, 0, 0, "alpha", "hello");
	expect_item(folder, 0, 32, "gamma", "value log");
	expect_damage(folder, "2 records with 14 bytes of values, its metadata has 3 with 14");
	expect_end(folder);
}
END_TEST

START_TEST(cut_short_segments_are_damage_at_every_length)
{
	for (size_t len = 0; len < SEGMENT_BYTES; len++) {
		struct lsvd_vlog_v1 *folder;

		write_file("segments/0", segment, len);
		folder = open_folder(0, LSVD_VLOG_V1_STORED);
		expect_damage(folder, "segments/0");
		expect_end(folder);
	}
}
END_TEST

/* Opening a pipe, or reading one, would wait for ever. */
START_TEST(what_is_no_file_in_a_segments_place_is_told_by_name)
{
	char *path = tmpdir_path(dir, "segments/0"), *elsewhere = tmpdir_path(dir, "vlog_manifest");
	struct lsvd_vlog_v1 *folder;

	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(remove(path), 0);
		ck_assert_int_eq(i == 0 ? mkfifo(path, 0600) : i == 1 ? mkdir(path, 0700)
							     : symlink(elsewhere, path), 0);
		folder = open_folder(0, LSVD_VLOG_V1_STORED);
		expect_damage(folder, "segments/0");
		expect_end(folder);
	}
	free(path);
	free(elsewhere);
}
END_TEST

/*
 * A record twice, in another's place, of another segment:
 * whatever it says of itself, it is not ours.
 */
START_TEST(records_moved_about_are_told_by_the_metadata_or_read_whole)
{
	struct lsvd_vlog_v1 *folder;

	memmove(segment + 32, segment, 26); /* beta's 26 bytes with a part of alpha's 32 */
	write_file("segments/0", segment, sizeof segment);
	folder = open_folder(0, LSVD_VLOG_V1_STORED);
	expect_item(folder, 0, 0, "alpha", "hello");
	expect_damage(folder, "byte 32");
	lsvd_vlog_v1_close(folder);

	make_golden();
	memcpy(segment, golden + 32, 26); /* beta first, then alpha: both are whole */
	memcpy(segment + 26, golden, 32);
	write_file("segments/0", segment, sizeof segment);
	folder = open_folder(0, LSVD_VLOG_V1_STORED);
	expect_item(folder, 0, 0, "beta", "");
	expect_item(folder, 0, 26, "alpha", "hello");
	expect_item(folder, 0, 58, "gamma", "value log");
	expect_end(folder);
}
END_TEST

/* Changed, cut, lengthened, at random: it ends, with as many records as there can be at most. */
START_TEST(random_damage_of_all_files_ends_in_errors_only)
{
	uint64_t rng = t_seed();

	for (unsigned run = 0; run < 500; run++) {
		unsigned char manifest[24] = { 0 }, bytes[SEGMENT_BYTES + 64];
		size_t len = (size_t)t_random_below(&rng, sizeof bytes + 1);
		struct lsvd_vlog_v1_options o = LSVD_VLOG_V1_OPTIONS_INIT;
		struct lsvd_vlog_v1 *folder = NULL;
		struct lsvd_vlog_v1_item item;
		unsigned steps = 0;

		memset(bytes, 0, sizeof bytes);
		memcpy(bytes, segment, SEGMENT_BYTES);
		for (uint64_t n = t_random_below(&rng, 5); n; n--)
			bytes[t_random_below(&rng, sizeof bytes)] = (unsigned char)t_random(&rng);
		write_file("segments/0", bytes, t_random_below(&rng, 2) ? SEGMENT_BYTES : len);
		manifest[7] = (unsigned char)t_random_below(&rng, 3);
		manifest[15] = (unsigned char)t_random_below(&rng, 2);
		manifest[t_random_below(&rng, 16)] ^= (unsigned char)t_random_below(&rng, 3);
		write_file("vlog_manifest", manifest, 8 + 8 * (size_t)t_random_below(&rng, 3));
		o.flags = t_random_below(&rng, 2) ? LSVD_VLOG_V1_ALL : 0;
		o.codec = t_random_below(&rng, 2) ? LSVD_VLOG_V1_LZ4 : LSVD_VLOG_V1_STORED;
		if (lsvd_vlog_v1_open(&folder, dir, &o) < 0)
			continue;
		while (lsvd_vlog_v1_next(folder, &item) != 0)
			ck_assert_uint_lt(++steps, SEGMENT_BYTES);
		lsvd_vlog_v1_close(folder);
	}
}
END_TEST

START_TEST(missing_segment_is_told_by_name)
{
	struct lsvd_vlog_v1 *folder;

	write_manifest(2, (const uint64_t[]){ 7, 0 });
	folder = open_folder(0, LSVD_VLOG_V1_STORED);
	expect_item(folder, 0, 0, "alpha", "hello");
	expect_item(folder, 0, 32, "beta", "");
	expect_item(folder, 0, 58, "gamma", "value log");
	expect_damage(folder, "segments/7: the manifest lists it, and it is missing");
	expect_end(folder);
}
END_TEST

START_TEST(zeroed_manifest_is_not_an_empty_log)
{
	struct lsvd_vlog_v1 *folder;

	write_manifest(0, NULL);
	refuse(LSVD_E_CORRUPT, "lists no segment, and segments/ has 1 files");
	folder = open_folder(LSVD_VLOG_V1_ALL, LSVD_VLOG_V1_STORED);
	expect_item(folder, 0, 0, "alpha", "hello");
	lsvd_vlog_v1_close(folder);
}
END_TEST

START_TEST(manifests_that_do_not_add_up_are_refused)
{
	write_file("vlog_manifest", "\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0", 16);
	refuse(LSVD_E_CORRUPT, "16 bytes for 2 segments");
	write_file("vlog_manifest", "\x20\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0", 16);
	refuse(LSVD_E_CORRUPT, "16 bytes for 2305843009213693953 segments");
	write_file("vlog_manifest", "\0\0\0", 3);
	refuse(LSVD_E_CORRUPT, "3 bytes");
	write_file("vlog_manifest", "", 0);
	refuse(LSVD_E_CORRUPT, "0 bytes");
	write_manifest(2, (const uint64_t[]){ 0, 0 });
	refuse(LSVD_E_CORRUPT, "lists segment 0 twice");
}
END_TEST

START_TEST(markers_of_another_kind_are_refused)
{
	write_file(".vlog", "VLG\x02", 4);
	refuse(LSVD_E_VERSION, "version 2, this reads 1");
	write_file(".vlog", "VLGx1", 5);
	refuse(LSVD_E_CORRUPT, "mark no value log");
	write_file(".vlog", "", 0);
	refuse(LSVD_E_CORRUPT, "0 bytes");
}
END_TEST

START_TEST(missing_folder_is_told)
{
	struct lsvd_vlog_v1 *folder = NULL;
	char *path = tmpdir_path(dir, "none");

	ck_assert_err(lsvd_vlog_v1_open(&folder, path, NULL), -ENOENT);
	ck_assert_error_says("none/.vlog");
	ck_assert_err(lsvd_vlog_v1_open(&folder, "", NULL), -EINVAL);
	free(path);
}
END_TEST

START_TEST(options_out_of_bounds_are_refused)
{
	struct lsvd_vlog_v1_options o = LSVD_VLOG_V1_OPTIONS_INIT;
	struct lsvd_vlog_v1 *folder = NULL;

	o.codec = 2;
	ck_assert_err(lsvd_vlog_v1_open(&folder, dir, &o), -EINVAL);
	o.codec = 0;
	o.flags = 2;
	ck_assert_err(lsvd_vlog_v1_open(&folder, dir, &o), -EINVAL);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("vlog_v1");
	TCase *t = tcase_create("reading");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, golden_folder_is_read);
	tcase_add_test(t, golden_handles_are_read);
	tcase_add_test(t, segments_come_in_order_of_their_numbers);
	tcase_add_test(t, files_that_are_no_segments_are_passed_over);
	tcase_add_test(t, value_longer_than_the_buffer_is_read);
	tcase_add_test(t, lz4_values_are_decompressed);
	suite_add_tcase(s, t);
	t = tcase_create("damage");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, values_that_are_no_lz4_are_damage_not_a_crash);
	tcase_add_test(t, flipped_bit_in_a_value_is_told_and_the_rest_is_read);
	tcase_add_test(t, lost_head_of_a_record_ends_its_segment);
	tcase_add_test(t, no_flipped_byte_goes_unseen_or_crashes);
	tcase_add_test(t, record_cut_out_is_told_by_the_metadata);
	tcase_add_test(t, cut_short_segments_are_damage_at_every_length);
	tcase_add_test(t, missing_segment_is_told_by_name);
	tcase_add_test(t, what_is_no_file_in_a_segments_place_is_told_by_name);
	tcase_add_test(t, records_moved_about_are_told_by_the_metadata_or_read_whole);
	tcase_add_test(t, random_damage_of_all_files_ends_in_errors_only);
	tcase_add_test(t, zeroed_manifest_is_not_an_empty_log);
	tcase_add_test(t, manifests_that_do_not_add_up_are_refused);
	tcase_add_test(t, markers_of_another_kind_are_refused);
	tcase_add_test(t, missing_folder_is_told);
	tcase_add_test(t, options_out_of_bounds_are_refused);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(make_suite)
