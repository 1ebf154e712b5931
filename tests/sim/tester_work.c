/* SPDX-License-Identifier: BSD-2-Clause */
/* tester_work.c - workloads: what an operator does, what is done beside writes, and lives. */
#include "tester.h"

#include "volume/vol_clone.h"

/* What may fail as anything else here; nothing is promised by it. */
void collect(struct tester *t)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;

	o.percent = 100 + (t->scripted ? 0 : below(t, 80));
	o.timeout_ms = 1 + below(t, 60000);
	o.flags = below(t, 2) ? LSVD_COLLECT_ORPHANS : 0;
	if (!t->scripted && below(t, 4) == 0)
		(void)!lsvd_volume_gc_control(t->volume, LSVD_GC_PAUSE + below(t, 3));
	else
		(void)!lsvd_volume_collect(t->volume, &o, NULL);
}

void checkpoint(struct tester *t)
{
	(void)!lsvd_volume_checkpoint(t->volume, 1 + below(t, 60000));
}

static void run_errand(void *arg)
{
	struct tester *t = arg;

	switch (t->errand) {
	case ERRAND_COLLECT:
		collect(t);
		break;
	case ERRAND_SNAPSHOT:
		change_snapshot(t);
		break;
	case ERRAND_CLONE:
		make_clone(t);
		break;
	case ERRAND_DELETE_CLONE:
		delete_clone(t);
		break;
	case ERRAND_DELETE_BASE:
		try_to_delete_base(t);
		break;
	default:
		checkpoint(t);
	}
	t->errand = ERRAND_NONE;
}

static bool clones_bear_it(const struct tester *t)
{
	return !t->hard || t->hard == HARD_MEMORY || t->hard == HARD_OUTAGE;
}

/* By the operator, if he has nothing else to do; what is laid down is done in any case. */
static void send_operator(struct tester *t, enum errand errand)
{
	if (t->scripted) {
		wait_for_operator(t);
		wait_for_heirs(t);
	}
	if (t->errand ||
	    (!clones_bear_it(t) && errand >= ERRAND_CLONE && errand <= ERRAND_DELETE_BASE))
		return;
	t->errand = errand;
	sim_spawn(t->host, run_errand, t);
}

/* A failure that is to come soon. */
static void arm_hardship(struct tester *t)
{
	t->m.unlucky = true;
	if (t->hard == HARD_MEMORY)
		sim_host_fail_alloc(t->host, 1 + below(t, 60), 1 + below(t, 8));
	else if (t->hard == HARD_DISK && below(t, 2))
		sim_host_fail_write(t->host, 1 + below(t, 20));
	else if (t->hard == HARD_DISK)
		sim_host_fail_sync(t->host, 1 + below(t, 6));
}

/* By chance: one of these, of so many DEEDS of which the rest are writes. */
#define DEEDS 64u
static const uint8_t usual_deeds[] = {
	DEED_LOOK, DEED_SEAL, DEED_PAUSE, DEED_REOPEN, DEED_COLLECT, DEED_SNAPSHOT, DEED_SNAPSHOT,
	DEED_SNAPSHOT, DEED_READ_SNAPSHOT, DEED_RESIZE, DEED_CLONE, DEED_CLONE, DEED_CLONE,
	DEED_READ_CLONE, DEED_VISIT, DEED_VISIT, DEED_DELETE_CLONE, DEED_DELETE_BASE,
	DEED_CHECKPOINT, DEED_ROLLBACK,
};

static uint32_t some_deed(struct tester *t)
{
	uint32_t i = below(t, DEEDS);

	return i < sizeof usual_deeds ? usual_deeds[i] : DEED_WRITE;
}

/* All of it once, in an order in which each has to do with the one before. */
static const uint8_t script[] = {
	DEED_WRITE, DEED_WRITE, DEED_WRITE, DEED_SNAPSHOT, DEED_WRITE, DEED_WRITE, DEED_CLONE,
	DEED_WRITE, DEED_WRITE, DEED_VISIT, DEED_WRITE, DEED_WRITE, DEED_DELETE_BASE, DEED_WRITE,
	DEED_COLLECT, DEED_WRITE, DEED_WRITE, DEED_WRITE, DEED_CHECKPOINT, DEED_WRITE,
	DEED_SNAPSHOT /* is needed */, DEED_WRITE, DEED_CLONE /* of the clone */, DEED_WRITE,
	DEED_WRITE, DEED_COLLECT, DEED_RESIZE, DEED_WRITE, DEED_DELETE_CLONE /* is needed */,
	DEED_WRITE, DEED_DELETE_BASE /* is needed */, DEED_WRITE, DEED_FLATTEN, DEED_WRITE,
	DEED_DELETE_CLONE, DEED_WRITE, DEED_DELETE_CLONE, DEED_WRITE, DEED_ROLLBACK, DEED_WRITE,
	DEED_WRITE, DEED_SNAPSHOT /* goes */, DEED_WRITE, DEED_WRITE,
	DEED_COLLECT, DEED_WRITE, DEED_WRITE, DEED_LOOK, DEED_REOPEN, DEED_WRITE,
};

