/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export_state.h - what an unfinished export has written, in a file beside it: OUT.lsvd-export.
 *
 * Text, a fact a line:
 *
 *	lsvd-export 1
 *	volume UUID BYTES EPOCH OPERATION FORMAT
 *	window OFFSET SHA256
 *
 * The second line is what the export is of; another state of the volume, or another format, is
 * another export. A window is WINDOW_BYTES at OFFSET (less at the volume's end) that have been
 * written and synced before the line was. Windows that are all holes have no line. The last line
 * may be torn: a line that is not whole ends the list.
 */
#ifndef ADMIN_EXPORT_STATE_H
#define ADMIN_EXPORT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/sum.h"

#define WINDOW_BYTES (UINT64_C(4) << 20)

struct export_window {
	uint64_t off;
	char hex[SUM_TEXT];
};

struct export_state {
	char *path;
	int fd;              /* -1: not begun */
	char head[256];      /* the two lines it begins with */
	struct export_window *windows; /* of an earlier run, ascending */
	size_t count;
};

/* `head` describes what is exported. -1 after a message: no memory. */
int export_state_init(struct export_state *s, const char *out, const char *volume_line);
/* 1: read. 0: there is none. -1 after a message: it is of another export, or no such file. */
int export_state_load(struct export_state *s);
/* Writes it anew with the windows it has now. */
int export_state_begin(struct export_state *s);
/* Adds lines, and syncs them. */
int export_state_add(struct export_state *s, const struct export_window *windows, size_t n);
/* The export is whole: takes the file away. */
int export_state_remove(struct export_state *s);
void export_state_fini(struct export_state *s);

#endif
