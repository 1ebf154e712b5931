#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-import.sh - import from files and pipes: every byte, holes, sizes, sums, and what is
# left after each kind of failure: nothing.
# lsvd-test: timeout=300 labels=quick
. "$(dirname "$0")/functions-image.sh"
begin
config
image image.raw
bytes=$(stat -c %s image.raw)
rounded=$(((bytes + 511) / 512 * 512))

# A volume has the bytes of its image; the last, partial sector is padded with zeroes, not with what
# was in memory before.
expect 0 import -c lsvd.conf -n whole image.raw
prints 'volume whole imported'
expect 0 sha256 -c lsvd.conf -n whole --json
is "o['length'] == $rounded and o['sha256'] == '$(padded_sum image.raw $rounded)'"
expect 0 inspect -c lsvd.conf -n whole --json
is "o['bytes'] == $rounded and o['closed_cleanly'] is True"

# The same for the last piece of a long image, whose memory has held other pieces.
head -c 20000777 /dev/urandom >long.raw
expect 0 import -c lsvd.conf -n long --read-back long.raw
expect 0 sha256 -c lsvd.conf -n long
prints "$(padded_sum long.raw 20001280)  long"
expect 0 inspect -c lsvd.conf -n whole --json

# Zeroes and holes are stored as holes, not as compressed data.
is "o['stored_bytes'] < 3000000 + 4583013 + 500000"

# The sum is compared and told; what was read back from the store has it, too.
expect 0 import -c lsvd.conf -n summed --verify "$(sum_of image.raw | tr a-f A-F)" --read-back image.raw --json
is "o['sha256'] == '$(sum_of image.raw)' and o['source_bytes'] == $bytes and o['read_back']"
is "o['data_bytes'] < 7600000 and o['bytes'] == $rounded"

# A wrong sum is a failure, and leaves no volume.
expect 1 import -c lsvd.conf -n wrong --verify "$(printf 0%.0s {1..64})" image.raw
says "SHA-256 is $(sum_of image.raw), expected 0000"
says 'volume wrong: not imported, nothing is left of it'
no_volume wrong
expect 0 init -c lsvd.conf -n wrong -s 1M

# Sizes: larger than the image, not smaller; a larger volume reads as zeroes beyond it.
expect 0 import -c lsvd.conf -n large -s 20M image.raw
expect 0 sha256 -c lsvd.conf -n large --json
is "o['sha256'] == '$(padded_sum image.raw $((20 << 20)))'"
expect 1 import -c lsvd.conf -n small -s 1M image.raw
says "image.raw has $bytes bytes, more than --size, 1048576"
no_volume small

# Standard input: a file is a file; a pipe does not say how long it is.
"$admin" import -c lsvd.conf -n stdin - <image.raw >out 2>err || fail "import from standard input"
"$admin" sha256 -c lsvd.conf -n stdin >out
prints "$(padded_sum image.raw $rounded)"
cat image.raw | "$admin" import -c lsvd.conf -n piped -S $rounded --read-back - >out 2>err || fail "import from a pipe"
expect 0 sha256 -c lsvd.conf -n piped
prints "$(padded_sum image.raw $rounded)"
! cat image.raw | "$admin" import -c lsvd.conf -n nosize - >out 2>err || fail "a pipe without a size"
says 'standard input does not say how long it is'
no_volume nosize
! cat image.raw | "$admin" import -c lsvd.conf -n short -s 4M - >out 2>err || fail "a pipe longer than the volume"
says "standard input has more than 4194304 bytes, the volume's size"
no_volume short
head -c 4M image.raw | "$admin" import -c lsvd.conf -n exact -s 4M - >out 2>err || fail "a pipe as long as the volume"

# Images shorter than a sector, than the head that is written last, and exactly as long.
for n in 1 511 512 4096 1048575 1048576 1048577; do
	head -c $n image.raw >part
	expect 0 import -c lsvd.conf -n "part$n" --read-back part
	expect 0 sha256 -c lsvd.conf -n "part$n" --json
	is "o['sha256'] == '$(padded_sum part $(((n + 511) / 512 * 512)))'"
done
truncate -s 0 empty
expect 1 import -c lsvd.conf -n empty empty
says 'empty is empty'
expect 0 import -c lsvd.conf -n empty -s 1M empty

