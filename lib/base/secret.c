/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secret.c - whole pages from the allocator, marked not to be dumped for as long as they are ours.
 *
 * MADV_DONTDUMP belongs to pages, hence the alignment. If the kernel refuses it there is no secret
 * memory: better no store than a key in a core file. mlock() is asked for and may fail: the limit
 * is small by default and belongs to the program.
 *
 * The first SECRET_HEAD bytes of a piece hold its length; the caller's part follows.
 */
#include "base/secret.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"

#define SECRET_HEAD ((size_t)64)

struct head {
	size_t bytes; /* of the whole piece, whole pages */
	bool locked;
};
_Static_assert(sizeof(struct head) <= SECRET_HEAD, "the head has its place");

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE); /* cannot fail */
}

void *lsvd_secret_alloc(size_t bytes)
{
	size_t page = page_size(), all;
	struct head *h;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	all = (SECRET_HEAD + bytes + page - 1) & ~(page - 1);
	h = lsvd_aligned_alloc(page, all);
	if (!h)
		return NULL;
	memset(h, 0, all);
	if (madvise(h, all, MADV_DONTDUMP) < 0) {
		lsvd_free(h);
		return NULL;
	}
	h->bytes = all;
	h->locked = mlock(h, all) == 0;
	return (char *)h + SECRET_HEAD;
}

void lsvd_secret_free(void *p)
{
	struct head *h;
	size_t all;
	bool locked;

	if (!p)
		return;
	h = (struct head *)(void *)((char *)p - SECRET_HEAD);
	all = h->bytes;
	locked = h->locked;
	explicit_bzero(h, all); /* before it may be swapped out */
	if (locked)
		(void)munlock(h, all); /* what it locked it can unlock */
	/* The allocator's pages are ordinary ones again; if not, a dump lacks a few of them. */
	(void)madvise(h, all, MADV_DODUMP);
	lsvd_free(h);
}

char *lsvd_secret_dup(const char *text, size_t len)
{
	char *copy = len < SIZE_MAX ? lsvd_secret_alloc(len + 1) : NULL;

	if (copy)
		memcpy(copy, text, len); /* its end is there: the memory is zeroed */
	return copy;
}

bool lsvd_secret_equal(const char *a, const char *b)
{
	unsigned char differ = 0;
	size_t len;

	if (!a || !b)
		return a == b;
	len = strlen(a);
	if (len != strlen(b))
		return false;
	for (size_t i = 0; i < len; i++)
		differ |= (unsigned char)(a[i] ^ b[i]);
	return differ == 0;
}
