/* SPDX-License-Identifier: BSD-2-Clause */
/* s3_metadata.h - keys from the instance metadata service of a cloud's machine (version 2). */
#ifndef STORE_S3_METADATA_H
#define STORE_S3_METADATA_H

#include <stdatomic.h>
#include <stdbool.h>

#include "store/s3_set.h"

#define S3_METADATA_DEFAULT "http://169.254.169.254"

/* http://HOST[:PORT], perhaps with a slash at the end? */
bool lsvd_s3_metadata_endpoint_valid(const char *endpoint);

/*
 * Asks the service for the keys of the machine's role; blocks, for five seconds at most or until
 * *stop. The set says when it ends. LSVD_E_UNAVAILABLE (no answer, 5xx, keys that have ended),
 * LSVD_E_CONFIG (it answers, but not as such a service does; no role), -ENOMEM.
 */
int lsvd_s3_metadata_read(struct s3_set **ret, const char *endpoint, const atomic_bool *stop);

#endif
