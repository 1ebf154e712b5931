/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_clone.c - "lsvd-admin clone": a new volume that begins as a snapshot, or as another is now.
 *
 * A clone is always one of a snapshot. If none is named one is made: by the library where the
 * volume is not served; else through its server, under a name of the same form, "for-" and a
 * UUID, by which "gc" knows what nobody needs once the clone is gone (or was not made after all,
 * and nobody was left to say so).
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <lsvd/snapshot.h>

#include "admin/clone.h"
#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/reach.h"

struct clone {
	struct admin admin;
	struct reach_options reach;
	char base[LSVD_NAME_MAX + 1], snapshot[LSVD_NAME_MAX + 1], name[LSVD_NAME_MAX + 1];
};

static int print_cloned(const struct clone *c, const struct lsvd_volume_info *info)
{
	json_t *facts = output_volume(info);
	char sentence[512], size[32];
	int err;

	output_bytes(size, info->bytes);
	(void)snprintf(sentence, sizeof sentence, "volume %s cloned from %s%s%s: %s, uuid %s",
		       info->name, c->base, c->snapshot[0] ? "@" : "", c->snapshot, size,
		       info->uuid);
	err = json_object_set_new(facts, "base", json_string(c->base));
	err |= json_object_set_new(facts, "snapshot",
				   c->snapshot[0] ? json_string(c->snapshot) : json_null());
	if (err) {
		json_decref(facts);
		facts = NULL;
	}
	return output_sentence(sentence, facts, c->admin.json);
}

/* Asks the server for a snapshot, and whether it is to make or to delete it. */
static int ask_snapshot(struct clone *c, const char *action)
{
	json_t *facts;
	int status;

	c->admin.name = c->base;
	facts = reach_ask_server(&c->admin, &c->reach,
				 json_pack("{s:s, s:s, s:s}", "verb", "snapshot", "action", action,
					   "snapshot", c->snapshot),
				 &status);
	json_decref(facts);
	return status;
}

static int clone_snapshot(struct clone *c)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

	options.flags = admin_flags(&c->admin);
	if (lsvd_volume_clone(c->admin.store, c->base, c->snapshot, c->name, &options, &info) < 0)
		return admin_fail();
	return print_cloned(c, &info);
}

int clone_of_snapshot(const struct admin *admin, const char *base, const char *snapshot)
{
	struct clone c = {.admin = *admin};

	/* They have been parsed into as much room. */
	(void)snprintf(c.base, sizeof c.base, "%s", base);
	(void)snprintf(c.snapshot, sizeof c.snapshot, "%s", snapshot);
	(void)snprintf(c.name, sizeof c.name, "%s", admin->name);
	return clone_snapshot(&c);
}

/* The clone's own UUID is not known before there is a snapshot. */
static int name_snapshot(struct clone *c)
{
	uint8_t b[16];

	if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b) /* so few bytes come whole */
		return admin_error("getrandom: %s", strerror(errno));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(c->snapshot, sizeof c->snapshot, "for-%02x%02x%02x%02x-%02x%02x-%02x%02x-"
		       "%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5],
		       b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]); /* fits */
	return 0;
}

static int clone_served(struct clone *c)
{
	int status;

	if (name_snapshot(c) < 0)
		return ADMIN_FAILED;
	status = ask_snapshot(c, "create");
	if (status != ADMIN_OK)
		return status;
	status = clone_snapshot(c);
	if (status != ADMIN_OK)
		(void)ask_snapshot(c, "delete"); /* if it stays, it has been said */
	return status;
}

static int clone_unserved(struct clone *c)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

	reach_volume_options(&c->admin, &c->reach, &options);
	if (lsvd_volume_clone(c->admin.store, c->base, NULL, c->name, &options, &info) < 0)
		return admin_fail();
	return print_cloned(c, &info);
}

static int clone(void *ctx)
{
	struct clone *c = ctx;
	int served;

	if (c->snapshot[0])
		return clone_snapshot(c);
	c->admin.name = c->base;
	served = reach_served(&c->admin, &c->reach);
	if (served < 0)
		return ADMIN_FAILED;
	return served ? clone_served(c) : clone_unserved(c);
}

/* Two operands: where from, and the new name. */
static int parse_places(struct clone *c, const struct args *args, int argc, char **argv, int first)
{
	char none[LSVD_NAME_MAX + 1];

	if (argc - first < 2)
		return args_fail(args, "%s is missing",
				 argc == first ? "what to clone" : "the new name");
	if (argc - first > 2)
		return args_fail(args, "'%s' is one word too many", argv[first + 2]);
	if (admin_parse_place(args, argv[first], c->base, c->snapshot) < 0 ||
	    admin_parse_place(args, argv[first + 1], c->name, none) < 0)
		return -1;
	return none[0] ? args_fail(args, "the new volume is named without @") : 0;
}

static int run(int argc, char **argv)
{
	struct clone c = {.admin = {.json = false}};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&c.admin),
		REACH_OPTIONS(&c.reach),
		ADMIN_UNSAFE(&c.admin),
		ADMIN_OPTIONS(&c.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin clone",
		.usage = "-c FILE SOURCE[@SNAPSHOT] NAME [-p DIR] [--json]",
		.about = "Makes a volume that begins as a snapshot of another, "
			 "or as the other is now. Nothing\n"
			 "is copied; the source may be served meanwhile.",
		.options = options,
	};
	int first, status;

	if (admin_parse_operands(&c.admin, &args, argc, argv, &first, &status) < 0)
		return status;
	if (parse_places(&c, &args, argc, argv, first) < 0)
		return ADMIN_USAGE;
	return admin_do_long(&c.admin, 0, clone, &c);
}

const struct admin_cmd cmd_clone = {"clone", "make a volume that begins as another", run};
