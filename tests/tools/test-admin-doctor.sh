#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-doctor.sh - a store is examined, as text and as JSON, and nothing of it stays.
# lsvd-test: labels=quick timeout=120
. "$(dirname "$0")/functions-admin.sh"
begin
config
promises='create refuse read_back ranges length list removed'

# A store that is not there is a failure, and not made.
expect 1 doctor -c lsvd.conf
says store
[[ ! -e store ]] || fail "doctor has made the store"

# The probe alone.
expect 0 init -c lsvd.conf -n test -S 1G
expect 0 doctor -c lsvd.conf --quick
prints_line 'verdict +good'
prints_line 'one of many creators wins +good'
prints_line 'a taken name is refused +good'
! grep -q 'at once\b.*MB/s' out || fail "--quick has measured"
expect 0 doctor -c lsvd.conf -q --json
is 'o["verdict"] == "good" and o["error"] is None and o["promises_create"] is True'
for name in $promises; do
	is "o['$name'] == 'good'"
done
is 'o["latency"] == [] and o["throughput"] == [] and o["advice"] == []'

# All of it.
expect 0 doctor -c lsvd.conf --json
is 'o["verdict"] == "good" and o["remove_many"] == "good"'
is '{(l["operation"], l["bytes"]) for l in o["latency"]} == {("put", 4096), ("get", 4096), ("head", 4096), ("put", 8 << 20), ("get", 8 << 20)}'
is 'all(0 < l["median_ms"] <= l["p99_ms"] for l in o["latency"])'
is '[t["parallel"] for t in o["throughput"]] == [1, 4, 16]'
is 'all(t["up_bytes_per_second"] > 0 and t["down_bytes_per_second"] > 0 for t in o["throughput"])'
is 'o["cache"]["path"] == "./cache" and o["cache"]["samples"] > 0 and o["cache"]["free_bytes"] > 0'
is 'isinstance(o["advice"], list)'
[[ ! -e cache ]] || fail "doctor has made the cache"
[[ -z $(find store/probe -type f 2>/dev/null) ]] || fail "doctor has left objects behind"
expect 0 list -c lsvd.conf
[[ $(cut -d' ' -f1 out | xargs) = 'NAME test all' ]] || fail "the volume is gone, or there are more"

# A store that may not be written: not fit now, and it says why; what it found is printed all the same.
if [[ $(id -u) != 0 ]]; then
	chmod -R a-w store
	status=0
	"$admin" doctor -c lsvd.conf -q --json >out 2>err </dev/null || status=$?
	chmod -R u+w store
	[[ $status = 1 ]] || fail "status $status of a store that cannot be written"
	is 'o["verdict"] == "failed" and o["create"] == "untried" and o["error"]'
fi

# Interrupted it removes what it has put.
"$admin" doctor -c lsvd.conf >out 2>err </dev/null &
pid=$!
for ((i = 0; i < 600; i++)); do
	[[ $(find store/probe -name 'doctor-*' -type f 2>/dev/null | wc -l) -lt 5 ]] || break
	read -rt 0.05 <> <(:) || :
done
kill -INT $pid
status=0
wait $pid || status=$?
[[ $status = 1 ]] || fail "status $status of a doctor that was interrupted"
says interrupted
[[ -z $(find store/probe -type f) ]] || fail "an interrupted doctor has left objects behind"

# A directory's name that is no UTF-8 is told as far as it goes.
odd=$(printf 'cache.\351')
mkdir "$odd"
expect 0 doctor -c lsvd.conf -p "$odd" --quick --json
is "o['cache']['path'] == 'cache.?'"

expect 2 doctor
expect 2 doctor -c lsvd.conf -n test
expect 0 doctor --help
prints '--quick'
prints 'Exit status'
