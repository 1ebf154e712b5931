#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=300 s3
#
# test-s3-proxy.sh - the proxy does what it is told, and nothing else: a fault test that is blind
# would find nothing.
. "$(dirname "$0")/../e2e/functions.sh"
begin
need curl
need_s3
direct=$s3_endpoint
start_proxy "$LSVD_TEST_S3_ENDPOINT"
export LSVD_TEST_S3_ENDPOINT=$s3_endpoint
d=$s3_directory

random_file "$tmp/a" 200000
tail -c 1000 "$tmp/a" >"$tmp/b"

# answer COMMAND...: what it comes to: ok, or why not.
answer() {
	if s3 "$@" >"$tmp/out" 2>"$tmp/err"; then
		echo ok
	else
		sed 's/.*: //' "$tmp/err"
	fi
}
is() { [[ "$1" == $2 ]] || fail "it is \"$1\", not \"$2\""; }
there() { s3 --endpoint "$direct" get "$1" | cmp - "$2"; }
absent() { is "$(s3 --endpoint "$direct" get "$1" 2>&1 | sed 's/.*: //')" '404 NoSuchKey'; }

it 'passes on what it gets, signatures and all'
s3 put "$d/a" "$tmp/a" --if-none-match
s3 get "$d/a" | cmp - "$tmp/a"
s3 get "$d/a" --range 5-14 | cmp - <(tail -c +6 "$tmp/a" | head -c 10)
is "$(s3 head "$d/a")" 200000
is "$(s3 ls "$d/")" "200000 $d/a"
is "$(answer put "$d/a" "$tmp/b" --if-none-match)" '412 *'
is "$(proxy get verbs.PUT)" 2
is "$(proxy get verbs.LIST)" 1

it 'passes on an answer that comes before the request is there'
head -c 8M /dev/zero >"$tmp/large"
is "$(LSVD_TEST_S3_SECRET_KEY=wrong answer put "$d/early" "$tmp/large")" '403 *'

it 'answers an error by verb, key and count, and forwards nothing'
rule row answer '"status": 503' '"code": "SlowDown"' '"verb": "PUT"' '"key": "/x$"' \
	'"skip": 1' '"first": 2'
is "$(answer put "$d/x" "$tmp/b")" ok
is "$(answer put "$d/x" "$tmp/a")" '503 SlowDown'
is "$(answer put "$d/y" "$tmp/b")" ok
is "$(answer get "$d/x")" ok
is "$(answer put "$d/x" "$tmp/a")" '503 SlowDown'
there "$d/x" "$tmp/b"
is "$(answer put "$d/x" "$tmp/b")" ok
is "$(acted row)" 2
proxy clear

it 'breaks a connection before, within the request, and within the answer'
rule row close '"verb": "PUT"'
is "$(answer put "$d/close" "$tmp/b")" '*onnection*'
rule row close_in_request '"verb": "PUT"'
is "$(answer put "$d/close" "$tmp/a")" '*'
proxy clear
absent "$d/close"
rule row close_in_reply '"verb": "GET"'
is "$(answer get "$d/a")" '*IncompleteRead*'
proxy clear

it 'forwards and then loses the answer; forwards twice'
rule row drop_reply
is "$(answer put "$d/drop" "$tmp/b" --if-none-match)" '*onnection*'
proxy clear
there "$d/drop" "$tmp/b"
rule row twice '"second": true'
is "$(answer put "$d/twice" "$tmp/b" --if-none-match)" '412 *'
rule row twice
is "$(answer put "$d/twice2" "$tmp/b" --if-none-match)" ok
proxy clear
there "$d/twice" "$tmp/b"

it 'flips one bit of an answer, or of a body, which the server then refuses'
rule row flip_reply '"verb": "GET"'
s3 get "$d/a" >"$tmp/out"
is "$({ cmp -l "$tmp/out" "$tmp/a" || true; } | wc -l)" 1
rule row flip_request '"verb": "PUT"'
is "$(answer put "$d/flip" "$tmp/a")" '400 *'
proxy clear
absent "$d/flip"

