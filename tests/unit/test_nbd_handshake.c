/* SPDX-License-Identifier: BSD-2-Clause */
/* test_nbd_handshake.c - options of all kinds, well and badly made: answered, and the stream in
 * step. */
#include "nbd_peer.h"

static struct peer t;

static void set_up(void)
{
	peer_init(&t);
}

static void tear_down(void)
{
	peer_fini(&t);
}

/* Greeting and flags, so that options may follow. */
static void greet(void)
{
	say_flags(&t, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	peer_run(&t);
	expect_greeting(&t);
}

/* The stream is where it should be: another option is understood. */
static void expect_in_step(void)
{
	ck_assert_uint_eq(said(&t), 0);
	say_option(&t, NBD_OPT_LIST, NULL, 0);
	peer_run(&t);
	(void)expect_reply(&t, NBD_OPT_LIST, NBD_REP_SERVER, NULL);
	(void)expect_reply(&t, NBD_OPT_LIST, NBD_REP_SERVER, NULL);
	(void)expect_reply(&t, NBD_OPT_LIST, NBD_REP_ACK, NULL);
	ck_assert_uint_eq(said(&t), 0);
}

static void structured(void)
{
	say_option(&t, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	peer_run(&t);
	(void)expect_reply(&t, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, NULL);
}

static void expect_end(void)
{
	ck_assert(nbd_conn_finished(&t.conn));
	ck_assert_uint_eq(said(&t), 0);
}

START_TEST(greeting_is_sent_before_the_client_speaks)
{
	peer_run(&t);
	expect_greeting(&t);
	ck_assert_uint_eq(said(&t), 0);
}
END_TEST

START_TEST(unknown_client_flags_end_the_connection)
{
	peer_run(&t);
	expect_greeting(&t);
	say_flags(&t, NBD_FLAG_FIXED_NEWSTYLE | 4);
	peer_run(&t);
	expect_end();
}
END_TEST

START_TEST(client_without_fixed_newstyle_may_only_name_an_export)
{
	peer_run(&t);
	expect_greeting(&t);
	say_flags(&t, 0);
	say_option(&t, NBD_OPT_LIST, NULL, 0);
	peer_run(&t);
	expect_end();
}
END_TEST

START_TEST(unknown_option_is_refused_and_skipped)
{
	uint8_t junk[5000];

	greet();
	t_fill(junk, sizeof junk, 1);
	say_option(&t, 4711, junk, sizeof junk);
	say_option(&t, 5, NULL, 0); /* STARTTLS: not offered */
	peer_run(&t);
	(void)expect_reply(&t, 4711, NBD_REP_ERR_UNSUP, NULL);
	(void)expect_reply(&t, 5, NBD_REP_ERR_UNSUP, NULL);
	expect_in_step();
}
END_TEST

START_TEST(error_replies_say_why_in_words)
{
	uint32_t len;

	greet();
	say_option(&t, 4711, NULL, 0);
	peer_run(&t);
	(void)expect_reply(&t, 4711, NBD_REP_ERR_UNSUP, &len);
	ck_assert_uint_gt(len, 10);
}
END_TEST

START_TEST(abort_is_acknowledged_then_the_end)
{
	greet();
	say_option(&t, NBD_OPT_ABORT, "whatever", 8);
	peer_run(&t);
	(void)expect_reply(&t, NBD_OPT_ABORT, NBD_REP_ACK, NULL);
	expect_end();
}
END_TEST

START_TEST(list_names_every_export)
{
	uint32_t len;
	const uint8_t *p;

	greet();
	say_option(&t, NBD_OPT_LIST, NULL, 0);
	peer_run(&t);
	p = expect_reply(&t, NBD_OPT_LIST, NBD_REP_SERVER, &len);
	ck_assert_uint_eq(len, 8);
	ck_assert_uint_eq(be32_get(p), 4);
	ck_assert_mem_eq(p + 4, "disk", 4);
	p = expect_reply(&t, NBD_OPT_LIST, NBD_REP_SERVER, &len);
	ck_assert_mem_eq(p + 4, "locked", 6);
	(void)expect_reply(&t, NBD_OPT_LIST, NBD_REP_ACK, NULL);
}
END_TEST

START_TEST(options_without_data_refuse_data)
{
	greet();
	say_option(&t, NBD_OPT_LIST, "x", 1);
	say_option(&t, NBD_OPT_STRUCTURED_REPLY, "x", 1);
	peer_run(&t);
	(void)expect_reply(&t, NBD_OPT_LIST, NBD_REP_ERR_INVALID, NULL);
	(void)expect_reply(&t, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_INVALID, NULL);
	ck_assert(!t.conn.structured);
	expect_in_step();
}
END_TEST

START_TEST(structured_replies_are_negotiated_once)
{
	greet();
	structured();
	say_option(&t, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	peer_run(&t);
	(void)expect_reply(&t, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_INVALID, NULL);
	ck_assert(t.conn.structured);
	expect_in_step();
}
END_TEST

/* INFO and GO, by `_i`. */
static const uint32_t info_options[] = {NBD_OPT_INFO, NBD_OPT_GO};

static uint64_t expect_export_info(uint32_t option, uint16_t *ret_flags)
{
	uint32_t len;
	const uint8_t *p = expect_reply(&t, option, NBD_REP_INFO, &len);

	ck_assert_uint_eq(len, 12);
	ck_assert_uint_eq(be16_get(p), NBD_INFO_EXPORT);
	*ret_flags = be16_get(p + 10);
	return be64_get(p + 2);
}

static void expect_block_size(uint32_t option)
{
	uint32_t len;
	const uint8_t *p = expect_reply(&t, option, NBD_REP_INFO, &len);

	ck_assert_uint_eq(len, 14);
	ck_assert_uint_eq(be16_get(p), NBD_INFO_BLOCK_SIZE);
	ck_assert_uint_eq(be32_get(p + 2), 512);
	ck_assert_uint_eq(be32_get(p + 6), 4096);
	ck_assert_uint_eq(be32_get(p + 10), 32 << 20);
}

START_TEST(export_is_described_as_asked)
{
	const uint16_t infos[] = {NBD_INFO_DESCRIPTION, 77, NBD_INFO_NAME, NBD_INFO_BLOCK_SIZE};
	uint32_t option = info_options[_i], len;
	const uint8_t *p;
	uint16_t flags;

	greet();
	say_info(&t, option, "disk", 4, infos);
	peer_run(&t);
	ck_assert_uint_eq(expect_export_info(option, &flags), DISK_BYTES);
	ck_assert_uint_eq(flags, NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
					 NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES |
					 NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE |
					 NBD_FLAG_SEND_FAST_ZERO);
	p = expect_reply(&t, option, NBD_REP_INFO, &len);
	ck_assert_uint_eq(be16_get(p), NBD_INFO_NAME);
	ck_assert_mem_eq(p + 2, "disk", len - 2);
	p = expect_reply(&t, option, NBD_REP_INFO, &len);
	ck_assert_uint_eq(be16_get(p), NBD_INFO_DESCRIPTION);
	ck_assert_mem_eq(p + 2, "a disk in memory", len - 2);
	expect_block_size(option);
	(void)expect_reply(&t, option, NBD_REP_ACK, NULL);
	ck_assert_uint_eq(said(&t), 0);
	ck_assert_int_eq(t.conn.phase == NBD_PHASE_TRANSMISSION, option == NBD_OPT_GO);
}
END_TEST

START_TEST(empty_name_is_the_default_export)
{
	uint32_t option = info_options[_i];
	uint16_t flags;

	greet();
	say_info(&t, option, "", 0, NULL);
	peer_run(&t);
	ck_assert_uint_eq(expect_export_info(option, &flags), DISK_BYTES);
}
END_TEST

START_TEST(read_only_export_says_so)
{
	uint32_t option = info_options[_i];
	uint16_t flags;

	greet();
	say_info(&t, option, "locked", 0, NULL);
	peer_run(&t);
	(void)expect_export_info(option, &flags);
	ck_assert_uint_ne(flags & NBD_FLAG_READ_ONLY, 0);
}
END_TEST

START_TEST(df_is_offered_with_structured_replies)
{
	uint32_t option = info_options[_i];
	uint16_t flags;

	greet();
	structured();
	say_info(&t, option, "disk", 0, NULL);
	peer_run(&t);
	(void)expect_export_info(option, &flags);
	ck_assert_uint_ne(flags & NBD_FLAG_SEND_DF, 0);
}
END_TEST

START_TEST(unknown_export_is_an_error_and_haggling_goes_on)
{
	uint32_t option = info_options[_i];

	greet();
	say_info(&t, option, "nonesuch", 0, NULL);
	say_info(&t, option, "../etc/passwd", 0, NULL);
	say_info(&t, option, "-x", 0, NULL);
	peer_run(&t);
	(void)expect_reply(&t, option, NBD_REP_ERR_UNKNOWN, NULL);
	(void)expect_reply(&t, option, NBD_REP_ERR_UNKNOWN, NULL);
	(void)expect_reply(&t, option, NBD_REP_ERR_UNKNOWN, NULL);
	ck_assert_uint_eq(t.lookups, 1); /* what cannot be a volume's name is not looked for */
	expect_in_step();
}
END_TEST

START_TEST(looking_does_not_open)
{
	greet();
	say_info(&t, NBD_OPT_INFO, "disk", 0, NULL);
	say_info(&t, NBD_OPT_INFO, "disk", 0, NULL);
	peer_run(&t);
	ck_assert_uint_eq(t.lookups, 2);
	ck_assert_uint_eq(t.opens, 0);
}
END_TEST

START_TEST(malformed_info_is_refused_in_step)
{
	static const uint8_t cases[][16] = {
		{0},					   /* 0: nothing at all */
		{0, 0, 0},				   /* length cut off */
		{0, 0, 0, 4, 'd', 'i', 's', 'k'},	   /* no count of infos */
		{0, 0, 0, 5, 'd', 'i', 's', 'k', 0, 0},	   /* name longer than it is */
		{0, 0, 0, 3, 'd', 'i', 's', 'k', 0, 0},	   /* and shorter */
		{0, 0, 0, 4, 'd', 'i', 's', 'k', 0, 1},	   /* one info announced, none there */
		{0, 0, 0, 4, 'd', 'i', 's', 'k', 0, 0, 9}, /* something behind */
		{0xff, 0xff, 0xff, 0xff, 'd', 'i', 's', 'k', 0, 0},
		{0xff, 0xff, 0xff, 0xfc, 'd', 'i', 's', 'k', 0, 0},
		{0, 0, 0, 4, 'd', 0, 's', 'k', 0, 0}, /* a zero byte in a name */
	};
	static const size_t lens[] = {0, 3, 8, 10, 10, 10, 11, 10, 10, 10};

	greet();
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
		say_option(&t, info_options[_i], cases[i], lens[i]);
		peer_run(&t);
		(void)expect_reply(&t, info_options[_i], NBD_REP_ERR_INVALID, NULL);
		expect_in_step();
	}
	ck_assert_uint_eq(t.lookups, 0);
}
END_TEST

START_TEST(every_cut_of_go_is_refused_in_step)
{
	const uint16_t infos[] = {NBD_INFO_NAME, NBD_INFO_DESCRIPTION};
	struct peer full;

	peer_init(&full);
	say_info(&full, NBD_OPT_GO, "disk", 2, infos);
	t.limits.options = 1000;
	greet();
	for (size_t len = 0; len < full.in.len - NBD_OPTION_BYTES; len++) {
		say_option(&t, NBD_OPT_GO, full.in.p + NBD_OPTION_BYTES, len);
		peer_run(&t);
		(void)expect_reply(&t, NBD_OPT_GO, NBD_REP_ERR_INVALID, NULL);
		expect_in_step();
	}
	peer_fini(&full);
}
END_TEST

START_TEST(every_cut_of_a_meta_option_is_refused_in_step)
{
	static const uint32_t options[] = {NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT};
	struct peer full;

	peer_init(&full);
	say_meta(&full, options[_i], "disk", "base:allocation");
	t.limits.options = 1000;
	greet();
	structured();
	for (size_t len = 0; len < full.in.len - NBD_OPTION_BYTES; len++) {
		say_option(&t, options[_i], full.in.p + NBD_OPTION_BYTES, len);
		peer_run(&t);
		(void)expect_reply(&t, options[_i], NBD_REP_ERR_INVALID, NULL);
		expect_in_step();
	}
	peer_fini(&full);
}
END_TEST

START_TEST(longest_sensible_go_is_served)
{
	struct bytes b = {0};

	greet();
	bytes_text(&b, "disk");
	bytes_add16(&b, 65535);
	for (int i = 0; i < 65535; i++)
		bytes_add16(&b, NBD_INFO_BLOCK_SIZE);
	say_option(&t, NBD_OPT_GO, b.p, b.len);
	free(b.p);
	peer_run(&t);
	ck_assert_int_eq(t.conn.phase, NBD_PHASE_TRANSMISSION);
}
END_TEST

START_TEST(oversized_option_ends_the_connection_at_its_header)
{
	greet();
	bytes_add64(&t.in, NBD_OPTION_MAGIC);
	bytes_add32(&t.in, NBD_OPT_GO);
	bytes_add32(&t.in, _i ? UINT32_MAX : 256 << 10);
	peer_run(&t);
	expect_end();
}
END_TEST

START_TEST(wrong_magic_ends_the_connection)
{
	greet();
	bytes_add64(&t.in, NBD_OPTION_MAGIC + 1);
	bytes_add64(&t.in, 0);
	peer_run(&t);
	expect_end();
}
END_TEST

START_TEST(options_without_end_are_cut_off)
{
	greet();
	for (uint32_t i = 0; i < t.limits.options; i++)
		say_option(&t, 4711, NULL, 0);
	peer_run(&t);
	for (uint32_t i = 0; i < t.limits.options; i++)
		(void)expect_reply(&t, 4711, NBD_REP_ERR_UNSUP, NULL);
	ck_assert(!nbd_conn_finished(&t.conn));
	say_option(&t, 4711, NULL, 0);
	peer_run(&t);
	expect_end();
}
END_TEST

START_TEST(answers_not_read_hold_back_further_options)
{
	static uint8_t junk[4000];

	t.limits.options = 100000;
	greet();
	t.deaf = true;
	for (int i = 0; i < 4000; i++)
		say_option(&t, 4711, junk, 100);
	peer_run(&t);
	ck_assert_uint_lt(t.in_at, t.in.len);
	ck_assert_uint_lt(t.conn.text_len, 128 << 10);
	t.deaf = false;
	peer_run(&t);
	ck_assert_uint_eq(t.in_at, t.in.len);
	for (int i = 0; i < 4000; i++)
		(void)expect_reply(&t, 4711, NBD_REP_ERR_UNSUP, NULL);
}
END_TEST

START_TEST(export_name_is_answered_with_zeroes_unless_both_forgo_them)
{
	uint32_t flags = _i & 1 ? NBD_FLAG_FIXED_NEWSTYLE : 0;
	const uint8_t *p;

	if (_i & 2)
		flags |= NBD_FLAG_NO_ZEROES;
	say_flags(&t, flags);
	say_option(&t, NBD_OPT_EXPORT_NAME, "disk", 4);
	peer_run(&t);
	expect_greeting(&t);
	p = take_bytes(&t, 10);
	ck_assert_uint_eq(be64_get(p), DISK_BYTES);
	ck_assert_uint_ne(be16_get(p + 8) & NBD_FLAG_HAS_FLAGS, 0);
	ck_assert_uint_eq(said(&t), _i & 2 ? 0 : 124);
	ck_assert_int_eq(t.conn.phase, NBD_PHASE_TRANSMISSION);
}
END_TEST

START_TEST(unknown_export_name_just_ends)
{
	static const char *const names[] = {"nonesuch", "../x", "a b"};

	greet();
	say_option(&t, NBD_OPT_EXPORT_NAME, names[_i], strlen(names[_i]));
	peer_run(&t);
	expect_end();
}
END_TEST

START_TEST(meta_contexts_need_structured_replies)
{
	greet();
	say_meta(&t, NBD_OPT_LIST_META_CONTEXT, "disk", NULL);
	say_meta(&t, NBD_OPT_SET_META_CONTEXT, "disk", "base:allocation");
	peer_run(&t);
	(void)expect_reply(&t, NBD_OPT_LIST_META_CONTEXT, NBD_REP_ERR_INVALID, NULL);
	(void)expect_reply(&t, NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_INVALID, NULL);
	expect_in_step();
}
END_TEST

static void expect_context(uint32_t option)
{
	uint32_t len;
	const uint8_t *p = expect_reply(&t, option, NBD_REP_META_CONTEXT, &len);

	ck_assert_mem_eq(p + 4, "base:allocation", len - 4);
	ck_assert_uint_eq(len, 4 + 15);
	(void)expect_reply(&t, option, NBD_REP_ACK, NULL);
}

START_TEST(contexts_are_listed_for_all_for_the_name_space_and_by_name)
{
	static const char *const queries[] = {NULL, "base:", "base:allocation"};

	greet();
	structured();
	say_meta(&t, NBD_OPT_LIST_META_CONTEXT, "disk", queries[_i]);
	peer_run(&t);
	expect_context(NBD_OPT_LIST_META_CONTEXT);
	expect_in_step();
}
END_TEST

START_TEST(foreign_contexts_are_ignored)
{
	static const char *const queries[] = {"qemu:dirty-bitmap:x", "base:other", "", "base"};

	greet();
	structured();
	for (int i = 0; i < 4; i++) {
		say_meta(&t, NBD_OPT_LIST_META_CONTEXT, "disk", queries[i]);
		say_meta(&t, NBD_OPT_SET_META_CONTEXT, "disk", queries[i]);
		peer_run(&t);
		(void)expect_reply(&t, NBD_OPT_LIST_META_CONTEXT, NBD_REP_ACK, NULL);
		(void)expect_reply(&t, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, NULL);
	}
	ck_assert(!t.conn.allocation);
	expect_in_step();
}
END_TEST

START_TEST(the_name_space_alone_selects_nothing)
{
	greet();
	structured();
	say_meta(&t, NBD_OPT_SET_META_CONTEXT, "disk", "base:");
	peer_run(&t);
	(void)expect_reply(&t, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, NULL);
	ck_assert(!t.conn.allocation);
}
END_TEST

START_TEST(a_failing_set_forgets_what_was_selected)
{
	greet();
	structured();
	say_meta(&t, NBD_OPT_SET_META_CONTEXT, "disk", "base:allocation");
	peer_run(&t);
	expect_context(NBD_OPT_SET_META_CONTEXT);
	ck_assert(t.conn.allocation);
	say_meta(&t, NBD_OPT_SET_META_CONTEXT, "nonesuch", "base:allocation");
	peer_run(&t);
	(void)expect_reply(&t, NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_UNKNOWN, NULL);
	ck_assert(!t.conn.allocation);
}
END_TEST

START_TEST(contexts_hold_for_the_export_they_were_selected_for)
{
	static const char *const names[] = {"disk", "", "locked"};

	greet();
	structured();
	say_meta(&t, NBD_OPT_SET_META_CONTEXT, "disk", "base:allocation");
	say_info(&t, NBD_OPT_GO, names[_i], 0, NULL);
	peer_run(&t);
	ck_assert_int_eq(t.conn.phase, NBD_PHASE_TRANSMISSION);
	ck_assert_int_eq(t.conn.allocation, _i < 2);
}
END_TEST

START_TEST(nothing_is_read_while_an_export_is_looked_for)
{
	struct iovec iov[2];

	greet();
	t.hold_lookup = true;
	say_info(&t, NBD_OPT_GO, "disk", 0, NULL);
	say_request(&t, NBD_CMD_FLUSH, 0, 1, 0, 0);
	peer_run(&t);
	ck_assert_int_eq(nbd_conn_rx(&t.conn, iov), 0);
	ck_assert_uint_eq(said(&t), 0);
	peer_answer(&t);
	peer_run(&t); /* the request that came with GO is served now */
	for (int i = 0; i < 2; i++)
		(void)expect_reply(&t, NBD_OPT_GO, NBD_REP_INFO, NULL);
	(void)expect_reply(&t, NBD_OPT_GO, NBD_REP_ACK, NULL);
	expect_simple(&t, 1, 0);
}
END_TEST

START_TEST(a_client_that_leaves_while_asking_is_forgotten_after_the_answer)
{
	greet();
	t.hold_lookup = true;
	say_info(&t, NBD_OPT_GO, "disk", 0, NULL);
	peer_run(&t);
	nbd_conn_kill(&t.conn, "gone");
	ck_assert(!nbd_conn_gone(&t.conn));
	peer_answer(&t);
	ck_assert(nbd_conn_gone(&t.conn));
	peer_run(&t);
	ck_assert_uint_eq(said(&t), 0);
}
END_TEST

START_TEST(options_are_refused_while_stopping)
{
	greet();
	nbd_conn_stop(&t.conn);
	say_info(&t, NBD_OPT_GO, "disk", 0, NULL);
	say_option(&t, NBD_OPT_LIST, NULL, 0);
	say_option(&t, NBD_OPT_ABORT, NULL, 0);
	peer_run(&t);
	(void)expect_reply(&t, NBD_OPT_GO, NBD_REP_ERR_SHUTDOWN, NULL);
	(void)expect_reply(&t, NBD_OPT_LIST, NBD_REP_ERR_SHUTDOWN, NULL);
	(void)expect_reply(&t, NBD_OPT_ABORT, NBD_REP_ACK, NULL);
	expect_end();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("nbd_handshake");
	TCase *c;

	c = tcase_create("greeting");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, greeting_is_sent_before_the_client_speaks);
	tcase_add_test(c, unknown_client_flags_end_the_connection);
	tcase_add_test(c, client_without_fixed_newstyle_may_only_name_an_export);
	suite_add_tcase(s, c);

	c = tcase_create("options");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, unknown_option_is_refused_and_skipped);
	tcase_add_test(c, error_replies_say_why_in_words);
	tcase_add_test(c, abort_is_acknowledged_then_the_end);
	tcase_add_test(c, list_names_every_export);
	tcase_add_test(c, options_without_data_refuse_data);
	tcase_add_test(c, structured_replies_are_negotiated_once);
	tcase_add_loop_test(c, oversized_option_ends_the_connection_at_its_header, 0, 2);
	tcase_add_test(c, wrong_magic_ends_the_connection);
	tcase_add_test(c, options_without_end_are_cut_off);
	tcase_add_test(c, answers_not_read_hold_back_further_options);
	tcase_add_test(c, options_are_refused_while_stopping);
	suite_add_tcase(s, c);

	c = tcase_create("exports");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, export_is_described_as_asked, 0, 2);
	tcase_add_loop_test(c, empty_name_is_the_default_export, 0, 2);
	tcase_add_loop_test(c, read_only_export_says_so, 0, 2);
	tcase_add_loop_test(c, df_is_offered_with_structured_replies, 0, 2);
	tcase_add_loop_test(c, unknown_export_is_an_error_and_haggling_goes_on, 0, 2);
	tcase_add_test(c, looking_does_not_open);
	tcase_add_loop_test(c, malformed_info_is_refused_in_step, 0, 2);
	tcase_add_test(c, every_cut_of_go_is_refused_in_step);
	tcase_add_test(c, longest_sensible_go_is_served);
	tcase_add_loop_test(c, export_name_is_answered_with_zeroes_unless_both_forgo_them, 0, 4);
	tcase_add_loop_test(c, unknown_export_name_just_ends, 0, 3);
	tcase_add_test(c, nothing_is_read_while_an_export_is_looked_for);
	tcase_add_test(c, a_client_that_leaves_while_asking_is_forgotten_after_the_answer);
	suite_add_tcase(s, c);

	c = tcase_create("meta contexts");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, meta_contexts_need_structured_replies);
	tcase_add_loop_test(c, every_cut_of_a_meta_option_is_refused_in_step, 0, 2);
	tcase_add_loop_test(c, contexts_are_listed_for_all_for_the_name_space_and_by_name, 0, 3);
	tcase_add_test(c, foreign_contexts_are_ignored);
	tcase_add_test(c, the_name_space_alone_selects_nothing);
	tcase_add_test(c, a_failing_set_forgets_what_was_selected);
	tcase_add_loop_test(c, contexts_hold_for_the_export_they_were_selected_for, 0, 3);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
