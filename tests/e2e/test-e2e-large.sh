#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-large.sh - ext4 on a volume of 16 TiB, by this machine's mkfs: the discard of all of it, the
# file system, a file in it, and what is left after a kill. Processor time is told, not judged.
. "$(dirname "$0")/functions.sh"
begin
need nbdfuse losetup mkfs.ext4 blkdiscard
need_root_and_loop

make_store
make_volume 16T
start_server
attach_nbd "$uri"
mkdir "$tmp/mnt"

# Of the server, user and system, in hundredths of a second.
server_cpu() { awk '{ print $14 + $15 }' "/proc/$server_pid/stat"; }

# told WHAT COMMAND...
told() {
	local before
	before=$(server_cpu)
	"${@:2}" >"$tmp/out" 2>&1 || fail "$(<"$tmp/out")"
	say "$1: $(($(server_cpu) - before)) hundredths of a second of the server's processor time"
}

it "all of it is discarded"
told "discard of 16 TiB" blkdiscard "$loop"

it "mkfs.ext4 makes a file system that is mounted and keeps a file"
told "mkfs.ext4 of 16 TiB" mkfs.ext4 -q -F "$loop"
mount_loop ext4 "$tmp/mnt"
cp -a /usr/include/linux "$tmp/mnt/files"
sync -f "$tmp/mnt"
umount "$tmp/mnt"

it "after a kill and a restart it is there"
detach_nbd
kill_server
start_server
attach_nbd "$uri"
mount_loop ext4 "$tmp/mnt"
diff -r --no-dereference /usr/include/linux "$tmp/mnt/files"
umount "$tmp/mnt"
detach_nbd
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
