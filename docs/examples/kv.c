/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kv.c - a small key-value store: values in a value log, keys in memory, both safe from SIGKILL.
 *
 *   cc kv.c $(pkg-config --cflags --libs lsvd) -o kv && ./kv /tmp/somewhere
 *
 * The argument is an existing directory. Commands are lines on standard input:
 *
 *   set KEY VALUE    get KEY    del KEY    commit    gc    stats
 *
 * What was set and deleted counts from `commit` on, all of it or nothing ("committed N" says so);
 * the end of the input commits, too.
 *
 * The index is a tree in memory. What it says is in the journal DIR/index, too: a line for each
 * change, and a line "commit" behind those that belong together; lines behind the last of these do
 * not count. The order that makes this safe:
 *
 *   1. put the values, commit the writer        the values are in the log, and pinned
 *   2. write the journal, sync it               the index has them, for ever
 *   3. change the tree, release the pin         old values may go
 *
 * Killed before 2, there are values that nobody refers to; garbage collection finds them. No crash
 * leaves a key without its value.
 */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lsvd/lsvd.h>

struct item {
	char *key;
	struct lsvd_vlog_handle at;  /* size 0: deleted; only on the way to the tree */
	unsigned long long bytes;    /* of the value */
};

/* Changes that will be made together. */
struct changes {
	struct item *list;
	size_t n, room;
};

struct kv {
	const char *dir;
	struct lsvd_vlog *log;
	struct lsvd_vlog_writer *writer;  /* NULL: nothing has been set since the last commit */
	void *tree;                       /* of struct item, by key: see tsearch(3) */
	FILE *journal;
	struct changes pending, moves;
	struct changes all;               /* what the tree had when we began */
	size_t counted;                   /* of these */
};

static int complain(const char *what, int err)
{
	fprintf(stderr, "kv: %s: %s (%s)\n", what, lsvd_last_error(), lsvd_error_name(err));
	return -1;
}

static int complain_errno(const char *what)
{
	fprintf(stderr, "kv: %s: %s\n", what, strerror(errno));
	return -1;
}

/* ------------------------------------------------------------------------------------ the index */

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->key, ((const struct item *)b)->key);
}

static struct item *look_up(struct kv *kv, const char *key)
{
	struct item wanted = { .key = (char *)key };
	struct item **found = tfind(&wanted, &kv->tree, by_key);

	return found ? *found : NULL;
}

/* The log may forget what the entry referred to. */
static void note_stale(struct kv *kv, const struct item *old)
{
	if (kv->log && lsvd_vlog_note_stale(kv->log, &old->at, old->bytes) < 0)
		complain("a statistic", -1); /* costs space, nothing else */
}

static int apply(struct kv *kv, const struct item *change)
{
	struct item *e = look_up(kv, change->key);

	if (e)
		note_stale(kv, e);
	if (e && change->at.size) {
		e->at = change->at;
		e->bytes = change->bytes;
	} else if (e) {
		tdelete(e, &kv->tree, by_key);
		free(e->key);
		free(e);
	} else if (change->at.size) {
		e = malloc(sizeof *e);
		if (!e)
			return complain_errno("index");
		*e = *change;
		e->key = strdup(change->key);
		if (!e->key || !tsearch(e, &kv->tree, by_key))
			return complain_errno("index");
	}
	return 0;
}

static int remember(struct changes *c, const struct item *e)
{
	struct item *list = c->list;

	if (c->n == c->room) {
		list = realloc(list, (2 * c->room + 16) * sizeof *list);
		if (!list)
			return complain_errno("changes");
		c->list = list;
		c->room = 2 * c->room + 16;
	}
	list[c->n] = *e;
	list[c->n].key = strdup(e->key);
	return list[c->n++].key ? 0 : complain_errno("changes");
}

static void forget(struct changes *c)
{
	while (c->n)
		free(c->list[--c->n].key);
}

/* ---------------------------------------------------------------------------------- the journal */

