/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lineage_take.c - who deletes a volume or a value log takes it away first, and may give it back.
 *
 * It is done by claims that nobody opens anything with: they have no cache, bind everybody, and
 * differ in their host. Claims are created only if absent, and so in one order for all: of two who
 * decide at the same time whoever gets the next number wins, and the other sees what it says.
 *
 *   TAKEN ---> GONE     for ever; only if all claims in between are of deletions. Then its name
 *     |                 goes, and after that its objects
 *     +------> KEPT     given back: who took it away has to begin anew
 *
 * Who takes a volume away looks then who needs it; who makes a clone enters it, and looks then
 * whether its base was taken away. So one of the two sees the other, as long as the look and GONE
 * have no KEPT between them.
 *
 * What is not GONE has its name. So there may be any number of deleters, and each may die
 * anywhere, or give back what another has taken: what is given back can be opened, and what is
 * left taken away can be deleted once more, by its name.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "log/lineage.h"

#define TAKEN "deleted"
#define GONE "deleted for good"
#define KEPT "not deleted"

static bool says(const struct fmt_claim *claim, const char *host)
{
	static const struct uuid no_cache;

	return strcmp(claim->host, host) == 0 && !claim->void_from &&
	       lsvd_uuid_equal(&claim->cache_id, &no_cache);
}

bool lsvd_claim_deletes(const struct fmt_claim *claim)
{
	return says(claim, TAKEN) || says(claim, GONE);
}

static int note_epoch(void *ctx, const struct lsvd_object_info *info)
{
	uint64_t *newest = ctx;
	struct key_parts k;

	if (lsvd_key_parse(&k, info->key) && k.kind == KEY_CLAIM && k.epoch > *newest)
		*newest = k.epoch;
	return 0;
}

/* 0: there is none. A LIST may be old: it says where to begin. */
static int newest_claim(struct port *port, const struct uuid *uuid, uint64_t *ret)
{
	struct obj_io list = { .io = { .kind = IO_LIST }, .list_fn = note_epoch, .list_ctx = ret };
	int err;

	*ret = 0;
	lsvd_key_prefix(list.key, uuid, KEY_CLAIM);
	err = lsvd_lineage_run(port, &list);
	while (!err) {
		struct obj_io head = { .io = { .kind = IO_HEAD } };

		lsvd_key_claim(head.key, uuid, *ret + 1);
		err = lsvd_lineage_run(port, &head);
		*ret += !err;
	}
	return err == -ENOENT ? 0 : err;
}

static int read_claim(struct port *port, const struct uuid *uuid, uint64_t epoch,
		      struct fmt_claim *ret)
{
	char key[KEY_CAP];
	uint8_t *buf;
	size_t len;
	int err;

	lsvd_key_claim(key, uuid, epoch);
	err = lsvd_lineage_get(port, key, &buf, &len, FMT_CLAIM_BYTES);
	if (err)
		return err;
	err = lsvd_claim_decode(ret, uuid, epoch, buf, len, key);
	lsvd_free(buf);
	return err;
}

/* All zeroes if there is none. */
static int read_newest(struct port *port, const struct uuid *uuid, uint64_t *ret_epoch,
		       struct fmt_claim *ret)
{
	int err = newest_claim(port, uuid, ret_epoch);

	memset(ret, 0, sizeof *ret);
	return err || !*ret_epoch ? err : read_claim(port, uuid, *ret_epoch, ret);
}

/* -EEXIST: somebody was faster, or an earlier try of ours got through. */
static int put_claim(struct port *port, const struct uuid *uuid, uint64_t epoch, const char *host)
{
	struct fmt_claim claim = { .created_ms = port->world->clk->wall_ms(port->world) };
	uint8_t buf[FMT_CLAIM_BYTES];
	struct iovec iov = { buf, sizeof buf };
	struct obj_io io = { .io = { .kind = IO_PUT }, .iov = &iov, .iovcnt = 1 };

	(void)snprintf(claim.host, sizeof claim.host, "%s", host); /* fits */
	lsvd_claim_encode(buf, uuid, epoch, &claim);
	lsvd_key_claim(io.key, uuid, epoch);
	return lsvd_lineage_run(port, &io);
}

