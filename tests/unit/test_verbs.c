/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of what administrators ask of an open volume, where no memory or odd text is in the way. */
#include <lsvd/snapshot.h>
#include <lsvd/volume.h>

#include "common/facts.h"
#include "common/verbs.h"
#include "t_volume.h"
#include "volume/volume_internal.h"

/* ------------------------------------------------------------------------------- without memory */

static unsigned allocations_left;

static void *scarce_malloc(size_t size)
{
	return allocations_left && allocations_left-- ? malloc(size) : NULL;
}

/* What `ask` returns if JSON gets `n` pieces of memory and no more. */
static json_t *with_memory(unsigned n, json_t *(*ask)(void *ctx), void *ctx)
{
	json_t *reply;

	allocations_left = n;
	json_set_alloc_funcs(scarce_malloc, free);
	reply = ask(ctx);
	json_set_alloc_funcs(malloc, free);
	return reply;
}

static json_t *three_rows(void *ctx)
{
	struct facts_rows rows;

	(void)ctx;
	facts_rows_begin(&rows);
	for (int i = 0; i < 3; i++)
		(void)facts_rows_add(&rows, json_pack("{s:i}", "row", i)); /* the end says it */
	return facts_rows_end(&rows);
}

START_TEST(verbs_rows_are_all_there_or_none)
{
	json_t *rows = NULL;
	unsigned n;

	for (n = 0; !rows; n++) {
		ck_assert_uint_lt(n, 1000);
		rows = with_memory(n, three_rows, NULL);
	}
	ck_assert_uint_gt(n, 4);
	ck_assert_uint_eq(json_array_size(rows), 3);
	json_decref(rows);
}
END_TEST

static json_t *list_snapshots(void *ctx)
{
	static const struct verb_host nobody;
	struct tv *t = ctx;
	json_t *request = json_pack("{s:s, s:s}", "verb", "snapshot", "action", "list");
	json_t *reply = request ? verb_run(t->v, request, &nobody) : NULL;

	json_decref(request);
	return reply;
}

START_TEST(verbs_a_list_of_snapshots_is_whole_or_refused)
{
	struct tv *t = tv_new();
	unsigned whole = 0;

	tv_open(t);
	ck_assert_ok(lsvd_snapshot_create(t->v, "a", UINT32_MAX, NULL));
	ck_assert_ok(lsvd_snapshot_create(t->v, "b", UINT32_MAX, NULL));
	ck_assert_ok(lsvd_snapshot_create(t->v, "c", UINT32_MAX, NULL));
	for (unsigned n = 0; n < 1000 && !whole; n++) {
		json_t *reply = with_memory(n, list_snapshots, t);
		const json_t *result = json_object_get(reply, "result");

		whole += result != NULL;
		if (result)
			ck_assert_uint_eq(json_array_size(json_object_get(result, "snapshots")), 3);
		json_decref(reply);
	}
	ck_assert_uint_eq(whole, 1);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------- odd text */

START_TEST(verbs_text_that_is_no_utf8_is_told_as_far_as_it_goes)
{
	json_t *odd = facts_text("caf\xe9"), *good = facts_text("caf\xc3\xa9");

	ck_assert_str_eq(json_string_value(odd), "caf?");
	ck_assert_str_eq(json_string_value(good), "caf\xc3\xa9");
	json_decref(odd);
	json_decref(good);
}
END_TEST

START_TEST(verbs_stats_are_told_though_the_status_names_an_odd_path)
{
	static const struct verb_host nobody;
	struct tv *t = tv_new();
	json_t *request = json_pack("{s:s}", "verb", "stats"), *reply;
	const json_t *result;

	tv_open(t);
	lsvd_port_enter(&t->v->port);
	t->v->store_err = LSVD_E_UNAVAILABLE;
	(void)snprintf(t->v->store_text, sizeof t->v->store_text, "/caf\xe9: away"); /* fits */
	lsvd_port_leave(&t->v->port, false);
	reply = verb_run(t->v, request, &nobody);
	ck_assert(json_is_true(json_object_get(reply, "ok")));
	result = json_object_get(reply, "result");
	ck_assert_str_eq(json_string_value(json_object_get(result, "status_text")), "/caf?: away");
	json_decref(reply);
	json_decref(request);
	tv_free(t);
}
END_TEST

START_TEST(verbs_a_failure_with_odd_text_still_says_what_it_can)
{
	json_t *reply = verb_failure(-EIO, "/caf\xe9: bad");

	ck_assert_str_eq(json_string_value(json_object_get(reply, "text")), "/caf?: bad");
	json_decref(reply);
}
END_TEST

START_TEST(verbs_a_percentage_beyond_all_numbers_is_refused)
{
	static const struct verb_host nobody;
	struct tv *t = tv_new();
	/* 2^32 more than a good one. */
	json_t *request = json_pack("{s:s, s:s, s:I}", "verb", "gc", "action", "start", "percent",
				    (json_int_t)0x100000082);
	json_t *reply;

	tv_open(t);
	reply = verb_run(t->v, request, &nobody);
	ck_assert(json_is_false(json_object_get(reply, "ok")));
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(reply, "text")),
				     "4294967426"));
	json_decref(reply);
	json_decref(request);
	tv_free(t);
}
END_TEST

