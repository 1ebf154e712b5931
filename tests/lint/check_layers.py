#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_layers.py TREE - says which #include of TREE/lib breaks the rule in TREE/lib/layers.txt.

A folder of lib/ may include itself, what its line in layers.txt names, and public headers. Public
headers include nothing but public headers and the C library; the tools include nothing of lib/ but
what is public. The rule itself must have no cycle, or "layer" would mean nothing.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def read_rule(path):
    """The folders of lib/ and the set that each may include."""
    rule = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        folder, colon, others = line.partition(":")
        if not colon or folder in rule:
            sys.exit(f"{path}:{number}: expected 'folder: folders', each folder once")
        rule[folder] = set(others.split())
    return rule


def cycle_in(rule):
    """A folder that reaches itself through others, or None."""
    for start in rule:
        seen, todo = set(), list(rule[start])
        while todo:
            folder = todo.pop()
            if folder == start:
                return start
            if folder not in seen:
                seen.add(folder)
                todo.extend(rule.get(folder, ()))
    return None


def includes(source):
    """Every include of a file: (line number, '"' or '<', path)."""
    for number, line in enumerate(source.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in (".c", ".h"))


def check_library(tree, rule, complain):
    lib = tree / "lib"
    for folder in sorted(p.name for p in lib.iterdir() if p.is_dir()):
        if folder not in rule and sources(lib / folder):
            complain(lib / folder, 0, "the folder has no line in lib/layers.txt")
    for source in sources(lib):
        here = source.relative_to(lib).parts[0]
        for number, mark, path in includes(source):
            if mark == "<":
                continue
            there, slash, _ = path.partition("/")
            if not slash:
                complain(source, number, f'"{path}" is written without its folder')
            elif there != here and there not in rule.get(here, ()):
                complain(source, number, f"{here}/ may not include {path}")


def check_public(tree, complain):
    for source in sources(tree / "include"):
        for number, mark, path in includes(source):
            if mark == '"':
                complain(source, number, f'a public header includes "{path}"')


def check_tools(tree, rule, complain):
    for source in sources(tree / "tools"):
        for number, mark, path in includes(source):
            if mark == '"' and path.partition("/")[0] in rule and not (source.parent / path).exists():
                complain(source, number, f"a tool includes {path}: only <lsvd/*.h> is for tools")


def main():
    tree = pathlib.Path(sys.argv[1])
    rule = read_rule(tree / "lib" / "layers.txt")
    faults = []

    def complain(path, number, text):
        faults.append(f"{path.relative_to(tree)}:{number}: {text}")

    for folder, others in rule.items():
        for other in others - rule.keys():
            complain(tree / "lib/layers.txt", 0, f"{folder} may include {other}, which has no line")
    around = cycle_in(rule)
    if around:
        complain(tree / "lib/layers.txt", 0, f"{around} may include itself in a circle")
    check_library(tree, rule, complain)
    check_public(tree, complain)
    check_tools(tree, rule, complain)
    print("\n".join(faults) or "every include points down")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
