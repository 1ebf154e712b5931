/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_call.c - requests of procedures: several at the same time, tried again a few times.
 *
 * An open asks a person's patience, not for ever: what fails with LSVD_E_UNAVAILABLE is sent again,
 * TRIES times in some seconds, and then the open fails. What only a person can mend (access denied,
 * no such bucket) fails at once. Either way with the store's own text. -ENOENT and -EEXIST are
 * answers. A header that does not verify is asked for once more, whole.
 */
#include "log/log_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"

#define TRIES 5u
#define PAUSE_MS 100u
#define BATCH 128u

void lsvd_call_init(struct log_call *call, enum io_kind kind)
{
	memset(call, 0, sizeof *call);
	call->io.io.kind = kind;
	call->err = 1; /* to be sent */
}

static void pause_procedure(struct log *log, unsigned attempt)
{
	struct world *w = log->port->world;
	uint32_t ms = PAUSE_MS << attempt, chance;

	w->rnd->fill(w, &chance, sizeof chance);
	lsvd_port_pause(log->port, ms / 2 + chance % (ms / 2 + 1));
}

/* On the thread that met the failure: its text. */
static void note_text(struct io *io)
{
	struct log_call *call = lsvd_container_of(io, struct log_call, io.io);

	if (io->err < 0 && io->err != -ENOENT && io->err != -EEXIST)
		/* cut at worst */
		(void)snprintf(call->text, sizeof call->text, "%s", lsvd_last_error());
}

static void send_batch(struct log *log, struct log_call *calls, unsigned n)
{
	struct io *ios[BATCH];
	unsigned sent = 0;

	for (unsigned i = 0; i < n; i++) {
		if (calls[i].err <= 0)
			continue;
		calls[i].io.io.conclude = note_text;
		calls[i].text[0] = '\0';
		ios[sent++] = &calls[i].io.io;
	}
	(void)lsvd_port_run(log->port, ios, sent); /* each has its own result */
	for (unsigned i = 0; i < n; i++)
		if (calls[i].err > 0)
			calls[i].err = calls[i].io.io.err;
}

/* Marks what is worth another try; how many are there? */
static unsigned mark_again(struct log *log, struct log_call *calls, unsigned n)
{
	unsigned again = 0;

	for (unsigned i = 0; i < n; i++) {
		if (calls[i].err != LSVD_E_UNAVAILABLE)
			continue;
		calls[i].err = 1;
		lsvd_log_count_failure(log, LSVD_E_UNAVAILABLE);
		again++;
	}
	return again;
}

static const char *verb(enum io_kind kind)
{
	return kind == IO_PUT ? "put" : kind == IO_GET ? "get" : "head";
}

static int first_failure(const struct log *log, const struct log_call *calls, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int err = calls[i].err;

		if (err >= 0 || err == -ENOENT || err == -EEXIST)
			continue;
		if (calls[i].text[0])
			return lsvd_fail(err, "volume %s: %s", log->options.name, calls[i].text);
		return lsvd_fail(err, "volume %s: %s %s: %s", log->options.name,
				 verb(calls[i].io.io.kind), calls[i].io.key, lsvd_strerror(err));
	}
	return 0;
}

static void run_batch(struct log *log, struct log_call *calls, unsigned n)
{
	send_batch(log, calls, n);
	for (unsigned attempt = 0; attempt + 1 < TRIES; attempt++) {
		unsigned again = mark_again(log, calls, n);

		if (!again)
			return;
		log->stats.retries += again;
		pause_procedure(log, attempt);
		send_batch(log, calls, n);
	}
}

int lsvd_call_run(struct log *log, struct log_call *calls, unsigned n)
{
	for (unsigned i = 0; i < n; i += BATCH)
		run_batch(log, calls + i, n - i < BATCH ? n - i : BATCH);
	return first_failure(log, calls, n);
}

int lsvd_call_run_with(struct log *log, struct log_call *calls, unsigned n,
		       const struct log_also *also)
{
	unsigned more = also ? also->n : 0;
	int err;

	if (more)
		memcpy(calls + n, also->calls, more * sizeof *calls);
	err = lsvd_call_run(log, calls, n + more);
	if (more)
		memcpy(also->calls, calls + n, more * sizeof *calls);
	return err;
}

/* ------------------------------------------------------------------------------------- headers */

static void init_get(struct log *log, struct log_call *call, const struct log_where *at,
		     uint8_t *bytes, size_t len)
{
	lsvd_call_init(call, IO_GET);
	lsvd_key_chain(call->io.key, &log->options.volume, at->epoch, at->seq);
	call->io.buf = bytes;
	call->io.len = len;
}

/* -ENODATA: the object ends within its header. */
static int ends_early(const struct log_call *call)
{
	return lsvd_fail(-ENODATA, "object %s: ends after %zu bytes, within its header",
			 call->io.key, call->io.ret_len);
}

