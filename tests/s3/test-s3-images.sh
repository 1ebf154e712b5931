#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=300 s3
#
# test-s3-images.sh - import, export, sums, warming and sequential reads of a volume in a bucket that is
# far away (20 ms) and sometimes answers with errors.
. "$(dirname "$0")/../e2e/functions.sh"
begin
need nbdsh jq
store_kind=curl
start_proxy
make_store
rule far delay '"ms": 20'
admin() { "$bin_dir/lsvd-admin" "$1" -c "$config" "${@:2}"; }
head -c 48M /dev/urandom >"$tmp/image"
truncate -s 96M "$tmp/image"
head -c 16M /dev/urandom >>"$tmp/image"
sum=$(sha256sum <"$tmp/image" | cut -d' ' -f1)

it 'an image is imported into a bucket and read back from it'
rule errors answer '"verb": "PUT"' '"status": 503' '"code": "SlowDown"' '"key": "/d/"' '"p": 0.1'
admin import -n disk --verify "$sum" --read-back "$tmp/image" --json >"$tmp/facts"
[[ $(jq -r .sha256 "$tmp/facts") == "$sum" ]]

it 'its sum, and an export of it, are those of the image, though GETs fail now and then'
rule lost answer '"verb": "GET"' '"status": 500' '"code": "InternalError"' '"key": "/d/"' '"p": 0.05'
[[ $(admin sha256 -n disk) == "$sum  disk" ]]
admin export -n disk "$tmp/out"
cmp "$tmp/image" "$tmp/out"
proxy clear errors
proxy clear lost

it 'an import that fails leaves nothing in the bucket but claims'
! admin import -n wrong --verify "$(printf 0%.0s {1..64})" "$tmp/image" 2>"$tmp/err"
grep -q 'nothing is left of it' "$tmp/err"
[[ $(admin list --json | jq '[.volumes[] | select(.name == "wrong")] | length') -eq 0 ]]

it 'a profile fills the cache of another host'
admin warm -n disk --range 10M:8M --json | jq -e '.fetched_bytes >= 8388608' >/dev/null
admin warm -n disk --record "$tmp/profile"
rm -r "$tmp/cache"
admin warm -n disk --profile "$tmp/profile" --json | jq -e '.fetched_bytes >= 8388608' >/dev/null
admin warm -n disk --range 10M:8M --json | jq -e '.fetched_bytes == 0' >/dev/null

it 'a client that reads one block after the other does not wait for each'
rm -r "$tmp/cache"
volume=disk
start_server
proxy reset
image=$tmp/image nbdsh -u "$uri" -c - <<'PY'
import os
data = open(os.environ["image"], "rb")
for off in range(0, 32 << 20, 65536):
    assert h.pread(65536, off) == data.read(65536), off
PY
# 512 reads of 64 KiB; read ahead in pieces of up to 1 MiB, that is a tenth of as many GETs.
gets=$(proxy counts | jq '.verbs.GET')
[[ $gets -lt 130 ]] || fail "$gets GETs for 512 reads of 64 KiB"
stop_server
