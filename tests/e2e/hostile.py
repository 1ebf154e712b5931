# SPDX-License-Identifier: BSD-2-Clause
"""hostile.py - clients that break the protocol, greedy ones, and ones that leave.

    hostile.py SOCKET EXPORT BYTES            lists the attacks
    hostile.py SOCKET EXPORT BYTES ATTACK     runs one; exit code 0: the server did what it should

Every attack speaks raw bytes on a socket of its own. What the server should do with each is written
beside it: a reply with an error, an orderly end of that connection, or service as usual. Whether
others were harmed is for the caller to see.
"""
import os
import socket
import struct
import sys
import threading

REQUEST, SIMPLE = 0x25609513, 0x67446698
IHAVEOPT = 0x49484156454F5054
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED = 1, 2, 3, 5, 6, 7, 8
LIST_META, SET_META = 9, 10
ACK, ERR_UNSUP, ERR_INVALID = 1, 0x80000001, 0x80000003
EPERM, EIO, EINVAL, ENOSPC, EOVERFLOW = 1, 5, 22, 28, 75
DEADLINE = 60  # nothing here may take longer


class Client:
    def __init__(self, flags=3):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # First: with a deadline it would not wait while the server's backlog is full.
        self.sock.connect(sys.argv[1])
        self.sock.settimeout(DEADLINE)
        if flags is not None:
            self.take(18)
            self.send(struct.pack(">I", flags))

    def send(self, data):
        self.sock.sendall(data)

    def take(self, n):
        data = bytearray()
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def ended(self):
        """The server ends the connection, whatever it says before."""
        try:
            while self.sock.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        return True

    def option(self, number, data=b"", length=None):
        self.send(struct.pack(">QII", IHAVEOPT, number,
                              len(data) if length is None else length) + data)

    def answer(self):
        magic, number, kind, length = struct.unpack(">QIII", self.take(20))
        assert magic == 0x0003E889045565A9, hex(magic)
        return kind, self.take(length)

    def last_answer(self):
        while True:
            kind, data = self.answer()
            if kind == ACK or kind & 0x80000000:
                return kind, data

    def go(self):
        name = sys.argv[2].encode()
        self.option(GO, struct.pack(">I", len(name)) + name + b"\0\0")
        assert self.last_answer()[0] == ACK
        return self

    def request(self, kind, offset, length, data=b"", cookie=1, flags=0, magic=REQUEST):
        self.send(struct.pack(">IHHQQI", magic, flags, kind, cookie, offset & (1 << 64) - 1,
                              length) + data)

    def reply(self, length=0):
        magic, error, cookie = struct.unpack(">IIQ", self.take(16))
        assert magic == SIMPLE, hex(magic)
        return error, cookie, self.take(length) if not error else b""

    def error_of(self, *args, **kw):
        self.request(*args, **kw)
        return self.reply()[0]

    def works(self):
        self.request(READ, 0, 512, cookie=77)
        error, cookie, data = self.reply(512)
        assert (error, cookie) == (0, 77), (error, cookie)
        return True


def pipelined(requests):
    """Sends them all without waiting, takes the replies meanwhile: each must come, once."""
    c = Client().go()
    sender = threading.Thread(target=c.send, args=(b"".join(requests),))
    sender.start()
    cookies = sorted(c.reply()[1] for _ in requests)
    sender.join()
    assert cookies == list(range(len(requests)))


def size():
    return int(sys.argv[3])


# ------------------------------------------------------------------------------ before GO

def silence_is_ended_after_ten_seconds():
    assert Client(flags=None).ended()


def dribbling_does_not_prolong_the_handshake():
    c = Client(flags=None)
    c.take(18)
    c.sock.settimeout(0.25)
    message = struct.pack(">I", 3) + struct.pack(">QII", IHAVEOPT, LIST, 0) * 8
    for i in range(DEADLINE * 4):
        try:
            c.send(message[i:i + 1])
            if not c.sock.recv(4096):
                return
        except TimeoutError:
            continue
        except ConnectionError:
            return
    raise AssertionError("still connected after %d s" % DEADLINE)


def unknown_client_flags_end_the_connection():
    assert Client(flags=0x80000003).ended()


def a_wrong_option_magic_ends_the_connection():
    c = Client()
    c.send(b"X" * 16)
    assert c.ended()


def an_option_of_four_gigabytes_ends_the_connection():
    c = Client()
    c.option(LIST, length=0xFFFFFFFF)
    assert c.ended()


def endless_options_are_cut_off():
    c = Client()
    try:
        for i in range(5000):
            c.option(0x7000 + i)
            kind, _ = c.answer()
            assert kind == ERR_UNSUP, hex(kind)
    except (EOFError, ConnectionError):
        return
    raise AssertionError("5000 options were answered")


def an_unknown_option_leaves_the_next_one_in_step():
    c = Client()
    c.option(12345, b"payload")
    assert c.answer()[0] == ERR_UNSUP
    c.option(LIST, b"payload that LIST must not have")
    assert c.answer()[0] == ERR_INVALID
    for data in (b"", b"\0\0", struct.pack(">I", 0xFFFFFFFF), struct.pack(">I", 5000) + b"x" * 5002,
                 struct.pack(">I", 3) + b"abc\0\7"):
        c.option(GO, data)
        assert c.last_answer()[0] & 0x80000000
    for data in (b"", struct.pack(">II", 0xFFFFFFFF, 1), struct.pack(">I", 0) + b"\xff" * 4):
        c.option(SET_META, data)
        assert c.last_answer()[0] & 0x80000000
    assert c.go().works()


