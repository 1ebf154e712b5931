/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_writer.c - new records: segments built and put one after the other, then committed together.
 *
 *   OPEN -> OPEN        put; a segment that is full is sealed and on its way to the store
 *   OPEN -> FAILED      no memory, or the store has refused a segment for good
 *   OPEN -> committed   all segments are stored and one note has made them part of the log
 *   any  -> aborted     what was stored is removed
 *
 * At most PUTS_OUT segments are on their way; who would put more waits. Memory of a segment is
 * freed when it is stored. What a note may have committed is never removed, also if its outcome is
 * unknown.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "vlog/vlog_internal.h"

#define PUTS_OUT 2u

struct lsvd_vlog_writer {
	struct lsvd_vlog *log;
	struct vlog_packer *packer;
	uint8_t *metadata;
	size_t metadata_len;
	struct vlog_build *build;    /* being filled, or NULL */
	uint64_t bytes;              /* of records in all segments */
	/* protected by the port's lock while segments are on their way */
	struct list out;             /* struct segment_put, sealed; stored or not */
	size_t count;                /* of them */
	unsigned putting;
	int put_err;
	/* its own thread's */
	uint64_t puts, put_bytes;    /* not yet counted in the log's */
	int err;                     /* nothing but abort is left */
	bool noted;                  /* perhaps part of the log */
};

/* A sealed segment. */
struct segment_put {
	struct list link;
	struct lsvd_vlog_writer *writer;
	struct vlog_build *build;    /* until it is stored, or a little longer */
	bool stored;
	struct vlog_segment *segment;/* what will be committed */
	struct log_free_put put;
};

int lsvd_vlog_writer_open(struct lsvd_vlog *log, struct lsvd_vlog_writer **ret)
{
	struct lsvd_vlog_writer *w;
	int err;

	lsvd_port_enter(&log->port);
	err = lsvd_vlog_refuse_write(log);
	lsvd_port_leave(&log->port, false);
	if (err)
		return err;
	w = lsvd_calloc(1, sizeof *w);
	if (!w)
		return lsvd_fail_plain(-ENOMEM);
	w->log = log;
	list_init(&w->out);
	if (log->codecs.writes)
		err = lsvd_vlog_packer_new(&w->packer, &log->codecs);
	if (err) {
		lsvd_free(w);
		return err;
	}
	*ret = w;
	return 0;
}

/* ------------------------------------------------------------------------------ sealed segments */

static void segment_stored(struct log_free_put *put, int err)
{
	struct segment_put *p = put->owner;
	struct lsvd_vlog_writer *w = p->writer;
	struct lsvd_vlog *log = w->log;

	if (!err) {
		log->stats.segment_puts++;
		log->stats.segment_put_bytes += p->build->object_bytes;
	} else if (!w->put_err) {
		w->put_err = err == -EEXIST ? LSVD_E_CORRUPT : err;
	}
	p->stored = true;
	w->putting--;
	lsvd_port_changed(&log->port);
}

static struct vlog_segment *describe(const struct vlog_build *b)
{
	struct vlog_segment *s = lsvd_calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->id = b->id;
	s->epoch = b->epoch;
	s->object_bytes = b->object_bytes;
	s->footer_at = b->footer_at;
	s->totals = b->totals;
	s->created_ms = b->created_ms;
	return s;
}

static void free_segment_put(struct segment_put *p)
{
	lsvd_vlog_build_free(p->build);
	lsvd_free(p->segment);
	lsvd_free(p);
}

/* lock held: takes the memory of what has been stored, which is freed without it. */
static unsigned take_stored(struct lsvd_vlog_writer *w, struct vlog_build *ret[PUTS_OUT])
{
	unsigned n = 0;

	/* All that may have one are among the last: the others have been here before. */
	for (struct list *node = w->out.prev; node != &w->out && n < PUTS_OUT; node = node->prev) {
		struct segment_put *p = list_entry(node, struct segment_put, link);

		if (!p->build)
			break;
		if (p->stored) {
			ret[n++] = p->build;
			p->build = NULL;
		}
	}
	return n;
}

