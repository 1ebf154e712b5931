/* SPDX-License-Identifier: BSD-2-Clause */
/* fmt_record.c - records: framed, and found again (docs/format.md, "Records"). */
#include "format/fmt_record.h"

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

uint32_t lsvd_record_frame(uint8_t *at, int type, unsigned flags, uint32_t len)
{
	uint32_t space = (uint32_t)record_space(len);

	le16_put(at, (uint16_t)type);
	le16_put(at + 2, (uint16_t)flags);
	le32_put(at + 4, len);
	memset(at + RECORD_HEAD_BYTES + len, 0, space - RECORD_HEAD_BYTES - len);
	return space;
}

void lsvd_record_walk(struct record_walk *w, const uint8_t *header, const struct chain_part *chain,
		      const char *what)
{
	w->p = header + chain_records_at(chain);
	w->end = w->p + chain->record_bytes;
	w->left = chain->records;
	w->what = what;
}

int lsvd_record_next(struct record_walk *w, struct record *ret)
{
	size_t room = (size_t)(w->end - w->p);

	if (w->left == 0 && room == 0)
		return 0;
	if (w->left == 0 || room < RECORD_HEAD_BYTES)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: %zu bytes and %u records left, "
				 "expected both to end together", w->what, room, w->left);
	ret->type = le16_get(w->p);
	ret->flags = le16_get(w->p + 2);
	ret->len = le32_get(w->p + 4);
	ret->payload = w->p + RECORD_HEAD_BYTES;
	if (record_space(ret->len) > room)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: record of %u bytes, expected at most %zu", w->what,
				 ret->len, room - RECORD_HEAD_BYTES);
	w->p += record_space(ret->len);
	w->left--;
	return 1;
}
