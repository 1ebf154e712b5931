/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the check: a sound volume has no findings, whatever it went through; and of each kind of
 * object whatever is damaged, cut, gone or in the wrong place is named, with what it takes with it.
 * lsvd-test: timeout=300
 */
#include <lsvd/check.h>

#include "format/fmt_chain.h"
#include "format/fmt_claim.h"
#include "t_volume.h"

#define FINDINGS 64u

/* What a check found, kept. */
struct found {
	struct lsvd_check_report report;
	unsigned n;
	struct {
		uint32_t severity, kind;
		char object[KEY_CAP];
		uint64_t off, len, affected;
		struct lsvd_check_range range;
		char text[256];
		bool advised;
	} at[FINDINGS];
	unsigned stop_after;     /* calls of progress; 0: never */
	unsigned calls;
	struct tv *touch;        /* writes while it is checked */
};

static void note_finding(void *ctx, const struct lsvd_check_finding *f)
{
	struct found *found = ctx;

	ck_assert_uint_eq(f->size, sizeof *f);
	if (found->n == FINDINGS)
		return;
	found->at[found->n].severity = f->severity;
	found->at[found->n].kind = f->kind;
	(void)snprintf(found->at[found->n].object, KEY_CAP, "%s", f->object); /* keys fit */
	found->at[found->n].off = f->off;
	found->at[found->n].len = f->len;
	found->at[found->n].affected = f->affected_bytes;
	if (f->range_count)
		found->at[found->n].range = f->ranges[0];
	(void)snprintf(found->at[found->n].text, 256, "%s", f->text); /* may be cut */
	found->at[found->n].advised = *f->advice != '\0';
	found->n++;
}

static int note_progress(void *ctx, uint32_t stage, uint64_t done, uint64_t total)
{
	struct found *found = ctx;

	(void)stage;
	ck_assert(!total || done <= total);
	found->calls++;
	if (found->touch && found->calls == 2) {
		tv_open(found->touch);
		tv_write(found->touch, 0, TV_BLOCK, 1);
		tv_close(found->touch);
	}
	return found->stop_after && found->calls > found->stop_after;
}

static int check_into(struct tv *t, struct found *f, uint32_t flags, const char *cache)
{
	struct lsvd_check_options o = LSVD_CHECK_OPTIONS_INIT;
	struct lsvd_check_report r = LSVD_CHECK_REPORT_INIT;

	f->report = r;
	o.flags = flags;
	o.cache_dir = cache;
	o.finding = note_finding;
	o.progress = note_progress;
	o.ctx = f;
	return lsvd_volume_check(t->store, TV_NAME, &o, &f->report);
}

static struct found *check(struct tv *t, uint32_t flags)
{
	struct found *f = calloc(1, sizeof *f);

	ck_assert_ptr_nonnull(f);
	ck_assert_ok(check_into(t, f, flags, NULL));
	return f;
}

static void print_findings(const struct found *f)
{
	for (unsigned i = 0; i < f->n; i++)
		printf("finding %u: severity %u kind %u %s at %" PRIu64 "+%" PRIu64 " affects %"
		       PRIu64 " at %" PRIu64 ": %s\n", i, f->at[i].severity, f->at[i].kind,
		       f->at[i].object, f->at[i].off, f->at[i].len, f->at[i].affected,
		       f->at[i].range.off, f->at[i].text);
	(void)fflush(stdout); /* only helps */
}

/* Neither errors nor warnings. */
static void expect_sound(struct tv *t)
{
	struct found *f = check(t, LSVD_CHECK_DEEP);

	print_findings(f);
	ck_assert_uint_eq(f->report.errors, 0);
	ck_assert_uint_eq(f->report.warnings, 0);
	ck_assert_uint_eq(f->report.complete, 1);
	ck_assert_uint_eq(f->report.verified_objects, f->report.data_objects);
	free(f);
}

/* The one error that is there. */
static unsigned only_error(const struct found *f)
{
	unsigned at = FINDINGS;

	for (unsigned i = 0; i < f->n; i++)
		if (f->at[i].severity == LSVD_CHECK_ERROR)
			at = i;
	if (f->report.errors != 1)
		print_findings(f);
	ck_assert_uint_eq(f->report.errors, 1);
	ck_assert_uint_lt(at, f->n);
	ck_assert(f->at[at].advised);
	return at;
}

/* ------------------------------------------------------------------------ volumes to be checked */

static void fill(struct tv *t, uint64_t seed)
{
	for (uint64_t off = 0; off < TV_BYTES / 2; off += 65536)
		tv_write(t, off, 65536, seed + off);
}

static void scatter(struct tv *t, unsigned n, uint64_t seed)
{
	for (unsigned i = 0; i < n; i++)
		tv_write(t, t_random_below(&seed, TV_BYTES / 2 / TV_BLOCK) * TV_BLOCK,
			 TV_BLOCK, seed);
}

static void checkpoint(struct tv *t)
{
	ck_assert_ok(lsvd_volume_checkpoint(t->v, UINT32_MAX));
}

/*
 * A volume with something of everything: two epochs, a checkpoint with pages, data before and after
 * it, trims, what garbage collection moved.
 */
static void live(struct tv *t)
{
	tv_open(t);
	fill(t, 1);
	tv_write_text(t, 0, 256u << 10, 3);
	scatter(t, 300, 7);
	tv_reopen(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, UINT32_MAX));
	tv_trim(t, 1u << 20, 1u << 20);
	scatter(t, 40, 11);
	checkpoint(t);
	tv_write(t, 2u << 20, 128u << 10, 5);
	tv_zero(t, 6u << 20, 65536, LSVD_IO_NO_HOLE);
	tv_sync(t);
	tv_write(t, 3u << 20, 128u << 10, 6);
	tv_sync(t);
}

static struct tv *lived_in(void)
{
	struct tv *t = tv_new();

	live(t);
	return t;
}

/*
 * Its machine has died: no last checkpoint, so data follows the root; and nobody deletes what is
 * being copied. Made once, before the tests are forked.
 */
