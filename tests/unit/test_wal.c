/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the local log on real files: groups and their order, room, superblocks, and what the
 * next open finds after an end of any kind.
 *
 * Operation number n is a record of BLOCKS blocks whose bytes depend on n. A bed that is crashed
 * closes the file and writes nothing more.
 */
#include "base/err.h"
#include "base/hash.h"
#include "t_volume.h"
#include "wal/wal.h"

#include "io/world_real.h"

#define RING   (256u << 10)
#define BLOCKS 5u /* of data in a group of one operation: 24 KiB with its header */
#define SPAN   ((BLOCKS + 1) * 4096u)
#define NAME   "disk.log"

struct bed {
	char *dir, *path;
	struct world *world;
	struct port port;
	struct wal *wal;
	struct wal_found found;
	struct wal_options options;
	uint64_t in_store;      /* the newest operation that the store has; 0: none of the log's */
	bool cut;
	/* what was called back */
	uint64_t published[256];
	int errs[256];
	unsigned count, purged, want_room, room, failed;
};

/* ---------------------------------------------------------------------------------- callbacks */

static void on_published(void *ctx, struct wal_group *g, int err)
{
	struct bed *b = ctx;

	if (!g->head.records)
		return;
	ck_assert_uint_lt(b->count, 256);
	b->errs[b->count] = err;
	b->published[b->count++] = g->head.first_op;
	lsvd_port_changed(&b->port);
}

static void on_purge(void *ctx, struct wal_group *g)
{
	(void)g;
	((struct bed *)ctx)->purged++;
}

static void on_want_room(void *ctx)
{
	((struct bed *)ctx)->want_room++;
}

static void on_room(void *ctx)
{
	((struct bed *)ctx)->room++;
	lsvd_port_changed(&((struct bed *)ctx)->port);
}

static void on_failed(void *ctx, int err)
{
	(void)err;
	((struct bed *)ctx)->failed++;
}

static const struct wal_ops ops = {
	.published = on_published,
	.purge = on_purge,
	.want_room = on_want_room,
	.room = on_room,
	.failed = on_failed,
};

/* ------------------------------------------------------------------------------------- the bed */

static struct bed *bed_new(void)
{
	struct bed *b = calloc(1, sizeof *b);

	ck_assert_ptr_nonnull(b);
	b->dir = tmpdir_new();
	b->path = tmpdir_path(b->dir, NAME);
	ck_assert_ok(lsvd_world_real_open(&b->world, NULL, b->dir, false));
	ck_assert_ok(lsvd_port_init(&b->port, b->world));
	b->options = (struct wal_options){ .name = NAME, .log_bytes = RING };
	memset(b->options.volume.b, 7, sizeof b->options.volume.b);
	return b;
}

static int bed_try(struct bed *b)
{
	int err;

	ck_assert_ptr_null(b->wal);
	b->count = b->purged = b->want_room = b->room = b->failed = 0;
	err = lsvd_wal_open(&b->wal, &b->found, &b->port, &b->options, &ops, b);

	if (err)
		return err;
	err = lsvd_wal_settle(b->wal, b->in_store ? b->in_store : b->found.first_op - 1, b->cut);
	b->found.last_op = lsvd_wal_next_op(b->wal) - 1;
	if (err) {
		lsvd_wal_close(b->wal);
		b->wal = NULL;
	}
	return err;
}

static void bed_look(struct bed *b)
{
	ck_assert_ok(bed_try(b));
}

/* Goes on from what has been found. */
static void bed_open_here(struct bed *b)
{
	ck_assert_ok(lsvd_wal_begin_run(b->wal, 1, 0, false, lsvd_wal_next_op(b->wal)));
}

/* Opens and goes on from what is there. */
static void bed_open(struct bed *b)
{
	bed_look(b);
	bed_open_here(b);
}

static void bed_quiet(struct bed *b)
{
	lsvd_port_enter(&b->port);
	while (b->port.in_world || !list_empty(&b->port.out)) {
		lsvd_wal_quiesce(b->wal);
		lsvd_port_wait(&b->port);
	}
	lsvd_wal_check(b->wal);
	lsvd_port_leave(&b->port, true);
}

static void bed_crash(struct bed *b)
{
	bed_quiet(b);
	lsvd_wal_close(b->wal);
	b->wal = NULL;
}

static void bed_end(struct bed *b)
{
	bed_quiet(b);
	ck_assert_ok(lsvd_wal_end_run(b->wal));
	lsvd_wal_close(b->wal);
	b->wal = NULL;
}

static void bed_free(struct bed *b)
{
	if (b->wal)
		bed_crash(b);
	lsvd_port_fini(&b->port);
	lsvd_world_real_close(b->world);
	free(b->path);
	tmpdir_free(b->dir);
	free(b);
}

/* ---------------------------------------------------------------------------------- operations */

static void block_of(uint8_t block[4096], uint64_t op, unsigned i)
{
	t_fill(block, 4096, op * 100 + i);
}

