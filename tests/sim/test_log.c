/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_log.c - the log, one situation at a time: opening, the end of a chain, puts, looks,
 * recovery.
 *
 * Everything runs in the simulator on main(): a call that waits runs steps until it may go on.
 */
#include "format/fmt_claim.h"
#include "sim_world.h"

#include "t_check.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "log/log.h"

#define REPLAYED_MAX 1024u
#define BYTES (UINT64_C(1) << 45)

/* A host with a log on it; one after another may use the same store. */
struct user {
	struct sim_host *host;
	struct port port;
	struct log *log;
	struct log_opened opened;
	struct log_options options;
	/* what the callbacks saw */
	unsigned commits, fenced, away, back, roots;
	int why;             /* what unavailable() or fenced() was told last */
	uint64_t epoch, base_epoch;
	bool discard;
	uint64_t replayed[REPLAYED_MAX];  /* last_op of each chain object */
	uint64_t replays, extents;
	uint64_t op;                      /* newest given to a put */
	unsigned records, record_bytes;
};

static struct sim *sim;
static const struct uuid volume = { { 1, 2, 3 } };

static int commit_epoch(void *ctx, uint64_t epoch, uint64_t base_epoch, bool discard,
			uint64_t last_op)
{
	struct user *u = ctx;

	(void)last_op;
	u->commits++;
	u->epoch = epoch;
	u->base_epoch = base_epoch;
	u->discard = discard;
	return 0;
}

static int load_root(void *ctx, const struct object_head *head, const uint8_t *object, size_t len)
{
	struct user *u = ctx;

	ck_assert_uint_eq(head->kind, OBJECT_ROOT);
	ck_assert_ptr_nonnull(object);
	ck_assert_uint_ge(len, head->header_bytes);
	u->roots++;
	return 0;
}

static int replay(void *ctx, const struct object_head *head, const struct chain_part *chain,
		  const struct seg_extent *extents, uint32_t extent_count)
{
	struct user *u = ctx;

	(void)extents;
	ck_assert_uint_lt(u->replays, REPLAYED_MAX);
	if (head->kind == OBJECT_DATA)
		u->replayed[u->replays++] = chain->last_op;
	u->extents += extent_count;
	return 0;
}

static void fenced(void *ctx, int err)
{
	struct user *u = ctx;

	ck_assert(err == LSVD_E_FENCED || err == LSVD_E_CORRUPT);
	u->why = err;
	u->fenced++;
}

static void unavailable(void *ctx, bool yes, int err)
{
	struct user *u = ctx;

	ck_assert(yes == (err < 0));
	u->away += yes;
	u->back += !yes;
	if (yes)
		u->why = err;
}

static int take_record(void *ctx, const struct object_head *head, const struct chain_part *chain,
		       const struct record *record)
{
	struct user *u = ctx;

	ck_assert(head->kind == OBJECT_NOTE || head->kind == OBJECT_DATA);
	ck_assert_uint_gt(chain->records, 0);
	for (uint32_t i = 0; i < record->len; i++)
		ck_assert_uint_eq(record->payload[i], record->type);
	if (record->type > 20)
		return 0;
	u->records++;
	u->record_bytes += record->len;
	return 1;
}

static const struct log_ops ops = {
	.commit_epoch = commit_epoch,
	.load_root = load_root,
	.replay = replay,
	.record = take_record,
	.fenced = fenced,
	.unavailable = unavailable,
};

static void user_init(struct user *u, const char *name)
{
	memset(u, 0, sizeof *u);
	u->host = sim_host_new(sim, name);
	u->options = (struct log_options){
		.volume = volume,
		.volume_bytes = BYTES,
		.put_window = 4,
		.name = "t",
		.host = name,
	};
	u->options.cache.first_op = 1;
	t_fill(&u->options.cache.id, sizeof u->options.cache.id, (uint64_t)name[0]);
	ck_assert_ok(lsvd_port_init(&u->port, sim_host_world(u->host)));
}

static int user_open(struct user *u)
{
	struct sim_host *before = sim_act_as(u->host);
	int err = lsvd_log_open(&u->log, &u->opened, &u->port, &u->options, &ops, u);

	u->op = u->opened.last_op;
	(void)sim_act_as(before);
	return err;
}

static int user_recover(struct user *u)
{
	struct sim_host *before = sim_act_as(u->host);
	int err = lsvd_log_recover(u->log);

	(void)sim_act_as(before);
	return err;
}

/* As a process that has gone down in order would leave it; the cache has what it wrote. */
static void user_leave(struct user *u)
{
	size_t blocks;

	lsvd_port_enter(&u->port);
	lsvd_log_cancel(u->log, LSVD_E_SHUTDOWN);
	lsvd_port_leave(&u->port, true);
	(void)sim_run(sim);
	u->options.cache.present = true;
	u->options.cache.epoch = u->opened.epoch;
	u->options.cache.base_epoch = u->opened.base_epoch;
	u->options.cache.last_op = lsvd_log_acked_op(u->log);
	lsvd_log_free(u->log);
	u->log = NULL;
	(void)sim_host_memory(u->host, &blocks);
	ck_assert_uint_eq(blocks, 0);
}

static struct sim_stats stats_now(void)
{
	struct sim_stats s;

	sim_stats(sim, &s);
	return s;
}

/* ----------------------------------------------------------------------------------------- puts */

struct tput {
	struct log_put put;
	struct user *user;
	int err;             /* 1: not yet */
	uint64_t order;      /* of its end among all ends */
};

static uint64_t ends;

static void put_acked(struct log_put *put, int err)
{
	struct tput *t = put->owner;

	ck_assert_int_eq(t->err, 1);
	t->err = err;
	t->order = ++ends;
	lsvd_segment_free(put->segment);
	put->segment = NULL;
}

static void put_prepare(struct tput *t, struct user *u, int kind, unsigned records)
{
	static struct seg_record r[20000];
	const struct seg_options so = { .codec = CODEC_RAW, .unit_bytes = 4096 };
	struct sim_host *before = sim_act_as(u->host);

	memset(t, 0, sizeof *t);
	t->user = u;
	t->err = 1;
	t->put.kind = kind;
	t->put.owner = t;
	t->put.acked = put_acked;
	lsvd_port_enter(&u->port);
	lsvd_log_reserve(u->log, &t->put.place);
	lsvd_port_leave(&u->port, true);
	u->op += kind == OBJECT_DATA;
	t->put.first_op = t->put.last_op = u->op;
	for (unsigned i = 0; i < records; i++)
		r[i] = (struct seg_record){ .lba = 1000000 * (uint64_t)(i + 1), .sectors = 1,
					    .kind = SEG_ZERO };
	if (kind == OBJECT_DATA)
		ck_assert_ok(lsvd_segment_build(&t->put.segment, r, records,
						lsvd_uuid_seed(&volume), t->put.place.object, &so));
	(void)sim_act_as(before);
}

static void put_start(struct tput *t)
{
	struct sim_host *before = sim_act_as(t->user->host);

	lsvd_port_enter(&t->user->port);
	lsvd_log_put(t->user->log, &t->put);
	ck_assert_int_eq(t->err, 1); /* not from inside the call */
	lsvd_port_leave(&t->user->port, true);
	(void)sim_act_as(before);
}

/* `n` more objects, all acknowledged. */
static void put_many(struct user *u, unsigned n)
{
	struct tput t;

	for (unsigned i = 0; i < n; i++) {
		put_prepare(&t, u, OBJECT_DATA, 1);
		put_start(&t);
		(void)sim_run(sim);
		ck_assert_int_eq(t.err, 0);
	}
}

/* One more, with a body. */
static void put_body(struct user *u)
{
	static uint8_t data[4096];
	const struct seg_options so = { .codec = CODEC_RAW, .unit_bytes = 4096 };
	uint64_t hash;
	struct seg_record r = { .lba = 8, .sectors = 8, .kind = SEG_RAW, .data = data,
				.hashes = &hash };
	struct sim_host *before;
	struct tput t;

	t_fill(data, sizeof data, 5);
	hash = lsvd_hash(data, sizeof data);
	put_prepare(&t, u, OBJECT_DATA, 1);
	before = sim_act_as(u->host);
	lsvd_segment_free(t.put.segment);
	ck_assert_ok(lsvd_segment_build(&t.put.segment, &r, 1, lsvd_uuid_seed(&volume),
					t.put.place.object, &so));
	(void)sim_act_as(before);
	put_start(&t);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, 0);
}

static void close_chain(struct user *u)
{
	struct tput t;

	put_prepare(&t, u, OBJECT_CLOSE, 0);
	put_start(&t);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, 0);
}

struct tfree {
	struct log_free_put put;
	struct iovec iov[2];
	uint8_t bytes[128];
	int err;
};

static void free_done(struct log_free_put *put, int err)
{
	struct tfree *t = put->owner;

	ck_assert_int_eq(t->err, 1);
	t->err = err;
}

static void free_start(struct tfree *t, struct user *u, uint64_t number, uint8_t fill)
{
	memset(t, 0, sizeof *t);
	memset(t->bytes, fill, sizeof t->bytes);
	t->err = 1;
	t->iov[0] = (struct iovec){ t->bytes, sizeof t->bytes };
	t->iov[1] = (struct iovec){ t->bytes, 10 };
	t->put.iov = t->iov;
	t->put.iovcnt = 2;
	t->put.owner = t;
	t->put.done = free_done;
	lsvd_key_free(t->put.key, &volume, 1, number);
	lsvd_port_enter(&u->port);
	lsvd_log_put_free(u->log, &t->put);
	lsvd_port_leave(&u->port, true);
}

