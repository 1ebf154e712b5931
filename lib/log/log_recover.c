/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_recover.c - from the newest root to the end of the history, object by object, in order.
 *
 * The history is a path through epochs: each goes on from a place in an earlier one, named by its
 * object 1. The path is found backwards, from the end to the epoch in which the root stands (or to
 * the first of all), and replayed forwards. Headers are read WINDOW at a time. Each must name the
 * checksum of the one before: what is replayed is one chain or nothing.
 */
#include "log/log_internal.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

#define WINDOW 32u
#define GUESS_BYTES 65536u              /* of each object at first: its header, nearly always */
#define ROOT_BYTES (4u << 20)           /* read at once */
#define ROOT_MAX_BYTES (UINT64_C(1) << 30)
#define REPORT_EVERY 4096u

/* Objects first … last of an epoch, which are yet to be replayed. */
struct leg {
	uint64_t epoch, first, last;
};

struct path {
	struct leg *legs;        /* from the end backwards */
	unsigned count, room;
	uint64_t objects;
};

struct recovery {
	struct log *log;
	struct path path;
	uint64_t root_epoch, root_seq; /* where the root stands; 0: there is none */
	uint64_t checksum;       /* of the object before; 0: not known */
	uint64_t done;
};

/* ------------------------------------------------------------------------------------ the root */

static void init_root_get(struct log *log, struct log_call *call, struct log_root *root,
			  size_t room)
{
	lsvd_call_init(call, IO_GET);
	lsvd_key_root(call->io.key, &log->options.volume, root->ref.epoch, root->ref.number);
	call->io.off = root->len;
	call->io.buf = root->bytes + root->len;
	call->io.len = room - root->len;
}

bool lsvd_root_early(struct log *log, struct root_ref ref, struct log_call *ret)
{
	struct log_root *root = &log->early;

	lsvd_root_drop(log);
	if (!ref.epoch)
		return false;
	root->bytes = lsvd_malloc(ROOT_BYTES);
	if (!root->bytes)
		return false; /* recovery will say so, if it is still true then */
	root->ref = ref;
	init_root_get(log, ret, root, ROOT_BYTES);
	return true;
}

void lsvd_root_take(struct log *log, const struct log_call *call)
{
	if (call->err < 0) {
		lsvd_root_drop(log); /* recovery will meet the same error, and has a text for it */
		return;
	}
	log->early.len = call->io.ret_len;
	log->stats.recovery_gets++;
	log->stats.recovery_get_bytes += call->io.ret_len;
}

void lsvd_root_drop(struct log *log)
{
	lsvd_free(log->early.bytes);
	log->early = (struct log_root){ .bytes = NULL };
}

/* ROOT_BYTES more, from where it ends so far. *ret_more: there may be even more. */
static int read_root_on(struct log *log, struct log_root *root, bool *ret_more)
{
	size_t room = root->len + ROOT_BYTES;
	struct log_call call;
	uint8_t *bytes;
	int err;

	bytes = lsvd_realloc(root->bytes, room);
	if (!bytes)
		return lsvd_fail_plain(-ENOMEM);
	root->bytes = bytes;
	init_root_get(log, &call, root, room);
	err = lsvd_call_run(log, &call, 1);
	if (err == 0 && call.err < 0)
		err = lsvd_fail(LSVD_E_CORRUPT, "volume %s: root %s is missing", log->options.name,
				call.io.key);
	if (err < 0)
		return err;
	log->stats.recovery_gets++;
	log->stats.recovery_get_bytes += call.io.ret_len;
	root->len += call.io.ret_len;
	*ret_more = root->len == room;
	return 0;
}

static int read_root(struct log *log, struct log_root *root)
{
	bool more = root->len % ROOT_BYTES == 0;
	int err = 0;

	while (err == 0 && more) {
		if (root->len >= ROOT_MAX_BYTES)
			return lsvd_fail(LSVD_E_CORRUPT, "volume %s: root %llu of epoch %llu has "
					 "more than %llu bytes", log->options.name,
					 (unsigned long long)root->ref.number,
					 (unsigned long long)root->ref.epoch,
					 (unsigned long long)ROOT_MAX_BYTES);
		err = read_root_on(log, root, &more);
	}
	return err;
}

static bool same_root(struct root_ref a, struct root_ref b)
{
	return a.epoch == b.epoch && a.number == b.number;
}

/*
 * The kind's own part of a root begins with the chain object whose state it is. -EBADMSG: it does
 * not verify, and nothing has come of it: once more, since an answer may be damaged.
 */
