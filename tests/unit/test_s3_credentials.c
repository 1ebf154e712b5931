/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_s3_credentials.c - where access keys come from, what is refused, and how they change.
 *
 * No message may show a secret: fails() looks for SECRET and TOKEN in every one.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <lsvd/store_s3.h>

#include "base/secret.h"
#include "store/s3_credentials.h"
#include "store/s3_flat_json.h"
#include "store/s3_metadata.h"
#include "store/s3_plain_http.h"
#include "store/s3_profile.h"
#include "t_alloc.h"
#include "t_check.h"
#include "t_http.h"
#include "tmpdir.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfi=YEXAMPLEKEY"
#define TOKEN  "IQoJb3JpZ2luX2VjEXAMPLE//token=="
#define KEYS(name)                                                                                 \
	"aws_access_key_id = AKID" name "\naws_secret_access_key = " SECRET name "\n"

static char *dir, *file;

static void setup(void)
{
	static const char *const names[] = {
		"AWS_ACCESS_KEY_ID",	       "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
		"AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE",
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		ck_assert_int_eq(unsetenv(names[i]), 0);
	dir = tmpdir_new();
	file = tmpdir_path(dir, "keys");
	ck_assert_int_eq(setenv("HOME", dir, 1), 0);
}

static void teardown(void)
{
	free(file);
	tmpdir_free(dir);
}

static void write_to(const char *path, const char *text, unsigned mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	ck_assert_int_eq(close(fd), 0);
}

static struct s3_credentials *open_good(const struct lsvd_s3_options *o)
{
	struct s3_credentials *c = NULL;

	ck_assert_ok(lsvd_s3_credentials_open(&c, o));
	ck_assert_ptr_nonnull(c);
	return c;
}

static void no_secret_shown(void)
{
	ck_assert_ptr_null(strstr(lsvd_last_error(), "wJalr"));
	ck_assert_ptr_null(strstr(lsvd_last_error(), "IQoJ"));
}

static void fails(const struct lsvd_s3_options *o, int err, const char *says)
{
	struct s3_credentials *c = NULL;

	ck_assert_err(lsvd_s3_credentials_open(&c, o), err);
	ck_assert_ptr_null(c);
	ck_assert_error_says(says);
	no_secret_shown();
}

/* The keys of now are AKIDname, SECRETname; with a token or without. */
static void has(struct s3_credentials *c, const char *name, const char *token)
{
	char text[128];
	struct s3_secrets s = {NULL, NULL, NULL};

	ck_assert_ok(lsvd_s3_credentials_get(c, &s));
	(void)snprintf(text, sizeof text, "AKID%s", name);
	ck_assert_str_eq(s.access_key, text);
	(void)snprintf(text, sizeof text, SECRET "%s", name);
	ck_assert_str_eq(s.secret_key, text);
	if (token)
		ck_assert_str_eq(s.session_token, token);
	else
		ck_assert_ptr_null(s.session_token);
	lsvd_s3_credentials_put(c, &s);
	ck_assert_ptr_null(s.access_key);
}

static bool is(struct s3_credentials *c, const char *name)
{
	struct s3_secrets s = {NULL, NULL, NULL};
	bool same;

	if (lsvd_s3_credentials_get(c, &s) < 0)
		return false;
	same = strcmp(s.access_key + 4, name) == 0;
	lsvd_s3_credentials_put(c, &s);
	return same;
}

static struct lsvd_s3_options from_file(void)
{
	struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;

	o.bucket = "bbb";
	o.credentials_file = file;
	return o;
}

/* -------------------------------------------------------------------------------------- sources */

START_TEST(s3_keys_of_the_options_come_first)
{
	struct lsvd_s3_options o = from_file();
	struct s3_credentials *c;

	setenv("AWS_ACCESS_KEY_ID", "AKIDenv", 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET "env", 1);
	write_to(file, "[default]\n" KEYS("file"), 0600);
	o.access_key = "AKIDoption";
	o.secret_key = SECRET "option";
	o.session_token = TOKEN;
	c = open_good(&o);
	has(c, "option", TOKEN);
	ck_assert_int_eq(lsvd_s3_credentials_reload(c), 0);
	has(c, "option", TOKEN);
	lsvd_s3_credentials_close(c);
}
END_TEST

START_TEST(s3_credentials_file_comes_before_the_environment)
{
	struct lsvd_s3_options o = from_file();
	struct s3_credentials *c;

	setenv("AWS_ACCESS_KEY_ID", "AKIDenv", 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET "env", 1);
	write_to(file, "[default]\n" KEYS("file"), 0600);
	c = open_good(&o);
	has(c, "file", NULL);
	lsvd_s3_credentials_close(c);
}
END_TEST

START_TEST(s3_environment_comes_before_the_shared_file)
{
	struct lsvd_s3_options o = from_file();
	struct s3_credentials *c;

	o.credentials_file = NULL;
	write_to(file, "[default]\n" KEYS("shared"), 0600);
	setenv("AWS_SHARED_CREDENTIALS_FILE", file, 1);
	setenv("AWS_ACCESS_KEY_ID", "AKIDenv", 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET "env", 1);
	setenv("AWS_SESSION_TOKEN", TOKEN, 1);
	c = open_good(&o);
	has(c, "env", TOKEN);
	lsvd_s3_credentials_close(c);

	/* Empty variables are none; a profile that is named is not overruled. */
	setenv("AWS_SESSION_TOKEN", "", 1);
	c = open_good(&o);
	has(c, "env", NULL);
	lsvd_s3_credentials_close(c);
	o.profile = "default";
	c = open_good(&o);
	has(c, "shared", NULL);
	lsvd_s3_credentials_close(c);
}
END_TEST

START_TEST(s3_half_an_environment_is_refused)
{
	struct lsvd_s3_options o = from_file();

	o.credentials_file = NULL;
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	fails(&o, LSVD_E_CONFIG, "environment: there is no access key");
}
END_TEST

START_TEST(s3_file_in_the_home_directory_is_found)
{
	struct lsvd_s3_options o = from_file();
	char *aws = tmpdir_path(dir, ".aws"), *keys = tmpdir_path(dir, ".aws/credentials");
	struct s3_credentials *c;

	o.credentials_file = NULL;
	fails(&o, LSVD_E_CONFIG, "no credentials");
	ck_assert_int_eq(mkdir(aws, 0700), 0);
	write_to(keys, "[other]\n" KEYS("other") "[default]\n" KEYS("home"), 0600);
	c = open_good(&o);
	has(c, "home", NULL);
	lsvd_s3_credentials_close(c);
	setenv("AWS_PROFILE", "other", 1);
	c = open_good(&o);
	has(c, "other", NULL);
	lsvd_s3_credentials_close(c);

	/* No section "default" is no failure, unless somebody asked for the section. */
	unsetenv("AWS_PROFILE");
	write_to(keys, "[other]\n" KEYS("other"), 0600);
	fails(&o, LSVD_E_CONFIG, "no credentials");
	setenv("AWS_PROFILE", "third", 1);
	fails(&o, LSVD_E_CONFIG, "no section [third]");
	free(aws);
	free(keys);
}
END_TEST

START_TEST(s3_shared_file_that_is_named_must_be_there)
{
	struct lsvd_s3_options o = from_file();

	o.credentials_file = NULL;
	setenv("AWS_SHARED_CREDENTIALS_FILE", file, 1);
	fails(&o, -ENOENT, file);
}
END_TEST

START_TEST(s3_without_any_credentials_all_places_are_named)
{
	struct lsvd_s3_options o = from_file();

	o.credentials_file = NULL;
	fails(&o, LSVD_E_CONFIG, "bucket bbb: no credentials");
	ck_assert_error_says("AWS_ACCESS_KEY_ID");
	ck_assert_error_says("~/.aws/credentials");
	ck_assert_error_says("metadata");
}
END_TEST

/* ----------------------------------------------------------------------------- the file of keys */

START_TEST(s3_credentials_file_others_can_open_is_refused)
{
	static const unsigned bad[] = {0640, 0604, 0660, 0606, 0610, 0601, 0644, 0777, 0420};
	static const unsigned good[] = {0600, 0400, 0700};
	struct lsvd_s3_options o = from_file();
	char text[32];

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		write_to(file, "[default]\n" KEYS(""), bad[i]);
		(void)snprintf(text, sizeof text, "mode is %04o", bad[i]);
		fails(&o, LSVD_E_CONFIG, text);
		ck_assert_error_says(file);
		ck_assert_int_eq(unlink(file), 0);
	}
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct s3_credentials *c;

		write_to(file, "[default]\n" KEYS(""), good[i]);
		c = open_good(&o);
		has(c, "", NULL);
		lsvd_s3_credentials_close(c);
		ck_assert_int_eq(unlink(file), 0);
	}
}
END_TEST

