/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tester_judge.c - what a crash has left: opened (also without the store, or with rot in the log),
 * checked, compared with the model, and written to again.
 */
#include "tester.h"

#include "volume/vol_check.h"

/* Is there anything to find? A volume whose creation was not acknowledged need not be there. */
bool exists(struct tester *t)
{
	char key[32];
	size_t len;

	(void)snprintf(key, sizeof key, "volumes/%s", t->name); /* fits */
	return sim_store_find(t->sim, key, &len) != NULL;
}

/* What was found must be one prefix, and long enough. */
bool check_recovered(struct tester *t)
{
	uint32_t least = least_allowed(t), k = UINT32_MAX;
	struct lsvd_stats stats = LSVD_STATS_INIT;

	if (!read_image(t))
		return false;
	if (lsvd_volume_stats(t->volume, &stats) == 0)
		k = (uint32_t)stats.last_op + t->m.inherited;
	if (k < least || k > t->m.issued) {
		complain(t, "recovered up to operation %u, expected %u to %u", k,
			 least, t->m.issued);
		return false;
	}
	settle_rollback(t, k);
	if (distance(t, k, false)) {
		explain(t, k);
		return false;
	}
	lsvd_vol_check_parts(t->volume);
	cut_history(t, k);
	return true;
}

/* ---- without the store */

/* Only data can be read, so that the volume can be compared; a PUT that comes now is a ghost's. */
static int only_data(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
		     const uint8_t *bytes, size_t len)
{
	(void)ctx, (void)h, (void)bytes, (void)len;
	return kind == IO_GET && (strstr(key, "/d/") || strstr(key, "/f/")) ? SIM_AS_USUAL
									    : LSVD_E_UNAVAILABLE;
}

/* False: it is not open; that is right only as long as there never was a mirror. */
static bool open_offline(struct tester *t)
{
	struct lsvd_volume_options o = options_of(t, LSVD_OPEN_OFFLINE);
	int err;

	sim_store_watch(t->sim, only_data, NULL);
	err = lsvd_volume_open_world(&t->volume, sim_host_world(t->host), "v", &o);
	t->offline = err == 0;
	t->offline_opens += err == 0;
	if (!err) /* it may not know yet of another size */
		t->chunks = (uint32_t)min_u64(chunks_of(t->volume),
					      min_u64(t->m.chunks,
						      t->m.chunks_maybe ? t->m.chunks_maybe
										     : CHUNKS));
	if (err)
		sim_store_watch(t->sim, NULL, NULL);
	if (err && (err != LSVD_E_UNAVAILABLE || (t->m.mirrored && !t->m.unlucky)))
		complain(t, "open offline: %s: %s", lsvd_error_name(err), lsvd_last_error());
	return err == 0;
}

static void close_offline(struct tester *t)
{
	int err;

	wait_all(t);
	err = lsvd_volume_close(t->volume, 0);
	t->volume = NULL;
	if (err != 0 && err != 1)
		complain(t, "close offline: %d", err);
	if (!t->remote && !t->unseen) /* else what is flushed has to be in the store */
		t->m.flushed = t->m.acked;
	t->offline = t->unseen = false;
	sim_store_watch(t->sim, NULL, NULL);
}

/* Opened offline, looked at, written to. */
static bool offline_life(struct tester *t, uint32_t ops)
{
	if (!open_offline(t))
		return false;
	t->unseen = !check_recovered(t);
	if (t->unseen)
		return true;
	for (uint32_t i = 0; i < ops && t->m.issued < OPS_MAX && !t->failed; i++)
		submit_one(t);
	wait_all(t);
	if (!t->failed && !t->remote && lsvd_volume_flush(t->volume) < 0)
		complain(t, "flush offline: %s", lsvd_last_error());
	if (!t->failed && !t->remote)
		t->m.flushed = t->m.acked;
	if (!t->failed)
		check_now(t);
	return true;
}

/* A visit between a crash and the next ordinary open. */
static void maybe_offline(struct tester *t)
{
	if (t->bound == BY_STORE || t->hard || t->m.rotten || below(t, 3))
		return; /* a mirror that was cut short by the crash need not have what is rotten */
	if (offline_life(t, 3) && !t->failed) {
		bool seen = !t->unseen;

		close_offline(t);
		t->bound = seen ? BY_ACK : t->bound;
	}
}

