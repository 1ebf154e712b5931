/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of who may write a volume: two caches and one store, caches that are missing, old or of
 * somebody else, takeovers, and readers that leave no trace. lsvd-test: timeout=300 labels=tsan
 */
#include <pthread.h>

#include "t_volume.h"

#include "format/fmt_volume.h"
#include "log/lineage.h"

/* Another host: the same store, a cache directory of its own. */
struct host {
	char *cache;
	struct lsvd_volume *v;
	struct lsvd_volume_options o;
};

static struct host host_of(struct tv *t, const char *name)
{
	struct host h = { .cache = tmpdir_path(t->dir, name), .o = t->o };

	h.o.cache_dir = h.cache;
	return h;
}

static int host_open(struct tv *t, struct host *h, uint32_t flags)
{
	h->o.flags = flags;
	return lsvd_volume_open(&h->v, t->store, TV_NAME, &h->o);
}

static void host_close(struct host *h)
{
	ck_assert_int_eq(lsvd_volume_close(h->v, UINT32_MAX), 0);
	h->v = NULL;
}

static void host_free(struct host *h)
{
	if (h->v)
		(void)lsvd_volume_close(h->v, 0); /* the test has seen what it wanted */
	free(h->cache);
}

static int host_write(struct host *h, uint64_t off, uint32_t len, uint64_t seed, uint8_t *model)
{
	uint8_t *buf = tv_buffer(len);
	int err;

	t_fill(buf, len, seed);
	err = lsvd_volume_write(h->v, buf, off, len, 0);
	if (!err && model)
		memcpy(model + off, buf, len);
	free(buf);
	return err;
}

/* Looks through the other host's eyes. */
static void host_check(struct tv *t, struct host *h)
{
	struct lsvd_volume *own = t->v;

	t->v = h->v;
	tv_check_all(t);
	t->v = own;
}

/* ----------------------------------------------------------------------------- fencing a writer */

/* The first writer has stored `model` and holds more in its log. */
static struct tv *writing(uint32_t flush, uint32_t lease_ms)
{
	struct tv *t = tv_new();

