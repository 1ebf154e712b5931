#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""summary.py RESULTS.xml... - what CTest's reports say: what failed and why, what did not run and
why, and one line of totals. A test that did not run is never counted as passed. Exits 1 if a test
failed, or if none ran.
"""
import pathlib
import sys
import xml.etree.ElementTree

TAIL_LINES = 60


def ending(case):
    """A test that CTest could not start at all has failed; only exit 77 is a skip."""
    skipped = case.find("skipped")
    if skipped is not None:
        return "skipped" if (skipped.get("message") or "").startswith("SKIP_") else "failed"
    return {"run": "passed", "disabled": "disabled"}.get(case.get("status"), "failed")


def cases(path):
    """Every test of a report: its name, how it ended, what it printed, seconds."""
    build = path.parent.name
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = case.get("name") if build == "build" else f'{case.get("name")} ({build})'
        output = (case.findtext("system-out") or "").rstrip().splitlines()
        yield name, ending(case), output, float(case.get("time") or 0)


def main():
    ended = [case for path in sys.argv[1:] for case in cases(pathlib.Path(path))]
    count = {how: sum(1 for case in ended if case[1] == how) for how in ("passed", "failed", "skipped")}
    for name, how, output, seconds in ended:
        if how == "failed":
            print(f"\nFAILED {name} after {seconds:.1f} s")
            print("\n".join("    " + line for line in output[-TAIL_LINES:]))
    for name, how, output, _ in ended:
        if how == "skipped":
            print(f"not run: {name}: {output[-1] if output else 'it said no reason'}")
    slowest = sorted(ended, key=lambda case: -case[3])[:5]
    print("slowest:", ", ".join(f"{case[0]} {case[3]:.0f} s" for case in slowest))
    print(f"tests: {count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
