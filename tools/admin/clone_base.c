/* SPDX-License-Identifier: BSD-2-Clause */
/* clone_base.c - what a volume began as, if it is a clone, and how that is shown. */
#include "admin/clone_base.h"

#include <stdio.h>

#include <lsvd/snapshot.h>

#include "admin/output.h"

static const struct output_field fields[] = {
	{"base", "CLONE OF", OUTPUT_TEXT},
	{"flat", "FLAT", OUTPUT_BOOL},
	{NULL, NULL, OUTPUT_TEXT},
};

json_t *clone_base_json(const char *uuid)
{
	return uuid[0] ? json_pack("{s:s}", "uuid", uuid) : json_null();
}

/* NULL: no memory. */
static json_t *names_by_uuid(const json_t *volumes)
{
	json_t *names = json_object(), *volume;
	int err = !names;
	size_t i;

	json_array_foreach(volumes, i, volume)
		err |= json_object_set(names, json_string_value(json_object_get(volume, "uuid")),
				       json_object_get(volume, "name"));
	if (!err)
		return names;
	json_decref(names);
	return NULL;
}

static const char *uuid_of(const json_t *base)
{
	return json_string_value(json_object_get(base, "uuid"));
}

int clone_base_name(json_t *volumes)
{
	json_t *names = names_by_uuid(volumes), *volume;
	int err = names ? 0 : -1;
	size_t i;

	json_array_foreach(volumes, i, volume) {
		json_t *base = json_object_get(volume, "base");
		json_t *name = json_is_object(base) ? json_object_get(names, uuid_of(base)) : NULL;

		if (json_is_object(base))
			err |= json_object_set(base, "volume", name ? name : json_null());
	}
	json_decref(names);
	return err;
}

int clone_base_label(json_t *volumes)
{
	json_t *volume;
	int err = 0;
	size_t i;

	json_array_foreach(volumes, i, volume) {
		json_t *base = json_object_get(volume, "base");
		json_t *name = json_object_get(base, "volume");

		err |= json_object_set(volume, "clone_of",
				       !json_is_object(base)  ? json_null()
				       : json_is_string(name) ? name
							      : json_object_get(base, "uuid"));
	}
	return err;
}

/* "" is what there is no name of. */
static json_t *name_json(const char *name)
{
	return name[0] ? json_string(name) : json_null();
}

static json_t *all_json(const struct lsvd_base_info *b)
{
	if (!b->volume_uuid[0])
		return json_null();
	return json_pack("{s:s, s:o, s:s, s:o, s:b}", "uuid", b->volume_uuid, "volume",
			 name_json(b->volume), "snapshot_uuid", b->snapshot_uuid, "snapshot",
			 name_json(b->snapshot), "flat", (int)b->is_flat);
}

int clone_base_add(const struct admin *a, const struct lsvd_volume_info *info, bool quick,
		   json_t *facts)
{
	struct lsvd_base_info base = LSVD_BASE_INFO_INIT;

	if (!quick && lsvd_volume_base(a->store, a->name, &base) < 0) {
		(void)admin_fail(); /* the caller's status says it */
		return -1;
	}
	if (json_object_set_new(facts, "base",
				quick ? clone_base_json(info->base_uuid) : all_json(&base)) < 0)
		return admin_error("out of memory");
	return 0;
}

/*
 * VOLUME@SNAPSHOT, each its UUID if it has no name any more; of a volume that is gone that is all.
 */
static void label(char *text, size_t cap, const json_t *base)
{
	const char *volume = json_string_value(json_object_get(base, "volume"));
	const char *snapshot = json_string_value(json_object_get(base, "snapshot"));

	if (!snapshot)
		snapshot = json_string_value(json_object_get(base, "snapshot_uuid"));
	if (!volume)
		(void)snprintf(text, cap, "%s", uuid_of(base));
	else
		(void)snprintf(text, cap, "%s@%s", volume, snapshot);
}

int clone_base_print(const json_t *facts)
{
	json_t *base = json_object_get(facts, "base");
	json_t *flat = json_object_get(base, "flat");
	char text[2 * LSVD_NAME_MAX + 2];

	if (!json_is_object(base))
		return ADMIN_OK;
	label(text, sizeof text, base);
	return output_rows(fields, "base",
			   json_pack("[{s:s, s:O}]", "base", text, "flat",
				     flat ? flat : json_null()),
			   false);
}