	t->o.flush = flush;
	t->o.lease_check_ms = lease_ms;
	tv_open(t);
	for (unsigned i = 0; i < 6; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_sync(t);
	return t;
}

START_TEST(a_second_opener_fences_the_first_and_its_data_is_whole)
{
	struct tv *t = writing(LSVD_FLUSH_LOCAL, UINT32_MAX);
	struct host b = host_of(t, "b");
	uint8_t buf[4096] = { 1 };
	char text[128];

	ck_assert_ok(host_open(t, &b, LSVD_OPEN_ACCEPT_ROLLBACK));
	ck_assert_uint_gt(tv_stats(t).epoch, 0);
	ck_assert_ok(host_write(&b, 32768, 65536, 100, t->model));
	/* The first learns of it when it stores something. */
	ck_assert_ok(lsvd_volume_write(t->v, buf, 0, 4096, 0));
	ck_assert_ok(lsvd_volume_seal(t->v));
	tv_wait_for(lsvd_volume_status(t->v, text, sizeof text) == LSVD_E_FENCED);
	ck_assert_uint_gt(strlen(text), 10);
	ck_assert_err(lsvd_volume_write(t->v, buf, 0, 4096, 0), LSVD_E_FENCED);
	ck_assert_err(lsvd_volume_flush(t->v), LSVD_E_FENCED);
	ck_assert_err(lsvd_volume_sync(t->v, UINT32_MAX), LSVD_E_FENCED);
	ck_assert_ok(lsvd_volume_read(t->v, buf, 8u << 20, 4096));
	ck_assert_err(tv_close_in(t, UINT32_MAX), LSVD_E_FENCED);
	host_check(t, &b);
	host_close(&b);
	ck_assert_ok(host_open(t, &b, 0));
	host_check(t, &b);
	host_free(&b);
	tv_free(t);
}
END_TEST

START_TEST(a_fenced_remote_flush_is_not_acknowledged)
{
	struct tv *t = writing(LSVD_FLUSH_REMOTE, UINT32_MAX);
	struct host b = host_of(t, "b");
	uint8_t buf[4096] = { 1 };

	if (_i) /* something to store, or nothing new: both must look */
		ck_assert_ok(lsvd_volume_write(t->v, buf, 0, 4096, 0));
	ck_assert_ok(host_open(t, &b, LSVD_OPEN_TAKEOVER));
	ck_assert_err(lsvd_volume_flush(t->v), LSVD_E_FENCED);
	host_check(t, &b);
	host_free(&b);
	tv_free(t);
}
END_TEST

START_TEST(a_fenced_writer_notices_when_it_looks)
{
	struct tv *t = writing(LSVD_FLUSH_LOCAL, 20);
	struct host b = host_of(t, "b");
	uint8_t buf[512] = { 1 };
	int err = 0;

	ck_assert_ok(host_open(t, &b, LSVD_OPEN_ACCEPT_ROLLBACK));
	tv_wait_for((err = lsvd_volume_write(t->v, buf, 0, 512, 0)) != 0);
	ck_assert_err(err, LSVD_E_FENCED);
	host_check(t, &b);
	host_free(&b);
	tv_free(t);
}
END_TEST

START_TEST(a_deleted_volume_fences_its_writer)
{
	struct tv *t = writing(LSVD_FLUSH_REMOTE, UINT32_MAX);
	uint8_t buf[4096] = { 1 };

	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	ck_assert_uint_eq(tv_count(t, KEY_CHAIN), 0);
	(void)!lsvd_volume_write(t->v, buf, 0, 4096, 0); /* may still be taken, here */
	ck_assert_err(lsvd_volume_flush(t->v), LSVD_E_FENCED);
	ck_assert_err(tv_close_in(t, UINT32_MAX), LSVD_E_FENCED);
	ck_assert_err(tv_try_open(t), -ENOENT);
	tv_free(t);
}
END_TEST

/* Its deletion got no further than to its claim and its objects: the name is there still. */
START_TEST(who_opens_what_is_being_deleted_finds_no_volume)
{
	struct tv *t = writing(LSVD_FLUSH_LOCAL, UINT32_MAX);
	struct iovec iov = { .iov_len = 0 };
	uint8_t record[FMT_VOLUME_BYTES_MAX];
	char key[KEY_CAP];

	ck_assert_ok(tv_close_in(t, UINT32_MAX));
	lsvd_key_record(key, OBJECT_VOLUME, TV_NAME);
	ck_assert_ok(lsvd_store_get(t->store, key, 0, record, sizeof record, &iov.iov_len));
	iov.iov_base = record;
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	ck_assert_ok(lsvd_store_put_if_absent(t->store, key, &iov, 1));
	ck_assert_err(tv_try_open(t), -ENOENT);
	ck_assert_error_says("is being deleted");
	t->o.flags |= LSVD_OPEN_READONLY;
	ck_assert_err(tv_try_open(t), -ENOENT);
	ck_assert_uint_eq(tv_count(t, KEY_CLAIM), 3); /* the writer's, and the deletion's two */
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	tv_free(t);
}
END_TEST

/* The clone was made between the deletion's look for clones and its claim. */
START_TEST(a_deletion_that_died_after_its_claim_is_taken_back_where_the_volume_is_needed)
{
	struct tv *t = writing(LSVD_FLUSH_LOCAL, UINT32_MAX);
	struct fmt_volume record;
	struct visit visit;
	uint64_t claim;

	ck_assert_ok(lsvd_snapshot_create(t->v, "s", 60000, NULL));
	ck_assert_ok(tv_close_in(t, UINT32_MAX));
	ck_assert_ok(lsvd_volume_clone(t->store, TV_NAME, "s", "clone", NULL, NULL));
	ck_assert_ok(lsvd_visit_begin(&visit, t->store));
	ck_assert_ok(lsvd_lineage_find(&visit.port, OBJECT_VOLUME, TV_NAME, &record));
	ck_assert_ok(lsvd_lineage_take_away(&visit.port, &record.uuid, &claim));
	lsvd_visit_end(&visit);
	ck_assert_err(tv_try_open(t), -ENOENT);
	ck_assert_err(lsvd_volume_delete(t->store, TV_NAME), -EBUSY);
	ck_assert_error_says("clone");
	ck_assert_ok(tv_try_open(t));
	ck_assert_ok(tv_close_in(t, UINT32_MAX));
	tv_free(t);
}
END_TEST

/* Whoever of the two comes first: what one has decided the other finds. */
START_TEST(of_two_deletions_one_ends_what_the_other_gives_back)
{
	struct tv *t = writing(LSVD_FLUSH_LOCAL, UINT32_MAX);
	struct fmt_volume record;
	struct visit visit;
	uint64_t first, second;

	ck_assert_ok(tv_close_in(t, UINT32_MAX));
	ck_assert_ok(lsvd_visit_begin(&visit, t->store));
	ck_assert_ok(lsvd_lineage_find(&visit.port, OBJECT_VOLUME, TV_NAME, &record));
	ck_assert_ok(lsvd_lineage_take_away(&visit.port, &record.uuid, &first));
	ck_assert_ok(lsvd_lineage_give_back(&visit.port, &record.uuid));
	ck_assert_err(lsvd_lineage_take_for_good(&visit.port, &record.uuid, first), -EBUSY);
	ck_assert_ok(tv_try_open(t));
	ck_assert_ok(tv_close_in(t, UINT32_MAX));
	ck_assert_err(lsvd_lineage_take_for_good(&visit.port, &record.uuid, first), -EBUSY);
	ck_assert_ok(lsvd_lineage_take_away(&visit.port, &record.uuid, &second));
	ck_assert_err(lsvd_lineage_take_for_good(&visit.port, &record.uuid, first), -EBUSY);
	ck_assert_ok(lsvd_lineage_take_for_good(&visit.port, &record.uuid, second));
	ck_assert_err(lsvd_lineage_give_back(&visit.port, &record.uuid), -ENOENT);
	ck_assert_err(tv_try_open(t), -ENOENT);
	lsvd_visit_end(&visit);
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME)); /* and so does the next */
	tv_free(t);
}
END_TEST

