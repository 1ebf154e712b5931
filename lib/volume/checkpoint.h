/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checkpoint.h - the bytes of a root that the volume writes and reads (docs/format.md, "Roots").
 *
 * Header: struct object_head, then u64 epoch and seq of the chain object whose state it is, u64 last
 * operation, u64 next object number, u64 volume bytes, u64 pages, u64 objects, u64 XXH3 of the body
 * seeded with the volume. Body: the pages {u64 page, u64 epoch, u64 number, u32 offset, u32 length,
 * u64 checksum}, in order; the objects {u64 number, u64 epoch, u64 seq, u64 bytes, u64 data, u64
 * live}, in order.
 */
#ifndef VOLUME_CHECKPOINT_H
#define VOLUME_CHECKPOINT_H

#include "volume/volume_internal.h"

#define ROOT_HEADER_BYTES (OBJECT_HEAD_BYTES + 64u)
#define ROOT_PAGE_BYTES 40u
#define ROOT_OBJECT_BYTES 48u

#endif
