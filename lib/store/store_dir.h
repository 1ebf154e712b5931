/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_dir.h - what the parts of the directory store share: store_dir.c, store_dir_path.c,
 * store_dir_put.c, store_dir_write.c, store_dir_list.c, store_dir_held.c.
 */
#ifndef STORE_STORE_DIR_H
#define STORE_STORE_DIR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

/* Of files being written. No key contains its '~'. */
#define DIR_TEMP "~tmp"
/* Buffers for large objects that are kept for the next ones. */
#define DIR_BUFFERS 4u

struct dir_ready;

struct dir {
	/* immutable */
	int root;
	unsigned flags;              /* STORE_DIR_NO_… */
	char *path;                  /* for texts */

	/* atomic, relaxed: learnt once, what the system or the file system does not have */
	bool no_openat2, no_tmpfile, no_direct;

	struct dir_holding *holding; /* atomic, set once: objects that stay open; NULL: none do */

	pthread_mutex_t lock;
	struct dir_ready *ready;     /* protected by lock: directories known to be durable */
	uint64_t temps;              /* protected by lock: temporary files named so far */
	uint8_t *buffer[DIR_BUFFERS];/* protected by lock */
	unsigned buffers;
};

/* ---- store_dir_path.c */

/* The code of an errno as users of stores know it, negative. */
int lsvd_dir_code(int err);
/* Notes the text of a failure of `verb` on `key` while doing `what`; returns the code of `err`. */
int lsvd_dir_fail(const struct dir *d, const char *verb, const char *key, const char *what,
		  int err);
int lsvd_dir_absent(const struct dir *d, const char *verb, const char *key);

/*
 * Opens a path of valid components, at most LSVD_KEY_MAX long, below the root, never through a
 * symbolic link; "" is the root itself. -1 and errno.
 */
int lsvd_dir_open(struct dir *d, const char *path, int flags);
int lsvd_dir_open_dir(struct dir *d, const char *path);

/* Splits a key into its directory ("" for the root) and the name in it, which is returned. */
const char *lsvd_dir_split(const char *key, char dir[LSVD_KEY_MAX + 1]);

/* Closes what was only read, or is synced, or given up; -1 is nothing. Leaves errno alone. */
void lsvd_dir_close_fd(int fd);

static inline bool lsvd_dir_learnt(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static inline void lsvd_dir_learn(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELAXED);
}

/* ---- store_dir_put.c */
int lsvd_dir_put(void *ctx, const char *key, const struct iovec *iov, int iovcnt);
void lsvd_dir_forget_ready(struct dir *d);
/* Best effort, once, when the store is opened for writing. */
void lsvd_dir_remove_leftovers(struct dir *d);

/* ---- store_dir_write.c; 0, or -1 and errno */
int lsvd_dir_write(struct dir *d, int fd, const struct iovec *iov, int iovcnt);
/* When the store is closed. */
void lsvd_dir_free_buffers(struct dir *d);

/* ---- store_dir_list.c */
int lsvd_dir_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx);

/* ---- store_dir_held.c */
struct dir_held;
/* From now on so many objects may stay open; without memory for that, none. */
void lsvd_dir_hold(struct dir *d, unsigned room);
bool lsvd_dir_is_holding(const struct dir *d);
/* The object if it is open: its descriptor, until it is put back, and its length. */
struct dir_held *lsvd_dir_held_get(struct dir *d, const char *key, int *ret_fd,
				   uint64_t *ret_bytes);
void lsvd_dir_held_put(struct dir_held *held);
/* Keeps a descriptor that nobody uses any more; false: it is still the caller's. */
bool lsvd_dir_held_add(struct dir *d, const char *key, int fd, uint64_t bytes);
void lsvd_dir_held_forget(struct dir *d, const char *key);
void lsvd_dir_held_count(struct dir *d, uint64_t *ret_opened, uint64_t *ret_reused);
void lsvd_dir_held_fini(struct dir *d);

#endif
