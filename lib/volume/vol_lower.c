/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_lower.c - volumes that show others where they have nothing: their lower volumes, read-only.
 *
 * A volume may be created over any snapshots of other volumes of its store (vol_over.c). Its record
 * lists them, the uppermost last; whoever opens it opens them with it, each a reader of its own,
 * and finds the same or nothing at all. Opened, they form one row, linked by `below`: the volume,
 * its uppermost lower, what that one was created over in its turn, and so on to the next lower.
 *
 *   volume -> lower n -> (the lowers of lower n) -> ... -> lower 1 -> (its lowers)
 *
 * What the map of one does not have is asked of the next that is long enough (`shows`), as an
 * ordinary read: it has its own lock, cache, read-ahead and timeouts. So all that a volume without
 * lowers pays is one look at `below` where its map has a hole.
 *
 * Invariants:
 *  (1) What is below a volume never changes: only snapshots are, and entries at their volumes
 *      protect them, as they do those with clones.
 *  (2) In the store map a hole below `hides` is what was never written. What was trimmed is zeroes
 *      there, whole pages, too: in memory, in checkpoints and when the chain is replayed. Above it
 *      nothing shows, and a trim leaves a hole.
 *  (3) `hides` follows from the record alone, and the volume is never smaller: it means the same to
 *      every opener, to those that see no data, and to a clone.
 *  (4) No lock is held over a call to a volume below; locks of two volumes are never held at once.
 *
 * Deliberately absent: a copy of the map in the cache directory, and so opening without the store.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_volume.h"
#include "volume/volume_internal.h"

struct lower_set {
	uint32_t count;
	struct lsvd_volume *open[FMT_LOWERS_MAX];
};

/* ----------------------------------------------------------------------------- opening, closing */

int lsvd_vol_new_map(struct lsvd_volume *v)
{
	int err = lsvd_store_map_new(&v->map);

	if (!err)
		lsvd_store_map_keep_zeroes(v->map, v->hides);
	return err;
}

void lsvd_vol_take_lowers(struct lsvd_volume *v, const struct fmt_lowers *lowers)
{
	for (uint32_t i = 0; i < lowers->count; i++)
		v->hides = max_u64(v->hides, lowers->list[i].bytes / SECTOR_BYTES);
	if (v->map)
		lsvd_store_map_keep_zeroes(v->map, v->hides);
}

static int check_lower(const struct lsvd_volume *w, const struct fmt_lower *l)
{
	if (!lsvd_uuid_equal(&w->uuid, &l->volume) || !lsvd_uuid_equal(&w->past, &l->snapshot))
		return lsvd_fail(LSVD_E_CORRUPT, "it is another one by now");
	if (lsvd_vol_bytes(w) < l->bytes)
		return lsvd_fail(LSVD_E_CORRUPT, "it has %llu bytes, expected %llu",
				 (unsigned long long)lsvd_vol_bytes(w),
				 (unsigned long long)l->bytes);
	return 0;
}

/* A writer has its read cache, a reader has one if it asked for it. */
static struct lsvd_volume_options options_of(const struct lsvd_volume *v, const struct fmt_lower *l)
{
	struct lsvd_volume_options o = v->opt;

	o.flags &= LSVD_OPEN_RCACHE;
	if (!v->readonly)
		o.flags |= LSVD_OPEN_RCACHE;
	o.flags |= LSVD_OPEN_READONLY;
	o.snapshot = l->snapshot_name;
	o.segment_fn = NULL;
	return o;
}

/* What was said of it stays said. */
static void close_wrong(struct lsvd_volume *w)
{
	char text[512];

	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* cut at worst */
	(void)lsvd_volume_close(w, 0);
	lsvd_error_restore(text);
}

