/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_child.h - an image of another format, opened by qemu-nbd and reached through libnbd.
 *
 * The child gets its socket from us and ends with the connection: also if we are killed. Failures
 * are printed where they are met.
 */
#ifndef ADMIN_NBD_CHILD_H
#define ADMIN_NBD_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libnbd.h>

/* qcow2 images only; NULL: it has been said. */
struct nbd_handle *nbd_child_start(const char *path, bool readonly);
/* Ends connection and child; 0, or -1 if the child did not take leave properly. */
int nbd_child_end(struct nbd_handle *nbd, const char *path);

/*
 * Runs a program to its end, with signals as one expects them that was started by hand, and its
 * output among the messages. Its exit status, or -1 after a message.
 */
int nbd_child_run(char *const argv[]);
/* What is made by qemu-img needs a path that is absolute; to be freed. NULL: it has been said. */
char *nbd_child_path(const char *path);

/* Prints libnbd's text; returns -1. */
int nbd_child_fail(const char *path);

#endif
