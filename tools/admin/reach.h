/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reach.h - a volume to be asked for something, through its server or opened here.
 *
 * This is the one place that decides which: if the control socket of the volume answers, its server
 * is asked; else the volume is opened here, for writing, and closed at the end. What is asked is
 * the same (common/verbs.h), and so is the answer.
 *
 * Failures are printed where they are met; main thread only.
 */
#ifndef ADMIN_REACH_H
#define ADMIN_REACH_H

#include <stdbool.h>

#include <jansson.h>

#include "admin/cmd.h"

/* What a command line may say about opening. */
struct reach_options {
	const char *cache;
	bool accept_rollback, takeover;
};

/* Rows for a command's table of options. */
/* clang-format off */
#define REACH_OPTIONS(r) \
	{ARGS_STRING, 'p', "cache", &(r)->cache, "DIR", \
	 "directory of log and cache (default: cache_path)", 0, 0, false}, \
	{ARGS_FLAG, 0, "accept-rollback", &(r)->accept_rollback, NULL, \
	 "go on from what the store has though the last cache is missing", 0, 0, false}, \
	{ARGS_FLAG, 0, "takeover", &(r)->takeover, NULL, \
	 "the same if the last writer flushed to the store", 0, 0, false}
/* clang-format on */

/*
 * Whether the volume is served from the cache directory of `options`; asks nothing of the server.
 * 1: it is. 0: it is not. -1: that cannot be known, which has been said.
 */
int reach_served(const struct admin *a, const struct reach_options *options);

/* How the volume is opened here: what the configuration and the command line say. */
void reach_volume_options(const struct admin *a, const struct reach_options *options,
			  struct lsvd_volume_options *ret);

/*
 * Asks the volume a->name, shows how far it is, and returns what was answered, with the volume's
 * name, to be freed. The configuration has been loaded and its store opened. Takes `request` over
 * (NULL: no memory). NULL: it has been said why not, and the command ends with *ret_status.
 */
json_t *reach_ask(struct admin *a, const struct reach_options *options, json_t *request,
		  int *ret_status);
/* The same, but only if it is served; no store is needed. */
json_t *reach_ask_server(struct admin *a, const struct reach_options *options, json_t *request,
			 int *ret_status);

/* A number in an answer; 0 if it is not there. */
uint64_t reach_number(const json_t *facts, const char *key);

#endif
