/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_mirror.h - the copy of the store map in the cache directory: written here, read when offline.
 */
#ifndef VOLUME_VOL_MIRROR_H
#define VOLUME_VOL_MIRROR_H

#include "format/fmt_mirror.h"
#include "volume/volume_internal.h"

#define MIRROR_NAME_CAP (LSVD_NAME_MAX + 8u)

/* The name of one of a volume's two files. */
void lsvd_mirror_name(char *ret, size_t cap, const char *volume, unsigned which);

/* A procedure (vol_offline.c): is one of the files, if it is there and complete, one piece? */
int lsvd_mirror_verify(struct lsvd_volume *v, unsigned which);

/*
 * A procedure, when the log is ours and before the map is read: makes and opens the files, and
 * looks whether the newer can be gone on with. Without them there is no mirror, which a warning
 * says.
 */
void lsvd_mirror_open(struct lsvd_volume *v);
/* A procedure, log_ops.header: what the file that is gone on with lacks is written to it. */
int lsvd_mirror_header(void *volume, const struct object_head *head, const struct chain_part *chain,
		       const uint8_t *bytes);

/* All below: lock held. */

/*
 * The map is what the store has: goes on with the file there is. If there is none, or what it lacks
 * is not known, the first snapshot of this open is begun, or waits until the local log needs it
 * (not `at_once`).
 */
void lsvd_mirror_start(struct lsvd_volume *v, bool at_once);
/*
 * The store has all groups up to `last`, and the map has the object whose header is given (NULL:
 * none, the map had it before). Tells the local log when the mirror has it, too.
 */
void lsvd_mirror_note(struct lsvd_volume *v, struct wal_group *last, uint64_t last_op,
		      const uint8_t *header, uint32_t header_bytes);
/* The map has what this chain object says, which holds no operations. */
void lsvd_mirror_object(struct lsvd_volume *v, const uint8_t *header, uint32_t header_bytes);
/* The chain has come to an object that changes nothing of the map. */
void lsvd_mirror_mark(struct lsvd_volume *v);
/*
 * Does it lead to nothing but what the map leads to, or what the log has newer? Only then may what
 * the map has no use for be deleted: an offline open may still read objects, if the store is there.
 */
bool lsvd_mirror_is_whole(const struct lsvd_volume *v);
/* Somebody waits for room in the log, or the volume is about to be closed. */
void lsvd_mirror_want_room(struct lsvd_volume *v);
/*
 * Nothing is left to write, and the log has been told of everything; or the first snapshot waits,
 * for the log to need it or for a page that cannot be had now.
 */
bool lsvd_mirror_is_settled(const struct lsvd_volume *v);
/* There is a complete one, which is written to. */
bool lsvd_mirror_is_there(const struct lsvd_volume *v);
/* Nothing is begun any more; what is in the world comes back. */
void lsvd_mirror_stop(struct lsvd_volume *v);
/* It goes on where it was stopped. */
void lsvd_mirror_resume(struct lsvd_volume *v);
/* Nothing of it is in the world. */
bool lsvd_mirror_is_idle(const struct lsvd_volume *v);
void lsvd_mirror_free(struct lsvd_volume *v); /* nothing is in the world */

#endif
