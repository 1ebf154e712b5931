/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_conn.c - the bytes of a connection: where input goes, what is sent next, when it is over.
 *
 * Input is read into a chunk. What has been understood is behind `head`; when the rest of the chunk
 * is too small for the next whole thing, its beginning moves to the chunk's start, or to a new
 * chunk if requests still use this one. A large payload is not read into the chunk: what the
 * chunk has of it is copied to the request's buffer and the rest is received there. Behind it only
 * a little is read ahead (BULK_AHEAD), for it is most likely the beginning of the next payload and
 * would have to be copied.
 */
#include "nbd/nbd_inner.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BULK_AHEAD 4096u
/* Answers to options that may wait for the client to read them. */
#define TEXT_PAUSE (UINT32_C(64) << 10)
/* A listing of 100,000 volumes is less than this. */
#define TEXT_MAX (UINT32_C(16) << 20)

static enum nbd_event finish(struct nbd_conn *c, enum nbd_phase phase, const char *format,
			     va_list ap)
{
	if (c->phase == NBD_PHASE_DEAD)
		return NBD_EVENT_NONE;
	c->phase = phase;
	(void)vsnprintf(c->why, sizeof c->why, format, ap); /* cut at the end if too long */
	return NBD_EVENT_NONE;
}

enum nbd_event nbd_end(struct nbd_conn *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)finish(c, NBD_PHASE_CLOSING, format, ap);
	va_end(ap);
	return NBD_EVENT_NONE;
}

enum nbd_event nbd_die(struct nbd_conn *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)finish(c, NBD_PHASE_DEAD, format, ap);
	va_end(ap);
	return NBD_EVENT_NONE;
}

void nbd_conn_init(struct nbd_conn *c, struct nbd_mem *mem, const struct nbd_limits *limits)
{
	memset(c, 0, sizeof *c);
	c->mem = mem;
	c->limits = limits;
	c->out_end = &c->out;
	c->want = NBD_CLIENT_FLAGS_BYTES;
	nbd_greet(c);
}

/* ------------------------------------------------------------------------------------ input */

/* Makes room for `want` bytes from head on; false if it must wait for requests to end. */
static bool make_room(struct nbd_conn *c)
{
	uint32_t avail = nbd_avail(c);
	struct nbd_chunk *chunk;

	if (c->chunk && NBD_CHUNK_ROOM - c->head >= c->want)
		return true;
	if (c->chunk && c->chunk->refs == 1) {
		memmove(c->chunk->data, nbd_bytes(c), avail);
	} else {
		if (c->chunks == NBD_CHUNKS_MAX)
			return false;
		chunk = nbd_chunk_get(c->mem);
		if (!chunk) {
			if (!c->inflight) /* nothing will end that could be waited for */
				(void)nbd_die(c, "no memory to receive into");
			return false;
		}
		c->chunks++;
		if (c->chunk) {
			memcpy(chunk->data, nbd_bytes(c), avail);
			c->chunk->refs--; /* not the last: the requests have theirs */
		}
		c->chunk = chunk;
	}
	c->head = 0;
	c->tail = avail;
	return true;
}

bool nbd_conn_reads(const struct nbd_conn *c)
{
	return (c->phase == NBD_PHASE_GREETING || c->phase == NBD_PHASE_OPTIONS ||
		c->phase == NBD_PHASE_TRANSMISSION) &&
	       !c->pause;
}

int nbd_conn_rx(struct nbd_conn *c, struct iovec iov[2])
{
	struct nbd_req *cur = c->cur;
	uint32_t room;
	int n = 0;

	if (!nbd_conn_reads(c))
		return 0;
	if (cur && cur->buf && !cur->error) {
		iov[n].iov_base = (uint8_t *)cur->buf + c->cur_got;
		iov[n++].iov_len = cur->len - c->cur_got;
	}
	if (!make_room(c))
		return n;
	room = NBD_CHUNK_ROOM - c->tail;
	if (c->bulk && room > BULK_AHEAD && c->want < BULK_AHEAD)
		room = BULK_AHEAD;
	iov[n].iov_base = c->chunk->data + c->tail;
	iov[n++].iov_len = room;
	return n;
}

void nbd_conn_received(struct nbd_conn *c, size_t bytes)
{
	struct nbd_req *cur = c->cur;

	if (cur && cur->buf && !cur->error) {
		size_t part = cur->len - c->cur_got;

		if (part > bytes)
			part = bytes;
		c->cur_got += (uint32_t)part;
		bytes -= part;
	}
	assert(bytes <= NBD_CHUNK_ROOM - c->tail);
	c->tail += (uint32_t)bytes;
}

/* An idle connection holds no chunk, and one that nobody pins is filled from its start. */
static void settle(struct nbd_conn *c)
{
	if (!c->chunk || c->head != c->tail || c->chunk->refs > 1)
		return;
	nbd_chunk_put(c->mem, c->chunk);
	c->chunk = NULL;
	c->chunks--;
	c->head = c->tail = 0;
}

void nbd_conn_eof(struct nbd_conn *c)
{
	bool broken = nbd_conn_midway(c);

	if (c->phase >= NBD_PHASE_CLOSING)
		return;
	(void)nbd_end(c, "%s", broken ? "the client left in the middle of a request" : "");
	nbd_release(c, c->cur);
	c->cur = NULL;
}

/* What may be copied of a payload out of the chunk. */
static void payload_from_chunk(struct nbd_conn *c)
{
	struct nbd_req *cur = c->cur;
	uint32_t part = cur->len - c->cur_got;

	if (part > nbd_avail(c))
		part = nbd_avail(c);
	if (part && !cur->error)
		memcpy((uint8_t *)cur->buf + c->cur_got, nbd_bytes(c), part);
	c->cur_got += part;
	c->head += part;
}

