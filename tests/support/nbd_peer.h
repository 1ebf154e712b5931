/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_peer.h - both ends of an NBD connection in one test: a client that builds and reads bytes,
 * and a host that runs the server's machine over a disk in memory.
 *
 * A test appends what the client says to peer.in, lets the machine take it with peer_run() (in
 * pieces of peer.in_step bytes, its output fetched in pieces of peer.out_step) and reads what the
 * server said from peer.out with the take_… and expect_… functions.
 *
 * Exports: "disk" (DISK_BYTES, the default) and "locked" (the same, read-only). With `hold` set,
 * operations are not run but kept in `held` until peer_finish_one(); with `hold_lookup`, questions
 * for exports are not answered until peer_answer().
 */
#ifndef NBD_PEER_H
#define NBD_PEER_H

#include <sys/mman.h>

#include "nbd/nbd_conn.h"
#include "t_check.h"

#define DISK_BYTES (UINT64_C(256) << 20)
#define HELD_MAX   256

struct bytes {
	uint8_t *p;
	size_t len, room;
};

struct peer {
	struct nbd_conn conn;
	struct nbd_mem mem;
	struct nbd_budget budget;
	struct nbd_limits limits;
	struct bytes in, out;
	size_t in_at, out_at;	      /* what the machine has taken, what the test has read */
	size_t in_step, out_step;     /* 0: as much as possible */
	bool hold, hold_lookup, deaf; /* deaf: the client reads nothing */
	struct nbd_req *held[HELD_MAX];
	size_t held_count;
	enum nbd_event asked; /* of hold_lookup */
	uint8_t *disk;
	int fail_with; /* what operations end with */
	uint32_t last_io_flags, lookups, opens;
};

static inline void bytes_add(struct bytes *b, const void *data, size_t len)
{
	if (b->len + len > b->room) {
		b->room = 2 * (b->len + len) + 256;
		b->p = realloc(b->p, b->room);
		ck_assert_ptr_nonnull(b->p);
	}
	if (len)
		memcpy(b->p + b->len, data, len);
	b->len += len;
}

static inline void bytes_add16(struct bytes *b, uint16_t v)
{
	uint8_t p[2];

	(void)be16_put(p, v);
	bytes_add(b, p, sizeof p);
}

static inline void bytes_add32(struct bytes *b, uint32_t v)
{
	uint8_t p[4];

	(void)be32_put(p, v);
	bytes_add(b, p, sizeof p);
}

static inline void bytes_add64(struct bytes *b, uint64_t v)
{
	uint8_t p[8];

	(void)be64_put(p, v);
	bytes_add(b, p, sizeof p);
}

static inline void bytes_text(struct bytes *b, const char *text)
{
	bytes_add32(b, (uint32_t)strlen(text));
	bytes_add(b, text, strlen(text));
}

/* ----------------------------------------------------------------------------------------- host */

