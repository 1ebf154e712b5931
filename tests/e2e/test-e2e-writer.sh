#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-writer.sh - the instrument itself: faults planted in what a plain server kept are found.
#
# nbdkit serves a file, which is altered behind its back in the ways a broken log would alter it.
. "$(dirname "$0")/functions.sh"
begin
need nbdkit

image=$tmp/image
state=$ram/state
plain="nbd+unix:///?socket=$tmp/plain.sock"

start_plain() {
	rm -f "$tmp/plain.sock" "$tmp/plain.pid"
	nbdkit -f -U "$tmp/plain.sock" -P "$tmp/plain.pid" file "$image" &
	plain_pid=$!
	defer end_process "$plain_pid" KILL
	wait_until 10 test -s "$tmp/plain.pid"
}

# finds MESSAGE [ARG...]: check must fail and say so; the state is put back afterwards.
finds() {
	local message=$1
	shift
	cp "$state" "$state.before"
	start_plain
	if writer check "$state" "$plain" --atomic 4096 "$@" >"$tmp/out" 2>&1; then
		fail "the planted fault was not found"
	fi
	grep -q "$message" "$tmp/out" || fail "another complaint: $(<"$tmp/out")"
	end_process "$plain_pid"
	mv "$state.before" "$state"
	cp "$tmp/good" "$image"
}

# A sector that holds a stamp, not the first of its 4 KiB block; and one of zeroes.
find_sector() {
	/usr/bin/python3 - "$image" "$1" <<-'PY'
		import sys
		with open(sys.argv[1], "rb") as f:
		    data = f.read()
		for i in range(4096, len(data) // 512):
		    zero = not any(data[i * 512:i * 512 + 512])
		    if i % 8 == 3 and zero == (sys.argv[2] == "zero"):
		        print(i)
		        break
	PY
}

it 'a run that lost nothing is a prefix'
truncate -s 32M "$image"
writer init "$state" --size 33554432 --seed "$seed"
start_plain
writer load "$state" "$plain" --acks 2000 --seed "$seed"
cp "$image" "$tmp/old"
writer check "$state" "$plain" --atomic 4096
writer load "$state" "$plain" --acks 2000 --seed "$((seed + 1))" --flush
end_process "$plain_pid"
cp "$image" "$tmp/good"
written=$(find_sector stamp)
zero=$(find_sector zero)

it 'a lost sector is found'
dd if=/dev/zero of="$image" bs=512 seek="$written" count=1 conv=notrunc status=none
finds 'but operation'

it 'a sector that came back from the past is found'
changed=$(cmp -l "$tmp/old" "$image" | awk 'NR == 1 { print int(($1 - 1) / 512) }' || true)
dd if="$tmp/old" of="$image" bs=512 skip="$changed" seek="$changed" count=1 conv=notrunc status=none
finds 'but operation'

it 'a flipped bit is found'
flip_byte "$image" $((written * 512 + 400))
finds 'neither zeroes nor a whole stamp'

it 'a sector of another address is found'
dd if="$tmp/good" of="$image" bs=512 skip="$written" seek="$zero" count=1 conv=notrunc status=none
finds 'neither zeroes nor a whole stamp'

it 'a hole in the history is found where only flushed writes are demanded'
dd if="$tmp/old" of="$image" bs=512 skip="$changed" seek="$changed" count=1 conv=notrunc status=none
finds 'but operation' --flushed

it 'a history cut where nothing was flushed is a prefix if only flushed writes are demanded'
rm -f "$state"
truncate -s 0 "$image"
truncate -s 32M "$image"
start_plain
writer init "$state" --size 33554432 --seed "$seed"
cp "$state" "$ram/fresh"
writer load "$state" "$plain" --acks 1 --depth 1 --seed 3
truncate -s 0 "$image"
truncate -s 32M "$image"
writer check "$state" "$plain" --flushed

it 'one prefix or another is enough if only that is demanded, and a hole in it is not'
rm -f "$state"
cp "$ram/fresh" "$state"
truncate -s 0 "$image"
truncate -s 32M "$image"
writer load "$state" "$plain" --acks 300 --depth 1 --seed 3 --no-reads --most 64
cp "$image" "$tmp/at-300"
writer load "$state" "$plain" --acks 300 --depth 1 --seed 4 --no-reads --most 64
end_process "$plain_pid"
cp "$image" "$tmp/good"
cp "$state" "$ram/600"
cp "$tmp/at-300" "$image"
start_plain
writer check "$state" "$plain" --prefix
cp "$ram/600" "$state"
cp "$tmp/good" "$image"
changed=$(cmp -l "$tmp/at-300" "$image" | awk 'NR == 1 { print int(($1 - 1) / 512) }' || true)
dd if="$tmp/at-300" of="$image" bs=512 skip="$changed" seek="$changed" count=1 conv=notrunc status=none
end_process "$plain_pid"
finds 'but operation' --prefix

it 'an operation more or less than those demanded is found'
count=$(writer count "$state")
start_plain
cp "$state" "$ram/600"
writer check "$state" "$plain" --first "$count"
end_process "$plain_pid"
cp "$ram/600" "$state"
finds 'but operation' --first "$((count - 3))"
finds 'shorter than that' --first "$((count + 1))"

it 'a wrong answer to a read is found while the load runs'
rm -f "$state"
cp "$ram/fresh" "$state"
start_plain
dd if=/dev/urandom of="$image" bs=1M count=32 conv=notrunc status=none
if writer load "$state" "$plain" --acks 5000 2>"$tmp/out"; then
	fail "reads of other bytes were not noticed"
fi
grep -q 'read: sector' "$tmp/out"
