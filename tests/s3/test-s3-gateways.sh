#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=300 s3
#
# test-s3-gateways.sh - two gateways over one cluster, of which one dies every few seconds.
#
#   test-s3-gateways.sh [-n KILLS] [--json FILE]
#
# The proxy gives each request to the next gateway that takes a connection. fio and the writer load the
# volume meanwhile, and verify; no error may reach them, and nothing may be missing at the end, read
# from the store alone.
LSVD_E2E_LIMIT=${LSVD_E2E_LIMIT:-580}
export LSVD_E2E_LIMIT
. "$(dirname "$0")/../e2e/functions.sh"
begin
need fio jq

kills=4
json=
while [[ $# -gt 0 ]]; do
	case $1 in
	-n) kills=$2 ;;
	--json) json=$2 ;;
	*) fail "usage: $0 [-n KILLS] [--json FILE]" ;;
	esac
	shift 2
done

store_kind=curl
half=$((48 << 20))
gateways() { "$support_dir/radosgw" "$@"; }

# Of its own: the other tests shall not lose theirs.
unset LSVD_TEST_S3_ENDPOINT
need_s3 2
start_proxy "$LSVD_TEST_S3_ENDPOINT" "$LSVD_TEST_S3_ENDPOINT_2"
cluster=$LSVD_TEST_S3_DIR
make_store 'log_size = "32M"' 'segment_size = "512K"' 'rcache_size = "none"' 'memory_size = "8M"' \
	'flush = "remote"'
make_volume $((2 * half))
start_server

run_fio() {
	fio --name=e2e --ioengine=nbd --uri="$uri" --randseed="$seed" --output-format=json \
		--output="$tmp/fio.json" --rw=randwrite --bsrange=4k-64k --blockalign=4k \
		--offset="$half" --size="$half" --iodepth=8 --fsync=64 --verify=crc32c \
		--verify_fatal=1 "$@" 2>"$tmp/fio.err" || fail "fio: $(<"$tmp/fio.err")"
	jq -e '[.jobs[] | .error == 0 and (.read.total_ios + .write.total_ios) > 0] | all' \
		"$tmp/fio.json" >"$tmp/out" || fail "$(<"$tmp/fio.json")"
}

it "no error reaches a client while gateways die $kills times"
writer init "$ram/state" --size "$half" --seed "$seed"
touch "$tmp/on"
{
	for ((turn = 0; ; turn++)); do
		[[ -e $tmp/on ]] || break
		writer load "$ram/state" "$uri" --seed "$((seed + turn))" --depth 16 --acks 2000
		writer check "$ram/state" "$uri"
	done
} >"$tmp/load" 2>&1 &
load=$!
defer end_process "$load" KILL
{
	while [[ -e $tmp/on ]]; do
		run_fio
		echo >>"$tmp/fio-runs"
	done
} &
fio_pid=$!
defer end_process "$fio_pid" KILL
progress() { [[ $(proxy get requests) -ge $1 ]]; }
for ((i = 0; i < kills; i++)); do
	number=$((i % 2 + 1))
	gateways kill "$cluster" "$number"
	# The other one does all the work for a while.
	wait_until 60 progress $(($(proxy get requests) + 40)) || fail "nothing is stored any more"
	gateways up "$cluster" "$number"
	wait_until 60 progress $(($(proxy get requests) + 20)) || fail "nothing is stored any more"
	! has_ended "$load" || fail "$(<"$tmp/load")"
done
rm "$tmp/on"
wait "$fio_pid" || fail "fio: $(<"$tmp/fio.err")"
wait "$load" || fail "$(<"$tmp/load")"
failovers=$(proxy get failovers)
[[ $failovers -gt 0 ]] || fail "the proxy never met a dead gateway"

it 'both gone: writes wait, and go on when they are back'
gateways kill "$cluster" 1
gateways kill "$cluster" 2
start_writer load "$ram/state" "$uri" --seed "$((seed + 1))" --acks 400 --flush
noticed() { grep -q 'away\|the store' "$server_log"; }
wait_until 30 noticed || fail "it says nothing"
gateways up "$cluster" 2
wait "$load" || fail "$(<"$tmp/load")"
gateways up "$cluster" 1

it 'nothing is missing, read from the store alone'
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"
rm -rf "$tmp/cache"
start_server
writer check "$ram/state" "$uri"
run_fio --verify_only
stop_server

it 'the account'
runs=$(wc -l <"$tmp/fio-runs")
say "$kills gateways killed, $failovers requests met one that was dead; fio went round $runs times," \
	"$(proxy get requests) requests; 0 errors, nothing missing"
[[ -z $json ]] || printf '{"kills": %d, "failovers": %d, "requests": %d, "errors": 0, "missing": 0, "seed": %d}\n' \
	"$kills" "$failovers" "$(proxy get requests)" "$seed" >"$json"
