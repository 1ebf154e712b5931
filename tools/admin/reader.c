/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader.c - a ring of slots: each holds a hole, or a read that is in flight or done.
 *
 * The oldest slot is the next piece. When it has been used its place is filled with what comes next
 * in the range, so that as many reads are in flight as there are slots, whatever the store's
 * latency.
 */
#include "admin/reader.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/error.h>

#include "admin/long.h"
#include "admin/waiting.h"

#define SLOTS    24u
#define STATUSES 128u

struct slot {
	struct reader *reader;
	struct lsvd_io io;
	struct iovec iov;
	uint8_t *buf;        /* NULL until the slot's first read */
	uint64_t off, len;
	bool hole;
	bool busy;           /* in flight; protected by the reader's lock */
	char text[512];      /* of its failure */
};

struct reader {
	struct lsvd_volume *volume;
	uint64_t off, end;   /* what no slot has yet */
	struct lsvd_status_extent status[STATUSES];
	int count, at;       /* of status; the range of [at] begins at off */
	struct slot slots[SLOTS];
	unsigned first, used;
	bool given;          /* the oldest slot is the caller's */
	struct waiting waiting;
};

static void read_done(struct lsvd_io *io)
{
	struct slot *s = io->user;
	struct reader *r = s->reader;

	if (io->err < 0)
		(void)snprintf(s->text, sizeof s->text, "%s", lsvd_last_error()); /* fits */
	waiting_lock(&r->waiting);
	s->busy = false;
	waiting_wake(&r->waiting);
	waiting_unlock(&r->waiting);
}

static int ask_status(struct reader *r)
{
	r->at = 0;
	r->count = lsvd_volume_block_status(r->volume, r->off, r->end - r->off, r->status,
					    STATUSES);
	if (r->count < 0)
		(void)admin_fail(); /* the caller says so, too */
	return r->count < 0 ? -1 : 0;
}

/* Bytes from r->off on that are zero (or not) as far as is known. */
static int stretch(struct reader *r, bool *ret_zero, uint64_t *ret_len)
{
	if (r->at == r->count && ask_status(r) < 0)
		return -1;
	*ret_zero = r->status[r->at].flags & LSVD_STATUS_ZERO;
	*ret_len = r->status[r->at].len;
	return 0;
}

static void advance(struct reader *r, uint64_t len)
{
	r->off += len;
	r->status[r->at].len -= len;
	if (r->status[r->at].len == 0)
		r->at++;
}

static int start_read(struct slot *s)
{
	struct reader *r = s->reader;

	if (!s->buf)
		s->buf = malloc(READER_PIECE);
	if (!s->buf)
		return admin_error("out of memory");
	s->iov = (struct iovec){s->buf, s->len};
	s->io = (struct lsvd_io){.kind = LSVD_IO_READ, .off = s->off, .len = s->len,
				 .iov = &s->iov, .iovcnt = 1, .done = read_done, .user = s};
	s->busy = true;
	lsvd_volume_submit(r->volume, &s->io);
	return 0;
}

/* Takes the next piece of the range into the slot. */
static int fill(struct slot *s)
{
	struct reader *r = s->reader;
	uint64_t len, n, limit;
	bool zero;

	s->off = r->off;
	s->len = 0;
	if (stretch(r, &zero, &len) < 0)
		return -1;
	s->hole = zero && (len >= READER_HOLE || r->off + len == r->end);
	if (s->hole) {
		s->len = len;
		advance(r, len);
		return 0;
	}
	limit = READER_PIECE - r->off % READER_PIECE;
	while (s->len < limit && r->off < r->end) {
		if (stretch(r, &zero, &len) < 0)
			return -1;
		if (zero && len >= READER_HOLE)
			break;
		n = len < limit - s->len ? len : limit - s->len;
		s->len += n;
		advance(r, n);
	}
	return start_read(s);
}

static int fill_all(struct reader *r)
{
	while (r->used < SLOTS && r->off < r->end) {
		if (fill(&r->slots[(r->first + r->used) % SLOTS]) < 0)
			return -1;
		r->used++;
	}
	return 0;
}

struct reader *reader_new(struct lsvd_volume *volume, uint64_t off, uint64_t len)
{
	struct reader *r = calloc(1, sizeof *r);

	if (!r) {
		(void)admin_error("out of memory");
		return NULL;
	}
	r->volume = volume;
	r->off = off;
	r->end = off + len;
	for (unsigned i = 0; i < SLOTS; i++)
		r->slots[i].reader = r;
	waiting_init(&r->waiting);
	return r;
}

static int wait_for(struct slot *s)
{
	struct reader *r = s->reader;
	int err = 0;

	waiting_lock(&r->waiting);
	while (s->busy && !err)
		err = waiting_wait(&r->waiting);
	waiting_unlock(&r->waiting);
	if (err)
		return -1;
	if (!s->hole && s->io.err < 0)
		return admin_error("%s", *s->text ? s->text : lsvd_strerror(s->io.err));
	return 0;
}

int reader_next(struct reader *r, struct reader_piece *ret)
{
	struct slot *s;

	if (r->given) {
		r->given = false;
		r->first = (r->first + 1) % SLOTS;
		r->used--;
	}
	if (admin_stopped() || fill_all(r) < 0)
		return -1;
	if (!r->used)
		return 0;
	s = &r->slots[r->first];
	if (wait_for(s) < 0)
		return -1;
	*ret = (struct reader_piece){s->off, s->len, s->hole ? NULL : s->buf};
	r->given = true;
	return 1;
}

void reader_free(struct reader *r)
{
	if (!r)
		return;
	waiting_lock(&r->waiting);
	for (unsigned i = 0; i < SLOTS; i++)
		while (r->slots[i].busy)
			waiting_wait_on(&r->waiting);
	waiting_unlock(&r->waiting);
	for (unsigned i = 0; i < SLOTS; i++)
		free(r->slots[i].buf);
	waiting_fini(&r->waiting);
	free(r);
}
