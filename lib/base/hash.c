/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.c - XXH3-64 by libxxhash, inlined for the short inputs of the hot path. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "base/hash.h"

uint64_t lsvd_hash(const void *data, size_t len)
{
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
