/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_record.h - a record of a value log: a key and its value, provable by itself.
 *
 *    0  u64  checksum of all that follows in the record but the pieces, bound to where it is
 *    8  u8   codec, 0: the value is stored as it is
 *    9  u8   flags: VLOG_PIECES
 *   10  u16  length of the key
 *   12  u32  length of the value
 *   16  u64  length of what is stored of it, the table of pieces not counted
 *   24       key; with PIECES the table; the stored value
 *
 * The checksum is lsvd_hash_bind(H, owner, segment, offset), H the hash of the bytes from 8 on: so a
 * record in another place, of another segment or log does not verify, and one that is moved as it is
 * needs not be hashed again.
 *
 * A value longer than VLOG_PIECED_BYTES is stored in pieces of VLOG_PIECE_BYTES, each compressed or not by
 * itself. The table has for each {u32 stored length, u64 hash of the stored bytes}, and is covered by
 * the record's checksum: a part of the value can be read and verified with head, key and table alone.
 *
 * Pure but for memory: bytes in, structs out. A decoder may be given any bytes at all.
 */
#ifndef VLOG_VLOG_RECORD_H
#define VLOG_VLOG_RECORD_H

#include <stdbool.h>

#include <lsvd/vlog.h>

#define VLOG_RECORD_HEAD 24u
#define VLOG_PIECED_BYTES (1u << 20)
#define VLOG_PIECE_BYTES (64u << 10)
#define VLOG_PIECE_ENTRY 12u
#define VLOG_PIECES 1u           /* flag */
#define VLOG_RECORD_LIMIT (UINT64_C(1) << 33) /* no record is longer */

#endif
