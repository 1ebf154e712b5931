/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of when the copy of the map in the cache directory is made, and from what: the map of a
 * volume
 * that is wide and thinly written has more pages than an open may fetch. lsvd-test: labels=tsan
 */
#include "t_volume.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

#define WIDE_BYTES (UINT64_C(4) << 30)
#define PAGE_BYTES (UINT64_C(4) << 20)  /* what one page of the map maps */
#define PAGES 200u                      /* more than are fetched unasked */
#define LOG_BYTES (1u << 20)

static uint8_t block[4096], back[4096];

static void fill_block(unsigned i)
{
	t_fill(block, sizeof block, 1 + i);
}

static void write_block(struct tv *t, unsigned page, uint64_t off)
{
	fill_block(page);
	ck_assert_ok(lsvd_volume_write(t->v, block, page * PAGE_BYTES + off, sizeof block, 0));
}

static void check_block(struct tv *t, unsigned page, uint64_t off)
{
	fill_block(page);
	ck_assert_ok(lsvd_volume_read(t->v, back, page * PAGE_BYTES + off, sizeof back));
	ck_assert_mem_eq(block, back, sizeof block);
}

static struct tv *wide_with(uint64_t log_bytes)
{
	struct tv *t = tv_new_of(WIDE_BYTES);

	t->o.log_bytes = log_bytes;
	tv_open(t);
	for (unsigned i = 0; i < PAGES; i++)
		write_block(t, i, 0);
	return t;
}

static struct tv *wide(void)
{
	return wide_with(LOG_BYTES);
}

static bool is_there(struct tv *t)
{
	bool there;

	lsvd_port_enter(&t->v->port);
	there = lsvd_mirror_is_there(t->v);
	lsvd_port_leave(&t->v->port, false);
	return there;
}

static void check_offline(struct tv *t, uint64_t off)
{
	const uint32_t flags = t->o.flags;

	tv_fault(t, (struct fault_rule){ .verbs = FAULT_WRITES | FAULT_HEAD | FAULT_LIST,
					 .kind = FAULT_FAIL });
	t->o.flags = LSVD_OPEN_OFFLINE | LSVD_OPEN_READONLY;
	tv_open(t);
	for (unsigned i = 0; i < PAGES; i++)
		check_block(t, i, 0);
	check_block(t, 3, off);
	tv_close(t);
	store_fault_clear(t->fault);
	t->o.flags = flags;
}

static void one_more(struct tv *t)
{
	write_block(t, 3, 65536);
	tv_flush(t);
}

START_TEST(an_open_goes_on_with_the_copy_that_is_there)
{
	struct tv *t = wide();

	for (unsigned i = 0; i < 3; i++) {
		tv_reopen(t);
		ck_assert(is_there(t));
		ck_assert_uint_eq(tv_stats(t).map_gets, 0);
	}
	one_more(t);
	tv_close(t);
	check_offline(t, 65536);
	tv_free(t);
}
END_TEST

/* Nothing is closed: what the store got at last is not in it, or not synced, or all of it is. */
static void open_and_write(struct tv *t)
{
	tv_open(t);
	for (unsigned i = 0; i < 40; i++)
		write_block(t, i, 65536);
	tv_sync(t);
	write_block(t, 3, 131072);
}

START_TEST(what_a_killed_writer_has_stored_is_added_to_the_copy)
{
	struct tv *t = wide();

	tv_close(t);
	for (unsigned i = 0; i < 3; i++) {
		tv_killed(t, open_and_write);
		tv_open(t);
		ck_assert(is_there(t));
		tv_close(t);
	}
	check_offline(t, 131072);
	tv_free(t);
}
END_TEST

/* Where the last record of a chain object lies, or the one before it; 0: nowhere. */
static uint64_t last_chain(const uint8_t *p, size_t len, const struct mirror_head *head,
			   unsigned before)
{
	uint64_t at = head->snapshot_end, last[2] = { 0, 0 };
	struct mirror_head h = *head;
	uint32_t kind, bytes;

	while (at + MIRROR_RECORD_BYTES <= len) {
		h.nonce = le64_get(p + at + 8); /* whatever it is */
		if (!lsvd_mirror_record_peek(p + at, &h, at, &kind, &bytes))
			break;
		if (kind == MIRROR_CHAIN) {
			last[1] = last[0];
			last[0] = at;
		}
		at += mirror_span(bytes);
	}
	return last[before];
}

static void tear(struct tv *t, unsigned before)
{
	unsigned torn = 0;

	for (unsigned i = 0; i < 2; i++) {
		char name[MIRROR_NAME_CAP], *path;
		struct mirror_head head;
		uint64_t at = 0;
		uint8_t *p;
		size_t len;

		lsvd_mirror_name(name, sizeof name, TV_NAME, i);
		path = tmpdir_path(t->cache, name);
		p = tv_slurp(path, &len);
		if (len >= MIRROR_HEAD_BYTES && lsvd_mirror_head_decode(&head, p, path) == 0)
			at = last_chain(p, len, &head, before);
		if (at)
			tv_flip(path, at + 60);
		torn += at != 0;
		free(p);
		free(path);
	}
	ck_assert_uint_gt(torn, 0);
}

