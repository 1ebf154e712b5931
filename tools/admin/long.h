/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * long.h - what the commands have in common that take long and read a volume's data.
 *
 * Failures are printed where they are met; main thread only.
 */
#ifndef ADMIN_LONG_H
#define ADMIN_LONG_H

#include "admin/cmd.h"
#include "admin/sum.h"

/*
 * Signals end the command from here on at the next moment that it looks, and at once the second
 * time. An exit status.
 */
int admin_begin_long(void);
/*
 * Begins so, opens the store, runs `act`, closes it. An exit status, which is what `act` returns.
 */
int admin_do_long(struct admin *a, uint32_t store_flags, int (*act)(void *ctx), void *ctx);
/* The user wants it to end. */
bool admin_stopped(void);

/* The volume for reading, with more LSVD_OPEN_ flags; NULL: it has been said why not. */
struct lsvd_volume *admin_open_reader(struct admin *a, uint32_t flags);

/* The sum of a range, whose length may end within a sector; -1: it has been said why not. */
int admin_sum_range(struct lsvd_volume *volume, uint64_t off, uint64_t len, const char *what,
		    char hex[static SUM_TEXT]);

struct admin_range {
	uint64_t off, len;   /* len UINT64_MAX: to the end */
};

/* "OFFSET:LENGTH", each a size, each may be missing; returns -1 after a message. */
int admin_parse_range(const struct args *args, const char *text, struct admin_range *ret);
/* Sets a length that was not given; -1 after a message if the range is not within the volume. */
int admin_fit_range(struct admin_range *range, const struct lsvd_volume *volume);

#endif
