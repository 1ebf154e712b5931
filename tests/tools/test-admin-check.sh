#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-check.sh - lsvd-admin check: what it says, with which status, and that it only reads.
# lsvd-test: timeout=120 labels=quick
. "$(dirname "$0")/functions-image.sh"
begin
config
head -c 20M /dev/urandom >image.raw
truncate -s 64M image.raw
expect 0 import -c lsvd.conf -n disk image.raw

# checked STATUS ARGUMENTS...: the command may fail and still has facts to print.
checked() {
	local want=$1 status=0
	shift
	"$admin" check -c lsvd.conf "$@" >out 2>err </dev/null || status=$?
	[[ $status = "$want" ]] || fail "lsvd-admin check $*: status $status, expected $want"
}

# A sound volume, whole, and nothing in store or cache has changed.
mkdir -p cache
before=$(fingerprint store)$(fingerprint cache)
checked 0 -n disk
prints 'volume disk: sound: 0 errors, 0 warnings'
checked 0 -n disk --deep
prints 'every byte of'
checked 0 -n disk --deep --json
is "o['sound'] and o['complete'] and o['deep'] and o['errors'] == 0"
is "o['verified_objects'] == o['data_objects'] > 0 and o['live_bytes'] >= 20 << 20"
[[ $(fingerprint store)$(fingerprint cache) = "$before" ]] || fail "a check has changed something"

# A flipped bit: the fast check does not read data, the deep one names object, bytes and address.
# The largest object is a whole segment.
victim=$(find store/v -path '*/d/*' -type f -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2)
chmod u+w "$victim"
size=$(stat -c %s "$victim")
python3 - "$victim" "$((size - 5000))" <<'PY'
import sys
with open(sys.argv[1], 'r+b') as f:
    f.seek(int(sys.argv[2]))
    byte = f.read(1)[0] ^ 4
    f.seek(int(sys.argv[2]))
    f.write(bytes([byte]))
PY
checked 0 -n disk
checked 5 -n disk --deep
prints 'error: damaged'
prints 'cannot be read: 4 KiB of the volume, at'
prints 'what to do: restore the object'
prints 'volume disk: damaged: 1 errors'
checked 5 -n disk --deep --json
is "not o['sound'] and o['errors'] == 1 and o['affected_bytes'] == 4096"
is "[f['kind'] for f in o['findings'] if f['severity'] == 'error'] == ['damaged']"
is "'store/' + [f['object'] for f in o['findings'] if f['severity'] == 'error'][0] == '$victim'"

# Cut short, and gone: the fast check sees both.
truncate -s 100000 "$victim"
checked 5 -n disk
prints 'error: length'
rm -f "$victim"
checked 5 -n disk
prints 'error: missing'

# A lost checkpoint is made anew; other damage is not touched.
checked 5 -n disk --repair
says 'nothing that a new checkpoint would mend'
expect 0 import -c lsvd.conf -n whole image.raw
sum=$(sum_of image.raw)
uuid=$("$admin" inspect -c lsvd.conf -n whole --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["uuid"])')
rm -f "store/v/$uuid"/k/*
checked 5 -n whole
prints "'lsvd-admin check --repair' makes a new checkpoint"
checked 0 -n whole --repair
prints 'repaired: a new checkpoint'
prints 'volume whole: sound'
expect 0 sha256 -c lsvd.conf -n whole --json
is "o['sha256'] == '$sum'"
rm -f "store/v/$uuid"/k/*
checked 0 -n whole --repair --json
is "o['repaired'] and o['sound'] and o['errors'] == 0"
is "not [f for f in o['findings'] if f['severity'] == 'error']"
is "[f for f in o['repaired_findings'] if f['severity'] == 'error']"
checked 0 -n whole --repair --json
is "not o['repaired'] and 'repaired_findings' not in o"

# While it is served here it is not looked at.
expect 0 init -c lsvd.conf -n other -s 64M
"$bin_dir/lsvd-nbd" -c lsvd.conf -n other -U "$tmp/sock" >served 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait; rm -rf "$tmp"' EXIT
until grep -q '^lsvd-nbd: serving' served; do kill -0 $server || { cat served; exit 1; }; done
checked 1 -n other
says 'volume other is served here'
says 'other.log'
checked 0 -n other --store-only
kill $server
wait $server || true
trap 'rm -rf "$tmp"' EXIT
checked 0 -n other

# A signal ends it, which is told from a fault. The signal is there before the program is; whether a
# small check ends before the thread that hears it has run is chance, so there are several tries.
python3 - "$admin" <<'PY' || fail "a check is not ended by a signal"
import os, signal, subprocess, sys
def be_signalled():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    os.kill(os.getpid(), signal.SIGTERM)
for _ in range(100):
    r = subprocess.run([sys.argv[1], "check", "-c", "lsvd.conf", "-n", "whole", "--deep"],
                       preexec_fn=be_signalled, capture_output=True)
    if r.returncode != 0:
        break
print(r)
sys.exit(not (r.returncode == 6 and b"the check was ended while it was at the " in r.stderr))
PY

# A cache directory that was named is looked at, or it is said why not.
checked 1 -n other -p nowhere
says nowhere
checked 1 -n other -p lsvd.conf
says 'lsvd.conf: Not a directory'
checked 0 -n other -p nowhere --store-only

expect 1 check -c lsvd.conf -n nobody
expect 2 check -c lsvd.conf
expect 2 check -c lsvd.conf -n disk --shallow

