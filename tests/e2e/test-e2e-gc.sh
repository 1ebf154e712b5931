#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-gc.sh - a volume is written over, again and again, while it collects: what is stored stays
# bounded, and nothing of it is wrong.
#
#   test-e2e-gc.sh [-n OVERWRITES] [-s MIB] [--latency] [--csv FILE]
#
# An overwrite writes every block of 4 KiB once, in an order by chance; the last one is read back and
# verified after a restart. After each the store has to come to rest by itself below the target and 5 % of it;
# also when it is asked to collect.
# Also shown: the most that was ever there, the server's memory, and what was copied. --latency adds two
# overwrites without collection, with the second of which the 99th percentile is compared: for a long run
# on a machine that has nothing else to do. --csv keeps the figures for tests/campaigns/gc_plot.py.
. "$(dirname "$0")/functions.sh"
begin
need fio jq

overwrites=6 mib=256 latency= csv=$tmp/csv
while [[ $# -gt 0 ]]; do
	case $1 in
	-n) overwrites=$2 && shift 2 ;;
	-s) mib=$2 && shift 2 ;;
	--csv) csv=$2 && shift 2 ;;
	--latency) latency=1 && shift ;;
	*) fail "usage: test-e2e-gc.sh [-n OVERWRITES] [-s MIB] [--latency] [--csv FILE]" ;;
	esac
done
target=125
bound=$((mib * 1048576 / 10000 * target * 105))

# In small volumes small objects: so that four of them are little.
segment=$((mib >= 4096 ? 8 : 1))M
options=("segment_size = $segment" 'compression = none' "gc_target = $target")

# What is removed while it is counted need not be counted. Not %d: some awks end at 2^31.
stored() { (objects 2>/dev/null || true) | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }
memory() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$server_pid/status"; }

is_bounded() {
	now=$(stored)
	[[ $now -le $bound ]]
}

# overwrite NUMBER [ARG...]: each block says where it is and which overwrite wrote it, in whatever order.
overwrite() {
	local number=$1
	shift
	fio --name=e2e --ioengine=nbd --uri="$uri" --rw=randwrite --bs=4k --size="${mib}M" --iodepth=32 \
		--randrepeat=0 --randseed="$((seed + number))" --verify=pattern \
		--verify_pattern="$(printf '0x%08x%%o' "$((number + 1))")" --verify_fatal=1 --output-format=json \
		--output="$tmp/fio.json" "$@" 2>"$tmp/fio.err" || fail "$(<"$tmp/fio.err")"
	jq -e '[.jobs[] | .error == 0] | all' "$tmp/fio.json" >"$tmp/out" || fail "$(<"$tmp/fio.json")"
}

p99() { jq '.jobs[0].write.clat_ns.percentile."99.000000" / 1000 | floor' "$tmp/fio.json"; }

copied() {
	ask gc status -n "$volume"
	jq '.copied_bytes' "$tmp/out"
}

# Sees the peak; ended with the script.
watch_store() {
	local most=0 now
	while now=$(stored); do
		[[ $now -le $most ]] || most=$now
		printf '%s\n' "$most" >"$tmp/most"
		sleep 1
	done
}

plain=0
if [[ -n $latency ]]; then
	it 'without collection'
	make_store "${options[@]}" 'gc = off'
	make_volume "${mib}M"
	start_server
	overwrite 0 --do_verify=0
	overwrite 1 --do_verify=0
	plain=$(p99)
	say "99 % of the writes took at most $plain us"
	stop_server
	admin delete -n "$volume" --yes >"$tmp/out"
	rm -rf "$tmp/cache"
fi

it 'what is stored comes to rest below what is allowed after each overwrite'
make_store "${options[@]}"
make_volume "${mib}M"
start_server
watch_store &
defer end_process $! KILL
say 'overwrite  stored/alive  most  copied/written  p99 us  memory KiB'
printf 'overwrite,stored,most,copied,p99_us,memory_kib\n' >"$csv"
worst=0 before=0
for ((i = 0; i <= overwrites; i++)); do
	overwrite "$i" --do_verify=0
	wait_until 120 is_bounded || fail "$now bytes are stored, may be $bound"
	all=$(copied) us=$(p99) kib=$(memory)
	[[ $us -le $worst || $i -eq 0 ]] || worst=$us
	printf '%d,%d,%d,%d,%d,%d\n' "$i" "$now" "$(<"$tmp/most")" "$((all - before))" "$us" "$kib" >>"$csv"
	awk -v i="$i" -v v="$((mib * 1048576))" -v s="$now" -v m="$(<"$tmp/most")" -v c="$((all - before))" \
		-v u="$us" -v k="$kib" \
		'BEGIN { printf "%9d  %12.3f  %.3f  %14.3f  %6d  %d\n", i, s / v, m / v, c / v, u, k }'
	before=$all
done

it 'asked to collect it ends below that, too'
ask gc -n "$volume" --percent "$target"
now=$(stored)
[[ $now -le $bound ]] || fail "$now bytes are stored, may be $bound"

if [[ -n $latency ]]; then
	it 'the server has at most twice the memory that memory_size and map_memory allow'
	[[ $kib -le $((256 * 1024)) ]] || fail "$kib KiB"

	it 'writes wait at most three times as long as without collection'
	[[ $worst -le $((plain * 3)) ]] || fail "99 %: $worst us, without $plain"
fi

it 'a block of an earlier overwrite would be noticed'
! (overwrite "$((overwrites - 1))" --verify_only --size=1M) 2>"$tmp/err" || fail 'it was not'

it 'nothing of it is wrong, also after a restart'
stop_server
[[ $server_status -eq 0 ]]
start_server
overwrite "$overwrites" --verify_only
