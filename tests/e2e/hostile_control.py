# SPDX-License-Identifier: BSD-2-Clause
"""hostile_control.py - administrators that nobody would want, on a control socket.

    hostile_control.py SOCKET            lists the attacks
    hostile_control.py SOCKET ATTACK     runs one; exit code 0: the server did what it should
"""
import json
import os
import random
import socket
import sys

DEADLINE = 60  # nothing here may take longer
TALKS = 16     # at once
LINE = 4096


class Admin:
    def __init__(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # First: with a deadline it would not wait while the server's backlog is full.
        self.sock.connect(sys.argv[1])
        self.sock.settimeout(DEADLINE)
        self.rest = b""

    def send(self, data):
        self.sock.sendall(data)
        return self

    def line(self):
        while b"\n" not in self.rest:
            part = self.sock.recv(1 << 16)
            if not part:
                raise EOFError
            self.rest += part
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def reply(self):
        while True:
            answer = self.line()
            if "progress" not in answer:
                return answer

    def ask(self, **request):
        return self.send(json.dumps(request).encode() + b"\n").reply()

    def ended(self):
        try:
            while self.sock.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        return True


def works():
    answer = Admin().ask(verb="stats")
    assert answer["ok"] and answer["result"]["status"] == "ok", answer


def requests_that_are_none_are_refused_one_by_one():
    a = Admin()
    for junk in (b"\n", b"{}\n", b"[]\n", b"null\n", b"7\n", b'"stats"\n', b"{\n", b"\0\n", b"\xff\xfe\n",
                 b'{"verb":7}\n', b'{"verb":null}\n', b'{"verb":"nothing"}\n', b'{"verb":"stats"\n',
                 b'{"verb":"stats","verb":"stats"}\n', b'{"verb":"stats","more":1}\n',
                 b'{"verb":"seal","wait":"yes"}\n', b'{"verb":"resize"}\n',
                 b'{"verb":"resize","bytes":-1}\n', b'{"verb":"resize","bytes":1e30}\n',
                 b'{"verb":"resize","bytes":513}\n',
                 b'{"verb":"resize","bytes":123456789012345678901234567890}\n',
                 b'{"verb":"gc"}\n', b'{"verb":"gc","action":"dance"}\n',
                 b'{"verb":"gc","action":"start","percent":1}\n',
                 b'{"verb":"gc","action":"start","percent":4294967426}\n',
                 b'{"verb":"snapshot","action":"create"}\n',
                 b'{"verb":"snapshot","action":"create","snapshot":"../../etc/passwd"}\n',
                 b'{"verb":"snapshot","action":"create","snapshot":""}\n',
                 b'{"verb":"snapshot","action":"create","snapshot":"%s"}\n' % (b"x" * 3000),
                 b'{"verb":"snapshot","action":"delete","snapshot":"%n%s%d"}\n',
                 b"[" * 4000 + b"\n"):
        answer = a.send(junk).reply()
        assert answer["ok"] is False and answer["error"] and answer["text"], (junk, answer)
    assert a.ask(verb="stats")["ok"]


def a_line_without_end_is_cut_off():
    a = Admin()
    try:
        for i in range(1000):
            a.send(b"x" * LINE)
    except ConnectionError:
        return
    assert a.ended()


def a_request_of_the_longest_length_is_read_and_one_byte_more_is_not():
    a = Admin()
    request = b'{"verb":"stats"}'
    assert a.send(request + b" " * (LINE - len(request) - 1) + b"\n").reply()["ok"]
    answer = Admin().send(request + b" " * (LINE - len(request)) + b"\n").reply()
    assert answer["ok"] is False and answer["error"] == "E2BIG", answer


def silence_and_half_a_request_do_not_last():
    silent, half = Admin(), Admin().send(b'{"verb":"st')
    assert silent.ended() and half.ended()


def requests_in_pieces_and_many_at_once_are_answered_in_order():
    a = Admin()
    for byte in b'{"verb":"stats"}\n':
        a.send(bytes([byte]))
    assert a.reply()["ok"]
    a.send(b'{"verb":"stats"}\n{"verb":"no"}\n' * 50)
    for i in range(50):
        assert a.reply()["ok"] is True
        assert a.reply()["ok"] is False


def a_crowd_is_told_to_come_again():
    crowd = [Admin() for i in range(200)]
    turned_away = 0
    for a in crowd[TALKS:]:
        try:
            turned_away += a.line()["error"] == "EBUSY"
        except (EOFError, ConnectionError):
            turned_away += 1
    assert turned_away == 200 - TALKS, turned_away
    for a in crowd:
        a.sock.close()
    for i in range(DEADLINE * 20):
        try:
            works()
            return
        except (AssertionError, EOFError, ConnectionError, KeyError):
            continue
    raise AssertionError("nobody is served after the crowd has left")


def who_reads_nothing_is_given_up():
    a = Admin()
    a.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    a.sock.settimeout(DEADLINE)
    try:
        for i in range(100000):
            a.send(b'{"verb":"stats"}\n' * 100)
    except ConnectionError:
        return
    raise AssertionError("the server reads on though nobody takes its replies")


def who_leaves_at_once_harms_nobody():
    for i in range(300):
        a = Admin()
        try:
            if i % 3:
                a.send(b'{"verb":"stats"}\n' * (i % 3))
        except ConnectionError:
            pass  # one of too many
        a.sock.close()


def noise_is_not_understood():
    random.seed(int(os.environ.get("LSVD_TEST_SEED", "1")))
    for i in range(100):
        a = Admin()
        try:
            a.send(random.randbytes(random.randrange(1, 3 * LINE)) + b"\n")
        except ConnectionError:
            pass
        a.sock.close()


ATTACKS = [f for n, f in list(globals().items())
           if callable(f) and getattr(f, "__module__", "") == "__main__" and "_" in n]

if __name__ == "__main__":
    if len(sys.argv) < 3:
        print("\n".join(f.__name__ for f in ATTACKS))
    else:
        {f.__name__: f for f in ATTACKS}[sys.argv[2]]()
        for i in range(DEADLINE * 20):  # those who were cut off a moment ago may still count
            try:
                works()
                break
            except (AssertionError, EOFError, ConnectionError, KeyError):
                continue
        else:
            raise AssertionError("the socket does not answer any more")
