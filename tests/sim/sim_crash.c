/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_crash.c - turning a host off, deciding what its disk and the store have kept, images.
 *
 * What is undecided are the writes in the done and pending lists of the host's files and the
 * effects in its limbo. Settling decides them all. After a lost power what readers see is what is
 * stable; only the ranges of undecided writes can differ, so only they are copied.
 */
#include "sim_internal.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 512u

/* -------------------------------------------------------------------------------------- halting */

static void drop_event(struct sim_host *h, struct sim_event *e)
{
	if (e->kind == EVENT_FIBER)
		sim_fiber_drop(e->fiber);
	if (e->kind == EVENT_EFFECT && (e->verb == IO_PUT || e->verb == IO_REMOVE)) {
		e->io = NULL;
		sim_list_add(&h->limbo, e);
		return;
	}
	sim_event_free(h->sim, e);
}

void sim_host_halt(struct sim_host *h)
{
	struct sim *s = h->sim;

	s->stats.halts++;
	for (size_t i = 0; i < s->pool.count;) {
		if (s->pool.at[i]->host == h)
			drop_event(h, sim_list_take(&s->pool, i));
		else
			i++;
	}
	sim_fibers_drop_waiting(h);
	while (!list_empty(&h->handles))
		sim_file_ops.close(list_first(&h->handles, struct file, link));
	sim_alloc_drop(h);
	h->frozen = false;
	h->undecided = true;
	h->writes_to_fail = h->syncs_to_fail = 0;
}

bool sim_host_undecided(const struct sim_host *h)
{
	return h->undecided;
}

/* ------------------------------------------------------------------------------------- settling */

/* Choices are drawn from the loss's own seed, if it has one, so that an image gives all of them. */
static uint64_t draw(struct sim *s, uint64_t *seed, uint64_t n)
{
	if (!*seed)
		return sim_random_below(s, n);
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return ((*seed >> 33) ^ *seed) % n;
}

static unsigned list_length(const struct list *l)
{
	unsigned n = 0;

	list_for_each(node, l)
		n++;
	return n;
}

static bool keeps(struct sim *s, const struct sim_loss *loss, uint64_t *seed, unsigned i)
{
	switch (loss->keep) {
	case SIM_KEEP_NONE:
		return false;
	case SIM_KEEP_ALL_BUT:
		return i != loss->which;
	case SIM_KEEP_ONLY:
		return i == loss->which;
	case SIM_KEEP_PREFIX:
		return i < loss->which;
	case SIM_KEEP_RANDOM:
		return draw(s, seed, 2);
	default:
		return true;
	}
}

static void land_sectors(struct sim_file *f, const struct sim_write *w, uint64_t first,
			 uint64_t end)
{
	uint64_t from = first * SECTOR, to = end * SECTOR;

	if (to > w->blob->len)
		to = w->blob->len;
	if (from < to)
		sim_pages_write(f, f->stable, w->off + from, w->blob->bytes + from,
				(size_t)(to - from));
}

static void land_garbage(struct sim *s, struct sim_file *f, const struct sim_write *w,
			 uint64_t *seed, uint64_t sectors)
{
	uint8_t garbage[SECTOR];
	uint64_t at = draw(s, seed, sectors) * SECTOR;
	size_t len = w->blob->len - at < SECTOR ? (size_t)(w->blob->len - at) : SECTOR;

	for (size_t i = 0; i < sizeof garbage; i++)
		garbage[i] = (uint8_t)draw(s, seed, 256);
	land_sectors(f, w, 0, sectors);
	sim_pages_write(f, f->stable, w->off + at, garbage, len);
}

static void land_torn(struct sim *s, struct sim_file *f, const struct sim_write *w,
		      enum sim_tear tear, uint64_t *seed)
{
	static const uint8_t zeroes[SECTOR];
	uint64_t sectors = (w->blob->len + SECTOR - 1) / SECTOR;

