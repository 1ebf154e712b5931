/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_config.c - configuration files good and bad, sizes and durations.
 *
 * Every bad file must be refused with a text that names the file, the line and what is wrong, and
 * no text may show a secret: load_bad() looks for the secrets of these tests in every message.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include <lsvd/config.h>

#include "base/alloc.h"
#include "config/config_keys.h"
#include "config/config_units.h"
#include "t_check.h"
#include "tmpdir.h"

/* What no message may contain. */
#define ACCESS "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI"

static char *dir, *file;

static void setup(void)
{
	dir = tmpdir_new();
	file = tmpdir_path(dir, "lsvd.conf");
}

static void teardown(void)
{
	free(file);
	tmpdir_free(dir);
}

static void write_bytes(const char *text, size_t len)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static struct lsvd_config *load_good(const char *text)
{
	struct lsvd_config *config = NULL;

	write_bytes(text, strlen(text));
	ck_assert_ok(lsvd_config_load(&config, file));
	ck_assert_ptr_nonnull(config);
	return config;
}

static void refuse_bytes(const char *text, size_t len, int err)
{
	struct lsvd_config *config = NULL;

	write_bytes(text, len);
	ck_assert_err(lsvd_config_load(&config, file), err);
	ck_assert_ptr_null(config);
	ck_assert_error_says(file);
	ck_assert_ptr_null(strstr(lsvd_last_error(), SECRET));
	ck_assert_ptr_null(strstr(lsvd_last_error(), ACCESS));
	ck_assert_ptr_null(strchr(lsvd_last_error(), '\n'));
}

/* Refused, and the text has "FILE:LINE: " (no line: 0) and `says`. */
static void load_bad(const char *text, unsigned line, const char *says)
{
	char place[300];

	refuse_bytes(text, strlen(text), LSVD_E_CONFIG);
	if (line) {
		(void)snprintf(place, sizeof place, "%s:%u: ", file, line);
		ck_assert_error_says(place);
	}
	ck_assert_error_says(says);
}

/* `line` as the second line of an otherwise good file is refused. */
static void line_bad(const char *line, const char *says)
{
	char text[8192];

	(void)snprintf(text, sizeof text, "storage { file_path = \"./store\" }\n%s\n", line);
	load_bad(text, 2, says);
}

static struct lsvd_volume_options options_of(const char *line)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_config *config;
	char text[512];

	(void)snprintf(text, sizeof text, "storage { file_path = \"./store\" }\n%s\n", line);
	config = load_good(text);
	lsvd_config_volume_options(config, &options);
	options.cache_dir = NULL; /* points into config */
	lsvd_config_free(config);
	return options;
}

/* -------------------------------------------------------------------------------- good files */

START_TEST(config_of_lab47_readme_is_understood_as_it_stands)
{
	struct lsvd_config *config = load_good("cache_path = \"./data/cache\"\n"
					       "\n"
					       "storage {\n"
					       "  s3 {\n"
					       "    bucket = \"lsvdinttest\"\n"
					       "    region = \"us-east-1\"\n"
					       "    access_key = \"admin\"\n"
					       "    secret_key = \"password\"\n"
					       "    host = \"http://localhost:9000\"\n"
					       "  }\n"
					       "}\n");

	ck_assert_str_eq(lsvd_config_cache_path(config), "./data/cache");
	ck_assert_str_eq(lsvd_config_store_url(config), "s3://lsvdinttest?region=us-east-1"
							"&endpoint=http%3A%2F%2Flocalhost%3A9000");
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_of_lab47_for_a_directory_carries_an_unused_s3_block)
{
	struct lsvd_config *config = load_good("cache_path = \"c\"\n"
					       "storage {\n"
					       "  file_path = \"./data/store\"\n"
					       "  s3 {\n"
					       "    bucket = \"\"\n"
					       "    region = \"us-east-1\"\n"
					       "  }\n"
					       "}\n");

	ck_assert_str_eq(lsvd_config_store_url(config), "dir:./data/store");
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_with_file_path_alone_is_enough)
{
	struct lsvd_config *config = load_good("storage {\n\tfile_path = \"/srv/lsvd\"\n}\n");

	ck_assert_str_eq(lsvd_config_store_url(config), "dir:/srv/lsvd");
	ck_assert_ptr_null(lsvd_config_cache_path(config));
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_may_be_one_line_without_newline)
{
	struct lsvd_config *config = load_good("storage { file_path = \"s\" }");

	ck_assert_str_eq(lsvd_config_store_url(config), "dir:s");
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_comments_and_crlf_are_blanks)
{
	struct lsvd_config *config = load_good("# one \" ${HOME} {\r\n"
					       "// two\r\n"
					       "/* three\n * } lines */ cache_path /* x */ = "
					       "/* y */ \"a#b//c/*d*/\" # end\r\n"
					       "storage { // block\r\n"
					       "  file_path = \"s\" /* end */\r\n"
					       "} # done");

	ck_assert_str_eq(lsvd_config_cache_path(config), "a#b//c/*d*/");
	ck_assert_str_eq(lsvd_config_store_url(config), "dir:s");
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_lines_are_counted_through_comments)
{
	load_bad("/* a */ /* b\n\n*/\n# c\n\nput_window = 65\n", 6, "put_window");
}
END_TEST

START_TEST(config_quotes_keep_what_is_in_them)
{
	struct lsvd_config *config;

	ck_assert_int_eq(setenv("LSVD_TEST_NAME", "replaced", 1), 0);
	config = load_good("cache_path = '/a/${LSVD_TEST_NAME}/b\"c\\d'\n"
			   "storage { file_path = \"x\\${LSVD_TEST_NAME}$y\\\\z\\\"'\" }\n");
	ck_assert_str_eq(lsvd_config_cache_path(config), "/a/${LSVD_TEST_NAME}/b\"c\\d");
	ck_assert_str_eq(lsvd_config_store_url(config), "dir:x${LSVD_TEST_NAME}$y\\z\"'");
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_paths_may_hold_utf8)
{
	struct lsvd_config *config = load_good("storage { file_path = \"/srv/Würfel\" }\n");

	ck_assert_str_eq(lsvd_config_store_url(config), "dir:/srv/Würfel");
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_s3_needs_only_bucket_and_region)
{
	struct lsvd_config *config = load_good("storage {\n s3 {\n  bucket = \"b-1\"\n"
					       "  region = \"eu-central-1\"\n"
					       "  directory = \"disks/one/\"\n }\n}\n");

	ck_assert_str_eq(lsvd_config_store_url(config), "s3://b-1/disks/one?region=eu-central-1");
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_url_holds_no_secret)
{
	struct lsvd_config *config = load_good("storage {\n s3 {\n  bucket = \"bbb\"\n"
					       "  region = \"r\"\n  access_key = \"" ACCESS "\"\n"
					       "  secret_key = '" SECRET "${x}'\n"
					       "  host = \"https://h/\"\n }\n}\n");

	ck_assert_str_eq(lsvd_config_store_url(config),
			 "s3://bbb?region=r&endpoint=https%3A%2F%2Fh");
	ck_assert_str_eq(config->text[KEY_SECRET_KEY], SECRET "${x}");
	ck_assert_str_eq(config->text[KEY_ACCESS_KEY], ACCESS);
	lsvd_config_free(config);
}
END_TEST

