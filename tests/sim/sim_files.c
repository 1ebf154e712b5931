/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_files.c - files: two images of each, what its readers see and what is stable.
 *
 * Images are arrays of 4 KiB pages, shared between images until one is written; a page that is not
 * there is zeroes. A write is copied when it is started; it is in file->pending until it completes,
 * then in file->done, in order of completion, until a sync makes it stable.
 */
#include "sim_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/error.h>

#define PAGE 4096u

/* ---------------------------------------------------------------------------------------- pages */

static void page_unref(struct page *p)
{
	if (p && --p->refs == 0)
		free(p);
}

/* The page, to be written: nobody else has it. */
static struct page *page_own(struct page **at)
{
	struct page *old = *at, *own;

	if (old && old->refs == 1)
		return old;
	own = sim_grow(NULL, sizeof *own);
	own->refs = 1;
	if (old)
		memcpy(own->bytes, old->bytes, PAGE);
	else
		memset(own->bytes, 0, PAGE);
	page_unref(old);
	*at = own;
	return own;
}

/* A whole page of another image becomes this one's. */
static void page_share(struct page **to, struct page *from)
{
	if (*to == from)
		return;
	page_unref(*to);
	if (from)
		from->refs++;
	*to = from;
}

static void grow_file(struct sim_file *f, uint64_t bytes)
{
	size_t pages = (size_t)((bytes + PAGE - 1) / PAGE);

	if (bytes > f->bytes)
		f->bytes = bytes;
	if (pages <= f->pages)
		return;
	f->now = sim_grow(f->now, pages * sizeof(struct page *));
	f->stable = sim_grow(f->stable, pages * sizeof(struct page *));
	for (size_t i = f->pages; i < pages; i++)
		f->now[i] = f->stable[i] = NULL;
	f->pages = pages;
}

void sim_pages_write(struct sim_file *f, struct page **pages, uint64_t off, const void *buf,
		     size_t len)
{
	const uint8_t *p = buf;

	(void)f;
	while (len) {
		size_t in = (size_t)(off % PAGE), n = PAGE - in < len ? PAGE - in : len;

		memcpy(page_own(&pages[off / PAGE])->bytes + in, p, n);
		off += n;
		p += n;
		len -= n;
	}
}

void sim_pages_read(const struct sim_file *f, struct page *const *pages, uint64_t off, void *buf,
		    size_t len)
{
	uint8_t *p = buf;

	while (len) {
		size_t in = (size_t)(off % PAGE), n = PAGE - in < len ? PAGE - in : len;
		const struct page *page = off / PAGE < f->pages ? pages[off / PAGE] : NULL;

		if (page)
			memcpy(p, page->bytes + in, n);
		else
			memset(p, 0, n);
		off += n;
		p += n;
		len -= n;
	}
}

/* -------------------------------------------------------------------------------- files, writes */

void sim_write_free(struct sim_write *w)
{
	list_del(&w->link);
	sim_blob_unref(w->blob);
	free(w);
}

static void clear_writes(struct list *writes)
{
	while (!list_empty(writes))
		sim_write_free(list_first(writes, struct sim_write, link));
}

static void file_free(struct sim_file *f)
{
	list_del(&f->link);
	clear_writes(&f->done);
	clear_writes(&f->pending);
	clear_writes(&f->lost);
	for (size_t i = 0; i < f->pages; i++) {
		page_unref(f->now[i]);
		page_unref(f->stable[i]);
	}
	free(f->now);
	free(f->stable);
	free(f->name);
	free(f);
}

void sim_files_free(struct list *files)
{
	while (!list_empty(files))
		file_free(list_first(files, struct sim_file, link));
}

static struct sim_file *file_new(struct list *files, const char *name)
{
	struct sim_file *f = sim_grow(NULL, sizeof *f);

	memset(f, 0, sizeof *f);
	f->name = strdup(name);
	if (!f->name)
		sim_die("no memory");
	list_init(&f->done);
	list_init(&f->pending);
	list_init(&f->lost);
	list_add_tail(files, &f->link);
	return f;
}