static void chain_key(char key[KEY_CAP], uint64_t epoch, uint64_t seq)
{
	lsvd_key_chain(key, &volume, epoch, seq);
}

static bool chain_has(uint64_t epoch, uint64_t seq)
{
	char key[KEY_CAP];
	size_t len;

	chain_key(key, epoch, seq);
	return sim_store_find(sim, key, &len) != NULL;
}

static void chain_remove(uint64_t epoch, uint64_t seq)
{
	char key[KEY_CAP];

	chain_key(key, epoch, seq);
	sim_store_remove(sim, key);
}

/* What all PUTs of chain objects are answered with, 0: as usual. */
static struct {
	int err;
	unsigned puts;
} denial;

static int deny_puts(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
		     const uint8_t *bytes, size_t len)
{
	(void)ctx;
	(void)h;
	(void)key;
	(void)bytes;
	(void)len;
	if (kind != IO_PUT || !denial.err)
		return SIM_AS_USUAL;
	denial.puts++;
	return denial.err;
}

static void begin_denial(int err)
{
	denial.err = err;
	denial.puts = 0;
	sim_store_watch(sim, deny_puts, NULL);
}

static void pass_ms(uint64_t ms)
{
	uint64_t until = sim_now_ms(sim) + ms;

	while (sim_now_ms(sim) < until)
		ck_assert_int_eq(sim_step(sim), SIM_MORE);
}

static void setup(void)
{
	sim = sim_new(&(struct sim_options){ .seed = 1 });
	ends = 0;
}

static void teardown(void)
{
	sim_free(sim);
}

/* -------------------------------------------------------------------------------------- opening */

START_TEST(the_first_open_takes_epoch_1_from_nothing)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.epoch, 1);
	ck_assert_uint_eq(a.opened.base_epoch, 0);
	ck_assert_uint_eq(a.opened.last_op, 0);
	ck_assert_uint_eq(a.opened.next_object, 1);
	ck_assert(!a.opened.rolled_back);
	ck_assert_uint_eq(a.commits, 1);
	ck_assert_ok(user_recover(&a));
	ck_assert_uint_eq(a.replays, 0);
	user_leave(&a);
}
END_TEST

START_TEST(the_same_host_goes_on_with_its_cache)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 3);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.epoch, 2);
	ck_assert_uint_eq(a.opened.base_epoch, 1);
	ck_assert_uint_eq(a.opened.base_seq, 4);
	ck_assert_uint_eq(a.opened.last_op, 3);
	ck_assert(a.opened.cache_current);
	ck_assert(!a.discard);
	ck_assert(chain_has(1, 5)); /* the fence */
	user_leave(&a);
}
END_TEST

START_TEST(a_refused_opener_leaves_nothing_behind)
{
	struct user a, b;
	size_t objects;

	user_init(&a, "a");
	user_init(&b, "b");
	ck_assert_ok(user_open(&a));
	put_many(&a, 1);
	objects = sim_store_count(sim);
	ck_assert_err(user_open(&b), LSVD_E_ROLLBACK);
	ck_assert_error_says("accept-rollback");
	ck_assert_error_says("operation 1");
	ck_assert_uint_eq(b.commits, 0);
	ck_assert_uint_eq(sim_store_count(sim), objects);
	put_many(&a, 1);
	user_leave(&a);
}
END_TEST

START_TEST(a_reader_puts_nothing_and_sees_the_end)
{
	struct user a, b;
	struct sim_stats before;

	user_init(&a, "a");
	user_init(&b, "b");
	b.options.readonly = true;
	ck_assert_ok(user_open(&b));
	ck_assert_uint_eq(b.opened.epoch, 0);
	ck_assert_uint_eq(b.opened.volume_bytes, BYTES);
	user_leave(&b);
	b.options.cache.present = false;
	ck_assert_ok(user_open(&a));
	put_many(&a, 5);
	before = stats_now();
	ck_assert_ok(user_open(&b));
	ck_assert_ok(user_recover(&b));
	ck_assert_uint_eq(b.opened.epoch, 1);
	ck_assert_uint_eq(b.opened.base_seq, 6);
	ck_assert_uint_eq(b.replays, 5);
	ck_assert(!b.opened.rolled_back);
	ck_assert_uint_eq(stats_now().puts, before.puts);
	ck_assert_uint_eq(stats_now().removes, before.removes);
	user_leave(&b);
	put_many(&a, 1);
	user_leave(&a);
}
END_TEST

START_TEST(a_closed_chain_is_open_to_anybody)
{
	struct user a, b;

	user_init(&a, "a");
	user_init(&b, "b");
	ck_assert_ok(user_open(&a));
	put_many(&a, 2);
	close_chain(&a);
	user_leave(&a);
	ck_assert_ok(user_open(&b));
	ck_assert(b.opened.closed);
	ck_assert(!b.opened.rolled_back);
	ck_assert_uint_eq(b.opened.last_op, 2);
	put_many(&b, 1);
	close_chain(&b);
	user_leave(&b);
	/* The first host's cache is old by now, but holds nothing that the store has not. */
	ck_assert_ok(user_open(&a));
	ck_assert(!a.opened.cache_current);
	ck_assert(a.discard);
	ck_assert_uint_eq(a.opened.last_op, 3);
	user_leave(&a);
}
END_TEST

START_TEST(takeover_suffices_only_after_a_writer_that_flushed_to_the_store)
{
	struct user a, b;

	user_init(&a, "a");
	user_init(&b, "b");
	b.options.takeover = true;
	ck_assert_ok(user_open(&a));
	put_many(&a, 1);
	ck_assert_err(user_open(&b), LSVD_E_ROLLBACK);
	user_leave(&a);
	a.options.flush_remote = true;
	ck_assert_ok(user_open(&a));
	ck_assert_ok(user_open(&b));
	ck_assert(b.opened.rolled_back);
	user_leave(&a);
	user_leave(&b);
}
END_TEST

START_TEST(a_cache_with_what_was_never_stored_is_not_thrown_away)
{
	struct user a, b;

	user_init(&a, "a");
	user_init(&b, "b");
	ck_assert_ok(user_open(&a));
	put_many(&a, 2);
	user_leave(&a);
	a.options.cache.last_op = 7;
	b.options.accept_rollback = true;
	ck_assert_ok(user_open(&b));
	close_chain(&b);
	user_leave(&b);
	ck_assert_err(user_open(&a), LSVD_E_FOREIGN_CACHE);
	ck_assert_error_says("up to 7");
	ck_assert_error_says("operation 2");
	ck_assert_uint_eq(a.commits, 1);
	a.options.takeover = true;
	ck_assert_err(user_open(&a), LSVD_E_FOREIGN_CACHE);
	a.options.accept_rollback = true;
	ck_assert_ok(user_open(&a));
	ck_assert(a.discard);
	ck_assert(a.opened.rolled_back);
	user_leave(&a);
}
END_TEST

START_TEST(a_cache_of_another_history_is_foreign)
{
	struct user a, b;

	user_init(&a, "a");
	user_init(&b, "b");
	ck_assert_ok(user_open(&a));
	close_chain(&a);
	user_leave(&a);
	b.options.cache.present = true;
	b.options.cache.epoch = 1;
	b.options.cache.last_op = 3;
	ck_assert_err(user_open(&b), LSVD_E_FOREIGN_CACHE);
	ck_assert_error_says("not part of the history");
	b.options.cache.epoch = 12;
	ck_assert_err(user_open(&b), LSVD_E_FOREIGN_CACHE);
	b.options.cache.last_op = 0; /* it holds nothing */
	ck_assert_ok(user_open(&b));
	user_leave(&b);
}
END_TEST

START_TEST(a_cache_that_ends_before_the_store_was_rolled_back)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 9);
	user_leave(&a);
	a.options.cache.last_op = 4;
	ck_assert_err(user_open(&a), LSVD_E_ROLLBACK);
	ck_assert_error_says("operation 4");
	ck_assert_error_says("has 9");
	a.options.accept_rollback = true;
	ck_assert_ok(user_open(&a));
	ck_assert(!a.opened.cache_current);
	ck_assert(a.discard);
	user_leave(&a);
}
END_TEST

START_TEST(an_image_of_the_cache_from_an_earlier_epoch_is_not_current)
{
	struct user a;
	struct log_cache image;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 2);
	user_leave(&a);
	image = a.options.cache;
	image.last_op = 5; /* three of them not stored then */
	ck_assert_ok(user_open(&a));
	put_many(&a, 1);
	user_leave(&a);
	a.options.cache = image;
	ck_assert_err(user_open(&a), LSVD_E_FOREIGN_CACHE);
}
END_TEST

struct tlook {
	struct log_look look;
	int err;
};

static void look_done(struct log_look *look, int err)
{
	struct tlook *t = look->owner;

	ck_assert_int_eq(t->err, 1);
	t->err = err;
}

static void look_start(struct tlook *t, struct user *u)
{
	t->err = 1;
	t->look.done = look_done;
	t->look.owner = t;
	lsvd_port_enter(&u->port);
	lsvd_log_look(u->log, &t->look);
	lsvd_port_leave(&u->port, true);
}

static void look_now(struct user *u, int expected)
{
	struct tlook t;

	look_start(&t, u);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, expected);
}