static struct tv *template;

static void make_template(void)
{
	struct tv *t = tv_new();

	tv_killed(t, live);
	template = tv_copy(t);
	tv_free(t);
	/* no thread of it is to be there when a test is forked */
	lsvd_store_close(template->store);
	template->store = NULL;
}

static void free_template(void)
{
	tv_free(template);
}

static struct tv *abandoned(void)
{
	return tv_copy(template);
}

/* ---------------------------------------------------------------------------------------- sound */

START_TEST(a_sound_volume_has_no_findings)
{
	struct tv *t = tv_new();

	expect_sound(t); /* never opened */
	tv_open(t);
	tv_close(t);
	expect_sound(t);
	tv_open(t);
	fill(t, 1);
	tv_close(t);
	expect_sound(t);
	tv_free(t);
}
END_TEST

START_TEST(a_volume_that_has_lived_has_no_findings)
{
	struct tv *t = lived_in();

	tv_close(t);
	expect_sound(t);
	for (unsigned i = 0; i < 20; i++) {
		tv_open(t);
		scatter(t, 200, i);
		if (i % 3 == 0)
			checkpoint(t);
		if (i % 5 == 4)
			ck_assert_ok(lsvd_volume_gc(t->v, 110, UINT32_MAX));
		tv_close(t);
	}
	expect_sound(t);
	tv_free(t);
}
END_TEST

START_TEST(an_abandoned_volume_has_no_findings)
{
	struct tv *t = abandoned();
	struct found *f;

	expect_sound(t);
	f = check(t, 0);
	ck_assert_uint_gt(f->report.chain_objects, 4);
	ck_assert_uint_gt(f->report.live_bytes, 0);
	ck_assert_uint_eq(f->report.verified_objects, 0);
	ck_assert_uint_gt(f->report.pages, 0);
	free(f);
	tv_free(t);
}
END_TEST

static void write_and_die(struct tv *t)
{
	t->v = NULL;
	tv_open(t);
	scatter(t, 400, 77);
	tv_sync(t);
	scatter(t, 50, 78);
}

START_TEST(a_volume_whose_writer_was_killed_has_no_findings)
{
	struct tv *t = tv_new();

	tv_killed(t, write_and_die);
	expect_sound(t);
	tv_open(t);
	tv_check_all(t);
	tv_close(t);
	expect_sound(t);
	tv_free(t);
}
END_TEST

START_TEST(long_chains_with_anchors_have_no_findings)
{
	struct tv *t = tv_new();

	t->o.checkpoint_segments = 30;
	tv_open(t);
	for (unsigned i = 0; i < 200; i++) {
		tv_write(t, i % 64 * 65536, 65536, i);
		tv_sync(t);
	}
	tv_close(t);
	expect_sound(t);
	tv_free(t);
}
END_TEST

START_TEST(a_check_changes_nothing)
{
	struct tv *t = abandoned();
	struct found *f;

	store_fault_reset_counts(t->fault);
	f = check(t, LSVD_CHECK_DEEP);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES), 0);
	ck_assert_uint_gt(store_fault_calls(t->fault, FAULT_READS), 0);
	free(f);
	tv_run("cp -a '%s' '%s.before'", t->cache, t->cache);
	f = calloc(1, sizeof *f);
	ck_assert_ptr_nonnull(f);
	ck_assert_ok(check_into(t, f, LSVD_CHECK_DEEP, t->cache));
	print_findings(f);
	ck_assert_uint_eq(f->report.errors + f->report.warnings, 0);
	tv_run("diff -r '%s' '%s.before'", t->cache, t->cache);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES), 0);
	free(f);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------- one at a time */

/* The key of the object that a role means, in an abandoned volume. */
struct role {
	const char *name;
	enum key_kind kind;
	int object_kind;
	bool newest;             /* of those there are; else the oldest */
};

static const struct role roles[] = {
	{ "claim", KEY_CLAIM, OBJECT_CLAIM, false },
	{ "newest claim", KEY_CLAIM, OBJECT_CLAIM, true },
	{ "first base", KEY_CHAIN, OBJECT_BASE, false },
	{ "newest base", KEY_CHAIN, OBJECT_BASE, true },
	{ "close", KEY_CHAIN, OBJECT_CLOSE, false },
	{ "note", KEY_CHAIN, OBJECT_NOTE, false },
	{ "data after the root", KEY_CHAIN, OBJECT_DATA, true },
	{ "data before the root", KEY_CHAIN, OBJECT_DATA, false },
	{ "moved", KEY_FREE, OBJECT_MOVED, true },
	{ "pages", KEY_FREE, OBJECT_PAGES, true },
	{ "root", KEY_ROOT, OBJECT_ROOT, true },
};
#define ROLES (sizeof roles / sizeof roles[0])

static int kind_at(struct tv *t, const char *key)
{
	char *path = tv_object_path(t, key);
	size_t len;
	uint8_t *p = tv_slurp(path, &len);
	int kind = p[10] | p[11] << 8;

	free(p);
	free(path);
	return kind;
}

/*
 * In the table of the newest root, alive: found by what the check calls an orphan
 * or dead if it is not.
 */
static void find_role(struct tv *t, const struct role *role, char key[KEY_CAP])
{
	struct tv_keys *k = tv_keys(t, role->kind);

	key[0] = '\0';
	for (unsigned i = 0; i < k->count; i++) {
		if (kind_at(t, k->keys[i]) != role->object_kind || (key[0] && !role->newest))
			continue;
		(void)snprintf(key, KEY_CAP, "%s", k->keys[i]); /* keys fit */
	}
	free(k);
	ck_assert_msg(key[0], "there is no %s", role->name);
}

static bool is_data_role(const struct role *role)
{
	return role->object_kind == OBJECT_DATA || role->object_kind == OBJECT_MOVED;
}

/* Some finding that is an error names the object. */
static unsigned error_of(const struct found *f, const char *key, const struct role *role)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->at[i].severity == LSVD_CHECK_ERROR && strcmp(f->at[i].object, key) == 0)
			return i;
	print_findings(f);
	ck_abort_msg("%s %s: no error names it", role->name, key);
}

