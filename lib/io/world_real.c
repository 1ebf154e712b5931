/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world_real.c - puts the real world together: the cache directory, the store, pools and clock.
 *
 * The store's failures are reported for debugging only: what is tried again is reported by who
 * tries, and an object that is missing or taken is an answer. The text of a failure is
 * lsvd_last_error() in conclude and done, which run on the thread that met it.
 *
 * A store that does not wait (LSVD_STORE_CAP_SUBMIT) is handed the request, and ends it on a thread
 * of its own, which then is the one that enters the core; for any other there are threads here.
 */
#include "io/world_real.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lsvd/store.h>

#include "base/alloc.h"
#include "base/err.h"
#include "io/port.h"
#include "io/real.h"

#define JOB_THREADS_MAX 4u
#define SYNC_THREADS_MAX 2u
#define READ_THREADS_MAX 8u

/* ----------------------------------------------------------------------------- the object store */

static uint32_t obj_caps(struct world *w)
{
	struct lsvd_store *store = real_world_of(w)->store;

	return store ? lsvd_store_caps(store) : 0;
}

static const char *obj_name(struct world *w)
{
	struct lsvd_store *store = real_world_of(w)->store;

	return store ? lsvd_store_url(store) : "no store";
}

static int do_object(struct lsvd_store *store, struct obj_io *io)
{
	switch (io->io.kind) {
	case IO_PUT:
		return lsvd_store_put_if_absent(store, io->key, io->iov, io->iovcnt);
	case IO_GET:
		return lsvd_store_get(store, io->key, io->off, io->buf, io->len, &io->ret_len);
	case IO_HEAD:
		return lsvd_store_head(store, io->key, &io->ret_bytes);
	case IO_LIST:
		return lsvd_store_list(store, io->key, io->list_fn, io->list_ctx);
	case IO_REMOVE:
		return lsvd_store_remove(store, io->key);
	default:
		return lsvd_fail(-EINVAL, "%s: request %d is not one for a store", io->key,
				 (int)io->io.kind);
	}
}

static void end_object(struct obj_io *io, int err)
{
	io->io.err = err;
	if (err < 0 && err != -ENOENT && err != -EEXIST)
		lsvd_report(LSVD_LOG_DEBUG, "%s", lsvd_last_error());
	lsvd_port_finish(&io->io);
}

static void run_object(void *ctx, struct io *io)
{
	struct real_world *w = ctx;
	struct obj_io *obj = lsvd_container_of(io, struct obj_io, io);

	end_object(obj, do_object(w->store, obj));
}

static uint32_t store_verb(enum io_kind kind)
{
	switch (kind) {
	case IO_PUT:
		return LSVD_STORE_PUT;
	case IO_GET:
		return LSVD_STORE_GET;
	case IO_HEAD:
		return LSVD_STORE_HEAD;
	case IO_LIST:
		return LSVD_STORE_LIST;
	case IO_REMOVE:
		return LSVD_STORE_REMOVE;
	default:
		return 0; /* which the store refuses */
	}
}

static void submitted_done(struct lsvd_store_request *r, int err)
{
	struct obj_io *io = r->owner;

	if (err == 0) {
		io->ret_len = r->ret_len;
		io->ret_bytes = r->ret_bytes;
	}
	end_object(io, err);
}

static void submit_object(struct lsvd_store *store, struct obj_io *io)
{
	io->request = (struct lsvd_store_request){
		.verb = store_verb(io->io.kind),
		.key = io->key,
		.iov = io->iov,
		.iovcnt = io->iovcnt,
		.off = io->off,
		.buf = io->buf,
		.len = io->len,
		.fn = io->list_fn,
		.fn_ctx = io->list_ctx,
		.done = submitted_done,
		.owner = io,
	};
	lsvd_store_submit(store, &io->request);
}

static bool reads_store(const struct io *io)
{
	return io->kind == IO_GET || io->kind == IO_HEAD || io->kind == IO_LIST;
}

