#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-served.sh - volumes that are being served, were stopped, or were killed: what inspect
# says of them, that looking disturbs nobody, and that delete cuts the server off.
# lsvd-test: labels=quick
. "$(dirname "$0")/functions-admin.sh"
begin
config 'log_size = 64M' 'segment_size = 1M' 'lease_check = 100ms'
for tool in nbdinfo nbdcopy; do
	command -v $tool >/dev/null || { echo "$tool is not installed"; exit 77; }
done
uri="nbd+unix:///test?socket=$tmp/socket"
server=
trap '[[ -z $server ]] || kill -KILL "$server" 2>/dev/null; rm -rf "$tmp"' EXIT

# within SECONDS COMMAND...: true as soon as the command is.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[[ $SECONDS -lt $end ]] || return 1
		sleep 0.05
	done
}

serve() {
	"$bin_dir/lsvd-nbd" -c lsvd.conf -n test -U "$tmp/socket" >>server.log 2>&1 </dev/null &
	server=$!
	within 30 nbdinfo --size "$uri" || fail "no server: $(tail -n 5 server.log)"
}

# stop SIGNAL: ends the server; its status in status.
stop() {
	kill -s "$1" "$server"
	status=0
	wait "$server" 2>/dev/null || status=$?
	server=
}

inspect() {
	expect 0 inspect -c lsvd.conf -n test --json
}

write_image() { nbdcopy --flush image "$uri" 2>nbdcopy.err; }

head -c 6M /dev/urandom >image
truncate -s 8M image
expect 0 init -c lsvd.conf -n test -s 8M

# Served: the first epoch, what is stored so far, not closed.
serve
write_image || fail "$(cat nbdcopy.err)"
stored() { inspect && is 'o["segments"] >= 4'; }
within 30 stored || fail "nothing is stored: $(cat out)"
is 'o["epoch"] == 1 and o["operations"] > 0 and o["closed_cleanly"] is False'
is 'o["objects"] > o["segments"] and o["stored_bytes"] > 4 * 2**20'
expect 0 list -c lsvd.conf
expect 1 init -c lsvd.conf -n test -s 8M
write_image || fail "looking has disturbed the server: $(cat nbdcopy.err)"

# Stopped: everything is stored, and the volume may go anywhere.
stop TERM
[[ $status = 0 ]] || fail "the server ended with status $status: $(tail -n 5 server.log)"
inspect
is 'o["epoch"] == 1 and o["closed_cleanly"] is True and o["checkpoints"] > 0'
is 'o["stored_bytes"] > 6 * 2**20'
operations=$(python3 -c 'import json; print(json.load(open("out"))["operations"])')

# Killed: a new epoch that was not closed; nothing of before is gone.
serve
stop KILL
inspect
is "o['epoch'] == 2 and o['closed_cleanly'] is False and o['operations'] >= $operations"
serve
nbdcopy "$uri" copy
cmp image copy || fail "the volume has changed"
stop TERM
inspect
is 'o["epoch"] == 3 and o["closed_cleanly"] is True'

# Deleted while it is served: the server finds out and refuses writes; whatever it had on its way
# into the store is no part of a new volume of that name.
serve
write_image || fail "$(cat nbdcopy.err)"
expect 0 delete -c lsvd.conf -n test --yes --force
refused() { ! write_image; }
within 30 refused || fail "the server goes on writing to a deleted volume"
stop TERM
[[ $status != 0 ]] || fail "the server of a deleted volume ended as if all were well"
expect 1 inspect -c lsvd.conf -n test
expect 0 init -c lsvd.conf -n test -s 8M
inspect
is 'o["epoch"] == 0 and o["objects"] == 1'
