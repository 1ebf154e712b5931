/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.h - the control sockets: administrators ask volumes that are served.
 *
 * Each volume that is open for writing has a socket in its cache directory (common/control_addr.h),
 * which only the server's own user can connect to; what is spoken there is lsvd-control(5), and
 * what is done is common/verbs.h. Nothing of it runs on an event loop.
 *
 * Threads: everything here may be called from any thread, each point's functions one after the
 * other.
 */
#ifndef NBD_CONTROL_H
#define NBD_CONTROL_H

#include <stdbool.h>

#include <lsvd/volume.h>

struct control;       /* the server's */
struct control_point; /* one volume's */

/* What the server adds; called on threads of the control sockets. */
struct control_host {
	void *ctx;
	/* A request has been answered: the volume may have another size. */
	void (*changed)(void *ctx);
	/* Clients use the volume, or its snapshot of that name. */
	bool (*in_use)(void *ctx, const char *snapshot);
};

/* 0 or -errno. */
int control_open(struct control **ret);

/*
 * Makes the socket of a volume that this process has open for writing in the cache directory `dir`;
 * one that a dead server left behind is replaced. -errno, or -EEXIST if something else has the
 * name.
 */
int control_listen(struct control_point **ret, struct control *control, const char *dir,
		   struct lsvd_volume *volume, const struct control_host *host);

/*
 * Removes the socket and takes no more requests; waits a while for those that run, which are asked
 * to stop. What still runs then waits for the store, inside the library: closing the volume ends
 * it. NULL, or the second time, does nothing.
 */
void control_quiet(struct control_point *point);

/*
 * After the volume was closed: waits for the last request and frees the point. NULL does nothing.
 */
void control_forget(struct control_point *point);

/* All points must be forgotten. NULL does nothing. */
void control_close(struct control *control);

#endif
