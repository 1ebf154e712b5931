#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-multi.sh - several clients and connections on one volume, requests of gigabytes, and
# how a connection ends.
. "$(dirname "$0")/functions.sh"
begin
need nbdcopy nbdinfo nbdsh cmp

make_store
make_volume 16G
server_command
start_server

it 'two clients at once each find what they wrote'
half=$((96 << 20))
writer init "$ram/one" --size "$half" --seed "$seed"
writer init "$ram/two" --size "$half" --offset "$half" --seed "$((seed + 1))"
writer load "$ram/one" "$uri" --acks 4000 --seed 11 --flush &
one=$!
writer load "$ram/two" "$uri" --acks 4000 --seed 12 --flush &
two=$!
wait "$one"
wait "$two"
writer check "$ram/one" "$uri"
writer check "$ram/two" "$uri"

it 'eight connections of one client see one volume'
writer load "$ram/one" "$uri" --connections 8 --depth 128 --acks 5000 --seed 13 --flush
writer check "$ram/one" "$uri"

it 'eight connections copy in and out'
random_file "$tmp/image" $((96 << 20))
nbdcopy --connections=8 --requests=16 --flush "$tmp/image" "$uri" &
copy=$!
writer load "$ram/two" "$uri" --acks 3000 --seed 14 --flush
wait "$copy"
nbdcopy --connections=8 --requests=16 "$uri" "$tmp/copy"
cmp -n $((96 << 20)) "$tmp/image" "$tmp/copy"
writer check "$ram/two" "$uri"

it 'a flush on one connection covers what another has written'
python_nbd <<'PY'
import os
h2 = nbd.NBD()
h2.connect_uri(h.get_uri())
assert h.can_multi_conn()
for i in range(50):
    data = os.urandom(4096)
    h.pwrite(data, 1 << 30)
    assert h2.pread(4096, 1 << 30) == data
    h2.flush()
h2.shutdown()
PY

it 'trims and zeroes of 4 GiB at once are served'
python_nbd <<'PY'
size = h.get_size()
for at in range(0, 1 << 33, 1 << 30):
    h.pwrite(b"\x6e" * 8192, at)
h.trim((1 << 32) - 512, 0)
h.zero((1 << 32) - 512, 1 << 32)
h.zero((1 << 32) - 512, 2 << 32, nbd.CMD_FLAG_NO_HOLE)
h.trim(512 << 20, size - (512 << 20))
for at in range(0, 1 << 33, 1 << 30):
    assert h.pread(8192, at) == bytes(8192), at
# Back to back, and overlapping their neighbours.
h.pwrite(b"\x6f" * 4096, 0)
for at in range(0, 1 << 33, 1 << 27):
    h.trim(1 << 28, at)
assert h.pread(4096, 0) == bytes(4096)
PY

it 'zeroes written over gigabytes are still zeroes after a kill'
kill_server
start_server
python_nbd <<'PY'
for at in range(0, 1 << 33, 1 << 30):
    assert h.pread(8192, at) == bytes(8192), at
PY

it 'a polite goodbye is answered by the end of the connection'
python_nbd <<'PY'
for i in range(20):
    c = nbd.NBD()
    c.connect_uri(h.get_uri())
    c.pwrite(b"\x70" * 4096, 0)
    c.aio_disconnect()
    while not c.aio_is_closed():
        c.poll(10000)
PY

it 'requests under way when the client says goodbye are all answered'
python_nbd <<'PY'
c = nbd.NBD()
c.connect_uri(h.get_uri())
done = []
for i in range(32):
    buf = nbd.Buffer.from_bytearray(bytearray(b"%c" % (65 + i)) * 65536)
    c.aio_pwrite(buf, 65536 * i, lambda err, i=i: done.append((i, err.value)) or 1)
c.aio_disconnect()
while not c.aio_is_closed() and not c.aio_is_dead():
    c.poll(10000)
assert sorted(done) == [(i, 0) for i in range(32)], done
for i in range(32):
    assert h.pread(65536, 65536 * i) == b"%c" % (65 + i) * 65536
PY

it 'clients that leave without a word take nothing with them'
python_nbd <<'PY'
for i in range(20):
    c = nbd.NBD()
    c.connect_uri(h.get_uri())
    c.pwrite(b"%c" % (97 + i) * 4096, 4096 * i)
    c.aio_pread(nbd.Buffer(1 << 25), 0)
    del c
for i in range(20):
    assert h.pread(4096, 4096 * i) == b"%c" % (97 + i) * 4096
PY
stop_server
[[ $server_status -eq 0 ]]
start_server
python_nbd <<'PY'
for i in range(20):
    assert h.pread(4096, 4096 * i) == b"%c" % (97 + i) * 4096
PY
