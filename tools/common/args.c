/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * args.c - the command line of a tool: the table is turned into what getopt_long(3) wants, and
 * what it finds is checked and stored by the row's kind.
 *
 * getopt's answer is the number of the row plus ROW_BASE for long options, the letter for short
 * ones, so that rows without a letter need none invented.
 */
#include "common/args.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/config.h>
#include <lsvd/error.h>

#define OPTIONS_MAX 64
#define ROW_BASE    1000

struct getopt_tables {
	char letters[3 * OPTIONS_MAX + 2];
	struct option names[OPTIONS_MAX + 1];
};

int args_fail(const struct args *args, const char *format, ...)
{
	va_list ap;

	(void)fprintf(stderr, "%s: ", args->program);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap); /* nowhere is left to say that stderr fails */
	va_end(ap);
	(void)fprintf(stderr, "\nTry '%s --help'.\n", args->program);
	return -1;
}

static bool takes_value(const struct args_option *opt)
{
	return opt->kind == ARGS_STRING || opt->kind == ARGS_LIST || opt->kind == ARGS_NUMBER ||
	       opt->kind == ARGS_SIZE || opt->kind == ARGS_CHOICE;
}

bool args_number(const char *text, uint64_t *ret)
{
	uint64_t n = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		unsigned digit = (unsigned)(unsigned char)*text - '0';

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret = n;
	return true;
}

/* "--name" or "-x", as the user would type the row. */
static const char *shown(const struct args_option *opt, char buf[static 64])
{
	if (opt->name)
		(void)snprintf(buf, 64, "--%s", opt->name); /* names are ours and short */
	else
		(void)snprintf(buf, 64, "-%c", opt->letter);
	return buf;
}

static int store_bounded(const struct args *args, const struct args_option *opt, uint64_t n)
{
	char buf[64];

	if (n < opt->min)
		return args_fail(args, "option %s: %" PRIu64 " is less than %" PRIu64,
				 shown(opt, buf), n, opt->min);
	if (opt->max && n > opt->max)
		return args_fail(args, "option %s: %" PRIu64 " is more than %" PRIu64,
				 shown(opt, buf), n, opt->max);
	*(uint64_t *)opt->ret = n;
	return 0;
}

static int store_number(const struct args *args, const struct args_option *opt, const char *text)
{
	char buf[64];
	uint64_t n;

	if (!args_number(text, &n))
		return args_fail(args, "option %s: '%s' is not a number", shown(opt, buf), text);
	return store_bounded(args, opt, n);
}

static int store_size(const struct args *args, const struct args_option *opt, const char *text)
{
	char buf[64];
	uint64_t n;

	if (lsvd_parse_size(text, &n) < 0)
		return args_fail(args, "option %s: %s", shown(opt, buf), lsvd_last_error());
	return store_bounded(args, opt, n);
}

static int store_choice(const struct args *args, const struct args_option *opt, const char *text)
{
	size_t len = strlen(text);
	const char *word = opt->value;
	char buf[64];

	for (int i = 0; word; i++) {
		const char *end = strchr(word, '|');
		size_t n = end ? (size_t)(end - word) : strlen(word);

		if (n == len && memcmp(word, text, n) == 0) {
			*(int *)opt->ret = i;
			return 0;
		}
		word = end ? end + 1 : NULL;
	}
	return args_fail(args, "option %s: '%s' is none of %s", shown(opt, buf), text, opt->value);
}

static int store_listed(const struct args *args, const struct args_option *opt, const char *text)
{
	struct args_list *list = opt->ret;
	char buf[64];

	if (list->count == list->max)
		return args_fail(args, "option %s: given more than %u times", shown(opt, buf),
				 list->max);
	list->values[list->count++] = text;
	return 0;
}

/* The column of the help that names an option: "  -c, --config FILE". */
static void help_left(const struct args_option *opt, char *buf, size_t len)
{
	(void)snprintf(buf, len, "  %c%c%s%s%s%s%s", opt->letter ? '-' : ' ',
		       opt->letter ? opt->letter : ' ',
		       opt->letter && opt->name ? ", "
		       : opt->name		? "  "
						: "",
		       opt->name ? "--" : "", opt->name ? opt->name : "", opt->value ? " " : "",
		       opt->value ? opt->value : "");
}

static void print_help(const struct args *args)
{
	(void)printf("Usage: %s %s\n\n%s\n\n", args->program, args->usage, args->about);
	for (const struct args_option *opt = args->options; opt->kind; opt++) {
		char left[128];

		if (!opt->help)
			continue;
		help_left(opt, left, sizeof left);
		if (strlen(left) < 28)
			(void)printf("%-28s%s\n", left, opt->help);
		else
			(void)printf("%s\n%28s%s\n", left, "", opt->help);
	}
	if (args->epilogue)
		(void)printf("\n%s\n", args->epilogue);
}

