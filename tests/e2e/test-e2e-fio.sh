#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-fio.sh - fio's NBD engine writes, trims and verifies; also after the server was stopped.
. "$(dirname "$0")/functions.sh"
begin
need fio jq

make_store
make_volume 512M
start_server

# load [ARG...]: one fio job; a wrong byte, and a run that did nothing, are failures.
load() {
	fio --name=e2e --ioengine=nbd --uri="$uri" --randseed="$seed" --output-format=json \
		--output="$tmp/fio.json" "$@" 2>"$tmp/fio.err" || fail "$(cat "$tmp/fio.err")"
	jq -e '[.jobs[] | .error == 0 and (.read.total_ios + .write.total_ios +
		.trim.total_ios) > 0] | all' "$tmp/fio.json" >"$tmp/out" || fail "$(<"$tmp/fio.json")"
}

it 'random writes of 512 bytes to 128 KiB verify while they are written'
load --rw=randwrite --bsrange=512-128k --blockalign=512 --size=192M --iodepth=32 \
	--verify=crc32c --verify_backlog=1024 --verify_fatal=1

it 'they verify from the start when all is written'
load --rw=randwrite --bsrange=512-128k --blockalign=512 --size=192M --iodepth=32 \
	--verify=crc32c --do_verify=1 --verify_fatal=1

it 'a random mix of reads and writes with flushes verifies'
load --rw=randrw --bs=4k --size=64M --iodepth=16 --fsync=32 --verify=pattern \
	--verify_pattern='0xdeadbeef%o' --verify_fatal=1

it 'random trims go through'
load --rw=randtrim --bs=64k --size=64M --iodepth=16
load --rw=randtrim --bsrange=512-1m --blockalign=512 --size=64M --iodepth=16

it 'writes verify after a clean stop and start'
load --rw=randwrite --bs=4k --size=64M --iodepth=32 --verify=crc32c --do_verify=0
stop_server
[[ $server_status -eq 0 ]]
start_server
load --rw=randwrite --bs=4k --size=64M --iodepth=32 --verify=crc32c --verify_only

it 'a verification against other data fails'
! fio --name=e2e --ioengine=nbd --uri="$uri" --randseed="$((seed + 1))" --rw=write --bs=4k \
	--size=4M --offset=400M --verify=crc32c --verify_only --verify_fatal=1 \
	--output="$tmp/out" 2>"$tmp/fio.err" || fail "unwritten blocks were taken for written ones"
