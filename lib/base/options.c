/* SPDX-License-Identifier: BSD-2-Clause */
/* options.c - size-prefixed structs, in and out. */
#include "base/options.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

static uint32_t size_of(const void *p)
{
	uint32_t size;

	memcpy(&size, p, sizeof size);
	return size;
}

static int too_short(const char *what, uint32_t size, size_t first_size)
{
	return lsvd_fail(-EINVAL,
			 "%s: size field is %u, expected at least %zu (use the INIT macro)", what,
			 size, first_size);
}

int lsvd_options_copy(void *dst, size_t dst_size, const void *src, size_t first_size,
		      const char *what)
{
	uint32_t size;

	memset(dst, 0, dst_size);
	if (!src)
		return 0;
	size = size_of(src);
	if (size < first_size)
		return too_short(what, size, first_size);
	for (size_t i = dst_size; i < size; i++)
		if (((const uint8_t *)src)[i])
			return lsvd_fail(-E2BIG,
					 "%s: byte %zu of %u is set, this library knows %zu", what,
					 i, size, dst_size);
	memcpy(dst, src, size < dst_size ? size : dst_size);
	return 0;
}

int lsvd_options_check(const void *dst, size_t first_size, const char *what)
{
	uint32_t size = dst ? size_of(dst) : UINT32_MAX;

	return size < first_size ? too_short(what, size, first_size) : 0;
}

int lsvd_options_fill(void *dst, const void *src, size_t src_size, size_t first_size,
		      const char *what)
{
	int err = dst ? lsvd_options_check(dst, first_size, what)
		      : lsvd_fail(-EINVAL, "%s: there is no place for it, only NULL", what);
	uint32_t size;
	size_t n;

	if (err)
		return err;
	size = size_of(dst);
	n = size < src_size ? size : src_size;
	memcpy((uint8_t *)dst + 4, (const uint8_t *)src + 4, n - 4);
	if (size > src_size)
		memset((uint8_t *)dst + src_size, 0, size - src_size);
	return 0;
}
