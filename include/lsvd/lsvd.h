/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lsvd.h - everything an application needs, in one include.
 *
 * A log-structured virtual disk: writes go to a log on a local SSD and are stored, in immutable
 * compressed segments, in an object store; a map says where each block lives.
 *
 *   store.h   open the place where the objects live          lsvd_store_open()
 *   store_s3.h  the same, for S3 with credentials in hand    lsvd_store_open_s3()
 *   volume.h  create, open, read, write, flush, trim, close   lsvd_volume_…()
 *   snapshot.h  snapshots, rollback, clones                   lsvd_snapshot_create()
 *   stats.h   what an open volume has done and how it is      lsvd_volume_stats()
 *   usage.h   what a store holds, and whose it is             lsvd_store_usage()
 *   vlog.h    values by handle, beside an index of one's own   lsvd_vlog_…()
 *   vlog_v1.h  reading what fjall-rs/value-log has written    lsvd_vlog_v1_next()
 *   check.h   is what the store has of a volume whole?         lsvd_volume_check()
 *   probe.h   whether a store does what a volume needs         lsvd_store_probe()
 *   config.h  the configuration file the tools share          lsvd_config_load()
 *   error.h   codes, texts, messages                          lsvd_last_error()
 *
 * Fork: a process that has opened a volume must not use it, nor close it, in a child made by fork()
 * unless the child calls exec: threads and locks stay behind in the parent.
 */
#ifndef LSVD_LSVD_H
#define LSVD_LSVD_H

#include <lsvd/base.h>
#include <lsvd/check.h>
#include <lsvd/config.h>
#include <lsvd/error.h>
#include <lsvd/gc.h>
#include <lsvd/probe.h>
#include <lsvd/snapshot.h>
#include <lsvd/stats.h>
#include <lsvd/store.h>
#include <lsvd/store_s3.h>
#include <lsvd/usage.h>
#include <lsvd/vlog.h>
#include <lsvd/vlog_v1.h>
#include <lsvd/volume.h>

#endif
