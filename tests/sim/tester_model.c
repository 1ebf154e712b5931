/* SPDX-License-Identifier: BSD-2-Clause */
/* tester_model.c - the history as it is known, and what a volume has to show by it. */
#include "tester.h"

#include <stdarg.h>

void fill_sector(uint8_t *to, uint32_t tag, uint32_t lba)
{
	uint64_t state = (uint64_t)tag << 32 | lba;

	le32_put(to, UINT32_C(0x5ec70a11));
	le32_put(to + 4, tag);
	le32_put(to + 8, lba);
	le32_put(to + 12, (tag * 2654435761u) ^ lba);
	for (unsigned i = 16; i < SECTOR_BYTES; i += 8)
		le64_put(to + i, tag % 3 ? t_random(&state) : (uint64_t)tag * 0x101010101);
}

/* The tag of the operation a sector was written by, 0 for zeroes, UINT32_MAX for anything else. */
static uint32_t sector_tag(const uint8_t *p, uint32_t lba)
{
	static const uint8_t zeroes[SECTOR_BYTES];
	uint8_t want[SECTOR_BYTES];
	uint32_t tag = le32_get(p + 4);

	if (memcmp(p, zeroes, SECTOR_BYTES) == 0)
		return 0;
	fill_sector(want, tag, lba);
	return memcmp(p, want, SECTOR_BYTES) == 0 ? tag : UINT32_MAX;
}

/* Where the workload's sector `i` lies in the volume, in bytes. */
uint64_t place_of(uint32_t i)
{
	return ((uint64_t)i / CHUNK * STORE_MAP_PAGE_SECTORS + i % CHUNK) * SECTOR_BYTES;
}

void new_model(struct tester *t)
{
	memset(&t->m, 0, sizeof t->m);
	for (unsigned i = 0; i < CLONES; i++)
		memset(&t->heirs[i].m, 0, sizeof t->heirs[i].m);
	t->m.chunks = t->chunks = CHUNKS;
}

void remember(struct memory *to, const struct tester *t)
{
	to->m = t->m;
	for (unsigned i = 0; i < CLONES; i++)
		to->heirs[i] = t->heirs[i].m;
}

void recall(struct tester *t, const struct memory *from)
{
	t->m = from->m;
	for (unsigned i = 0; i < CLONES; i++)
		t->heirs[i].m = from->heirs[i];
}

void complain(struct tester *t, const char *format, ...)
{
	struct tester *to = t->base ? t->base : t;
	va_list ap;
	int n;

	if (to->failed)
		return;
	t->failed = true;
	to->failed = true;
	n = snprintf(to->why, sizeof to->why, "%s: ", t->name); /* fits */
	va_start(ap, format);
	(void)vsnprintf(to->why + n, sizeof to->why - (size_t)n, format, ap);
	va_end(ap);
}

static uint32_t tag_of(const struct model *m, uint32_t op)
{
	return m->ops[op].kind == MODEL_WRITE ? m->ops[op].tag : 0;
}

/* The tags of P(k), over those of P(0). */
static void content(const struct model *m, uint32_t k, uint32_t want[SECTORS])
{
	uint32_t from = k;

	while (from && !m->ops[from].rolled)
		from--;
	if (from)
		content(m, m->ops[from].back_to, want);
	for (uint32_t i = from + 1; i <= k; i++)
		for (uint32_t j = 0; j < m->ops[i].sectors; j++)
			want[m->ops[i].lba + j] = tag_of(m, i);
}

/* What shows where nothing was written; a clone shows what its base does. */
static void begin_content(const struct tester *t, uint32_t want[SECTORS])
{
	bool over = t->base ? t->base->over : t->over;

	for (uint32_t i = 0; i < SECTORS; i++)
		want[i] = over && i < LOWER_SECTORS ? LOWER_TAG : 0;
}

/* How many sectors differ from P(k): the nearest prefix shows what went wrong. */
uint32_t distance(const struct tester *t, uint32_t k, bool tell)
{
	uint32_t want[SECTORS], wrong = 0, end = t->offline ? t->readable : SECTORS;

	begin_content(t, want);
	content(&t->m, k, want);
	for (uint32_t i = 0; i < end; i++) {
		uint32_t have = sector_tag(t->image + i * SECTOR_BYTES, i);

		wrong += have != want[i];
		if (tell && have != want[i])
			(void)fprintf(stderr, "  sector %u: tag %d, expected %u\n", i,
				      (int)have, want[i]);
	}
	return wrong;
}

/* The image is not P(k). */
void explain(struct tester *t, uint32_t k)
{
	uint32_t best = 0;

	for (uint32_t i = 0; i <= t->m.issued; i++)
		if (distance(t, i, false) <= distance(t, best, false))
			best = i;
	(void)fprintf(stderr, "nearest prefix: %u\n", best);
	(void)distance(t, k, true);
	for (uint32_t i = 1; i <= t->m.issued; i++)
		(void)fprintf(stderr, "  operation %u, tag %u: %s %u + %u%s%s %u\n", i,
			      t->m.ops[i].tag, t->m.ops[i].kind == MODEL_WRITE ? "write" : "zero",
			      t->m.ops[i].lba, t->m.ops[i].sectors,
			      t->m.ops[i].acked ? "" : " (not acknowledged)",
			      t->m.ops[i].rolled ? ", then back to" : "", t->m.ops[i].back_to);
	complain(t, "the volume is not what it was after operation %u, but %u is nearest", k, best);
}

uint32_t least_allowed(const struct tester *t)
{
	uint32_t r = t->m.stored;

	if (t->bound == BY_STORE)
		return t->remote && t->m.flushed > r ? t->m.flushed : r;
	if (t->bound == BY_ACK)
		return t->m.acked > r ? t->m.acked : r;
	return t->m.flushed > r ? t->m.flushed : r;
}

/* What was acknowledged on a state that is gone does not bind the next one. */
void cut_history(struct tester *t, uint32_t k)
{
	t->recovered = k;
	t->m.issued = k;
	for (uint32_t i = 1; i <= k; i++)
		t->m.ops[i].acked = true;
	t->m.acked = k;
	t->m.flushed = t->m.flushed > k ? k : t->m.flushed;
	t->m.stored = t->m.stored > k ? k : t->m.stored;
}

/* Power loss may have taken what is not promised for good. */
void lower_bounds(struct tester *t)
{
	t->m.acked = least_allowed(t);
	for (unsigned i = 0; i < CLONES; i++) {
		t->heirs[i].bound = t->bound;
		t->heirs[i].m.acked = least_allowed(&t->heirs[i]);
	}
}
