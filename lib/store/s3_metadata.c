/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_metadata.c - keys from the instance metadata service of a cloud's machine (version 2).
 */
#include "store/s3_metadata.h"

#include <string.h>

#include "base/err.h"

bool lsvd_s3_metadata_endpoint_valid(const char *endpoint)
{
	return strncmp(endpoint, "http://", 7) == 0;
}

int lsvd_s3_metadata_read(struct s3_set **ret, const char *endpoint, const atomic_bool *stop)
{
	(void)ret;
	(void)stop;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "%.200s: instance metadata is not asked yet", endpoint);
}
