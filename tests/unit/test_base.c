/* SPDX-License-Identifier: BSD-2-Clause */
/* test_base.c - errors and their texts, growing structs, identifiers, checksums, lists, numbers. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/base.h>
#include <lsvd/error.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/options.h"
#include "base/uuid.h"

#include "t_check.h"

/* ------------------------------------------------------------------------------------ errors */

START_TEST(every_code_has_a_name_a_text_and_an_errno)
{
	for (int err = LSVD_E_CORRUPT; err >= LSVD_E_STALE; err--) {
		ck_assert_int_eq(strncmp(lsvd_error_name(err), "LSVD_E_", 7), 0);
		ck_assert_str_ne(lsvd_strerror(err), "unknown error");
		ck_assert_int_gt(lsvd_error_errno(err), 0);
	}
}
END_TEST

START_TEST(no_two_codes_share_a_name)
{
	for (int a = LSVD_E_CORRUPT; a >= LSVD_E_STALE; a--)
		for (int b = a - 1; b >= LSVD_E_STALE; b--)
			ck_assert_str_ne(lsvd_error_name(a), lsvd_error_name(b));
}
END_TEST

START_TEST(an_errno_keeps_its_own_name_and_class)
{
	ck_assert_str_eq(lsvd_error_name(-ENOSPC), "ENOSPC");
	ck_assert_int_eq(lsvd_error_errno(-ENOSPC), ENOSPC);
	ck_assert_str_eq(lsvd_strerror(-ENOSPC), "No space left on device");
}
END_TEST

START_TEST(a_number_that_is_no_code_is_said_to_be_none)
{
	ck_assert_str_eq(lsvd_error_name(LSVD_E_STALE - 1), "?");
	ck_assert_str_eq(lsvd_error_name(-4000), "?");
	ck_assert_str_eq(lsvd_strerror(-1000000), "unknown error");
	ck_assert_int_eq(lsvd_error_errno(-1000000), EIO);
}
END_TEST

START_TEST(success_and_counts_have_no_errno)
{
	ck_assert_int_eq(lsvd_error_errno(0), 0);
	ck_assert_int_eq(lsvd_error_errno(7), 0);
	ck_assert_str_eq(lsvd_strerror(0), "success");
}
END_TEST

START_TEST(context_stands_before_the_text)
{
	int err = lsvd_fail(-EIO, "block %d is %s", 7, "bad");

	ck_assert_int_eq(lsvd_fail_context(err, "volume %s", "v"), -EIO);
	ck_assert_str_eq(lsvd_last_error(), "volume v: block 7 is bad");
}
END_TEST

START_TEST(a_text_too_long_is_cut_and_terminated)
{
	char text[2000];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	(void)lsvd_fail(-EIO, "%s", text); /* the code is not of interest */
	ck_assert_uint_eq(strlen(lsvd_last_error()), 511);
	(void)lsvd_fail_context(-EIO, "%s", text);
	ck_assert_uint_eq(strlen(lsvd_last_error()), 511);
}
END_TEST

static void *fail_elsewhere(void *text)
{
	(void)lsvd_fail(-EIO, "%s", (const char *)text);
	return NULL;
}

START_TEST(the_text_is_the_threads_own)
{
	pthread_t thread;
	char text[] = "theirs";

	(void)lsvd_fail(-EIO, "ours");
	ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, text), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_str_eq(lsvd_last_error(), "ours");
}
END_TEST

static void keep(void *ctx, enum lsvd_log_level level, const char *text)
{
	char *kept = ctx;

	(void)snprintf(kept, 64, "%d %s", (int)level, text); /* cut is as good */
}

START_TEST(messages_reach_the_callback_down_to_the_level_asked_for)
{
	char kept[64] = "";

	lsvd_set_log(keep, kept, LSVD_LOG_WARN);
	lsvd_report(LSVD_LOG_INFO, "unheard");
	ck_assert_str_eq(kept, "");
	lsvd_report(LSVD_LOG_WARN, "heard %d", 1);
	ck_assert_str_eq(kept, "1 heard 1");
	lsvd_set_log(NULL, NULL, LSVD_LOG_DEBUG);
	lsvd_report(LSVD_LOG_ERROR, "dropped");
	ck_assert_str_eq(kept, "1 heard 1");
}
END_TEST

START_TEST(the_version_is_that_of_the_header)
{
	char text[32];

	(void)snprintf(text, sizeof text, "%d.%d.%d", LSVD_VERSION_MAJOR, LSVD_VERSION_MINOR,
		       LSVD_VERSION_PATCH);
	ck_assert_str_eq(lsvd_version(), text);
}
END_TEST

/* ------------------------------------------------------------------------- growing structs */