	s->stats.torn++;
	switch (tear) {
	case SIM_TEAR_PREFIX:
		land_sectors(f, w, 0, draw(s, seed, sectors));
		break;
	case SIM_TEAR_SUFFIX:
		land_sectors(f, w, draw(s, seed, sectors) + 1, sectors);
		break;
	case SIM_TEAR_SECTORS:
		for (uint64_t i = 0; i < sectors; i++)
			if (draw(s, seed, 2))
				land_sectors(f, w, i, i + 1);
		break;
	case SIM_TEAR_GARBAGE:
		land_garbage(s, f, w, seed, sectors);
		break;
	default:
		for (uint64_t at = 0; at < w->blob->len; at += SECTOR)
			sim_pages_write(f, f->stable, w->off + at, zeroes,
					w->blob->len - at < SECTOR ? (size_t)(w->blob->len - at)
								   : SECTOR);
	}
}

static void land(struct sim *s, struct sim_file *f, const struct sim_write *w, bool kept,
		 enum sim_tear tear, uint64_t *seed)
{
	if (tear != SIM_TEAR_NONE) {
		land_torn(s, f, w, tear, seed);
	} else if (kept) {
		s->stats.kept++;
		sim_pages_write(f, f->stable, w->off, w->blob->bytes, w->blob->len);
	} else {
		s->stats.lost++;
	}
}

/* A file may have to be longer than any completed write made it. */
static void make_room(struct sim_file *f, const struct sim_write *w)
{
	uint64_t end = w->off + w->blob->len;
	size_t pages = (size_t)((end + 4095) / 4096);

	if (pages > f->pages) {
		f->now = sim_grow(f->now, pages * sizeof *f->now);
		f->stable = sim_grow(f->stable, pages * sizeof *f->stable);
		memset(f->now + f->pages, 0, (pages - f->pages) * sizeof *f->now);
		memset(f->stable + f->pages, 0, (pages - f->pages) * sizeof *f->stable);
		f->pages = pages;
	}
	if (end > f->bytes)
		f->bytes = end;
}

/* Readers see what is stable from now on: only under `w` can that be a change. */
static void reread(struct sim_file *f, const struct sim_write *w)
{
	uint8_t buf[4096];

	for (size_t at = 0; at < w->blob->len; at += sizeof buf) {
		size_t n = w->blob->len - at < sizeof buf ? w->blob->len - at : sizeof buf;

		sim_pages_read(f, f->stable, w->off + at, buf, n);
		sim_pages_write(f, f->now, w->off + at, buf, n);
	}
}

/* Numbers of writes run through all files of the host. */
static void settle_file(struct sim_host *h, struct sim_file *f, const struct sim_loss *loss,
			unsigned first, unsigned torn, uint64_t *seed)
{
	unsigned i = first;

	list_splice_tail(&f->done, &f->pending);
	list_for_each(node, &f->done) {
		struct sim_write *w = list_entry(node, struct sim_write, link);

		make_room(f, w);
		land(h->sim, f, w, keeps(h->sim, loss, seed, i),
		     i == torn ? loss->tear : SIM_TEAR_NONE, seed);
		i++;
	}
	list_splice_tail(&f->done, &f->lost);
	list_for_each(node, &f->done)
		reread(f, list_entry(node, struct sim_write, link));
	while (!list_empty(&f->done))
		sim_write_free(list_first(&f->done, struct sim_write, link));
}

static void settle_power(struct sim_host *h, const struct sim_loss *loss, uint64_t *seed)
{
	unsigned n = sim_host_unstable(h), torn = UINT32_MAX, first = 0;

	if (n && loss->tear != SIM_TEAR_NONE)
		torn = (unsigned)draw(h->sim, seed, n);
	list_for_each(node, &h->files) {
		struct sim_file *f = list_entry(node, struct sim_file, link);
		unsigned here = list_length(&f->done) + list_length(&f->pending);

		settle_file(h, f, loss, first, torn, seed);
		first += here;
	}
}