/* Quotes and backslashes as libConfuse takes them off, which does not see these values. */
START_TEST(config_secrets_keep_what_is_in_their_quotes)
{
	static const struct {
		const char *written, *value;
	} all[] = {
		{"bare_word.1-2", "bare_word.1-2"},
		{"\"a/b+c=\"", "a/b+c="},
		{"\"a\\\\b\\\"c\\$d$e\"", "a\\b\"c$d$e"},
		{"'a\"b\\n${x}'", "a\"b\\n${x}"},
		{"'a\\\\b\\'c'", "a\\b'c"},
		{"\"it's # no comment\"", "it's # no comment"},
		{"'x' # a comment", "x"},
	};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		struct lsvd_config *config;
		char text[512];

		(void)snprintf(text, sizeof text,
			       "storage { s3 {\n bucket = bbb\n region = r\n access_key = %s\n"
			       " secret_key = %s\n session_token = %s\n}\n}\n",
			       all[i].written, all[i].written, all[i].written);
		config = load_good(text);
		ck_assert_str_eq(config->text[KEY_ACCESS_KEY], all[i].value);
		ck_assert_str_eq(config->text[KEY_SECRET_KEY], all[i].value);
		ck_assert_str_eq(config->text[KEY_SESSION_TOKEN], all[i].value);
		ck_assert_ptr_null(config->hidden);
		lsvd_config_free(config);
	}
}
END_TEST

START_TEST(config_s3_keys_beside_those_of_the_bucket_are_taken)
{
	struct lsvd_config *config = load_good(
		"stall_timeout = 7s\nstorage {\n s3 {\n bucket = bbb\n region = r\n"
		" credentials_file = \"/etc/lsvd/keys\"\n profile = \"disk\"\n"
		" metadata = \"http://[fd00:ec2::254]:80/\"\n client = \"curl\"\n"
		" ca_file = \"/etc/lsvd/ca.pem\"\n connections = 32\n"
		" connect_timeout = 500ms\n stall_timeout = 1m\n }\n}\n");

	ck_assert_str_eq(config->text[KEY_CREDENTIALS_FILE], "/etc/lsvd/keys");
	ck_assert_str_eq(config->text[KEY_PROFILE], "disk");
	ck_assert_str_eq(config->text[KEY_METADATA], "http://[fd00:ec2::254]:80/");
	ck_assert_str_eq(config->text[KEY_CLIENT], "curl");
	ck_assert_str_eq(config->text[KEY_CA_FILE], "/etc/lsvd/ca.pem");
	ck_assert_uint_eq(config->number[KEY_CONNECTIONS], 32);
	ck_assert_uint_eq(config->number[KEY_CONNECT_TIMEOUT], 500);
	ck_assert_uint_eq(config->number[KEY_S3_STALL_TIMEOUT], 60000);
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_sets_every_option_of_volumes)
{
	struct lsvd_volume_options o = options_of("log_size = 2G\n"
						  "segment_size = \"4MiB\"\n"
						  "seal_after = 250ms\n"
						  "flush = \"remote\"\n"
						  "compression = zlib\n"
						  "unit_size = 32K\n"
						  "put_window = 3\n"
						  "memory_size = 128M\n"
						  "map_memory = 96M\n"
						  "rcache_size = 5GB\n"
						  "stall_timeout = 2m\n"
						  "read_timeout = 10s\n"
						  "lease_check = 1h\n"
						  "checkpoint_segments = 7\n"
						  "gc = off\n"
						  "gc_strategy = separate\n"
						  "gc_target = 150\n"
						  "gc_idle = 3s\n"
						  "gc_rate = 1M\n"
						  "gc_space = 1G\n"
						  "read_ahead = 1M\n");

	ck_assert_uint_eq(o.log_bytes, UINT64_C(2) << 30);
	ck_assert_uint_eq(o.segment_bytes, 4u << 20);
	ck_assert_uint_eq(o.seal_after_ms, 250);
	ck_assert_uint_eq(o.flush, LSVD_FLUSH_REMOTE);
	ck_assert_uint_eq(o.compression, LSVD_COMPRESS_ZLIB);
	ck_assert_uint_eq(o.unit_bytes, 32768);
	ck_assert_uint_eq(o.put_window, 3);
	ck_assert_uint_eq(o.memory_bytes, 128u << 20);
	ck_assert_uint_eq(o.map_memory_bytes, 96u << 20);
	ck_assert_uint_eq(o.rcache_bytes, UINT64_C(5000000000));
	ck_assert_uint_eq(o.stall_timeout_ms, 120000);
	ck_assert_uint_eq(o.read_timeout_ms, 10000);
	ck_assert_uint_eq(o.lease_check_ms, 3600000);
	ck_assert_uint_eq(o.checkpoint_segments, 7);
	ck_assert_uint_eq(o.gc, LSVD_GC_OFF);
	ck_assert_uint_eq(o.gc_strategy, LSVD_GC_SEPARATE);
	ck_assert_uint_eq(o.gc_target_percent, 150);
	ck_assert_uint_eq(o.gc_idle_ms, 3000);
	ck_assert_uint_eq(o.gc_bytes_per_second, 1u << 20);
	ck_assert_uint_eq(o.gc_space_bytes, 1u << 30);
	ck_assert_uint_eq(o.read_ahead_bytes, 1u << 20);
}
END_TEST

