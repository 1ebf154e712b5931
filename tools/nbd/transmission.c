/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transmission.c - requests in, operations for the library out, replies back.
 *
 * A request is checked against the row of its command, so that a bad one is answered without
 * anybody else hearing of it. The order of checks: server stopping, command, flags, read-only,
 * size, range, sectors. All arithmetic on ranges is in 64 bits and subtracts from the known, never
 * adds to the unknown.
 *
 * A WRITE of at most SMALL_MAX bytes is used where it lies in the receive chunk; a larger one gets
 * a buffer (nbd_conn.c). The payload of a refused WRITE is dropped as it arrives, and its error
 * sent when it has: a client may not look for replies before it has sent the whole request.
 *
 * Replies: simple ones, unless structured replies are negotiated; then READ and BLOCK_STATUS are
 * answered with one chunk, errors with an error chunk that says why in words, everything else with
 * a simple reply, which the protocol allows and which is shorter. A reply that carries data is one
 * piece of memory, the header standing in the room in front of the buffer.
 */
#include "nbd/nbd_inner.h"

#include <assert.h>
#include <errno.h>

#include <lsvd/error.h>

#define SMALL_MAX (UINT32_C(32) << 10)
/* A refused WRITE up to this size is read and dropped; a client that sends more is cut off. */
#define DROP_MAX (UINT32_C(128) << 20)
/* Below this a hole in a READ is not worth looking for. */
#define SKIP_MIN (UINT32_C(64) << 10)

struct request {
	uint16_t flags, type;
	uint64_t cookie, off;
	uint32_t len;
};

struct command {
	uint32_t kind;	/* enum lsvd_io_kind, 0: not an operation of the library */
	uint16_t flags; /* that it may carry */
	bool ranged;	/* offset and length mean something */
	bool modifies;
	bool payload_bounded; /* length is bounded by the largest payload */
	uint32_t range_error; /* for what ends beyond the export */
};

#define FUA NBD_CMD_FLAG_FUA

static const struct command commands[] = {
	[NBD_CMD_READ] = {LSVD_IO_READ, FUA | NBD_CMD_FLAG_DF, true, false, true, NBD_EINVAL},
	[NBD_CMD_WRITE] = {LSVD_IO_WRITE, FUA, true, true, true, NBD_ENOSPC},
	[NBD_CMD_DISC] = {0, FUA, false, false, false, 0},
	[NBD_CMD_FLUSH] = {LSVD_IO_FLUSH, FUA, false, false, false, 0},
	[NBD_CMD_TRIM] = {LSVD_IO_TRIM, FUA, true, true, false, NBD_EINVAL},
	[NBD_CMD_CACHE] = {LSVD_IO_PREFETCH, FUA, true, false, false, NBD_EINVAL},
	[NBD_CMD_WRITE_ZEROES] = {LSVD_IO_WRITE_ZEROES,
				  FUA | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO, true, true,
				  false, NBD_ENOSPC},
	[NBD_CMD_BLOCK_STATUS] = {0, FUA | NBD_CMD_FLAG_REQ_ONE, true, false, false, NBD_EINVAL},
};

/* ------------------------------------------------------------------------------------ limits */

static uint64_t beyond_reserve(uint64_t bytes)
{
	return bytes > NBD_RESERVE_BYTES ? bytes - NBD_RESERVE_BYTES : 0;
}

/* Counts `len` bytes of payload; false, and why in c->pause, if they must wait. */
static bool charge(struct nbd_conn *c, uint32_t len)
{
	uint64_t after = c->bytes + len;

	if (c->inflight >= c->limits->inflight || (len && c->bytes && after > c->limits->bytes)) {
		c->pause = NBD_PAUSE_OWN;
		return false;
	}
	if (!nbd_budget_take(c->mem->budget, beyond_reserve(after) - beyond_reserve(c->bytes))) {
		c->pause = NBD_PAUSE_SHARED;
		return false;
	}
	c->bytes = after;
	c->inflight++;
	return true;
}