static void fill(struct wal_group *g)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		uint8_t *p = wal_data(g) + i * 4096;

		block_of(p, g->head.first_op, i);
		g->hashes[i] = lsvd_hash(p, 4096);
	}
}

static struct wal_group *reserve_locked(struct bed *b, int *ret_err)
{
	struct wal_group *g = lsvd_wal_reserve(b->wal, 1, BLOCKS, ret_err);

	if (!g)
		return NULL;
	g->records[0] = (struct wal_record){ .lba = g->head.first_op * 64,
					     .sectors = BLOCKS * 8, .kind = WAL_DATA };
	g->fill = fill;
	return g;
}

/* One operation, until it is published; -ENOSPC if there is no room. */
static int put(struct bed *b)
{
	unsigned count = b->count;
	struct wal_group *g;
	int err;

	lsvd_port_enter(&b->port);
	g = reserve_locked(b, &err);
	if (g) {
		lsvd_wal_write(b->wal, g);
		while (b->count == count)
			lsvd_port_wait(&b->port);
		err = b->errs[count];
	}
	lsvd_port_leave(&b->port, true);
	return err;
}

static void put_many(struct bed *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ck_assert_ok(put(b));
}

struct sync {
	struct wal_ticket ticket;
	struct bed *b;
	int err;
	bool over;
};

static void synced(struct wal_ticket *t, int err)
{
	struct sync *s = lsvd_container_of(t, struct sync, ticket);

	s->err = err;
	s->over = true;
	lsvd_port_changed(&s->b->port);
}

static void sync_locked(struct bed *b, struct sync *s)
{
	*s = (struct sync){ .b = b, .ticket = { .pos = lsvd_wal_flush_pos(b->wal),
						.done = synced } };
	lsvd_wal_sync(b->wal, &s->ticket);
}

static void sync_all(struct bed *b)
{
	struct sync s;

	lsvd_port_enter(&b->port);
	sync_locked(b, &s);
	while (!s.over)
		lsvd_port_wait(&b->port);
	lsvd_port_leave(&b->port, true);
	ck_assert_ok(s.err);
}

static struct wal_group *group_of(struct bed *b, uint64_t op)
{
	list_for_each(n, lsvd_wal_groups(b->wal)) {
		struct wal_group *g = list_entry(n, struct wal_group, link);

		if (g->head.records && g->head.first_op == op)
			return g;
	}
	ck_abort_msg("operation %d is not in the log", (int)op);
	return NULL;
}

/* The store has everything up to `op`. */
static void stored(struct bed *b, uint64_t op)
{
	lsvd_port_enter(&b->port);
	lsvd_wal_stored(b->wal, group_of(b, op), op);
	lsvd_port_leave(&b->port, true);
}

static struct wal_stats stats_of(struct bed *b)
{
	struct wal_stats s;

	lsvd_port_enter(&b->port);
	lsvd_wal_stats(b->wal, &s);
	lsvd_port_leave(&b->port, false);
	return s;
}

static unsigned read_counter(struct bed *b, const unsigned *counter)
{
	unsigned n;

	lsvd_port_enter(&b->port);
	n = *counter;
	lsvd_port_leave(&b->port, false);
	return n;
}

/* What an open found are the operations first … last, and their data. */
static void expect(struct bed *b, uint64_t first, uint64_t last)
{
	uint64_t op = first;
	size_t len;
	uint8_t *file = tv_slurp(b->path, &len), block[4096];

	ck_assert_uint_eq(b->found.first_op, first);
	ck_assert_uint_eq(b->found.last_op, last);
	ck_assert_uint_eq(lsvd_wal_next_op(b->wal), last + 1);
	list_for_each(n, lsvd_wal_groups(b->wal)) {
		struct wal_group *g = list_entry(n, struct wal_group, link);

		if (g->lost)
			op += g->lost_ops;
		if (!g->head.records)
			continue;
		ck_assert_uint_eq(g->head.first_op, op);
		ck_assert_uint_eq(g->records[0].lba, op * 64);
		for (unsigned i = 0; i < BLOCKS; i++) {
			block_of(block, op, i);
			ck_assert_mem_eq(file + lsvd_wal_file_off(b->wal, wal_data_pos(g)) +
					 i * 4096, block, 4096);
			ck_assert(lsvd_wal_verify(b->wal, g, i, block, 4096));
			block[77] ^= 1;
			ck_assert(!lsvd_wal_verify(b->wal, g, i, block, 4096));
		}
		op++;
	}
	ck_assert_uint_eq(op, last + 1);
	free(file);
}

/* Where the data of an operation lies in the file, by position in a log that never went round. */
static uint64_t data_off(uint64_t group)
{
	return WAL_RING_START + group * SPAN + 4096;
}

/* --------------------------------------------------------------------------------------- groups */

