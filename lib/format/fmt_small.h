/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_small.h - what the decoders of records, claims and slots share: an object that is a header
 * and no body, and texts in it.
 */
#ifndef FORMAT_FMT_SMALL_H
#define FORMAT_FMT_SMALL_H

#include <stdbool.h>
#include <string.h>

#include <lsvd/volume.h>

#include "base/bytes.h"
#include "format/fmt_object.h"

/* The whole of a small object without a body. */
int lsvd_small_decode(struct object_head *ret, const void *buf, size_t len, int kind,
		      uint32_t bytes, const char *what);

static inline void put_text(uint8_t *p, const char *text)
{
	memcpy(p, text, strnlen(text, LSVD_NAME_MAX));
}

/* False if the text does not end where it must. */
static inline bool get_text(char ret[LSVD_NAME_MAX + 1], const uint8_t *p)
{
	memcpy(ret, p, LSVD_NAME_MAX + 1);
	return ret[LSVD_NAME_MAX] == '\0';
}

static inline bool volume_bytes_valid(uint64_t bytes)
{
	return bytes && bytes % SECTOR_BYTES == 0 && bytes <= LSVD_VOLUME_MAX_BYTES;
}

#endif
