/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * t_alloc.h - an allocator that refuses, for tests of what happens without memory.
 *
 *	t_alloc_refuse_at(k);     the k-th allocation from now on and all after it fail; 0: all do
 *	t_alloc_refuse_only(k);   that one alone
 *	t_alloc_forgive();        back to the C library
 *
 * One thread calls these; any may allocate.
 */
#ifndef T_ALLOC_H
#define T_ALLOC_H

#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"

static int64_t t_alloc_left, t_alloc_most; /* the first: atomic */
static uint64_t t_alloc_refused;           /* atomic */

static inline int t_alloc_allowed(void)
{
	int64_t n = __atomic_fetch_sub(&t_alloc_left, 1, __ATOMIC_SEQ_CST);

	if (n > 0 || -n >= t_alloc_most)
		return 1;
	(void)__atomic_add_fetch(&t_alloc_refused, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static inline void *t_alloc_alloc(size_t align, size_t size)
{
	void *p = NULL;

	if (!t_alloc_allowed())
		return NULL;
	if (align <= 16)
		return malloc(size);
	return posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static inline void *t_alloc_resize(void *p, size_t size)
{
	return t_alloc_allowed() ? realloc(p, size) : NULL;
}

static inline void t_alloc_refuse_at(uint64_t k)
{
	static const struct alloc_ops ops = { t_alloc_alloc, t_alloc_resize, free };

	t_alloc_left = (int64_t)k;
	t_alloc_most = INT64_MAX;
	t_alloc_refused = 0;
	lsvd_alloc_set(&ops);
}

static inline void t_alloc_refuse_only(uint64_t k)
{
	t_alloc_refuse_at(k);
	t_alloc_most = 1;
}

/* How many allocations were refused. */
static inline uint64_t t_alloc_forgive(void)
{
	lsvd_alloc_set(NULL);
	return t_alloc_refused;
}

#endif
