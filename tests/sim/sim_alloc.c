/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_alloc.c - memory by host: what runs on a host allocates there, and a crash frees it all.
 *
 * A block has its host and its place in the host's list before it. The memory itself comes from the
 * C library, so that sanitizers see what is freed. A life here is short, and begins with some large
 * blocks: what was freed is kept for the next one, or the kernel would spend its time clearing
 * pages. The address sanitizer's malloc() takes huge blocks from the kernel each time and gives
 * them back, so under it those that were freed wait here, poisoned.
 */
#include "sim_internal.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct block {
	struct list link;
	struct sim_host *host;
	uint8_t *from;               /* so much was taken */
	size_t from_bytes;
	size_t size;
};

#define HUGE_BYTES (256u << 10)
#define SPARE_MAX 64u

static struct sim_host *current;
static struct list nobodys = LIST_INIT(nobodys);

#ifdef SIM_ASAN
/* What huge blocks were made of; the one at `spare_next` goes when there are too many. */
static struct {
	uint8_t *from;
	size_t bytes;
} spare[SPARE_MAX];
static unsigned spare_next;

static uint8_t *take_memory(size_t bytes)
{
	for (unsigned i = 0; bytes >= HUGE_BYTES && i < SPARE_MAX; i++) {
		uint8_t *from = spare[i].from;

		if (!from || spare[i].bytes != bytes)
			continue;
		spare[i].from = NULL;
		ASAN_UNPOISON_MEMORY_REGION(from, bytes);
		return from;
	}
	return malloc(bytes);
}

static void give_memory(uint8_t *from, size_t bytes)
{
	if (bytes < HUGE_BYTES) {
		free(from);
		return;
	}
	free(spare[spare_next].from);
	spare[spare_next].from = from;
	spare[spare_next].bytes = bytes;
	spare_next = (spare_next + 1) % SPARE_MAX;
	ASAN_POISON_MEMORY_REGION(from, bytes);
}
#else
static uint8_t *take_memory(size_t bytes)
{
	return malloc(bytes);
}

static void give_memory(uint8_t *from, size_t bytes)
{
	(void)bytes;
	free(from);
}
#endif

static bool refused(void)
{
	struct sim_host *h = current;

	if (!h || !h->allocs_to_fail)
		return false;
	if (h->allocs_to_fail > 1) {
		h->allocs_to_fail--;
		return false;
	}
	if (h->allocs_failing && --h->allocs_failing == 0)
		h->allocs_to_fail = 0;
	return true;
}

static void *block_alloc(size_t align, size_t size)
{
	struct block *b;
	uint8_t *from, *p;

	if (refused())
		return NULL;
	if (align < 16)
		align = 16;
	from = take_memory(size + sizeof *b + align);
	if (!from)
		return NULL;
	p = (uint8_t *)(((uintptr_t)from + sizeof *b + align - 1) & ~(uintptr_t)(align - 1));
	b = (struct block *)(void *)(p - sizeof *b);
	b->from = from;
	b->from_bytes = size + sizeof *b + align;
	b->size = size;
	b->host = current;
	list_add_tail(current ? &current->memory : &nobodys, &b->link);
	if (current) {
		current->memory_bytes += size;
		current->memory_blocks++;
	}
	return p;
}

static void block_release(void *p)
{
	struct block *b;

	if (!p)
		return;
	b = (struct block *)(void *)((uint8_t *)p - sizeof *b);
	list_del(&b->link);
	if (b->host) {
		b->host->memory_bytes -= b->size;
		b->host->memory_blocks--;
	}
	give_memory(b->from, b->from_bytes);
}

static void *block_resize(void *p, size_t size)
{
	struct block *b;
	void *to;

	if (!p)
		return block_alloc(16, size);
	b = (struct block *)(void *)((uint8_t *)p - sizeof *b);
	to = block_alloc(16, size);
	if (!to)
		return NULL;
	memcpy(to, p, b->size < size ? b->size : size);
	block_release(p);
	return to;
}

static const struct alloc_ops ops = {
	.alloc = block_alloc,
	.resize = block_resize,
	.release = block_release,
};

static void keep_what_is_freed(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20); /* without them everything works, but slowly */
	(void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

void sim_alloc_use(struct sim *s)
{
	keep_what_is_freed();
	current = NULL;
	lsvd_alloc_set(s ? &ops : NULL);
}

void sim_alloc_drop(struct sim_host *h)
{
	while (!list_empty(&h->memory))
		block_release((uint8_t *)list_first(&h->memory, struct block, link) +
			      sizeof(struct block));
	h->allocs_to_fail = 0;
}

struct sim_host *sim_alloc_host(void)
{
	return current;
}

struct sim_host *sim_act_as(struct sim_host *h)
{
	struct sim_host *before = current;

	current = h;
	return before;
}

size_t sim_host_memory(const struct sim_host *h, size_t *ret_blocks)
{
	if (ret_blocks)
		*ret_blocks = h->memory_blocks;
	return h->memory_bytes;
}

void sim_host_fail_alloc(struct sim_host *h, uint64_t n, uint64_t times)
{
	h->allocs_to_fail = n;
	h->allocs_failing = times;
}
