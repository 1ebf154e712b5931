/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secret.h - memory for what must not be seen: keys, tokens, the text of files that hold them.
 *
 * It lies on pages of its own, which core dumps leave out and, as far as the process may lock
 * memory, swapping too; it is wiped before it is given back. Each piece costs at least a page.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed; NULL if there is no memory, or the kernel cannot keep it out of core dumps. */
void *lsvd_secret_alloc(size_t bytes);
/* Wipes it, all of it; NULL is ignored. */
void lsvd_secret_free(void *p);

/* A copy of `len` bytes and a '\0'. */
char *lsvd_secret_dup(const char *text, size_t len);

/*
 * Takes as long for texts that differ early as for texts that differ late. NULL equals only NULL.
 */
bool lsvd_secret_equal(const char *a, const char *b);

#endif
