/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of lower volumes: what was never written to a volume is what those below it show, the
 * latest first; what was written, trimmed or zeroed covers them, for good.
 * lsvd-test: timeout=120
 */
#include <pthread.h>

#include "t_volume.h"
#include "volume/volume_internal.h"

#define EVER UINT32_MAX
#define MIB (UINT64_C(1) << 20)
#define PAGE (UINT64_C(4) << 20) /* of the map */

/* Volumes of one store, each with a model of its own. */
struct home {
	struct tv *t;            /* its own volume is not used */
	struct tv all[8];
	char names[8][16];
	unsigned count;
};

static struct home *home(void)
{
	struct home *h = calloc(1, sizeof *h);

	ck_assert_ptr_nonnull(h);
	h->t = tv_blank();
	tv_open_store(h->t);
	return h;
}

static const char *name_of(const struct home *h, const struct tv *t)
{
	return h->names[t - h->all];
}

static void open_one(struct home *h, struct tv *t)
{
	ck_assert_ptr_null(t->v);
	ck_assert_ok(lsvd_volume_open(&t->v, h->t->store, name_of(h, t), &t->o));
}

static void close_one(struct tv *t)
{
	ck_assert_err(tv_close_in(t, EVER), 0);
}

static void reopen_one(struct home *h, struct tv *t)
{
	close_one(t);
	open_one(h, t);
}

static struct tv *join(struct home *h, const char *name, uint64_t bytes)
{
	struct tv *t = &h->all[h->count];

	(void)snprintf(h->names[h->count++], sizeof h->names[0], "%s", name); /* fits */
	*t = *h->t;
	t->bytes = bytes;
	t->model = tv_buffer(TV_BYTES);
	memset(t->model, 0, TV_BYTES);
	return t;
}

static struct tv *plain(struct home *h, const char *name, uint64_t bytes)
{
	struct tv *t = join(h, name, bytes);

	ck_assert_ok(lsvd_volume_create(h->t->store, name, bytes, NULL, NULL));
	open_one(h, t);
	return t;
}

static void snap(struct tv *t, const char *name)
{
	ck_assert_ok(lsvd_snapshot_create(t->v, name, EVER, NULL));
}

/*
 * Over snapshot "s" of each, the last one uppermost. The model is the caller's to fill, see show().
 */
static struct tv *over(struct home *h, const char *name, uint64_t bytes, struct tv *const *lowers,
		       unsigned count)
{
	struct lsvd_lower l[4];
	struct tv *t = join(h, name, bytes);

	for (unsigned i = 0; i < count; i++)
		l[i] = (struct lsvd_lower){ name_of(h, lowers[i]), "s", 0 };
	ck_assert_ok(lsvd_volume_create_over(h->t->store, name, bytes, l, count, 0, NULL));
	open_one(h, t);
	return t;
}

static void show(struct tv *t, const struct tv *lower, uint64_t off, uint64_t len)
{
	memcpy(t->model + off, lower->model + off, len);
}

static void leave(struct home *h)
{
	for (unsigned i = 0; i < h->count; i++) {
		if (h->all[i].v)
			(void)tv_close_in(&h->all[i], 0); /* the test has seen what it wanted */
		free(h->all[i].model);
	}
	tv_free(h->t);
	free(h);
}

/* -------------------------------------------------------------------------------------- reading */

START_TEST(a_lower_volume_shows_where_nothing_was_written)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *top;

	tv_write(base, 0, MIB, 1);
	tv_write_text(base, 5 * MIB, MIB, 2);
	tv_zero(base, 6 * MIB, MIB, LSVD_IO_NO_HOLE);
	if (_i == 1)
		ck_assert_ok(lsvd_volume_checkpoint(base->v, EVER));
	snap(base, "s");
	top = over(h, "top", TV_BYTES, &base, 1);
	show(top, base, 0, TV_BYTES);
	tv_check_all(top);
	tv_write(top, MIB / 2 + 512, 8192, 3); /* in the middle of an extent below */
	tv_write(top, 9 * MIB, 4096, 4);
	tv_check_all(top);
	tv_check(top, MIB / 2, 16384); /* the log and below in one read */
	tv_sync(top);
	tv_check_all(top);
	reopen_one(h, top);
	tv_check_all(top);
	ck_assert_ok(lsvd_volume_checkpoint(top->v, EVER));
	reopen_one(h, top);
	tv_check_all(top);
	lsvd_vol_check_parts(top->v);
	tv_check_all(base); /* nothing was written to it */
	leave(h);
}
END_TEST

