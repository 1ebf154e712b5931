/* SPDX-License-Identifier: BSD-2-Clause */
/* s3_profile.h - keys from a file in the format of AWS's shared credentials files. */
#ifndef STORE_S3_PROFILE_H
#define STORE_S3_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/s3_set.h"

/* Which state of a file was read. */
struct s3_file_state {
	bool known; /* false: it must be read again */
	uint64_t dev, ino, bytes;
	int64_t mtime_ns, ctime_ns;
};

#define S3_PROFILE_PRIVATE 0x1u  /* refuse what others may read; else it is reported */
#define S3_PROFILE_OPTIONAL 0x2u /* no such section: 0, and *ret stays as it is */

/*
 * Reads section `profile` of the file, unless the file is in `state` (0, and *ret stays as it is),
 * which is then the state that was read.
 *
 * LSVD_E_CONFIG (not a regular file, owner or mode, malformed, no such section, no keys in it; with
 * file and line, never with a value), -errno of opening and reading it, -ENOMEM.
 */
int lsvd_s3_profile_read(struct s3_set **ret, const char *path, const char *profile,
			 unsigned flags, struct s3_file_state *state);

/* The parsing alone. */
int lsvd_s3_profile_parse(struct s3_set **ret, const char *text, size_t len, const char *path,
			  const char *profile, unsigned flags);

#endif
