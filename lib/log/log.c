/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.c - the steady state of the log: places given away, chain objects sent and acknowledged.
 *
 * A chain object's header holds the checksum of the one before it, so headers are finished strictly
 * in order of seq, each once, when its put is first sent; the bytes stay the same from then on. At
 * most `window` objects lie between the newest acknowledged one and the newest sent. That bound is
 * not only one on memory: because it is not above the distance of anchors, an anchor is sent only
 * when the anchor before it is acknowledged, and so the end of a chain can be sought among anchors
 * by halving (log_scan.c). Anchors are the log's own: nobody is given their places, and one is sent
 * when what comes after it has to be.
 *
 *   States of a put:  PUT_WAITING -> PUT_SENT -> PUT_STORED    its turn; the store has it
 *                     PUT_WAITING, PUT_SENT -> PUT_LOST        the log is over
 *
 * Once the log is over (fenced, cancelled) puts end as they come back from the world, still in
 * order of seq. What ends without a request in the world is ended by a step (IO_STEP), so that no
 * caller is called back from inside its own call.
 */
#include "log/log_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"

enum put_state {
	PUT_WAITING,
	PUT_SENT,
	PUT_STORED,
	PUT_LOST,
};

bool lsvd_log_over(const struct log *log)
{
	return log->state == LOG_FENCED || log->state == LOG_CANCELLED;
}

static struct log_put *first_put(const struct log *log)
{
	return list_empty(&log->puts) ? NULL : list_first(&log->puts, struct log_put, link);
}

/* ------------------------------------------------------------------------------ acknowledging */

/* What the first put in order ends with, or 1: it has to wait. */
static int verdict_on(const struct log *log, const struct log_put *put)
{
	if (lsvd_log_over(log))
		return put->state == PUT_SENT ? 1 : log->end_err;
	if (put->state != PUT_STORED || put->place.seq != log->acked_seq + 1)
		return 1;
	return 0;
}

static void note_acked(struct log *log, const struct log_put *put)
{
	log->acked_seq = put->place.seq;
	if (put == &log->anchor)
		log->anchored = log->anchor_says;
	if (put->kind == OBJECT_DATA)
		log->acked_op = put->last_op;
	log->stats.chain_puts++;
	log->stats.chain_put_bytes += put->put_bytes;
	if (put->kind != OBJECT_DATA) {
		log->stats.fence_requests++;
		log->stats.fence_bytes += put->put_bytes;
	}
}

/* Ends puts in order as far as possible. Their owners may put again meanwhile. */
static void drain(struct log *log)
{
	struct log_put *put;

	if (log->draining)
		return;
	log->draining = true;
	while ((put = first_put(log))) {
		int err = verdict_on(log, put);

		if (err > 0)
			break;
		list_del(&put->link);
		if (err == 0)
			note_acked(log, put);
		put->acked(put, err);
	}
	log->draining = false;
}

static void step_done(struct io *io)
{
	struct log *log = io->owner;
	struct list *node;

	log->step_set = false;
	while ((node = list_pop(&log->ending))) {
		struct log_upload *up = list_entry(node, struct log_upload, link);

		up->ended(up, log->end_err);
	}
	drain(log);
	lsvd_look_end(log);
}

void lsvd_log_step(struct log *log)
{
	if (log->step_set)
		return;
	log->step_set = true;
	log->step = (struct io){ .kind = IO_STEP, .done = step_done, .owner = log };
	lsvd_port_start(log->port, &log->step);
}

static void end_log(struct log *log, enum log_state state, int err)
{
	log->state = state;
	log->end_err = err;
	lsvd_upload_give_up(log);
	lsvd_log_step(log);
}

void lsvd_log_fence(struct log *log, int err)
{
	if (lsvd_log_over(log))
		return;
	end_log(log, LOG_FENCED, err);
	log->ops->fenced(log->ctx, err);
}

void lsvd_log_cancel(struct log *log, int err)
{
	if (!lsvd_log_over(log))
		end_log(log, LOG_CANCELLED, err);
}

/* ------------------------------------------------------------------------------------- sending */

