#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-clone.sh - clones by command: of snapshots and of volumes as they are, served or not; what
# protects their base, and what ends that.
. "$(dirname "$0")/functions.sh"
begin
need nbdcopy nbdinfo cmp

make_store 'log_size = 64M' 'segment_size = 1M'
make_volume 16M

it 'a clone of a snapshot has its bytes, and neither sees what the other writes'
start_server_as -U "$sock"
write_image "$volume" 1
ask snapshot create "$volume@one"
write_image "$volume" 2
ask clone "$volume@one" child
json 'o["name"] == "child" and o["base"] == "disk" and o["snapshot"] == "one" and o["bytes"] == 16 << 20'
holds child 1
write_image child 3
holds "$volume" 2
holds "$volume@one" 1

it 'a served volume is cloned as it is'
ask clone "$volume" now
json 'len(o["snapshot"]) == 40 and o["snapshot"].startswith("for-")'
write_image "$volume" 4
holds now 2

it 'a clone of a clone, when nothing is served'
stop_server
[[ $server_status -eq 0 ]]
ask clone child grandchild
json 'o["snapshot"] is None'
ask list
json 'sorted(v["name"] for v in o["volumes"]) == ["child", "disk", "grandchild", "now"]'
json 'o["unknown"]["objects"] == 0'
start_server_as -U "$sock"
holds grandchild 3
stop_server

it 'what clones stand on is not deleted'
refuses 'child' snapshot delete "$volume@one"
refuses 'child' delete -n "$volume" --yes
refuses 'grandchild' delete -n child --yes
start_server_as -U "$sock"
holds "$volume" 4
holds child 3

it 'a deleted clone protects nothing any more'
stop_server
admin delete -n now --yes >"$tmp/out"
ask gc -n "$volume"
json 'o["deleted_snapshots"] == 1'
ask snapshot list "$volume"
json '[s["snapshot"] for s in o["snapshots"]] == ["one"]'

it 'a volume may be made with a parent'
ask init -n born --parent disk@one
json 'o["name"] == "born" and o["base"] == "disk" and o["snapshot"] == "one"'
ask delete -n born --yes
refuses 'none' init -n born --parent "$volume@none"
for bad in '-s 1M --parent disk@one' '--parent disk' '--parent disk@one -u 01234567-89ab-cdef-0123-456789abcdef'; do
	status=0
	# shellcheck disable=SC2086
	admin init -n born $bad >"$tmp/out" 2>&1 || status=$?
	[[ $status -eq 2 ]] || fail "'$bad': status $status"
done

it 'what cannot be cloned is refused, and leaves no volume behind'
refuses 'none' clone "$volume@none" other
refuses 'none' clone none other
refuses 'child' clone "$volume@one" child
for bad in "$volume@one x@y" "$volume@ x" "$volume@one" "$volume@one a b"; do
	status=0
	# shellcheck disable=SC2086
	admin clone $bad >"$tmp/out" 2>&1 || status=$?
	[[ $status -eq 2 ]] || fail "'$bad': status $status"
done
ask list
json 'sorted(v["name"] for v in o["volumes"]) == ["child", "disk", "grandchild"]'

it 'a clone that is served becomes flat while it is read, and its base can go'
ask clone "$volume@one" middle
start_server_as -U "$sock"
ask snapshot create middle@mine
ask clone middle@mine last
refuses 'mine' flatten -n middle
ask flatten -n last
json 'o["name"] == "last" and o["copied_bytes"] >= 16 << 20'
holds last 1
ask snapshot delete middle@mine
ask flatten -n middle
json 'o["copied_bytes"] >= 16 << 20'
ask flatten -n middle
json 'o["copied_bytes"] == 0'
stop_server
[[ $server_status -eq 0 ]]
refuses 'child' delete -n "$volume" --yes
ask flatten -n child
ask delete -n "$volume" --yes
ask delete -n middle --yes
for name in child last; do
	ask check -n "$name" --deep
	json 'o["errors"] == 0 and o["warnings"] == 0'
done
start_server_as -U "$sock"
holds last 1
holds child 3
stop_server

# What is collected by itself meanwhile is not what is counted.
it 'packed, a volume is in few objects and the same; packed again, nothing is copied'
printf 'gc = "off"\n' >>"$config"
make_volume 16M
for seed in 1 2 3; do
	start_server_as -U "$sock"
	write_image "$volume" "$seed"
	qemu-io -f raw -c "write -P $seed $((seed * 3))M 128k" "$(uri_of "$volume")" >/dev/null
	stop_server
done
ask sha256 -n "$volume"
sum=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["sha256"])' <"$tmp/out")
ask pack -n "$volume"
# 16 MiB in segments of 1 MiB, and a few that are not full. Before, it may have been 15, somewhat larger.
json 'o["data_objects"] <= 20 and o["stored_bytes"] <= o["stored_bytes_before"]'
ask pack -n "$volume"
json 'o["copied_bytes"] == 0 and o["data_objects"] == o["data_objects_before"]'
ask sha256 -n "$volume"
json "o['sha256'] == '$sum'"
