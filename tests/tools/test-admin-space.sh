#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-space.sh - inspect says what the space of a volume is for: read, overwritten, needed by
# which snapshot; it adds up, and space comes back when snapshots go.
# lsvd-test: labels=quick
. "$(dirname "$0")/functions-admin.sh"
begin
config 'log_size = 64M'
command -v nbdcopy >/dev/null || { echo "nbdcopy is not installed"; exit 77; }
mib=1048576

# write MIB: so much random data from the beginning on, in a session of its own.
write() {
	head -c "$1M" /dev/urandom >image
	"$bin_dir/lsvd-nbd" -c lsvd.conf -n test --run 'nbdcopy --flush image "$uri"' 2>server.log ||
		fail "the server: $(cat server.log)"
}
inspect() {
	expect 0 inspect -c lsvd.conf -n test --json
	is 'o["stored_bytes"] == sum(o["space"][k] for k in ("live_bytes", "overwritten_bytes",
	    "snapshot_bytes", "waiting_bytes", "map_bytes", "chain_bytes"))'
	# The last of these is what remains: it is little, or one of the others is too small.
	is 'o["space"]["chain_bytes"] < 400 * (o["claims"] + o["links"])'
	is 'o["objects"] == o["segments"] + o["free_objects"] + o["checkpoints"] + o["claims"] + o["links"]'
	is 'sum(s["bytes"] for s in o["space"]["snapshots"]) == o["space"]["snapshot_bytes"]'
}

expect 0 init -c lsvd.conf -n test -s 64M
expect 0 inspect -c lsvd.conf -n test --json
is '"space" not in o'
write 8
inspect
is "8 * $mib <= o['space']['live_bytes'] < 8.1 * $mib"
is 'o["space"]["overwritten_bytes"] == 0 and o["space"]["snapshots"] == []'
expect 0 inspect -c lsvd.conf -n test
prints 'read by the volume'
expect 0 inspect -c lsvd.conf -n test --quick --json
is '"space" not in o'

# What snapshots alone need, by the oldest that needs it.
expect 0 snapshot create -c lsvd.conf test@one
expect 0 snapshot create -c lsvd.conf test@same
write 8
expect 0 snapshot create -c lsvd.conf test@two
write 4
inspect
is '[s["snapshot"] for s in o["space"]["snapshots"] if s["bytes"] > 65536] == ["one"]'
is "8 * $mib <= o['space']['snapshot_bytes'] < 8.1 * $mib"
is "8 * $mib <= o['space']['live_bytes'] < 8.1 * $mib"
is "4 * $mib <= o['space']['overwritten_bytes'] < 4.1 * $mib"
# That lies beside what is read, and stays because of the snapshot.
is "o['space']['held_bytes'] == o['space']['overwritten_bytes']"
is '[s["snapshot"] for s in o["space"]["snapshots"] if s["held_bytes"]] == ["two"]'
write 8
inspect
is '[s["snapshot"] for s in o["space"]["snapshots"] if s["bytes"] > 65536] == ["one", "two"]'
expect 0 inspect -c lsvd.conf -n test
prints_line 'two +8.* MiB +[0-9]+ +.*'

# A served volume is inspected, too.
"$bin_dir/lsvd-nbd" -c lsvd.conf -n test --run \
	"$admin inspect -c lsvd.conf -n test --json >out" 2>server.log || fail "$(cat server.log)"
is '[s["snapshot"] for s in o["space"]["snapshots"] if s["bytes"] > 65536] == ["one", "two"]'

# One of two that need the same is not enough.
expect 0 snapshot delete -c lsvd.conf test@one
expect 0 seal -c lsvd.conf -n test --checkpoint
inspect
is '[s["snapshot"] for s in o["space"]["snapshots"] if s["bytes"] > 65536] == ["same", "two"]'
expect 0 snapshot delete -c lsvd.conf test@same
expect 0 snapshot delete -c lsvd.conf test@two
# It goes behind the back of those who write a checkpoint: perhaps not before they end.
for ((i = 0; i < 50; i++)); do
	expect 0 seal -c lsvd.conf -n test --checkpoint
	inspect
	[[ $(sed -n 's/.*"stored_bytes": \([0-9]*\),/\1/p' out) -ge $((13 * mib)) ]] || break
done
is "o['space']['snapshots'] == [] and o['space']['held_bytes'] == 0 and o['stored_bytes'] < 13 * $mib"

# What collection has moved is data, and no checkpoint.
expect 0 pack -c lsvd.conf -n test
inspect
is 'o["checkpoint_bytes"] < 65536 <= o["segment_bytes"] + o["free_bytes"]'
is 'o["space"]["live_bytes"] <= o["segment_bytes"] + o["free_bytes"]'
