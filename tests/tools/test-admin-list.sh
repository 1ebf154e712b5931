#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-list.sh - what list says adds up to what the store holds; what a deletion leaves, also one
# that was interrupted.
# lsvd-test: labels=quick
. "$(dirname "$0")/functions-admin.sh"
begin
config 'log_size = 16M' 'segment_size = 1M'

# held: bytes and objects of the store, as the file system counts them.
held() { find store -type f -printf '%s\n' | awk '{ n++; b += $1 } END { print b + 0, n + 0 }'; }
# adds_up: the rows of the last list are the store.
adds_up() {
	read -r bytes objects < <(held)
	is "o['total'] == {'objects': $objects, 'stored_bytes': $bytes}"
	is "(sum(r['stored_bytes'] for k in ('volumes', 'value_logs', 'deleted') for r in o[k]) +
	    o['probes']['stored_bytes'] + o['unknown']['stored_bytes'] == $bytes)"
	is "(sum(r['objects'] for k in ('volumes', 'value_logs', 'deleted') for r in o[k]) +
	    o['probes']['objects'] + o['unknown']['objects'] == $objects)"
}
uuid_of() { python3 -c 'import json, sys
print(*[v["uuid"] for v in json.load(open("out"))["volumes"] if v["name"] == sys.argv[1]])' "$1"; }

mkdir store
expect 0 list -c lsvd.conf --json
adds_up
is 'o["volumes"] == []'

# Volumes with data and without.
head -c 5M /dev/urandom >image
expect 0 import -c lsvd.conf -n b image
expect 0 import -c lsvd.conf -n c image
expect 0 init -c lsvd.conf -n a -s 1G
expect 0 list -c lsvd.conf --json
adds_up
is '[v["name"] for v in o["volumes"]] == ["a", "b", "c"] and o["deleted"] == []'
is '[v["bytes"] for v in o["volumes"]] == [1 << 30, 5 << 20, 5 << 20]'
is 'o["volumes"][0]["stored_bytes"] == 256 and o["volumes"][1]["stored_bytes"] > 5 << 20'
uuid=$(uuid_of b)
expect 0 list -c lsvd.conf
prints 'STORED'
prints_line 'all +[0-9.]+ MiB +[0-9]+ objects'
expect 0 list -c lsvd.conf --quick
! grep -qF STORED out || fail "--quick counts"
expect 0 inspect -c lsvd.conf -n b --json
stored=$(python3 -c 'import json; print(json.load(open("out"))["stored_bytes"])')
expect 0 list -c lsvd.conf --json
is "[v['stored_bytes'] for v in o['volumes'] if v['name'] == 'b'] == [$stored]"

# What was deleted leaves its claims, and says so.
expect 0 delete -c lsvd.conf -n b --yes --json
is "o['uuid'] == '$uuid' and o['claims_left'] > 0 and o['objects_left'] == 0"
is "o['claim_bytes_left'] == 256 * o['claims_left']"
expect 0 list -c lsvd.conf --json
adds_up
is "[d['uuid'] for d in o['deleted']] == ['$uuid']"
is 'o["deleted"][0]["claims"] == o["deleted"][0]["objects"]'
[[ -z $(find "store/v/$uuid" -type f -not -path '*/e/*') ]] || fail "objects of a deleted volume"

# Interrupted between the name and the objects: they are named, and can be deleted.
expect 0 list -c lsvd.conf --json
uuid=$(uuid_of c)
cp -r "store/v/$uuid" kept
expect 0 delete -c lsvd.conf -n c --yes
cp -r kept/d "store/v/$uuid/"
expect 0 list -c lsvd.conf
prints "of $uuid, whose deletion was not finished"
expect 0 list -c lsvd.conf --json
adds_up
expect 1 delete -c lsvd.conf -n c --yes
expect 0 delete -c lsvd.conf -u "$uuid" --yes --json
is "o['uuid'] == '$uuid' and o['objects_left'] == 0"
expect 0 delete -c lsvd.conf -u "$uuid" --yes
[[ -z $(find "store/v/$uuid" -type f -not -path '*/e/*') ]] || fail "objects of a deleted volume"

# Interrupted before the name was gone: nobody opens it any more, and it is deleted by its name.
expect 0 import -c lsvd.conf -n d image
expect 0 list -c lsvd.conf --json
uuid=$(uuid_of d)
cp -r "store/v/$uuid" kept.d
cp store/volumes/d kept.name
expect 0 delete -c lsvd.conf -n d --yes
cp -rn kept.d/. "store/v/$uuid/"
cp kept.name store/volumes/d
expect 1 delete -c lsvd.conf -u "$uuid" --yes
says 'has a name'
expect 1 sha256 -c lsvd.conf -n d
says 'is being deleted'
expect 0 delete -c lsvd.conf -n d --yes
[[ -z $(find "store/v/$uuid" -type f -not -path '*/e/*') ]] || fail "objects of a deleted volume"

# Nothing else is deleted by a UUID.
expect 0 list -c lsvd.conf --json
expect 1 delete -c lsvd.conf -u "$(uuid_of a)" --yes
says 'has a name'
expect 1 delete -c lsvd.conf -u 00000000-0000-4000-8000-000000000000 --yes
says 'not known'
expect 2 delete -c lsvd.conf -u junk --yes
expect 2 delete -c lsvd.conf --yes
expect 2 delete -c lsvd.conf -n a -u "$uuid" --yes

# What is not ours is counted, not understood.
mkdir -p "store/v/$uuid/e" store/photos
echo holiday >store/photos/1
echo junk >"store/v/$uuid/e/junk"
expect 0 list -c lsvd.conf --json
adds_up
is 'o["unknown"] == {"objects": 2, "stored_bytes": 13}'

# Clones and volumes over others have longer records.
expect 0 import -c lsvd.conf -n e image
expect 0 snapshot create -c lsvd.conf e@one
expect 0 clone -c lsvd.conf e@one clone
expect 0 init -c lsvd.conf -n over --lower e@one
for v in clone over; do
	expect 0 inspect -c lsvd.conf -n $v --json
	stored=$(python3 -c 'import json; print(json.load(open("out"))["stored_bytes"])')
	expect 0 list -c lsvd.conf --json
	adds_up
	is "[v['stored_bytes'] for v in o['volumes'] if v['name'] == '$v'] == [$stored] != [256]"
done
