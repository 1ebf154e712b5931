#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-shutdown.sh - how the server begins and ends: signals, exit codes, sockets, one at a time.
. "$(dirname "$0")/functions.sh"
begin
need nbdinfo nbdsh
[[ $(id -u) -eq 0 ]] || skip "root: a small file system is mounted"

state=$ram/state
size=$((64 << 20))
make_store
make_volume "$size"
server_command

# client SCRIPT: a connected nbdsh that says when it is ready and then does as it is told; stays.
hold_client() {
	mkfifo "$tmp/hold"
	nbdsh -u "$uri" -c 'h.pwrite(b"\x41" * 4096, 0)' \
		-c 'print("connected", flush=True)' -c 'open("hold").read()' >"$tmp/client.out" 2>&1 &
	client=$!
	defer end_process "$client" KILL
	wait_until 30 grep -q connected "$tmp/client.out"
}

it 'the ready line comes when connections are accepted, and is the only one'
start_server
[[ $(grep -c "^lsvd-nbd: serving " "$server_log") -eq 1 ]]
nbdinfo --size "$uri" >"$tmp/out"

it 'SIGTERM without a client ends the server with 0'
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"

it 'the socket is gone after the end, and a stale one is replaced after a kill'
[[ ! -e $sock ]] || fail "$sock is still there"
start_server
kill_server
[[ -S $sock ]]
start_server

it 'SIGTERM with an idle client ends the server with 0'
hold_client
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
end_process "$client"

for signal in INT QUIT; do
	it "SIG$signal is the same as SIGTERM"
	start_server
	stop_server "$signal"
	[[ $server_status -eq 0 ]] || fail "exit code $server_status"
done

it 'SIGTERM under load answers or refuses every request and keeps what it answered'
writer init "$state" --size "$size" --seed "$seed"
start_server
python_nbd <<<'h.zero(h.get_size(), 0)'
start_writer load "$state" "$uri" --may-die --connections 4
busy() { [[ $(issued "$state") -gt 500 ]]; }
wait_until 60 busy || fail "the load does not get on"
stop_server
wait "$load" || fail "$(<"$tmp/load")"
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
start_server
writer check "$state" "$uri"

it 'a second server on the same cache is refused, and the first one goes on'
status=0
timeout 30 "${server[@]}" -U "$tmp/second.sock" 2>"$tmp/second.log" || status=$?
[[ $status -ne 0 && $status -ne 124 ]] || fail "the second server ended with $status"
grep -q "$volume" "$tmp/second.log" || fail "no reason given: $(<"$tmp/second.log")"
writer load "$state" "$uri" --acks 200 --flush
writer check "$state" "$uri"

it 'SIGHUP stores what is pending'
before=$(objects | wc -l)
python_nbd <<<'h.pwrite(b"\x42" * 4096, 8192)'
kill -s HUP "$server_pid"
more_objects() { [[ $(objects | wc -l) -gt $before ]]; }
wait_until 30 more_objects || fail "no new object in the store after SIGHUP"
! has_ended "$server_pid"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"

it 'a volume that was not changed is served read-only without a byte put into the store'
before=$(objects)
start_server --read-only
nbdinfo --is read-only "$uri"
! nbdsh -u "$uri" -c 'h.set_strict_mode(0); h.pwrite(b"x" * 512, 0)' 2>"$tmp/out" ||
	fail "a read-only export was written"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
[[ $(objects) == "$before" ]] || fail "the store has changed"

it 'an address, a socket or a name that cannot be one is wrong usage: exit code 2'
for arguments in "-n $volume -a nowhere" "-n $volume -a localhost:65536" "-n $volume -a unix:" "-n ../x"; do
	status=0
	# shellcheck disable=SC2086 # each of them is several words
	timeout 30 "$bin_dir/lsvd-nbd" -c "$config" $arguments 2>"$tmp/usage.log" || status=$?
	[[ $status -eq 2 && -s $tmp/usage.log ]] || fail "$arguments: $status: $(<"$tmp/usage.log")"
done

it 'standard descriptors that are closed are given to nothing else'
bash -c 'exec 0<&- 1>&- 2>&-; exec "$@"' bash "${server[@]}" -U "$sock" &
server_pid=$!
defer end_process "$server_pid" KILL
is_served() { nbdinfo --size "$uri" >"$tmp/out" 2>&1; }
wait_until 60 is_served
for fd in 0 1 2; do
	[[ $(readlink "/proc/$server_pid/fd/$fd") == /dev/null ]] || fail "$fd is something else"
done
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"

it 'TCP, and -a unix:PATH, serve the same volume'
port=$((20000 + RANDOM % 20000))
start_server_as -n "$volume" -a "localhost:$port"
[[ $(nbdinfo --size "nbd://localhost:$port/$volume") == "$size" ]]
stop_server
start_server_as -n "$volume" -a "unix:$sock"
[[ $(nbdinfo --size "$uri") == "$size" ]]
stop_server

it 'without an address it is localhost:8989'
# In a network of its own, where nobody else has the port.
unshare -n bash -c 'ip link set lo up && : >alone && until [[ -e go ]]; do sleep 0.02; done && exec "$@"' \
	bash "${server[@]}" 2>"$tmp/own-network.log" &
