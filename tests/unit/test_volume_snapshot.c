/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of snapshots: what one holds stays, whatever becomes of the volume, and its space comes
 * back when it goes.
 * lsvd-test: timeout=300 labels=tsan
 */
#include <sys/resource.h>
#include <time.h>

#include "t_volume.h"
#include "volume/volume_internal.h"

#define BLOCKS (TV_BYTES / TV_BLOCK)
#define PART (TV_BYTES / 4)
#define EVER UINT32_MAX

static struct tv *fresh(void)
{
	struct tv *t = tv_new();

	tv_open(t);
	return t;
}

static void scatter(struct tv *t, unsigned n, uint64_t seed)
{
	for (unsigned i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		tv_write(t, (seed >> 33) % BLOCKS * TV_BLOCK, TV_BLOCK, seed);
	}
}

/* The content with which a snapshot was made. */
struct past {
	char name[32];
	uint8_t *model;
};

static struct past take(struct tv *t, const char *name)
{
	struct past p = { .model = tv_buffer(TV_BYTES) };

	(void)snprintf(p.name, sizeof p.name, "%s", name); /* fits */
	memcpy(p.model, t->model, TV_BYTES);
	ck_assert_ok(lsvd_snapshot_create(t->v, name, EVER, NULL));
	return p;
}

static struct lsvd_volume *open_past(struct tv *t, const char *name)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *v;

	o.flags = LSVD_OPEN_READONLY;
	o.snapshot = name;
	ck_assert_ok(lsvd_volume_open(&v, t->store, TV_NAME, &o));
	return v;
}

static void check_content(struct lsvd_volume *v, const uint8_t *model)
{
	uint8_t *buf = tv_buffer(1u << 20);

	for (uint64_t off = 0; off < TV_BYTES; off += 1u << 20) {
		size_t at;

		ck_assert_ok(lsvd_volume_read(v, buf, off, 1u << 20));
		at = tv_differ(buf, model + off, 1u << 20);
		ck_assert_msg(at == 1u << 20, "byte %" PRIu64 " is %02x, must be %02x", off + at,
			      buf[at], model[off + at]);
	}
	free(buf);
}

static void check_past(struct tv *t, const struct past *p)
{
	struct lsvd_volume *v = open_past(t, p->name);

	check_content(v, p->model);
	ck_assert_err(lsvd_volume_close(v, 0), 0);
}

static void forget(struct past *p)
{
	free(p->model);
}

static void gc(struct tv *t)
{
	ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
}

/* The newest objects of an open stay; what is dead of them goes at the next. */
static void gc_all(struct tv *t)
{
	tv_reopen(t);
	gc(t);
}

static uint64_t data_bytes(struct tv *t)
{
	static const enum key_kind kinds[] = { KEY_CHAIN, KEY_FREE };
	uint64_t sum = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct tv_keys *k = tv_keys(t, kinds[i]);

		for (unsigned j = 0; j < k->count; j++)
			sum += k->bytes[j];
		free(k);
	}
	return sum;
}

struct names {
	char names[16][LSVD_NAME_MAX + 1];
	unsigned n;
	struct lsvd_snapshot_info last;
};

static int note_name(void *ctx, const struct lsvd_snapshot_info *info)
{
	struct names *n = ctx;

	ck_assert_uint_lt(n->n, 16);
	(void)snprintf(n->names[n->n++], sizeof n->names[0], "%s", info->name); /* as long */
	n->last = *info;
	return n->n == 16;
}

static struct names list(struct tv *t)
{
	struct names n = { .n = 0 };

	ck_assert_ok(lsvd_snapshot_list(t->v, note_name, &n));
	return n;
}

static struct names list_store(struct tv *t)
{
	struct names n = { .n = 0 };

	ck_assert_ok(lsvd_snapshot_list_store(t->store, TV_NAME, note_name, &n));
	return n;
}

/* -------------------------------------------------------------------------------------- content */

START_TEST(a_snapshot_shows_what_the_volume_was)
{
	struct tv *t = fresh();
	struct past p[4];

	for (unsigned i = 0; i < 4; i++) {
		char name[8] = { 's', (char)('0' + i), 0 };

		scatter(t, 400, i + 1);
		if (i == 2)
			tv_trim(t, 0, TV_BYTES / 2);
		if (i % 2)
			ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
		p[i] = take(t, name);
	}
	scatter(t, 2000, 77);
	for (unsigned i = 0; i < 4; i++)
		check_past(t, &p[i]);
	tv_trim(t, 0, TV_BYTES);
	for (unsigned round = 0; round < 3; round++) {
		gc_all(t);
		scatter(t, 100, round);
		for (unsigned i = 0; i < 4; i++)
			check_past(t, &p[i]);
	}
	tv_check_all(t);
	for (unsigned i = 0; i < 4; i++)
		forget(&p[i]);
	tv_free(t);
}
END_TEST