START_TEST(of_two_lower_volumes_the_latest_wins)
{
	struct home *h = home();
	struct tv *one = plain(h, "one", TV_BYTES), *two = plain(h, "two", TV_BYTES), *top;

	tv_write(one, 0, MIB, 1);
	tv_write(one, 4 * MIB, MIB, 2);
	tv_write(two, MIB / 2, MIB, 3);
	tv_write(two, 4 * MIB + 4096, 4096, 4);
	snap(one, "s");
	snap(two, "s");
	top = over(h, "top", TV_BYTES, (struct tv *[]){ one, two }, 2);
	show(top, one, 0, TV_BYTES);
	show(top, two, MIB / 2, MIB);
	show(top, two, 4 * MIB + 4096, 4096);
	tv_check_all(top);
	tv_write(top, 4 * MIB + 6144, 512, 5); /* above both */
	tv_check_all(top);
	reopen_one(h, top);
	tv_check_all(top);
	leave(h);
}
END_TEST

START_TEST(one_read_is_split_between_the_volume_lowers_of_several_sizes_and_zeroes)
{
	struct home *h = home();
	struct tv *small = plain(h, "small", MIB), *mid = plain(h, "mid", 2 * MIB), *top;
	uint8_t *got = tv_buffer(3 * MIB), *to = got;
	struct iovec iov[7];

	tv_write(mid, 0, 2 * MIB, 1);
	tv_write(small, 8192, MIB - 8192, 2);
	snap(small, "s");
	snap(mid, "s");
	/* The smaller is above: beyond its end the larger shows, and beyond that nothing. */
	top = over(h, "top", 4 * MIB, (struct tv *[]){ mid, small }, 2);
	show(top, mid, 0, 2 * MIB);
	show(top, small, 8192, MIB - 8192);
	tv_write(top, MIB - 1024, 2048, 3);
	tv_check(top, 0, 4 * MIB);
	for (unsigned i = 0; i < 7; i++) {
		size_t len = i < 6 ? 512 * (1 + 97 * i) : 0;

		iov[i] = (struct iovec){ to, len };
		to += len;
	}
	iov[6].iov_len = (size_t)(got + 3 * MIB - to);
	ck_assert_ok(lsvd_volume_readv(top->v, iov, 7, 512));
	ck_assert_mem_eq(got, top->model + 512, 3 * MIB);
	free(got);
	leave(h);
}
END_TEST

START_TEST(a_lower_volume_may_lie_over_others_itself)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *other = plain(h, "other", TV_BYTES),
		*mid, *top;

	tv_write(base, 0, 2 * MIB, 1);
	tv_write(other, 0, 4 * MIB, 2);
	snap(base, "s");
	snap(other, "s");
	mid = over(h, "mid", TV_BYTES, &base, 1);
	show(mid, base, 0, TV_BYTES);
	tv_write(mid, MIB, 4096, 3);
	tv_trim(mid, MIB / 2, 8192);
	snap(mid, "s");
	top = over(h, "top", TV_BYTES, (struct tv *[]){ other, mid }, 2);
	show(top, other, 0, 4 * MIB);
	show(top, mid, 0, 2 * MIB); /* what it trimmed over its own lower stays covered */
	tv_check_all(top);
	reopen_one(h, top);
	tv_check_all(top);
	leave(h);
}
END_TEST

/* ---------------------------------------------------------------------------- covering for good */

static void write_trims(struct tv *t)
{
	tv_trim(t, 512, 1024);
	tv_trim(t, MIB, 65536);
	tv_zero(t, 2 * MIB, 4096, 0);
	tv_zero(t, 2 * MIB + 8192, 4096, LSVD_IO_NO_HOLE);
	tv_trim(t, PAGE - 4096, PAGE + 8192);              /* more than a page of the map */
	tv_zero(t, 2 * PAGE + MIB, PAGE, LSVD_IO_NO_HOLE);
	tv_trim(t, TV_BYTES - MIB, MIB);
	tv_write(t, PAGE + 4096, 4096, 7);
	tv_trim(t, PAGE + 6144, 512);
}

START_TEST(what_was_trimmed_or_zeroed_covers_what_is_below)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *top;

	tv_write(base, 0, (uint32_t)TV_BYTES, 1);
	snap(base, "s");
	top = over(h, "top", TV_BYTES, &base, 1);
	show(top, base, 0, TV_BYTES);
	write_trims(top);
	tv_check_all(top); /* in the log */
	tv_sync(top);
	tv_check_all(top);
	for (unsigned i = 0; i < 2; i++) {
		reopen_one(h, top); /* from the chain; from the checkpoint of the close */
		tv_check_all(top);
	}
	ck_assert_ok(lsvd_volume_gc(top->v, 100, EVER));
	tv_check_all(top);
	for (unsigned i = 0; i < 300; i++) /* the ring of the log goes round */
		tv_write(top, PAGE + 8192, 65536, i);
	tv_sync(top);
	tv_check_all(top);
	reopen_one(h, top);
	tv_check_all(top);
	lsvd_vol_check_parts(top->v);
	leave(h);
}
END_TEST

