/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hash_avx2.c - XXH3-64 once more, with the instructions of AVX2: the build compiles this file with
 * -mavx2, and nothing in it may be called where they are missing.
 */
#include "base/hash_avx2.h"

#ifdef LSVD_HASH_AVX2
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t lsvd_hash_avx2(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}
#endif
