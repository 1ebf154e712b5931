#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=300 s3
#
# test-s3-counts.sh - what the statistics say of requests and bytes, by cause, is what went over the wire.
#
# A volume is opened without its cache, written, flushed, checkpointed and read, through a proxy that
# counts. What the statistics added up to before and after must differ by just what the proxy has seen.
. "$(dirname "$0")/../e2e/functions.sh"
begin
need nbdsh jq
store_kind=curl
start_proxy
stats() { admin stats -n "$volume" --json | jq .stats; }

# quiet: everything is stored and nothing is on its way.
quiet() {
	local last=-1 now
	no_more() {
		now=$(proxy get requests)
		[[ $now -eq $last ]] && return 0
		last=$now
		sleep 0.5
		return 1
	}
	wait_until 60 no_more || fail "requests go on and on: $(proxy counts)"
}

# agree FILE FILE: the difference of two statistics, and what the proxy has counted in between.
agree() {
	jq -n --slurpfile a "$1" --slurpfile b "$2" --slurpfile p "$tmp/counted" '
		def sum(names): [names[] as $n | ($b[0][$n] // error("no " + $n)) - ($a[0][$n] // 0)] | add;
		{
			requests: [sum(["data_puts", "checkpoint_puts", "recovery_gets", "data_gets", "map_gets",
				"fence_requests", "retries", "read_backs", "gc_requests", "probe_requests",
				"deleted_objects"]), $p[0].requests],
			put_bytes: [sum(["data_put_bytes", "checkpoint_put_bytes", "fence_put_bytes"]),
				$p[0].bytes_in],
			get_bytes: [sum(["data_get_bytes", "map_get_bytes", "recovery_get_bytes"]), $p[0].bytes_out]
		}' >"$tmp/sums"
	say "$(jq -c . "$tmp/sums")"
}
same() { jq -e ".$1 | .[0] == .[1]" "$tmp/sums" >/dev/null; }

# check FILE WHAT...: nobody else has used the proxy.
check() {
	local what
	quiet
	proxy counts >"$tmp/counted"
	stats >"$tmp/after"
	agree "$1" "$tmp/after"
	for what in "${@:2}"; do
		jq -e ".$what | .[0] == .[1]" "$tmp/sums" >/dev/null ||
			fail "$what: $(<"$tmp/sums") $(jq -c .verbs "$tmp/counted") $(proxy log | tail -60)"
	done
}

it 'while it is served: data, looks and checkpoints'
make_store 'log_size = "32M"' 'segment_size = "256K"' 'checkpoint_segments = 4' 'flush = "remote"' \
	'seal_after = "never"' 'lease_check = "10m"'
make_volume 64M
start_server
quiet
stats >"$tmp/before"
proxy reset
nbdsh -u "$uri" -c - <<-PY
	import os
	for i in range(40):
	    h.pwrite(os.urandom(65536), i * 131072)
	    if i % 4 == 3:
	        h.flush()
PY
check "$tmp/before" requests put_bytes get_bytes

it 'an open without the cache, and reads: the probe, claims, recovery, data'
kill_server
rm -rf "$tmp/cache"
echo '{}' >"$tmp/nothing"
proxy reset
start_server --takeover
nbdsh -u "$uri" -c 'for i in range(40): h.pread(65536, i * 131072)'
# (Of bytes the proxy counts what errors say, too, and the probe is both directions in one.)
check "$tmp/nothing" requests
stop_server