static struct chain_part next_part(const struct log *log, const struct log_put *put)
{
	struct chain_part c = {
		.prev_checksum = log->sent_checksum,
		.first_op = put->first_op,
		.last_op = put->last_op,
		.acked_seq = log->acked_seq,
		.root = log->root,
		.volume_bytes = log->options.volume_bytes,
		.next_object = log->next_object,
		.flags = log->options.flush_remote ? CHAIN_FLUSH_REMOTE : 0,
	};

	if (put->kind != OBJECT_DATA) {
		c.first_op = log->sent_op + 1;
		c.last_op = log->sent_op;
	}
	return c;
}

static void finish_segment(struct log_put *put, struct object_head *head, struct chain_part *chain)
{
	struct segment *s = put->segment;

	head->header_bytes = s->header_bytes;
	head->body_bytes = s->body_bytes;
	head->object = put->place.object;
	chain->extents = s->extent_count;
	chain->extent_bytes = s->extent_bytes;
	head->checksum = lsvd_segment_finish(s, head, chain);
	put->up.iov = s->iov;
	put->up.iovcnt = s->iovcnt;
}

/* What has no body: the header alone, in the put or, with records, the owner's. */
static void finish_bare(struct log_put *put, struct object_head *head, struct chain_part *chain)
{
	uint8_t *header = put->record_count ? put->note : put->header;

	head->header_bytes = put->record_count ? log_note_bytes(put->record_bytes)
					       : (uint32_t)sizeof put->header;
	chain->records = put->record_count;
	chain->record_bytes = put->record_bytes;
	if (put->kind == OBJECT_NOTE)
		head->object = put->place.object; /* 0: an anchor, which is never deleted */
	lsvd_chain_part_encode(header + OBJECT_HEAD_BYTES, chain);
	lsvd_object_head_encode(header, head);
	put->header_iov = (struct iovec){ .iov_base = header, .iov_len = head->header_bytes };
	put->up.iov = &put->header_iov;
	put->up.iovcnt = 1;
}

/* Once in the life of a put: from here on its bytes do not change. */
static void finish(struct log *log, struct log_put *put)
{
	struct chain_part chain;
	struct object_head head = {
		.kind = (uint16_t)put->kind,
		.volume = log->options.volume,
		.epoch = log->epoch,
		.seq = put->place.seq,
	};

	if (put->volume_bytes)
		log->options.volume_bytes = put->volume_bytes;
	if (put->new_root.epoch)
		log->root = put->new_root;
	chain = next_part(log, put);
	if (put->kind == OBJECT_DATA)
		finish_segment(put, &head, &chain);
	else
		finish_bare(put, &head, &chain);
	put->root = log->root;
	log->sent_seq = put->place.seq;
	log->sent_op = chain.last_op;
	log->sent_checksum = head.checksum;
	put->put_bytes = head.header_bytes + head.body_bytes;
}

static void put_ended(struct log_upload *up, int err);

static void send(struct log *log, struct log_put *put)
{
	finish(log, put);
	put->state = PUT_SENT;
	put->up.log = log;
	put->up.kind = IO_PUT;
	put->up.ended = put_ended;
	lsvd_key_chain(put->up.io.key, &log->options.volume, log->epoch, put->place.seq);
	lsvd_upload_start(&put->up);
}

static void insert(struct log *log, struct log_put *put)
{
	struct list *at = log->puts.prev;

	put->state = PUT_WAITING;
	put->put_bytes = 0;
	while (at != &log->puts && list_entry(at, struct log_put, link)->place.seq > put->place.seq)
		at = at->prev;
	list_add_tail(at->next, &put->link);
}

/* ------------------------------------------------------------------------------------- anchors */

static void anchor_acked(struct log_put *put, int err)
{
	struct log *log = put->owner;

	(void)err; /* who put what comes after it is told */
	log->anchor_out = false;
}

/* What waits behind the anchor's place can be sent when the anchor has been. */
static struct log_put *make_anchor(struct log *log)
{
	struct log_put *put = &log->anchor;

	assert(!log->anchor_out); /* the window is not longer than from one to the next */
	log->anchor_out = true;
	log->anchor_says = log->acked_seq;
	*put = (struct log_put){ .place = { .seq = log->sent_seq + 1 }, .kind = OBJECT_NOTE,
				 .acked = anchor_acked, .owner = log };
	insert(log, put);
	return put;
}