START_TEST(s3_credentials_file_of_another_user_is_refused)
{
	struct lsvd_s3_options o = from_file();

	if (geteuid() != 0) {
		printf("not tried: only root can give a file away\n");
		return;
	}
	write_to(file, "[default]\n" KEYS(""), 0600);
	ck_assert_int_eq(chown(file, 12345, (gid_t)-1), 0);
	fails(&o, LSVD_E_CONFIG, "its owner is user 12345, must be 0");
}
END_TEST

START_TEST(s3_credentials_file_must_be_a_regular_file)
{
	struct lsvd_s3_options o = from_file();

	fails(&o, -ENOENT, file);
	ck_assert_int_eq(mkfifo(file, 0600), 0);
	fails(&o, LSVD_E_CONFIG, "not a regular file"); /* and does not wait for a writer */
	o.credentials_file = dir;
	fails(&o, LSVD_E_CONFIG, "not a regular file");
	o.credentials_file = "/dev/zero";
	fails(&o, LSVD_E_CONFIG, "not a regular file");
}
END_TEST

START_TEST(s3_credentials_file_may_be_a_link)
{
	struct lsvd_s3_options o = from_file();
	char *link = tmpdir_path(dir, "link");
	struct s3_credentials *c;

	write_to(file, "[default]\n" KEYS("link"), 0600);
	ck_assert_int_eq(symlink(file, link), 0);
	o.credentials_file = link;
	c = open_good(&o);
	has(c, "link", NULL);
	lsvd_s3_credentials_close(c);
	free(link);
}
END_TEST

START_TEST(s3_credentials_file_too_long_is_refused)
{
	struct lsvd_s3_options o = from_file();

	write_to(file, "[default]\n" KEYS(""), 0600);
	ck_assert_int_eq(truncate(file, (256 << 10) + 1), 0);
	fails(&o, LSVD_E_CONFIG, "262145 bytes, more than 262144");
}
END_TEST

/* ----------------------------------------------------------------------------------- its format */

static int parse(struct s3_set **ret, const char *text)
{
	*ret = NULL;
	return lsvd_s3_profile_parse(ret, text, strlen(text), "F", "default", 0);
}

START_TEST(s3_profile_is_read_however_it_is_laid_out)
{
	static const char *const good[] = {
		"[default]\naws_access_key_id=A\naws_secret_access_key=S\naws_session_token=T\n",
		"\n# c\n; c\n[default]\r\n  aws_access_key_id\t =  A  \r\n"
		"aws_secret_access_key= S\t\r\n aws_session_token =T",
		"[ default ] # x\nregion = eu\naws_access_key_id = A\noutput =\n"
		"aws_secret_access_key = S\naws_security_token = T\n",
		"[a]\naws_access_key_id = X\n[default]\naws_session_token = T\n"
		"aws_secret_access_key = S\naws_access_key_id = A\n[b]\naws_access_key_id = Y\n",
	};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct s3_set *set;

		ck_assert_ok(parse(&set, good[i]));
		ck_assert_str_eq(set->access_key, "A");
		ck_assert_str_eq(set->secret_key, "S");
		ck_assert_str_eq(set->session_token, "T");
		lsvd_s3_set_unref(set);
	}
}
END_TEST

