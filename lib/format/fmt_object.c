/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_object.c - the part that headers of all objects have: bytes to struct and back
 * (docs/format.md, "Objects").
 *
 * The layouts are the tables of docs/format.md; the enums here and in the files of the kinds of
 * objects are their only copy in code. What a table calls reserved is written as zero and not
 * looked at.
 *
 * A decoder looks in this order: magic, version (a newer one may have another checksum), length,
 * checksum, and only then at what the rest means. So a damaged header is LSVD_E_CORRUPT, and
 * LSVD_E_VERSION is said only of a header that somebody wrote that way, or whose version field
 * itself was hit.
 */
#include "format/fmt_object.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_small.h"

/* Of all kinds of objects but one there are none. */
static uint32_t known_incompat(uint16_t kind)
{
	return kind == OBJECT_VOLUME ? OBJECT_INCOMPAT_LOWERS : 0;
}

static const char magic[8] = "LSVDOBJ";

enum head_at {
	HEAD_MAGIC = 0,
	HEAD_VERSION = 8,
	HEAD_KIND = 10,
	HEAD_HEADER_BYTES = 12,
	HEAD_COMPAT = 16,
	HEAD_INCOMPAT = 20,
	HEAD_VOLUME = 24,
	HEAD_EPOCH = 40,
	HEAD_SEQ = 48,
	HEAD_OBJECT = 56,
	HEAD_BODY_BYTES = 64,
	HEAD_CHECKSUM = 72,
};

/* The checksum of a header whose checksum field may hold anything. Hashed in two halves, so that
 * neither a copy nor a change of the caller's bytes is needed: docs/format.md, "Checksums". */
static uint64_t header_checksum(const uint8_t *header, uint32_t header_bytes,
				const struct uuid *volume)
{
	uint64_t seed = lsvd_uuid_seed(volume);
	uint64_t rest = lsvd_hash_seeded(header + OBJECT_HEAD_BYTES,
					 header_bytes - OBJECT_HEAD_BYTES, seed);
	uint8_t head[OBJECT_HEAD_BYTES];

	memcpy(head, header, sizeof head);
	le64_put(head + HEAD_CHECKSUM, rest);
	return lsvd_hash_seeded(head, sizeof head, seed);
}

void lsvd_object_head_encode(void *buf, struct object_head *h)
{
	uint8_t *p = buf;

	assert(h->header_bytes >= OBJECT_HEAD_BYTES && h->header_bytes <= OBJECT_HEADER_MAX);
	assert(h->header_bytes % 16 == 0);
	memcpy(p + HEAD_MAGIC, magic, sizeof magic);
	le16_put(p + HEAD_VERSION, OBJECT_VERSION);
	le16_put(p + HEAD_KIND, h->kind);
	le32_put(p + HEAD_HEADER_BYTES, h->header_bytes);
	le32_put(p + HEAD_COMPAT, h->compat);
	le32_put(p + HEAD_INCOMPAT, h->incompat);
	memcpy(p + HEAD_VOLUME, h->volume.b, sizeof h->volume.b);
	le64_put(p + HEAD_EPOCH, h->epoch);
	le64_put(p + HEAD_SEQ, h->seq);
	le64_put(p + HEAD_OBJECT, h->object);
	le64_put(p + HEAD_BODY_BYTES, h->body_bytes);
	h->checksum = header_checksum(p, h->header_bytes, &h->volume);
	le64_put(p + HEAD_CHECKSUM, h->checksum);
}

static void read_head(struct object_head *h, const uint8_t *p)
{
	h->kind = le16_get(p + HEAD_KIND);
	h->header_bytes = le32_get(p + HEAD_HEADER_BYTES);
	h->compat = le32_get(p + HEAD_COMPAT);
	h->incompat = le32_get(p + HEAD_INCOMPAT);
	memcpy(h->volume.b, p + HEAD_VOLUME, sizeof h->volume.b);
	h->epoch = le64_get(p + HEAD_EPOCH);
	h->seq = le64_get(p + HEAD_SEQ);
	h->object = le64_get(p + HEAD_OBJECT);
	h->body_bytes = le64_get(p + HEAD_BODY_BYTES);
	h->checksum = le64_get(p + HEAD_CHECKSUM);
}

