/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * t_volume.h - a volume of its own for a test: directories, a store that can misbehave, options
 * that make everything small, and a model of what the volume must hold.
 *
 *	struct tv *t = tv_new();
 *	tv_open(t);
 *	tv_write(t, 0, 4096, 1);
 *	tv_reopen(t);
 *	tv_check_all(t);
 *	tv_free(t);
 *
 * Nothing happens by itself: no segment is sealed by time, no checkpoint written, no claim looked
 * for, nothing read ahead, and there is no read cache, unless t->o says otherwise before tv_open().
 *
 * The model is memory shared with children, so that tv_killed() can write in a process that dies.
 */
#ifndef T_VOLUME_H
#define T_VOLUME_H

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <lsvd/lsvd.h>

#include "base/uuid.h"
#include "format/fmt_key.h"
#include "store_fault.h"
#include "t_check.h"
#include "tmpdir.h"

#define TV_BYTES  (UINT64_C(16) << 20)
#define TV_NAME   "disk"
#define TV_SECTOR 512u
#define TV_BLOCK  4096u
#define TV_KEYS   2048u

struct tv {
	char *dir, *cache, *store_dir;
	struct lsvd_store *store;
	struct store_fault *fault;
	struct lsvd_volume *v;
	struct lsvd_volume_options o;
	uint64_t bytes;
	uint8_t *model; /* TV_BYTES */
};

/* ----------------------------------------------------------------------------- making, ending */

static inline void tv_open_store(struct tv *t)
{
	struct lsvd_store_options o = LSVD_STORE_OPTIONS_INIT;
	struct lsvd_store *inner;
	char *url = malloc(strlen(t->store_dir) + 8);

	ck_assert_ptr_nonnull(url);
	(void)sprintf(url, "dir:%s", t->store_dir); /* fits */
	o.flags = LSVD_STORE_CREATE;
	ck_assert_ok(lsvd_store_open(&inner, url, &o));
	ck_assert_ok(store_fault_open(&t->store, &t->fault, inner, 1));
	free(url);
}

static inline struct lsvd_volume_options tv_options(const struct tv *t)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;

	o.cache_dir = t->cache;
	o.log_bytes = 2u << 20;
	o.segment_bytes = 128u << 10;
	o.seal_after_ms = UINT32_MAX;
	o.put_window = 4;
	o.memory_bytes = 4u << 20;
	o.rcache_bytes = UINT64_MAX;
	o.lease_check_ms = UINT32_MAX;
	o.checkpoint_segments = UINT32_MAX;
	o.read_ahead_bytes = UINT32_MAX;
	o.gc = LSVD_GC_OFF; /* what is counted does not depend on when a round begins */
	return o;
}

static inline struct tv *tv_blank(void)
{
	struct tv *t = calloc(1, sizeof *t);

	ck_assert_ptr_nonnull(t);
	t->dir = tmpdir_new();
	t->cache = tmpdir_path(t->dir, "cache");
	t->store_dir = tmpdir_path(t->dir, "store");
	t->model = mmap(NULL, TV_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(t->model, MAP_FAILED);
	t->bytes = TV_BYTES;
	t->o = tv_options(t);
	return t;
}

static inline struct tv *tv_new_of(uint64_t bytes)
{
	struct tv *t = tv_blank();

	t->bytes = bytes;
	tv_open_store(t);
	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, bytes, NULL, NULL));
	return t;
}

static inline struct tv *tv_new(void)
{
	return tv_new_of(TV_BYTES);
}

static inline void tv_open(struct tv *t)
{
	ck_assert_ptr_null(t->v);
	ck_assert_ok(lsvd_volume_open(&t->v, t->store, TV_NAME, &t->o));
}

static inline int tv_try_open(struct tv *t)
{
	ck_assert_ptr_null(t->v);
	return lsvd_volume_open(&t->v, t->store, TV_NAME, &t->o);
}

static inline int tv_close_in(struct tv *t, uint32_t drain_ms)
{
	struct lsvd_volume *v = t->v;

	t->v = NULL;
	return lsvd_volume_close(v, drain_ms);
}

static inline void tv_close(struct tv *t)
{
	ck_assert_err(tv_close_in(t, UINT32_MAX), 0);
}

static inline void tv_reopen(struct tv *t)
{
	tv_close(t);
	tv_open(t);
}

/* Ends the volume, if it is open, whatever becomes of it, and removes everything. */
static inline void tv_free(struct tv *t)
{
	if (t->v)
		(void)tv_close_in(t, 0); /* the test has seen what it wanted */
	lsvd_store_close(t->store);
	(void)munmap(t->model, TV_BYTES); /* ours */
	free(t->cache);
	free(t->store_dir);
	tmpdir_free(t->dir);
	free(t);
}

/* ------------------------------------------------------------------------- files of the test */

