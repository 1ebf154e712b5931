/* SPDX-License-Identifier: BSD-2-Clause */
/* vlog_handle.c - handles as bytes: segment, offset and size as variable-length integers. */
#include "base/err.h"
#include "format/fmt_object.h"
#include "format/fmt_varint.h"
#include "vlog/vlog_record.h"

_Static_assert(LSVD_VLOG_HANDLE_MAX >= 6 + 6 + 5, "all that is in bounds fits");

size_t lsvd_vlog_handle_encode(const struct lsvd_vlog_handle *h,
			       unsigned char out[LSVD_VLOG_HANDLE_MAX])
{
	size_t n = lsvd_varint_put(out, h->segment & (OBJECT_NUMBER_LIMIT - 1));

	n += lsvd_varint_put(out + n, h->offset & (OBJECT_NUMBER_LIMIT - 1));
	return n + lsvd_varint_put(out + n, h->size & ((VLOG_RECORD_LIMIT << 1) - 1));
}

/* Overlong spellings are refused: what is equal is equal as bytes, too. */
int lsvd_vlog_handle_decode(struct lsvd_vlog_handle *ret, const void *bytes, size_t len)
{
	unsigned char again[LSVD_VLOG_HANDLE_MAX];
	struct lsvd_vlog_handle h;
	const uint8_t *p = bytes;
	uint64_t *fields[] = { &h.segment, &h.offset, &h.size };
	size_t at = 0;

	for (unsigned i = 0; i < 3; i++) {
		size_t n = lsvd_varint_get(p + at, len - at, fields[i]);

		if (!n)
			return lsvd_fail(LSVD_E_CORRUPT, "handle of %zu bytes: cut short, or no "
					 "number at byte %zu", len, at);
		at += n;
	}
	if (h.segment >= OBJECT_NUMBER_LIMIT || h.offset >= OBJECT_NUMBER_LIMIT ||
	    h.size > VLOG_RECORD_LIMIT || lsvd_vlog_handle_encode(&h, again) != at)
		return lsvd_fail(LSVD_E_CORRUPT, "handle: segment %llu, offset %llu, size %llu in "
				 "%zu bytes cannot be", (unsigned long long)h.segment,
				 (unsigned long long)h.offset, (unsigned long long)h.size, at);
	*ret = h;
	return (int)at;
}