START_TEST(s3_profile_that_is_malformed_is_refused_with_its_line)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"", "F: there is no section [default]"},
		{"[other]\n" KEYS(""), "F: there is no section [default]"},
		{"[default\n" KEYS(""), "F:1: this [ has no ]"},
		{"[default]\naws_secret_access_key: x\n", "F:2: neither"},
		{"[default]\naws_access_key_id = A\n", "there is no secret key"},
		{"[default]\naws_secret_access_key = " SECRET "\n", "there is no access key"},
		{"[default]\n" KEYS("") "aws_access_key_id = B\n",
		 "F:4: aws_access_key_id a second"},
		{"[default]\n" KEYS("") "[default]\n", "F:4: a second section [default]"},
		{"[default]\naws_access_key_id = A B\naws_secret_access_key = " SECRET "\n",
		 "the access key has blanks"},
		{"[default]\naws_access_key_id = A\naws_secret_access_key = \xc3\xa4" SECRET "\n",
		 "the secret key has blanks, or bytes that are not ASCII"},
		{"[default]\nrole_arn = arn:aws:iam::1:role/x\n", "there is no access key"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct s3_set *set;

		ck_assert_err(parse(&set, bad[i].text), LSVD_E_CONFIG);
		ck_assert_ptr_null(set);
		ck_assert_error_says(bad[i].says);
		no_secret_shown();
	}
}
END_TEST

START_TEST(s3_session_token_may_be_long_but_has_an_end)
{
	char *text = calloc(1, 40000);
	struct s3_set *set;
	size_t n;

	n = (size_t)sprintf(text, "[default]\n" KEYS("") "aws_session_token = ");
	memset(text + n, 't', 16384);
	ck_assert_ok(parse(&set, text));
	ck_assert_uint_eq(strlen(set->session_token), 16384);
	lsvd_s3_set_unref(set);
	text[n + 16384] = 't';
	ck_assert_err(parse(&set, text), LSVD_E_CONFIG);
	ck_assert_error_says("the session token has 16385 bytes, more than 16384");
	free(text);
}
END_TEST

START_TEST(s3_profile_of_random_bytes_gets_a_verdict)
{
	static const char good[] = "[default]\n" KEYS("x") "# c\n[b]\nk = v\n";
	uint64_t random = t_seed();

	for (int i = 0; i < 2000; i++) {
		char text[sizeof good];
		struct s3_set *set = NULL;
		size_t len = t_random_below(&random, sizeof good);

		memcpy(text, good, sizeof good);
		for (uint64_t n = t_random_below(&random, 4); n; n--)
			text[t_random_below(&random, sizeof good - 1)] =
				"[]=\n\r\0# ;a"[t_random_below(&random, 10)];
		if (lsvd_s3_profile_parse(&set, text, len, "F", "default", 0) == 0)
			ck_assert_ptr_nonnull(set);
		else
			ck_assert_ptr_null(set);
		lsvd_s3_set_unref(set);
	}
}
END_TEST

/* ----------------------------------------------------------------------------------- new keys */

START_TEST(s3_reload_takes_keys_of_a_file_that_was_replaced)
{
	struct lsvd_s3_options o = from_file();
	struct s3_credentials *c;
	char *other = tmpdir_path(dir, "other");
	struct s3_secrets old = {NULL, NULL, NULL};

	write_to(file, "[default]\n" KEYS("1"), 0600);
	c = open_good(&o);
	ck_assert_ok(lsvd_s3_credentials_get(c, &old));
	write_to(other, "[default]\n" KEYS("2") "aws_session_token = " TOKEN "\n", 0600);
	ck_assert_int_eq(rename(other, file), 0);
	ck_assert_int_eq(lsvd_s3_credentials_reload(c), 1);
	has(c, "2", TOKEN);
	ck_assert_int_eq(lsvd_s3_credentials_reload(c), 0);
	has(c, "2", TOKEN);

	/* Whoever took the old ones still has them. */
	ck_assert_str_eq(old.secret_key, SECRET "1");
	lsvd_s3_credentials_put(c, &old);
	lsvd_s3_credentials_close(c);
	free(other);
}
END_TEST

/* The same length, and within the same tick of the file system's clock. */
START_TEST(s3_reload_takes_keys_that_were_written_over_the_old_ones)
{
	struct lsvd_s3_options o = from_file();
	struct s3_credentials *c;

	write_to(file, "[default]\n" KEYS("1"), 0600);
	c = open_good(&o);
	write_to(file, "[default]\n" KEYS("2"), 0600);
	ck_assert_int_eq(lsvd_s3_credentials_reload(c), 1);
	has(c, "2", NULL);
	lsvd_s3_credentials_close(c);
}
END_TEST

START_TEST(s3_reload_that_fails_leaves_the_old_keys)
{
	struct lsvd_s3_options o = from_file();
	struct s3_credentials *c;

	write_to(file, "[default]\n" KEYS("1"), 0600);
	c = open_good(&o);
	write_to(file, "[default]\naws_access_key_id = A\n", 0600);
	ck_assert_err(lsvd_s3_credentials_reload(c), LSVD_E_CONFIG);
	has(c, "1", NULL);
	ck_assert_int_eq(chmod(file, 0644), 0);
	ck_assert_err(lsvd_s3_credentials_reload(c), LSVD_E_CONFIG);
	ck_assert_error_says("0644");
	has(c, "1", NULL);
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_err(lsvd_s3_credentials_reload(c), -ENOENT);
	has(c, "1", NULL);
	write_to(file, "[default]\n" KEYS("2"), 0600);
	ck_assert_int_eq(lsvd_s3_credentials_reload(c), 1);
	has(c, "2", NULL);
	lsvd_s3_credentials_close(c);
}
END_TEST

