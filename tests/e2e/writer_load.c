/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer_load.c - many requests in flight on several connections, none overlapping another.
 *
 * One thread, one poll loop. A request that would overlap one in flight is not made; so what a
 * sector holds is known whenever nothing is in flight on it, and a read of such a sector, on
 * whichever connection, must find just that.
 *
 * The end: `acks` replies or SIGTERM (drain and leave), or the server's death, which is an error
 * unless it was announced (--kill, --may-die). Replies that were under way when the server died are
 * still taken out of the socket and count as acknowledged.
 */
#include "writer.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <libnbd.h>

#define MAX_CONNECTIONS 16
#define MAX_DEPTH 256

struct load;

struct slot {
	struct load *load;
	struct op *op;         /* NULL: a read */
	uint8_t *buf;
	uint64_t lba;
	uint32_t sectors;
	bool busy;
};

struct load {
	const struct load_options *opt;
	struct state *st;
	uint64_t *now;         /* per sector: the operation whose content it has */
	uint64_t rng;
	struct nbd_handle *nbd[MAX_CONNECTIONS];
	struct slot slots[MAX_DEPTH];
	uint32_t inflight;
	uint64_t acks, reads, errors;
	int first_error;
	bool killed, stopping, wrong;
};

static volatile sig_atomic_t terminated;

static void on_term(int sig)
{
	(void)sig;
	terminated = 1;
}

/* -------------------------------------------------------------------------- what is known */

static void apply(struct load *ld, const struct op *op)
{
	uint64_t first = op->lba - ld->st->head->first_lba, i;

	for (i = first; i < first + op->sectors; i++)
		ld->now[i] = op->kind == OP_WRITE ? op->id : 0;
}

static void know(struct load *ld)
{
	const struct state_head *h = ld->st->head;
	uint64_t i;

	ld->now = malloc(h->sectors * sizeof(*ld->now));
	if (!ld->now)
		errx(1, "out of memory");
	memcpy(ld->now, ld->st->base, h->sectors * sizeof(*ld->now));
	for (i = 0; i < h->op_count; i++) {
		if (!ld->st->ops[i].acked)
			errx(1, "operation %llu has no reply: check first",
			     (unsigned long long)ld->st->ops[i].id);
		apply(ld, &ld->st->ops[i]);
	}
}

static void check_read(struct load *ld, const struct slot *s)
{
	const struct state_head *h = ld->st->head;
	uint32_t i;

	for (i = 0; i < s->sectors; i++) {
		uint64_t lba = s->lba + i, id = 0, want = ld->now[lba - h->first_lba];
		bool whole = stamp_read(&id, s->buf + (size_t)i * SECTOR_BYTES, h->seed, lba);

		if (whole && id == want)
			continue;
		ld->wrong = true;
		warnx("read: sector %llu holds %s %llu, expected operation %llu",
		      (unsigned long long)lba, whole ? "operation" : "a damaged stamp of",
		      (unsigned long long)id, (unsigned long long)want);
		return;
	}
	ld->reads++;
}

/* ------------------------------------------------------------------------------ completion */

static int completed(void *arg, int *error)
{
	struct slot *s = arg;
	struct load *ld = s->load;

	if (*error != 0) {
		ld->errors++;
		ld->stopping = true;
		if (!ld->first_error)
			ld->first_error = *error;
	} else if (s->op) {
		s->op->acked = ++ld->st->head->clock;
		apply(ld, s->op);
		ld->acks++;
	} else {
		check_read(ld, s);
	}
	free(s->buf);
	s->buf = NULL;
	s->busy = false;
	ld->inflight--;
	return 1;
}

/* ----------------------------------------------------------------------------------- issue */

static bool overlaps(const struct load *ld, uint64_t lba, uint32_t sectors)
{
	uint32_t i;

	for (i = 0; i < ld->opt->depth; i++) {
		const struct slot *s = &ld->slots[i];

		if (s->busy && lba < s->lba + s->sectors && s->lba < lba + sectors)
			return true;
	}
	return false;
}

static uint32_t pick_sectors(struct load *ld, enum op_kind kind)
{
	uint64_t r = mix64(&ld->rng), n = r >> 8;

	if (kind != OP_WRITE && r % 4 == 0)
		return (uint32_t)(n % 16384 + 1);
	switch (r % 100) {
	case 0:
		return (uint32_t)(n % 8192 + 1);
	case 1: case 2: case 3: case 4:
		return (uint32_t)(n % 2048 + 1);
	default:
		break;
	}
	if (r % 100 < 30)
		return (uint32_t)(n % 128 + 1);
	return (uint32_t)(n % (r % 100 < 45 ? 64 : 8) + 1) * 8;
}

/* Half of what is done falls on a sixteenth of the range, so that there are many overwrites. */
static bool pick_range(struct load *ld, uint32_t sectors, uint64_t *ret_lba)
{
	const struct state_head *h = ld->st->head;
	uint64_t span = mix64(&ld->rng) % 2 ? h->sectors : h->sectors / 16;
	uint64_t at;

	if (sectors > h->sectors)
		return false;
	at = mix64(&ld->rng) % (span > sectors ? span - sectors : h->sectors - sectors + 1);
	if (sectors % 8 == 0)
		at -= at % 8;
	*ret_lba = h->first_lba + at;
	return !overlaps(ld, *ret_lba, sectors);
}

