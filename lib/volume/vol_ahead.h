/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_ahead.h - read-ahead: sequential streams of reads, and fetching what they will ask for next.
 *
 * Lock held everywhere: the port's.
 */
#ifndef VOLUME_VOL_AHEAD_H
#define VOLUME_VOL_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

struct lsvd_volume;

#define AHEAD_STREAMS 8u

/* A place where reads have gone on from where others ended. In sectors. */
struct ahead_stream {
	uint64_t next;               /* where the next read is expected; 0: free */
	uint64_t done;               /* up to here everything has been asked for */
	uint64_t window;             /* how far ahead it was last; 0: not a stream yet */
	uint64_t credit;             /* to be read ahead without a single miss */
	uint64_t used;               /* when it last went on */
	uint64_t born;               /* which stream this place holds */
};

/* Part of struct lsvd_volume. */
struct ahead {
	uint64_t most;               /* largest window; 0: there is no read-ahead */
	uint64_t clock;
	unsigned active;             /* streams with a window */
	struct ahead_stream streams[AHEAD_STREAMS];
};

/* `bytes`: the largest window, UINT32_MAX: none. */
void lsvd_vol_ahead_init(struct lsvd_volume *v, uint32_t bytes);

/* A read has been resolved, and its parts are on their way. `missed`: the store has been asked. */
void lsvd_vol_ahead_read(struct lsvd_volume *v, uint64_t lba, uint64_t sectors, bool missed);

#endif
