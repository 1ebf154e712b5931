/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_null.h - a store for measurements that keeps of each object only its beginning.
 *
 * Length and first bytes are right, so that chains can be probed and headers read; what lies beyond
 * reads as zeroes. It is in memory and never waits.
 */
#ifndef STORE_NULL_H
#define STORE_NULL_H

#include <lsvd/store_driver.h>

#define STORE_NULL_KEEP 65536u

/* Like lsvd_store_open(); `keep` bytes of each object, 0: STORE_NULL_KEEP. */
int store_null_open(struct lsvd_store **ret, size_t keep);
/* Keeps that of chain objects (".../d/...") only, and all else whole: maps can be read back. */
int store_null_open_maps(struct lsvd_store **ret);

#endif