/* False: the volume is of no more use. */
bool do_deed(struct tester *t, uint32_t what)
{
	switch (what) {
	case DEED_LOOK:
		check_now(t);
		return true;
	case DEED_SEAL:
		(void)lsvd_volume_seal(t->volume);
		return true;
	case DEED_PAUSE:
		sim_sleep(t->host, 50 + below(t, 1000));
		return true;
	case DEED_REOPEN:
		if (t->hard == HARD_RIVAL)
			break;
		close_volume(t);
		return !t->broken && open_volume(t, t->host, 0) && !t->broken;
	case DEED_COLLECT:
		send_operator(t, ERRAND_COLLECT);
		return true;
	case DEED_SNAPSHOT:
		send_operator(t, ERRAND_SNAPSHOT);
		return true;
	case DEED_READ_SNAPSHOT:
		if (!t->hard)
			check_snapshot_now(t);
		return true;
	case DEED_RESIZE:
		change_size(t);
		return true;
	case DEED_CLONE:
		send_operator(t, ERRAND_CLONE);
		return true;
	case DEED_READ_CLONE:
		if (!t->hard)
			read_clone(t);
		return true;
	case DEED_VISIT:
		if (clones_bear_it(t))
			visit_clone(t);
		return true;
	case DEED_FLATTEN:
		if (clones_bear_it(t))
			flatten_clone_of_clone(t);
		return true;
	case DEED_DELETE_CLONE:
		send_operator(t, ERRAND_DELETE_CLONE);
		return true;
	case DEED_DELETE_BASE:
		send_operator(t, ERRAND_DELETE_BASE);
		return true;
	case DEED_CHECKPOINT:
		send_operator(t, ERRAND_CHECKPOINT);
		return true;
	case DEED_ROLLBACK:
		roll_back(t);
		return !t->broken;
	default:
		break;
	}
	submit_one(t);
	return true;
}

/* A phase: some operations on an open volume, with a reopening, a look and a pause now and then. */
void work(struct tester *t)
{
	uint32_t stop = t->m.issued + t->ops_wanted, line = 0;
	bool goes_on = true;

	if (stop > OPS_MAX)
		stop = OPS_MAX;
	while (goes_on && t->m.issued < stop && !t->failed && !t->broken &&
	       !(t->scripted && line == sizeof script)) {
		if (t->hard && below(t, 10) == 0)
			arm_hardship(t);
		goes_on = do_deed(t, t->scripted ? script[line++] : some_deed(t));
	}
	wait_for_operator(t);
	wait_for_heirs(t);
	if (goes_on)
		check_now(t);
}

static int create(struct tester *t)
{
	const struct lsvd_lower lower = { "low", "s", 0 };
	struct world *w = sim_host_world(t->host);

	return t->over ? lsvd_volume_create_over_world(w, t->name, BYTES, &lower, 1)
		       : lsvd_volume_create_world(w, t->name, BYTES, NULL, NULL);
}

bool create_and_open(struct tester *t)
{
	int err = LSVD_E_UNAVAILABLE;
	unsigned tries = 0;

	for (; err == LSVD_E_UNAVAILABLE && tries < 50; tries++)
		err = create(t);
	if (err && !(err == -EEXIST && tries > 1)) /* an earlier try may have got through */
		complain(t, "create: %s: %s", lsvd_error_name(err), lsvd_last_error());
	return !t->failed && open_volume(t, t->host, 0);
}

void first_life(void *arg)
{
	struct tester *t = arg;

	if (create_and_open(t))
		work(t);
	if (!t->failed && t->volume && below(t, 2))
		close_volume(t);
	t->finished = true;
}

/* Before what is to be crashed: clones that chance would take long to come to. */
void found_family(void *arg)
{
	struct tester *t = arg;
	static const enum deed deeds[] = { DEED_WRITE, DEED_WRITE, DEED_WRITE, DEED_WRITE,
					   DEED_SNAPSHOT, DEED_WRITE, DEED_WRITE, DEED_CLONE,
					   DEED_VISIT };
	uint32_t ops = t->ops_wanted;

	t->ops_wanted = 0;
	first_life(t);
	t->finished = false;
	t->ops_wanted = ops;
	t->scripted = true;
	if (!t->failed && !t->volume)
		(void)open_volume(t, t->host, 0);
	for (unsigned i = 0; i < sizeof deeds / sizeof deeds[0] && !t->failed; i++)
		(void)do_deed(t, deeds[i]);
	t->scripted = false;
	wait_for_heirs(t);
	if (!t->failed)
		close_volume(t);
	t->finished = true;
}

void later_life(void *arg)
{
	struct tester *t = arg;

	if (open_volume(t, t->host, 0))
		work(t);
	if (!t->failed && t->volume && below(t, 2))
		close_volume(t);
	t->finished = true;
}
