/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * t_alloc.h - an allocator that refuses, for tests of what happens without memory.
 *
 *	t_alloc_refuse_at(k);     the k-th allocation from now on and all after it fail; 0: all do
 *	t_alloc_forgive();        back to the C library
 *
 * One thread only.
 */
#ifndef T_ALLOC_H
#define T_ALLOC_H

#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"

static uint64_t t_alloc_left, t_alloc_refused;

static inline int t_alloc_allowed(void)
{
	if (t_alloc_left == 0) {
		t_alloc_refused++;
		return 0;
	}
	t_alloc_left--;
	return 1;
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

	t_alloc_left = k;
	t_alloc_refused = 0;
	lsvd_alloc_set(&ops);
}

/* How many allocations were refused. */
static inline uint64_t t_alloc_forgive(void)
{
	lsvd_alloc_set(NULL);
	return t_alloc_refused;
}

#endif