static void uncharge(struct nbd_conn *c, uint32_t len)
{
	uint64_t after = c->bytes - len;

	nbd_budget_give(c->mem->budget, beyond_reserve(c->bytes) - beyond_reserve(after));
	c->bytes = after;
	c->inflight--;
}

static void drop_payload(struct nbd_conn *c, struct nbd_req *req)
{
	nbd_buf_put(c->mem, req->buf);
	req->buf = NULL;
	if (req->chunk && --req->chunk->refs == 0) {
		nbd_chunk_put(c->mem, req->chunk);
		c->chunks--;
	}
	req->chunk = NULL;
}

void nbd_release(struct nbd_conn *c, struct nbd_req *req)
{
	if (!req)
		return;
	drop_payload(c, req);
	uncharge(c, req->charged);
	nbd_req_put(c->mem, req);
}

/* ----------------------------------------------------------------------------------- replies */

static uint8_t *simple_head(uint8_t *p, const struct nbd_req *req, uint32_t error)
{
	p = be32_put(p, NBD_SIMPLE_REPLY_MAGIC);
	p = be32_put(p, error);
	return be64_put(p, req->cookie);
}

static uint8_t *chunk_head(uint8_t *p, const struct nbd_req *req, uint16_t type, uint32_t len)
{
	p = be32_put(p, NBD_CHUNK_MAGIC);
	p = be16_put(p, NBD_REPLY_FLAG_DONE);
	p = be16_put(p, type);
	p = be64_put(p, req->cookie);
	return be32_put(p, len);
}

/* Sends what stands in req->head up to `end`. */
static void send_head(struct nbd_conn *c, struct nbd_req *req, const uint8_t *end)
{
	drop_payload(c, req);
	req->tx = req->head;
	req->tx_len = (size_t)(end - req->head);
	nbd_enqueue(c, req);
}

static void send_error(struct nbd_conn *c, struct nbd_req *req, uint32_t error, const char *text)
{
	size_t len = strnlen(text, NBD_HEAD_MAX - NBD_CHUNK_BYTES - 6);
	uint8_t *p = req->head;

	if (!c->structured) {
		send_head(c, req, simple_head(p, req, error));
		return;
	}
	p = chunk_head(p, req, NBD_REPLY_TYPE_ERROR, (uint32_t)(6 + len));
	p = be32_put(p, error);
	p = be16_put(p, (uint16_t)len);
	memcpy(p, text, len);
	send_head(c, req, p + len);
}

static void send_ok(struct nbd_conn *c, struct nbd_req *req)
{
	if (c->structured && req->type == NBD_CMD_READ)
		send_head(c, req, chunk_head(req->head, req, NBD_REPLY_TYPE_NONE, 0));
	else
		send_head(c, req, simple_head(req->head, req, 0));
}

static void send_data(struct nbd_conn *c, struct nbd_req *req)
{
	uint8_t *data = req->buf;
	uint8_t *head;

	if (c->structured) {
		head = data - NBD_CHUNK_BYTES - 8;
		(void)be64_put(chunk_head(head, req, NBD_REPLY_TYPE_OFFSET_DATA, 8 + req->len),
			       req->off);
	} else {
		head = data - NBD_SIMPLE_REPLY_BYTES;
		(void)simple_head(head, req, 0);
	}
	req->tx = head;
	req->tx_len = (size_t)(data - head) + req->len;
	nbd_enqueue(c, req);
}

/* ----------------------------------------------------------------------------- the answers */

static uint32_t wire_error(int err)
{
	switch (lsvd_error_errno(err)) {
	case EPERM:
	case EROFS:
		return NBD_EPERM;
	case ENOMEM:
		return NBD_ENOMEM;
	case EINVAL:
		return NBD_EINVAL;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return NBD_ENOSPC;
	case EOVERFLOW:
		return NBD_EOVERFLOW;
	case ENOTSUP:
		return NBD_ENOTSUP;
	case ESHUTDOWN:
		return NBD_ESHUTDOWN;
	default:
		return NBD_EIO;
	}
}