/* The put whose turn it is, if it is here and the window is open. */
static struct log_put *next_to_send(struct log *log)
{
	uint64_t turn = log->sent_seq + 1;

	if (lsvd_log_over(log) || log->sent_seq - log->acked_seq >= log->window)
		return NULL;
	list_for_each(node, &log->puts) {
		struct log_put *put = list_entry(node, struct log_put, link);

		if (put->state != PUT_WAITING)
			continue;
		if (put->place.seq == turn + 1 && anchor_at(log, turn))
			return make_anchor(log);
		return put->place.seq == turn ? put : NULL;
	}
	return NULL;
}

static void send_waiting(struct log *log)
{
	struct log_put *put;

	while ((put = next_to_send(log)))
		send(log, put);
}

static void put_ended(struct log_upload *up, int err)
{
	struct log_put *put = lsvd_container_of(up, struct log_put, up);
	struct log *log = up->log;

	put->state = err == 0 ? PUT_STORED : PUT_LOST;
	if (err == -EEXIST)
		lsvd_log_fence(log, lsvd_fail(LSVD_E_FENCED,
			       "volume %s: object %s is another writer's: this one, of epoch %llu, "
			       "is fenced", log->options.name, up->io.key,
			       (unsigned long long)log->epoch));
	if (err == LSVD_E_CORRUPT)
		/* no other bytes can have its place: only a new epoch can */
		lsvd_log_fence(log, err);
	drain(log);
	send_waiting(log);
}

void lsvd_log_put(struct log *log, struct log_put *put)
{
	assert(put->place.seq > log->sent_seq && put->place.seq < log->next_seq);
	insert(log, put);
	if (lsvd_log_over(log))
		lsvd_log_step(log);
	else
		send_waiting(log);
}

static void free_put_ended(struct log_upload *up, int err)
{
	struct log_free_put *put = lsvd_container_of(up, struct log_free_put, up);
	struct log *log = up->log;

	if (err == 0) {
		log->stats.free_puts++;
		for (int i = 0; i < put->iovcnt; i++)
			log->stats.free_put_bytes += put->iov[i].iov_len;
	}
	put->done(put, err);
}

void lsvd_log_put_free(struct log *log, struct log_free_put *put)
{
	put->up.log = log;
	put->up.kind = IO_PUT;
	put->up.ended = free_put_ended;
	put->up.iov = put->iov;
	put->up.iovcnt = put->iovcnt;
	memcpy(put->up.io.key, put->key, sizeof put->key);
	lsvd_upload_start(&put->up);
}

/* ------------------------------------------------------------------------------------- the rest */

void lsvd_log_reserve(struct log *log, struct log_place *ret)
{
	if (anchor_at(log, log->next_seq))
		log->next_seq++;
	ret->seq = log->next_seq++;
	ret->object = log->next_object++;
}

unsigned lsvd_log_until_anchor(const struct log *log)
{
	uint64_t into = log->next_seq % log->options.anchor_every;

	return into ? (unsigned)(log->options.anchor_every - into) : 0;
}

uint64_t lsvd_log_anchored(const struct log *log)
{
	return log->anchored;
}

uint64_t lsvd_log_reserve_object(struct log *log)
{
	return log->next_object++;
}

uint64_t lsvd_log_set_root(struct log *log, struct root_ref root)
{
	log->root = root;
	return log->sent_seq + 1; /* headers are finished in order */
}

uint64_t lsvd_log_epoch(const struct log *log)
{
	return log->epoch;
}

uint64_t lsvd_log_acked_seq(const struct log *log)
{
	return log->acked_seq;
}

uint64_t lsvd_log_acked_op(const struct log *log)
{
	return log->acked_op;
}

uint64_t lsvd_log_looked_ms(const struct log *log)
{
	return log->looked_ms;
}

bool lsvd_log_fenced(const struct log *log)
{
	return log->state == LOG_FENCED;
}

void lsvd_log_stats(const struct log *log, struct log_stats *ret)
{
	*ret = log->stats;
}

void lsvd_log_free(struct log *log)
{
	if (!log)
		return;
	assert(list_empty(&log->puts) && list_empty(&log->paused) && list_empty(&log->ending));
	assert(!log->timer_set && !log->step_set && !log->look_out);
	lsvd_root_drop(log);
	lsvd_free(log);
}
