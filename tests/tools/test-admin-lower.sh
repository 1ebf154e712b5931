#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-lower.sh - volumes over lower volumes: made, shown, and what is refused.
# lsvd-test: labels=quick
. "$(dirname "$0")/functions-admin.sh"
begin
config
expect 0 init -c lsvd.conf -n small -s 1M
expect 0 init -c lsvd.conf -n large -s 3M
for volume in small large; do
	expect 0 snapshot create -c lsvd.conf $volume@one
done

# Its size is that of the largest, unless one is asked for, and its lowers are as they were named.
expect 0 init -c lsvd.conf -n upper --lower large@one --lower=small@one --json
is 'o["name"] == "upper" and o["bytes"] == 3 << 20'
is '[(l["volume"], l["bytes"] >> 20) for l in o["lowers"]] == [("large", 3), ("small", 1)]'
is 'all(l["snapshot"] == "one" for l in o["lowers"])'
expect 0 init -c lsvd.conf -n cut -S 2M --lower large@one
prints 'volume cut created over 1 lower: 2 MiB, uuid '
expect 0 inspect -c lsvd.conf -n cut --json
is 'o["bytes"] == 2 << 20 and o["lowers"] == [{"volume": "large", "snapshot": "one", "bytes": 2 << 20}]'

# inspect shows them, before there is a writer and afterwards.
for opened in no yes; do
	for how in '' --quick; do
		expect 0 inspect -c lsvd.conf -n upper $how
		prints_line 'LOWER +SNAPSHOT +SHOWS'
		[[ $(grep -nE '^(large|small) +one +[13] MiB$' out | sed 's/.*:\([a-z]*\).*/\1/' | xargs) = 'large small' ]] ||
			fail "not the lowers in their order"
		expect 0 inspect -c lsvd.conf -n upper $how --json
		is '[l["volume"] for l in o["lowers"]] == ["large", "small"]'
	done
	[[ $opened = yes ]] || expect 0 seal -c lsvd.conf -n upper
done
# What is no clone has no base to be rid of; what it lies over it keeps.
expect 0 flatten -c lsvd.conf -n upper
prints 'volume upper needs no base: 0 bytes copied'
expect 0 inspect -c lsvd.conf -n upper --quick --json
is 'len(o["lowers"]) > 0'
expect 0 inspect -c lsvd.conf -n small --json
is 'o["lowers"] == []'
expect 0 inspect -c lsvd.conf -n small
! grep -qF LOWER out || fail "lowers of a volume that has none"

# What it lies over stays as long as it does.
expect 1 snapshot delete -c lsvd.conf small@one
says upper
expect 1 delete -c lsvd.conf -n large --yes
expect 0 check -c lsvd.conf -n upper --deep

# What is refused changes nothing.
before=$(fingerprint store)
usage() {
	local text=$1
	shift
	expect 2 init -c lsvd.conf -n other "$@"
	says "$text"
}
usage "option --lower: 'small' is no NAME@SNAPSHOT" --lower small
usage "'small@' is no volume or VOLUME@SNAPSHOT" --lower small@
usage "'@one' is no volume or VOLUME@SNAPSHOT" --lower large@one --lower @one
usage '--lower needs a value' --lower
usage 'options --parent and --lower do not go together' --lower small@one --parent large@one
usage 'options --uuid and --lower do not go together' --lower small@one \
	-u 0a1b2c3d-0000-4000-8000-00000000000f
usage '513 is not a multiple of 512' --lower small@one -s 513
mapfile -t many < <(yes -- '--lower=small@one' | head -33)
usage 'option --lower: given more than 32 times' "${many[@]}"
expect 1 init -c lsvd.conf -n other --lower small@one --lower large@none
says large
says none
expect 1 init -c lsvd.conf -n other --lower nobody@one
says nobody
expect 1 init -c lsvd.conf -n cut --lower small@one
says 'volume cut exists'
[[ $(fingerprint store) = "$before" ]] || fail "what was refused has changed the store"

# With it goes what kept them.
for volume in upper cut large small; do
	expect 0 delete -c lsvd.conf -n $volume --yes
done
