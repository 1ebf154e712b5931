#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-lost-cache.sh - the local cache is gone while writes were on their way: what an open
# refuses, what it goes on from when it is told to, and what becomes of the old cache.
#
# The load has one request in flight, so the n-th operation of the writer is operation n of the volume,
# and "operation K" in a message can be compared with what is there, to the operation.
. "$(dirname "$0")/functions.sh"
begin

size=$((64 << 20))
state=$ram/state

# settings LINE...: a new volume of its own name, with these settings.
settings() {
	volume=disk$((++volumes))
	uri="nbd+unix:///$volume?socket=$sock"
	cache_dir=$tmp/cache-$volume
	make_store 'segment_size = "256K"' 'log_size = "64M"' "$@"
	make_volume "$size"
	rm -f "$state"
	writer init "$state" --size "$size" --seed "$((seed + volumes))"
}
volumes=0

load() { writer load "$state" "$uri" --depth 1 --connections 1 --most 512 --seed "$RANDOM" "$@"; }

# refused PATTERN [ARG...]: the server does not start, says why, and leaves the store as it was.
refused() {
	local pattern=$1 before status=0
	shift
	before=$(objects)
	timeout 60 "$bin_dir/lsvd-nbd" -c "$config" -n "$volume" -U "$sock" "${unsafe_store[@]}" \
		"$@" </dev/null 2>"$tmp/refused.log" || status=$?
	[[ $status -eq 1 ]] || fail "status $status: $(<"$tmp/refused.log")"
	grep -q "$pattern" "$tmp/refused.log" || fail "another reason: $(<"$tmp/refused.log")"
	[[ $(objects) == "$before" ]] || fail "the refusal has changed the store"
}

# operation LOG: the number it names.
operation() { sed -n 's/.*went on from what the store has, operation \([0-9]*\).*/\1/p' "$1"; }

lose_cache_under_load() {
	start_server
	load --acks 1500 --flush >"$tmp/load"
	kill_server
	mv "$cache_dir" "$cache_dir.old"
}

it 'an open without the cache is refused, names the operation, and leaves nothing behind'
# Where the last write fills a segment it may be stored before the kill, and nothing is lost: then another.
for try in {1..9}; do
	settings 'seal_after = "never"'
	lose_cache_under_load
	refused 'its cache is not here'
	gone_after=$(sed -n 's/.*acknowledged after operation \([0-9]*\) may be lost.*/\1/p' "$tmp/refused.log")
	[[ -n $gone_after ]] || fail "no operation is named: $(<"$tmp/refused.log")"
	[[ $gone_after -eq $(writer count "$state") ]] || break
	say "volume $try: all $gone_after operations were stored"
done
refused 'accept-rollback' --takeover

it 'with the flag the volume is exactly what it was after the operation it names'
start_server --accept-rollback
at=$(operation "$server_log")
[[ -n $at && $at -eq $gone_after ]] || fail "refused at $gone_after, went on from ${at:-nothing}"
issued=$(writer count "$state")
[[ $at -lt $issued ]] || fail "nothing was lost: that tests nothing"
writer check "$state" "$uri" --first "$at"
say "$at of $issued operations were stored"
load --acks 200 --flush

it 'the old cache is refused when it is back, and the volume goes on without it'
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
mv "$cache_dir" "$cache_dir.new"
cp -a "$cache_dir.old" "$cache_dir"
refused 'never stored'
refused 'never stored' --takeover
rm -rf "$cache_dir"
mv "$cache_dir.new" "$cache_dir"
start_server
writer check "$state" "$uri"
load --acks 200 --flush
kill_server
start_server
writer check "$state" "$uri"
stop_server

it 'the old cache is refused even if it is all there is'
rm -rf "$cache_dir"
cp -a "$cache_dir.old" "$cache_dir"
refused 'never stored'
rm -rf "$cache_dir"
start_server
writer check "$state" "$uri"
stop_server

it 'what was flushed to the store is there without the cache, and --takeover is enough'
settings 'flush = "remote"'
start_server
load --acks 700 --flush >"$tmp/load"
flushed=$(writer count "$state")
load --acks 60 >"$tmp/load"
kill_server
mv "$cache_dir" "$cache_dir.old"
refused 'takeover or accept-rollback'
start_server --takeover
at=$(operation "$server_log")
[[ $at -ge $flushed ]] || fail "$flushed operations were flushed, it goes on from $at"
writer check "$state" "$uri" --first "$at"
stop_server

it 'after a clean stop no cache and no flag is needed'
settings
start_server
load --acks 300 >"$tmp/load"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
rm -rf "$cache_dir"
start_server
writer check "$state" "$uri"
stop_server
