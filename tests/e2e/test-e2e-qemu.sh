#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-qemu.sh - QEMU's block layer as the client: convert, compare, map, info, I/O patterns.
. "$(dirname "$0")/functions.sh"
begin
need qemu-img qemu-io jq cmp

size=$((128 << 20))
make_store
make_volume 128M
start_server
url="nbd:unix:$sock:exportname=$volume"

# patterns COMMAND...: qemu-io must succeed and find every pattern it reads.
patterns() {
	local args=() command
	for command; do
		args+=(-c "$command")
	done
	qemu-io -f raw -t writeback "${args[@]}" "$url" >"$tmp/out" 2>&1 || fail "$(<"$tmp/out")"
	! grep -q 'Pattern verification failed\|failed:\|error' "$tmp/out" || fail "$(<"$tmp/out")"
}

it 'qemu-img info tells the size'
qemu-img info --output=json "$url" >"$tmp/info.json"
jq -e --argjson size "$size" '."virtual-size" == $size and .format == "raw"' \
	"$tmp/info.json" >"$tmp/out"

it 'qemu-img convert writes an image that compares equal'
random_file "$tmp/part" $((5 << 20))
truncate -s "$size" "$tmp/image"
dd if="$tmp/part" of="$tmp/image" bs=1M seek=60 conv=notrunc status=none
qemu-img convert -n -W -m 16 -f raw -O raw "$tmp/image" "$url"
qemu-img compare -f raw -F raw "$tmp/image" "$url" >"$tmp/out"

it 'qemu-img convert reads it back the same, holes and all'
qemu-img convert -W -m 16 -f raw -O raw "$url" "$tmp/copy"
cmp "$tmp/image" "$tmp/copy"
[[ $(stat -c '%b' "$tmp/copy") -lt $((16 << 11)) ]] || fail "the copy is not sparse"

it 'qemu-img compare finds one changed byte'
cp --sparse=always "$tmp/image" "$tmp/copy"
flip_byte "$tmp/copy" $((61 << 20))
status=0
qemu-img compare -f raw -F raw "$tmp/copy" "$url" >"$tmp/out" || status=$?
[[ $status -eq 1 ]]

it 'qemu-img map tells data from zeroes'
qemu-img map --output=json "$url" >"$tmp/map.json"
jq -e --argjson size "$size" '(map(.length) | add) == $size and
	any(.[]; .data and .start <= 62914560 and .start + .length >= 68157440) and
	any(.[]; .zero and .start == 0)' "$tmp/map.json" >"$tmp/out"

it 'qemu-io: patterns at block boundaries'
patterns 'write -P 0xaa 0 64k' 'write -f -P 0xbb 64k 4k' 'write -z 128k 64k' \
	'write -z -u 192k 64k' 'write -P 0x11 256k 64k' 'discard 256k 64k' flush \
	'read -P 0xaa 0 64k' 'read -P 0xbb 64k 4k' 'read -P 0 128k 128k' 'read -P 0 256k 64k'

it 'qemu-io: patterns that respect no boundary'
patterns 'write -P 0x5a 1048577 1023' 'read -P 0x5a 1048577 1023' 'read -P 0 1048576 1' \
	'write -P 0x5b 1049088 512' 'write -P 0x5c 1049600 1536' 'read -P 0x5b 1049088 512' \
	'read -P 0x5c 1049600 1536' 'write -z 1049100 700' 'read -P 0 1049100 700' \
	'read -P 0x5c 1049800 1336' 'discard 1050112 512' \
	'read -P 0x5c 1049800 312' 'read -P 0 1050112 512' 'read -P 0x5a 1048577 511'

it 'qemu-io: overlapping asynchronous writes end as one of them'
commands=()
for ((i = 0; i < 64; i++)); do
	commands+=("aio_write -P $((i + 1)) $((4 * 1048576 + i * 8192)) 8k")
	commands+=("aio_write -z $((8 * 1048576 + i * 8192)) 4k")
done
commands+=(aio_flush)
for ((i = 0; i < 64; i++)); do
	commands+=("read -P $((i + 1)) $((4 * 1048576 + i * 8192)) 8k")
done
patterns "${commands[@]}" 'read -P 0 8m 512k'

it 'qemu-io: vectored writes'
patterns 'writev -P 0x77 2m 4k 512 60k 8k' 'readv -P 0x77 2m 512 64k 8k' \
	'read -P 0x77 2m 74240'

it 'qemu-io finds a pattern that is not there'
! qemu-io -f raw -c 'read -P 0x78 2m 4k' "$url" >"$tmp/out" || fail "any pattern is found"

it 'what QEMU wrote is there after a clean restart'
stop_server
[[ $server_status -eq 0 ]]
start_server
patterns 'read -P 0xaa 0 64k' 'read -P 0x5c 1049800 200' 'read -P 0x77 2m 74240' \
	'read -P 1 4m 8k' 'read -P 64 4710400 8k'
