/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alloc.h - where memory comes from: one table, so that a test can refuse or count allocations.
 *
 * The table is process-wide and is changed only by tests, while nothing is open.
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>

struct alloc_ops {
	void *(*alloc)(size_t align, size_t size); /* align: a power of two */
	void *(*resize)(void *p, size_t size);     /* p from alloc with align <= 16, or NULL */
	void (*release)(void *p);                  /* NULL is ignored */
};

void lsvd_alloc_set(const struct alloc_ops *ops); /* NULL: the C library's */

/* All return NULL when there is no memory; none aborts. */
void *lsvd_malloc(size_t size);
void *lsvd_calloc(size_t n, size_t size);
void *lsvd_realloc(void *p, size_t size);
void *lsvd_aligned_alloc(size_t align, size_t size);
/*
 * A large block, in huge pages if the system has some to spare: fewer faults, and less for the
 * kernel to look up when a device writes from it. It comes straight from the system and goes back
 * there, with the size it was asked for: between blocks of a heap it would leave holes that nothing
 * else fills.
 */
void *lsvd_huge_alloc(size_t size);
void lsvd_huge_free(void *p, size_t size); /* NULL is ignored */
char *lsvd_strdup(const char *s);
void lsvd_free(void *p);

#endif
