/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_wal.c - superblock slots and group headers of the local log.
 *
 * Superblock slot (4096 bytes): 0 magic "LSVDWAL\0", 8 u32 version, 12 u32 flags, 16 u64
 * generation, 24 volume uuid, 40 cache id, 56 u64 run, 64 epoch, 72 base epoch, 80 ring bytes, 88
 * tail, 96 tail op, 104 tail run, 112 durable, 120 stored op, 128 run start, 136 whole run, 144
 * offline op, zeroes, 4088 u64 XXH3 of what is before it.
 *
 * Group header: 0 magic "LSVDWGRP", 8 u64 pos, 16 run, 24 previous run, 32 epoch, 40 first op,
 * 48 durable, 56 stored op, 64 u32 records, 68 u32 header bytes, 72 u32 data bytes, 76 u32 flags,
 * 80 u64 checksum, 88 zeroes, 96 the records {u64 lba, u64 sectors, u32 kind, u32 0}, then a u64
 * checksum for each data block. The header's checksum is XXH3 of all its bytes (the field itself
 * zero) seeded with the volume.
 */
#include "format/fmt_wal.h"

#include <lsvd/volume.h>

#include "base/err.h"
#include "base/hash.h"

static const char super_magic[8] = "LSVDWAL";
static const char group_magic[8] = { 'L', 'S', 'V', 'D', 'W', 'G', 'R', 'P' };

#define SUPER_SUM (WAL_SLOT_BYTES - 8)

void lsvd_wal_super_encode(uint8_t slot[WAL_SLOT_BYTES], const struct wal_super *s)
{
	memset(slot, 0, WAL_SLOT_BYTES);
	memcpy(slot, super_magic, 8);
	le32_put(slot + 8, WAL_VERSION);
	le32_put(slot + 12, s->flags);
	le64_put(slot + 16, s->generation);
	memcpy(slot + 24, s->volume.b, 16);
	memcpy(slot + 40, s->cache_id.b, 16);
	le64_put(slot + 56, s->run);
	le64_put(slot + 64, s->epoch);
	le64_put(slot + 72, s->base_epoch);
	le64_put(slot + 80, s->ring_bytes);
	le64_put(slot + 88, s->tail);
	le64_put(slot + 96, s->tail_op);
	le64_put(slot + 104, s->tail_run);
	le64_put(slot + 112, s->durable);
	le64_put(slot + 120, s->stored_op);
	le64_put(slot + 128, s->run_start);
	le64_put(slot + 136, s->whole_run);
	le64_put(slot + 144, s->offline_op);
	le64_put(slot + SUPER_SUM, lsvd_hash(slot, SUPER_SUM));
}

/* What is well sealed may still be nonsense: nobody has to be able to count on it. */
static int check_super(const struct wal_super *s, const char *what)
{
	if (s->ring_bytes < WAL_RING_MIN_BYTES || s->ring_bytes > WAL_RING_MAX_BYTES ||
	    s->ring_bytes % BLOCK_BYTES)
		return lsvd_fail(LSVD_E_CORRUPT, "%s: ring of %llu bytes, expected %llu to %llu in "
				 "blocks", what, (unsigned long long)s->ring_bytes,
				 (unsigned long long)WAL_RING_MIN_BYTES,
				 (unsigned long long)WAL_RING_MAX_BYTES);
	if (s->tail % BLOCK_BYTES || s->tail > WAL_POS_MAX)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "%s: tail at %llu, expected a block's beginning up to %llu", what,
				 (unsigned long long)s->tail, (unsigned long long)WAL_POS_MAX);
	if (s->tail_op == 0)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "%s: the tail begins with operation 0, expected 1 or more", what);
	return 0;
}

int lsvd_wal_super_decode(struct wal_super *ret, const uint8_t slot[WAL_SLOT_BYTES],
			  const char *what)
{
	uint64_t sum = lsvd_hash(slot, SUPER_SUM);

	if (memcmp(slot, super_magic, 8) != 0)
		return lsvd_fail(LSVD_E_CORRUPT, "%s: no superblock magic", what);
	if (le64_get(slot + SUPER_SUM) != sum)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "%s: superblock checksum %016llx, expected %016llx", what,
				 (unsigned long long)le64_get(slot + SUPER_SUM),
				 (unsigned long long)sum);
	if (le32_get(slot + 8) != WAL_VERSION)
		return lsvd_fail(LSVD_E_VERSION, "%s: log version %u, this library reads %u", what,
				 le32_get(slot + 8), WAL_VERSION);
	ret->flags = le32_get(slot + 12);
	ret->generation = le64_get(slot + 16);
	memcpy(ret->volume.b, slot + 24, 16);
	memcpy(ret->cache_id.b, slot + 40, 16);
	ret->run = le64_get(slot + 56);
	ret->epoch = le64_get(slot + 64);
	ret->base_epoch = le64_get(slot + 72);
	ret->ring_bytes = le64_get(slot + 80);
	ret->tail = le64_get(slot + 88);
	ret->tail_op = le64_get(slot + 96);
	ret->tail_run = le64_get(slot + 104);
	ret->durable = le64_get(slot + 112);
	ret->stored_op = le64_get(slot + 120);
	ret->run_start = le64_get(slot + 128);
	ret->whole_run = le64_get(slot + 136);
	ret->offline_op = le64_get(slot + 144);
	return check_super(ret, what);
}