/*
 * Of two volumes, files or addresses one would be left out without a word. (Of numbers and choices
 * the last counts, so that those of a script can be overridden.)
 */
static int store_string(const struct args *args, const struct args_option *opt, bool again,
			const char *text)
{
	const char **ret = opt->ret;
	char buf[64];

	if (again && strcmp(*ret, text) != 0)
		return args_fail(args, "option %s: '%s' and '%s' are given, and only one can be",
				 shown(opt, buf), *ret, text);
	*ret = text;
	return 0;
}

/* `again`: its destination has been set by the command line before. */
static int apply(const struct args *args, const struct args_option *opt, bool again,
		 const char *text)
{
	switch (opt->kind) {
	case ARGS_FLAG:
		*(bool *)opt->ret = true;
		return 0;
	case ARGS_STRING:
		return store_string(args, opt, again, text);
	case ARGS_LIST:
		return store_listed(args, opt, text);
	case ARGS_NUMBER:
		return store_number(args, opt, text);
	case ARGS_SIZE:
		return store_size(args, opt, text);
	case ARGS_CHOICE:
		return store_choice(args, opt, text);
	case ARGS_HELP:
		print_help(args);
		return 1;
	case ARGS_VERSION:
		(void)printf("%s %s\n", args->program, lsvd_version());
		return 1;
	case ARGS_END:
		break;
	}
	abort();
}

static int count(const struct args *args)
{
	int n = 0;

	while (args->options[n].kind)
		n++;
	if (n > OPTIONS_MAX)
		abort(); /* a table of ours is too long: raise OPTIONS_MAX */
	return n;
}

static void build(const struct args *args, int n, struct getopt_tables *ret)
{
	char *letter = ret->letters;
	struct option *name = ret->names;

	*letter++ = ':'; /* a missing value is told apart from an unknown option */
	for (int i = 0; i < n; i++) {
		const struct args_option *opt = &args->options[i];
		int has = takes_value(opt) ? required_argument : no_argument;

		if (opt->letter) {
			*letter++ = opt->letter;
			if (has)
				*letter++ = ':';
		}
		if (opt->name)
			*name++ = (struct option){opt->name, has, NULL, ROW_BASE + i};
	}
	*letter = '\0';
	*name = (struct option){NULL, 0, NULL, 0};
}

static int find_letter(const struct args *args, int letter)
{
	for (int i = 0; args->options[i].kind; i++)
		if (args->options[i].letter && args->options[i].letter == letter)
			return i;
	return -1;
}

/* True if some row that shares the destination of row `i` was given. */
static bool satisfied(const struct args *args, const bool *given, int i)
{
	for (int k = 0; args->options[k].kind; k++)
		if (given[k] && args->options[k].ret == args->options[i].ret)
			return true;
	return false;
}

static int check_required(const struct args *args, const bool *given)
{
	for (int i = 0; args->options[i].kind; i++) {
		const struct args_option *opt = &args->options[i];
		char buf[64];

		if (opt->required && !satisfied(args, given, i))
			return args_fail(args, "option %s %s is missing", shown(opt, buf),
					 opt->value ? opt->value : "");
	}
	return 0;
}

static int complain(const struct args *args, int answer, char **argv)
{
	const char *what = answer == ':' ? "needs a value" : "is not known or ambiguous";

	if (answer == '?' && optopt >= ROW_BASE)
		return args_fail(args, "option --%s takes no value",
				 args->options[optopt - ROW_BASE].name);
	if (optopt && optopt < ROW_BASE)
		return args_fail(args, "option -%c %s", optopt, what);
	return args_fail(args, "option %s %s", argv[optind - 1], what);
}

int args_parse(const struct args *args, int argc, char **argv, int *ret_first)
{
	bool given[OPTIONS_MAX] = {false};
	struct getopt_tables tables;
	int answer, err;

	build(args, count(args), &tables);
	opterr = 0;
	optind = 0; /* 0, not 1: starts glibc's parser afresh */
	for (;;) {
		int i;

		answer = getopt_long(argc, argv, tables.letters, tables.names, NULL);
		if (answer == -1)
			break;
		if (answer == '?' || answer == ':')
			return complain(args, answer, argv);
		i = answer >= ROW_BASE ? answer - ROW_BASE : find_letter(args, answer);
		err = apply(args, &args->options[i], satisfied(args, given, i), optarg);
		given[i] = true;
		if (err)
			return err;
	}
	if (!ret_first && optind < argc)
		return args_fail(args, "'%s' is one word too many", argv[optind]);
	if (ret_first)
		*ret_first = optind;
	return check_required(args, given);
}
