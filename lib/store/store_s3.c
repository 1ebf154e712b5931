/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_s3.c - what S3 means: keys below a directory, create-if-absent, ranges, pages, error classes.
 */
#include <lsvd/store_s3.h>

#include "base/err.h"

int lsvd_store_open_s3(struct lsvd_store **ret, const struct lsvd_s3_options *options,
		       const struct lsvd_store_options *store_options)
{
	(void)ret;
	(void)options;
	(void)store_options;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "stores of kind s3: are not built in yet");
}
