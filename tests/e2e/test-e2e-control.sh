#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-control.sh - the control socket of a served volume: who may use it, what it does, whom it
# must not harm; and which way the commands of lsvd-admin go.
. "$(dirname "$0")/functions.sh"
begin
need nbdcopy nbdinfo cmp stat prlimit

# Nothing is stored by itself: what is in the store was asked for.
make_store 'seal_after = 1d' 'log_size = 64M'
make_volume 64M
ctl=$tmp/cache/$volume.ctl
# hostile.py has the attacks on the other socket.
attack() { timeout 120 /usr/bin/python3 "$e2e_dir/hostile_control.py" "$ctl" "$@"; }

# descriptors_left_none: the server may open no more files; prints the limit there was.
descriptors_left_none() {
	local fd=0
	while [[ -e /proc/$server_pid/fd/$fd ]]; do fd=$((fd + 1)); done
	prlimit --pid "$server_pid" --nofile --noheadings --output SOFT
	prlimit --pid "$server_pid" --nofile="$fd:"
}

it 'the socket is there while the volume is served, for its user alone'
[[ ! -e $ctl ]]
start_server
[[ -S $ctl ]]
[[ $(stat -c %a "$ctl") == 600 ]]

it 'seal stores what a served volume has only in its log'
random_file "$tmp/image" $((3 << 20))
nbdcopy "$tmp/image" "$uri"
ask stats -n "$volume"
json 'o["name"] == "disk" and o["bytes"] == 64 << 20 and o["status"] == "ok"'
json 'o["stats"]["unstored_bytes"] >= 3 << 20 and o["stats"]["data_puts"] == 0'
ask seal -n "$volume"
json 'o["unstored_bytes"] == 0 and o["stored_op"] == o["last_op"] > 0'
ask stats -n "$volume"
json 'o["stats"]["data_puts"] > 0 and o["stats"]["checkpoint_puts"] == 0'
ask seal -n "$volume" --checkpoint
ask stats -n "$volume"
json 'o["stats"]["checkpoint_puts"] > 0'
admin stats -n "$volume" >"$tmp/out"
grep -qx 'status  *ok' "$tmp/out"

it 'a served volume is not opened a second time by a command'
ask stats -n "$volume"
json 'o["stats"]["epoch"] == 1'

it 'a client at work'
state=$ram/state
writer init "$state" --size $((32 << 20)) --offset $((16 << 20)) --seed "$seed"
start_writer load "$state" "$uri" --depth 4
gets_on() { [[ $(issued "$state") -gt $1 ]] || has_ended "$load"; }
wait_until 60 gets_on 100

it 'seal ends though writes go on'
ask seal -n "$volume"
for attack in $(attack); do
	it "${attack//_/ }"
	before=$(issued "$state")
	attack "$attack" 2>"$tmp/attack.log" || fail "$(tail -n 3 "$tmp/attack.log")"
	! has_ended "$server_pid" || fail "the server is gone"
	wait_until 60 gets_on "$before" || fail "the client does not get on"
	! has_ended "$load" || fail "the client is gone: $(<"$tmp/load")"
done

it 'the client has seen nothing wrong'
kill -s TERM "$load"
wait "$load" || fail "status $?: $(<"$tmp/load")"
writer check "$state" "$uri"

it 'gc by hand gives space back while the volume is served'
ask seal -n "$volume"
ask stats -n "$volume"
stored=$(/usr/bin/python3 -c 'import json; print(json.load(open("out"))["stats"]["data_put_bytes"])')
ask gc -n "$volume"
json "o['deleted_bytes'] > 0 and 0 < o['stored_bytes'] < $stored / 2" || fail "$stored: $(<"$tmp/out")"

it 'collection is held up, lets itself be seen, and goes on'
ask gc pause -n "$volume"
json 'o["paused"] is True'
ask gc status -n "$volume"
json 'o["paused"] is True and o["running"] is False'
ask gc resume -n "$volume"
json 'o["paused"] is False'
ask gc cancel -n "$volume"
ask gc --orphans -n "$volume"
json 'o["orphans"] == 0 and o["paused"] is False'
! admin gc dance -n "$volume" >"$tmp/out" 2>&1 || fail 'it danced'

it 'without descriptors to accept with, whoever comes waits, and the server does not spin'
limit=$(descriptors_left_none)
for task in /proc/"$server_pid"/task/*; do
	[[ $(<"$task/comm") != nbd-control ]] || break
done
[[ $(<"$task/comm") == nbd-control ]]
# A thread that waits gives its processor up each time; one that spins never does.
waits() { awk '/^voluntary/ { print $2 }' "$task/status"; }
admin stats -n "$volume" >"$tmp/out" &
waiting=$!
before=$(waits)
has_waited() { [[ $(waits) -ge $((before + 10)) ]]; }
wait_until 60 has_waited
! has_ended "$waiting" || fail "it was answered"
prlimit --pid "$server_pid" --nofile="$limit:"
wait "$waiting"

it 'the end of the server is the end of the socket, whoever is connected'
/usr/bin/python3 - "$ctl" >"$tmp/connected" <<'PY' &
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"verb":"stats"}\n')
s.makefile().readline()  # it is answered: who has not been accepted yet is cut off
print("yes", flush=True)
while s.recv(4096):
    pass
PY
idle=$!
wait_until 30 test -s "$tmp/connected"
stop_server
[[ $server_status -eq 0 && ! -e $ctl ]]
wait "$idle"

it 'what is not served is opened by the command itself'
refuses 'not served' stats -n "$volume"
ask seal -n "$volume"
json 'o["unstored_bytes"] == 0'
ask inspect -n "$volume"
json 'o["epoch"] == 2 and o["closed_cleanly"] is True'

it 'what a killed server has left only in its log is stored by seal'
start_server
writer load "$state" "$uri" --acks 200 --seed 3
kill_server
[[ -S $ctl ]]
ask seal -n "$volume"
ask inspect -n "$volume"
json 'o["epoch"] == 4 and o["closed_cleanly"] is True'

it 'the socket of a dead server is replaced'
start_server
writer check "$state" "$uri"
kill_server
[[ -S $ctl ]]
start_server
ask stats -n "$volume"
stop_server

it 'what is no socket stays where it is, and the volume is served without one'
echo precious >"$ctl"
start_server
[[ $(<"$ctl") == precious ]]
grep -q 'no control socket' "$server_log"
nbdinfo --size "$uri" >"$tmp/out"
stop_server
[[ $(<"$ctl") == precious ]]
rm "$ctl"

it 'a directory with a long name does not matter'
long=$tmp/$(printf 'long%.0s' {1..40})
mkdir "$long"
cache_dir=$long/cache make_store 'seal_after = 1d' 'log_size = 64M'
start_server --accept-rollback
[[ -S $long/cache/$volume.ctl ]]
ask seal -n "$volume"
stop_server
make_store 'seal_after = 1d' 'log_size = 64M'

it 'the directory may be given instead of configured'
ask seal -n "$volume" -p "$long/cache"

it 'a server for reading has no socket'
start_server --read-only
[[ ! -e $ctl ]]
refuses 'not served' stats -n "$volume"
stop_server