/* ---- rot in the local log */

static bool group_at(const uint8_t *log, uint64_t block, struct wal_group_head *h)
{
	const uint8_t *p = log + block * BLOCK_BYTES;
	uint64_t pos = le64_get(p + 8);

	return pos % LOG_BYTES == block * BLOCK_BYTES && lsvd_wal_group_peek(h, p, pos);
}

/*
 * Where the newest group ends. What begins a ring before that may have been written over in part.
 */
static uint64_t newest_end(const uint8_t *log)
{
	struct wal_group_head h;
	uint64_t end = 0;

	for (unsigned i = 0; i < LOG_BYTES / BLOCK_BYTES; i++)
		if (group_at(log, i, &h))
			end = max_u64(end, h.pos + h.header_bytes + h.data_bytes);
	return end;
}

/*
 * Is there a group at the block whose operations the store has all? Its length, or 0. Not the
 * newest of them: a log that ends before the store does looks like an old copy, and is refused as
 * one.
 */
static uint32_t stored_group(const struct tester *t, const uint8_t *log, uint64_t block)
{
	struct wal_group_head h;

	if (!group_at(log, block, &h) || !h.records || h.pos + LOG_BYTES < newest_end(log) ||
	    h.first_op + h.records - 1 >= t->m.stored)
		return 0;
	return h.header_bytes + h.data_bytes;
}

/* A byte is altered of something that the store has: nothing may be lost by that. */
static void maybe_rot(struct tester *t)
{
	static uint8_t log[LOG_BYTES];
	uint64_t block = below(t, LOG_BYTES / BLOCK_BYTES), off;
	uint32_t len = 0;

	if (t->bound == BY_STORE || t->hard || below(t, 3) ||
	    sim_file_read(t->host, "v.log", WAL_RING_START, log, sizeof log) < 0)
		return;
	for (unsigned i = 0; i < LOG_BYTES / BLOCK_BYTES && !len; i++) {
		block = (block + 1) % (LOG_BYTES / BLOCK_BYTES);
		len = stored_group(t, log, block);
	}
	if (!len)
		return;
	off = block * BLOCK_BYTES + min_u64(below(t, 2) * below(t, len) + below(t, 90), len - 1);
	log[off] ^= 0x40;
	if (sim_file_poke(t->host, "v.log", WAL_RING_START + off, log + off, 1) == 0) {
		t->m.rotten = true;
		t->rots++;
	}
}

/* ---- what the store has is whole, also before anybody has opened it */

#define FINDING_BYTES 300u

/* ---- what the store has is whole, also before anybody has opened it */
static void first_finding(void *ctx, const struct lsvd_check_finding *f)
{
	char *text = ctx;

	if (f->severity >= LSVD_CHECK_WARNING && !*text)
		(void)snprintf(text, FINDING_BYTES, "%s: %s", f->object, f->text);
}

/*
 * Sometimes a late request of the host that died changes the store meanwhile:
 * then it may be anything.
 */
void check_store(struct tester *t, struct sim_host *host)
{
	struct lsvd_check_options o = LSVD_CHECK_OPTIONS_INIT;
	struct lsvd_check_report r = LSVD_CHECK_REPORT_INIT;
	char text[FINDING_BYTES] = "";
	int err;

	o.flags = LSVD_CHECK_DEEP;
	err = lsvd_volume_check_world(sim_host_world(host), t->name, &o, &r);
	if (!err && r.errors + r.warnings) {
		o.finding = first_finding;
		o.ctx = text;
		err = lsvd_volume_check_world(sim_host_world(host), t->name, &o, &r);
	}
	if (!err && *text)
		complain(t, "check: %s", text);
	t->checks += !err;
	if (err && err != -EBUSY && err != LSVD_E_UNAVAILABLE && err != -ENOMEM)
		complain(t, "check: %s: %s", lsvd_error_name(err), lsvd_last_error());
}

/* ---- clones, after a crash */