server_pid=$!
defer end_process "$server_pid" KILL
wait_until 30 test -e alone || fail "no name space: $(<"$tmp/own-network.log")"
carry_store "/proc/$server_pid/ns/net"
: >go
default_answers() {
	nsenter -t "$server_pid" -n nbdinfo --size "nbd://localhost:8989/$volume" >"$tmp/out" 2>&1
}
wait_until 60 default_answers || fail "$(<"$tmp/own-network.log")"
[[ $(<"$tmp/out") == "$size" ]]
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"

it 'without -n every volume of the store is served by its name'
make_volume 8M second
start_server_as -U "$sock"
[[ $(nbdinfo --size "$uri") == "$size" ]]
[[ $(nbdinfo --size "nbd+unix:///second?socket=$sock") == $((8 << 20)) ]]
nbdinfo --list "nbd+unix:///?socket=$sock" >"$tmp/out" 2>&1
grep -q second "$tmp/out"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"

it '-s serves standard input and output and ends with its client'
server+=(-s)
python_child <<'PY'
h.connect_command(server)
assert h.get_size() == 64 << 20
h.pwrite(b"\x43" * 512, 0, nbd.CMD_FLAG_FUA)
h.shutdown()
PY
server_command

it 'a socket handed over by LISTEN_FDS is served'
python_child <<'PY'
h.connect_systemd_socket_activation(server)
assert h.pread(512, 0) == b"\x43" * 512
PY

it 'a descriptor of LISTEN_FDS that is no listening socket is refused by number'
status=0
timeout 30 bash -c 'exec 3<"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"' "$config" "${server[@]}" \
	2>"$tmp/refused.log" || status=$?
[[ $status -eq 1 ]] || fail "status $status"
grep -q "3 is no listening socket" "$tmp/refused.log" || fail "$(<"$tmp/refused.log")"

it '-s on pipes ends when nobody takes its output any more'
# Its input stays open: what ends it is the reader that is gone.
mkfifo "$tmp/silent"
exec {silent}<>"$tmp/silent"
status=0
timeout 30 bash -c '{ "$@" -s 2>"$0"; echo $? >"$0.status"; } <silent | head -c 18 >/dev/null' \
	"$tmp/single.log" "${server[@]}" &
pipeline=$!
defer end_process "$pipeline" KILL
printf '\0\0\0\3IHAVEOPT\0\0\0\7\0\0\0\12\0\0\0\4%s\0\0' "$volume" >&"$silent"
# Reads of a sector, until an answer meets the closed pipe.
answered() {
	printf '\x25\x60\x95\x13%b%b\2\0' '\0\0\0\0\0\0\0\0\0\0\0\0' '\0\0\0\0\0\0\0\0\0\0' >&"$silent"
	[[ -s $tmp/single.log.status ]]
}
wait_until 25 answered || fail "it goes on without a reader"
[[ $(<"$tmp/single.log.status") -eq 0 ]] || fail "status $(<"$tmp/single.log.status")"
exec {silent}>&-

it '-U - --run gives a command the socket and ends with its exit code'
status=0
timeout 60 "${server[@]}" -U - --run 'nbdinfo --size "$uri" && exit 7' >"$tmp/out" \
	2>"$tmp/run.log" || status=$?
[[ $status -eq 7 && $(<"$tmp/out") == "$size" ]] || fail "status $status: $(cat "$tmp/run.log")"

it '--print-uri prints an address that works'
launch_server -n "$volume" -U "$sock" --print-uri >"$tmp/printed"
wait_until 60 server_says_ready
[[ $(nbdinfo --size "$(head -n 1 "$tmp/printed")") == "$size" ]]
stop_server

it 'a second server that cannot listen leaves the first one its process id file'
start_server -P "$tmp/pid"
status=0
timeout 30 "${server[@]}" -U "$sock" -P "$tmp/pid" 2>"$tmp/second.log" || status=$?
[[ $status -eq 1 ]] || fail "the second server ended with $status"
[[ $(<"$tmp/pid") -eq $server_pid ]]
stop_server
[[ ! -e $tmp/pid ]] || fail "the file is still there"

it '--exit-with-parent: the server ends when who started it is gone'
bash -c '"${@:2}" </dev/null 2>"$0" & echo $! >"$1.new"; mv "$1.new" "$1"; wait' \
	"$tmp/child.log" "$tmp/child.pid" "${server[@]}" -U "$sock" --exit-with-parent &
parent=$!
defer end_process "$parent" KILL
wait_until 60 grep -qs serving "$tmp/child.log"
child=$(<"$tmp/child.pid")
end_process "$parent" KILL
wait_until 60 has_ended "$child" || {
	kill -s KILL "$child"
	fail "the server outlives its parent"
}

store_kind=dir unsafe_store=() # what follows needs one that can be full
it 'a store that takes nothing leaves exit code 3, and the cache has it all'
store_dir=$tmp/small
mkdir "$store_dir"
mount -t tmpfs -o size=8m e2e "$store_dir" 2>"$tmp/mount.log" || skip "tmpfs to mount: $(<"$tmp/mount.log")"
defer umount -l "$store_dir"
cache_dir=$tmp/cache-small
make_store
make_volume "$size"
writer init "$ram/small" --size "$size" --seed "$seed"
start_server --drain-timeout 1
writer load "$ram/small" "$uri" --acks 500 --flush
stop_server
[[ $server_status -eq 3 ]] || fail "exit code $server_status"
mount -o remount,size=256m "$store_dir"
start_server
writer check "$ram/small" "$uri"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"

it 'and then the cache is no longer needed'
rm -rf "$cache_dir"
start_server
writer check "$ram/small" "$uri"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
