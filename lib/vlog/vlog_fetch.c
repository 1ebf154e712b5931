/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_fetch.c - parts of segments: several at once, each asked for again if that may help.
 *
 * A segment that is being read is counted, so that its description stays; its object may be removed
 * meanwhile, if the index has no use for it: LSVD_E_STALE then.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "vlog/vlog_internal.h"

#define TRIES 6u
#define PAUSE_MS 100u

/* Requests that one call waits for. */
struct vlog_group {
	unsigned left;           /* protected by the port's lock */
	struct event event;
};

int lsvd_vlog_no_segment(const struct lsvd_vlog *log, uint64_t id)
{
	if (id == 0 || id > log->given)
		return lsvd_fail(-ENOENT, "value log %s: there never was a segment %llu", log->name,
				 (unsigned long long)id);
	return lsvd_fail(LSVD_E_STALE, "value log %s: segment %llu has been dropped, or was never "
			 "committed", log->name, (unsigned long long)id);
}

int lsvd_vlog_find(struct lsvd_vlog *log, uint64_t id, struct vlog_segment **ret)
{
	struct vlog_segment *s = lsvd_vlog_table_find(&log->table, id);

	if (!s)
		return lsvd_vlog_no_segment(log, id);
	*ret = s;
	return 0;
}

/* Printed once: that takes longer than finding the segment. */
void lsvd_vlog_segment_key(char key[KEY_CAP], const struct lsvd_vlog *log, struct vlog_segment *s)
{
	if (!s->key[0]) {
		lsvd_key_free(key, &log->uuid, s->epoch, s->id);
		memcpy(s->key, key, sizeof s->key); /* longer than any free object's name */
	}
	memcpy(key, s->key, sizeof s->key);
}

static void fetched(struct io *io)
{
	struct vlog_fetch *f = lsvd_container_of(io, struct vlog_fetch, io.io);
	struct lsvd_vlog *log = f->log;
	struct vlog_group *g = f->group;

	log->stats.get_requests++;
	log->stats.get_request_bytes += f->io.ret_len;
	f->err = io->err;
	f->of->readers--;
	if (f->err == -ENOENT && (f->of->retired || log->readonly))
		f->err = LSVD_E_STALE;
	lsvd_vlog_settle_segment(f->of);
	if (--g->left == 0)
		lsvd_port_set_event(&log->port, &g->event); /* all of it may be gone now */
}

/* lock held; `f->err` is 1: to be sent. */
static void start(struct lsvd_vlog *log, struct vlog_fetch *f, struct vlog_group *g)
{
	struct vlog_segment *s = NULL;

	f->err = lsvd_vlog_find(log, f->segment, &s);
	if (f->err)
		return;
	if (f->record)
		f->err = lsvd_vlog_check_place(log, s, f->off, f->len);
	if (f->err)
		return;
	if (!range_within(f->off, f->len, s->object_bytes)) {
		f->err = lsvd_fail(-ENOENT, "value log %s: segment %llu has %llu bytes, "
				   "and none at %llu", log->name, (unsigned long long)s->id,
				   (unsigned long long)s->object_bytes,
				   (unsigned long long)(f->off + f->len - 1));
		return;
	}
	f->log = log;
	f->of = s;
	f->group = g;
	s->readers++;
	f->io.io = (struct io){ .kind = IO_GET, .done = fetched };
	f->io.off = f->off;
	f->io.buf = f->buf;
	f->io.len = f->len;
	f->io.ret_len = 0;
	lsvd_vlog_segment_key(f->io.key, log, s);
	memcpy(f->key, s->key, sizeof s->key);
	g->left++;
	lsvd_port_start(&log->port, &f->io.io);
}

/* Sends those that are to be sent, and waits for them. */
static void send(struct lsvd_vlog *log, struct vlog_fetch *f, unsigned n)
{
	struct vlog_group g = { .left = 0 };

	lsvd_port_enter(&log->port);
	for (unsigned i = 0; i < n; i++)
		if (f[i].err > 0)
			start(log, &f[i], &g);
	if (g.left)
		lsvd_port_leave_until(&log->port, &g.event);
	else
		lsvd_port_leave(&log->port, false);
}

/* --------------------------------------------------------------------- is it ours to be missed? */

struct look {
	struct log_look look;
	struct lsvd_vlog *log;
	bool done;
	int err;
};