static int take_root(struct recovery *r, const struct log_root *root)
{
	struct log *log = r->log;
	struct object_head head;
	char key[KEY_CAP];
	int err;

	lsvd_key_root(key, &log->options.volume, root->ref.epoch, root->ref.number);
	err = lsvd_object_head_decode(&head, root->bytes, root->len, key);
	if (err == -ENODATA || (err == 0 && head.header_bytes < OBJECT_HEAD_BYTES + 16))
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: %zu bytes with a header of %u", key,
				root->len, head.header_bytes);
	if (err == 0)
		err = lsvd_object_head_expect(&head, &log->options.volume, OBJECT_ROOT,
					      root->ref.epoch, root->ref.number, key);
	if (err < 0)
		return err == LSVD_E_CORRUPT ? -EBADMSG : err;
	r->root_epoch = le64_get(root->bytes + OBJECT_HEAD_BYTES);
	r->root_seq = le64_get(root->bytes + OBJECT_HEAD_BYTES + 8);
	return log->ops->load_root(log->ctx, &head, root->bytes, root->len);
}

static int load_root(struct recovery *r)
{
	struct log *log = r->log;
	int err;

	if (!same_root(log->early.ref, log->base_root))
		lsvd_root_drop(log);
	log->early.ref = log->base_root;
	err = read_root(log, &log->early);
	if (err == 0)
		err = take_root(r, &log->early);
	if (err == -EBADMSG) {
		log->stats.bad_gets++;
		log->early.len = 0;
		err = read_root(log, &log->early);
		if (err == 0)
			err = take_root(r, &log->early);
	}
	lsvd_root_drop(log);
	return err == -EBADMSG ? LSVD_E_CORRUPT : err;
}

/* ------------------------------------------------------------------------------------ the path */

static int add_leg(struct path *p, uint64_t epoch, uint64_t first, uint64_t last)
{
	if (p->count == p->room) {
		unsigned room = p->room ? p->room * 2 : 16;
		struct leg *legs = lsvd_realloc(p->legs, room * sizeof *legs);

		if (!legs)
			return lsvd_fail_plain(-ENOMEM);
		p->legs = legs;
		p->room = room;
	}
	p->legs[p->count++] = (struct leg){ .epoch = epoch, .first = first, .last = last };
	if (last >= first)
		p->objects += last - first + 1;
	return 0;
}

static int root_astray(const struct recovery *r)
{
	return lsvd_fail(LSVD_E_CORRUPT,
			 "volume %s: root %llu of epoch %llu stands at object %llu of epoch %llu, "
			 "which is not part of the history up to object %llu of epoch %llu",
			 r->log->options.name, (unsigned long long)r->log->base_root.number,
			 (unsigned long long)r->log->base_root.epoch,
			 (unsigned long long)r->root_seq, (unsigned long long)r->root_epoch,
			 (unsigned long long)r->log->base_seq,
			 (unsigned long long)r->log->base_epoch);
}

/* Where the path has got to, backwards: an epoch and its last object on the path. */
struct step {
	uint64_t epoch, last;
};

/*
 * Follows the bases of epochs step->epoch, and of the `n` - 1 before it in number,
 * as far as they go.
 */
static int follow(struct recovery *r, struct step *step, const struct log_header *bases, unsigned n)
{
	uint64_t newest = step->epoch;
	int err;

	while (step->epoch > r->root_epoch && newest - step->epoch < n) {
		const struct log_header *base = &bases[newest - step->epoch];

		err = lsvd_base_check(r->log, step->epoch, base);
		if (err < 0)
			return err;
		err = add_leg(&r->path, step->epoch, 1, step->last);
		if (err < 0)
			return err;
		*step = (struct step){ base->chain.base_epoch, base->chain.base_seq };
	}
	return 0;
}

/* An epoch mostly goes on from the one before it, so the bases of several are read at once. */
static int find_path(struct recovery *r)
{
	struct step step = { r->log->base_epoch, r->log->base_seq };
	struct log_header bases[WINDOW];
	struct log_where at[WINDOW];
	int err;

	while (step.epoch > r->root_epoch) {
		unsigned n = (unsigned)min_u64(WINDOW, step.epoch - r->root_epoch);

		for (unsigned i = 0; i < n; i++)
			at[i] = (struct log_where){ step.epoch - i, 1 };
		err = lsvd_headers_get(r->log, at, n, OBJECT_HEAD_BYTES + CHAIN_PART_BYTES, bases,
				       NULL);
		if (err < 0)
			return err;
		err = follow(r, &step, bases, n);
		lsvd_headers_free(bases, n);
		if (err < 0)
			return err;
	}
	if (step.epoch != r->root_epoch || r->root_seq > step.last)
		return root_astray(r);
	return step.epoch ? add_leg(&r->path, step.epoch, r->root_seq + 1, step.last) : 0;
}

/* ---------------------------------------------------------------------------------- the replay */

static int check_link(const struct recovery *r, const struct log_header *h)
{
	if (!r->checksum || h->chain.prev_checksum == r->checksum)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu of epoch %llu follows a header "
			 "with checksum %016llx, expected %016llx", r->log->options.name,
			 (unsigned long long)h->head.seq, (unsigned long long)h->head.epoch,
			 (unsigned long long)h->chain.prev_checksum,
			 (unsigned long long)r->checksum);
}

