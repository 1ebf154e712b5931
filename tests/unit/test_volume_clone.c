/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of clones: each begins as a snapshot of its base, sees nothing of what becomes of that, and
 * keeps it from going.
 * lsvd-test: timeout=240 labels=tsan
 */
#include <pthread.h>

#include <lsvd/check.h>

#include "log/lineage.h"
#include "t_clone.h"
#include "volume/volume_internal.h"

START_TEST(a_clone_begins_as_the_snapshot_and_goes_its_own_way)
{
	struct tv *t = fresh();
	struct other *c;

	scatter(t, 1500, 1);
	tv_write_text(t, 1u << 20, 1u << 20, 3);
	if (_i == 1)
		ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
	scatter(t, 100, 2);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	tv_check_all(&c->t);
	scatter(t, 500, 3);
	scatter(&c->t, 500, 4);
	tv_trim(&c->t, 0, 1u << 20);
	tv_check_all(t);
	tv_check_all(&c->t);
	reopen_other(c);
	tv_check_all(&c->t);
	ck_assert_ok(lsvd_volume_checkpoint(c->t.v, EVER));
	reopen_other(c);
	tv_check_all(&c->t);
	lsvd_vol_check_parts(c->t.v);
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(a_clone_sees_nothing_of_what_is_overwritten_trimmed_and_collected_in_its_base)
{
	struct tv *t = fresh();
	struct other *c;

	scatter(t, 2000, 1);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	for (unsigned i = 0; i < 4; i++) {
		scatter(t, 2000, 10 + i);
		if (i == 2)
			tv_trim(t, 0, TV_BYTES);
		tv_reopen(t);
		ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
		scatter(&c->t, 300, 20 + i);
		reopen_other(c);
		ck_assert_ok(lsvd_volume_gc(c->t.v, 100, EVER));
		tv_check_all(&c->t);
		tv_check_all(t);
	}
	end_other(c);
	tv_free(t);
}
END_TEST

/* Of an extent only what is left of it counts, whatever is saved or copied of the base's map. */
START_TEST(what_the_base_had_overwritten_within_an_extent_stays_overwritten)
{
	struct tv *t = fresh();
	struct other *c;

	for (uint64_t i = 0; i < 16; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_sync(t);
	for (uint64_t i = 0; i < 16; i++)
		tv_write(t, i * 65536 + 8192 + i * 512, 4096, 100 + i);
	tv_trim(t, 20480, 4096);
	if (_i == 1)
		ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	tv_check_all(&c->t);
	tv_write(&c->t, 65536 + 2048, 1024, 7);
	ck_assert_ok(lsvd_volume_checkpoint(c->t.v, EVER));
	reopen_other(c);
	tv_check_all(&c->t);
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(what_becomes_of_the_base_after_a_clone_saved_its_map_is_not_seen_there)
{
	struct tv *t = fresh();
	struct other *c;

	scatter(t, 1500, 1);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	scatter(&c->t, 50, 2);
	ck_assert_ok(lsvd_volume_checkpoint(c->t.v, EVER));
	close_other(c);
	/* With nobody there who could hold on to anything. */
	for (unsigned i = 0; i < 3; i++) {
		scatter(t, 1500, 10 + i);
		tv_reopen(t);
		ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
	}
	tv_trim(t, 0, TV_BYTES);
	tv_reopen(t);
	ck_assert_ok(lsvd_volume_gc(t->v, 100, EVER));
	tv_check_all(t);
	open_other(c);
	tv_check_all(&c->t);
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(clones_of_clones_are_what_each_was_cloned_from)
{
	struct tv *t = fresh();
	struct other *c[4];
	struct tv *base = t;
	const char *name = TV_NAME;

	scatter(t, 1000, 1);
	for (unsigned i = 0; i < 4; i++) {
		char own[8] = { 'c', (char)('0' + i), 0 };

		snapshot(base, "s");
		c[i] = clone_of(base, name, "s", own);
		base = &c[i]->t;
		name = c[i]->name;
		tv_check_all(base);
		scatter(base, 300, 50 + i);
	}
	for (unsigned i = 0; i < 4; i++) {
		reopen_other(c[i]);
		ck_assert_ok(lsvd_volume_gc(c[i]->t.v, 100, EVER));
		reopen_other(c[i]);
		tv_check_all(&c[i]->t);
		end_other(c[i]);
	}
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_clone_copies_nothing)
{
	struct tv *t = fresh();
	struct other *c;
	uint64_t puts;

	for (uint64_t off = 0; off < TV_BYTES; off += 1u << 20)
		tv_write(t, off, 1u << 20, off);
	snapshot(t, "s");
	puts = store_fault_bytes(t->fault, FAULT_PUT);
	c = clone_of(t, TV_NAME, "s", "c");
	close_other(c);
	ck_assert_uint_lt(store_fault_bytes(t->fault, FAULT_PUT) - puts, 65536);
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(what_a_clone_needs_cannot_be_deleted)
{
	struct tv *t = fresh();
	struct other *c;

	scatter(t, 100, 1);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "needy");
	ck_assert_err(lsvd_snapshot_delete(t->v, "s", EVER), -EBUSY);
	ck_assert_error_says("needy");
	tv_close(t);
	ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
	ck_assert_error_says("needy");
	tv_open(t); /* nothing has changed */
	tv_check_all(t);
	close_other(c);
	ck_assert_ok(lsvd_volume_delete(t->store, "needy"));
	ck_assert_ok(lsvd_snapshot_delete(t->v, "s", EVER));
	tv_close(t);
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	end_other(c);
	tv_free(t);
}
END_TEST

#define MANY 70u           /* more than fit whatever a list of them begins with */

/* The snapshots are sn-0, sn-1, …; slots are listed in order of their UUIDs. */
struct last {
	char uuid[37];
	char name[LSVD_NAME_MAX + 1];
};

static int find_last(void *ctx, const struct lsvd_snapshot_info *info)
{
	struct last *l = ctx;

	if (strcmp(info->uuid, l->uuid) > 0) {
		memcpy(l->uuid, info->uuid, sizeof l->uuid);
		memcpy(l->name, info->name, sizeof l->name);
	}
	return 0;
}

START_TEST(a_clone_is_found_behind_many_snapshots_that_had_clones)
{
	struct last last = { .name = "" };
	struct tv *t = fresh();
	char name[32], clone[32];

	scatter(t, 10, 1);
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "sn-%u", i); /* fits, as below */
		snapshot(t, name);
	}
	tv_close(t);
	ck_assert_ok(lsvd_snapshot_list_store(t->store, TV_NAME, find_last, &last));
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "sn-%u", i);
		(void)snprintf(clone, sizeof clone, "clone-%u", i);
		ck_assert_ok(lsvd_volume_clone(t->store, TV_NAME, name, clone, NULL, NULL));
		if (strcmp(name, last.name) != 0)
			ck_assert_ok(lsvd_volume_delete(t->store, clone));
	}
	ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
	ck_assert_error_says("clone-");
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_clone_that_may_have_been_created_keeps_its_base)
{
	struct tv *t = fresh();
	struct lsvd_volume *v;

	scatter(t, 100, 1);
	snapshot(t, "s");
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/maybe", .times = 1,
					 .kind = FAULT_LOSE_REPLY, .err = -EIO });
	ck_assert_err(lsvd_volume_clone(t->store, TV_NAME, "s", "maybe", NULL, NULL), -EIO);
	ck_assert_err(lsvd_snapshot_delete(t->v, "s", EVER), -EBUSY);
	tv_close(t);
	ck_assert_ok(lsvd_volume_open(&v, t->store, "maybe", &t->o));
	t->v = v;
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(an_entry_of_a_clone_that_was_never_made_keeps_nothing)
{
	struct tv *t = fresh();
	struct other *c;

	scatter(t, 100, 1);
	snapshot(t, "s");
	/* The cloner has said that it comes, and then it was gone. */
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/never", .times = 1,
					 .err = -EIO });
	ck_assert_err(lsvd_volume_clone(t->store, TV_NAME, "s", "never", NULL, NULL), -EIO);
	if (_i == 0) { /* beside it there is one that lives */
		c = clone_of(t, TV_NAME, "s", "c");
		ck_assert_err(lsvd_snapshot_delete(t->v, "s", EVER), -EBUSY);
		ck_assert_error_says("c");
		tv_check_all(&c->t);
		end_other(c);
		ck_assert_ok(lsvd_volume_delete(t->store, "c"));
	}
	if (_i < 2)
		ck_assert_ok(lsvd_snapshot_delete(t->v, "s", EVER));
	tv_close(t);
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	tv_free(t);
}
END_TEST

