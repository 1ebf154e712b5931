#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-snapshot.sh - snapshots by command: of volumes that are served and that are not; read over
# NBD, deleted.
. "$(dirname "$0")/functions.sh"
begin
need nbdcopy nbdinfo nbdsh cmp

make_store 'log_size = 64M' 'segment_size = 1M'
make_volume 32M

it 'a snapshot of a served volume keeps what was acknowledged before'
start_server
write_image "$volume" 1
ask snapshot create "$volume@one"
json 'o["name"] == "disk" and o["snapshot"] == "one" and o["bytes"] == 32 << 20 and "T" in o["created"]'
write_image "$volume" 2
holds "$volume@one" 1
holds "$volume" 2
refuses 'one' snapshot create "$volume@one"

it 'its export is read-only, and not one of those that are listed for a single volume'
nbdinfo --can write "$(uri_of "$volume")"
! nbdinfo --can write "$(uri_of "$volume@one")"
nbdsh -u "$(uri_of "$volume@one")" -c - <<'PY'
h.set_strict_mode(0)
try:
    h.pwrite(bytes(4096), 0)
    raise AssertionError("written")
except nbd.Error as e:
    assert e.errno == "EPERM", e
PY
! nbdinfo --size "$(uri_of "$volume@none")" 2>/dev/null
! nbdinfo --size "$(uri_of "other@one")" 2>/dev/null
! nbdinfo --size "$(uri_of "$volume@")" 2>/dev/null
! nbdinfo --size "$(uri_of "@one")" 2>/dev/null

it 'snapshots are listed, oldest first, while the volume is served'
ask snapshot create "$volume@two"
ask snapshot list "$volume"
json '[s["snapshot"] for s in o["snapshots"]] == ["one", "two"]'
json 'o["snapshots"][0]["op"] < o["snapshots"][1]["op"]'
admin snapshot list "$volume" >"$tmp/out"
[[ $(wc -l <"$tmp/out") -eq 3 ]]

it 'nothing is deleted or rolled back under the eyes of clients'
python_nbd <<PY &
h.pread(512, 0)
s = nbd.NBD()
s.connect_uri("$(uri_of "$volume@one")")
s.pread(512, 0)
open("$tmp/connected", "w").close()
import os, time
while not os.path.exists("$tmp/leave"):
    time.sleep(0.02)
PY
held=$!
defer end_process "$held" KILL
wait_until 30 test -e "$tmp/connected"
refuses 'clients are reading snapshot one' snapshot delete "$volume@one"
refuses 'clients are connected' snapshot rollback "$volume@one"
touch "$tmp/leave"
wait "$held"

it 'a deleted snapshot is not there any more, and another may have its name'
gone() { admin snapshot delete "$volume@one" >"$tmp/out" 2>"$tmp/err"; }
wait_until 30 gone || fail "$(<"$tmp/err")" # the server may not have noticed that they have left
! nbdinfo --size "$(uri_of "$volume@one")" 2>/dev/null
write_image "$volume" 3
refuses 'one' snapshot delete "$volume@one"
ask snapshot create "$volume@one"
holds "$volume@one" 3

it 'a served volume goes back to a snapshot when its clients have left, and has its size'
back() { admin snapshot rollback "$volume@two" --json >"$tmp/out" 2>"$tmp/err"; }
wait_until 30 back || fail "$(<"$tmp/err")"
json 'o["name"] == "disk" and o["snapshot"] == "two"'
holds "$volume" 2
holds "$volume@one" 3
ask resize -n "$volume" -s 64M
admin snapshot rollback "$volume@one" >"$tmp/out"
[[ $(<"$tmp/out") == 'volume disk is what it was at one' ]] || fail "$(<"$tmp/out")"
[[ $(nbdinfo --size "$uri") -eq $((32 << 20)) ]]
holds "$volume" 3
refuses 'none' snapshot rollback "$volume@none"

it 'snapshots survive the server, and are made and deleted without one'
stop_server
[[ $server_status -eq 0 ]]
ask snapshot create "$volume@three"
ask snapshot list "$volume"
json '[s["snapshot"] for s in o["snapshots"]] == ["two", "one", "three"]'
ask snapshot rollback "$volume@two"
start_server
holds "$volume" 2
stop_server
[[ $server_status -eq 0 ]]
ask snapshot rollback "$volume@three"
ask snapshot delete "$volume@three"
start_server
holds "$volume" 3
holds "$volume@two" 2
holds "$volume@one" 3
kill_server

it 'of all volumes served, snapshots are listed beside their volumes'
make_volume 8M another
start_server_as -U "$sock"
nbdinfo --list --json "$(uri_of "")" | /usr/bin/python3 -c 'import json, sys
print(*sorted(e["export-name"] for e in json.load(sys.stdin)["exports"]))' >"$tmp/out"
[[ $(<"$tmp/out") == 'another disk disk@one disk@two' ]] || fail "$(<"$tmp/out")"
holds "$volume@two" 2

it 'what is no snapshot is refused before anything is touched'
for bad in disk @x disk@ 'disk@a@b' 'disk@../x' "disk@$(printf 'x%.0s' {1..65})"; do
	status=0
	admin snapshot create "$bad" >"$tmp/out" 2>"$tmp/err" || status=$?
	[[ $status -eq 2 ]] || fail "'$bad': status $status: $(<"$tmp/err")"
done
refuses 'none' snapshot list none
stop_server
[[ $server_status -eq 0 ]]
