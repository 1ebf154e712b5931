/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_codec.h - codecs by number: those built in and the program's own.
 */
#ifndef VLOG_VLOG_CODEC_H
#define VLOG_VLOG_CODEC_H

#include <stdbool.h>

#include <lsvd/vlog.h>

/* Immutable once the log is open. */
struct vlog_codecs {
	const struct lsvd_vlog_codec_ops *own[256]; /* by number, or NULL */
	void *ctx;
	uint8_t writes;          /* what new values are compressed with */
};

/* The options' codecs; they point into `ops`, which stays. */
int lsvd_vlog_codecs_init(struct vlog_codecs *c, const struct lsvd_vlog_codec_ops *ops, uint32_t n,
			  void *ctx, uint32_t writes);

/* The state of one that compresses; used by one thread. */
struct vlog_packer;
int lsvd_vlog_packer_new(struct vlog_packer **ret, const struct vlog_codecs *c);
void lsvd_vlog_packer_free(struct vlog_packer *p);
/* Bytes written to dst, fewer than `len` (at most 1 MiB), or 0: it does not get smaller. */
size_t lsvd_vlog_pack(struct vlog_packer *p, const void *src, size_t len, void *dst);

/* LSVD_E_UNSUPPORTED: the codec is not known; LSVD_E_CORRUPT. */
int lsvd_vlog_unpack(const struct vlog_codecs *c, uint8_t codec, const void *src, size_t len,
		     void *dst, size_t raw, const char *what);

#endif
