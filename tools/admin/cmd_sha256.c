/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_sha256.c - "lsvd-admin sha256": the sum of a volume, or of a range, as sha256sum(1) has it.
 */
#include <stdio.h>

#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/reader.h"

struct sha256 {
	struct admin admin;
	const char *range_text;
	struct admin_range range;
};

static int print_sum(const struct sha256 *c, const char *hex)
{
	char sentence[SUM_TEXT + LSVD_NAME_MAX + 4];

	(void)snprintf(sentence, sizeof sentence, "%s  %s", hex, c->admin.name);
	return output_sentence(sentence,
			       json_pack("{s:s, s:I, s:I, s:s}", "name", c->admin.name, "offset",
					 (json_int_t)c->range.off, "length",
					 (json_int_t)c->range.len, "sha256", hex),
			       c->admin.json);
}

static int sha256(void *ctx)
{
	struct sha256 *c = ctx;
	struct lsvd_volume *volume = admin_open_reader(&c->admin, 0);
	char hex[SUM_TEXT];
	int err;

	if (!volume)
		return ADMIN_FAILED;
	err = admin_fit_range(&c->range, volume);
	if (!err)
		err = admin_sum_range(volume, c->range.off, c->range.len, "sha256", hex);
	if (lsvd_volume_close(volume, 0) < 0 && !err)
		err = admin_error("%s", lsvd_last_error());
	return err ? ADMIN_FAILED : print_sum(c, hex);
}

static int run(int argc, char **argv)
{
	struct sha256 c = {.range = {0, UINT64_MAX}};
	const struct args_option options[] = {
		ADMIN_CONFIG(&c.admin),
		ADMIN_NAME(&c.admin, "the volume"),
		{ARGS_STRING, 'r', "range", &c.range_text, "OFF:LEN",
		 "only this range, sizes like 4K:1M (default: all)", 0, 0, false},
		ADMIN_OPTIONS(&c.admin),
	};
	const struct args args = {
		.program = "lsvd-admin sha256",
		.usage = "-c FILE -n NAME [--range OFF:LEN] [--json]",
		.about = "Prints the SHA-256 of a volume's bytes, "
			 "holes read as zeroes. Nothing is\n"
			 "changed; of a volume that is being served, what the store has is read.",
		.options = options,
	};
	int status;

	if (admin_parse(&c.admin, &args, argc, argv, &status) < 0)
		return status;
	if (c.range_text && admin_parse_range(&args, c.range_text, &c.range) < 0)
		return ADMIN_USAGE;
	return admin_do_long(&c.admin, LSVD_STORE_READONLY, sha256, &c);
}

const struct admin_cmd cmd_sha256 = {"sha256", "print the SHA-256 of a volume or a range", run};