/*
 * Its record could not be seen for a while, and when it was looked for again the store did not say.
 */
START_TEST(an_entry_of_which_the_second_look_says_nothing_stays)
{
	struct tv *t = fresh();
	struct other *c;

	scatter(t, 100, 1);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	close_other(c);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = "volumes/c", .times = 1,
					 .kind = FAULT_STALE });
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = "volumes/c", .times = 1,
					 .err = -EACCES });
	ck_assert_err(lsvd_snapshot_delete(t->v, "s", EVER), -EACCES);
	ck_assert_uint_eq(store_fault_hits(t->fault, FAULT_FAIL), 1);
	/*
	 * The record again as it was that moment, and nobody looks twice:
	 * it is the entry that counts.
	 */
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = "volumes/c", .times = 1,
					 .kind = FAULT_STALE });
	ck_assert_err(lsvd_snapshot_delete(t->v, "s", EVER), -EBUSY);
	open_other(c);
	tv_check_all(&c->t);
	end_other(c);
	tv_free(t);
}
END_TEST

static void *delete_in_vain(void *arg)
{
	struct tv *t = arg;

	(void)!lsvd_snapshot_delete(t->v, "s", EVER); /* the process dies first */
	return NULL;
}

/*
 * The first look does not see the record of the clone; before the second one there is nobody left.
 */
