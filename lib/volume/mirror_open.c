/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mirror_open.c - what an open makes of the mirror it finds: goes on with it, or has it made anew.
 *
 * It is gone on with if it is of this log, and of the history that the log has now; if it is
 * known how far it has got, and that nothing is missing between that and where recovery begins;
 * and if in the end it is the map that was read. What is wrong with it is no matter: then it is
 * built anew.
 *
 * Procedures, but for lsvd_mirror_start().
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/mirror_internal.h"
#include "volume/mirror_read.h"

#define REBUILD_LEAST (UINT64_C(32) << 10)
#define REBUILD_MOST (UINT64_C(16) << 20)
#define FEW_PAGES 64u

static int read_head(struct mirror *m, struct mirror_file *f, const char *name)
{
	struct file_io io = { .io = { .kind = IO_FILE_READ }, .file = f->file, .buf = m->buf,
			      .len = MIRROR_HEAD_BYTES, .past_cache = true };
	int err = lsvd_port_run1(&m->v->port, &io.io);

	if (!err && lsvd_mirror_head_decode(&f->head, m->buf, name) < 0)
		f->head = (struct mirror_head){ .flags = 0 };
	return err;
}

/*
 * What the file's head says, if there is one: the newer complete file is left as it is for now. It
 * must last: whoever made it complete may have been killed before he could sync that.
 */
static int look_at(struct mirror *m, unsigned which)
{
	struct mirror_file *f = &m->files[which];
	struct lsvd_volume *v = m->v;
	char name[MIRROR_NAME_CAP];
	uint64_t bytes;
	int err;

	lsvd_mirror_name(name, sizeof name, v->name, which);
	err = v->world->file->open(v->world, name, FILE_CREATE, &f->file);
	if (!err)
		err = v->world->file->size(f->file, &bytes);
	if (err || bytes < MIRROR_HEAD_BYTES)
		return err;
	struct file_io sync = { .io = { .kind = IO_FILE_SYNC }, .file = f->file };

	err = lsvd_port_run1(&v->port, &sync.io);
	return err ? err : read_head(m, f, name);
}

/* The file that must last until the other is complete. */
static struct mirror_file *newest(struct mirror *m)
{
	struct mirror_file *a = &m->files[0], *b = &m->files[1];
	bool a_is = a->head.flags & MIRROR_COMPLETE, b_is = b->head.flags & MIRROR_COMPLETE;

	if (a_is && b_is)
		return a->head.generation > b->head.generation ? a : b;
	return a_is ? a : b_is ? b : NULL;
}

static bool is_after_reach(const struct mirror *m, const struct place *at)
{
	return at->epoch > m->reach.epoch ||
	       (at->epoch == m->reach.epoch && at->seq > m->reach.seq);
}

/* Behind what there is, at once. */
static int write_record(struct mirror *m, struct mirror_file *f, enum mirror_kind kind,
			const uint8_t *payload, uint32_t bytes)
{
	uint64_t span = mirror_span(bytes);
	uint8_t *buf = lsvd_aligned_alloc(BLOCK_BYTES, span);
	struct file_io io = { .io = { .kind = IO_FILE_WRITE }, .file = f->file, .off = f->end,
			      .buf = buf, .len = span };
	int err;

	if (!buf)
		return lsvd_fail_plain(-ENOMEM);
	memcpy(buf + MIRROR_RECORD_BYTES, payload, bytes);
	memset(buf + MIRROR_RECORD_BYTES + bytes, 0, span - MIRROR_RECORD_BYTES - bytes);
	lsvd_mirror_record_encode(buf, &f->head, f->end, kind, bytes);
	err = lsvd_port_run1(&m->v->port, &io.io);
	lsvd_free(buf);
	f->end += span;
	return err;
}

/* Is it this log's, of the history it has now? */
static bool goes_with_log(const struct mirror *m, const struct mirror_file *f)
{
	const struct wal *wal = m->v->wal;

	return lsvd_uuid_equal(&f->head.volume, &m->v->uuid) &&
	       lsvd_uuid_equal(&f->head.cache_id, lsvd_wal_cache_id(wal)) &&
	       f->head.run >= lsvd_wal_whole_run(wal) && f->head.run < lsvd_wal_run(wal);
}

/* From here on under a nonce of its own: what was torn off behind it is not to follow. */
static int turn_over(struct mirror *m, struct mirror_file *f)
{
	struct lsvd_volume *v = m->v;
	uint8_t payload[MIRROR_MARK_BYTES];
	int err;

	v->world->rnd->fill(v->world, &m->reach.nonce, sizeof m->reach.nonce);
	lsvd_mirror_mark_encode(payload, &m->reach);
	err = write_record(m, f, MIRROR_MARK, payload, sizeof payload);
	f->head.nonce = m->reach.nonce;
	return err;
}