# An image that is one hole takes no time and nothing of the store.
truncate -s 200G holes
expect 0 import -c lsvd.conf -n holes holes
expect 0 inspect -c lsvd.conf -n holes --json
is "o['bytes'] == 200 << 30 and o['segments'] <= 1 and o['stored_bytes'] < 100000"

# A name that is taken changes nothing.
before=$(fingerprint store)
expect 1 import -c lsvd.conf -n whole image.raw
[[ $(fingerprint store) = "$before" ]] || fail "a refused import has changed the store"

# What cannot be read.
expect 1 import -c lsvd.conf -n none nowhere.raw
says 'nowhere.raw: No such file or directory'
expect 1 import -c lsvd.conf -n none .
says '. is a directory'
expect 2 import -c lsvd.conf -n none
says 'FILE, URL or - is missing'
expect 2 import -c lsvd.conf -n none image.raw image.raw
says "'image.raw' is one word too many"
expect 2 import -c lsvd.conf -n none -s 1000 image.raw
expect 2 import -c lsvd.conf -n none --verify abc image.raw
says "'abc' is not 64 hexadecimal digits"
expect 2 import -c lsvd.conf -n none -u 12 image.raw
expect 2 import -c lsvd.conf -n none -f vmdk image.raw
expect 2 import -c nowhere.conf -n none image.raw
no_volume none

# A qcow2 image is not taken for a raw one, nor a raw one for qcow2 by its content.
printf 'QFI\xfb\0\0\0\3' >fake
truncate -s 1M fake
expect 1 import -c lsvd.conf -n fake fake
says 'fake looks like a qcow2 image: say --format qcow2, or --format raw'
no_volume fake
expect 0 import -c lsvd.conf -n fake -f raw fake

# A signal: the volume is deleted, the log is gone.
mkfifo slow
for signal in INT TERM; do
	background import -c lsvd.conf -n signalled -s 64M slow
	exec 9>slow
	cat image.raw >&9
	until [[ -n $(find cache -name 'signalled.log' 2>/dev/null) ]]; do
		kill -0 "$pid" || fail "ended by itself"
	done
	kill -"$signal" "$pid"
	ends 1
	exec 9>&-
	says 'interrupted'
	no_volume signalled
done

# Killed, it leaves a volume that cannot be taken for the image: it is not closed, its beginning is
# not there, and it opens for writing nowhere.
background import -c lsvd.conf -n killed -s 64M slow
exec 9>slow
cat image.raw >&9
until "$admin" inspect -c lsvd.conf -n killed --json 2>/dev/null | grep -q '"epoch": 1'; do
	kill -0 "$pid" || fail "ended by itself"
done
kill -KILL "$pid"
ends 137
exec 9>&-
expect 0 inspect -c lsvd.conf -n killed --json
is "o['closed_cleanly'] is False"
expect 0 sha256 -c lsvd.conf -n killed --range 0:1M --json
is "o['sha256'] == '$(head -c 1M /dev/zero | sha256sum | cut -d' ' -f1)'"
! "$bin_dir/lsvd-nbd" -c lsvd.conf -n killed -U "$tmp/sock" >out 2>err </dev/null || fail "a killed import is served"
expect 0 delete -c lsvd.conf -n killed --yes

# No progress on a pipe; a line with rate and time left on a terminal.
python3 - "$admin" <<'PY' || fail "progress on a terminal"
import os, pty, select, subprocess, sys
master, slave = pty.openpty()
child = subprocess.Popen([sys.argv[1], "import", "-c", "lsvd.conf", "-n", "shown", "-s", "64M", "-"],
                         stdin=subprocess.PIPE, stderr=slave, stdout=subprocess.DEVNULL)
os.close(slave)
data = open("image.raw", "rb").read()
said = b""
for i in range(0, len(data), 200000):
    child.stdin.write(data[i:i + 200000])
    child.stdin.flush()
    if select.select([master], [], [], 0.03)[0]:
        said += os.read(master, 65536)
child.stdin.close()
status = child.wait()
try:
    while True:
        part = os.read(master, 65536)
        if not part:
            break
        said += part
except OSError:
    pass
ok = status == 0 and b"\rimport  " in said and b"MiB/s" in said and said.endswith(b"\r\x1b[K")
if not ok:
    print(status, said)
sys.exit(0 if ok else 1)
PY
