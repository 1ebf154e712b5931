#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""decode.py - a second decoder of objects, written from docs/format.md alone.

    decode.py FILE...        says what is in objects, local logs, mirrors; exit 1 if one is damaged, 3 if it is newer
    decode.py --sums         says whether checksums can be verified here

It shares no code with the library and needs nothing but Python's own modules, which have no XXH3:
checksums are verified if the module xxhash (Debian: python3-xxhash) is there, everything else always.
"""
import re
import struct
import sys
import zlib

try:
    import xxhash
except ImportError:
    xxhash = None


class Damaged(Exception):
    pass


class Newer(Exception):
    pass


def must(truth, text):
    if not truth:
        raise Damaged(text)


# ---- Conventions

def take(layout, data, offset):
    must(offset + struct.calcsize(layout) <= len(data), f"ends before byte {offset}")
    return struct.unpack_from(layout, data, offset)[0]


def u16(data, offset):
    return take("<H", data, offset)


def u32(data, offset):
    return take("<I", data, offset)


def u64(data, offset):
    return take("<Q", data, offset)


def i64(data, offset):
    return take("<q", data, offset)


def uuid(data, offset):
    digits = data[offset:offset + 16].hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def text(data, offset, most):
    field = data[offset:offset + most + 1]
    must(b"\0" in field, f"the text at {offset} has no end")
    return field[:field.index(b"\0")].decode("ascii", "replace")


def name_of(field):
    """A volume's or a snapshot's."""
    said = field.decode("ascii", "replace")
    must(re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", said), "no name")
    return said


def varint(data, at):
    """The number at `at` and where the next one is."""
    value = 0
    for n in range(10):
        must(at + n < len(data), "a varint is cut off")
        byte = data[at + n]
        value |= (byte & 0x7f) << (7 * n)
        if byte < 0x80:
            must(byte or n == 0, "a varint is longer than it must be")
            must(value < 1 << 64, "a varint has more than 64 bits")
            return value, at + n + 1
    raise Damaged("a varint has more than 10 bytes")


def unzigzag(value):
    return value // 2 if value % 2 == 0 else -(value + 1) // 2


# ---- Checksums

def xxh3(data, seed=0):
    return xxhash.xxh3_64_intdigest(data, seed)


def owner(volume):
    return xxh3(volume)


def bind(h, seed, a, b):
    return xxh3(struct.pack("<QQQ", h, a, b), seed)


def data_sum(data):
    if len(data) <= 4096:
        return xxh3(data)
    pieces = [data[i:i + 4096] for i in range(0, len(data), 4096)]
    return xxh3(b"".join(struct.pack("<Q", xxh3(p)) for p in pieces))


def header_sum(header, volume):
    rest = xxh3(header[80:], owner(volume))
    return xxh3(header[:72] + struct.pack("<Q", rest), owner(volume))


# ---- Objects

KINDS = {1: "volume", 2: "claim", 3: "base", 4: "data", 5: "fence", 6: "close", 7: "pages",
         8: "root", 9: "note", 10: "moved", 11: "values", 12: "vlog", 13: "slot"}


class Head:
    def __init__(self, data):
        must(len(data) >= 80, f"{len(data)} bytes are no head")
        must(data[:8] == b"LSVDOBJ\0", "wrong magic")
        version = u16(data, 8)
        if version > 1:
            raise Newer(f"version {version}")
        must(version == 1, "version 0")
        self.kind = u16(data, 10)
        self.header_bytes = u32(data, 12)
        must(80 <= self.header_bytes <= 16777216 and self.header_bytes % 16 == 0,
             f"header of {self.header_bytes} bytes")
        must(self.header_bytes <= len(data), "the header is cut off")
        self.volume = data[24:40]
        if xxhash:
            must(u64(data, 72) == header_sum(data[:self.header_bytes], self.volume),
                 "the header's checksum")
        if u32(data, 20) & ~(1 if self.kind == 1 else 0):
            raise Newer(f"incompatible features {u32(data, 20):08x}")
        if self.kind not in KINDS:
            raise Newer(f"kind {self.kind}")
        self.epoch, self.seq = u64(data, 40), u64(data, 48)
        self.object, self.body_bytes = u64(data, 56), u64(data, 64)
        must(self.header_bytes + self.body_bytes == len(data),
             f"{len(data)} bytes, expected {self.header_bytes} + {self.body_bytes}")

    def show(self, data):
        print("kind", KINDS[self.kind])
        print("volume", uuid(data, 24))
        for name in ("epoch", "seq", "object", "header_bytes", "body_bytes"):
            print(name, getattr(self, name))


def check_volume_bytes(value):
    must(512 <= value <= 1 << 50 and value % 512 == 0, f"volume of {value} bytes")


def show_volume(head, data):
    must(head.header_bytes >= 256, "too short for a volume record")
    if head.kind == 1:
        check_volume_bytes(u64(data, 80))
    else:
        must(u64(data, 80) == 0, "a value log has a size")
    print("bytes", u64(data, 80))
    print("created_ms", i64(data, 88))
    print("name", text(data, 96, 64))
    count = u32(data, 168)
    must(count <= 64 and head.header_bytes >= 256 + 24 * count, "more ancestors than room")
    if count:
        must(u64(data, 216) and u64(data, 176) < 1 << 40, "a clone of nothing")
        print("snapshot", uuid(data, 184), "root", u64(data, 200), u64(data, 208),
              "at", u64(data, 216), u64(data, 224), "own_first", u64(data, 176))
    for at in range(256, 256 + 24 * count, 24):
        must(at == 256 or u64(data, at) >= u64(data, at - 24), "ancestors are not in order")
        must(u64(data, at) <= u64(data, 176), "an ancestor begins behind the clone")
        print("ancestor", uuid(data, at + 8), "from", u64(data, at))
    lowers, at = u32(data, 232), 256 + (24 * count + 15) // 16 * 16
    must(lowers <= 32 and head.header_bytes >= at + 192 * lowers, "more lowers than room")
    must(bool(lowers) == bool(u32(data, 20) & 1), "lowers without their feature, or it without them")
    for at in range(at, at + 192 * lowers, 192):
        check_volume_bytes(u64(data, at + 32))
        print("lower", uuid(data, at), uuid(data, at + 16), u64(data, at + 32),
              text(data, at + 48, 64), text(data, at + 120, 64))


def show_slot(head, data):
    must(head.header_bytes == 192 and head.epoch == 0, "no slot's header")
    must(1 <= u32(data, 80) <= 4, "what the slot says")
    print("slot", ("", "add", "drop", "close", "doubt")[u32(data, 80)], uuid(data, 88), text(data, 104, 64))


def show_claim(head, data):
    must(head.header_bytes >= 256, "too short for a claim")
    print("cache_id", uuid(data, 80))
    print("pid", u64(data, 96))
    print("created_ms", i64(data, 104))
    print("host", text(data, 112, 64))
    must(u64(data, 192) <= head.epoch, f"claim of {head.epoch}, void from {u64(data, 192)} on")
    print("void_from", u64(data, 192))


def show_chain(head, data):
    must(head.header_bytes >= 208, "too short for a chain part")
    first_op, last_op, acked_seq = u64(data, 88), u64(data, 96), u64(data, 104)
    must(first_op == 0 or last_op >= first_op - 1, f"operations {first_op} to {last_op}")
    must(acked_seq < head.seq, f"acknowledged up to {acked_seq}")
    check_volume_bytes(u64(data, 128))
    print(f"prev_checksum {u64(data, 80):016x}")
    print("first_op", first_op)
    print("last_op", last_op)
    print("acked_seq", acked_seq)
    print("root", u64(data, 112), u64(data, 120))
    print("volume_bytes", u64(data, 128))
    print("next_object", u64(data, 136))
    print("flags", u32(data, 168))


def show_base(head, data):
    show_chain(head, data)
    epoch, seq = u64(data, 144), u64(data, 152)
    must(head.seq == 1 and epoch < head.epoch, f"base with seq {head.seq} on epoch {epoch}")
    must((epoch == 0) == (seq == 0), f"base {epoch} {seq}")
    print("base", epoch, seq)


def show_fence(head, data):
    show_chain(head, data)
    must(u64(data, 160) > head.epoch, "fenced by no later epoch")
    print("fenced_by", u64(data, 160))


# ---- Units

def unpack_lz4(stored, most):
    """One LZ4 block: tokens, literals, matches; never more than `most` bytes."""
    out = bytearray()
    at = 0

    def length(nibble, at):
        if nibble < 15:
            return nibble, at
        while True:
            must(at < len(stored), "LZ4: a length is cut off")
            nibble += stored[at]
            at += 1
            if stored[at - 1] < 255:
                return nibble, at

    while True:
        must(at < len(stored), "LZ4: no token")
        token = stored[at]
        literals, at = length(token >> 4, at + 1)
        must(at + literals <= len(stored), "LZ4: literals are cut off")
        must(len(out) + literals <= most, "LZ4: too much")
        out += stored[at:at + literals]
        at += literals
        if at == len(stored):
            return bytes(out)
        distance = u16(stored, at)
        match, at = length(token & 15, at + 2)
        match += 4
        must(0 < distance <= len(out), f"LZ4: distance {distance}")
        must(len(out) + match <= most, "LZ4: too much")
        for _ in range(match):
            out.append(out[-distance])


def unpack_deflate(stored, most):
    unpacker = zlib.decompressobj(-15)
    try:
        out = unpacker.decompress(stored, most + 1)
    except zlib.error as e:
        raise Damaged(f"deflate: {e}") from e
    must(unpacker.eof and not unpacker.unused_data, "deflate: not one whole stream")
    return out


def open_unit(data, at, head, lba):
    """Raw data, codec and stored bytes of the unit at `at`, and where the next one begins."""
    must(u32(data, at) == lba & 0xffffffff, f"the unit at {at} is not of sector {lba}")
    stored, sectors, codec = u16(data, at + 4) + 1, data[at + 6] + 1, data[at + 7]
    raw = sectors * 512
    after = (at + 16 + stored + 15) // 16 * 16
    must(after <= len(data), f"the unit at {at} is cut off")
    must(codec <= 2, f"codec {codec}")
    if codec == 0:
        must(sectors <= 8 and stored == raw, f"raw unit of {stored} bytes for {sectors} sectors")
    else:
        must(sectors <= 128 and stored < raw, f"unit of {stored} bytes for {sectors} sectors")
    must(not any(data[at + 16 + stored:after]), "padding is not zero")
    out = data[at + 16:at + 16 + stored]
    if codec:
        out = (unpack_lz4 if codec == 1 else unpack_deflate)(out, raw)
    must(len(out) == raw, f"the unit at {at} unpacks to {len(out)} bytes, expected {raw}")
    if xxhash:
        want = bind(data_sum(out), owner(head.volume), head.object, lba)
        must(u64(data, at + 8) == want, f"the checksum of the unit at {at}")
    return out, codec, stored, after


# ---- Segments

EXTENT_KINDS = ("raw", "unit", "zero", "hole")


def read_extents(encoded, count, volume_sectors, offset, end):
    """(lba, sectors, kind, stored, offset) of every extent; the lengths are checked here."""
    length = len(encoded)
    must(count <= length // 2, f"{count} extents in {length} bytes")
    must(end <= 1 << 27, "the object is too long")
    at = lba = 0
    for _ in range(count):
        gap, at = varint(encoded, at)
        gap = unzigzag(gap)
        size, at = varint(encoded, at)
        sectors, kind = size // 4, size % 4
        must(gap >= 0, "extents are not in order")
        lba += gap
        must(sectors >= 1 and lba + sectors <= volume_sectors, f"extent {lba}+{sectors}")
        stored = space = 0
        if kind == 0:
            space = 512 * sectors + 16 * ((sectors + 7) // 8)
        elif kind == 1:
            stored, at = varint(encoded, at)
            must(sectors <= 128 and 1 <= stored < sectors * 512, f"unit of {stored} bytes")
            space = (16 + stored + 15) // 16 * 16
        must(offset + space <= end, "bodies are longer than the object")
        yield lba, sectors, kind, stored, offset
        offset += space
        lba += sectors
    must(at == length, "bytes after the last extent")
    must(offset == end, "bytes after the last unit")


def extent_data(head, data, extent):
    lba, sectors, kind, stored, at = extent
    out = b""
    while len(out) < sectors * 512:
        full = min(8, sectors - len(out) // 512) if kind == 0 else sectors
        raw, codec, length, at = open_unit(data, at, head, lba + len(out) // 512)
        must((codec == 0) == (kind == 0), "an extent's kind and its unit's codec differ")
        must(len(raw) == full * 512, "a unit has another length than its extent says")
        must(kind == 0 or length == stored, "a unit's stored length is not the extent's")
        out += raw
    return out


def show_extents(head, data, extents):
    print("extents", len(extents))
    for extent in extents:
        lba, sectors, kind, _, offset = extent
        line = f"{EXTENT_KINDS[kind]} lba {lba} sectors {sectors}"
        if kind < 2:
            line += f" off {offset} crc {zlib.crc32(extent_data(head, data, extent)):08x}"
        print(line)


def check_lists(head, data):
    """The lengths of extents and records in a chain object's header."""
    extent_bytes, records, record_bytes = u32(data, 176), u32(data, 180), u32(data, 184)
    must(record_bytes % 8 == 0 and records <= record_bytes // 8,
         f"{records} records in {record_bytes} bytes")
    start = (208 + extent_bytes + 7) // 8 * 8
    must(head.header_bytes == (start + record_bytes + 15) // 16 * 16,
         "extents and records do not fill the header")
    return start, start + record_bytes, records


