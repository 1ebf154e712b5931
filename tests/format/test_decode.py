#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_decode.py - the second decoder agrees with the library, on old objects and on new ones.

    test_decode.py TEST_FORMAT_GOLDEN

For every X.obj in golden/, and for the same objects made today by the program given, decode.py must
say what X.txt says. Damaged ones it must refuse: with checksums all of them, without checksums what
can be seen without, and either way without falling over.
"""
import contextlib
import io
import pathlib
import random
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import decode

GOLDEN = pathlib.Path(__file__).parent / "golden"
faults = 0


def fault(text):
    global faults
    faults += 1
    print("fault:", text)


def listing(data):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        decode.show(data)
    return out.getvalue()


def node_listing(path, data):
    """A node does not say what it is, nor which: its listing's first line does."""
    what, _, index = path.with_suffix(".txt").read_text().split("\n")[0].split()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        decode.show_node(what, int(index), data)
    return out.getvalue()


def agrees(folder):
    objects = sorted(folder.glob("*.obj"))
    nodes = sorted(folder.glob("*.node"))
    if not objects or not nodes:
        fault(f"{folder}: no objects, or no nodes")
    files = sorted(folder.glob("*.map")) + sorted(folder.glob("*.log"))
    for path in objects + nodes + files:
        try:
            said = node_listing(path, path.read_bytes()) if path.suffix == ".node" else \
                listing(path.read_bytes())
        except (decode.Damaged, decode.Newer) as e:
            fault(f"{path}: {e}")
            continue
        if said != path.with_suffix(".txt").read_text():
            fault(f"{path}: decode.py says\n{said}")
    return len(objects) + len(nodes) + len(files)


def refused(data, show=listing):
    try:
        show(data)
    except (decode.Damaged, decode.Newer):
        return True
    return False


def is_noticed(name, data):
    """Cut and changed objects; returns how many there were."""
    cuts = [random.randrange(len(data)) for _ in range(20)]
    for cut in cuts:
        if not refused(data[:cut]):
            fault(f"{name}: not refused when cut to {cut} bytes")
    said = listing(data)
    header = int.from_bytes(data[12:16], "little")
    bits = [random.randrange(8 * header) for _ in range(60)]
    bits += [random.randrange(8 * len(data)) for _ in range(60)]
    for bit in bits:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        # A few bits of compressed bytes mean nothing: then the data must be what it was.
        if not refused(bytes(changed)) and decode.xxhash and \
                (bit < 8 * header or listing(bytes(changed)) != said):
            fault(f"{name}: not refused with bit {bit} changed")
    return len(cuts) + len(bits)


def cut_node_is_noticed(path):
    """A node's checksum stands where it is referred to; cut or longer it is refused all the same."""
    data = path.read_bytes()
    for cut in list(range(len(data))) + [None]:
        if not refused(data[:cut] if cut is not None else data + b"\0",
                       lambda d: node_listing(path, d)):
            fault(f"{path.name}: not refused with a length of {cut}")


def cut_mirror_is_noticed(path):
    """Behind the snapshot's end a mirror may stop anywhere; before it nothing may be missing."""
    data = path.read_bytes()
    for cut in list(range(0, 4096, 97)) + [4096, 8191]:
        if not refused(data[:cut]):
            fault(f"{path.name}: not refused when cut to {cut} bytes")
    refused(data[:-4096])


def damaged_log_is_noticed(path):
    """Without one superblock the other counts; without both, or without its ring, it is none."""
    data = path.read_bytes()
    if not refused(data[:-1]) or not refused(bytes(8192) + data[8192:]):
        fault(f"{path.name}: not refused without its end, or its beginning")
    changed = bytearray(data)
    changed[65536 + 8192] ^= 1  # the first block of data
    if decode.xxhash and not refused(bytes(changed)):
        fault(f"{path.name}: not refused with changed data")


def main():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    random.seed(seed)
    sums = "verified" if decode.xxhash else "NOT verified: python3-xxhash is not installed"
    print("checksums are", sums)
    print(agrees(GOLDEN), "golden objects read")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "--write", folder], check=True, stdout=subprocess.DEVNULL)
        print(agrees(pathlib.Path(folder)), "objects of today read")
    for path in GOLDEN.glob("*.node"):
        cut_node_is_noticed(path)
    for path in GOLDEN.glob("*.map"):
        cut_mirror_is_noticed(path)
    for path in GOLDEN.glob("*.log"):
        damaged_log_is_noticed(path)
    tried = sum(is_noticed(p.name, p.read_bytes()) for p in sorted(GOLDEN.glob("*.obj")))
    print(tried, "damaged objects tried")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