/* A connection that died while the request was with the host only takes the memory back. */
static bool abandoned(struct nbd_conn *c, struct nbd_req *req)
{
	if (c->phase != NBD_PHASE_DEAD)
		return false;
	nbd_release(c, req);
	return true;
}

void nbd_conn_complete(struct nbd_conn *c, struct nbd_req *req, int err)
{
	if (abandoned(c, req))
		return;
	if (err < 0)
		send_error(c, req, wire_error(err), lsvd_strerror(err));
	else if (req->type == NBD_CMD_READ)
		send_data(c, req);
	else
		send_ok(c, req);
}

bool nbd_req_may_skip(const struct nbd_req *req)
{
	return req->type == NBD_CMD_READ && req->conn->structured && req->len >= SKIP_MIN;
}

void nbd_conn_complete_hole(struct nbd_conn *c, struct nbd_req *req)
{
	uint8_t *p = req->head;

	if (abandoned(c, req))
		return;
	assert(nbd_req_may_skip(req));
	p = chunk_head(p, req, NBD_REPLY_TYPE_OFFSET_HOLE, 12);
	p = be64_put(p, req->off);
	p = be32_put(p, req->len);
	send_head(c, req, p);
}

size_t nbd_req_status_max(const struct nbd_req *req)
{
	return req->flags & NBD_CMD_FLAG_REQ_ONE ? 1 : NBD_EXTENTS_MAX;
}

static uint32_t wire_state(uint32_t flags)
{
	return (flags & LSVD_STATUS_HOLE ? NBD_STATE_HOLE : 0) |
	       (flags & LSVD_STATUS_ZERO ? NBD_STATE_ZERO : 0);
}

void nbd_conn_complete_status(struct nbd_conn *c, struct nbd_req *req,
			      const struct lsvd_status_extent *extents, int count)
{
	uint64_t left = req->len;
	uint8_t *head, *p;

	if (abandoned(c, req))
		return;
	if (count <= 0) {
		nbd_conn_complete(c, req, count ? count : -EIO);
		return;
	}
	req->buf = nbd_buf_get(c->mem, 8 * (size_t)count);
	if (!req->buf) {
		nbd_conn_complete(c, req, -ENOMEM);
		return;
	}
	p = req->buf;
	for (int i = 0; i < count && left; i++) {
		uint64_t len = extents[i].len < left ? extents[i].len : left;

		p = be32_put(p, (uint32_t)len);
		p = be32_put(p, wire_state(extents[i].flags));
		left -= len;
	}
	head = (uint8_t *)req->buf - NBD_CHUNK_BYTES - 4;
	(void)be32_put(chunk_head(head, req, NBD_REPLY_TYPE_BLOCK_STATUS,
				  4 + (uint32_t)(p - (uint8_t *)req->buf)),
		       NBD_ALLOCATION_ID);
	req->tx = head;
	req->tx_len = (size_t)(p - head);
	nbd_enqueue(c, req);
}

/* ---------------------------------------------------------------------------------- requests */

static const char stopping_text[] = "the server is stopping";

/* Refuses with `code` for the reason `*ret_text`. */
static uint32_t because(const char **ret_text, uint32_t code, const char *text)
{
	*ret_text = text;
	return code;
}

static uint32_t check_range(const struct nbd_conn *c, const struct command *cmd,
			    const struct request *rq, const char **ret_text)
{
	if (cmd->payload_bounded && rq->len > LSVD_IO_MAX_BYTES)
		return because(ret_text, NBD_EINVAL, "more than 64 MiB in one request");
	if (rq->off > c->export.bytes || rq->len > c->export.bytes - rq->off)
		return because(ret_text, cmd->range_error, "the range ends beyond the export");
	if (rq->off % LSVD_SECTOR_BYTES || rq->len % LSVD_SECTOR_BYTES)
		return because(ret_text, NBD_EINVAL, "offset and length are not whole sectors");
	if (!rq->len && rq->type == NBD_CMD_BLOCK_STATUS)
		return because(ret_text, NBD_EINVAL, "the range is empty");
	return 0;
}