static int replay_data(struct log *log, const struct log_header *h)
{
	struct seg_extent *extents = NULL;
	uint32_t count = 0;
	char key[KEY_CAP];
	int err;

	lsvd_key_chain(key, &log->options.volume, h->head.epoch, h->head.seq);
	err = lsvd_segment_extents(&extents, &count, h->bytes, &h->head, &h->chain, key);
	if (err < 0)
		return err;
	err = log->ops->replay(log->ctx, &h->head, &h->chain, extents, count);
	lsvd_free(extents);
	return err;
}

static int replay_record(struct log *log, const struct log_header *h, const struct record *record,
			 const char *what)
{
	int known = 0;

	if (log->ops->record)
		known = log->ops->record(log->ctx, &h->head, &h->chain, record);
	if (known != 0 || record->flags & RECORD_OPTIONAL)
		return known < 0 ? known : 0;
	return lsvd_fail(LSVD_E_VERSION,
			 "object %s: record of type %u, which this library does not know",
			 what, record->type);
}

static int replay_records(struct log *log, const struct log_header *h)
{
	struct record_walk walk;
	struct record record;
	char key[KEY_CAP];
	int err;

	lsvd_key_chain(key, &log->options.volume, h->head.epoch, h->head.seq);
	lsvd_record_walk(&walk, h->bytes, &h->chain, key);
	while ((err = lsvd_record_next(&walk, &record)) > 0) {
		err = replay_record(log, h, &record, key);
		if (err < 0)
			break;
	}
	return err;
}

/* Deleted; or an opener's fence that came into its name when it was (log_fence.c). */
static bool is_passed_over(const struct log *log, const struct log_where *at,
			   const struct log_header *h)
{
	bool fence = h->err == 0 && h->head.kind == OBJECT_FENCE;

	return log->options.rebuild && at->seq > 1 && !anchor_at(log, at->seq) &&
	       (h->err == -ENOENT || fence);
}

static int replay_one(struct recovery *r, const struct log_where *at, const struct log_header *h)
{
	struct log *log = r->log;
	int err;

	if (is_passed_over(log, at, h)) {
		log->stats.passed_over++;
		r->checksum = 0;
		return 0;
	}
	if (h->err < 0 || h->head.kind == OBJECT_FENCE)
		return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu of epoch %llu %s, and is "
				 "part of the history", log->options.name,
				 (unsigned long long)at->seq, (unsigned long long)at->epoch,
				 h->err == -ENODATA ? "is cut short"
				 : h->err < 0 ? "is missing" : "is a fence");
	err = check_link(r, h);
	if (err < 0)
		return err;
	r->checksum = h->head.checksum;
	log->stats.replayed++;
	if (++r->done % REPORT_EVERY == 0)
		lsvd_report(LSVD_LOG_INFO, "volume %s: %llu of %llu objects read",
			    log->options.name, (unsigned long long)r->done,
			    (unsigned long long)r->path.objects);
	if (log->ops->header)
		err = log->ops->header(log->ctx, &h->head, &h->chain, h->bytes);
	if (err < 0)
		return err;
	if (h->head.kind == OBJECT_DATA)
		err = replay_data(log, h);
	else
		err = log->ops->replay(log->ctx, &h->head, &h->chain, NULL, 0);
	if (err == 0 && (h->head.kind == OBJECT_DATA || h->head.kind == OBJECT_NOTE))
		err = replay_records(log, h);
	return err;
}

/* The next places of the path, at most WINDOW; they may lie in several epochs. */
static unsigned next_places(struct path *p, struct log_where at[WINDOW])
{
	unsigned n = 0;

	while (n < WINDOW && p->count) {
		struct leg *leg = &p->legs[p->count - 1];

		if (leg->first > leg->last)
			p->count--;
		else
			at[n++] = (struct log_where){ leg->epoch, leg->first++ };
	}
	return n;
}

static int replay_path(struct recovery *r)
{
	struct log_header headers[WINDOW];
	struct log_where at[WINDOW];
	unsigned n;
	int err = 0;

	while (err == 0 && (n = next_places(&r->path, at))) {
		err = lsvd_headers_get(r->log, at, n, GUESS_BYTES, headers, NULL);
		if (err < 0)
			return err;
		for (unsigned i = 0; i < n && err == 0; i++)
			err = replay_one(r, &at[i], &headers[i]);
		lsvd_headers_free(headers, n);
	}
	return err;
}

int lsvd_log_recover(struct log *log)
{
	struct recovery r = { .log = log };
	int err = 0;

	if (log->options.rebuild)
		lsvd_root_drop(log);
	else if (log->base_root.epoch)
		err = load_root(&r);
	if (err == 0)
		err = find_path(&r);
	if (err == 0) {
		lsvd_report(LSVD_LOG_INFO, "volume %s: %llu objects to read after %s",
			    log->options.name, (unsigned long long)r.path.objects,
			    r.root_epoch ? "the checkpoint" : "the beginning");
		err = replay_path(&r);
	}
	lsvd_free(r.path.legs);
	return lsvd_log_because_fenced(log, err);
}
