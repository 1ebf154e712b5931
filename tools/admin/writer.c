/* SPDX-License-Identifier: BSD-2-Clause */
/* writer.c - chunks of memory that go round: being filled, or written as runs that are not zero. */
#include "admin/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/error.h>

#include "admin/long.h"
#include "admin/waiting.h"

#define CHUNKS 16u
#define BLOCK  4096u
#define RUNS   (WRITER_CHUNK / BLOCK / 2 + 1)

struct chunk {
	struct writer *writer;
	uint8_t *buf;
	unsigned left;       /* writes in flight; protected by the writer's lock */
	struct lsvd_io io[RUNS];
	struct iovec iov[RUNS];
};

struct writer {
	struct lsvd_volume *volume;
	struct chunk *chunks;
	unsigned next;
	uint64_t bytes;
	struct waiting waiting;
	/* protected by its lock */
	int err;             /* the first failure */
	char text[512];
};

bool is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static void write_done(struct lsvd_io *io)
{
	struct chunk *c = io->user;
	struct writer *w = c->writer;

	waiting_lock(&w->waiting);
	if (io->err < 0 && !w->err) {
		w->err = io->err;
		(void)snprintf(w->text, sizeof w->text, "%s", lsvd_last_error()); /* fits */
	}
	c->left--;
	waiting_wake(&w->waiting);
	waiting_unlock(&w->waiting);
}

struct writer *writer_new(struct lsvd_volume *volume)
{
	struct writer *w = calloc(1, sizeof *w);

	if (w)
		w->chunks = calloc(CHUNKS, sizeof *w->chunks);
	if (!w || !w->chunks) {
		free(w);
		(void)admin_error("out of memory");
		return NULL;
	}
	w->volume = volume;
	for (unsigned i = 0; i < CHUNKS; i++)
		w->chunks[i].writer = w;
	waiting_init(&w->waiting);
	return w;
}

static int wait_for(struct writer *w, const struct chunk *c)
{
	int stop = 0, err;

	waiting_lock(&w->waiting);
	while (c->left && !stop)
		stop = waiting_wait(&w->waiting);
	err = w->err;
	waiting_unlock(&w->waiting);
	if (err)
		return admin_error("%s", *w->text ? w->text : lsvd_strerror(err));
	return stop || admin_stopped() ? -1 : 0;
}

uint8_t *writer_buffer(struct writer *w)
{
	struct chunk *c = &w->chunks[w->next];

	if (wait_for(w, c) < 0)
		return NULL;
	if (!c->buf)
		c->buf = malloc(WRITER_CHUNK);
	if (!c->buf)
		(void)admin_error("out of memory"); /* the caller ends */
	return c->buf;
}

/* The first run of blocks that are not all zero, from `*at` on; 0: there is none. */
static uint32_t next_run(const uint8_t *buf, uint32_t *at, uint32_t len)
{
	uint32_t end;

	while (*at < len && is_zero(buf + *at, len - *at < BLOCK ? len - *at : BLOCK))
		*at += BLOCK;
	end = *at;
	while (end < len && !is_zero(buf + end, len - end < BLOCK ? len - end : BLOCK))
		end += BLOCK;
	if (*at >= len)
		return 0;
	return (end < len ? end : len) - *at;
}

void writer_put(struct writer *w, uint64_t off, uint32_t len)
{
	struct chunk *c = &w->chunks[w->next];
	uint32_t at = 0, n;
	unsigned runs = 0;

	w->next = (w->next + 1) % CHUNKS;
	for (; (n = next_run(c->buf, &at, len)); at += n) {
		c->iov[runs] = (struct iovec){c->buf + at, n};
		c->io[runs] = (struct lsvd_io){.kind = LSVD_IO_WRITE, .off = off + at, .len = n,
					       .iov = &c->iov[runs], .iovcnt = 1,
					       .done = write_done, .user = c};
		if (runs)
			c->io[runs - 1].next = &c->io[runs];
		runs++;
		w->bytes += n;
	}
	c->left = runs; /* nothing of it is in flight */
	if (runs)
		lsvd_volume_submit(w->volume, c->io);
}

int writer_finish(struct writer *w)
{
	for (unsigned i = 0; i < CHUNKS; i++)
		if (wait_for(w, &w->chunks[i]) < 0)
			return -1;
	return 0;
}

uint64_t writer_bytes(const struct writer *w)
{
	return w->bytes;
}

void writer_free(struct writer *w)
{
	if (!w)
		return;
	waiting_lock(&w->waiting);
	for (unsigned i = 0; i < CHUNKS; i++)
		while (w->chunks[i].left)
			waiting_wait_on(&w->waiting);
	waiting_unlock(&w->waiting);
	for (unsigned i = 0; i < CHUNKS; i++)
		free(w->chunks[i].buf);
	waiting_fini(&w->waiting);
	free(w->chunks);
	free(w);
}
