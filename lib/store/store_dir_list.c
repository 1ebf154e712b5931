/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_dir_list.c - listing the directory store, in byte order of the keys.
 *
 * The entries of a directory are sorted with a '/' behind the names of sub-directories: their
 * order is then that of the keys below them, and the walk is depth first. What is no regular
 * file, or has a name that is no part of a key, is passed over. Memory: the names of one
 * directory for each level.
 */
#include "store/store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"

/* The entries of one directory. */
struct entries {
	char *text;                  /* the names, each with its 0 */
	size_t text_len, text_room;
	size_t *at;                  /* where each begins */
	size_t count, room;
};

struct walk {
	struct dir *d;
	const char *prefix;          /* as asked for */
	lsvd_object_fn fn;
	void *fn_ctx;
	bool stop;
	char key[LSVD_KEY_MAX + 2];  /* of the directory with its '/', or of the object */
};

static void entries_fini(struct entries *e)
{
	lsvd_free(e->text);
	lsvd_free(e->at);
}

/* Room for `need` more elements of `size` bytes behind `count`. */
static int make_room(void **p, size_t *room, size_t count, size_t need, size_t size)
{
	size_t want = *room ? *room : 256;
	void *bigger;

	if (count + need <= *room)
		return 0;
	while (want < count + need)
		want *= 2;
	bigger = lsvd_realloc(*p, want * size);
	if (!bigger)
		return -ENOMEM;
	*p = bigger;
	*room = want;
	return 0;
}

static int entries_add(struct entries *e, const char *name, bool is_dir)
{
	size_t len = strlen(name);
	void *text = e->text, *at = e->at;
	int err;

	err = make_room(&text, &e->text_room, e->text_len, len + 2, 1);
	e->text = text;
	if (err < 0)
		return err;
	err = make_room(&at, &e->room, e->count, 1, sizeof *e->at);
	e->at = at;
	if (err < 0)
		return err;
	e->at[e->count++] = e->text_len;
	memcpy(e->text + e->text_len, name, len);
	e->text_len += len;
	if (is_dir)
		e->text[e->text_len++] = '/';
	e->text[e->text_len++] = '\0';
	return 0;
}

static int by_name(const void *a, const void *b, void *text)
{
	return strcmp((const char *)text + *(const size_t *)a,
		      (const char *)text + *(const size_t *)b);
}

static bool is_component(const char *name)
{
	return !strchr(name, '/') && lsvd_key_valid(name);
}

/* DT_REG, DT_DIR or anything else. */
static int type_of(int dir_fd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type;
	if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return DT_UNKNOWN;
	return S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_LNK;
}

/*
 * The walk begins in the deepest directory the prefix names: only there is a part left to
 * compare.
 */
static bool matches(const struct walk *w, const char *name)
{
	size_t key_len = strlen(w->key), prefix_len = strlen(w->prefix);

	return key_len >= prefix_len ||
	       strncmp(name, w->prefix + key_len, prefix_len - key_len) == 0;
}

static int add_entry(const struct walk *w, struct entries *e, int dir_fd,
		     const struct dirent *entry)
{
	int type;

	if (!is_component(entry->d_name))
		return 0;
	type = type_of(dir_fd, entry);
	if ((type != DT_REG && type != DT_DIR) || !matches(w, entry->d_name))
		return 0;
	return entries_add(e, entry->d_name, type == DT_DIR);
}

static int fail_list(const struct walk *w, const char *what, int err)
{
	return lsvd_dir_fail(w->d, "list", *w->key ? w->key : ".", what, err);
}

static int read_entries(const struct walk *w, struct entries *e, DIR *stream)
{
	struct dirent *entry;
	int err = 0;

	errno = 0;
	while (err == 0 && (entry = readdir(stream))) {
		err = add_entry(w, e, dirfd(stream), entry);
		errno = 0;
	}
	if (err == 0 && errno)
		return fail_list(w, "read of the directory", errno);
	if (err < 0)
		return fail_list(w, "names of the directory", -err);
	if (e->count > 1)
		qsort_r(e->at, e->count, sizeof *e->at, by_name, e->text);
	return 0;
}

static int report_object(struct walk *w, int dir_fd, const char *name)
{
	struct lsvd_object_info info = { .key = w->key };
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail_list(w, "stat", errno); /* removed meanwhile */
	if (!S_ISREG(st.st_mode))
		return 0;
	info.bytes = (uint64_t)st.st_size;
	info.modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	if (w->fn(w->fn_ctx, &info))
		w->stop = true;
	return 0;
}

static int walk_dir(struct walk *w);

static int walk_entry(struct walk *w, int dir_fd, const char *name)
{
	size_t base = strlen(w->key), len = strlen(name);
	int err = 0;

	if (base + len > LSVD_KEY_MAX)
		return 0;            /* nothing of ours has so long a name */
	memcpy(w->key + base, name, len + 1);
	err = name[len - 1] == '/' ? walk_dir(w) : report_object(w, dir_fd, name);
	w->key[base] = '\0';
	return err;
}

/* The directory that w->key names. The recursion is as deep as a key has parts: at most 128. */
static int walk_dir(struct walk *w)
{
	char path[LSVD_KEY_MAX + 2];
	struct entries e = { 0 };
	size_t len = strlen(w->key);
	DIR *stream;
	int fd, err;

	memcpy(path, w->key, len + 1);
	if (len > 0)
		path[len - 1] = '\0';
	fd = lsvd_dir_open_dir(w->d, path);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return 0;            /* gone meanwhile, or no directory: no objects */
	if (fd < 0)
		return fail_list(w, "open", errno);
	stream = fdopendir(fd);
	if (!stream) {
		err = fail_list(w, "open", errno);
		lsvd_dir_close_fd(fd);
		return err;
	}
	err = read_entries(w, &e, stream);
	for (size_t i = 0; err == 0 && !w->stop && i < e.count; i++)
		err = walk_entry(w, fd, e.text + e.at[i]);
	entries_fini(&e);
	(void)closedir(stream); /* it was only read */
	return err;
}

int lsvd_dir_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	struct walk w = { .d = ctx, .prefix = prefix, .fn = fn, .fn_ctx = fn_ctx };
	const char *slash = strrchr(prefix, '/');

	/* Straight to the deepest directory that holds all of them. */
	if (slash)
		memcpy(w.key, prefix, (size_t)(slash - prefix) + 1);
	return walk_dir(&w);
}
