/* SPDX-License-Identifier: BSD-2-Clause */
/* clone.h - a clone made by a command that is about something else (cmd_clone.c). */
#ifndef ADMIN_CLONE_H
#define ADMIN_CLONE_H

#include "admin/cmd.h"

/* The volume admin->name, in the store that is open. Says what it has done; an exit status. */
int clone_of_snapshot(const struct admin *admin, const char *base, const char *snapshot);

#endif