static uint32_t check(const struct nbd_conn *c, const struct request *rq, const char **ret_text)
{
	const struct command *cmd;

	if (c->stopping)
		return because(ret_text, NBD_ESHUTDOWN, stopping_text);
	if (rq->type >= sizeof commands / sizeof commands[0])
		return because(ret_text, NBD_EINVAL, "this command is not known");
	cmd = &commands[rq->type];
	if (rq->flags & ~cmd->flags)
		return because(ret_text, NBD_EINVAL, "a flag is not known to this command");
	if (rq->flags & NBD_CMD_FLAG_DF && !c->structured)
		return because(ret_text, NBD_EINVAL, "DF needs structured replies");
	if (rq->type == NBD_CMD_BLOCK_STATUS && !c->allocation)
		return because(ret_text, NBD_EINVAL, "no meta context is selected");
	if (cmd->modifies && c->export.readonly)
		return because(ret_text, NBD_EPERM, "the export is read-only");
	return cmd->ranged ? check_range(c, cmd, rq, ret_text) : 0;
}

/* A request record for `rq` with `payload` bytes charged; NULL if it must wait. */
static struct nbd_req *admit(struct nbd_conn *c, const struct request *rq, uint32_t payload)
{
	struct nbd_req *req;

	if (!charge(c, payload))
		return NULL;
	req = nbd_req_get(c->mem);
	if (!req) {
		uncharge(c, payload);
		c->pause = NBD_PAUSE_OWN;
		if (!c->inflight)
			(void)nbd_die(c, "no memory for a request");
		return NULL;
	}
	req->conn = c;
	req->cookie = rq->cookie;
	req->off = rq->off;
	req->len = rq->len;
	req->type = rq->type;
	req->flags = rq->flags;
	req->charged = payload;
	req->error = 0;
	req->chunk = NULL;
	req->buf = NULL;
	c->requests++;
	return req;
}

/* Fills in the operation for the library; the data is at `data`, if there is any. */
static enum nbd_event submit(struct nbd_req *req, void *data, struct nbd_req **ret)
{
	struct lsvd_io *io = &req->io;

	memset(io, 0, sizeof *io);
	io->kind = commands[req->type].kind;
	io->off = commands[req->type].ranged ? req->off : 0;
	io->len = commands[req->type].ranged ? req->len : 0;
	if (commands[req->type].modifies && req->flags & NBD_CMD_FLAG_FUA)
		io->flags |= LSVD_IO_FUA;
	if (req->flags & NBD_CMD_FLAG_NO_HOLE)
		io->flags |= LSVD_IO_NO_HOLE;
	if (io->kind == LSVD_IO_PREFETCH && io->len > LSVD_IO_MAX_BYTES)
		io->len = LSVD_IO_MAX_BYTES; /* a hint: one request may not ask for 4 GiB of work */
	if (data) {
		req->iov.iov_base = data;
		req->iov.iov_len = req->len;
		io->iov = &req->iov;
		io->iovcnt = 1;
	}
	*ret = req;
	return NBD_EVENT_SUBMIT;
}

enum nbd_event nbd_payload_done(struct nbd_conn *c, struct nbd_req **ret)
{
	struct nbd_req *req = c->cur;

	c->cur = NULL;
	c->want = NBD_REQUEST_BYTES;
	if (c->stopping && !req->error) { /* since its header came; its volume may be closed */
		req->error = NBD_ESHUTDOWN;
		req->text = stopping_text;
	}
	if (!req->error)
		return submit(req, req->buf, ret);
	send_error(c, req, req->error, req->text);
	return NBD_EVENT_AGAIN;
}

/* Receives the rest of a large payload, or drops that of a refused WRITE. */
static enum nbd_event receive(struct nbd_conn *c, struct nbd_req *req)
{
	c->head += NBD_REQUEST_BYTES;
	c->cur = req;
	c->cur_got = 0;
	c->bulk = true;
	return NBD_EVENT_AGAIN;
}

