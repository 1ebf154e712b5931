/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_fault.h - a store around a store that misbehaves as it is told, and counts.
 *
 * What it does is a list of rules. For each call the first rule that matches it, and has not been
 * used up, acts; a call that none matches goes through. Chance (permille) comes from the seed, in
 * the order of the calls. Rules may be added and cleared while the store is in use, from any
 * thread.
 *
 *	struct store_fault *f;
 *	ck_assert_ok(store_fault_open(&store, &f, inner, seed));
 *	store_fault_add(f, &(struct fault_rule){ .verbs = FAULT_PUT, .from = 3, .times = 1,
 *						 .kind = FAULT_LOSE_REPLY });
 */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H

#include <stdbool.h>

#include <lsvd/store_driver.h>

enum fault_verb {
	FAULT_PUT = 1,
	FAULT_GET = 2,
	FAULT_HEAD = 4,
	FAULT_LIST = 8,
	FAULT_REMOVE = 16,
	FAULT_ANY = 31,
	FAULT_WRITES = FAULT_PUT | FAULT_REMOVE,
	FAULT_READS = FAULT_GET | FAULT_HEAD | FAULT_LIST,
};

enum fault_kind {
	FAULT_FAIL,          /* nothing is done; err */
	FAULT_LOSE_REPLY,    /* it is done; err */
	FAULT_DELAY,         /* it is done ms later */
	FAULT_HOLD,          /* it is done when store_fault_release() lets it */
	FAULT_TRUNCATE,      /* GET: half of what there is, at least one byte less */
	FAULT_FLIP,          /* GET: one bit is wrong */
	FAULT_ZERO,          /* GET: 512 bytes, at most, are zero */
	FAULT_OVERWRITE,     /* PUT: as if the name were free, whoever has it */
	FAULT_STALE,         /* LIST: nothing; GET, HEAD: -ENOENT; REMOVE: it shows all the same */
	FAULT_KINDS,
};

struct fault_rule {
	unsigned verbs;      /* FAULT_PUT | …; 0: any */
	const char *key;     /* the key contains this; NULL: any key. Copied, 255 bytes at most */
	unsigned from;       /* the first matching call it acts on: 1 (or 0) is the very first */
	unsigned times;      /* how often it acts; 0: for ever */
	unsigned permille;   /* with this chance; 0: always */
	enum fault_kind kind;
	int err;             /* 0: LSVD_E_UNAVAILABLE */
	unsigned ms;         /* FAULT_DELAY */
};

struct store_fault;

/* The same as below with capabilities of one's own: LSVD_STORE_CAP_CREATE, _PROBE, both or 0. */
int store_fault_open_caps(struct lsvd_store **ret, struct store_fault **ret_fault,
			  struct lsvd_store *inner, uint64_t seed, uint32_t caps);

/*
 * `*ret` closes `inner` too. `*ret_fault` lives as long as the store. The store has the
 * capabilities of `inner` except LSVD_STORE_CAP_INLINE, since it may wait.
 */
int store_fault_open(struct lsvd_store **ret, struct store_fault **ret_fault,
		     struct lsvd_store *inner, uint64_t seed);

/* 0 or -ENOMEM. Of what is added, the first that matches a call acts. */
int store_fault_add(struct store_fault *f, const struct fault_rule *rule);
/* Forgets all rules and lets go what is held. */
void store_fault_clear(struct store_fault *f);

/* From now on, and from the `n`-th call on (1: the next), every call fails: the store is gone. */
int store_fault_cut(struct store_fault *f, unsigned n);

/* Waits until `n` calls are held at once. */
void store_fault_wait_held(struct store_fault *f, unsigned n);
/* Lets go the calls that are held now. */
void store_fault_release(struct store_fault *f);

/* Calls made so far, of these verbs, and bytes of PUT or GET bodies that went through. */
uint64_t store_fault_calls(struct store_fault *f, unsigned verbs);
uint64_t store_fault_bytes(struct store_fault *f, enum fault_verb verb);
/* How often a rule of this kind has acted. */
uint64_t store_fault_hits(struct store_fault *f, enum fault_kind kind);
/* Calls that are inside the store now, and the most there ever were. */
unsigned store_fault_in_flight(struct store_fault *f, unsigned *ret_most);
void store_fault_reset_counts(struct store_fault *f);

#endif
