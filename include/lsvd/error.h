/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * error.h - how every call of the library reports failure.
 *
 * A function that can fail returns int: 0 (or a count) on success, a negative code on failure. The
 * code is -errno where POSIX has the meaning, else one of enum lsvd_error, all below -4095, so that
 * the two never meet. Output arguments are untouched on failure unless the function says otherwise.
 *
 * Beside the code there is one line of text for people: what was being done, to which object, with
 * both values. It belongs to the calling thread and lives until that thread's next failing call.
 *
 * Threads: every function here may be called from any thread at any time.
 */
#ifndef LSVD_ERROR_H
#define LSVD_ERROR_H

#include <lsvd/base.h>

LSVD_BEGIN_DECLS

enum lsvd_error {
	/* Bytes at rest (log, object, cache) do not match their checksum or their place. */
	LSVD_E_CORRUPT = -4096,
	/* A newer writer has taken the volume: nothing this handle does is part of it any more. */
	LSVD_E_FENCED = -4097,
	/* The local cache lacks what the last writer had: opening would lose writes. Open with
	 * LSVD_OPEN_ACCEPT_ROLLBACK (or LSVD_OPEN_TAKEOVER) if that is wanted. */
	LSVD_E_ROLLBACK = -4098,
	/* The cache belongs to another volume, or to a history the store has left behind. */
	LSVD_E_FOREIGN_CACHE = -4099,
	/* Somebody on this machine has the volume's log open. */
	LSVD_E_LOCKED = -4100,
	/* The format's version, or one of its feature bits, is newer than this library. */
	LSVD_E_VERSION = -4101,
	/* An earlier failure of the local log is final: writes are refused, reads go on. */
	LSVD_E_FAILED = -4102,
	/* The configuration file, URL, name or size cannot be understood. */
	LSVD_E_CONFIG = -4103,
	/* The store lacks what was asked of it (create-if-absent, for instance). */
	LSVD_E_UNSUPPORTED = -4104,
	/* The store cannot be reached or refuses to serve now; trying again may help. */
	LSVD_E_UNAVAILABLE = -4105,
	/* The handle is closing and takes no more operations. */
	LSVD_E_SHUTDOWN = -4106,
	/* A handle of a value log leads into a segment that was dropped, or never committed. */
	LSVD_E_STALE = -4107
};

/*
 * A short text for a code returned by this library, "unknown error" for any other; static. For an
 * -errno it is the system's text.
 */
LSVD_API const char *lsvd_strerror(int err);

/* The name of a code, "LSVD_E_FENCED" or "EIO"; static. "?" for a number that is no code. */
LSVD_API const char *lsvd_error_name(int err);

/*
 * The positive errno that a front end (NBD, FUSE) shows for a code: EIO, ENOSPC, EINVAL, EPERM,
 * ENOMEM, ESHUTDOWN, … 0 for 0 and for positive numbers.
 */
LSVD_API int lsvd_error_errno(int err);

/*
 * The text of the calling thread's last failure: one line, no newline, at most 511 bytes; "" if
 * there was none. The pointer is the thread's own and its content changes with the next failure.
 */
LSVD_API const char *lsvd_last_error(void);

/*
 * Messages of the library, for which no caller waits (a background upload that fails and is tried
 * again). The library never prints by itself: without a function set here they are dropped.
 */
enum lsvd_log_level {
	LSVD_LOG_ERROR = 0, /* something acknowledged or asked for is in danger */
	LSVD_LOG_WARN = 1,  /* degraded, being retried */
	LSVD_LOG_INFO = 2,  /* life cycle: opened, recovered, closed */
	LSVD_LOG_DEBUG = 3  /* each segment, checkpoint, request */
};

/*
 * Called with one line of text, no newline. May run on any thread, several at once; must not call
 * back into the library. `text` is valid only during the call.
 */
typedef void (*lsvd_log_fn)(void *ctx, enum lsvd_log_level level, const char *text);

/*
 * Sends messages of `level` and more important ones to `fn` (NULL: drop all). Process-wide; set it
 * before the first volume is opened and leave it.
 */
LSVD_API void lsvd_set_log(lsvd_log_fn fn, void *ctx, enum lsvd_log_level level);

LSVD_END_DECLS

#endif
