/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - lsvd-nbd: options, open the volumes, serve, close in order.
 *
 * Beginning: the address is bound before a volume is opened, since opening takes the volume away
 * from whoever serves it, and that should not happen for an address that is in use.
 *
 * End, by a signal or by the end of what the server runs for:
 *   1. nobody is accepted any more, requests are refused with ESHUTDOWN;
 *   2. what is in flight ends (QUIET_MS at most);
 *   3. the volumes are closed: flushed, and stored as far as the drain timeout lets them;
 *   4. the connections are closed.
 * The exit status says whether everything is in the store. A second signal ends the process at
 * once.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <lsvd/lsvd.h>

#include "common/args.h"
#include "common/std_fds.h"
#include "common/stop.h"
#include "nbd/export.h"
#include "nbd/listener.h"
#include "nbd/loop.h"
#include "nbd/nbd_log.h"
#include "nbd/nbd_options.h"
#include "nbd/single.h"

#define EXIT_LOCAL_ONLY 3

#define HANDSHAKE_MS	10000u
#define STALL_MS	60000u
#define QUIET_MS	10000u
#define WATCH_S		1
#define REPORT_S	60
#define INFLIGHT_MAX	128u
#define CONN_BYTES_MAX	(UINT64_C(64) << 20)
#define ALL_BYTES_MAX	(UINT64_C(512) << 20)
#define OPTIONS_MIN	64u
#define OPTIONS_EACH	32u

/*
 * Buffers of megabytes come and go on every thread. With an arena for each, glibc keeps what was
 * freed in all of them: three times the memory that is in use.
 */
#define ARENAS 2

struct server {
	struct options opt;
	struct lsvd_config *config;
	struct lsvd_store *store;
	struct exports *exports;
	struct listener listener;
	struct loop_config shared;
	struct loop *loops[LOOPS_MAX];
	unsigned loop_count;
	bool pid_file_ours;   /* it may be another server's until ours is written */
	char private_dir[64]; /* of the socket of -U -; "" if there is none */
	char uri[1024];
	pid_t child; /* of --run; 0: none */
	int child_status;
};

/* ----------------------------------------------------------------------------------- opening */

/* Says what went wrong, and with what exit status to end. */
static int complain(int err)
{
	log_line(LSVD_LOG_ERROR, "%s", log_reason(err));
	return err == LSVD_E_CONFIG || err == -EINVAL ? ARGS_EXIT_USAGE : EXIT_FAILURE;
}

static int complain_text(const char *text)
{
	log_line(LSVD_LOG_ERROR, "%s", text);
	return EXIT_FAILURE;
}

static int complain_errno(const char *what, int err)
{
	log_line(LSVD_LOG_ERROR, "%s: %s", what, strerrordesc_np(-err));
	return EXIT_FAILURE;
}

static int open_store(struct server *s)
{
	struct lsvd_store_options options = LSVD_STORE_OPTIONS_INIT;
	int err = lsvd_config_load(&s->config, s->opt.config);

	if (err < 0) { /* whatever is wrong with the file, it is the user's to mend */
		(void)complain(err);
		return ARGS_EXIT_USAGE;
	}
	if (s->opt.readonly || s->opt.offline)
		options.flags |= LSVD_STORE_READONLY;
	err = lsvd_config_open_store(s->config, &s->store, &options);
	if (err < 0 && err != LSVD_E_CONFIG && s->opt.offline) {
		log_line(LSVD_LOG_WARN, "%s: going on without the store", log_reason(err));
		s->store = NULL;
		return 0;
	}
	return err < 0 ? complain(err) : 0;
}