START_TEST(wal_publishes_groups_in_order_whatever_order_they_are_written_in)
{
	struct bed *b = bed_new();
	struct wal_group *g[3];
	int err;

	bed_open(b);
	lsvd_port_enter(&b->port);
	for (unsigned i = 0; i < 3; i++) {
		g[i] = reserve_locked(b, &err);
		ck_assert_ptr_nonnull(g[i]);
	}
	lsvd_wal_write(b->wal, g[2]);
	lsvd_port_leave(&b->port, true);
	ck_assert_uint_eq(read_counter(b, &b->count), 0); /* it is written, but not its turn */
	lsvd_port_enter(&b->port);
	lsvd_wal_write(b->wal, g[1]);
	lsvd_wal_write(b->wal, g[0]);
	lsvd_port_leave(&b->port, true);
	ck_assert_uint_eq(read_counter(b, &b->count), 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(b->published[i], i + 1);
	bed_crash(b);
	bed_look(b);
	expect(b, 1, 3);
	bed_free(b);
}
END_TEST

START_TEST(wal_goes_round_and_pads_the_end_of_the_ring)
{
	struct bed *b = bed_new();
	uint64_t op = 0;

	bed_open(b);
	for (; op < 8; op++)
		ck_assert_ok(put(b));
	for (; op < 100; op++) { /* the store is always 6 to 7 behind */
		int err = put(b);

		if (err == -ENOSPC) {
			unsigned room = read_counter(b, &b->room);

			stored(b, op - 6);
			tv_wait_for(read_counter(b, &b->room) > room);
			err = put(b);
		}
		ck_assert_ok(err);
		lsvd_wal_check(b->wal);
	}
	ck_assert_uint_gt(b->purged, 80);
	bed_crash(b);
	bed_look(b);
	expect(b, b->found.first_op, 100);
	ck_assert_uint_ge(b->found.first_op, 88);
	ck_assert_uint_le(b->found.first_op, 95);
	bed_free(b);
}
END_TEST

START_TEST(wal_that_is_full_says_so_and_calls_when_there_is_room)
{
	struct bed *b = bed_new();
	unsigned n = 0;
	int err;

	bed_open(b);
	while ((err = put(b)) == 0)
		n++;
	ck_assert_err(err, -ENOSPC);
	ck_assert_uint_ge(n, 9);
	ck_assert_uint_ge(b->want_room, 1);
	ck_assert_uint_eq(b->room, 0);
	ck_assert_err(put(b), -ENOSPC);
	stored(b, 3);
	tv_wait_for(read_counter(b, &b->room) > 0);
	ck_assert_ok(put(b));
	ck_assert_ok(put(b));
	bed_crash(b);
	bed_look(b);
	expect(b, 4, n + 2);
	bed_free(b);
}
END_TEST

/* A mark needs one block; that it finds one does not mean that the writer that waits has room. */
START_TEST(wal_calls_a_waiting_writer_also_after_a_mark)
{
	struct bed *b = bed_new();
	unsigned n = 0;
	uint64_t groups;

	bed_open(b);
	while (put(b) == 0)
		n++;
	groups = stats_of(b).groups;
	sync_all(b);
	tv_wait_for(stats_of(b).groups > groups); /* the mark */
	ck_assert_uint_eq(read_counter(b, &b->room), 0);
	stored(b, 1); /* less than what makes the log look for room by itself */
	tv_wait_for(read_counter(b, &b->room) > 0);
	stored(b, n);
	tv_wait_for(put(b) == 0);
	bed_free(b);
}
END_TEST

START_TEST(wal_does_not_reuse_what_is_being_read)
{
	struct bed *b = bed_new();
	unsigned n = 0, room;
	struct wal_group *g;

	bed_open(b);
	while (put(b) == 0)
		n++;
	lsvd_port_enter(&b->port);
	g = lsvd_wal_group_at(b->wal, wal_data_pos(group_of(b, 1)) + 8192);
	ck_assert_uint_eq(g->head.first_op, 1);
	g->refs++;
	lsvd_port_leave(&b->port, false);
	stored(b, n);
	tv_wait_for(read_counter(b, &b->room) > 0);
	ck_assert_err(put(b), -ENOSPC); /* op 1 is in the way */
	ck_assert_uint_eq(b->purged, 0);
	room = read_counter(b, &b->room);
	lsvd_port_enter(&b->port);
	lsvd_wal_unref(b->wal, g);
	lsvd_port_leave(&b->port, false);
	ck_assert_uint_gt(read_counter(b, &b->room), room);
	ck_assert_ok(put(b));
	ck_assert_uint_ge(b->purged, 1);
	bed_free(b);
}
END_TEST

START_TEST(wal_groups_forgotten_by_memory_are_in_the_file)
{
	struct bed *b = bed_new();
	struct wal_group *g;
	struct slice slice;

	bed_open(b);
	put_many(b, 3);
	lsvd_port_enter(&b->port);
	g = group_of(b, 2);
	g->refs = 1;
	lsvd_wal_forget(b->wal, g);
	ck_assert_ptr_nonnull(wal_data(g)); /* somebody reads it */
	g->refs = 0;
	lsvd_wal_forget(b->wal, g);
	ck_assert_ptr_null(wal_data(g));
	ck_assert_ok(lsvd_wal_recall(b->wal, g, &slice));
	lsvd_wal_recalled(b->wal, g, &slice, false);
	ck_assert_ptr_null(wal_data(g)); /* what was read was no good */
	ck_assert_ok(lsvd_wal_recall(b->wal, g, &slice));
	lsvd_wal_recalled(b->wal, g, &slice, true);
	ck_assert_ptr_nonnull(wal_data(g));
	lsvd_port_leave(&b->port, false);
	bed_free(b);
}
END_TEST

/* ---------------------------------------------------------------------------------------- syncs */

START_TEST(wal_syncs_are_shared_by_all_who_wait)
{
	struct bed *b = bed_new();
	struct sync s[8];
	uint64_t syncs;

	bed_open(b);
	put_many(b, 4);
	syncs = stats_of(b).syncs;
	lsvd_port_enter(&b->port);
	for (unsigned i = 0; i < 8; i++)
		sync_locked(b, &s[i]);
	for (unsigned i = 0; i < 8; i++)
		while (!s[i].over)
			lsvd_port_wait(&b->port);
	ck_assert_uint_eq(lsvd_wal_durable_op(b->wal), 4);
	lsvd_port_leave(&b->port, true);
	ck_assert_uint_eq(stats_of(b).syncs, syncs + 1);
	sync_all(b); /* nothing new */
	ck_assert_uint_eq(stats_of(b).syncs, syncs + 1);
	bed_free(b);
}
END_TEST

START_TEST(wal_marks_a_flush_with_nothing_behind_it)
{
	struct bed *b = bed_new();

	bed_open(b);
	put_many(b, 3);
	sync_all(b);
	tv_wait_for(stats_of(b).groups == 4);
	bed_crash(b);
	/* By that mark damage is told from a tear. */
	tv_flip(b->path, data_off(2) + 5);
	ck_assert_err(bed_try(b), LSVD_E_CORRUPT);
	tv_flip(b->path, data_off(2) + 5);
	bed_look(b);
	expect(b, 1, 3);
	bed_free(b);
}
END_TEST

/* ---------------------------------------------------------------------------------- superblocks */

static void read_slots(struct bed *b, struct wal_super slots[2], int errs[2])
{
	size_t len;
	uint8_t *file = tv_slurp(b->path, &len);

	for (unsigned i = 0; i < 2; i++)
		errs[i] = lsvd_wal_super_decode(&slots[i], file + i * WAL_SLOT_BYTES, "slot");
	free(file);
}

START_TEST(wal_superblock_slots_alternate)
{
	struct bed *b = bed_new();
	struct wal_super s[2];
	uint64_t newest = 0;
	int errs[2];

	for (unsigned round = 0; round < 6; round++) {
		bed_open(b);
		put_many(b, 1);
		if (round & 1)
			bed_crash(b);
		else
			bed_end(b);
		read_slots(b, s, errs);
		ck_assert_ok(errs[0]);
		ck_assert(round == 0 || errs[1] == 0);
		for (unsigned i = 0; i < 2; i++)
			ck_assert(errs[i] || (s[i].generation & 1) == i);
		if (!errs[1])
			ck_assert(s[0].generation + 1 == s[1].generation ||
				  s[1].generation + 1 == s[0].generation);
		ck_assert_uint_gt(s[0].generation + s[1].generation, newest);
		newest = s[0].generation + s[1].generation;
	}
	bed_look(b);
	expect(b, 1, 6);
	bed_free(b);
}
END_TEST

START_TEST(wal_lives_with_one_superblock_and_refuses_without)
{
	struct bed *b = bed_new();
	struct wal_super s[2];
	int errs[2], older;

	bed_open(b);
	put_many(b, 3);
	sync_all(b);
	bed_end(b);
	read_slots(b, s, errs);
	older = s[0].generation > s[1].generation;
	tv_flip(b->path, (uint64_t)older * 4096 + 20);
	bed_look(b);
	expect(b, 1, 3);
	bed_crash(b);
	tv_flip(b->path, (uint64_t)!older * 4096 + 20);
	ck_assert_err(bed_try(b), LSVD_E_CORRUPT);
	ck_assert_error_says(NAME);
	bed_free(b);
}
END_TEST

/* ------------------------------------------------------------------------------------ reopening */

START_TEST(wal_finds_what_was_written_after_a_crash_or_an_end)
{
	struct bed *b = bed_new();

	bed_open(b);
	put_many(b, 5);
	if (_i)
		bed_end(b);
	else
		bed_crash(b);
	bed_open(b);
	expect(b, 1, 5);
	put_many(b, 3);
	bed_crash(b);
	bed_look(b);
	expect(b, 1, 8);
	bed_free(b);
}
END_TEST

START_TEST(wal_run_that_stored_nothing_is_followed)
{
	struct bed *b = bed_new();

	bed_open(b);
	put_many(b, 3);
	stored(b, 3);
	bed_end(b);
	for (unsigned i = 0; i < 4; i++) { /* each begins where nothing is left, or not */
		bed_open(b);
		if (i)
			expect(b, 4, 3 + i);
		put_many(b, 1);
		sync_all(b);
		bed_end(b);
	}
	bed_look(b);
	expect(b, 4, 7);
	bed_free(b);
}
END_TEST

START_TEST(wal_cuts_a_torn_tail)
{
	struct bed *b = bed_new();
	uint8_t zeroes[2048] = { 0 };

	bed_open(b);
	put_many(b, 3);
	sync_all(b);
	put_many(b, 2); /* group 4 says that 3 are durable */
	bed_crash(b);
	if (_i < 4) /* the last one's header or data */
		tv_poke(b->path, zeroes, sizeof zeroes,
			WAL_RING_START + 4 * SPAN + (uint64_t)_i * 4096);
	else /* one before it: nothing vouches for it, so what follows goes as well */
		tv_flip(b->path, data_off(3) + 100);
	bed_open(b);
	expect(b, 1, _i < 4 ? 4 : 3);
	put_many(b, 3);
	bed_crash(b);
	bed_look(b);
	expect(b, 1, _i < 4 ? 7 : 6);
	bed_free(b);
}
END_TEST

START_TEST(wal_refuses_damage_below_a_watermark_and_cuts_there_if_asked)
{
	struct bed *b = bed_new();
	uint64_t off = _i ? data_off(1) + 4000 : WAL_RING_START + 1 * SPAN + 60;

	bed_open(b);
	put_many(b, 3);
	sync_all(b);
	put_many(b, 2);
	bed_crash(b);
	tv_flip(b->path, off);
	ck_assert_err(bed_try(b), LSVD_E_CORRUPT);
	ck_assert_error_says(NAME);
	ck_assert_error_says("2"); /* the operation */
	b->cut = true;
	bed_look(b);
	ck_assert_uint_eq(b->found.last_op, 1);
	bed_free(b);
}
END_TEST

/* Which byte of a group: of its header's magic, of its records, of its data. */
static uint64_t byte_of(unsigned kind)
{
	static const uint64_t bytes[] = { 3, 100, 4096 + 17, SPAN - 1 };

	return bytes[kind];
}

/* Operations 1 to 6; 4 says that 3 are durable. Operation `damaged` cannot be read. */
static struct bed *damaged_bed(uint64_t damaged, unsigned kind)
{
	struct bed *b = bed_new();

	bed_open(b);
	put_many(b, 3);
	sync_all(b);
	put_many(b, 3);
	bed_crash(b);
	tv_flip(b->path, WAL_RING_START + (damaged - 1) * SPAN + byte_of(kind));
	return b;
}

static void goes_on(struct bed *b, uint64_t last)
{
	expect(b, 1, last);
	ck_assert_ok(lsvd_wal_begin_run(b->wal, 1, 0, false, last + 1));
	put_many(b, 2);
	bed_crash(b);
	bed_look(b);
	expect(b, 1, last + 2);
	bed_crash(b);
}

START_TEST(wal_passes_over_damage_that_the_store_has_and_no_other)
{
	uint64_t damaged = (uint64_t)_i / 4 + 1;
	unsigned kind = (unsigned)_i % 4;

	for (uint64_t in_store = 0; in_store <= 6; in_store++) {
		struct bed *b = damaged_bed(damaged, kind);
		/* who knows that there was anything? */
		bool last_header = damaged == 6 && kind < 2;

		b->in_store = in_store;
		if (damaged <= in_store && !last_header) {
			bed_look(b);
			goes_on(b, 6);
		} else if (damaged <= 3) {
			ck_assert_err(bed_try(b), LSVD_E_CORRUPT);
			ck_assert_error_says(NAME);
			b->cut = true;
			bed_look(b);
			goes_on(b, damaged - 1);
		} else { /* torn, as far as anybody can tell */
			bed_look(b);
			goes_on(b, damaged - 1);
		}
		bed_free(b);
	}
}
END_TEST

/* What lay behind the damage and showed how far it reaches was torn, and is cut. */
START_TEST(wal_that_ends_with_damage_that_does_not_matter_is_opened_again_and_again)
{
	struct bed *b = damaged_bed(5, (unsigned)_i);

	tv_flip(b->path, WAL_RING_START + 5 * SPAN + byte_of(2));
	b->in_store = 5;
	for (unsigned i = 0; i < 3; i++) {
		bed_look(b);
		ck_assert_uint_eq(lsvd_wal_next_op(b->wal), 6);
		ck_assert_ok(lsvd_wal_begin_run(b->wal, 1, 0, false, 6));
		bed_crash(b);
	}
	bed_look(b);
	ck_assert_ok(lsvd_wal_begin_run(b->wal, 1, 0, false, 6));
	put_many(b, 2);
	bed_crash(b);
	bed_look(b);
	ck_assert_uint_eq(lsvd_wal_next_op(b->wal), 8);
	ck_assert(!group_of(b, 6)->lost && !group_of(b, 7)->lost);
	bed_free(b);
}
END_TEST

START_TEST(wal_passes_over_several_damages)
{
	struct bed *b = damaged_bed(2, (unsigned)_i);

	tv_flip(b->path, WAL_RING_START + 0 * SPAN + byte_of(2));
	tv_flip(b->path, WAL_RING_START + 3 * SPAN + byte_of(0));
	tv_flip(b->path, WAL_RING_START + 4 * SPAN + byte_of(1));
	for (b->in_store = 1; b->in_store < 5; b->in_store++) {
		int err = bed_try(b);

		if (b->in_store < 2) {
			ck_assert_err(err, LSVD_E_CORRUPT);
			continue;
		}
		ck_assert_ok(err);
		expect(b, 1, 3); /* 4 and 5 are a torn tail if the store does not have them */
		bed_crash(b);
	}
	bed_look(b);
	goes_on(b, 6);
	bed_free(b);
}
END_TEST

/* The log has gone round: whichever group is damaged, a pad or not, at whichever end. */
START_TEST(wal_passes_over_damage_where_the_ring_ends)
{
	uint64_t places[32];
	struct bed *b = bed_new();
	unsigned n = 0, damaged = 0;
	uint8_t *good;
	size_t len;

	bed_open(b);
	put_many(b, 8);
	stored(b, 6);
	sync_all(b);
	put_many(b, 5);
	sync_all(b);
	put_many(b, 2);
	bed_crash(b);
	bed_look(b);
	list_for_each(node, lsvd_wal_groups(b->wal)) {
		const struct wal_group *g = list_entry(node, struct wal_group, link);

		places[n++] = lsvd_wal_file_off(b->wal, g->head.pos);
	}
	ck_assert_uint_gt(n, b->found.last_op - b->found.first_op + 1); /* there is a pad */
	bed_crash(b);
	good = tv_slurp(b->path, &len);
	for (unsigned i = 0; i + 1 < n; i++) {
		for (unsigned kind = 0; kind < 2; kind++) {
			tv_flip(b->path, places[i] + byte_of(kind));
			b->in_store = 14;
			bed_look(b);
			expect(b, b->found.first_op, 15);
			damaged += b->found.gaps;
			bed_open_here(b);
			put_many(b, 1);
			bed_crash(b);
			bed_look(b);
			ck_assert_uint_eq(b->found.last_op, 16);
			bed_crash(b);
			tv_poke(b->path, good, len, 0);
		}
	}
	ck_assert_uint_ge(damaged, n - 1);
	free(good);
	bed_free(b);
}
END_TEST

static void put_small(struct bed *b)
{
	unsigned count = b->count;
	struct wal_group *g;
	int err;

	lsvd_port_enter(&b->port);
	g = lsvd_wal_reserve(b->wal, 1, 0, &err);
	ck_assert_ptr_nonnull(g);
	g->records[0] = (struct wal_record){ .lba = 8, .sectors = 8, .kind = WAL_ZERO };
	lsvd_wal_write(b->wal, g);
	while (b->count == count)
		lsvd_port_wait(&b->port);
	lsvd_port_leave(&b->port, true);
}

/*
 * Ghosts behind a torn group at the ring's end, with a pad over the torn one. When that pad is
 * damaged the ghosts are whole, of a run that counts there, and seem to go on from what the store
 * has.
 */
START_TEST(wal_takes_no_ghosts_from_under_a_damaged_pad)
{
	struct bed *b = bed_new();
	uint64_t torn = WAL_RING_START + 10 * SPAN;
	struct wal_group *g;

	bed_open(b);
	put_many(b, 10);
	stored(b, 8);
	sync_all(b);
	for (unsigned i = 0; i < 3; i++)
		put_small(b); /* 11, 12, 13 */
	bed_crash(b);
	tv_flip(b->path, torn + 40);
	bed_open(b);
	ck_assert_uint_eq(b->found.last_op, 10);
	put_many(b, 2); /* another 11 and 12, at the ring's beginning */
	sync_all(b);
	put_many(b, 1);
	bed_crash(b);
	tv_flip(b->path, torn + 40);
	b->in_store = 11;
	bed_look(b);
	ck_assert_uint_eq(b->found.gaps, 1);
	expect(b, b->found.first_op, 13);
	g = group_of(b, 12);
	ck_assert_uint_eq(g->head.data_bytes, BLOCKS * 4096);
	bed_free(b);
}
END_TEST

/* What a cut left behind is void, also if nothing was written over it before the next crash. */
START_TEST(wal_run_numbers_void_ghosts)
{
	struct bed *b = bed_new();
	unsigned crashes = (unsigned)_i;

	bed_open(b);
	put_many(b, 4);
	bed_crash(b);
	tv_flip(b->path, data_off(1));
	bed_open(b); /* operation 1 is left; 3 and 4 still lie there, whole */
	expect(b, 1, 1);
	bed_crash(b);
	tv_flip(b->path, data_off(1)); /* and 2 is whole again */
	for (unsigned i = 0; i < crashes; i++) {
		bed_open(b);
		expect(b, 1, 1);
		bed_crash(b);
	}
	bed_open(b);
	expect(b, 1, 1);
	put_many(b, 1); /* a new 2, as long as the old one: 3 must not follow it */
	bed_crash(b);
	bed_look(b);
	expect(b, 1, 2);
	bed_free(b);
}
END_TEST

START_TEST(wal_discards_what_is_void)
{
	struct bed *b = bed_new();

	bed_open(b);
	put_many(b, 4);
	bed_crash(b);
	bed_look(b);
	ck_assert_ok(lsvd_wal_begin_run(b->wal, 2, 1, true, 3));
	put_many(b, 2);
	ck_assert_uint_eq(b->published[0], 3);
	bed_crash(b);
	bed_look(b);
	ck_assert_uint_eq(b->found.epoch, 2);
	ck_assert_uint_eq(b->found.base_epoch, 1);
	expect(b, 3, 4);
	bed_free(b);
}
END_TEST

START_TEST(wal_that_was_all_stored_is_found_empty)
{
	struct bed *b = bed_new();

	bed_open(b);
	put_many(b, 4);
	stored(b, 4);
	bed_end(b);
	bed_look(b);
	expect(b, 5, 4);
	ck_assert(!b->found.fresh);
	bed_free(b);
}
END_TEST

START_TEST(wal_random_lives_equal_the_model)
{
	uint64_t seed = t_seed(), first = 1, op = 0, durable = 0;
	struct bed *b = bed_new();

	for (unsigned life = 0; life < 25; life++) {
		bed_open(b);
		ck_assert_uint_le(b->found.first_op, first);
		expect(b, b->found.first_op, op);
		first = b->found.first_op;
		for (uint64_t n = t_random_below(&seed, 12); n > 0; n--) {
			int err = put(b);

			if (err == -ENOSPC) {
				unsigned room = read_counter(b, &b->room);

				first = op - 2;
				stored(b, op - 3);
				tv_wait_for(read_counter(b, &b->room) > room);
				err = put(b);
			}
			ck_assert_ok(err);
			op++;
			if (t_random_below(&seed, 4) == 0) {
				sync_all(b);
				durable = op;
			}
		}
		ck_assert_uint_le(durable, op);
		if (t_random_below(&seed, 3))
			bed_crash(b);
		else
			bed_end(b);
	}
	bed_free(b);
}
END_TEST

/* ---------------------------------------------------------------------------------- other files */

START_TEST(wal_of_another_volume_is_refused)
{
	struct bed *b = bed_new();

	bed_open(b);
	put_many(b, 1);
	bed_end(b);
	b->options.volume.b[3] ^= 1;
	ck_assert_err(bed_try(b), LSVD_E_FOREIGN_CACHE);
	ck_assert_error_says(NAME);
	b->options.volume.b[3] ^= 1;
	bed_look(b);
	expect(b, 1, 1);
	bed_free(b);
}
END_TEST

START_TEST(wal_has_one_opener)
{
	struct bed *b = bed_new();
	struct wal_options o;
	struct wal_found found;
	struct wal *second;

	bed_open(b);
	o = b->options;
	ck_assert_err(lsvd_wal_open(&second, &found, &b->port, &o, &ops, b), LSVD_E_LOCKED);
	o.readonly = true;
	ck_assert_err(lsvd_wal_open(&second, &found, &b->port, &o, &ops, b), LSVD_E_LOCKED);
	put_many(b, 1);
	bed_crash(b);
	/* Readers do not exclude each other, and keep a writer out. */
	b->options.readonly = true;
	bed_look(b);
	ck_assert_ok(lsvd_wal_open(&second, &found, &b->port, &o, &ops, b));
	ck_assert_uint_eq(found.last_op, 1);
	lsvd_wal_close(second);
	o.readonly = false;
	ck_assert_err(lsvd_wal_open(&second, &found, &b->port, &o, &ops, b), LSVD_E_LOCKED);
	bed_free(b);
}
END_TEST

START_TEST(wal_is_not_made_by_a_reader)
{
	struct bed *b = bed_new();

	b->options.readonly = true;
	ck_assert_err(bed_try(b), -ENOENT);
	ck_assert_int_ne(access(b->path, F_OK), 0);
	bed_free(b);
}
END_TEST

START_TEST(wal_that_was_made_in_part_is_made_again)
{
	static const unsigned sizes[] = { 0, 1, 4096, 8191, 8192, 65536, 100000, 65536 + RING };
	struct bed *b = bed_new();

	tv_run("head -c '%s' /dev/zero >'%s'", "0", b->path);
	tv_truncate(b->path, sizes[_i]);
	b->options.readonly = true;
	ck_assert_err(bed_try(b), -ENOENT);
	b->options.readonly = false;
	bed_look(b);
	ck_assert(b->found.fresh);
	expect(b, 1, 0);
	ck_assert_ok(lsvd_wal_made(b->wal));
	ck_assert_uint_eq(tv_file_size(b->path), WAL_RING_START + RING);
	bed_free(b);
}
END_TEST

START_TEST(wal_cut_short_is_refused)
{
	struct bed *b = bed_new();

	bed_open(b);
	put_many(b, 2);
	bed_crash(b);
	tv_truncate(b->path, WAL_RING_START + RING - 1);
	ck_assert_err(bed_try(b), LSVD_E_CORRUPT);
	ck_assert_error_says(NAME);
	bed_free(b);
}
END_TEST

START_TEST(wal_with_any_one_byte_altered_gives_a_prefix_or_an_error)
{
	struct bed *b = bed_new();
	uint64_t seed = t_seed();
	size_t len;
	uint8_t *good;

	bed_open(b);
	put_many(b, 3);
	sync_all(b);
	put_many(b, 3);
	bed_crash(b);
	good = tv_slurp(b->path, &len);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t off = i < 40 ? t_random_below(&seed, 8192) :
			       WAL_RING_START + t_random_below(&seed, 6 * SPAN);
		int err;

		tv_flip(b->path, off);
		err = bed_try(b);
		if (!err) {
			/*
			 * The watermark says that 3 are durable. (Without the newest superblock the
			 * log is what it was before this run; the epoch in it tells that it is not
			 * current.)
			 */
			ck_assert(i < 40 || b->found.last_op >= 3);
			ck_assert(b->found.last_op >= 3 || b->found.epoch == 0);
			expect(b, 1, b->found.last_op);
			bed_crash(b);
		} else {
			ck_assert_msg(err == LSVD_E_CORRUPT || err == LSVD_E_VERSION, "%s",
				      lsvd_error_name(err));
		}
		tv_poke(b->path, good, len, 0);
	}
	free(good);
	bed_look(b);
	expect(b, 1, 6);
	bed_free(b);
}
END_TEST