START_TEST(config_words_stand_for_never_and_none)
{
	struct lsvd_volume_options o = options_of("seal_after = never\n"
						  "rcache_size = \"none\"\n"
						  "read_ahead = none\n"
						  "lease_check = \"never\"\n"
						  "compression = \"none\"\n"
						  "flush = \"local\"\n");

	ck_assert_uint_eq(o.seal_after_ms, UINT32_MAX);
	ck_assert_uint_eq(o.rcache_bytes, UINT64_MAX);
	ck_assert_uint_eq(o.read_ahead_bytes, UINT32_MAX);
	ck_assert_uint_eq(o.lease_check_ms, UINT32_MAX);
	ck_assert_uint_eq(o.compression, LSVD_COMPRESS_NONE);
	ck_assert_uint_eq(o.flush, LSVD_FLUSH_LOCAL);
}
END_TEST

START_TEST(config_leaves_options_it_does_not_name)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_config *config = load_good("storage { file_path = \"s\" }\nput_window = 2\n"
					       "stall_timeout = never\n");

	o.log_bytes = 12345;
	o.read_timeout_ms = 99;
	o.stall_timeout_ms = 77;
	o.cache_dir = "mine";
	lsvd_config_volume_options(config, &o);
	ck_assert_uint_eq(o.log_bytes, 12345);
	ck_assert_uint_eq(o.read_timeout_ms, 99);
	ck_assert_uint_eq(o.stall_timeout_ms, 0);
	ck_assert_uint_eq(o.put_window, 2);
	ck_assert_str_eq(o.cache_dir, "mine");
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_does_not_write_past_a_shorter_options_struct)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_config *config = load_good("storage { file_path = \"s\" }\nput_window = 2\n"
					       "log_size = 1M\n");

	o.size = offsetof(struct lsvd_volume_options, put_window);
	lsvd_config_volume_options(config, &o);
	ck_assert_uint_eq(o.log_bytes, 1u << 20);
	ck_assert_uint_eq(o.put_window, 0);
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_free_of_null_does_nothing)
{
	lsvd_config_free(NULL);
}
END_TEST

#define THREADS 4

static void *load_many(void *arg)
{
	unsigned *good = arg;

	for (int i = 0; i < 50; i++) {
		struct lsvd_config *config = NULL;

		if (lsvd_config_load(&config, file) == 0 &&
		    strcmp(lsvd_config_store_url(config), "dir:store") == 0)
			(*good)++;
		lsvd_config_free(config);
	}
	return NULL;
}

START_TEST(config_loads_in_several_threads_at_once)
{
	pthread_t thread[THREADS];
	unsigned good[THREADS] = {0};

	write_bytes("storage { file_path = \"store\" }\n", 32);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, load_many, &good[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
		ck_assert_uint_eq(good[i], 50);
	}
}
END_TEST

/* ------------------------------------------------------------------------------ bad files */

START_TEST(config_missing_file_is_enoent)
{
	struct lsvd_config *config = NULL;

	ck_assert_err(lsvd_config_load(&config, file), -ENOENT);
	ck_assert_error_says(file);
	ck_assert_ptr_null(config);
}
END_TEST

START_TEST(config_directory_in_place_of_a_file_is_eisdir)
{
	struct lsvd_config *config = NULL;

	ck_assert_err(lsvd_config_load(&config, dir), -EISDIR);
	ck_assert_error_says(dir);
	ck_assert_ptr_null(config);
}
END_TEST

START_TEST(config_unknown_keys_are_refused)
{
	line_bad("cash_path = \"x\"", "cash_path");
	line_bad("metrics { port = 1 }", "metrics");
	load_bad("storage {\n  fiel_path = \"x\"\n}\n", 2, "fiel_path");
	load_bad("storage {\n  s3 {\n    bukket = \"x\"\n  }\n}\n", 3, "bukket");
	load_bad("# c\nstorage {\n  put_window = 3\n}\n", 3, "put_window");
	load_bad("bucket = \"x\"\n", 1, "bucket");
	load_bad("s3 {\n}\n", 1, "s3");
}
END_TEST

START_TEST(config_same_key_twice_is_refused_with_both_values)
{
	load_bad("cache_path = \"a\"\n\ncache_path = \"b\"\nstorage { file_path = \"s\" }\n", 3,
		 "cache_path a second time: \"b\" here, \"a\" in line 1");
	load_bad("put_window = 1\nput_window = 1\n", 2, "put_window");
	load_bad("storage {\n file_path = \"a\"\n file_path = \"b\"\n}\n", 3, "\"a\" in line 2");
	load_bad("storage {\n s3 {\n secret_key = \"" SECRET "\"\n secret_key = \"" SECRET
		 "2\"\n}\n}\n",
		 4, "secret_key a second time, first in line 3");
}
END_TEST

START_TEST(config_same_block_twice_is_refused)
{
	load_bad("storage {\n file_path = \"a\"\n}\nstorage {\n}\n", 5,
		 "second storage block, the first ended in line 3");
	load_bad("storage {\n file_path = \"a\"\n}\nstorage {\n file_path = \"b\"\n}\n", 5,
		 "file_path a second time: \"b\" here, \"a\" in line 2");
	load_bad("storage {\n s3 {\n bucket = \"bbb\"\n }\n s3 {\n region = \"r\"\n }\n}\n", 7,
		 "second s3 block, the first ended in line 4");
}
END_TEST

START_TEST(config_needs_exactly_one_store)
{
	load_bad("", 0, "no store");
	load_bad("cache_path = \"c\"\n", 0, "no store");
	load_bad("storage {\n}\n", 0, "no store");
	load_bad("storage {\n s3 {\n }\n}\n", 0, "no store");
	load_bad("storage {\n file_path = \"/srv/x\"\n s3 {\n  bucket = \"bbb\"\n  region = \"r\"\n"
		 " }\n}\n",
		 2, "file_path: \"/srv/x\" and an s3 block (line 4: bucket = bbb)");
	load_bad("storage {\n file_path = \"/srv/x\"\n s3 {\n  access_key = \"" ACCESS "\"\n"
		 " }\n}\n",
		 2, "(line 4: access_key)");
}
END_TEST

