#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-session.sh - the life of volumes: make, list, show, delete, as text and as JSON.
# lsvd-test: labels=quick
. "$(dirname "$0")/functions-admin.sh"
begin
config
uuid='[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
time='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z'

# A store that is not there yet: only init makes it.
expect 1 list -c lsvd.conf
says store
[[ ! -e store ]] || fail "list has made the store"

# The line of the README of lab47/lsvd.
expect 0 init -c lsvd.conf -n test -S 2T
prints_line "volume test created: 2 TiB \(2199023255552 bytes\), uuid $uuid"
[[ -d store ]] || fail "init has made no store"
[[ ! -e cache ]] || fail "init has made a cache"

# -s, -S and --size are one option; a UUID of one's own.
expect 0 init -c lsvd.conf -n b.small -s 512 -u 0A1B2C3D-0000-4000-8000-00000000000f --json
is 'o["name"] == "b.small" and o["bytes"] == 512'
is 'o["uuid"] == "0a1b2c3d-0000-4000-8000-00000000000f"'
is 'set(o) == {"name", "uuid", "bytes", "created"}'
expect 0 init --config lsvd.conf --name=_A-1 --size=10GB
prints "9.3 GiB (10000000000 bytes)"
longest=$(printf 'x%.0s' {1..64})
expect 0 init -c lsvd.conf -n "$longest" -s 1P
prints "1 PiB"

# In the order of their names, sizes in full beside the readable ones.
expect 0 list -c lsvd.conf --quick
[[ $(sed '1d; s/ .*//' out | tr '\n' ' ') = "_A-1 b.small test $longest " ]] || fail "wrong order"
prints_line "NAME +SIZE +BYTES +CREATED +CLONE OF +UUID"
prints_line "test +2 TiB +2199023255552  $time  - +$uuid"
prints_line "b.small +512 bytes +512  $time  - +0a1b2c3d-0000-4000-8000-00000000000f"
expect 0 list -c lsvd.conf --quick --json
is '[v["name"] for v in o["volumes"]] == ["_A-1", "b.small", "test", "x" * 64]'
is '[v["bytes"] for v in o["volumes"]] == [10**10, 512, 2**41, 2**50]'
is 'all(set(v) == {"name", "uuid", "bytes", "created", "base"} for v in o["volumes"])'
is 'len({v["uuid"] for v in o["volumes"]}) == 4'

# A name that is taken: an error, and not a byte changes.
before=$(fingerprint store)
expect 1 init -c lsvd.conf -n test -S 1T
says test
expect 1 init -c lsvd.conf -n test -S 1T --json
[[ $(fingerprint store) = "$before" ]] || fail "a refused init has changed the store"

# Looking changes nothing either, and needs no right to write.
expect 0 inspect -c lsvd.conf -n test
for label in name uuid size created epoch 'operations stored' objects '  segments' '  other data, pages of the map' '  checkpoints' '  claims' \
	'  record, links of the chain' \
	stored 'closed cleanly'; do
	prints_line "$label +[^ ].*"
done
prints_line 'size +2 TiB \(2199023255552 bytes\)'
prints_line 'epoch +0'
prints_line 'closed cleanly +-'
prints_line '  segments +0'
expect 0 inspect -c lsvd.conf -n test --json
is 'o["name"] == "test" and o["bytes"] == 2**41 and o["epoch"] == 0 and o["operations"] == 0'
is 'o["segments"] == 0 and o["checkpoints"] == 0 and o["closed_cleanly"] is None'
is 'o["objects"] == o["links"] == 1 and o["stored_bytes"] == 256 and len(o) == 19'
expect 1 inspect -c lsvd.conf -n nobody
says nobody
[[ $(fingerprint store) = "$before" ]] || fail "list or inspect has changed the store"

# Deleting: the volume is gone, the others are not, the name is free again.
expect 1 delete -c lsvd.conf -n nobody --yes
says nobody
expect 0 delete -c lsvd.conf -n b.small --yes --json
is 'o["name"] == "b.small" and o["deleted"] is True and o["bytes"] == 512'
expect 1 inspect -c lsvd.conf -n b.small
expect 1 delete -c lsvd.conf -n b.small --yes
expect 0 delete -c lsvd.conf -n _A-1 --yes
prints_line "volume _A-1 deleted, uuid $uuid; [0-9]+ claims .*"
expect 0 list -c lsvd.conf --json
is '[v["name"] for v in o["volumes"]] == ["test", "x" * 64]'
expect 0 init -c lsvd.conf -n b.small -s 1M
expect 0 inspect -c lsvd.conf -n b.small --json
is 'o["bytes"] == 2**20 and o["uuid"] != "0a1b2c3d-0000-4000-8000-00000000000f"'
for name in test b.small "$longest"; do
	expect 0 delete -c lsvd.conf -n "$name" -y
done
expect 0 list -c lsvd.conf --quick --json
is 'o == {"volumes": []}'
expect 0 list -c lsvd.conf --quick
[[ $(wc -l <out) = 1 ]] || fail "an empty store has more than the heading"
