#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# guest-session.sh - what the guest of test-e2e-kernel.sh does with the volume.
#
# It runs as root in a guest whose root file system is this machine's, read-only; /run is
# its own. A line "host: kill" asks the test outside for it. Arguments: ADDRESS PORT EXPORT TREE.
set -Eeuo pipefail
trap 'echo "guest: line $LINENO failed: $BASH_COMMAND"' ERR
address=$1 port=$2 export=$3 tree=$4
mnt=/run/mnt
mkdir -p $mnt

attach() {
	local i
	for ((i = 0; i < 600; i++)); do
		nbd-client "$address" "$port" /dev/nbd0 -N "$export" "$@" >/run/attach 2>&1 && return
		sleep 0.1
	done
	cat /run/attach
	return 1
}

disconnect() { nbd-client -d /dev/nbd0 >/run/detach 2>&1; }

# The device is free when nothing uses it any more.
await_free() {
	local i
	for ((i = 0; i < 100; i++)); do
		[[ -e /sys/block/nbd0/pid ]] || return 0
		sleep 0.1
	done
	echo 'guest: nbd0 stays attached'
	return 1
}

detach() {
	disconnect
	await_free
}

# the_same TREE COPY: names, links and every byte.
the_same() {
	diff -r --no-dereference "$1" "$2" >/run/diff 2>&1 || { head -n 5 /run/diff; return 1; }
}

unmount_and_check() {
	umount $mnt
	e2fsck -fn /dev/nbd0 >/run/fsck 2>&1 || { cat /run/fsck; return 1; }
}

attach -C 2
[[ $(cat /sys/block/nbd0/queue/logical_block_size) == 512 ]]
[[ $(cat /sys/block/nbd0/queue/write_cache) == 'write back' ]]
[[ $(cat /sys/block/nbd0/queue/fua) == 1 ]]
mkfs.ext4 -q /dev/nbd0 </dev/null
mount -o discard /dev/nbd0 $mnt
echo 'guest: a file system is there'

cp -a "$tree" $mnt/tree
sync -f $mnt
umount $mnt
detach
attach
mount /dev/nbd0 $mnt
the_same "$tree" $mnt/tree
files=$(find $mnt/tree -type f | wc -l)
[[ $files -gt 2000 ]]
unmount_and_check
echo "guest: the tree is the same, $files files"

mount -o errors=remount-ro /dev/nbd0 $mnt
cp -a "$tree" $mnt/before
sync -f $mnt
{ cp -a "$tree" $mnt/during && sync -f $mnt; } >/run/copy 2>&1 &
copy=$!
echo 'host: kill'
# The kernel gives up requests under way only when it is told that nobody will answer them.
for ((i = 0; i < 1200; i++)); do
	! dmesg | grep -q 'nbd0: Receive control failed' || break
	sleep 0.1
done
disconnect
! wait $copy || echo 'guest: the copy was over before the kill'
umount $mnt 2>/run/umount || umount -l $mnt
await_free
attach
mount /dev/nbd0 $mnt
the_same "$tree" $mnt/tree
the_same "$tree" $mnt/before
unmount_and_check
detach
echo 'guest: what was synced before the kill is the same'