/* In the instant in which an epoch is claimed its base's place is taken, by a fence. */
static uint64_t shut_on_claim;

static int shut_when_claimed(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
			     const uint8_t *bytes, size_t len)
{
	struct chain_part chain = { .volume_bytes = 1 << 20, .next_object = 1, .first_op = 1,
				    .fenced_by = shut_on_claim + 1 };
	struct object_head head = { .kind = OBJECT_FENCE, .volume = volume, .seq = 1,
				    .header_bytes = OBJECT_HEAD_BYTES + CHAIN_PART_BYTES,
				    .epoch = shut_on_claim };
	uint8_t fence[OBJECT_HEAD_BYTES + CHAIN_PART_BYTES];
	char name[KEY_CAP];

	(void)ctx;
	(void)h;
	(void)bytes;
	(void)len;
	lsvd_key_claim(name, &volume, shut_on_claim);
	if (kind == IO_PUT && strcmp(name, key) == 0) {
		memset(fence, 0, sizeof fence);
		lsvd_chain_part_encode(fence + OBJECT_HEAD_BYTES, &chain);
		lsvd_object_head_encode(fence, &head);
		chain_key(name, shut_on_claim, 1);
		sim_store_put(sim, name, fence, sizeof fence);
	}
	return SIM_AS_USUAL;
}

/* Until the next epoch is claimed the base of this one is not there yet. */
static uint64_t hidden_base;

static int hide_a_base(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
		       const uint8_t *bytes, size_t len)
{
	char name[KEY_CAP];

	(void)ctx;
	(void)h;
	(void)bytes;
	(void)len;
	if (kind == IO_PUT)
		hidden_base = 0; /* a claim: the first thing that an opener puts */
	chain_key(name, hidden_base, 1);
	return kind == IO_GET && strcmp(name, key) == 0 ? -ENOENT : SIM_AS_USUAL;
}

/* Somebody claims an epoch, and that is all. */
static void claim(uint64_t epoch, uint64_t void_from)
{
	const struct fmt_claim c = { .host = "b", .void_from = void_from };
	uint8_t bytes[FMT_CLAIM_BYTES];
	char key[KEY_CAP];

	lsvd_claim_encode(bytes, &volume, epoch, &c);
	lsvd_key_claim(key, &volume, epoch);
	sim_store_put(sim, key, bytes, sizeof bytes);
}

START_TEST(a_claim_that_came_to_nothing_makes_no_cache_old)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 1);
	user_leave(&a);
	for (uint64_t epoch = 2; epoch < 40; epoch++)
		claim(epoch, 2);
	ck_assert_ok(user_open(&a));
	ck_assert(a.opened.cache_current);
	ck_assert_uint_eq(a.opened.epoch, 40);
	ck_assert_uint_eq(a.opened.base_epoch, 1);
	user_leave(&a);
}
END_TEST

static int kind_in_chain(uint64_t epoch, uint64_t seq)
{
	struct object_head head;
	char key[KEY_CAP];
	const uint8_t *bytes;
	size_t len;

	chain_key(key, epoch, seq);
	bytes = sim_store_find(sim, key, &len);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_ok(lsvd_object_head_decode(&head, bytes, len, key));
	return head.kind;
}

START_TEST(an_epoch_that_was_outrun_is_never_activated)
{
	struct user a, b;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 1);
	close_chain(&a);
	user_leave(&a);
	claim(2, 2);
	claim(3, 2);
	user_init(&b, "b");
	ck_assert_ok(user_open(&b));
	ck_assert_uint_eq(b.opened.epoch, 4);
	ck_assert_uint_eq(b.opened.base_epoch, 1);
	ck_assert_int_eq(kind_in_chain(2, 1), OBJECT_FENCE);
	ck_assert_int_eq(kind_in_chain(3, 1), OBJECT_FENCE);
	close_chain(&b);
	user_leave(&b);
	b.options.readonly = true;
	ck_assert_ok(user_open(&b));
	ck_assert_uint_eq(b.opened.epoch, 4);
	user_leave(&b);
}
END_TEST

START_TEST(an_opener_that_was_outrun_is_told_and_leaves_it_to_the_other)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	close_chain(&a);
	user_leave(&a);
	/*
	 * Whoever claimed 3 goes on from epoch 1, too, and shuts epoch 2 before its
	 * opener gets there.
	 */
	shut_on_claim = 2;
	sim_store_watch(sim, shut_when_claimed, NULL);
	ck_assert_err(user_open(&a), LSVD_E_FENCED);
	ck_assert_error_says("another opener took the volume");
	sim_store_watch(sim, NULL, NULL);
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.epoch, 3);
	user_leave(&a);
}
END_TEST

START_TEST(an_opener_that_finds_another_activated_decides_anew)
{
	struct user a, b;

	user_init(&a, "a");
	user_init(&b, "b");
	ck_assert_ok(user_open(&a));
	close_chain(&a);
	user_leave(&a);
	/* b sees claim 2 and epoch 1 closed; before b's own claim a has epoch 2, and serves. */
	ck_assert_ok(user_open(&a));
	hidden_base = 2;
	sim_store_watch(sim, hide_a_base, NULL);
	ck_assert_err(user_open(&b), LSVD_E_ROLLBACK);
	sim_store_watch(sim, NULL, NULL);
	put_many(&a, 1);
	look_now(&a, 0);
	ck_assert_uint_eq(a.fenced, 0);
	user_leave(&a);
}
END_TEST

START_TEST(many_claims_are_counted_with_few_requests)
{
	struct user a;
	char key[KEY_CAP];

	user_init(&a, "a");
	for (uint64_t epoch = 1; epoch <= 3000; epoch++)
		claim(epoch, 1);
	chain_key(key, 2999, 1);
	a.options.readonly = true;
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.epoch, 0);
	/* No epoch was ever activated: that all 3000 were looked at cannot be avoided here. */
	ck_assert_uint_lt(stats_now().heads, 3000 + 100);
	user_leave(&a);
}
END_TEST

START_TEST(a_store_that_is_away_fails_the_open_after_some_seconds)
{
	struct user a;
	uint64_t began;

	user_init(&a, "a");
	sim_store_away(sim, true);
	began = sim_now_ms(sim);
	ck_assert_err(user_open(&a), LSVD_E_UNAVAILABLE);
	ck_assert_uint_lt(sim_now_ms(sim) - began, 20000);
	sim_store_away(sim, false);
	ck_assert_ok(user_open(&a));
	user_leave(&a);
}
END_TEST

START_TEST(what_a_person_has_to_mend_fails_the_open_at_once)
{
	uint64_t began = sim_now_ms(sim);
	struct user a;

	user_init(&a, "a");
	begin_denial(_i ? LSVD_E_CONFIG : -EACCES);
	ck_assert_err(user_open(&a), denial.err);
	ck_assert_error_says("volume t: simulated store: v/");
	ck_assert_uint_eq(denial.puts, 1);
	ck_assert_uint_lt(sim_now_ms(sim) - began, 100);
	sim_store_watch(sim, NULL, NULL);
}
END_TEST

START_TEST(an_open_outlives_failures_before_and_after_their_effect)
{
	struct user a;

	user_init(&a, "a");
	sim_set_rates(sim, &(struct sim_options){ .fail_before = 50, .fail_after = 150 });
	for (unsigned i = 1; i <= 20; i++) {
		ck_assert_ok(user_open(&a));
		ck_assert_uint_eq(a.opened.epoch, i);
		put_many(&a, 2);
		user_leave(&a);
	}
	ck_assert_uint_gt(stats_now().failed_after, 5);
}
END_TEST

START_TEST(no_memory_at_any_point_of_an_open_is_an_error_and_no_leak)
{
	struct sim_image *image;
	struct user a;
	size_t blocks;
	unsigned failures = 0;
	int err = -ENOMEM;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 100);
	user_leave(&a);
	sim_host_crash(a.host, SIM_KILLED);
	image = sim_image_take(sim);
	for (uint64_t n = 1; err == -ENOMEM; n++) {
		sim_image_restore(sim, image);
		sim_host_fail_alloc(a.host, n, 1);
		a.replays = 0;
		err = user_open(&a);
		if (err == 0)
			err = user_recover(&a);
		sim_host_fail_alloc(a.host, 0, 0);
		failures += err == -ENOMEM;
		if (a.log)
			lsvd_log_free(a.log);
		a.log = NULL;
		(void)sim_host_memory(a.host, &blocks);
		ck_assert_uint_eq(blocks, 0);
	}
	ck_assert_ok(err);
	ck_assert_uint_eq(a.replays, 100);
	ck_assert_uint_gt(failures, 100);
	sim_image_free(image);
}
END_TEST

/* Each request takes 50 ms, any number at the same time: the clock counts round trips. */
static uint64_t round_trips_since(uint64_t began)
{
	return (sim_now_ms(sim) - began) / 50;
}

START_TEST(a_restart_takes_few_round_trips)
{
	struct user a;
	uint64_t began;

	user_init(&a, "a");
	for (unsigned i = 0; i < 20; i++) {
		ck_assert_ok(user_open(&a));
		put_many(&a, 3);
		user_leave(&a);
	}
	sim_set_rates(sim, &(struct sim_options){ .latency_ms = 50 });
	began = sim_now_ms(sim);
	ck_assert_ok(user_open(&a));
	/* claims, epochs, end; claim; end again; fence; object 1; re-check */
	ck_assert_uint_le(round_trips_since(began), 8);
	began = sim_now_ms(sim);
	ck_assert_ok(user_recover(&a));
	ck_assert_uint_eq(a.replays, 60);
	/* 20 bases at once, then 32 objects at a time */
	ck_assert_uint_le(round_trips_since(began), 1 + 3);
	user_leave(&a);
}
END_TEST