START_TEST(a_snapshot_of_a_volume_never_written_is_empty)
{
	struct tv *t = fresh();
	struct past p = take(t, "nothing");

	scatter(t, 100, 1);
	check_past(t, &p);
	gc_all(t);
	check_past(t, &p);
	forget(&p);
	tv_free(t);
}
END_TEST

START_TEST(collection_leaves_what_a_snapshot_holds_and_copies_none_of_it)
{
	struct tv *t = fresh();
	struct past p;

	for (uint64_t off = 0; off < TV_BYTES; off += 65536)
		tv_write(t, off, 65536, off);
	p = take(t, "whole");
	scatter(t, 2500, 5);
	tv_reopen(t);
	gc(t);
	/* the blocks written since at most */
	ck_assert_uint_lt(tv_stats(t).gc_copied_bytes, TV_BYTES);
	check_past(t, &p);
	tv_check_all(t);
	forget(&p);
	tv_free(t);
}
END_TEST

START_TEST(the_space_comes_back_in_whatever_order_they_are_deleted)
{
	static const unsigned orders[2][6] = { { 0, 1, 2, 3, 4, 5 }, { 3, 0, 5, 1, 4, 2 } };
	struct tv *t = fresh();
	struct past p[6];
	char name[8];

	for (unsigned i = 0; i < 6; i++) {
		for (uint64_t off = 0; off < PART; off += 131072)
			tv_write(t, off, 131072, i * 1000 + off);
		(void)snprintf(name, sizeof name, "s%u", i); /* fits */
		p[i] = take(t, name);
	}
	gc_all(t);
	ck_assert_uint_gt(data_bytes(t), 6 * PART);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert_ok(lsvd_snapshot_delete(t->v, p[orders[_i][i]].name, EVER));
		gc_all(t);
		for (unsigned j = i + 1; j < 6; j++)
			check_past(t, &p[orders[_i][j]]);
	}
	gc_all(t);
	ck_assert_uint_lt(data_bytes(t), PART * 11 / 10);
	ck_assert_uint_le(tv_count(t, KEY_ROOT), 2);
	tv_check_all(t);
	for (unsigned i = 0; i < 6; i++)
		forget(&p[i]);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------------------- the reader */

START_TEST(reading_a_snapshot_puts_and_deletes_nothing)
{
	struct tv *t = fresh();
	struct past p;

	scatter(t, 500, 1);
	p = take(t, "s");
	tv_close(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT | FAULT_REMOVE, .err = -EIO });
	check_past(t, &p);
	ck_assert_uint_eq(list_store(t).n, 1);
	ck_assert_uint_eq(store_fault_hits(t->fault, FAULT_FAIL), 0);
	store_fault_clear(t->fault);
	forget(&p);
	tv_free(t);
}
END_TEST

START_TEST(a_snapshot_cannot_be_written)
{
	struct tv *t = fresh();
	struct past p = take(t, "s");
	struct lsvd_volume *v = open_past(t, "s");
	uint8_t block[TV_BLOCK] = { 1 };

	ck_assert_err(lsvd_volume_write(v, block, 0, TV_BLOCK, 0), -EROFS);
	ck_assert_err(lsvd_snapshot_create(v, "t", EVER, NULL), -EROFS);
	ck_assert_err(lsvd_snapshot_delete(v, "s", EVER), -EROFS);
	ck_assert_err(lsvd_volume_close(v, 0), 0);
	forget(&p);
	tv_free(t);
}
END_TEST

START_TEST(a_snapshot_that_is_not_there_cannot_be_opened)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct tv *t = fresh();
	struct lsvd_volume *v;

	o.flags = LSVD_OPEN_READONLY;
	o.snapshot = "none";
	ck_assert_err(lsvd_volume_open(&v, t->store, TV_NAME, &o), -ENOENT);
	ck_assert_error_says("none");
	o.flags = 0;
	o.cache_dir = t->cache;
	ck_assert_err(lsvd_volume_open(&v, t->store, TV_NAME, &o), -EINVAL);
	tv_free(t);
}
END_TEST