START_TEST(config_empty_values_are_refused)
{
	line_bad("cache_path = \"\"", "cache_path: the value is empty");
	line_bad("cache_path = ''", "cache_path: the value is empty");
	line_bad("cache_path =", "cache_path: no value on this line");
	line_bad("log_size = \"\"", "log_size");
	load_bad("storage { file_path = \"\" }\n", 1, "file_path: the value is empty");
	load_bad("storage {\n s3 {\n bucket = \"\"\n region = \"r\"\n }\n}\n", 3, "bucket");
	load_bad("storage {\n s3 {\n bucket = \"bbb\"\n region = \"\"\n }\n}\n", 4, "region");
	load_bad("storage {\n s3 {\n bucket = \"bbb\"\n region = \"r\"\n access_key = \"" ACCESS
		 "\"\n secret_key = \"\"\n }\n}\n",
		 6, "secret_key");
}
END_TEST

START_TEST(config_values_of_the_wrong_kind_are_refused)
{
	line_bad("cache_path { }", "cache_path");
	line_bad("cache_path = { \"a\", \"b\" }", "not a list");
	line_bad("cache_path = [ \"a\" ]", "cache_path");
	line_bad("cache_path += \"a\"", "expected");
	line_bad("cache_path \"a\"", "expected KEY = VALUE");
	line_bad("log_size = true", "log_size: \"true\" is not a size from 1M to 1T");
	line_bad("log_size = 1.5G", "\"1.5G\"");
	line_bad("log_size = -1", "\"-1\"");
	line_bad("put_window = \"2K\"", "put_window: \"2K\" is not a number from 1 to 64");
	line_bad("seal_after = 5000", "\"5000\" is not a duration (ms s m h d) from 1ms to 1d");
	line_bad("seal_after = \"5 s\"", "\"5 s\"");
	line_bad("flush = \"both\"", "\"both\" is not \"local\" or \"remote\"");
	line_bad("flush = yes", "\"yes\"");
	line_bad("compression = \"LZ4\"", "\"LZ4\" is not \"lz4\" or \"zlib\" or \"none\"");
	load_bad("storage = \"dir:x\"\n", 1, "storage");
	load_bad("storage \"x\" {\n}\n", 1, "expected");
}
END_TEST

START_TEST(config_numbers_out_of_bounds_are_refused)
{
	static const char *const bad[] = {
		"log_size = 1048575",
		"log_size = \"1025G\"",
		"log_size = 99999999999999999999",
		"segment_size = 63K",
		"segment_size = 65M",
		"seal_after = 0ms",
		"seal_after = 25h",
		"unit_size = 2K",
		"unit_size = 12K",
		"unit_size = 128K",
		"put_window = 0",
		"put_window = 65",
		"memory_size = 3M",
		"memory_size = 5G",
		"map_memory = 1023K",
		"map_memory = 2T",
		"rcache_size = 0",
		"rcache_size = 65T",
		"stall_timeout = 0s",
		"stall_timeout = 2d",
		"read_timeout = never",
		"read_timeout = 0ms",
		"lease_check = 999999999999999999d",
		"checkpoint_segments = 0",
		"checkpoint_segments = 65537",
		"gc_target = 100",
		"gc_rate = 1K",
		"read_ahead = 63K",
		"read_ahead = 65M",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char key[32], *end;

		(void)snprintf(key, sizeof key, "%s", bad[i]);
		end = strchr(key, ' ');
		ck_assert_ptr_nonnull(end);
		*end = '\0';
		line_bad(bad[i], key);
		ck_assert_error_says(" from ");
	}
}
END_TEST

START_TEST(config_bounds_themselves_are_accepted)
{
	ck_assert_uint_eq(options_of("log_size = 1M").log_bytes, 1u << 20);
	ck_assert_uint_eq(options_of("log_size = 1T").log_bytes, UINT64_C(1) << 40);
	ck_assert_uint_eq(options_of("segment_size = 64K").segment_bytes, 65536);
	ck_assert_uint_eq(options_of("segment_size = 64M").segment_bytes, 64u << 20);
	ck_assert_uint_eq(options_of("seal_after = 1d").seal_after_ms, 86400000);
	ck_assert_uint_eq(options_of("unit_size = 4K").unit_bytes, 4096);
	ck_assert_uint_eq(options_of("unit_size = 64K").unit_bytes, 65536);
	ck_assert_uint_eq(options_of("put_window = 64").put_window, 64);
	ck_assert_uint_eq(options_of("memory_size = 4G").memory_bytes, UINT64_C(4) << 30);
}
END_TEST

START_TEST(config_environment_in_quotes_is_refused_not_replaced)
{
	ck_assert_int_eq(setenv("LSVD_TEST_NAME", "replaced", 1), 0);
	line_bad("cache_path = \"/a/${LSVD_TEST_NAME}\"", "use single quotes");
	line_bad("cache_path = ${LSVD_TEST_NAME}", "needs quotes");
	line_bad("cache_path = \"$${LSVD_TEST_NAME}\"", "use single quotes");
	line_bad("cache_path = \"\\\\${LSVD_TEST_NAME}\"", "use single quotes");
	load_bad("storage {\n s3 {\n bucket = \"bbb\"\n region = \"r\"\n access_key = \"" ACCESS
		 "\"\n secret_key = \"" SECRET "${HOME}\"\n }\n}\n",
		 6, "secret_key: \"${\" in double quotes");
}
END_TEST

START_TEST(config_escapes_that_mean_different_things_are_refused)
{
	line_bad("cache_path = \"a\\nb\"", "cache_path");
	line_bad("cache_path = \"a\\u0041\"", "cache_path");
	line_bad("cache_path = \"a\\101\"", "cache_path");
	line_bad("cache_path = \"a\\", "cache_path");
}
END_TEST

START_TEST(config_bytes_that_no_text_has_are_refused)
{
	static const char nul[] = "storage { file_path = \"a\0b\" }\n";
	static const char nul_in_comment[] = "# \0\nstorage { file_path = \"a\" }\n";

	refuse_bytes(nul, sizeof nul - 1, LSVD_E_CONFIG);
	ck_assert_error_says("0x00");
	refuse_bytes(nul_in_comment, sizeof nul_in_comment - 1, LSVD_E_CONFIG);
	ck_assert_error_says("0x00");
	line_bad("cache_path = \"a\x01\"", "0x01");
	line_bad("cache_path = \"a\x7f\"", "0x7f");
	line_bad("cache_path = \"a\rb\"", "0x0d");
}
END_TEST