static void looked(struct log_look *l, int err)
{
	struct look *look = l->owner;

	look->err = err;
	look->done = true;
	lsvd_port_changed(&look->log->port);
}

/* An object that is not there may have been removed by a writer that has taken the log. */
static int missing(struct lsvd_vlog *log, const char *key)
{
	struct look l = { .look = { .done = looked, .owner = &l }, .log = log };

	lsvd_port_enter(&log->port);
	if (log->failed) {
		l.err = log->failed;
	} else {
		lsvd_log_look(log->log, &l.look);
		while (!l.done)
			lsvd_port_wait(&log->port);
	}
	lsvd_port_leave(&log->port, true);
	if (l.err)
		return lsvd_fail(l.err, "object %s: missing, and value log %s: %s", key, log->name,
				 lsvd_strerror(l.err));
	return lsvd_fail(LSVD_E_CORRUPT, "object %s: missing, though value log %s has it", key,
			 log->name);
}

/* What a request's failure means; 1: it is worth another try. */
static int judge(struct lsvd_vlog *log, struct vlog_fetch *f, bool again)
{
	if (!f->err && f->io.ret_len == f->len)
		return 0;
	if (f->err == LSVD_E_UNAVAILABLE && again)
		return 1;
	if (!f->err)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: ends at %llu, expected %llu at least",
				 f->key, (unsigned long long)(f->off + f->io.ret_len),
				 (unsigned long long)(f->off + f->len));
	if (f->err == LSVD_E_STALE)
		return lsvd_fail(LSVD_E_STALE, "object %s has been dropped", f->key);
	if (f->err == -ENOENT && f->of)
		return missing(log, f->key);
	if (f->of)
		return lsvd_fail(f->err, "object %s: %s", f->key, lsvd_strerror(f->err));
	return f->err; /* it has its text */
}

void lsvd_vlog_fetch(struct lsvd_vlog *log, struct vlog_fetch *f, unsigned n)
{
	bool more = true;

	for (unsigned i = 0; i < n; i++) {
		f[i].err = 1;
		f[i].of = NULL;
	}
	for (unsigned attempt = 0; more; attempt++) {
		if (attempt)
			lsvd_vlog_pause(log, (uint64_t)PAUSE_MS << (attempt - 1));
		send(log, f, n);
		more = false;
		for (unsigned i = 0; i < n; i++) {
			if (f[i].of || f[i].err > 0)
				f[i].err = judge(log, &f[i], attempt + 1 < TRIES);
			f[i].of = NULL; /* judged */
			more |= f[i].err > 0;
		}
	}
}

int lsvd_vlog_fetch1(struct lsvd_vlog *log, struct vlog_fetch *f)
{
	lsvd_vlog_fetch(log, f, 1);
	return f->err;
}

void lsvd_vlog_mark_damaged(struct lsvd_vlog *log, uint64_t segment)
{
	struct vlog_segment *s;

	lsvd_port_enter(&log->port);
	s = lsvd_vlog_table_find(&log->table, segment);
	if (s)
		s->damaged = true;
	log->stats.corrupt++;
	lsvd_port_leave(&log->port, false);
}

/* -------------------------------------------------------------------------------------- footers */

static int footer_once(struct lsvd_vlog *log, uint64_t id, struct vlog_footer *ret,
		       uint64_t *ret_at)
{
	struct vlog_fetch f = { .segment = id };
	struct vlog_segment *s = NULL;
	int err;

	lsvd_port_enter(&log->port);
	err = lsvd_vlog_find(log, id, &s);
	if (!err) {
		f.off = *ret_at = s->footer_at;
		f.len = s->object_bytes - s->footer_at;
	}
	lsvd_port_leave(&log->port, false);
	if (err)
		return err;
	f.buf = lsvd_malloc(f.len);
	if (!f.buf)
		return lsvd_fail_plain(-ENOMEM);
	err = lsvd_vlog_fetch1(log, &f);
	if (err) {
		lsvd_free(f.buf);
		return err;
	}
	return lsvd_vlog_footer_decode(ret, f.buf, f.len, log->owner, id, f.off, f.key);
}

