/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_gc_round.h - a round of garbage collection: what its parts have in common. */
#ifndef VOLUME_VOL_GC_ROUND_H
#define VOLUME_VOL_GC_ROUND_H

#include "format/fmt_key.h"
#include "volume/vol_adopt.h"

/* Sectors that live: where they are, and where they go to in the round's memory. */
struct gc_piece {
	struct map_extent e;
	uint64_t at;
	uint8_t class;
};

/* A victim's header on its way. */
struct survey {
	struct gc_round *g;
	struct gc_choice victim;
	struct obj_io get;
	uint8_t *header;
	size_t room;
	struct seg_extent *had;      /* what the victim was made with */
	uint32_t had_count, had_next;
	uint64_t had_done;           /* sectors of the next one */
	struct page_wait wait;       /* for a page of the map */
	struct log_look look;        /* it is not there: is there a newer writer? */
	struct io step;
	bool busy;
};

struct gc_round {
	struct lsvd_volume *v;
	struct survey surveys[GC_SURVEYS];
	int err;
	uint64_t written[GC_CLASSES]; /* when the newest of a stream's data was */

	struct gc_piece *pieces;     /* by victim and offset, then by lba */
	uint64_t piece_count, piece_room;
	uint64_t bytes;              /* of all pieces */
	struct map_extent *extents;  /* of what is read, by victim and offset */
	uint64_t extents_read;
	uint8_t *buf;
	uint64_t buf_bytes;
	struct read_req req;

	struct job_io job;
	struct seg_record *records;
	uint64_t *hashes;
	struct moved *outputs;
	unsigned output_count, puts_left;
	struct adoption adoption;
};

/* ---- vol_gc_survey.c: what lives in a victim. */
void lsvd_round_survey(void *ctx, const struct gc_choice *victim); /* struct log_gc_ops */

/* ---- vol_gc_move.c: copies of it, put and adopted. */
void lsvd_round_move(void *ctx); /* struct log_gc_ops */
void lsvd_round_count(struct gc_round *g, uint64_t bytes); /* a request */
/* why there is no point in going on, or 0 */
int lsvd_round_futile(const struct gc_round *g);
/* If that is what the error says: the object is not chosen again. */
void lsvd_round_leave_alone(struct gc_round *g, uint64_t object, int err, const char *why);

#endif