/* In a process of its own: what it opens dies with it. */
static void trim_and_die(struct tv *t)
{
	ck_assert_ok(lsvd_volume_open(&t->v, t->store, "top", &t->o));
	write_trims(t);
	if (t->bytes & 512) { /* see below */
		tv_sync(t);
		tv_trim(t, 3 * MIB, 4096);
	}
	tv_flush(t);
}

START_TEST(what_was_trimmed_covers_what_is_below_after_a_crash_and_without_the_cache)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *top;
	uint8_t *own;

	tv_write(base, 0, (uint32_t)TV_BYTES, 1);
	snap(base, "s");
	close_one(base);
	top = over(h, "top", TV_BYTES, &base, 1);
	close_one(top);
	own = top->model;
	top->model = h->t->model; /* shared with the child */
	show(top, base, 0, TV_BYTES);
	top->bytes |= _i ? 512 : 0;
	tv_killed(top, trim_and_die);
	top->bytes = TV_BYTES;
	if (_i == 2) {
		tv_run("rm -rf '%s'%s", top->cache, "");
		memcpy(top->model + 3 * MIB, base->model + 3 * MIB, 4096); /* was not stored */
		top->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	}
	open_one(h, top);
	tv_check_all(top);
	reopen_one(h, top);
	tv_check_all(top);
	close_one(top);
	top->model = own;
	leave(h);
}
END_TEST

START_TEST(with_little_memory_for_the_map_pages_of_zeroes_come_and_go)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *top;

	for (uint64_t off = 0; off < TV_BYTES; off += 16384)
		tv_write(base, off, 4096, off);
	snap(base, "s");
	top = over(h, "top", TV_BYTES, &base, 1);
	show(top, base, 0, TV_BYTES);
	for (uint64_t off = 4096; off < TV_BYTES; off += 32768)
		tv_write(top, off, 4096, off + 1);
	close_one(top);
	top->o.map_memory_bytes = MIB;
	open_one(h, top); /* every page is away */
	tv_trim(top, PAGE / 2, 2 * PAGE);
	tv_sync(top);
	ck_assert_ok(lsvd_volume_checkpoint(top->v, EVER));
	tv_check_all(top);
	reopen_one(h, top);
	tv_check_all(top);
	leave(h);
}
END_TEST

START_TEST(what_becomes_of_a_lower_volume_afterwards_does_not_show)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *top;
	uint8_t *then = tv_buffer(TV_BYTES);

	for (uint64_t off = 0; off < 8 * MIB; off += 65536)
		tv_write(base, off, 65536, off);
	tv_sync(base);
	tv_write(base, 8192, 4096, 5); /* an extent that is overwritten within */
	snap(base, "s");
	memcpy(then, base->model, TV_BYTES);
	top = over(h, "top", TV_BYTES, &base, 1);
	memcpy(top->model, then, TV_BYTES);
	tv_write(top, 0, 4096, 6);
	tv_sync(top);
	for (unsigned i = 0; i < 3; i++) {
		for (uint64_t off = i * 4096; off < 8 * MIB; off += 16384)
			tv_write(base, off, 4096, off + i + 1);
		if (i == 1)
			tv_trim(base, 0, TV_BYTES);
		reopen_one(h, base);
		ck_assert_ok(lsvd_volume_gc(base->v, 100, EVER));
		tv_check_all(top);
		reopen_one(h, top);
		tv_check_all(top);
	}
	free(then);
	leave(h);
}
END_TEST

/* --------------------------------------------------------------------------- what it is part of */

static int count_lower(void *ctx, const struct lsvd_lower *lower)
{
	char *text = ctx;

	(void)sprintf(text + strlen(text), "%s@%s %" PRIu64 ";", lower->volume, lower->snapshot,
		      lower->bytes); /* fits */
	return 0;
}

START_TEST(its_lowers_are_listed_and_cannot_be_deleted_before_it)
{
	struct home *h = home();
	struct tv *one = plain(h, "one", MIB), *two = plain(h, "two", 2 * MIB), *top;
	char text[128] = "";

	snap(one, "s");
	snap(two, "s");
	top = over(h, "top", 1536 * 1024, (struct tv *[]){ two, one }, 2);
	ck_assert_ok(lsvd_volume_lowers(h->t->store, "top", count_lower, text));
	ck_assert_str_eq(text, "two@s 1572864;one@s 1048576;");
	ck_assert_err(lsvd_snapshot_delete(one->v, "s", EVER), -EBUSY);
	ck_assert_error_says("top");
	ck_assert_err(lsvd_snapshot_delete(two->v, "s", EVER), -EBUSY);
	close_one(two);
	ck_assert_err(lsvd_volume_delete(h->t->store, "two"), -EBUSY);
	ck_assert_error_says("top");
	close_one(top);
	ck_assert_ok(lsvd_volume_delete(h->t->store, "top"));
	ck_assert_ok(lsvd_volume_delete(h->t->store, "two"));
	ck_assert_ok(lsvd_snapshot_delete(one->v, "s", EVER));
	leave(h);
}
END_TEST

