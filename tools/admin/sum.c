/* SPDX-License-Identifier: BSD-2-Clause */
/* sum.c - nettle's SHA-256, and hexadecimal digits. */
#include "admin/sum.h"

#include <string.h>
#include <strings.h>

void sum_init(struct sum *s)
{
	sha256_init(&s->ctx);
}

void sum_add(struct sum *s, const void *data, size_t len)
{
	sha256_update(&s->ctx, len, data);
}

void sum_add_zeroes(struct sum *s, uint64_t len)
{
	static const uint8_t zeroes[65536];

	while (len) {
		size_t n = len < sizeof zeroes ? (size_t)len : sizeof zeroes;

		sum_add(s, zeroes, n);
		len -= n;
	}
}

void sum_end(struct sum *s, char text[static SUM_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_digest(&s->ctx, sizeof digest, digest);
	for (size_t i = 0; i < sizeof digest; i++) {
		text[2 * i] = digits[digest[i] >> 4];
		text[2 * i + 1] = digits[digest[i] & 15];
	}
	text[SUM_TEXT - 1] = '\0';
}

bool sum_is_one(const char *text)
{
	return strlen(text) == SUM_TEXT - 1 &&
	       strspn(text, "0123456789abcdefABCDEF") == SUM_TEXT - 1;
}

bool sum_equal(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}
