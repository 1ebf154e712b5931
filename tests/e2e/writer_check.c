/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer_check.c - is what the export holds the history cut at one place, and late enough?
 *
 * The history is the list of operations of the state file. An *element* is what must be there as a
 * whole or not at all: an operation, or, of a write longer than the atomic limit, one 4 KiB block.
 *
 * A set of elements is a possible prefix when it holds, with every element, all that were
 * acknowledged before that one was issued. check finds the smallest such set that
 *
 *   (1) holds all that had to survive: everything acknowledged, or everything acknowledged before
 *       the issue of an acknowledged flush, and every acknowledged write with FUA,
 *   (2) holds every element whose stamp is seen in some sector, and
 *   (3) explains every sector of zeroes by a trim, a write of zeroes, or by nothing at all,
 *
 * by adding elements until nothing changes; every step is forced, so the set is the smallest. Then
 * no sector may show less than the set demands of it. A lost write, a resurrected one, a torn one
 * and a hole in the middle of the history all fail here, each named by its first sector. If the set
 * is given (exactly the first N operations), nothing is added: what is there beyond it fails too.
 */
#include "writer.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#define BLOCK_SECTORS 8u
#define CHUNK_BYTES (1u << 20)
#define NONE UINT32_MAX

struct element {
	const struct op *op;
	uint64_t lba;
	uint32_t sectors;
	bool in;               /* in the set, beyond what the horizon says */
};

struct check {
	const struct check_options *opt;
	struct state *st;
	uint64_t *found;       /* per sector: the operation whose stamp is there, 0: zeroes */
	struct element *el;
	uint32_t el_count;
	uint32_t *first;       /* per sector: where its elements begin in hist[] */
	uint32_t *hist;        /* elements of each sector in the order of issue */
	uint64_t horizon;      /* all acknowledged before this tick are in the set */
	uint64_t demanded;     /* the horizon before anything was looked at */
	bool changed;
	uint64_t damaged, bad;
};

static void *get(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		errx(1, "out of memory");
	return p;
}

/* ------------------------------------------------------------------------ what is found */

static void read_sectors(struct check *ck, const uint8_t *buf, uint64_t first, uint64_t count)
{
	const struct state_head *h = ck->st->head;
	uint64_t i;

	for (i = 0; i < count; i++) {
		uint64_t lba = h->first_lba + first + i;

		if (stamp_read(&ck->found[first + i], buf + i * SECTOR_BYTES, h->seed, lba))
			continue;
		if (ck->damaged++ < 10)
			warnx("sector %llu holds neither zeroes nor a whole stamp",
			      (unsigned long long)lba);
	}
}

static void read_all(struct check *ck)
{
	const struct state_head *h = ck->st->head;
	struct nbd_handle *nbd = nbd_create();
	uint8_t *buf = get(1, CHUNK_BYTES);
	uint64_t at, n;

	if (!nbd || nbd_connect_uri(nbd, ck->opt->uri) < 0)
		errx(1, "%s", nbd_get_error());
	for (at = 0; at < h->sectors; at += n) {
		n = h->sectors - at;
		if (n > CHUNK_BYTES / SECTOR_BYTES)
			n = CHUNK_BYTES / SECTOR_BYTES;
		if (nbd_pread(nbd, buf, n * SECTOR_BYTES,
			      (h->first_lba + at) * SECTOR_BYTES, 0) < 0)
			errx(1, "read at sector %llu: %s", (unsigned long long)(h->first_lba + at),
			     nbd_get_error());
		read_sectors(ck, buf, at, n);
	}
	free(buf);
	(void)nbd_shutdown(nbd, 0); /* nothing is in flight */
	nbd_close(nbd);
}

/* --------------------------------------------------------------------------- the history */

static uint32_t pieces_of(const struct check *ck, const struct op *op)
{
	uint64_t end = op->lba + op->sectors;

	if (op->kind == OP_FLUSH)
		return 0;
	if (op->kind != OP_WRITE || (uint64_t)op->sectors * SECTOR_BYTES <= ck->opt->atomic_bytes)
		return 1;
	return (uint32_t)((end + BLOCK_SECTORS - 1) / BLOCK_SECTORS - op->lba / BLOCK_SECTORS);
}

