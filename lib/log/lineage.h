/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lineage.h - a volume or a value log as a thing in a store: what its name leads to.
 *
 * It is its record, volumes/<name> or vlogs/<name>, created if absent: the name is taken by whoever
 * created it. Everything else lies below v/<uuid>/, so that a name used again does not meet what an
 * earlier one of that name left behind.
 *
 * Procedures, all of them. `kind` is OBJECT_VOLUME or OBJECT_VLOG.
 */
#ifndef LOG_LINEAGE_H
#define LOG_LINEAGE_H

#include <stdbool.h>

#include <lsvd/store.h>
#include <lsvd/volume.h>

#include "format/fmt_claim.h"
#include "format/fmt_key.h"
#include "format/fmt_volume.h"
#include "io/port.h"

/* "volume", "value log": for texts. */
const char *lsvd_lineage_word(int kind);

/* Is a failure worth another try? Then it has paused before it says so; *tries begins as 0. */
bool lsvd_try_again(struct port *port, unsigned *tries, int err);
/* What may pass is tried again for some seconds, as the log does with its own requests. */
int lsvd_lineage_run(struct port *port, struct obj_io *io);
/*
 * At most LINEAGE_RUN_MAX at the same time. Each has its own result; 0 if all are answered, also
 * that there is no such object, or that there is one.
 */
#define LINEAGE_RUN_MAX 32u
int lsvd_lineage_run_all(struct port *port, struct obj_io *const *ios, unsigned n);
/* A listing, asked for once: what it has called fn for may be a part, if it fails. */
int lsvd_lineage_list(struct port *port, const char *prefix, lsvd_object_fn fn, void *ctx);
/* A whole object of at most `max` bytes; allocated. */
int lsvd_lineage_get(struct port *port, const char *key, uint8_t **ret, size_t *ret_len,
		     size_t max);

/* A record to be put: of this name, or -EINVAL. `uuid` NULL: a new one. */
int lsvd_lineage_describe(struct world *w, int kind, const char *name, const char *uuid,
			  struct fmt_volume *ret);
/* -EEXIST: the name is taken. */
int lsvd_lineage_create(struct port *port, const struct fmt_volume *record);
/* -ENOENT: there is none. */
int lsvd_lineage_find(struct port *port, int kind, const char *name, struct fmt_volume *ret);
/* Its name leads there no more; 0 also if it leads elsewhere, or nowhere, by now. */
int lsvd_lineage_forget(struct port *port, const struct fmt_volume *record);

/* A port on a world without a cache directory, for the length of one call. */
struct visit {
	struct lsvd_store *store;      /* NULL: in a simulation */
	struct world *world;
	struct port port;
};
int lsvd_visit_begin(struct visit *v, struct lsvd_store *store);
int lsvd_visit_begin_world(struct visit *v, struct world *world);
void lsvd_visit_end(struct visit *v);

/* lsvd_lineage_find() on a visit, with a name that may be any text. */
int lsvd_lineage_lookup(struct lsvd_store *store, int kind, const char *name,
			struct fmt_volume *ret);

/* The names there are, in order; allocated. */
struct names {
	char (*names)[LSVD_NAME_MAX + 1];
	size_t count, room;
	int err;
};
int lsvd_lineage_names(struct lsvd_store *store, int kind, struct names *n);
int lsvd_lineage_names_on(struct port *port, int kind, struct names *n);

/*
 * Claims the next epoch: whoever has it open is fenced, and nobody opens it any more, until it is
 * given back. Nothing of it is removed before it was taken for good, not even its name. *ret_claim:
 * the claim's number.
 */
int lsvd_lineage_take_away(struct port *port, const struct uuid *uuid, uint64_t *ret_claim);
/* It is not deleted after all. -ENOENT: somebody took it for good. */
int lsvd_lineage_give_back(struct port *port, const struct uuid *uuid);
/*
 * From now on it cannot be given back. -EBUSY: it was, after the claim with which it had been taken
 * away; so it is not known any more that nobody needs it.
 */
int lsvd_lineage_take_for_good(struct port *port, const struct uuid *uuid, uint64_t claim);
/* Is it the claim of a deletion? */
bool lsvd_claim_deletes(const struct fmt_claim *claim);
/* Removes all objects but the claims. */
int lsvd_lineage_remove(struct visit *v, const struct uuid *uuid);
/*
 * Was it taken away (by that claim, or an earlier one); and for good, as its newest claim says for
 * ever? Only a yes means anything: false, too, if the store cannot be asked.
 */
bool lsvd_lineage_is_taken(struct port *port, const struct uuid *uuid, uint64_t *ret_claim);
bool lsvd_lineage_is_gone(struct port *port, const struct uuid *uuid);
/* -EEXIST if it was taken away: its claims are there for ever, and caches that know them may be. */
int lsvd_lineage_refuse_gone(struct port *port, const struct fmt_volume *record);

#endif