/*
 * The process is gone, the machine is not: what was on its way was written, in part, or not at all.
 */
static void settle_killed(struct sim_host *h, struct sim_file *f, uint64_t *seed)
{
	while (!list_empty(&f->pending)) {
		struct sim_write *w = list_first(&f->pending, struct sim_write, link);
		size_t pages = (w->blob->len + 4095) / 4096;
		size_t kept = (size_t)draw(h->sim, seed, pages + 1) * 4096;

		if (kept == 0) {
			sim_write_free(w);
			continue;
		}
		if (kept < w->blob->len) {
			struct blob *part = sim_blob_new(w->blob->bytes, kept);

			sim_blob_unref(w->blob);
			w->blob = part;
		}
		make_room(f, w);
		sim_pages_write(f, f->now, w->off, w->blob->bytes, w->blob->len);
		w->completed = ++h->sim->stamp;
		list_del(&w->link);
		list_add_tail(&f->done, &w->link);
	}
}

static void settle_object(struct sim_host *h, struct sim_event *e, enum sim_objects how,
			  uint64_t *seed)
{
	if (how == SIM_OBJECTS_RANDOM)
		how = (enum sim_objects)(1 + draw(h->sim, seed, 3));
	e->kind = EVENT_GHOST;
	if (how == SIM_OBJECTS_LANDED)
		sim_ghost_effect(e);
	else if (how == SIM_OBJECTS_GHOSTS)
		sim_list_add(&h->sim->ghosts, e);
	else
		sim_event_free(h->sim, e);
}

void sim_host_settle(struct sim_host *h, const struct sim_loss *loss)
{
	uint64_t seed = loss->seed;

	if (loss->keep == SIM_KILLED) {
		list_for_each(node, &h->files)
			settle_killed(h, list_entry(node, struct sim_file, link), &seed);
	} else {
		settle_power(h, loss, &seed);
	}
	while (h->limbo.count)
		settle_object(h, sim_list_take(&h->limbo, 0), loss->objects, &seed);
	h->undecided = false;
}

void sim_host_crash(struct sim_host *h, enum sim_keep keep)
{
	const struct sim_loss loss = { .keep = keep };

	if (!h->undecided)
		sim_host_halt(h);
	sim_host_settle(h, &loss);
}

unsigned sim_host_unstable(const struct sim_host *h)
{
	unsigned n = 0;

	list_for_each(node, &h->files) {
		struct sim_file *f = list_entry(node, struct sim_file, link);

		n += list_length(&f->done) + list_length(&f->pending);
	}
	return n;
}

/* ----------------------------------------------------------------------------- what to try out */

struct losses {
	struct sim *sim;
	struct sim_loss *at;
	unsigned count, cap;
};

static void add_loss(struct losses *l, enum sim_keep keep, unsigned which, enum sim_tear tear)
{
	if (l->count == l->cap)
		return;
	l->at[l->count++] = (struct sim_loss){
		.keep = keep,
		.which = which,
		.tear = tear,
		.seed = sim_random(l->sim) | 1,
	};
}

unsigned sim_losses(struct sim_host *h, struct sim_loss *ret, unsigned cap)
{
	struct losses l = { .sim = h->sim, .at = ret, .cap = cap };
	unsigned n = sim_host_unstable(h);

	add_loss(&l, SIM_KILLED, 0, SIM_TEAR_NONE);
	add_loss(&l, SIM_KEEP_ALL, 0, SIM_TEAR_NONE);
	if (n == 0)
		return l.count;
	add_loss(&l, SIM_KEEP_NONE, 0, SIM_TEAR_NONE);
	for (unsigned tear = SIM_TEAR_PREFIX; tear <= SIM_TEAR_ZEROED; tear++) {
		add_loss(&l, SIM_KEEP_ALL, 0, (enum sim_tear)tear);
		add_loss(&l, SIM_KEEP_RANDOM, 0, (enum sim_tear)tear);
	}
	for (unsigned i = 0; i < n && n > 1; i++) {
		add_loss(&l, SIM_KEEP_ALL_BUT, i, SIM_TEAR_NONE);
		add_loss(&l, SIM_KEEP_ONLY, i, SIM_TEAR_NONE);
		add_loss(&l, SIM_KEEP_PREFIX, i, SIM_TEAR_NONE);
	}
	for (unsigned i = 0; i < 4 && n > 2; i++)
		add_loss(&l, SIM_KEEP_RANDOM, 0, SIM_TEAR_NONE);
	return l.count;
}

