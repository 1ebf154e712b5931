/* SPDX-License-Identifier: BSD-2-Clause */
/* verb_stats.h - the statistics of a volume as JSON, by the names of struct lsvd_stats. */
#ifndef COMMON_VERB_STATS_H
#define COMMON_VERB_STATS_H

#include <jansson.h>

#include <lsvd/stats.h>

/* NULL: no memory. */
json_t *verb_stats_json(const struct lsvd_stats *stats);

#endif
