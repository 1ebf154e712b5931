/* SPDX-License-Identifier: BSD-2-Clause */
/* uuid.h - 16-byte identifiers: printing, parsing, and making one of random bytes. */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

struct uuid {
	uint8_t b[16];
};

#define UUID_TEXT_LEN 36

/* Sets the version and variant bits of 16 random bytes (RFC 9562, version 4). */
void lsvd_uuid_stamp(struct uuid *u);
void lsvd_uuid_format(const struct uuid *u, char text[UUID_TEXT_LEN + 1]);
/* Upper and lower case; false if the text is not 8-4-4-4-12 hexadecimal digits. */
bool lsvd_uuid_parse(struct uuid *ret, const char *text);
bool lsvd_uuid_equal(const struct uuid *a, const struct uuid *b);
/* The owner seed of lsvd_hash_bind(). */
uint64_t lsvd_uuid_seed(const struct uuid *u);

#endif