static inline void peer_init(struct peer *t)
{
	memset(t, 0, sizeof *t);
	t->limits = (struct nbd_limits){64, 128, UINT64_C(64) << 20};
	t->budget.max = UINT64_C(512) << 20;
	nbd_mem_init(&t->mem, &t->budget);
	nbd_conn_init(&t->conn, &t->mem, &t->limits);
	t->disk = mmap(NULL, DISK_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(t->disk, MAP_FAILED);
}

static inline void peer_answer(struct peer *t)
{
	static const char *const names[] = {"disk", "locked"};
	const char *name = t->conn.lookup.name;
	struct nbd_export export = {.bytes = DISK_BYTES, .user = t};

	if (t->asked == NBD_EVENT_LIST) {
		nbd_conn_list(&t->conn, names[0]);
		nbd_conn_list(&t->conn, names[1]);
		nbd_conn_list_end(&t->conn, 0, "");
		return;
	}
	t->lookups++;
	t->opens += t->conn.lookup.open;
	(void)snprintf(export.name, sizeof export.name, "%s", *name ? name : "disk");
	(void)snprintf(export.description, sizeof export.description, "a disk in memory");
	export.readonly = strcmp(name, "locked") == 0;
	if (*name && strcmp(name, "disk") != 0 && !export.readonly)
		nbd_conn_answer(&t->conn, NULL, NBD_REP_ERR_UNKNOWN, "no such disk");
	else
		nbd_conn_answer(&t->conn, &export, 0, NULL);
}

static inline void peer_do(struct peer *t, struct nbd_req *req)
{
	struct lsvd_io *io = &req->io;

	if (io->kind == LSVD_IO_READ)
		memcpy(io->iov->iov_base, t->disk + io->off, io->len);
	else if (io->kind == LSVD_IO_WRITE)
		memcpy(t->disk + io->off, io->iov->iov_base, io->len);
	else if (io->kind == LSVD_IO_TRIM || io->kind == LSVD_IO_WRITE_ZEROES)
		memset(t->disk + io->off, 0, io->len);
	nbd_conn_complete(&t->conn, req, t->fail_with);
}

static inline void peer_submit(struct peer *t, struct nbd_req *req)
{
	t->last_io_flags = req->io.flags;
	ck_assert_uint_le(req->io.off + req->io.len, DISK_BYTES);
	if (req->io.iov)
		ck_assert_uint_eq(req->io.iov->iov_len, req->io.len);
	if (!t->hold) {
		peer_do(t, req);
		return;
	}
	ck_assert_uint_lt(t->held_count, HELD_MAX);
	t->held[t->held_count++] = req;
}

/* Ends the held operation number `i`. */
static inline void peer_finish_one(struct peer *t, size_t i)
{
	struct nbd_req *req = t->held[i];

	memmove(t->held + i, t->held + i + 1, (--t->held_count - i) * sizeof t->held[0]);
	peer_do(t, req);
}

/* The disk is data in its first half and a hole in its second. */
static inline void peer_status(struct peer *t, struct nbd_req *req)
{
	struct lsvd_status_extent extents[2] = {{0}};
	uint64_t end = req->off + req->len, half = DISK_BYTES / 2;
	int n = 0;

	if (req->off < half)
		extents[n++].len = (end < half ? end : half) - req->off;
	if (end > half && (size_t)n < nbd_req_status_max(req)) {
		extents[n].len = end - (req->off > half ? req->off : half);
		extents[n++].flags = LSVD_STATUS_HOLE | LSVD_STATUS_ZERO;
	}
	nbd_conn_complete_status(&t->conn, req, extents, t->fail_with ? t->fail_with : n);
}

static inline void peer_events(struct peer *t)
{
	enum nbd_event event;
	struct nbd_req *req;

	while ((event = nbd_conn_next(&t->conn, &req))) {
		if (event == NBD_EVENT_SUBMIT) {
			peer_submit(t, req);
		} else if (event == NBD_EVENT_STATUS) {
			peer_status(t, req);
		} else {
			t->asked = event;
			if (!t->hold_lookup)
				peer_answer(t);
		}
		ck_assert_uint_le(t->conn.head, t->conn.tail);
		ck_assert_uint_le(t->conn.inflight, t->limits.inflight);
		ck_assert_uint_le(t->conn.chunks, NBD_CHUNKS_MAX);
	}
}

/* Sends what the machine has to say; true if there was something. */
static inline bool peer_drain(struct peer *t)
{
	struct iovec iov[8];
	size_t left = t->out_step ? t->out_step : SIZE_MAX, sent = 0;
	int n = t->deaf ? 0 : nbd_conn_tx(&t->conn, iov, 8);

	for (int i = 0; i < n && left; i++) {
		size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

		bytes_add(&t->out, iov[i].iov_base, part);
		left -= part;
		sent += part;
	}
	nbd_conn_sent(&t->conn, sent);
	return sent > 0;
}

/* Gives the machine the next bytes; true if it took some. */
static inline bool peer_feed(struct peer *t)
{
	struct iovec iov[2];
	size_t left = t->in.len - t->in_at, taken = 0;
	int n = nbd_conn_rx(&t->conn, iov);

	if (t->in_step && left > t->in_step)
		left = t->in_step;
	for (int i = 0; i < n && left; i++) {
		size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

		memcpy(iov[i].iov_base, t->in.p + t->in_at, part);
		t->in_at += part;
		taken += part;
		left -= part;
	}
	nbd_conn_received(&t->conn, taken);
	return taken > 0;
}

/* Lets the machine do all that it can. */
static inline void peer_run(struct peer *t)
{
	bool moved;

	do {
		moved = peer_feed(t);
		peer_events(t);
		while (peer_drain(t))
			moved = true;
		peer_events(t);
	} while (moved);
}

/* Ends the connection; nothing may be left of its memory. */
static inline void peer_fini(struct peer *t)
{
	nbd_conn_kill(&t->conn, "");
	while (t->held_count)
		peer_finish_one(t, 0);
	nbd_conn_fini(&t->conn);
	ck_assert_uint_eq(t->mem.lent, 0);
	ck_assert_uint_eq(atomic_load(&t->budget.used), 0);
	nbd_mem_fini(&t->mem);
	free(t->in.p);
	free(t->out.p);
	(void)munmap(t->disk, DISK_BYTES); /* ours, mapped above */
}

/* --------------------------------------------------------------------------------------- client */

static inline void say_flags(struct peer *t, uint32_t flags)
{
	bytes_add32(&t->in, flags);
}

static inline void say_option(struct peer *t, uint32_t option, const void *data, size_t len)
{
	bytes_add64(&t->in, NBD_OPTION_MAGIC);
	bytes_add32(&t->in, option);
	bytes_add32(&t->in, (uint32_t)len);
	bytes_add(&t->in, data, len);
}

/* INFO or GO. */
static inline void say_info(struct peer *t, uint32_t option, const char *name, int infos,
			    const uint16_t *info)
{
	struct bytes b = {0};

	bytes_text(&b, name);
	bytes_add16(&b, (uint16_t)infos);
	for (int i = 0; i < infos; i++)
		bytes_add16(&b, info[i]);
	say_option(t, option, b.p, b.len);
	free(b.p);
}

/* LIST_ or SET_META_CONTEXT with at most one query. */
static inline void say_meta(struct peer *t, uint32_t option, const char *name, const char *query)
{
	struct bytes b = {0};

	bytes_text(&b, name);
	bytes_add32(&b, query ? 1 : 0);
	if (query)
		bytes_text(&b, query);
	say_option(t, option, b.p, b.len);
	free(b.p);
}

static inline void say_request(struct peer *t, uint16_t type, uint16_t flags, uint64_t cookie,
			       uint64_t off, uint32_t len)
{
	bytes_add32(&t->in, NBD_REQUEST_MAGIC);
	bytes_add16(&t->in, flags);
	bytes_add16(&t->in, type);
	bytes_add64(&t->in, cookie);
	bytes_add64(&t->in, off);
	bytes_add32(&t->in, len);
}

/* A WRITE with its payload, which depends on `seed`. */
static inline void say_write(struct peer *t, uint64_t cookie, uint64_t off, uint32_t len,
			     uint64_t seed)
{
	uint8_t *data = malloc((size_t)len + 1);

	ck_assert_ptr_nonnull(data);
	t_fill(data, len, seed);
	say_request(t, NBD_CMD_WRITE, 0, cookie, off, len);
	bytes_add(&t->in, data, len);
	free(data);
}

static inline const uint8_t *take_bytes(struct peer *t, size_t n)
{
	const uint8_t *p = t->out.p + t->out_at;

	ck_assert_msg(t->out.len - t->out_at >= n, "the server said %zu bytes, %zu expected",
		      t->out.len - t->out_at, n);
	t->out_at += n;
	return p;
}

static inline size_t said(const struct peer *t)
{
	return t->out.len - t->out_at;
}

static inline void expect_greeting(struct peer *t)
{
	const uint8_t *p = take_bytes(t, NBD_GREETING_BYTES);

	ck_assert_uint_eq(be64_get(p), NBD_MAGIC);
	ck_assert_uint_eq(be64_get(p + 8), NBD_OPTION_MAGIC);
	ck_assert_uint_eq(be16_get(p + 16), NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
}

/* One reply to an option; returns its data. */
static inline const uint8_t *expect_reply(struct peer *t, uint32_t option, uint32_t type,
					  uint32_t *ret_len)
{
	const uint8_t *p = take_bytes(t, NBD_OPTION_REPLY_BYTES);
	uint32_t len = be32_get(p + 16);

	ck_assert_uint_eq(be64_get(p), NBD_REPLY_MAGIC);
	ck_assert_uint_eq(be32_get(p + 8), option);
	ck_assert_msg(be32_get(p + 12) == type, "option %u: reply type 0x%x, expected 0x%x", option,
		      be32_get(p + 12), type);
	if (ret_len)
		*ret_len = len;
	return take_bytes(t, len);
}

static inline void expect_simple(struct peer *t, uint64_t cookie, uint32_t error)
{
	const uint8_t *p = take_bytes(t, NBD_SIMPLE_REPLY_BYTES);

	ck_assert_uint_eq(be32_get(p), NBD_SIMPLE_REPLY_MAGIC);
	ck_assert_msg(be32_get(p + 4) == error, "cookie %" PRIu64 ": error %u, expected %u", cookie,
		      be32_get(p + 4), error);
	ck_assert_uint_eq(be64_get(p + 8), cookie);
}

static inline const uint8_t *expect_chunk(struct peer *t, uint64_t cookie, uint16_t type,
					  uint32_t *ret_len)
{
	const uint8_t *p = take_bytes(t, NBD_CHUNK_BYTES);
	uint32_t len = be32_get(p + 16);

	ck_assert_uint_eq(be32_get(p), NBD_CHUNK_MAGIC);
	ck_assert_uint_eq(be16_get(p + 4), NBD_REPLY_FLAG_DONE);
	ck_assert_msg(be16_get(p + 6) == type, "cookie %" PRIu64 ": chunk type 0x%x, expected 0x%x",
		      cookie, be16_get(p + 6), type);
	ck_assert_uint_eq(be64_get(p + 8), cookie);
	if (ret_len)
		*ret_len = len;
	return take_bytes(t, len);
}

/* An error chunk, which has a text. */
static inline void expect_error(struct peer *t, uint64_t cookie, uint32_t error)
{
	uint32_t len;
	const uint8_t *p = expect_chunk(t, cookie, NBD_REPLY_TYPE_ERROR, &len);

	ck_assert_msg(be32_get(p) == error, "cookie %" PRIu64 ": error %u, expected %u", cookie,
		      be32_get(p), error);
	ck_assert_uint_eq(be16_get(p + 4), len - 6);
	ck_assert_uint_gt(len, 6);
}

/* From the greeting to the transmission phase. */
static inline void peer_go(struct peer *t, const char *name, bool structured)
{
	say_flags(t, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	if (structured) {
		say_option(t, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
		say_meta(t, NBD_OPT_SET_META_CONTEXT, name, NBD_BASE_ALLOCATION);
	}
	say_info(t, NBD_OPT_GO, name, 0, NULL);
	peer_run(t);
	expect_greeting(t);
	if (structured) {
		(void)expect_reply(t, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, NULL);
		(void)expect_reply(t, NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, NULL);
		(void)expect_reply(t, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, NULL);
	}
	(void)expect_reply(t, NBD_OPT_GO, NBD_REP_INFO, NULL);
	(void)expect_reply(t, NBD_OPT_GO, NBD_REP_INFO, NULL);
	(void)expect_reply(t, NBD_OPT_GO, NBD_REP_ACK, NULL);
	ck_assert_uint_eq(said(t), 0);
	ck_assert_int_eq(t->conn.phase, NBD_PHASE_TRANSMISSION);
}

#endif
