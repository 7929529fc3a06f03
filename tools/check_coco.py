#!/usr/bin/env python3
"""Checks a COCO file made by pali against the masks and boxes of the same run, by pycocotools.

    python3 -m venv coco && coco/bin/pip install pycocotools numpy pillow     # an environment to throw away
    coco/bin/python tools/check_coco.py coco.json lines.jsonl [masks]

coco.json    what coco_writer wrote
lines.jsonl  what json_lines wrote of the same pictures: label, score, box and mask file of each object, in the same order
masks        the folder that the names of mask files begin in; by default the one of lines.jsonl

Compared: pictures and their sizes, labels, scores, boxes and their areas; for each mask the area of the run lengths, of the annotation and of the
PNG (128 and above is inside), the pixels one by one, and the IoU of each two masks of a picture as pycocotools counts it on run lengths and numpy on
pixels. Says each disagreement and ends with 1 if there is one; with 2 for files that cannot be read.
"""
import argparse
import itertools
import json
import pathlib
import sys

try:
    import numpy as np
    from PIL import Image
    from pycocotools import mask as coco_mask
    from pycocotools.coco import COCO
except ImportError as missing:
    sys.exit(f"check_coco: {missing}; see the first lines of this file for an environment")

HUNDREDTHS = 0.02  # boxes are written to a hundredth, in both files
faults = []


def fault(where, what):
    faults.append(f"{where}: {what}")


def close(a, b, most=HUNDREDTHS):
    return abs(a - b) <= most


def category_name(label):
    """As pali::category_name."""
    name = "".join(" " if ord(c) < 0x20 or ord(c) == 0x7F else c for c in label)
    return name if name.strip(" ") else "object"


def box_iou(a, b):
    """Of [x, y, width, height]."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = a[2] * a[3] + b[2] * b[3] - shared
    return shared / union if union else 0.0


def check_object(where, coco, annotation, said, size, folder):
    """Returns the mask as pixels and as run lengths, or nothing."""
    name = coco.cats[annotation["category_id"]]["name"]
    if name != category_name(said["label"]):
        fault(where, f"category {name!r}, label {said['label']!r}")
    if not close(annotation["score"], said["score"], 1e-6):
        fault(where, f"score {annotation['score']} and {said['score']}")
    x0, y0, x1, y1 = said["box"]
    want = [x0, y0, max(x1 - x0, 0), max(y1 - y0, 0)]
    if not all(close(a, b) for a, b in zip(annotation["bbox"], want)):
        fault(where, f"bbox {annotation['bbox']}, box {said['box']}")
    if bool(annotation["segmentation"]) != ("mask" in said):
        fault(where, "one of the files has a mask and the other has none")
        return None
    if not annotation["segmentation"]:
        if not close(annotation["area"], want[2] * want[3], HUNDREDTHS * (1 + want[2] + want[3])):
            fault(where, f"area {annotation['area']} of a box of {want[2]} x {want[3]}")
        return None
    runs = coco.annToRLE(annotation)
    pixels = np.array(Image.open(folder / said["mask"]).convert("L")) >= 128
    if pixels.shape != size or tuple(runs["size"]) != size:
        fault(where, f"mask {pixels.shape}, run lengths {runs['size']}, picture {size}")
        return None
    area = int(coco_mask.area(runs))
    if not area == annotation["area"] == int(pixels.sum()):
        fault(where, f"area {annotation['area']}, of the run lengths {area}, of the mask file {int(pixels.sum())}")
    if not np.array_equal(coco.annToMask(annotation).astype(bool), pixels):
        fault(where, "run lengths and mask file differ")
    return pixels, runs


def check(coco, lines, folder):
    by_name = {image["file_name"]: image for image in coco.imgs.values()}
    if sorted(by_name) != sorted(line["file"] for line in lines):
        fault("pictures", f"{len(by_name)} in one file, {len(lines)} in the other, or of other names")
    objects = masks = pairs = 0
    for line in lines:
        image = by_name.get(line["file"])
        if image is None:
            continue
        size = (line["height"], line["width"])
        if (image["height"], image["width"]) != size:
            fault(line["file"], f"size {image['height'], image['width']} and {size}")
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        if len(annotations) != len(line["objects"]):
            fault(line["file"], f"{len(annotations)} annotations, {len(line['objects'])} objects")
            continue
        found = []
        for number, (annotation, said) in enumerate(zip(annotations, line["objects"])):
            objects += 1
            found.append(check_object(f"{line['file']} object {number}", coco, annotation, said, size, folder))
            masks += found[-1] is not None
        for i, j in itertools.combinations(range(len(found)), 2):
            pairs += 1
            where = f"{line['file']} objects {i} and {j}"
            boxes = [annotations[k]["bbox"] for k in (i, j)]
            theirs = float(coco_mask.iou([boxes[0]], [boxes[1]], [0])[0, 0]) if all(b[2] * b[3] > 0 for b in boxes) else 0.0
            if not close(theirs, box_iou(*boxes), 1e-9):
                fault(where, f"IoU of boxes {theirs} and {box_iou(*boxes)}")
            if found[i] is None or found[j] is None:
                continue
            (a, a_runs), (b, b_runs) = found[i], found[j]
            union = int((a | b).sum())
            ours = int((a & b).sum()) / union if union else 0.0
            theirs = float(coco_mask.iou([a_runs], [b_runs], [0])[0, 0]) if union else 0.0
            if not close(ours, theirs, 1e-12):
                fault(where, f"IoU of mask files {ours}, of run lengths {theirs}")
    return objects, masks, pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coco", type=pathlib.Path)
    parser.add_argument("lines", type=pathlib.Path)
    parser.add_argument("masks", type=pathlib.Path, nargs="?")
    arguments = parser.parse_args()
    try:
        coco = COCO(str(arguments.coco))
        lines = [json.loads(line) for line in arguments.lines.read_text(encoding="utf-8").split("\n") if line]
        objects, masks, pairs = check(coco, lines, arguments.masks or arguments.lines.parent)
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as wrong:
        print(f"check_coco: cannot be read: {type(wrong).__name__}: {wrong}", file=sys.stderr)
        return 2
    print("\n".join(faults) if faults else "nothing to object to")
    print(f"{len(lines)} pictures, {objects} objects, {masks} masks, {pairs} pairs")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