/* The object of a role in an abandoned volume. */
struct victim {
	const struct role *role;
	struct tv *t;
	char key[KEY_CAP], *path;
};

static struct victim victim_of(const struct role *role)
{
	struct victim v = { .role = role, .t = abandoned() };

	find_role(v.t, role, v.key);
	v.path = tv_object_path(v.t, v.key);
	return v;
}

static void end_victim(struct victim *v)
{
	free(v->path);
	tv_free(v->t);
}

/* What a check says of it: the error that names it, in *f, to be freed. */
static unsigned check_victim(const struct victim *v, uint32_t flags, struct found **f)
{
	*f = check(v->t, flags);
	return error_of(*f, v->key, v->role);
}

START_TEST(a_flipped_bit_is_found_in_every_kind_of_object)
{
	struct victim v = victim_of(&roles[_i]);
	uint64_t at_byte = tv_file_size(v.path) - 20;
	struct found *f;
	unsigned at;

	tv_flip(v.path, at_byte);
	at = check_victim(&v, LSVD_CHECK_DEEP, &f);
	ck_assert_uint_eq(f->at[at].kind, LSVD_CHECK_DAMAGED);
	ck_assert(f->at[at].advised);
	if (is_data_role(v.role)) {
		ck_assert_uint_eq(f->report.errors, 1);
		ck_assert_uint_le(f->at[at].off, at_byte);
		ck_assert_uint_gt(f->at[at].off + f->at[at].len, at_byte);
		ck_assert_uint_gt(f->at[at].affected, 0);
		ck_assert_uint_le(f->at[at].affected, 65536);
	}
	free(f);
	tv_flip(v.path, at_byte);
	expect_sound(v.t);
	end_victim(&v);
}
END_TEST

START_TEST(a_flipped_bit_in_a_header_is_found)
{
	static const uint64_t offs[] = { 3, 9, 10, 17, 30, 41, 50, 75 };
	struct victim v = victim_of(&roles[_i]);
	struct found *f;

	for (unsigned i = 0; i < sizeof offs / sizeof offs[0]; i++) {
		tv_flip(v.path, offs[i]);
		(void)check_victim(&v, LSVD_CHECK_DEEP, &f); /* fails if there is none */
		free(f);
		tv_flip(v.path, offs[i]);
	}
	expect_sound(v.t);
	end_victim(&v);
}
END_TEST

START_TEST(an_object_that_was_cut_is_found)
{
	struct victim v = victim_of(&roles[_i]);
	struct found *f;
	unsigned at;

	tv_truncate(v.path, tv_file_size(v.path) / 2 / 16 * 16);
	if (v.role->object_kind == OBJECT_DATA && v.role->newest) {
		/*
		 * The last of the chain, not yet called acknowledged: as if it had never been put.
		 */
		f = check(v.t, 0);
		print_findings(f);
		ck_assert_uint_eq(f->report.errors, 0);
		ck_assert_uint_eq(f->report.warnings, 1);
		ck_assert_uint_eq(f->at[0].kind, LSVD_CHECK_TORN);
		ck_assert_str_eq(f->at[0].object, v.key);
	} else {
		at = check_victim(&v, 0, &f);
		ck_assert(f->at[at].kind == LSVD_CHECK_LENGTH ||
			  (f->at[at].kind == LSVD_CHECK_DAMAGED && !is_data_role(v.role)));
		if (is_data_role(v.role))
			ck_assert_uint_gt(f->at[at].affected, 0);
	}
	free(f);
	end_victim(&v);
}
END_TEST

START_TEST(an_object_that_is_gone_is_found)
{
	struct victim v = victim_of(&roles[_i]);
	struct found *f;
	unsigned at;

	tv_run("rm -f '%s'", v.path, NULL);
	if ((v.role->object_kind == OBJECT_DATA && v.role->newest) ||
	    v.role->object_kind == OBJECT_CLOSE) {
		/*
		 * The last of the chain: as if it had never been. A close looks like deleted data.
		 */
		f = check(v.t, 0);
		ck_assert_uint_eq(f->report.errors, 0);
	} else {
		at = check_victim(&v, 0, &f);
		ck_assert_uint_eq(f->at[at].kind, LSVD_CHECK_MISSING);
		if (is_data_role(v.role))
			ck_assert_uint_gt(f->at[at].affected, 0);
	}
	free(f);
	end_victim(&v);
}
END_TEST

/* The object has the bytes of another of the same volume. */
START_TEST(an_object_that_has_the_place_of_another_is_found)
{
	struct victim v = victim_of(&roles[_i]);
	char from[KEY_CAP], *from_path;
	struct found *f;

	find_role(v.t, &roles[(_i + 3) % ROLES], from);
	from_path = tv_object_path(v.t, from);
	tv_run("cp -f '%s' '%s'", from_path, v.path);
	(void)check_victim(&v, LSVD_CHECK_DEEP, &f); /* fails if there is none */
	free(f);
	free(from_path);
	end_victim(&v);
}
END_TEST

/* ------------------------------------------------------------------------ what exactly is named */