static void die_between_the_looks(struct tv *t)
{
	pthread_t thread;

	tv_open(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = "volumes/c", .times = 1,
					 .kind = FAULT_STALE });
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_GET, .key = "volumes/c",
					 .kind = FAULT_HOLD });
	ck_assert_int_eq(pthread_create(&thread, NULL, delete_in_vain, t), 0);
	store_fault_wait_held(t->fault, 1);
}

START_TEST(a_deleter_that_dies_half_way_leaves_every_clone_its_entry)
{
	struct tv *t = fresh();
	struct other *c;

	scatter(t, 100, 1);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	close_other(c);
	tv_close(t);
	tv_killed(t, die_between_the_looks);
	tv_open(t);
	ck_assert_err(lsvd_snapshot_delete(t->v, "s", EVER), -EBUSY);
	ck_assert_error_says("c");
	open_other(c);
	tv_check_all(&c->t);
	close_other(c);
	ck_assert_ok(lsvd_volume_delete(t->store, "c"));
	ck_assert_ok(lsvd_snapshot_delete(t->v, "s", EVER));
	end_other(c);
	tv_free(t);
}
END_TEST

/* _i 1: listings are old, and show no clone. */
START_TEST(a_volume_whose_deletion_did_not_end_keeps_what_its_clones_need)
{
	struct tv *t = fresh();
	struct other *middle, *last;

	scatter(t, 100, 1);
	snapshot(t, "s");
	middle = clone_of(t, TV_NAME, "s", "middle");
	snapshot(&middle->t, "m");
	close_other(middle);
	last = clone_of(&middle->t, "middle", "m", "last");
	/* Who deleted it in between had taken its name away, and then was gone. */
	ck_assert_ok(lsvd_store_remove(t->store, "volumes/middle"));
	if (_i)
		tv_fault(t, (struct fault_rule){ .verbs = FAULT_LIST, .kind = FAULT_STALE });
	ck_assert_err(lsvd_snapshot_delete(t->v, "s", EVER), -EBUSY);
	ck_assert_error_says("middle");
	reopen_other(last);
	tv_check_all(&last->t);
	end_other(last);
	end_other(middle);
	tv_free(t);
}
END_TEST