uint64_t lsvd_wal_bind(uint64_t hash, uint64_t owner, uint64_t run, uint64_t pos)
{
	return lsvd_hash_bind(hash, owner, run, pos);
}

static uint64_t header_sum(uint8_t *buf, uint32_t bytes, uint64_t owner)
{
	uint64_t kept = le64_get(buf + 80), sum;

	le64_put(buf + 80, 0);
	sum = lsvd_hash_seeded(buf, bytes, owner);
	le64_put(buf + 80, kept);
	return sum;
}

void lsvd_wal_group_encode(uint8_t *buf, const struct wal_group_head *h,
			   const struct wal_record *records, const uint64_t *hashes, uint64_t owner)
{
	uint32_t blocks = h->data_bytes / BLOCK_BYTES;
	uint64_t data_pos = h->pos + h->header_bytes;
	uint8_t *p = buf + WAL_GROUP_HEAD_BYTES;

	memset(buf, 0, WAL_GROUP_HEAD_BYTES);
	memcpy(buf, group_magic, 8);
	le64_put(buf + 8, h->pos);
	le64_put(buf + 16, h->run);
	le64_put(buf + 24, h->prev_run);
	le64_put(buf + 32, h->epoch);
	le64_put(buf + 40, h->first_op);
	le64_put(buf + 48, h->durable);
	le64_put(buf + 56, h->stored_op);
	le32_put(buf + 64, h->records);
	le32_put(buf + 68, h->header_bytes);
	le32_put(buf + 72, h->data_bytes);
	le32_put(buf + 76, h->flags);
	for (uint32_t i = 0; i < h->records; i++, p += WAL_RECORD_BYTES) {
		le64_put(p, records[i].lba);
		le64_put(p + 8, records[i].sectors);
		le32_put(p + 16, records[i].kind);
		le32_put(p + 20, 0);
	}
	for (uint32_t i = 0; i < blocks; i++, p += 8)
		le64_put(p, lsvd_wal_bind(hashes[i], owner, h->run,
					  data_pos + (uint64_t)i * BLOCK_BYTES));
	memset(p, 0, (size_t)(buf + h->header_bytes - p));
	le64_put(buf + 80, header_sum(buf, h->header_bytes, owner));
}

bool lsvd_wal_group_peek(struct wal_group_head *h, const uint8_t *buf, uint64_t pos)
{
	if (memcmp(buf, group_magic, 8) != 0)
		return false;
	h->pos = le64_get(buf + 8);
	h->run = le64_get(buf + 16);
	h->prev_run = le64_get(buf + 24);
	h->epoch = le64_get(buf + 32);
	h->first_op = le64_get(buf + 40);
	h->durable = le64_get(buf + 48);
	h->stored_op = le64_get(buf + 56);
	h->records = le32_get(buf + 64);
	h->header_bytes = le32_get(buf + 68);
	h->data_bytes = le32_get(buf + 72);
	h->flags = le32_get(buf + 76);
	return h->pos == pos && h->records <= WAL_GROUP_RECORDS_MAX &&
	       h->data_bytes <= WAL_GROUP_DATA_MAX && h->data_bytes % BLOCK_BYTES == 0 &&
	       h->header_bytes == wal_header_bytes(h->records, h->data_bytes / BLOCK_BYTES);
}

/* Fills in block of each record; false if records and data blocks do not fit together. */
static bool read_records(const uint8_t *p, const struct wal_group_head *h,
			 struct wal_record *records)
{
	uint32_t block = 0, blocks = h->data_bytes / BLOCK_BYTES;

	for (uint32_t i = 0; i < h->records; i++, p += WAL_RECORD_BYTES) {
		struct wal_record *r = &records[i];

		r->lba = le64_get(p);
		r->sectors = le64_get(p + 8);
		r->kind = le32_get(p + 16);
		r->block = block;
		if (r->kind > WAL_HOLE || !r->sectors ||
		    !range_within(r->lba, r->sectors, LSVD_VOLUME_MAX_BYTES / SECTOR_BYTES) ||
		    (r->kind == WAL_DATA && r->sectors > WAL_GROUP_DATA_MAX / SECTOR_BYTES))
			return false;
		block += wal_record_blocks(r);
		if (block > blocks)
			return false;
	}
	return block == blocks;
}

bool lsvd_wal_group_decode(uint8_t *buf, const struct wal_group_head *h,
			   struct wal_record *records, uint64_t *bound, uint64_t owner)
{
	const uint8_t *p = buf + WAL_GROUP_HEAD_BYTES;
	uint32_t blocks = h->data_bytes / BLOCK_BYTES;

	if (le64_get(buf + 80) != header_sum(buf, h->header_bytes, owner) ||
	    !read_records(p, h, records))
		return false;
	p += (size_t)h->records * WAL_RECORD_BYTES;
	for (uint32_t i = 0; i < blocks; i++)
		bound[i] = le64_get(p + (size_t)i * 8);
	return true;
}
