/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_curl_body.c - bytes of a request and of its answer, as libcurl wants and has them.
 *
 * Bodies that are sent are read from the caller's vector, ranges that are fetched are copied into
 * the caller's buffer and nowhere else; documents are kept up to PAGE_MAX or ERROR_MAX bytes.
 * Headers are bounded by libcurl.
 */
#include "store/s3_curl.h"

#include <string.h>

#include "base/alloc.h"

#define PAGE_MAX (4u << 20)   /* 1000 keys of 1024 bytes, escaped, with what stands around them */
#define ERROR_MAX (64u << 10)

size_t lsvd_s3_curl_send(char *to, size_t size, size_t n, void *arg)
{
	struct s3_slot *s = arg;
	const struct s3_request *r = s->r;
	size_t room = size * n, done = 0;

	while (done < room && s->iov_at < r->iovcnt) {
		const struct iovec *v = &r->iov[s->iov_at];
		size_t len = v->iov_len - s->iov_off;

		if (len > room - done)
			len = room - done;
		if (len)
			memcpy(to + done, (const char *)v->iov_base + s->iov_off, len);
		done += len;
		s->iov_off += len;
		if (s->iov_off == v->iov_len) {
			s->iov_at++;
			s->iov_off = 0;
		}
	}
	return done;
}

/* libcurl sends again from the beginning what went into a connection that was already dead. */
int lsvd_s3_curl_rewind(void *arg, curl_off_t off, int origin)
{
	struct s3_slot *s = arg;

	if (origin != SEEK_SET || off != 0)
		return CURL_SEEKFUNC_CANTSEEK;
	s->iov_at = 0;
	s->iov_off = 0;
	s->sent_again = true;
	return CURL_SEEKFUNC_OK;
}

/* Into the caller's buffer; what it does not want ends the transfer. */
static size_t receive_range(struct s3_slot *s, const char *from, size_t len, bool whole)
{
	struct s3_request *r = s->r;
	size_t at = s->skip < len ? (size_t)s->skip : len, n = len - at;

	s->skip -= at;
	if (n > r->len - r->ret_len)
		n = r->len - r->ret_len;
	if (n)
		memcpy((char *)r->buf + r->ret_len, from + at, n);
	r->ret_len += n;
	if (at + n == len)
		return len;
	s->satisfied = true;
	r->overlong = !whole;
	return 0;
}

static bool make_room(struct s3_slot *s, size_t len)
{
	size_t room = s->text_room ? s->text_room : 4096;
	char *text;

	while (room < s->text_len + len + 1)
		room *= 2;
	if (room == s->text_room)
		return true;
	text = lsvd_realloc(s->text, room);
	if (!text)
		return false;
	s->text = text;
	s->text_room = room;
	return true;
}

/* A document. An error needs no end: its status is known; a page that is too long is no page. */
static size_t receive_text(struct s3_slot *s, const char *from, size_t len, bool page)
{
	if (s->text_len + len > (page ? PAGE_MAX : ERROR_MAX)) {
		s->satisfied = !page;
		return 0;
	}
	if (!make_room(s, len))
		return 0;
	memcpy(s->text + s->text_len, from, len);
	s->text_len += len;
	return len;
}

size_t lsvd_s3_curl_receive(char *from, size_t size, size_t n, void *arg)
{
	struct s3_slot *s = arg;
	long status = lsvd_s3_curl_status(s);

	if (s->r->verb == S3_GET && (status == 200 || status == 206)) {
		if (status == 200 && s->skip == UINT64_MAX)
			s->skip = s->r->off;
		if (s->skip == UINT64_MAX)
			s->skip = 0;
		return receive_range(s, from, size * n, status == 200);
	}
	return receive_text(s, from, size * n, status / 100 == 2);
}