START_TEST(what_a_writer_deleted_is_stale_to_a_reader_never_wrong)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	uint8_t *buf = tv_buffer(65536), *was = tv_buffer(TV_BYTES);
	struct tv *t = fresh();
	unsigned stale = 0;
	struct lsvd_volume *v;
	int err;

	for (uint64_t off = 0; off < PART; off += 65536)
		tv_write(t, off, 65536, off);
	tv_sync(t);
	memcpy(was, t->model, TV_BYTES);
	o.flags = LSVD_OPEN_READONLY;
	ck_assert_ok(lsvd_volume_open(&v, t->store, TV_NAME, &o));
	tv_trim(t, 0, PART / 2);
	gc_all(t);
	for (uint64_t off = 0; off < PART; off += 65536) {
		err = lsvd_volume_read(v, buf, off, 65536);
		stale += err == -ESTALE;
		ck_assert(err == 0 || err == -ESTALE);
		if (err == 0)
			ck_assert_mem_eq(buf, was + off, 65536);
	}
	ck_assert_uint_ge(stale, 16);
	ck_assert_err(lsvd_volume_close(v, 0), 0);
	free(buf);
	free(was);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------- the list */

START_TEST(the_list_has_name_size_time_and_place)
{
	struct lsvd_snapshot_info info = LSVD_SNAPSHOT_INFO_INIT;
	struct tv *t = fresh();
	struct names n;

	tv_write(t, 0, TV_BLOCK, 1);
	ck_assert_ok(lsvd_snapshot_create(t->v, "one", EVER, NULL));
	tv_write(t, 0, TV_BLOCK, 2);
	ck_assert_ok(lsvd_snapshot_create(t->v, "two", EVER, &info));
	n = list(t);
	ck_assert_uint_eq(n.n, 2);
	ck_assert_str_eq(n.names[0], "one");
	ck_assert_str_eq(n.names[1], "two");
	ck_assert_mem_eq(&n.last, &info, sizeof info);
	ck_assert_uint_eq(info.bytes, TV_BYTES);
	ck_assert_uint_eq(info.op, 2);
	ck_assert_int_gt(info.created_ms, 0);
	ck_assert_uint_eq(info.epoch, 1);
	n = list_store(t);
	ck_assert_uint_eq(n.n, 2);
	ck_assert_mem_eq(&n.last, &info, sizeof info);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
		tv_reopen(t);
		n = list(t);
		ck_assert_uint_eq(n.n, 2);
		ck_assert_mem_eq(&n.last, &info, sizeof info);
	}
	ck_assert_ok(lsvd_snapshot_delete(t->v, "two", EVER));
	ck_assert_ok(lsvd_snapshot_create(t->v, "two", EVER, NULL)); /* the name is free again */
	n = list(t);
	ck_assert_uint_eq(n.n, 2);
	ck_assert_str_ne(n.last.uuid, info.uuid);
	tv_free(t);
}
END_TEST

START_TEST(wrong_calls_are_refused)
{
	struct tv *t = fresh();

	ck_assert_err(lsvd_snapshot_create(t->v, "", EVER, NULL), -EINVAL);
	ck_assert_err(lsvd_snapshot_create(t->v, "a/b", EVER, NULL), -EINVAL);
	ck_assert_err(lsvd_snapshot_create(t->v, NULL, EVER, NULL), -EINVAL);
	ck_assert_ok(lsvd_snapshot_create(t->v, "a", EVER, NULL));
	ck_assert_err(lsvd_snapshot_create(t->v, "a", EVER, NULL), -EEXIST);
	ck_assert_err(lsvd_snapshot_delete(t->v, "b", EVER), -ENOENT);
	ck_assert_ok(lsvd_snapshot_delete(t->v, "a", EVER));
	ck_assert_err(lsvd_snapshot_delete(t->v, "a", EVER), -ENOENT);
	tv_free(t);
}
END_TEST

START_TEST(a_snapshot_that_cannot_be_stored_is_none)
{
	struct tv *t = fresh();

	tv_write(t, 0, TV_BLOCK, 1);
	ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .err = LSVD_E_UNAVAILABLE });
	ck_assert_err(lsvd_snapshot_create(t->v, "late", 50, NULL), -ETIMEDOUT);
	ck_assert_uint_eq(list(t).n, 0);
	ck_assert_uint_eq(list_store(t).n, 0);
	store_fault_clear(t->fault);
	(void)lsvd_volume_seal(t->v); /* tries again what has failed */
	tv_wait_for(list(t).n == 1);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------ very many */