static struct slot *free_slot(struct load *ld)
{
	uint32_t i;

	for (i = 0; i < ld->opt->depth; i++)
		if (!ld->slots[i].busy)
			return &ld->slots[i];
	return NULL;
}

static struct op *log_op(struct load *ld, enum op_kind kind, const struct slot *s, bool fua)
{
	struct state_head *h = ld->st->head;
	struct op *op = &ld->st->ops[h->op_count];

	*op = (struct op){ .id = h->next_id, .lba = s->lba, .issued = ++h->clock,
			   .sectors = s->sectors, .kind = (uint8_t)kind, .fua = fua };
	h->next_id++;
	h->op_count++;
	return op;
}

static void fill(const struct load *ld, struct slot *s)
{
	uint32_t i;

	for (i = 0; i < s->sectors; i++)
		stamp_make(s->buf + (size_t)i * SECTOR_BYTES, ld->st->head->seed, s->op->id,
			   s->lba + i);
}

static int64_t send_one(struct load *ld, struct slot *s, uint32_t dice)
{
	nbd_completion_callback done = { .callback = completed, .user_data = s };
	struct nbd_handle *nbd = ld->nbd[mix64(&ld->rng) % ld->opt->connections];
	uint64_t off = s->lba * SECTOR_BYTES, len = (uint64_t)s->sectors * SECTOR_BYTES;
	uint32_t flags = s->op && s->op->fua ? LIBNBD_CMD_FLAG_FUA : 0;

	if (!s->op)
		return nbd_aio_pread(nbd, s->buf, len, off, done, 0);
	switch ((enum op_kind)s->op->kind) {
	case OP_WRITE:
		return nbd_aio_pwrite(nbd, s->buf, len, off, done, flags);
	case OP_TRIM:
		return nbd_aio_trim(nbd, len, off, done, flags);
	case OP_ZERO:
		if (dice % 2)
			flags |= LIBNBD_CMD_FLAG_NO_HOLE;
		return nbd_aio_zero(nbd, len, off, done, flags);
	case OP_FLUSH:
		return nbd_aio_flush(nbd, done, 0);
	}
	return -1;
}

/* 0: a request is under way or was thought better of; -1: the connection takes no more. */
static int issue(struct load *ld, struct slot *s)
{
	uint32_t dice = (uint32_t)(mix64(&ld->rng) % 1000);
	enum op_kind kind = dice < 70 ? OP_TRIM : dice < 140 ? OP_ZERO : dice < 170 ? OP_FLUSH :
			    OP_WRITE;
	bool read = dice >= 900 && ld->opt->read_back;

	s->sectors = kind == OP_FLUSH ? 0 : pick_sectors(ld, kind);
	if (s->sectors > ld->opt->most_sectors)
		s->sectors = (uint32_t)ld->opt->most_sectors;
	s->lba = ld->st->head->first_lba;
	if (kind != OP_FLUSH && !pick_range(ld, s->sectors, &s->lba))
		return 0;
	s->load = ld;
	s->op = read ? NULL : log_op(ld, kind, s, kind != OP_FLUSH && dice % 32 == 0);
	s->buf = NULL;
	if (read || kind == OP_WRITE) {
		s->buf = malloc((size_t)s->sectors * SECTOR_BYTES);
		if (!s->buf)
			errx(1, "out of memory");
		if (s->op)
			fill(ld, s);
	}
	s->busy = true;
	ld->inflight++;
	if (send_one(ld, s, dice) >= 0)
		return 0;
	if (s->busy) { /* it may have been completed, with an error, inside the call */
		free(s->buf);
		s->buf = NULL;
		s->busy = false;
		ld->inflight--;
	}
	return -1;
}

/* ------------------------------------------------------------------------------------ loop */

static void open_connections(struct load *ld)
{
	uint32_t i;

	for (i = 0; i < ld->opt->connections; i++) {
		ld->nbd[i] = nbd_create();
		if (!ld->nbd[i] || nbd_connect_uri(ld->nbd[i], ld->opt->uri) < 0)
			errx(1, "%s", nbd_get_error());
	}
}

static bool alive(struct nbd_handle *nbd)
{
	return nbd_aio_is_dead(nbd) == 0 && nbd_aio_is_closed(nbd) == 0;
}