/* A removal that was under way for long may hit another volume's: that one is whole. */
START_TEST(a_volume_that_has_lost_its_name_gets_one_by_its_uuid)
{
	struct tv *t = writing(LSVD_FLUSH_LOCAL, UINT32_MAX);
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

	ck_assert_ok(tv_close_in(t, UINT32_MAX));
	ck_assert_ok(lsvd_volume_lookup(t->store, TV_NAME, &info));
	ck_assert_ok(lsvd_store_remove(t->store, "volumes/" TV_NAME));
	ck_assert_err(tv_try_open(t), -ENOENT);
	ck_assert_err(lsvd_volume_purge(t->store, info.uuid), -EBUSY);
	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, info.uuid, NULL));
	ck_assert_ok(tv_try_open(t));
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* Its claims are there for ever, and its old cache may be. */
START_TEST(the_uuid_of_a_deleted_volume_is_not_used_again)
{
	struct tv *t = writing(LSVD_FLUSH_LOCAL, UINT32_MAX);
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

	ck_assert_ok(tv_close_in(t, UINT32_MAX));
	ck_assert_ok(lsvd_volume_lookup(t->store, TV_NAME, &info));
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	ck_assert_err(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, info.uuid, NULL), -EEXIST);
	ck_assert_error_says(info.uuid);
	ck_assert_err(tv_try_open(t), -ENOENT);
	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, NULL, NULL));
	tv_free(t);
}
END_TEST

struct racer {
	struct tv *t;
	struct host h;
	pthread_barrier_t *barrier;
	unsigned number;
	int opened, flushed;
};

static void *race(void *ctx)
{
	struct racer *r = ctx;

	r->opened = host_open(r->t, &r->h, LSVD_OPEN_ACCEPT_ROLLBACK);
	(void)pthread_barrier_wait(r->barrier); /* one of them gets another number */
	r->flushed = r->opened;
	if (!r->opened)
		r->flushed = host_write(&r->h, r->number * 65536, 65536, r->number, NULL);
	if (!r->flushed)
		r->flushed = lsvd_volume_flush(r->h.v);
	return NULL;
}

