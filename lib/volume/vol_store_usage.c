/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_store_usage.c - what a store holds, by whom: one listing, then the names.
 *
 * Listings are in order, so the objects of one lineage come together and belong to the last row.
 * The names are read afterwards: a row that none of them leads to was deleted.
 */
#include <lsvd/usage.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "log/lineage.h"
#include "volume/volume_internal.h"

struct row {
	struct lsvd_usage_row u;
	struct uuid uuid;
	uint64_t newest_epoch, newest_seq;  /* chain object */
};

/* The rest has its rows behind those of lineages. */
enum { REST_PROBE, REST_OTHER, RESTS };

struct table {
	struct row *rows;
	size_t count, room;
	struct lsvd_usage_row rest[RESTS];
	int err;
};

static const int record_kinds[] = { OBJECT_VOLUME, OBJECT_VLOG };
static const char *const record_prefixes[] = { "volumes/", "vlogs/" };

static struct row *add_row(struct table *t, const struct uuid *uuid)
{
	struct row *r;

	if (t->count == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		struct row *rows = lsvd_realloc(t->rows, room * sizeof *rows);

		if (!rows) {
			t->err = lsvd_fail_plain(-ENOMEM);
			return NULL;
		}
		t->rows = rows;
		t->room = room;
	}
	r = &t->rows[t->count++];
	*r = (struct row){ .u = { .size = sizeof r->u, .kind = LSVD_USAGE_DELETED },
			   .uuid = *uuid };
	lsvd_uuid_format(uuid, r->u.uuid);
	return r;
}

static struct row *find_row(struct table *t, const struct uuid *uuid)
{
	for (size_t i = t->count; i-- > 0;)
		if (lsvd_uuid_equal(&t->rows[i].uuid, uuid))
			return &t->rows[i];
	return NULL;
}

static void add(struct lsvd_usage_row *u, uint64_t bytes)
{
	u->objects++;
	u->bytes += bytes;
}

static int count_part(struct table *t, const struct key_parts *k, uint64_t bytes)
{
	struct row *r = t->count ? &t->rows[t->count - 1] : NULL;

	if (!r || !lsvd_uuid_equal(&r->uuid, &k->uuid))
		r = add_row(t, &k->uuid);
	if (!r)
		return 1;
	add(&r->u, bytes);
	if (k->kind == KEY_CLAIM) {
		r->u.claims++;
		r->u.claim_bytes += bytes;
	}
	if (k->kind == KEY_CHAIN && (k->epoch > r->newest_epoch ||
				     (k->epoch == r->newest_epoch && k->number > r->newest_seq))) {
		r->newest_epoch = k->epoch;
		r->newest_seq = k->number;
	}
	return 0;
}

/* Is it the record of a volume or a value log? Then it is counted with what it leads to, later. */
static bool is_record(const char *key)
{
	for (unsigned i = 0; i < 2; i++) {
		size_t len = strlen(record_prefixes[i]);

		if (strncmp(key, record_prefixes[i], len) == 0 && lsvd_name_valid(key + len))
			return true;
	}
	return false;
}

static bool cut_uuid(struct uuid *ret, const char *text)
{
	char piece[UUID_TEXT_LEN + 1];

	(void)snprintf(piece, sizeof piece, "%s", text); /* the first so many characters */
	return lsvd_uuid_parse(ret, piece);
}

/* v/<uuid>/s/<snapshot>.<number>: an entry about a clone, of the volume whose snapshot it is. */
static bool is_slot(struct key_parts *ret, const char *key)
{
	const size_t volume = strlen("v/"), snapshot = volume + UUID_TEXT_LEN + strlen("/s/");
	struct uuid id;
	char again[KEY_CAP];

	*ret = (struct key_parts){ .kind = KEY_VOLUME };
	if (strlen(key) <= snapshot + UUID_TEXT_LEN || !cut_uuid(&ret->uuid, key + volume) ||
	    !cut_uuid(&id, key + snapshot))
		return false;
	lsvd_key_slot(again, &ret->uuid, &id,
		      (uint32_t)strtoul(key + snapshot + UUID_TEXT_LEN + 1, NULL, 16));
	return strcmp(again, key) == 0;
}