/* Waits for the sockets and lets libnbd work; false when a connection has gone. */
static bool turn(struct load *ld)
{
	struct pollfd fds[MAX_CONNECTIONS];
	bool ok = true;
	uint32_t i, n = ld->opt->connections;

	for (i = 0; i < n; i++) {
		unsigned dir = nbd_aio_get_direction(ld->nbd[i]);

		fds[i] = (struct pollfd){ .fd = alive(ld->nbd[i]) ? nbd_aio_get_fd(ld->nbd[i])
								  : -1 };
		if (dir & LIBNBD_AIO_DIRECTION_READ)
			fds[i].events |= POLLIN;
		if (dir & LIBNBD_AIO_DIRECTION_WRITE)
			fds[i].events |= POLLOUT;
	}
	/*
	 * All may have been answered while they were being sent: then there is nothing to wait for.
	 */
	if (poll(fds, n, ld->inflight ? ld->opt->patience_ms : 0) == 0 && ld->inflight)
		errx(1, "no reply for %d ms, %u requests in flight", ld->opt->patience_ms,
		     ld->inflight);
	for (i = 0; i < n; i++) {
		/* Read first: replies are taken out even of a socket whose peer has gone. */
		if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			(void)nbd_aio_notify_read(ld->nbd[i]); /* alive() tells */
		else if (fds[i].revents & POLLOUT)
			(void)nbd_aio_notify_write(ld->nbd[i]);
		ok &= alive(ld->nbd[i]);
	}
	return ok;
}

static void kill_server(struct load *ld)
{
	if (!ld->opt->kill_pid || ld->killed || ld->acks < ld->opt->acks)
		return;
	ld->killed = true;
	if (kill((pid_t)ld->opt->kill_pid, SIGKILL) < 0)
		err(1, "kill %d", ld->opt->kill_pid);
}

static bool wants_more(struct load *ld)
{
	if (terminated || ld->wrong || ld->st->head->op_count == MAX_OPS)
		ld->stopping = true;
	if (ld->acks >= ld->opt->acks && !ld->opt->kill_pid)
		ld->stopping = true;
	/* Whoever was killed was not the server: it may go on, but not for ever. */
	if (ld->killed && ld->acks / 2 >= ld->opt->acks)
		ld->stopping = true;
	return !ld->stopping;
}

/* Returns whether all connections were there to the end. */
static bool play(struct load *ld)
{
	bool up = true;
	uint32_t i;

	while (wants_more(ld) || (up && ld->inflight > 0)) {
		struct slot *s;

		for (i = 0; i < ld->opt->depth && wants_more(ld); i++) {
			s = free_slot(ld);
			if (!s || issue(ld, s) < 0)
				break;
		}
		up = turn(ld);
		if (!up)
			ld->stopping = true;
		kill_server(ld);
	}
	return up;
}

/* After one connection has gone, the others may still hold replies: take them. */
static void drain(struct load *ld)
{
	uint32_t i;

	for (i = 0; i < ld->opt->connections; i++)
		while (alive(ld->nbd[i]) && nbd_poll(ld->nbd[i], 10000) > 0)
			;
}

static void flush_last(struct load *ld)
{
	struct slot none = { .lba = ld->st->head->first_lba };
	struct op *op;

	if (ld->st->head->op_count == MAX_OPS)
		errx(1, "no room in the state file for the last flush");
	op = log_op(ld, OP_FLUSH, &none, false);
	if (nbd_flush(ld->nbd[0], 0) < 0)
		errx(1, "the last flush: %s", nbd_get_error());
	op->acked = ++ld->st->head->clock;
}

static int verdict(const struct load *ld, bool up)
{
	bool announced = ld->killed || ld->opt->may_die;

	printf("load: %llu operations in the log, %llu acknowledged now, %llu reads right\n",
	       (unsigned long long)ld->st->head->op_count, (unsigned long long)ld->acks,
	       (unsigned long long)ld->reads);
	if (ld->wrong)
		return 1;
	if (!up && !announced) {
		warnx("the server went away: %s", nbd_get_error() ? nbd_get_error() : "");
		return 1;
	}
	if (ld->errors > 0 && !announced) {
		warnx("%llu requests failed, the first with %s", (unsigned long long)ld->errors,
		      strerror(ld->first_error));
		return 1;
	}
	return 0;
}

int load_run(struct state *st, const struct load_options *opt)
{
	static struct load ld; /* large, and zero */
	struct sigaction sa = { .sa_handler = on_term };
	bool up;
	uint32_t i;
	int rc;

	if (opt->depth == 0 || opt->depth > MAX_DEPTH || opt->connections == 0 ||
	    opt->connections > MAX_CONNECTIONS)
		errx(1, "depth 1…%d, connections 1…%d", MAX_DEPTH, MAX_CONNECTIONS);
	if (sigaction(SIGTERM, &sa, NULL) < 0)
		err(1, "sigaction");
	ld.opt = opt;
	ld.st = st;
	ld.rng = opt->seed;
	know(&ld);
	open_connections(&ld);
	up = play(&ld);
	if (!up)
		drain(&ld);
	if (up && opt->flush_last)
		flush_last(&ld);
	rc = verdict(&ld, up);
	for (i = 0; i < opt->connections; i++) {
		if (up)
			(void)nbd_shutdown(ld.nbd[i], 0); /* polite; nothing is in flight */
		nbd_close(ld.nbd[i]);
	}
	free(ld.now);
	return rc;
}
