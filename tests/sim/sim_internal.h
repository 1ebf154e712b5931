/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_internal.h - what the files of the simulator share.
 *
 *   sim_world.c   the pool, steps, the clock, hosts
 *   sim_fiber.c   stacks to run procedures on
 *   sim_alloc.c   memory by host
 *   sim_files.c   files: what readers see, what is stable
 *   sim_store.c   objects, failures, ghosts
 *   sim_crash.c   halting, settling, images
 */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include "sim_world.h"

#include "base/list.h"
#include "io/port.h"

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif
#ifdef SIM_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define SIM_HOSTS_MAX 8u

/* Bytes that several own. */
struct blob {
	unsigned refs;
	size_t len;
	uint8_t bytes[];
};
struct blob *sim_blob_new(const void *bytes, size_t len);
struct blob *sim_blob_ref(struct blob *b);
void sim_blob_unref(struct blob *b);

/* ---- the pool */
enum event_kind {
	EVENT_FIBER,
	EVENT_FILE,
	EVENT_EFFECT,   /* of a store request */
	EVENT_ANSWER,   /* of a store request */
	EVENT_JOB,
	EVENT_TIMER,
	EVENT_GHOST,    /* an effect nobody waits for */
};

struct sim_event {
	enum event_kind kind;
	struct sim_host *host;
	struct io *io;
	struct sim_fiber *fiber;
	uint64_t at_ms;
	uint64_t stamp;              /* when it was started */
	struct sim_write *write;     /* EVENT_FILE, a write */
	struct blob *blob;           /* PUT: the object */
	enum io_kind verb;           /* of EVENT_EFFECT and EVENT_GHOST */
	int fate;                    /* enum fate */
	bool half;                   /* PUT: a part of the object is seen, the effect is to come */
	int result;
	char key[LSVD_KEY_MAX + 1];
};

struct event_list {
	struct sim_event **at;
	size_t count, room;
};
void sim_list_add(struct event_list *l, struct sim_event *e);
struct sim_event *sim_list_take(struct event_list *l, size_t i);

struct sim_event *sim_event_new(struct sim *s, enum event_kind kind, struct sim_host *h,
				struct io *io);
void sim_event_free(struct sim *s, struct sim_event *e);
void sim_note(struct sim *s, unsigned what, const struct sim_host *h, uint64_t a, uint64_t b);
void sim_boundary(struct sim *s);
_Noreturn void sim_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *sim_grow(void *p, size_t bytes);   /* realloc that does not fail */
bool sim_chance(struct sim *s, unsigned of_1000);

/* ---- objects */
struct sim_object {
	char *key;
	struct blob *blob;
};
struct sim_store {
	struct sim_object *at;       /* by key */
	size_t count, room;
};

/* ---- files */
struct page {
	unsigned refs;
	uint8_t bytes[4096];
};
struct sim_write {
	struct list link;            /* file->done or file->pending */
	uint64_t off;
	struct blob *blob;
	uint64_t completed;          /* stamp; 0: not yet */
};
struct sim_file {
	struct list link;
	char *name;
	uint64_t bytes;
	size_t pages;
	struct page **now;           /* what readers see */
	struct page **stable;
	struct list done, pending;   /* writes that are not stable: completed; not completed */
	struct list lost;            /* by a failed sync: readers see them, the disk never will */
	unsigned exclusive, shared;  /* open handles */
};
struct file {
	struct list link;            /* host->handles */
	struct sim_host *host;
	struct sim_file *file;
	unsigned flags;
};

struct sim_host {
	struct world world;          /* first: how a table finds its host */
	struct sim *sim;
	char name[32];
	unsigned index;
	bool frozen, undecided;
	struct list files, handles;
	struct list memory;          /* struct block */
	size_t memory_bytes, memory_blocks;
	uint64_t allocs_to_fail, allocs_failing;
	uint64_t writes_to_fail, syncs_to_fail;
	struct list waiting;         /* struct sim_fiber, in a wait */
	struct event_list limbo;     /* effects in flight when it was halted */
};

struct sim {
	struct sim_options options;
	uint64_t random, digest, now_ms, stamp;
	uint64_t boundaries, stop_at;
	bool stopped;
	struct sim_host *hosts[SIM_HOSTS_MAX];
	unsigned host_count;
	struct event_list pool, ghosts, spare;
	struct sim_store store;
	bool away;
	uint32_t caps;
	sim_store_fn watch;
	void *watch_ctx;
	struct sim_fiber *running;   /* NULL: main() */
	struct list main_waits;      /* struct main_wait */
	struct sim_stats stats;
};

static inline struct sim_host *sim_host_of(struct world *w)
{
	return (struct sim_host *)w;
}

/* ---- sim_fiber.c */
void sim_fiber_run(struct sim_fiber *f);
void sim_fiber_drop(struct sim_fiber *f);
void sim_fibers_drop_waiting(struct sim_host *h);
extern const struct wait_ops sim_wait_ops;

/* ---- sim_alloc.c */
void sim_alloc_use(struct sim *s);
void sim_alloc_drop(struct sim_host *h);
struct sim_host *sim_alloc_host(void);

/* ---- sim_files.c */
extern const struct file_ops sim_file_ops;
void sim_file_event(struct sim_event *e);
void sim_write_free(struct sim_write *w);
void sim_files_free(struct list *files);
void sim_files_clone(struct list *to, const struct list *from);
void sim_pages_write(struct sim_file *f, struct page **pages, uint64_t off, const void *buf,
		     size_t len);
void sim_pages_read(const struct sim_file *f, struct page *const *pages, uint64_t off, void *buf,
		    size_t len);

/* ---- sim_store.c */
extern const struct obj_ops sim_obj_ops;
void sim_store_effect(struct sim_event *e);
void sim_store_answer(struct sim_event *e);
void sim_ghost_effect(struct sim_event *e);
void sim_store_clear(struct sim_store *store);
void sim_store_clone(struct sim_store *to, const struct sim_store *from);

#endif
