/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hash.c - XXH3-64 by libxxhash, inlined for the short inputs of the hot path.
 *
 * The hash is the same whatever computes it. libxxhash chooses its instructions when it is
 * compiled, so the library carries the long hash twice, here for any processor and in hash_avx2.c
 * for those that have AVX2: 4 KiB took 227 ns with the compiler's defaults and take 67 there.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/hash_avx2.h"

/* Below this the vectors do not pay for the question. */
#define LONG_BYTES 512u

uint64_t lsvd_hash(const void *data, size_t len)
{
#ifdef LSVD_HASH_AVX2
	if (len >= LONG_BYTES && __builtin_cpu_supports("avx2"))
		return lsvd_hash_avx2(data, len);
#endif
	return XXH3_64bits(data, len);
}

uint64_t lsvd_hash_seeded(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

uint64_t lsvd_hash_bind(uint64_t h, uint64_t owner, uint64_t a, uint64_t b)
{
	uint8_t in[24];

	le64_put(in, h);
	le64_put(in + 8, a);
	le64_put(in + 16, b);
	return XXH3_64bits_withSeed(in, sizeof in, owner);
}
