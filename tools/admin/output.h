/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output.h - the same facts as text or as JSON.
 *
 * A command gathers its facts in JSON values, and a table of fields says how each is shown to
 * people. So neither form can know something the other does not.
 *
 * All functions take over the json_t they are given, which may be NULL (no memory), print to
 * standard output, and return an exit status: ADMIN_FAILED if something could not be printed.
 */
#ifndef ADMIN_OUTPUT_H
#define ADMIN_OUTPUT_H

#include <stdbool.h>

#include <jansson.h>

#include <lsvd/volume.h>

enum output_kind {
	OUTPUT_TEXT,
	OUTPUT_NUMBER,
	OUTPUT_BYTES,	    /* "2 TiB (2199023255552 bytes)" */
	OUTPUT_BYTES_SHORT, /* "2 TiB" */
	OUTPUT_BOOL,	    /* "yes" or "no"; null: "-" */
};

struct output_field {
	const char *key;   /* in the JSON object; NULL ends a table of fields */
	const char *label; /* for people */
	enum output_kind kind;
};

/* What the library says of a volume: name, uuid, bytes, created. NULL: no memory. */
json_t *output_volume(const struct lsvd_volume_info *info);

/* One object: a line for each field, or the JSON object. */
int output_record(const struct output_field *fields, json_t *object, bool json);

/* An array of objects: a table with a heading, or { key: [ … ] }. */
int output_rows(const struct output_field *fields, const char *key, json_t *array, bool json);

/* One object: the sentence, or the JSON object. */
int output_sentence(const char *sentence, json_t *object, bool json);

/* Milliseconds since 1970 as RFC 3339 in UTC, to the second. */
#define OUTPUT_TIME 32
void output_time(char text[OUTPUT_TIME], int64_t ms);

/* "2 TiB", "1.5 GiB", "512 bytes"; at most 31 characters. */
void output_bytes(char text[32], uint64_t bytes);

#endif