START_TEST(of_racing_openers_one_can_write)
{
	struct tv *t = tv_new();
	pthread_barrier_t barrier;
	pthread_t threads[4];
	struct racer r[4];
	unsigned won = 0, winner = 0;
	char name[16];

	t->o.flush = LSVD_FLUSH_REMOTE;
	ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, 4), 0);
	for (unsigned i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof name, "host%u", i); /* fits */
		r[i] = (struct racer){ t, host_of(t, name), &barrier, i, 0, 0 };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, race, &r[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < 4; i++) {
		if (r[i].flushed) {
			ck_assert_err(r[i].flushed, LSVD_E_FENCED);
			continue;
		}
		won++;
		winner = i;
		t_fill(t->model + i * 65536, 65536, i);
	}
	/* All had opened, or failed to, before the first flush. */
	ck_assert_uint_eq(won, 1);
	host_check(t, &r[winner].h);
	for (unsigned i = 0; i < 4; i++)
		host_free(&r[i].h);
	(void)pthread_barrier_destroy(&barrier);
	tv_free(t);
}
END_TEST

/* ---------------------------------------------------------------------------- without the cache */

static void write_flush_and_more(struct tv *t)
{
	tv_open(t);
	tv_write(t, 0, 131072, 1);
	tv_sync(t);
	tv_flush(t);
	tv_write(t, 65536, 4096, 2); /* in the log alone */
}

START_TEST(without_the_cache_an_open_is_refused_and_leaves_nothing_behind)
{
	struct tv *t = tv_new();
	struct host b = host_of(t, "b");

	tv_killed(t, write_flush_and_more);
	store_fault_reset_counts(t->fault);
	ck_assert_err(host_open(t, &b, 0), LSVD_E_ROLLBACK);
	ck_assert_error_says(TV_NAME);
	ck_assert_error_says("accept-rollback");
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES), 0);
	/* Whoever has the cache goes on as if nothing had been. */
	tv_open(t);
	tv_check_all(t);
	ck_assert_err(host_open(t, &b, 0), LSVD_E_ROLLBACK);
	tv_write(t, 0, 4096, 3);
	tv_flush(t);
	tv_reopen(t);
	tv_check_all(t);
	host_free(&b);
	tv_free(t);
}
END_TEST

START_TEST(accepting_the_rollback_goes_on_from_what_the_store_has)
{
	struct tv *t = tv_new();
	struct host b = host_of(t, "b");

	tv_killed(t, write_flush_and_more);
	ck_assert_ok(host_open(t, &b, LSVD_OPEN_ACCEPT_ROLLBACK));
	t_fill(t->model, 131072, 1); /* without the last write */
	host_check(t, &b);
	host_close(&b);
	ck_assert_ok(host_open(t, &b, 0));
	host_check(t, &b);
	host_free(&b);
	tv_free(t);
}
END_TEST

static void write_and_die(struct tv *t)
{
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_flush(t);
}