static int open_exports(struct server *s)
{
	struct exports_config config = {
		.store = s->store,
		.name = s->opt.name,
		.readonly = s->opt.readonly,
		.options = LSVD_VOLUME_OPTIONS_INIT,
	};
	int err;

	lsvd_config_volume_options(s->config, &config.options);
	if (s->opt.cache)
		config.options.cache_dir = s->opt.cache;
	if (!config.options.cache_dir && !s->opt.readonly) {
		log_line(LSVD_LOG_ERROR, "%s: no cache_path, and no --cache given", s->opt.config);
		return ARGS_EXIT_USAGE;
	}
	config.options.flags |= (s->opt.readonly ? LSVD_OPEN_READONLY : 0) |
				(s->opt.accept_rollback ? LSVD_OPEN_ACCEPT_ROLLBACK : 0) |
				(s->opt.takeover ? LSVD_OPEN_TAKEOVER : 0) |
				(s->opt.offline ? LSVD_OPEN_OFFLINE : 0) |
				(s->opt.unsafe_store ? LSVD_OPEN_UNSAFE_STORE : 0);
	err = exports_open(&s->exports, &config);
	return err < 0 ? complain(err) : 0;
}

/* A socket in a directory of its own, for --run and those who read --print-uri. */
static int listen_private(struct server *s, char *text, size_t len)
{
	char path[sizeof s->private_dir + 8];

	(void)snprintf(s->private_dir, sizeof s->private_dir, "/tmp/lsvd-nbd-XXXXXX");
	if (!mkdtemp(s->private_dir)) {
		(void)snprintf(text, len, "%s: %s", s->private_dir, strerrordesc_np(errno));
		s->private_dir[0] = '\0';
		return -1;
	}
	(void)snprintf(path, sizeof path, "%s/socket", s->private_dir);
	return listener_open_unix(&s->listener, path, text, len);
}

static int listen_somewhere(struct server *s)
{
	const char *address = s->opt.address, *path = s->opt.unix_path;
	char text[512] = "";
	int err;

	if (s->opt.single)
		return 0;
	if (address && strncmp(address, "unix:", 5) == 0)
		path = address + 5;
	err = listener_open_inherited(&s->listener, text, sizeof text);
	if (err > 0)
		return 0;
	if (err < 0)
		return complain_text(text);
	if (path ? strcmp(path, "-") == 0 : s->opt.run && !address)
		err = listen_private(s, text, sizeof text);
	else if (path)
		err = listener_open_unix(&s->listener, path, text, sizeof text);
	else
		err = listener_open_tcp(&s->listener, address ? address : DEFAULT_ADDRESS, text,
					sizeof text);
	if (err < 0) {
		(void)complain_text(text);
		return err == -EINVAL ? ARGS_EXIT_USAGE : EXIT_FAILURE;
	}
	if (s->listener.everyone)
		log_line(LSVD_LOG_WARN,
			 "%s: whoever can connect can read and write: there is no "
			 "authentication",
			 s->listener.address);
	return 0;
}

/* A client may ask for each export a few times, but not for ever. */
static uint32_t options_limit(struct server *s)
{
	uint32_t count = exports_count(s->exports);

	return count > OPTIONS_MIN / OPTIONS_EACH ? count * OPTIONS_EACH : OPTIONS_MIN;
}

static int start_loops(struct server *s)
{
	s->shared.exports = s->exports;
	s->shared.limits.options = options_limit(s);
	s->shared.limits.inflight = INFLIGHT_MAX;
	s->shared.limits.bytes = CONN_BYTES_MAX;
	s->shared.budget.max = ALL_BYTES_MAX;
	s->shared.poll_us = options_cpus() > 1 ? (uint32_t)s->opt.poll_us : 0;
	s->shared.handshake_ms = HANDSHAKE_MS;
	s->shared.stall_ms = STALL_MS;
	s->shared.closed = s->opt.single ? stop_now : NULL;
	for (unsigned i = 0; i < s->opt.threads; i++) {
		int err = loop_start(&s->loops[i], &s->shared, i);

		if (err < 0)
			return complain_errno("an event loop cannot be started", err);
		s->loop_count++;
	}
	return 0;
}

/* -------------------------------------------------------------------------------- telling */

static int write_pid_file(struct server *s)
{
	const char *path = s->opt.pid_file;
	char text[32];
	int n = snprintf(text, sizeof text, "%d\n", (int)getpid()), fd, err;

	errno = ENOSPC; /* if not all of it is written */
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	err = fd >= 0 && write(fd, text, (size_t)n) == n ? 0 : -errno;
	s->pid_file_ours = fd >= 0;
	if (fd >= 0 && close(fd) < 0 && !err)
		err = -errno;
	return err ? complain_errno(path, err) : 0;
}

