/* SPDX-License-Identifier: BSD-2-Clause */
/* hash_avx2.h - XXH3-64 for processors that have AVX2; hash.c asks them. */
#ifndef BASE_HASH_AVX2_H
#define BASE_HASH_AVX2_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#define LSVD_HASH_AVX2 1
uint64_t lsvd_hash_avx2(const void *data, size_t len);
#endif

#endif
