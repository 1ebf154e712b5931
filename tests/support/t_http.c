/* SPDX-License-Identifier: BSD-2-Clause */
/* t_http.c - a server on loopback that answers as a test wants. */
#include "t_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "t_check.h"

static size_t body_length(const char *head)
{
	const char *at = strcasestr(head, "\r\ncontent-length:");

	return at ? strtoul(at + sizeof "\r\ncontent-length:" - 1, NULL, 10) : 0;
}

/* All of it, as far as there is room; what is longer is read and dropped. */
static int read_request(int fd, char *text)
{
	size_t len = 0, want = SIZE_MAX, all = 0;

	while (all < want) {
		static _Thread_local char more[16384];
		ssize_t n = recv(fd, more, sizeof more, 0);
		const char *end;

		if (n <= 0)
			return -1;
		all += (size_t)n;
		if ((size_t)n > T_HTTP_REQUEST_MAX - 1 - len)
			n = (ssize_t)(T_HTTP_REQUEST_MAX - 1 - len);
		memcpy(text + len, more, (size_t)n);
		len += (size_t)n;
		text[len] = '\0';
		end = strstr(text, "\r\n\r\n");
		if (end && want == SIZE_MAX)
			want = (size_t)(end - text) + 4 + body_length(text);
	}
	return 0;
}

static void answer(struct t_http *s, int fd)
{
	const char *text;

	do {
		if (read_request(fd, s->request) < 0)
			break;
		text = s->handler(s, s->request, atomic_load(&s->requests));
		atomic_fetch_add(&s->requests, 1);
		if (!text && s->held_count < sizeof s->held / sizeof s->held[0]) {
			s->held[s->held_count++] = fd;
			return;
		}
		if (text)
			(void)send(fd, text, strlen(text), MSG_NOSIGNAL); /* it may have gone */
	} while (s->keep && text && *text);
	close(fd);
}

static void *serve(void *arg)
{
	struct t_http *s = arg;
	int fd;

	while ((fd = accept(s->listener, NULL, NULL)) >= 0)
		answer(s, fd);
	return NULL;
}

void t_http_start(struct t_http *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;

	s->held_count = 0;
	atomic_store(&s->requests, 0);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(s->listener, 0);
	ck_assert_int_eq(bind(s->listener, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(listen(s->listener, 64), 0);
	ck_assert_int_eq(getsockname(s->listener, (struct sockaddr *)&a, &len), 0);
	s->port = ntohs(a.sin_port);
	(void)snprintf(s->endpoint, sizeof s->endpoint, "http://127.0.0.1:%u", s->port);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

void t_http_stop(struct t_http *s)
{
	(void)shutdown(s->listener, SHUT_RDWR); /* ends accept() */
	ck_assert_int_eq(pthread_join(s->thread, NULL), 0);
	close(s->listener);
	while (s->held_count)
		close(s->held[--s->held_count]);
}

void t_http_wait(struct t_http *s, unsigned n)
{
	const struct timespec pause = {0, 1000000};

	for (int i = 0; i < 20000 && atomic_load(&s->requests) < n; i++)
		(void)nanosleep(&pause, NULL);
	ck_assert_uint_ge(atomic_load(&s->requests), n);
}
