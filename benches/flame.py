#!/usr/bin/env python3
"""A flame graph from what `perf script --no-inline -F comm,ip,sym` prints: SVG on standard output. Standard library only.

    perf record -F 499 --call-graph dwarf,8192 -p PID -- sleep 3
    perf script --no-inline -F comm,ip,sym | benches/flame.py "a title" > page.svg

Width is time; above a function lies what it called. The name under the pointer is shown in full.
"""

import re
import sys
from html import escape

WIDTH, ROW, LETTER = 1_200, 16, 7.2
# Narrower ones are left out, by share of all samples; their callers keep the room.
SHARE_MIN = 0.004
# What every stack begins with: threads, the runtime's loop, adapters between layers.
DULL = re.compile(r"^(\[unknown\]|0x[0-9a-f]+|clone3?|start_thread|__?libc_.*|std::.*|core::.*|alloc::boxed.*|tokio::runtime::.*|.*map_err::MapErr.*|<tokio::task::.*)$")
COLOURS = [("rocksdb", "#7aa6c2"), ("dynamokv", "#e8a33d"), ("h2", "#b5a1d6"), ("hyper", "#b5a1d6"), ("tonic", "#b5a1d6"), ("mi_", "#8fbf7f"), ("malloc", "#8fbf7f")]
OTHER = "#d9c9a8"


def stacks(lines):
    """Each sample: the thread, then the functions, the outermost first."""
    thread, frames = "", []
    for line in lines:
        if not line.strip():
            if frames:
                yield [thread, *reversed(frames)]
            frames = []
        elif line[0].isspace():
            name = line.split(maxsplit=1)[1].strip() if " " in line.strip() else line.strip()
            if not DULL.match(name):
                frames.append(name)
        else:
            thread = line.strip()
    if frames:
        yield [thread, *reversed(frames)]


def tree(samples):
    root = {"name": "all", "samples": 0, "above": {}}
    for stack in samples:
        node = root
        node["samples"] += 1
        for name in stack:
            node = node["above"].setdefault(name, {"name": name, "samples": 0, "above": {}})
            node["samples"] += 1
    return root


def boxes(node, whole, left=0, level=0):
    """Name, share, left edge and level of all that is wide enough."""
    yield node["name"], node["samples"] / whole, left / whole, level
    for above in sorted(node["above"].values(), key=lambda each: each["name"]):
        if above["samples"] >= SHARE_MIN * whole:
            yield from boxes(above, whole, left, level + 1)
        left += above["samples"]


def colour(name):
    return next((shade for part, shade in COLOURS if part in name), OTHER)


def main(title):
    root = tree(stacks(sys.stdin))
    if not root["samples"]:
        sys.exit("no samples on standard input")
    drawn = list(boxes(root, root["samples"]))
    height = (max(level for *_, level in drawn) + 3) * ROW
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="monospace" font-size="11">')
    print(f'<rect width="100%" height="100%" fill="#fff"/><text x="4" y="12">{escape(title)}; {root["samples"]} samples</text>')
    for name, share, left, level in drawn:
        x, y, width = left * WIDTH, height - (level + 1) * ROW, share * WIDTH
        short = name[: int(width / LETTER)] if width > 4 * LETTER else ""
        print(f'<g><title>{escape(name)}: {share:.1%}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" fill="{colour(name)}"/>'
              f'<text x="{x + 2:.1f}" y="{y + 11}">{escape(short)}</text></g>')
    print("</svg>")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "flame graph")
