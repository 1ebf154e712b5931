/* SPDX-License-Identifier: BSD-2-Clause */
/* admin.c - what every command does alike: arguments, configuration, store, messages. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/cmd.h"
#include "admin/progress.h"
#include "admin/reader.h"
#include "common/stop.h"

int admin_fail(void)
{
	progress_clear();
	(void)fprintf(stderr, "lsvd-admin: %s\n", lsvd_last_error());
	return ADMIN_FAILED;
}

int admin_error(const char *format, ...)
{
	va_list ap;

	progress_clear();
	(void)fprintf(stderr, "lsvd-admin: ");
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap); /* nowhere is left to say that stderr fails */
	va_end(ap);
	(void)fprintf(stderr, "\n");
	return -1;
}

static void print_message(void *ctx, enum lsvd_log_level level, const char *text)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};

	(void)ctx;
	(void)fprintf(stderr, "lsvd-admin: %s: %s\n", names[level], text);
}

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static bool good_name(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > LSVD_NAME_MAX || !is_letter_or_digit(*name))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_letter_or_digit(name[i]) && name[i] != '.' && name[i] != '-')
			return false;
	return true;
}

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static int name_fail(const struct args *args, const char *name)
{
	return args_fail(args,
			 "option --name: '%s' is not a volume's name: 1 to %u letters, digits, "
			 "_ . -, the first no . or -",
			 is_printable(name) && strlen(name) <= 200 ? name : "(not shown)",
			 LSVD_NAME_MAX);
}

static bool debug_wanted(const struct admin *a)
{
	const char *text = getenv("LSVD_DEBUG");

	return a->debug || (text && *text && strcmp(text, "0") != 0);
}

bool admin_good_uuid(const char *text)
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(text) != sizeof shape - 1)
		return false;
	for (size_t i = 0; shape[i]; i++)
		if (shape[i] == '-' ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]))
			return false;
	return true;
}

/* `first`: NULL for a command without operands. */
static int parse(struct admin *a, const struct args *args, int argc, char **argv, int *first,
		 int *ret_exit)
{
	int err = args_parse(args, argc, argv, first);

	if (err == 0 && a->name && !good_name(a->name))
		err = name_fail(args, a->name);
	if (err == 0) {
		lsvd_set_log(print_message, NULL, debug_wanted(a) ? LSVD_LOG_DEBUG : LSVD_LOG_WARN);
		return 0;
	}
	*ret_exit = err > 0 ? ADMIN_OK : ADMIN_USAGE;
	return -1;
}

int admin_parse(struct admin *a, const struct args *args, int argc, char **argv, int *ret_exit)
{
	return parse(a, args, argc, argv, NULL, ret_exit);
}

int admin_parse_operand(struct admin *a, const struct args *args, int argc, char **argv,
			const char *what, const char **ret_operand, int *ret_exit)
{
	int first;

	if (parse(a, args, argc, argv, &first, ret_exit) < 0)
		return -1;
	*ret_exit = ADMIN_USAGE;
	if (first == argc)
		return args_fail(args, "%s is missing", what);
	if (first + 1 < argc)
		return args_fail(args, "'%s' is one word too many", argv[first + 1]);
	*ret_operand = argv[first];
	return 0;
}

int admin_begin_long(void)
{
	int err = stop_start();

	if (!err)
		return ADMIN_OK;
	(void)admin_error("signals: %s", strerror(-err));
	return ADMIN_FAILED;
}

bool admin_stopped(void)
{
	return stop_requested();
}

int admin_open(struct admin *a, uint32_t store_flags)
{
	struct lsvd_store_options options = LSVD_STORE_OPTIONS_INIT;

	options.flags = store_flags;
	if (lsvd_config_load(&a->config, a->config_path) < 0) {
		(void)admin_fail(); /* the status says it */
		return ADMIN_USAGE;
	}
	if (lsvd_config_open_store(a->config, &a->store, &options) < 0)
		return admin_fail();
	return ADMIN_OK;
}

struct lsvd_volume *admin_open_reader(struct admin *a, uint32_t flags)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *volume;

	lsvd_config_volume_options(a->config, &options);
	options.flags = LSVD_OPEN_READONLY | flags;
	/* Every read is one of many: they are ahead of each other. */
	options.read_ahead_bytes = UINT32_MAX;
	if (!flags && options.cache_dir && access(options.cache_dir, F_OK) < 0)
		options.cache_dir = NULL; /* this host has never written a volume */
	if (lsvd_volume_open(&volume, a->store, a->name, &options) == 0)
		return volume;
	(void)admin_fail(); /* the caller says it, too */
	return NULL;
}

int admin_sum_range(struct lsvd_volume *volume, uint64_t off, uint64_t len, const char *what,
		    char hex[static SUM_TEXT])
{
	uint64_t end = (off + len + LSVD_SECTOR_BYTES - 1) / LSVD_SECTOR_BYTES * LSVD_SECTOR_BYTES;
	struct reader *reader = reader_new(volume, off, end - off);
	struct reader_piece piece;
	uint64_t left = len;
	struct sum sum;
	int more = reader ? 0 : -1;

	sum_init(&sum);
	progress_begin(what, len);
	while (reader && (more = reader_next(reader, &piece)) > 0) {
		uint64_t n = piece.len < left ? piece.len : left; /* the last sector is longer */

		if (piece.data)
			sum_add(&sum, piece.data, (size_t)n);
		else
			sum_add_zeroes(&sum, n);
		left -= n;
		progress_show(len - left);
	}
	progress_end();
	reader_free(reader);
	sum_end(&sum, hex);
	if (more < 0 && admin_stopped())
		(void)admin_error("interrupted"); /* the caller ends */
	return more;
}

int admin_parse_range(const struct args *args, const char *text, struct admin_range *ret)
{
	const char *colon = strchr(text, ':');
	char off[64];

	*ret = (struct admin_range){0, UINT64_MAX};
	if (!colon || (size_t)(colon - text) >= sizeof off)
		return args_fail(args, "option --range: '%s' is not OFFSET:LENGTH", text);
	memcpy(off, text, (size_t)(colon - text));
	off[colon - text] = '\0';
	if ((*off && lsvd_parse_size(off, &ret->off) < 0) ||
	    (colon[1] && lsvd_parse_size(colon + 1, &ret->len) < 0))
		return args_fail(args, "option --range: %s", lsvd_last_error());
	if (ret->off % LSVD_SECTOR_BYTES || (colon[1] && ret->len % LSVD_SECTOR_BYTES))
		return args_fail(args, "option --range: '%s' is not in multiples of %u", text,
				 LSVD_SECTOR_BYTES);
	return 0;
}

int admin_fit_range(struct admin_range *range, const struct lsvd_volume *volume)
{
	uint64_t bytes = lsvd_volume_bytes(volume);

	if (range->off <= bytes && range->len == UINT64_MAX)
		range->len = bytes - range->off;
	if (range->off <= bytes && range->len <= bytes - range->off)
		return 0;
	return admin_error("volume %s has %llu bytes: the range from %llu on, %llu long, ends beyond "
			   "them", lsvd_volume_name(volume), (unsigned long long)bytes,
			   (unsigned long long)range->off,
			   (unsigned long long)(range->len == UINT64_MAX ? 0 : range->len));
}

void admin_close(struct admin *a)
{
	lsvd_store_close(a->store);
	a->store = NULL;
	lsvd_config_free(a->config);
	a->config = NULL;
}
