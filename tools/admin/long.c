/* SPDX-License-Identifier: BSD-2-Clause */
/* long.c - what the commands that take long do alike: signals, readers, sums, ranges. */
#include "admin/long.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "admin/progress.h"
#include "admin/reader.h"
#include "common/stop.h"

int admin_begin_long(void)
{
	int err = stop_start();

	if (!err)
		return ADMIN_OK;
	(void)admin_error("signals: %s", strerror(-err));
	return ADMIN_FAILED;
}

int admin_do_long(struct admin *a, uint32_t store_flags, int (*act)(void *ctx), void *ctx)
{
	int status = admin_begin_long();

	if (status == ADMIN_OK)
		status = admin_open(a, store_flags);
	if (status == ADMIN_OK)
		status = act(ctx);
	admin_close(a);
	return status;
}

bool admin_stopped(void)
{
	return stop_requested();
}

struct lsvd_volume *admin_open_reader(struct admin *a, uint32_t flags)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *volume;

	lsvd_config_volume_options(a->config, &options);
	options.flags = LSVD_OPEN_READONLY | flags;
	/* Every read is one of many: they are ahead of each other. */
	options.read_ahead_bytes = UINT32_MAX;
	if (!flags && options.cache_dir && access(options.cache_dir, F_OK) < 0 && errno == ENOENT)
		options.cache_dir = NULL; /* this host has never written a volume */
	if (lsvd_volume_open(&volume, a->store, a->name, &options) == 0)
		return volume;
	(void)admin_fail(); /* the caller says it, too */
	return NULL;
}

int admin_sum_range(struct lsvd_volume *volume, uint64_t off, uint64_t len, const char *what,
		    char hex[static SUM_TEXT])
{
	uint64_t end = (off + len + LSVD_SECTOR_BYTES - 1) / LSVD_SECTOR_BYTES * LSVD_SECTOR_BYTES;
	struct reader *reader = reader_new(volume, off, end - off);
	struct reader_piece piece;
	uint64_t left = len;
	struct sum sum;
	int more = reader ? 0 : -1;

	sum_init(&sum);
	progress_begin(what, len);
	while (reader && (more = reader_next(reader, &piece)) > 0) {
		uint64_t n = piece.len < left ? piece.len : left; /* the last sector is longer */

		if (piece.data)
			sum_add(&sum, piece.data, (size_t)n);
		else
			sum_add_zeroes(&sum, n);
		left -= n;
		progress_show(len - left);
	}
	progress_end();
	reader_free(reader);
	sum_end(&sum, hex);
	if (more < 0 && admin_stopped())
		(void)admin_error("interrupted"); /* the caller ends */
	return more;
}

int admin_parse_range(const struct args *args, const char *text, struct admin_range *ret)
{
	const char *colon = strchr(text, ':');
	char off[64];

	*ret = (struct admin_range){0, UINT64_MAX};
	if (!colon || (size_t)(colon - text) >= sizeof off)
		return args_fail(args, "option --range: '%s' is not OFFSET:LENGTH", text);
	memcpy(off, text, (size_t)(colon - text));
	off[colon - text] = '\0';
	if ((*off && lsvd_parse_size(off, &ret->off) < 0) ||
	    (colon[1] && lsvd_parse_size(colon + 1, &ret->len) < 0))
		return args_fail(args, "option --range: %s", lsvd_last_error());
	if (ret->off % LSVD_SECTOR_BYTES || (colon[1] && ret->len % LSVD_SECTOR_BYTES))
		return args_fail(args, "option --range: '%s' is not in multiples of %u", text,
				 LSVD_SECTOR_BYTES);
	return 0;
}

int admin_fit_range(struct admin_range *range, const struct lsvd_volume *volume)
{
	uint64_t bytes = lsvd_volume_bytes(volume);

	if (range->off <= bytes && range->len == UINT64_MAX)
		range->len = bytes - range->off;
	if (range->off <= bytes && range->len <= bytes - range->off)
		return 0;
	return admin_error("volume %s has %llu bytes: the range from %llu on, %llu long, "
			   "ends beyond them", lsvd_volume_name(volume), (unsigned long long)bytes,
			   (unsigned long long)range->off,
			   (unsigned long long)(range->len == UINT64_MAX ? 0 : range->len));
}
