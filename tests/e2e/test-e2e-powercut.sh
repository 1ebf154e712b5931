#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=300
#
# test-e2e-powercut.sh - the cache on a disk that forgets what was not flushed, and then a power cut.
#
#   test-e2e-powercut.sh [-n CUTS] [--json FILE]
#
# The cache directory is on ext4, on a loop device, on nbdfuse, on nbdkit with a write-back cache
# that reaches its file only by flushes. SIGKILL of that nbdkit loses just what no flush had covered.
# In even rounds server and disk die together; in odd rounds the disk dies first and the server,
# which sees nothing but errors from then on, must not acknowledge a flush any more. What is found
# afterwards must be the history cut at one place, at or after the last acknowledged flush.
. "$(dirname "$0")/functions.sh"
begin
need nbdkit nbdfuse losetup mkfs.ext4
need_root_and_loop

cuts=10
json=
while [[ $# -gt 0 ]]; do
	case $1 in
	-n) cuts=$2 ;;
	--json) json=$2 ;;
	*) fail "usage: $0 [-n CUTS] [--json FILE]" ;;
	esac
	shift 2
done

size=$((64 << 20))
state=$ram/state
acknowledged=0
given_up=0
disk_sock=$tmp/disk.sock

power_on() {
	rm -f "$disk_sock" "$tmp/disk.pid"
	nbdkit -f -U "$disk_sock" -P "$tmp/disk.pid" --filter=cache file "$tmp/disk.img" \
		cache=writeback 2>"$tmp/disk.log" &
	disk_pid=$!
	defer end_process "$disk_pid" KILL
	wait_until 30 test -s "$tmp/disk.pid"
	attach_nbd "nbd+unix:///?socket=$disk_sock"
}

# The server's own data lies on the mount: it has to be gone before the mount can go.
power_off() {
	kill -s KILL "$disk_pid" 2>/dev/null || true
	kill_server
	wait "$disk_pid" 2>/dev/null || true
	umount "$tmp/mnt" 2>/dev/null || umount -l "$tmp/mnt"
	detach_loop_of "$fuse_dir/disk"
	fusermount3 -uz "$fuse_dir" 2>/dev/null || true
	end_process "$fuse_pid" KILL
}

load() {
	writer load "$state" "$uri" --seed "$RANDOM$RANDOM" --depth $((8 << RANDOM % 4)) \
		--acks $((200 + RANDOM % 1500)) "$@" >"$tmp/load" 2>&1 || fail "$(<"$tmp/load")"
	acknowledged=$((acknowledged + $(sed -n 's/.*, \([0-9]*\) acknowledged.*/\1/p' "$tmp/load")))
}

it 'a disk that forgets'
truncate -s 512M "$tmp/disk.img"
mkdir "$tmp/mnt"
cache_dir=$tmp/mnt/cache
make_store 'log_size = "32M"' 'segment_size = "1M"'
make_volume "$size"
writer init "$state" --size "$size" --seed "$seed"
power_on
mkfs.ext4 -q -F "$loop"
mount_loop ext4 "$tmp/mnt"

for ((cut = 0; cut < cuts; cut++)); do
	it "after $cut power cuts no flushed write is missing and the rest is a prefix"
	start_server
	writer check "$state" "$uri" --flushed >"$tmp/check"
	given_up=$((given_up + $(sed -n 's/.*, \([0-9]*\) acknowledged not demanded.*/\1/p' "$tmp/check")))
	if ((cut % 2)); then
		load --kill "$disk_pid" --may-die
	else
		load --kill "$server_pid"
	fi
	power_off
	power_on
	mount_loop ext4 "$tmp/mnt"
done

it "after $cuts power cuts the volume ends cleanly"
start_server
writer check "$state" "$uri" --flushed >"$tmp/check"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
umount "$tmp/mnt"
detach_nbd

it 'the account'
say "$cuts cuts, $acknowledged operations acknowledged, $given_up of them unflushed and gone;" \
	"flushed and missing: 0"
[[ -z $json ]] || printf '{"cuts": %d, "acknowledged": %d, "unflushed_gone": %d, "flushed_missing": 0, "seed": %d}\n' \
	"$cuts" "$acknowledged" "$given_up" "$seed" >"$json"
