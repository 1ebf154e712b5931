/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the line that shows how far a long command of lsvd-admin is. */
#include "admin/progress.c"

#include "t_check.h"

#define MIB UINT64_C(1048576)

static void check_line(const char *want, unsigned width, uint64_t done, uint64_t total, double rate)
{
	char text[256];

	progress_line(text, sizeof text, width, "import", NULL, done, total, rate);
	ck_assert_str_eq(text, want);
}

START_TEST(progress_says_how_much_how_fast_and_how_long)
{
	check_line("import  25 % [##########                              ]  256 MiB of 1.0 GiB  "
		   "64 MiB/s  0:12 left", 120, 256 * MIB, 1024 * MIB, 64.0 * MIB);
	check_line("import 100 % [########################################]  1.0 GiB of 1.0 GiB  "
		   "64 MiB/s", 120, 1024 * MIB, 1024 * MIB, 64.0 * MIB);
	check_line("import   0 % [                                        ]  0 B of 2.0 TiB  "
		   "10 MiB/s  58:15:15 left", 120, 0, UINT64_C(2) << 40, 10.0 * MIB);
}
END_TEST

START_TEST(progress_of_unknown_length_says_how_much_and_how_fast)
{
	check_line("import  256 MiB  64 MiB/s", 120, 256 * MIB, 0, 64.0 * MIB);
}
END_TEST

START_TEST(progress_of_things_counts_them)
{
	char text[256];

	progress_line(text, sizeof text, 120, "check", "objects", 2500, 10000, 500);
	ck_assert_str_eq(text, "check  25 % [##########                              ]  "
			       "2500 of 10000 objects  500/s  0:15 left");
}
END_TEST

START_TEST(progress_without_a_rate_does_not_guess)
{
	check_line("import   0 % [                                        ]  0 B of 1.0 GiB  0 B/s",
		   120, 0, 1024 * MIB, 0);
}
END_TEST

START_TEST(progress_fits_any_width)
{
	char text[256];

	for (unsigned width = 1; width < 200; width++)
		for (uint64_t done = 0; done <= 1000 * MIB; done += 77 * MIB) {
			progress_line(text, sizeof text, width, "import", NULL, done, 900 * MIB,
				      (double)done);
			ck_assert_uint_le(strlen(text), width);
		}
}
END_TEST

static Suite *admin_progress_suite(void)
{
	Suite *s = suite_create("admin_progress");
	TCase *text = tcase_create("text");

	tcase_add_test(text, progress_says_how_much_how_fast_and_how_long);
	tcase_add_test(text, progress_of_unknown_length_says_how_much_and_how_fast);
	tcase_add_test(text, progress_of_things_counts_them);
	tcase_add_test(text, progress_without_a_rate_does_not_guess);
	tcase_add_test(text, progress_fits_any_width);
	suite_add_tcase(s, text);
	return s;
}

T_MAIN(admin_progress_suite)
