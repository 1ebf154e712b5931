/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_pages.c - the store map's pages come when they are needed, and go when there are too many.
 *
 * A page that has been saved and has not changed since can go at any time, and is brought again by
 * a ranged GET of its page object, or from the read cache: by the same way as data (vol_fetch.c),
 * so it is verified, tried again, and shared by all who wait for it. Who changes the map does not
 * wait: the map notes what is to be changed (map_delta.h), and counts what that replaces when the
 * page comes. So objects may seem to hold more that lives than they do, never less, until a
 * checkpoint, for which all changed pages are brought, has it exact.
 *
 *   GETTING -> (HELD, while the map is being encoded on another thread) -> in the map
 *   WAITING, while the map is being encoded -> GETTING
 *
 * Nothing goes while a checkpoint is being made: its pages are not stored yet. Nor does anything of
 * a volume that is open read-only, since a writer elsewhere may delete what it would be brought
 * from: that has its whole map in memory; as has one that is open offline.
 */
#include "volume/vol_pages.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/checkpoint.h"

struct page_load {
	struct list link;          /* volume->pager.loads */
	struct lsvd_volume *v;
	uint64_t page;
	struct list waits;
	struct page_ref ref;
	struct read_req req;
	bool starting, begun, over;
	int err;
	uint8_t buf[];             /* STORE_MAP_PAGE_MAX_BYTES at most: ref.len when it was begun */
};

uint64_t lsvd_vol_away(const struct lsvd_volume *v, uint64_t lba, uint64_t end)
{
	uint64_t page = lsvd_store_map_next_page(v->map, lba / STORE_MAP_PAGE_SECTORS, MAP_AWAY);

	return lba < end && page <= (end - 1) / STORE_MAP_PAGE_SECTORS ? page : UINT64_MAX;
}

static const struct page_ref *ref_of(const struct lsvd_volume *v, uint64_t page)
{
	static const struct page_ref none;
	const struct page_node *node = lsvd_page_table_node(&v->pages, page / PAGE_NODE);

	return node ? &node->refs[page % PAGE_NODE] : &none;
}

static bool same_ref(const struct page_ref *a, const struct page_ref *b)
{
	return a->object == b->object && a->off == b->off && a->len == b->len && a->hash == b->hash;
}

/* ------------------------------------------------------------------------------------- loading */

/* Without the lock. */
static int take_blob(struct read_req *req, const uint8_t *bytes)
{
	struct page_load *l = lsvd_container_of(req, struct page_load, req);
	uint64_t hash = lsvd_blob_hash(l->v, BLOB_PAGE, l->page, l->ref.object, bytes, l->ref.len);

	if (hash != l->ref.hash)
		return lsvd_fail(LSVD_E_CORRUPT, "volume %s: map page %llu: checksum %016llx, "
				 "expected %016llx", l->v->name, (unsigned long long)l->page,
				 (unsigned long long)hash, (unsigned long long)l->ref.hash);
	memcpy(l->buf, bytes, l->ref.len);
	return 0;
}

/* What changes to the page turn out to have replaced. */
static void merged(void *ctx, const struct map_extent *e)
{
	struct lsvd_volume *v = ctx;

	if (e->kind == MAP_ZERO)
		return;
	lsvd_object_table_live(&v->objects, e->object, -(int64_t)e->len * (int64_t)SECTOR_BYTES,
			       v->applying_at);
	lsvd_vol_gc_lost(v, lsvd_object_table_get(&v->objects, e->object));
}

static int put_in_map(struct page_load *l)
{
	struct lsvd_volume *v = l->v;
	int err = lsvd_store_map_load_page(v->map, l->page, l->buf, l->ref.len, merged, v);

	if (err == LSVD_E_CORRUPT)
		lsvd_report(LSVD_LOG_ERROR, "volume %s: %s", v->name, lsvd_last_error());
	v->stats.map_loads += err == 0;
	return err == -ENOENT ? 0 : err;
}

static void tell(struct page_load *l, int err)
{
	struct list *n;

	while ((n = list_pop(&l->waits)))
		list_entry(n, struct page_wait, link)->done(list_entry(n, struct page_wait, link),
							   err);
}

static void restart(struct page_load *l);

static void finish(struct page_load *l, int err)
{
	struct lsvd_volume *v = l->v;

	if (!err && lsvd_store_map_is_away(v->map, l->page) &&
	    !same_ref(&l->ref, ref_of(v, l->page))) {
		restart(l); /* it was saved elsewhere meanwhile */
		return;
	}
	if (!err)
		err = put_in_map(l);
	list_del(&l->link);
	tell(l, err);
	lsvd_free(l);
	lsvd_vol_trim_map(v);
}

static void load_done(struct read_req *req)
{
	struct page_load *l = lsvd_container_of(req, struct page_load, req);

	l->over = true;
	l->err = req->err;
	if (!l->starting && !l->v->encoding)
		finish(l, l->err);
}

/* Fails only for want of memory, and then has not begun. */
static int start(struct page_load *l)
{
	struct lsvd_volume *v = l->v;
	struct map_extent e = { .lba = l->page * STORE_MAP_PAGE_SECTORS, .len = l->ref.len,
				.off = l->ref.off, .object = l->ref.object, .kind = FETCH_BLOB };

	l->req = (struct read_req){ .v = v, .left = 1, .blob = take_blob, .done = load_done };
	l->begun = l->starting = true;
	l->over = false;
	lsvd_vol_read_part_done(&l->req, lsvd_vol_fetch(&l->req, &e, 1));
	l->starting = false;
	return l->over ? l->err : 0;
}