START_TEST(a_bad_unit_is_named_with_its_bytes_and_its_address)
{
	struct tv *t = tv_new();
	char *path;
	struct found *f;
	unsigned at;

	t->o.compression = LSVD_COMPRESS_NONE;
	tv_open(t);
	tv_write(t, 1u << 20, 65536, 1);
	tv_close(t);
	path = tv_chain_path(t, 1, 2);
	tv_flip(path, tv_file_size(path) - 3 * 4112 + 100); /* the third block from the end */
	f = check(t, 0);
	ck_assert_uint_eq(f->report.errors, 0); /* only a deep check reads it */
	free(f);
	f = check(t, LSVD_CHECK_DEEP);
	at = only_error(f);
	ck_assert_uint_eq(f->at[at].kind, LSVD_CHECK_DAMAGED);
	ck_assert_uint_eq(f->at[at].off, tv_file_size(path) - 3 * 4112);
	ck_assert_uint_eq(f->at[at].len, 4112);
	ck_assert_uint_eq(f->at[at].range.off, (1u << 20) + 13 * 4096);
	ck_assert_uint_eq(f->at[at].range.len, 4096);
	ck_assert_uint_eq(f->at[at].affected, 4096);
	ck_assert_uint_eq(f->report.affected_bytes, 4096);
	free(f);
	tv_open(t);
	tv_write(t, (1u << 20) + 13 * 4096, 4096, 9);
	tv_close(t);
	f = check(t, LSVD_CHECK_DEEP); /* overwritten, it does no harm any more */
	ck_assert_uint_eq(f->report.errors, 0);
	ck_assert_uint_eq(f->report.warnings, 1);
	free(f);
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(a_missing_object_is_named_with_all_its_addresses)
{
	struct tv *t = tv_new();
	char *path;
	struct found *f;
	unsigned at;

	tv_open(t);
	tv_write(t, 1u << 20, 65536, 1);
	tv_write(t, 4u << 20, 4096, 2);
	tv_sync(t);
	tv_write(t, 8u << 20, 65536, 3);
	tv_close(t);
	path = tv_chain_path(t, 1, 2);
	tv_run("rm -f '%s'", path, NULL);
	f = check(t, 0);
	at = only_error(f);
	ck_assert_uint_eq(f->at[at].kind, LSVD_CHECK_MISSING);
	ck_assert_uint_eq(f->at[at].range.off, 1u << 20);
	ck_assert_uint_eq(f->at[at].range.len, 65536);
	ck_assert_uint_eq(f->at[at].affected, 65536 + 4096);
	ck_assert_uint_eq(f->report.complete, 1);
	ck_assert_uint_eq(f->report.repairable, 0);
	free(f);
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(what_an_old_listing_does_not_show_is_asked_for_by_its_name)
{
	struct tv *t = lived_in();

	tv_close(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_LIST, .kind = FAULT_STALE });
	expect_sound(t);
	ck_assert_uint_gt(store_fault_hits(t->fault, FAULT_STALE), 0);
	tv_free(t);
}
END_TEST

START_TEST(an_object_that_cannot_be_read_is_found)
{
	const int errors[] = { -EIO, -ENOENT };
	struct tv *t = tv_new();
	struct found *f;
	unsigned at;

	tv_open(t);
	tv_write(t, 1u << 20, 65536, 1);
	tv_close(t);
	for (unsigned i = 0; i < 2; i++) {
		store_fault_clear(t->fault);
		tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET,
						 .key = "/d/00000001.0000000000000002",
						 .kind = FAULT_FAIL, .err = errors[i] });
		f = check(t, LSVD_CHECK_DEEP);
		at = only_error(f);
		ck_assert_uint_eq(f->at[at].kind, i ? LSVD_CHECK_MISSING : LSVD_CHECK_DAMAGED);
		ck_assert_uint_eq(f->at[at].range.off, 1u << 20);
		ck_assert_uint_eq(f->at[at].affected, 65536);
		free(f);
	}
	tv_free(t);
}
END_TEST

START_TEST(what_nothing_leads_to_is_information)
{
	struct tv *t = lived_in();
	struct lsvd_store_options o = LSVD_STORE_OPTIONS_INIT;
	struct iovec iov = { (void *)(uintptr_t)"nothing", 7 };
	struct uuid u = tv_uuid(t);
	char key[KEY_CAP];
	struct found *f;

	(void)o;
	tv_close(t);
	lsvd_key_free(key, &u, 1, 0x123456);
	ck_assert_ok(lsvd_store_put_if_absent(t->store, key, &iov, 1));
	f = check(t, 0);
	ck_assert_uint_eq(f->report.errors + f->report.warnings, 0);
	ck_assert_uint_ge(f->report.orphans, 1);
	ck_assert_uint_ge(f->report.orphan_bytes, 7);
	free(f);
	tv_free(t);
}
END_TEST