static int open_lower(struct lsvd_volume **ret, const struct lsvd_volume *v,
		      const struct fmt_lower *l)
{
	const struct lsvd_volume_options o = options_of(v, l);
	struct lsvd_volume *w;
	int err = lsvd_vol_open_under(&w, v, l->name, &o);

	if (!err) {
		err = check_lower(w, l);
		if (err)
			close_wrong(w);
	}
	/* It cannot have been deleted; and it is not what the caller has asked for. */
	if (err)
		return lsvd_fail_context(err == -ENOENT ? LSVD_E_CORRUPT : err,
					 "volume %s: its lower volume %s@%s", v->name, l->name,
					 l->snapshot_name);
	w->shows = l->bytes / SECTOR_BYTES;
	/* Nor does what lies below it show any further. */
	for (struct lsvd_volume *x = w->below; x; x = x->below)
		x->shows = min_u64(x->shows, w->shows);
	*ret = w;
	return 0;
}

int lsvd_vol_open_lowers(struct lsvd_volume *v, const struct fmt_lowers *lowers)
{
	struct lsvd_volume **end = &v->below;
	struct lower_set *s = lsvd_calloc(1, sizeof *s);
	int err = s ? 0 : lsvd_fail_plain(-ENOMEM);

	v->lowers = s;
	for (uint32_t i = lowers->count; i-- > 0 && !err;) {
		err = open_lower(&s->open[s->count], v, &lowers->list[i]);
		if (err)
			break;
		*end = s->open[s->count++];
		while (*end)
			end = &(*end)->below;
	}
	return err;
}

void lsvd_vol_close_lowers(struct lsvd_volume *v)
{
	struct lower_set *s = v->lowers;

	for (uint32_t i = 0; s && i < s->count; i++)
		(void)lsvd_volume_close(s->open[i], 0); /* a reader has nothing to lose */
	lsvd_free(s);
	v->lowers = NULL;
	v->below = NULL;
}

void lsvd_vol_hurry_lowers(struct lsvd_volume *v)
{
	for (struct lsvd_volume *w = v->below; w; w = w->below) {
		lsvd_port_enter(&w->port);
		w->closing = true;
		lsvd_port_leave(&w->port, false);
	}
}

struct lsvd_volume *lsvd_vol_showing(const struct lsvd_volume *v, uint64_t lba)
{
	struct lsvd_volume *w = v->below;

	while (w && w->shows <= lba)
		w = w->below;
	return w;
}

/* ----------------------------------------------------------------- operations of a volume below */

/* One operation of a lower volume, and what of the upper one waits for it. */
struct lower_op {
	struct other_io other;         /* of the upper's port */
	struct lsvd_io io;             /* the lower's */
	struct lsvd_volume *lower;
	struct read_req *req;          /* NULL: a look at the map */
	struct lsvd_io *look;
	struct iovec iov[];
};

static void start_lower(struct other_io *other)
{
	struct lower_op *op = lsvd_container_of(other, struct lower_op, other);

	lsvd_volume_submit(op->lower, &op->io);
}

/* Without a lock, on the thread that knows the text. */
static void lower_ended(struct lsvd_io *io)
{
	struct lower_op *op = lsvd_container_of(io, struct lower_op, io);

	if (io->err)
		op->other.io.err = lsvd_fail_context(io->err, "lower volume %s", op->lower->name);
	lsvd_port_finish(&op->other.io);
}

static void lower_done(struct io *io)
{
	struct lower_op *op = lsvd_container_of(io, struct lower_op, other.io);
	struct read_req *req = op->req;
	struct lsvd_io *look = op->look;
	struct lsvd_volume *v = req ? req->v : io->owner;
	int err = io->err;

	lsvd_free(op);
	if (req)
		lsvd_vol_read_part_done(req, err);
	else
		lsvd_vol_end(v, look, err);
}

/* lock held: [off, off + len) of the volume below, whatever it is done for. */
static struct lower_op *new_op(struct lsvd_volume *v, struct lsvd_volume *w, uint32_t kind,
			       uint64_t off, uint64_t len, int room)
{
	struct lower_op *op = lsvd_calloc(1, sizeof *op + (size_t)room * sizeof *op->iov);

	if (!op)
		return NULL;
	op->lower = w;
	op->other.start = start_lower;
	op->other.io.kind = IO_OTHER;
	op->other.io.owner = v;
	op->other.io.done = lower_done;
	op->io.kind = kind;
	op->io.off = off;
	op->io.len = len;
	op->io.done = lower_ended;
	return op;
}