static void add_pieces(struct check *ck, const struct op *op)
{
	uint32_t left = op->sectors, n = pieces_of(ck, op), take;
	uint64_t lba = op->lba;

	for (; n > 0; n--) {
		take = n == 1 ? left : BLOCK_SECTORS - (uint32_t)(lba % BLOCK_SECTORS);
		ck->el[ck->el_count++] = (struct element){ .op = op, .lba = lba, .sectors = take };
		lba += take;
		left -= take;
	}
}

static void make_elements(struct check *ck)
{
	const struct state_head *h = ck->st->head;
	uint64_t i, n = 0;

	for (i = 0; i < h->op_count; i++)
		n += pieces_of(ck, &ck->st->ops[i]);
	if (n >= NONE)
		errx(1, "a history of %llu elements is too long", (unsigned long long)n);
	ck->el = get(n, sizeof(*ck->el));
	for (i = 0; i < h->op_count; i++)
		add_pieces(ck, &ck->st->ops[i]);
}

/* Sorts the elements by sector: counts, then sums, then places. */
static void make_history(struct check *ck)
{
	uint64_t base = ck->st->head->first_lba, s, total = 0;
	uint32_t sectors = (uint32_t)ck->st->head->sectors, i, *next;

	ck->first = get((size_t)sectors + 1, sizeof(*ck->first));
	for (i = 0; i < ck->el_count; i++)
		total += ck->el[i].sectors;
	if (total >= NONE)
		errx(1, "a history of %llu sectors is too long", (unsigned long long)total);
	for (i = 0; i < ck->el_count; i++)
		for (s = ck->el[i].lba; s < ck->el[i].lba + ck->el[i].sectors; s++)
			ck->first[s - base + 1]++;
	for (i = 0; i < sectors; i++)
		ck->first[i + 1] += ck->first[i];
	ck->hist = get(total, sizeof(*ck->hist));
	next = get(sectors, sizeof(*next));
	memcpy(next, ck->first, sectors * sizeof(*next));
	for (i = 0; i < ck->el_count; i++)
		for (s = ck->el[i].lba; s < ck->el[i].lba + ck->el[i].sectors; s++)
			ck->hist[next[s - base]++] = i;
	free(next);
}

/* ------------------------------------------------------------------------------- the set */

static bool included(const struct check *ck, const struct element *e)
{
	return e->in || (e->op->acked && e->op->acked < ck->horizon);
}

static void include(struct check *ck, struct element *e)
{
	if (included(ck, e))
		return;
	e->in = true;
	ck->changed = true;
	if (e->op->issued > ck->horizon)
		ck->horizon = e->op->issued;
}

/* Elements are in the order of issue. */
static void take_first(struct check *ck, uint64_t n)
{
	const struct op *last = NULL;
	uint32_t e;

	for (e = 0; e < ck->el_count; e++) {
		if (ck->el[e].op != last && n-- == 0)
			return;
		last = ck->el[e].op;
		ck->el[e].in = true;
	}
	if (n)
		errx(1, "the history is %llu operations shorter than that", (unsigned long long)n);
}

/* What had to survive. FUA covers all that was acknowledged before its issue, and itself. */
static void demand(struct check *ck)
{
	const struct state_head *h = ck->st->head;
	uint64_t i;
	uint32_t e;

	if (ck->opt->any_prefix)
		return;
	ck->horizon = ck->opt->flushed_only ? 0 : UINT64_MAX;
	for (i = 0; i < h->op_count; i++) {
		const struct op *op = &ck->st->ops[i];

		if (op->acked && (op->kind == OP_FLUSH || op->fua) && op->issued > ck->horizon)
			ck->horizon = op->issued;
	}
	ck->demanded = ck->horizon;
	for (e = 0; e < ck->el_count; e++)
		if (ck->el[e].op->acked && ck->el[e].op->fua)
			include(ck, &ck->el[e]);
}

/*
 * The last element of the sector that is in the set, as a place in hist[]; NONE if there is none.
 */
static uint32_t last_included(const struct check *ck, uint32_t sector)
{
	uint32_t i;

	for (i = ck->first[sector + 1]; i > ck->first[sector]; i--)
		if (included(ck, &ck->el[ck->hist[i - 1]]))
			return i - 1;
	return NONE;
}

static void explain_stamp(struct check *ck, uint32_t sector)
{
	uint32_t i;

	for (i = ck->first[sector]; i < ck->first[sector + 1]; i++) {
		struct element *e = &ck->el[ck->hist[i]];

		if (e->op->id == ck->found[sector] && e->op->kind == OP_WRITE)
			include(ck, e);
	}
}

