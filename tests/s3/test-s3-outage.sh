#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=300 s3
#
# test-s3-outage.sh - the store is away: writes go on until the log is full and then wait, memory and
# requests stay bounded, and when it is back everything drains by itself.
#
#   test-s3-outage.sh [-s SECONDS] [--json FILE]
LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-580}
export LSVD_E2E_LIMIT
. "$(dirname "$0")/../e2e/functions.sh"
begin
need jq nbdsh

seconds=8
json=
while [[ $# -gt 0 ]]; do
	case $1 in
	-s) seconds=$2 ;;
	--json) json=$2 ;;
	*) fail "usage: $0 [-s SECONDS] [--json FILE]" ;;
	esac
	shift 2
done

store_kind=curl
size=$((64 << 20))
state=$ram/state
start_proxy
make_store 'log_size = "16M"' 'segment_size = "512K"' 'memory_size = "4M"' 'rcache_size = "8M"'
make_volume $((size + (1 << 20)))
start_server
writer init "$state" --size "$size" --seed "$seed"
rss_kb() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$server_pid/status"; }
stamp() { echo $((${EPOCHREALTIME/./} / 1000)); }
last_bytes="at = h.get_size() - 4096"

# What comes later is compared with this: caches and pools have grown to what they will be.
writer load "$state" "$uri" --acks 2000 --seed "$RANDOM" --flush >"$tmp/load"
nbdsh -u "$uri" -c "$last_bytes; h.pwrite(b'x' * 4096, at)"

it 'the log fills and writers wait; what was written is read, and flushes are answered'
rule away close
proxy reset
begun=$(stamp)
start_writer load "$state" "$uri" --seed "$RANDOM" --no-reads --depth 32 --patience $((seconds + 60))
full() {
	local now
	now=$(issued "$state")
	[[ $now -gt 0 && $now -eq ${before:-0} ]] && return 0
	before=$now
	sleep 0.5
	return 1
}
wait_until 60 full || fail "the log is never full"
timeout 20 nbdsh -u "$uri" -c "$last_bytes; assert h.pread(4096, at) == b'x' * 4096"

it "$seconds s of it: bounded memory, few requests"
rss_full=$(rss_kb)
rss_most=$rss_full
enough() {
	local now
	now=$(rss_kb)
	[[ $now -le $rss_most ]] || rss_most=$now
	[[ $(($(stamp) - begun)) -ge $((seconds * 1000)) ]]
}
wait_until $((seconds + 60)) enough
requests=$(acted away)
grown=$((rss_most - rss_full))
say "$requests requests in $seconds s; ${rss_full} KiB when the log was full, at most ${rss_most}"
[[ $grown -lt 8192 ]] || fail "memory has grown by $grown KiB while nothing could be written"
# Every upload and read of the window a few times in the first two seconds, then one a pause; at a
# slow machine it took longer than asked for until the log was full.
took=$((($(stamp) - begun) / 1000))
[[ $requests -le $((200 + took)) ]] || fail "$requests requests in $took s: $(proxy counts)"
timeout 20 nbdsh -u "$uri" -c "$last_bytes; assert h.pread(4096, at) == b'x' * 4096"

it 'it drains by itself when the store is back'
back=$(stamp)
proxy clear
is_back() { grep -q 'the store is back' "$server_log"; }
wait_until 60 is_back || fail "it does not notice: $(proxy counts)"
noticed=$(($(stamp) - back))
# Not before all that it has issued is done: what waited for room would come after the check.
kill -s TERM "$load"
wait "$load" || fail "$(<"$tmp/load")"
writer check "$state" "$uri"
writer load "$state" "$uri" --acks 500 --seed "$RANDOM" --flush >"$tmp/load"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"

it 'nothing is missing, read from the store alone'
rm -rf "$tmp/cache"
start_server
writer check "$state" "$uri"
stop_server

it 'the account'
say "away for $seconds s: $requests requests, $grown KiB more memory than with a full log; noticed" \
	"$noticed ms after it was back"
[[ -z $json ]] || printf '{"seconds": %d, "requests": %d, "grown_kib": %d, "noticed_ms": %d, "seed": %d}\n' \
	"$seconds" "$requests" "$grown" "$noticed" "$seed" >"$json"
