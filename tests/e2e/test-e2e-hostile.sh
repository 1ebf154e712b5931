#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-hostile.sh - broken and greedy clients, while a good one writes, reads and verifies.
#
# hostile.py has the attacks, one by one. After each the server must be alive, and the good client,
# which works all the time and compares what it reads, must have got on.
. "$(dirname "$0")/functions.sh"
begin

size=$((256 << 20))
good=$((48 << 20))
state=$ram/state
make_store
make_volume "$size"
start_server
export LSVD_TEST_SEED=$seed

# peak_mib: the most memory the server had since the last look.
peak_mib() {
	local kib
	kib=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$server_pid/status")
	echo 5 >"/proc/$server_pid/clear_refs"
	say $((kib / 1024))
}

gets_on() { [[ $(issued "$state") -gt $1 ]] || has_ended "$load"; }

it 'a good client at work'
writer init "$state" --size "$good" --seed "$seed"
start_writer load "$state" "$uri" --depth 4
wait_until 60 gets_on 100
peak_mib >"$tmp/peak"

attacks=${LSVD_ATTACKS:-$(/usr/bin/python3 "$e2e_dir/hostile.py" "$sock" "$volume" "$size")}
most=0
for attack in $attacks; do
	it "${attack//_/ }"
	before=$(issued "$state")
	timeout 120 /usr/bin/python3 "$e2e_dir/hostile.py" "$sock" "$volume" "$size" "$attack" \
		2>"$tmp/attack.log" || fail "$(tail -n 3 "$tmp/attack.log")"
	! has_ended "$server_pid" || fail "the server is gone"
	wait_until 60 gets_on "$before" || fail "the good client does not get on"
	! has_ended "$load" || fail "the good client is gone: $(<"$tmp/load")"
	peak=$(peak_mib)
	((peak <= most)) || most=$peak
done

it 'the memory of the server stayed within its budgets'
# 512 MiB for what connections hold, 4 MiB of receive buffers for each of some twenty, 64 MiB for
# data not yet stored, and its own.
say "the most it had: $most MiB"
[[ $most -le 900 ]]

it 'the log tells of it all in few lines and without control characters'
[[ $(wc -l <"$server_log") -lt 1000 ]] || fail "$(wc -l <"$server_log") lines"
! LC_ALL=C grep -q "[$(printf '\001-\010\013-\037')]" "$server_log" || fail "control characters"

it 'the good client saw nothing wrong and all it wrote is there'
kill -s TERM "$load"
wait "$load" || fail "status $?: $(<"$tmp/load")"
writer check "$state" "$uri"
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
start_server
writer check "$state" "$uri"