START_TEST(a_copy_that_lacks_objects_of_before_the_checkpoint_is_made_anew)
{
	struct tv *t = wide();

	tv_reopen(t);
	one_more(t);
	tv_close(t);
	tear(t, 0);
	tv_open(t);
	tv_wait_for(is_there(t));
	ck_assert_uint_gt(tv_stats(t).map_gets, 0);
	tv_close(t);
	check_offline(t, 65536);
	tv_free(t);
}
END_TEST

static void store_one(struct tv *t)
{
	tv_open(t);
	write_block(t, 3, 65536);
	tv_sync(t);
}

static void open_only(struct tv *t)
{
	tv_open(t);
	ck_assert(is_there(t));
}

static bool is_settled(struct tv *t)
{
	bool settled;

	lsvd_port_enter(&t->v->port);
	lsvd_mirror_want_room(t->v); /* or it would wait for more */
	settled = lsvd_mirror_is_settled(t->v);
	lsvd_port_leave(&t->v->port, false);
	return settled;
}

static void store_another(struct tv *t)
{
	tv_open(t);
	write_block(t, 3, 131072);
	tv_sync(t);
	tv_wait_for(is_settled(t)); /* its header is in the file */
}

/* Opens have left marks in between, so what is written in place of it is shorter. */
START_TEST(what_was_torn_off_a_copy_does_not_follow_again)
{
	struct tv *t = wide_with(8 * LOG_BYTES); /* no snapshot is due meanwhile */

	tv_close(t);
	tv_killed(t, store_one);
	for (unsigned i = 0; i < 3; i++)
		tv_killed(t, open_only);
	tv_killed(t, store_another);
	tear(t, 1);
	tv_killed(t, open_only);
	check_offline(t, 131072);
	tv_free(t);
}
END_TEST

static void lose_cache(struct tv *t)
{
	tv_close(t);
	tv_run("rm -r '%s%s'", t->cache, "");
}

START_TEST(a_new_cache_does_not_fetch_the_map_before_its_log_needs_it)
{
	struct tv *t = wide();

	lose_cache(t);
	tv_open(t);
	one_more(t);
	tv_sync(t);
	tv_reopen(t); /* a close does not wait for it */
	ck_assert(!is_there(t));
	ck_assert_uint_eq(tv_stats(t).map_gets, 0);
	for (unsigned i = 0; !is_there(t); i++) {
		ck_assert_uint_lt(i, 20 * LOG_BYTES / 4096);
		write_block(t, i % PAGES, 4096 * (1 + i / PAGES % 1000));
		if (i % 16 == 0)
			tv_sync(t);
	}
	tv_close(t);
	check_offline(t, 65536);
	tv_free(t);
}
END_TEST

START_TEST(who_could_open_it_offline_can_do_so_soon_after_going_back)
{
	struct tv *t = wide();

	t->o.map_memory_bytes = 1u << 20;
	tv_sync(t);
	tv_wait_for(is_there(t));
	ck_assert_ok(lsvd_snapshot_create(t->v, "s", UINT32_MAX, NULL));
	one_more(t);
	tv_reopen(t);
	tv_wait_for(is_there(t));
	ck_assert_ok(lsvd_snapshot_rollback(t->v, "s", UINT32_MAX));
	tv_wait_for(is_there(t)); /* nothing more is written for that */
	one_more(t);
	tv_close(t);
	check_offline(t, 65536);
	tv_free(t);
}
END_TEST

static void cut(struct tv *t)
{
	tv_open(t);
	ck_assert_ok(lsvd_volume_resize(t->v, WIDE_BYTES / 2, LSVD_RESIZE_CUT));
}

START_TEST(who_opens_offline_knows_that_a_volume_was_cut)
{
	struct tv *t = wide();

	tv_close(t);
	tv_killed(t, cut);
	tv_fault(t, (struct fault_rule){ .kind = FAULT_FAIL });
	t->o.flags = LSVD_OPEN_OFFLINE;
	tv_open(t);
	ck_assert_uint_eq(lsvd_volume_bytes(t->v), WIDE_BYTES / 2);
	tv_free(t);
}
END_TEST

static Suite *volume_mirror_suite(void)
{
	Suite *s = suite_create("volume_mirror");
	TCase *c = tcase_create("when it is made");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, an_open_goes_on_with_the_copy_that_is_there);
	tcase_add_test(c, what_a_killed_writer_has_stored_is_added_to_the_copy);
	tcase_add_test(c, a_copy_that_lacks_objects_of_before_the_checkpoint_is_made_anew);
	tcase_add_test(c, what_was_torn_off_a_copy_does_not_follow_again);
	tcase_add_test(c, a_new_cache_does_not_fetch_the_map_before_its_log_needs_it);
	tcase_add_test(c, who_could_open_it_offline_can_do_so_soon_after_going_back);
	tcase_add_test(c, who_opens_offline_knows_that_a_volume_was_cut);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(volume_mirror_suite)
