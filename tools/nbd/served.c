/* SPDX-License-Identifier: BSD-2-Clause */
/* served.c - names to volumes and snapshots of the store. */
#include "nbd/served.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <lsvd/snapshot.h>

#include "nbd/nbd_log.h"

/* The halves of "VOLUME@SNAPSHOT"; names are checked in the handshake: they fit. */
static void cut(const char *name, char volume[LSVD_NAME_MAX + 1],
		char snapshot[LSVD_NAME_MAX + 1])
{
	const char *at = strchr(name, '@');

	(void)snprintf(volume, LSVD_NAME_MAX + 1, "%.*s", at ? (int)(at - name) : -1, name);
	(void)snprintf(snapshot, LSVD_NAME_MAX + 1, "%s", at ? at + 1 : "");
}

bool served_is_snapshot(const char *name)
{
	return strchr(name, '@') != NULL;
}

/* ------------------------------------------------------------------------------------ looking */

struct search {
	const char *name;
	struct lsvd_snapshot_info found;
	bool yes;
};

static int match(void *ctx, const struct lsvd_snapshot_info *info)
{
	struct search *s = ctx;

	if (strcmp(info->name, s->name) != 0)
		return 0;
	s->found = *info;
	s->yes = true;
	return 1;
}

static int look_snapshot(const struct exports_config *config, const char *volume,
			 const char *snapshot, struct served *ret)
{
	struct search s = {.name = snapshot};
	int err = lsvd_snapshot_list_store(config->store, volume, match, &s);

	if (err < 0)
		return err;
	if (!s.yes)
		return -ENOENT;
	ret->export.bytes = s.found.bytes;
	ret->export.readonly = true;
	memcpy(ret->uuid, s.found.uuid, sizeof ret->uuid);
	(void)snprintf(ret->export.description, sizeof ret->export.description,
		       "LSVD snapshot %s", ret->uuid);
	return 0;
}

static void describe_volume(const struct exports_config *config,
			    const struct lsvd_volume_info *info, struct served *ret)
{
	ret->export.bytes = info->bytes;
	ret->export.readonly = config->readonly;
	memcpy(ret->uuid, info->uuid, sizeof ret->uuid);
	(void)snprintf(ret->export.description, sizeof ret->export.description, "LSVD volume %s",
		       ret->uuid);
}

static int look_volume(const struct exports_config *config, const char *name, struct served *ret)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	int err = lsvd_volume_lookup(config->store, name, &info);

	if (err == 0)
		describe_volume(config, &info, ret);
	return err;
}

static void begin(const char *name, struct served *ret)
{
	memset(ret, 0, sizeof *ret);
	(void)snprintf(ret->export.name, sizeof ret->export.name, "%s", name); /* fits */
}

int served_look(const struct exports_config *config, const char *name, struct served *ret)
{
	char volume[LSVD_NAME_MAX + 1], snapshot[LSVD_NAME_MAX + 1];

	cut(name, volume, snapshot);
	begin(name, ret);
	if (config->options.flags & LSVD_OPEN_OFFLINE) {
		if (snapshot[0])
			return -ENOENT; /* where they are is only in the store */
		(void)snprintf(ret->export.description, sizeof ret->export.description,
			       "LSVD volume %s, offline", name);
		return 0;
	}
	return snapshot[0] ? look_snapshot(config, volume, snapshot, ret)
			   : look_volume(config, name, ret);
}

static int open_snapshot(const struct exports_config *config, const char *volume,
			 const char *snapshot, struct served *served, struct lsvd_volume **ret)
{
	struct lsvd_volume_options options = config->options;
	int err = config->options.flags & LSVD_OPEN_OFFLINE
			  ? -ENOENT /* where they are is only in the store */
			  : look_snapshot(config, volume, snapshot, served);

	if (err < 0)
		return err;
	options.flags = LSVD_OPEN_READONLY |
			(options.cache_dir && !config->readonly ? LSVD_OPEN_RCACHE : 0);
	options.snapshot = snapshot;
	err = lsvd_volume_open(ret, config->store, volume, &options);
	if (!err)
		served->export.bytes = lsvd_volume_bytes(*ret);
	return err;
}

static int open_volume(const struct exports_config *config, struct served *served,
		       struct lsvd_volume **ret)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	int err = lsvd_volume_open(ret, config->store, served->export.name, &config->options);

	if (!err)
		err = lsvd_volume_describe(*ret, &info); /* of a volume that is open: cannot fail */
	if (!err)
		describe_volume(config, &info, served);
	return err;
}

int served_open(const struct exports_config *config, const char *name, struct served *served,
		struct lsvd_volume **ret)
{
	char volume[LSVD_NAME_MAX + 1], snapshot[LSVD_NAME_MAX + 1];

	cut(name, volume, snapshot);
	begin(name, served);
	return snapshot[0] ? open_snapshot(config, volume, snapshot, served, ret)
			   : open_volume(config, served, ret);
}

/* ------------------------------------------------------------------------------------ listing */

struct listing {
	const struct exports_config *config;
	int (*fn)(void *ctx, const char *name);
	void *ctx;
	char volume[LSVD_NAME_MAX + 1];
	int stopped;
};

static int add_snapshot(void *ctx, const struct lsvd_snapshot_info *info)
{
	struct listing *l = ctx;
	char name[NBD_NAME_MAX + 1];

	(void)snprintf(name, sizeof name, "%s@%s", l->volume, info->name); /* fits */
	l->stopped = l->fn(l->ctx, name);
	return l->stopped;
}

static int add_volume(void *ctx, const struct lsvd_volume_info *info)
{
	struct listing *l = ctx;
	int err;

	memcpy(l->volume, info->name, sizeof l->volume);
	l->stopped = l->fn(l->ctx, info->name);
	if (l->stopped)
		return l->stopped;
	err = lsvd_snapshot_list_store(l->config->store, l->volume, add_snapshot, l);
	if (err < 0 && err != -ENOENT && err != LSVD_E_UNSUPPORTED) /* the volume is listed */
		log_limited(LSVD_LOG_WARN, "%s: its snapshots: %s", l->volume, log_reason(err));
	return l->stopped;
}

int served_list(const struct exports_config *config, int (*fn)(void *ctx, const char *name),
		void *ctx)
{
	struct listing l = {.config = config, .fn = fn, .ctx = ctx};

	return lsvd_volume_list(config->store, add_volume, &l);
}
