/* SPDX-License-Identifier: BSD-2-Clause */
/* alloc.c - the allocation table and its default, the C library's. */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

static void *system_alloc(size_t align, size_t size)
{
	void *p;

	if (align <= 16)
		return malloc(size);
	return posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static const struct alloc_ops system_ops = {
	.alloc = system_alloc,
	.resize = realloc,
	.release = free,
};

static const struct alloc_ops *ops = &system_ops;

void lsvd_alloc_set(const struct alloc_ops *new_ops)
{
	ops = new_ops ? new_ops : &system_ops;
}

void *lsvd_malloc(size_t size)
{
	return ops->alloc(16, size ? size : 1);
}

void *lsvd_calloc(size_t n, size_t size)
{
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	p = lsvd_malloc(bytes);
	if (p)
		memset(p, 0, bytes);
	return p;
}

void *lsvd_realloc(void *p, size_t size)
{
	return ops->resize(p, size ? size : 1);
}

void *lsvd_aligned_alloc(size_t align, size_t size)
{
	return ops->alloc(align, size);
}

void *lsvd_huge_alloc(size_t size)
{
	void *p = ops->alloc(HUGE_PAGE_BYTES, size);

	if (p)
		(void)madvise(p, size, MADV_HUGEPAGE); /* advice: nothing follows from its failure */
	return p;
}

char *lsvd_strdup(const char *s)
{
	size_t len = strlen(s) + 1;
	char *p = lsvd_malloc(len);

	if (p)
		memcpy(p, s, len);
	return p;
}

void lsvd_free(void *p)
{
	ops->release(p);
}