static void write_line(FILE *f, const struct item *e)
{
	fprintf(f, "set %s %llu %llu %llu %llu\n", e->key, (unsigned long long)e->at.segment,
		(unsigned long long)e->at.offset, (unsigned long long)e->at.size, e->bytes);
}

static int end_journal(FILE *f)
{
	fprintf(f, "commit\n");
	/*
	 * A line that could not be written is gone from the buffer: fflush() alone would not know.
	 */
	if (fflush(f) || ferror(f) || fdatasync(fileno(f)) < 0)
		return complain_errno("journal");
	return 0;
}

/* Durable, then in the tree. */
static int change_index(struct kv *kv, struct changes *c)
{
	int err;

	for (size_t i = 0; i < c->n; i++)
		write_line(kv->journal, &c->list[i]);
	err = end_journal(kv->journal);
	for (size_t i = 0; err == 0 && i < c->n; i++)
		err = apply(kv, &c->list[i]);
	return err;
}

static int replay(struct kv *kv, FILE *f)
{
	struct changes group = { 0 };
	char line[1024], key[512];
	unsigned long long n[4];
	int err = 0;

	while (err == 0 && fgets(line, sizeof line, f)) {
		struct item e = { .key = key };

		if (strcmp(line, "commit\n") == 0) {
			for (size_t i = 0; err == 0 && i < group.n; i++)
				err = apply(kv, &group.list[i]);
			forget(&group);
		} else if (sscanf(line, "set %511s %llu %llu %llu %llu", key, &n[0], &n[1], &n[2],
				  &n[3]) == 5) {
			e.at = (struct lsvd_vlog_handle){ n[0], n[1], n[2] };
			e.bytes = n[3];
			err = remember(&group, &e);
		} else {
			break; /* cut short by a crash: no commit follows */
		}
	}
	forget(&group);
	free(group.list);
	return err;
}

/* twalk() has no context. */
static struct changes *walked;

static void walk_item(const void *node, VISIT visit, int depth)
{
	(void)depth;
	if (visit == postorder || visit == leaf)
		(void)remember(walked, *(struct item *const *)node);
}

/* What the tree says, in a new file that takes the old one's place in one step. */
static int rewrite_journal(struct kv *kv, const char *path)
{
	char fresh[4200];
	int dir;

	snprintf(fresh, sizeof fresh, "%s.new", path);
	kv->journal = fopen(fresh, "w");
	if (!kv->journal)
		return complain_errno(fresh);
	for (size_t i = 0; i < kv->all.n; i++)
		write_line(kv->journal, &kv->all.list[i]);
	if (end_journal(kv->journal) < 0)
		return -1;
	if (rename(fresh, path) < 0)
		return complain_errno(path);
	dir = open(kv->dir, O_RDONLY | O_DIRECTORY);
	if (dir < 0 || fsync(dir) < 0)
		return complain_errno(kv->dir);
	return close(dir);
}

static int load_index(struct kv *kv)
{
	char path[4100];
	FILE *f;
	int err = 0;

	snprintf(path, sizeof path, "%s/index", kv->dir);
	f = fopen(path, "r");
	if (!f && errno != ENOENT)
		return complain_errno(path);
	if (f) {
		err = replay(kv, f);
		fclose(f);
	}
	walked = &kv->all;
	twalk(kv->tree, walk_item);
	return err < 0 ? err : rewrite_journal(kv, path);
}

/* --------------------------------------------------------------------------- garbage collection */

static int same(const struct lsvd_vlog_handle *a, const struct lsvd_vlog_handle *b)
{
	return a->segment == b->segment && a->offset == b->offset;
}

/* Keys of the log are bytes; ours are strings. */
static struct item *look_up_slice(struct kv *kv, const struct lsvd_vlog_slice *key)
{
	char text[512];

	if (key->size >= sizeof text)
		return NULL;
	memcpy(text, key->data, key->size);
	text[key->size] = '\0';
	return look_up(kv, text);
}

/* For lsvd_vlog_scan_for_stats(): one after the other. */
static int next_reference(void *ctx, struct lsvd_vlog_handle *ret, uint64_t *ret_bytes)
{
	struct kv *kv = ctx;

	if (kv->counted == kv->all.n)
		return 0;
	*ret = kv->all.list[kv->counted].at;
	*ret_bytes = kv->all.list[kv->counted].bytes;
	kv->counted++;
	return 1;
}

