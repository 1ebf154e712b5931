#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lsvd-test: timeout=200 s3
#
# test-s3-unsafe.sh - a client without create-if-absent: everything that writes is refused and has put
# and deleted nothing, until --unsafe-store is said; everything that reads needs no leave.
. "$(dirname "$0")/../e2e/functions.sh"
begin
need nbdsh jq

store_kind=libs3
unsafe_store=()
s3_lines=('stall_timeout = 5s')
start_proxy
make_store 'segment_size = 256K' 'log_size = 16M'
admin list >"$tmp/out" 2>"$tmp/err" || skip "client libs3: $(<"$tmp/err")"

changes() { proxy counts | jq '[.verbs | .PUT, .POST, .DELETE | numbers] | add // 0'; }

# writes COMMAND...: refused, with the advice and nothing done; then with leave, which is remarked.
writes() {
	local before
	before=$(changes)
	it "lsvd-admin $1 $2 is refused"
	! admin "$@" >"$tmp/out" 2>"$tmp/err" || fail "without being told to"
	grep -q -- '--unsafe-store' "$tmp/err" || fail "$(<"$tmp/err")"
	[[ $(changes) -eq $before ]] || fail "something was put or deleted"
	it "lsvd-admin $1 $2 --unsafe-store is not"
	admin "$@" --unsafe-store >"$tmp/out" 2>"$tmp/err" || fail "$(<"$tmp/err")"
	grep -q UNSAFE "$tmp/err" || fail "no warning"
}
# reads COMMAND...
reads() {
	local before
	before=$(changes)
	it "lsvd-admin $1 needs no leave"
	admin "$@" >"$tmp/out" 2>"$tmp/err" || fail "$(<"$tmp/err")"
	[[ $(changes) -eq $before ]] || fail "something was put or deleted"
}

writes init -n "$volume" -s 16M
it 'lsvd-nbd is refused, and is not with --unsafe-store'
before=$(changes)
! "$bin_dir/lsvd-nbd" -c "$config" -n "$volume" --run true >"$tmp/out" 2>"$tmp/err" || fail "served"
grep -q -- '--unsafe-store' "$tmp/err" || fail "$(<"$tmp/err")"
[[ $(changes) -eq $before ]] || fail "something was put or deleted"
start_server --unsafe-store
grep -q UNSAFE "$server_log" || fail "no warning"
for turn in 1 2; do
	nbdsh -u "$uri" -c 'import os' -c 'h.pwrite(os.urandom(1 << 20), 0)' -c 'h.flush()'
done
stop_server
[[ $server_status -eq 0 ]] || fail "exit code $server_status"

writes snapshot create "$volume@one"
writes clone "$volume@one" child
writes clone "$volume" second
writes gc -n "$volume"
writes resize -n "$volume" -s 32M
writes seal -n "$volume"
writes snapshot create "$volume@two"
writes snapshot rollback "$volume@two"
writes snapshot delete "$volume@two"
writes pack -n "$volume"
writes flatten -n second
writes init -n third --parent "$volume@one"
writes init -n over --lower "$volume@one"
truncate -s 1M "$tmp/image"
printf 'image' | dd of="$tmp/image" conv=notrunc status=none
writes import -n imported "$tmp/image"

reads list
reads inspect -n "$volume"
reads snapshot list "$volume"
reads check -n imported --store-only
reads sha256 -n imported
reads export -n imported "$tmp/exported"
cmp "$tmp/image" "$tmp/exported"

# A checkpoint is lost, the rest is there.
uuid=$(admin inspect -n imported --json 2>"$tmp/err" | jq -r .uuid)
s3 ls "$s3_directory/v/$uuid/k/" | while read -r _ root; do s3 rm "$root"; done
writes check -n imported --store-only --repair
grep -q '^repaired: ' "$tmp/out" || fail "$(<"$tmp/out")"

# A folder of value-log's with nothing in it.
mkdir -p "$tmp/folder/segments"
printf 'VLG\x01' >"$tmp/folder/.vlog"
printf '\0\0\0\0\0\0\0\0' >"$tmp/folder/vlog_manifest"
: >"$tmp/live"
writes vlog import -n values "$tmp/folder"
writes vlog gc -n values --live "$tmp/live" --drop
reads vlog inspect -n values
writes vlog delete -n values --yes

writes delete -n over --yes
writes delete -n third --yes
writes delete -n second --yes
writes delete -n child --yes
writes delete -n imported --yes
