/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_blobs.c - many small parts of page objects, read at the same time and verified.
 *
 * A procedure. Parts of one object that lie close together are one request; RUNS_AT_ONCE are in the
 * world. What fails for a reason that may pass is tried again for some seconds; what does not
 * verify is asked for once more, for it may have been damaged on the way.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "volume/vol_blobs.h"

#define RUNS_AT_ONCE 32u
#define RUN_BYTES_MAX (8u << 20)
#define GAP_MAX (64u << 10)
#define BYTES_AT_ONCE (32u << 20)     /* but for the last run */
#define TRIES 6u
#define PAUSE_MS 100u

/* Parts of one object, and the request for them. */
struct run {
	struct obj_io io;
	struct blob_want *wants;
	unsigned n;
	bool done, tried_again;
};

struct fetching {
	struct lsvd_volume *v;
	blob_take_fn take;
	struct run runs[RUNS_AT_ONCE];
	unsigned n;
};

static int by_place(const void *a, const void *b)
{
	const struct blob_ref *x = &((const struct blob_want *)a)->ref;
	const struct blob_ref *y = &((const struct blob_want *)b)->ref;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

static uint64_t blob_end(const struct blob_ref *b)
{
	return (uint64_t)b->off + b->len;
}

/* The first parts of `wants` that make a run; its object's head is read, too, if it is near. */
static int begin_run(struct fetching *f, struct blob_want *wants, uint64_t left)
{
	struct run *r = &f->runs[f->n];
	uint64_t first = wants[0].ref.off <= GAP_MAX ? 0 : wants[0].ref.off;
	uint64_t end = blob_end(&wants[0].ref);

	*r = (struct run){ .wants = wants, .n = 1 };
	while (r->n < left) {
		const struct blob_ref *b = &wants[r->n].ref;

		if (b->object != wants[0].ref.object || b->epoch != wants[0].ref.epoch ||
		    b->off > end + GAP_MAX || blob_end(b) - first > RUN_BYTES_MAX)
			break;
		end = max_u64(end, blob_end(b));
		r->n++;
	}
	lsvd_key_free(r->io.key, lsvd_vol_uuid_of(f->v, wants[0].ref.object), wants[0].ref.epoch,
		      wants[0].ref.object);
	r->io.off = first;
	r->io.len = end - first;
	r->io.buf = lsvd_malloc(r->io.len);
	if (!r->io.buf)
		return lsvd_fail_plain(-ENOMEM);
	f->n++;
	return 0;
}

static int check_head(const struct fetching *f, const struct run *r)
{
	const struct blob_ref *b = &r->wants[0].ref;
	struct object_head head;
	int err;

	if (r->io.off)
		return 0;
	err = lsvd_object_head_decode(&head, r->io.buf, r->io.ret_len, r->io.key);
	if (err == -ENODATA)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: cut short", r->io.key);
	if (!err)
		err = lsvd_object_head_expect(&head, lsvd_vol_uuid_of(f->v, b->object),
					      OBJECT_PAGES, b->epoch, b->object,
					      r->io.key);
	return err;
}

static int check_blob(const struct fetching *f, const struct run *r, const struct blob_want *w)
{
	const uint8_t *bytes = (const uint8_t *)r->io.buf + (w->ref.off - r->io.off);
	uint64_t hash;

	if (blob_end(&w->ref) > r->io.off + r->io.ret_len)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: ends at %llu, expected %llu at least",
				 r->io.key, (unsigned long long)(r->io.off + r->io.ret_len),
				 (unsigned long long)blob_end(&w->ref));
	hash = lsvd_blob_hash(f->v, w->kind, w->index, w->ref.object, bytes, w->ref.len);
	if (hash == w->ref.hash)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT, "object %s: bytes %u to %llu: checksum %016llx, expected "
			 "%016llx", r->io.key, w->ref.off, (unsigned long long)blob_end(&w->ref),
			 (unsigned long long)hash, (unsigned long long)w->ref.hash);
}

/* A check goes on with what is whole: it is told of the rest, each part by itself. */
static int tell_of_bad(struct fetching *f, struct run *r, int err)
{
	bool read = err == LSVD_E_CORRUPT || err == LSVD_E_VERSION;
	int head_err = read ? check_head(f, r) : err;

	if (head_err && f->v->bad_blob(f->v, NULL, r->io.key, head_err))
		return head_err;
	for (unsigned i = 0; i < r->n; i++) {
		int bad = read ? check_blob(f, r, &r->wants[i]) : err;

		r->wants[i].bad = bad != 0;
		if (bad && f->v->bad_blob(f->v, &r->wants[i], r->io.key, bad))
			return bad;
	}
	r->done = true;
	return 0;
}

