/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_opening.h - an open under way: what the files of its steps share. Procedures, all of them.
 *
 *   log_open.c      the protocol: which steps there are, and in what order
 *   log_claim.c     look, decide, claim
 *   log_fence.c     scan, and fences: what is older does not go on
 *   log_activate.c  object 1 and the re-check
 *   log_creation.c  small objects, created only if their name is free
 */
#ifndef LOG_LOG_OPENING_H
#define LOG_LOG_OPENING_H

#include "log/log_internal.h"

/* An open under way. */
struct opening {
	struct log *log;
	struct log_view view;
	struct log_verdict verdict;
	uint64_t bound;              /* our claim binds who claimed this epoch, activated or not */
};

/* ---- log_creation.c */
#define OBJECT_HEADER_BYTES (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)

/* A small object, to be created. */
struct creation {
	struct log_call call;
	struct iovec iov;
};

/* `bytes` stay with it; the caller sets the key. */
void lsvd_creation_init(struct log *log, struct creation *c, const void *bytes, size_t len);
/* All of it. -EEXIST: others have its name. `also` (may be NULL) is run at the same time. */
int lsvd_creation_run(struct log *log, struct creation *c, const struct log_also *also);
/* The call has been run, with others: what came of it, as above. */
int lsvd_creation_conclude(struct log *log, const struct creation *c);

/* What goes on from the end says of itself. */
struct chain_part lsvd_opening_part(const struct log *log, const struct chain_end *end);
/* A chain object without a body, of this opener; returns the checksum of its header. */
uint64_t lsvd_opening_object(struct log *log, uint8_t bytes[OBJECT_HEADER_BYTES], int kind,
			     uint64_t epoch, uint64_t seq, const struct chain_part *chain);

/* ---- log_claim.c */
/* Fills o->view; writes nothing. -ENOENT: the volume is being deleted. */
int lsvd_opening_look(struct opening *o);
/* Looks, decides and claims, until a claim is ours and binds all who are older. */
int lsvd_opening_claim(struct opening *o);

/* ---- log_fence.c */
/* No epoch that was claimed before ours will be activated any more. -EEXIST: one is. */
int lsvd_opening_shut_older(struct opening *o);
/* The end of the chain that we go on from: scanned, decided on again, and fenced. */
int lsvd_opening_fence(struct opening *o);

/* ---- log_activate.c */
/* Our epoch is there, and nobody came later. `meanwhile` is called while the store is asked. */
int lsvd_opening_activate(struct opening *o, int (*meanwhile)(struct opening *o));

#endif
