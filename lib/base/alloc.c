/* SPDX-License-Identifier: BSD-2-Clause */
/* alloc.c - the allocation table and its default, the C library's. */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define PAGE_BYTES ((size_t)4096)

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

/*
 * Behind a huge block, where it came from: a test may change the table while there are some. The
 * sanitizers watch what is the heap's.
 */
struct origin {
	size_t mapped; /* bytes; 0: from the table */
};

#if defined(__SANITIZE_ADDRESS__)
#define MAPS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MAPS 0
#endif
#endif
#ifndef MAPS
#define MAPS 1
#endif

static struct origin *origin_of(void *p, size_t size)
{
	return (struct origin *)((char *)p + (size + 15) / 16 * 16);
}

/* At a huge page's beginning; what the system gives beside it is given back. */
static void *map_aligned(size_t bytes)
{
	size_t lead, all = bytes + HUGE_PAGE_BYTES;
	char *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	lead = -(uintptr_t)p % HUGE_PAGE_BYTES;
	if (lead)
		(void)munmap(p, lead); /* a part of a mapping of ours: it can only stay */
	(void)munmap(p + lead + bytes, all - lead - bytes);
	return p + lead;
}

void *lsvd_huge_alloc(size_t size)
{
	size_t bytes, mapped = 0;
	void *p;

	if (__builtin_add_overflow(size, 15 + sizeof(struct origin) + HUGE_PAGE_BYTES, &bytes))
		return NULL;
	bytes -= HUGE_PAGE_BYTES;
	if (MAPS && ops == &system_ops) {
		mapped = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
		p = map_aligned(mapped);
	} else {
		p = ops->alloc(PAGE_BYTES, bytes);
	}
	if (!p)
		return NULL;
	if (mapped)
		/* advice: nothing follows from its failure */
		(void)madvise(p, size, MADV_HUGEPAGE);
	origin_of(p, size)->mapped = mapped;
	return p;
}

void lsvd_huge_free(void *p, size_t size)
{
	size_t mapped = p ? origin_of(p, size)->mapped : 0;

	if (mapped)
		(void)munmap(p, mapped); /* as above */
	else
		lsvd_free(p);
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
