/* SPDX-License-Identifier: BSD-2-Clause */
/* options.h - copying the size-prefixed structs of the caller: how the ABI grows. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stddef.h>

/*
 * Copies a struct that begins with its uint32_t size into `dst` of `dst_size` bytes, zeroing what
 * the caller does not have. `first_size` is the struct's size in the first release. src NULL: all
 * zero. -EINVAL (shorter than the first release), -E2BIG (longer, and what we do not know is not
 * zero).
 */
int lsvd_options_copy(void *dst, size_t dst_size, const void *src, size_t first_size,
		      const char *what);

/*
 * The other way: fills the caller's struct, whose size field says how long it is, from `src`. The
 * size field keeps the caller's value; what the caller has beyond ours is zeroed. -EINVAL, also if
 * `dst` is NULL.
 */
int lsvd_options_fill(void *dst, const void *src, size_t src_size, size_t first_size,
		      const char *what);

/* Whether that will succeed, for who is about to do what cannot be undone. `dst` may be NULL: 0. */
int lsvd_options_check(const void *dst, size_t first_size, const char *what);

#endif