static int count_object(void *ctx, const struct lsvd_object_info *info)
{
	struct table *t = ctx;
	struct key_parts k;

	if (lsvd_key_parse(&k, info->key) || is_slot(&k, info->key))
		return count_part(t, &k, info->bytes);
	if (!is_record(info->key))
		add(&t->rest[strncmp(info->key, "probe/", 6) == 0 ? REST_PROBE : REST_OTHER],
		    info->bytes);
	return 0;
}

static void empty(struct table *t)
{
	t->count = 0;
	memset(t->rest, 0, sizeof t->rest);
	for (unsigned i = 0; i < RESTS; i++)
		t->rest[i].size = sizeof t->rest[i];
	t->rest[REST_PROBE].kind = LSVD_USAGE_PROBE;
	t->rest[REST_OTHER].kind = LSVD_USAGE_OTHER;
}

static int list_all(struct visit *v, struct table *t)
{
	unsigned tries = 0;
	int err;

	do {
		empty(t);
		err = lsvd_store_list(v->store, "", count_object, t);
	} while (lsvd_try_again(&v->port, &tries, err));
	return err ? err : t->err;
}

/* ---------------------------------------------------------------------------------------- names */

static int name_row(struct visit *v, struct table *t, int kind, const char *name)
{
	struct fmt_volume record;
	struct row *r;
	int err = lsvd_lineage_find(&v->port, kind, name, &record);

	if (err)
		return err == -ENOENT ? 0 : err; /* deleted meanwhile */
	r = find_row(t, &record.uuid);
	if (!r)
		r = add_row(t, &record.uuid);
	if (!r)
		return t->err;
	add(&r->u, fmt_volume_bytes(&record));
	r->u.kind = kind == OBJECT_VOLUME ? LSVD_USAGE_VOLUME : LSVD_USAGE_VLOG;
	memcpy(r->u.name, record.name, sizeof r->u.name);
	r->u.volume_bytes = record.bytes;
	r->u.created_ms = record.created_ms;
	if (record.base.ancestors)
		lsvd_uuid_format(fmt_base_volume(&record.base), r->u.base_uuid);
	if (kind != OBJECT_VOLUME || !r->newest_epoch)
		return 0;
	return lsvd_vol_size_now(v, &record, r->newest_epoch, r->newest_seq, &r->u.volume_bytes);
}

static int name_rows(struct visit *v, struct table *t, int kind)
{
	struct names n = { NULL, 0, 0, 0 };
	int err = lsvd_lineage_names(v->store, kind, &n);

	for (size_t i = 0; i < n.count && !err; i++)
		err = name_row(v, t, kind, n.names[i]);
	lsvd_free(n.names);
	return err;
}

static int in_order(const void *a, const void *b)
{
	const struct lsvd_usage_row *x = &((const struct row *)a)->u;
	const struct lsvd_usage_row *y = &((const struct row *)b)->u;
	int by_name = strcmp(x->name, y->name);

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return by_name ? by_name : strcmp(x->uuid, y->uuid);
}

static void show(const struct table *t, lsvd_usage_fn fn, void *ctx)
{
	for (size_t i = 0; i < t->count; i++)
		if (fn(ctx, &t->rows[i].u))
			return;
	for (unsigned i = 0; i < RESTS; i++)
		if (t->rest[i].objects && fn(ctx, &t->rest[i]))
			return;
}

int lsvd_store_usage(struct lsvd_store *store, lsvd_usage_fn fn, void *ctx)
{
	struct table t = { .count = 0 };
	struct visit v;
	int err = lsvd_visit_begin(&v, store);

	if (err)
		return err;
	err = list_all(&v, &t);
	for (unsigned i = 0; i < 2 && !err; i++)
		err = name_rows(&v, &t, record_kinds[i]);
	lsvd_visit_end(&v);
	if (!err) {
		if (t.count) /* without rows there is no array */
			qsort(t.rows, t.count, sizeof *t.rows, in_order);
		show(&t, fn, ctx);
	}
	lsvd_free(t.rows);
	return err;
}