def a_thousand_connections_leave_room_for_those_who_have_one():
    crowd = []
    mine = Client().go()
    try:
        for i in range(1000):
            crowd.append(Client(flags=None))
    except OSError:
        pass
    assert mine.works()
    for c in crowd:
        c.sock.close()
    # The server sees the ends and takes new clients again.
    for i in range(DEADLINE * 20):
        try:
            assert Client().go().works()
            return
        except (EOFError, ConnectionError):
            continue
    raise AssertionError("no new client is taken after the crowd has left")


# ------------------------------------------------------------------------------- after GO

def a_wrong_request_magic_ends_the_connection():
    c = Client().go()
    c.request(READ, 0, 512, magic=0x12345678)
    assert c.ended()


def unknown_commands_and_flags_are_refused_one_by_one():
    c = Client().go()
    assert c.error_of(99, 0, 512) == EINVAL
    assert c.error_of(READ, 0, 512, flags=0x8000) == EINVAL
    assert c.error_of(FLUSH, 0, 0, flags=2) == EINVAL
    assert c.works()


def ranges_that_overflow_are_refused():
    c = Client().go()
    top = 1 << 64
    for offset, length in ((top - 512, 1024), (top - 512, 512), (size(), 512), (size() - 512, 1024),
                           (1 << 63, 0xFFFFFE00), (size() - 512, 0xFFFFFE00)):
        assert c.error_of(READ, offset, length) == EINVAL
        assert c.error_of(TRIM, offset, length) == EINVAL
        assert c.error_of(ZEROES, offset, length) == ENOSPC
    assert c.error_of(WRITE, top - 512, 512, bytes(512)) == ENOSPC
    assert c.works()


def reads_beyond_the_largest_payload_are_refused():
    c = Client().go()
    assert c.error_of(READ, 0, 0xFFFFFE00) in (EINVAL, EOVERFLOW)
    assert c.error_of(READ, 0, (64 << 20) + 512) in (EINVAL, EOVERFLOW)
    assert c.works()


def a_write_beyond_the_largest_payload_is_drained_and_refused():
    c = Client().go()
    n = (64 << 20) + 512
    c.request(WRITE, 0, n)
    for i in range(n // 512):
        c.send(bytes(512)) if i % 4096 else c.send(bytes(512))
    assert c.reply()[0] in (EINVAL, EOVERFLOW)
    assert c.works()


def a_write_of_four_gigabytes_ends_the_connection():
    c = Client().go()
    c.request(WRITE, 0, 0xFFFFFE00)
    try:
        for i in range(4096):
            c.send(bytes(1 << 16))
    except ConnectionError:
        return
    assert c.ended()


def a_request_split_into_bytes_is_served():
    c = Client().go()
    message = struct.pack(">IHHQQI", REQUEST, 0, READ, 5, 0, 512)
    for i in range(len(message)):
        c.send(message[i:i + 1])
    error, cookie, _ = c.reply(512)
    assert (error, cookie) == (0, 5)


def answers_never_read_hold_a_bounded_part():
    greedy = []
    for i in range(20):
        c = Client().go()
        c.sock.settimeout(0.2)
        try:
            for j in range(4096):
                c.request(READ, 0, 32 << 20, cookie=j)
        except TimeoutError:
            pass
        greedy.append(c)
    assert Client().go().works()


def spans_of_gigabytes_are_answered_by_the_thousand():
    half = min(size(), 0xFFFFFE00) // 2 // 512 * 512
    pipelined([struct.pack(">IHHQQI", REQUEST, 0, (TRIM, ZEROES, CACHE, TRIM)[i % 4], i,
                           size() - half, half) for i in range(2000)])


def a_storm_of_flushes_is_answered():
    pipelined([struct.pack(">IHHQQI", REQUEST, 0, FLUSH, i, 0, 0) for i in range(10000)])


def resets_while_replies_are_under_way_harm_nobody():
    for i in range(50):
        c = Client().go()
        for j in range(16):
            c.request(READ, 0, 1 << 20, cookie=j)
        c.take(1000)
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.sock.close()


def halves_of_writes_are_not_written():
    c = Client().go()
    at = size() - (1 << 20)
    c.request(WRITE, at, 4096, b"\x66" * 4096)
    assert c.reply()[0] == 0
    d = Client().go()
    d.request(WRITE, at, 4096, b"\x77" * 4000)
    d.sock.close()
    c.request(READ, at, 4096)
    assert c.reply(4096)[2] == b"\x66" * 4096


def names_with_control_characters_stay_out_of_the_log():
    for i in range(500):
        c = Client()
        name = b"\x1b[31mgotcha\x07\r\n" + b"A" * 300
        c.option(GO, struct.pack(">I", len(name)) + name + b"\0\0")
        assert c.last_answer()[0] & 0x80000000
        c.sock.close()


def noise_is_not_understood():
    import random
    random.seed(int(os.environ.get("LSVD_TEST_SEED", "1")))
    for i in range(200):
        c = Client(flags=None if i % 2 else 3)
        try:
            if i % 4 == 0:
                c.go()
            c.send(random.randbytes(random.randrange(1, 5000)))
        except (ConnectionError, EOFError):
            pass
        c.sock.close()


ATTACKS = [f for n, f in list(globals().items())
           if callable(f) and getattr(f, "__module__", "") == "__main__" and "_" in n]

if __name__ == "__main__":
    if len(sys.argv) < 5:
        print("\n".join(f.__name__ for f in ATTACKS))
    else:
        {f.__name__: f for f in ATTACKS}[sys.argv[4]]()
