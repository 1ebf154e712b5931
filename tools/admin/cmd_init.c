/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_init.c - "lsvd-admin init": makes a volume, and the directory of the store if it is absent.
 *
 * With --parent it is a clone of a snapshot, as "lsvd-admin clone" makes it: of the snapshot's size.
 */
#include <stdio.h>

#include "admin/clone.h"
#include "admin/cmd.h"
#include "admin/output.h"

struct init {
	struct admin admin;
	uint64_t bytes;
	const char *uuid, *parent;
	char base[LSVD_NAME_MAX + 1], snapshot[LSVD_NAME_MAX + 1];
};

static int check_parent(struct init *in, const struct args *args)
{
	if (in->bytes)
		return args_fail(args, "options --size and --parent: the size is the parent's");
	if (in->uuid)
		return args_fail(args, "options --uuid and --parent do not go together");
	if (admin_parse_place(args, in->parent, in->base, in->snapshot) < 0)
		return -1;
	return in->snapshot[0] ? 0 : args_fail(args, "option --parent: '%s' is no NAME@SNAPSHOT",
					       in->parent);
}

static int check(struct init *in, const struct args *args)
{
	if (in->parent)
		return check_parent(in, args);
	if (!in->bytes)
		return args_fail(args, "option --size is missing");
	if (in->bytes % LSVD_SECTOR_BYTES)
		return args_fail(args, "option --size: %llu is not a multiple of %u",
				 (unsigned long long)in->bytes, LSVD_SECTOR_BYTES);
	if (in->uuid && !admin_good_uuid(in->uuid))
		return args_fail(args, "option --uuid: '%s' is not 8-4-4-4-12 hexadecimal digits",
				 in->uuid);
	return 0;
}

static int create(struct init *in)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	char size[32], sentence[256];

	if (in->parent)
		return clone_of_snapshot(&in->admin, in->base, in->snapshot);
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
	struct init in = {.bytes = 0};
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
		ADMIN_UNSAFE(&in.admin),
		ADMIN_OPTIONS(&in.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin init",
		.usage = "-c FILE -n NAME -s SIZE [-u UUID] [--unsafe-store] [--json]\n"
			 "       lsvd-admin init -c FILE -n NAME --parent NAME@SNAPSHOT [--unsafe-store] [--json]",
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
