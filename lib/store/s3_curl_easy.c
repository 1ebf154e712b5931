/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_curl_easy.c - how a request goes: what libcurl is told of it, and the sockets it has.
 *
 * What libcurl is told not to do: to follow redirects (a request would carry its signature to
 * another host), to take proxies from the environment, to speak anything but HTTP and HTTPS, to
 * send Expect: 100-continue (a round trip for each PUT), to wait for ever (connecting and standing
 * still are bounded). Peers and names are always verified.
 */
#include "store/s3_curl.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store/s3_xml.h"

#define SLOW_BYTES 256L       /* a second: what counts as standing still */

/* No program that this process starts shall have our connections. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct s3_client *c = arg;
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	(void)purpose;
	if (fd >= 0 && c->socket_count < c->sockets_max)
		c->sockets[c->socket_count++] = fd;
	return fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
	struct s3_client *c = arg;

	for (uint32_t i = 0; i < c->socket_count; i++)
		if (c->sockets[i] == fd) {
			c->sockets[i] = c->sockets[--c->socket_count];
			break;
		}
	return close(fd);
}

/*
 * A server that writes head and body of an answer apart, and has left Nagle's algorithm on (radosgw
 * does), sends the body when the head is acknowledged; and a kernel that expects to answer puts an
 * acknowledgement off by 40 ms. What has been read is acknowledged at once.
 */
void lsvd_s3_curl_acknowledge(struct s3_client *c)
{
	int yes = 1;

	for (uint32_t i = 0; i < c->socket_count; i++)
		/* It only saves time: a failure costs nothing else. */
		(void)setsockopt(c->sockets[i], IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
}

#define SET(option, value) (err = err ? err : curl_easy_setopt(s->easy, (option), (value)))

/* What holds for every request. */
static CURLcode set_common(struct s3_slot *s)
{
	const struct s3_client *c = s->client;
	CURLcode err = CURLE_OK;

	SET(CURLOPT_URL, c->url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L); /* else this thread waits for a name that nobody resolves */
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->ca_file) {
		SET(CURLOPT_CAINFO, c->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	SET(CURLOPT_LOW_SPEED_TIME, (long)(c->stall_timeout_ms + 999) / 1000);
	SET(CURLOPT_BUFFERSIZE, 131072L);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, c);
	SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	SET(CURLOPT_CLOSESOCKETDATA, c);
	SET(CURLOPT_USERAGENT, c->agent);
	SET(CURLOPT_ERRORBUFFER, s->error);
	SET(CURLOPT_HTTPHEADER, s->headers);
	SET(CURLOPT_WRITEFUNCTION, lsvd_s3_curl_receive);
	SET(CURLOPT_WRITEDATA, s);
	SET(CURLOPT_PRIVATE, s);
	return err;
}

static uint64_t body_bytes(const struct s3_request *r)
{
	uint64_t sum = 0;

	for (int i = 0; i < r->iovcnt; i++)
		sum += r->iov[i].iov_len;
	return sum;
}

static CURLcode set_verb(struct s3_slot *s)
{
	CURLcode err = CURLE_OK;

	switch (s->r->verb) {
	case S3_PUT:
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)body_bytes(s->r));
		SET(CURLOPT_READFUNCTION, lsvd_s3_curl_send);
		SET(CURLOPT_READDATA, s);
		SET(CURLOPT_SEEKFUNCTION, lsvd_s3_curl_rewind);
		SET(CURLOPT_SEEKDATA, s);
		break;
	case S3_HEAD:
		SET(CURLOPT_NOBODY, 1L);
		break;
	case S3_DELETE:
		SET(CURLOPT_CUSTOMREQUEST, "DELETE");
		break;
	case S3_DELETE_MANY:
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->text_len);
		SET(CURLOPT_COPYPOSTFIELDS, s->text);
		s->text_len = 0; /* the answer comes here */
		break;
	default:
		SET(CURLOPT_HTTPGET, 1L);
	}
	return err;
}

static const char *method_of(enum s3_verb verb)
{
	static const char *const names[] = {
		[S3_PUT] = "PUT", [S3_GET] = "GET", [S3_HEAD] = "HEAD",
		[S3_LIST] = "GET", [S3_DELETE] = "DELETE", [S3_DELETE_MANY] = "POST",
	};

	return names[verb];
}

/* 0, -ENOMEM, or what the credentials say. */
int lsvd_s3_curl_prepare(struct s3_slot *s)
{
	struct s3_client *c = s->client;
	struct s3_secrets secrets;
	int err;
	bool ok;

	if (!s->easy)
		s->easy = curl_easy_init();
	if (!s->easy)
		return -ENOMEM;
	curl_easy_reset(s->easy);
	if (s->r->verb == S3_DELETE_MANY) {
		s->text = lsvd_s3_xml_delete(s->r->keys, s->r->count, &s->text_len);
		if (!s->text)
			return -ENOMEM;
		s->text_room = s->text_len + 1;
	}
	if (!lsvd_s3_curl_write_url(c, s->r))
		return -ENAMETOOLONG;
	err = c->options.secrets(c->options.ctx, &secrets);
	if (err < 0)
		return err;
	ok = lsvd_s3_curl_sign(s, method_of(s->r->verb), &secrets);
	c->options.release(c->options.ctx, &secrets);
	return ok && set_common(s) == CURLE_OK && set_verb(s) == CURLE_OK ? 0 : -ENOMEM;
}
