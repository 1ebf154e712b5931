#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-libnbd.sh - nbdinfo, nbdcopy and nbdsh against the server, also as their child process.
. "$(dirname "$0")/functions.sh"
begin
need nbdinfo nbdcopy nbdsh jq cmp

size=$((256 << 20))
make_store
make_volume 256M
server_command
start_server

it 'nbdinfo tells the size'
[[ $(nbdinfo --size "$uri") == "$size" ]]

it 'nbdinfo --json tells flags and block sizes'
nbdinfo --json "$uri" >"$tmp/info.json"
jq -e --argjson size "$size" '.protocol == "newstyle-fixed" and .structured == true and
	(.exports[0] | ."export-size" == $size and .is_read_only == false and .can_flush and
	 .can_fua and .can_trim and .can_zero and .can_fast_zero and .can_df and .can_cache and
	 .can_multi_conn and .block_size_minimum == 512 and .block_size_preferred == 4096 and
	 .block_size_maximum >= 33554432)' "$tmp/info.json" >"$tmp/out"

it 'nbdinfo --can answers by exit code'
for can in connect flush fua trim zero fast-zero df cache multi-conn structured-reply read write; do
	nbdinfo --can "$can" "$uri"
done
nbdinfo --is rotational "$uri" && fail "rotational" || [[ $? -eq 2 ]]
nbdinfo --is read-only "$uri" && fail "read-only" || [[ $? -eq 2 ]]

it 'nbdinfo --list names the volume'
nbdinfo --list --json "nbd+unix:///?socket=$sock" >"$tmp/list.json"
jq -e --arg name "$volume" '[.exports[]."export-name"] | index($name) != null' \
	"$tmp/list.json" >"$tmp/out"

it 'the empty export name means the volume of -n'
[[ $(nbdinfo --size "nbd+unix:///?socket=$sock") == "$size" ]]

it 'an unknown export name is refused'
! nbdinfo --size "nbd+unix:///nosuch?socket=$sock" 2>"$tmp/out" || fail "it was served"

it 'nbdinfo --map shows a fresh volume as one hole'
nbdinfo --map --json "$uri" >"$tmp/map.json"
jq -e --argjson size "$size" 'length == 1 and .[0].offset == 0 and .[0].length == $size and
	.[0].type == 3' "$tmp/map.json" >"$tmp/out"

it 'nbdcopy writes an image with holes, and reads it back the same'
random_file "$tmp/part" $((9 << 20))
truncate -s "$size" "$tmp/image"
dd if="$tmp/part" of="$tmp/image" bs=1M seek=3 conv=notrunc status=none
dd if="$tmp/part" of="$tmp/image" bs=512 seek=200001 count=4097 conv=notrunc status=none
nbdcopy --flush --connections=4 --requests=64 "$tmp/image" "$uri"
nbdcopy --connections=4 --requests=64 "$uri" "$tmp/copy"
cmp "$tmp/image" "$tmp/copy"

it 'nbdinfo --map shows what was written as data and the rest as zeroes'
nbdinfo --map --json "$uri" >"$tmp/map.json"
jq -e --argjson size "$size" '(map(.length) | add) == $size and
	(map(select(.type == 0) | .length) | add) >= 9 * 1048576 and
	(map(select(.type == 0) | .length) | add) <= 32 * 1048576 and
	([.[] | select(.type == 0) | [.offset, .offset + .length]] |
	 any(.[0] <= 3145728 and .[1] >= 12582912))' "$tmp/map.json" >"$tmp/out"
nbdinfo --map --totals "$uri" >"$tmp/out"

it 'nbdcopy of one client with synchronous requests reads the same'
nbdcopy --synchronous "$uri" "$tmp/copy"
cmp "$tmp/image" "$tmp/copy"
nbdcopy "$uri" null:

it 'nbdcopy overwrites with allocated zeroes'
truncate -s "$size" "$tmp/empty"
nbdcopy --allocated "$tmp/empty" "$uri"
nbdcopy "$uri" "$tmp/copy"
cmp "$tmp/empty" "$tmp/copy"

