/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_actions.h - the actions of "lsvd-admin vlog", which has value logs where others have
 * volumes.
 *
 * Each parses its own arguments, argv[0] being its name, and returns the exit status.
 */
#ifndef ADMIN_VLOG_ACTIONS_H
#define ADMIN_VLOG_ACTIONS_H

#include <lsvd/vlog.h>

#include "admin/cmd.h"

int vlog_list(int argc, char **argv);
int vlog_inspect(int argc, char **argv);
int vlog_verify(int argc, char **argv);
int vlog_import(int argc, char **argv);
int vlog_gc(int argc, char **argv);
int vlog_delete(int argc, char **argv);

/* Opens a->name of the store that is open; NULL: it has been said why not. */
struct lsvd_vlog *vlog_open(const struct admin *a, uint32_t flags);
/* Closes it; `status`, or ADMIN_FAILED if that fails. */
int vlog_close(struct lsvd_vlog *log, int status);

#endif
