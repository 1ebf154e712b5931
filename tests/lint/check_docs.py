#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_docs.py TREE - what the documents name exists.

  - every relative link leads to a file of the tree and, if it names one, to a heading in it;
  - every file or folder of the tree that stands in `code` is there;
  - every document, and section of one, that a source names is there;
  - docs/guarantees.md has C1 to C20 in order, each with the tests that show it or marked planned,
    and each test it names is a START_TEST of the file named before it, or a script.
"""
import pathlib
import re
import sys

FOLDERS = ("docs", "include", "lib", "pkgconfig", "tests", "tools")
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)", re.S)
CODE = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^#+\s+(.*?)\s*$", re.M)
NAMED = re.compile(r"\bdocs/([\w./-]+\.(?:md|c|conf|[1357]))\b(?:,\s*(?:\*\s*)?(\"[A-Z][^\"\n]*\"))?")
GUARANTEE = re.compile(r"^### C(\d+) (.*?)(?=^##|\Z)", re.M | re.S)


def documents(tree):
    found = [tree / "README.md", tree / "CHANGELOG.md"]
    for folder in FOLDERS:
        found += sorted((tree / folder).rglob("*.md"))
    return [path for path in found if path.exists()]


def without_blocks(text):
    """Blocks of code blanked, line for line: there are no links in them."""
    return "\n".join("" if line.startswith("    ") else line for line in text.split("\n"))


def slugs(path):
    """The anchors of a document, as the usual viewers make them of its headings."""
    names = (re.sub(r"[^\w\- ]", "", h.lower().replace("`", "")) for h in headings(path))
    return {name.replace(" ", "-") for name in names}


def headings(path):
    return HEADING.findall(path.read_text())


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def check_links(path, text, complain):
    for match in LINK.finditer(text):
        target, _, anchor = match.group(1).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (path.parent / target).resolve() if target else path
        if not there.exists():
            complain(path, line_of(text, match.start()), f"links to {target}, which is not there")
        elif anchor and anchor not in slugs(there):
            complain(path, line_of(text, match.start()), f"links to #{anchor}: no such heading")


def is_pattern(word):
    """Not a name but the form of one: lib/*/*.c, v/<uuid>, tools/test-x.sh."""
    return any(c in word for c in "*<>…{}$") or re.search(r"[-_]x\.\w+$", word)


def check_code(tree, path, text, complain):
    for match in CODE.finditer(text):
        word = match.group(1).split()[0].rstrip(",:;")
        if word.partition("/")[0] not in FOLDERS or "/" not in word or is_pattern(word):
            continue
        if not (tree / word).exists() and not (path.parent / word).exists():
            complain(path, line_of(text, match.start()), f"names {word}, which is not there")


def sources(tree):
    for folder in FOLDERS:
        for path in sorted((tree / folder).rglob("*")):
            if path.suffix in (".c", ".h", ".py", ".sh", ".txt") and path.name != "check_docs.py":
                yield path


def check_sources(tree, complain):
    for path in sources(tree):
        text = path.read_text(errors="replace")
        for match in NAMED.finditer(text):
            there, section = tree / "docs" / match.group(1), match.group(2)
            if not there.exists():
                complain(path, line_of(text, match.start()),
                         f"names docs/{match.group(1)}, which is not there")
            elif section and section.strip('"').lower() not in map(str.lower, headings(there)):
                complain(path, line_of(text, match.start()),
                         f"docs/{match.group(1)} has no section {section}")


def check_tests_of(tree, path, line, shown, complain):
    """`file`: `test`, `test`; `script`: a test belongs to the file named before it."""
    file, named = None, 0
    for word in CODE.findall(shown.replace("\n", " ")):
        named += 1
        if "/" in word:
            file = tree / word
            if not file.exists():
                complain(path, line, f"names {word}, which is not there")
        elif not file or not file.exists() or f"START_TEST({word})" not in file.read_text():
            complain(path, line, f"names the test {word}: there is none in {file}")
    if not named:
        complain(path, line, "'Shown by' names no test")


def check_guarantees(tree, complain):
    path = tree / "docs/guarantees.md"
    text = path.read_text()
    found = list(GUARANTEE.finditer(text))
    numbers = [int(match.group(1)) for match in found]
    if numbers != list(range(1, 21)):
        complain(path, 0, f"C1 to C20 are expected in order, not {numbers}")
    for match in found:
        line = line_of(text, match.start())
        _, by, shown = match.group(0).partition("\nShown by")
        if by:
            check_tests_of(tree, path, line, shown.partition("\n\n")[0], complain)
        elif "**Planned.**" not in match.group(0):
            complain(path, line, f"C{match.group(1)} names no test and is not marked as planned")


def main():
    tree = pathlib.Path(sys.argv[1]).resolve()
    faults = []

    def complain(path, line, text):
        faults.append(f"{path.relative_to(tree)}:{line}: {text}")

    checked = documents(tree)
    for path in checked:
        text = without_blocks(path.read_text())
        check_links(path, text, complain)
        check_code(tree, path, text, complain)
    check_sources(tree, complain)
    check_guarantees(tree, complain)
    print("\n".join(faults) or f"{len(checked)} documents, all they name is there")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
