/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_codec.h - the compressors behind one small interface.
 *
 * Both work on whole units, or on values (at most CODEC_MAX_BYTES), and know nothing of frames.
 * LZ4 is the bare block format, zlib is bare deflate (RFC 1951): the unit has a checksum of its
 * own.
 */
#ifndef SEGMENT_SEG_CODEC_H
#define SEGMENT_SEG_CODEC_H

#include <stdint.h>

#include "segment/unit.h"

#define CODEC_MAX_BYTES (1u << 20)

struct compressor;

/* For codec other than CODEC_RAW. -ENOMEM. */
int lsvd_compressor_new(struct compressor **ret, enum codec codec);
void lsvd_compressor_free(struct compressor *c);

/* Bytes written to `dst`, or 0 if more than `cap` would be needed. */
uint32_t lsvd_compress(struct compressor *c, void *dst, uint32_t cap, const void *src,
		       uint32_t len);

/*
 * Fills exactly `raw` bytes from exactly `stored` bytes, which may be anything. -EBADMSG if they do
 * not give that; -ENOMEM.
 */
int lsvd_decompress(enum codec codec, void *dst, uint32_t raw, const void *src, uint32_t stored);

#endif