/* Of the base's objects that the clone knows the one of the last place, in the chain or not. */
static const struct object_entry *last_of_base(const struct lsvd_volume *v, bool in_chain)
{
	const struct object_entry *last = NULL;

	for (uint64_t n = lsvd_object_table_next(&v->objects, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(&v->objects, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(&v->objects, n);

		if (e->ancestor && (in_chain ? lsvd_object_is_data(e) : e->home == HOME_PAGES) &&
		    lsvd_object_is_in_chain(e) == in_chain && (!last || e->seq > last->seq))
			last = e;
	}
	ck_assert_ptr_nonnull(last);
	return last;
}

/* In the store of the clone, where its base has an object, there is a copy of that. */
static void copy_of_base(struct tv *base, struct other *c, bool in_chain)
{
	const struct object_entry *e = last_of_base(c->t.v, in_chain);
	const struct uuid from = tv_uuid(base), *to = &c->t.v->uuid;
	struct iovec iov = { malloc(1u << 24), 0 };
	char key[KEY_CAP];

	ck_assert_ptr_nonnull(iov.iov_base);
	if (in_chain)
		lsvd_key_chain(key, &from, e->epoch, e->seq);
	else
		lsvd_key_free(key, &from, e->epoch, e->seq);
	ck_assert_ok(lsvd_store_get(base->store, key, 0, iov.iov_base, 1u << 24, &iov.iov_len));
	if (in_chain)
		lsvd_key_chain(key, to, e->epoch, e->seq);
	else
		lsvd_key_free(key, to, e->epoch, e->seq);
	ck_assert_ok(lsvd_store_put_if_absent(base->store, key, &iov, 1));
	free(iov.iov_base);
}

START_TEST(an_orphan_of_a_clone_is_one_also_where_its_base_has_an_object)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;
	struct lsvd_gc_status s = LSVD_GC_STATUS_INIT;
	struct tv *t = fresh();
	struct other *c;

	for (unsigned i = 0; i < 40; i++) {
		scatter(t, 20, i);
		tv_sync(t);
	}
	ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
	scatter(t, 20, 41);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	reopen_other(c); /* of its own epoch nobody takes anything for an orphan */
	copy_of_base(t, c, true);
	copy_of_base(t, c, false);
	o.flags = LSVD_COLLECT_ORPHANS | LSVD_COLLECT_NO_COPY;
	ck_assert_ok(lsvd_volume_collect(c->t.v, &o, &s));
	ck_assert_uint_eq(s.orphans, 2);
	reopen_other(c);
	tv_check_all(&c->t);
	end_other(c);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* Of the only snapshot, or of one behind many. */
START_TEST(an_old_listing_hides_no_clone_from_who_deletes_its_base)
{
	struct tv *t = fresh();
	struct other *c;
	unsigned claims;
	char name[32];

	scatter(t, 100, 1);
	for (unsigned i = 0; i < (_i ? MANY / 2 : 0); i++) {
		(void)snprintf(name, sizeof name, "sn-%u", i); /* fits */
		snapshot(t, name);
	}
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "needy");
	close_other(c);
	tv_close(t);
	claims = tv_count(t, KEY_CLAIM);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_LIST, .kind = FAULT_STALE });
	ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
	ck_assert_error_says("needy");
	ck_assert_uint_gt(store_fault_hits(t->fault, FAULT_STALE), 0);
	store_fault_clear(t->fault);
	/* whoever writes to it is not disturbed */
	ck_assert_uint_eq(tv_count(t, KEY_CLAIM), claims);
	tv_open(t);
	tv_check_all(t);
	open_other(c);
	tv_check_all(&c->t);
	end_other(c);
	tv_free(t);
}
END_TEST

