#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""functions.py [FOLDER...] - how long the functions are: median, nine of ten, the ten longest. A
report for whoever reviews; no number is enforced.
"""
import pathlib
import re
import sys

NAME = re.compile(r"(\w+)\s*\(")


def functions(path):
    """Name, first line and length of every function: its body stands between braces at column 0."""
    head, begun = [], None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line == "{" and head and "(" in " ".join(head):
            begun = number
        elif line.startswith("}"):
            if begun:
                yield NAME.search(" ".join(head)).group(1), begun, number - begun - 1
            head, begun = [], None
        elif begun is None:
            head = head + [line] if line and not line.startswith(("#", " *", "/*")) else []


def main():
    folders = sys.argv[1:] or ["lib", "tools"]
    found = [(length, name, f"{path}:{line}") for folder in folders
             for path in sorted(pathlib.Path(folder).rglob("*.c"))
             for name, line, length in functions(path)]
    if not found:
        sys.exit(f"no function in {' '.join(folders)}")
    found.sort(reverse=True)
    lengths = sorted(length for length, _, _ in found)
    print(f"{len(found)} functions, median {lengths[len(lengths) // 2]} lines, "
          f"nine of ten within {lengths[len(lengths) * 9 // 10]}, "
          f"{sum(length > 45 for length in lengths)} over 45")
    for length, name, place in found[:10]:
        print(f"{length:5}  {name}  {place}")


if __name__ == "__main__":
    main()
