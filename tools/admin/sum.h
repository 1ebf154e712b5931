/* SPDX-License-Identifier: BSD-2-Clause */
/* sum.h - SHA-256 of bytes and of stretches of zeroes, as text. */
#ifndef ADMIN_SUM_H
#define ADMIN_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nettle/sha2.h>

#define SUM_TEXT (2 * SHA256_DIGEST_SIZE + 1)

struct sum {
	struct sha256_ctx ctx;
};

void sum_init(struct sum *s);
void sum_add(struct sum *s, const void *data, size_t len);
void sum_add_zeroes(struct sum *s, uint64_t len);
/* 64 lower case hexadecimal digits; `s` starts anew. */
void sum_end(struct sum *s, char text[static SUM_TEXT]);

/* True if it is 64 hexadecimal digits. */
bool sum_is_one(const char *text);
/* Whatever the case of their letters. */
bool sum_equal(const char *a, const char *b);

#endif
