/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_finish.c - a built segment on its way: its header finished, records put behind its extents;
 * freed.
 *
 *   BUILT -> (records added, once) -> FINISHED
 *
 * Only the header changes; the body lies where it did. So records move the offsets of all extents.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "segment/seg_arena.h"

#define EXTENTS_AT (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)

uint64_t lsvd_segment_finish(struct segment *s, struct object_head *head, struct chain_part *chain)
{
	head->kind = OBJECT_DATA;
	head->header_bytes = s->header_bytes;
	head->body_bytes = s->body_bytes;
	chain->extents = s->extent_count;
	chain->extent_bytes = s->extent_bytes;
	chain->records = s->record_count;
	chain->record_bytes = s->record_bytes;
	lsvd_chain_part_encode(s->header + OBJECT_HEAD_BYTES, chain);
	lsvd_object_head_encode(s->header, head);
	return head->checksum;
}

int lsvd_segment_add_records(struct segment *s, const uint8_t *records, uint32_t count,
			     uint32_t bytes)
{
	uint32_t at = (uint32_t)round_up(EXTENTS_AT + s->extent_bytes, 8);
	uint64_t header_bytes = round_up((uint64_t)at + bytes, 16);
	uint8_t *header;

	assert(!s->record_count && bytes % 8 == 0);
	if (header_bytes > OBJECT_HEADER_MAX || header_bytes + s->body_bytes > SEG_OBJECT_MAX)
		return lsvd_fail(-E2BIG, "segment: header of %" PRIu64 " bytes with its records, "
				 "expected at most %u", header_bytes, OBJECT_HEADER_MAX);
	header = lsvd_realloc(s->header, header_bytes);
	if (!header)
		return lsvd_fail_plain(-ENOMEM);
	memcpy(header + at, records, bytes);
	memset(header + at + bytes, 0, header_bytes - at - bytes);
	for (uint32_t i = 0; i < s->extent_count; i++)
		if (seg_has_body(&s->extents[i]))
			s->extents[i].off += (uint32_t)header_bytes - s->header_bytes;
	s->header = header;
	s->header_bytes = (uint32_t)header_bytes;
	s->record_count = count;
	s->record_bytes = bytes;
	s->iov[0] = (struct iovec){ header, header_bytes };
	return 0;
}

uint64_t lsvd_segment_finish_moved(struct segment *s, struct object_head *head)
{
	const struct moved_part part = { s->extent_count, s->extent_bytes };

	head->kind = OBJECT_MOVED;
	head->header_bytes = s->header_bytes;
	head->body_bytes = s->body_bytes;
	lsvd_moved_part_encode(s->header + OBJECT_HEAD_BYTES, &part);
	lsvd_object_head_encode(s->header, head);
	return head->checksum;
}

void lsvd_segment_free(struct segment *s)
{
	if (!s)
		return;
	lsvd_seg_arena_free(s);
	lsvd_free(s->header);
	lsvd_free(s->extents);
	lsvd_free(s->iov);
	lsvd_free(s);
}
