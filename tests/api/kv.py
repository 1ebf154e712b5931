#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""kv.py PROGRAM DIR - drives docs/examples/kv.c beside a model, killing it again and again.

A group of changes is committed when the program has said so; one that was under way when the program
was killed may be there or not, but only whole. Seed: LSVD_TEST_SEED.
"""
import os
import random
import subprocess
import sys
import time

KILLS = 12
GROUPS = 8       # between two kills
KEYS = 300


class Store:
    def __init__(self, program, directory):
        self.program, self.directory = program, directory

    def start(self):
        self.process = subprocess.Popen([self.program, self.directory], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        return int(self.answer().split()[0])

    def say(self, line):
        self.process.stdin.write(line + "\n")

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the program ended: " + str(self.process.wait()))
        return line.rstrip("\n")

    def ask(self, line):
        self.say(line)
        self.process.stdin.flush()
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit("the program failed")


def some_changes(rng):
    changes = {}
    for _ in range(rng.randrange(1, 60)):
        key = f"key{rng.randrange(KEYS)}"
        changes[key] = None if rng.random() < 0.2 else f"{key}:{rng.randbytes(rng.randrange(4000)).hex()}"
    return changes


def say_changes(store, changes):
    for key, value in changes.items():
        store.say(f"del {key}" if value is None else f"set {key} {value}")


def with_changes(model, changes):
    return {k: v for k, v in {**model, **changes}.items() if v is not None}


def contents(store):
    found = {}
    for i in range(KEYS):
        key = f"key{i}"
        answer = store.ask(f"get {key}")
        if answer != f"{key}: none":
            found[key] = answer.split(" = ", 1)[1]
    return found


def stored_bytes(directory):
    return sum(os.path.getsize(os.path.join(top, name))
               for top, _, names in os.walk(directory) for name in names)


def main():
    seed = int(os.environ.get("LSVD_TEST_SEED") or time.time_ns())
    print(f"seed: LSVD_TEST_SEED={seed}", flush=True)
    rng = random.Random(seed)
    store, model, half_done = Store(*sys.argv[1:]), {}, 0

    for kill in range(KILLS):
        keys = store.start()
        if keys != len(model):
            sys.exit(f"after {kill} kills: {keys} keys, expected {len(model)}")
        for _ in range(rng.randrange(1, GROUPS)):
            changes = some_changes(rng)
            say_changes(store, changes)
            said = store.ask("commit")
            if said != f"committed {len(changes)}":
                sys.exit(f"commit: {said}")
            model = with_changes(model, changes)
        if rng.random() < 0.5 and not store.ask("gc").startswith("moved "):
            sys.exit("gc did not say what it moved")
        last = some_changes(rng)
        say_changes(store, last)
        if rng.random() < 0.7:
            store.say("commit" if rng.random() < 0.5 else "gc")
        store.process.stdin.flush()
        time.sleep(rng.random() * 0.01)  # not waited for: any moment will do
        store.kill()

        store.start()
        found = contents(store)
        if found == with_changes(model, last) and found != model:
            model, half_done = found, half_done + 1
        elif found != model:
            sys.exit(f"after kill {kill}: what was committed is not there")
        store.end()

    store.start()
    for i in range(KEYS):
        store.say(f"del key{i}")
    store.ask("commit")
    before = stored_bytes(sys.argv[2])
    print("all deleted:", store.ask("gc"))
    store.end()
    after = stored_bytes(sys.argv[2])
    if after > before / 4:
        sys.exit(f"{before} bytes were stored, and {after} are after everything was deleted and collected")
    print(f"{KILLS} kills, {half_done} times the commit under way was there; {before} bytes, then {after}")


main()