/* What can be said before the whole header is there. */
static int check_outline(const uint8_t *p, size_t len, const char *what)
{
	uint32_t header_bytes;
	uint16_t version;

	if (len < OBJECT_HEAD_BYTES)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: %zu bytes, expected at least %u", what,
				 len, OBJECT_HEAD_BYTES);
	if (memcmp(p + HEAD_MAGIC, magic, sizeof magic) != 0)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: magic %016" PRIx64 ", expected %016" PRIx64, what,
				 le64_get(p + HEAD_MAGIC), le64_get(magic));
	version = le16_get(p + HEAD_VERSION);
	if (version > OBJECT_VERSION)
		return lsvd_fail(LSVD_E_VERSION, "object %s: version %u, this library knows %u",
				 what, version, OBJECT_VERSION);
	if (version == 0)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: version 0, expected %u", what,
				 OBJECT_VERSION);
	header_bytes = le32_get(p + HEAD_HEADER_BYTES);
	if (header_bytes < OBJECT_HEAD_BYTES || header_bytes > OBJECT_HEADER_MAX ||
	    header_bytes % 16)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: header of %u bytes, expected %u to %u in steps of 16",
				 what, header_bytes, OBJECT_HEAD_BYTES, OBJECT_HEADER_MAX);
	return 0;
}

static int check_known(const struct object_head *h, const char *what)
{
	if (h->incompat & ~known_incompat(h->kind))
		return lsvd_fail(LSVD_E_VERSION,
				 "object %s: incompatible features %08x, this library knows %08x",
				 what, h->incompat, known_incompat(h->kind));
	if (h->kind < OBJECT_VOLUME || h->kind > OBJECT_SLOT)
		return lsvd_fail(LSVD_E_VERSION, "object %s: kind %u, this library knows %u to %u",
				 what, h->kind, OBJECT_VOLUME, OBJECT_SLOT);
	return 0;
}

int lsvd_object_head_decode(struct object_head *ret, const void *buf, size_t len, const char *what)
{
	struct object_head h;
	uint64_t sum;
	int err;

	err = check_outline(buf, len, what);
	if (err < 0)
		return err;
	read_head(&h, buf);
	if (h.header_bytes > len) {
		*ret = h;
		return -ENODATA;
	}
	sum = header_checksum(buf, h.header_bytes, &h.volume);
	if (sum != h.checksum)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: header checksum %016" PRIx64 ", expected %016" PRIx64,
				 what, h.checksum, sum);
	err = check_known(&h, what);
	if (err < 0)
		return err;
	*ret = h;
	return 0;
}

int lsvd_object_head_expect(const struct object_head *h, const struct uuid *volume, int kind,
			    uint64_t epoch, uint64_t seq, const char *what)
{
	char is[UUID_TEXT_LEN + 1], wanted[UUID_TEXT_LEN + 1];

	if (!lsvd_uuid_equal(&h->volume, volume)) {
		lsvd_uuid_format(&h->volume, is);
		lsvd_uuid_format(volume, wanted);
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: of volume %s, expected %s", what, is,
				 wanted);
	}
	if (kind && h->kind != kind)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: kind %u, expected %d", what, h->kind,
				 kind);
	if (h->epoch != epoch || h->seq != seq)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: epoch %" PRIu64 " seq %" PRIu64
				 ", expected epoch %" PRIu64 " seq %" PRIu64,
				 what, h->epoch, h->seq, epoch, seq);
	return 0;
}

uint16_t lsvd_object_kind_of(const void *buf, size_t len)
{
	return len < OBJECT_HEAD_BYTES ? 0 : le16_get((const uint8_t *)buf + HEAD_KIND);
}

int lsvd_small_decode(struct object_head *ret, const void *buf, size_t len, int kind,
		      uint32_t bytes, const char *what)
{
	struct object_head h;
	int err;

	err = lsvd_object_head_decode(&h, buf, len, what);
	if (err == -ENODATA || (err == 0 && h.header_bytes < bytes))
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: %zu bytes with a header of %u, expected %u", what, len,
				 h.header_bytes, bytes);
	if (err < 0)
		return err;
	if (h.kind != kind)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: kind %u, expected %d", what, h.kind,
				 kind);
	*ret = h;
	return 0;
}