/* LSVD_SNAPSHOTS for more: tests/campaign snapshots. */
static unsigned how_many(void)
{
	const char *text = getenv("LSVD_SNAPSHOTS");

	return text && *text ? (unsigned)strtoul(text, NULL, 0) : 1000;
}

static double seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Told, not judged. */
static void tell(const char *what, unsigned n, double since)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage); /* cannot fail */
	printf("%u snapshots %s: %.1f s; so far %.1f s of CPU, at most %ld KiB\n", n, what,
	       seconds() - since,
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
	       usage.ru_maxrss);
}

/* What is deleted is collected meanwhile, by itself and by hand. */
START_TEST(a_thousand_snapshots_come_and_go)
{
	unsigned many = how_many();
	double since = seconds();
	struct tv *t = fresh();
	struct past kept;
	uint64_t seed = 1;
	char name[16];
	unsigned i;

	t->o.checkpoint_segments = 64;
	tv_reopen(t);
	for (i = 0; i < many; i++) {
		tv_write(t, i % BLOCKS * TV_BLOCK, TV_BLOCK, i);
		(void)snprintf(name, sizeof name, "s%u", i); /* fits */
		if (i == many / 2)
			kept = take(t, name);
		else
			ck_assert_ok(lsvd_snapshot_create(t->v, name, EVER, NULL));
	}
	tell("made", many, since);
	since = seconds();
	t->o.gc = LSVD_GC_AUTO;
	t->o.gc_bytes_per_second = UINT64_MAX;
	t->o.gc_idle_ms = 1;
	tv_reopen(t);
	check_past(t, &kept);
	tell("reopened, one read", many, since);
	since = seconds();
	for (unsigned left = many - 1; left; ) { /* in an order by chance, but for the one */
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		i = (unsigned)((seed >> 33) % many);
		(void)snprintf(name, sizeof name, "s%u", i); /* fits */
		if (i == many / 2 || lsvd_snapshot_delete(t->v, name, EVER) == -ENOENT)
			continue;
		left--;
		if (left % (many / 4) == 0) {
			gc_all(t);
			check_past(t, &kept);
		}
	}
	ck_assert_uint_eq(list(t).n, 1);
	ck_assert_ok(lsvd_snapshot_delete(t->v, kept.name, EVER));
	t->o.gc = LSVD_GC_OFF; /* else a round may have a root of its own just then */
	tv_reopen(t);
	gc_all(t);
	gc_all(t);
	tell("deleted by chance", many, since);
	ck_assert_uint_le(tv_count(t, KEY_ROOT), 2);
	ck_assert_uint_lt(tv_stats(t).stored_bytes,
			  (many < BLOCKS ? many : BLOCKS) * (TV_BLOCK + 100) * 11 / 10);
	tv_check_all(t);
	forget(&kept);
	tv_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("volume_snapshot");
	TCase *c = tcase_create("content");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, a_snapshot_shows_what_the_volume_was);
	tcase_add_test(c, a_snapshot_of_a_volume_never_written_is_empty);
	tcase_add_test(c, collection_leaves_what_a_snapshot_holds_and_copies_none_of_it);
	tcase_add_loop_test(c, the_space_comes_back_in_whatever_order_they_are_deleted, 0, 2);
	suite_add_tcase(s, c);

	c = tcase_create("reader");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, reading_a_snapshot_puts_and_deletes_nothing);
	tcase_add_test(c, a_snapshot_cannot_be_written);
	tcase_add_test(c, a_snapshot_that_is_not_there_cannot_be_opened);
	tcase_add_test(c, what_a_writer_deleted_is_stale_to_a_reader_never_wrong);
	suite_add_tcase(s, c);

	c = tcase_create("list");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, the_list_has_name_size_time_and_place);
	tcase_add_test(c, wrong_calls_are_refused);
	tcase_add_test(c, a_snapshot_that_cannot_be_stored_is_none);
	suite_add_tcase(s, c);

	c = tcase_create("many");
	tcase_set_timeout(c, how_many() > 1000 ? 7200 : 250);
	tcase_add_test(c, a_thousand_snapshots_come_and_go);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
