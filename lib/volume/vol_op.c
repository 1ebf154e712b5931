/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_op.c - operations: the checks every one passes, which path it takes, how each ends; and the
 * public calls, which are shells around that.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/options.h"
#include "volume/volume_internal.h"

_Static_assert(sizeof(struct vol_op) <= sizeof(((struct lsvd_io *)0)->priv),
	       "an operation's state fits into the caller's struct");

uint64_t lsvd_vol_now(const struct lsvd_volume *v)
{
	return v->world->clk->now_ms(v->world);
}

uint64_t lsvd_vol_some_of(const struct lsvd_volume *v, uint32_t ms)
{
	uint32_t chance;

	v->world->rnd->fill(v->world, &chance, sizeof chance);
	return ms / 2 + chance % (ms / 2 + 1);
}

/* -------------------------------------------------------------------------------------- vectors */

struct cursor {
	const struct iovec *iov;
	int left;
	size_t skip;
};

static struct cursor cursor_at(const struct iovec *iov, int iovcnt, uint64_t off)
{
	struct cursor c = { iov, iovcnt, 0 };

	while (c.left && off >= c.iov->iov_len) {
		off -= c.iov->iov_len;
		c.iov++;
		c.left--;
	}
	c.skip = (size_t)off;
	return c;
}

/* The next piece of at most `len` bytes; NULL at the end of the vector. */
static uint8_t *cursor_next(struct cursor *c, size_t len, size_t *ret_len)
{
	uint8_t *p;

	while (c->left && c->skip == c->iov->iov_len) {
		c->iov++;
		c->left--;
		c->skip = 0;
	}
	if (!c->left)
		return NULL;
	p = (uint8_t *)c->iov->iov_base + c->skip;
	*ret_len = (size_t)min_u64(len, c->iov->iov_len - c->skip);
	c->skip += *ret_len;
	return p;
}

void lsvd_iov_to(const struct iovec *iov, int iovcnt, uint64_t off, const void *src, size_t len)
{
	struct cursor c = cursor_at(iov, iovcnt, off);
	const uint8_t *from = src;
	uint8_t *p;
	size_t n;

	for (; len && (p = cursor_next(&c, len, &n)); from += n, len -= n)
		memcpy(p, from, n);
}

void lsvd_iov_from(const struct iovec *iov, int iovcnt, uint64_t off, void *dst, size_t len)
{
	struct cursor c = cursor_at(iov, iovcnt, off);
	uint8_t *to = dst, *p;
	size_t n;

	for (; len && (p = cursor_next(&c, len, &n)); to += n, len -= n)
		memcpy(to, p, n);
}

void lsvd_iov_zero(const struct iovec *iov, int iovcnt, uint64_t off, size_t len)
{
	struct cursor c = cursor_at(iov, iovcnt, off);
	uint8_t *p;
	size_t n;

	for (; len && (p = cursor_next(&c, len, &n)); len -= n)
		memset(p, 0, n);
}

void *lsvd_iov_piece(const struct iovec *iov, int iovcnt, uint64_t off, size_t len)
{
	struct cursor c = cursor_at(iov, iovcnt, off);
	size_t n;
	uint8_t *p = cursor_next(&c, len, &n);

	return p && n == len ? p : NULL;
}

int lsvd_iov_cut(const struct iovec *iov, int iovcnt, uint64_t off, size_t len, struct iovec *ret)
{
	struct cursor c = cursor_at(iov, iovcnt, off);
	uint8_t *p;
	size_t n;
	int count = 0;

	for (; len && (p = cursor_next(&c, len, &n)); len -= n)
		ret[count++] = (struct iovec){ p, n };
	return count;
}

/* -------------------------------------------------------------------------------- begin and end */

static bool is_write(const struct lsvd_io *io)
{
	return io->kind == LSVD_IO_WRITE || io->kind == LSVD_IO_TRIM ||
	       io->kind == LSVD_IO_WRITE_ZEROES;
}

