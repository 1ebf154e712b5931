#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-base.sh - what a clone began as: shown by inspect and list, by name as long as there is one.
# lsvd-test: labels=quick
. "$(dirname "$0")/functions-admin.sh"
begin
config 'log_size = 16M' 'segment_size = 1M'
uuid_of() { python3 -c 'import json; print(json.load(open("out"))["uuid"])'; }

head -c 1M /dev/urandom >image
expect 0 import -c lsvd.conf -n base image
expect 0 snapshot create -c lsvd.conf base@one
expect 0 clone -c lsvd.conf base@one copy
expect 0 snapshot create -c lsvd.conf copy@two
expect 0 clone -c lsvd.conf copy@two third
expect 0 inspect -c lsvd.conf -n base --json
is 'o["base"] is None'
base=$(uuid_of)
expect 0 inspect -c lsvd.conf -n base
! grep -qF 'CLONE OF' out || fail "the base of a volume that is no clone"

# By name, with what it still needs; --quick looks for no names.
expect 0 inspect -c lsvd.conf -n third
prints_line 'CLONE OF +FLAT'
prints_line 'copy@two +no'
expect 0 inspect -c lsvd.conf -n copy --json
copy=$(uuid_of)
is "(o['base'].pop('snapshot_uuid') and o['base'] == {
	'uuid': '$base', 'volume': 'base', 'snapshot': 'one', 'flat': False})"
expect 0 inspect -c lsvd.conf -n copy --quick --json
is "o['base'] == {'uuid': '$base'}"
expect 0 inspect -c lsvd.conf -n copy --quick
prints_line "$base +-"

for how in '' --quick; do
	expect 0 list -c lsvd.conf $how
	prints 'CLONE OF'
	prints_line "third .* copy +[0-9a-f-]{36}"
	prints_line "base .* - +$base"
	expect 0 list -c lsvd.conf $how --json
	is '({v["name"]: v["base"] and v["base"]["volume"] for v in o["volumes"]} ==
		{"base": None, "copy": "base", "third": "copy"})'
	is "o['volumes'][1]['base']['uuid'] == '$base' and 'clone_of' not in o['volumes'][1]"
done

# A clone of a volume over another has both.
expect 0 init -c lsvd.conf -n over --lower base@one
expect 0 snapshot create -c lsvd.conf over@three
expect 0 clone -c lsvd.conf over@three both
expect 0 inspect -c lsvd.conf -n both
prints_line 'over@three +no'
prints_line 'base +one +1 MiB'

# A flat clone says so; then the snapshot may go, and its volume.
expect 0 flatten -c lsvd.conf -n third
expect 0 inspect -c lsvd.conf -n third
prints_line 'copy@two +yes'
expect 0 snapshot delete -c lsvd.conf copy@two
expect 0 inspect -c lsvd.conf -n third
prints_line 'copy@[0-9a-f-]{36} +yes'
expect 0 delete -c lsvd.conf -n copy --yes
expect 0 inspect -c lsvd.conf -n third
prints_line "$copy +yes"
expect 0 inspect -c lsvd.conf -n third --json
is "(o['base']['volume'], o['base']['snapshot'], o['base']['flat']) == (None, None, True)"
expect 0 list -c lsvd.conf
prints_line "third .* $copy +[0-9a-f-]{36}"