/* The deletion was cut off: before it had removed the name (_i 0), or behind that. */
START_TEST(an_old_listing_hides_no_clone_from_who_ends_a_deletion)
{
	struct tv *t = fresh();
	char uuid[UUID_TEXT_LEN + 1];
	struct visit visit;
	struct other *c;
	uint64_t claim;
	struct uuid u;

	scatter(t, 100, 1);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "needy");
	close_other(c);
	tv_close(t);
	u = tv_uuid(t);
	lsvd_uuid_format(&u, uuid);
	ck_assert_ok(lsvd_visit_begin(&visit, t->store));
	ck_assert_ok(lsvd_lineage_take_away(&visit.port, &u, &claim));
	lsvd_visit_end(&visit);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_LIST, .kind = FAULT_STALE });
	if (_i == 0) {
		ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
	} else {
		ck_assert_ok(lsvd_store_remove(t->store, "volumes/" TV_NAME));
		ck_assert_err(lsvd_volume_purge(t->store, uuid), -EBUSY);
	}
	ck_assert_error_says("needy");
	open_other(c);
	tv_check_all(&c->t);
	end_other(c);
	tv_free(t);
}
END_TEST

/* The listing is old, and what the volume itself knows is damaged. */
START_TEST(a_clone_keeps_a_base_that_cannot_be_read_by_its_record_alone)
{
	struct tv *t = fresh();
	struct tv_keys *roots;
	char key[KEY_CAP];
	struct other *c;
	struct uuid u;

	scatter(t, 100, 1);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "needy");
	ck_assert_ok(lsvd_volume_checkpoint(c->t.v, EVER));
	close_other(c);
	u = tv_uuid(t);
	ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
	roots = tv_keys(t, KEY_ROOT);
	tv_close(t);
	for (unsigned i = 0; i < roots->count; i++) {
		char *path = tv_object_path(t, roots->keys[i]);

		tv_flip(path, tv_file_size(path) - 1);
		free(path);
	}
	lsvd_key_prefix(key, &u, KEY_SLOT);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_LIST, .key = key, .kind = FAULT_STALE });
	ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
	ck_assert_error_says("needy");
	ck_assert_uint_gt(store_fault_hits(t->fault, FAULT_STALE), 0);
	free(roots);
	end_other(c);
	tv_free(t);
}
END_TEST

struct deleter {
	struct tv *t;
	int err;
};

static void *delete_slowly(void *arg)
{
	struct deleter *d = arg;

	d->err = lsvd_volume_delete(d->t->store, TV_NAME);
	return NULL;
}

/* The first one's next claim is put when the held call is let go. */
static void hold_claim(struct tv *t, const struct uuid *u)
{
	char key[KEY_CAP];

	lsvd_key_prefix(key, u, KEY_CLAIM);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = key, .times = 1,
					 .kind = FAULT_HOLD });
}

/* Whatever of it comes first after that: the name's removal, or the look who needs the volume. */
static void hold_what_follows(struct tv *t, const struct uuid *u)
{
	char key[KEY_CAP];

	lsvd_key_prefix(key, u, KEY_SLOT);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_REMOVE, .key = "volumes/" TV_NAME,
					 .times = 1, .kind = FAULT_HOLD });
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_LIST, .key = key, .times = 1,
					 .kind = FAULT_HOLD });
}

/*
 * One has taken it away; there is a clone, made just before; a second deletion finds that, and
 * gives it back; the first goes on by one request more, and dies.
 */
START_TEST(of_two_deletions_none_takes_the_name_that_the_other_gave_back)
{
	struct tv *t = fresh();
	struct deleter d = { .t = t };
	pthread_t thread;
	struct other *c;
	struct uuid u;

	scatter(t, 100, 1);
	snapshot(t, "s");
	tv_close(t);
	u = tv_uuid(t);
	hold_claim(t, &u);
	ck_assert_int_eq(pthread_create(&thread, NULL, delete_slowly, &d), 0);
	store_fault_wait_held(t->fault, 1);
	c = clone_of(t, TV_NAME, "s", "needy");
	hold_what_follows(t, &u);
	store_fault_release(t->fault);
	store_fault_wait_held(t->fault, 1);
	ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_ANY, .kind = FAULT_FAIL, .err = -EACCES });
	store_fault_release(t->fault);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_err(d.err, -EACCES);
	store_fault_clear(t->fault);
	tv_open(t);
	tv_check_all(t);
	tv_check_all(&c->t);
	end_other(c);
	tv_close(t);
	ck_assert_ok(lsvd_volume_delete(t->store, "needy"));
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	tv_free(t);
}
END_TEST

