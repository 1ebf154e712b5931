#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_columns.py TREE - says which line of C in TREE is wider than docs/style.md allows.

A tab goes on to the next multiple of 8; what is counted are characters, not bytes.
"""
import pathlib
import sys

COLUMNS = 100
FOLDERS = ("lib", "include", "tools", "tests", "docs/examples")


def sources(tree):
    for folder in FOLDERS:
        yield from sorted(p for p in (tree / folder).rglob("*") if p.suffix in (".c", ".h"))


def main():
    tree = pathlib.Path(sys.argv[1])
    count = faults = 0
    for path in sources(tree):
        count += 1
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            width = len(line.expandtabs(8))
            if width > COLUMNS:
                print(f"{path.relative_to(tree)}:{number}: {width} columns, at most {COLUMNS}")
                faults += 1
    if not count:
        sys.exit(f"{tree}: no sources there")
    if not faults:
        print(f"no line of {count} files is wider than {COLUMNS} columns")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
