/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_child.c - qemu-nbd on the path, by socket activation.
 *
 * The path is made absolute: qemu reads a name with a colon as a protocol, and one that begins
 * with a hyphen as an option.
 */
#include "admin/nbd_child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "admin/cmd.h"

int nbd_child_fail(const char *path)
{
	return admin_error("%s: %s", path, nbd_get_error());
}

static char *const *argv_of(char *argv[8], char *path, bool readonly)
{
	int n = 0;

	argv[n++] = "qemu-nbd";
	argv[n++] = "-f";
	argv[n++] = "qcow2";
	if (readonly)
		argv[n++] = "-r";
	else
		argv[n++] = "--discard=unmap";
	argv[n++] = path;
	argv[n] = NULL;
	return argv;
}

struct nbd_handle *nbd_child_start(const char *path, bool readonly)
{
	char *absolute = realpath(path, NULL), *argv[8];
	struct nbd_handle *nbd;

	if (!absolute) {
		(void)admin_error("%s: %s", path, strerror(errno));
		return NULL;
	}
	nbd = nbd_create();
	if (!nbd || nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
	    nbd_connect_systemd_socket_activation(nbd, (char **)argv_of(argv, absolute,
								       readonly)) < 0) {
		(void)admin_error("%s: qemu-nbd (of Debian's qemu-utils) has not opened it: %s",
				  path, nbd_get_error());
		nbd_close(nbd);
		nbd = NULL;
	}
	free(absolute);
	return nbd;
}

int nbd_child_end(struct nbd_handle *nbd, const char *path)
{
	int err = nbd_shutdown(nbd, 0);

	if (err < 0)
		(void)nbd_child_fail(path); /* the status says it, too */
	nbd_close(nbd);
	return err;
}