def show_data(head, data):
    show_chain(head, data)
    must(head.object > 0, "object number 0")
    check_lists(head, data)
    extents = read_extents(data[208:208 + u32(data, 176)], u32(data, 172),
                           u64(data, 128) // 512, head.header_bytes, len(data))
    show_extents(head, data, list(extents))
    show_records(head, data)


def show_note(head, data):
    show_chain(head, data)
    must(u32(data, 172) == 0 and u32(data, 176) == 0 and head.body_bytes == 0,
         "a note has extents or a body")
    must(u64(data, 96) + 1 == u64(data, 88), "a note has operations")
    show_records(head, data)


def show_moved(head, data):
    must(head.header_bytes >= 96 and head.object > 0, "too short for a moved part, or no number")
    length = u32(data, 84)
    must(head.header_bytes == (96 + length + 15) // 16 * 16, "extents do not fill the header")
    extents = list(read_extents(data[96:96 + length], u32(data, 80), 1 << 41,
                                head.header_bytes, len(data)))
    must(all(e[2] != 3 for e in extents), "a moved object has a hole")
    show_extents(head, data, extents)


# ---- Roots

def show_root(head, data):
    if head.header_bytes == 128:
        show_vlog_root(head, data)
        return
    must(head.header_bytes == 160 and head.object == head.seq, "no root's header")
    pages, objects, new = u64(data, 120), u64(data, 128), u64(data, 136)
    snapshots = u64(data, 152)
    nodes = pages + objects + snapshots
    body = data[160:]
    must(len(body) == 40 * nodes + 16 * new, "the lists do not fill the root")
    if xxhash:
        must(u64(data, 144) == xxh3(body, owner(head.volume)), "the body's checksum")
    check_volume_bytes(u64(data, 112))
    must(u64(data, 104) <= 1 << 40, "too many objects")
    print("at", u64(data, 80), u64(data, 88), "last_op", u64(data, 96))
    print("next_object", u64(data, 104))
    print("volume_bytes", u64(data, 112))
    for what, first, count in (("pages", 0, pages), ("objects", pages, objects),
                               ("snapshots", pages + objects, snapshots)):
        last = -1
        for at in range(40 * first, 40 * (first + count), 40):
            index = u64(body, at)
            must(index > last and u64(body, at + 16) and u32(body, at + 28), "a list is not in order")
            last = index
            print(f"{what} node {index} in", u64(body, at + 8), u64(body, at + 16),
                  "off", u32(body, at + 24), "len", u32(body, at + 28))
    for at in range(40 * nodes, len(body), 16):
        print("new", u64(body, at), "bytes", u64(body, at + 8))


# ---- Records

def show_adoption(payload, volume_sectors):
    must(len(payload) >= 56, "an adoption is cut off")
    if u32(payload, 28):
        raise Newer(f"adoption with flags {u32(payload, 28):08x}")
    must(0 < u64(payload, 0) < 1 << 40 and u64(payload, 8), "an adoption of nothing")
    at = 56 + u32(payload, 44)
    must(at <= len(payload), "an adoption's extents are cut off")
    extents = list(read_extents(payload[56:at], u32(payload, 40), volume_sectors,
                                u32(payload, 24), u32(payload, 24) + u64(payload, 32)))
    must(all(e[2] != 3 for e in extents), "an adoption has a hole")
    sources, left = [], sum(e[1] for e in extents)
    for _ in range(u32(payload, 48)):
        more, at = varint(payload, at)
        sources.append(sources[-1] + more + 1 if sources else more)
        must(sources[-1] < 1 << 40, f"source {sources[-1]}")
    print("adopts", u64(payload, 0), u64(payload, 8), u64(payload, 16), "extents", len(extents))
    for _ in range(u32(payload, 52)):
        sectors, at = varint(payload, at)
        index, at = varint(payload, at)
        must(0 < sectors <= left and index < len(sources), f"run of {sectors} from {index}")
        left -= sectors
        print("run", sectors, "source", sources[index])
    must(at == len(payload) and left == 0, "an adoption's runs do not fill it")


def show_snapshot(payload):
    must(len(payload) >= 26 and len(payload) == 26 + u16(payload, 24), "a snapshot's name does not fit")
    print("snapshot", uuid(payload, 0), i64(payload, 16), name_of(payload[26:]))


def show_snapshot_gone(payload):
    must(len(payload) == 16, "the end of a snapshot is no uuid")
    print("snapshot gone", uuid(payload, 0))


def show_rollback(payload):
    must(len(payload) == 32, "a rollback is no uuid and a place")
    print("back to snapshot", uuid(payload, 0), "at", u64(payload, 16), u64(payload, 24))


def show_records(head, data):
    at, end, count = check_lists(head, data)
    print("records", count)
    for _ in range(count):
        must(at + 8 <= end, "a record is cut off")
        kind, flags, length = u16(data, at), u16(data, at + 2), u32(data, at + 4)
        must(at + 8 + length <= end, "a record's payload is cut off")
        print("record", kind, flags, length)
        if kind == 1:
            show_adoption(data[at + 8:at + 8 + length], u64(data, 128) // 512)
        elif kind == 2:
            show_snapshot(data[at + 8:at + 8 + length])
        elif kind == 3:
            show_snapshot_gone(data[at + 8:at + 8 + length])
        elif kind == 4:
            show_rollback(data[at + 8:at + 8 + length])
        elif kind in (16, 17):
            show_vlog_record(kind, data[at + 8:at + 8 + length])
        at += (8 + length + 7) // 8 * 8
    must(at == end, "bytes after the last record")


# ---- Value logs

SEGMENT_FIELDS = ("number", "epoch", "commit", "object_bytes", "footer_at", "items", "raw", "stored",
                  "records", "created_ms", "flags", "stale_items", "stale_raw", "stale_records")


def show_segment(data, at):
    """A segment as records and roots describe it; its number, and where the next one is."""
    f = {}
    for name in SEGMENT_FIELDS:
        f[name], at = varint(data, at)
    must(f["number"] and f["epoch"] and f["items"], "a segment of nothing")
    must(f["records"] == f["footer_at"] - 96 and f["object_bytes"] >= f["footer_at"] + 48,
         "a segment's lengths do not add up")
    must(f["stored"] <= f["raw"] and f["stored"] <= f["records"], "a segment's sums do not add up")
    must(f["stale_items"] <= f["items"] and f["stale_raw"] <= f["raw"] and
         f["stale_records"] <= f["records"], "more is stale than there is")
    print("segment", *(f[name] for name in SEGMENT_FIELDS))
    return f["number"], at


def show_vlog_record(kind, payload):
    at = last = 0
    if kind == 16:
        count, at = varint(payload, 0)
        print("commits", count)
        for _ in range(count):
            number, at = show_segment(payload, at)
            must(number > last, "segments are not in order")
            last = number
    count, at = varint(payload, at)
    numbers = []
    for _ in range(count):
        number, at = varint(payload, at)
        numbers.append(number)
    print("out of" if kind == 16 else "retires", *numbers)
    whole(payload, at)


def show_vlog_root(head, data):
    must(head.object == head.seq, "no root's header")
    body = data[128:]
    segments, dead = u32(data, 104), u32(data, 108)
    if xxhash:
        must(u64(data, 112) == bind(xxh3(body), owner(head.volume), head.epoch, head.seq),
             "the body's checksum")
    print("at", u64(data, 80), u64(data, 88), "commits", u64(data, 96))
    at = last = 0
    for _ in range(segments):
        number, at = show_segment(body, at)
        must(number > last, "segments are not in order")
        last = number
    for _ in range(dead):
        numbers = []
        for _ in range(4):
            number, at = varint(body, at)
            numbers.append(number)
        must(numbers[0] in b"dfk" and numbers[1], "nothing can be dead by that name")
        print("dead", chr(numbers[0]), *numbers[1:])
    whole(body, at)


def open_value(codec, stored, raw):
    if len(stored) == raw:
        return stored
    if codec in (1, 2):
        value = (unpack_lz4 if codec == 1 else unpack_deflate)(stored, raw)
        must(len(value) == raw, f"{len(value)} bytes, expected {raw}")
        return value
    return None  # there is nothing here for zstd, nor for codecs of programs


def open_pieces(codec, table, stored, raw):
    out, at = [], 0
    for i in range(0, len(table), 12):
        length = u32(table, i)
        must(at + length <= len(stored), "a piece is cut off")
        piece = stored[at:at + length]
        if xxhash:
            must(u64(table, i + 4) == xxh3(piece), "a piece's checksum")
        out.append(open_value(codec, piece, min(65536, raw - 65536 * len(out))))
        at += length
    must(at == len(stored), "bytes after the last piece")
    return None if None in out else b"".join(out)


def show_value(head, data, at, end):
    """A value's record: its key, offset, size and length, as the index is to have them."""
    must(at + 24 <= end, "a record is cut off")
    codec, flags, key_bytes, raw, stored = struct.unpack_from("<BBHIQ", data, at + 8)
    must(flags <= 1 and key_bytes and (codec <= 3 or codec >= 16), "a record that cannot be")
    must((raw > 1048576) == (flags == 1), "in pieces, or not, by mistake")
    must(stored <= raw and (codec or stored == raw), "a record's lengths")
    table_at = at + 24 + key_bytes
    value_at = table_at + 12 * ((raw + 65535) // 65536 if flags else 0)
    must(value_at + stored <= end, "a record is cut off")
    key, value = data[at + 24:table_at], data[value_at:value_at + stored]
    if xxhash:
        h = xxh3(data[at + 8:value_at] + (b"" if flags else value))
        must(u64(data, at) == bind(h, owner(head.volume), head.object, at), "a record's checksum")
    if flags:
        value = open_pieces(codec, data[table_at:value_at], value, raw)
    else:
        must(codec == 0 or stored < raw, "a codec for nothing")
        value = open_value(codec, value, raw)
    print("value", at, "codec", codec, "key", key.hex(), "raw", raw, "stored", stored, "crc",
          "?" if value is None else f"{zlib.crc32(value):08x}")
    return (key, at, value_at + stored - at, raw)


def show_values(head, data):
    must(head.header_bytes == 96 and head.object == head.seq and head.object, "no segment's header")
    tail = len(data) - 48
    must(tail >= 96 and data[tail:tail + 8] == b"LSVDVSEG", "no tail")
    index_at, index_bytes, metadata, items = struct.unpack_from("<QQQQ", data, tail + 8)
    must(96 <= index_at and index_at + index_bytes + metadata == tail and metadata <= 65536,
         "the footer does not fill its place")
    if xxhash:
        must(u64(data, tail + 40) == bind(xxh3(data[index_at:tail + 40]), owner(head.volume),
                                          head.object, index_at), "the footer's checksum")
    print("created_ms", i64(data, 80))
    at, values = 96, []
    while at < index_at:
        values.append(show_value(head, data, at, index_at))
        at += values[-1][2]
    values.sort(key=lambda v: (v[0], -v[1]))
    must(len(values) == items, f"{len(values)} records, {items} in the index")
    at, key, index = index_at, b"", data[:index_at + index_bytes]
    for value in values:
        shared, at = varint(index, at)
        more, at = varint(index, at)
        must(shared <= len(key) and at + more <= len(index), "a key that cannot be")
        key = key[:shared] + index[at:at + more]
        at += more
        numbers = []
        for _ in range(4):
            number, at = varint(index, at)
            numbers.append(number)
        must((key, *numbers[:3]) == value, "the index says another thing than the records")
        print("index", key.hex(), *numbers)
    whole(index, at)
    print("metadata", data[at:at + metadata].hex())


# ---- The local log

SUPER_FIELDS = ("run", "epoch", "base_epoch", "ring_bytes", "tail", "tail_op", "tail_run", "durable",
                "stored_op", "run_start", "whole_run", "offline_op")


def superblock(data):
    """The valid slot with the greater generation."""
    best = None
    for at in (0, 4096):
        slot = data[at:at + 4096]
        if slot[:8] != b"LSVDWAL\0" or (xxhash and u64(slot, 4088) != xxh3(slot[:4088])):
            continue
        if u32(slot, 8) > 1:
            raise Newer(f"version {u32(slot, 8)}")
        must(u64(slot, 16) % 2 == at // 4096, "a generation in the other's slot")
        if best is None or u64(slot, 16) > u64(best, 16):
            best = slot
    must(best is not None, "no superblock is valid")
    return best


def show_group(ring, pos, place, volume, counts):
    """Prints the group there; run, operations and length, or None: there is none that counts."""
    data = ring[place:]
    if len(data) < 4096 or data[:8] != b"LSVDWGRP" or u64(data, 8) != pos:
        return None
    records, header, size, flags = struct.unpack_from("<IIII", data, 64)
    blocks = size // 4096
    if records > 4096 or size % 4096 or size > 2097152 or header + size > len(data) or \
            header != (96 + 24 * records + 8 * blocks + 4095) // 4096 * 4096:
        return None
    bare = data[:80] + bytes(8) + data[88:header]
    if xxhash and u64(data, 80) != xxh3(bare, owner(volume)):
        return None
    if not counts(u64(data, 16), u64(data, 24), u64(data, 40)):
        return None
    lines, block, sums = [], 0, 96 + 24 * records
    for i in range(records):
        lba, sectors, kind = struct.unpack_from("<QQI", data, 96 + 24 * i)
        must(sectors and lba + sectors <= 1 << 41 and kind <= 2, "a record that cannot be")
        lines.append(f"op {u64(data, 40) + i} {('data', 'zeroes', 'hole')[kind]} {lba} {sectors}")
        left = 512 * sectors if kind == 0 else 0
        must(left <= 2097152, "a record of more than 4096 sectors")
        while left:
            must(block < blocks, "more data than blocks")
            at = header + 4096 * block
            content = data[at:at + min(left, 4096)]
            bound = bind(xxh3(content), owner(volume), u64(data, 16), pos + at) if xxhash else 0
            must(not xxhash or u64(data, sums + 8 * block) == bound, "a data block's checksum")
            left -= len(content)
            block += 1
    must(block == blocks, "blocks that belong to no record")
    print("group", pos, "run", u64(data, 16), "after", u64(data, 24), "epoch", u64(data, 32), "durable",
          u64(data, 48), "stored_op", u64(data, 56), "pad" if flags & 1 else "bytes", header + size)
    for line in lines:
        print(line)
    length = len(ring) - place if flags & 1 else header + size
    return u64(data, 16), records, length


def show_log(data):
    """The groups from the tail up to the first that does not count."""
    slot = superblock(data)
    volume = slot[24:40]
    f = {name: u64(slot, 56 + 8 * i) for i, name in enumerate(SUPER_FIELDS)}
    must(f["ring_bytes"] % 4096 == 0 and 65536 <= f["ring_bytes"] <= 1 << 40, "a ring that cannot be")
    must(f["tail"] % 4096 == 0 and f["tail_op"], "a tail that cannot be")
    must(len(data) >= 65536 + f["ring_bytes"], "the ring is cut off")
    print("kind log")
    print("generation", u64(slot, 16), "volume", uuid(slot, 24), "cache", uuid(slot, 40), "flags",
          u32(slot, 12))
    print(*(x for item in f.items() for x in item))
    ring = data[65536:65536 + f["ring_bytes"]]
    pos, op, run = f["tail"], f["tail_op"], f["tail_run"]

    def counts(its, before, first):
        return its <= f["run"] and (pos < f["run_start"] or its == f["run"]) and first == op and \
            (its == run or (its > run and before == run))

    while pos - f["tail"] < len(ring):
        group = show_group(ring, pos, pos % len(ring), volume, counts)
        if group is None:
            break
        run, op, pos = group[0], op + group[1], pos + group[2]
    print("end", pos, "next op", op)


# ---- Mirrors

def show_page(data):
    must(data[:1] == b"\1", "a page of another format")
    count, at = varint(data, 1)
    must(count <= 8192, f"{count} extents")
    end = last = 0
    for _ in range(count):
        gap, at = varint(data, at)
        length, at = varint(data, at)
        kind, sectors, first = length % 4, length // 4 + 1, end + gap
        end = first + sectors
        must(kind < 3 and end <= 8192, "an extent beyond its page, or of no kind")
        if kind == 2:
            print("extent", first, sectors, "zeroes")
            continue
        step, at = varint(data, at)
        place, at = varint(data, at)
        sub = 0
        if place % 2:
            must(at < len(data) and data[at], "a sub of nothing")
            sub, at = data[at], at + 1
        last += unzigzag(step)
        must(0 < last < 1 << 40 and place // 2 * 16 < 1 << 27, "an extent of nothing")
        must(sub <= 7 if kind == 0 else sub + sectors <= 128, "an extent beyond its unit")
        print("extent", first, sectors, ("raw", "unit")[kind], last, "off", place // 2 * 16, "sub", sub)
    whole(data, at)


def show_mirror_pages(payload):
    at = 0
    while at < len(payload):
        length = u32(payload, at + 8)
        must(at + 16 + length <= len(payload), "a page is cut off")
        print("page", u64(payload, at))
        show_page(payload[at + 16:at + 16 + length])
        at += 16 + length


def show_mirror_objects(payload):
    must(len(payload) % 48 == 0, "an object is cut off")
    for at in range(0, len(payload), 48):
        number, epoch, name, length, user, home, live = struct.unpack_from("<QQQQIIQ", payload, at)
        must(number and epoch and home in (1, 2), "an object that cannot be")
        print("object", number, ("data", "moved")[home - 1], epoch, name, "bytes", length, "data", user,
              "live", live)


def show_mirror(data):
    """The records up to the first that does not verify; all before snapshot_end must."""
    must(len(data) >= 4096, "the head is cut off")
    if u32(data, 8) > 1:
        raise Newer(f"version {u32(data, 8)}")
    must(u32(data, 8) == 1, "version 0")
    if xxhash:
        must(u64(data, 4088) == xxh3(data[:4088]), "the head's checksum")
    volume, nonce, snapshot_end = data[24:40], data[64:72], u64(data, 112)
    check_volume_bytes(u64(data, 72))
    must(u32(data, 12) & 1, "not complete")
    print("kind mirror")
    print("generation", u64(data, 16), "volume", uuid(data, 24), "cache", uuid(data, 40), "run",
          u64(data, 56))
    print("volume_bytes", u64(data, 72), "at", u64(data, 80), u64(data, 88), "last_op", u64(data, 96),
          "next_object", u64(data, 104), "snapshot_end", snapshot_end)
    at = 4096
    while at + 48 <= len(data):
        kind, length = u32(data, at + 24), u32(data, at + 28)
        end = at + 48 + length
        if data[at:at + 8] != b"LSVDMREC" or data[at + 8:at + 16] != nonce or \
                u64(data, at + 16) != at or length > 17825792 or end > len(data):
            break
        bare = data[at:at + 32] + bytes(8) + data[at + 40:end]
        if xxhash and u64(data, at + 32) != xxh3(bare, owner(volume)):
            break
        payload = data[at + 48:end]
        print("mirrors", kind, length)
        if kind == 1:
            show_mirror_pages(payload)
        elif kind == 2:
            show_mirror_objects(payload)
        elif kind == 3:
            print("seq", u64(payload, 48))
        elif kind == 4:
            must(length == 32, "a mark of another length")
            print("mark", u64(payload, 0), u64(payload, 8), "last_op", u64(payload, 16))
            nonce = payload[24:32]
        else:
            raise Damaged(f"a record of kind {kind}")
        at = (end + 4095) // 4096 * 4096
    must(at >= snapshot_end, f"the records end at {at}, before {snapshot_end}")


# ---- Pages and nodes: what a reference leads to

def whole(data, at):
    must(at == len(data), "bytes after the last entry")


def show_page_node(data, index):
    count, at = varint(data, 0)
    must(count <= 1024, f"{count} references")
    page = 1024 * index
    for _ in range(count):
        gap, at = varint(data, at)
        numbers = []
        for _ in range(3):
            number, at = varint(data, at)
            numbers.append(number)
        page += gap
        must(page < 1024 * (index + 1) and numbers[0] and numbers[2], "a reference to nothing")
        print("page", page, "in", numbers[0], "off", numbers[1], "len", numbers[2],
              f"{u64(data, at):016x}")
        at += 8
        page += 1
    whole(data, at)


def show_object_node(data, index):
    count, at = varint(data, 0)
    must(count <= 256, f"{count} objects")
    number = 256 * index

    def take_number():
        nonlocal at
        value, at = varint(data, at)
        return value

    for _ in range(count):
        number += take_number()
        home, epoch, name, length = (take_number() for _ in range(4))
        must(number < 256 * (index + 1) and 1 <= home <= 4 and epoch and length < 1 << 32,
             "an object that cannot be")
        died = take_number()
        died = (died, take_number()) if died else (0, 0)
        born = (take_number(), take_number()) if home > 1 else (epoch, name)
        data_bytes, live = (take_number(), take_number()) if home < 3 else (0, 0)
        print("object", number, ("data", "moved", "pages", "root")[home - 1], epoch, name, "bytes",
              length, "born", *born, "died", *died, "data", data_bytes, "live", live)
        number += 1
    whole(data, at)


def show_snapshot_node(data, _):
    count, at = varint(data, 0)
    must(count <= 128, f"{count} snapshots")
    for _ in range(count):
        name_at = at + 24
        length, name_at = varint(data, name_at)
        must(name_at + length <= len(data), "a snapshot's name does not fit")
        name = name_of(data[name_at:name_at + length])
        print("snapshot", uuid(data, at), i64(data, at + 16), name, end="")
        at = name_at + length
        numbers = []
        for _ in range(8):
            number, at = varint(data, at)
            numbers.append(number)
        check_volume_bytes(numbers[1])
        must(numbers[2] and numbers[6:] <= numbers[2:4], "a snapshot at no place")
        print(" op", numbers[0], "bytes", numbers[1], "at", *numbers[2:4], "root", *numbers[4:6],
              "standing at", *numbers[6:])
    whole(data, at)


NODES = {"page": show_page_node, "object": show_object_node, "snapshot": show_snapshot_node}


def show_node(what, index, data):
    """A node: its bytes, without what says where they lie."""
    print(what, "node", index)
    NODES[what](data, index)


SHOW = {1: show_volume, 12: show_volume, 2: show_claim, 3: show_base, 4: show_data, 5: show_fence, 6: show_chain,
        8: show_root, 9: show_note, 10: show_moved, 11: show_values, 13: show_slot}


def show(data):
    if data[:8] == b"LSVDMAP\0":
        show_mirror(data)
        return
    if b"LSVDWAL\0" in (data[:8], data[4096:4104]):
        show_log(data)
        return
    head = Head(data)
    head.show(data)
    if head.kind in SHOW:
        SHOW[head.kind](head, data)


def main(names):
    if names == ["--sums"]:
        print("checksums are verified" if xxhash else
              "checksums are not verified: there is no python3-xxhash")
        return 0
    status = 0
    for name in names:
        with open(name, "rb") as f:
            data = f.read()
        try:
            show(data)
        except Damaged as e:
            print(f"{name}: damaged: {e}", file=sys.stderr)
            status = 1
        except Newer as e:
            print(f"{name}: newer than this decoder: {e}", file=sys.stderr)
            status = 3
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
