/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_init.c - "lsvd-admin init": makes a volume, and the directory of the store if it is absent.
 *
 * With --parent it is a clone of a snapshot, as "lsvd-admin clone" makes it: of the snapshot's
 * size. With --lower it lies over snapshots, in the order in which they are named.
 */
#include <stdio.h>

#include <lsvd/snapshot.h>

#include "admin/clone.h"
#include "admin/cmd.h"
#include "admin/lowers.h"
#include "admin/output.h"

/* "NAME@SNAPSHOT" taken apart. */
struct place {
	char volume[LSVD_NAME_MAX + 1], snapshot[LSVD_NAME_MAX + 1];
};

struct init {
	struct admin admin;
	uint64_t bytes;
	const char *uuid, *parent;
	struct place base;
	const char *lower[LSVD_LOWERS_MAX]; /* as they were named, the uppermost last */
	struct args_list lowers;
	struct place below[LSVD_LOWERS_MAX];
};

static int parse_snapshot(const struct args *args, const char *option, const char *text,
			  struct place *ret)
{
	if (admin_parse_place(args, text, ret->volume, ret->snapshot) < 0)
		return -1;
	return ret->snapshot[0] ? 0 : args_fail(args, "option %s: '%s' is no NAME@SNAPSHOT", option,
						text);
}

static int check_parent(struct init *in, const struct args *args)
{
	if (in->bytes)
		return args_fail(args, "options --size and --parent: the size is the parent's");
	if (in->uuid)
		return args_fail(args, "options --uuid and --parent do not go together");
	return parse_snapshot(args, "--parent", in->parent, &in->base);
}

static int check_lowers(struct init *in, const struct args *args)
{
	if (in->uuid)
		return args_fail(args, "options --uuid and --lower do not go together");
	for (unsigned i = 0; i < in->lowers.count; i++)
		if (parse_snapshot(args, "--lower", in->lower[i], &in->below[i]) < 0)
			return -1;
	return 0;
}

static int check(struct init *in, const struct args *args)
{
	if (in->parent && in->lowers.count)
		return args_fail(args, "options --parent and --lower do not go together");
	if (in->parent)
		return check_parent(in, args);
	if (!in->bytes && !in->lowers.count)
		return args_fail(args, "option --size is missing");
	if (in->bytes % LSVD_SECTOR_BYTES)
		return args_fail(args, "option --size: %llu is not a multiple of %u",
				 (unsigned long long)in->bytes, LSVD_SECTOR_BYTES);
	if (in->lowers.count)
		return check_lowers(in, args);
	if (in->uuid && !admin_good_uuid(in->uuid))
		return args_fail(args, "option --uuid: '%s' is not 8-4-4-4-12 hexadecimal digits",
				 in->uuid);
	return 0;
}

static int create_over(struct init *in)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	struct lsvd_lower lowers[LSVD_LOWERS_MAX];
	char size[32], sentence[256];
	json_t *facts;

	for (unsigned i = 0; i < in->lowers.count; i++)
		lowers[i] = (struct lsvd_lower){in->below[i].volume, in->below[i].snapshot, 0};
	if (lsvd_volume_create_over(in->admin.store, in->admin.name, in->bytes, lowers,
				    in->lowers.count, admin_flags(&in->admin), &info) < 0)
		return admin_fail();
	output_bytes(size, info.bytes);
	(void)snprintf(sentence, sizeof sentence, "volume %s created over %u lower%s: %s, uuid %s",
		       info.name, in->lowers.count, in->lowers.count == 1 ? "" : "s", size,
		       info.uuid);
	facts = output_volume(&info);
	if (facts && lowers_add(&in->admin, facts) < 0) {
		json_decref(facts);
		return ADMIN_FAILED;
	}
	return output_sentence(sentence, facts, in->admin.json);
}

static int create(struct init *in)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	char size[32], sentence[256];

	if (in->parent)
		return clone_of_snapshot(&in->admin, in->base.volume, in->base.snapshot);
	if (in->lowers.count)
		return create_over(in);
	if (lsvd_volume_create_flags(in->admin.store, in->admin.name, in->bytes, in->uuid,
				     admin_flags(&in->admin), &info) < 0)
		return admin_fail();
	output_bytes(size, info.bytes);
	(void)snprintf(sentence, sizeof sentence, "volume %s created: %s (%llu bytes), uuid %s",
		       info.name, size, (unsigned long long)info.bytes, info.uuid);
	return output_sentence(sentence, output_volume(&info), in->admin.json);
}

static int run(int argc, char **argv)
{
	struct init in = {.lowers = {in.lower, 0, LSVD_LOWERS_MAX}};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&in.admin),
		ADMIN_NAME(&in.admin, "name of the new volume"),
		{ARGS_SIZE, 's', "size", &in.bytes, "SIZE",
		 "its size: bytes, or with K M G T P (powers of 1024); also -S",
		 LSVD_SECTOR_BYTES, LSVD_VOLUME_MAX_BYTES, false},
		{ARGS_SIZE, 'S', NULL, &in.bytes, "SIZE", NULL,
		 LSVD_SECTOR_BYTES, LSVD_VOLUME_MAX_BYTES, false},
		{ARGS_STRING, 'u', "uuid", &in.uuid, "UUID", "its UUID (default: a random one)",
		 0, 0, false},
		{ARGS_STRING, 0, "parent", &in.parent, "NAME@SNAPSHOT",
		 "what it begins as, size included", 0, 0, false},
		{ARGS_LIST, 0, "lower", &in.lowers, "NAME@SNAPSHOT",
		 "what shows where it has nothing; again: the last one wins", 0, 0, false},
		ADMIN_UNSAFE(&in.admin),
		ADMIN_OPTIONS(&in.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin init",
		.usage = "-c FILE -n NAME -s SIZE [-u UUID] [--unsafe-store] [--json]\n"
			 "       lsvd-admin init -c FILE -n NAME --parent NAME@SNAPSHOT "
			 "[--unsafe-store] [--json]\n"
			 "       lsvd-admin init -c FILE -n NAME [-s SIZE] --lower "
			 "NAME@SNAPSHOT... [--unsafe-store] [--json]",
		.about = "Makes a volume. If there is one of that name, nothing is changed.",
		.options = options,
	};
	int status;

	if (admin_parse(&in.admin, &args, argc, argv, &status) < 0)
		return status;
	if (check(&in, &args) < 0)
		return ADMIN_USAGE;
	status = admin_open(&in.admin, LSVD_STORE_CREATE);
	if (status == ADMIN_OK)
		status = create(&in);
	admin_close(&in.admin);
	return status;
}

const struct admin_cmd cmd_init = {"init", "make a volume", run};
