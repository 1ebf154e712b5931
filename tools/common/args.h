/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * args.h - the command line of a tool as one table: parsing, checking and the text of --help.
 *
 * A tool lists its options once; each row says where the value goes. getopt_long(3) does the
 * parsing, so long names may be shortened and stand as --name=value or --name value. Messages name
 * the option and what is wrong with its value, and go to standard error.
 *
 * Two rows may share a destination: that is how -s, -S and --size mean the same.
 *
 * Absent on purpose: values from the environment, and anything secret: argv is readable by all.
 */
#ifndef COMMON_ARGS_H
#define COMMON_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum args_kind {
	ARGS_END = 0, /* ends the table */
	ARGS_FLAG,    /* bool: set to true */
	ARGS_STRING,  /* const char *: points into argv; not two different ones */
	ARGS_LIST,    /* struct args_list: the same, but the option may be given again */
	ARGS_NUMBER,  /* uint64_t: decimal, min <= value <= max */
	ARGS_SIZE,    /* uint64_t: bytes as lsvd_parse_size() reads them, min <= value <= max */
	ARGS_CHOICE,  /* int: place of the word in `value`, a list such as "text|json" */
	ARGS_HELP,    /* prints the help to standard output */
	ARGS_VERSION  /* prints program and version to standard output */
};

struct args_list {
	const char **values; /* room for `max` */
	unsigned count, max;
};

struct args_option {
	enum args_kind kind;
	char letter;	  /* 0: has no short form */
	const char *name; /* long name without dashes; NULL: has none */
	void *ret;	  /* as the kind says; untouched if the option is not given */
	const char
		*value;	  /* name of the value in the help; the words of a choice; NULL for flags */
	const char *help; /* NULL: does not appear in the help */
	uint64_t min, max; /* of numbers and sizes; max 0: no bound */
	bool required;	   /* (one row of those that share a destination is enough) */
};

struct args {
	const char *program;  /* "lsvd-nbd", or "lsvd-admin init" */
	const char *usage;    /* what follows the program's name */
	const char *about;    /* a line or paragraph for the help */
	const char *epilogue; /* after the options, or NULL */
	const struct args_option *options;
};

/* Results of args_parse(); a usage error ends a tool with this exit status. */
#define ARGS_EXIT_USAGE 2

/*
 * Parses argv[1 … argc). 0: go on, `*ret_first` is the index of the first operand (operands are
 * moved to the end of argv); `ret_first` NULL means that operands are an error. 1: --help or
 * --version has been printed, the tool ends with success. -1: a message has been printed, the tool
 * ends with ARGS_EXIT_USAGE. Not for use from several threads.
 */
int args_parse(const struct args *args, int argc, char **argv, int *ret_first);

/* Prints "PROGRAM: message" and where to find help; returns -1. */
int args_fail(const struct args *args, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A decimal number without sign or blanks; false if it is none or does not fit. */
bool args_number(const char *text, uint64_t *ret);

#endif
