/* SPDX-License-Identifier: BSD-2-Clause */
/* clone_base.h - the base of a clone as facts, for the commands that show it. */
#ifndef ADMIN_CLONE_BASE_H
#define ADMIN_CLONE_BASE_H

#include <jansson.h>

#include "admin/cmd.h"

/* "base" in the facts of a volume if no more is known than its base's UUID ("": it has none). */
json_t *clone_base_json(const char *uuid);

/*
 * `volumes` are all of the store: sets "volume" in "base" of each, its base's name, or null.
 * -1: no memory.
 */
int clone_base_name(json_t *volumes);

/* Sets "clone_of" in each, for a column of text: its base's name, or UUID. -1: no memory. */
int clone_base_label(json_t *volumes);

/*
 * Sets "base" in `facts` of the volume a->name, in the store that is open: all about it, or with
 * `quick` its UUID alone. -1: it has been said why not.
 */
int clone_base_add(const struct admin *a, const struct lsvd_volume_info *info, bool quick,
		   json_t *facts);

/* That of `facts` as a table for people, or nothing. An exit status. */
int clone_base_print(const json_t *facts);

#endif