/* -------------------------------------------------------------------------------------- suite */

static void add_running_tests(TCase *c)
{
	tcase_add_test(c, wal_publishes_groups_in_order_whatever_order_they_are_written_in);
	tcase_add_test(c, wal_goes_round_and_pads_the_end_of_the_ring);
	tcase_add_test(c, wal_that_is_full_says_so_and_calls_when_there_is_room);
	tcase_add_test(c, wal_calls_a_waiting_writer_also_after_a_mark);
	tcase_add_test(c, wal_does_not_reuse_what_is_being_read);
	tcase_add_test(c, wal_groups_forgotten_by_memory_are_in_the_file);
	tcase_add_test(c, wal_syncs_are_shared_by_all_who_wait);
	tcase_add_test(c, wal_marks_a_flush_with_nothing_behind_it);
	tcase_add_test(c, wal_superblock_slots_alternate);
	tcase_add_test(c, wal_lives_with_one_superblock_and_refuses_without);
}

static void add_opening_tests(TCase *c)
{
	tcase_add_loop_test(c, wal_finds_what_was_written_after_a_crash_or_an_end, 0, 2);
	tcase_add_test(c, wal_run_that_stored_nothing_is_followed);
	tcase_add_loop_test(c, wal_cuts_a_torn_tail, 0, 5);
	tcase_add_loop_test(c, wal_refuses_damage_below_a_watermark_and_cuts_there_if_asked, 0, 2);
	tcase_add_loop_test(c, wal_passes_over_damage_that_the_store_has_and_no_other, 0, 24);
	tcase_add_loop_test(
		c, wal_that_ends_with_damage_that_does_not_matter_is_opened_again_and_again, 0, 4);
	tcase_add_loop_test(c, wal_passes_over_several_damages, 0, 4);
	tcase_add_test(c, wal_passes_over_damage_where_the_ring_ends);
	tcase_add_test(c, wal_takes_no_ghosts_from_under_a_damaged_pad);
	tcase_add_loop_test(c, wal_run_numbers_void_ghosts, 0, 3);
	tcase_add_test(c, wal_discards_what_is_void);
	tcase_add_test(c, wal_that_was_all_stored_is_found_empty);
	tcase_add_test(c, wal_random_lives_equal_the_model);
	tcase_add_test(c, wal_of_another_volume_is_refused);
	tcase_add_test(c, wal_has_one_opener);
	tcase_add_test(c, wal_is_not_made_by_a_reader);
	tcase_add_loop_test(c, wal_that_was_made_in_part_is_made_again, 0, 8);
	tcase_add_test(c, wal_cut_short_is_refused);
	tcase_add_test(c, wal_with_any_one_byte_altered_gives_a_prefix_or_an_error);
}

static Suite *wal_suite(void)
{
	Suite *s = suite_create("wal");
	TCase *running = tcase_create("running"), *opening = tcase_create("opening");

	tcase_set_timeout(running, 60);
	add_running_tests(running);
	suite_add_tcase(s, running);
	tcase_set_timeout(opening, 60);
	add_opening_tests(opening);
	suite_add_tcase(s, opening);
	return s;
}

T_MAIN(wal_suite)