it 'gives too little, too much, and another place than asked for'
rule row short
is "$(s3 get "$d/a" | wc -c)" 100000
rule row overlong
is "$(s3 get "$d/a" | wc -c)" 201000
rule row old '"verb": "GET"'
is "$(s3 get "$d/a" --range 0-9 | wc -c)" 10
is "$(s3 get "$d/a" --range 0-99 | cmp -s - <(head -c 100 "$tmp/a") && echo same || echo other)" other
# Quotes would not survive a shell function with pipes; this one is by hand.
rule row wrong_range
/usr/bin/python3 - "$support_dir/s3" "$d/a" <<'PY'
import importlib.machinery, importlib.util, sys
loader = importlib.machinery.SourceFileLoader("s3", sys.argv[1])
s3 = importlib.util.module_from_spec(importlib.util.spec_from_loader("s3", loader))
loader.exec_module(s3)
headers, body = s3.S3().request("GET", sys.argv[2], extra={"range": "bytes=0-9"})
assert headers["content-range"] == "bytes 512-521/200512", headers["content-range"]
PY
proxy clear

it 'knows nothing of what is new, and something of what is gone'
s3 put "$d/gone" "$tmp/b"
rule row stale
s3 put "$d/new" "$tmp/b"
s3 rm "$d/gone"
is "$(answer get "$d/new")" '404 NoSuchKey'
! s3 ls "$d/" | grep -q new || fail "it is listed"
s3 ls "$d/" | grep -q "100 $d/gone" || fail "it is not listed"
proxy clear
s3 ls "$d/" | grep -q new

it 'shows half of an object that was never whole'
rule row partial '"verb": "PUT"'
is "$(answer put "$d/half" "$tmp/a")" '*onnection*'
proxy clear
is "$(s3 head "$d/half")" 100000
s3 get "$d/half" | cmp - <(head -c 100000 "$tmp/a")
is "$(answer put "$d/half" "$tmp/a" --if-none-match)" '412 *'
s3 rm "$d/half"
is "$(answer get "$d/half")" '404 NoSuchKey'

it 'holds a request until it is released, also when its client has gone'
rule row hold '"verb": "PUT"'
s3 put "$d/held" "$tmp/b" &
child=$!
wait_acted row
absent "$d/held"
kill -s KILL "$child"
{ wait "$child" || true; } 2>/dev/null
proxy clear
arrived() { s3 --endpoint "$direct" head "$d/held"; }
wait_until 20 arrived >"$tmp/out" 2>&1 || fail "it never arrives"

it 'lets a request wait for others, and answers slowly'
rule row behind '"n": 1' '"key": "slow$"' '"ms": 20000'
s3 put "$d/slow" "$tmp/b" &
child=$!
wait_acted row
s3 put "$d/fast" "$tmp/b"
wait "$child"
rule row trickle '"bytes_s": 2000' '"key": "slow$"'
begun=${EPOCHREALTIME/./}
s3 get "$d/slow" | cmp - "$tmp/b"
[[ $((${EPOCHREALTIME/./} - begun)) -gt 400000 ]] || fail "1000 bytes at 2000 a second"
rule row delay '"ms": 300'
begun=${EPOCHREALTIME/./}
s3 head "$d/slow" >"$tmp/out"
[[ $((${EPOCHREALTIME/./} - begun)) -gt 300000 ]] || fail "no delay"
proxy clear

it 'refuses connections and takes them again at the same place'
proxy down
is "$(answer head "$d/a")" '*Connection refused*'
proxy up
is "$(answer head "$d/a")" ok

it 'draws the same lot from the same seed'
lots() {
	local i
	rule row answer '"status": 500' '"p": 0.5'
	for ((i = 0; i < 12; i++)); do
		answer head "$d/a"
	done | sort | uniq -c
	proxy clear
}
first=$(lots)
is "$(lots)" "$first"

it 'counts what depends on what'
proxy reset
s3 head "$d/a" >"$tmp/out"
s3 head "$d/a" >"$tmp/out"
is "$(proxy get round_trips)" 2
is "$(proxy get requests)" 2

it 'goes to the server that is there'
start_proxy "http://127.0.0.1:1" "$direct"
LSVD_TEST_S3_ENDPOINT=$s3_endpoint
s3 head "$d/a" >"$tmp/out"
s3 head "$d/a" >"$tmp/out"
[[ $(proxy get failovers) -ge 1 ]]
