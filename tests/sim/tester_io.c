/* SPDX-License-Identifier: BSD-2-Clause */
/* tester_io.c - a volume under test is opened, written to, flushed, read back and closed. */
#include "tester.h"

#include "volume/vol_mirror.h"

static void on_segment(void *ctx, const struct lsvd_segment_event *e)
{
	struct tester *t = ctx;

	if (e->last_op + t->m.inherited > t->m.stored)
		t->m.stored = (uint32_t)e->last_op + t->m.inherited;
}

/* An operation for which there was no memory never was: those after it move up. */
void withdraw(struct tester *t, uint32_t op)
{
	memmove(&t->m.ops[op], &t->m.ops[op + 1], (t->m.issued - op) * sizeof t->m.ops[0]);
	t->m.issued--;
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		t->slots[i].op -= t->slots[i].op > op;
		t->slots[i].covers -= t->slots[i].covers > op;
	}
}

/* What a volume says for ever after it has met its hardship. */
int final_error(const struct tester *t)
{
	return t->hard == HARD_DISK ? LSVD_E_FAILED : t->hard == HARD_RIVAL ? LSVD_E_FENCED : 0;
}

/* May the operation fail like that? */
static bool was_to_be(struct tester *t, const struct slot *s, int err)
{
	if (err == LSVD_E_SHUTDOWN)
		return true;
	if (t->offline && err == LSVD_E_UNAVAILABLE && t->remote && s->covers)
		/* a flush to the store; what it was to make safe is there all the same */
		return true;
	if (t->offline && err == LSVD_E_UNAVAILABLE && t->remote && !s->op)
		return true;
	if (t->offline && err == -EIO && s->op) {
		withdraw(t, s->op); /* the log is full, and stays so */
		return true;
	}
	if (t->hard == HARD_MEMORY && err == -ENOMEM) {
		if (s->op)
			withdraw(t, s->op);
		return true;
	}
	if (t->hard && err == final_error(t))
		t->broken = true;
	return t->broken && err == final_error(t);
}

static void on_done(struct lsvd_io *io)
{
	struct slot *s = (struct slot *)(void *)((char *)io - offsetof(struct slot, io));
	struct tester *t = s->tester;

	s->busy = false;
	if (io->err) {
		if (!was_to_be(t, s, io->err))
			complain(t, "operation %u failed: %s", s->op, lsvd_error_name(io->err));
		return;
	}
	if (s->op) {
		t->m.ops[s->op].acked = true;
		while (t->m.acked < t->m.issued && t->m.ops[t->m.acked + 1].acked)
			t->m.acked++;
	}
	if (s->covers > t->m.flushed)
		t->m.flushed = s->covers;
}

struct lsvd_volume_options options_of(struct tester *t, unsigned flags)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;

	o.flags = flags;
	o.cache_dir = "cache";
	o.log_bytes = LOG_BYTES;
	o.segment_bytes = 24u << 10;
	o.memory_bytes = 16u << 20;
	o.map_memory_bytes = t->tight ? 1 : 0;
	o.checkpoint_segments = 3;
	o.rcache_bytes = UINT64_MAX;
	o.put_window = 3;
	o.compression = t->compression;
	o.seal_after_ms = 400;
	o.gc = t->collects ? LSVD_GC_AUTO : LSVD_GC_OFF;
	o.gc_strategy = t->seed / 4 % 3 ? LSVD_GC_SEPARATE : LSVD_GC_COST_BENEFIT;
	o.gc_target_percent = 110 + (uint32_t)(t->seed % 4) * 20;
	o.gc_idle_ms = 700;
	o.gc_bytes_per_second = t->seed % 3 ? 1u << 20 : UINT64_MAX;
	o.gc_space_bytes = t->seed % 5 ? 0 : 256u << 10;
	o.lease_check_ms = 2000;
	o.read_timeout_ms = 3600000; /* some requests take a minute here, and some fail after it */
	o.stall_timeout_ms = flags & LSVD_OPEN_OFFLINE ? 2000 : 0;
	o.flush = t->remote ? LSVD_FLUSH_REMOTE : LSVD_FLUSH_LOCAL;
	o.segment_fn = on_segment;
	o.segment_ctx = t;
	return o;
}