static inline void tv_run(const char *format, const char *a, const char *b)
{
	char command[2048];

	ck_assert_int_lt(snprintf(command, sizeof command, format, a, b), (int)sizeof command);
	ck_assert_msg(system(command) == 0, "failed: %s", command);
}

/* A second world like the first: store, cache and model as they are now. The volume is closed. */
static inline struct tv *tv_copy(const struct tv *t)
{
	struct tv *c = tv_blank();
	const char *cache = c->o.cache_dir;

	tv_run("cp -a '%s' '%s'", t->store_dir, c->store_dir);
	tv_run("cp -a '%s' '%s'", t->cache, c->cache);
	c->bytes = t->bytes;
	c->o = t->o;
	c->o.cache_dir = cache;
	memcpy(c->model, t->model, TV_BYTES);
	tv_open_store(c);
	return c;
}

static inline uint8_t *tv_slurp(const char *path, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *p;

	ck_assert_msg(fd >= 0 && fstat(fd, &st) == 0, "%s: %s", path, strerror(errno));
	p = malloc((size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(p);
	for (size_t at = 0; at < (size_t)st.st_size;) {
		ssize_t n = pread(fd, p + at, (size_t)st.st_size - at, (off_t)at);

		ck_assert_int_gt(n, 0);
		at += (size_t)n;
	}
	(void)close(fd); /* only read */
	*ret_len = (size_t)st.st_size;
	return p;
}

static inline uint64_t tv_file_size(const char *path)
{
	struct stat st;

	ck_assert_msg(stat(path, &st) == 0, "%s: %s", path, strerror(errno));
	return (uint64_t)st.st_size;
}

/* Writes into a file past every check. */
static inline void tv_poke(const char *path, const void *bytes, size_t len, uint64_t off)
{
	int fd;

	(void)chmod(path, 0600); /* if it does not help, open will say so */
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(pwrite(fd, bytes, len, (off_t)off), (ssize_t)len);
	ck_assert_int_eq(fsync(fd), 0);
	(void)close(fd); /* synced */
}

static inline void tv_flip(const char *path, uint64_t off)
{
	size_t len;
	uint8_t *p = tv_slurp(path, &len), byte;

	ck_assert_uint_lt(off, len);
	byte = p[off] ^ 0x10;
	free(p);
	tv_poke(path, &byte, 1, off);
}

static inline void tv_truncate(const char *path, uint64_t len)
{
	(void)chmod(path, 0600); /* as above */
	ck_assert_msg(truncate(path, (off_t)len) == 0, "%s: %s", path, strerror(errno));
}

static inline char *tv_log_path(const struct tv *t)
{
	return tmpdir_path(t->cache, TV_NAME ".log");
}

/* ------------------------------------------------------------------------------------ objects */

static inline struct uuid tv_uuid(struct tv *t)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	struct uuid u;

	ck_assert_ok(lsvd_volume_lookup(t->store, TV_NAME, &info));
	ck_assert(lsvd_uuid_parse(&u, info.uuid));
	return u;
}

struct tv_keys {
	struct lsvd_store *store;
	enum key_kind kind;
	unsigned count;
	char keys[TV_KEYS][KEY_CAP];
	uint64_t bytes[TV_KEYS];
};

static inline int tv_note_key(void *ctx, const struct lsvd_object_info *info)
{
	struct tv_keys *k = ctx;
	struct key_parts parts;

	if (!lsvd_key_parse(&parts, info->key) || parts.kind != k->kind)
		return 0;
	ck_assert_uint_lt(k->count, TV_KEYS);
	(void)snprintf(k->keys[k->count], KEY_CAP, "%s", info->key); /* keys fit */
	k->bytes[k->count++] = info->bytes;
	return 0;
}

/* The objects of one kind, in order. */
static inline struct tv_keys *tv_keys(struct tv *t, enum key_kind kind)
{
	struct tv_keys *k = calloc(1, sizeof *k);

	ck_assert_ptr_nonnull(k);
	k->kind = kind;
	ck_assert_ok(lsvd_store_list(t->store, "v/", tv_note_key, k));
	return k;
}

static inline unsigned tv_count(struct tv *t, enum key_kind kind)
{
	struct tv_keys *k = tv_keys(t, kind);
	unsigned n = k->count;

	free(k);
	return n;
}

static inline char *tv_object_path(struct tv *t, const char *key)
{
	return tmpdir_path(t->store_dir, key);
}

/* The file of chain object `seq` of an epoch; 1 is the base, data begins at 2. */
static inline char *tv_chain_path(struct tv *t, uint64_t epoch, uint64_t seq)
{
	struct uuid u = tv_uuid(t);
	char key[KEY_CAP];

	lsvd_key_chain(key, &u, epoch, seq);
	return tv_object_path(t, key);
}

/* --------------------------------------------------------------------- operations and the model */

static inline void *tv_buffer(size_t len)
{
	void *p = malloc(len ? len : 1);

	ck_assert_ptr_nonnull(p);
	memset(p, 0xa5, len);
	return p;
}

static inline void tv_write_flags(struct tv *t, uint64_t off, uint32_t len, uint64_t seed,
				  uint32_t flags)
{
	uint8_t *buf = tv_buffer(len);

	t_fill(buf, len, seed);
	ck_assert_ok(lsvd_volume_write(t->v, buf, off, len, flags));
	memcpy(t->model + off, buf, len);
	free(buf);
}

static inline void tv_write(struct tv *t, uint64_t off, uint32_t len, uint64_t seed)
{
	tv_write_flags(t, off, len, seed, 0);
}

/* Compressible data: short runs. */
static inline void tv_write_text(struct tv *t, uint64_t off, uint32_t len, uint64_t seed)
{
	uint8_t *buf = tv_buffer(len);

	for (uint32_t i = 0; i < len; i++)
		buf[i] = (uint8_t)("the same again "[i % 15] ^ (seed & 31) ^ (i >> 12));
	ck_assert_ok(lsvd_volume_write(t->v, buf, off, len, 0));
	memcpy(t->model + off, buf, len);
	free(buf);
}

static inline void tv_trim(struct tv *t, uint64_t off, uint64_t len)
{
	ck_assert_ok(lsvd_volume_trim(t->v, off, len, 0));
	memset(t->model + off, 0, len);
}

static inline void tv_zero(struct tv *t, uint64_t off, uint64_t len, uint32_t flags)
{
	ck_assert_ok(lsvd_volume_write_zeroes(t->v, off, len, flags));
	memset(t->model + off, 0, len);
}

/* The first byte at which two ranges differ, `len` if they do not. */
static inline size_t tv_differ(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t i = 0;

	if (memcmp(a, b, len) == 0)
		return len;
	while (a[i] == b[i])
		i++;
	return i;
}

static inline void tv_check(struct tv *t, uint64_t off, uint32_t len)
{
	uint8_t *buf = tv_buffer(len);
	size_t at;

	ck_assert_ok(lsvd_volume_read(t->v, buf, off, len));
	at = tv_differ(buf, t->model + off, len);
	ck_assert_msg(at == len, "byte %" PRIu64 " is %02x, must be %02x", off + at, buf[at],
		      t->model[off + at]);
	free(buf);
}

static inline void tv_check_all(struct tv *t)
{
	for (uint64_t off = 0, left; off < TV_BYTES && off < t->bytes; off += 1u << 20) {
		left = t->bytes - off;
		tv_check(t, off, (uint32_t)(left < 1u << 20 ? left : 1u << 20));
	}
}

/* All of the map that there is room for is in memory then. */
static inline void tv_bring_map(struct tv *t)
{
	struct lsvd_status_extent e;

	for (uint64_t off = 0; off < t->bytes; off += e.len)
		ck_assert_int_eq(lsvd_volume_block_status(t->v, off, t->bytes - off, &e, 1), 1);
}

static inline void tv_flush(struct tv *t)
{
	ck_assert_ok(lsvd_volume_flush(t->v));
}

static inline void tv_sync(struct tv *t)
{
	ck_assert_ok(lsvd_volume_sync(t->v, UINT32_MAX));
}

static inline struct lsvd_stats tv_stats(struct tv *t)
{
	struct lsvd_stats s = LSVD_STATS_INIT;

	ck_assert_ok(lsvd_volume_stats(t->v, &s));
	return s;
}

static inline void tv_fault(struct tv *t, struct fault_rule rule)
{
	ck_assert_ok(store_fault_add(t->fault, &rule));
}

/* Waits until the condition holds, asking again every millisecond; two minutes at most. */
#define tv_wait_for(condition) \
	do { \
		const struct timespec tv_ms_ = { 0, 1000000 }; \
		unsigned tv_tries_ = 0; \
		while (!(condition) && tv_tries_++ < 120000) \
			(void)nanosleep(&tv_ms_, NULL); /* cut short: asks earlier */ \
		ck_assert_msg(tv_tries_ <= 120000, "never came true: %s", #condition); \
	} while (0)

/* ------------------------------------------------------------------------------------ processes */

/* Runs fn(t) in a child that then kills itself: nothing is closed. */
static inline void tv_killed(struct tv *t, void (*fn)(struct tv *t))
{
	int status;
	pid_t pid;

	(void)fflush(NULL); /* nothing is lost by a failure but text */
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		fn(t);
		(void)raise(SIGKILL); /* does not come back */
		_exit(3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		      "the child ended by itself, status %#x", status);
}

/* Runs fn(t) in a child; its return value is what this returns. */
static inline int tv_in_child(struct tv *t, int (*fn)(struct tv *t))
{
	int status;
	pid_t pid;

	(void)fflush(NULL); /* as above */
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(fn(t));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "the child died, status %#x", status);
	return WEXITSTATUS(status);
}

#endif
