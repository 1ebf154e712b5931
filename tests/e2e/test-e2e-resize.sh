#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# test-e2e-resize.sh - larger and smaller volumes, served and not: who sees which size, what is refused,
# what is cut off.
. "$(dirname "$0")/functions.sh"
begin
need nbdcopy nbdinfo nbdsh

make_store 'log_size = 64M' 'segment_size = 1M'
make_volume 16M
size_is() { [[ $(nbdinfo --size "$uri") -eq $(($1 << 20)) ]]; }

it 'connections made afterwards see the new size, older ones keep theirs'
start_server
# resize.py: a client that stays connected, and others that come and go.
cat >"$tmp/resize.py" <<'PY'
import errno, os, subprocess, sys

def resize(size, *more):
    subprocess.run([os.environ["admin"], "resize", "-c", os.environ["config"], "-n", "disk", "-s",
                    size, *more], check=True, stdout=subprocess.DEVNULL)

def connect():
    c = nbd.NBD()
    c.set_strict_mode(0)
    c.connect_uri(h.get_uri())
    return c

def error(what):
    try:
        what()
    except nbd.Error as e:
        return e.errno
    return "none"

MIB = 1 << 20
old = connect()
assert old.get_size() == 16 * MIB
old.pwrite(b"\x11" * 4096, 8 * MIB)
resize("32M")
new = connect()
assert (old.get_size(), new.get_size()) == (16 * MIB, 32 * MIB)
assert new.pread(4096, 32 * MIB - 4096) == bytes(4096)
new.pwrite(b"\x22" * 4096, 24 * MIB)
assert error(lambda: old.pread(4096, 24 * MIB)) == "EINVAL"
assert old.pread(4096, 8 * MIB) == b"\x11" * 4096

# Cut below what both of them know: their requests beyond it fail, and nothing else does.
resize("4M", "--force")
least = connect()
assert least.get_size() == 4 * MIB
for c in (old, new):
    assert error(lambda: c.pread(4096, 8 * MIB)) == "EINVAL"
    assert error(lambda: c.pwrite(bytes(4096), 8 * MIB)) == "ENOSPC"
    assert error(lambda: c.pread(8192, 4 * MIB - 4096)) == "EINVAL"
    assert error(lambda: c.zero(4096, 8 * MIB)) in ("ENOSPC", "EINVAL")
    assert error(lambda: c.trim(4096, 8 * MIB)) in ("ENOSPC", "EINVAL")
    c.pwrite(b"\x33" * 4096, 0)
    c.flush()
assert least.pread(4096, 0) == b"\x33" * 4096

# What was cut off does not come back.
resize("16M")
assert connect().pread(MIB, 8 * MIB) == bytes(MIB)
assert old.pread(4096, 8 * MIB) == bytes(4096)
PY
admin=$bin_dir/lsvd-admin config=$config python_nbd <"$tmp/resize.py"

it 'the new size outlives the server, and its death'
size_is 16
admin resize -n "$volume" -s 24M >/dev/null
kill_server
start_server
size_is 24
stop_server
[[ $server_status -eq 0 ]]
start_server
size_is 24
stop_server

it 'a volume that is not served is resized, too, and data is not cut off unasked'
admin resize -n "$volume" -s 48M --json >"$tmp/out"
grep -q '"bytes": 50331648' "$tmp/out"
start_server
size_is 48
python_nbd <<'PY'
h.pwrite(b"\x44" * 4096, 40 << 20)
h.flush()
PY
refuses 'disk' resize -n "$volume" -s 20M
size_is 48
stop_server
refuses 'disk' resize -n "$volume" -s 20M
admin list --json >"$tmp/out"
grep -q '"bytes": 50331648' "$tmp/out"
admin resize -n "$volume" -s 20M --force >/dev/null
admin list --json >"$tmp/out"
grep -q '"bytes": 20971520' "$tmp/out"

it 'sizes that cannot be are refused, and change nothing'
for bad in 0 511 513 2P; do
	! admin resize -n "$volume" -s "$bad" >"$tmp/out" 2>&1 || fail "$bad was taken"
done
refuses 'none' resize -n none -s 1M
start_server
size_is 20
refuses 'multiple of 512' resize -n "$volume" -s 1000
size_is 20
stop_server