/* Until at most `most` are on their way. */
static int wait_for_puts(struct lsvd_vlog_writer *w, unsigned most)
{
	struct vlog_build *stored[PUTS_OUT];
	struct lsvd_vlog *log = w->log;
	unsigned n;
	int err;

	lsvd_port_enter(&log->port);
	log->stats.puts += w->puts;
	log->stats.put_bytes += w->put_bytes;
	w->puts = w->put_bytes = 0;
	while (w->putting > most)
		lsvd_port_wait(&log->port);
	n = take_stored(w, stored);
	err = w->put_err;
	lsvd_port_leave(&log->port, true);
	while (n)
		lsvd_vlog_build_free(stored[--n]);
	return err ? lsvd_fail(err, "value log %s: a segment cannot be stored: %s", log->name,
			       lsvd_strerror(err))
		   : 0;
}

static void start_put(struct segment_put *p)
{
	struct lsvd_vlog_writer *w = p->writer;
	struct lsvd_vlog *log = w->log;

	p->put.iov = p->build->iov;
	p->put.iovcnt = p->build->iovcnt;
	p->put.done = segment_stored;
	p->put.owner = p;
	lsvd_key_free(p->put.key, &log->uuid, p->build->epoch, p->build->id);
	lsvd_port_enter(&log->port);
	list_add_tail(&w->out, &p->link);
	w->count++;
	w->putting++;
	lsvd_log_put_free(log->log, &p->put);
	lsvd_port_leave(&log->port, false);
}

/* The segment being filled is full, or the last one. */
static int seal(struct lsvd_vlog_writer *w)
{
	struct segment_put *p;
	int err;

	if (!w->build || !w->build->totals.items)
		return 0;
	err = wait_for_puts(w, PUTS_OUT - 1);
	if (err)
		return err;
	err = lsvd_vlog_build_seal(w->build, w->metadata, w->metadata_len);
	if (err)
		return err;
	p = lsvd_calloc(1, sizeof *p);
	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	p->writer = w;
	p->segment = describe(w->build);
	if (!p->segment) {
		lsvd_free(p);
		return lsvd_fail_plain(-ENOMEM);
	}
	p->build = w->build;
	w->build = NULL;
	start_put(p);
	return 0;
}

/* -------------------------------------------------------------------------------------- putting */

static int begin_segment(struct lsvd_vlog_writer *w)
{
	struct lsvd_vlog *log = w->log;
	uint64_t id, epoch;
	int err;

	lsvd_port_enter(&log->port);
	err = lsvd_vlog_refuse_write(log);
	if (!err)
		log->given = lsvd_log_reserve_object(log->log);
	id = log->given;
	epoch = lsvd_log_epoch(log->log);
	lsvd_port_leave(&log->port, false);
	if (!err)
		err = lsvd_vlog_build_new(&w->build, &log->uuid, epoch, id);
	if (!err)
		w->build->created_ms = log->world->clk->wall_ms(log->world);
	return err;
}

/* There is a segment with room for a record. */
static int make_room(struct lsvd_vlog_writer *w)
{
	int err = w->err ? lsvd_fail(w->err, "value log %s: this writer has failed", w->log->name)
			 : 0;

	if (!err && w->build && w->build->totals.records >= w->log->segment_bytes)
		err = seal(w);
	if (!err && !w->build)
		err = begin_segment(w);
	return err;
}

int lsvd_vlog_next_handle(struct lsvd_vlog_writer *w, struct lsvd_vlog_handle *ret)
{
	int err = make_room(w);

	if (err) {
		w->err = err;
		return err;
	}
	*ret = (struct lsvd_vlog_handle){ w->build->id, w->build->offset, 0 };
	return 0;
}

int lsvd_vlog_put(struct lsvd_vlog_writer *w, const void *key, size_t key_len, const void *value,
		  size_t len, struct lsvd_vlog_handle *ret)
{
	struct lsvd_vlog_handle h;
	int err;

	if (key_len == 0)
		return lsvd_fail(-EINVAL, "value log %s: a key of 0 bytes", w->log->name);
	if (!key || (len && !value))
		return lsvd_fail(-EINVAL, "value log %s: %zu bytes of a %s at NULL", w->log->name,
				 key ? len : key_len, key ? "value" : "key");
	if (key_len > LSVD_VLOG_KEY_MAX || len > LSVD_VLOG_VALUE_MAX)
		return lsvd_fail(-E2BIG, "value log %s: a key of %zu and a value of %zu bytes, "
				 "expected at most %u and %llu", w->log->name, key_len, len,
				 LSVD_VLOG_KEY_MAX, (unsigned long long)LSVD_VLOG_VALUE_MAX);
	err = make_room(w);
	if (!err)
		err = lsvd_vlog_build_add(w->build, w->packer, w->log->codecs.writes, key, key_len,
					  value, len, &h);
	if (err) {
		w->err = err;
		return err;
	}
	w->bytes += h.size;
	w->puts++;
	w->put_bytes += len;
	if (ret)
		*ret = h;
	return 0;
}