static int check_vector(const struct lsvd_io *io)
{
	uint64_t sum = 0;

	if (io->kind == LSVD_IO_TRIM || io->kind == LSVD_IO_WRITE_ZEROES || io->kind == LSVD_IO_MAP)
		return 0;
	if (io->len > LSVD_IO_MAX_BYTES)
		return lsvd_fail(-EINVAL, "length %llu, at most %u", (unsigned long long)io->len,
				 LSVD_IO_MAX_BYTES);
	if (io->kind == LSVD_IO_PREFETCH)
		return 0;
	if (io->iovcnt < 0 || (io->iovcnt && !io->iov))
		return lsvd_fail(-EINVAL, "iovcnt is %d%s", io->iovcnt,
				 io->iov ? "" : ", the vector NULL");
	for (int i = 0; i < io->iovcnt; i++) {
		if (!io->iov[i].iov_base && io->iov[i].iov_len)
			return lsvd_fail(-EINVAL, "element %d of the vector has %zu bytes at NULL",
					 i, io->iov[i].iov_len);
		if (__builtin_add_overflow(sum, io->iov[i].iov_len, &sum))
			sum = UINT64_MAX;
	}
	if (sum != io->len)
		return lsvd_fail(-EINVAL, "the vector holds %llu bytes, the length is %llu",
				 (unsigned long long)sum, (unsigned long long)io->len);
	return 0;
}

static int check_range(const struct lsvd_volume *v, const struct lsvd_io *io)
{
	if (io->off % SECTOR_BYTES || io->len % SECTOR_BYTES)
		return lsvd_fail(-EINVAL, "offset %llu, length %llu: not multiples of %u",
				 (unsigned long long)io->off, (unsigned long long)io->len,
				 SECTOR_BYTES);
	if (!range_within(io->off, io->len, v->bytes))
		return lsvd_fail(is_write(io) ? -ENOSPC : -EINVAL,
				 "offset %llu, length %llu: beyond the end of volume %s (%llu "
				 "bytes)", (unsigned long long)io->off, (unsigned long long)io->len,
				 v->name, (unsigned long long)v->bytes);
	return 0;
}

static int check_alive(const struct lsvd_volume *v)
{
	if (!v->failed)
		return 0;
	return lsvd_fail(v->failed, "volume %s: %s", v->name, v->status_text);
}

int lsvd_vol_refuse_rolling(const struct lsvd_volume *v)
{
	if (v->rolling == ROLL_LOST)
		return check_alive(v);
	return v->rolling ? lsvd_fail(-EBUSY, "volume %s is being rolled back", v->name) : 0;
}

static int check(const struct lsvd_volume *v, const struct lsvd_io *io)
{
	int err;

	if (io->kind < LSVD_IO_READ || io->kind > LSVD_IO_MAP)
		return lsvd_fail(-EINVAL, "operation %u is unknown", io->kind);
	if (io->flags & ~(LSVD_IO_FUA | LSVD_IO_NO_HOLE))
		return lsvd_fail(-EINVAL, "operation flags %#x are unknown", io->flags);
	if (v->closing)
		return lsvd_fail_plain(LSVD_E_SHUTDOWN);
	err = lsvd_vol_refuse_rolling(v);
	if (err)
		return err;
	if (io->kind == LSVD_IO_FLUSH)
		return v->readonly ? 0 : check_alive(v);
	err = check_range(v, io);
	if (!err)
		err = check_vector(io);
	if (!err && is_write(io) && v->readonly)
		err = lsvd_fail(-EROFS, "volume %s is open read-only", v->name);
	if (!err && is_write(io))
		err = check_alive(v);
	return err;
}

static void call_done(struct call *call)
{
	struct lsvd_io *io = vol_op_io(lsvd_container_of(call, struct vol_op, call));

	io->done(io);
}