START_TEST(config_very_long_lines_and_files_are_refused)
{
	size_t len = (1u << 20) + 1;
	char *text = malloc(len + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, 'a', 5000);
	memcpy(text, "cache_path = \"", 14);
	memcpy(text + 4998, "\"\n", 3);
	load_bad(text, 1, "more than 4096 bytes");
	memset(text, '\n', len);
	text[len] = '\0';
	load_bad(text, 0, "more than 1048576 bytes");
	free(text);
}
END_TEST

START_TEST(config_longest_line_is_accepted)
{
	char text[4200];
	struct lsvd_config *config;
	size_t n = (size_t)snprintf(text, sizeof text, "storage { file_path = \"");

	memset(text + n, 'a', 4093 - n);
	memcpy(text + 4093, "\"}\n\n", 5); /* 4095 bytes and the newline */
	config = load_good(text);
	ck_assert_uint_eq(strlen(lsvd_config_store_url(config)), 4 + 4093 - n);
	lsvd_config_free(config);
}
END_TEST

START_TEST(config_include_is_refused)
{
	line_bad("include(\"/etc/passwd\")", "include is not supported");
	line_bad("include \"/etc/passwd\"", "include is not supported");
	line_bad("include = \"/etc/passwd\"", "include is not supported");
}
END_TEST

START_TEST(config_broken_shapes_are_refused)
{
	load_bad("storage {\n file_path = \"s\"\n", 1, "this { has no }");
	load_bad("storage { file_path = \"s\" }\n}\n", 2, "closes nothing");
	load_bad("storage\n{\n file_path = \"s\"\n}\n", 1, "expected");
	load_bad("storage { file_path = \"s\n}\n", 1, "file_path: no closing \" on this line");
	load_bad("storage { file_path = 's", 1, "no closing '");
	load_bad("/* never\n ends", 1, "comment has no end");
	load_bad("a { b { c { d { e { f { g { h { i { j = 1", 1, "more than 8 blocks");
	line_bad("cache_path = \"a\" put_window = 2", "more than one value");
	line_bad("cache_path = \"a\"\"b\"", "more than one value");
	line_bad("cache_path = /srv/x", "needs quotes");
	line_bad("\"cache_path\" = \"x\"", "at the start of a line");
	line_bad("storage|file_path = \"x\"", "expected");
	line_bad("= 5", "at the start of a line");
	line_bad("0x = 5", "expected a key");
	line_bad("a.b = 5", "expected a key");
	line_bad("cache_path", "expected KEY = VALUE");
	line_bad("cache_path = \"x\";", "cache_path");
	load_bad("\xef\xbb\xbfstorage { file_path = \"s\" }\n", 1, "expected");
}
END_TEST

START_TEST(config_secrets_never_show_however_they_are_mistyped)
{
	static const char *const lines[] = {
		"secret_key = " SECRET "/bPxR",
		"secret_key = " SECRET " more",
		"secret_key = more " SECRET,
		"secret_key " SECRET,
		"secret_key \"" SECRET "\"",
		"secret_key = \"" SECRET,
		"secret_key = '" SECRET "\"",
		"secret_key = \"a\" \"" SECRET "\"",
		"secret_key = \"" SECRET "\\n\"",
		"secret_key = \"" SECRET "\x02\"",
		"secret_key = (" SECRET ")",
		"secret_key = { " SECRET " }",
		"secret_key += \"" SECRET "\"",
		"secret_key =\n" SECRET,
		SECRET,
		"secret_key : " SECRET,
		"secret_key = " SECRET "=",
		"secret_key = \"a\n" SECRET "\"",
		SECRET "/bPxR = \"x\"",
		"secret_key = \"" SECRET "${A}\"",
		"host = \"http://" ACCESS ":" SECRET "@h\"",
	};

	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		char text[512];

		(void)snprintf(text, sizeof text,
			       "storage {\n s3 {\n bucket = \"bbb\"\n region = \"r\"\n"
			       " access_key = \"" ACCESS "\"\n%s\n%s }\n}\n",
			       lines[i],
			       strncmp(lines[i], "host", 4) == 0 ? "secret_key = \"x\"\n" : "");
		load_bad(text, 6, ": ");
	}
}
END_TEST

