/* SPDX-License-Identifier: BSD-2-Clause */
/* test_nbd_args.c - the command line: what is taken, what is refused, what is left untouched. */
#include "common/args.h"
#include "t_check.h"

struct got {
	bool flag;
	const char *text, *other;
	uint64_t number, size;
	int word;
};

static struct got got;
static int first;

static int parse_argv(int argc, char **argv, int *ret_first)
{
	const struct args_option table[] = {
		{ARGS_FLAG, 'f', "flag", &got.flag, NULL, "a flag", 0, 0, false},
		{ARGS_STRING, 't', "text", &got.text, "TEXT", "a text", 0, 0, true},
		{ARGS_STRING, 0, "other", &got.other, "TEXT", NULL, 0, 0, false},
		{ARGS_NUMBER, 0, "number", &got.number, "N", "a number", 2, 10, false},
		{ARGS_SIZE, 's', NULL, &got.size, "SIZE", "a size", 1, 0, false},
		{ARGS_SIZE, 'S', "size", &got.size, "SIZE", "the same", 1, 0, false},
		{ARGS_CHOICE, 'w', "word", &got.word, "red|green|blue", "a word", 0, 0, false},
		{ARGS_HELP, 'h', "help", NULL, NULL, "help", 0, 0, false},
		{ARGS_END, 0, NULL, NULL, NULL, NULL, 0, 0, false},
	};
	const struct args args = {"tool", "[-f]", "A tool.", NULL, table};

	return args_parse(&args, argc, argv, ret_first);
}

/* Parses words separated by blanks. */
static int parse(const char *line, bool operands)
{
	static char copy[256];
	char *argv[20] = {(char *)(uintptr_t) "tool"};
	int argc = 1;

	got = (struct got){.word = -1};
	(void)snprintf(copy, sizeof copy, "%s", line);
	for (char *p = copy; *p; p++) {
		if (p == copy || p[-1] == '\0')
			argv[argc++] = p;
		if (*p == ' ')
			*p = '\0';
	}
	return parse_argv(argc, argv, operands ? &first : NULL);
}

START_TEST(long_and_short_options_mean_the_same)
{
	static const char *const lines[] = {
		"-f -t abc --number 7 -s 4K -w green",
		"--flag --text=abc --number=7 --size=4096 --word=green",
		"--fl --te abc --num 7 -S4K -wgreen",
		"-ftabc --number 7 --size 4K --word green",
	};

	ck_assert_int_eq(parse(lines[_i], false), 0);
	ck_assert(got.flag);
	ck_assert_str_eq(got.text, "abc");
	ck_assert_uint_eq(got.number, 7);
	ck_assert_uint_eq(got.size, 4096);
	ck_assert_int_eq(got.word, 1);
}
END_TEST

START_TEST(options_not_given_change_nothing)
{
	ck_assert_int_eq(parse("-t x", false), 0);
	ck_assert(!got.flag);
	ck_assert_ptr_null(got.other);
	ck_assert_uint_eq(got.number, 0);
	ck_assert_int_eq(got.word, -1);
}
END_TEST

START_TEST(bad_lines_are_refused)
{
	static const char *const lines[] = {
		"",		    /* --text is missing */
		"-f",		    /* still */
		"-t",		    /* has no value */
		"-t x --nonesuch",  /* unknown */
		"-t x -z",	    /* unknown */
		"-t x --flag=yes",  /* takes no value */
		"-t x --number 1",  /* below */
		"-t x --number 11", /* above */
		"-t x --number -3", /* a sign */
		"-t x --number 3x", /* not a number */
		"-t x --number 99999999999999999999999",
		"-t x --size many",   /* not a size */
		"-t x --size 0",      /* below */
		"-t x --word yellow", /* none of them */
		"-t x --word gree",   /* nor part of one */
		"-t x stray",	      /* an operand where there is none */
		"-t x -t y",	      /* two where there is one */
		"-tx --number 3 --text y",
	};

	ck_assert_int_eq(parse(lines[_i], false), -1);
}
END_TEST

START_TEST(of_numbers_the_last_counts_and_a_text_may_be_said_twice)
{
	ck_assert_int_eq(parse("-t abc --number 7 -s 1K --number 8 --text abc -S 2K", false), 0);
	ck_assert_str_eq(got.text, "abc");
	ck_assert_uint_eq(got.number, 8);
	ck_assert_uint_eq(got.size, 2048);
}
END_TEST

START_TEST(operands_are_found_between_options)
{
	ck_assert_int_eq(parse("one -t x two -f", true), 0);
	ck_assert(got.flag);
	ck_assert_int_eq(first, 4);
}
END_TEST

START_TEST(words_after_two_dashes_are_operands)
{
	ck_assert_int_eq(parse("-t x -- -f", true), 0);
	ck_assert(!got.flag);
	ck_assert_int_eq(first, 4);
}
END_TEST

START_TEST(help_ends_the_tool_even_if_options_are_missing)
{
	ck_assert_int_eq(parse("--help", false), 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("nbd_args");
	TCase *c = tcase_create("command line");

	tcase_add_loop_test(c, long_and_short_options_mean_the_same, 0, 4);
	tcase_add_test(c, options_not_given_change_nothing);
	tcase_add_loop_test(c, bad_lines_are_refused, 0, 18);
	tcase_add_test(c, of_numbers_the_last_counts_and_a_text_may_be_said_twice);
	tcase_add_test(c, operands_are_found_between_options);
	tcase_add_test(c, words_after_two_dashes_are_operands);
	tcase_add_test(c, help_ends_the_tool_even_if_options_are_missing);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