static int verify(const struct fetching *f, const struct run *r)
{
	int err = check_head(f, r);

	for (unsigned i = 0; i < r->n && !err; i++)
		err = check_blob(f, r, &r->wants[i]);
	return err;
}

/* 1: it has to be asked for again. */
static int settle(struct fetching *f, struct run *r)
{
	struct lsvd_volume *v = f->v;
	int err = r->io.io.err;

	if (err == LSVD_E_UNAVAILABLE)
		return 1;
	if (f->v->bad_blob && (err == -ENOENT || err == -EIO))
		return tell_of_bad(f, r, err);
	if (err == -ENOENT)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: missing, though the root names it",
				 r->io.key);
	if (err)
		return lsvd_fail(err, "object %s: %s", r->io.key, lsvd_strerror(err));
	v->stats.recovery_gets++;
	v->stats.recovery_get_bytes += r->io.ret_len;
	err = verify(f, r);
	if (err == LSVD_E_CORRUPT && !r->tried_again) {
		r->tried_again = true;
		v->stats.bad_gets++;
		return 1;
	}
	if ((err == LSVD_E_CORRUPT || err == LSVD_E_VERSION) && f->v->bad_blob)
		return tell_of_bad(f, r, err);
	r->done = !err;
	return err;
}

/* Of a clone it may be an ancestor's. Who reads what it began as says so itself. */
static int failed(const struct fetching *f, const struct run *r, int err)
{
	uint64_t object = r->wants[0].ref.object;

	if (!ancestor_of(f->v->ancestry, object) || f->v->loading_base)
		return err;
	return lsvd_vol_base_fails(f->v, lsvd_vol_uuid_of(f->v, object), err);
}

/* Sends what is not there yet; 1: some has to be asked for again. */
static int send_round(struct fetching *f)
{
	struct io *ios[RUNS_AT_ONCE];
	unsigned n = 0;
	int again = 0;

	for (unsigned i = 0; i < f->n; i++) {
		struct run *r = &f->runs[i];

		if (r->done)
			continue;
		r->io.io = (struct io){ .kind = IO_GET };
		r->io.ret_len = 0;
		ios[n++] = &r->io.io;
	}
	(void)lsvd_port_run(&f->v->port, ios, n); /* each has its own result */
	for (unsigned i = 0; i < f->n; i++) {
		int err = f->runs[i].done ? 0 : settle(f, &f->runs[i]);

		if (err < 0)
			return failed(f, &f->runs[i], err);
		again |= err;
	}
	return again;
}

static int take_runs(struct fetching *f)
{
	int err = 0;

	for (unsigned i = 0; i < f->n && !err; i++) {
		const struct run *r = &f->runs[i];

		for (unsigned j = 0; j < r->n && !err; j++) {
			const struct blob_want *w = &r->wants[j];

			if (!w->bad)
				err = f->take(f->v, w, (const uint8_t *)r->io.buf +
						       (w->ref.off - r->io.off));
		}
		if (err)
			err = lsvd_fail_context(err, "object %s", r->io.key);
	}
	return err;
}

static int fetch_runs(struct fetching *f)
{
	int err = 1;

	for (unsigned i = 0; i < TRIES && err > 0; i++) {
		if (i > 1)
			lsvd_port_pause(&f->v->port, (uint64_t)PAUSE_MS << i);
		err = send_round(f);
	}
	if (err > 0)
		err = lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: its checkpoint cannot be read now",
				f->v->name);
	return err ? err : take_runs(f);
}

int lsvd_vol_fetch_blobs(struct lsvd_volume *v, struct blob_want *wants, uint64_t n,
			 blob_take_fn take)
{
	struct fetching *f = lsvd_calloc(1, sizeof *f);
	int err = f ? 0 : lsvd_fail_plain(-ENOMEM);

	qsort(wants, n, sizeof *wants, by_place);
	for (uint64_t i = 0; i < n && !err;) {
		f->v = v;
		f->take = take;
		f->n = 0;
		for (uint64_t bytes = 0; i < n && f->n < RUNS_AT_ONCE &&
					 bytes < BYTES_AT_ONCE && !err;) {
			err = begin_run(f, wants + i, n - i);
			if (err)
				break;
			i += f->runs[f->n - 1].n;
			bytes += f->runs[f->n - 1].io.len;
		}
		if (!err)
			err = fetch_runs(f);
		for (unsigned j = 0; j < f->n; j++)
			lsvd_free(f->runs[j].io.buf);
	}
	lsvd_free(f);
	return err;
}
