/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_plain_http.c - one request to a metadata service, whose answer is a secret.
 *
 * libcurl finds the host and connects. The request and the answer do not go through it, since its
 * buffers lie in ordinary memory and are not wiped: they are sent from and received into ours,
 * which is why the little HTTP there is stands here.
 */
#include "store/s3_plain_http.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include <curl/curl.h>

#include "base/err.h"

#define CONNECT_MS 1000
#define LOOK_MS	   100

int64_t lsvd_s3_boot_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail */
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int away(const struct s3_plain_http *h, const char *why)
{
	return lsvd_fail(LSVD_E_UNAVAILABLE, "%.200s: %.200s", h->endpoint, why);
}

static int strange(const struct s3_plain_http *h, const char *why)
{
	return lsvd_fail(LSVD_E_CONFIG, "%.200s: %.200s", h->endpoint, why);
}

/* ------------------------------------------------------------------------------- the connection */

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct s3_plain_http *h = ctx;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return atomic_load(h->stop);
}

/* No program that this process starts shall have our connections. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
	(void)ctx;
	(void)purpose;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static CURLcode set_up(CURL *curl, struct s3_plain_http *h)
{
	CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, h->endpoint);

	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	if (code == CURLE_OK)
		/* or names may take longer */
		code = curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_XFERINFODATA, h);
	return code;
}

static int connect_to(CURL *curl, struct s3_plain_http *h)
{
	CURLcode code = set_up(curl, h);

	if (code == CURLE_OK)
		code = curl_easy_perform(curl);
	if (code == CURLE_OK)
		return 0;
	if (code == CURLE_OUT_OF_MEMORY)
		return lsvd_fail_plain(-ENOMEM);
	if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
		return strange(h, curl_easy_strerror(code));
	return away(h, curl_easy_strerror(code));
}

/* Until the socket is ready; LSVD_E_UNAVAILABLE if that takes too long. */
static int wait_for(CURL *curl, const struct s3_plain_http *h, short events)
{
	struct pollfd p = {.fd = -1, .events = events};
	curl_socket_t fd;

	if (curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
	    fd == CURL_SOCKET_BAD)
		return away(h, "the connection is gone");
	p.fd = fd;
	while (lsvd_s3_boot_ms() < h->deadline_ms && !atomic_load(h->stop)) {
		int n = poll(&p, 1, LOOK_MS);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return away(h, "the connection cannot be waited for");
	}
	return away(h, "no answer in time (in a container: is the hop limit of the "
		       "metadata service 1?)");
}

static int send_all(CURL *curl, struct s3_plain_http *h, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t n = 0;
		CURLcode code = curl_easy_send(curl, h->buf + at, len - at, &n);
		int err = code == CURLE_AGAIN ? wait_for(curl, h, POLLOUT) : 0;

		if (code != CURLE_OK && code != CURLE_AGAIN)
			err = away(h, curl_easy_strerror(code));
		if (err < 0)
			return err;
		at += n;
	}
	return 0;
}

/* Up to the end of the connection, with room left for a '\0'. */
static int receive_all(CURL *curl, struct s3_plain_http *h, size_t *ret_len)
{
	size_t at = 0;

	while (at < h->size - 1) {
		size_t n = 0;
		CURLcode code = curl_easy_recv(curl, h->buf + at, h->size - 1 - at, &n);

		if (code == CURLE_AGAIN) {
			int err = wait_for(curl, h, POLLIN);

			if (err < 0)
				return err;
			continue;
		}
		if (code != CURLE_OK)
			return away(h, curl_easy_strerror(code));
		if (n == 0) {
			*ret_len = at;
			return 0;
		}
		at += n;
	}
	return strange(h, "the answer is too long");
}

static int exchange(CURL *curl, struct s3_plain_http *h, size_t len, size_t *ret_len)
{
	int err = connect_to(curl, h);

	if (err == 0)
		err = send_all(curl, h, len);
	explicit_bzero(h->buf, len); /* what is there from now on is the answer */
	return err < 0 ? err : receive_all(curl, h, ret_len);
}

/* ----------------------------------------------------------------------------------- the answer */

/*
 * The value of a header that is `name` ("Date:"), whose line ends at `end`; NULL if it is another.
 */
static const char *value_of(const char *line, const char *end, const char *name)
{
	size_t len = strlen(name);

	if ((size_t)(end - line) < len || strncasecmp(line, name, len) != 0)
		return NULL;
	line += len;
	while (line < end && *line == ' ')
		line++;
	return line;
}

/* Lines from `p` up to the empty one; *ret_length: Content-Length, or -1. NULL: not understood. */
static char *take_headers(struct s3_plain_http *h, char *p, long long *ret_length)
{
	char *end;

	*ret_length = -1;
	while ((end = strstr(p, "\r\n")) != NULL && end != p) {
		const char *length = value_of(p, end, "Content-Length:");
		const char *date = value_of(p, end, "Date:");

		*end = '\0';
		if (length && sscanf(length, "%lld", ret_length) != 1)
			return NULL;
		if (date && curl_getdate(date, NULL) > 0)
			h->date_ms = (int64_t)curl_getdate(date, NULL) * 1000;
		if (value_of(p, end, "Transfer-Encoding:"))
			return NULL;
		p = end + 2;
	}
	return end ? p + 2 : NULL;
}

static int take_answer(struct s3_plain_http *h, size_t len)
{
	long long length;
	char *p;

	h->buf[len] = '\0';
	if (len == 0)
		return away(h, "the connection was closed without an answer");
	if (sscanf(h->buf, "HTTP/1.%*1[01] %3u", &h->status) != 1 || h->status < 100)
		return strange(h, "the answer is no HTTP");
	p = strstr(h->buf, "\r\n");
	p = p ? take_headers(h, p + 2, &length) : NULL;
	if (!p)
		return strange(h, "the answer has headers that are not understood");
	h->body = p;
	h->body_len = len - (size_t)(p - h->buf);
	if (length >= 0 && h->body_len < (unsigned long long)length)
		return away(h, "the answer was cut off");
	if (length >= 0)
		h->body_len = (size_t)length;
	h->body[h->body_len] = '\0';
	return 0;
}

int lsvd_s3_plain_http(struct s3_plain_http *h, size_t len)
{
	CURL *curl = curl_easy_init();
	size_t got = 0;
	int err;

	if (!curl)
		return lsvd_fail_plain(-ENOMEM);
	h->status = 0;
	h->date_ms = 0;
	err = exchange(curl, h, len, &got);
	curl_easy_cleanup(curl);
	return err < 0 ? err : take_answer(h, got);
}
