/* SPDX-License-Identifier: BSD-2-Clause */
/* output.c - facts held as JSON, printed as JSON or by a table of fields. */
#include "admin/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin/cmd.h"

#define FIELDS_MAX 16
#define CELL_MAX   160

void output_bytes(char text[32], uint64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	uint64_t unit = 1;
	int i = 0;

	while (bytes / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	if (bytes % unit == 0)
		(void)snprintf(text, 32, "%" PRIu64 " %s", bytes / unit, units[i]);
	else
		(void)snprintf(text, 32, "%.1f %s", (double)bytes / (double)unit, units[i]);
}

void output_time(char text[OUTPUT_TIME], int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(text, OUTPUT_TIME, "%Y-%m-%dT%H:%M:%SZ", &tm))
		(void)snprintf(text, OUTPUT_TIME, "?"); /* a year beyond all calendars */
}

json_t *output_volume(const struct lsvd_volume_info *info)
{
	char created[OUTPUT_TIME];

	output_time(created, info->created_ms);
	return json_pack("{s:s, s:s, s:I, s:s}", "name", info->name, "uuid", info->uuid, "bytes",
			 (json_int_t)info->bytes, "created", created);
}

static void format_cell(char cell[CELL_MAX], const struct output_field *field, const json_t *object)
{
	const json_t *value = json_object_get(object, field->key);
	uint64_t n = (uint64_t)json_integer_value(value);
	char text[32];

	switch (field->kind) {
	case OUTPUT_TEXT:
		(void)snprintf(cell, CELL_MAX, "%s",
			       json_is_null(value) ? "-" : json_string_value(value));
		break;
	case OUTPUT_NUMBER:
		(void)snprintf(cell, CELL_MAX, "%" PRIu64, n);
		break;
	case OUTPUT_BYTES:
		output_bytes(text, n);
		if (n < 1024)
			(void)snprintf(cell, CELL_MAX, "%s", text);
		else
			(void)snprintf(cell, CELL_MAX, "%s (%" PRIu64 " bytes)", text, n);
		break;
	case OUTPUT_BYTES_SHORT:
		output_bytes(text, n);
		(void)snprintf(cell, CELL_MAX, "%s", text);
		break;
	case OUTPUT_BOOL:
		(void)snprintf(cell, CELL_MAX, "%s",
			       json_is_null(value)   ? "-"
			       : json_is_true(value) ? "yes"
						     : "no");
		break;
	}
}

static int no_memory(void)
{
	(void)fprintf(stderr, "lsvd-admin: out of memory\n");
	return ADMIN_FAILED;
}

/* Takes `value` over. */
static int print_json(json_t *value)
{
	int err = json_dumpf(value, stdout, JSON_INDENT(2));

	json_decref(value);
	if (err)
		return no_memory(); /* what stdout says is asked at the end */
	(void)putchar('\n');
	return ADMIN_OK;
}

int output_record(const struct output_field *fields, json_t *object, bool json)
{
	int width = 0;

	if (!object)
		return no_memory();
	if (json)
		return print_json(object);
	for (const struct output_field *f = fields; f->key; f++)
		if ((int)strlen(f->label) > width)
			width = (int)strlen(f->label);
	for (const struct output_field *f = fields; f->key; f++) {
		char cell[CELL_MAX];

		format_cell(cell, f, object);
		(void)printf("%-*s  %s\n", width, f->label, cell);
	}
	json_decref(object);
	return ADMIN_OK;
}

static bool is_number(enum output_kind kind)
{
	return kind == OUTPUT_NUMBER || kind == OUTPUT_BYTES_SHORT;
}

/* The last column is not padded, so that no line ends in blanks. */
static void print_cell(const struct output_field *field, int width, const char *cell)
{
	if (is_number(field->kind))
		(void)printf("%*s", width, cell);
	else
		(void)printf("%-*s", field[1].key ? width : 0, cell);
	(void)printf("%s", field[1].key ? "  " : "\n");
}

static void measure(const struct output_field *fields, const json_t *array, int width[FIELDS_MAX])
{
	for (int i = 0; fields[i].key; i++) {
		char cell[CELL_MAX];

		width[i] = (int)strlen(fields[i].label);
		for (size_t row = 0; row < json_array_size(array); row++) {
			format_cell(cell, &fields[i], json_array_get(array, row));
			if ((int)strlen(cell) > width[i])
				width[i] = (int)strlen(cell);
		}
	}
}

static void print_table(const struct output_field *fields, const json_t *array)
{
	int width[FIELDS_MAX];

	measure(fields, array, width);
	for (int i = 0; fields[i].key; i++)
		print_cell(&fields[i], width[i], fields[i].label);
	for (size_t row = 0; row < json_array_size(array); row++)
		for (int i = 0; fields[i].key; i++) {
			char cell[CELL_MAX];

			format_cell(cell, &fields[i], json_array_get(array, row));
			print_cell(&fields[i], width[i], cell);
		}
}

int output_rows(const struct output_field *fields, const char *key, json_t *array, bool json)
{
	json_t *object;

	if (!array)
		return no_memory();
	if (json) {
		object = json_pack("{s:o}", key, array); /* takes array over, also on failure */
		return object ? print_json(object) : no_memory();
	}
	print_table(fields, array);
	json_decref(array);
	return ADMIN_OK;
}

int output_sentence(const char *sentence, json_t *object, bool json)
{
	if (!object)
		return no_memory();
	if (json)
		return print_json(object);
	json_decref(object);
	(void)printf("%s\n", sentence);
	return ADMIN_OK;
}
