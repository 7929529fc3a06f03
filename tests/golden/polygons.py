"""Writes tests/data/objects/polygons.json: masks, their outlines, and the masks that pycocotools fills from these outlines.

    golden/bin/python tests/golden/polygons.py        # the environment of README.md

The outlines are found by an independent method: joining the edges between pixels. RLE is pycocotools'. No mask has holes, because COCO
polygon lists cannot express them. tools/check_results.py compares results of the program with pycocotools and other tools.
"""
import json
import pathlib

import numpy as np
from importlib.metadata import version
from pycocotools import mask as coco

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "objects" / "polygons.json"


def borders(bits):
    """Returns the closed outlines as pixel corners, with the inside on the right. Each starts at its topmost, then leftmost corner."""
    padded = np.pad(bits, 1)
    edges = {}  # corner -> next corners
    for y, x in np.argwhere(bits):
        for dx, dy, a, b in ((0, -1, (x, y), (x + 1, y)), (1, 0, (x + 1, y), (x + 1, y + 1)), (0, 1, (x + 1, y + 1), (x, y + 1)), (-1, 0, (x, y + 1), (x, y))):
            if not padded[y + 1 + dy, x + 1 + dx]:
                edges.setdefault(tuple(map(int, a)), []).append(tuple(map(int, b)))
    lines = []
    while edges:
        start = min(edges, key=lambda p: (p[1], p[0]))
        line, at, came = [], start, None
        while True:
            ways = edges[at]
            # turn right where two outlines meet at a corner: pixels that share only a corner are separate regions
            way = ways[0] if len(ways) == 1 else min(ways, key=lambda b: -(came[0] * (b[1] - at[1]) - came[1] * (b[0] - at[0])) if came else 0)
            ways.remove(way)
            if not ways:
                del edges[at]
            step = (way[0] - at[0], way[1] - at[1])
            if step != came:
                line.append(at)
            at, came = way, step
            if at == start and (at not in edges or len(line) > 2):
                break
        lines.append(line)
    return lines


def filled(lines, height, width):
    return coco.merge(coco.frPyObjects([[float(v) for p in line for v in p] for line in lines], height, width))


def golden():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:60, 0:80]
    masks = [np.ones((1, 1)), np.ones((5, 9)), (x - 40) ** 2 + (y - 30) ** 2 < 300, (abs(x - 40) < 3) | (abs(y - 30) < 3), x + y > 70, (x // 7 + y // 5) % 3 == 0, np.hypot(x - 20, y - 20) + 8 * np.sin(x / 3) < 17]
    for _ in range(6):  # blobs: smoothed noise
        noise = rng.normal(0, 1, (60, 80))
        for _ in range(6):
            noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, -1, 0) + np.roll(noise, 1, 1) + np.roll(noise, -1, 1)) / 5
        masks.append(noise > 0.15)
    cases = []
    for bits in masks:
        bits = np.asarray(bits, np.uint8)
        lines = borders(bits)
        area = lambda line: sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(line, line[1:] + line[:1]))
        holes = [line for line in lines if area(line) < 0]
        for line in holes:  # fill the holes: the goldens have none
            bits = np.maximum(bits, coco.decode(filled([line], *bits.shape)))
        lines = borders(bits)
        if any(area(line) < 0 for line in lines):
            continue
        runs = filled(lines, *bits.shape)
        iou = coco.iou([runs], [coco.encode(np.asfortranarray(bits))], [0])[0, 0]
        assert iou >= 0.99, iou
        cases.append({"width": bits.shape[1], "height": bits.shape[0], "mask": coco.encode(np.asfortranarray(bits))["counts"].decode(), "polygons": [[v for p in line for v in p] for line in lines],
                      "filled": runs["counts"].decode()})
    assert len(cases) >= 10
    OUT.write_text(json.dumps(cases).replace('{"width"', '\n{"width"') + "\n")
    print(len(cases), "masks, by pycocotools", version("pycocotools"), OUT.stat().st_size, "bytes")


golden()
