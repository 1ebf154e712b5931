/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_delete.c - "lsvd-admin delete": a volume and everything stored of it, after one question.
 *
 * Without a terminal to ask on, --yes is demanded: a script says so or nothing happens. A volume
 * that is served from here is refused, unless that is forced: then the server finds itself cut off.
 *
 * Interrupted, the name may be gone and some objects not; they are known by the UUID, as list
 * shows.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lsvd/store_driver.h>

#include "admin/cmd.h"
#include "admin/output.h"
#include "admin/reach.h"

struct delete
{
	struct admin admin;
	struct reach_options reach;
	const char *uuid_given;
	char uuid[37];
	bool yes, force;
	uint64_t claims, claim_bytes, others; /* objects that are left */
};

/* Asks on standard error; only a line that is "y" or "yes" is a yes. */
static bool confirmed(const char *what)
{
	char answer[16];

	(void)fprintf(stderr, "Delete %s? [y/N] ", what);
	if (!fgets(answer, sizeof answer, stdin))
		return false;
	return strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0;
}

/* v/<uuid>/e/… are claims; what else there is came too late to be removed. */
static int count_left(void *ctx, const struct lsvd_object_info *info)
{
	struct delete *d = ctx;

	if (strncmp(info->key + strlen("v/") + strlen(d->uuid), "/e/", 3) != 0) {
		d->others++;
		return 0;
	}
	d->claims++;
	d->claim_bytes += info->bytes;
	return 0;
}

static int look_what_is_left(struct delete *d)
{
	char prefix[64];

	(void)snprintf(prefix, sizeof prefix, "v/%s/", d->uuid); /* fits */
	return lsvd_store_list(d->admin.store, prefix, count_left, d);
}

/* Takes `facts` over; they get what is left of the volume `d->uuid`, and why. */
static int print_deleted(struct delete *d, json_t *facts, const char *what)
{
	char sentence[512];
	int err = look_what_is_left(d);

	if (err < 0) {
		json_decref(facts);
		return admin_fail();
	}
	err = json_object_set_new(facts, "deleted", json_true());
	err |= json_object_set_new(facts, "claims_left", json_integer((json_int_t)d->claims));
	err |= json_object_set_new(facts, "claim_bytes_left",
				   json_integer((json_int_t)d->claim_bytes));
	err |= json_object_set_new(facts, "objects_left", json_integer((json_int_t)d->others));
	if (err) {
		json_decref(facts);
		facts = NULL;
	}
	if (d->others)
		(void)snprintf(sentence, sizeof sentence,
			       "%s deleted, uuid %s; %llu objects that came meanwhile remain: "
			       "delete them with --uuid",
			       what, d->uuid, (unsigned long long)d->others);
	else
		(void)snprintf(sentence, sizeof sentence,
			       "%s deleted, uuid %s; %llu claims (%llu bytes) stay, and keep late "
			       "writers out",
			       what, d->uuid, (unsigned long long)d->claims,
			       (unsigned long long)d->claim_bytes);
	return output_sentence(sentence, facts, d->admin.json);
}

static int not_deleted(const char *what)
{
	(void)admin_error("%s: not deleted", what); /* the status says it */
	return ADMIN_FAILED;
}

/* The name is gone: what was its? Keys have the UUID in small letters. */
static int purge(struct delete *d)
{
	char what[96];

	for (size_t i = 0; i < sizeof d->uuid && d->uuid_given[i]; i++)
		d->uuid[i] = (char)tolower((unsigned char)d->uuid_given[i]);
	(void)snprintf(what, sizeof what, "what is left of volume %s", d->uuid); /* fits */
	if (!d->yes && !confirmed(what))
		return not_deleted(what);
	if (lsvd_volume_purge(d->admin.store, d->uuid) < 0)
		return admin_fail();
	return print_deleted(d, json_pack("{s:s}", "uuid", d->uuid), "the rest of a volume");
}

/* True: it has been said why not. */
static bool refuse_served(const struct delete *d)
{
	int served = reach_served(&d->admin, &d->reach);

	if (served > 0)
		(void)admin_error("volume %s is being served: stop its server first, "
				  "or use --force", d->admin.name);
	else if (served < 0)
		(void)admin_error("volume %s may be being served: see to it that it is not, "
				  "and use --force", d->admin.name);
	return served != 0;
}

static int delete_volume(struct delete *d)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	char what[96], all[192], size[32];

	if (lsvd_volume_lookup(d->admin.store, d->admin.name, &info) < 0)
		return admin_fail();
	if (!d->force && refuse_served(d))
		return ADMIN_FAILED;
	output_bytes(size, info.bytes);
	(void)snprintf(what, sizeof what, "volume %s", info.name); /* fits, as does the next */
	(void)snprintf(all, sizeof all, "%s (%s, uuid %s) and all its data", what, size, info.uuid);
	if (!d->yes && !confirmed(all))
		return not_deleted(what);
	if (lsvd_volume_delete_flags(d->admin.store, d->admin.name, admin_flags(&d->admin)) < 0)
		return admin_fail();
	memcpy(d->uuid, info.uuid, sizeof d->uuid);
	return print_deleted(d, output_volume(&info), what);
}

static int check(const struct delete *d, const struct args *args)
{
	if (!!d->admin.name + !!d->uuid_given != 1)
		return args_fail(args, "either --name or --uuid is needed");
	if (d->uuid_given && !admin_good_uuid(d->uuid_given))
		return args_fail(args, "option --uuid: '%.60s' is not a UUID", d->uuid_given);
	if (!d->yes && !isatty(STDIN_FILENO))
		return args_fail(args, "no terminal to ask on: say --yes");
	return 0;
}

static int run(int argc, char **argv)
{
	struct delete d = {.yes = false};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&d.admin),
		{ARGS_STRING, 'n', "name", &d.admin.name, "NAME", "the volume", 0, 0, false},
		{ARGS_STRING, 'u', "uuid", &d.uuid_given, "UUID",
		 "what is left of a volume whose deletion was interrupted", 0, 0, false},
		{ARGS_FLAG, 'y', "yes", &d.yes, NULL, "do not ask", 0, 0, false},
		{ARGS_FLAG, 0, "force", &d.force, NULL, "though it is being served", 0, 0, false},
		{ARGS_STRING, 'p', "cache", &d.reach.cache, "DIR",
		 "where to look for its server (default: cache_path)", 0, 0, false},
		ADMIN_UNSAFE(&d.admin),
		ADMIN_OPTIONS(&d.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin delete",
		.usage = "-c FILE -n NAME | -u UUID [--yes] [--force] [-p DIR] "
			 "[--unsafe-store] [--json]",
		.about =
			"Deletes a volume and everything stored of it, for good. "
			"Whoever serves it\n"
			"elsewhere is cut off first. Asks on a terminal; otherwise "
			"--yes is needed.",
		.options = options,
	};
	int status;

	if (admin_parse(&d.admin, &args, argc, argv, &status) < 0)
		return status;
	if (check(&d, &args) < 0)
		return ADMIN_USAGE;
	status = admin_open(&d.admin, 0);
	if (status == ADMIN_OK)
		status = d.uuid_given ? purge(&d) : delete_volume(&d);
	admin_close(&d.admin);
	return status;
}

const struct admin_cmd cmd_delete = {"delete", "delete a volume and everything stored of it", run};
