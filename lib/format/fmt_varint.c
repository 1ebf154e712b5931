/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_varint.c - integers of variable length: LEB128, unsigned, in the shortest form.
 */
#include "format/fmt_varint.h"

size_t lsvd_varint_put(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

/* Only the shortest form of a number is one: two encodings of the same header cannot both be. */
size_t lsvd_varint_get(const uint8_t *p, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t n = 0; n < len && n < 10; n++) {
		uint64_t bits = p[n] & 0x7f;

		if (n == 9 && bits > 1)
			return 0;
		v |= bits << (7 * n);
		if (p[n] & 0x80)
			continue;
		if (n && p[n] == 0)
			return 0;
		*ret = v;
		return n + 1;
	}
	return 0;
}
