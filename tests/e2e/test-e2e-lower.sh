#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-lower.sh - a volume over lower volumes, served: nothing on the server's command line says what
# it lies over, because its record does.
. "$(dirname "$0")/functions.sh"
begin
need qemu-io nbdinfo

# io EXPORT COMMAND...: qemu-io, which fails if a pattern does not match, and flushes at its end.
io() {
	local export=$1 commands=() command
	shift
	for command; do commands+=(-c "$command"); done
	qemu-io -f raw "${commands[@]}" "$(uri_of "$export")" >"$tmp/io" || fail "$export: $(<"$tmp/io")"
}

# shows: what the volume above is to hold, beginning with what its lowers show.
shows() {
	io upper 'read -P 1 0 1M' 'read -P 2 1M 512k' "$@" 'read -P 0 3M 1M' 'read -P 1 4M 1M' \
		'read -P 0 5M 3M'
}

make_store 'log_size = 64M' 'segment_size = 1M'
make_volume 8M under
make_volume 4M over
start_server_as -U "$sock"
io under 'write -P 1 0 2M' 'write -P 1 4M 1M'
io over 'write -P 2 1M 2M'
for name in under over; do ask snapshot create "$name@s"; done

it 'of two lower volumes the last that was named shows'
ask init -n upper --lower under@s --lower over@s
json 'o["bytes"] == 8 << 20 and [l["volume"] for l in o["lowers"]] == ["under", "over"]'
shows 'read -P 2 1536k 1536k'

it 'what is written and trimmed above covers them, and leaves them as they were'
io upper 'write -P 3 1536k 512k' 'discard 2M 512k' 'write -z 2560k 256k'
above=('read -P 3 1536k 512k' 'read -P 0 2M 768k' 'read -P 2 2816k 256k')
shows "${above[@]}"
io over 'read -P 2 1M 2M' 'write -P 9 0 4M'
io under 'discard 0 8M'
shows "${above[@]}"

it 'its block status has data where any of them has, and a hole where none has'
# Trimmed over them, and stored, is zeroes; what is not applied yet may be a hole.
ask seal -n upper
nbdinfo --map --json "$(uri_of upper)" >"$tmp/out"
python3 - "$tmp/out" <<'PY'
import json, sys
def at(mib):
    off = int(mib * 2 ** 20)
    return [e["type"] for e in json.load(open(sys.argv[1]))
            if e["offset"] <= off < e["offset"] + e["length"]]
for mib in 0, 1, 1.5, 2.75, 4:
    assert at(mib) == [0], (mib, at(mib))
for mib in 2, 2.5:
    assert at(mib) in ([2], [3]), (mib, at(mib))
for mib in 3, 5, 7.5:
    assert at(mib) == [3], (mib, at(mib))
PY

it 'killed and started again it is the same'
io upper 'write -P 4 2816k 64k'
above[2]='read -P 4 2816k 64k'
above+=('read -P 2 2880k 192k')
kill_server
start_server_as -U "$sock"
shows "${above[@]}"
stop_server
[[ $server_status -eq 0 ]]
ask sha256 -n upper
sum=$(<"$tmp/out")

it 'a server of this volume alone needs no option, nor does one without the cache'
for name in under over; do ask seal -n "$name"; done # they were killed, too
rm -rf "$tmp/cache"
start_server_as -n upper -U "$sock"
shows "${above[@]}"
stop_server
ask sha256 -n upper
[[ $(<"$tmp/out") == "$sum" ]]

it 'what it lies over is not deleted before it'
refuses upper snapshot delete over@s
refuses upper delete -n under --yes
ask check -n upper --deep
json 'o["errors"] == 0 and o["warnings"] == 0'
ask delete -n upper --yes
ask snapshot delete over@s
ask delete -n under --yes
