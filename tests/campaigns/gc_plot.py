#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""gc_plot.py CSV MIB TITLE >SVG - draws what test-e2e-gc.sh --csv has noted of a volume of MIB.

Above: what is stored, at rest after each overwrite and at most until then, for each byte that is alive.
Below: what was copied during each, for each byte written.
"""
import csv
import html
import sys

WIDTH, HEIGHT, LEFT, TOP, GAP = 640, 150, 56, 40, 44


def panel(out, top, title, series, most, steps):
    """series: (name, colour, values)."""
    def x(i):
        return LEFT + i * WIDTH / max(1, steps)

    def y(v):
        return top + HEIGHT * (1 - v / most)
    out.append('<text x="%d" y="%d">%s</text>' % (LEFT, top - 8, title))
    for i in range(5):
        v = most * i / 4
        out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>'
                   % (LEFT, LEFT + WIDTH, y(v), y(v)))
        out.append('<text x="%d" y="%.1f" text-anchor="end">%.2f</text>' % (LEFT - 6, y(v) + 4, v))
    for n, (name, colour, values) in enumerate(series):
        points = " ".join("%.1f,%.1f" % (x(i), y(v)) for i, v in enumerate(values))
        out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>'
                   % (points, colour))
        out.append('<text x="%d" y="%d" fill="%s">%s</text>'
                   % (LEFT + 330 + 110 * n, top - 8, colour, name))
    for i in range(0, steps + 1, max(1, steps // 12)):
        out.append('<text x="%.1f" y="%d" text-anchor="middle">%d</text>'
                   % (x(i), top + HEIGHT + 16, i))


def main():
    alive = int(sys.argv[2]) << 20
    with open(sys.argv[1]) as f:
        rows = [{k: int(v) for k, v in r.items()} for r in csv.DictReader(f)]
    steps = len(rows) - 1
    height = TOP + 2 * HEIGHT + 2 * GAP + 16
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" '
           'font-size="12">' % (LEFT + WIDTH + 24, height),
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="%d" y="16">%s</text>' % (LEFT, html.escape(sys.argv[3]))]
    panel(out, TOP, "stored for each byte alive", [
        ("at rest", "#06c", [r["stored"] / alive for r in rows]),
        ("at most", "#c60", [r["most"] / alive for r in rows]),
        ("allowed", "#888", [1.25 * 1.05] * len(rows))], 2, steps)
    panel(out, TOP + HEIGHT + GAP, "copied for each byte written", [
        ("", "#06c", [r["copied"] / alive for r in rows])],
        1.25 * max(0.1, max(r["copied"] for r in rows) / alive), steps)
    out.append('<text x="%d" y="%d" text-anchor="middle">overwrites</text>'
               % (LEFT + WIDTH / 2, height - 4))
    out.append('</svg>')
    print("\n".join(out))


if __name__ == "__main__":
    main()
