/* SPDX-License-Identifier: BSD-2-Clause */
/* facts.c - text that may be no UTF-8, and lists that are whole or not there. */
#include "common/facts.h"

#include <stdlib.h>
#include <string.h>

json_t *facts_text(const char *text)
{
	json_t *string = json_string(text);
	char *plain;

	if (string)
		return string;
	plain = strdup(text);
	for (char *c = plain; c && *c; c++)
		if ((unsigned char)*c > 127)
			*c = '?';
	string = plain ? json_string(plain) : NULL;
	free(plain);
	return string;
}

void facts_rows_begin(struct facts_rows *rows)
{
	rows->array = json_array();
	rows->failed = !rows->array;
}

int facts_rows_add(struct facts_rows *rows, json_t *row)
{
	if (rows->failed)
		json_decref(row);
	else
		rows->failed = json_array_append_new(rows->array, row) < 0;
	return rows->failed;
}

json_t *facts_rows_end(struct facts_rows *rows)
{
	json_t *array = rows->array;

	rows->array = NULL;
	if (!rows->failed)
		return array;
	json_decref(array);
	return NULL;
}