START_TEST(s3_file_in_a_state_that_was_read_is_not_read_again)
{
	const struct timespec old[2] = {{1000000000, 0}, {1000000000, 0}};
	struct s3_file_state state = {.known = false};
	struct s3_set *set = NULL, *again = NULL;

	write_to(file, "[default]\n" KEYS("1"), 0600);
	ck_assert_int_eq(utimensat(AT_FDCWD, file, old, 0), 0);
	ck_assert_ok(lsvd_s3_profile_read(&set, file, "default", 0, &state));
	ck_assert_ptr_nonnull(set);
	ck_assert_msg(!state.known, "a file changed just now may change again unnoticed");
	state.known = true;
	ck_assert_ok(lsvd_s3_profile_read(&again, file, "default", 0, &state));
	ck_assert_ptr_null(again);
	state.ctime_ns--;
	ck_assert_ok(lsvd_s3_profile_read(&again, file, "default", 0, &state));
	ck_assert_ptr_nonnull(again);
	ck_assert(lsvd_s3_set_equal(set, again));
	lsvd_s3_set_unref(set);
	lsvd_s3_set_unref(again);
}
END_TEST

/* Many take and give back while one exchanges: each set is whole. */
struct takers {
	struct s3_credentials *c;
	atomic_bool stop;
};

static void *take_and_put(void *arg)
{
	struct takers *t = arg;
	uintptr_t mixed = 0;

	while (!atomic_load(&t->stop)) {
		struct s3_secrets s = {NULL, NULL, NULL};

		if (lsvd_s3_credentials_get(t->c, &s) < 0)
			return (void *)1;
		mixed |= strcmp(s.access_key + 4, s.secret_key + sizeof SECRET - 1) != 0;
		lsvd_s3_credentials_put(t->c, &s);
	}
	return (void *)mixed;
}

START_TEST(s3_keys_change_under_those_who_use_them)
{
	struct lsvd_s3_options o = from_file();
	struct takers t;
	pthread_t threads[4];

	write_to(file, "[default]\n" KEYS("1"), 0600);
	t.c = open_good(&o);
	atomic_init(&t.stop, false);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_put, &t), 0);
	for (int i = 0; i < 200; i++) {
		write_to(file, i % 2 ? "[default]\n" KEYS("1") : "[default]\n" KEYS("2"), 0600);
		ck_assert_int_eq(lsvd_s3_credentials_reload(t.c), 1);
	}
	atomic_store(&t.stop, true);
	for (int i = 0; i < 4; i++) {
		void *mixed;

		ck_assert_int_eq(pthread_join(threads[i], &mixed), 0);
		ck_assert_ptr_null(mixed);
	}
	lsvd_s3_credentials_close(t.c);
}
END_TEST

/* ----------------------------------------------------------------------------- metadata service */

/* What the stand-in of the service does. */
struct service {
	struct t_http http;
	const char *token, *role, *keys; /* answers; NULL: 404 */
	int lasts_s;			 /* in the keys, in place of %s; from the answer's Date */
	const char *name;		 /* in the keys, in place of %n */
	bool hang_at_keys;
	char strange[128]; /* the first request that such a service must not get */
	char answer[20000];
};

static void note_strange(struct service *s, const char *request, const char *why)
{
	if (!s->strange[0])
		(void)snprintf(s->strange, sizeof s->strange, "%s: %.60s", why, request);
}

static const char *reply(struct service *s, const char *status, const char *body)
{
	/* A machine whose clock is a year off: what counts is the server's Date. */
	(void)snprintf(s->answer, sizeof s->answer,
		       "HTTP/1.0 %s\r\nContent-Type: text/plain\r\nDate: Thu, 01 Jan 2032 00:00:00 "
		       "GMT\r\nContent-Length: %zu\r\n\r\n%s",
		       status, strlen(body), body);
	return s->answer;
}

static const char *reply_keys(struct service *s)
{
	struct tm tm;
	time_t end = 1956528000 + s->lasts_s; /* 2032-01-01 */
	char body[2048], at[32];

	ck_assert_ptr_nonnull(gmtime_r(&end, &tm));
	ck_assert_uint_gt(strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &tm), 0);
	(void)snprintf(body, sizeof body, s->keys, s->name, s->name, at);
	return reply(s, "200 OK", body);
}

static const char *serve_metadata(struct t_http *http, const char *request, unsigned n)
{
	struct service *s = http->ctx;
	bool has_token = s->token && strstr(request, "X-aws-ec2-metadata-token: tok/en==\r\n");

	(void)n;
	if (strncmp(request, "PUT /latest/api/token HTTP/1.", 29) == 0) {
		if (!strstr(request, "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n") ||
		    !strstr(request, "Content-Length: 0\r\n"))
			note_strange(s, request, "a token asked for in another way");
		return s->token ? reply(s, "200 OK", s->token) : reply(s, "404 Not Found", "");
	}
	if (!has_token) {
		note_strange(s, request, "no token");
		return reply(s, "401 Unauthorized", "");
	}
	if (strncmp(request, "GET /latest/meta-data/iam/security-credentials/ HTTP/1.", 55) == 0)
		return s->role ? reply(s, "200 OK", s->role) : reply(s, "404 Not Found", "");
	if (strncmp(request, "GET /latest/meta-data/iam/security-credentials/disk-role HTTP/1.",
		    64) != 0)
		note_strange(s, request, "not one of the three questions");
	if (s->hang_at_keys)
		return NULL;
	return s->keys ? reply_keys(s) : reply(s, "404 Not Found", "");
}

static const char good_keys[] =
	"{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2031-12-31T23:00:00Z\",\n"
	"  \"Type\" : \"AWS-HMAC\",\n  \"AccessKeyId\" : \"AKID%s\",\n"
	"  \"SecretAccessKey\" : \"wJalrXUtnFEMI\\/K7MDENG\\u002bbPxRfi=YEXAMPLEKEY%s\",\n"
	"  \"Token\" : \"" TOKEN "\",\n  \"Expiration\" : \"%s\"\n}\n";