START_TEST(verbs_what_is_wrong_with_a_request_is_told)
{
	static const struct verb_host nobody;
	static const struct {
		const char *request, *said;
	} wrong[] = {
		{ "{\"verb\": \"dance\"}", "\"dance\" is not known" },
		{ "{\"verb\": \"\\u001b[2J\"}", "\"?[2J\" is not known" },
		{ "{\"verb\": \"stats\", \"more\": 1}", "more" },
		{ "{\"verb\": \"resize\"}", "bytes" },
		{ "{\"verb\": \"resize\", \"bytes\": -512}", "-512" },
		{ "{\"verb\": \"seal\", \"wait\": \"yes\"}", "string" },
		{ "{\"verb\": \"gc\", \"action\": \"dance\"}", "\"dance\" is not known" },
		{ "{\"verb\": \"snapshot\", \"action\": \"create\"}", "create needs a member" },
		{ "{\"verb\": \"snapshot\", \"action\": \"dance\", \"snapshot\": \"s\"}",
		  "\"dance\" is not known" },
	};
	struct tv *t = tv_new();

	tv_open(t);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		json_t *request = json_loads(wrong[i].request, 0, NULL);
		json_t *reply = verb_run(t->v, request, &nobody);
		const char *text = json_string_value(json_object_get(reply, "text"));

		ck_assert(json_is_false(json_object_get(reply, "ok")));
		ck_assert_msg(strstr(text, wrong[i].said), "%s: %s", wrong[i].request, text);
		json_decref(reply);
		json_decref(request);
	}
	tv_free(t);
}
END_TEST

/* Snapshots that clones were made of on the fly: they go when nobody needs them. */
START_TEST(verbs_gc_deletes_what_was_made_for_clones_that_are_gone)
{
	static const struct verb_host nobody;
	struct tv *t = tv_new();
	json_t *request = json_pack("{s:s, s:s}", "verb", "gc", "action", "start");
	json_t *left;

	ck_assert_ok(lsvd_volume_clone(t->store, TV_NAME, NULL, "gone", &t->o, NULL));
	ck_assert_ok(lsvd_volume_clone(t->store, TV_NAME, NULL, "there", &t->o, NULL));
	ck_assert_ok(lsvd_volume_delete(t->store, "gone"));
	tv_open(t);
	ck_assert_ok(lsvd_snapshot_create(t->v, "for-a-year-and-36-characters-in-all-mine",
					  UINT32_MAX, NULL));
	for (int first = 1; first >= 0; first--) {
		json_t *reply = verb_run(t->v, request, &nobody);
		const json_t *result = json_object_get(reply, "result");

		ck_assert_int_eq(json_integer_value(json_object_get(result, "deleted_snapshots")),
				 first);
		json_decref(reply);
	}
	left = list_snapshots(t);
	ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(left, "result"),
							  "snapshots")), 2);
	json_decref(left);
	json_decref(request);
	tv_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("verbs");
	TCase *memory = tcase_create("memory"), *text = tcase_create("text");

	tcase_add_test(memory, verbs_rows_are_all_there_or_none);
	tcase_add_test(memory, verbs_a_list_of_snapshots_is_whole_or_refused);
	suite_add_tcase(s, memory);
	tcase_add_test(text, verbs_text_that_is_no_utf8_is_told_as_far_as_it_goes);
	tcase_add_test(text, verbs_stats_are_told_though_the_status_names_an_odd_path);
	tcase_add_test(text, verbs_a_failure_with_odd_text_still_says_what_it_can);
	tcase_add_test(text, verbs_a_percentage_beyond_all_numbers_is_refused);
	tcase_add_test(text, verbs_what_is_wrong_with_a_request_is_told);
	tcase_add_test(text, verbs_gc_deletes_what_was_made_for_clones_that_are_gone);
	suite_add_tcase(s, text);
	return s;
}

T_MAIN(suite)