static void explain_zeroes(struct check *ck, uint32_t sector)
{
	uint32_t last = last_included(ck, sector), i;

	if (last == NONE && ck->st->base[sector] == 0)
		return;
	for (i = last == NONE ? ck->first[sector] : last; i < ck->first[sector + 1]; i++)
		if (ck->el[ck->hist[i]].op->kind != OP_WRITE) {
			include(ck, &ck->el[ck->hist[i]]);
			return;
		}
}

static void grow_set(struct check *ck)
{
	uint32_t sectors = (uint32_t)ck->st->head->sectors, s;

	do {
		ck->changed = false;
		for (s = 0; s < sectors; s++) {
			if (ck->found[s])
				explain_stamp(ck, s);
			else
				explain_zeroes(ck, s);
		}
	} while (ck->changed);
}

/* ------------------------------------------------------------------------------ the verdict */

static const char *reason(const struct check *ck, const struct op *op)
{
	if (!op)
		return "there before, and nothing has changed it";
	if (!op->acked)
		return "no reply, but seen elsewhere";
	if (op->fua)
		return "acknowledged with FUA";
	if (op->acked < ck->demanded)
		return ck->opt->flushed_only ? "acknowledged, then flushed" : "acknowledged";
	return "acknowledged before something that is there was issued";
}

static void complain(struct check *ck, uint32_t sector, uint64_t want, const struct op *op)
{
	static const char *const kinds[] = { "?", "write", "trim", "zeroes", "flush" };

	if (ck->bad++ >= 10)
		return;
	warnx("sector %llu holds operation %llu, but operation %llu must be there: %s",
	      (unsigned long long)(ck->st->head->first_lba + sector),
	      (unsigned long long)ck->found[sector], (unsigned long long)want, reason(ck, op));
	if (op)
		warnx("  %s of sectors %llu+%u, issued at %llu, reply at %llu; demanded up to "
		      "%llu, seen up to %llu", kinds[op->kind], (unsigned long long)op->lba,
		      op->sectors, (unsigned long long)op->issued, (unsigned long long)op->acked,
		      (unsigned long long)ck->demanded, (unsigned long long)ck->horizon);
}

static void judge(struct check *ck)
{
	uint32_t sectors = (uint32_t)ck->st->head->sectors, s;

	for (s = 0; s < sectors; s++) {
		uint32_t last = last_included(ck, s);
		const struct op *op = last == NONE ? NULL : ck->el[ck->hist[last]].op;
		uint64_t want = !op ? ck->st->base[s] : op->kind == OP_WRITE ? op->id : 0;

		if (ck->found[s] != want)
			complain(ck, s, op ? op->id : want, op);
	}
}

static void report(const struct check *ck)
{
	const struct state_head *h = ck->st->head;
	uint64_t i, acked = 0, pending = 0, there = 0;
	uint32_t e;

	for (i = 0; i < h->op_count; i++) {
		acked += ck->st->ops[i].acked != 0;
		pending += ck->st->ops[i].acked == 0;
	}
	for (e = 0; e < ck->el_count; e++)
		there += ck->el[e].op->acked != 0 && !included(ck, &ck->el[e]);
	printf("check: %llu acknowledged, %llu without a reply, %llu acknowledged not demanded, "
	       "%llu sectors wrong, %llu damaged\n", (unsigned long long)acked,
	       (unsigned long long)pending, (unsigned long long)there,
	       (unsigned long long)ck->bad, (unsigned long long)ck->damaged);
}

int check_run(struct state *st, const struct check_options *opt)
{
	struct check ck = { .opt = opt, .st = st };

	if (st->head->sectors >= NONE)
		errx(1, "a range of %llu sectors is too long",
		     (unsigned long long)st->head->sectors);
	ck.found = get(st->head->sectors, sizeof(*ck.found));
	read_all(&ck);
	make_elements(&ck);
	make_history(&ck);
	if (opt->exactly) {
		take_first(&ck, opt->first);
	} else {
		demand(&ck);
		grow_set(&ck);
	}
	judge(&ck);
	report(&ck);
	if (ck.bad + ck.damaged == 0) {
		memcpy(st->base, ck.found, st->head->sectors * sizeof(*ck.found));
		st->head->op_count = 0;
	}
	free(ck.hist);
	free(ck.first);
	free(ck.el);
	free(ck.found);
	return ck.bad + ck.damaged > 0;
}
