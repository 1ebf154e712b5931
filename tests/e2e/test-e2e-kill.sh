#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=420
#
# test-e2e-kill.sh - SIGKILL of the server under a verified load, again and again.
#
#   test-e2e-kill.sh [-n KILLS] [--json FILE]
#
# Each round starts the server on what the last one left, compares every sector with the history
# (nothing acknowledged may be missing, nothing may come back, no request may be half there), loads
# it and kills it after a random number of replies. Some rounds also kill it while it starts, and so
# while it recovers, or while it ends. The small local log wraps many times; the volume is
# made anew every 25 rounds, so that the store stays small.
LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-800}
export LSVD_E2E_LIMIT
. "$(dirname "$0")/functions.sh"
begin

kills=50
json=
while [[ $# -gt 0 ]]; do
	case $1 in
	-n) kills=$2 ;;
	--json) json=$2 ;;
	*) fail "usage: $0 [-n KILLS] [--json FILE]" ;;
	esac
	shift 2
done

size=$((64 << 20))
state=$ram/state
acknowledged=0
start_kills=0
stop_kills=0
start_ms=()

fresh() {
	rm -rf "$tmp/store" "$tmp/cache" "$state"
	make_store 'log_size = "32M"' 'segment_size = "1M"'
	make_volume "$size" "disk$1"
	volume=disk$1
	uri="nbd+unix:///$volume?socket=$sock"
	writer init "$state" --size "$size" --seed "$((seed + $1))"
}

timed_start() {
	local begun=${EPOCHREALTIME/./}
	start_server
	start_ms+=($(((${EPOCHREALTIME/./} - begun) / 1000)))
}

# The server dies somewhere in its first 200 ms: before, in or after recovery.
kill_while_starting() {
	local status=0
	timeout -s KILL "0.$(printf '%03d' $((RANDOM % 200 + 1)))" \
		"$bin_dir/lsvd-nbd" -c "$config" -n "$volume" -U "$sock" "${unsafe_store[@]}" \
		</dev/null 2>"$tmp/start.log" || status=$?
	[[ $status -eq 137 || $status -eq 124 ]] || {
		cat "$tmp/start.log" >&2
		fail "the server ended by itself with $status"
	}
	start_kills=$((start_kills + 1))
}

# SIGTERM, and SIGKILL at once or a little later: in the last flush, upload or checkpoint.
kill_while_ending() {
	local turns=$((RANDOM % 12))
	kill -s TERM "$server_pid"
	while ((turns-- > 0)) && ! has_ended "$server_pid"; do
		sleep 0.01
	done
	kill_server
	stop_kills=$((stop_kills + 1))
}

load() {
	writer load "$state" "$uri" --seed "$RANDOM$RANDOM" --depth $((8 << RANDOM % 4)) \
		--connections $((1 + RANDOM % 4)) --acks $((50 + RANDOM % 1200)) "$@" >"$tmp/load"
	acknowledged=$((acknowledged + $(sed -n 's/.*, \([0-9]*\) acknowledged.*/\1/p' "$tmp/load")))
}

check() { writer check "$state" "$uri" >"$tmp/check"; }

for ((round = 0; round < kills; round++)); do
	it "after $round kills nothing acknowledged is missing"
	((round % 25)) || fresh "$round"
	((round % 5 != 3)) || kill_while_starting
	((round % 10 != 8)) || kill_while_starting
	timed_start
	check
	if ((round % 7 == 5)); then
		load
		kill_while_ending
		timed_start
		check
	fi
	load --kill "$server_pid"
	wait "$server_pid" 2>/dev/null || true
done

it "after $kills kills the volume ends cleanly and opens again"
timed_start
check
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
timed_start
check
stop_server

it 'the account'
mapfile -t sorted < <(printf '%s\n' "${start_ms[@]}" | sort -n)
median=${sorted[${#sorted[@]} / 2]}
worst=${sorted[-1]}
say "$kills kills under load, $start_kills while starting, $stop_kills while ending;" \
	"$acknowledged operations acknowledged, 0 missing; ready after $median ms, at most $worst ms"
[[ -z $json ]] || printf '{"kills": %d, "start_kills": %d, "stop_kills": %d, "acknowledged": %d, "missing": 0, "start_ms_median": %d, "start_ms_max": %d, "seed": %d}\n' \
	"$kills" "$start_kills" "$stop_kills" "$acknowledged" "$median" "$worst" "$seed" >"$json"
