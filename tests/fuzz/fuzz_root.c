/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_root.c - any bytes as a node of a root, or as an adoption.
 *
 * What is taken for a node has one encoding only: encoded again it is the same bytes.
 */
#include "fuzz.h"

#include <string.h>

#include "base/alloc.h"
#include "segment/seg_adopt.h"
#include "volume/checkpoint.h"

#define NEXT_OBJECT 100000u
#define PAGES 1000000u

static void as_page_node(const uint8_t *bytes, size_t len, uint64_t index)
{
	static uint8_t again[PAGE_NODE_BYTES_MAX];
	struct page_table t = { .nodes = NULL };

	FUZZ_CHECK(lsvd_page_table_reserve(&t, index * PAGE_NODE) == 0);
	if (lsvd_page_node_decode(&t, index, bytes, len, PAGES) == 0) {
		size_t n = lsvd_page_node_encode(again, lsvd_page_table_node(&t, index)->refs);

		FUZZ_CHECK(n == len && memcmp(again, bytes, n) == 0);
		FUZZ_CHECK(t.used <= PAGE_NODE);
	}
	lsvd_page_table_fini(&t);
}

static void as_object_node(const uint8_t *bytes, size_t len, uint64_t index)
{
	static uint8_t again[OBJECT_NODE_BYTES_MAX];
	struct object_table t = { .nodes = NULL };

	FUZZ_CHECK(lsvd_object_table_reserve(&t, index * OBJECT_NODE) == 0);
	if (lsvd_object_node_decode(&t, index, bytes, len, NEXT_OBJECT) == 0) {
		size_t n = lsvd_object_node_encode(again, t.nodes[index]);

		FUZZ_CHECK(n == len && memcmp(again, bytes, n) == 0);
	}
	lsvd_object_table_fini(&t);
}

static void as_snapshot_node(const uint8_t *bytes, size_t len, uint64_t number)
{
	static uint8_t again[SNAPSHOT_NODE_BYTES_MAX];
	struct snapshot_table t = { .nodes = NULL };

	if (lsvd_snapshot_node_decode(&t, number, bytes, len) == 0) {
		size_t n = lsvd_snapshot_node_encode(again, lsvd_snapshots_node(&t, number));

		FUZZ_CHECK(n == len && memcmp(again, bytes, n) == 0);
		(void)!lsvd_snapshots_verify(&t); /* with one node it may be in order or not */
	}
	lsvd_snapshots_fini(&t);
}

static void as_adoption(const uint8_t *bytes, size_t len)
{
	struct seg_walk walk = { .extent = 0 };
	struct seg_piece p;
	struct seg_adopt a;
	uint64_t at = 0;

	if (lsvd_adopt_decode(&a, bytes, (uint32_t)len, UINT64_C(1) << 41, "x") < 0)
		return;
	while (lsvd_adopt_next(&a, &walk, &p)) {
		FUZZ_CHECK(p.extent->lba + p.skip >= at && p.sectors > 0);
		at = p.extent->lba + p.skip + p.sectors;
		FUZZ_CHECK(at <= p.extent->lba + p.extent->sectors);
	}
	lsvd_adopt_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len < 2)
		return 0;
	if (bytes[0] % 4 == 0)
		as_page_node(bytes + 2, len - 2, bytes[1]);
	else if (bytes[0] % 4 == 1)
		as_object_node(bytes + 2, len - 2, bytes[1]);
	else if (bytes[0] % 4 == 3)
		as_snapshot_node(bytes + 2, len - 2, bytes[1]);
	else
		as_adoption(bytes + 2, len - 2);
	return 0;
}