START_TEST(a_damaged_checkpoint_alone_is_called_repairable)
{
	struct tv *t = abandoned();
	char key[KEY_CAP], *path;
	struct found *f;

	find_role(t, &roles[ROLES - 1], key);
	path = tv_object_path(t, key);
	tv_run("rm -f '%s'", path, NULL);
	f = check(t, 0);
	ck_assert_uint_eq(f->report.repairable, 1);
	ck_assert_uint_eq(f->report.complete, 0);
	free(f);
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(a_record_that_is_damaged_ends_the_check)
{
	struct tv *t = abandoned();
	char *path = tmpdir_path(t->store_dir, "volumes/" TV_NAME);
	struct found *f;
	unsigned at;

	tv_flip(path, 100);
	f = check(t, 0);
	at = only_error(f);
	ck_assert_str_eq(f->at[at].object, "volumes/" TV_NAME);
	ck_assert_uint_eq(f->report.complete, 0);
	free(f);
	free(path);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------ the cache */

START_TEST(a_damaged_log_is_found_if_the_store_does_not_have_it)
{
	struct tv *t = tv_new();
	char *path = tv_log_path(t);
	struct found *f = calloc(1, sizeof *f);
	struct tv *copy;

	ck_assert_ptr_nonnull(f);
	t->o.segment_bytes = 4u << 20;
	t->o.log_bytes = 32u << 20;
	tv_open(t);
	for (unsigned i = 0; i < 8; i++) {
		tv_write(t, i * 65536u, 65536, i);
		tv_flush(t);
	}
	copy = tv_copy(t);
	free(path);
	path = tv_log_path(copy);
	ck_assert_ok(check_into(copy, f, 0, copy->cache));
	ck_assert_uint_eq(f->report.errors + f->report.warnings, 0);
	ck_assert_uint_ge(f->report.infos, 1); /* what is not stored yet */
	tv_flip(path, 65536 + 2 * 4096);
	f->n = 0;
	ck_assert_ok(check_into(copy, f, 0, copy->cache));
	print_findings(f);
	ck_assert_uint_eq(f->report.errors, 1);
	ck_assert_uint_eq(f->at[0].kind, LSVD_CHECK_CACHE);
	ck_assert_str_eq(f->at[0].object, TV_NAME ".log");
	free(path);
	free(f);
	tv_free(copy);
	tv_free(t);
}
END_TEST

/* Such names must not be counted up to. */
START_TEST(objects_of_an_epoch_that_never_was_are_told_of_and_passed_over)
{
	struct tv *t = abandoned();
	struct uuid u = tv_uuid(t);
	struct found *f;
	char key[KEY_CAP], byte = 0;
	const struct iovec junk = { &byte, 1 };

	lsvd_key_claim(key, &u, UINT64_MAX);
	ck_assert_ok(lsvd_store_put_if_absent(t->store, key, &junk, 1));
	lsvd_key_chain(key, &u, UINT64_MAX - 1, 1);
	ck_assert_ok(lsvd_store_put_if_absent(t->store, key, &junk, 1));
	f = check(t, 0);
	print_findings(f);
	ck_assert_uint_eq(f->report.errors, 0);
	ck_assert_uint_eq(f->report.warnings, 2);
	ck_assert_uint_eq(f->report.complete, 1);
	for (unsigned i = 0; i < f->n; i++)
		if (f->at[i].severity == LSVD_CHECK_WARNING)
			ck_assert_uint_eq(f->at[i].kind, LSVD_CHECK_ASTRAY);
	free(f);
	tv_free(t);
}
END_TEST

START_TEST(a_volume_that_is_served_here_is_refused_before_anything_is_looked_at)
{
	struct tv *t = tv_new();
	struct found f = { .n = 0 };

	tv_open(t);
	ck_assert_err(check_into(t, &f, LSVD_CHECK_DEEP, t->cache), LSVD_E_LOCKED);
	ck_assert_uint_eq(f.report.objects, 0);
	ck_assert_uint_eq(f.n, 0);
	tv_free(t);
}
END_TEST

/* --------------------------------------------------------------------------------------- repair */

static int repair(struct tv *t, struct lsvd_repair_report *ret)
{
	struct lsvd_repair_report r = LSVD_REPAIR_REPORT_INIT;
	int err = lsvd_volume_repair(t->store, TV_NAME, &t->o, &r);

	*ret = r;
	return err;
}

static char *newest_of(struct tv *t, enum key_kind kind, int object_kind)
{
	const struct role role = { "the newest", kind, object_kind, true };
	char key[KEY_CAP];

	find_role(t, &role, key);
	return tv_object_path(t, key);
}

static void expect_repaired_now(struct tv *t)
{
	struct lsvd_repair_report r;

	ck_assert_ok(repair(t, &r));
	ck_assert_uint_eq(r.repaired, 1);
	ck_assert_uint_gt(r.extents, 0);
}

/* What was there before is there, as it was. */
static void expect_only_added(struct tv *t)
{
	tv_run("cd '%s.before' && find . -type f | while read -r f; do cmp -s \"$f\" \"%s/$f\" "
	       "|| exit 1; done", t->store_dir, t->store_dir);
}

static void expect_as_it_was(struct tv *t)
{
	expect_sound(t);
	tv_open(t);
	tv_check_all(t);
	scatter(t, 100, 5);
	tv_close(t);
	expect_sound(t);
	tv_run("rm -rf '%s'", t->cache, NULL);
	tv_open(t);
	tv_check_all(t);
}

/* Two epochs, a checkpoint, data behind it; nothing was deleted. */
static struct tv *young(void)
{
	struct tv *t = tv_new();

	tv_open(t);
	fill(t, 4);
	tv_reopen(t);
	tv_trim(t, 65536, 65536);
	tv_zero(t, 262144, 65536, LSVD_IO_NO_HOLE);
	scatter(t, 50, 2);
	checkpoint(t);
	scatter(t, 50, 3);
	tv_close(t);
	return t;
}

static void damage_and_repair(struct tv *t, enum key_kind kind, int object_kind, bool remove)
{
	char *path = newest_of(t, kind, object_kind);

	if (remove)
		tv_run("rm -f '%s'", path, NULL);
	else
		tv_flip(path, tv_file_size(path) - 9);
	tv_run("cp -a '%s' '%s.before'", t->store_dir, t->store_dir);
	store_fault_reset_counts(t->fault);
	expect_repaired_now(t);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_REMOVE), 0);
	expect_only_added(t);
	expect_as_it_was(t);
	free(path);
}

START_TEST(a_lost_root_is_made_anew)
{
	struct tv *t = young();

	damage_and_repair(t, KEY_ROOT, OBJECT_ROOT, true);
	tv_free(t);
}
END_TEST

START_TEST(a_damaged_root_is_made_anew)
{
	struct tv *t = young();

	damage_and_repair(t, KEY_ROOT, OBJECT_ROOT, false);
	tv_free(t);
}
END_TEST

START_TEST(damaged_pages_are_made_anew)
{
	struct tv *t = young();

	damage_and_repair(t, KEY_FREE, OBJECT_PAGES, false);
	tv_free(t);
}
END_TEST

START_TEST(a_volume_of_which_something_was_deleted_is_made_anew_by_its_table)
{
	struct tv *t = tv_new();
	char *path;

	tv_open(t);
	for (unsigned i = 0; i < 3; i++) {
		fill(t, i);
		checkpoint(t);
	}
	tv_reopen(t);
	scatter(t, 20, 8);
	ck_assert_ok(lsvd_volume_gc(t->v, 10000, UINT32_MAX)); /* deletes, and copies nothing */
	scatter(t, 20, 9);
	ck_assert_uint_gt(tv_stats(t).deleted_objects, 0);
	tv_close(t);
	/* Of the table itself nothing may be damaged: a byte of the first page. */
	path = newest_of(t, KEY_FREE, OBJECT_PAGES);
	tv_flip(path, 80 + 2);
	tv_run("cp -a '%s' '%s.before'", t->store_dir, t->store_dir);
	expect_repaired_now(t);
	expect_only_added(t);
	expect_as_it_was(t);
	free(path);
	tv_free(t);
}
END_TEST

