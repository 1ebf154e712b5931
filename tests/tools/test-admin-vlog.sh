#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-vlog.sh - value logs: brought over from fjall-rs/value-log, shown, verified, collected,
# deleted.
# lsvd-test: labels=quick timeout=120
. "$(dirname "$0")/functions-admin.sh"
begin
config
mkdir store

# A folder of format 1: alpha=hello, beta=, gamma="value log", byte by byte.
mkdir -p old/segments
printf 'VLG\x01' >old/.vlog
printf '\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x07' >old/vlog_manifest
{
	printf 'VLGBLOB\x01\x52\xf1\x60\x63\xa5\x5e\x88\x8e\0\x05alpha\0\0\0\x05hello'
	printf 'VLGBLOB\x01\x28\xfa\xff\x7f\x97\xdf\xf6\x41\0\x04beta\0\0\0\0'
	printf 'VLGBLOB\x01\x45\x34\x3f\x91\x41\xf0\xd9\x0d\0\x05gamma\0\0\0\x09value log'
	printf 'VLOGSMD\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x0e\0\0\0\0\0\0\0\x0e\0\x05alpha\0\x05gamma'
	printf '\0\0\0\0\0\0\0\x5e'
	head -c 240 /dev/zero
	printf 'VLOGTRL\x01'
} >old/segments/7

# Brought over; where everything is now is written down.
expect 0 vlog list -c lsvd.conf --json
is 'o["value_logs"] == []'
expect 0 vlog import -c lsvd.conf -n new --handles handles --json old
is 'o["records"] == 3 and o["segments"] == 1 and o["bytes"] == 14 and o["damaged"] == 0'
[[ $(cut -d' ' -f1,2 handles) = $'7 0\n7 32\n7 58' ]] || fail "handles: $(cat handles)"
expect 0 vlog list -c lsvd.conf
prints_line 'new +20.*'
expect 0 vlog inspect -c lsvd.conf -n new --json
is 'o["items"] == 3 and o["stale_items"] == 0'
expect 0 vlog inspect -c lsvd.conf -n new --segments --json
is 'len(o["segments"]) == 1 and o["segments"][0]["records"] == 3'
expect 0 vlog verify -c lsvd.conf -n new --json
is 'o["records"] == 3 and o["damaged"] == 0 and o["faults"] == []'

# A name that is taken, a file that exists, a folder that is none: nothing is changed.
expect 1 vlog import -c lsvd.conf -n new old
says new
expect 1 vlog import -c lsvd.conf -n other --handles handles old
says 'handles is there already'
expect 1 vlog import -c lsvd.conf -n other store
says .vlog
expect 0 vlog list -c lsvd.conf --json
is '[l["name"] for l in o["value_logs"]] == ["new"]'

# A damaged folder is not brought over, unless what is damaged is left out.
cp -r old bad
flip_byte bad/segments/7 30
expect 1 vlog import -c lsvd.conf -n bad --handles of-bad bad
[[ ! -e of-bad ]] || fail "a failed import has left its handles"
says 'segments/7: record at byte 0: checksum 52f16063a55e888e'
expect 0 vlog list -c lsvd.conf --json
is '[l["name"] for l in o["value_logs"]] == ["new"]'
status=0
"$admin" vlog import -c lsvd.conf -n bad --keep-going --json bad >out 2>err </dev/null || status=$?
[[ $status = 5 ]] || fail "status $status of an import that left something out"
is 'o["records"] == 2 and o["damaged"] == 1'
says 'record at byte 0'
rm bad/vlog_manifest
expect 1 vlog import -c lsvd.conf -n all bad
says vlog_manifest
expect 0 vlog delete -c lsvd.conf -n bad --yes
expect 1 vlog delete -c lsvd.conf -n bad --yes

# A collection that has not begun leaves no file in the way of the next one.
: >nothing
expect 1 vlog gc -c lsvd.conf -n nobody --live nothing --moves moves
says nobody
[[ ! -e moves ]] || fail "a failed collection has left its moves, which are none"

# Collected by a list of what lives, which is an empty value: moved, told, dropped.
sed -n '2s/^[0-9]* [0-9]* //p' handles >live
expect 0 vlog gc -c lsvd.conf -n new --live live --moves moves --json
is 'o["moved"] == 1 and o["dropped"] == 0 and o["reclaimable"] > 0'
[[ $(wc -l <moves) = 1 && $(cut -d' ' -f1-3 moves) = "$(cut -d' ' -f1-3 live)" ]] || fail "moves: $(cat moves)"
cut -d' ' -f4- moves >live
expect 0 vlog gc -c lsvd.conf -n new --live live --drop --json
is 'o["dropped"] == 1 and o["freed"] > 0'
expect 0 vlog inspect -c lsvd.conf -n new --json
is 'o["segments"] == 1 and o["items"] == 1 and o["stale_items"] == 0'

# A list that speaks of another log does no harm; nor does one that is no list.
echo '999 0 50 5' >foreign
expect 1 vlog gc -c lsvd.conf -n new --live foreign --drop
says '1 handles lead into segments'
echo 'all of it' >words
expect 1 vlog gc -c lsvd.conf -n new --live words --drop
says 'words: line 1'
expect 2 vlog gc -c lsvd.conf -n new --live live
expect 2 vlog gc -c lsvd.conf -n new --live live --drop --moves more
expect 0 vlog inspect -c lsvd.conf -n new --json
is 'o["items"] == 1'

# Damage is named, and nothing else is.
object=$(ls store/v/*/f/*)
flip_byte "$object" $(($(cut -d' ' -f2 live) + 26))
status=0
"$admin" vlog verify -c lsvd.conf -n new --json >out 2>err </dev/null || status=$?
[[ $status = 5 ]] || fail "status $status of a damaged value log"
is 'o["damaged"] == 1 and o["faults"][0]["error"] == "LSVD_E_CORRUPT"'

expect 2 vlog
expect 2 vlog what -c lsvd.conf
expect 2 vlog delete -c lsvd.conf -n new
expect 0 vlog delete -c lsvd.conf -n new --yes
[[ -z $(find store/v -path '*/f/*' -type f) ]] || fail "objects remain: $(find store/v -type f)"