/* Whatever is wrong with it, it is built anew. */
static void look_whether_it_goes_on(struct mirror *m)
{
	struct mirror_file *f = newest(m);
	struct mirror_in in = { .v = m->v, .past_cache = true };
	int err;

	if (!f || !goes_with_log(m, f))
		return;
	m->usable = true;
	if (m->v->rebuild)
		return; /* the map may become one that it never was */
	lsvd_mirror_name(in.name, sizeof in.name, m->v->name, f != &m->files[0]);
	in.file = f->file;
	in.head = f->head;
	err = m->v->world->file->size(f->file, &in.bytes);
	if (!err)
		err = lsvd_mirror_reach(&in);
	lsvd_mirror_in_fini(&in);
	if (err || !in.marked)
		return;
	m->reach = (struct mirror_mark){ in.at.epoch, in.at.seq, in.last_op, in.nonce };
	f->end = in.end;
	f->head.nonce = in.nonce;
	if (turn_over(m, f) == 0)
		m->goes_on = f;
}

static int open_files(struct mirror *m)
{
	struct wal_stats s;
	int err;

	m->buf = lsvd_aligned_alloc(BLOCK_BYTES, MIRROR_HEAD_BYTES);
	if (!m->buf)
		return lsvd_fail_plain(-ENOMEM);
	err = look_at(m, 0);
	if (!err)
		err = look_at(m, 1);
	lsvd_free(m->buf);
	m->buf = NULL;
	if (!err)
		look_whether_it_goes_on(m);
	lsvd_wal_stats(m->v->wal, &s);
	m->rebuild_least = min_u64(REBUILD_MOST, max_u64(REBUILD_LEAST, s.capacity / 16));
	return err;
}

void lsvd_mirror_open(struct lsvd_volume *v)
{
	struct mirror *m = lsvd_calloc(1, sizeof *m);
	int err = m ? 0 : -ENOMEM;

	if (m) {
		m->v = v;
		lsvd_port_enter(&v->port); /* a close of another thread looks at it */
		v->mirror = m;
		lsvd_port_leave(&v->port, false);
		err = open_files(m);
	}
	if (!err)
		return;
	lsvd_report(LSVD_LOG_WARN, "volume %s: its map cannot be kept in the cache directory (%s): "
		    "until it is opened again, it cannot be opened offline", v->name,
		    lsvd_last_error());
	lsvd_mirror_free(v);
}

/* What changes the map, or may. */
static int take_header(struct mirror *m, const struct object_head *head,
		       const struct chain_part *chain, const uint8_t *bytes)
{
	if (head->kind != OBJECT_DATA && head->kind != OBJECT_NOTE)
		return 0;
	if (is_after_reach(m, &m->v->root_at) || chain->first_op != m->reach.last_op + 1)
		return -ENODATA;
	m->reach.last_op = chain->last_op;
	m->lacks = true;
	return write_record(m, m->goes_on, MIRROR_CHAIN, bytes, head->header_bytes);
}

int lsvd_mirror_header(void *volume, const struct object_head *head, const struct chain_part *chain,
		       const uint8_t *bytes)
{
	struct lsvd_volume *v = volume;
	struct mirror *m = v->mirror;
	const struct place at = { head->epoch, head->seq };

	if (!m || !m->goes_on || !is_after_reach(m, &at))
		return 0;
	if (take_header(m, head, chain, bytes) < 0)
		m->goes_on = NULL;
	m->reach.epoch = at.epoch;
	m->reach.seq = at.seq;
	return 0;
}

/* To be brought for the first snapshot without being asked: no more than a read brings. */
static bool few_are_away(const struct lsvd_volume *v)
{
	uint64_t most = min_u64(FEW_PAGES, v->opt.map_memory_bytes >> 16), n = 0;
	uint64_t page = lsvd_store_map_next_page(v->map, 0, MAP_AWAY);

	for (; page != UINT64_MAX && n <= most; n++)
		page = lsvd_store_map_next_page(v->map, page + 1, MAP_AWAY);
	return n <= most;
}

/* What is gone on with is the map that was read: as far as the chain goes, and nothing else. */
static bool has_everything(const struct mirror *m)
{
	const struct log_opened *o = &m->v->opened;

	return m->goes_on && m->reach.last_op == o->last_op && !is_after_reach(m, &m->v->root_at) &&
	       (m->reach.epoch < o->base_epoch ||
		(m->reach.epoch == o->base_epoch && m->reach.seq <= o->base_seq));
}

/* What comes from now on follows. */
static void go_on(struct mirror *m)
{
	m->current = m->goes_on;
	m->sync_wanted = true;
	lsvd_mirror_mark(m->v);
}

void lsvd_mirror_start(struct lsvd_volume *v, bool at_once)
{
	struct mirror *m = v->mirror;

	if (!m || m->failure)
		return;
	m->started = true;
	if (has_everything(m)) {
		go_on(m);
	} else if (at_once || m->usable || few_are_away(v)) {
		m->current = newest(m);  /* so that the other one is built */
		lsvd_mirror_begin_build(m);
		m->current = NULL;       /* that one is not whole, and grows no more */
	}
	lsvd_mirror_maybe_build(m);
	lsvd_mirror_pump(m);
}
