#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-export.sh - export to raw and qcow2 files and to pipes: the same bytes, holes that stay
# holes, nothing put or written; and an export that is interrupted and gone on with.
# lsvd-test: timeout=300 labels=quick
. "$(dirname "$0")/functions-image.sh"
begin
config
image image.raw
truncate -s 40M image.raw
expect 0 import -c lsvd.conf -n disk image.raw
before=$(fingerprint store)

# Raw: the same bytes, as sparse as they were, and the record of the way there is gone.
expect 0 export -c lsvd.conf -n disk out.raw
prints 'volume disk exported to out.raw: 40 MiB'
same out.raw image.raw
[[ $(stat -c %s out.raw) = $((40 << 20)) ]] || fail "out.raw has another size"
[[ $(kib out.raw) -lt 8000 ]] || fail "out.raw takes $(kib out.raw) KiB: the holes are filled"
[[ ! -e out.raw.lsvd-export ]] || fail "the record of a finished export was left"
expect 0 export -c lsvd.conf -n disk again.raw --json
is "o['format'] == 'raw' and o['file'] == 'again.raw' and 7500000 < o['data_bytes'] < 8500000"

# Standard output gets every byte, and nothing else.
"$admin" export -c lsvd.conf -n disk - >piped.raw 2>err || fail "export to standard output"
same piped.raw image.raw
"$admin" export -c lsvd.conf -n disk - 2>err | cmp - image.raw || fail "export to a pipe"
! "$admin" export -c lsvd.conf -n disk - >/dev/full 2>err || fail "a full disk is a success"
says 'standard output: No space left on device'

# Nothing of the volume has changed, in the store or in the cache.
[[ $(fingerprint store) = "$before" ]] || fail "an export has changed the store"

# Nothing is overwritten; what cannot be is said.
expect 1 export -c lsvd.conf -n disk out.raw
says 'out.raw is there already'
expect 1 export -c lsvd.conf -n disk nowhere/out.raw
says 'nowhere/out.raw: No such file or directory'
expect 1 export -c lsvd.conf -n nobody none.raw
[[ ! -e none.raw ]] || fail "a file for a volume that is not there"
expect 2 export -c lsvd.conf -n disk
says 'FILE or - is missing'
expect 2 export -c lsvd.conf -n disk -f qcow2 -
expect 2 export -c lsvd.conf -n disk --resume -
expect 2 export -c lsvd.conf -n disk --json -
expect 2 export -c lsvd.conf -n disk -f vdi out.vdi
expect 1 export -c lsvd.conf -n disk --resume out.raw
says 'it is not an interrupted export'

# An export that could not begin leaves no file in the way of the next one.
mkdir new.raw.lsvd-export
expect 1 export -c lsvd.conf -n disk new.raw
says 'new.raw.lsvd-export'
[[ ! -e new.raw && ! -e new.raw.lsvd-export.new ]] || fail "an export that did not begin has left a file"
rmdir new.raw.lsvd-export
expect 0 export -c lsvd.conf -n disk new.raw
same new.raw image.raw
expect 0 init -c lsvd.conf -n vast -s 1P
(
	ulimit -f 100000
	expect 1 export -c lsvd.conf -n vast vast.raw
)
says 'vast.raw: File too large'
[[ ! -e vast.raw ]] || fail "a file that cannot be so large was left"

# The sum of a range, of an empty one, of one beyond the end.
expect 0 sha256 -c lsvd.conf -n disk --range 1M:2M
prints "$(dd if=image.raw bs=1M skip=1 count=2 status=none | sha256sum | cut -d' ' -f1)  disk"
expect 0 sha256 -c lsvd.conf -n disk --range 39M: --json
is "o['length'] == 1 << 20 and o['offset'] == 39 << 20"
expect 0 sha256 -c lsvd.conf -n disk --range 0:0
prints 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
expect 1 sha256 -c lsvd.conf -n disk --range 39M:2M
says 'volume disk has 41943040 bytes'
expect 2 sha256 -c lsvd.conf -n disk --range 100:2M
expect 2 sha256 -c lsvd.conf -n disk --range 1M
expect 2 sha256 -c lsvd.conf -n disk --range x:y

# ---- interrupted and gone on with

