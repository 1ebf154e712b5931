/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_mem.h - the memory of one loop's connections, and the bound on that of all.
 *
 * Three kinds of things, each kept on free lists because every request needs them:
 *
 *   chunk    256 KiB that a socket is read into. A connection borrows one while it has unparsed
 *            bytes; small WRITE payloads are used where they lie, so a request may pin its chunk.
 *   buffer   payload of a READ or of a large WRITE, with room for a reply's header in front of it:
 *            header and data leave as one piece.
 *   request  struct nbd_req.
 *
 * A pool belongs to one thread. The budget is shared by all pools: it counts the payload bytes that
 * connections hold beyond their first NBD_RESERVE_BYTES each, so that those who ask for little are
 * served however much others hold.
 */
#ifndef NBD_MEM_H
#define NBD_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NBD_CHUNK_ROOM	  (256u << 10)
#define NBD_HEADROOM	  64u
#define NBD_RESERVE_BYTES (UINT64_C(1) << 20)

/* 4 KiB << 14 is 64 MiB, the largest payload. */
#define NBD_BUF_CLASSES 15u

struct nbd_req;
struct nbd_buf;

struct nbd_chunk {
	struct nbd_chunk *next;
	uint32_t refs; /* the connection that reads into it, and each request with its payload here
			*/
	uint8_t data[];
};

struct nbd_budget {
	atomic_uint_fast64_t used;
	uint64_t max;
};

struct nbd_mem {
	struct nbd_budget *budget;
	struct nbd_chunk *chunks;
	struct nbd_req *reqs;
	struct nbd_buf *bufs[NBD_BUF_CLASSES];
	uint64_t kept_bytes; /* in the free lists of chunks and buffers */
	uint64_t lent;	     /* things given out and not yet returned: 0 when all is closed */
};

void nbd_mem_init(struct nbd_mem *mem, struct nbd_budget *budget);
void nbd_mem_fini(struct nbd_mem *mem);

/* Gives free memory back to the system; for idle times. */
void nbd_mem_trim(struct nbd_mem *mem);

/* The getters return NULL if there is no memory; the putters accept NULL. */
struct nbd_chunk *nbd_chunk_get(struct nbd_mem *mem);
void nbd_chunk_put(struct nbd_mem *mem, struct nbd_chunk *chunk);

/* `len` bytes (at most 64 MiB), aligned to 64, with NBD_HEADROOM usable bytes before them. */
void *nbd_buf_get(struct nbd_mem *mem, size_t len);
void nbd_buf_put(struct nbd_mem *mem, void *data);

struct nbd_req *nbd_req_get(struct nbd_mem *mem);
void nbd_req_put(struct nbd_mem *mem, struct nbd_req *req);

/* Takes `bytes` from the shared budget; false if they are not there. */
bool nbd_budget_take(struct nbd_budget *budget, uint64_t bytes);
void nbd_budget_give(struct nbd_budget *budget, uint64_t bytes);

#endif