int lsvd_vlog_footer_get(struct lsvd_vlog *log, uint64_t id, struct vlog_footer *ret,
			 uint64_t *ret_at)
{
	int err = footer_once(log, id, ret, ret_at);

	if (err == LSVD_E_CORRUPT)
		err = footer_once(log, id, ret, ret_at); /* an answer may be damaged */
	if (err == LSVD_E_CORRUPT)
		lsvd_vlog_mark_damaged(log, id);
	return err;
}

/* -------------------------------------------------------------------------------------- windows */

void lsvd_vlog_window_fini(struct vlog_window *w)
{
	lsvd_free(w->buf);
	*w = (struct vlog_window){ .buf = NULL };
}

static bool covers(const struct vlog_window *w, const struct lsvd_vlog_handle *h)
{
	return w->segment == h->segment && h->offset >= w->off &&
	       h->offset + h->size <= w->off + w->len;
}

static int fill(struct lsvd_vlog *log, struct vlog_window *w, const struct lsvd_vlog_handle *h,
		uint64_t want_end)
{
	uint64_t end = max_u64(want_end, h->offset + h->size);
	struct vlog_fetch f = { .segment = h->segment, .off = h->offset, .len = end - h->offset };
	int err;

	w->segment = 0; /* nothing, if this fails */
	if (f.len > w->room) {
		uint8_t *p = lsvd_malloc(f.len);

		if (!p)
			return lsvd_fail_plain(-ENOMEM);
		lsvd_free(w->buf);
		w->buf = p;
		w->room = f.len;
	}
	f.buf = w->buf;
	err = lsvd_vlog_fetch1(log, &f);
	if (err)
		return err;
	w->segment = h->segment;
	w->off = h->offset;
	w->len = f.len;
	memcpy(w->key, f.key, sizeof w->key);
	return 0;
}

static int verify_in(const struct lsvd_vlog *log, const struct vlog_window *w,
		     const struct lsvd_vlog_handle *h, struct vlog_record *ret,
		     const uint8_t **ret_bytes, uint64_t *hash)
{
	const struct vlog_place at = { log->owner, h->segment, h->offset };
	const uint8_t *p = w->buf + (h->offset - w->off);
	int err = lsvd_vlog_record_decode(ret, p, h->size, &at, w->key);

	*ret_bytes = p;
	return err ? err : lsvd_vlog_record_verify(ret, p, h->size, &at, hash, w->key);
}

int lsvd_vlog_window_get(struct lsvd_vlog *log, struct vlog_window *w,
			 const struct lsvd_vlog_handle *h, uint64_t want_end,
			 struct vlog_record *ret, const uint8_t **ret_bytes, uint64_t *hash)
{
	int err = 0;

	if (!covers(w, h))
		err = fill(log, w, h, want_end);
	if (!err)
		err = verify_in(log, w, h, ret, ret_bytes, hash);
	if (err != LSVD_E_CORRUPT)
		return err;
	err = fill(log, w, h, 0); /* an answer may be damaged */
	return err ? err : verify_in(log, w, h, ret, ret_bytes, hash);
}

/* ----------------------------------------------------------------- what a bad record really is */

static int seek_entry(const struct vlog_footer *f, const struct lsvd_vlog_handle *h,
		      uint64_t footer_at, bool *ret)
{
	struct vlog_cursor c;
	int more;

	*ret = false;
	lsvd_vlog_cursor_init(&c, f, h->segment, footer_at);
	while ((more = lsvd_vlog_cursor_next(&c)) > 0 && !*ret)
		*ret = c.entry.offset == h->offset && c.entry.size == h->size;
	lsvd_vlog_cursor_fini(&c);
	return more < 0 ? more : 0;
}

int lsvd_vlog_judge(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h, int err)
{
	struct vlog_footer f;
	uint64_t footer_at;
	char text[512];
	bool there;

	if (err != LSVD_E_CORRUPT)
		return err;
	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives the question */
	if (lsvd_vlog_footer_get(log, h->segment, &f, &footer_at) == 0) {
		int bad = seek_entry(&f, h, footer_at, &there);

		lsvd_vlog_footer_free(&f);
		if (!bad && !there)
			return lsvd_fail(-ENOENT, "value log %s: segment %llu has no record of "
					 "%llu bytes at %llu", log->name,
					 (unsigned long long)h->segment,
					 (unsigned long long)h->size,
					 (unsigned long long)h->offset);
		lsvd_vlog_mark_damaged(log, h->segment);
	}
	lsvd_error_restore(text);
	return err;
}