/* What came is the beginning of the header of the object at `at`: is it all of it? */
static int take_header(struct log *log, const struct log_call *call, const struct log_where *at,
		       struct log_header *h)
{
	const char *what = call->io.key;
	int err;

	log->stats.recovery_gets++;
	log->stats.recovery_get_bytes += call->io.ret_len;
	if (call->io.ret_len < OBJECT_HEAD_BYTES && call->io.ret_len < call->io.len)
		return ends_early(call);
	err = lsvd_object_head_decode(&h->head, h->bytes, call->io.ret_len, what);
	if (err < 0)
		return err;
	err = lsvd_object_head_expect(&h->head, &log->options.volume, 0, at->epoch, at->seq,
					what);
	if (err < 0)
		return err;
	return lsvd_chain_part_decode(&h->chain, h->bytes, &h->head, what);
}

/* Reads the first `len` bytes of the object anew. -ENODATA: its header is longer than that. */
static int get_anew(struct log *log, const struct log_where *at, size_t len, struct log_header *h)
{
	struct log_call call;
	uint8_t *bytes = lsvd_realloc(h->bytes, len);
	int err;

	if (!bytes)
		return lsvd_fail_plain(-ENOMEM);
	h->bytes = bytes;
	h->head.header_bytes = 0;
	init_get(log, &call, at, bytes, len);
	err = lsvd_call_run(log, &call, 1);
	if (err < 0)
		return err;
	if (call.err < 0)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: has gone while it was read",
				 call.io.key);
	err = take_header(log, &call, at, h);
	return err == -ENODATA && call.io.ret_len < len ? ends_early(&call) : err;
}

/*
 * The header is `guess` bytes or longer, or is not there: its length is known from its beginning.
 */
static int get_whole(struct log *log, const struct log_where *at, size_t guess,
		     struct log_header *h)
{
	int err = -ENODATA;

	if (h->head.header_bytes <= guess)
		err = get_anew(log, at, guess, h);
	if (err == -ENODATA && h->head.header_bytes > guess)
		err = get_anew(log, at, h->head.header_bytes, h);
	return err;
}

/*
 * What does not verify, or ends early, is asked for once more: an answer may be damaged. h->err is
 * -ENODATA if the object does end within its header.
 */
static int take_or_get_whole(struct log *log, const struct log_call *call,
			     const struct log_where *at, size_t guess, struct log_header *h)
{
	bool whole;
	int err;

	h->err = call->err;
	if (h->err < 0) {
		log->stats.recovery_gets++; /* an answer as any other */
		return 0;
	}
	err = take_header(log, call, at, h);
	whole = call->io.ret_len == guess;
	if (err == -ENODATA && whole)
		err = get_whole(log, at, guess, h); /* it is longer, as may be */
	if (err == LSVD_E_CORRUPT || err == -ENODATA) {
		log->stats.bad_gets++;
		h->head.header_bytes = 0;
		err = get_whole(log, at, guess, h);
	}
	if (err != -ENODATA)
		return err;
	h->err = err;
	return 0;
}

static int prepare_gets(struct log *log, struct log_call *calls, const struct log_where *at,
			unsigned n, size_t guess, struct log_header *ret)
{
	for (unsigned i = 0; i < n; i++) {
		ret[i].bytes = lsvd_malloc(guess);
		if (!ret[i].bytes)
			return lsvd_fail_plain(-ENOMEM);
		init_get(log, &calls[i], &at[i], ret[i].bytes, guess);
	}
	return 0;
}

int lsvd_headers_get(struct log *log, const struct log_where *at, unsigned n, size_t guess,
		     struct log_header *ret, const struct log_also *also)
{
	struct log_call *calls;
	int err;

	memset(ret, 0, n * sizeof *ret);
	calls = lsvd_calloc(n + (also ? also->n : 0), sizeof *calls);
	if (!calls)
		return lsvd_fail_plain(-ENOMEM);
	err = prepare_gets(log, calls, at, n, guess, ret);
	if (err == 0)
		err = lsvd_call_run_with(log, calls, n, also);
	for (unsigned i = 0; i < n && err == 0; i++)
		err = take_or_get_whole(log, &calls[i], &at[i], guess, &ret[i]);
	if (err < 0)
		lsvd_headers_free(ret, n);
	lsvd_free(calls);
	return err;
}

void lsvd_headers_free(struct log_header *headers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		lsvd_free(headers[i].bytes);
		headers[i].bytes = NULL;
	}
}

int lsvd_base_check(const struct log *log, uint64_t epoch, const struct log_header *h)
{
	if (h->err == 0 && h->head.kind == OBJECT_BASE)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT, "volume %s: epoch %llu: object 1 %s", log->options.name,
			 (unsigned long long)epoch, h->err == -ENODATA ? "is cut short"
			 : h->err < 0 ? "is missing" : "is no base object");
}
