/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * facts.h - facts as JSON, where jansson alone would lose some: text from outside, and lists.
 */
#ifndef COMMON_FACTS_H
#define COMMON_FACTS_H

#include <stdbool.h>

#include <jansson.h>

/*
 * A JSON string of any text. JSON is UTF-8, and a path need not be: of a text that is not, every
 * byte that is not ASCII becomes '?'. NULL: no memory.
 */
json_t *facts_text(const char *text);

/* A list that is gathered in a walk: all of it, or none. */
struct facts_rows {
	json_t *array;
	bool failed;
};

void facts_rows_begin(struct facts_rows *rows);
/*
 * Takes `row` over; NULL means that there was no memory for it. Non-zero,
 * to end the walk: it failed.
 */
int facts_rows_add(struct facts_rows *rows, json_t *row);
/* The list, now the caller's; NULL: no memory. */
json_t *facts_rows_end(struct facts_rows *rows);

#endif
