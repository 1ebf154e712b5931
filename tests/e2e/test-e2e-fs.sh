#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-fs.sh - ext4 and XFS of this machine's kernel on a volume, through nbdfuse and a loop
# device: a git clone of these sources, fsck of the repository and of the file system, fstrim.
. "$(dirname "$0")/functions.sh"
begin
need nbdfuse losetup git mkfs.ext4 mkfs.xfs e2fsck xfs_repair fstrim
need_root_and_loop

make_store
make_volume 1G
start_server
mkdir "$tmp/mnt"

# These sources as a repository: as they are, or, where they came without one, made into one.
export GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' \
	GIT_CONFIG_KEY_1=user.name GIT_CONFIG_VALUE_1=e2e \
	GIT_CONFIG_KEY_2=user.email GIT_CONFIG_VALUE_2=e2e@localhost
repository=$source_dir
if ! git -C "$source_dir" rev-parse --git-dir >"$tmp/out" 2>&1; then
	repository=$tmp/repository
	mkdir "$repository"
	tar -C "$source_dir" --exclude='./build*' -cf - . | tar -C "$repository" -xf -
	git -C "$repository" init -q
	git -C "$repository" add -A
	git -C "$repository" commit -q -m sources
fi
head=$(git -C "$repository" rev-parse HEAD)

# The checks are read-only, of a file system that was unmounted cleanly.
check_unmounted() {
	case $1 in
	ext4) e2fsck -fn "$loop" >"$tmp/out" 2>&1 ;;
	xfs) xfs_repair -n "$loop" >"$tmp/out" 2>&1 ;;
	esac || fail "$(<"$tmp/out")"
}

for fs in ext4 xfs; do
	it "$fs: a git clone is whole, before and after a remount"
	attach_nbd "$uri"
	case $fs in
	ext4) mkfs.ext4 -q -F "$loop" ;;
	xfs) mkfs.xfs -q -f "$loop" ;;
	esac
	mount_loop "$fs" "$tmp/mnt" -o discard
	git clone -q --no-hardlinks "$repository" "$tmp/mnt/clone"
	git -C "$tmp/mnt/clone" fsck --full --strict >"$tmp/out" 2>&1
	cp -a /usr/include "$tmp/mnt/include"
	sync -f "$tmp/mnt"
	umount "$tmp/mnt"
	check_unmounted "$fs"
	mount_loop "$fs" "$tmp/mnt"
	git -C "$tmp/mnt/clone" fsck --full --strict >"$tmp/out" 2>&1
	[[ $(git -C "$tmp/mnt/clone" rev-parse HEAD) == "$head" ]]
	[[ -z $(git -C "$tmp/mnt/clone" status --porcelain) ]]
	diff -r --no-dereference /usr/include "$tmp/mnt/include"

	it "$fs: fstrim gives space back and harms nothing"
	rm -r "$tmp/mnt/include"
	sync -f "$tmp/mnt"
	fstrim "$tmp/mnt"
	git -C "$tmp/mnt/clone" fsck --full --strict >"$tmp/out" 2>&1
	umount "$tmp/mnt"
	check_unmounted "$fs"
	detach_nbd

	it "$fs: after a stop of the server and another start it is all there"
	stop_server
	[[ $server_status -eq 0 ]] || fail "exit code $server_status"
	start_server
	attach_nbd "$uri"
	check_unmounted "$fs"
	mount_loop "$fs" "$tmp/mnt"
	git -C "$tmp/mnt/clone" fsck --full --strict >"$tmp/out" 2>&1
	[[ $(git -C "$tmp/mnt/clone" rev-parse HEAD) == "$head" ]]
	umount "$tmp/mnt"
	detach_nbd
done
