/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export.h - names to volumes: which there are, what clients are told of them, opening and closing.
 *
 * Either one volume is served, opened before the first client comes, or all volumes of the store,
 * each opened when the first client means to use it and kept open until the end. Their snapshots
 * are served beside them, and closed again some time after the last client. Whatever needs the
 * store may take long and is done by a few threads of this module's own; a question whose answer is
 * known is answered at once.
 *
 * A volume that was deleted and made again under its name is another one: the next client who opens
 * it gets the new one, once those who had the old one are gone, who are cut off.
 *
 * Threads: everything here may be called from any thread; exports_close() once, at the end.
 */
#ifndef NBD_EXPORT_H
#define NBD_EXPORT_H

#include <stdbool.h>

#include <lsvd/lsvd.h>

#include "nbd/nbd_conn.h"

struct exports;

struct exports_config {
	struct lsvd_store *store;
	const char *name; /* the volume served; NULL: all of the store */
	struct lsvd_volume_options options;
	bool readonly;
};

enum export_ask {
	EXPORT_LIST, /* all names */
	EXPORT_LOOK, /* what there is to know of one, without opening it */
	EXPORT_OPEN  /* one, opened, for whoever asks: exports_release() gives it back */
};

struct export_job {
	enum export_ask ask;
	char name[NBD_NAME_MAX + 1];	      /* "": the default export */
	void (*done)(struct export_job *job); /* on another thread */
	struct export_job *next;	      /* exports' own */

	/* the answer */
	int err; /* 0, -ENOENT, or the library's code */
	struct nbd_export export;
	char (*names)[NBD_NAME_MAX + 1]; /* of LIST; to be freed by the asker */
	size_t count;
};

/* With a name: opens that volume, with all errors of lsvd_volume_open(). */
int exports_open(struct exports **ret, const struct exports_config *config);

/*
 * True: the answer is in `job`, `done` is not called. False: `done` will be called, and `job` must
 * stay until then.
 */
bool exports_ask(struct exports *exports, struct export_job *job);

/* The volume of an export that was opened. */
struct lsvd_volume *exports_volume(const struct nbd_export *export);

/* True: it is not there any more, whoever uses it is to stop. */
bool exports_is_gone(const struct nbd_export *export);

/* Gives back what EXPORT_OPEN has answered: no operation is in flight, and none will be. */
void exports_release(const struct nbd_export *export);

/* How many names there are; 1 if it cannot be found out. */
uint32_t exports_count(struct exports *exports);

/* Calls `fn` for each open volume. */
void exports_each(struct exports *exports, void (*fn)(void *ctx, struct lsvd_volume *volume),
		  void *ctx);

/* A minute has passed: a line of statistics for each volume that was used. */
void exports_report(struct exports *exports);

/*
 * Logs the volumes whose background has begun or ceased to fail, and closes snapshots that nobody
 * has used for a while. To be called about once a second.
 */
void exports_watch(struct exports *exports);

/* Questions still being answered; none begins after exports_stop(). */
void exports_stop(struct exports *exports);
bool exports_busy(struct exports *exports);

/*
 * Closes all volumes, with `drain_ms` for storing what is only local. 0: all of them are in the
 * store; 1: all is safe, some of it only in the local cache; negative: the first failure.
 * Operations in flight are ended by this.
 */
int exports_close(struct exports *exports, uint32_t drain_ms);

/* When nobody is left who could give something back. NULL does nothing. */
void exports_free(struct exports *exports);

#endif