/* What does not verify binds, too: a claim comes above it. */
static int find_newest(struct port *port, const struct uuid *uuid, uint64_t *ret_epoch,
		       struct fmt_claim *ret)
{
	int err = read_newest(port, uuid, ret_epoch, ret);

	if (err == LSVD_E_CORRUPT) {
		memset(ret, 0, sizeof *ret);
		err = 0;
	}
	return err;
}

int lsvd_lineage_take_away(struct port *port, const struct uuid *uuid, uint64_t *ret_claim)
{
	struct fmt_claim newest;
	uint64_t epoch;
	int err;

	do {
		err = find_newest(port, uuid, &epoch, &newest);
		if (!err && says(&newest, GONE))
			break;
		if (!err)
			err = put_claim(port, uuid, ++epoch, TAKEN);
	} while (err == -EEXIST);
	if (!err)
		*ret_claim = epoch;
	return err;
}

static int refuse_kept(void)
{
	return lsvd_fail(-EBUSY,
			 "it was needed while it was being deleted, and given back: try again");
}

/* Does each claim above `since` delete it? */
static int check_taken(struct port *port, const struct uuid *uuid, uint64_t since, uint64_t newest)
{
	struct fmt_claim claim;
	int err = 0;

	for (uint64_t e = since + 1; e < newest && !err; e++) {
		err = read_claim(port, uuid, e, &claim);
		if (!err && !lsvd_claim_deletes(&claim))
			err = refuse_kept();
	}
	return err;
}

int lsvd_lineage_take_for_good(struct port *port, const struct uuid *uuid, uint64_t claim)
{
	struct fmt_claim newest;
	uint64_t epoch;
	int err;

	do {
		err = read_newest(port, uuid, &epoch, &newest);
		if (!err && says(&newest, GONE))
			return 0;
		if (!err && !says(&newest, TAKEN))
			return refuse_kept();
		if (!err)
			err = check_taken(port, uuid, claim, epoch);
		if (!err)
			err = put_claim(port, uuid, epoch + 1, GONE);
	} while (err == -EEXIST);
	return err;
}

int lsvd_lineage_give_back(struct port *port, const struct uuid *uuid)
{
	struct fmt_claim newest;
	uint64_t epoch;
	int err;

	do {
		err = find_newest(port, uuid, &epoch, &newest);
		if (!err && says(&newest, GONE))
			return lsvd_fail(-ENOENT, "it was deleted meanwhile");
		if (err || !says(&newest, TAKEN))
			break; /* given back already, or opened since */
		err = put_claim(port, uuid, epoch + 1, KEPT);
	} while (err == -EEXIST);
	return err;
}

bool lsvd_lineage_is_taken(struct port *port, const struct uuid *uuid, uint64_t *ret_claim)
{
	struct fmt_claim newest;
	uint64_t epoch;

	if (read_newest(port, uuid, &epoch, &newest) || !lsvd_claim_deletes(&newest))
		return false;
	*ret_claim = epoch;
	return true;
}

bool lsvd_lineage_is_gone(struct port *port, const struct uuid *uuid)
{
	struct fmt_claim newest;
	uint64_t epoch;

	return read_newest(port, uuid, &epoch, &newest) == 0 && says(&newest, GONE);
}

int lsvd_lineage_refuse_gone(struct port *port, const struct fmt_volume *record)
{
	char text[UUID_TEXT_LEN + 1];
	struct fmt_claim newest;
	uint64_t epoch;
	int err = read_newest(port, &record->uuid, &epoch, &newest);

	if (err || !lsvd_claim_deletes(&newest))
		return err;
	lsvd_uuid_format(&record->uuid, text);
	return lsvd_fail(-EEXIST, "%s %s: UUID %s was a %s's that has been deleted, and is "
			 "never used again", lsvd_lineage_word(record->kind), record->name, text,
			 lsvd_lineage_word(record->kind));
}
