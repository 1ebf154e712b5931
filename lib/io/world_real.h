/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world_real.h - the world as it is: the tables of tables.h bound to the operating system.
 *
 * What may sleep is given to threads, unless the caller may wait; what need not (a write to the
 * page cache, a read that hits it, a store in memory) is over before its start returns. The
 * threads are named lsvd-read, -sync, -get, -put, -job (pools, started on demand) and lsvd-clock.
 */
#ifndef IO_WORLD_REAL_H
#define IO_WORLD_REAL_H

#include "io/tables.h"

/*
 * `store` (NULL: there is none) must stay open until the world is closed. `cache_dir` (NULL:
 * there is none) is made with its parents, mode 0700, if it is absent and `create_dir`. -ENOENT,
 * -ENOTDIR, -EACCES, -ENOMEM, -EAGAIN (no thread), other -errno of the directory.
 */
int lsvd_world_real_open(struct world **ret, struct lsvd_store *store, const char *cache_dir,
			 bool create_dir);

/* Joins the threads. Files are closed and nothing is in the world. NULL does nothing. */
void lsvd_world_real_close(struct world *w);

#endif
