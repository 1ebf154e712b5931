/* SPDX-License-Identifier: BSD-2-Clause */
/* uuid.c - identifiers as text and as bytes. */
#include "base/uuid.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

void lsvd_uuid_stamp(struct uuid *u)
{
	u->b[6] = (uint8_t)((u->b[6] & 0x0f) | 0x40);
	u->b[8] = (uint8_t)((u->b[8] & 0x3f) | 0x80);
}

static bool dash_before(int byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void lsvd_uuid_format(const struct uuid *u, char text[UUID_TEXT_LEN + 1])
{
	char *p = text;

	for (int i = 0; i < 16; i++) {
		if (dash_before(i))
			*p++ = '-';
		hex_byte(p, u->b[i]);
		p += 2;
	}
	*p = '\0';
}

bool lsvd_uuid_parse(struct uuid *ret, const char *text)
{
	struct uuid u;

	for (int i = 0; i < 16; i++) {
		int hi, lo;

		if (dash_before(i) && *text++ != '-')
			return false;
		hi = hex_digit(text[0]);
		lo = hi < 0 ? -1 : hex_digit(text[1]);
		if (lo < 0)
			return false;
		u.b[i] = (uint8_t)(hi << 4 | lo);
		text += 2;
	}
	if (*text)
		return false;
	*ret = u;
	return true;
}

bool lsvd_uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

uint64_t lsvd_uuid_seed(const struct uuid *u)
{
	return lsvd_hash(u->b, sizeof u->b);
}
