#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=300 s3
#
# test-s3-idle.sh - what a volume in a bucket costs in requests: nothing while nobody writes, nothing for
# a local flush, one object and one look for a remote one.
#
# The proxy counts. LSVD_S3_IDLE_S: how long it is left alone (15).
. "$(dirname "$0")/../e2e/functions.sh"
begin
need nbdsh jq
store_kind=curl
idle_s=${LSVD_S3_IDLE_S:-15}
start_proxy
python() { nbdsh -u "$uri" -c -; }
verbs() { proxy counts | jq -c .verbs; }

# quiet: everything is stored and nothing is on its way.
quiet() {
	local last=-1 now
	no_more() {
		now=$(proxy get requests)
		[[ $now -eq $last ]] && return 0
		last=$now
		sleep 1
		return 1
	}
	wait_until 60 no_more || fail "requests go on and on: $(proxy counts)"
}

# alone SECONDS: nobody writes for so long; how many requests are made.
alone() {
	proxy reset
	# Not a wait for something: that nothing happens is what is looked at.
	sleep "$1"
	proxy get requests
}

it 'a volume that was never written makes no request'
make_store 'lease_check = "1s"' 'seal_after = "1s"'
make_volume 1G
start_server
quiet
requests=$(alone 3)
[[ $requests -eq 0 ]] || fail "$requests requests: $(verbs) $(proxy keys GET) $(proxy keys HEAD)"

it 'a hundred local flushes make no request, and what was written costs one object'
stop_server
# A look for a newer claim that has come due belongs to the next flush, and is not what is counted here.
sed -i 's/lease_check = "1s"/lease_check = "1h"/; s/seal_after = "1s"/seal_after = "never"/' "$config"
start_server
quiet
python <<<'h.pwrite(b"a" * 4096, 0)'
quiet
proxy reset
python <<'PY'
for i in range(100):
    h.flush()
PY
[[ $(proxy get requests) -eq 0 ]] || fail "$(verbs)"
kill -s HUP "$server_pid"
stored() { [[ $(proxy get verbs.PUT) -ge 1 ]]; }
wait_until 30 stored
quiet
[[ $(proxy get verbs.PUT) -eq 1 ]] || fail "$(verbs)"

it "after writes it is as idle as before, for $idle_s s"
stop_server
sed -i 's/lease_check = "1h"/lease_check = "1s"/' "$config"
start_server
quiet
proxy reset
python <<<'h.pwrite(b"b" * 4096, 0)'
kill -s HUP "$server_pid"
wait_until 30 stored
quiet
requests=$(alone "$idle_s")
[[ $requests -eq 0 ]] || fail "$requests requests: $(verbs) $(proxy keys HEAD)"
stop_server
sed -i 's/lease_check = "1s"/lease_check = "1h"/' "$config"

it 'a remote flush makes one object and one look'
# Fifty objects with a block each are worth putting together, once it has been quiet for a while.
printf 'flush = "remote"\ngc = "off"\n' >>"$config"
start_server
quiet
proxy reset
python <<'PY'
for i in range(50):
    h.pwrite(b"%c" % (i + 1) * 4096, i * 8192)
    h.flush()
PY
puts=$(proxy get verbs.PUT) looks=$(($(proxy get verbs.HEAD) + $(proxy get verbs.GET)))
say "50 writes and flushes: $puts objects, $looks looks"
# A checkpoint may fall in between.
[[ $puts -ge 50 && $puts -le 56 && $looks -le 52 ]] || fail "$(verbs)"

it 'a remote flush with nothing before it makes none'
quiet
proxy reset
python <<'PY'
for i in range(50):
    h.flush()
PY
[[ $(proxy get verbs.PUT) -eq 0 ]] || fail "$(verbs)"
say "50 flushes of nothing: $(proxy get requests) requests"
stop_server

it 'a reader makes no PUT and no DELETE'
proxy reset
start_server --read-only
nbdsh -u "$uri" -c 'for at in range(0, 1 << 20, 4096): h.pread(4096, at)'
stop_server
[[ $(proxy get verbs.PUT) -eq 0 && $(proxy get verbs.DELETE) -eq 0 &&
	$(proxy get verbs.POST) -eq 0 ]] || fail "$(verbs)"
