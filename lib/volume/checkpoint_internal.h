/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checkpoint_internal.h - a checkpoint that is being made, for those who make it: vol_checkpoint.c
 * (its states) and checkpoint_encode.c (its bytes).
 */
#ifndef VOLUME_CHECKPOINT_INTERNAL_H
#define VOLUME_CHECKPOINT_INTERNAL_H

#include "volume/checkpoint.h"

#define PAGES_OBJECT_BYTES (8u << 20)
#define EMPTIED_MAX 16u                /* page objects emptied by one checkpoint */
#define GATHERED_AT_ONCE 128u          /* pages on their way */

struct page_object {
	uint8_t *bytes;            /* header and body */
	uint32_t len, room;
	uint64_t number;
	struct iovec iov;
	struct log_free_put put;
};

struct page_change {
	uint64_t page;
	struct page_ref ref;       /* object 0: the page is gone */
};

struct node_change {
	uint64_t index;
	struct blob_ref ref;       /* object 0: the node is gone */
};

struct node_changes {
	struct node_change *list;  /* in order of index */
	uint64_t count, room;
};

/* A page that is waited for. */
struct gathered {
	struct page_wait wait;
	struct checkpoint *c;
	bool busy;
	bool emptied;              /* only because its object is to be emptied */
};

struct checkpoint {
	struct lsvd_volume *v;
	struct gathered gathered[GATHERED_AT_ONCE];
	unsigned gathered_out;
	uint64_t gather_at;          /* pages before this one are here, or on their way */
	bool gathers_emptied;
	struct job_io job;
	struct place at;             /* the chain object it stands at */
	uint64_t last_op;            /* and R there */
	uint64_t volume_bytes;
	bool rolled;                 /* a rollback's: `at` is yet to be put, and to name it */
	uint64_t root_number, first_number, number_count, next_object;
	uint64_t emptied[EMPTIED_MAX];
	unsigned emptied_count;
	struct page_object *objects;
	unsigned object_count;
	unsigned puts_left;
	struct page_change *pages;
	uint64_t page_count, page_room;
	uint64_t *saved;             /* page numbers encoded because they had changed */
	uint64_t saved_count, saved_room;
	struct node_changes page_nodes, object_nodes, snapshot_nodes;
	struct page_ref node[PAGE_NODE]; /* the node of pages that is being made */
	uint8_t *root;
	size_t root_len;
	struct iovec root_iov;
	struct log_free_put root_put;
	int err;
};

/*
 * On any thread, while nothing changes the map and the tables: what has changed into c->objects,
 * and the root. Changes nothing but the checkpoint's own memory.
 */
int lsvd_checkpoint_encode(struct checkpoint *c);
/* Is this page object among those whose pages are saved anew? */
bool lsvd_checkpoint_empties(const struct checkpoint *c, uint64_t object);

#endif
