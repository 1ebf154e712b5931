/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_resize.c - "lsvd-admin resize": a volume larger or smaller, through its server if it has one.
 */
#include <stdio.h>

#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/reach.h"

struct resize {
	struct admin admin;
	struct reach_options reach;
	uint64_t bytes;
	bool force;
};

static int print_resized(const struct resize *s, json_t *facts)
{
	char sentence[256], size[32];

	output_bytes(size, s->bytes);
	(void)snprintf(sentence, sizeof sentence, "volume %s: %s (%llu bytes)", s->admin.name, size,
		       (unsigned long long)s->bytes);
	return output_sentence(sentence, facts, s->admin.json);
}

static int resize(void *ctx)
{
	struct resize *s = ctx;
	json_t *facts, *request;
	int status;

	request = json_pack("{s:s, s:I, s:b}", "verb", "resize", "bytes", (json_int_t)s->bytes,
			    "cut", s->force);
	facts = reach_ask(&s->admin, &s->reach, request, &status);
	return facts ? print_resized(s, facts) : status;
}

static int run(int argc, char **argv)
{
	struct resize s = {.bytes = 0};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&s.admin),
		ADMIN_NAME(&s.admin, "the volume"),
		{ARGS_SIZE, 's', "size", &s.bytes, "SIZE",
		 "its new size: bytes, or with K M G T P (powers of 1024); also -S",
		 LSVD_SECTOR_BYTES, LSVD_VOLUME_MAX_BYTES, true},
		{ARGS_SIZE, 'S', NULL, &s.bytes, "SIZE", NULL,
		 LSVD_SECTOR_BYTES, LSVD_VOLUME_MAX_BYTES, false},
		{ARGS_FLAG, 0, "force", &s.force, NULL, "cut off data", 0, 0, false},
		REACH_OPTIONS(&s.reach),
		ADMIN_UNSAFE(&s.admin),
		ADMIN_OPTIONS(&s.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin resize",
		.usage = "-c FILE -n NAME -s SIZE [--force] [-p DIR] [--json]",
		.about = "Makes a volume larger or smaller; it may be served meanwhile. "
			 "What is added reads\n"
			 "as zeroes. Data is cut off only with --force.",
		.options = options,
	};
	int status;

	if (admin_parse(&s.admin, &args, argc, argv, &status) < 0)
		return status;
	if (s.bytes % LSVD_SECTOR_BYTES) {
		(void)args_fail(&args, "option --size: %llu bytes are no multiple of %u",
				(unsigned long long)s.bytes, LSVD_SECTOR_BYTES);
		return ADMIN_USAGE;
	}
	return admin_do_long(&s.admin, 0, resize, &s);
}

const struct admin_cmd cmd_resize = {"resize", "make a volume larger or smaller", run};
