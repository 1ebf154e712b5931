#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-warm.sh - the read cache filled from a range or a profile, and a profile made of it.
# lsvd-test: timeout=120 labels=quick
. "$(dirname "$0")/functions-image.sh"
begin
config
head -c 20M /dev/urandom >image.raw
truncate -s 100M image.raw
expect 0 import -c lsvd.conf -n disk image.raw
before=$(fingerprint store)

# A range is fetched once, with little more than it has.
expect 0 warm -c lsvd.conf -n disk --range 1M:2M --json
is "o['bytes'] == 2 << 20 and 2 << 20 <= o['fetched_bytes'] < 2300000"
expect 0 warm -c lsvd.conf -n disk --range 1M:2M --json
is "o['fetched_bytes'] == 0"

# What the cache holds is written down, and fetched into another cache.
expect 0 warm -c lsvd.conf -n disk --record profile --json
is "o['ranges'] >= 1 and 2 << 20 <= o['bytes'] < 2500000 and o['fetched_bytes'] == 0"
head -1 profile | grep -qx 'lsvd-profile 1' || fail "a profile without its first line"
rm -r cache
expect 0 warm -c lsvd.conf -n disk --profile profile --json
is "2 << 20 <= o['fetched_bytes'] < 2700000"
expect 0 warm -c lsvd.conf -n disk --range 1M:2M --json
is "o['fetched_bytes'] == 0"

# All of it; nothing of the volume has changed.
expect 0 warm -c lsvd.conf -n disk
prints 'volume disk: 1 ranges, 100 MiB'
expect 0 warm -c lsvd.conf -n disk --json
is "o['fetched_bytes'] == 0"
[[ $(fingerprint store) = "$before" ]] || fail "warming has changed the store"

# A profile of one's own; what lies beyond the end is left out.
printf 'lsvd-profile 1\n# mine\n\n0 4096\n104853504 8192\n1048576000 4096\n' >mine
expect 0 warm -c lsvd.conf -n disk --profile mine --json
is "o['ranges'] == 2 and o['bytes'] == 4096 + 4096"

# What is no profile.
for bad in '' 'lsvd-profile 2' 'nonsense'; do
	printf '%s\n' "$bad" >bad
	expect 1 warm -c lsvd.conf -n disk --profile bad
	says 'bad is no profile'
done
for bad in '0' '0 x' '1 512' '0 100' '-512 512' '0 512 512' '99999999999999999999999 512'; do
	printf 'lsvd-profile 1\n%s\n' "$bad" >bad
	expect 1 warm -c lsvd.conf -n disk --profile bad
	says 'bad:2: not OFFSET LENGTH'
done
expect 1 warm -c lsvd.conf -n disk --profile nowhere
expect 1 warm -c lsvd.conf -n disk --record nowhere/profile
mkfifo idle # nobody is at its other end, and nobody is waited for
expect 1 warm -c lsvd.conf -n disk --profile idle
says 'idle is no profile'
expect 1 warm -c lsvd.conf -n disk --record idle
says 'idle: '
expect 1 warm -c lsvd.conf -n disk --range 99M:2M
expect 2 warm -c lsvd.conf -n disk --range 1M:1M --profile mine
expect 1 warm -c lsvd.conf -n nobody

# While the volume is served, the cache is the server's.
"$bin_dir/lsvd-nbd" -c lsvd.conf -n disk -U "$tmp/sock" >served 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait; rm -rf "$tmp"' EXIT
until grep -q '^lsvd-nbd: serving' served; do kill -0 $server || { cat served; exit 1; }; done
expect 1 warm -c lsvd.conf -n disk
says 'rcache.0 is in use: while a volume is served'