static struct page_load *new_load(struct lsvd_volume *v, uint64_t page)
{
	const struct page_ref *ref = ref_of(v, page);
	struct page_load *l = lsvd_calloc(1, sizeof *l + ref->len);

	if (!l)
		return NULL;
	l->v = v;
	l->page = page;
	l->ref = *ref;
	list_init(&l->waits);
	return l;
}

static void restart(struct page_load *l)
{
	struct page_load *new = new_load(l->v, l->page);
	int err = new ? start(new) : -ENOMEM;

	list_del(&l->link);
	if (!err) {
		list_splice_tail(&new->waits, &l->waits);
		list_add_tail(&l->v->pager.loads, &new->link);
	} else {
		lsvd_free(new);
		tell(l, err);
	}
	lsvd_free(l);
}

static struct page_load *load_of(struct lsvd_volume *v, uint64_t page)
{
	list_for_each(n, &v->pager.loads) {
		struct page_load *l = list_entry(n, struct page_load, link);

		if (l->page == page)
			return l;
	}
	return NULL;
}

/* A load of the page, begun unless the map is being encoded; NULL: no memory. */
static struct page_load *begin_load(struct lsvd_volume *v, uint64_t page)
{
	struct page_load *l;

	if (v->encoding) {
		l = lsvd_calloc(1, sizeof *l);
		if (!l)
			return NULL;
		l->v = v;
		l->page = page;
		list_init(&l->waits);
	} else {
		l = new_load(v, page);
		if (!l)
			return NULL;
		if (start(l) < 0) {
			lsvd_free(l);
			return NULL;
		}
	}
	list_add_tail(&v->pager.loads, &l->link);
	return l;
}

int lsvd_vol_want_page(struct lsvd_volume *v, struct page_wait *w)
{
	struct page_load *l = load_of(v, w->page);

	if (!l)
		l = begin_load(v, w->page);
	if (!l)
		return lsvd_fail_plain(-ENOMEM);
	list_add_tail(&l->waits, &w->link);
	return 0;
}

void lsvd_vol_want_soon(struct lsvd_volume *v, uint64_t lba, uint64_t end, unsigned most)
{
	uint64_t page;

	for (unsigned i = 0; i < most; i++) {
		page = lsvd_vol_away(v, lba, end);
		if (page == UINT64_MAX || (!load_of(v, page) && !begin_load(v, page)))
			return;
		lba = (page + 1) * STORE_MAP_PAGE_SECTORS;
	}
}

void lsvd_vol_hold_pages(struct lsvd_volume *v)
{
	v->pager.holders++;
}

void lsvd_vol_release_pages(struct lsvd_volume *v)
{
	if (--v->pager.holders == 0)
		lsvd_vol_trim_map(v);
}

struct blocked {
	struct page_wait wait;
	struct lsvd_volume *v;
	bool over;
	int err;
};

static void unblock(struct page_wait *w, int err)
{
	struct blocked *b = lsvd_container_of(w, struct blocked, wait);

	b->over = true;
	b->err = err;
	lsvd_port_changed(&b->v->port);
}

int lsvd_vol_wait_page(struct lsvd_volume *v, uint64_t page)
{
	struct blocked b = { .wait = { .page = page, .done = unblock }, .v = v };
	int err = lsvd_vol_want_page(v, &b.wait);

	while (!err && !b.over)
		lsvd_port_wait(&v->port);
	return err ? err : b.err;
}

/* ------------------------------------------------------------------------------------- encoding */

void lsvd_vol_pages_thawed(struct lsvd_volume *v)
{
	struct list held = LIST_INIT(held), *n;

	list_splice_tail(&held, &v->pager.loads);
	while ((n = list_pop(&held))) {
		struct page_load *l = list_entry(n, struct page_load, link);

		list_add_tail(&v->pager.loads, &l->link);
		if (v->encoding)
			continue; /* again: who was told of a page has begun it */
		if (!l->begun)
			restart(l);
		else if (l->over)
			finish(l, l->err);
	}
}

static void trim_stepped(struct io *io)
{
	struct lsvd_volume *v = io->owner;

	v->pager.trimming = false;
	lsvd_vol_trim_map(v);
}

/* One call goes over a part of the map: what is left follows after the lock has been free. */
static void trim_more(struct lsvd_volume *v)
{
	if (v->pager.trimming || v->stopping)
		return;
	v->pager.trimming = true;
	v->pager.trim_step = (struct io){ .kind = IO_STEP, .done = trim_stepped, .owner = v };
	lsvd_port_start(&v->port, &v->pager.trim_step);
}

/*
 * However much has changed, an eighth remains for what is only read: if a page went as soon as it
 * came, who asks again for it would ask for ever.
 */
void lsvd_vol_trim_map(struct lsvd_volume *v)
{
	uint64_t most = v->opt.map_memory_bytes, memory = lsvd_store_map_memory(v->map);
	uint64_t changed = memory - lsvd_store_map_clean_memory(v->map);
	uint64_t target = max_u64(most - most / 8, changed + most / 8);

	if (v->pager.holders || v->checkpoint || v->pages_lost || v->readonly || !v->log)
		return;
	if (memory <= most || memory <= target)
		return;
	lsvd_store_map_evict(v->map, target);
	if (lsvd_store_map_memory(v->map) > target)
		trim_more(v);
}