static void count(struct lsvd_stats *s, const struct lsvd_io *io)
{
	switch (io->kind) {
	case LSVD_IO_READ:
		s->reads++;
		s->read_bytes += io->len;
		break;
	case LSVD_IO_WRITE:
		s->writes++;
		s->write_bytes += io->len;
		break;
	case LSVD_IO_FLUSH:
		s->flushes++;
		break;
	case LSVD_IO_TRIM:
		s->trims++;
		break;
	case LSVD_IO_WRITE_ZEROES:
		s->zeroes++;
		break;
	case LSVD_IO_PREFETCH:
		s->prefetches++;
		break;
	default:
		break; /* looking at the map is no I/O */
	}
	if (io->err < 0)
		s->errors++;
}

void lsvd_vol_end(struct lsvd_volume *v, struct lsvd_io *io, int err)
{
	if (err < 0 && err == v->failed)
		(void)check_alive(v); /* for its text */
	io->err = err;
	count(&v->stats, io);
	v->ops--;
	if (--v->ops_of[vol_op(io)->era] == 0 && v->changing)
		lsvd_port_changed(&v->port);
	vol_op(io)->call.fn = call_done;
	lsvd_port_call(&v->port, &vol_op(io)->call);
}

static void begin(struct lsvd_volume *v, struct lsvd_io *io, int err)
{
	uint16_t era = (uint16_t)(is_write(io) ? v->era : 2);

	v->ops++;
	v->ops_of[era]++;
	vol_op(io)->era = era;
	if (err) {
		lsvd_vol_end(v, io, err);
		return;
	}
	switch (io->kind) {
	case LSVD_IO_READ:
	case LSVD_IO_PREFETCH:
		lsvd_vol_read(v, io);
		break;
	case LSVD_IO_FLUSH:
		lsvd_vol_flush(v, io);
		break;
	case LSVD_IO_MAP:
		lsvd_vol_look_up(v, io);
		break;
	default:
		lsvd_vol_write(v, io);
	}
}

void lsvd_vol_begin(struct lsvd_volume *v, struct lsvd_io *io)
{
	begin(v, io, check(v, io));
}

static bool writes_have_ended(struct lsvd_volume *v, const void *arg)
{
	return v->failed || v->closing || v->ops_of[*(const unsigned *)arg] == 0;
}

int lsvd_vol_end_writes(struct lsvd_volume *v, uint32_t timeout_ms)
{
	unsigned era = v->era;

	v->era = 1 - era;
	return lsvd_vol_wait(v, writes_have_ended, &era, timeout_ms);
}

void lsvd_vol_fail(struct lsvd_volume *v, int err, const char *why)
{
	if (v->failed)
		return;
	v->failed = err;
	(void)snprintf(v->status_text, sizeof v->status_text, "%s", why); /* cut at worst */
	lsvd_report(LSVD_LOG_ERROR, "volume %s: %s", v->name, why);
	lsvd_vol_fail_writes(v, err);
	lsvd_vol_fail_flushes(v, err);
	lsvd_port_changed(&v->port);
}

/* --------------------------------------------------------------------------------- public calls */

void lsvd_volume_submit(struct lsvd_volume *v, struct lsvd_io *list)
{
	lsvd_port_enter(&v->port);
	while (list) {
		struct lsvd_io *io = list;

		list = io->next;
		lsvd_vol_begin(v, io);
	}
	lsvd_vol_form_groups(v);
	lsvd_port_leave(&v->port, false);
}

struct waiter {
	struct lsvd_io io;
	struct lsvd_volume *v;
	struct event ended;
	char text[512];                /* of a failure, from the thread that met it */
};

static void wake_waiter(struct lsvd_io *io)
{
	struct waiter *w = lsvd_container_of(io, struct waiter, io);

	if (io->err < 0)
		(void)snprintf(w->text, sizeof w->text, "%s", lsvd_last_error()); /* fits */
	lsvd_port_set_event(&w->v->port, &w->ended);
}

