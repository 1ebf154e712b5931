/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hash.h - the one checksum of the project: XXH3-64 (libxxhash), and how it is bound to a place.
 *
 * A piece of data (at most 4 KiB) is hashed once, when it enters the library: H = hash(data). What
 * is stored beside it, in the log or in an object, is hash_bind(H, …): H mixed with who owns the
 * piece and where it lies, so that a piece in the wrong place, or an older one in the right place,
 * does not verify. The data is never hashed twice on the way to the store, and a buffer damaged in
 * between is noticed (docs/format.md, "Checksums").
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t lsvd_hash(const void *data, size_t len);
uint64_t lsvd_hash_seeded(const void *data, size_t len, uint64_t seed);

/*
 * H of a piece, bound to an owner (a seed made of the volume's uuid) and two numbers of its place.
 */
uint64_t lsvd_hash_bind(uint64_t h, uint64_t owner, uint64_t a, uint64_t b);

#endif
