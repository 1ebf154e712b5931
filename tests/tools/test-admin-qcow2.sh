#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test-admin-qcow2.sh - import and export of qcow2 images, as qemu-img makes and reads them.
# lsvd-test: timeout=300 labels=quick
. "$(dirname "$0")/functions-image.sh"
begin
for program in qemu-img qemu-nbd; do
	command -v $program >/dev/null || { echo "$program is not there"; exit 77; }
done
config
image image.raw
truncate -s 60M image.raw

# As it is, compressed, with small clusters, and with a backing file.
qemu-img convert -f raw -O qcow2 image.raw plain.qcow2
qemu-img convert -c -f raw -O qcow2 image.raw packed.qcow2
qemu-img convert -f raw -O qcow2 -o cluster_size=4096 image.raw small.qcow2
qemu-img create -q -f qcow2 -b plain.qcow2 -F qcow2 above.qcow2
for kind in plain packed small above; do
	expect 0 import -c lsvd.conf -n $kind -f qcow2 $kind.qcow2 --json
	is "o['bytes'] == 60 << 20 and o['data_bytes'] < 8500000"
	expect 0 sha256 -c lsvd.conf -n $kind
	prints "$(sum_of image.raw)  $kind"
done

# A large, empty one takes nothing.
qemu-img create -q -f qcow2 empty.qcow2 1T
expect 0 import -c lsvd.conf -n empty -f qcow2 empty.qcow2
expect 0 inspect -c lsvd.conf -n empty --json
is "o['bytes'] == 1 << 40 and o['stored_bytes'] < 100000"

# The sum is that of the content, whatever the format.
expect 0 import -c lsvd.conf -n summed -f qcow2 --verify "$(sum_of image.raw)" --read-back packed.qcow2
expect 1 import -c lsvd.conf -n wrong -f qcow2 --verify "$(sum_of packed.qcow2)" packed.qcow2
no_volume wrong

# Names that qemu would take for something else.
cp plain.qcow2 nbd:host
cp plain.qcow2 ./-r
expect 0 import -c lsvd.conf -n colon -f qcow2 nbd:host
expect 0 import -c lsvd.conf -n hyphen -f qcow2 ./-r

# What is no qcow2 image, or a damaged one.
expect 1 import -c lsvd.conf -n none -f qcow2 image.raw
says 'image.raw: qemu-img finds it damaged, or no qcow2 image'
mkfifo idle
expect 1 import -c lsvd.conf -n none -f qcow2 idle
says 'idle is no file: a qcow2 image is read from a file only'
expect 1 import -c lsvd.conf -n none -f qcow2 nowhere.qcow2
says 'nowhere.qcow2: No such file or directory'
head -c 3000000 plain.qcow2 >cut.qcow2
expect 1 import -c lsvd.conf -n none -f qcow2 cut.qcow2
says 'cut.qcow2: qemu-img finds it damaged'
cat plain.qcow2 | "$admin" import -c lsvd.conf -n none -f qcow2 -s 60M - >out 2>err && fail "qcow2 from a pipe"
says 'a qcow2 image is read from a file only'
no_volume none
(PATH=/nowhere; expect 1 import -c lsvd.conf -n none -f qcow2 plain.qcow2) || fail "without qemu-nbd"

# Export: the same content, sparse, and a sound image.
expect 0 export -c lsvd.conf -n plain -f qcow2 out.qcow2
qemu-img compare -q -f raw -F qcow2 image.raw out.qcow2 || fail "out.qcow2 has another content"
qemu-img check -q -f qcow2 out.qcow2 || fail "out.qcow2 is not sound"
[[ $(kib out.qcow2) -lt 9000 ]] || fail "out.qcow2 takes $(kib out.qcow2) KiB: the holes are filled"
expect 0 export -c lsvd.conf -n empty -f qcow2 out-empty.qcow2
[[ $(kib out-empty.qcow2) -lt 2000 ]] || fail "an empty volume takes $(kib out-empty.qcow2) KiB"
expect 1 export -c lsvd.conf -n plain -f qcow2 out.qcow2
says 'out.qcow2 is there already'

# Gone on with.
"$admin" inspect -c lsvd.conf -n plain --json >facts
python3 - >out.qcow2.lsvd-export <<-'PY'
import hashlib, json
facts = json.load(open("facts"))
print("lsvd-export 1")
print("volume %s %d %d %d qcow2" % (facts["uuid"], facts["bytes"], facts["epoch"], facts["operations"]))
data = open("image.raw", "rb")
for i in range(2):
    print("window %d %s" % (i << 22, hashlib.sha256(data.read(1 << 22)).hexdigest()))
PY
qemu-io -f qcow2 -c 'write -q -P 7 9M 3M' -c 'write -q -P 7 30M 1M' out.qcow2
expect 0 export -c lsvd.conf -n plain -f qcow2 --resume out.qcow2 --json
is "o['kept_bytes'] == 8 << 20"
qemu-img compare -q -f raw -F qcow2 image.raw out.qcow2 || fail "the resumed out.qcow2 has another content"
[[ ! -e out.qcow2.lsvd-export ]] || fail "the record was left"
