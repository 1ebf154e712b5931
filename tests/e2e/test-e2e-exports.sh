#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-exports.sh - what a server of all volumes exports as the store changes under it.
. "$(dirname "$0")/functions.sh"
begin
need nbdcopy nbdinfo nbdsh cmp

make_store 'log_size = 64M' 'segment_size = 1M'
make_volume 16M
start_server_as -U "$sock"

it 'a volume deleted and made again under its name is served, not the old one'
random_file "$tmp/old" $((4 << 20))
random_file "$tmp/new" $((8 << 20))
nbdcopy --flush "$tmp/old" "$uri"
admin delete -n "$volume" --yes --force
make_volume 32M
[[ $(nbdinfo --size "$uri") -eq $((32 << 20)) ]]
nbdcopy --flush "$tmp/new" "$uri"
nbdcopy "$uri" "$tmp/copy"
cmp -n $((8 << 20)) "$tmp/new" "$tmp/copy"

it 'clients of a deleted volume are cut off, and the next are served the new one'
nbdsh -u "$uri" -c - <<'PY' >"$tmp/held" &
import sys
h.pread(4096, 0)
print("connected", flush=True)
while not h.aio_is_dead() and not h.aio_is_closed():
    h.poll(30000)
print("cut off", flush=True)
PY
held=$!
defer end_process "$held" KILL
wait_until 30 grep -qs connected "$tmp/held"
admin delete -n "$volume" --yes --force
make_volume 8M
[[ $(nbdinfo --size "$uri") -eq $((8 << 20)) ]]
wait_until 30 grep -qs 'cut off' "$tmp/held"
wait "$held"
grep -q 'disk: was deleted' "$server_log"

it 'what was deleted and not made again is not there any more'
admin delete -n "$volume" --yes --force
! nbdinfo --size "$uri" 2>/dev/null
make_volume 8M another
[[ $(nbdinfo --size "$(uri_of another)") -eq $((8 << 20)) ]]

it 'of several volumes by name none is left out: the server refuses'
status=0
timeout 60 "$bin_dir/lsvd-nbd" -c "$config" -U "$tmp/refused" -n another -n third </dev/null \
	2>"$tmp/refused.log" || status=$?
[[ $status -eq 2 ]] || fail "status $status"
grep -q "option --name: 'another' and 'third' are given, and only one can be" "$tmp/refused.log"

it 'a server that has let volumes go ends as it should'
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