it 'nbdsh: writes at every 512-byte boundary keep their neighbours'
python_nbd <<'PY'
import random
random.seed(7)
model = bytearray(1 << 20)
h.zero(len(model), 0)
for i in range(400):
    at = random.randrange(0, len(model) // 512)
    n = random.randrange(1, 40)
    data = random.randbytes(min(n * 512, len(model) - at * 512))
    model[at * 512:at * 512 + len(data)] = data
    h.pwrite(data, at * 512)
assert h.pread(len(model), 0) == model
h.flush()
assert h.pread(len(model), 0) == model
PY

it 'nbdsh: a zeroed range reads as zeroes, and trim leaves zeroes'
python_nbd <<'PY'
h.pwrite(b"\xaa" * 65536, 0)
h.zero(4096 + 512, 512)
h.trim(8192, 32768 + 512)
d = h.pread(65536, 0)
assert d[:512] == b"\xaa" * 512 and d[512:5120] == bytes(4608) and d[5120:33280] == b"\xaa" * 28160
assert d[33280:41472] == bytes(8192) and d[41472:] == b"\xaa" * (65536 - 41472)
PY

it 'nbdsh: block status tells holes, zeroes and data apart'
python_nbd <<'PY'
h.trim(1 << 20, 0)
h.pwrite(b"\x11" * 65536, 65536)
h.zero(65536, 131072, nbd.CMD_FLAG_NO_HOLE)
h.zero(65536, 196608)
seen = []
def extents(name, offset, entries, err):
    if name == nbd.CONTEXT_BASE_ALLOCATION:
        seen.extend(zip(entries[::2], entries[1::2]))
h.block_status(262144, 0, extents)
at, kind = 0, {}
for length, flags in seen:
    for p in range(at, at + length, 65536):
        kind[p] = flags
    at += length
assert kind[0] == nbd.STATE_HOLE | nbd.STATE_ZERO, kind
assert kind[65536] == 0, kind
assert kind[131072] == nbd.STATE_ZERO, kind
assert kind[196608] & nbd.STATE_ZERO, kind
seen.clear()
h.block_status(262144, 65536, extents, nbd.CMD_FLAG_REQ_ONE)
assert len(seen) == 1 and seen[0][0] <= 262144, seen
PY

it 'nbdsh: FUA, DF, FAST_ZERO and CACHE are accepted'
python_nbd <<'PY'
h.pwrite(b"\x22" * 4096, 0, nbd.CMD_FLAG_FUA)
h.trim(4096, 4096, nbd.CMD_FLAG_FUA)
h.zero(4096, 8192, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_FAST_ZERO)
h.cache(1 << 20, 0)
parts = []
h.pread_structured(65536, 0, lambda b, o, s, e: parts.append((o, len(b), s)), nbd.CMD_FLAG_DF)
assert len(parts) == 1, parts
PY

it 'nbdsh: what is out of range or not whole sectors is refused, and the connection lives'
python_nbd <<'PY'
import errno
h.set_strict_mode(0)
size = h.get_size()
def refused(want, f, *args):
    try:
        f(*args)
    except nbd.Error as e:
        assert e.errnum in want, (e.errnum, e.string)
        return
    raise AssertionError("accepted: %r" % (args,))
refused([errno.EINVAL], h.pread, 512, size)
refused([errno.EINVAL], h.pread, 1024, size - 512)
refused([errno.ENOSPC], h.pwrite, b"x" * 1024, size - 512)
refused([errno.ENOSPC], h.zero, 1024, size - 512)
refused([errno.EINVAL], h.trim, 1024, size - 512)
refused([errno.EINVAL], h.cache, 1024, size - 512)
refused([errno.EINVAL], h.pread, 512, 1)
refused([errno.EINVAL], h.pread, 511, 0)
refused([errno.EINVAL], h.pwrite, b"x" * 513, 0)
refused([errno.EINVAL], h.pwrite, b"x" * 512, 3)
refused([errno.EINVAL, errno.ENOSPC], h.pwrite, b"x" * 512, (1 << 63) + 512 - (1 << 62))
assert h.pread(512, size - 512) == bytes(512)
PY

it 'nbdsh: payloads up to 64 MiB are served'
python_nbd <<'PY'
import random
random.seed(9)
data = random.randbytes(1 << 20) * 64
h.pwrite(data, 4096)
assert h.pread(len(data), 4096) == data
h.zero(h.get_size(), 0)
PY

it 'the server is found by LISTEN_FDS: nbdinfo, nbdcopy and nbdsh start it in brackets'
stop_server
[[ $(nbdinfo --size -- [ "${server[@]}" ]) == "$size" ]]
nbdcopy -- "$tmp/image" [ "${server[@]}" ]
nbdcopy -- [ "${server[@]}" ] "$tmp/copy"
cmp "$tmp/image" "$tmp/copy"
python_child <<'PY'
h.connect_systemd_socket_activation(server)
assert h.pread(512, 0) == bytes(512)
PY

it 'the server serves standard input and output: connect_command'
server+=(-s)
python_child <<'PY'
h.connect_command(server)
h.pwrite(b"\x33" * 512, 512)
h.flush()
assert h.pread(1024, 0) == bytes(512) + b"\x33" * 512
h.shutdown()
PY
python_child <<'PY'
h.connect_command(server)
assert h.pread(512, 512) == b"\x33" * 512
PY