# A volume that takes a while: 200 MiB that cannot be compressed, some of it holes.
head -c 100000000 /dev/urandom >big.raw
truncate -s 150M big.raw
head -c 50000000 /dev/urandom >>big.raw
truncate -s 210M big.raw
expect 0 import -c lsvd.conf -n big big.raw

# stopped ARGUMENTS...: an export to big.out that is killed once it has noted windows.
stopped() {
	background export -c lsvd.conf -n big "$@" big.out
	until [[ -e big.out.lsvd-export && $(wc -l <big.out.lsvd-export) -gt 2 ]]; do
		kill -0 "$pid" 2>/dev/null || break
	done
	kill -KILL "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}

# Whatever the moment, what was written is found, checked and kept.
rm -f big.out*
stopped
[[ -e big.out.lsvd-export ]] || { stopped --resume; }
if [[ -e big.out.lsvd-export ]]; then
	noted=$(grep -c ^window big.out.lsvd-export)
	expect 0 export -c lsvd.conf -n big --resume big.out --json
	is "o['kept_bytes'] >= ($noted - 1) * (4 << 20)"
fi
same big.out big.raw
[[ ! -e big.out.lsvd-export ]] || fail "the record was left"

# record N: as if the export had been killed after N windows; what follows in the file is rubbish.
record() {
	local line uuid
	"$admin" inspect -c lsvd.conf -n big --json >facts
	line=$(python3 - "$1" <<-'PY'
	import hashlib, json, sys
	facts = json.load(open("facts"))
	print("lsvd-export 1")
	print("volume %s %d %d %d raw" % (facts["uuid"], facts["bytes"], facts["epoch"], facts["operations"]))
	data = open("big.raw", "rb")
	for i in range(int(sys.argv[1])):
	    print("window %d %s" % (i << 22, hashlib.sha256(data.read(1 << 22)).hexdigest()))
	PY
	)
	printf '%s\n' "$line" >big.out.lsvd-export
	head -c "$(($1 << 22))" big.raw >big.out
	head -c 180M /dev/urandom >>big.out
}

record 10
expect 0 export -c lsvd.conf -n big --resume big.out --json
is "o['kept_bytes'] == 40 << 20 and o['data_bytes'] <= 150000000 - (40 << 20) + (4 << 20)"
same big.out big.raw
[[ $(kib big.out) -lt 160000 ]] || fail "the rubbish was overwritten with zeroes, not made a hole"

# A window that is no longer as it was written is exported anew, and that is said.
record 10
flip_byte big.out $((9 << 20))
status=0
"$admin" export -c lsvd.conf -n big --resume big.out --json >out 2>err </dev/null || status=$?
[[ $status = 0 ]] || fail "status $status"
says '1 of 10 windows are not as they were written'
is "o['kept_bytes'] == 36 << 20"
same big.out big.raw

# A line cut off by the crash is not believed, and a torn record is one of fewer windows.
record 10
truncate -s -20 big.out.lsvd-export
expect 0 export -c lsvd.conf -n big --resume big.out --json
is "o['kept_bytes'] == 36 << 20"
same big.out big.raw

# Another volume's record, another format's, or no record at all is refused.
record 3
sed -i '2s/raw$/qcow2/' big.out.lsvd-export
expect 1 export -c lsvd.conf -n big --resume big.out
says 'is of another state of the volume, or of another format'
echo nonsense >big.out.lsvd-export
expect 1 export -c lsvd.conf -n big --resume big.out
says 'does not tell of an interrupted export'

# A name that is no UTF-8 is told as far as it goes.
odd=$(printf 'big.\351')
expect 0 export -c lsvd.conf -n big "$odd" --json
is "o['file'] == 'big.?'"
same "$odd" big.raw
rm "$odd"

# With nothing there yet, --resume begins.
rm -f big.out*
expect 0 export -c lsvd.conf -n big --resume big.out
same big.out big.raw

# A signal ends it, and says how to go on.
rm -f big.out*
background export -c lsvd.conf -n big big.out
until [[ -e big.out.lsvd-export ]]; do kill -0 "$pid" 2>/dev/null || break; done
kill -INT "$pid" 2>/dev/null || true
status=0
wait "$pid" || status=$?
if [[ $status = 1 ]]; then
	says 'big.out is not complete; --resume goes on with it'
	expect 0 export -c lsvd.conf -n big --resume big.out
fi
same big.out big.raw