START_TEST(what_it_grows_to_is_zeroes_and_it_cannot_become_smaller_than_they_show)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *mid, *top;

	tv_write(base, 0, (uint32_t)TV_BYTES, 1);
	snap(base, "s");
	/* and what lies below that shows no further, either */
	mid = over(h, "mid", TV_BYTES, &base, 1);
	show(mid, base, 0, TV_BYTES);
	tv_write(mid, MIB, 4096, 5);
	snap(mid, "s");
	top = over(h, "top", 2 * MIB, &mid, 1);
	show(top, mid, 0, 2 * MIB);
	ck_assert_ok(lsvd_volume_resize(top->v, 6 * MIB, 0));
	top->bytes = 6 * MIB;
	tv_check_all(top);
	tv_trim(top, 4 * MIB, 65536);
	tv_write(top, 3 * MIB, 4096, 2);
	ck_assert_err(lsvd_volume_resize(top->v, 2 * MIB - 512, LSVD_RESIZE_CUT),
		      LSVD_E_UNSUPPORTED);
	ck_assert_error_says("lower");
	ck_assert_ok(lsvd_volume_resize(top->v, 2 * MIB, LSVD_RESIZE_CUT));
	ck_assert_ok(lsvd_volume_resize(top->v, 6 * MIB, 0));
	memset(top->model + 3 * MIB, 0, 4096);
	tv_check_all(top);
	reopen_one(h, top);
	tv_check_all(top);
	leave(h);
}
END_TEST

START_TEST(snapshots_clones_and_rollback_show_the_same_lowers)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *top, *twin;
	struct lsvd_volume *past;
	uint8_t *buf = tv_buffer(MIB);

	tv_write(base, 0, (uint32_t)TV_BYTES, 1);
	snap(base, "s");
	top = over(h, "top", TV_BYTES, &base, 1);
	show(top, base, 0, TV_BYTES);
	write_trims(top);
	snap(top, "then");
	ck_assert_ok(lsvd_volume_clone(h->t->store, "top", "then", "twin", NULL, NULL));
	twin = join(h, "twin", TV_BYTES);
	memcpy(twin->model, top->model, TV_BYTES);
	tv_trim(top, 0, TV_BYTES);
	tv_check_all(top);

	top->o.flags = LSVD_OPEN_READONLY;
	top->o.snapshot = "then";
	ck_assert_ok(lsvd_volume_open(&past, h->t->store, "top", &top->o));
	ck_assert_ok(lsvd_volume_read(past, buf, 0, MIB));
	ck_assert_mem_eq(buf, twin->model, MIB);
	(void)lsvd_volume_close(past, 0); /* a reader */
	top->o.flags = 0;
	top->o.snapshot = NULL;

	open_one(h, twin);
	tv_check_all(twin);
	tv_trim(twin, 3 * MIB, MIB);
	reopen_one(h, twin);
	tv_check_all(twin);
	ck_assert_ok(lsvd_snapshot_rollback(top->v, "then", EVER));
	show(top, twin, 0, 3 * MIB);
	show(top, twin, PAGE, TV_BYTES - PAGE);
	show(top, base, 3 * MIB, MIB - 4096);
	tv_check_all(top);
	reopen_one(h, top);
	tv_check_all(top);
	close_one(top);
	ck_assert_err(lsvd_snapshot_delete(base->v, "s", EVER), -EBUSY); /* two need it */
	free(buf);
	leave(h);
}
END_TEST

static void check_is_clean(struct home *h, const char *name)
{
	struct lsvd_check_options o = LSVD_CHECK_OPTIONS_INIT;
	struct lsvd_check_report r = LSVD_CHECK_REPORT_INIT;

	o.flags = LSVD_CHECK_DEEP;
	ck_assert_ok(lsvd_volume_check(h->t->store, name, &o, &r));
	ck_assert_uint_eq(r.errors, 0);
	ck_assert_uint_eq(r.warnings, 0);
}

/*
 * It copies what is its base's, and nothing of what shows from below, which it goes on to need
 * itself.
 */