static struct root_ref put_root(uint64_t epoch, uint64_t number, uint64_t at_epoch,
				uint64_t at_seq);
static void set_root(struct user *u, struct root_ref root);

START_TEST(an_open_without_the_cache_takes_few_round_trips)
{
	struct user a, b;
	uint64_t began;

	user_init(&a, "a");
	user_init(&b, "b");
	b.options.accept_rollback = true;
	ck_assert_ok(user_open(&a));
	put_many(&a, 1000);
	set_root(&a, put_root(1, 1, 1, 990));
	put_many(&a, 10);
	user_leave(&a);
	sim_set_rates(sim, &(struct sim_options){ .latency_ms = 50 });
	began = sim_now_ms(sim);
	ck_assert_ok(user_open(&b));
	ck_assert_ok(user_recover(&b));
	ck_assert_uint_eq(b.roots, 1);
	printf("an open without the cache: %" PRIu64 " round trips\n", round_trips_since(began));
	ck_assert_uint_le(round_trips_since(began), 14);
	user_leave(&b);
}
END_TEST

/* --------------------------------------------------------------------------- the end of a chain */

START_TEST(the_end_of_a_long_chain_is_found_with_few_requests)
{
	struct user a, b;
	struct sim_stats before, after;

	user_init(&a, "a");
	user_init(&b, "b");
	b.options.readonly = true;
	ck_assert_ok(user_open(&a));
	put_many(&a, 700);
	before = stats_now();
	ck_assert_ok(user_open(&b));
	after = stats_now();
	ck_assert_uint_eq(b.opened.base_seq, 701 + 11); /* and the anchors */
	ck_assert_uint_lt(after.heads - before.heads + after.gets - before.gets, 125);
	ck_assert_uint_eq(after.lists, 0);
	user_leave(&a);
	user_leave(&b);
}
END_TEST

/* What is dead before the newest anchor's acknowledged object may be gone, anchors apart. */
START_TEST(deleted_objects_do_not_hide_the_end)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 200);
	user_leave(&a);
	for (uint64_t seq = 2; seq < 191; seq++)
		if (seq % 64)
			chain_remove(1, seq);
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.base_seq, 201 + 3);
	ck_assert_uint_eq(a.opened.last_op, 200);
	user_leave(&a);
}
END_TEST

/* The window was open when the writer died: later objects landed, an anchor among them. */
START_TEST(what_lies_behind_a_hole_is_not_part_of_the_chain)
{
	struct user a;

	user_init(&a, "a");
	a.options.put_window = 8;
	ck_assert_ok(user_open(&a));
	put_many(&a, 66);
	user_leave(&a);
	a.options.cache.last_op = 66;
	chain_remove(1, 62); /* as if it had never landed */
	{
		/* An anchor whose writer had seen 61 objects acknowledged. */
		char key[KEY_CAP];
		const uint8_t *bytes;
		uint8_t copy[4096];
		struct object_head head;
		struct chain_part chain;
		size_t len;

		chain_key(key, 1, 64);
		bytes = sim_store_find(sim, key, &len);
		ck_assert_ptr_nonnull(bytes);
		ck_assert_uint_le(len, sizeof copy);
		memcpy(copy, bytes, len);
		ck_assert_ok(lsvd_object_head_decode(&head, copy, len, key));
		ck_assert_ok(lsvd_chain_part_decode(&chain, copy, &head, key));
		ck_assert_uint_eq(chain.acked_seq, 63);
		chain.acked_seq = 60;
		lsvd_chain_part_encode(copy + OBJECT_HEAD_BYTES, &chain);
		lsvd_object_head_encode(copy, &head);
		sim_store_put(sim, key, copy, len);
	}
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.base_seq, 61);
	ck_assert_uint_eq(a.opened.last_op, 60);
	ck_assert(chain_has(1, 62));
	put_many(&a, 2);
	user_leave(&a);
	/* The fence is where the hole was, and stays the end. */
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.base_epoch, 2);
	ck_assert_uint_eq(a.opened.last_op, 62);
	a.replays = 0;
	ck_assert_ok(user_recover(&a));
	ck_assert_uint_eq(a.replays, 62);
	user_leave(&a);
}
END_TEST

START_TEST(a_fence_may_stand_in_an_anchors_place)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 62);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert(chain_has(1, 64));
	user_leave(&a);
	chain_remove(2, 1); /* as if epoch 2 had never been activated */
	a.options.cache.epoch = 2;
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.base_epoch, 1);
	ck_assert_uint_eq(a.opened.base_seq, 63);
	user_leave(&a);
}
END_TEST

START_TEST(a_damaged_header_is_named_and_nothing_is_claimed)
{
	struct user a;
	size_t objects, len;
	uint8_t copy[4096];
	const uint8_t *bytes;
	char key[KEY_CAP];

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 3);
	user_leave(&a);
	chain_key(key, 1, 4);
	bytes = sim_store_find(sim, key, &len);
	ck_assert_ptr_nonnull(bytes);
	memcpy(copy, bytes, len);
	copy[100] ^= 1;
	sim_store_put(sim, key, copy, len);
	objects = sim_store_count(sim);
	ck_assert_err(user_open(&a), LSVD_E_CORRUPT);
	ck_assert_error_says(key);
	ck_assert_error_says("checksum");
	ck_assert_uint_eq(sim_store_count(sim), objects);
}
END_TEST

/* Cuts a chain object to `left` bytes, or by one byte. */
static void chain_cut(uint64_t epoch, uint64_t seq, size_t left)
{
	char key[KEY_CAP];
	const uint8_t *bytes;
	uint8_t *copy;
	size_t len;

	chain_key(key, epoch, seq);
	bytes = sim_store_find(sim, key, &len);
	ck_assert_ptr_nonnull(bytes);
	copy = malloc(len);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	sim_store_put(sim, key, copy, left ? left : len - 1);
	free(copy);
}

/* What it wrote last was in the world when the writer died, and the store shows a part of it. */
START_TEST(a_part_of_an_object_at_the_end_is_as_good_as_none)
{
	static const size_t left[] = { 0, 60, 4, OBJECT_HEAD_BYTES + 20 };
	struct log_stats st;
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 2);
	put_body(&a);
	user_leave(&a);
	chain_cut(1, 4, left[_i]);
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.base_epoch, 1);
	ck_assert_uint_eq(a.opened.base_seq, 3);
	ck_assert_uint_eq(a.opened.last_op, 2);
	lsvd_log_stats(a.log, &st);
	ck_assert_uint_eq(st.torn, 1);
	ck_assert_ok(user_recover(&a));
	put_many(&a, 1);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.base_epoch, 2);
	ck_assert_uint_eq(a.opened.last_op, 3);
	user_leave(&a);
}
END_TEST

/*
 * While b looks for the end a gets on: when b asks for object 11 that is deleted already, as is all
 * up to 120, and what leads further is there only from then on.
 */
static struct {
	bool on, later;
} overtaken;

static int overtake(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
		    const uint8_t *bytes, size_t len)
{
	struct key_parts p;

	(void)ctx;
	(void)h;
	(void)bytes;
	(void)len;
	if (!overtaken.on || !lsvd_key_parse(&p, key) || p.kind != KEY_CHAIN || p.number <= 10)
		return SIM_AS_USUAL;
	if (!overtaken.later) {
		overtaken.later = kind == IO_GET && p.number == 11;
		return -ENOENT;
	}
	return p.number <= 120 && p.number % 64 ? -ENOENT : SIM_AS_USUAL;
}

START_TEST(a_reader_that_is_overtaken_by_deletions_finds_the_end)
{
	struct user a, b;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	for (unsigned i = 0; i < 140; i++)
		put_many(&a, 1);
	overtaken.on = true;
	overtaken.later = false;
	sim_store_watch(sim, overtake, NULL);
	user_init(&b, "b");
	b.options.readonly = true;
	ck_assert_ok(user_open(&b));
	ck_assert(overtaken.later);
	ck_assert_uint_eq(b.opened.last_op, 140);
	overtaken.on = false;
	user_leave(&b);
	user_leave(&a);
}
END_TEST

/* What b takes for a part that stays is all there a moment later, and its opener serves. */
START_TEST(a_part_of_an_epochs_first_object_is_no_fence)
{
	static const size_t left[] = { 1, 60, OBJECT_HEAD_BYTES + 20 };
	struct user a, b;
	char key[KEY_CAP];
	uint8_t copy[OBJECT_HEAD_BYTES + CHAIN_PART_BYTES];
	const uint8_t *bytes;
	size_t len;

	user_init(&a, "a");
	user_init(&b, "b");
	ck_assert_ok(user_open(&a));
	close_chain(&a);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.epoch, 2);
	chain_key(key, 2, 1);
	bytes = sim_store_find(sim, key, &len);
	ck_assert_uint_eq(len, sizeof copy);
	memcpy(copy, bytes, sizeof copy);
	chain_cut(2, 1, left[_i]);
	ck_assert_ok(user_open(&b));
	ck_assert_uint_eq(b.opened.base_epoch, 1);
	ck_assert_uint_eq(b.opened.epoch, 4);
	sim_store_put(sim, key, copy, sizeof copy);
	look_now(&a, LSVD_E_FENCED);
	look_now(&b, 0);
	user_leave(&a);
	user_leave(&b);
}
END_TEST