/* What the library knows; the first release had only `a`. */
struct ours {
	uint32_t size, a;
	uint64_t b, c;
};
#define FIRST 8

START_TEST(no_struct_means_all_defaults)
{
	struct ours o = { 1, 2, 3, 4 };

	ck_assert_ok(lsvd_options_copy(&o, sizeof o, NULL, FIRST, "ours"));
	ck_assert(o.a == 0 && o.b == 0 && o.c == 0);
}
END_TEST

START_TEST(a_shorter_caller_gets_zero_for_what_it_lacks)
{
	struct ours o, caller = { FIRST + 8, 5, 6, 7 };

	ck_assert_ok(lsvd_options_copy(&o, sizeof o, &caller, FIRST, "ours"));
	ck_assert(o.a == 5 && o.b == 6 && o.c == 0);
}
END_TEST

START_TEST(a_longer_caller_is_accepted_if_the_rest_is_zero)
{
	struct {
		struct ours known;
		uint64_t unknown[2];
	} caller = { { sizeof caller, 5, 6, 7 }, { 0, 0 } };
	struct ours o;

	ck_assert_ok(lsvd_options_copy(&o, sizeof o, &caller, FIRST, "ours"));
	ck_assert(o.a == 5 && o.b == 6 && o.c == 7);
}
END_TEST

START_TEST(a_longer_caller_that_sets_something_unknown_is_refused)
{
	struct {
		struct ours known;
		uint64_t unknown[2];
	} caller = { { sizeof caller, 5, 6, 7 }, { 0, 1 } };
	struct ours o;

	ck_assert_err(lsvd_options_copy(&o, sizeof o, &caller, FIRST, "ours"), -E2BIG);
	ck_assert_error_says("ours: byte 32");
}
END_TEST

START_TEST(a_struct_whose_size_was_not_set_is_refused)
{
	struct ours o, caller = { 0, 5, 6, 7 };

	ck_assert_err(lsvd_options_copy(&o, sizeof o, &caller, FIRST, "ours"), -EINVAL);
	ck_assert_err(lsvd_options_fill(&caller, &o, sizeof o, FIRST, "ours"), -EINVAL);
}
END_TEST

START_TEST(filling_stays_within_the_callers_struct)
{
	struct ours from = { sizeof from, 1, 2, 3 }, caller = { FIRST + 8, 9, 9, 9 };

	ck_assert_ok(lsvd_options_fill(&caller, &from, sizeof from, FIRST, "ours"));
	ck_assert(caller.size == FIRST + 8 && caller.a == 1 && caller.b == 2);
	ck_assert_uint_eq(caller.c, 9);
}
END_TEST

START_TEST(filling_zeroes_what_only_the_caller_has)
{
	struct ours from = { sizeof from, 1, 2, 3 };
	struct {
		struct ours known;
		uint64_t unknown;
	} caller = { { sizeof caller, 9, 9, 9 }, 9 };

	ck_assert_ok(lsvd_options_fill(&caller, &from, sizeof from, FIRST, "ours"));
	ck_assert(caller.known.c == 3 && caller.unknown == 0);
	ck_assert_uint_eq(caller.known.size, sizeof caller);
}
END_TEST

/* ----------------------------------------------------------------------------- identifiers */

START_TEST(an_identifier_survives_the_way_through_text)
{
	struct uuid u, back;
	char text[UUID_TEXT_LEN + 1];

	for (uint8_t i = 0; i < 16; i++)
		u.b[i] = (uint8_t)(i * 17);
	lsvd_uuid_format(&u, text);
	ck_assert_str_eq(text, "00112233-4455-6677-8899-aabbccddeeff");
	ck_assert(lsvd_uuid_parse(&back, "00112233-4455-6677-8899-AABBCCDDEEFF"));
	ck_assert(lsvd_uuid_equal(&u, &back));
}
END_TEST

