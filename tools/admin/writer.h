/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer.h - writes a volume from beginning to end, with many writes in flight and none of zeroes.
 *
 * The volume is new: what is not written is a hole. Failures are printed where they are met; main
 * thread only.
 */
#ifndef ADMIN_WRITER_H
#define ADMIN_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include <lsvd/volume.h>

#define WRITER_CHUNK (1u << 20)

struct writer;

/* NULL: no memory, which has been said. */
struct writer *writer_new(struct lsvd_volume *volume);
/* WRITER_CHUNK bytes to be filled; NULL: a write failed, or the user wants it to end. */
uint8_t *writer_buffer(struct writer *w);
/* Writes the buffer given last, its first `len` bytes (a multiple of 512), to `off`. */
void writer_put(struct writer *w, uint64_t off, uint32_t len);
/* Waits for all that has been put. 0 or -1. */
int writer_finish(struct writer *w);
/* Bytes put that were not zero. */
uint64_t writer_bytes(const struct writer *w);
/* Waits for what is in flight. */
void writer_free(struct writer *w);

bool is_zero(const uint8_t *p, size_t len);

#endif