static int wait_for(struct lsvd_volume *v, struct lsvd_io io, bool ours)
{
	struct waiter w;

	w.io = io;
	w.v = v;
	w.ended = (struct event){ EVENT_UNSET };
	w.io.done = wake_waiter;
	lsvd_port_enter(&v->port);
	begin(v, &w.io, ours ? check_alive(v) : check(v, &w.io));
	lsvd_vol_form_groups(v);
	lsvd_port_leave_until(&v->port, &w.ended);
	if (w.io.err < 0)
		lsvd_error_restore(w.text);
	return w.io.err;
}

int lsvd_vol_run(struct lsvd_volume *v, struct lsvd_io io)
{
	return wait_for(v, io, true);
}

static uint64_t vector_bytes(const struct iovec *iov, int iovcnt)
{
	uint64_t sum = 0;

	for (int i = 0; iov && i < iovcnt; i++)
		if (__builtin_add_overflow(sum, iov[i].iov_len, &sum))
			return UINT64_MAX;
	return sum;
}

int lsvd_volume_readv(struct lsvd_volume *v, const struct iovec *iov, int iovcnt, uint64_t off)
{
	return wait_for(v, (struct lsvd_io){ .kind = LSVD_IO_READ, .off = off, .iov = iov,
					     .iovcnt = iovcnt, .len = vector_bytes(iov, iovcnt) },
			false);
}

int lsvd_volume_writev(struct lsvd_volume *v, const struct iovec *iov, int iovcnt, uint64_t off,
		       uint32_t flags)
{
	return wait_for(v, (struct lsvd_io){ .kind = LSVD_IO_WRITE, .flags = flags, .off = off,
					     .iov = iov, .iovcnt = iovcnt,
					     .len = vector_bytes(iov, iovcnt) }, false);
}

int lsvd_volume_read(struct lsvd_volume *v, void *buf, uint64_t off, uint32_t len)
{
	struct iovec iov = { buf, len };

	return lsvd_volume_readv(v, &iov, 1, off);
}

int lsvd_volume_write(struct lsvd_volume *v, const void *buf, uint64_t off, uint32_t len,
		      uint32_t flags)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	return lsvd_volume_writev(v, &iov, 1, off, flags);
}

int lsvd_volume_flush(struct lsvd_volume *v)
{
	return wait_for(v, (struct lsvd_io){ .kind = LSVD_IO_FLUSH }, false);
}

int lsvd_volume_trim(struct lsvd_volume *v, uint64_t off, uint64_t len, uint32_t flags)
{
	return wait_for(v, (struct lsvd_io){ .kind = LSVD_IO_TRIM, .flags = flags, .off = off,
					     .len = len }, false);
}

int lsvd_volume_write_zeroes(struct lsvd_volume *v, uint64_t off, uint64_t len, uint32_t flags)
{
	return wait_for(v, (struct lsvd_io){ .kind = LSVD_IO_WRITE_ZEROES, .flags = flags,
					     .off = off, .len = len }, false);
}

uint64_t lsvd_volume_bytes(const struct lsvd_volume *v)
{
	return lsvd_vol_bytes(v);
}

const char *lsvd_volume_name(const struct lsvd_volume *v)
{
	return v->name;
}

int lsvd_volume_readonly(const struct lsvd_volume *v)
{
	return v->readonly;
}

int lsvd_volume_describe(const struct lsvd_volume *v, struct lsvd_volume_info *ret)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

	(void)snprintf(info.name, sizeof info.name, "%s", v->name); /* fits: checked names */
	lsvd_uuid_format(&v->uuid, info.uuid);
	info.bytes = v->bytes;
	info.created_ms = v->created_ms;
	if (v->base)
		lsvd_uuid_format(fmt_base_volume(v->base), info.base_uuid);
	return lsvd_options_fill(ret, &info, sizeof info, sizeof info, "volume info");
}
