/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gc_model.h - blocks written at random into segments, and collected by lsvd_gc_choose().
 *
 * Only numbers move: which segment each block is in. What is measured is how much is written in all
 * for each block that a user writes, once the model has settled.
 */
#ifndef GC_MODEL_H
#define GC_MODEL_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "log/gc_choose.h"

#define GC_MODEL_SEGMENT 256u      /* blocks */

struct gc_model {
	uint32_t blocks;
	uint32_t *where;           /* segment of each block */
	struct gc_segment *segments;
	uint32_t *members;         /* GC_MODEL_SEGMENT for each segment */
	uint32_t count, room;      /* segments */
	uint32_t open[GC_CLASSES]; /* the one being filled, UINT32_MAX: none */
	uint64_t now, copied, lifespan, state;
	struct gc_policy policy;
	double *zipf;              /* the distribution function; NULL: uniform */
	uint32_t *shuffled;
};

static inline uint64_t gc_model_random(struct gc_model *m)
{
	m->state ^= m->state << 13;
	m->state ^= m->state >> 7;
	m->state ^= m->state << 17;
	return m->state;
}

static inline void gc_model_init(struct gc_model *m, uint32_t blocks, double zipf,
				 const struct gc_policy *policy)
{
	double sum = 0;

	memset(m, 0, sizeof *m);
	m->state = 88172645463325252u;
	m->blocks = blocks;
	m->policy = *policy;
	m->room = blocks / GC_MODEL_SEGMENT * 16;
	m->where = malloc(blocks * sizeof *m->where);
	m->segments = calloc(m->room, sizeof *m->segments);
	m->members = malloc((size_t)m->room * GC_MODEL_SEGMENT * sizeof *m->members);
	m->shuffled = malloc(blocks * sizeof *m->shuffled);
	if (zipf > 0)
		m->zipf = malloc(blocks * sizeof *m->zipf);
	if (!m->where || !m->segments || !m->members || !m->shuffled || (zipf > 0 && !m->zipf))
		abort();
	for (unsigned i = 0; i < GC_CLASSES; i++)
		m->open[i] = UINT32_MAX;
	for (uint32_t i = 0; i < blocks; i++) {
		m->where[i] = UINT32_MAX;
		m->shuffled[i] = i;
		if (zipf > 0)
			m->zipf[i] = sum += pow(i + 1, -zipf);
	}
	for (uint32_t i = blocks - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(gc_model_random(m) % (i + 1)), t = m->shuffled[i];

		m->shuffled[i] = m->shuffled[j];
		m->shuffled[j] = t;
	}
}

static inline void gc_model_free(struct gc_model *m)
{
	free(m->where);
	free(m->segments);
	free(m->members);
	free(m->shuffled);
	free(m->zipf);
}

static inline uint32_t gc_model_pick(struct gc_model *m)
{
	double at = (double)(gc_model_random(m) >> 11) * 0x1p-53;
	uint32_t lo = 0, hi = m->blocks - 1;

	if (!m->zipf)
		return (uint32_t)(at * m->blocks);
	at *= m->zipf[m->blocks - 1];
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (m->zipf[mid] < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return m->shuffled[lo];
}

/* Segments without live data are forgotten: the others move up. */
static inline void gc_model_forget(struct gc_model *m)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->count; i++) {
		struct gc_segment *s = &m->segments[i];
		uint32_t *from = m->members + (size_t)i * GC_MODEL_SEGMENT;

		if (s->live == 0 && !s->pinned) {
			if (s->class == 0)
				m->lifespan = gc_lifespan(m->lifespan, m->now - s->written);
			continue;
		}
		for (uint64_t b = 0; b < s->data; b++)
			if (m->where[from[b]] == i)
				m->where[from[b]] = kept | UINT32_C(0x80000000);
		for (unsigned c = 0; c < GC_CLASSES; c++)
			if (m->open[c] == i)
				m->open[c] = kept;
		m->segments[kept] = *s;
		memmove(m->members + (size_t)kept * GC_MODEL_SEGMENT, from,
			GC_MODEL_SEGMENT * sizeof *from);
		kept++;
	}
	for (uint32_t b = 0; b < m->blocks; b++)
		if (m->where[b] != UINT32_MAX)
			m->where[b] &= UINT32_C(0x7fffffff);
	m->count = kept;
}

static inline void gc_model_place(struct gc_model *m, uint32_t block, unsigned class, uint64_t when)
{
	struct gc_segment *s;

	if (m->open[class] == UINT32_MAX) {
		if (m->count == m->room)
			gc_model_forget(m);
		if (m->count == m->room)
			abort();
		m->open[class] = m->count++;
		m->segments[m->open[class]] = (struct gc_segment){ .class = (uint8_t)class,
								   .pinned = true };
	}
	if (m->where[block] != UINT32_MAX)
		m->segments[m->where[block]].live--;
	s = &m->segments[m->open[class]];
	s->written = when > s->written ? when : s->written;
	m->members[(size_t)m->open[class] * GC_MODEL_SEGMENT + s->data] = block;
	s->data++;
	s->live++;
	m->where[block] = m->open[class];
	if (s->data == GC_MODEL_SEGMENT) {
		s->pinned = false;
		s->sealed = m->now;
		m->open[class] = UINT32_MAX;
	}
}

static inline void gc_model_collect(struct gc_model *m)
{
	struct gc_choice chosen[8];
	int n;

	gc_model_forget(m);
	m->policy.now = m->now;
	m->policy.lifespan = m->lifespan;
	for (uint32_t i = 0; i < m->count; i++)
		m->segments[i].id = i;
	n = lsvd_gc_choose(m->segments, m->count, &m->policy, chosen, 8);
	for (int i = 0; i < n; i++) {
		const struct gc_segment s = m->segments[chosen[i].id];
		const uint32_t *members = m->members + chosen[i].id * GC_MODEL_SEGMENT;

		for (uint64_t b = 0; b < s.data; b++)
			if (m->where[members[b]] == chosen[i].id) {
				gc_model_place(m, members[b], chosen[i].class, s.written);
				m->copied++;
			}
	}
}

/* `times` the volume is written over; returns what is written in all for what a user writes. */
static inline double gc_model_run(struct gc_model *m, unsigned times)
{
	uint64_t writes = (uint64_t)m->blocks * times, before = m->copied;

	for (uint64_t i = 0; i < writes; i++) {
		uint32_t block = gc_model_pick(m);
		uint64_t written = m->segments[m->where[block]].written;

		m->now++;
		gc_model_place(m, block, gc_user_class(m->now, written, m->lifespan), m->now);
		if (i % GC_MODEL_SEGMENT == 0)
			for (unsigned tries = 0; tries < 16 &&
			     lsvd_gc_amplification(m->segments, m->count) > m->policy.target;
			     tries++)
				gc_model_collect(m);
	}
	return 1 + (double)(m->copied - before) / (double)writes;
}

/* Every block once, so that all of the volume lives. */
static inline void gc_model_fill(struct gc_model *m)
{
	for (uint32_t b = 0; b < m->blocks; b++) {
		m->now++;
		gc_model_place(m, m->shuffled[b], 0, m->now);
	}
}

#endif