/* A clone that was being made is there, or not. What was lost is lost to clones, too. */
void settle_clones(struct tester *t)
{
	for (unsigned i = 0; i < CLONES; i++) {
		t->heirs[i].bound = t->bound;
		t->heirs[i].hard = HARD_NOTHING;
		if (t->m.clones[i].state == CLONE_MAKING && exists(heir_of(t, i)))
			t->m.clones[i].state = CLONE_THERE;
	}
}

static void recover_clone(struct tester *h, struct sim_host *host)
{
	if (!open_volume(h, host, h->bound == BY_STORE ? LSVD_OPEN_ACCEPT_ROLLBACK : 0))
		return;
	if (!check_recovered(h))
		return;
	check_snapshots(h, host);
	for (unsigned i = 0; i < 2 && h->m.issued < OPS_MAX && !h->failed; i++)
		submit_one(h);
	check_now(h);
	if (!h->failed)
		close_volume(h);
}

static void recover_clones(struct tester *t, struct sim_host *host, bool check)
{
	for (unsigned i = 0; i < CLONES && !t->failed; i++) {
		struct tester *h = heir_of(t, i);

		if (t->m.clones[i].state != CLONE_THERE)
			continue;
		if (check)
			check_store(h, host);
		if (!t->failed && below(t, 2))
			recover_clone(h, host);
	}
}

static void recover(void *arg)
{
	struct tester *t = arg;
	struct sim_host *host = t->bound == BY_STORE ? t->other : t->host;
	bool check = t->states % CHECK_EVERY == 0;

	t->finished = true;
	if (!exists(t)) {
		if (t->m.issued)
			complain(t, "the volume is gone");
		return;
	}
	t->finished = false;
	settle_clones(t);
	if (check)
		check_store(t, host);
	if (t->failed)
		return;
	maybe_offline(t);
	if (t->failed)
		return;
	maybe_rot(t);
	if (!open_volume(t, host, t->bound == BY_STORE ? LSVD_OPEN_ACCEPT_ROLLBACK : 0))
		return;
	if (!check_recovered(t))
		return;
	check_snapshots(t, host);
	if (!t->failed)
		recover_clones(t, host, check);
	t->finished = !t->failed;
}

/* After recovery: more of the workload, on top of the prefix that was found. */
void next_life(void *arg)
{
	struct tester *t = arg;

	if (exists(t) && !t->m.rotten && below(t, 3) == 0 && offline_life(t, 1 + below(t, 12))) {
		if (!t->failed && below(t, 2))
			close_offline(t);
		t->finished = true;
		return;
	}
	if (t->failed)
		return;
	recover(t);
	if (t->failed || !t->volume)
		return;
	t->finished = false;
	work(t);
	if (!t->failed && below(t, 2))
		close_volume(t);
	t->finished = true;
}

/* A round trip, so that a state that reads well but cannot go on is found too. */
void recover_and_write(void *arg)
{
	struct tester *t = arg;

	recover(t);
	if (t->failed || !t->volume)
		return;
	t->finished = false;
	for (unsigned i = 0; i < 3 && t->m.issued < OPS_MAX; i++)
		submit_one(t);
	wait_all(t);
	if (lsvd_volume_flush(t->volume) < 0)
		complain(t, "flush after recovery: %s", lsvd_last_error());
	check_now(t);
	t->finished = true;
}

/* A failed log, a fenced writer: reads go on, and show what was acknowledged or was in flight. */
void check_broken(struct tester *t)
{
	struct lsvd_stats stats = LSVD_STATS_INIT;

	bool whole;

	wait_all(t);
	whole = read_image(t);
	if (t->failed)
		return;
	if (lsvd_volume_stats(t->volume, &stats) < 0 || stats.last_op < t->m.acked ||
	    stats.last_op > t->m.issued)
		complain(t, "after a failure the volume shows operation %" PRIu64, stats.last_op);
	else if (whole && distance(t, (uint32_t)stats.last_op, false))
		explain(t, (uint32_t)stats.last_op);
	if (!t->failed && lsvd_volume_flush(t->volume) != final_error(t))
		complain(t, "a flush after a failure was acknowledged");
	if (!t->failed && lsvd_volume_close(t->volume, 0) != final_error(t))
		complain(t, "a close after a failure says that nothing is wrong");
	t->volume = NULL;
}
