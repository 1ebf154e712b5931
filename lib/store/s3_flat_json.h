/* SPDX-License-Identifier: BSD-2-Clause */
/* s3_flat_json.h - the members of one flat JSON object, without copying a byte of it. */
#ifndef STORE_S3_FLAT_JSON_H
#define STORE_S3_FLAT_JSON_H

#include <stddef.h>

#include "store/s3_set.h"

/*
 * Finds the members `names[count]` in the object that the text is, and decodes their strings where
 * they stand: the text is changed. found[i].at is NULL if there is no such member, or it is null; a
 * number, true or false counts as its text. -EINVAL if it is no JSON object, has an object or
 * array in it, a name of ours twice, or an escape beyond ASCII; no text is set.
 */
int lsvd_s3_flat_json(char *text, size_t len, const char *const *names, struct s3_piece *found,
		      unsigned count);

#endif
