/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_mirror.c - heads and records of mirrors.
 *
 * Head (4096 bytes): 0 magic "LSVDMAP\0", 8 u32 version, 12 u32 flags, 16 u64 generation, 24 volume
 * uuid, 40 cache id, 56 u64 run, 64 nonce, 72 volume bytes, 80 epoch, 88 seq, 96 last op, 104 next
 * object, 112 snapshot end, zeroes, 4088 u64 XXH3 of what is before it.
 *
 * Record: 0 magic "LSVDMREC", 8 u64 nonce, 16 offset in the file, 24 u32 kind, 28 u32 payload
 * bytes, 32 u64 checksum, 40 zeroes, 48 the payload. The checksum is XXH3 of header (the field
 * itself zero) and payload, seeded with the volume.
 */
#include "format/fmt_mirror.h"

#include <string.h>

#include <lsvd/volume.h>

#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_object.h"

static const char head_magic[8] = "LSVDMAP";
static const char record_magic[8] = { 'L', 'S', 'V', 'D', 'M', 'R', 'E', 'C' };

#define HEAD_SUM (MIRROR_HEAD_BYTES - 8)

void lsvd_mirror_head_encode(uint8_t buf[MIRROR_HEAD_BYTES], const struct mirror_head *h)
{
	memset(buf, 0, MIRROR_HEAD_BYTES);
	memcpy(buf, head_magic, 8);
	le32_put(buf + 8, MIRROR_VERSION);
	le32_put(buf + 12, h->flags);
	le64_put(buf + 16, h->generation);
	memcpy(buf + 24, h->volume.b, 16);
	memcpy(buf + 40, h->cache_id.b, 16);
	le64_put(buf + 56, h->run);
	le64_put(buf + 64, h->nonce);
	le64_put(buf + 72, h->volume_bytes);
	le64_put(buf + 80, h->epoch);
	le64_put(buf + 88, h->seq);
	le64_put(buf + 96, h->last_op);
	le64_put(buf + 104, h->next_object);
	le64_put(buf + 112, h->snapshot_end);
	le64_put(buf + HEAD_SUM, lsvd_hash(buf, HEAD_SUM));
}

/* What is well sealed may still be nonsense: nobody has to be able to count on it. */
static int check_head(const struct mirror_head *h, const char *what)
{
	if (!h->volume_bytes || h->volume_bytes % SECTOR_BYTES ||
	    h->volume_bytes > LSVD_VOLUME_MAX_BYTES)
		return lsvd_fail(LSVD_E_CORRUPT, "%s: of a volume of %llu bytes, expected sectors "
				 "up to %llu bytes", what, (unsigned long long)h->volume_bytes,
				 (unsigned long long)LSVD_VOLUME_MAX_BYTES);
	if (h->next_object > OBJECT_NUMBER_LIMIT)
		return lsvd_fail(LSVD_E_CORRUPT, "%s: object numbers up to %llu, expected "
				 "less than %llu", what, (unsigned long long)h->next_object,
				 (unsigned long long)OBJECT_NUMBER_LIMIT);
	if (h->generation == 0 || h->generation == UINT64_MAX)
		return lsvd_fail(LSVD_E_CORRUPT, "%s: generation %llu has none before or after it",
				 what, (unsigned long long)h->generation);
	return 0;
}

int lsvd_mirror_head_decode(struct mirror_head *ret, const uint8_t buf[MIRROR_HEAD_BYTES],
			    const char *what)
{
	uint64_t sum = lsvd_hash(buf, HEAD_SUM);

	if (memcmp(buf, head_magic, 8) != 0)
		return lsvd_fail(LSVD_E_CORRUPT, "%s: no mirror's magic", what);
	if (le64_get(buf + HEAD_SUM) != sum)
		return lsvd_fail(LSVD_E_CORRUPT, "%s: head checksum %016llx, expected %016llx",
				 what, (unsigned long long)le64_get(buf + HEAD_SUM),
				 (unsigned long long)sum);
	if (le32_get(buf + 8) != MIRROR_VERSION)
		return lsvd_fail(LSVD_E_VERSION, "%s: mirror version %u, this library reads %u",
				 what, le32_get(buf + 8), MIRROR_VERSION);
	ret->flags = le32_get(buf + 12);
	ret->generation = le64_get(buf + 16);
	memcpy(ret->volume.b, buf + 24, 16);
	memcpy(ret->cache_id.b, buf + 40, 16);
	ret->run = le64_get(buf + 56);
	ret->nonce = le64_get(buf + 64);
	ret->volume_bytes = le64_get(buf + 72);
	ret->epoch = le64_get(buf + 80);
	ret->seq = le64_get(buf + 88);
	ret->last_op = le64_get(buf + 96);
	ret->next_object = le64_get(buf + 104);
	ret->snapshot_end = le64_get(buf + 112);
	return check_head(ret, what);
}

static uint64_t record_sum(const uint8_t *buf, const struct mirror_head *h, uint32_t bytes)
{
	return lsvd_hash_seeded(buf, MIRROR_RECORD_BYTES + (size_t)bytes,
				lsvd_uuid_seed(&h->volume));
}

void lsvd_mirror_record_encode(uint8_t *buf, const struct mirror_head *h, uint64_t off,
			       enum mirror_kind kind, uint32_t bytes)
{
	memset(buf, 0, MIRROR_RECORD_BYTES);
	memcpy(buf, record_magic, 8);
	le64_put(buf + 8, h->nonce);
	le64_put(buf + 16, off);
	le32_put(buf + 24, kind);
	le32_put(buf + 28, bytes);
	le64_put(buf + 32, record_sum(buf, h, bytes));
}

bool lsvd_mirror_record_peek(const uint8_t *buf, const struct mirror_head *h, uint64_t off,
			     uint32_t *ret_kind, uint32_t *ret_bytes)
{
	*ret_kind = le32_get(buf + 24);
	*ret_bytes = le32_get(buf + 28);
	return memcmp(buf, record_magic, 8) == 0 && le64_get(buf + 8) == h->nonce &&
	       le64_get(buf + 16) == off && *ret_bytes <= MIRROR_PAYLOAD_MAX;
}

bool lsvd_mirror_record_verify(uint8_t *buf, const struct mirror_head *h, uint32_t bytes)
{
	uint64_t kept = le64_get(buf + 32), sum;

	le64_put(buf + 32, 0);
	sum = record_sum(buf, h, bytes);
	le64_put(buf + 32, kept);
	return sum == kept;
}

void lsvd_mirror_mark_encode(uint8_t *payload, const struct mirror_mark *m)
{
	le64_put(payload, m->epoch);
	le64_put(payload + 8, m->seq);
	le64_put(payload + 16, m->last_op);
	le64_put(payload + 24, m->nonce);
}

void lsvd_mirror_mark_decode(struct mirror_mark *ret, const uint8_t *payload)
{
	ret->epoch = le64_get(payload);
	ret->seq = le64_get(payload + 8);
	ret->last_op = le64_get(payload + 16);
	ret->nonce = le64_get(payload + 24);
}
