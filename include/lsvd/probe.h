/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe.h - does a store do what a volume stands on? Asked of the store itself.
 *
 * A volume is safe only on a store that creates an object if, and only if, there is none of that
 * name, whoever else tries at the same moment. Drivers promise that by LSVD_STORE_CAP_CREATE; a
 * driver that passes on the promise of a server it does not know (LSVD_STORE_CAP_PROBE: s3) is not
 * believed before the server has shown it: lsvd_volume_create() and the first read-write open with
 * a cache directory make a short probe. lsvd_store_probe() is for who wants to know, and why not.
 */
#ifndef LSVD_PROBE_H
#define LSVD_PROBE_H

#include <lsvd/base.h>
#include <lsvd/store.h>

LSVD_BEGIN_DECLS

enum lsvd_probe_result {
	LSVD_PROBE_UNTRIED = 0,
	LSVD_PROBE_GOOD = 1,
	LSVD_PROBE_BAD = 2
};

/* Set with LSVD_STORE_PROBE_INIT. */
struct lsvd_store_probe {
	uint32_t size;
	/*
	 * Asked: how often racers race for one name, and how many. 0: 4 and 8; at most 1000 and 32.
	 */
	uint32_t races, racers;

	/* Found: enum lsvd_probe_result. A volume needs the first five. */
	uint32_t create;         /* of the racers exactly one created, each time */
	uint32_t refuse;         /* a name that is taken is refused, and keeps its object */
	uint32_t read_back;      /* what was created is read, at once and as it was */
	uint32_t ranges;         /* a range is answered to the byte, also at and beyond the end */
	uint32_t length;         /* the length is right */
	uint32_t list;           /* a listing shows at once what was created: only a help */
	uint32_t removed;        /* all that was put here is gone again */

	uint64_t requests;
	uint64_t put_bytes, get_bytes;
	char text[256];          /* the first thing that is bad, or "" */
	uint64_t reserved[8];
};
#ifdef __cplusplus
#define LSVD_STORE_PROBE_INIT { (uint32_t)sizeof(struct lsvd_store_probe) }
#else
#define LSVD_STORE_PROBE_INIT { .size = (uint32_t)sizeof(struct lsvd_store_probe) }
#endif

/*
 * Creates some objects below "probe/", looks at them in all ways a volume does, and removes them.
 * Blocks on the store.
 *
 * 0: all that a volume needs is good. LSVD_E_UNSUPPORTED: something of it is bad; `ret` says what.
 * LSVD_E_UNAVAILABLE, -EACCES, LSVD_E_CONFIG, -EROFS, -ENOSPC, …: the store would not let itself be
 * probed; `ret` has what was found so far. -EINVAL: more races or racers than may be, or the size.
 */
LSVD_API LSVD_MUST_USE int lsvd_store_probe(struct lsvd_store *store,
					    struct lsvd_store_probe *ret);

LSVD_END_DECLS

#endif
