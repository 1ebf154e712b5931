/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_addr.h - where the control socket of a volume is, for the server and for who asks it.
 *
 * It is <cache directory>/<volume>.ctl, and exists while the volume is served for writing from that
 * directory. lsvd-control(5) has what is spoken on it.
 *
 * A socket's address has room for 107 bytes, a path for 4096: so the directory is opened, and the
 * address goes through that descriptor.
 */
#ifndef COMMON_CONTROL_ADDR_H
#define COMMON_CONTROL_ADDR_H

#include <stddef.h>
#include <sys/un.h>

#include <lsvd/volume.h>

/* The longest request, its newline included. */
#define CONTROL_LINE_MAX 4096u
/* The longest line of a reply: a list of all snapshots is one. */
#define CONTROL_REPLY_MAX (16u << 20)

#define CONTROL_NAME_CAP (LSVD_NAME_MAX + sizeof ".ctl")

/* The name of the socket in its directory. */
void control_name(char ret[static CONTROL_NAME_CAP], const char *volume);

/* The address by way of the open directory `dir_fd`, which must stay open while it is used. */
void control_address(struct sockaddr_un *ret, int dir_fd, const char *volume);

#endif
