/* SPDX-License-Identifier: BSD-2-Clause */
/* vlog_codec.c - packing and unpacking values, whoever does it. */
#include "vlog/vlog_codec.h"

#include <errno.h>

#ifdef LSVD_HAVE_ZSTD
#include <zstd.h>
#endif

#include "base/alloc.h"
#include "base/err.h"
#include "segment/seg_codec.h"

#define ZSTD_LEVEL 3

struct vlog_packer {
	const struct vlog_codecs *codecs;
	struct compressor *compressor; /* LZ4, zlib */
	void *zstd;
};

_Static_assert((int)LSVD_VLOG_CODEC_LZ4 == (int)CODEC_LZ4, "one number");
_Static_assert((int)LSVD_VLOG_CODEC_ZLIB == (int)CODEC_ZLIB, "one number");

/* ----------------------------------------------------------------------------------------- zstd */

#ifdef LSVD_HAVE_ZSTD
static const bool have_zstd = true;

static void *zstd_new(void)
{
	return ZSTD_createCCtx();
}

static void zstd_free(void *z)
{
	(void)ZSTD_freeCCtx(z); /* cannot fail */
}

static size_t zstd_pack(void *z, const void *src, size_t len, void *dst, size_t cap)
{
	size_t n = ZSTD_compressCCtx(z, dst, cap, src, len, ZSTD_LEVEL);

	return ZSTD_isError(n) ? 0 : n;
}

static int zstd_unpack(const void *src, size_t len, void *dst, size_t raw)
{
	return ZSTD_decompress(dst, raw, src, len) == raw ? 0 : -EBADMSG;
}
#else
static const bool have_zstd = false;

static void *zstd_new(void)
{
	return NULL;
}

static void zstd_free(void *z)
{
	(void)z;
}

static size_t zstd_pack(void *z, const void *src, size_t len, void *dst, size_t cap)
{
	(void)z;
	(void)src;
	(void)len;
	(void)dst;
	(void)cap;
	return 0;
}

static int zstd_unpack(const void *src, size_t len, void *dst, size_t raw)
{
	(void)src;
	(void)len;
	(void)dst;
	(void)raw;
	return -EBADMSG;
}
#endif

/* -------------------------------------------------------------------------------------- the set */

static bool is_known(const struct vlog_codecs *c, uint32_t codec)
{
	if (codec < LSVD_VLOG_CODEC_OWN)
		return codec <= LSVD_VLOG_CODEC_ZLIB ||
		       (codec == LSVD_VLOG_CODEC_ZSTD && have_zstd);
	return codec < 256 && c->own[codec];
}

int lsvd_vlog_codecs_init(struct vlog_codecs *c, const struct lsvd_vlog_codec_ops *ops, uint32_t n,
			  void *ctx, uint32_t writes)
{
	for (uint32_t i = 0; i < n; i++) {
		if (ops[i].codec < LSVD_VLOG_CODEC_OWN || ops[i].codec > 255 || !ops[i].compress ||
		    !ops[i].decompress)
			return lsvd_fail(-EINVAL,
					 "codec %u: must be %u to 255 and have both functions",
					 ops[i].codec, LSVD_VLOG_CODEC_OWN);
		c->own[ops[i].codec] = &ops[i];
	}
	c->ctx = ctx;
	if (!is_known(c, writes))
		return lsvd_fail(writes == LSVD_VLOG_CODEC_ZSTD ? LSVD_E_UNSUPPORTED : -EINVAL,
				 "codec %u is not known", writes);
	c->writes = (uint8_t)writes;
	return 0;
}

/* -------------------------------------------------------------------------------------- packing */

int lsvd_vlog_packer_new(struct vlog_packer **ret, const struct vlog_codecs *c)
{
	struct vlog_packer *p = lsvd_calloc(1, sizeof *p);
	int err = 0;

	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	p->codecs = c;
	if (c->writes == LSVD_VLOG_CODEC_LZ4 || c->writes == LSVD_VLOG_CODEC_ZLIB)
		err = lsvd_compressor_new(&p->compressor, (enum codec)c->writes);
	if (c->writes == LSVD_VLOG_CODEC_ZSTD) {
		p->zstd = zstd_new();
		err = p->zstd ? 0 : lsvd_fail_plain(-ENOMEM);
	}
	if (err) {
		lsvd_free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void lsvd_vlog_packer_free(struct vlog_packer *p)
{
	if (!p)
		return;
	lsvd_compressor_free(p->compressor);
	zstd_free(p->zstd);
	lsvd_free(p);
}

size_t lsvd_vlog_pack(struct vlog_packer *p, const void *src, size_t len, void *dst)
{
	const struct vlog_codecs *c = p->codecs;
	size_t n;

	if (c->writes == LSVD_VLOG_CODEC_NONE || len < 2)
		return 0;
	if (p->compressor)
		return lsvd_compress(p->compressor, dst, (uint32_t)len - 1, src, (uint32_t)len);
	if (p->zstd)
		return zstd_pack(p->zstd, src, len, dst, len - 1);
	n = c->own[c->writes]->compress(c->ctx, src, len, dst, len - 1);
	return n < len ? n : 0;
}

int lsvd_vlog_unpack(const struct vlog_codecs *c, uint8_t codec, const void *src, size_t len,
		     void *dst, size_t raw, const char *what)
{
	int err;

	if (!is_known(c, codec) || codec == LSVD_VLOG_CODEC_NONE)
		return lsvd_fail(LSVD_E_UNSUPPORTED,
				 "object %s: a value with codec %u, which is not known here",
				 what, codec);
	if (codec >= LSVD_VLOG_CODEC_OWN)
		err = c->own[codec]->decompress(c->ctx, src, len, dst, raw);
	else if (codec == LSVD_VLOG_CODEC_ZSTD)
		err = zstd_unpack(src, len, dst, raw);
	else
		err = lsvd_decompress((enum codec)codec, dst, (uint32_t)raw, src, (uint32_t)len);
	if (err == -ENOMEM || !err)
		return err;
	return lsvd_fail(LSVD_E_CORRUPT, "object %s: codec %u does not make %zu bytes of %zu", what,
			 codec, raw, len);
}