static void service_start(struct service *s)
{
	memset(s, 0, sizeof *s);
	s->token = "tok/en==\n";
	s->role = "disk-role\n";
	s->keys = good_keys;
	s->name = "1";
	s->lasts_s = 3600;
	s->http.handler = serve_metadata;
	s->http.ctx = s;
	t_http_start(&s->http);
}

static void service_stop(struct service *s)
{
	t_http_stop(&s->http);
	ck_assert_str_eq(s->strange, "");
}

static struct lsvd_s3_options from_service(const struct service *s)
{
	struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;

	o.bucket = "bbb";
	o.metadata = s->http.endpoint;
	return o;
}

START_TEST(s3_metadata_service_is_asked_in_three_steps)
{
	struct service s;
	struct lsvd_s3_options o;
	struct s3_credentials *c;

	service_start(&s);
	o = from_service(&s);
	c = open_good(&o);
	has(c, "1", TOKEN);
	ck_assert_uint_eq(atomic_load(&s.http.requests), 3);
	for (int i = 0; i < 100; i++)
		has(c, "1", TOKEN);
	ck_assert_uint_eq(atomic_load(&s.http.requests), 3);
	s.name = "2";
	ck_assert_int_eq(lsvd_s3_credentials_reload(c), 1);
	has(c, "2", TOKEN);
	lsvd_s3_credentials_close(c);
	service_stop(&s);
}
END_TEST

START_TEST(s3_metadata_service_is_never_asked_unless_it_is_configured)
{
	struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;

	o.bucket = "bbb";
	fails(&o, LSVD_E_CONFIG, "metadata is not configured");
}
END_TEST

START_TEST(s3_metadata_endpoint_must_be_plain)
{
	static const char *const bad[] = {
		"https://169.254.169.254", "169.254.169.254", "http://", "http://h/latest",
		"http://user:pass@h", "http://h?x", "http://h\r\nX: y", "Default",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;

		o.bucket = "bbb";
		o.metadata = bad[i];
		fails(&o, LSVD_E_CONFIG, "instance metadata: ");
		ck_assert_ptr_null(strstr(lsvd_last_error(), "pass"));
	}
	ck_assert(lsvd_s3_metadata_endpoint_valid(S3_METADATA_DEFAULT));
	ck_assert(lsvd_s3_metadata_endpoint_valid("http://[fd00:ec2::254]:80/"));
}
END_TEST

/* Each member of the service in turn says something else. */
START_TEST(s3_metadata_that_is_not_understood_is_refused)
{
	static const char nothing[] = "";
	static const struct {
		const char *token, *role, *keys, *says;
		int err, lasts_s;
	} bad[] = {
		{NULL, "disk-role", good_keys,
		 "asked for a token: the metadata service answers 404", LSVD_E_CONFIG, 60},
		{nothing, "disk-role", good_keys, "no token", LSVD_E_CONFIG, 60},
		{"to ken", "disk-role", good_keys, "no token", LSVD_E_CONFIG, 60},
		{"tok/en==", NULL, good_keys, "this machine has no role", LSVD_E_CONFIG, 60},
		{"tok/en==", nothing, good_keys, "no name of a role", LSVD_E_CONFIG, 60},
		{"tok/en==", "../../user-data", good_keys, "no name of a role", LSVD_E_CONFIG, 60},
		{"tok/en==", "disk-role", NULL, "asked for the keys of the role",
		 LSVD_E_CONFIG, 60},
		{"tok/en==", "disk-role", nothing, "no flat JSON object", LSVD_E_CONFIG, 60},
		{"tok/en==", "disk-role", "<html>%.0s%.0s%.0s", "no flat JSON", LSVD_E_CONFIG, 60},
		{"tok/en==", "disk-role",
		 "{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"" SECRET "%s",
		 "no flat JSON", LSVD_E_CONFIG, 60},
		{"tok/en==", "disk-role",
		 "{\"AccessKeyId\":{\"%s\":\"%s\"},\"Expiration\":\"%s\"}", "no flat JSON",
		 LSVD_E_CONFIG, 60},
		{"tok/en==", "disk-role",
		 "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"%s %s %s\"}",
		 "the service says it has no keys", LSVD_E_CONFIG, 60},
		{"tok/en==", "disk-role",
		 "{\"Code\":\"Success\",\"AccessKeyId\":\"%s%s\",\"Expiration\":\"%s\"}",
		 "there is no secret key", LSVD_E_CONFIG, 60},
		{"tok/en==", "disk-role",
		 "{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"" SECRET
		 "%s\",\"Token\":\"%.0st\"}",
		 "when its keys end is not said", LSVD_E_CONFIG, 60},
		{"tok/en==", "disk-role",
		 "{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"" SECRET
		 "%s\",\"Expiration\":\"%.7s\"}",
		 "when its keys end is not said", LSVD_E_CONFIG, 60},
		{"tok/en==", "disk-role", good_keys, "its keys ended 10 s ago", LSVD_E_UNAVAILABLE,
		 -10},
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct service s;
		struct lsvd_s3_options o;

		service_start(&s);
		s.token = bad[i].token;
		s.role = bad[i].role;
		s.keys = bad[i].keys;
		s.lasts_s = bad[i].lasts_s;
		o = from_service(&s);
		fails(&o, bad[i].err, bad[i].says);
		ck_assert_error_says(s.http.endpoint);
		service_stop(&s);
	}
}
END_TEST

static const char *canned(struct t_http *http, const char *request, unsigned n)
{
	(void)request;
	(void)n;
	return http->ctx;
}

