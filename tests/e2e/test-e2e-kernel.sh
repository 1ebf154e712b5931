#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-kernel.sh - a real Linux kernel as the client: nbd-client, mkfs, mount, a tree of some
# thousand files, unmount, compare, fsck; and the same with SIGKILL of the server in between.
#
# The kernel is Debian's user-mode-linux, which needs no virtualization: a process whose root file
# system is this machine's, read-only. Server and guest are alone in a network name space, joined
# by a tap device. guest-session.sh is what the guest does; it asks for the kill by printing a line.
. "$(dirname "$0")/functions.sh"
begin
need linux.uml nbd-client ip insmod mkfs.ext4 e2fsck
[[ $(id -u) -eq 0 ]] || skip "root: a network name space needs it"
[[ -c /dev/net/tun ]] || skip "tap devices (/dev/net/tun)"

ns=lsvd-e2e-$$
port=10809
make_store
make_volume 2T

ip netns add "$ns" 2>"$tmp/netns.log" || skip "network name spaces: $(<"$tmp/netns.log")"
defer ip netns del "$ns"
ip -n "$ns" link set lo up
ip -n "$ns" tuntap add dev tap0 mode tap
ip -n "$ns" addr add 192.168.77.1/24 dev tap0
ip -n "$ns" link set tap0 up

carry_store "/run/netns/$ns"

start_in_namespace() {
	server_log=$tmp/server-$((++server_count)).log
	: >"$server_log"
	# ip replaces itself by what it starts: the process number stays.
	ip netns exec "$ns" "$bin_dir/lsvd-nbd" -c "$config" -n "$volume" \
		"${unsafe_store[@]}" -a "192.168.77.1:$port" </dev/null 2>"$server_log" &
	server_pid=$!
	defer end_process "$server_pid" KILL
	wait_until 60 server_says_ready || fail "the server is not ready after 60 s"
	! has_ended "$server_pid" || fail "the server ended before it was ready"
}

# The guest reads this machine's files, among them $tmp, and writes only to its own /run.
cat >"$tmp/init" <<INIT
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t devtmpfs dev /dev 2>/dev/null
insmod /usr/lib/uml/modules/\$(uname -r)/kernel/drivers/block/nbd.ko
ip link set lo up
ip addr add 192.168.77.2/24 dev vec0
ip link set vec0 up
bash "$e2e_dir/guest-session.sh" 192.168.77.1 $port $volume "$tmp/tree"
echo "guest: session ended with \$?"
halt -f -p
INIT
chmod +x "$tmp/init"

it 'a tree of some thousand files'
/usr/bin/python3 - "$tmp/tree" "$seed" <<'PY'
import os, random, sys
random.seed(int(sys.argv[2]))
for d in range(60):
    path = os.path.join(sys.argv[1], "%02d" % (d // 10), "directory-%02d" % d)
    os.makedirs(path)
    for f in range(60):
        name = os.path.join(path, "file-%d" % f)
        if f % 20 == 19:
            os.symlink("file-1", name)
            continue
        with open(name, "wb") as out:
            size = int(2 ** random.uniform(0, 16))
            out.write(random.randbytes(size) if f % 2 else b"line %d\n" % f * (size // 7))
PY

it 'the guest boots, attaches the volume and makes a file system'
start_in_namespace
: >"$tmp/guest.log"
setsid ip netns exec "$ns" env TMPDIR=/dev/shm linux.uml mem=768M root=/dev/root rootfstype=hostfs \
	rootflags=/ ro init="$tmp/init" vec0:transport=tap,ifname=tap0,depth=64,gro=1 \
	con=null con0=null,fd:2 quiet </dev/null >"$tmp/guest.log" 2>&1 &
guest_pid=$!
# The guest's processes are processes here.
defer end_group "$guest_pid"

guest_says() { has_ended "$guest_pid" || grep -q "$1" "$tmp/guest.log"; }
await_guest() {
	wait_until 400 guest_says "$1" || true
	grep -q "$1" "$tmp/guest.log" || {
		tail -n 20 "$tmp/guest.log" >&2
		fail "the guest did not come to: $1"
	}
}
await_guest 'guest: a file system is there'

it 'a tree is the same after unmount and mount, and e2fsck finds nothing'
await_guest 'guest: the tree is the same'

it 'what was synced before SIGKILL of the server is there when it is back; e2fsck finds nothing'
await_guest 'host: kill'
kill_server
start_in_namespace
await_guest 'guest: what was synced before the kill is the same'
await_guest 'guest: session ended with 0'
wait_until 30 has_ended "$guest_pid" || fail "the guest does not halt"

it 'the server ends cleanly'
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
grep -a '^guest' "$tmp/guest.log"