START_TEST(config_s3_block_is_checked)
{
	static const struct {
		const char *block;
		unsigned line;
		const char *says;
	} bad[] = {
		{"region = \"r\"", 3, "bucket is missing beside region"},
		{"bucket = \"bbb\"", 3, "region is missing beside bucket"},
		{"bucket = \"bbb\"\nregion = \"r\"\naccess_key = \"" ACCESS "\"", 5,
		 "secret_key is missing beside access_key"},
		{"bucket = \"bbb\"\nregion = \"r\"\nsecret_key = \"" SECRET "\"", 5,
		 "access_key is missing beside secret_key"},
		{"bucket = \"bb\"\nregion = \"r\"", 3, "bucket: \"bb\""},
		{"bucket = \"b/b\"\nregion = \"r\"", 3, "bucket: \"b/b\""},
		{"bucket = \"bbb\"\nregion = \"a b\"", 4, "region: \"a b\""},
		{"bucket = \"bbb\"\nregion = \"r\"\ndirectory = \"/a\"", 5, "directory: \"/a\""},
		{"bucket = \"bbb\"\nregion = \"r\"\ndirectory = \"a//b\"", 5, "\"a//b\""},
		{"bucket = \"bbb\"\nregion = \"r\"\ndirectory = \"a/../b\"", 5, "\"a/../b\""},
		{"bucket = \"bbb\"\nregion = \"r\"\ndirectory = \"a b\"", 5, "\"a b\""},
		{"bucket = \"bbb\"\nregion = \"r\"\nhost = \"localhost:9000\"", 5,
		 "host: \"localhost:9000\" is not http://HOST[:PORT]"},
		{"bucket = \"bbb\"\nregion = \"r\"\nhost = \"http://\"", 5, "host"},
		{"bucket = \"bbb\"\nregion = \"r\"\nhost = \"http://h/p\"", 5, "\"http://h/p\""},
		{"bucket = \"bbb\"\nregion = \"r\"\nsession_token = \"" SECRET "\"", 5,
		 "access_key is missing beside session_token"},
		{"bucket = \"bbb\"\nregion = \"r\"\nclient = \"boto\"", 5,
		 "client: \"boto\" is not \"auto\" or \"curl\" or \"libs3\""},
		{"bucket = \"bbb\"\nregion = \"r\"\nmetadata = \"https://h\"", 5,
		 "metadata: \"https://h\" is not \"default\" or http://HOST[:PORT]"},
		{"bucket = \"bbb\"\nregion = \"r\"\nmetadata = \"http://a:" SECRET "@h\"", 5,
		 "metadata: \"...\""},
		{"bucket = \"bbb\"\nregion = \"r\"\nconnections = 257", 5,
		 "a number from 1 to 256"},
		{"bucket = \"bbb\"\nregion = \"r\"\nconnect_timeout = 99ms", 5,
		 "a duration (ms s m h d) from 100ms to 10m"},
		{"bucket = \"bbb\"\nregion = \"r\"\nstall_timeout = 2h", 5,
		 "a duration (ms s m h d) from 1s to 1h"},
		{"bucket = \"bbb\"\nregion = \"r\"\nclient = \"libs3\"\nca_file = \"ca.pem\"", 6,
		 "client = \"libs3\" (line 5) knows the certificate authorities of "
		 "the system only"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char text[512];

		(void)snprintf(text, sizeof text, "storage {\n s3 {\n%s\n }\n}\n", bad[i].block);
		load_bad(text, bad[i].line, bad[i].says);
	}
}
END_TEST

START_TEST(config_nothing_is_printed)
{
	int out = dup(1), err = dup(2), fd;
	char *path = tmpdir_path(dir, "printed");
	struct stat st;

	fd = open(path, O_RDWR | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(dup2(fd, 1), 1);
	ck_assert_int_eq(dup2(fd, 2), 2);
	load_bad("storage {\n fiel_path = \"x\"\n}\n", 2, "fiel_path");
	load_bad("storage = \"x\"\n", 1, "storage");
	(void)fflush(NULL);
	ck_assert_int_eq(dup2(out, 1), 1);
	ck_assert_int_eq(dup2(err, 2), 2);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	close(fd);
	close(out);
	close(err);
	free(path);
}
END_TEST

/* Any bytes at all: a verdict, and no more. */
START_TEST(config_random_damage_is_survived)
{
	static const char good[] = "cache_path = \"./c\" # x\nlog_size = 1M\nstorage {\n s3 {\n"
				   "  bucket = 'bbb'\n  region = \"r\"\n } /* y */\n}\n";
	uint64_t random = t_seed();

	for (int i = 0; i < 500; i++) {
		struct lsvd_config *config = NULL;
		char text[sizeof good];

		memcpy(text, good, sizeof good);
		for (uint64_t n = 1 + t_random_below(&random, 4); n; n--)
			text[t_random_below(&random, sizeof good - 1)] =
				"\"'{}=#/*\\$\n\0 a9"[t_random_below(&random, 15)];
		write_bytes(text, sizeof good - 1);
		if (lsvd_config_load(&config, file) == 0)
			ck_assert_ptr_nonnull(lsvd_config_store_url(config));
		else
			ck_assert_ptr_null(config);
		lsvd_config_free(config);
	}
}
END_TEST

/* Refuses the allocation that `countdown` says, and counts those that are not given back. */
static long countdown, held;

static void *scarce_alloc(size_t align, size_t size)
{
	void *p = NULL;

	if (countdown-- == 0)
		return NULL;
	if (align <= 16)
		p = malloc(size);
	else if (posix_memalign(&p, align, size) != 0)
		p = NULL;
	held += p != NULL;
	return p;
}

static void scarce_release(void *p)
{
	held -= p != NULL;
	free(p);
}

START_TEST(config_without_memory_is_enomem_and_leaks_nothing)
{
	static const struct alloc_ops scarce = {
		.alloc = scarce_alloc, .resize = realloc, .release = scarce_release};
	static const char text[] = "cache_path = \"c\"\nput_window = 2\nstorage { s3 {\n"
				   "bucket = bbb\nregion = r\naccess_key = a\nsecret_key = b\n"
				   "connections = 2\n}\n}\n";
	struct lsvd_config *config = NULL;
	int err, refused = 0;

	write_bytes(text, sizeof text - 1);
	lsvd_alloc_set(&scarce);
	for (;; refused++) {
		countdown = refused;
		err = lsvd_config_load(&config, file);
		if (err == 0)
			break;
		ck_assert_err(err, -ENOMEM);
		ck_assert_ptr_null(config);
		ck_assert_int_eq(held, 0);
	}
	lsvd_config_free(config);
	ck_assert_int_eq(held, 0);
	ck_assert_int_ge(refused, 6); /* config, text, name, three values, URL */
	lsvd_alloc_set(NULL);
}
END_TEST

START_TEST(config_without_a_path_is_einval)
{
	struct lsvd_config *config = NULL;

	ck_assert_err(lsvd_config_load(&config, NULL), -EINVAL);
	ck_assert_err(lsvd_config_load(NULL, file), -EINVAL);
}
END_TEST

/* -------------------------------------------------------------------------------- open_store */

START_TEST(config_opens_a_directory_store)
{
	struct lsvd_store_options options = LSVD_STORE_OPTIONS_INIT;
	struct lsvd_config *config;
	struct lsvd_store *store = NULL;
	char text[600];

	(void)snprintf(text, sizeof text, "storage { file_path = \"%s/store\" }\n", dir);
	config = load_good(text);
	ck_assert_err(lsvd_config_open_store(config, &store, NULL), -ENOENT);
	ck_assert_ptr_null(store);
	options.flags = LSVD_STORE_CREATE;
	ck_assert_ok(lsvd_config_open_store(config, &store, &options));
	lsvd_store_close(store);
	lsvd_config_free(config);
}
END_TEST

/* ------------------------------------------------------------------------- sizes, durations */

static const struct {
	const char *text;
	uint64_t bytes;
} sizes[] = {
	{"0", 0},
	{"1", 1},
	{"4096", 4096},
	{"0512", 512},
	{"512K", 524288},
	{"512KiB", 524288},
	{"512KB", 512000},
	{"3M", 3145728},
	{"3MiB", 3145728},
	{"3MB", 3000000},
	{"10G", UINT64_C(10737418240)},
	{"10GiB", UINT64_C(10737418240)},
	{"10GB", UINT64_C(10000000000)},
	{"2T", UINT64_C(2199023255552)},
	{"2TiB", UINT64_C(2199023255552)},
	{"2TB", UINT64_C(2000000000000)},
	{"1P", UINT64_C(1125899906842624)},
	{"1PiB", UINT64_C(1125899906842624)},
	{"1PB", UINT64_C(1000000000000000)},
	{"8191P", UINT64_C(8191) << 50},
	{"9223372036854775807", INT64_MAX},
};

START_TEST(config_size_is_read_as_coreutils_reads_it)
{
	uint64_t bytes = 1;

	ck_assert_ok(lsvd_parse_size(sizes[_i].text, &bytes));
	ck_assert_uint_eq(bytes, sizes[_i].bytes);
}
END_TEST

static const char *const bad_sizes[] = {
	"",
	" ",
	"K",
	"KiB",
	"-1",
	"+1",
	"1.5G",
	"1,5G",
	" 1",
	"1 ",
	"1 G",
	"1k",
	"10g",
	"1m",
	"2Ti",
	"2TIB",
	"2Tib",
	"2tb",
	"1B",
	"1E",
	"1EiB",
	"1KK",
	"1KiBx",
	"0x10",
	"1e3",
	"abc",
	"1K\n",
	"9223372036854775808",
	"18446744073709551616",
	"99999999999999999999999",
	"8192P",
	"9223372036854776PB",
	"1\xc2\xa0K",
};

START_TEST(config_size_written_otherwise_is_refused)
{
	uint64_t bytes = 7;

	ck_assert_err(lsvd_parse_size(bad_sizes[_i], &bytes), LSVD_E_CONFIG);
	ck_assert_uint_eq(bytes, 7);
	ck_assert_error_says("size");
	ck_assert_ptr_null(strchr(lsvd_last_error(), '\n'));
}
END_TEST

START_TEST(config_size_of_null_is_refused)
{
	uint64_t bytes;

	ck_assert_err(lsvd_parse_size(NULL, &bytes), LSVD_E_CONFIG);
}
END_TEST

START_TEST(config_size_text_quotes_what_was_given)
{
	uint64_t bytes;

	ck_assert_err(lsvd_parse_size("2Ti", &bytes), LSVD_E_CONFIG);
	ck_assert_error_says("\"2Ti\"");
}
END_TEST

START_TEST(config_duration_has_a_unit)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {
		{"0ms", 0},	{"250ms", 250},	 {"5s", 5000},
		{"2m", 120000}, {"1h", 3600000}, {"1d", 86400000},
	};
	static const char *const bad[] = {"",	 "5",	 "s",	 "5S",	 "5 s",
					  "-5s", "1.5s", "5sec", "5ms ", "214503982335d"};
	uint64_t ms;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		ck_assert_ok(lsvd_parse_duration(good[i].text, &ms));
		ck_assert_uint_eq(ms, good[i].ms);
	}
	ms = 7;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_err(lsvd_parse_duration(bad[i], &ms), LSVD_E_CONFIG);
	ck_assert_uint_eq(ms, 7);
}
END_TEST

