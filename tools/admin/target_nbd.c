/* SPDX-License-Identifier: BSD-2-Clause */
/* target_nbd.c - a qcow2 image: qemu-img makes it, qemu-nbd writes it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/long.h"
#include "admin/nbd_child.h"
#include "admin/target.h"
#include "admin/writer.h"

#define BLOCK     65536u /* a cluster */
#define ZERO_MOST (UINT64_C(1) << 30)

struct nbd_target {
	struct target target;
	struct nbd_handle *nbd;
};

static struct nbd_target *of(struct target *t)
{
	return (struct nbd_target *)(void *)t;
}

static int nbd_write(struct target *t, uint64_t off, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		size_t n = len < BLOCK - off % BLOCK ? len : BLOCK - off % BLOCK;

		while (n < len && !is_zero(p + n, len - n < BLOCK ? len - n : BLOCK))
			n += len - n < BLOCK ? len - n : BLOCK;
		if (!is_zero(p, n) && nbd_pwrite(of(t)->nbd, p, n, off, 0) < 0)
			return nbd_child_fail(t->name);
		off += n;
		p += n;
		len -= n;
	}
	return 0;
}

static int nbd_make_zero(struct target *t, uint64_t off, uint64_t len)
{
	while (t->resumed && len) {
		uint64_t n = len < ZERO_MOST ? len : ZERO_MOST;

		if (admin_stopped())
			return -1;
		if (nbd_zero(of(t)->nbd, n, off, 0) < 0)
			return nbd_child_fail(t->name);
		off += n;
		len -= n;
	}
	return 0;
}

static int nbd_read(struct target *t, uint64_t off, void *buf, size_t len)
{
	return nbd_pread(of(t)->nbd, buf, len, off, 0) < 0 ? nbd_child_fail(t->name) : 0;
}

static int nbd_sync(struct target *t)
{
	return nbd_flush(of(t)->nbd, 0) < 0 ? nbd_child_fail(t->name) : 0;
}

static int nbd_end(struct target *t)
{
	int err = nbd_sync(t);

	if (nbd_child_end(of(t)->nbd, t->name) < 0)
		err = -1;
	free(t);
	return err;
}

static void nbd_abandon(struct target *t)
{
	(void)nbd_child_end(of(t)->nbd, t->name); /* what is not there is not counted on */
	free(t);
}

static const struct target_ops nbd_ops = {nbd_write, nbd_make_zero, nbd_read,
					  nbd_sync,  nbd_end,	    nbd_abandon};

static int make_image(const char *path, uint64_t bytes)
{
	char *absolute = nbd_child_path(path), size[32];
	char *argv[] = {"qemu-img", "create", "-q", "-f", "qcow2", absolute, size, NULL};
	int status;

	if (!absolute)
		return -1;
	(void)snprintf(size, sizeof size, "%llu", (unsigned long long)bytes); /* 20 digits */
	status = nbd_child_run(argv);
	free(absolute);
	return status > 0 ? admin_error("%s: qemu-img could not make it", path) : status;
}

static int check_size(struct nbd_target *n)
{
	int64_t bytes = nbd_get_size(n->nbd);

	if (bytes < 0)
		return nbd_child_fail(n->target.name);
	if ((uint64_t)bytes != n->target.bytes)
		return admin_error("%s has %lld bytes, the volume %llu", n->target.name,
				   (long long)bytes, (unsigned long long)n->target.bytes);
	return 0;
}

struct target *target_nbd_open(const char *path, uint64_t bytes, bool resume)
{
	struct nbd_target *n;

	if (!resume && target_reserve(path) < 0)
		return NULL;
	if (!resume && make_image(path, bytes) < 0) {
		(void)unlink(path); /* ours, and empty */
		return NULL;
	}
	n = calloc(1, sizeof *n);
	if (!n) {
		(void)admin_error("out of memory");
		return NULL;
	}
	n->target = (struct target){&nbd_ops, path, bytes, resume};
	n->nbd = nbd_child_start(path, false);
	if (!n->nbd || check_size(n) < 0) {
		if (n->nbd)
			nbd_abandon(&n->target);
		else
			free(n);
		if (!resume)
			(void)unlink(path); /* ours, and empty */
		return NULL;
	}
	return &n->target;
}
