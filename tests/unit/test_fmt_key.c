/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fmt_key.c - the names of objects: written, read back, refused. */
#include "t_check.h"

#include "format/fmt_key.h"
#include "format/fmt_object.h"

static const struct uuid volume = { { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xdf, 0x80, 0x11,
				      0x22, 0x33, 0x44, 0x55, 0x66, 0x77 } };
#define V "v/01234567-89ab-4cdf-8011-223344556677/"

START_TEST(names_of_letters_digits_and_marks_are_valid)
{
	static const char *const good[] = {
		"a", "A", "0", "_", "test", "a.b", "a-b", "_x", "9lives", "a..b", "a-",
		"0123456789012345678901234567890123456789012345678901234567890123",
	};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		ck_assert_msg(lsvd_name_valid(good[i]), "%s", good[i]);
}
END_TEST

START_TEST(names_that_could_mean_something_else_are_not)
{
	static const char *const bad[] = {
		"", ".", "..", "-", ".a", "-a", "a/b", "a b", "a\n", "a%2f", "\xc3\xa4", "a\\b",
		"a:b", "a*", "a\"",
		"01234567890123456789012345678901234567890123456789012345678901234",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!lsvd_name_valid(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(keys_are_spelled_as_documented)
{
	char key[KEY_CAP];

	lsvd_key_record(key, OBJECT_VOLUME, "test");
	ck_assert_str_eq(key, "volumes/test");
	lsvd_key_claim(key, &volume, 0x1f);
	ck_assert_str_eq(key, V "e/0000001f");
	lsvd_key_chain(key, &volume, 2, 0xabcdef);
	ck_assert_str_eq(key, V "d/00000002.0000000000abcdef");
	lsvd_key_free(key, &volume, 2, 3);
	ck_assert_str_eq(key, V "f/00000002.0000000000000003");
	lsvd_key_root(key, &volume, UINT32_MAX, UINT64_MAX);
	ck_assert_str_eq(key, V "k/ffffffff.ffffffffffffffff");
}
END_TEST

START_TEST(prefixes_contain_the_keys)
{
	char key[KEY_CAP], prefix[KEY_CAP];

	lsvd_key_chain(key, &volume, 1, 1);
	lsvd_key_prefix(prefix, &volume, KEY_CHAIN);
	ck_assert_str_eq(prefix, V "d/");
	ck_assert_int_eq(strncmp(key, prefix, strlen(prefix)), 0);
	lsvd_key_prefix(prefix, &volume, 0);
	ck_assert_str_eq(prefix, V);
}
END_TEST

START_TEST(keys_sort_as_their_numbers_do)
{
	char low[KEY_CAP], high[KEY_CAP];

	lsvd_key_chain(low, &volume, 9, UINT64_MAX);
	lsvd_key_chain(high, &volume, 10, 0);
	ck_assert_int_lt(strcmp(low, high), 0);
	lsvd_key_chain(low, &volume, 10, 0xff);
	lsvd_key_chain(high, &volume, 10, 0x100);
	ck_assert_int_lt(strcmp(low, high), 0);
}
END_TEST

static void round_trip(const char *key, enum key_kind kind, uint64_t epoch, uint64_t number)
{
	struct key_parts parts;

	ck_assert_msg(lsvd_key_parse(&parts, key), "%s", key);
	ck_assert(lsvd_uuid_equal(&parts.uuid, &volume));
	ck_assert_int_eq(parts.kind, kind);
	ck_assert_uint_eq(parts.epoch, epoch);
	ck_assert_uint_eq(parts.number, number);
}

START_TEST(a_key_read_back_gives_its_parts)
{
	static const uint64_t numbers[] = { 0, 1, 0xdeadbeef, UINT32_MAX, UINT64_MAX };
	char key[KEY_CAP];

	for (size_t i = 0; i < 5; i++)
		for (size_t j = 0; j < 5; j++) {
			lsvd_key_claim(key, &volume, numbers[i]);
			round_trip(key, KEY_CLAIM, numbers[i], 0);
			lsvd_key_chain(key, &volume, numbers[i], numbers[j]);
			round_trip(key, KEY_CHAIN, numbers[i], numbers[j]);
			lsvd_key_free(key, &volume, numbers[i], numbers[j]);
			round_trip(key, KEY_FREE, numbers[i], numbers[j]);
			lsvd_key_root(key, &volume, numbers[i], numbers[j]);
			round_trip(key, KEY_ROOT, numbers[i], numbers[j]);
		}
}
END_TEST

START_TEST(what_is_spelled_otherwise_is_not_ours)
{
	static const char *const bad[] = {
		"", "v", "v/", V, V "d", V "d/", V "d/00000001", V "d/00000001.", V "e/",
		V "d/00000001.000000000000001", V "d/00000001.00000000000000001",
		V "d/0000001.0000000000000001", V "d/000000001.0000000000000001",
		V "d/0000000A.0000000000000001", V "d/00000001.0000000000000001x",
		V "e/00000001.0000000000000001", V "e/00000001 ", V "x/00000001.0000000000000001",
		V "n/00000001.0000000000000001", V "d/00000001-0000000000000001",
		"v/01234567-89AB-4cdf-8011-223344556677/e/00000001",
		"v/0123456789ab4cdf8011223344556677/e/00000001", "w" V "e/00000001",
		"volumes/test",
	};
	struct key_parts parts;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!lsvd_key_parse(&parts, bad[i]), "%s", bad[i]);
}
END_TEST

static void spell(char key[KEY_CAP], const struct key_parts *k)
{
	if (k->kind == KEY_CHAIN)
		lsvd_key_chain(key, &k->uuid, k->epoch, k->number);
	else if (k->kind == KEY_FREE)
		lsvd_key_free(key, &k->uuid, k->epoch, k->number);
	else if (k->kind == KEY_ROOT)
		lsvd_key_root(key, &k->uuid, k->epoch, k->number);
	else
		lsvd_key_claim(key, &k->uuid, k->epoch);
}

START_TEST(random_keys_never_parse_to_something_else)
{
	static const char letters[] = "0123456789abcdefAv/.-de";
	uint64_t state = t_seed();

	for (int i = 0; i < 20000; i++) {
		char key[KEY_CAP], again[KEY_CAP];
		struct key_parts parts;

		lsvd_key_chain(key, &volume, t_random(&state) >> 40, t_random(&state));
		for (uint64_t n = t_random_below(&state, 3); n; n--)
			key[t_random_below(&state, strlen(key))] =
				letters[t_random_below(&state, sizeof letters - 1)];
		if (!lsvd_key_parse(&parts, key))
			continue;
		spell(again, &parts);
		ck_assert_str_eq(again, key);
	}
}
END_TEST

static Suite *fmt_key_suite(void)
{
	Suite *s = suite_create("fmt_key");
	TCase *names = tcase_create("names"), *keys = tcase_create("keys");

	tcase_add_test(names, names_of_letters_digits_and_marks_are_valid);
	tcase_add_test(names, names_that_could_mean_something_else_are_not);
	suite_add_tcase(s, names);
	tcase_add_test(keys, keys_are_spelled_as_documented);
	tcase_add_test(keys, prefixes_contain_the_keys);
	tcase_add_test(keys, keys_sort_as_their_numbers_do);
	tcase_add_test(keys, a_key_read_back_gives_its_parts);
	tcase_add_test(keys, what_is_spelled_otherwise_is_not_ours);
	tcase_add_test(keys, random_keys_never_parse_to_something_else);
	suite_add_tcase(s, keys);
	return s;
}

T_MAIN(fmt_key_suite)