START_TEST(a_part_of_an_object_that_was_acknowledged_is_damage)
{
	static const size_t left[] = { 60, OBJECT_HEAD_BYTES + 20 };
	struct user a;
	size_t objects;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 3);
	user_leave(&a);
	chain_cut(1, 3, left[_i]);
	objects = sim_store_count(sim);
	ck_assert_err(user_open(&a), LSVD_E_CORRUPT);
	ck_assert_error_says("cut short");
	ck_assert_uint_eq(sim_store_count(sim), objects);
}
END_TEST

static struct {
	char key[KEY_CAP];
	unsigned times, seen;
	bool lose;
} damage;

/* The first answers about an object are damaged; the answer to its PUT may be lost. */
static int damage_answers(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
			  const uint8_t *bytes, size_t len)
{
	size_t there;

	(void)ctx;
	(void)h;
	if (damage.lose && kind == IO_PUT && strcmp(key, damage.key) == 0 &&
	    !sim_store_find(sim, key, &there)) {
		sim_store_put(sim, key, bytes, len);
		return LSVD_E_UNAVAILABLE;
	}
	if (kind != IO_GET || strcmp(key, damage.key) != 0)
		return SIM_AS_USUAL;
	return damage.seen++ < damage.times ? SIM_DAMAGED : SIM_AS_USUAL;
}

START_TEST(a_header_that_does_not_verify_is_asked_for_once_more)
{
	struct log_stats st;
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 3);
	user_leave(&a);
	memset(&damage, 0, sizeof damage);
	chain_key(damage.key, 1, 3);
	damage.times = 1;
	sim_store_watch(sim, damage_answers, NULL);
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.last_op, 3);
	lsvd_log_stats(a.log, &st);
	ck_assert_uint_eq(st.bad_gets, 1);
	sim_store_watch(sim, NULL, NULL);
	user_leave(&a);
}
END_TEST

/* ----------------------------------------------------------------------------------------- puts */

START_TEST(puts_start_and_end_in_order_whatever_order_they_come_in)
{
	struct user a;
	struct tput t[20];
	static const unsigned order[20] = { 3, 1, 0, 2, 19, 18, 4, 6, 5, 17, 7, 8, 10, 9, 16, 15,
					    11, 13, 12, 14 };

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	for (unsigned i = 0; i < 20; i++)
		put_prepare(&t[i], &a, OBJECT_DATA, 1);
	for (unsigned i = 0; i < 20; i++)
		put_start(&t[order[i]]);
	(void)sim_run(sim);
	for (unsigned i = 0; i < 20; i++) {
		ck_assert_int_eq(t[i].err, 0);
		ck_assert_uint_eq(t[i].order, i + 1);
		ck_assert_uint_gt(t[i].put.put_bytes, OBJECT_HEAD_BYTES);
	}
	ck_assert_uint_eq(lsvd_log_acked_seq(a.log), 21);
	ck_assert_uint_eq(lsvd_log_acked_op(a.log), 20);
	user_leave(&a);
}
END_TEST

static bool window_kept;

static int watch_window(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
			const uint8_t *bytes, size_t len)
{
	struct user *u = ctx;
	struct object_head head;

	(void)h;
	if (kind == IO_PUT && lsvd_object_head_decode(&head, bytes, len, key) == 0 &&
	    head.kind == OBJECT_DATA && head.seq > lsvd_log_acked_seq(u->log) + 4)
		window_kept = false;
	return SIM_AS_USUAL;
}

START_TEST(no_more_than_the_window_are_in_the_world)
{
	struct user a;
	struct tput t[30];

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	window_kept = true;
	sim_store_watch(sim, watch_window, &a);
	for (unsigned i = 0; i < 30; i++) {
		put_prepare(&t[i], &a, OBJECT_DATA, 1);
		put_start(&t[i]);
	}
	(void)sim_run(sim);
	sim_store_watch(sim, NULL, NULL);
	ck_assert(window_kept);
	ck_assert_int_eq(t[29].err, 0);
	user_leave(&a);
}
END_TEST

START_TEST(an_outage_of_an_hour_costs_few_requests_and_ends_by_itself)
{
	struct user a;
	struct tput t[8];
	struct sim_stats before;
	uint64_t until;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	sim_store_away(sim, true);
	before = stats_now();
	for (unsigned i = 0; i < 8; i++) {
		put_prepare(&t[i], &a, OBJECT_DATA, 1);
		put_start(&t[i]);
	}
	until = sim_now_ms(sim) + 3600000;
	while (sim_now_ms(sim) < until)
		ck_assert_int_eq(sim_step(sim), SIM_MORE);
	ck_assert_uint_eq(a.away, 1);
	ck_assert_uint_eq(a.back, 0);
	ck_assert_int_eq(t[0].err, 1);
	/* four at a time while pauses are short, then one every 15 to 30 seconds */
	ck_assert_uint_lt(stats_now().away - before.away, 4 * 5 + 260);
	ck_assert_uint_gt(stats_now().away - before.away, 4 * 5 + 100);
	sim_store_away(sim, false);
	(void)sim_run(sim);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(t[i].err, 0);
	ck_assert_uint_eq(a.away, 1);
	ck_assert_uint_eq(a.back, 1);
	user_leave(&a);
}
END_TEST

#define MANY 200u

START_TEST(however_many_wait_a_long_outage_asks_once_a_pause)
{
	struct tfree *f = calloc(MANY, sizeof *f);
	struct sim_stats before;
	size_t blocks, later;
	struct user a;

	ck_assert_ptr_nonnull(f);
	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	sim_store_away(sim, true);
	for (unsigned i = 0; i < MANY; i++)
		free_start(&f[i], &a, i + 1, 7);
	pass_ms(10000);
	ck_assert_uint_le(stats_now().away, MANY * 5 + 10);
	(void)sim_host_memory(a.host, &blocks);
	before = stats_now();
	pass_ms(3600000);
	ck_assert_uint_lt(stats_now().away - before.away, 260);
	(void)sim_host_memory(a.host, &later);
	ck_assert_uint_eq(later, blocks);
	sim_store_away(sim, false);
	(void)sim_run(sim);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_int_eq(f[i].err, 0);
	ck_assert_uint_eq(a.away, 1);
	ck_assert_uint_eq(a.back, 1);
	user_leave(&a);
	free(f);
}
END_TEST

START_TEST(a_store_that_is_back_is_noticed_at_once_by_whoever_is_told)
{
	struct user a;
	struct tput t;
	uint64_t until;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	sim_store_away(sim, true);
	put_prepare(&t, &a, OBJECT_DATA, 1);
	put_start(&t);
	until = sim_now_ms(sim) + 600000;
	while (sim_now_ms(sim) < until)
		(void)sim_step(sim);
	sim_store_away(sim, false);
	until = sim_now_ms(sim);
	lsvd_port_enter(&a.port);
	lsvd_log_retry(a.log);
	lsvd_port_leave(&a.port, true);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, 0);
	ck_assert_uint_lt(sim_now_ms(sim) - until, 1000);
	user_leave(&a);
}
END_TEST

START_TEST(one_object_that_gets_through_wakes_the_others)
{
	struct user a;
	struct tput t;
	struct tfree f;
	uint64_t until;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	sim_store_away(sim, true);
	put_prepare(&t, &a, OBJECT_DATA, 1);
	put_start(&t);
	until = sim_now_ms(sim) + 600000;
	while (sim_now_ms(sim) < until)
		(void)sim_step(sim);
	sim_store_away(sim, false);
	until = sim_now_ms(sim);
	free_start(&f, &a, 1, 7);
	(void)sim_run(sim);
	ck_assert_int_eq(f.err, 0);
	ck_assert_int_eq(t.err, 0);
	ck_assert_uint_lt(sim_now_ms(sim) - until, 1000);
	user_leave(&a);
}
END_TEST

START_TEST(what_a_person_has_to_mend_is_asked_for_slowly_and_drains_by_itself)
{
	static const int errs[] = { -EACCES, LSVD_E_CONFIG, -EROFS, -EACCES };
	struct tput t[8];
	struct log_stats st;
	struct user a;

	user_init(&a, "a");
	a.options.denied_retry_ms = _i == 3 ? 5000 : 0;
	ck_assert_ok(user_open(&a));
	begin_denial(errs[_i]);
	for (unsigned i = 0; i < 8; i++) {
		put_prepare(&t[i], &a, OBJECT_DATA, 1);
		put_start(&t[i]);
	}
	pass_ms(600000);
	ck_assert_uint_eq(a.away, 1); /* one alarm */
	ck_assert_int_eq(a.why, errs[_i]);
	ck_assert_int_eq(t[0].err, 1);
	/* the window, then one every 15 to 30 seconds, or 2.5 to 5 */
	ck_assert_uint_le(denial.puts, _i == 3 ? 4 + 240 : 4 + 40);
	ck_assert_uint_ge(denial.puts, _i == 3 ? 4 + 119 : 4 + 19);
	lsvd_log_stats(a.log, &st);
	ck_assert_uint_eq(st.denied, denial.puts);
	ck_assert_uint_eq(st.unavailable, 0);
	denial.err = 0;
	(void)sim_run(sim);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(t[i].err, 0);
	ck_assert_uint_eq(a.back, 1);
	sim_store_watch(sim, NULL, NULL);
	user_leave(&a);
}
END_TEST