static void obj_start(struct world *world, struct obj_io *io, bool may_wait)
{
	struct real_world *w = real_world_of(world);
	uint32_t caps = obj_caps(world);

	if (!w->store) {
		io->io.err = lsvd_fail(LSVD_E_UNAVAILABLE, "%s: there is no store", io->key);
		lsvd_port_finish(&io->io);
	} else if (caps & LSVD_STORE_CAP_SUBMIT) {
		submit_object(w->store, io);
	} else if (caps & LSVD_STORE_CAP_INLINE) {
		run_object(w, &io->io);
	} else if (may_wait && io->io.kind == IO_GET && !io->background) {
		run_object(w, &io->io);
	} else {
		lsvd_pool_submit(reads_store(&io->io) ? &w->gets : &w->puts, &io->io);
	}
}

static const struct obj_ops obj_ops_real = {
	.caps = obj_caps,
	.name = obj_name,
	.start = obj_start,
};

/* -------------------------------------------------------------------------------- jobs, waiting */

static void run_job(void *ctx, struct io *io)
{
	struct job_io *job = lsvd_container_of(io, struct job_io, io);

	(void)ctx;
	job->run(job);
	lsvd_port_finish(io);
}

static void cpu_start(struct world *w, struct job_io *job)
{
	lsvd_pool_submit(&real_world_of(w)->jobs, &job->io);
}

static const struct cpu_ops cpu_ops_real = { .start = cpu_start };

static void port_wait(struct world *w, struct port *p)
{
	(void)w;
	pthread_cond_wait(&p->changed, &p->lock);
}

static void port_wake(struct world *w, struct port *p)
{
	(void)w;
	pthread_cond_broadcast(&p->changed);
}

/*
 * A futex, since a condition variable lives in memory that the waiter takes away as soon as it
 * knows: a wake-up of an address where nobody waits any more is at worst one for no reason.
 */
static void event_wait(struct world *w, struct port *p, struct event *event)
{
	uint32_t unset = EVENT_UNSET;

	(void)w;
	(void)p;
	(void)__atomic_compare_exchange_n(&event->state, &unset, EVENT_AWAITED, false,
					  __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); /* else it is set */
	while (__atomic_load_n(&event->state, __ATOMIC_ACQUIRE) != EVENT_SET)
		(void)syscall(SYS_futex, &event->state, FUTEX_WAIT_PRIVATE, EVENT_AWAITED, NULL,
			      NULL, 0); /* whatever it says, the state is looked at */
}

static void event_wake(struct world *w, struct port *p, const struct event *event)
{
	(void)w;
	(void)p;
	(void)syscall(SYS_futex, &event->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static const struct wait_ops wait_ops_real = {
	.wait = port_wait,
	.wake = port_wake,
	.wait_event = event_wait,
	.wake_event = event_wake,
};

/* -------------------------------------------------------------------------- the cache directory */

static int sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	(void)close(fd); /* nothing was written through it */
	return err;
}

/* Makes one directory and its name durable; 0 if it is there. `path` is changed and restored. */
static int make_dir(char *path)
{
	char *slash;
	int err;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	slash = strrchr(path, '/');
	if (!slash)
		return sync_dir(".");
	if (slash == path)
		return sync_dir("/");
	*slash = '\0';
	err = sync_dir(path);
	*slash = '/';
	return err;
}

/* Every directory on the way. */
static int make_dirs(const char *dir)
{
	char *path = lsvd_strdup(dir);
	int err = 0;

	if (!path)
		return -ENOMEM;
	for (char *p = path + 1; *path && *p && err == 0; p++) {
		if (*p != '/' || p[-1] == '/')
			continue;
		*p = '\0';
		err = make_dir(path);
		*p = '/';
	}
	if (err == 0)
		err = make_dir(path);
	lsvd_free(path);
	return err;
}

static int open_dir(struct real_world *w, const char *dir, bool create)
{
	int err = 0;

	w->dir = lsvd_strdup(dir);
	if (!w->dir)
		return lsvd_fail_plain(-ENOMEM);
	w->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->dir_fd < 0 && errno == ENOENT && create) {
		err = make_dirs(dir);
		if (err == 0)
			w->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (err == 0 && w->dir_fd < 0)
		err = -errno;
	if (err < 0)
		return lsvd_fail(err, "cache directory %s: %s", dir, lsvd_strerror(err));
	return 0;
}

/* ----------------------------------------------------------------------------- opening, closing */

static unsigned job_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		return 1;
	return n < (long)JOB_THREADS_MAX ? (unsigned)n : JOB_THREADS_MAX;
}