static struct slot *free_slot(struct tester *t)
{
	for (;;) {
		for (unsigned i = 0; i < IN_FLIGHT; i++)
			if (!t->slots[i].busy)
				return &t->slots[i];
		sim_sleep(t->host, 1); /* a yield would keep the clock from going on */
	}
}

void wait_all(struct tester *t)
{
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		while (t->slots[i].busy)
			sim_sleep(t->host, 1);
}

uint32_t below(struct tester *t, uint32_t n)
{
	return (uint32_t)sim_random_below(t->sim, n);
}

/* A choice; of a workload that is laid down, the last. */
unsigned pick(struct tester *t, unsigned n)
{
	return t->scripted ? n - 1 : below(t, n);
}

/* Some sectors of one chunk, often whole blocks. */
static void some_sectors(struct tester *t, struct model_op *op)
{
	op->sectors = 1 + below(t, below(t, 3) ? 12 : WRITE_MAX_SECTORS);
	op->lba = below(t, 4) ? below(t, t->chunks * CHUNK / 8) * 8 : below(t, t->chunks * CHUNK);
	if (op->lba % CHUNK + op->sectors > CHUNK)
		op->sectors = CHUNK - op->lba % CHUNK;
}

/* Whole chunks, and with them the pages of the map that they lie in. */
static void some_chunks(struct tester *t, struct model_op *op)
{
	uint32_t first = below(t, t->chunks), n = 1 + below(t, t->chunks - first);

	op->lba = first * CHUNK;
	op->sectors = n * CHUNK;
}

static void make_write(struct tester *t, struct slot *s)
{
	struct model_op *op = &t->m.ops[++t->m.issued];
	uint32_t kind = below(t, 10);
	bool chunks = kind == 7 && below(t, 4) == 0;

	memset(op, 0, sizeof *op);
	op->tag = ++t->m.tags;
	op->kind = kind < 7 ? MODEL_WRITE : MODEL_ZERO;
	if (chunks)
		some_chunks(t, op);
	else
		some_sectors(t, op);
	s->op = t->m.issued;
	s->io.kind = kind < 7 ? LSVD_IO_WRITE : kind < 9 ? LSVD_IO_TRIM : LSVD_IO_WRITE_ZEROES;
	s->io.off = place_of(op->lba);
	s->io.len = chunks ? op->sectors / CHUNK * STORE_MAP_PAGE_SECTORS * SECTOR_BYTES
			   : op->sectors * SECTOR_BYTES;
	if (kind == 9 && below(t, 2))
		s->io.flags |= LSVD_IO_NO_HOLE;
	if (below(t, 12) == 0) {
		s->io.flags |= LSVD_IO_FUA;
		s->covers = s->op;
	}
	for (uint32_t i = 0; i < op->sectors && kind < 7; i++)
		fill_sector(s->data + i * SECTOR_BYTES, op->tag, op->lba + i);
	s->iov = (struct iovec){ s->data, (size_t)s->io.len };
	s->io.iov = &s->iov;
	s->io.iovcnt = 1;
}

void submit_this(struct tester *t, bool flush)
{
	struct slot *s = free_slot(t);

	memset(&s->io, 0, sizeof s->io);
	s->tester = t;
	s->busy = true;
	s->op = s->covers = 0;
	s->io.done = on_done;
	if (flush) {
		s->io.kind = LSVD_IO_FLUSH;
		s->covers = t->m.acked;
	} else {
		make_write(t, s);
	}
	lsvd_volume_submit(t->volume, &s->io);
}

void submit_one(struct tester *t)
{
	submit_this(t, below(t, 7) == 0);
}

uint32_t chunks_of(const struct lsvd_volume *v)
{
	return (uint32_t)(lsvd_volume_bytes(v) / CHUNK_SPAN);
}

