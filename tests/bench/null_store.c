/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * null_store.c - preloaded into lsvd-nbd it makes every configured store one that keeps nothing.
 *
 * What is measured then is the server, the engine and the local log. Such a store begins empty with
 * each process, so the volume is made here: "bench", of LSVD_BENCH_BYTES bytes.
 */
#include <stdlib.h>

#include <lsvd/lsvd.h>

#include "store_null.h"

LSVD_API int lsvd_config_open_store(const struct lsvd_config *config, struct lsvd_store **ret,
				    const struct lsvd_store_options *options)
{
	const char *bytes = getenv("LSVD_BENCH_BYTES");
	int err = store_null_open(ret, 0);

	(void)config;
	(void)options;
	if (!err && bytes)
		err = lsvd_volume_create(*ret, "bench", strtoull(bytes, NULL, 10), NULL, NULL);
	return err;
}