START_TEST(a_check_believes_no_old_listing_about_what_a_clone_needs)
{
	struct lsvd_check_options o = LSVD_CHECK_OPTIONS_INIT;
	struct lsvd_check_report r = LSVD_CHECK_REPORT_INIT;
	struct tv *t = fresh();
	struct other *c;

	scatter(t, 300, 1);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	scatter(&c->t, 100, 2);
	close_other(c);
	tv_close(t);
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_LIST, .kind = FAULT_STALE });
	for (unsigned i = 0; i < 2; i++) {
		o.flags = i ? LSVD_CHECK_DEEP : 0;
		ck_assert_ok(lsvd_volume_check(t->store, "c", &o, &r));
		ck_assert_uint_eq(r.errors + r.warnings, 0);
		ck_assert_uint_eq(r.complete, 1);
	}
	ck_assert_uint_eq(store_fault_hits(t->fault, FAULT_STALE), 2 * 3);
	ck_assert_uint_gt(r.data_objects, 1);
	end_other(c);
	tv_free(t);
}
END_TEST

struct cloner {
	struct tv *t;
	int err;
};

static void *clone_slowly(void *arg)
{
	struct cloner *c = arg;

	c->err = lsvd_volume_clone(c->t->store, TV_NAME, "s", "slow", NULL, NULL);
	return NULL;
}

/* It is between its entry and its record while the snapshot goes, or the whole base. */
START_TEST(a_cloner_that_was_overtaken_by_a_deletion_has_made_no_clone)
{
	struct tv *t = fresh();
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	struct cloner c = { .t = t };
	pthread_t thread;

	scatter(t, 100, 1);
	snapshot(t, "s");
	tv_fault(t, (struct fault_rule){ .verbs = FAULT_PUT, .key = "/slow", .times = 1,
					 .kind = FAULT_HOLD });
	ck_assert_int_eq(pthread_create(&thread, NULL, clone_slowly, &c), 0);
	store_fault_wait_held(t->fault, 1);
	if (_i == 0) {
		ck_assert_ok(lsvd_snapshot_delete(t->v, "s", EVER));
	} else {
		tv_close(t);
		ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	}
	store_fault_release(t->fault);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_lt(c.err, 0);
	ck_assert_err(lsvd_volume_lookup(t->store, "slow", &info), -ENOENT);
	tv_free(t);
}
END_TEST

static void expect_base(struct tv *t, const char *name, const char *volume, const char *snapshot,
			unsigned is_flat)
{
	struct lsvd_base_info b = LSVD_BASE_INFO_INIT;
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

	ck_assert_ok(lsvd_volume_base(t->store, name, &b));
	ck_assert_str_eq(b.volume, volume);
	ck_assert_str_eq(b.snapshot, snapshot);
	ck_assert_uint_eq(b.is_flat, is_flat);
	ck_assert_ok(lsvd_volume_lookup(t->store, name, &info));
	ck_assert_str_eq(info.base_uuid, b.volume_uuid);
	ck_assert_int_eq(info.base_uuid[0] == 0, b.snapshot_uuid[0] == 0);
}

START_TEST(a_clone_says_what_it_began_as_and_whether_it_needs_that)
{
	struct tv *t = fresh();
	struct lsvd_base_info b = LSVD_BASE_INFO_INIT;
	struct lsvd_volume_info base = LSVD_VOLUME_INFO_INIT, info = LSVD_VOLUME_INFO_INIT;
	struct other *c;

	scatter(t, 100, 1);
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	expect_base(t, TV_NAME, "", "", 0);
	expect_base(t, "c", TV_NAME, "s", 0);
	ck_assert_ok(lsvd_volume_lookup(t->store, TV_NAME, &base));
	ck_assert_ok(lsvd_volume_describe(c->t.v, &info));
	ck_assert_str_eq(info.base_uuid, base.uuid);
	ck_assert_ok(lsvd_volume_flatten(c->t.v, EVER));
	expect_base(t, "c", TV_NAME, "s", 1);
	ck_assert_ok(lsvd_snapshot_delete(t->v, "s", EVER));
	expect_base(t, "c", TV_NAME, "", 1);
	tv_close(t);
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	expect_base(t, "c", "", "", 1);
	ck_assert_ok(lsvd_volume_base(t->store, "c", &b));
	ck_assert_str_eq(b.volume_uuid, base.uuid);
	ck_assert_err(lsvd_volume_base(t->store, TV_NAME, &b), -ENOENT);
	ck_assert_err(lsvd_volume_base(t->store, "no/name", &b), -EINVAL);
	end_other(c);
	tv_free(t);
}
END_TEST

