/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tables.h - how the core reaches the world: local files, objects, time, chance, the processor.
 *
 * The core never waits, reads a clock or starts a thread. It fills in a request (struct io and
 * what it is embedded in), queues it at its port (port.h) while it holds the port's lock, and
 * leaves. The port's loop hands the request to the table; the table ends it, now or later, on any
 * thread; and the core is entered again through io->done with the lock held. A table never calls
 * done itself and is never entered with the lock held.
 *
 * lib/io/world_real.c binds the tables to the operating system; tests/sim binds them to memory
 * and a seeded scheduler.
 */
#ifndef IO_TABLES_H
#define IO_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <lsvd/store_driver.h>

#include "base/list.h"

struct port;
struct world;
struct file;

enum io_kind {
	IO_FILE_READ,
	IO_FILE_WRITE,
	IO_FILE_SYNC,
	IO_PUT,
	IO_GET,
	IO_HEAD,
	IO_LIST,
	IO_REMOVE,
	IO_JOB,
	IO_TIMER,
	IO_STEP,   /* no table at all: prepare and conclude, on the spot */
	IO_OTHER,  /* no table: what another core does, struct other_io */
};

/* What every request begins with. */
struct io {
	struct list link;            /* the port's, then the table's, until done */
	enum io_kind kind;
	int err;                     /* the result: 0 or a negative code */
	struct port *port;           /* where done enters; set by lsvd_port_start() */
	/* The core's own work around the request, without the lock: copying, hashing, verifying.
	 * Called once each, just before it starts and just after it ended; NULL: nothing. conclude
	 * may change io->err. */
	void (*prepare)(struct io *io);
	void (*conclude)(struct io *io);
	void (*done)(struct io *io); /* entered with the port's lock held */
	void *owner;                 /* the core's own */
};

/*
 * From here on finding, filling and writing back the page cache's pages costs more than waiting for
 * the device.
 */
#define FILE_LONG_BYTES (256u << 10)

/* A file of the cache directory. Reads and writes are whole or fail: no short counts. */
struct file_io {
	struct io io;
	struct file *file;
	uint64_t off;
	void *buf;                   /* read into, or written from */
	size_t len;
	/* Read what the device has, not the page cache. Write: to the device at once if it is
	 * long; off, len and buf are then best multiples of 4 KiB. */
	bool past_cache;
};

/* An object of the store (include/lsvd/store_driver.h has the meaning of each verb). */
struct obj_io {
	struct io io;
	char key[LSVD_KEY_MAX + 1];
	const struct iovec *iov;     /* PUT */
	int iovcnt;
	uint64_t off;                /* GET */
	void *buf;
	size_t len;
	size_t ret_len;              /* GET: bytes there were */
	bool background;             /* GET: nobody waits for it;
				      * never on the thread that starts it */
	uint64_t ret_bytes;          /* HEAD */
	lsvd_object_fn list_fn;      /* LIST: key is the prefix; called on the table's thread */
	void *list_ctx;
	struct lsvd_store_request request; /* the table's, while the request is in the world */
};

/* Work for a processor, run without the lock on a thread of the world's. */
struct job_io {
	struct io io;
	void (*run)(struct job_io *job);
};

/*
 * Begun by start, without the lock; whoever does it calls lsvd_port_finish() once, perhaps at once.
 */
struct other_io {
	struct io io;
	void (*start)(struct other_io *other);
};

/* Ends at a time of the monotonic clock, with err 0, or -ECANCELED after clk->cancel. */
struct timer_io {
	struct io io;
	uint64_t at_ms;
};

enum file_flags {
	FILE_CREATE = 1,   /* make it if absent, and make the name durable */
	FILE_EXCLUSIVE = 2,/* lock it against every other opener, here and in other processes */
	FILE_SHARED = 4,   /* lock it against an exclusive opener */
	FILE_READONLY = 8,
};

struct file_ops {
	/*
	 * Opens `name` of the world's cache directory. -ENOENT, LSVD_E_LOCKED, -errno. These
	 * block and are for procedures (open, close), never called with a port's lock held.
	 */
	int (*open)(struct world *w, const char *name, unsigned flags, struct file **ret);
	int (*size)(struct file *file, uint64_t *ret_bytes);
	/* Makes the file `bytes` long, every block written with zeroes and synced. */
	int (*fill)(struct file *file, uint64_t bytes);
	/* Makes it `bytes` long at once; what is new reads as zeroes. Nothing is synced. */
	int (*resize)(struct file *file, uint64_t bytes);
	/*
	 * The first `len` bytes as memory that is the file's: what is stored there outlives the
	 * process. They must have been written once. Gone with close.
	 */
	int (*map)(struct file *file, size_t len, void **ret);
	void (*close)(struct file *file);
	/*
	 * Starts a read, write or sync. May end it before it returns. `may_wait`: the calling
	 * thread has nothing better to do; else what could sleep goes to another thread.
	 */
	void (*start)(struct file_io *io, bool may_wait);
};

struct obj_ops {
	uint32_t (*caps)(struct world *w);  /* LSVD_STORE_CAP_… */
	const char *(*name)(struct world *w);
	void (*start)(struct world *w, struct obj_io *io, bool may_wait);
};

struct clk_ops {
	uint64_t (*now_ms)(struct world *w);       /* monotonic */
	int64_t (*wall_ms)(struct world *w);       /* only to be shown to people */
	void (*start)(struct world *w, struct timer_io *io);
	/*
	 * lock held, unlike all others: ends a timer early, with -ECANCELED, soon and on another
	 * thread, also one that is queued and not yet started. Its done must not have run.
	 */
	void (*cancel)(struct world *w, struct timer_io *io);
};

struct rnd_ops {
	void (*fill)(struct world *w, void *buf, size_t len);
};

struct cpu_ops {
	void (*start)(struct world *w, struct job_io *io);
};

/* One thing that one thread waits for; begins as zeroes. See port.h. */
struct event {
	uint32_t state;              /* atomic */
};

enum event_state {
	EVENT_UNSET,
	EVENT_AWAITED,               /* not set, and somebody sleeps or is about to */
	EVENT_SET,
};

/*
 * How a procedure waits: called with the port's lock held; gives it up, returns with it held after
 * something has happened at the port, or for no reason. And how a blocking call waits for its own
 * end: called without the lock. The event may be gone as soon as it is set: wake_event gets its
 * address and must not look at it.
 */
struct wait_ops {
	void (*wait)(struct world *w, struct port *port);
	void (*wake)(struct world *w, struct port *port);
	void (*wait_event)(struct world *w, struct port *port, struct event *event);
	void (*wake_event)(struct world *w, struct port *port, const struct event *event);
};

struct world {
	const struct file_ops *file;
	const struct obj_ops *obj;
	const struct clk_ops *clk;
	const struct rnd_ops *rnd;
	const struct cpu_ops *cpu;
	const struct wait_ops *wait;
};

#endif