int lsvd_vlog_writer_copy(struct lsvd_vlog_writer *w, const struct vlog_record *r,
			  const uint8_t *bytes, uint64_t hash, uint64_t commit,
			  struct lsvd_vlog_handle *ret)
{
	int err = make_room(w);

	if (!err)
		err = lsvd_vlog_build_copy(w->build, r, bytes, hash, commit, ret);
	if (err)
		w->err = err;
	else
		w->bytes += ret->size;
	return err;
}

uint64_t lsvd_vlog_writer_bytes(const struct lsvd_vlog_writer *w)
{
	return w->bytes;
}

int lsvd_vlog_writer_metadata(struct lsvd_vlog_writer *w, const void *bytes, size_t len)
{
	uint8_t *copy = NULL;

	if (len > LSVD_VLOG_METADATA_MAX)
		return lsvd_fail(-E2BIG, "value log %s: metadata of %zu bytes, expected at most %u",
				 w->log->name, len, LSVD_VLOG_METADATA_MAX);
	if (len && !bytes)
		return lsvd_fail(-EINVAL, "value log %s: %zu bytes of metadata at NULL",
				 w->log->name, len);
	if (len) {
		copy = lsvd_malloc(len);
		if (!copy)
			return lsvd_fail_plain(-ENOMEM);
		memcpy(copy, bytes, len);
	}
	lsvd_free(w->metadata);
	w->metadata = copy;
	w->metadata_len = len;
	return 0;
}

int lsvd_vlog_writer_set_apart(struct lsvd_vlog_writer *w, const void *metadata, size_t len)
{
	int err = 0;

	if (len == w->metadata_len && (!len || memcmp(metadata, w->metadata, len) == 0))
		return 0;
	err = seal(w);
	if (err)
		w->err = err;
	return err ? err : lsvd_vlog_writer_metadata(w, metadata, len);
}

/* -------------------------------------------------------------------------------------- the end */

static void free_writer(struct lsvd_vlog_writer *w)
{
	struct list *node;

	while ((node = list_pop(&w->out)))
		free_segment_put(list_entry(node, struct segment_put, link));
	lsvd_vlog_build_free(w->build);
	lsvd_vlog_packer_free(w->packer);
	lsvd_free(w->metadata);
	lsvd_free(w);
}

static void remove_stored(struct lsvd_vlog_writer *w)
{
	list_for_each(node, &w->out) {
		struct segment_put *p = list_entry(node, struct segment_put, link);
		struct obj_io io = { .io = { .kind = IO_REMOVE } };

		memcpy(io.key, p->put.key, sizeof io.key);
		/* what stays is garbage, and found later */
		(void)lsvd_lineage_run(&w->log->port, &io);
	}
}

void lsvd_vlog_abort(struct lsvd_vlog_writer *w)
{
	if (!w)
		return;
	(void)wait_for_puts(w, 0); /* however they end */
	if (!w->noted)
		remove_stored(w);
	lsvd_port_enter(&w->log->port);
	w->log->stats.aborts++;
	lsvd_port_leave(&w->log->port, false);
	free_writer(w);
}

static struct lsvd_vlog_pin *pin_new(struct lsvd_vlog *log, size_t n)
{
	struct lsvd_vlog_pin *pin = lsvd_calloc(1, sizeof *pin + n * sizeof(struct vlog_segment *));

	if (pin)
		pin->log = log;
	return pin;
}

/* The segments as they will be in the table, pinned. */
static int describe_commit(struct lsvd_vlog_writer *w, struct vlog_change *c,
			   struct lsvd_vlog_pin *pin, const uint64_t *ids, size_t n)
{
	c->add = lsvd_calloc(w->count + 1, sizeof(*c->add));
	c->ids = lsvd_calloc(n + 1, sizeof *c->ids);
	if (!c->add || !c->ids) {
		lsvd_vlog_change_fini(c);
		return lsvd_fail_plain(-ENOMEM);
	}
	if (n)
		memcpy(c->ids, ids, n * sizeof *ids);
	c->id_count = n;
	list_for_each(node, &w->out) {
		struct segment_put *p = list_entry(node, struct segment_put, link);

		p->segment->pins = p->segment->unconfirmed = 1;
		pin->segments[pin->count++] = c->add[c->add_count++] = p->segment;
		p->segment = NULL;
	}
	return 0;
}

