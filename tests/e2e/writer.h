/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer.h - the parts of writer, the program that loads an NBD server and checks what it kept.
 *
 * State file. `writer init` makes it, on a file system the server does not use (tmpfs); `load` and
 * `check` map it shared, so that every acknowledgement is outside the process before the next
 * operation is issued. It holds, for one range of one export,
 *
 *   base[]   per sector, the operation whose content it had at the last check (0: zeroes)
 *   ops[]    every operation issued since then, in order, with the times of issue and of reply
 *
 * Times are ticks of one counter: it counts events, so "A was acknowledged before B was issued" is
 * A.acked < B.issued. Operations in flight together never overlap; overlapping ones therefore
 * have an order, and the content after any prefix of the history is known exactly.
 */
#ifndef WRITER_H
#define WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR_BYTES 512u
#define MAX_OPS (UINT64_C(1) << 20)

enum op_kind { OP_WRITE = 1, OP_TRIM, OP_ZERO, OP_FLUSH };

struct op {
	uint64_t id;       /* never 0, never used twice in the life of a state file */
	uint64_t lba;      /* sector of the export */
	uint64_t issued;
	uint64_t acked;    /* 0: no reply has come, or an error */
	uint32_t sectors;
	uint8_t kind;
	uint8_t fua;
	uint16_t reserved;
};

struct state_head {
	uint64_t magic;
	uint64_t first_lba, sectors;
	uint64_t seed;     /* of the state file; goes into every stamp */
	uint64_t next_id;
	uint64_t clock;
	uint64_t op_count;
};

struct state {
	struct state_head *head;
	uint64_t *base;
	struct op *ops;
	size_t map_bytes;
};

/* writer_state.c: these exit with a message on failure, like everything in this program. */
void state_init(const char *path, uint64_t first_lba, uint64_t sectors, uint64_t seed);
void state_open(struct state *st, const char *path);
void state_close(struct state *st);

/* Fills one sector with the stamp of an operation. */
void stamp_make(uint8_t sector[SECTOR_BYTES], uint64_t seed, uint64_t id, uint64_t lba);

/* True and the operation's id (0: zeroes) if the sector is whole; false if it is anything else. */
bool stamp_read(uint64_t *ret_id, const uint8_t sector[SECTOR_BYTES], uint64_t seed, uint64_t lba);

/* writer_load.c */
struct load_options {
	const char *uri;
	uint64_t acks;         /* end (or kill) after so many replies */
	uint32_t depth;
	uint32_t connections;
	uint64_t seed;
	int kill_pid;          /* SIGKILL this process after `acks` replies; 0: nobody */
	bool may_die;          /* the server may go away at any time, errors may come */
	bool read_back;        /* mix reads in, and check them */
	bool flush_last;       /* end with a flush, when the end is not the server's */
	uint64_t most_sectors; /* no request is longer */
	int patience_ms;       /* without any reply for so long it fails */
};

int load_run(struct state *st, const struct load_options *opt);

/* writer_check.c */
struct check_options {
	const char *uri;
	uint64_t atomic_bytes; /* writes up to this long are all there or not at all */
	bool flushed_only;     /* demand what was flushed, not all that was acknowledged */
	bool any_prefix;       /* demand that it is one prefix, whichever */
	bool exactly;          /* demand the first `first` operations,
				* flushes not counted, and no more */
	uint64_t first;
};

int check_run(struct state *st, const struct check_options *opt);

/* A small generator, the same everywhere. */
static inline uint64_t mix64(uint64_t *s)
{
	uint64_t z = (*s += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

#endif
