/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_codec.c - LZ4 and zlib, with their memory taken from base/alloc.h.
 *
 * A compressor's state is allocated once for a segment and reset for each unit; units do not know
 * each other, since each must be readable alone.
 */
#include "segment/seg_codec.h"

#include <assert.h>
#include <errno.h>

#include <lz4.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/err.h"

struct compressor {
	enum codec codec;
	void *lz4;
	z_stream z;
};

static void *z_alloc(void *ctx, unsigned n, unsigned size)
{
	(void)ctx;
	return lsvd_calloc(n, size);
}

static void z_free(void *ctx, void *p)
{
	(void)ctx;
	lsvd_free(p);
}

/* Windows of 64 KiB units: 2^15 is deflate's largest; memory level 8 is zlib's default. */
static int z_init(z_stream *z)
{
	z->zalloc = z_alloc;
	z->zfree = z_free;
	if (deflateInit2(z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK)
		return 0;
	return lsvd_fail_plain(-ENOMEM);
}

int lsvd_compressor_new(struct compressor **ret, enum codec codec)
{
	struct compressor *c = lsvd_calloc(1, sizeof *c);
	int err = 0;

	assert(codec != CODEC_RAW);
	if (!c)
		return lsvd_fail_plain(-ENOMEM);
	c->codec = codec;
	if (codec == CODEC_ZLIB) {
		err = z_init(&c->z);
	} else {
		c->lz4 = lsvd_malloc((size_t)LZ4_sizeofState());
		if (!c->lz4)
			err = lsvd_fail_plain(-ENOMEM);
	}
	if (err < 0) {
		lsvd_free(c);
		return err;
	}
	*ret = c;
	return 0;
}

void lsvd_compressor_free(struct compressor *c)
{
	if (!c)
		return;
	if (c->codec == CODEC_ZLIB)
		(void)deflateEnd(&c->z); /* complains about data not taken, which is our doing */
	lsvd_free(c->lz4);
	lsvd_free(c);
}

static uint32_t deflate_all(z_stream *z, void *dst, uint32_t cap, const void *src, uint32_t len)
{
	if (deflateReset(z) != Z_OK)
		return 0;
	z->next_in = (Bytef *)(uintptr_t)src; /* zlib does not write there */
	z->avail_in = len;
	z->next_out = dst;
	z->avail_out = cap;
	return deflate(z, Z_FINISH) == Z_STREAM_END ? cap - z->avail_out : 0;
}

uint32_t lsvd_compress(struct compressor *c, void *dst, uint32_t cap, const void *src, uint32_t len)
{
	int n;

	assert(len && len <= CODEC_MAX_BYTES && cap <= CODEC_MAX_BYTES);
	if (c->codec == CODEC_ZLIB)
		return deflate_all(&c->z, dst, cap, src, len);
	n = LZ4_compress_fast_extState(c->lz4, src, dst, (int)len, (int)cap, 1);
	return n > 0 ? (uint32_t)n : 0;
}

static int inflate_all(void *dst, uint32_t raw, const void *src, uint32_t stored)
{
	z_stream z = {
		.zalloc = z_alloc,
		.zfree = z_free,
		.next_in = (Bytef *)(uintptr_t)src, /* zlib does not write there */
		.avail_in = stored,
		.next_out = dst,
		.avail_out = raw,
	};
	int r;

	if (inflateInit2(&z, -15) != Z_OK)
		return lsvd_fail_plain(-ENOMEM);
	r = inflate(&z, Z_FINISH);
	(void)inflateEnd(&z); /* nothing it could say matters now */
	if (r == Z_MEM_ERROR)
		return lsvd_fail_plain(-ENOMEM);
	return r == Z_STREAM_END && z.avail_in == 0 && z.avail_out == 0 ? 0 : -EBADMSG;
}

int lsvd_decompress(enum codec codec, void *dst, uint32_t raw, const void *src, uint32_t stored)
{
	if (codec == CODEC_ZLIB)
		return inflate_all(dst, raw, src, stored);
	if (codec == CODEC_LZ4 &&
	    LZ4_decompress_safe(src, dst, (int)stored, (int)raw) == (int)raw)
		return 0;
	return -EBADMSG;
}