START_TEST(a_flat_clone_of_a_volume_over_others_has_left_that_one_and_not_them)
{
	struct home *h = home();
	struct tv *low = plain(h, "low", TV_BYTES), *mid, *twin;
	uint64_t copied;

	tv_write(low, 0, (uint32_t)TV_BYTES, 1);
	snap(low, "s");
	mid = over(h, "mid", TV_BYTES, &low, 1);
	show(mid, low, 0, TV_BYTES);
	write_trims(mid);
	tv_write(mid, 9 * MIB, 65536, 7);
	snap(mid, "then");
	ck_assert_ok(lsvd_volume_clone(h->t->store, "mid", "then", "twin", NULL, NULL));
	twin = join(h, "twin", TV_BYTES);
	memcpy(twin->model, mid->model, TV_BYTES);
	close_one(mid);
	open_one(h, twin);
	tv_trim(twin, 5 * MIB, MIB);
	tv_write(twin, 10 * MIB, 65536, 8);
	ck_assert_ok(lsvd_volume_flatten(twin->v, EVER));
	copied = tv_stats(twin).gc_copied_bytes;
	ck_assert_uint_gt(copied, 0);
	ck_assert_uint_lt(copied, TV_BYTES / 2);
	ck_assert_ok(lsvd_volume_delete(h->t->store, "mid"));
	ck_assert_err(lsvd_snapshot_delete(low->v, "s", EVER), -EBUSY);
	ck_assert_error_says("1 volume: twin");
	tv_check_all(twin);
	close_one(twin);
	tv_run("rm -f '%s'/twin.*", h->t->cache, NULL);
	open_one(h, twin);
	tv_check_all(twin);
	close_one(twin);
	check_is_clean(h, "twin");
	ck_assert_ok(lsvd_volume_delete(h->t->store, "twin"));
	ck_assert_ok(lsvd_snapshot_delete(low->v, "s", EVER));
	leave(h);
}
END_TEST

START_TEST(a_check_finds_nothing_wrong_and_a_repair_keeps_what_covers)
{
	struct lsvd_repair_report r = LSVD_REPAIR_REPORT_INIT;
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *top;
	struct tv_keys *k;

	tv_write(base, 0, (uint32_t)TV_BYTES, 1);
	snap(base, "s");
	close_one(base);
	top = over(h, "top", TV_BYTES, &base, 1);
	show(top, base, 0, TV_BYTES);
	write_trims(top);
	tv_sync(top);
	ck_assert_ok(lsvd_volume_checkpoint(top->v, EVER));
	tv_trim(top, 3 * MIB, 4096);
	close_one(top);
	check_is_clean(h, "top");
	check_is_clean(h, "base");
	ck_assert_ok(lsvd_volume_lookup(h->t->store, "top", &info));
	k = tv_keys(h->t, KEY_ROOT);
	for (unsigned i = 0; i < k->count; i++)
		if (strstr(k->keys[i], info.uuid))
			ck_assert_ok(lsvd_store_remove(h->t->store, k->keys[i]));
	free(k);
	ck_assert_err(lsvd_volume_open(&top->v, h->t->store, "top", &top->o), LSVD_E_CORRUPT);
	ck_assert_ok(lsvd_volume_repair(h->t->store, "top", &top->o, &r));
	open_one(h, top);
	tv_check_all(top);
	leave(h);
}
END_TEST

/* --------------------------------------------------------------------------------- block status */

struct span {
	uint64_t len;
	uint32_t flags;
};

static void check_status(struct tv *t, const struct span *expected, unsigned n)
{
	struct lsvd_status_extent e[32];
	uint64_t off = 0;

	for (unsigned i = 0; i < n;) {
		int got = lsvd_volume_block_status(t->v, off, t->bytes - off, e, 32);

		ck_assert_int_gt(got, 0);
		for (int k = 0; k < got; k++, i++) {
			ck_assert_uint_lt(i, n);
			ck_assert_uint_eq(e[k].len, expected[i].len);
			ck_assert_uint_eq(e[k].flags, expected[i].flags);
			off += e[k].len;
		}
	}
	ck_assert_uint_eq(off, t->bytes);
}

#define HOLE (LSVD_STATUS_HOLE | LSVD_STATUS_ZERO)

START_TEST(block_status_is_that_of_the_level_that_shows)
{
	const struct span expected[] = {
		{ 3 * MIB, 0 },                      /* the lower one, the volume, the upper one */
		{ MIB, HOLE },
		{ MIB / 2, LSVD_STATUS_ZERO },       /* trimmed over data */
		{ MIB / 2, 0 },
		{ TV_BYTES - 5 * MIB, HOLE },
	};
	struct home *h = home();
	struct tv *one = plain(h, "one", TV_BYTES), *two = plain(h, "two", 3 * MIB), *top;

	tv_write(one, 0, MIB, 1);
	tv_write(one, 4 * MIB, MIB, 1);
	tv_write(two, 2 * MIB, MIB, 2);
	snap(one, "s");
	snap(two, "s");
	top = over(h, "top", TV_BYTES, (struct tv *[]){ one, two }, 2);
	tv_write(top, MIB, MIB, 3);
	tv_trim(top, 4 * MIB, MIB / 2);
	reopen_one(h, top);
	check_status(top, expected, 5);
	leave(h);
}
END_TEST