/* Trims an address, is overwritten otherwise, and deleted: what it trimmed must not come back. */
static struct tv *forgetful(void)
{
	struct tv *t = tv_new();

	tv_open(t);
	tv_write(t, 0, 131072, 1);
	tv_sync(t);
	tv_trim(t, 65536, 65536);
	tv_write(t, 1u << 20, 65536, 2);
	tv_sync(t);
	tv_write(t, 1u << 20, 65536, 3);
	tv_close(t);
	tv_open(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 10000, UINT32_MAX));
	ck_assert_uint_gt(tv_stats(t).deleted_objects, 0);
	tv_close(t);
	return t;
}

static void expect_refused(struct tv *t, const char *why)
{
	struct lsvd_repair_report r;

	store_fault_reset_counts(t->fault);
	ck_assert_err(repair(t, &r), LSVD_E_UNSUPPORTED);
	ck_assert_error_says(why);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES), 0);
}

START_TEST(what_was_trimmed_never_comes_back)
{
	struct tv *t = forgetful();
	char *path = newest_of(t, KEY_FREE, OBJECT_PAGES);

	tv_flip(path, 80 + 2);
	expect_refused(t, "lived by");
	tv_flip(path, 80 + 2);
	expect_sound(t);
	free(path);
	path = newest_of(t, KEY_ROOT, OBJECT_ROOT);
	tv_run("rm -f '%s'", path, NULL);
	expect_refused(t, "what they trimmed");
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(what_was_moved_out_of_deleted_objects_is_not_guessed)
{
	struct tv *t = lived_in();
	char *path;

	tv_close(t);
	path = newest_of(t, KEY_ROOT, OBJECT_ROOT);
	tv_run("rm -f '%s'", path, NULL);
	expect_refused(t, "have been deleted");
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(other_damage_is_not_repaired_nor_is_what_is_whole)
{
	struct tv *t = young();
	struct lsvd_repair_report r;
	struct tv_keys *k;
	char *path;

	store_fault_reset_counts(t->fault);
	ck_assert_ok(repair(t, &r));
	ck_assert_uint_eq(r.repaired, 0);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES), 0);
	path = newest_of(t, KEY_ROOT, OBJECT_ROOT);
	tv_run("rm -f '%s'", path, NULL);
	free(path);
	k = tv_keys(t, KEY_CLAIM);
	path = tv_object_path(t, k->keys[0]);
	tv_flip(path, 90);
	expect_refused(t, "not in the checkpoint");
	free(path);
	free(k);
	tv_free(t);
}
END_TEST

START_TEST(a_volume_with_snapshots_is_not_repaired)
{
	struct tv *t = young();
	char *path;

	tv_open(t);
	ck_assert_ok(lsvd_snapshot_create(t->v, "s", UINT32_MAX, NULL));
	tv_close(t);
	expect_sound(t);
	path = newest_of(t, KEY_ROOT, OBJECT_ROOT);
	tv_run("rm -f '%s'", path, NULL);
	expect_refused(t, "snapshots");
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(a_volume_that_was_rolled_back_is_checked_and_not_made_anew_from_its_chain)
{
	struct tv *t = young();
	uint8_t *past = tv_buffer(TV_BYTES);
	struct lsvd_repair_report r;
	char *path;

	tv_open(t);
	memcpy(past, t->model, TV_BYTES);
	ck_assert_ok(lsvd_snapshot_create(t->v, "s", UINT32_MAX, NULL));
	scatter(t, 50, 6);
	ck_assert_ok(lsvd_snapshot_rollback(t->v, "s", UINT32_MAX));
	memcpy(t->model, past, TV_BYTES);
	ck_assert_ok(lsvd_snapshot_delete(t->v, "s", UINT32_MAX));
	scatter(t, 50, 7);
	tv_close(t);
	expect_sound(t);
	store_fault_reset_counts(t->fault);
	ck_assert_ok(repair(t, &r));
	ck_assert_uint_eq(r.repaired, 0);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES), 0);
	path = newest_of(t, KEY_ROOT, OBJECT_ROOT);
	tv_run("mv '%s' '%s.away'", path, t->store_dir);
	/* the note is an error, too: nothing leads past it */
	expect_refused(t, "not in the checkpoint");
	tv_run("mv '%s.away' '%s'", t->store_dir, path);
	free(path);
	path = newest_of(t, KEY_FREE, OBJECT_PAGES);
	tv_flip(path, 80 + 2);
	expect_refused(t, "rolled back");
	tv_flip(path, 80 + 2);
	expect_as_it_was(t);
	free(path);
	free(past);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------- epochs that never were */

/* A claim of an epoch, and the fence of whoever outran it in the place of its base. */
static void put_outrun(struct tv *t, uint64_t epoch, uint64_t base)
{
	struct fmt_claim claim = { .host = "late", .void_from = base + 1 };
	struct chain_part chain = { .first_op = 1, .volume_bytes = 1 << 20, .next_object = 1,
				    .fenced_by = epoch + 1 };
	struct object_head head = { .kind = OBJECT_FENCE, .epoch = epoch, .seq = 1,
				    .header_bytes = OBJECT_HEAD_BYTES + CHAIN_PART_BYTES };
	uint8_t bytes[FMT_CLAIM_BYTES], fence[OBJECT_HEAD_BYTES + CHAIN_PART_BYTES] = { 0 };
	struct tv_keys *k = tv_keys(t, KEY_CLAIM);
	struct key_parts parts;
	char key[KEY_CAP];

	ck_assert(lsvd_key_parse(&parts, k->keys[0]));
	free(k);
	lsvd_claim_encode(bytes, &parts.uuid, epoch, &claim);
	lsvd_key_claim(key, &parts.uuid, epoch);
	ck_assert_ok(lsvd_store_put_if_absent(t->store, key,
					      &(struct iovec){ bytes, sizeof bytes }, 1));
	head.volume = parts.uuid;
	lsvd_chain_part_encode(fence + OBJECT_HEAD_BYTES, &chain);
	lsvd_object_head_encode(fence, &head);
	lsvd_key_chain(key, &parts.uuid, epoch, 1);
	ck_assert_ok(lsvd_store_put_if_absent(t->store, key,
					      &(struct iovec){ fence, sizeof fence }, 1));
}

