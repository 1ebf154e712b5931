/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bytes.h - little-endian load and store, big-endian load, rounding,
 * and arithmetic that notices overflow.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SECTOR_BYTES 512u
#define SECTOR_SHIFT 9
#define BLOCK_BYTES 4096u
#define BLOCK_SECTORS 8u

static inline uint16_t le16_get(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t le32_get(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t le64_get(const void *p)
{
	return (uint64_t)le32_get(p) | (uint64_t)le32_get((const uint8_t *)p + 4) << 32;
}

static inline void le16_put(void *p, uint16_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}

static inline void le32_put(void *p, uint32_t v)
{
	le16_put(p, (uint16_t)v);
	le16_put((uint8_t *)p + 2, (uint16_t)(v >> 16));
}

static inline void le64_put(void *p, uint64_t v)
{
	le32_put(p, (uint32_t)v);
	le32_put((uint8_t *)p + 4, (uint32_t)(v >> 32));
}

/* The other way round, for what others have written. */
static inline uint16_t be16_get(const void *p)
{
	return __builtin_bswap16(le16_get(p));
}

static inline uint32_t be32_get(const void *p)
{
	return __builtin_bswap32(le32_get(p));
}

static inline uint64_t be64_get(const void *p)
{
	return __builtin_bswap64(le64_get(p));
}

/* The value of a hexadecimal digit; -1: it is none. */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Two of them, in lower case. */
static inline void hex_byte(char to[2], uint8_t b)
{
	static const char digits[] = "0123456789abcdef";

	to[0] = digits[b >> 4];
	to[1] = digits[b & 15];
}

/* `to` is a power of two. */
static inline uint64_t round_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) & ~(to - 1);
}

static inline uint64_t round_down(uint64_t v, uint64_t to)
{
	return v & ~(to - 1);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Does [off, off + len) lie within [0, size)? */
static inline bool range_within(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

#endif