START_TEST(config_bounds_are_shown_in_the_largest_unit)
{
	char text[CONFIG_UNIT_TEXT];

	lsvd_format_size(text, 1u << 20);
	ck_assert_str_eq(text, "1M");
	lsvd_format_size(text, 1000);
	ck_assert_str_eq(text, "1000");
	lsvd_format_size(text, UINT64_C(1) << 63);
	ck_assert_str_eq(text, "8192P");
	lsvd_format_duration(text, 90000);
	ck_assert_str_eq(text, "90s");
	lsvd_format_duration(text, 86400000);
	ck_assert_str_eq(text, "1d");
	lsvd_format_duration(text, 1001);
	ck_assert_str_eq(text, "1001ms");
}
END_TEST

/* ------------------------------------------------------------------------------- documents */

/*
 * The text of a file of the source tree. Its place is told, or known from this file's own, which a
 * compiler's cache may have made relative to where it was built.
 */
static char *source_text(const char *name)
{
	const char *below = strstr(__FILE__, "tests/unit/"), *root = getenv("LSVD_SOURCE_DIR");
	char path[1024], *text = calloc(1, 1 << 20);
	FILE *f;

	ck_assert_ptr_nonnull(below);
	ck_assert_ptr_nonnull(text);
	if (root)
		(void)snprintf(path, sizeof path, "%s/%s", root, name); /* or there is none */
	else
		(void)snprintf(path, sizeof path, "%.*s%s", (int)(below - __FILE__),
			       __FILE__, name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	ck_assert_uint_gt(fread(text, 1, (1 << 20) - 1, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

/*
 * The paragraph of a key in the manual page, lines joined, allocated. Keys of the s3 block stand
 * before those of volumes.
 */
static char *paragraph(const char *page, const struct config_key *key)
{
	char tag[64], *text, *end;
	const char *at = page;

	if (key->block != BLOCK_S3)
		at = strstr(page, "How volumes behave");
	ck_assert_ptr_nonnull(at);
	(void)snprintf(tag, sizeof tag, "\n.B %s\n", key->name);
	at = strstr(at, tag);
	ck_assert_msg(at != NULL, "the manual page has no paragraph of %s", key->name);
	text = strdup(at + 1);
	ck_assert_ptr_nonnull(text);
	end = strstr(text, "\n.TP");
	if (!end)
		end = strstr(text, "\n.S");
	if (end)
		*end = '\0';
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	return text;
}

static void bounds_text(char *text, size_t size, const struct config_key *key)
{
	char min[CONFIG_UNIT_TEXT], max[CONFIG_UNIT_TEXT];

	if (key->kind == KIND_TIME) {
		lsvd_format_duration(min, key->min);
		lsvd_format_duration(max, key->max);
	} else if (key->kind == KIND_COUNT) {
		(void)snprintf(min, sizeof min, "%" PRIu64, key->min);
		(void)snprintf(max, sizeof max, "%" PRIu64, key->max);
	} else {
		lsvd_format_size(min, key->min);
		lsvd_format_size(max, key->max);
	}
	(void)snprintf(text, size, "from %s to %s", min, max);
}

START_TEST(config_manual_page_has_every_key_with_its_bounds_and_words)
{
	char *page = source_text("docs/man/lsvd.conf.5");

	for (size_t k = KEY_CONNECTIONS; k < CONFIG_KEYS; k++) {
		const struct config_key *key = &lsvd_config_keys[k];
		char *text = paragraph(page, key), bounds[80], word[32];

		bounds_text(bounds, sizeof bounds, key);
		if (key->kind != KIND_WORD)
			ck_assert_msg(strstr(text, bounds) != NULL, "%s: not \"%s\": %s", key->name,
				      bounds, text);
		for (const struct config_word *w = key->words; w && w->name; w++) {
			(void)snprintf(word, sizeof word, "\"%s\"", w->name);
			ck_assert_msg(strstr(text, word) != NULL, "%s: nothing of %s", key->name,
				      word);
		}
		ck_assert_msg(strstr(text, "default") != NULL, "%s: no default", key->name);
		free(text);
	}
	for (size_t k = 0; k < KEY_OPTIONS; k++)
		ck_assert_msg(strstr(page, lsvd_config_keys[k].name) != NULL, "nothing of %s",
			      lsvd_config_keys[k].name);
	free(page);
}
END_TEST

/* As it stands; with every option uncommented; and the manual says the same defaults. */
START_TEST(config_example_has_every_key_and_loads)
{
	char *text = source_text("docs/examples/lsvd.conf");
	char *page = source_text("docs/man/lsvd.conf.5");
	struct lsvd_config *config = load_good(text);

	lsvd_config_free(config);
	for (char *p = text; *p; p++)
		if (*p == '#' && (p == text || p[-1] == '\n') && p[1] >= 'a' && p[1] <= 'z')
			*p = ' ';
	config = load_good(text);
	for (size_t k = KEY_OPTIONS; k < CONFIG_KEYS; k++) {
		char *about = paragraph(page, &lsvd_config_keys[k]);

		ck_assert_msg(config->line[k] != 0, "the example has no %s",
			      lsvd_config_keys[k].name);
		ck_assert_msg(strstr(about, config->text[k]) != NULL, "%s: %s is not in: %s",
			      lsvd_config_keys[k].name, config->text[k], about);
		free(about);
	}
	for (size_t k = 0; k < KEY_OPTIONS; k++)
		ck_assert_msg(strstr(text, lsvd_config_keys[k].name) != NULL, "no %s",
			      lsvd_config_keys[k].name);
	lsvd_config_free(config);
	free(page);
	free(text);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("config");
	TCase *c;

	c = tcase_create("good files");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, config_of_lab47_readme_is_understood_as_it_stands);
	tcase_add_test(c, config_of_lab47_for_a_directory_carries_an_unused_s3_block);
	tcase_add_test(c, config_with_file_path_alone_is_enough);
	tcase_add_test(c, config_may_be_one_line_without_newline);
	tcase_add_test(c, config_comments_and_crlf_are_blanks);
	tcase_add_test(c, config_lines_are_counted_through_comments);
	tcase_add_test(c, config_quotes_keep_what_is_in_them);
	tcase_add_test(c, config_paths_may_hold_utf8);
	tcase_add_test(c, config_s3_needs_only_bucket_and_region);
	tcase_add_test(c, config_url_holds_no_secret);
	tcase_add_test(c, config_secrets_keep_what_is_in_their_quotes);
	tcase_add_test(c, config_s3_keys_beside_those_of_the_bucket_are_taken);
	tcase_add_test(c, config_sets_every_option_of_volumes);
	tcase_add_test(c, config_words_stand_for_never_and_none);
	tcase_add_test(c, config_leaves_options_it_does_not_name);
	tcase_add_test(c, config_does_not_write_past_a_shorter_options_struct);
	tcase_add_test(c, config_free_of_null_does_nothing);
	tcase_add_test(c, config_loads_in_several_threads_at_once);
	suite_add_tcase(s, c);

	c = tcase_create("bad files");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, config_missing_file_is_enoent);
	tcase_add_test(c, config_directory_in_place_of_a_file_is_eisdir);
	tcase_add_test(c, config_unknown_keys_are_refused);
	tcase_add_test(c, config_same_key_twice_is_refused_with_both_values);
	tcase_add_test(c, config_same_block_twice_is_refused);
	tcase_add_test(c, config_needs_exactly_one_store);
	tcase_add_test(c, config_empty_values_are_refused);
	tcase_add_test(c, config_values_of_the_wrong_kind_are_refused);
	tcase_add_test(c, config_numbers_out_of_bounds_are_refused);
	tcase_add_test(c, config_bounds_themselves_are_accepted);
	tcase_add_test(c, config_environment_in_quotes_is_refused_not_replaced);
	tcase_add_test(c, config_escapes_that_mean_different_things_are_refused);
	tcase_add_test(c, config_bytes_that_no_text_has_are_refused);
	tcase_add_test(c, config_very_long_lines_and_files_are_refused);
	tcase_add_test(c, config_longest_line_is_accepted);
	tcase_add_test(c, config_include_is_refused);
	tcase_add_test(c, config_broken_shapes_are_refused);
	tcase_add_test(c, config_secrets_never_show_however_they_are_mistyped);
	tcase_add_test(c, config_s3_block_is_checked);
	tcase_add_test(c, config_nothing_is_printed);
	tcase_add_test(c, config_without_memory_is_enomem_and_leaks_nothing);
	tcase_add_test(c, config_without_a_path_is_einval);
	suite_add_tcase(s, c);

	c = tcase_create("damage");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, config_random_damage_is_survived);
	suite_add_tcase(s, c);

	c = tcase_create("store");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, config_opens_a_directory_store);
	suite_add_tcase(s, c);

	c = tcase_create("sizes and durations");
	tcase_add_loop_test(c, config_size_is_read_as_coreutils_reads_it, 0,
			    (int)(sizeof sizes / sizeof sizes[0]));
	tcase_add_loop_test(c, config_size_written_otherwise_is_refused, 0,
			    (int)(sizeof bad_sizes / sizeof bad_sizes[0]));
	tcase_add_test(c, config_size_of_null_is_refused);
	tcase_add_test(c, config_size_text_quotes_what_was_given);
	tcase_add_test(c, config_duration_has_a_unit);
	tcase_add_test(c, config_bounds_are_shown_in_the_largest_unit);
	suite_add_tcase(s, c);

	c = tcase_create("documents");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, config_manual_page_has_every_key_with_its_bounds_and_words);
	tcase_add_test(c, config_example_has_every_key_and_loads);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(make_suite)