START_TEST(s3_metadata_service_that_breaks_http_is_refused)
{
	static const struct {
		const char *answer, *says;
		int err;
	} bad[] = {
		{"", "closed without an answer", LSVD_E_UNAVAILABLE},
		{"SSH-2.0-x\r\n", "the answer is no HTTP", LSVD_E_CONFIG},
		{"HTTP/2 200\r\n\r\nx", "the answer is no HTTP", LSVD_E_CONFIG},
		{"HTTP/1.1 200 OK\r\nDate: x", "headers that are not understood", LSVD_E_CONFIG},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		 "headers that are not understood", LSVD_E_CONFIG},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntok", "cut off", LSVD_E_UNAVAILABLE},
		{"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\ntok",
		 "not understood", LSVD_E_CONFIG},
		{"HTTP/1.1 500 Oops\r\n\r\n", "answers 500", LSVD_E_UNAVAILABLE},
		{"HTTP/1.1 503 Oops\r\n\r\n", "answers 503", LSVD_E_UNAVAILABLE},
		{"HTTP/1.1 429 Slow\r\n\r\n", "answers 429", LSVD_E_UNAVAILABLE},
		{"HTTP/1.1 403 No\r\n\r\n", "answers 403", LSVD_E_CONFIG},
		{"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "answers 302",
		 LSVD_E_CONFIG},
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		union {
			const char *text;
			void *ctx;
		} answer = {.text = bad[i].answer};
		struct t_http http = {.handler = canned, .ctx = answer.ctx};
		struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;

		t_http_start(&http);
		o.bucket = "bbb";
		o.metadata = http.endpoint;
		fails(&o, bad[i].err, bad[i].says);
		t_http_stop(&http);
		ck_assert_uint_le(atomic_load(&http.requests), 1);
	}
}
END_TEST

static const char *endless(struct t_http *http, const char *request, unsigned n)
{
	static char text[100000];

	(void)http;
	(void)request;
	(void)n;
	memset(text, 'x', sizeof text - 1);
	memcpy(text, "HTTP/1.1 200 OK\r\n\r\n", 19);
	return text;
}

START_TEST(s3_metadata_answer_has_a_longest_length)
{
	struct t_http http = {.handler = endless};
	struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;

	t_http_start(&http);
	o.bucket = "bbb";
	o.metadata = http.endpoint;
	fails(&o, LSVD_E_CONFIG, "too long");
	t_http_stop(&http);
}
END_TEST

START_TEST(s3_metadata_service_that_nobody_runs_is_unavailable)
{
	struct t_http http = {.handler = endless};
	struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;

	t_http_start(&http);
	t_http_stop(&http);
	o.bucket = "bbb";
	o.metadata = http.endpoint;
	fails(&o, LSVD_E_UNAVAILABLE, http.endpoint);
}
END_TEST

START_TEST(s3_metadata_service_that_hangs_is_given_up)
{
	struct service s;
	struct lsvd_s3_options o;

	service_start(&s);
	s.hang_at_keys = true;
	o = from_service(&s);
	fails(&o, LSVD_E_UNAVAILABLE, "no answer in time");
	service_stop(&s);
}
END_TEST

/* They are good, and no proxy and no environment is in between. */
START_TEST(s3_metadata_service_is_asked_without_a_proxy)
{
	struct service s;
	struct lsvd_s3_options o;
	struct s3_credentials *c;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	service_start(&s);
	o = from_service(&s);
	c = open_good(&o);
	has(c, "1", TOKEN);
	lsvd_s3_credentials_close(c);
	service_stop(&s);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
}
END_TEST

static void wait_for_service_keys(struct s3_credentials *c, const char *name)
{
	const struct timespec pause = {0, 1000000};

	for (int i = 0; i < 20000 && !is(c, name); i++)
		(void)nanosleep(&pause, NULL);
	has(c, name, TOKEN);
}

START_TEST(s3_keys_that_end_soon_are_fetched_anew_when_they_are_used)
{
	struct service s;
	struct lsvd_s3_options o;
	struct s3_credentials *c;

	service_start(&s);
	s.lasts_s = 299;
	o = from_service(&s);
	c = open_good(&o);
	ck_assert_uint_eq(atomic_load(&s.http.requests), 3); /* nothing from a timer */
	s.name = "2";
	s.lasts_s = 3600;
	ck_assert(is(c, "1")); /* still good; and this asks for others */
	wait_for_service_keys(c, "2");
	ck_assert_uint_eq(atomic_load(&s.http.requests), 6);
	for (int i = 0; i < 100; i++)
		has(c, "2", TOKEN);
	ck_assert_uint_eq(atomic_load(&s.http.requests), 6);
	lsvd_s3_credentials_close(c);
	service_stop(&s);
}
END_TEST

START_TEST(s3_keys_that_have_ended_are_not_used)
{
	const struct timespec pause = {0, 1000000};
	struct service s;
	struct lsvd_s3_options o;
	struct s3_credentials *c;
	struct s3_secrets secrets;
	int err = 0;

	service_start(&s);
	s.lasts_s = 1;
	o = from_service(&s);
	c = open_good(&o);
	s.token = NULL; /* from now on it has nothing to give */
	for (int i = 0; i < 20000 && err == 0; i++) {
		err = lsvd_s3_credentials_get(c, &secrets);
		if (err == 0)
			lsvd_s3_credentials_put(c, &secrets);
		(void)nanosleep(&pause, NULL);
	}
	ck_assert_int_eq(err, LSVD_E_UNAVAILABLE);
	ck_assert_error_says("the access keys from http://127.0.0.1:");
	ck_assert_error_says("s ago, and no others came");

	/* It comes back, with others. */
	s.name = "2";
	s.lasts_s = 3600;
	s.token = "tok/en==";
	wait_for_service_keys(c, "2");
	lsvd_s3_credentials_close(c);
	service_stop(&s);
}
END_TEST

/* Else a server that is told to read its keys again takes no clients meanwhile. */
START_TEST(s3_renewal_does_not_wait_for_a_metadata_service)
{
	struct service s;
	struct lsvd_s3_options o;
	struct s3_credentials *c;

	service_start(&s);
	o = from_service(&s);
	c = open_good(&o);
	s.hang_at_keys = true;
	ck_assert_ok(lsvd_s3_credentials_renew(c)); /* who waited would be told that it hangs */
	t_http_wait(&s.http, 6);
	has(c, "1", TOKEN);
	lsvd_s3_credentials_close(c);
	service_stop(&s);
}
END_TEST