bool read_from(struct tester *t, struct lsvd_volume *volume)
{
	memset(t->image, 0, sizeof t->image);
	t->readable = chunks_of(volume) * CHUNK;
	for (uint32_t i = 0; i < t->readable; i += CHUNK) {
		int err = -ENOMEM;

		for (unsigned tries = 0; err == -ENOMEM && tries < 50; tries++)
			err = lsvd_volume_read(volume, t->image + i * SECTOR_BYTES, place_of(i),
					       CHUNK * SECTOR_BYTES);
		/* The mirror was given up, so it may lead to what has been deleted since. */
		if (err == LSVD_E_UNAVAILABLE && t->offline && t->m.unlucky)
			return false;
		/* A second writer has taken the volume, and deletes what it does not need. */
		if (err == LSVD_E_FENCED && t->hard == HARD_RIVAL) {
			t->broken = true;
			return false;
		}
		/* A note with another size was still on its way when the volume failed. */
		if (err == -EINVAL && t->hard && i >= chunks_of(t->volume) * CHUNK)
			break;
		/* Failed in the middle of a rollback: it shows nothing any more. */
		if (t->hard && err && err == final_error(t) && t->volume->rolling == ROLL_LOST) {
			t->broken = true;
			return false;
		}
		if (err) {
			complain(t, "read of sector %u: %s: %s", i, lsvd_error_name(err),
				 lsvd_last_error());
			return false;
		}
	}
	return true;
}

bool read_image(struct tester *t)
{
	return read_from(t, t->volume);
}

/* Waits for the mirror, or does not: what follows may be while it is made. */
void note_mirror(struct tester *t, struct sim_host *host)
{
	bool settled = false;

	for (unsigned i = below(t, 2) ? 100 : 0; i && !settled; i--) {
		sim_sleep(host, 1);
		lsvd_port_enter(&t->volume->port);
		settled = lsvd_mirror_is_settled(t->volume) && lsvd_mirror_is_there(t->volume);
		lsvd_port_leave(&t->volume->port, false);
	}
	t->m.mirrored = t->m.mirrored || settled;
}

void check_size(struct tester *t)
{
	uint32_t chunks = chunks_of(t->volume);

	if (t->m.chunks && chunks != t->m.chunks && chunks != t->m.chunks_maybe)
		complain(t, "the volume has %u pages, expected %u", chunks, t->m.chunks);
	t->m.chunks = t->chunks = chunks;
	t->m.chunks_maybe = 0;
}

bool open_volume(struct tester *t, struct sim_host *host, unsigned flags)
{
	struct lsvd_volume_options o = options_of(t, flags);
	int err = LSVD_E_UNAVAILABLE;

	/* The store is made to fail now and then; an open may say so, and is tried again. */
	for (unsigned i = 0; i < 500 && (err == LSVD_E_UNAVAILABLE || err == -ENOMEM); i++) {
		if (i)
			sim_sleep(host, 1000);
		err = lsvd_volume_open_world(&t->volume, sim_host_world(host), t->name, &o);
	}
	if (err == -EIO && t->hard == HARD_DISK && !t->broken)
		t->broken = true;
	else if (err)
		complain(t, "open: %s: %s", lsvd_error_name(err), lsvd_last_error());
	else if (!t->hard && host == t->host)
		note_mirror(t, host);
	if (!err)
		check_size(t);
	return err == 0;
}

void wait_for_operator(struct tester *t)
{
	while (t->errand)
		sim_sleep(t->host, 1);
}

void close_volume(struct tester *t)
{
	int err;

	wait_for_operator(t);
	wait_all(t);
	err = lsvd_volume_close(t->volume, UINT32_MAX);
	t->volume = NULL;
	if (t->hard && err < 0 && err == (t->hard == HARD_DISK ? err : final_error(t))) {
		t->broken = true;
		return;
	}
	if (err)
		complain(t, "close: %d", err);
	t->m.flushed = t->m.stored = t->m.acked;
}

void check_now(struct tester *t)
{
	wait_all(t);
	if (t->broken || !read_image(t))
		return;
	if (distance(t, t->m.issued, false))
		explain(t, t->m.issued);
	lsvd_vol_check_parts(t->volume);
}