static int commit_noted(struct lsvd_vlog_writer *w, const uint64_t *ids, size_t n,
			struct lsvd_vlog_pin **ret)
{
	struct lsvd_vlog_pin *pin = pin_new(w->log, w->count);
	struct vlog_change c = { .add = NULL };
	int err;

	if (!pin)
		return lsvd_fail_plain(-ENOMEM);
	pin->commit = true;
	err = describe_commit(w, &c, pin, ids, n);
	if (!err && (c.add_count || n))
		err = lsvd_vlog_note(w->log, RECORD_VLOG_COMMIT, &c, &w->noted);
	else
		lsvd_vlog_change_fini(&c);
	if (err) {
		lsvd_free(pin);
		return err;
	}
	*ret = pin;
	return 0;
}

/* A checkpoint now and then; what goes wrong with it is no failure of the commit. */
static void maybe_checkpoint(struct lsvd_vlog *log)
{
	bool due;

	lsvd_port_enter(&log->port);
	log->stats.commits++;
	due = log->commits_since_root >= log->checkpoint_commits && !log->checkpointing;
	lsvd_port_leave(&log->port, false);
	if (due && lsvd_vlog_write_root_in_turn(log) < 0)
		lsvd_report(LSVD_LOG_WARN, "value log %s: no checkpoint: %s", log->name,
			    lsvd_last_error());
}

int lsvd_vlog_commit_collected(struct lsvd_vlog_writer *w, const uint64_t *ids, size_t n,
			       struct lsvd_vlog_pin **ret)
{
	int err = w->err ? lsvd_fail(w->err, "value log %s: this writer has failed", w->log->name)
			 : 0;

	if (!err)
		err = seal(w);
	if (!err)
		err = wait_for_puts(w, 0);
	if (!err)
		err = commit_noted(w, ids, n, ret);
	if (err) {
		lsvd_vlog_abort(w);
		return err;
	}
	maybe_checkpoint(w->log);
	free_writer(w);
	return 0;
}

int lsvd_vlog_commit(struct lsvd_vlog_writer *w, struct lsvd_vlog_pin **ret)
{
	return lsvd_vlog_commit_collected(w, NULL, 0, ret);
}

/* ----------------------------------------------------------------------------------------- pins */

int lsvd_vlog_snapshot(struct lsvd_vlog *log, struct lsvd_vlog_pin **ret)
{
	struct lsvd_vlog_pin *pin;

	lsvd_port_enter(&log->port);
	pin = pin_new(log, log->table.count);
	for (size_t i = 0; pin && i < log->table.count; i++) {
		struct vlog_segment *s = log->table.at[i];

		if (s->doomed)
			continue; /* the index refers to nothing in it */
		s->pins++;
		pin->segments[pin->count++] = s;
	}
	lsvd_port_leave(&log->port, false);
	if (!pin)
		return lsvd_fail_plain(-ENOMEM);
	*ret = pin;
	return 0;
}

int lsvd_vlog_pin_ids(struct lsvd_vlog *log, const uint64_t *ids, size_t n,
		      struct lsvd_vlog_pin **ret)
{
	struct lsvd_vlog_pin *pin = pin_new(log, n);
	int err = pin ? 0 : lsvd_fail_plain(-ENOMEM);

	lsvd_port_enter(&log->port);
	for (size_t i = 0; i < n && !err; i++) {
		struct vlog_segment *s;

		err = lsvd_vlog_find(log, ids[i], &s);
		if (!err && s->doomed)
			err = lsvd_vlog_no_segment(log, ids[i]);
		if (err)
			break;
		s->pins++;
		pin->segments[pin->count++] = s;
	}
	lsvd_port_leave(&log->port, false);
	if (err) {
		lsvd_vlog_pin_release(pin);
		return err;
	}
	*ret = pin;
	return 0;
}

void lsvd_vlog_pin_release(struct lsvd_vlog_pin *pin)
{
	struct lsvd_vlog *log;

	if (!pin)
		return;
	log = pin->log;
	lsvd_port_enter(&log->port);
	for (size_t i = 0; i < pin->count; i++) {
		struct vlog_segment *s = pin->segments[i];

		s->pins--;
		s->unconfirmed -= pin->commit;
		log->dirty |= pin->commit;
		lsvd_vlog_settle_segment(s);
	}
	lsvd_port_leave(&log->port, false);
	lsvd_free(pin);
}