START_TEST(a_full_store_is_waited_out_like_an_outage_and_called_full)
{
	struct log_stats st;
	struct user a;
	struct tput t;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	begin_denial(-ENOSPC);
	put_prepare(&t, &a, OBJECT_DATA, 1);
	put_start(&t);
	pass_ms(60000);
	ck_assert_int_eq(a.why, -ENOSPC);
	/* in a minute: after 0.1, 0.3, 0.7, 1.5, 3.1 … s at most */
	ck_assert_uint_ge(denial.puts, 6);
	lsvd_log_stats(a.log, &st);
	ck_assert_uint_eq(st.full, denial.puts);
	denial.err = 0;
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, 0);
	ck_assert_uint_eq(a.back, 1);
	sim_store_watch(sim, NULL, NULL);
	user_leave(&a);
}
END_TEST

START_TEST(a_worse_reason_is_told_and_a_better_one_is_not)
{
	struct user a;
	struct tput t;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	begin_denial(LSVD_E_UNAVAILABLE);
	put_prepare(&t, &a, OBJECT_DATA, 1);
	put_start(&t);
	pass_ms(10000);
	ck_assert_uint_eq(a.away, 1);
	denial.err = -EACCES;
	pass_ms(120000);
	ck_assert_uint_eq(a.away, 2);
	ck_assert_int_eq(a.why, -EACCES);
	denial.err = LSVD_E_UNAVAILABLE;
	pass_ms(120000);
	ck_assert_uint_eq(a.away, 2);
	denial.err = 0;
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, 0);
	sim_store_watch(sim, NULL, NULL);
	user_leave(&a);
}
END_TEST

/* The answer to the PUT of object 2 is lost, and that to the question who has it is damaged. */
START_TEST(a_damaged_answer_about_who_has_a_name_is_no_fence)
{
	struct log_stats st;
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	memset(&damage, 0, sizeof damage);
	chain_key(damage.key, 1, 2);
	damage.times = 1;
	damage.lose = true;
	sim_store_watch(sim, damage_answers, NULL);
	put_many(&a, 1);
	ck_assert_uint_eq(damage.seen, 2);
	ck_assert_uint_eq(a.fenced, 0);
	lsvd_log_stats(a.log, &st);
	ck_assert_uint_eq(st.read_backs, 2);
	sim_store_watch(sim, NULL, NULL);
	user_leave(&a);
}
END_TEST

static struct {
	unsigned gets;
	bool grows;
	size_t part;
} growth;

/* A PUT stores a part, without an answer; the rest comes when the object has been read twice. */
static int store_a_part(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
			const uint8_t *bytes, size_t len)
{
	static uint8_t whole[65536];
	static size_t whole_len;
	size_t there;

	(void)ctx;
	(void)h;
	if (kind == IO_PUT && !sim_store_find(sim, key, &there)) {
		ck_assert_uint_le(len, sizeof whole);
		memcpy(whole, bytes, len);
		whole_len = len;
		sim_store_put(sim, key, bytes, growth.part ? growth.part : len - 1);
		return LSVD_E_UNAVAILABLE;
	}
	if (kind == IO_GET && ++growth.gets == 3 && growth.grows)
		sim_store_put(sim, key, whole, whole_len);
	return SIM_AS_USUAL;
}

START_TEST(a_part_of_an_object_that_grows_whole_is_waited_for)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	memset(&growth, 0, sizeof growth);
	growth.grows = true;
	sim_store_watch(sim, store_a_part, NULL);
	put_body(&a);
	ck_assert_uint_eq(growth.gets, 3);
	ck_assert_uint_eq(a.fenced, 0);
	sim_store_watch(sim, NULL, NULL);
	user_leave(&a);
}
END_TEST

START_TEST(a_part_of_an_object_that_stays_ends_the_epoch_as_damage)
{
	struct log_stats st;
	struct user a;
	struct tput t;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 3);
	memset(&growth, 0, sizeof growth);
	growth.part = 50;
	sim_store_watch(sim, store_a_part, NULL);
	put_prepare(&t, &a, OBJECT_DATA, 1);
	put_start(&t);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, LSVD_E_CORRUPT);
	ck_assert_int_eq(a.why, LSVD_E_CORRUPT);
	ck_assert_uint_eq(a.fenced, 1);
	ck_assert_uint_eq(growth.gets, 5);
	lsvd_log_stats(a.log, &st);
	ck_assert_uint_eq(st.torn, 1);
	sim_store_watch(sim, NULL, NULL);
	user_leave(&a);
	ck_assert_ok(user_open(&a)); /* the next epoch goes on before it */
	ck_assert_uint_eq(a.opened.last_op, 3);
	put_many(&a, 1);
	user_leave(&a);
}
END_TEST

START_TEST(a_lost_answer_is_no_fence)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	sim_set_rates(sim, &(struct sim_options){ .fail_after = 600, .fail_late = 200 });
	put_many(&a, 30);
	ck_assert_uint_eq(a.fenced, 0);
	ck_assert_uint_gt(stats_now().failed_after, 5);
	user_leave(&a);
}
END_TEST

START_TEST(the_second_writer_fences_the_first)
{
	struct user a, b;
	struct tput t[6], late;

	user_init(&a, "a");
	user_init(&b, "b");
	b.options.accept_rollback = true;
	ck_assert_ok(user_open(&a));
	put_many(&a, 2);
	ck_assert_ok(user_open(&b));
	ck_assert(b.opened.rolled_back);
	for (unsigned i = 0; i < 6; i++) {
		put_prepare(&t[i], &a, OBJECT_DATA, 1);
		put_start(&t[i]);
	}
	(void)sim_run(sim);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert_int_eq(t[i].err, LSVD_E_FENCED);
		ck_assert_uint_eq(t[i].order, 2 + i + 1);
	}
	ck_assert_uint_eq(a.fenced, 1);
	ck_assert(lsvd_log_fenced(a.log));
	ck_assert_uint_eq(lsvd_log_acked_op(a.log), 2);
	put_prepare(&late, &a, OBJECT_DATA, 1);
	put_start(&late);
	(void)sim_run(sim);
	ck_assert_int_eq(late.err, LSVD_E_FENCED);
	put_many(&b, 1);
	user_leave(&a);
	user_leave(&b);
}
END_TEST

START_TEST(a_free_object_is_there_or_its_name_is_anothers)
{
	struct user a;
	struct tfree one, same, other;
	size_t len;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	free_start(&one, &a, 1, 7);
	(void)sim_run(sim);
	free_start(&same, &a, 1, 7);
	free_start(&other, &a, 1, 8);
	(void)sim_run(sim);
	ck_assert_int_eq(one.err, 0);
	ck_assert_int_eq(same.err, 0);
	ck_assert_int_eq(other.err, -EEXIST);
	ck_assert_ptr_nonnull(sim_store_find(sim, one.put.key, &len));
	ck_assert_uint_eq(len, 138);
	ck_assert_uint_eq(a.fenced, 0);
	user_leave(&a);
}
END_TEST

START_TEST(cancelling_ends_what_waits_for_a_store_that_is_away)
{
	struct user a;
	struct tput t[8];
	struct tfree f;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	sim_store_away(sim, true);
	for (unsigned i = 0; i < 8; i++) {
		put_prepare(&t[i], &a, OBJECT_DATA, 1);
		put_start(&t[i]);
	}
	free_start(&f, &a, 1, 7);
	(void)sim_run_steps(sim, 40);
	ck_assert_int_eq(t[0].err, 1);
	user_leave(&a);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(t[i].err, LSVD_E_SHUTDOWN);
		ck_assert_uint_eq(t[i].order, i + 1);
	}
	ck_assert_int_eq(f.err, LSVD_E_SHUTDOWN);
	ck_assert_uint_eq(a.fenced, 0);
}
END_TEST

/* ---------------------------------------------------------------------------------------- looks */

START_TEST(a_claim_that_names_an_older_epoch_is_passed_over)
{
	uint64_t before;
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	claim(2, 1);
	claim(3, 1);
	look_now(&a, 0);
	before = stats_now().heads;
	look_now(&a, 0);
	ck_assert_uint_eq(stats_now().heads - before, 1);
	put_many(&a, 1);
	ck_assert_uint_eq(a.fenced, 0);
	claim(4, 2);
	look_now(&a, LSVD_E_FENCED);
	ck_assert_uint_eq(a.fenced, 1);
	user_leave(&a);
}
END_TEST

/* Of a deletion, or of a writer that knew nothing of the rule. */
START_TEST(a_claim_that_names_no_epoch_binds_everybody)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	claim(2, 0);
	look_now(&a, LSVD_E_FENCED);
	user_leave(&a);
}
END_TEST

/* Whoever cannot tell what a claim says does not go on as if it said nothing. */
START_TEST(a_claim_that_does_not_verify_is_read_again_and_then_binds)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	claim(2, 1);
	memset(&damage, 0, sizeof damage);
	lsvd_key_claim(damage.key, &volume, 2);
	damage.times = 1;
	sim_store_watch(sim, damage_answers, NULL);
	look_now(&a, 0);
	claim(3, 1);
	memset(&damage, 0, sizeof damage);
	lsvd_key_claim(damage.key, &volume, 3);
	damage.times = 2;
	look_now(&a, LSVD_E_FENCED);
	sim_store_watch(sim, NULL, NULL);
	user_leave(&a);
}
END_TEST

