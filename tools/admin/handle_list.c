/* SPDX-License-Identifier: BSD-2-Clause */
/* handle_list.c - reading handles from a file, and finding one among them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/cmd.h"
#include "admin/handle_list.h"

static int by_place(const void *a, const void *b)
{
	const struct lsvd_vlog_handle *x = &((const struct handle_list_entry *)a)->handle;
	const struct lsvd_vlog_handle *y = &((const struct handle_list_entry *)b)->handle;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static int add(struct handle_list *l, const struct handle_list_entry *e)
{
	struct handle_list_entry *entries;

	if (l->count == l->room) {
		entries = realloc(l->entries, (2 * l->room + 1024) * sizeof *entries);
		if (!entries)
			return admin_error("no memory for %zu handles", 2 * l->room + 1024);
		l->entries = entries;
		l->room = 2 * l->room + 1024;
	}
	l->entries[l->count++] = *e;
	return 0;
}

static int read_lines(struct handle_list *l, FILE *f, const char *path)
{
	struct handle_list_entry e;
	char line[200];

	for (size_t n = 1; fgets(line, sizeof line, f); n++) {
		if (sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &e.handle.segment,
			   &e.handle.offset, &e.handle.size, &e.bytes) != 4 ||
		    !strchr(line, '\n'))
			return admin_error("%s: line %zu: not SEGMENT OFFSET SIZE BYTES", path, n);
		if (add(l, &e) < 0)
			return -1;
	}
	return ferror(f) ? admin_error("%s: %s", path, strerror(errno)) : 0;
}

FILE *handle_list_create(const char *path)
{
	FILE *f = fopen(path, "wxe");

	if (!f && errno == EEXIST)
		(void)admin_error("%s is there already: nothing is overwritten", path);
	else if (!f)
		(void)admin_error("%s: %s", path, strerror(errno));
	return f;
}

int handle_list_read(struct handle_list *l, const char *path)
{
	FILE *f = admin_read_text(path);
	int err;

	if (!f)
		return -1;
	err = read_lines(l, f, path);
	(void)fclose(f); /* it was only read */
	if (err == 0 && l->count)
		qsort(l->entries, l->count, sizeof *l->entries, by_place);
	return err;
}

bool handle_list_has(const struct handle_list *l, const struct lsvd_vlog_handle *h)
{
	const struct handle_list_entry wanted = {.handle = *h};

	return l->count && bsearch(&wanted, l->entries, l->count, sizeof wanted, by_place);
}

void handle_list_free(struct handle_list *l)
{
	free(l->entries);
	*l = (struct handle_list){.count = 0};
}