static uint64_t orphans_of_sound(struct tv *t)
{
	struct found *f = check(t, 0);
	uint64_t n = f->report.orphans;

	free(f);
	expect_sound(t);
	return n;
}

START_TEST(an_epoch_that_was_outrun_is_no_finding_and_hides_nothing)
{
	struct tv *t = young();
	uint64_t orphans = orphans_of_sound(t);

	put_outrun(t, 3, 2);
	ck_assert_uint_eq(orphans_of_sound(t), orphans);
	tv_open(t);
	scatter(t, 20, 4);
	tv_close(t);
	put_outrun(t, 5, 4);
	ck_assert_uint_eq(orphans_of_sound(t), orphans);
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------ snapshots */

START_TEST(what_a_snapshot_needs_must_be_there)
{
	struct tv *t = tv_new();
	struct found *f;
	char *path;
	unsigned at;

	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_sync(t);
	ck_assert_ok(lsvd_snapshot_create(t->v, "s", UINT32_MAX, NULL));
	tv_write(t, 0, 65536, 2);
	tv_reopen(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 10000, UINT32_MAX));
	tv_close(t);
	expect_sound(t);
	path = tv_chain_path(t, 1, 2); /* dead, but for the snapshot */
	tv_flip(path, tv_file_size(path) - 200);
	f = check(t, LSVD_CHECK_DEEP);
	at = only_error(f);
	ck_assert_uint_eq(f->at[at].kind, LSVD_CHECK_DAMAGED);
	free(f);
	tv_run("rm -f '%s'", path, NULL);
	f = check(t, 0);
	at = only_error(f);
	ck_assert_uint_eq(f->at[at].kind, LSVD_CHECK_MISSING);
	ck_assert_ptr_nonnull(strstr(f->at[at].text, "snapshot s needs it"));
	free(f);
	free(path);
	tv_free(t);
}
END_TEST

START_TEST(a_clone_is_whole_as_long_as_its_base_is)
{
	struct lsvd_volume_options o;
	struct tv *t = lived_in();
	struct lsvd_check_report r = LSVD_CHECK_REPORT_INIT;
	struct lsvd_check_options co = LSVD_CHECK_OPTIONS_INIT;
	struct lsvd_volume *clone;
	struct found f = { .n = 0 };
	uint8_t block[TV_BLOCK];
	char *path;

	ck_assert_ok(lsvd_snapshot_create(t->v, "s", UINT32_MAX, NULL));
	tv_close(t);
	ck_assert_ok(lsvd_volume_clone(t->store, TV_NAME, "s", "clone", NULL, NULL));
	co.flags = LSVD_CHECK_DEEP;
	co.finding = note_finding;
	co.ctx = &f;
	expect_sound(t);
	ck_assert_ok(lsvd_volume_check(t->store, "clone", &co, &r)); /* never opened */
	print_findings(&f);
	ck_assert_uint_eq(r.errors + r.warnings, 0);
	ck_assert_uint_gt(r.verified_objects, 0);
	o = t->o;
	t_fill(block, sizeof block, 1);
	ck_assert_ok(lsvd_volume_open(&clone, t->store, "clone", &o));
	ck_assert_ok(lsvd_volume_write(clone, block, 0, sizeof block, 0));
	ck_assert_ok(lsvd_volume_checkpoint(clone, UINT32_MAX));
	ck_assert_int_eq(lsvd_volume_close(clone, UINT32_MAX), 0);
	f.n = 0;
	ck_assert_ok(lsvd_volume_check(t->store, "clone", &co, &r));
	print_findings(&f);
	ck_assert_uint_eq(r.errors + r.warnings, 0);
	expect_sound(t);
	path = newest_of(t, KEY_FREE, OBJECT_MOVED);
	tv_flip(path, tv_file_size(path) - 20);
	ck_assert_ok(lsvd_volume_check(t->store, "clone", &co, &r));
	ck_assert_uint_eq(r.errors, 1);
	free(path);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------ ends and limits */

START_TEST(entries_of_clones_that_were_never_made_are_told_of_and_of_others_not)
{
	struct tv *t = young();
	struct found *f;
	unsigned told = 0;

	tv_open(t);
	ck_assert_ok(lsvd_snapshot_create(t->v, "s", UINT32_MAX, NULL));
	tv_close(t);
	ck_assert_ok(lsvd_volume_clone(t->store, TV_NAME, "s", "made", NULL, NULL));
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/never", .times = 1,
					 .err = -EIO });
	ck_assert_err(lsvd_volume_clone(t->store, TV_NAME, "s", "never", NULL, NULL), -EIO);
	f = check(t, 0);
	for (unsigned i = 0; i < f->n; i++)
		told += strstr(f->at[i].text, "a clone never,") != NULL;
	ck_assert_uint_eq(told, 1);
	for (unsigned i = 0; i < f->n; i++)
		ck_assert_ptr_null(strstr(f->at[i].text, "a clone made,"));
	ck_assert_uint_eq(f->report.errors + f->report.warnings, 0);
	free(f);
	tv_free(t);
}
END_TEST

START_TEST(a_volume_that_is_written_meanwhile_is_told)
{
	struct tv *t = abandoned();
	struct found f = { .touch = t };

	ck_assert_err(check_into(t, &f, 0, NULL), -EBUSY);
	tv_free(t);
}
END_TEST