static enum nbd_event refuse_write(struct nbd_conn *c, const struct request *rq, uint32_t error,
				   const char *text)
{
	struct nbd_req *req;

	if (rq->len > DROP_MAX)
		return nbd_die(c, "WRITE of %u bytes", rq->len);
	req = admit(c, rq, 0);
	if (!req)
		return NBD_EVENT_NONE;
	req->error = error;
	req->text = text;
	return receive(c, req);
}

static enum nbd_event write_large(struct nbd_conn *c, const struct request *rq)
{
	struct nbd_req *req = admit(c, rq, rq->len);

	if (!req)
		return NBD_EVENT_NONE;
	req->buf = nbd_buf_get(c->mem, rq->len);
	if (!req->buf) {
		req->error = NBD_ENOMEM;
		req->text = "no memory for the data";
	}
	return receive(c, req);
}

static enum nbd_event run_write(struct nbd_conn *c, const struct request *rq, struct nbd_req **ret)
{
	const char *text;
	uint32_t error = check(c, rq, &text);
	struct nbd_req *req;

	if (error)
		return refuse_write(c, rq, error, text);
	if (rq->len > SMALL_MAX)
		return write_large(c, rq);
	c->bulk = false;
	if (nbd_avail(c) < NBD_REQUEST_BYTES + rq->len)
		return nbd_want(c, NBD_REQUEST_BYTES + rq->len);
	req = admit(c, rq, rq->len);
	if (!req)
		return NBD_EVENT_NONE;
	req->chunk = c->chunk;
	req->chunk->refs++;
	c->head += NBD_REQUEST_BYTES + rq->len;
	return submit(req, req->chunk->data + c->head - rq->len, ret);
}

static enum nbd_event run_read(struct nbd_conn *c, struct nbd_req *req, struct nbd_req **ret)
{
	req->buf = nbd_buf_get(c->mem, req->len);
	if (req->buf)
		return submit(req, req->buf, ret);
	send_error(c, req, NBD_ENOMEM, "no memory for the data");
	return NBD_EVENT_AGAIN;
}

static bool without_effect(const struct nbd_conn *c, const struct request *rq)
{
	return (commands[rq->type].ranged && !rq->len) ||
	       (rq->type == NBD_CMD_FLUSH && c->export.readonly);
}

static enum nbd_event run(struct nbd_conn *c, const struct request *rq, struct nbd_req **ret)
{
	const char *text;
	uint32_t error = check(c, rq, &text);
	struct nbd_req *req;

	if (rq->type == NBD_CMD_DISC)
		return nbd_end(c, "%s", "");
	req = admit(c, rq, !error && rq->type == NBD_CMD_READ ? rq->len : 0);
	if (!req)
		return NBD_EVENT_NONE;
	c->head += NBD_REQUEST_BYTES;
	c->bulk = false;
	if (error) {
		send_error(c, req, error, text);
		return NBD_EVENT_AGAIN;
	}
	if (without_effect(c, rq)) {
		send_ok(c, req);
		return NBD_EVENT_AGAIN;
	}
	if (rq->type == NBD_CMD_READ)
		return run_read(c, req, ret);
	if (rq->type != NBD_CMD_BLOCK_STATUS)
		return submit(req, NULL, ret);
	*ret = req;
	return NBD_EVENT_STATUS;
}

enum nbd_event nbd_transmission_next(struct nbd_conn *c, struct nbd_req **ret)
{
	struct request rq;
	const uint8_t *p;

	if (nbd_avail(c) < NBD_REQUEST_BYTES)
		return nbd_want(c, NBD_REQUEST_BYTES);
	p = nbd_bytes(c);
	if (be32_get(p) != NBD_REQUEST_MAGIC)
		return nbd_die(c, "no request where one was expected");
	rq.flags = be16_get(p + 4);
	rq.type = be16_get(p + 6);
	rq.cookie = be64_get(p + 8);
	rq.off = be64_get(p + 16);
	rq.len = be32_get(p + 24);
	if (rq.type == NBD_CMD_WRITE && rq.len)
		return run_write(c, &rq, ret);
	return run(c, &rq, ret);
}