static void remove_pages(struct tv *t, const struct fmt_base *base)
{
	struct tv_keys *k = tv_keys(t, KEY_FREE);
	char uuid[UUID_TEXT_LEN + 1];
	unsigned n = 0;

	lsvd_uuid_format(fmt_base_volume(base), uuid);
	for (unsigned i = 0; i < k->count; i++)
		if (strstr(k->keys[i], uuid)) {
			ck_assert_ok(lsvd_store_remove(t->store, k->keys[i]));
			n++;
		}
	ck_assert_uint_gt(n, 0);
	free(k);
}

static void remove_root(struct tv *t, const struct fmt_base *base)
{
	char key[KEY_CAP];

	lsvd_key_root(key, fmt_base_volume(base), base->root.epoch, base->root.number);
	ck_assert_ok(lsvd_store_remove(t->store, key));
}

/* The base's root, as the clone has none of its own; and pages that it has not saved itself. */
START_TEST(a_clone_whose_base_is_damaged_says_which_volume_has_to_be_mended)
{
	struct tv *t = fresh();
	struct fmt_base base;
	struct other *c;

	scatter(t, 400, 1);
	ck_assert_ok(lsvd_volume_checkpoint(t->v, EVER));
	snapshot(t, "s");
	c = clone_of(t, TV_NAME, "s", "c");
	base = *c->t.v->base;
	if (_i == 1) {
		tv_write(&c->t, 0, 4096, 2);
		ck_assert_ok(lsvd_volume_checkpoint(c->t.v, EVER));
	}
	close_other(c);
	tv_close(t);
	if (_i == 0)
		remove_root(t, &base);
	else
		remove_pages(t, &base);
	c->t.o.flags = LSVD_OPEN_READONLY; /* which reads all of the map */
	c->t.o.cache_dir = NULL;
	ck_assert_err(lsvd_volume_open(&c->t.v, t->store, "c", &c->t.o), LSVD_E_CORRUPT);
	ck_assert_error_says("volume c needs its base, volume " TV_NAME ", UUID ");
	ck_assert_error_says("'lsvd-admin check' says how");
	ck_assert_error_says(_i ? "missing, though the root names it" : "is missing");
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(a_base_as_it_is_now_is_cloned_by_a_snapshot_made_for_that)
{
	struct tv *t = fresh();
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	struct lsvd_volume *v;

	scatter(t, 100, 1);
	tv_close(t);
	ck_assert_ok(lsvd_volume_clone(t->store, TV_NAME, NULL, "now", &t->o, &info));
	ck_assert_uint_eq(info.bytes, TV_BYTES);
	ck_assert_ok(lsvd_volume_open(&v, t->store, "now", &t->o));
	t->v = v;
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(wrong_calls_are_refused)
{
	struct tv *t = fresh();
	struct other *c;

	snapshot(t, "s");
	ck_assert_err(lsvd_volume_clone(t->store, "none", "s", "c", NULL, NULL), -ENOENT);
	ck_assert_err(lsvd_volume_clone(t->store, TV_NAME, "none", "c", NULL, NULL), -ENOENT);
	ck_assert_err(lsvd_volume_clone(t->store, TV_NAME, "s", "a/b", NULL, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_clone(t->store, TV_NAME, NULL, "c", NULL, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_clone(t->store, TV_NAME, "s", TV_NAME, NULL, NULL), -EEXIST);
	c = clone_of(t, TV_NAME, "s", "c");
	ck_assert_err(lsvd_volume_clone(t->store, TV_NAME, "s", "c", NULL, NULL), -EEXIST);
	close_other(c);
	ck_assert_ok(lsvd_volume_delete(t->store, "c"));
	ck_assert_ok(lsvd_snapshot_delete(t->v, "s", EVER)); /* the failed ones hold nothing */
	end_other(c);
	tv_free(t);
}
END_TEST

START_TEST(clones_of_one_base_share_what_the_read_cache_has_of_it)
{
	struct tv *t = fresh();
	struct lsvd_stats s;
	struct other *a, *b;

	tv_write(t, 0, 4u << 20, 1);
	snapshot(t, "s");
	t->o.rcache_bytes = 64u << 20;
	a = clone_of(t, TV_NAME, "s", "a");
	b = clone_of(t, TV_NAME, "s", "b");
	tv_check(&a->t, 0, 4u << 20);
	tv_wait_for(tv_stats(&a->t).rcache_write_bytes >= 4u << 20);
	tv_check(&b->t, 0, 4u << 20);
	s = tv_stats(&b->t);
	ck_assert_uint_gt(s.read_rcache_bytes, 2u << 20);
	end_other(a);
	end_other(b);
	tv_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("volume_clone");
	TCase *c = tcase_create("clone");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, a_clone_begins_as_the_snapshot_and_goes_its_own_way, 0, 2);
	tcase_add_test(
		c, a_clone_sees_nothing_of_what_is_overwritten_trimmed_and_collected_in_its_base);
	tcase_add_loop_test(c, what_the_base_had_overwritten_within_an_extent_stays_overwritten,
			    0, 2);
	tcase_add_test(c, what_becomes_of_the_base_after_a_clone_saved_its_map_is_not_seen_there);
	tcase_add_test(c, clones_of_clones_are_what_each_was_cloned_from);
	tcase_add_test(c, a_clone_copies_nothing);
	tcase_add_test(c, what_a_clone_needs_cannot_be_deleted);
	tcase_add_test(c, a_clone_is_found_behind_many_snapshots_that_had_clones);
	tcase_add_test(c, a_clone_that_may_have_been_created_keeps_its_base);
	tcase_add_loop_test(c, an_entry_of_a_clone_that_was_never_made_keeps_nothing, 0, 3);
	tcase_add_test(c, an_entry_of_which_the_second_look_says_nothing_stays);
	tcase_add_test(c, a_deleter_that_dies_half_way_leaves_every_clone_its_entry);
	tcase_add_loop_test(c, a_volume_whose_deletion_did_not_end_keeps_what_its_clones_need,
			    0, 2);
	tcase_add_test(c, an_orphan_of_a_clone_is_one_also_where_its_base_has_an_object);
	tcase_add_loop_test(c, an_old_listing_hides_no_clone_from_who_deletes_its_base, 0, 2);
	tcase_add_loop_test(c, an_old_listing_hides_no_clone_from_who_ends_a_deletion, 0, 2);
	tcase_add_test(c, a_clone_keeps_a_base_that_cannot_be_read_by_its_record_alone);
	tcase_add_test(c, of_two_deletions_none_takes_the_name_that_the_other_gave_back);
	tcase_add_test(c, a_check_believes_no_old_listing_about_what_a_clone_needs);
	tcase_add_loop_test(c, a_cloner_that_was_overtaken_by_a_deletion_has_made_no_clone, 0, 2);
	tcase_add_test(c, a_clone_says_what_it_began_as_and_whether_it_needs_that);
	tcase_add_loop_test(c, a_clone_whose_base_is_damaged_says_which_volume_has_to_be_mended, 0,
			    2);
	tcase_add_test(c, a_base_as_it_is_now_is_cloned_by_a_snapshot_made_for_that);
	tcase_add_test(c, wrong_calls_are_refused);
	tcase_add_test(c, clones_of_one_base_share_what_the_read_cache_has_of_it);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