START_TEST(takeover_is_enough_only_after_a_writer_that_flushed_to_the_store)
{
	struct tv *t = tv_new();
	struct host b = host_of(t, "b");

	t->o.flush = _i ? LSVD_FLUSH_REMOTE : LSVD_FLUSH_LOCAL;
	tv_killed(t, write_and_die);
	ck_assert_err(host_open(t, &b, 0), LSVD_E_ROLLBACK);
	if (_i) {
		ck_assert_ok(host_open(t, &b, LSVD_OPEN_TAKEOVER));
		host_check(t, &b);
	} else {
		ck_assert_err(host_open(t, &b, LSVD_OPEN_TAKEOVER), LSVD_E_ROLLBACK);
	}
	host_free(&b);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------------- caches come back */

START_TEST(an_old_cache_with_unstored_writes_is_refused)
{
	struct tv *t = tv_new();
	struct host b = host_of(t, "b");

	tv_killed(t, write_flush_and_more);
	ck_assert_ok(host_open(t, &b, LSVD_OPEN_ACCEPT_ROLLBACK));
	t_fill(t->model, 131072, 1);
	ck_assert_ok(host_write(&b, 262144, 65536, 5, t->model));
	host_close(&b);
	ck_assert_err(tv_try_open(t), LSVD_E_FOREIGN_CACHE);
	ck_assert_error_says(TV_NAME);
	ck_assert_err(tv_try_open(t), LSVD_E_FOREIGN_CACHE);
	/* The other one is not disturbed by that. */
	ck_assert_ok(host_open(t, &b, 0));
	host_check(t, &b);
	host_close(&b);
	/* Told to, the old cache gives its writes up. */
	t->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	tv_open(t);
	tv_check_all(t);
	t->o.flags = 0;
	tv_reopen(t);
	tv_check_all(t);
	host_free(&b);
	tv_free(t);
}
END_TEST

START_TEST(an_old_cache_that_holds_nothing_more_than_the_store_may_come_back)
{
	struct tv *t = writing(LSVD_FLUSH_LOCAL, UINT32_MAX);
	struct host b = host_of(t, "b");

	for (unsigned i = 0; i < 5; i++) {
		tv_close(t);
		ck_assert_ok(host_open(t, &b, 0));
		host_check(t, &b);
		ck_assert_ok(host_write(&b, i * 131072, 131072, 50 + i, t->model));
		host_close(&b);
		tv_open(t);
		tv_check_all(t);
		tv_write(t, i * 131072 + 4096, 65536, 70 + i);
	}
	host_free(&b);
	tv_free(t);
}
END_TEST

static void write_copy_write(struct tv *t)
{
	char *log = tv_log_path(t);

	tv_open(t);
	tv_write(t, 0, 131072, 1);
	tv_sync(t);
	tv_run("cp '%s' '%s.old'", log, log);
	tv_write(t, 0, 131072, 2);
	tv_sync(t);
	free(log);
}

START_TEST(a_cache_restored_from_an_old_copy_is_refused)
{
	struct tv *t = tv_new();
	char *log = tv_log_path(t);

	tv_killed(t, write_copy_write);
	tv_run("mv '%s.old' '%s'", log, log);
	ck_assert_err(tv_try_open(t), LSVD_E_ROLLBACK);
	ck_assert_error_says("rolled back");
	t->o.flags = LSVD_OPEN_ACCEPT_ROLLBACK;
	tv_open(t);
	tv_check_all(t);
	free(log);
	tv_free(t);
}
END_TEST

START_TEST(the_cache_of_another_volume_is_refused)
{
	struct tv *t = tv_new();
	char *log = tv_log_path(t), *other = tmpdir_path(t->cache, "other.log");

	tv_open(t);
	tv_write(t, 0, 4096, 1);
	tv_close(t);
	if (_i) { /* of the same name, in another store, which knows nothing of the first */
		struct lsvd_volume *v;
		struct lsvd_store *elsewhere;

		ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
		ck_assert_ok(lsvd_store_open(&elsewhere, "mem:", NULL));
		ck_assert_ok(lsvd_volume_create(elsewhere, TV_NAME, TV_BYTES, NULL, NULL));
		ck_assert_err(lsvd_volume_open(&v, elsewhere, TV_NAME, &t->o),
			      LSVD_E_FOREIGN_CACHE);
		ck_assert_error_says(TV_NAME ".log");
		lsvd_store_close(elsewhere);
	} else {
		struct lsvd_volume *v;

		ck_assert_ok(lsvd_volume_create(t->store, "other", TV_BYTES, NULL, NULL));
		tv_run("cp '%s' '%s'", log, other);
		ck_assert_err(lsvd_volume_open(&v, t->store, "other", &t->o),
			      LSVD_E_FOREIGN_CACHE);
		ck_assert_error_says("other.log");
	}
	free(log);
	free(other);
	tv_free(t);
}
END_TEST

static void write_and_flush(struct tv *t)
{
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_flush(t);
}

START_TEST(the_log_of_a_deleted_volume_is_made_anew)
{
	struct tv *t = tv_new();

	if (_i == 0) { /* it still holds what was never stored */
		tv_killed(t, write_and_flush);
	} else {
		write_and_flush(t);
		tv_close(t);
	}
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, NULL, NULL));
	memset(t->model, 0, TV_BYTES);
	tv_open(t);
	tv_check_all(t);
	tv_write(t, 4096, 65536, 2);
	tv_reopen(t);
	tv_check_all(t);
	/* To those who change nothing it is as if there were none. */
	tv_close(t);
	ck_assert_ok(lsvd_volume_delete(t->store, TV_NAME));
	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, NULL, NULL));
	memset(t->model, 0, TV_BYTES);
	t->o.flags = LSVD_OPEN_READONLY;
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------- readers */

