/* SPDX-License-Identifier: BSD-2-Clause */
/* vlog_record.c - records: heads, checksums, the table of pieces (vlog_record.h). */
#include "vlog/vlog_record.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"

void lsvd_vlog_record_encode(uint8_t *p, const struct vlog_record *r)
{
	p[8] = r->codec;
	p[9] = r->flags;
	le16_put(p + 10, r->key_len);
	le32_put(p + 12, r->raw);
	le64_put(p + 16, r->stored);
}

static uint64_t covered_bytes(const struct vlog_record *r)
{
	return r->flags & VLOG_PIECES ? vlog_prefix_bytes(r) : vlog_record_bytes(r);
}

uint64_t lsvd_vlog_record_hash(const uint8_t *p, const struct vlog_record *r)
{
	return lsvd_hash(p + 8, covered_bytes(r) - 8);
}

void lsvd_vlog_record_bind(uint8_t *p, uint64_t hash, const struct vlog_place *at)
{
	le64_put(p, lsvd_hash_bind(hash, at->owner, at->segment, at->offset));
}

static int bad_head(const struct vlog_place *at, const char *what, const char *field, uint64_t is,
		    uint64_t most)
{
	return lsvd_fail(LSVD_E_CORRUPT, "object %s: record at %" PRIu64 ": %s is %" PRIu64
			 ", expected at most %" PRIu64, what, at->offset, field, is, most);
}

int lsvd_vlog_record_decode(struct vlog_record *ret, const uint8_t *p, uint64_t size,
			    const struct vlog_place *at, const char *what)
{
	struct vlog_record r = { .codec = p[8], .flags = p[9], .key_len = le16_get(p + 10),
				 .raw = le32_get(p + 12), .stored = le64_get(p + 16) };

	if (r.flags & ~VLOG_PIECES)
		return bad_head(at, what, "flags", r.flags, VLOG_PIECES);
	if (r.stored > r.raw || (r.codec == 0 && r.stored != r.raw))
		return bad_head(at, what, "stored length", r.stored, r.raw);
	if (size && vlog_record_bytes(&r) != size)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: record at %" PRIu64 " of %" PRIu64
				 " bytes, expected %" PRIu64, what, at->offset,
				 vlog_record_bytes(&r), size);
	*ret = r;
	return 0;
}

static int verify_pieces(const struct vlog_record *r, const uint8_t *p, const char *what)
{
	struct vlog_piece piece = { .at = 0 };
	int err = 0;

	for (uint32_t i = 0; i < vlog_piece_count(r->raw) && !err; i++) {
		err = lsvd_vlog_piece_next(r, p, i, &piece, what);
		if (!err)
			err = lsvd_vlog_piece_verify(&piece, p + piece.at, what);
	}
	if (!err && piece.at + piece.stored != vlog_record_bytes(r))
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: pieces of a record end at %" PRIu64
				", expected %" PRIu64, what, piece.at + piece.stored,
				vlog_record_bytes(r));
	return err;
}

int lsvd_vlog_record_verify(const struct vlog_record *r, const uint8_t *p, uint64_t len,
			    const struct vlog_place *at, uint64_t *ret_hash, const char *what)
{
	uint64_t hash = lsvd_vlog_record_hash(p, r);
	uint64_t sum = lsvd_hash_bind(hash, at->owner, at->segment, at->offset);

	if (sum != le64_get(p))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: record at %" PRIu64 ": checksum %016"
				 PRIx64 ", expected %016" PRIx64, what, at->offset,
				 le64_get(p), sum);
	if (ret_hash)
		*ret_hash = hash;
	if (r->flags & VLOG_PIECES && len == vlog_record_bytes(r))
		return verify_pieces(r, p, what);
	return 0;
}

int lsvd_vlog_piece_next(const struct vlog_record *r, const uint8_t *p, uint32_t i,
			 struct vlog_piece *piece, const char *what)
{
	const uint8_t *e = p + VLOG_RECORD_HEAD + r->key_len + (size_t)i * VLOG_PIECE_ENTRY;
	uint64_t left = r->raw - (uint64_t)i * VLOG_PIECE_BYTES;

	piece->at = i ? piece->at + piece->stored : vlog_prefix_bytes(r);
	piece->stored = le32_get(e);
	piece->hash = le64_get(e + 4);
	piece->raw = (uint32_t)min_u64(left, VLOG_PIECE_BYTES);
	if (piece->stored > piece->raw || piece->at + piece->stored > vlog_record_bytes(r))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: piece %u of %u bytes at %" PRIu64
				 " of a record, expected at most %u up to %" PRIu64, what, i,
				 piece->stored, piece->at, piece->raw, vlog_record_bytes(r));
	return 0;
}

int lsvd_vlog_piece_verify(const struct vlog_piece *piece, const uint8_t *stored, const char *what)
{
	uint64_t hash = lsvd_hash(stored, piece->stored);

	if (hash == piece->hash)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT, "object %s: piece at %" PRIu64
			 " of a record: checksum %016" PRIx64 ", expected %016" PRIx64, what,
			 piece->at, hash, piece->hash);
}
