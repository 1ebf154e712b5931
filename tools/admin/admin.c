/* SPDX-License-Identifier: BSD-2-Clause */
/* admin.c - what every command does alike: arguments, configuration, store, messages. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/cmd.h"
#include "admin/progress.h"

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

static FILE *open_text(const char *path, int flags, const char *mode)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
	FILE *file = fd >= 0 && fcntl(fd, F_SETFL, 0) == 0 ? fdopen(fd, mode) : NULL;

	if (!file)
		(void)admin_error("%s: %s", path, strerror(errno)); /* the caller ends */
	if (!file && fd >= 0)
		(void)close(fd); /* nothing was read or written */
	return file;
}

FILE *admin_read_text(const char *path)
{
	return open_text(path, O_RDONLY, "r");
}

FILE *admin_write_text(const char *path)
{
	return open_text(path, O_WRONLY | O_CREAT | O_TRUNC, "w");
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

int admin_parse_operands(struct admin *a, const struct args *args, int argc, char **argv,
			 int *ret_first, int *ret_exit)
{
	return parse(a, args, argc, argv, ret_first, ret_exit);
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

int admin_parse_place(const struct args *args, const char *text, char volume[LSVD_NAME_MAX + 1],
		      char snapshot[LSVD_NAME_MAX + 1])
{
	const char *at = strchr(text, '@');
	size_t len = at ? (size_t)(at - text) : strlen(text);

	if (len > LSVD_NAME_MAX || (at && strlen(at + 1) > LSVD_NAME_MAX))
		return args_fail(args, "'%.200s' is no volume or VOLUME@SNAPSHOT", text);
	memcpy(volume, text, len);
	volume[len] = '\0';
	(void)snprintf(snapshot, LSVD_NAME_MAX + 1, "%s", at ? at + 1 : ""); /* checked to fit */
	if (!good_name(volume) || (at && !good_name(snapshot)))
		return args_fail(args, "'%s' is no volume or VOLUME@SNAPSHOT",
				 is_printable(text) ? text : "(not shown)");
	return 0;
}

int admin_load(struct admin *a)
{
	if (lsvd_config_load(&a->config, a->config_path) == 0)
		return ADMIN_OK;
	(void)admin_fail(); /* the status says it */
	return ADMIN_USAGE;
}

int admin_open(struct admin *a, uint32_t store_flags)
{
	struct lsvd_store_options options = LSVD_STORE_OPTIONS_INIT;
	int status = admin_load(a);

	options.flags = store_flags;
	if (status != ADMIN_OK)
		return status;
	if (lsvd_config_open_store(a->config, &a->store, &options) < 0)
		return admin_fail();
	return ADMIN_OK;
}

uint32_t admin_flags(const struct admin *a)
{
	return a->unsafe_store ? LSVD_OPEN_UNSAFE_STORE : 0;
}

void admin_close(struct admin *a)
{
	lsvd_store_close(a->store);
	a->store = NULL;
	lsvd_config_free(a->config);
	a->config = NULL;
}