START_TEST(it_ends_when_it_is_told_to_and_says_how_far_it_came)
{
	struct tv *t = abandoned();
	struct found f = { .n = 0 };
	unsigned calls;

	ck_assert_ok(check_into(t, &f, LSVD_CHECK_DEEP, NULL));
	calls = f.calls;
	ck_assert_uint_gt(calls, 5);
	for (unsigned i = 1; i < calls; i++) {
		f = (struct found){ .stop_after = i };
		ck_assert_err(check_into(t, &f, LSVD_CHECK_DEEP, NULL), -ECANCELED);
		ck_assert_uint_eq(f.report.complete, 0);
		ck_assert_uint_eq(f.calls, i + 1);
	}
	tv_free(t);
}
END_TEST

START_TEST(answers_that_were_damaged_on_the_way_are_asked_for_again)
{
	struct tv *t = abandoned();

	for (unsigned i = 0; i < 40; i++) {
		store_fault_clear(t->fault);
		tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .from = i + 1, .times = 1,
						 .kind = i % 2 ? FAULT_FLIP : FAULT_TRUNCATE });
		store_fault_reset_counts(t->fault);
		expect_sound(t);
	}
	tv_free(t);
}
END_TEST

START_TEST(a_store_that_is_away_is_no_finding)
{
	struct tv *t = abandoned();
	struct found f = { .n = 0 };

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = "/f/", .kind = FAULT_FAIL });
	ck_assert_err(check_into(t, &f, 0, NULL), LSVD_E_UNAVAILABLE);
	ck_assert_uint_eq(f.report.errors, 0);
	tv_free(t);
}
END_TEST

START_TEST(what_cannot_be_checked_is_refused)
{
	struct tv *t = tv_new();
	struct lsvd_check_options o = LSVD_CHECK_OPTIONS_INIT;

	ck_assert_err(lsvd_volume_check(t->store, "nobody", NULL, NULL), -ENOENT);
	ck_assert_err(lsvd_volume_check(t->store, "../x", NULL, NULL), -EINVAL);
	o.flags = 0x80;
	ck_assert_err(lsvd_volume_check(t->store, TV_NAME, &o, NULL), -EINVAL);
	tv_free(t);
}
END_TEST

static void add_roles(TCase *c, const TTest *test)
{
	tcase_add_loop_test(c, test, 0, (int)ROLES);
}

static TCase *new_case(const char *name)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 120);
	tcase_add_unchecked_fixture(c, make_template, free_template);
	return c;
}

int main(void)
{
	Suite *s = suite_create("volume_check");
	TCase *c = new_case("sound");

	tcase_add_test(c, a_sound_volume_has_no_findings);
	tcase_add_test(c, a_volume_that_has_lived_has_no_findings);
	tcase_add_test(c, an_abandoned_volume_has_no_findings);
	tcase_add_test(c, a_volume_whose_writer_was_killed_has_no_findings);
	tcase_add_test(c, long_chains_with_anchors_have_no_findings);
	tcase_add_test(c, a_check_changes_nothing);
	suite_add_tcase(s, c);
	c = new_case("objects");
	add_roles(c, a_flipped_bit_is_found_in_every_kind_of_object);
	add_roles(c, a_flipped_bit_in_a_header_is_found);
	add_roles(c, an_object_that_was_cut_is_found);
	add_roles(c, an_object_that_is_gone_is_found);
	add_roles(c, an_object_that_has_the_place_of_another_is_found);
	suite_add_tcase(s, c);
	c = new_case("named");
	tcase_add_test(c, a_bad_unit_is_named_with_its_bytes_and_its_address);
	tcase_add_test(c, a_missing_object_is_named_with_all_its_addresses);
	tcase_add_test(c, what_an_old_listing_does_not_show_is_asked_for_by_its_name);
	tcase_add_test(c, an_object_that_cannot_be_read_is_found);
	tcase_add_test(c, what_nothing_leads_to_is_information);
	tcase_add_test(c, a_damaged_checkpoint_alone_is_called_repairable);
	tcase_add_test(c, a_record_that_is_damaged_ends_the_check);
	suite_add_tcase(s, c);
	c = new_case("cache");
	tcase_add_test(c, a_damaged_log_is_found_if_the_store_does_not_have_it);
	tcase_add_test(c, objects_of_an_epoch_that_never_was_are_told_of_and_passed_over);
	tcase_add_test(c, a_volume_that_is_served_here_is_refused_before_anything_is_looked_at);
	suite_add_tcase(s, c);
	c = new_case("repair");
	tcase_add_test(c, a_lost_root_is_made_anew);
	tcase_add_test(c, a_damaged_root_is_made_anew);
	tcase_add_test(c, damaged_pages_are_made_anew);
	tcase_add_test(c, a_volume_of_which_something_was_deleted_is_made_anew_by_its_table);
	tcase_add_test(c, what_was_trimmed_never_comes_back);
	tcase_add_test(c, what_was_moved_out_of_deleted_objects_is_not_guessed);
	tcase_add_test(c, other_damage_is_not_repaired_nor_is_what_is_whole);
	tcase_add_test(c, a_volume_with_snapshots_is_not_repaired);
	tcase_add_test(c,
		       a_volume_that_was_rolled_back_is_checked_and_not_made_anew_from_its_chain);
	suite_add_tcase(s, c);
	c = new_case("epochs");
	tcase_add_test(c, an_epoch_that_was_outrun_is_no_finding_and_hides_nothing);
	suite_add_tcase(s, c);
	c = new_case("snapshots");
	tcase_add_test(c, what_a_snapshot_needs_must_be_there);
	tcase_add_test(c, a_clone_is_whole_as_long_as_its_base_is);
	suite_add_tcase(s, c);
	c = new_case("ends");
	tcase_add_test(c, entries_of_clones_that_were_never_made_are_told_of_and_of_others_not);
	tcase_add_test(c, a_volume_that_is_written_meanwhile_is_told);
	tcase_add_test(c, it_ends_when_it_is_told_to_and_says_how_far_it_came);
	tcase_add_test(c, answers_that_were_damaged_on_the_way_are_asked_for_again);
	tcase_add_test(c, a_store_that_is_away_is_no_finding);
	tcase_add_test(c, what_cannot_be_checked_is_refused);
	suite_add_tcase(s, c);
	return t_run(s);
}