START_TEST(s3_renewal_brings_new_keys_of_a_metadata_service)
{
	struct service s;
	struct lsvd_s3_options o;
	struct s3_credentials *c;

	service_start(&s);
	o = from_service(&s);
	c = open_good(&o);
	s.name = "2";
	ck_assert_ok(lsvd_s3_credentials_renew(c));
	wait_for_service_keys(c, "2");
	s.name = "3"; /* perhaps while the second answer is being taken in */
	ck_assert_ok(lsvd_s3_credentials_renew(c));
	wait_for_service_keys(c, "3");
	lsvd_s3_credentials_close(c);
	service_stop(&s);
}
END_TEST

START_TEST(s3_close_does_not_wait_for_a_service_that_hangs)
{
	struct service s;
	struct lsvd_s3_options o;
	struct s3_credentials *c;
	struct timespec from, to;

	service_start(&s);
	s.lasts_s = 100;
	o = from_service(&s);
	c = open_good(&o);
	s.hang_at_keys = true;
	ck_assert(is(c, "1")); /* asks for others */
	t_http_wait(&s.http, 6);
	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &from), 0);
	lsvd_s3_credentials_close(c);
	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &to), 0);
	ck_assert_int_lt(to.tv_sec - from.tv_sec, 4);
	service_stop(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------ flat JSON */

START_TEST(s3_flat_json_is_decoded_where_it_stands)
{
	static const char *const names[] = {"a", "b", "c", "d", "missing"};
	char text[] = " {\"a\":\"x\\\"\\\\\\/\\u0041\\n\", \"other\" : true ,\"b\":12.5e-3,"
		      "\"c\":null,\"d\":\"\"} \r\n";
	struct s3_piece found[5];

	ck_assert_int_eq(lsvd_s3_flat_json(text, strlen(text), names, found, 5), 0);
	ck_assert_uint_eq(found[0].len, 6);
	ck_assert_int_eq(memcmp(found[0].at, "x\"\\/A\n", 6), 0);
	ck_assert_int_eq(strncmp(found[1].at, "12.5e-3", found[1].len), 0);
	ck_assert_ptr_null(found[2].at);
	ck_assert_ptr_nonnull(found[3].at);
	ck_assert_uint_eq(found[3].len, 0);
	ck_assert_ptr_null(found[4].at);
	ck_assert(found[0].at > text && found[0].at < text + sizeof text);
}
END_TEST

START_TEST(s3_flat_json_that_is_none_is_refused)
{
	static const char *const bad[] = {
		"", " ", "{", "}", "{}x", "{,}",
		"{\"a\"}", "{\"a\":}", "{\"a\":\"x}", "{\"a\":\"\\",
		"{\"a\":\"\\x\"}", "{\"a\":\"\\u00e9\"}",
		"{\"a\":\"\\u00\"}", "{\"a\":\"\\u0000\"}",
		"{\"a\":[1]}", "{\"a\":{}}", "{\"a\":1,}", "{\"a\":1 \"b\":2}", "{a:1}",
		"{\"a\":1,\"a\":2}", "[]", "\"a\"",
	};
	static const char *const names[] = {"a"};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		/* exactly as long as it is, so that a sanitizer sees a step beyond */
		size_t len = strlen(bad[i]);
		char *text = malloc(len ? len : 1);
		struct s3_piece found;

		memcpy(text, bad[i], len);
		ck_assert_msg(lsvd_s3_flat_json(text, len, names, &found, 1) == -EINVAL,
			      "taken: %s", bad[i]);
		free(text);
	}
}
END_TEST

START_TEST(s3_flat_json_of_random_bytes_gets_a_verdict)
{
	static const char good[] = "{\"Code\":\"S\",\"b\\u0041\":12,\"c\":\"\\\"\"}";
	static const char *const names[] = {"Code", "c"};
	uint64_t random = t_seed();

	for (int i = 0; i < 5000; i++) {
		size_t len = 1 + t_random_below(&random, sizeof good - 1);
		char *text = malloc(len);
		struct s3_piece found[2];

		memcpy(text, good, len);
		for (uint64_t n = t_random_below(&random, 3); n; n--)
			text[t_random_below(&random, len)] =
				"\"\\{}:,u0 \0a"[t_random_below(&random, 11)];
		(void)lsvd_s3_flat_json(text, len, names, found, 2); /* either will do */
		free(text);
	}
}
END_TEST

/* --------------------------------------------------------------------------- memory for secrets */

/* Has the mapping of this address the flag? -1: there is no such mapping. */
static int has_flag(const void *p, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	char line[512];
	bool here = false;
	int result = -1;

	ck_assert_ptr_nonnull(f);
	while (result < 0 && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)p >= from && (uintptr_t)p < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			result = strstr(line, flag) != NULL;
	}
	(void)fclose(f);
	return result;
}

START_TEST(s3_secrets_lie_where_core_dumps_do_not_look)
{
	struct lsvd_s3_options o = from_file();
	struct s3_credentials *c;
	struct s3_secrets s = {NULL, NULL, NULL};
	char *plain = malloc(100);

	write_to(file, "[default]\n" KEYS("") "aws_session_token = " TOKEN "\n", 0600);
	c = open_good(&o);
	ck_assert_ok(lsvd_s3_credentials_get(c, &s));
	ck_assert_int_eq(has_flag(s.secret_key, " dd"), 1);
	ck_assert_int_eq(has_flag(s.session_token, " dd"), 1);
	ck_assert_int_eq(has_flag(plain, " dd"), 0);
	lsvd_s3_credentials_put(c, &s);
	lsvd_s3_credentials_close(c);
	free(plain);
}
END_TEST

/* An allocator that keeps what is given back, to be looked at. */
static void *kept;

static void *keep_alloc(size_t align, size_t size)
{
	void *p = NULL;

	return posix_memalign(&p, align < 16 ? 16 : align, size) == 0 ? p : NULL;
}

