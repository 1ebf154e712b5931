/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vlog.c - any bytes as a handle, a record, a footer, a record of the chain or a root of a
 * value log.
 *
 * The second byte says whether checksums are put right first: with them wrong hardly anything is
 * looked at. What is taken is gone through to its end, and what was written of it again means the
 * same.
 */
#include "fuzz.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "vlog/vlog_build.h"
#include "vlog/vlog_codec.h"
#include "vlog/vlog_table.h"

#define OWNER 77u
#define SEGMENT 5u
#define PLACE 4096u

static const struct vlog_place place = { OWNER, SEGMENT, PLACE };

static void as_handle(const uint8_t *bytes, size_t len)
{
	unsigned char again[LSVD_VLOG_HANDLE_MAX];
	struct lsvd_vlog_handle h;
	int n = lsvd_vlog_handle_decode(&h, bytes, len);

	if (n < 0)
		return;
	FUZZ_CHECK((size_t)n <= len && lsvd_vlog_handle_encode(&h, again) == (size_t)n);
	FUZZ_CHECK(memcmp(again, bytes, (size_t)n) == 0);
}

/* What a value has to be opened from: piece by piece, within the record. */
static void open_pieces(const struct vlog_record *r, const uint8_t *p, size_t len)
{
	struct vlog_codecs codecs = { .ctx = NULL };
	struct vlog_piece piece = { .at = 0 };
	static uint8_t raw[VLOG_PIECE_BYTES];

	FUZZ_CHECK(lsvd_vlog_codecs_init(&codecs, NULL, 0, NULL, LSVD_VLOG_CODEC_NONE) == 0);
	for (uint32_t i = 0; i < vlog_piece_count(r->raw); i++) {
		if (lsvd_vlog_piece_next(r, p, i, &piece, "x") < 0)
			return;
		FUZZ_CHECK(piece.at + piece.stored <= len && piece.raw <= sizeof raw);
		if (piece.stored < piece.raw)
			(void)lsvd_vlog_unpack(&codecs, r->codec, p + piece.at, piece.stored, raw,
					       piece.raw, "x");
	}
}

static void as_record(uint8_t *p, size_t len, bool seal)
{
	struct vlog_record r;

	if (len < VLOG_RECORD_HEAD || lsvd_vlog_record_decode(&r, p, len, &place, "x") < 0)
		return;
	FUZZ_CHECK(vlog_record_bytes(&r) == len && vlog_prefix_bytes(&r) <= len);
	if (seal)
		lsvd_vlog_record_bind(p, lsvd_vlog_record_hash(p, &r), &place);
	(void)lsvd_vlog_record_verify(&r, p, len, &place, NULL, "x");
	if (r.flags & VLOG_PIECES)
		open_pieces(&r, p, len);
}

static void as_footer(uint8_t *p, size_t len, bool seal)
{
	struct vlog_footer f;
	struct vlog_cursor c;
	uint64_t n = 0;
	int more;

	if (seal && len >= VLOG_TAIL_BYTES)
		le64_put(p + len - 8,
			 lsvd_hash_bind(lsvd_hash(p, len - 8), OWNER, SEGMENT, PLACE));
	if (lsvd_vlog_footer_decode(&f, p, len, OWNER, SEGMENT, PLACE, "x") < 0)
		return; /* it has taken the bytes */
	lsvd_vlog_cursor_init(&c, &f, SEGMENT, PLACE);
	while ((more = lsvd_vlog_cursor_next(&c)) > 0) {
		n++;
		FUZZ_CHECK(c.entry.offset + c.entry.size <= PLACE && c.entry.key_len > 0);
	}
	FUZZ_CHECK(more < 0 || n == f.items);
	lsvd_vlog_cursor_fini(&c);
	lsvd_vlog_footer_free(&f);
}

static void as_change(const uint8_t *bytes, size_t len, int type)
{
	struct vlog_change c, again;
	uint8_t *p;
	size_t n;

	if (lsvd_vlog_change_decode(&c, type, bytes, len, "x") < 0)
		return;
	p = lsvd_malloc(lsvd_vlog_change_room(&c));
	FUZZ_CHECK(p != NULL);
	n = lsvd_vlog_change_encode(p, type, &c);
	FUZZ_CHECK(n <= lsvd_vlog_change_room(&c));
	FUZZ_CHECK(lsvd_vlog_change_decode(&again, type, p, n, "x") == 0);
	FUZZ_CHECK(again.add_count == c.add_count && again.id_count == c.id_count);
	lsvd_vlog_change_fini(&again);
	lsvd_vlog_change_fini(&c);
	lsvd_free(p);
}

/* Body alone: the head of the object is what another target is for. */
static void as_root(const uint8_t *bytes, size_t len, bool seal)
{
	struct object_head head = { .epoch = 3, .seq = 9, .header_bytes = VLOG_ROOT_HEADER };
	struct vlog_table t = { .at = NULL };
	uint8_t *p, *again;
	size_t n;

	if (len < 16)
		return;
	head.body_bytes = len - 16;
	p = lsvd_calloc(1, VLOG_ROOT_HEADER + len);
	FUZZ_CHECK(p != NULL);
	/* The number of commits, of segments and of the dead; then the body. */
	memcpy(p + OBJECT_HEAD_BYTES + 16, bytes, 16);
	memcpy(p + VLOG_ROOT_HEADER, bytes + 16, len - 16);
	if (seal)
		le64_put(p + OBJECT_HEAD_BYTES + 32,
			 lsvd_hash_bind(lsvd_hash(p + VLOG_ROOT_HEADER, len - 16),
					lsvd_uuid_seed(&head.volume), head.epoch, head.seq));
	if (lsvd_vlog_root_decode(&t, &head, p, VLOG_ROOT_HEADER + len - 16, "x") == 0) {
		struct vlog_table same = { .at = NULL };

		FUZZ_CHECK(lsvd_vlog_root_encode(&t, &head, 9, &again, &n) == 0);
		FUZZ_CHECK(lsvd_vlog_root_decode(&same, &head, again, n, "x") == 0);
		FUZZ_CHECK(same.count == t.count && same.dead_count == t.dead_count);
		lsvd_vlog_table_fini(&same);
		lsvd_free(again);
	}
	lsvd_vlog_table_fini(&t);
	lsvd_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	bool seal = len > 1 && bytes[1] & 1;
	uint8_t *own;

	if (len < 2)
		return 0;
	own = lsvd_malloc(len - 2);
	FUZZ_CHECK(own != NULL);
	memcpy(own, bytes + 2, len - 2);
	switch (bytes[0] % 6) {
	case 0:
		as_handle(own, len - 2);
		break;
	case 1:
		as_record(own, len - 2, seal);
		break;
	case 2:
		as_footer(own, len - 2, seal);
		return 0;
	case 3:
		as_change(own, len - 2, RECORD_VLOG_COMMIT);
		break;
	case 4:
		as_change(own, len - 2, RECORD_VLOG_RETIRE);
		break;
	default:
		as_root(own, len - 2, seal);
		break;
	}
	lsvd_free(own);
	return 0;
}
