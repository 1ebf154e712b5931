/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_mem.c - free lists of chunks, buffers and requests.
 *
 * A buffer is [struct nbd_buf, 64 bytes][headroom, 64 bytes][data of its class], so its class is
 * found from the data pointer. Large buffers are worth keeping: a fresh one costs a page fault for
 * every 4 KiB. The free lists together keep at most KEEP_BYTES.
 */
#include "nbd/nbd_mem.h"

#include <stdlib.h>

#include "nbd/nbd_conn.h"

#define KEEP_BYTES (UINT64_C(16) << 20)
#define BUF_MIN	   (UINT64_C(4) << 10)

struct nbd_buf {
	_Alignas(64) struct nbd_buf *next;
	uint32_t class;
};

_Static_assert(sizeof(struct nbd_buf) == 64, "data stays aligned to cache lines");

static size_t class_bytes(uint32_t class)
{
	return (size_t)(BUF_MIN << class);
}

static uint32_t class_of(size_t len)
{
	uint32_t class = 0;

	while (class_bytes(class) < len)
		class ++;
	return class;
}

static struct nbd_buf *buf_of(void *data)
{
	return (struct nbd_buf *)((char *)data - NBD_HEADROOM - sizeof(struct nbd_buf));
}

void nbd_mem_init(struct nbd_mem *mem, struct nbd_budget *budget)
{
	*mem = (struct nbd_mem){.budget = budget};
}

void nbd_mem_trim(struct nbd_mem *mem)
{
	while (mem->chunks) {
		struct nbd_chunk *chunk = mem->chunks;

		mem->chunks = chunk->next;
		free(chunk);
	}
	for (uint32_t i = 0; i < NBD_BUF_CLASSES; i++) {
		while (mem->bufs[i]) {
			struct nbd_buf *buf = mem->bufs[i];

			mem->bufs[i] = buf->next;
			free(buf);
		}
	}
	mem->kept_bytes = 0;
	while (mem->reqs) {
		struct nbd_req *req = mem->reqs;

		mem->reqs = req->next;
		free(req);
	}
}

void nbd_mem_fini(struct nbd_mem *mem)
{
	nbd_mem_trim(mem);
}

struct nbd_chunk *nbd_chunk_get(struct nbd_mem *mem)
{
	struct nbd_chunk *chunk = mem->chunks;

	if (chunk) {
		mem->chunks = chunk->next;
		mem->kept_bytes -= NBD_CHUNK_ROOM;
	} else {
		chunk = malloc(sizeof *chunk + NBD_CHUNK_ROOM);
		if (!chunk)
			return NULL;
	}
	chunk->next = NULL;
	chunk->refs = 1;
	mem->lent++;
	return chunk;
}

void nbd_chunk_put(struct nbd_mem *mem, struct nbd_chunk *chunk)
{
	if (!chunk)
		return;
	mem->lent--;
	if (mem->kept_bytes + NBD_CHUNK_ROOM > KEEP_BYTES) {
		free(chunk);
		return;
	}
	chunk->next = mem->chunks;
	mem->chunks = chunk;
	mem->kept_bytes += NBD_CHUNK_ROOM;
}

void *nbd_buf_get(struct nbd_mem *mem, size_t len)
{
	uint32_t class = class_of(len);
	struct nbd_buf *buf = mem->bufs[class];

	if (buf) {
		mem->bufs[class] = buf->next;
		mem->kept_bytes -= class_bytes(class);
	} else {
		buf = aligned_alloc(64, sizeof *buf + NBD_HEADROOM + class_bytes(class));
		if (!buf)
			return NULL;
		buf->class = class;
	}
	mem->lent++;
	return (char *)buf + sizeof *buf + NBD_HEADROOM;
}

void nbd_buf_put(struct nbd_mem *mem, void *data)
{
	struct nbd_buf *buf;

	if (!data)
		return;
	buf = buf_of(data);
	mem->lent--;
	if (mem->kept_bytes + class_bytes(buf->class) > KEEP_BYTES) {
		free(buf);
		return;
	}
	buf->next = mem->bufs[buf->class];
	mem->bufs[buf->class] = buf;
	mem->kept_bytes += class_bytes(buf->class);
}

struct nbd_req *nbd_req_get(struct nbd_mem *mem)
{
	struct nbd_req *req = mem->reqs;

	if (req)
		mem->reqs = req->next;
	else
		req = malloc(sizeof *req);
	if (req)
		mem->lent++;
	return req;
}

void nbd_req_put(struct nbd_mem *mem, struct nbd_req *req)
{
	if (!req)
		return;
	mem->lent--;
	req->next = mem->reqs;
	mem->reqs = req;
}

bool nbd_budget_take(struct nbd_budget *budget, uint64_t bytes)
{
	if (!bytes)
		return true;
	if (atomic_fetch_add(&budget->used, bytes) + bytes <= budget->max)
		return true;
	atomic_fetch_sub(&budget->used, bytes);
	return false;
}

void nbd_budget_give(struct nbd_budget *budget, uint64_t bytes)
{
	if (bytes)
		atomic_fetch_sub(&budget->used, bytes);
}