static int start_command(struct server *s)
{
	const struct run_vars vars = {s->uri, s->listener.unix_path,
				      s->opt.name ? s->opt.name : ""};
	int err = run_start(&s->child, s->opt.run, &vars);

	return err < 0 ? complain_errno("--run: /bin/sh", err) : 0;
}

static int serve_single(struct server *s)
{
	int fd = single_open();

	if (fd < 0)
		return complain_errno("--single: standard input and output", fd);
	listener_tune(fd);
	loop_add(s->loops[0], fd, "standard input");
	return 0;
}

/* Everybody who wants to know that clients are served is told now. */
static int announce(struct server *s)
{
	int status = 0;

	if (s->opt.pid_file)
		status = write_pid_file(s);
	if (status)
		return status;
	if (s->opt.single)
		return serve_single(s);
	listener_uri(&s->listener, s->opt.name, s->uri, sizeof s->uri);
	log_ready("serving %s on %s", s->opt.name ? s->opt.name : "all volumes",
		  s->uri[0] ? s->uri : s->listener.address);
	if (s->opt.print_uri && (printf("%s\n", s->uri) < 0 || fflush(stdout) != 0))
		status = complain_text("the URI cannot be written to standard output");
	if (!status && s->opt.run)
		status = start_command(s);
	return status;
}

/* ---------------------------------------------------------------------------------- serving */

static struct loop *least_loaded(struct server *s)
{
	struct loop *best = s->loops[0];

	for (unsigned i = 1; i < s->loop_count; i++)
		if (loop_load(s->loops[i]) < loop_load(best))
			best = s->loops[i];
	return best;
}

/* Takes all who wait; false if it must be tried later. */
static bool accept_all(struct server *s, int listen_fd)
{
	for (;;) {
		char peer[64];
		int fd = listener_accept(listen_fd, peer, sizeof peer);

		if (fd == -EAGAIN)
			return true;
		if (fd == -ECONNABORTED)
			continue; /* the client was gone before we came */
		if (fd < 0) {
			log_limited(LSVD_LOG_WARN, "a client must wait: %s", strerrordesc_np(-fd));
			return false;
		}
		if (atomic_load(&s->shared.connections) >= s->opt.connections) {
			log_limited(LSVD_LOG_WARN, "%s: turned away, %u clients are connected",
				    peer, atomic_load(&s->shared.connections));
			(void)close(fd); /* nothing was said yet */
			continue;
		}
		log_limited(LSVD_LOG_DEBUG, "%s: connected", peer);
		loop_add(least_loaded(s), fd, peer);
	}
}

static void seal(void *ctx, struct lsvd_volume *volume)
{
	int err = lsvd_volume_readonly(volume) ? 0 : lsvd_volume_seal(volume);

	(void)ctx;
	if (err < 0)
		log_line(LSVD_LOG_WARN, "%s: %s", lsvd_volume_name(volume), lsvd_strerror(err));
}

/* Access keys that somebody has replaced; without new ones the old ones go on. */
static void reload(struct server *s)
{
	int err = s->store ? lsvd_store_reload(s->store) : 0;

	if (err < 0)
		log_line(LSVD_LOG_WARN, "the store's access keys: %s", log_reason(err));
}

static void on_signals(struct server *s, unsigned signals)
{
	if (signals & STOP_HUP)
		reload(s);
	if (signals & STOP_HUP && !s->opt.readonly) {
		log_line(LSVD_LOG_INFO, "storing what is pending");
		exports_each(s->exports, seal, NULL);
	}
	if (signals & STOP_CHILD && s->child && run_ended(s->child, &s->child_status)) {
		s->child = 0;
		stop_now();
	}
}

static time_t now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return now.tv_sec;
}

/* What is done from time to time; called at least once in WATCH_S. */
static void now_and_then(struct server *s, time_t *next_report)
{
	exports_watch(s->exports);
	if (now_s() < *next_report)
		return;
	*next_report = now_s() + REPORT_S;
	exports_report(s->exports);
}