START_TEST(a_made_identifier_says_that_it_is_random)
{
	struct uuid u;
	char text[UUID_TEXT_LEN + 1];

	memset(&u, 0xff, sizeof u);
	lsvd_uuid_stamp(&u);
	lsvd_uuid_format(&u, text);
	ck_assert_str_eq(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
}
END_TEST

static const char *const not_identifiers[] = {
	"",
	"0",
	"00112233-4455-6677-8899-aabbccddeef",
	"00112233-4455-6677-8899-aabbccddeeff0",
	"00112233-4455-6677-8899-aabbccddeefg",
	"00112233 4455-6677-8899-aabbccddeeff",
	"00112233-4455-6677-8899aabbccddeeff-",
	"001122334455-6677-8899-aabbccddeeff",
	"{00112233-4455-6677-8899-aabbccddeeff}",
};

START_TEST(text_of_another_form_is_no_identifier)
{
	struct uuid u;

	memset(&u, 7, sizeof u);
	ck_assert(!lsvd_uuid_parse(&u, not_identifiers[_i]));
	ck_assert_uint_eq(u.b[0], 7); /* untouched */
}
END_TEST

/* ------------------------------------------------------------------------------- checksums */

START_TEST(the_checksum_is_xxh3_for_ever)
{
	ck_assert_uint_eq(lsvd_hash("", 0), UINT64_C(0x2d06800538d394c2));
}
END_TEST

START_TEST(a_bound_checksum_changes_with_each_thing_it_is_bound_to)
{
	uint64_t base = lsvd_hash_bind(1, 2, 3, 4);

	ck_assert_uint_eq(base, lsvd_hash_bind(1, 2, 3, 4));
	ck_assert_uint_ne(base, lsvd_hash_bind(9, 2, 3, 4));
	ck_assert_uint_ne(base, lsvd_hash_bind(1, 9, 3, 4));
	ck_assert_uint_ne(base, lsvd_hash_bind(1, 2, 9, 4));
	ck_assert_uint_ne(base, lsvd_hash_bind(1, 2, 3, 9));
	ck_assert_uint_ne(base, lsvd_hash_bind(1, 2, 4, 3));
}
END_TEST

/* ------------------------------------------------------------------------ lists and numbers */

struct item {
	struct list link;
	int n;
};

START_TEST(a_list_gives_back_in_order_what_was_added)
{
	struct list head = LIST_INIT(head);
	struct item items[3] = { { .n = 0 }, { .n = 1 }, { .n = 2 } };

	for (int i = 0; i < 3; i++)
		list_add_tail(&head, &items[i].link);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(list_entry(list_pop(&head), struct item, link)->n, i);
	ck_assert_ptr_null(list_pop(&head));
	ck_assert(list_empty(&head));
}
END_TEST

START_TEST(splicing_moves_everything_to_the_end_and_leaves_nothing)
{
	struct list to = LIST_INIT(to), from = LIST_INIT(from);
	struct item items[4] = { { .n = 0 }, { .n = 1 }, { .n = 2 }, { .n = 3 } };
	int n = 0;

	for (int i = 0; i < 4; i++)
		list_add_tail(i < 2 ? &to : &from, &items[i].link);
	list_splice_tail(&to, &from);
	list_splice_tail(&to, &from); /* of nothing: changes nothing */
	ck_assert(list_empty(&from));
	list_for_each(it, &to)
		ck_assert_int_eq(list_entry(it, struct item, link)->n, n++);
	ck_assert_int_eq(n, 4);
}
END_TEST

START_TEST(a_node_may_be_removed_on_the_walk)
{
	struct list head = LIST_INIT(head);
	struct item items[3];

	for (int i = 0; i < 3; i++)
		list_add_tail(&head, &items[i].link);
	list_for_each_safe(it, &head)
		list_del(it);
	ck_assert(list_empty(&head));
}
END_TEST

START_TEST(numbers_at_rest_are_little_endian_at_any_address)
{
	uint8_t b[9] = { 0 };

	le64_put(b + 1, UINT64_C(0x0807060504030201));
	for (uint8_t i = 0; i < 9; i++)
		ck_assert_uint_eq(b[i], i);
	ck_assert_uint_eq(le64_get(b + 1), UINT64_C(0x0807060504030201));
	ck_assert_uint_eq(le32_get(b + 5), 0x08070605);
	ck_assert_uint_eq(le16_get(b + 7), 0x0807);
}
END_TEST

START_TEST(a_range_that_wraps_round_is_not_within)
{
	ck_assert(range_within(0, 0, 0));
	ck_assert(range_within(10, 10, 20));
	ck_assert(!range_within(10, 11, 20));
	ck_assert(!range_within(21, 0, 20));
	ck_assert(!range_within(UINT64_MAX, 2, 20));
	ck_assert(!range_within(2, UINT64_MAX, 20));
}
END_TEST

/* --------------------------------------------------------------------------------- memory */

static void *no_memory(size_t align, size_t size)
{
	(void)align;
	(void)size;
	return NULL;
}

static void *any_memory(size_t align, size_t size)
{
	return aligned_alloc(align, (size + align - 1) / align * align);
}

static const struct alloc_ops ordinary = { any_memory, realloc, free };

START_TEST(allocation_can_be_refused)
{
	static const struct alloc_ops none = { no_memory, realloc, free };

	lsvd_alloc_set(&none);
	ck_assert_ptr_null(lsvd_malloc(1));
	ck_assert_ptr_null(lsvd_calloc(1, 1));
	ck_assert_ptr_null(lsvd_strdup("x"));
	ck_assert_ptr_null(lsvd_aligned_alloc(4096, 4096));
	lsvd_alloc_set(NULL);
}
END_TEST

START_TEST(a_huge_block_goes_back_where_it_came_from)
{
	static const struct alloc_ops none = { no_memory, realloc, free };
	const size_t size = (3u << 20) + 1;
	uint8_t *mapped = lsvd_huge_alloc(size), *other;

	ck_assert_ptr_nonnull(mapped);
	ck_assert_uint_eq((uintptr_t)mapped % 4096, 0);
	memset(mapped, 1, size);
	lsvd_alloc_set(&none);
	ck_assert_ptr_null(lsvd_huge_alloc(size));
	lsvd_huge_free(mapped, size);
	lsvd_huge_free(NULL, size);
	lsvd_alloc_set(&ordinary);
	other = lsvd_huge_alloc(size);
	lsvd_alloc_set(NULL);
	ck_assert_ptr_nonnull(other);
	memset(other, 1, size);
	lsvd_huge_free(other, size);
	ck_assert_ptr_null(lsvd_huge_alloc(SIZE_MAX - 7));
}
END_TEST

START_TEST(a_product_that_overflows_is_not_allocated)
{
	ck_assert_ptr_null(lsvd_calloc(SIZE_MAX / 2, 3));
}
END_TEST

START_TEST(aligned_memory_is_aligned)
{
	void *p = lsvd_aligned_alloc(4096, 100);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq((uintptr_t)p % 4096, 0);
	lsvd_free(p);
}
END_TEST

static void add_errors(TCase *t)
{
	tcase_add_test(t, every_code_has_a_name_a_text_and_an_errno);
	tcase_add_test(t, no_two_codes_share_a_name);
	tcase_add_test(t, an_errno_keeps_its_own_name_and_class);
	tcase_add_test(t, a_number_that_is_no_code_is_said_to_be_none);
	tcase_add_test(t, success_and_counts_have_no_errno);
	tcase_add_test(t, context_stands_before_the_text);
	tcase_add_test(t, a_text_too_long_is_cut_and_terminated);
	tcase_add_test(t, the_text_is_the_threads_own);
	tcase_add_test(t, messages_reach_the_callback_down_to_the_level_asked_for);
	tcase_add_test(t, the_version_is_that_of_the_header);
}

static void add_structs(TCase *t)
{
	tcase_add_test(t, no_struct_means_all_defaults);
	tcase_add_test(t, a_shorter_caller_gets_zero_for_what_it_lacks);
	tcase_add_test(t, a_longer_caller_is_accepted_if_the_rest_is_zero);
	tcase_add_test(t, a_longer_caller_that_sets_something_unknown_is_refused);
	tcase_add_test(t, a_struct_whose_size_was_not_set_is_refused);
	tcase_add_test(t, filling_stays_within_the_callers_struct);
	tcase_add_test(t, filling_zeroes_what_only_the_caller_has);
}

static void add_identifiers(TCase *t)
{
	tcase_add_test(t, an_identifier_survives_the_way_through_text);
	tcase_add_test(t, a_made_identifier_says_that_it_is_random);
	tcase_add_loop_test(t, text_of_another_form_is_no_identifier, 0,
			    (int)(sizeof not_identifiers / sizeof not_identifiers[0]));
	tcase_add_test(t, the_checksum_is_xxh3_for_ever);
	tcase_add_test(t, a_bound_checksum_changes_with_each_thing_it_is_bound_to);
}

static void add_small_things(TCase *t)
{
	tcase_add_test(t, a_list_gives_back_in_order_what_was_added);
	tcase_add_test(t, splicing_moves_everything_to_the_end_and_leaves_nothing);
	tcase_add_test(t, a_node_may_be_removed_on_the_walk);
	tcase_add_test(t, numbers_at_rest_are_little_endian_at_any_address);
	tcase_add_test(t, a_range_that_wraps_round_is_not_within);
	tcase_add_test(t, allocation_can_be_refused);
	tcase_add_test(t, a_huge_block_goes_back_where_it_came_from);
	tcase_add_test(t, a_product_that_overflows_is_not_allocated);
	tcase_add_test(t, aligned_memory_is_aligned);
}

static Suite *base_suite(void)
{
	static const struct {
		const char *name;
		void (*add)(TCase *t);
	} cases[] = {
		{ "errors", add_errors },
		{ "growing structs", add_structs },
		{ "identifiers and checksums", add_identifiers },
		{ "lists, numbers, memory", add_small_things },
	};
	Suite *s = suite_create("base");

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		TCase *t = tcase_create(cases[i].name);

		cases[i].add(t);
		suite_add_tcase(s, t);
	}
	return s;
}

T_MAIN(base_suite)