int lsvd_vol_read_lower(struct read_req *req, struct lsvd_volume *w, uint64_t lba, uint64_t end)
{
	uint64_t off = lba * SECTOR_BYTES, len = (end - lba) * SECTOR_BYTES;
	const struct lsvd_io *io = req->io;
	struct lower_op *op;

	if (req->ahead)
		return 0; /* it reads ahead for itself */
	op = new_op(req->v, w, req->prefetch ? LSVD_IO_PREFETCH : LSVD_IO_READ, off, len,
		    req->prefetch ? 0 : io->iovcnt);
	if (!op)
		return lsvd_fail_plain(-ENOMEM);
	op->req = req;
	if (!req->prefetch) {
		op->io.iov = op->iov;
		op->io.iovcnt = lsvd_iov_cut(io->iov, io->iovcnt, off - io->off, (size_t)len,
					     op->iov);
	}
	req->left++;
	lsvd_port_start(&req->v->port, &op->other.io);
	return 0;
}


void lsvd_vol_look_below(struct lsvd_volume *v, struct lsvd_io *io)
{
	struct lsvd_volume *w = lsvd_vol_showing(v, io->off / SECTOR_BYTES);
	struct lower_op *op;

	if (!w || !io->len) {
		lsvd_vol_end(v, io, 0);
		return;
	}
	op = new_op(v, w, LSVD_IO_MAP, io->off,
		    min_u64(io->len, w->shows * SECTOR_BYTES - io->off), 0);
	if (!op) {
		lsvd_vol_end(v, io, lsvd_fail_plain(-ENOMEM));
		return;
	}
	op->look = io;
	lsvd_port_start(&v->port, &op->other.io);
}

/* --------------------------------------------------------------------------------- block status */

#define STATUS_AT_ONCE 64u
#define STATUS_ROUNDS 1000u

/* Of v's own extents those before the first that is below; at least one, if v has any. */
static int status_before(struct lsvd_volume *v, uint64_t off, uint64_t len,
			 struct lsvd_status_extent *ret, size_t max, bool wait, vol_status_fn own)
{
	int n = own(v, off, len, ret, max, wait);

	for (int i = 1; i < n; i++)
		if (ret[i].flags == STATUS_BELOW)
			return i;
	return n;
}

/* Some extents from `off` on, and what each is, however far down that is said. */
static int status_from(struct lsvd_volume *v, uint64_t off, uint64_t len,
		       struct lsvd_status_extent *ret, size_t max, bool wait, vol_status_fn own)
{
	int n = status_before(v, off, len, ret, max, wait, own);

	while (n > 0 && ret[0].flags == STATUS_BELOW) {
		struct lsvd_volume *w = lsvd_vol_showing(v, off / SECTOR_BYTES);

		len = ret[0].len;
		if (!w) {
			ret[0].flags = LSVD_STATUS_HOLE | LSVD_STATUS_ZERO;
			return 1;
		}
		v = w;
		n = status_before(v, off, min_u64(len, v->shows * SECTOR_BYTES - off), ret, max,
				  wait, own);
	}
	return n;
}

int lsvd_vol_status_below(struct lsvd_volume *v, uint64_t off, uint64_t len,
			  struct lsvd_status_extent *ret, size_t max, bool wait, vol_status_fn own)
{
	struct lsvd_status_extent some[STATUS_AT_ONCE];
	uint64_t end = off + len;
	size_t count = 0;

	for (unsigned i = 0; i < STATUS_ROUNDS && off < end; i++) {
		/* What is known is worth more than what has to be waited for. */
		int n = status_from(v, off, end - off, some, STATUS_AT_ONCE, wait && !count, own);

		if (n < 0 && !count)
			return n;
		if (n <= 0)
			break;
		for (int k = 0; k < n; k++) {
			if (count && ret[count - 1].flags == some[k].flags)
				ret[count - 1].len += some[k].len;
			else if (count == max)
				return (int)count;
			else
				ret[count++] = some[k];
			off += some[k].len;
		}
	}
	return (int)count;
}