START_TEST(a_reader_puts_nothing_and_writes_nothing)
{
	struct tv *t = writing(LSVD_FLUSH_LOCAL, UINT32_MAX);
	struct host r = host_of(t, "reader");
	uint8_t buf[4096] = { 1 };

	store_fault_reset_counts(t->fault);
	if (_i)
		r.o.cache_dir = NULL;
	else
		ck_assert_int_eq(mkdir(r.cache, 0700), 0);
	ck_assert_ok(host_open(t, &r, LSVD_OPEN_READONLY));
	ck_assert_int_eq(lsvd_volume_readonly(r.v), 1);
	host_check(t, &r);
	ck_assert_err(lsvd_volume_write(r.v, buf, 0, 4096, 0), -EROFS);
	ck_assert_err(lsvd_volume_trim(r.v, 0, 4096, 0), -EROFS);
	ck_assert_err(lsvd_volume_write_zeroes(r.v, 0, 4096, 0), -EROFS);
	ck_assert_err(lsvd_volume_seal(r.v), -EROFS);
	ck_assert_ok(lsvd_volume_flush(r.v));
	host_close(&r);
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES), 0);
	if (!_i)
		ck_assert_int_eq(rmdir(r.cache), 0); /* is empty */
	/* The writer was not disturbed. */
	tv_write(t, 0, 4096, 9);
	tv_sync(t);
	tv_check_all(t);
	host_free(&r);
	tv_free(t);
}
END_TEST

START_TEST(a_reader_sees_the_unstored_writes_of_a_killed_writer_and_leaves_them)
{
	struct tv *t = tv_new();
	char *log = tv_log_path(t);
	uint8_t *before, *after;
	size_t len;

	tv_killed(t, write_flush_and_more);
	before = tv_slurp(log, &len);
	store_fault_reset_counts(t->fault);
	t->o.flags = LSVD_OPEN_READONLY;
	for (unsigned i = 0; i < 2; i++) {
		tv_open(t);
		tv_check_all(t);
		tv_close(t);
	}
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_WRITES), 0);
	after = tv_slurp(log, &len);
	ck_assert_uint_eq(tv_differ(before, after, len), len);
	t->o.flags = 0;
	tv_open(t);
	tv_check_all(t);
	free(before);
	free(after);
	free(log);
	tv_free(t);
}
END_TEST

START_TEST(readers_of_a_volume_never_opened_see_zeroes)
{
	struct tv *t = tv_new();

	t->o.flags = LSVD_OPEN_READONLY;
	t->o.cache_dir = NULL;
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------------- suite */

static Suite *volume_fence_suite(void)
{
	Suite *s = suite_create("volume_fence");
	TCase *c = tcase_create("fence");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_second_opener_fences_the_first_and_its_data_is_whole);
	tcase_add_loop_test(c, a_fenced_remote_flush_is_not_acknowledged, 0, 2);
	tcase_add_test(c, a_fenced_writer_notices_when_it_looks);
	tcase_add_test(c, a_deleted_volume_fences_its_writer);
	tcase_add_test(c, who_opens_what_is_being_deleted_finds_no_volume);
	tcase_add_test(
		c, a_deletion_that_died_after_its_claim_is_taken_back_where_the_volume_is_needed);
	tcase_add_test(c, of_two_deletions_one_ends_what_the_other_gives_back);
	tcase_add_test(c, a_volume_that_has_lost_its_name_gets_one_by_its_uuid);
	tcase_add_test(c, the_uuid_of_a_deleted_volume_is_not_used_again);
	tcase_add_test(c, of_racing_openers_one_can_write);
	tcase_add_test(c, without_the_cache_an_open_is_refused_and_leaves_nothing_behind);
	tcase_add_test(c, accepting_the_rollback_goes_on_from_what_the_store_has);
	tcase_add_loop_test(c, takeover_is_enough_only_after_a_writer_that_flushed_to_the_store, 0,
			    2);
	tcase_add_test(c, an_old_cache_with_unstored_writes_is_refused);
	tcase_add_test(c, an_old_cache_that_holds_nothing_more_than_the_store_may_come_back);
	tcase_add_test(c, a_cache_restored_from_an_old_copy_is_refused);
	tcase_add_loop_test(c, the_cache_of_another_volume_is_refused, 0, 2);
	tcase_add_loop_test(c, the_log_of_a_deleted_volume_is_made_anew, 0, 2);
	tcase_add_loop_test(c, a_reader_puts_nothing_and_writes_nothing, 0, 2);
	tcase_add_test(c, a_reader_sees_the_unstored_writes_of_a_killed_writer_and_leaves_them);
	tcase_add_test(c, readers_of_a_volume_never_opened_see_zeroes);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(volume_fence_suite)