static enum nbd_event next(struct nbd_conn *c, struct nbd_req **ret)
{
	switch (c->phase) {
	case NBD_PHASE_GREETING:
		return nbd_greeting_next(c);
	case NBD_PHASE_OPTIONS:
		if (c->text_len - c->text_sent > TEXT_PAUSE) {
			c->pause = NBD_PAUSE_OWN;
			return NBD_EVENT_NONE;
		}
		return nbd_options_next(c);
	case NBD_PHASE_TRANSMISSION:
		if (!c->cur)
			return nbd_transmission_next(c, ret);
		payload_from_chunk(c);
		if (c->cur_got < c->cur->len)
			return nbd_want(c, 1);
		return nbd_payload_done(c, ret);
	case NBD_PHASE_LOOKUP:
	case NBD_PHASE_CLOSING:
	case NBD_PHASE_DEAD:
		break;
	}
	return NBD_EVENT_NONE;
}

enum nbd_event nbd_conn_next(struct nbd_conn *c, struct nbd_req **ret)
{
	enum nbd_event event;

	c->pause = NBD_PAUSE_NO;
	do
		event = next(c, ret);
	while (event == NBD_EVENT_AGAIN);
	if (event == NBD_EVENT_NONE)
		settle(c);
	else if (event == NBD_EVENT_LOOKUP || event == NBD_EVENT_LIST)
		c->asking = true;
	return event;
}

/* ----------------------------------------------------------------------------------- output */

void nbd_text(struct nbd_conn *c, const void *bytes, size_t len)
{
	size_t room = c->text_room ? c->text_room : 1024;
	uint8_t *text;

	while (room - c->text_len < len)
		room *= 2;
	if (room > c->text_room) {
		text = room <= TEXT_MAX ? realloc(c->text, room) : NULL;
		if (!text) {
			(void)nbd_die(c, "no memory for %zu bytes of answers", room);
			return;
		}
		c->text = text;
		c->text_room = room;
	}
	memcpy(c->text + c->text_len, bytes, len);
	c->text_len += len;
}

void nbd_enqueue(struct nbd_conn *c, struct nbd_req *req)
{
	req->next = NULL;
	*c->out_end = req;
	c->out_end = &req->next;
}

int nbd_conn_tx(const struct nbd_conn *c, struct iovec *iov, int max)
{
	size_t skip = c->out_sent;
	int n = 0;

	if (c->phase == NBD_PHASE_DEAD)
		return 0;
	if (c->text_sent < c->text_len) {
		iov[n].iov_base = c->text + c->text_sent;
		iov[n++].iov_len = c->text_len - c->text_sent;
	}
	for (const struct nbd_req *req = c->out; req && n < max; req = req->next) {
		iov[n].iov_base = (void *)(uintptr_t)(req->tx + skip);
		iov[n++].iov_len = req->tx_len - skip;
		skip = 0;
	}
	return n;
}

static size_t sent_text(struct nbd_conn *c, size_t bytes)
{
	size_t part = c->text_len - c->text_sent;

	if (part > bytes)
		part = bytes;
	c->text_sent += part;
	if (c->text_sent == c->text_len) {
		free(c->text);
		c->text = NULL;
		c->text_len = c->text_sent = c->text_room = 0;
	}
	return bytes - part;
}

void nbd_conn_sent(struct nbd_conn *c, size_t bytes)
{
	if (c->text)
		bytes = sent_text(c, bytes);
	bytes += c->out_sent;
	while (c->out && bytes >= c->out->tx_len) {
		struct nbd_req *req = c->out;

		bytes -= req->tx_len;
		c->out = req->next;
		if (!c->out)
			c->out_end = &c->out;
		nbd_release(c, req);
	}
	c->out_sent = bytes;
	settle(c);
}

/* -------------------------------------------------------------------------------------- end */

static void drop_output(struct nbd_conn *c)
{
	while (c->out) {
		struct nbd_req *req = c->out;

		c->out = req->next;
		nbd_release(c, req);
	}
	c->out_end = &c->out;
	c->out_sent = 0;
	free(c->text);
	c->text = NULL;
	c->text_len = c->text_sent = c->text_room = 0;
}

static void drop_input(struct nbd_conn *c)
{
	nbd_release(c, c->cur);
	c->cur = NULL;
	c->head = c->tail = 0;
	if (!c->chunk)
		return;
	if (--c->chunk->refs == 0) {
		nbd_chunk_put(c->mem, c->chunk);
		c->chunks--;
	}
	c->chunk = NULL;
}

void nbd_conn_kill(struct nbd_conn *c, const char *why)
{
	(void)nbd_die(c, "%s", why);
	drop_output(c);
	drop_input(c);
}

void nbd_conn_fini(struct nbd_conn *c)
{
	nbd_conn_kill(c, "");
	assert(c->inflight == 0 && c->bytes == 0 && c->chunks == 0);
}

void nbd_conn_stop(struct nbd_conn *c)
{
	c->stopping = true;
}

bool nbd_conn_idle(const struct nbd_conn *c)
{
	return c->inflight == 0 && !c->asking && c->text_sent == c->text_len;
}

bool nbd_conn_finished(const struct nbd_conn *c)
{
	return c->phase == NBD_PHASE_DEAD || (c->phase == NBD_PHASE_CLOSING && nbd_conn_idle(c));
}

bool nbd_conn_gone(const struct nbd_conn *c)
{
	return c->phase == NBD_PHASE_DEAD && c->inflight == 0 && !c->asking;
}

bool nbd_conn_midway(const struct nbd_conn *c)
{
	return c->cur || c->head != c->tail;
}