/* --------------------------------------------------------------------------------------- images */

struct image_host {
	struct list files;
	struct event_list limbo;
	bool undecided;
};

struct sim_image {
	struct sim_store store;
	struct event_list ghosts;
	struct image_host hosts[SIM_HOSTS_MAX];
	unsigned host_count;
	uint64_t random, digest, now_ms, stamp, boundaries;
};

static void clear_events(struct sim *s, struct event_list *l)
{
	while (l->count)
		sim_event_free(s, sim_list_take(l, l->count - 1));
}

static void clone_events(struct sim *s, struct event_list *to, const struct event_list *from)
{
	clear_events(s, to);
	for (size_t i = 0; i < from->count; i++) {
		struct sim_event *e = sim_event_new(s, from->at[i]->kind, from->at[i]->host, NULL);

		*e = *from->at[i];
		if (e->blob)
			e->blob = sim_blob_ref(e->blob);
		sim_list_add(to, e);
	}
}

struct sim_image *sim_image_take(struct sim *s)
{
	struct sim_image *im = sim_grow(NULL, sizeof *im);

	if (s->pool.count)
		sim_die("an image of a world in which something is under way");
	memset(im, 0, sizeof *im);
	im->host_count = s->host_count;
	sim_store_clone(&im->store, &s->store);
	clone_events(s, &im->ghosts, &s->ghosts);
	for (unsigned i = 0; i < s->host_count; i++) {
		list_init(&im->hosts[i].files);
		sim_files_clone(&im->hosts[i].files, &s->hosts[i]->files);
		clone_events(s, &im->hosts[i].limbo, &s->hosts[i]->limbo);
		im->hosts[i].undecided = s->hosts[i]->undecided;
	}
	im->random = s->random;
	im->digest = s->digest;
	im->now_ms = s->now_ms;
	im->stamp = s->stamp;
	im->boundaries = s->boundaries;
	return im;
}

void sim_image_restore(struct sim *s, const struct sim_image *im)
{
	for (unsigned i = 0; i < s->host_count; i++) {
		struct sim_host *h = s->hosts[i];

		sim_host_halt(h);
		if (i >= im->host_count)
			continue;
		sim_files_clone(&h->files, &im->hosts[i].files);
		clone_events(s, &h->limbo, &im->hosts[i].limbo);
		h->undecided = im->hosts[i].undecided;
	}
	sim_store_clone(&s->store, &im->store);
	clone_events(s, &s->ghosts, &im->ghosts);
	s->random = im->random;
	s->digest = im->digest;
	s->now_ms = im->now_ms;
	s->stamp = im->stamp;
	s->boundaries = im->boundaries;
	sim_stop_at(s, 0);
}

static void free_events(struct event_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->at[i]->blob)
			sim_blob_unref(l->at[i]->blob);
		free(l->at[i]);
	}
	free(l->at);
}

void sim_image_free(struct sim_image *im)
{
	if (!im)
		return;
	sim_store_clear(&im->store);
	free_events(&im->ghosts);
	for (unsigned i = 0; i < im->host_count; i++) {
		sim_files_free(&im->hosts[i].files);
		free_events(&im->hosts[i].limbo);
	}
	free(im);
}