START_TEST(a_look_that_comes_late_gets_a_request_of_its_own)
{
	struct user a;
	struct tlook l[4];
	uint64_t before;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	before = stats_now().heads;
	look_start(&l[0], &a);
	look_start(&l[1], &a);
	look_start(&l[2], &a);
	look_start(&l[3], &a);
	(void)sim_run(sim);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(l[i].err, 0);
	ck_assert_uint_eq(stats_now().heads - before, 2);
	user_leave(&a);
}
END_TEST

START_TEST(a_look_finds_a_newer_claim_or_says_that_it_cannot_tell)
{
	struct user a, b;
	struct tlook one, two, three;

	user_init(&a, "a");
	user_init(&b, "b");
	b.options.accept_rollback = true;
	ck_assert_ok(user_open(&a));
	sim_store_away(sim, true);
	look_start(&one, &a);
	(void)sim_run(sim);
	ck_assert_int_eq(one.err, LSVD_E_UNAVAILABLE);
	ck_assert_uint_eq(a.fenced, 0);
	sim_store_away(sim, false);
	ck_assert_ok(user_open(&b));
	look_start(&two, &a);
	look_start(&three, &a);
	(void)sim_run(sim);
	ck_assert_int_eq(two.err, LSVD_E_FENCED);
	ck_assert_int_eq(three.err, LSVD_E_FENCED);
	ck_assert_uint_eq(a.fenced, 1);
	user_leave(&a);
	user_leave(&b);
}
END_TEST

/* ------------------------------------------------------------------------------------- deletion */

struct tdelete {
	struct log_delete d;
	struct log_victim victims[256];
	int err;
};

static void deleted(struct log_delete *d, int err)
{
	struct tdelete *t = d->owner;

	ck_assert_int_eq(t->err, 1);
	t->err = err;
}

/* All of a chain but what is named, up to the newest acknowledged. */
static void delete_start(struct tdelete *t, struct user *u, uint64_t epoch, uint64_t last)
{
	memset(t, 0, sizeof *t);
	t->err = 1;
	for (uint64_t seq = 1; seq <= last; seq++)
		t->victims[t->d.count++] = (struct log_victim){ KEY_CHAIN, epoch, seq, false };
	t->d.victims = t->victims;
	t->d.seq = lsvd_log_acked_seq(u->log);
	t->d.done = deleted;
	t->d.owner = t;
	lsvd_port_enter(&u->port);
	lsvd_log_delete(u->log, &t->d);
	ck_assert_int_eq(t->err, 1);
	lsvd_port_leave(&u->port, true);
}

static unsigned chain_count(uint64_t epoch)
{
	unsigned n = 0;

	for (uint64_t seq = 1; seq < 256; seq++)
		n += chain_has(epoch, seq);
	return n;
}

START_TEST(only_what_lies_before_the_newest_anchors_place_is_deleted)
{
	static struct tdelete t;
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 40);
	delete_start(&t, &a, 1, 41);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, 0);
	ck_assert_uint_eq(chain_count(1), 41);
	put_many(&a, 100); /* up to 143, with anchors at 64 and 128 */
	delete_start(&t, &a, 1, 143);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, 0);
	for (uint64_t seq = 1; seq <= 143; seq++) {
		ck_assert(chain_has(1, seq) == (seq == 1 || seq == 64 || seq >= 127));
		ck_assert(t.victims[seq - 1].gone == !chain_has(1, seq));
	}
	user_leave(&a);
	/* Of an epoch that has ended all of it. */
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.base_seq, 143);
	delete_start(&t, &a, 1, 143);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, 0);
	ck_assert_uint_eq(chain_count(1), 1 + 2 + 1); /* base, anchors, fence */
	user_leave(&a);
}
END_TEST

START_TEST(nothing_is_deleted_once_there_is_a_newer_claim)
{
	static struct tdelete t;
	struct user a, b;

	user_init(&a, "a");
	user_init(&b, "b");
	b.options.accept_rollback = true;
	ck_assert_ok(user_open(&a));
	put_many(&a, 140);
	sim_store_away(sim, true);
	delete_start(&t, &a, 1, 100);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, LSVD_E_UNAVAILABLE);
	sim_store_away(sim, false);
	ck_assert_ok(user_open(&b));
	delete_start(&t, &a, 1, 100);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, LSVD_E_FENCED);
	ck_assert_uint_eq(stats_now().removes, 0);
	ck_assert_uint_eq(a.fenced, 1);
	user_leave(&a);
	user_leave(&b);
}
END_TEST

START_TEST(a_deletion_outlives_failures_and_ends_when_it_is_cancelled)
{
	static struct tdelete t;
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 140);
	sim_set_rates(sim, &(struct sim_options){ .fail_before = 300, .fail_after = 300 });
	do {
		delete_start(&t, &a, 1, 60);
		(void)sim_run(sim);
	} while (t.err == LSVD_E_UNAVAILABLE); /* it could not look */
	ck_assert_int_eq(t.err, 0);
	for (unsigned i = 1; i < 60; i++)
		ck_assert(t.victims[i].gone);
	sim_set_rates(sim, &(struct sim_options){ .seed = 0 });
	delete_start(&t, &a, 1, 120);
	while (!lsvd_log_looked_ms(a.log) || !t.d.out)
		(void)sim_step(sim);
	user_leave(&a);
	ck_assert_int_eq(t.err, LSVD_E_SHUTDOWN);
}
END_TEST

/* -------------------------------------------------------------------------------------- records */

/* A note with a record of each type given, of so many bytes that say the type. */
static void put_note(struct user *u, unsigned n, const unsigned *types, unsigned flags,
		     uint32_t len)
{
	uint8_t note[4096] = { 0 };
	struct tput t;

	put_prepare(&t, u, OBJECT_NOTE, 0);
	t.put.note = note;
	for (unsigned i = 0; i < n; i++) {
		uint8_t *at = note + LOG_NOTE_RECORDS_AT + t.put.record_bytes;

		memset(at + RECORD_HEAD_BYTES, (int)types[i], len);
		t.put.record_bytes += lsvd_record_frame(at, (int)types[i], flags, len);
		t.put.record_count++;
	}
	put_start(&t);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, 0);
}

START_TEST(records_come_back_in_order_with_their_object)
{
	static const unsigned types[] = { 1, 3, 2, 17 };
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 2);
	put_note(&a, 4, types, 0, 13);
	put_note(&a, 0, types, 0, 0);
	put_many(&a, 1);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.last_op, 3);
	ck_assert_ok(user_recover(&a));
	ck_assert_uint_eq(a.records, 4);
	ck_assert_uint_eq(a.record_bytes, 4 * 13);
	ck_assert_uint_eq(a.replays, 3);
	user_leave(&a);
}
END_TEST

START_TEST(an_unknown_record_is_passed_over_only_if_it_says_so)
{
	static const unsigned type = 99;
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_note(&a, 1, &type, RECORD_OPTIONAL, 20);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert_ok(user_recover(&a));
	put_note(&a, 1, &type, 0, 20);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert_err(user_recover(&a), LSVD_E_VERSION);
	ck_assert_error_says("type 99");
	user_leave(&a);
}
END_TEST

START_TEST(every_64th_object_is_an_anchor_that_the_log_puts)
{
	struct user a;
	struct object_head head;
	struct chain_part chain;
	char key[KEY_CAP];
	size_t len;
	const uint8_t *bytes;

	user_init(&a, "a");
	a.options.put_window = 64;
	ck_assert_ok(user_open(&a));
	put_many(&a, 62);
	ck_assert(!chain_has(1, 64)); /* there is no need yet */
	put_many(&a, 64);
	for (uint64_t seq = 64; seq <= 128; seq += 64) {
		chain_key(key, 1, seq);
		bytes = sim_store_find(sim, key, &len);
		ck_assert_ptr_nonnull(bytes);
		ck_assert_ok(lsvd_object_head_decode(&head, bytes, len, key));
		ck_assert_uint_eq(head.kind, OBJECT_NOTE);
		ck_assert_ok(lsvd_chain_part_decode(&chain, bytes, &head, key));
		ck_assert_uint_eq(chain.acked_seq, seq - 1);
		ck_assert_uint_eq(chain.last_op, seq == 64 ? 62 : 125);
	}
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert_ok(user_recover(&a));
	ck_assert_uint_eq(a.replays, 126);
	user_leave(&a);
}
END_TEST

/* ------------------------------------------------------------------------------------- recovery */

/* A root at (epoch, seq): what this file knows of it is where it stands. */
static struct root_ref put_root(uint64_t epoch, uint64_t number, uint64_t at_epoch, uint64_t at_seq)
{
	uint8_t bytes[160] = { 0 };
	struct object_head head = { .kind = OBJECT_ROOT, .header_bytes = 160, .volume = volume,
				    .epoch = epoch, .seq = number };
	char key[KEY_CAP];

	memcpy(bytes + OBJECT_HEAD_BYTES, &at_epoch, 8);
	memcpy(bytes + OBJECT_HEAD_BYTES + 8, &at_seq, 8);
	lsvd_object_head_encode(bytes, &head);
	lsvd_key_root(key, &volume, epoch, number);
	sim_store_put(sim, key, bytes, sizeof bytes);
	return (struct root_ref){ .epoch = epoch, .number = number };
}

