/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader.h - a range of a volume from beginning to end, with many reads in flight.
 *
 * Pieces come in order of their address: data of at most READER_PIECE bytes, or a hole of any
 * length. Holes shorter than READER_HOLE are data that is zero. Failures are printed where they are
 * met; main thread only.
 */
#ifndef ADMIN_READER_H
#define ADMIN_READER_H

#include <stdint.h>

#include <lsvd/volume.h>

#define READER_PIECE (1u << 20)
#define READER_HOLE  65536u

struct reader;

struct reader_piece {
	uint64_t off, len;
	const uint8_t *data; /* NULL: a hole; valid until the next call */
};

/* NULL: no memory, which has been said. */
struct reader *reader_new(struct lsvd_volume *volume, uint64_t off, uint64_t len);
/* 1: there is a piece. 0: that was all. -1: a read failed, or the user wants it to end. */
int reader_next(struct reader *r, struct reader_piece *ret);
/* Waits for what is in flight. */
void reader_free(struct reader *r);

#endif