static int is_live(void *ctx, struct lsvd_vlog_query *q, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct item *e = look_up_slice(ctx, &q[i].key);

		q[i].live = e && same(&e->at, &q[i].handle);
	}
	return 0;
}

static int relocate(void *ctx, const struct lsvd_vlog_move *m, size_t n)
{
	struct kv *kv = ctx;

	for (size_t i = 0; i < n; i++) {
		const struct item *e = look_up_slice(kv, &m[i].key);
		struct item moved;

		if (!e || !same(&e->at, &m[i].from))
			continue; /* overwritten meanwhile: that stands */
		moved = (struct item){ e->key, m[i].to, e->bytes };
		if (remember(&kv->moves, &moved) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int finish(void *ctx, uint64_t *ret_applied)
{
	struct kv *kv = ctx;
	int err = change_index(kv, &kv->moves);

	*ret_applied = kv->moves.n;
	forget(&kv->moves);
	return err < 0 ? -EIO : 0;
}

static void abandon(void *ctx)
{
	forget(&((struct kv *)ctx)->moves);
}

static int collect(struct kv *kv)
{
	struct lsvd_vlog_index index = { .size = sizeof index, .ctx = kv, .is_live = is_live,
					 .relocate = relocate, .finish = finish, .abort = abandon };
	struct lsvd_vlog_strategy half = { .size = sizeof half, .kind = LSVD_VLOG_PICK_STALE,
					   .value = 0.5 };
	struct lsvd_vlog_gc_result gc = LSVD_VLOG_GC_RESULT_INIT;
	struct lsvd_vlog_gc_result drop = LSVD_VLOG_GC_RESULT_INIT;
	int err;

	err = lsvd_vlog_gc(kv->log, &half, &index, NULL, &gc);
	if (err < 0)
		return complain("gc", err);
	err = lsvd_vlog_drop_stale(kv->log, &index, &drop);
	if (err < 0)
		return complain("drop", err);
	printf("moved %llu, dropped %llu segments, freed %llu bytes\n",
	       (unsigned long long)gc.moved_items, (unsigned long long)drop.dropped,
	       (unsigned long long)drop.freed_bytes);
	return 0;
}

/* ------------------------------------------------------------------------------------- commands */

static int set(struct kv *kv, const char *key, const char *value)
{
	struct item e = { .key = (char *)key, .bytes = strlen(value) };
	int err;

	err = kv->writer ? 0 : lsvd_vlog_writer_open(kv->log, &kv->writer);
	if (err < 0)
		return complain("writer", err);
	err = lsvd_vlog_put(kv->writer, key, strlen(key), value, strlen(value), &e.at);
	if (err < 0)
		return complain(key, err);
	return remember(&kv->pending, &e);
}

static int commit(struct kv *kv)
{
	struct lsvd_vlog_pin *pin = NULL;
	size_t n = kv->pending.n;
	int err;

	err = kv->writer ? lsvd_vlog_commit(kv->writer, &pin) : 0;
	kv->writer = NULL; /* whatever became of it */
	if (err < 0)
		return complain("commit", err);
	err = change_index(kv, &kv->pending);
	lsvd_vlog_pin_release(pin);
	forget(&kv->pending);
	if (err == 0)
		printf("committed %zu\n", n);
	return err;
}

static int get(struct kv *kv, const char *key)
{
	const struct item *e = look_up(kv, key);
	struct lsvd_vlog_value *value;
	int err;

	if (!e) {
		printf("%s: none\n", key);
		return 0;
	}
	err = lsvd_vlog_get_checked(kv->log, &e->at, key, strlen(key), &value);
	if (err < 0)
		return complain(key, err);
	printf("%s = %.*s\n", key, (int)lsvd_vlog_value_size(value),
	       (const char *)lsvd_vlog_value_data(value));
	lsvd_vlog_value_unref(value);
	return 0;
}

static int show_stats(struct kv *kv)
{
	struct lsvd_vlog_report report = LSVD_VLOG_REPORT_INIT;
	char text[4096];
	int err = lsvd_vlog_report(kv->log, &report);

	if (err < 0)
		return complain("report", err);
	(void)lsvd_vlog_report_text(&report, text, sizeof text);
	fputs(text, stdout);
	return 0;
}

static int command(struct kv *kv, char *line)
{
	const char *verb = strtok(line, " \n"), *key, *value;

	if (!verb)
		return 0;
	if (strcmp(verb, "commit") == 0)
		return commit(kv);
	if (strcmp(verb, "gc") == 0)
		return collect(kv);
	if (strcmp(verb, "stats") == 0)
		return show_stats(kv);
	key = strtok(NULL, " \n");
	value = strtok(NULL, "\n");
	if (key && strlen(key) < 512 && strcmp(verb, "get") == 0)
		return get(kv, key);
	if (key && strlen(key) < 512 && strcmp(verb, "del") == 0)
		return remember(&kv->pending, &(struct item){ .key = (char *)key });
	if (key && value && strlen(key) < 512 && strcmp(verb, "set") == 0)
		return set(kv, key, value);
	fprintf(stderr, "kv: %s? (set KEY VALUE, get KEY, del KEY, commit, gc, stats)\n", verb);
	return 0;
}

static int serve(struct kv *kv)
{
	char *line = NULL;
	size_t room = 0;
	int err = 0;

	setvbuf(stdout, NULL, _IOLBF, 0); /* an answer is seen when it is true */
	printf("%zu keys\n", kv->all.n);
	while (err == 0 && getline(&line, &room, stdin) > 0)
		err = command(kv, line);
	free(line);
	if (err == 0 && kv->pending.n)
		err = commit(kv);
	lsvd_vlog_abort(kv->writer);
	return err;
}

static void free_item(void *e)
{
	free(((struct item *)e)->key);
	free(e);
}

static int run(struct kv *kv, struct lsvd_store *store)
{
	struct lsvd_vlog_options options = LSVD_VLOG_OPTIONS_INIT;
	struct lsvd_vlog *log;
	int err, end;

	options.flags = LSVD_VLOG_CREATE;
	options.codec = LSVD_VLOG_CODEC_LZ4;
	options.segment_bytes = 1u << 20; /* for earnest leave the default, 64 MiB */
	if (load_index(kv) < 0)
		return 1;
	err = lsvd_vlog_open(&log, store, "kv", &options);
	if (err < 0)
		return complain("open", err), 1;
	kv->log = log;
	/* What was noted as stale before a crash may be forgotten; the index knows. */
	err = lsvd_vlog_scan_for_stats(log, next_reference, kv, NULL);
	err = err < 0 ? complain("statistics", err) : serve(kv);
	kv->log = NULL;
	end = lsvd_vlog_close(log);
	if (end < 0)
		complain("close", end);
	return err < 0 || end < 0;
}

int main(int argc, char **argv)
{
	struct lsvd_store_options options = LSVD_STORE_OPTIONS_INIT;
	struct lsvd_store *store;
	struct kv kv = { 0 };
	char url[4096];
	int err, status;

	if (argc != 2) {
		fprintf(stderr, "usage: kv DIR\n");
		return 2;
	}
	kv.dir = argv[1];
	snprintf(url, sizeof url, "dir:%s/store", argv[1]);
	options.flags = LSVD_STORE_CREATE;
	err = lsvd_store_open(&store, url, &options);
	if (err < 0)
		return complain("store", err), 1;
	status = run(&kv, store);
	lsvd_store_close(store);
	if (kv.journal && fclose(kv.journal))
		complain_errno("journal"), status = 1;
	forget(&kv.pending);
	forget(&kv.moves);
	forget(&kv.all);
	free(kv.pending.list);
	free(kv.moves.list);
	free(kv.all.list);
	while (kv.tree) {
		struct item *e = *(struct item **)kv.tree;

		tdelete(e, &kv.tree, by_key);
		free_item(e);
	}
	return status;
}