static void keep_release(void *p)
{
	kept = p;
}

START_TEST(s3_secret_memory_is_wiped_and_given_back_as_it_came)
{
	static const struct alloc_ops ops = {keep_alloc, realloc, keep_release};
	char *p;

	lsvd_alloc_set(&ops);
	p = lsvd_secret_dup(SECRET, strlen(SECRET));
	ck_assert_str_eq(p, SECRET);
	ck_assert_int_eq(has_flag(p, " dd"), 1);
	lsvd_secret_free(p);
	lsvd_alloc_set(NULL);
	ck_assert_ptr_nonnull(kept);
	for (size_t i = 0; i < 4096; i++)
		ck_assert_int_eq(((char *)kept)[i], 0);
	ck_assert_int_eq(has_flag(kept, " dd"), 0);
	free(kept);
	lsvd_secret_free(NULL);
}
END_TEST

START_TEST(s3_secrets_are_compared_whole)
{
	ck_assert(lsvd_secret_equal("abc", "abc"));
	ck_assert(!lsvd_secret_equal("abc", "abd"));
	ck_assert(!lsvd_secret_equal("abc", "ab"));
	ck_assert(!lsvd_secret_equal("abc", NULL));
	ck_assert(!lsvd_secret_equal(NULL, ""));
	ck_assert(lsvd_secret_equal(NULL, NULL));
}
END_TEST

START_TEST(s3_credentials_without_memory_are_enomem)
{
	struct lsvd_s3_options o = from_file();
	uint64_t k;

	write_to(file, "[default]\n" KEYS(""), 0600);
	for (k = 0; k < 100; k++) {
		struct s3_credentials *c = NULL;
		int err;

		t_alloc_refuse_at(k);
		err = lsvd_s3_credentials_open(&c, &o);
		if (t_alloc_forgive() == 0) {
			ck_assert_ok(err);
			lsvd_s3_credentials_close(c);
			break;
		}
		ck_assert_int_eq(err, -ENOMEM);
		ck_assert_ptr_null(c);
	}
	ck_assert_uint_gt(k, 3);
	ck_assert_uint_lt(k, 100);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("s3");
	TCase *c;

	c = tcase_create("sources");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, s3_keys_of_the_options_come_first);
	tcase_add_test(c, s3_credentials_file_comes_before_the_environment);
	tcase_add_test(c, s3_environment_comes_before_the_shared_file);
	tcase_add_test(c, s3_half_an_environment_is_refused);
	tcase_add_test(c, s3_file_in_the_home_directory_is_found);
	tcase_add_test(c, s3_shared_file_that_is_named_must_be_there);
	tcase_add_test(c, s3_without_any_credentials_all_places_are_named);
	suite_add_tcase(s, c);

	c = tcase_create("file of keys");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, s3_credentials_file_others_can_open_is_refused);
	tcase_add_test(c, s3_credentials_file_of_another_user_is_refused);
	tcase_add_test(c, s3_credentials_file_must_be_a_regular_file);
	tcase_add_test(c, s3_credentials_file_may_be_a_link);
	tcase_add_test(c, s3_credentials_file_too_long_is_refused);
	tcase_add_test(c, s3_profile_is_read_however_it_is_laid_out);
	tcase_add_test(c, s3_profile_that_is_malformed_is_refused_with_its_line);
	tcase_add_test(c, s3_session_token_may_be_long_but_has_an_end);
	tcase_add_test(c, s3_profile_of_random_bytes_gets_a_verdict);
	suite_add_tcase(s, c);

	c = tcase_create("new keys");
	tcase_set_timeout(c, 30);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, s3_reload_takes_keys_of_a_file_that_was_replaced);
	tcase_add_test(c, s3_reload_takes_keys_that_were_written_over_the_old_ones);
	tcase_add_test(c, s3_reload_that_fails_leaves_the_old_keys);
	tcase_add_test(c, s3_file_in_a_state_that_was_read_is_not_read_again);
	tcase_add_test(c, s3_keys_change_under_those_who_use_them);
	suite_add_tcase(s, c);

	c = tcase_create("metadata service");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, s3_metadata_service_is_asked_in_three_steps);
	tcase_add_test(c, s3_metadata_service_is_never_asked_unless_it_is_configured);
	tcase_add_test(c, s3_metadata_endpoint_must_be_plain);
	tcase_add_test(c, s3_metadata_that_is_not_understood_is_refused);
	tcase_add_test(c, s3_metadata_service_that_breaks_http_is_refused);
	tcase_add_test(c, s3_metadata_answer_has_a_longest_length);
	tcase_add_test(c, s3_metadata_service_that_nobody_runs_is_unavailable);
	tcase_add_test(c, s3_metadata_service_that_hangs_is_given_up);
	tcase_add_test(c, s3_metadata_service_is_asked_without_a_proxy);
	tcase_add_test(c, s3_keys_that_end_soon_are_fetched_anew_when_they_are_used);
	tcase_add_test(c, s3_keys_that_have_ended_are_not_used);
	tcase_add_test(c, s3_renewal_does_not_wait_for_a_metadata_service);
	tcase_add_test(c, s3_renewal_brings_new_keys_of_a_metadata_service);
	tcase_add_test(c, s3_close_does_not_wait_for_a_service_that_hangs);
	suite_add_tcase(s, c);

	c = tcase_create("flat JSON");
	tcase_add_test(c, s3_flat_json_is_decoded_where_it_stands);
	tcase_add_test(c, s3_flat_json_that_is_none_is_refused);
	tcase_add_test(c, s3_flat_json_of_random_bytes_gets_a_verdict);
	suite_add_tcase(s, c);

	c = tcase_create("memory");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, s3_secrets_lie_where_core_dumps_do_not_look);
	tcase_add_test(c, s3_secret_memory_is_wiped_and_given_back_as_it_came);
	tcase_add_test(c, s3_secrets_are_compared_whole);
	tcase_add_test(c, s3_credentials_without_memory_are_enomem);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(make_suite)