struct looking {
	struct lsvd_io io;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool done;
};

static void looked(struct lsvd_io *io)
{
	struct looking *l = io->user;

	pthread_mutex_lock(&l->lock);
	l->done = true;
	pthread_cond_signal(&l->ended);
	pthread_mutex_unlock(&l->lock);
}

static int look(struct tv *t, uint64_t off, uint64_t len)
{
	struct looking l = { .io = { .kind = LSVD_IO_MAP, .off = off, .len = len, .done = looked },
			     .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER };

	l.io.user = &l;
	lsvd_volume_submit(t->v, &l.io);
	pthread_mutex_lock(&l.lock);
	while (!l.done)
		pthread_cond_wait(&l.ended, &l.lock);
	pthread_mutex_unlock(&l.lock);
	return l.io.err;
}

START_TEST(what_is_known_of_the_map_grows_with_each_look_however_far_down_it_is)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *top;
	struct lsvd_status_extent e;
	unsigned looks = 0;

	for (uint64_t off = 0; off < TV_BYTES; off += PAGE)
		tv_write(base, off, 65536, off);
	ck_assert_ok(lsvd_volume_checkpoint(base->v, EVER));
	snap(base, "s");
	top = over(h, "top", TV_BYTES, &base, 1);
	tv_write(top, PAGE + MIB, 4096, 1);
	reopen_one(h, top);
	for (uint64_t off = 0; off < TV_BYTES;) {
		int n = lsvd_volume_block_status_known(top->v, off, TV_BYTES - off, &e, 1);

		ck_assert_int_ge(n, 0);
		if (n)
			off += e.len;
		else
			ck_assert_ok(look(top, off, TV_BYTES - off));
		ck_assert_uint_lt(looks++, 100);
	}
	leave(h);
}
END_TEST

/* ------------------------------------------------------------------------------------- failures */

START_TEST(a_read_that_a_lower_volume_fails_names_it)
{
	struct home *h = home();
	struct tv *base = plain(h, "deepest", TV_BYTES), *top;
	uint8_t buf[4096];

	tv_write(base, 0, MIB, 1);
	snap(base, "s");
	close_one(base);
	top = over(h, "top", TV_BYTES, &base, 1);
	show(top, base, 0, MIB);
	tv_write(top, 8192, 4096, 2);
	tv_fault(h->t, (struct fault_rule){ .verbs = FAULT_GET, .kind = FAULT_FLIP });
	ck_assert_err(lsvd_volume_read(top->v, buf, 0, 4096), LSVD_E_CORRUPT);
	ck_assert_error_says("deepest");
	tv_check(top, 8192, 4096); /* what it has itself can be read */
	store_fault_clear(h->t->fault);
	tv_check_all(top);
	leave(h);
}
END_TEST

static void *read_first(void *arg)
{
	struct tv *t = arg;
	uint8_t buf[4096];

	return (void *)(intptr_t)lsvd_volume_read(t->v, buf, 0, sizeof buf);
}

START_TEST(a_close_ends_a_read_that_waits_for_a_lower_volume)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *top;
	pthread_t thread;
	void *err;

	tv_write(base, 0, MIB, 1);
	snap(base, "s");
	close_one(base);
	top = over(h, "top", TV_BYTES, &base, 1);
	top->o.flags = LSVD_OPEN_READONLY;
	top->o.read_timeout_ms = 24 * 60 * 60 * 1000;
	reopen_one(h, top);
	tv_fault(h->t, (struct fault_rule){ .verbs = FAULT_GET });
	ck_assert_int_eq(pthread_create(&thread, NULL, read_first, top), 0);
	tv_wait_for(store_fault_hits(h->t->fault, FAULT_FAIL) > 1);
	close_one(top);
	ck_assert_int_eq(pthread_join(thread, &err), 0);
	ck_assert_int_lt((intptr_t)err, 0);
	leave(h);
}
END_TEST