static void set_root(struct user *u, struct root_ref root)
{
	lsvd_port_enter(&u->port);
	(void)lsvd_log_set_root(u->log, root);
	lsvd_port_leave(&u->port, true);
}

START_TEST(recovery_replays_all_epochs_in_order)
{
	struct user a;

	user_init(&a, "a");
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_ok(user_open(&a));
		put_many(&a, 40);
		user_leave(&a);
	}
	ck_assert_ok(user_open(&a));
	ck_assert_ok(user_recover(&a));
	ck_assert_uint_eq(a.roots, 0);
	ck_assert_uint_eq(a.replays, 160);
	for (uint64_t i = 0; i < 160; i++)
		ck_assert_uint_eq(a.replayed[i], i + 1);
	ck_assert_uint_eq(a.extents, 160);
	user_leave(&a);
}
END_TEST

START_TEST(recovery_begins_behind_the_newest_root)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 10);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	set_root(&a, put_root(2, 1, 1, 6));
	put_many(&a, 3);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert_uint_eq(a.opened.root.epoch, 2);
	ck_assert_ok(user_recover(&a));
	ck_assert_uint_eq(a.roots, 1);
	ck_assert_uint_eq(a.replays, 5 + 3);
	ck_assert_uint_eq(a.replayed[0], 6);
	ck_assert_uint_eq(a.replayed[7], 13);
	set_root(&a, put_root(3, 1, 2, 4)); /* at the very end of what was acknowledged then */
	put_many(&a, 1);
	user_leave(&a);
	a.replays = 0;
	ck_assert_ok(user_open(&a));
	ck_assert_ok(user_recover(&a));
	ck_assert_uint_eq(a.replays, 1);
	user_leave(&a);
}
END_TEST

START_TEST(a_root_that_is_astray_or_missing_is_corruption)
{
	struct user a;
	struct root_ref root;
	char key[KEY_CAP];

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 2);
	root = put_root(1, 1, 1, 77);
	set_root(&a, root);
	put_many(&a, 1);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert_err(user_recover(&a), LSVD_E_CORRUPT);
	ck_assert_error_says("not part of the history");
	user_leave(&a);
	lsvd_key_root(key, &volume, root.epoch, root.number);
	sim_store_remove(sim, key);
	a.options.cache.last_op = 3;
	ck_assert_ok(user_open(&a));
	ck_assert_err(user_recover(&a), LSVD_E_CORRUPT);
	ck_assert_error_says("missing");
	user_leave(&a);
}
END_TEST

START_TEST(a_missing_object_in_the_middle_is_corruption)
{
	struct user a;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_many(&a, 10);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	chain_remove(1, 5);
	ck_assert_err(user_recover(&a), LSVD_E_CORRUPT);
	ck_assert_error_says("object 5 of epoch 1 is missing");
	user_leave(&a);
}
END_TEST

START_TEST(a_header_longer_than_the_first_read_is_read_whole)
{
	struct user a;
	struct tput t;

	user_init(&a, "a");
	ck_assert_ok(user_open(&a));
	put_prepare(&t, &a, OBJECT_DATA, 20000);
	ck_assert_uint_gt(t.put.segment->header_bytes, 65536);
	put_start(&t);
	(void)sim_run(sim);
	ck_assert_int_eq(t.err, 0);
	user_leave(&a);
	ck_assert_ok(user_open(&a));
	ck_assert_ok(user_recover(&a));
	ck_assert_uint_eq(a.extents, 20000);
	user_leave(&a);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("log");
	TCase *c = tcase_create("open");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, the_first_open_takes_epoch_1_from_nothing);
	tcase_add_test(c, the_same_host_goes_on_with_its_cache);
	tcase_add_test(c, a_refused_opener_leaves_nothing_behind);
	tcase_add_test(c, a_reader_puts_nothing_and_sees_the_end);
	tcase_add_test(c, a_closed_chain_is_open_to_anybody);
	tcase_add_test(c, takeover_suffices_only_after_a_writer_that_flushed_to_the_store);
	tcase_add_test(c, a_cache_with_what_was_never_stored_is_not_thrown_away);
	tcase_add_test(c, a_cache_of_another_history_is_foreign);
	tcase_add_test(c, a_cache_that_ends_before_the_store_was_rolled_back);
	tcase_add_test(c, an_image_of_the_cache_from_an_earlier_epoch_is_not_current);
	tcase_add_test(c, a_claim_that_came_to_nothing_makes_no_cache_old);
	tcase_add_test(c, an_epoch_that_was_outrun_is_never_activated);
	tcase_add_test(c, an_opener_that_was_outrun_is_told_and_leaves_it_to_the_other);
	tcase_add_test(c, an_opener_that_finds_another_activated_decides_anew);
	tcase_add_test(c, many_claims_are_counted_with_few_requests);
	tcase_add_test(c, a_store_that_is_away_fails_the_open_after_some_seconds);
	tcase_add_loop_test(c, what_a_person_has_to_mend_fails_the_open_at_once, 0, 2);
	tcase_add_test(c, an_open_outlives_failures_before_and_after_their_effect);
	tcase_add_test(c, no_memory_at_any_point_of_an_open_is_an_error_and_no_leak);
	tcase_add_test(c, a_restart_takes_few_round_trips);
	tcase_add_test(c, an_open_without_the_cache_takes_few_round_trips);
	suite_add_tcase(s, c);

	c = tcase_create("end");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, the_end_of_a_long_chain_is_found_with_few_requests);
	tcase_add_test(c, deleted_objects_do_not_hide_the_end);
	tcase_add_test(c, what_lies_behind_a_hole_is_not_part_of_the_chain);
	tcase_add_test(c, a_fence_may_stand_in_an_anchors_place);
	tcase_add_test(c, a_damaged_header_is_named_and_nothing_is_claimed);
	tcase_add_loop_test(c, a_part_of_an_object_at_the_end_is_as_good_as_none, 0, 4);
	tcase_add_test(c, a_reader_that_is_overtaken_by_deletions_finds_the_end);
	tcase_add_loop_test(c, a_part_of_an_epochs_first_object_is_no_fence, 0, 3);
	tcase_add_loop_test(c, a_part_of_an_object_that_was_acknowledged_is_damage, 0, 2);
	tcase_add_test(c, a_header_that_does_not_verify_is_asked_for_once_more);
	suite_add_tcase(s, c);

	c = tcase_create("puts");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, puts_start_and_end_in_order_whatever_order_they_come_in);
	tcase_add_test(c, no_more_than_the_window_are_in_the_world);
	tcase_add_test(c, an_outage_of_an_hour_costs_few_requests_and_ends_by_itself);
	tcase_add_test(c, however_many_wait_a_long_outage_asks_once_a_pause);
	tcase_add_test(c, a_store_that_is_back_is_noticed_at_once_by_whoever_is_told);
	tcase_add_test(c, one_object_that_gets_through_wakes_the_others);
	tcase_add_loop_test(c, what_a_person_has_to_mend_is_asked_for_slowly_and_drains_by_itself,
			    0, 4);
	tcase_add_test(c, a_full_store_is_waited_out_like_an_outage_and_called_full);
	tcase_add_test(c, a_worse_reason_is_told_and_a_better_one_is_not);
	tcase_add_test(c, a_lost_answer_is_no_fence);
	tcase_add_test(c, a_damaged_answer_about_who_has_a_name_is_no_fence);
	tcase_add_test(c, a_part_of_an_object_that_grows_whole_is_waited_for);
	tcase_add_test(c, a_part_of_an_object_that_stays_ends_the_epoch_as_damage);
	tcase_add_test(c, the_second_writer_fences_the_first);
	tcase_add_test(c, a_free_object_is_there_or_its_name_is_anothers);
	tcase_add_test(c, cancelling_ends_what_waits_for_a_store_that_is_away);
	suite_add_tcase(s, c);

	c = tcase_create("looks");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, a_look_that_comes_late_gets_a_request_of_its_own);
	tcase_add_test(c, a_claim_that_names_an_older_epoch_is_passed_over);
	tcase_add_test(c, a_claim_that_names_no_epoch_binds_everybody);
	tcase_add_test(c, a_claim_that_does_not_verify_is_read_again_and_then_binds);
	tcase_add_test(c, a_look_finds_a_newer_claim_or_says_that_it_cannot_tell);
	suite_add_tcase(s, c);

	c = tcase_create("deletion");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, only_what_lies_before_the_newest_anchors_place_is_deleted);
	tcase_add_test(c, nothing_is_deleted_once_there_is_a_newer_claim);
	tcase_add_test(c, a_deletion_outlives_failures_and_ends_when_it_is_cancelled);
	suite_add_tcase(s, c);

	c = tcase_create("records");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, records_come_back_in_order_with_their_object);
	tcase_add_test(c, an_unknown_record_is_passed_over_only_if_it_says_so);
	tcase_add_test(c, every_64th_object_is_an_anchor_that_the_log_puts);
	suite_add_tcase(s, c);

	c = tcase_create("recovery");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, recovery_replays_all_epochs_in_order);
	tcase_add_test(c, recovery_begins_behind_the_newest_root);
	tcase_add_test(c, a_root_that_is_astray_or_missing_is_corruption);
	tcase_add_test(c, a_missing_object_in_the_middle_is_corruption);
	tcase_add_test(c, a_header_longer_than_the_first_read_is_read_whole);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