/* Clock and pools: as much as there was before a failure is taken back here. */
static int start_threads(struct real_world *w)
{
	const struct {
		struct pool *pool;
		const char *name;
		unsigned max;
		pool_run_fn run;
	} pools[] = {
		{ &w->reads, "lsvd-read", READ_THREADS_MAX, lsvd_file_run },
		{ &w->syncs, "lsvd-sync", SYNC_THREADS_MAX, lsvd_file_run },
		{ &w->gets, "lsvd-get", POOL_THREADS_MAX, run_object },
		{ &w->puts, "lsvd-put", POOL_THREADS_MAX, run_object },
		{ &w->jobs, "lsvd-job", job_threads(), run_job },
	};
	size_t n = 0;
	int err = lsvd_aio_init(&w->aio);

	if (err < 0)
		return lsvd_fail_plain(err);
	err = lsvd_clock_init(&w->clock);
	if (err < 0) {
		lsvd_aio_fini(&w->aio);
		return err;
	}
	while (n < LSVD_ARRAY_LEN(pools) && err == 0) {
		err = lsvd_pool_init(pools[n].pool, pools[n].name, pools[n].max, pools[n].run, w);
		n++;
	}
	if (err == 0)
		return 0;
	for (n--; n > 0; n--)
		lsvd_pool_fini(pools[n - 1].pool);
	lsvd_clock_fini(&w->clock);
	lsvd_aio_fini(&w->aio);
	return err;
}

static void stop_threads(struct real_world *w)
{
	lsvd_clock_fini(&w->clock);
	lsvd_pool_fini(&w->jobs);
	lsvd_pool_fini(&w->puts);
	lsvd_pool_fini(&w->gets);
	lsvd_pool_fini(&w->syncs);
	lsvd_pool_fini(&w->reads);
	lsvd_aio_fini(&w->aio);
}

static void free_world(struct real_world *w)
{
	if (w->dir_fd >= 0)
		(void)close(w->dir_fd); /* nothing was written through it */
	lsvd_free(w->dir);
	lsvd_free(w);
}

static void bind_tables(struct world *w)
{
	w->file = &lsvd_file_ops_sync;
	w->obj = &obj_ops_real;
	w->clk = &lsvd_clk_ops_real;
	w->rnd = &lsvd_rnd_ops_real;
	w->cpu = &cpu_ops_real;
	w->wait = &wait_ops_real;
}

int lsvd_world_real_open(struct world **ret, struct lsvd_store *store, const char *cache_dir,
			 bool create_dir)
{
	struct real_world *w = lsvd_calloc(1, sizeof *w);
	int err = 0;

	if (!w)
		return lsvd_fail_plain(-ENOMEM);
	w->store = store;
	w->dir_fd = -1;
	bind_tables(&w->world);
	if (cache_dir)
		err = open_dir(w, cache_dir, create_dir);
	if (err == 0)
		err = start_threads(w);
	if (err < 0) {
		free_world(w);
		return err;
	}
	*ret = &w->world;
	return 0;
}

void lsvd_world_real_close(struct world *world)
{
	struct real_world *w;

	if (!world)
		return;
	w = real_world_of(world);
	stop_threads(w);
	free_world(w);
}
