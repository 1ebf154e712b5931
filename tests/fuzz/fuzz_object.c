/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_object.c - any bytes as a name, as a header, as extents.
 *
 * The first byte says what the rest is: an object as it stands (0), an object whose header is
 * summed again first, so that what lies behind the checksum is reached (1), a name (2), or
 * integers (3).
 */
#include "format/fmt_chain.h"
#include "format/fmt_claim.h"
#include "format/fmt_slot.h"
#include "format/fmt_varint.h"
#include "format/fmt_volume.h"
#include "fuzz.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "format/fmt_key.h"
#include "format/fmt_record.h"
#include "t_segment.h"

/* Makes the fixed part believable without deciding what it says: magic, length, checksum. */
static void seal(uint8_t *object, size_t len)
{
	struct object_head h = { .kind = le16_get(object + 10) };

	h.header_bytes = le32_get(object + 12);
	if (h.header_bytes < OBJECT_HEAD_BYTES || h.header_bytes > len || h.header_bytes % 16)
		h.header_bytes = (uint32_t)round_down(min_u64(len, OBJECT_HEADER_MAX), 16);
	memcpy(h.volume.b, object + 24, sizeof h.volume.b);
	h.epoch = le64_get(object + 40);
	h.seq = le64_get(object + 48);
	h.object = le64_get(object + 56);
	h.body_bytes = le64_get(object + 64);
	lsvd_object_head_encode(object, &h);
}

static void check_extents(const struct t_header *h)
{
	uint64_t at = 0, off = h->head.header_bytes;
	uint64_t end = off + h->head.body_bytes;

	for (uint32_t i = 0; i < h->count; i++) {
		const struct seg_extent *e = &h->extents[i];

		FUZZ_CHECK(e->lba >= at && e->sectors > 0 && e->kind <= SEG_HOLE);
		at = e->lba + e->sectors;
		FUZZ_CHECK(at <= h->chain.volume_bytes / SECTOR_BYTES);
		if (e->kind == SEG_RAW || e->kind == SEG_UNIT) {
			FUZZ_CHECK(e->off >= off && e->off < end && e->off % 16 == 0);
			off = e->off + UNIT_FRAME_BYTES;
		} else {
			FUZZ_CHECK(e->off == 0);
		}
	}
}

/* What was understood, written and read again, is the same. */
static void check_chain(const struct t_header *h, const uint8_t *object)
{
	uint8_t *again = malloc(h->head.header_bytes), once_more[CHAIN_PART_BYTES];
	struct object_head head = h->head;
	struct chain_part chain;

	if (!again)
		abort();
	memcpy(again, object, h->head.header_bytes);
	lsvd_chain_part_encode(again + OBJECT_HEAD_BYTES, &h->chain);
	lsvd_object_head_encode(again, &head);
	FUZZ_CHECK(lsvd_chain_part_decode(&chain, again, &head, "x") == 0);
	lsvd_chain_part_encode(once_more, &chain);
	FUZZ_CHECK(memcmp(again + OBJECT_HEAD_BYTES, once_more, sizeof once_more) == 0);
	free(again);
}

/* The records of a chain object, and the extents of a moved one, stay within its header. */
static void as_note_or_moved(const uint8_t *object, size_t len)
{
	struct object_head head;
	struct chain_part chain;
	struct moved_part moved;
	struct record_walk walk;
	struct record record;
	struct seg_extent *extents;
	uint32_t count;

	if (lsvd_object_head_decode(&head, object, len, "x") < 0)
		return;
	if (lsvd_chain_part_decode(&chain, object, &head, "x") == 0 &&
	    (head.kind == OBJECT_NOTE || head.kind == OBJECT_DATA)) {
		lsvd_record_walk(&walk, object, &chain, "x");
		while (lsvd_record_next(&walk, &record) > 0)
			FUZZ_CHECK(record.payload + record.len <= object + head.header_bytes);
	}
	if (lsvd_moved_part_decode(&moved, object, &head, "x") == 0 &&
	    lsvd_segment_moved_extents(&extents, &count, object, &head, &moved, "x") == 0)
		lsvd_free(extents);
}

static void as_object(const uint8_t *object, size_t len)
{
	struct t_header h;
	struct fmt_volume volume;
	struct fmt_claim claim;
	struct fmt_slot slot;
	struct uuid uuid = { { 0 } };

	memset(&h, 0, sizeof h);
	if (lsvd_volume_record_decode(&volume, object, len, "x") == 0)
		FUZZ_CHECK(lsvd_name_valid(volume.name) &&
			   (volume.kind == OBJECT_VLOG || volume.bytes % SECTOR_BYTES == 0));
	if (len >= OBJECT_HEAD_BYTES)
		memcpy(uuid.b, object + 24, sizeof uuid.b);
	if (lsvd_claim_decode(&claim, &uuid, 0, object, len, "x") == 0)
		FUZZ_CHECK(strlen(claim.host) <= 64);
	if (lsvd_slot_decode(&slot, &uuid, 17, object, len, "x") == 0)
		FUZZ_CHECK(slot.what >= SLOT_ADD && slot.what <= SLOT_DOUBT &&
			   strlen(slot.name) <= 64);
	as_note_or_moved(object, len);
	if (t_header_read(&h, object, len) == 0) {
		check_extents(&h);
		check_chain(&h, object);
		lsvd_free(h.extents);
	}
}

static void as_sealed_object(const uint8_t *bytes, size_t len)
{
	uint8_t *object = malloc(len ? len : 1);

	if (!object)
		abort();
	if (len)
		memcpy(object, bytes, len);
	if (len >= OBJECT_HEAD_BYTES)
		seal(object, len);
	as_object(object, len);
	free(object);
}

static void as_name(const uint8_t *bytes, size_t len)
{
	char *name = malloc(len + 1), again[KEY_CAP];
	struct key_parts k;

	if (!name)
		abort();
	if (len)
		memcpy(name, bytes, len);
	name[len] = '\0';
	if (lsvd_name_valid(name))
		FUZZ_CHECK(strlen(name) <= 64 && !strchr(name, '/') && name[0] != '.');
	if (lsvd_key_parse(&k, name)) {
		if (k.kind == KEY_CLAIM)
			lsvd_key_claim(again, &k.uuid, k.epoch);
		else if (k.kind == KEY_CHAIN)
			lsvd_key_chain(again, &k.uuid, k.epoch, k.number);
		else if (k.kind == KEY_FREE)
			lsvd_key_free(again, &k.uuid, k.epoch, k.number);
		else
			lsvd_key_root(again, &k.uuid, k.epoch, k.number);
		FUZZ_CHECK(strcmp(again, name) == 0);
	}
	free(name);
}

static void as_integers(const uint8_t *bytes, size_t len)
{
	uint8_t again[10];
	uint64_t v;
	size_t n;

	while ((n = lsvd_varint_get(bytes, len, &v)) > 0) {
		FUZZ_CHECK(n <= len && lsvd_varint_put(again, v) == n);
		FUZZ_CHECK(memcmp(again, bytes, n) == 0);
		bytes += n;
		len -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return 0;
	switch (bytes[0] & 3) {
	case 0:
		as_object(bytes + 1, len - 1);
		break;
	case 1:
		as_sealed_object(bytes + 1, len - 1);
		break;
	case 2:
		as_name(bytes + 1, len - 1);
		break;
	case 3:
		as_integers(bytes + 1, len - 1);
		break;
	}
	return 0;
}
