#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=200 s3
#
# test-s3-doctor.sh - a bucket is probed before it is written to, once; what is wrong with one is said;
# and a client without create-if-absent is refused until --unsafe-store is.
set -euo pipefail
. "$(dirname "$0")/../e2e/functions.sh"
begin

config=$tmp/lsvd.conf
cache_dir=$tmp/cache
admin=$bin_dir/lsvd-admin

# examine STATUS [ARGUMENTS]: the doctor's word in $tmp/out, as JSON.
examine() {
	local want=$1 status=0
	shift
	"$admin" doctor -c "$config" --json "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
	[[ $status -eq $want ]] || fail "doctor: status $status, expected $want: $(cat "$tmp/out" "$tmp/err")"
}
is() {
	python3 -c 'import json, sys; o = json.load(open(sys.argv[2])); sys.exit(not eval(sys.argv[1]))' \
		"$1" "$tmp/out" || fail "not true of $(<"$tmp/out"): $1"
}

it 'finds the server good, and leaves nothing behind'
make_s3_store
examine 0
is 'o["verdict"] == "good" and o["create"] == o["refuse"] == o["ranges"] == "good"'
is 'o["remove_many"] == "good" and abs(o["clock_offset_ms"]) < 60000'
is 'len(o["latency"]) == 5 and len(o["throughput"]) == 3 and o["requests"]["puts"] > 600'
[[ -z $(s3 ls "$s3_directory/probe/") ]] || fail "objects are left behind"

it 'probes at creation and at the first opening of a cache directory only'
start_proxy
make_s3_store
"$admin" init -c "$config" -n v -s 64M
rule probing delay '"ms": 0' '"key": "probe/"'
serve_once() { "$bin_dir/lsvd-nbd" -c "$config" -n v --run 'nbdinfo --size "$uri"' >"$tmp/out" 2>"$tmp/err" || fail "$(<"$tmp/err")"; }
serve_once
first=$(proxy get rules.probing.acted)
[[ $first -gt 16 ]] || fail "the first opening made $first requests to probe"
ls "$cache_dir" | grep -q '^probed-' || fail "nothing is remembered"
serve_once
[[ $(proxy get rules.probing.acted) -eq $first ]] || fail "the second opening has probed again"

it 'says what is wrong: keys, bucket, server'
s3_endpoint=$LSVD_TEST_S3_ENDPOINT
make_s3_store
sed -i 's/secret_key = .*/secret_key = "wrong"/' "$config"
examine 1 -q
is 'o["verdict"] == "failed" and "403" in o["error"] and "access is denied" in o["advice"][0]'
make_s3_store
sed -i 's/bucket = .*/bucket = "there-is-none"/' "$config"
examine 1 -q
is '"NoSuchBucket" in o["error"] and "no such bucket" in o["advice"][0]'
make_s3_store
sed -i 's,host = .*,host = "http://127.0.0.1:1",' "$config"
examine 1 -q
is '"no connection" in o["advice"][0]'

it 'refuses to write with a client that has no create-if-absent, unless told to'
s3_client=libs3
make_s3_store
if "$admin" list -c "$config" >"$tmp/out" 2>"$tmp/err"; then
	examine 3 -q
	is 'o["verdict"] == "unsafe" and o["promises_create"] is False'
	! "$admin" init -c "$config" -n w -s 64M 2>"$tmp/err" || fail "made without being told to"
	grep -q -- --unsafe-store "$tmp/err" || fail "$(<"$tmp/err")"
	"$admin" init -c "$config" -n w -s 64M --unsafe-store 2>"$tmp/err"
	grep -q UNSAFE "$tmp/err" || fail "no warning"
	! "$bin_dir/lsvd-nbd" -c "$config" -n w --run true 2>"$tmp/err" || fail "served without being told to"
	"$bin_dir/lsvd-nbd" -c "$config" -n w --unsafe-store --run true 2>"$tmp/err" || fail "$(<"$tmp/err")"
	grep -q UNSAFE "$tmp/err" || fail "no warning"
	"$admin" delete -c "$config" -n w -y --unsafe-store 2>"$tmp/err"
else
	echo "without the client libs3: $(<"$tmp/err")"
fi
