#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-offline.sh - the store is away when the server is started: what is refused, what is served
# from the cache alone, and what comes of it when the store is back.
#
# What is read is in the read cache or in the local log: the load is read whole once, and what comes
# after that is less than the log gives up at once. Nothing is collected: what is moved is no longer
# where the read cache knows it.
store_kind_asked=${LSVD_E2E_STORE:-dir}
export LSVD_E2E_STORE=dir
. "$(dirname "$0")/functions.sh"
begin
[[ $store_kind_asked == dir ]] || say "a directory serves here as well as $store_kind_asked"

size=$((32 << 20))
state=$ram/state
make_store 'segment_size = "256K"' 'log_size = "128M"' 'read_timeout = "300ms"' \
	'gc = "off"'
make_volume "$size"
writer init "$state" --size "$size" --seed "$seed"

load() { writer load "$state" "$uri" --most 32 --seed "$RANDOM" "$@"; }
away() { mv "$tmp/store" "$tmp/store.away"; }
back() { mv "$tmp/store.away" "$tmp/store"; }

refused() {
	local pattern=$1 status=0
	shift
	timeout 60 "$bin_dir/lsvd-nbd" -c "$config" -U "$sock" "$@" </dev/null \
		2>"$tmp/refused.log" || status=$?
	[[ $status -ne 0 && $status -ne 124 ]] || fail "status $status"
	grep -q -e "$pattern" "$tmp/refused.log" || fail "another reason: $(<"$tmp/refused.log")"
}

it 'a server that is killed leaves a cache that is read whole'
start_server
load --acks 500 --flush
stop_server
start_server
writer check "$state" "$uri"
load --acks 200 --flush
kill_server

it 'without the store and without the flag it does not start, and says so'
away
refused "store dir:" -n "$volume"
mkdir "$tmp/store"
refused "there is none" -n "$volume"
rmdir "$tmp/store"
[[ ! -e $tmp/store ]] || fail "a store was made"

it 'the flag goes with one name and with no other flag'
refused '--offline needs --name' --offline
refused '--offline goes with neither' --offline -n "$volume" --takeover

for round in 1 2; do
	it "offline, time $round: all that was acknowledged is there, and more is written"
	start_server --offline
	grep -q 'open offline' "$server_log"
	writer check "$state" "$uri"
	load --acks 150 --flush
	[[ ! -e $tmp/store ]] || fail "something was put"
	kill_server
done

it 'an empty mount point in the place of the store is no other store'
mkdir "$tmp/store"
start_server --offline
writer check "$state" "$uri"
load --acks 50 --flush
stop_server
[[ $server_status -eq 0 || $server_status -eq 3 ]] || fail "status $server_status"
[[ -z $(ls -A "$tmp/store") ]] || fail "something was put: $(ls -A "$tmp/store")"
rmdir "$tmp/store"

it 'with the store back an ordinary start goes on, and everything is stored'
back
start_server
writer check "$state" "$uri"
load --acks 100 --flush
stop_server
[[ $server_status -eq 0 ]] || fail "status $server_status"
rm -r "$tmp/cache"
start_server
writer check "$state" "$uri"
stop_server

it 'offline, a flush to the store is an error and not an acknowledgement'
printf 'flush = "remote"\n' >>"$config"
start_server
stop_server
away
start_server --offline
status=0
qemu-io -f raw -c 'write -P 7 0 4096' -c 'flush' "$uri" >"$tmp/out" 2>&1 || status=$?
grep -q -i 'error' "$tmp/out" || fail "status $status: $(<"$tmp/out")"
stop_server
back

it 'another host that went on meanwhile makes the offline writes refused'
sed -i '/^flush/d' "$config"
away
start_server --offline
writer load "$state" "$uri" --most 32 --seed "$RANDOM" --acks 20 --flush
stop_server
back
start_server -p "$tmp/other"
stop_server
refused 'were never stored\|not part of the history' -n "$volume"
