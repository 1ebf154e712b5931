/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_nbd.c - any bytes from a client: the protocol machine stays within its memory and its
 * limits, asks only for what lies within the export, and gives everything back in the end.
 *
 * The first byte of the input says in what pieces the client's bytes come and what is sent takes;
 * the second how operations end: at once or held, with errors, and whether the client hangs up at
 * the end. The rest is what the client says.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "nbd/nbd_conn.h"

#define DISK_BYTES (UINT64_C(1) << 20)
#define HELD_MAX   32u

struct host {
	struct nbd_conn conn;
	struct nbd_mem mem;
	struct nbd_budget budget;
	struct nbd_req *held[HELD_MAX];
	unsigned count;
	size_t in_step, out_step;
	bool hold, fail, answer_late;
	uint8_t last; /* of what was sent: keeps the compiler from not looking */
};

static const struct nbd_limits limits = {64, HELD_MAX, 1 << 20};

static uint8_t disk[DISK_BYTES];

static void answer(struct host *h, enum nbd_event event)
{
	struct nbd_export export = {.bytes = DISK_BYTES};

	if (event == NBD_EVENT_LIST) {
		nbd_conn_list(&h->conn, "disk");
		nbd_conn_list_end(&h->conn, h->fail ? NBD_REP_ERR_SHUTDOWN : 0, "no");
		return;
	}
	FUZZ_CHECK(strlen(h->conn.lookup.name) <= NBD_NAME_MAX);
	FUZZ_CHECK(!strchr(h->conn.lookup.name, '/'));
	memcpy(export.name, h->conn.lookup.name, sizeof export.name);
	export.readonly = export.name[0] == 'r';
	if (export.name[0] == 'x')
		nbd_conn_answer(&h->conn, NULL, NBD_REP_ERR_UNKNOWN, "no such export");
	else
		nbd_conn_answer(&h->conn, &export, 0, NULL);
}

static void finish(struct host *h, unsigned i)
{
	struct nbd_req *req = h->held[i];
	struct lsvd_io *io = &req->io;

	h->held[i] = h->held[--h->count];
	if (io->kind == LSVD_IO_READ)
		memcpy(io->iov->iov_base, disk + io->off, io->len);
	else if (io->kind == LSVD_IO_WRITE)
		memcpy(disk + io->off, io->iov->iov_base, io->len);
	if (nbd_req_may_skip(req) && io->off == 0)
		nbd_conn_complete_hole(&h->conn, req);
	else
		nbd_conn_complete(&h->conn, req, h->fail && req->cookie % 3 == 0 ? -EIO : 0);
}

static void submit(struct host *h, struct nbd_req *req)
{
	FUZZ_CHECK(req->io.off <= DISK_BYTES && req->io.len <= DISK_BYTES - req->io.off);
	FUZZ_CHECK(req->io.off % LSVD_SECTOR_BYTES == 0 && req->io.len % LSVD_SECTOR_BYTES == 0);
	FUZZ_CHECK(!req->io.iov || req->io.iov->iov_len == req->io.len);
	FUZZ_CHECK(!h->conn.export.readonly || req->io.kind == LSVD_IO_READ ||
		   req->io.kind == LSVD_IO_PREFETCH);
	FUZZ_CHECK(h->count < HELD_MAX);
	h->held[h->count++] = req;
	if (!h->hold)
		finish(h, h->count - 1);
}

static void status(struct host *h, struct nbd_req *req)
{
	struct lsvd_status_extent extents[2] = {{512, 0, 0}, {UINT64_MAX, 3, 0}};

	FUZZ_CHECK(req->len && req->off < DISK_BYTES);
	nbd_conn_complete_status(&h->conn, req, extents,
				 h->fail		       ? -EIO
				 : nbd_req_status_max(req) > 1 ? 2
							       : 1);
}

static void events(struct host *h)
{
	enum nbd_event event;
	struct nbd_req *req;

	while ((event = nbd_conn_next(&h->conn, &req))) {
		if (event == NBD_EVENT_SUBMIT)
			submit(h, req);
		else if (event == NBD_EVENT_STATUS)
			status(h, req);
		else
			answer(h, event);
	}
	FUZZ_CHECK(h->conn.head <= h->conn.tail && h->conn.tail <= NBD_CHUNK_ROOM);
	FUZZ_CHECK(h->conn.inflight <= limits.inflight);
	FUZZ_CHECK(h->conn.chunks <= NBD_CHUNKS_MAX);
	FUZZ_CHECK(h->conn.bytes <= limits.bytes || h->conn.inflight == 1);
}

static bool drain(struct host *h)
{
	struct iovec iov[4];
	int n = nbd_conn_tx(&h->conn, iov, 4);
	size_t sent = 0;

	for (int i = 0; i < n && sent < h->out_step; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t part = iov[i].iov_len;

		if (part > h->out_step - sent)
			part = h->out_step - sent;
		for (size_t k = 0; k < part; k++)
			h->last ^= p[k];
		sent += part;
	}
	nbd_conn_sent(&h->conn, sent);
	return sent > 0;
}

/* Gives the machine some bytes; how many it took. */
static size_t feed(struct host *h, const uint8_t *bytes, size_t len)
{
	struct iovec iov[2];
	int n = nbd_conn_rx(&h->conn, iov);
	size_t taken = 0;

	if (len > h->in_step)
		len = h->in_step;
	for (int i = 0; i < n; i++) {
		size_t part = iov[i].iov_len < len - taken ? iov[i].iov_len : len - taken;

		memcpy(iov[i].iov_base, bytes + taken, part);
		taken += part;
	}
	nbd_conn_received(&h->conn, taken);
	return taken;
}

static void session(struct host *h, const uint8_t *bytes, size_t len)
{
	bool moved = true;

	while (moved) {
		size_t taken = feed(h, bytes, len);

		bytes += taken;
		len -= taken;
		events(h);
		moved = drain(h) || taken;
		if (!moved && h->count) {
			finish(h, h->count / 2);
			moved = true;
		}
		events(h);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const size_t steps[] = {SIZE_MAX, 1, 7, 28, 29, 512, 4096, 65536};
	static struct host h;

	if (len < 2)
		return 0;
	memset(&h, 0, sizeof h);
	h.budget.max = UINT64_C(8) << 20;
	h.in_step = steps[bytes[0] & 7];
	h.out_step = steps[bytes[0] >> 3 & 7];
	h.hold = bytes[1] & 1;
	h.fail = bytes[1] & 2;
	nbd_mem_init(&h.mem, &h.budget);
	nbd_conn_init(&h.conn, &h.mem, &limits);
	session(&h, bytes + 2, len - 2);
	if (bytes[1] & 4)
		nbd_conn_kill(&h.conn, "hung up");
	else
		nbd_conn_eof(&h.conn);
	session(&h, bytes, 0);
	FUZZ_CHECK(nbd_conn_finished(&h.conn));
	nbd_conn_fini(&h.conn);
	FUZZ_CHECK(h.mem.lent == 0);
	FUZZ_CHECK(atomic_load(&h.budget.used) == 0);
	nbd_mem_fini(&h.mem);
	return 0;
}
