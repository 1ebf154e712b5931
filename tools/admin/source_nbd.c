/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * source_nbd.c - a qcow2 image: what it holds, and where it holds nothing, is what qemu-nbd says.
 */
#include <stdlib.h>

#include "admin/cmd.h"
#include "admin/nbd_child.h"
#include "admin/source.h"

#define ASK_MOST (UINT64_C(1) << 30) /* bytes described in one request */
#define READ_MOST (UINT64_C(16) << 20)

struct nbd_source {
	struct source source;
	struct nbd_handle *nbd;
	/* of the last description */
	uint64_t len;
	bool hole, taken;
};

static struct nbd_source *of(struct source *s)
{
	return (struct nbd_source *)(void *)s;
}

/* The first extent, and those after it that are like it. */
static int take_extents(void *user, const char *context, uint64_t off, uint32_t *entries, size_t n,
			int *error)
{
	struct nbd_source *s = user;

	(void)context;
	(void)off;
	(void)error;
	s->len = 0;
	s->taken = n >= 2;
	for (size_t i = 0; i + 1 < n; i += 2) {
		bool hole = entries[i + 1] & LIBNBD_STATE_ZERO;

		if (i && hole != s->hole)
			break;
		s->hole = hole;
		s->len += entries[i];
	}
	return 0;
}

static int nbd_stretch(struct source *source, uint64_t off, uint64_t *ret_len, bool *ret_hole)
{
	struct nbd_source *s = of(source);
	uint64_t left = source->bytes - off;
	nbd_extent_callback callback = {.callback = take_extents, .user_data = s};

	*ret_len = left;
	*ret_hole = false;
	if (nbd_can_meta_context(s->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 1)
		return 0;
	s->taken = false;
	if (nbd_block_status(s->nbd, left < ASK_MOST ? left : ASK_MOST, off, callback, 0) < 0)
		return nbd_child_fail(source->name);
	if (!s->taken || s->len == 0)
		return admin_error("%s: no description of byte %llu", source->name,
				   (unsigned long long)off);
	*ret_hole = s->hole;
	*ret_len = s->len < left ? s->len : left;
	return 0;
}

static int nbd_read(struct source *source, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
	struct nbd_source *s = of(source);

	if (len > source->bytes - off)
		len = source->bytes - off;
	for (*ret_len = 0; *ret_len < len;) {
		size_t n = len - *ret_len < READ_MOST ? len - *ret_len : READ_MOST;

		if (nbd_pread(s->nbd, (char *)buf + *ret_len, n, off + *ret_len, 0) < 0)
			return nbd_child_fail(source->name);
		*ret_len += n;
	}
	return 0;
}

static void nbd_source_close(struct source *source)
{
	(void)nbd_child_end(of(source)->nbd, source->name); /* everything has been read */
	free(source);
}

static const struct source_ops nbd_ops = {nbd_stretch, nbd_read, nbd_source_close};

/*
 * qemu-nbd reads zeroes where an image has been cut off; qemu-img's check finds that. What it calls
 * leaks (status 3) is only space.
 */
static int check_image(const char *path)
{
	char *absolute = nbd_child_path(path);
	char *argv[] = {"qemu-img", "check", "-q", "-f", "qcow2", absolute, NULL};
	int status = absolute ? nbd_child_run(argv) : -1;

	free(absolute);
	if (status > 0 && status != 3)
		return admin_error("%s: qemu-img finds it damaged, or no qcow2 image", path);
	return status < 0 ? -1 : 0;
}

struct source *source_nbd_open(const char *path)
{
	struct nbd_source *s;
	int64_t bytes;

	if (check_image(path) < 0)
		return NULL;
	s = calloc(1, sizeof *s);
	if (!s) {
		(void)admin_error("out of memory");
		return NULL;
	}
	s->nbd = nbd_child_start(path, true);
	if (!s->nbd) {
		free(s);
		return NULL;
	}
	s->source = (struct source){&nbd_ops, 0, path};
	bytes = nbd_get_size(s->nbd);
	if (bytes < 0) {
		(void)nbd_child_fail(path); /* the caller ends */
		nbd_source_close(&s->source);
		return NULL;
	}
	s->source.bytes = (uint64_t)bytes;
	return &s->source;
}
