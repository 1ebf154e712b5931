/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checkpoint.h - the bytes of a root and of its nodes (docs/format.md, "Roots"; root_codec.c).
 *
 * A node is the references of PAGE_NODE pages, the entries of OBJECT_NODE objects, as varints, or
 * some snapshots; the root lists the nodes, and the page objects that were made with it.
 */
#ifndef VOLUME_CHECKPOINT_H
#define VOLUME_CHECKPOINT_H

#include "volume/page_table.h"
#include "volume/snapshot_table.h"
#include "volume/volume_internal.h"

#define ROOT_HEADER_BYTES (OBJECT_HEAD_BYTES + 80u)
#define ROOT_NODE_BYTES 40u
#define ROOT_NEW_BYTES 16u

/* The most bytes a node takes. */
#define PAGE_NODE_BYTES_MAX (8u + PAGE_NODE * (2u + 6u + 5u + 5u + 8u))
#define OBJECT_NODE_BYTES_MAX (8u + OBJECT_NODE * (2u + 1u + 9u * 10u))

#define SNAPSHOT_NODE_BYTES_MAX (8u + SNAPSHOT_NODE * (16u + 8u + 2u + LSVD_NAME_MAX + 8u * 10u))

/* The kinds of blobs: a part of what their checksums are bound to. */
enum blob_kind {
	BLOB_PAGE = 0,
	BLOB_PAGE_NODE = 1,
	BLOB_OBJECT_NODE = 2,
	BLOB_SNAPSHOT_NODE = 3,
};

/* The part of a root that is of fixed length. */
struct root_part {
	struct place at;           /* the chain object whose state it is */
	uint64_t last_op;
	uint64_t next_object;
	uint64_t volume_bytes;
	uint64_t page_nodes, object_nodes, new_objects;
	uint64_t body_checksum;
	uint64_t snapshot_nodes;
};
void lsvd_root_part_encode(uint8_t *header, const struct root_part *r);
void lsvd_root_part_decode(struct root_part *ret, const uint8_t *header);

void lsvd_root_node_encode(uint8_t at[ROOT_NODE_BYTES], uint64_t index, const struct blob_ref *b);
void lsvd_root_node_decode(uint64_t *ret_index, struct blob_ref *ret, const uint8_t *at);

/* What a blob's checksum is: `index` is the page's number or the node's. */
uint64_t lsvd_blob_hash(const struct lsvd_volume *v, enum blob_kind kind, uint64_t index,
			uint64_t object, const void *bytes, size_t len);

size_t lsvd_page_node_encode(uint8_t *to, const struct page_ref refs[PAGE_NODE]);
size_t lsvd_object_node_encode(uint8_t *to, const struct object_node *node);
size_t lsvd_snapshot_node_encode(uint8_t *to, const struct snapshot_node *node);
/*
 * LSVD_E_CORRUPT. What is found is put into the table, which has room for it. Page numbers are
 * below `pages`; object numbers below `next_object`.
 */
int lsvd_page_node_decode(struct page_table *t, uint64_t index, const uint8_t *p, size_t len,
			  uint64_t pages);
int lsvd_object_node_decode(struct object_table *t, uint64_t index, const uint8_t *p, size_t len,
			    uint64_t next_object);
int lsvd_snapshot_node_decode(struct snapshot_table *t, uint64_t number, const uint8_t *p,
			      size_t len);

#endif
