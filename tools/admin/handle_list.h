/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handle_list.h - the handles that an index has, from a file: what is alive in a value log.
 *
 *   SEGMENT OFFSET SIZE BYTES      a line each, BYTES being the length of the value; others may
 *                                  follow
 */
#ifndef ADMIN_HANDLE_LIST_H
#define ADMIN_HANDLE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <lsvd/vlog.h>

struct handle_list_entry {
	struct lsvd_vlog_handle handle;
	uint64_t bytes;
};

struct handle_list {
	struct handle_list_entry *entries; /* by segment and offset */
	size_t count, room;
};

/*
 * A new list, to be written; NULL after a message: there is a file of that name,
 * or none can be made.
 */
FILE *handle_list_create(const char *path);
/* -1 after a message. */
int handle_list_read(struct handle_list *l, const char *path);
bool handle_list_has(const struct handle_list *l, const struct lsvd_vlog_handle *h);
void handle_list_free(struct handle_list *l);

#endif
