/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_profile.c - keys from a file in the format of AWS's shared credentials files.
 *
 *   [default]
 *   aws_access_key_id = AKIA…
 *   aws_secret_access_key = …
 *   aws_session_token = …          # may be missing
 *
 * Lines are "[SECTION]", "KEY = VALUE", or begin with # or ;. What else a section says is passed
 * over. A file that is not made of such lines is refused whole: a key that is silently not there is
 * a day of search. No library reads it: docs/adr says why.
 *
 * The text is read to and parsed in secret memory, and nothing copies it but the set made of it.
 */
#include "store/s3_profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/secret.h"

#define FILE_MAX_BYTES ((size_t)256 << 10)
#define RACY_NS	       INT64_C(2000000000)

/* ------------------------------------------------------------------------------------- the text */

enum { ACCESS_KEY, SECRET_KEY, TOKEN, OLD_TOKEN, KEYS };

static const char *const key_names[KEYS] = {
	[ACCESS_KEY] = "aws_access_key_id",
	[SECRET_KEY] = "aws_secret_access_key",
	[TOKEN] = "aws_session_token",
	[OLD_TOKEN] = "aws_security_token",
};

struct parse {
	const char *path, *profile;
	unsigned line;
	bool inside; /* of the section that is wanted */
	bool found;  /* it was there */
	struct s3_piece value[KEYS];
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct s3_piece trim(struct s3_piece p)
{
	while (p.len && is_blank(*p.at)) {
		p.at++;
		p.len--;
	}
	while (p.len && is_blank(p.at[p.len - 1]))
		p.len--;
	return p;
}

static bool is_text(struct s3_piece p, const char *text)
{
	return p.len == strlen(text) && memcmp(p.at, text, p.len) == 0;
}

/* The name may have blanks around it, and what stands behind the bracket may be a comment. */
static int take_section(struct parse *p, struct s3_piece line)
{
	const char *end = memchr(line.at, ']', line.len);
	struct s3_piece name;

	if (!end)
		return lsvd_fail(LSVD_E_CONFIG, "%.200s:%u: this [ has no ]", p->path, p->line);
	name = trim((struct s3_piece){line.at + 1, (size_t)(end - line.at) - 1});
	p->inside = is_text(name, p->profile);
	if (p->inside && p->found)
		return lsvd_fail(LSVD_E_CONFIG, "%.200s:%u: a second section [%.64s]", p->path,
				 p->line, p->profile);
	p->found |= p->inside;
	return 0;
}

static int take_value(struct parse *p, struct s3_piece line)
{
	const char *equals = memchr(line.at, '=', line.len);
	struct s3_piece key, value;

	if (!equals)
		return lsvd_fail(LSVD_E_CONFIG,
				 "%.200s:%u: neither [SECTION], KEY = VALUE nor # COMMENT", p->path,
				 p->line);
	key = trim((struct s3_piece){line.at, (size_t)(equals - line.at)});
	value = trim((struct s3_piece){equals + 1,
				       line.len - (size_t)(equals - line.at) - 1});
	for (int k = 0; p->inside && k < KEYS; k++) {
		if (!is_text(key, key_names[k]))
			continue;
		if (p->value[k].at)
			return lsvd_fail(LSVD_E_CONFIG, "%.200s:%u: %s a second time in [%.64s]",
					 p->path, p->line, key_names[k], p->profile);
		p->value[k] = value;
	}
	return 0;
}

static int take_line(struct parse *p, struct s3_piece line)
{
	line = trim(line);
	if (!line.len || *line.at == '#' || *line.at == ';')
		return 0;
	return *line.at == '[' ? take_section(p, line) : take_value(p, line);
}

static int take_lines(struct parse *p, const char *text, size_t len)
{
	int err = 0;

	while (len && err == 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;

		p->line++;
		err = take_line(p, (struct s3_piece){text, n});
		n += end != NULL;
		text += n;
		len -= n;
	}
	return err;
}

/* The old name of the token counts where the new one is missing. */
static int make_set(struct s3_set **ret, const struct parse *p)
{
	struct s3_piece token = p->value[TOKEN].len ? p->value[TOKEN] : p->value[OLD_TOKEN];
	char where[288];

	(void)snprintf(where, sizeof where, "%.200s: [%.64s]", p->path, p->profile); /* it fits */
	return lsvd_s3_set_new(ret, p->value[ACCESS_KEY], p->value[SECRET_KEY], token, where);
}

int lsvd_s3_profile_parse(struct s3_set **ret, const char *text, size_t len, const char *path,
			  const char *profile, unsigned flags)
{
	struct parse p = {.path = path, .profile = profile};
	int err = take_lines(&p, text, len);

	if (err < 0)
		return err;
	if (p.found)
		return make_set(ret, &p);
	if (flags & S3_PROFILE_OPTIONAL)
		return 0;
	return lsvd_fail(LSVD_E_CONFIG, "%.200s: there is no section [%.64s]", path, profile);
}

/* ------------------------------------------------------------------------------------- the file */

static int64_t ns_of(struct timespec t)
{
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/*
 * A file that was changed a moment ago may be changed again without its times telling: such a state
 * is not one to be recognized later.
 */
static void note_state(struct s3_file_state *state, const struct stat *st)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	*state = (struct s3_file_state){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.bytes = (uint64_t)st->st_size,
		.mtime_ns = ns_of(st->st_mtim),
		.ctime_ns = ns_of(st->st_ctim),
	};
	state->known = ns_of(now) - state->ctime_ns > RACY_NS;
}

static bool in_state(const struct s3_file_state *state, const struct stat *st)
{
	return state->known && state->dev == st->st_dev && state->ino == st->st_ino &&
	       state->bytes == (uint64_t)st->st_size && state->mtime_ns == ns_of(st->st_mtim) &&
	       state->ctime_ns == ns_of(st->st_ctim);
}

static int file_fail(const char *path)
{
	int err = errno;

	return lsvd_fail(-err, "%.200s: %s", path, lsvd_strerror(-err));
}

static int check_private(const char *path, const struct stat *st, unsigned flags)
{
	unsigned mode = st->st_mode & 07777u;

	if (!(flags & S3_PROFILE_PRIVATE)) {
		if (mode & 077)
			lsvd_report(LSVD_LOG_WARN, "%.200s: mode is %04o: others can read the keys",
				    path, mode);
		return 0;
	}
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return lsvd_fail(LSVD_E_CONFIG,
				 "%.200s: its owner is user %u, must be %u (this process) or 0",
				 path, (unsigned)st->st_uid, (unsigned)geteuid());
	if (mode & 077)
		return lsvd_fail(LSVD_E_CONFIG,
				 "%.200s: mode is %04o, so that others than its owner have access "
				 "to the keys: make it 0600",
				 path, mode);
	return 0;
}

static int check_file(const char *path, const struct stat *st, unsigned flags)
{
	if (!S_ISREG(st->st_mode))
		return lsvd_fail(LSVD_E_CONFIG, "%.200s: not a regular file (mode %07o)", path,
				 (unsigned)st->st_mode);
	if (st->st_size > (off_t)FILE_MAX_BYTES)
		return lsvd_fail(LSVD_E_CONFIG, "%.200s: %lld bytes, more than %zu", path,
				 (long long)st->st_size, FILE_MAX_BYTES);
	return check_private(path, st, flags);
}

static int read_all(int fd, const char *path, char *text, size_t *ret_len)
{
	size_t len = 0;

	while (len < FILE_MAX_BYTES) {
		ssize_t n = read(fd, text + len, FILE_MAX_BYTES - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_fail(path);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

static int read_set(struct s3_set **ret, int fd, const char *path, const char *profile,
		    unsigned flags)
{
	char *text = lsvd_secret_alloc(FILE_MAX_BYTES);
	size_t len = 0;
	int err;

	if (!text)
		return lsvd_fail_plain(-ENOMEM);
	err = read_all(fd, path, text, &len);
	if (err == 0)
		err = lsvd_s3_profile_parse(ret, text, len, path, profile, flags);
	lsvd_secret_free(text);
	return err;
}

static int read_open_file(struct s3_set **ret, int fd, const char *path, const char *profile,
			  unsigned flags, struct s3_file_state *state)
{
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return file_fail(path);
	err = check_file(path, &st, flags);
	if (err < 0 || in_state(state, &st))
		return err;
	err = read_set(ret, fd, path, profile, flags);
	if (err == 0)
		note_state(state, &st);
	return err;
}

int lsvd_s3_profile_read(struct s3_set **ret, const char *path, const char *profile,
			 unsigned flags, struct s3_file_state *state)
{
	/* NONBLOCK: a FIFO that bears the name is refused, not waited for */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), err;

	if (fd < 0)
		return file_fail(path);
	err = read_open_file(ret, fd, path, profile, flags, state);
	(void)close(fd); /* it was only read */
	return err;
}
