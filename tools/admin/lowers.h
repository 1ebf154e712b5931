/* SPDX-License-Identifier: BSD-2-Clause */
/* lowers.h - the lower volumes of a volume as facts, for the commands that show them. */
#ifndef ADMIN_LOWERS_H
#define ADMIN_LOWERS_H

#include <jansson.h>

#include "admin/cmd.h"

/*
 * Sets "lowers" in `facts`: a list, the uppermost last; empty if the volume a->name, in the store
 * that is open, lies over nothing. -1: it has been said why not.
 */
int lowers_add(const struct admin *a, json_t *facts);

/* Those of `facts` as a table for people, or nothing. An exit status. */
int lowers_print(const json_t *facts);

#endif