START_TEST(a_lower_volume_that_is_not_what_it_was_refuses_the_open)
{
	struct home *h = home();
	struct tv *base = plain(h, "base", MIB), *top;
	char *path;

	snap(base, "s");
	close_one(base);
	top = over(h, "top", MIB, &base, 1);
	close_one(top);
	path = tmpdir_path(h->t->store_dir, "volumes/base");
	tv_run("mv '%s' '%s.old'", path, path);
	ck_assert_err(lsvd_volume_open(&top->v, h->t->store, "top", &top->o), LSVD_E_CORRUPT);
	ck_assert_error_says("base@s");
	ck_assert_ok(lsvd_volume_create(h->t->store, "base", MIB, NULL, NULL));
	tv_run("rm '%s/%s.log'", h->t->cache, "base");
	open_one(h, base);
	snap(base, "s");
	close_one(base);
	ck_assert_err(lsvd_volume_open(&top->v, h->t->store, "top", &top->o), LSVD_E_CORRUPT);
	ck_assert_error_says("another");
	tv_run("mv '%s.old' '%s'", path, path);
	open_one(h, top);
	free(path);
	leave(h);
}
END_TEST

START_TEST(wrong_calls_are_refused_and_leave_nothing)
{
	const struct lsvd_lower good = { "base", "s", 0 }, none = { "base", "no", 0 },
				whole = { "base", NULL, 0 }, nobody = { "nobody", "s", 0 };
	struct lsvd_lower many[LSVD_LOWERS_MAX + 1];
	struct home *h = home();
	struct tv *base = plain(h, "base", MIB), *top;
	struct lsvd_store *s = h->t->store;

	snap(base, "s");
	for (unsigned i = 0; i < LSVD_ARRAY_LEN(many); i++)
		many[i] = good;
	ck_assert_err(lsvd_volume_create_over(s, "top", MIB, &good, 0, 0, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_create_over(s, "top", MIB, NULL, 1, 0, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_create_over(s, "top", MIB, many, LSVD_LOWERS_MAX + 1, 0, NULL),
		      -EINVAL);
	ck_assert_err(lsvd_volume_create_over(s, "top", MIB + 1, &good, 1, 0, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_create_over(s, "-", MIB, &good, 1, 0, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_create_over(s, "top", MIB, &good, 1, 1, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_create_over(s, "top", MIB, &whole, 1, 0, NULL), -EINVAL);
	ck_assert_error_says("snapshot");
	ck_assert_err(lsvd_volume_create_over(s, "top", MIB, &none, 1, 0, NULL), -ENOENT);
	ck_assert_err(lsvd_volume_create_over(s, "top", MIB, &nobody, 1, 0, NULL), -ENOENT);
	ck_assert_err(lsvd_volume_create_over(s, "base", MIB, &good, 1, 0, NULL), -EEXIST);
	ck_assert_ok(lsvd_snapshot_delete(base->v, "s", EVER)); /* nobody needs it */
	snap(base, "s");
	ck_assert_ok(lsvd_volume_create_over(s, "top", 0, many, LSVD_LOWERS_MAX, 0, NULL));
	top = join(h, "top", MIB);
	open_one(h, top);
	ck_assert_uint_eq(lsvd_volume_bytes(top->v), MIB);
	tv_check_all(top);
	close_one(top);
	top->o.flags = LSVD_OPEN_OFFLINE;
	ck_assert_err(lsvd_volume_open(&top->v, s, "top", &top->o), LSVD_E_UNAVAILABLE);
	leave(h);
}
END_TEST

/* ------------------------------------------------------------------------------------ at random */

static void one_of_many(struct tv *t, uint64_t *state)
{
	uint64_t off = t_random_below(state, t->bytes / 512 - 256) * 512;
	uint32_t len = (uint32_t)(1 + t_random_below(state, 128)) * 512;

	switch (t_random_below(state, 8)) {
	case 0:
		tv_trim(t, off, len);
		break;
	case 1:
		tv_zero(t, off, len, LSVD_IO_NO_HOLE);
		break;
	case 2:
		off = t_random_below(state, 3) * PAGE;
		tv_trim(t, off, PAGE + t_random_below(state, 8) * 512);
		break;
	default:
		tv_write(t, off, len, t_random(state));
	}
}

START_TEST(whatever_is_done_to_it_the_volume_is_what_a_flat_one_would_be)
{
	uint64_t state = t_seed();
	struct home *h = home();
	struct tv *base = plain(h, "base", TV_BYTES), *mid, *top;

	for (unsigned i = 0; i < 200; i++)
		one_of_many(base, &state);
	snap(base, "s");
	mid = over(h, "mid", TV_BYTES, &base, 1);
	show(mid, base, 0, TV_BYTES);
	for (unsigned i = 0; i < 60; i++)
		one_of_many(mid, &state);
	snap(mid, "s");
	top = over(h, "top", TV_BYTES, &mid, 1);
	show(top, mid, 0, TV_BYTES);
	for (unsigned i = 0; i < 120; i++) {
		one_of_many(top, &state);
		one_of_many(base, &state);
		if (i % 20 == 7)
			reopen_one(h, top);
		if (i % 20 == 13)
			ck_assert_ok(lsvd_volume_checkpoint(top->v, EVER));
		if (i % 40 == 33)
			ck_assert_ok(lsvd_volume_gc(top->v, 100, EVER));
		if (i % 10 == 9)
			tv_check_all(top);
	}
	tv_check_all(mid);
	tv_check_all(base);
	lsvd_vol_check_parts(top->v);
	leave(h);
}
END_TEST

/* --------------------------------------------------------------------------------- many threads */

struct reading {
	struct tv *t;
	uint64_t state;
	int err;
};

static void *read_much(void *arg)
{
	struct reading *r = arg;
	uint8_t *buf = malloc(65536);

	for (unsigned i = 0; i < 300 && buf && !r->err; i++) {
		uint64_t off = t_random_below(&r->state, (8 * MIB - 65536) / 512) * 512;

		r->err = lsvd_volume_read(r->t->v, buf, off, 65536);
		if (!r->err && memcmp(buf, r->t->model + off, 65536) != 0)
			r->err = -EIO;
	}
	free(buf);
	return NULL;
}

START_TEST(many_threads_read_through_all_levels_while_one_writes)
{
	struct home *h = home();
	struct tv *one = plain(h, "one", TV_BYTES), *two = plain(h, "two", TV_BYTES), *top;
	struct reading r[4];
	pthread_t thread[4];

	for (uint64_t off = 0; off < 8 * MIB; off += 32768) {
		tv_write(one, off, 16384, off);
		tv_write(two, off + 8192, 16384, off + 1);
	}
	snap(one, "s");
	snap(two, "s");
	h->t->o.rcache_bytes = 16u << 20;
	top = over(h, "top", TV_BYTES, (struct tv *[]){ one, two }, 2);
	for (uint64_t off = 0; off < 8 * MIB; off += 32768) {
		show(top, one, off, 32768);
		show(top, two, off + 8192, 16384);
	}
	for (unsigned i = 0; i < 4; i++) {
		r[i] = (struct reading){ top, i, 0 };
		ck_assert_int_eq(pthread_create(&thread[i], NULL, read_much, &r[i]), 0);
	}
	for (unsigned i = 0; i < 300; i++) /* where nobody reads */
		tv_write(top, 12 * MIB + i * 4096, 4096, i);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
		ck_assert_int_eq(r[i].err, 0);
	}
	tv_check_all(top);
	leave(h);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("volume_lower");
	TCase *c = tcase_create("lower");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, a_lower_volume_shows_where_nothing_was_written, 0, 2);
	tcase_add_test(c, of_two_lower_volumes_the_latest_wins);
	tcase_add_test(c, one_read_is_split_between_the_volume_lowers_of_several_sizes_and_zeroes);
	tcase_add_test(c, a_lower_volume_may_lie_over_others_itself);
	tcase_add_test(c, what_was_trimmed_or_zeroed_covers_what_is_below);
	tcase_add_loop_test(
		c, what_was_trimmed_covers_what_is_below_after_a_crash_and_without_the_cache, 0, 3);
	tcase_add_test(c, with_little_memory_for_the_map_pages_of_zeroes_come_and_go);
	tcase_add_test(c, what_becomes_of_a_lower_volume_afterwards_does_not_show);
	tcase_add_test(c, its_lowers_are_listed_and_cannot_be_deleted_before_it);
	tcase_add_test(c, what_it_grows_to_is_zeroes_and_it_cannot_become_smaller_than_they_show);
	tcase_add_test(c, snapshots_clones_and_rollback_show_the_same_lowers);
	tcase_add_test(c, a_flat_clone_of_a_volume_over_others_has_left_that_one_and_not_them);
	tcase_add_test(c, a_check_finds_nothing_wrong_and_a_repair_keeps_what_covers);
	tcase_add_test(c, block_status_is_that_of_the_level_that_shows);
	tcase_add_test(c, what_is_known_of_the_map_grows_with_each_look_however_far_down_it_is);
	tcase_add_test(c, a_read_that_a_lower_volume_fails_names_it);
	tcase_add_test(c, a_close_ends_a_read_that_waits_for_a_lower_volume);
	tcase_add_test(c, a_lower_volume_that_is_not_what_it_was_refuses_the_open);
	tcase_add_test(c, wrong_calls_are_refused_and_leave_nothing);
	tcase_add_test(c, whatever_is_done_to_it_the_volume_is_what_a_flat_one_would_be);
	tcase_add_test(c, many_threads_read_through_all_levels_while_one_writes);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