static void serve(struct server *s)
{
	struct pollfd fds[1 + LISTENER_FDS_MAX];
	time_t next_report = now_s() + REPORT_S;
	bool full = false;

	fds[0] = (struct pollfd){stop_fd(), POLLIN, 0};
	for (int i = 0; i < s->listener.count; i++)
		fds[1 + i] = (struct pollfd){s->listener.fds[i], POLLIN, 0};
	while (!stop_requested()) {
		nfds_t n = full ? 1 : 1 + (nfds_t)s->listener.count;
		int ready = poll(fds, n, full ? 100 : WATCH_S * 1000);

		full = false;
		for (nfds_t i = 1; ready > 0 && i < n; i++)
			if (fds[i].revents)
				full |= !accept_all(s, fds[i].fd);
		on_signals(s, stop_take());
		now_and_then(s, &next_report);
	}
}

/* ------------------------------------------------------------------------------------ the end */

static bool all_quiet(struct server *s)
{
	for (unsigned i = 0; i < s->loop_count; i++)
		if (!loop_quiet(s->loops[i]))
			return false;
	return !exports_busy(s->exports);
}

static void wait_for_quiet(struct server *s)
{
	const struct timespec pause = {0, 1000000};

	for (unsigned i = 0; i < s->loop_count; i++)
		loop_stop(s->loops[i]);
	exports_stop(s->exports);
	for (unsigned ms = 0; !all_quiet(s) && ms < QUIET_MS; ms++)
		(void)nanosleep(&pause, NULL); /* signals go elsewhere: never interrupted */
}

static int close_volumes(struct server *s)
{
	uint32_t drain_ms = (uint32_t)s->opt.drain_s * 1000;
	int err;

	if (!s->exports)
		return 0;
	wait_for_quiet(s);
	if (exports_busy(s->exports)) {
		log_line(LSVD_LOG_ERROR,
			 "a volume is still being opened: leaving as after a crash");
		_exit(EXIT_LOCAL_ONLY);
	}
	err = exports_close(s->exports, drain_ms);
	return err < 0 ? EXIT_FAILURE : err > 0 ? EXIT_LOCAL_ONLY : 0;
}

static void end_command(struct server *s)
{
	if (!s->child)
		return;
	(void)kill(s->child, SIGTERM); /* it may have ended by itself */
	s->child = 0;
}

static int shut_down(struct server *s)
{
	int status;

	listener_close(&s->listener);
	end_command(s);
	status = close_volumes(s);
	for (unsigned i = 0; i < s->loop_count; i++)
		loop_end(s->loops[i]);
	exports_free(s->exports);
	single_finish();
	lsvd_store_close(s->store);
	lsvd_config_free(s->config);
	if (s->pid_file_ours)
		(void)unlink(s->opt.pid_file); /* somebody may have done so */
	if (s->private_dir[0])
		(void)rmdir(s->private_dir);
	return s->child_status ? s->child_status : status;
}

static int start(struct server *s)
{
	int status = open_store(s);

	if (!status)
		status = listen_somewhere(s);
	if (!status)
		status = open_exports(s);
	if (!status)
		status = start_loops(s);
	if (!status)
		status = announce(s);
	return status;
}

static int die_with_parent(void)
{
	pid_t parent = getppid();

	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return complain_text("--exit-with-parent: not possible here");
	if (getppid() != parent)
		stop_now(); /* it died in between */
	return 0;
}

/* Of help and version, which must have been printed. */
static int end_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	(void)fprintf(stderr, "lsvd-nbd: standard output: %s\n", strerrordesc_np(errno));
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static struct server s;
	int status, closing;
	int err = std_fds_occupy();

	(void)mallopt(M_ARENA_MAX, ARENAS); /* before the first thread; without it: more memory */
	if (!err)
		err = stop_start();
	status = options_parse(&s.opt, argc, argv);
	if (status < 0)
		return ARGS_EXIT_USAGE;
	if (status)
		return end_output();
	log_init((enum lsvd_log_level)s.opt.log_level, (enum log_format)s.opt.log_format);
	if (err < 0)
		return complain_errno("standard descriptors and signals", err);
	if (s.opt.exit_with_parent)
		status = die_with_parent();
	if (!status)
		status = start(&s);
	if (!status)
		serve(&s);
	closing = shut_down(&s);
	return status ? status : closing;
}