static struct sim_file *file_find(struct sim_host *h, const char *name)
{
	list_for_each(node, &h->files) {
		struct sim_file *f = list_entry(node, struct sim_file, link);

		if (strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

static struct sim_write *write_new(struct list *to, uint64_t off, struct blob *blob)
{
	struct sim_write *w = sim_grow(NULL, sizeof *w);

	w->off = off;
	w->blob = blob;
	w->completed = 0;
	list_add_tail(to, &w->link);
	return w;
}

static void clone_writes(struct list *to, const struct list *from)
{
	list_for_each(node, from) {
		struct sim_write *w = list_entry(node, struct sim_write, link);

		write_new(to, w->off, sim_blob_ref(w->blob))->completed = w->completed;
	}
}

void sim_files_clone(struct list *to, const struct list *from)
{
	sim_files_free(to);
	list_for_each(node, from) {
		struct sim_file *f = list_entry(node, struct sim_file, link);
		struct sim_file *copy = file_new(to, f->name);

		grow_file(copy, f->bytes);
		for (size_t i = 0; i < f->pages; i++) {
			page_share(&copy->now[i], f->now[i]);
			page_share(&copy->stable[i], f->stable[i]);
		}
		clone_writes(&copy->done, &f->done);
		clone_writes(&copy->pending, &f->pending);
		clone_writes(&copy->lost, &f->lost);
	}
}

/* ----------------------------------------------------------------------------------- procedures */

/* A file opened or made is a place where the machine may stop. */
static void pause_here(struct sim_host *h)
{
	sim_boundary(h->sim);
	if (h->sim->running)
		sim_yield(h);
}

static int open_file(struct world *w, const char *name, unsigned flags, struct file **ret)
{
	struct sim_host *h = sim_host_of(w);
	struct sim_file *f = file_find(h, name);
	struct file *handle;

	if (!f && !(flags & FILE_CREATE))
		return -ENOENT;
	if (f && ((flags & FILE_EXCLUSIVE && (f->exclusive || f->shared)) ||
		  (flags & FILE_SHARED && f->exclusive)))
		return LSVD_E_LOCKED;
	if (!f)
		f = file_new(&h->files, name);
	f->exclusive += !!(flags & FILE_EXCLUSIVE);
	f->shared += !!(flags & FILE_SHARED);
	handle = sim_grow(NULL, sizeof *handle);
	handle->host = h;
	handle->file = f;
	handle->flags = flags;
	list_add_tail(&h->handles, &handle->link);
	pause_here(h);
	*ret = handle;
	return 0;
}

static int size_file(struct file *handle, uint64_t *ret_bytes)
{
	*ret_bytes = handle->file->bytes;
	return 0;
}

static int fill_file(struct file *handle, uint64_t bytes)
{
	if (handle->flags & FILE_READONLY)
		return -EBADF;
	grow_file(handle->file, bytes);
	pause_here(handle->host);
	return 0;
}

static void close_file(struct file *handle)
{
	handle->file->exclusive -= !!(handle->flags & FILE_EXCLUSIVE);
	handle->file->shared -= !!(handle->flags & FILE_SHARED);
	list_del(&handle->link);
	free(handle);
}

/* ------------------------------------------------------------------------------------- requests */

/* Every n-th: *n counts down to it. */
static bool hit(uint64_t *n)
{
	return *n && --*n == 0;
}

/* What a device has that was never told to be quick: its own, and what the cache still owes it. */
static void read_past_cache(struct sim_file *f, uint64_t off, uint8_t *buf, size_t len)
{
	sim_pages_read(f, f->stable, off, buf, len);
	list_for_each(node, &f->done) {
		struct sim_write *w = list_entry(node, struct sim_write, link);
		uint64_t from = w->off > off ? w->off : off;
		uint64_t end = w->off + w->blob->len < off + len ? w->off + w->blob->len
								 : off + len;

		if (from < end)
			memcpy(buf + (from - off), w->blob->bytes + (from - w->off),
			       (size_t)(end - from));
	}
}

static int complete_read(struct file_io *io)
{
	struct sim_file *f = io->file->file;

	io->file->host->sim->stats.reads++;
	if (io->off + io->len > f->bytes)
		return -EIO;
	if (io->past_cache)
		read_past_cache(f, io->off, io->buf, io->len);
	else
		sim_pages_read(f, f->now, io->off, io->buf, io->len);
	return 0;
}

static int complete_write(struct file_io *io, struct sim_write *w)
{
	struct sim_host *h = io->file->host;
	struct sim_file *f = io->file->file;

	h->sim->stats.writes++;
	if (hit(&h->writes_to_fail)) {
		sim_write_free(w);
		return -EIO;
	}
	grow_file(f, w->off + w->blob->len);
	sim_pages_write(f, f->now, w->off, w->blob->bytes, w->blob->len);
	w->completed = ++h->sim->stamp;
	list_del(&w->link);
	list_add_tail(&f->done, &w->link);
	return 0;
}

/* A sync that fails has lost what it was to write, and readers do not see that it has. */
static int complete_sync(struct file_io *io, uint64_t started)
{
	struct sim_host *h = io->file->host;
	struct sim_file *f = io->file->file;
	bool fails = hit(&h->syncs_to_fail);

	h->sim->stats.syncs++;
	list_for_each_safe(node, &f->done) {
		struct sim_write *w = list_entry(node, struct sim_write, link);

		if (w->completed > started)
			continue;
		if (fails) {
			list_del(&w->link);
			list_add_tail(&f->lost, &w->link);
			continue;
		}
		sim_pages_write(f, f->stable, w->off, w->blob->bytes, w->blob->len);
		sim_write_free(w);
	}
	return fails ? -EIO : 0;
}

static int complete(struct file_io *io, struct sim_write *w, uint64_t started)
{
	switch (io->io.kind) {
	case IO_FILE_READ:
		return complete_read(io);
	case IO_FILE_WRITE:
		return complete_write(io, w);
	default:
		return complete_sync(io, started);
	}
}

void sim_file_event(struct sim_event *e)
{
	struct file_io *io = lsvd_container_of(e->io, struct file_io, io);

	e->io->err = complete(io, e->write, e->stamp);
	sim_boundary(e->host->sim);
	sim_note(e->host->sim, e->io->kind, e->host, io->off, (uint64_t)(int64_t)e->io->err);
	lsvd_port_finish(e->io);
}

static void start(struct file_io *io, bool may_wait)
{
	struct sim_host *h = io->file->host;
	struct sim *s = h->sim;
	struct sim_event *e = sim_event_new(s, EVENT_FILE, h, &io->io);

	(void)may_wait;
	e->stamp = ++s->stamp;
	e->write = NULL;
	if (io->io.kind == IO_FILE_WRITE) {
		if (io->file->flags & FILE_READONLY)
			sim_die("write to file %s, which is open for reading",
				io->file->file->name);
		e->write = write_new(&io->file->file->pending, io->off,
				     sim_blob_new(io->buf, io->len));
	}
	sim_boundary(s);
	sim_note(s, io->io.kind, h, io->off, io->len);
	if (io->io.kind != IO_FILE_SYNC && sim_chance(s, s->options.inline_files)) {
		sim_file_event(e);
		sim_event_free(s, e);
		return;
	}
	sim_list_add(&s->pool, e);
}

const struct file_ops sim_file_ops = {
	.open = open_file,
	.size = size_file,
	.fill = fill_file,
	.close = close_file,
	.start = start,
};

/* ---------------------------------------------------------------------------------- for tests */

int sim_file_read(struct sim_host *h, const char *name, uint64_t off, void *buf, size_t len)
{
	struct sim_file *f = file_find(h, name);

	if (!f)
		return -ENOENT;
	sim_pages_read(f, f->now, off, buf, len);
	return 0;
}

int sim_file_poke(struct sim_host *h, const char *name, uint64_t off, const void *buf, size_t len)
{
	struct sim_file *f = file_find(h, name);

	if (!f)
		return -ENOENT;
	grow_file(f, off + len);
	sim_pages_write(f, f->now, off, buf, len);
	sim_pages_write(f, f->stable, off, buf, len);
	return 0;
}

int sim_file_bytes(struct sim_host *h, const char *name, uint64_t *ret)
{
	struct sim_file *f = file_find(h, name);

	if (!f)
		return -ENOENT;
	*ret = f->bytes;
	return 0;
}

void sim_file_remove(struct sim_host *h, const char *name)
{
	struct sim_file *f = file_find(h, name);

	if (f)
		file_free(f);
}

void sim_files_copy(struct sim_host *to, struct sim_host *from)
{
	sim_files_clone(&to->files, &from->files);
}
