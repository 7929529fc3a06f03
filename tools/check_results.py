#!/usr/bin/env python3
"""Loads a results folder with third-party tools and compares what they read with results.jsonl and the mask files.

    python3 -m venv results                                          # a temporary environment
    results/bin/pip install pycocotools numpy pillow supervision ultralytics faster-coco-eval
    results/bin/python tools/check_results.py OUT IMAGES

OUT      the output folder of `pali segment --image IMAGES --out OUT --format coco,yolo,labelme`
IMAGES   the folder of images

pycocotools   images, sizes, labels, scores; area and bbox of each mask; IoU of its mask with the PNG: >= 0.99 for polygons, 1 for RLE
supervision   objects and labels of the COCO and YOLO data sets
ultralytics   its label reader on data.yaml, its converter on coco.json
labelme       the keys that it reads; imagePath points to the image

Prints up to 10 disagreements. Exit status 1 if there is one.
"""
import json
import pathlib
import shutil
import sys
import tempfile

import numpy as np
from PIL import Image

faults = []


def expect(fact, what):
    if not fact:
        faults.append(what)


def by_pycocotools(out, lines):
    from pycocotools import mask as coco_mask
    from pycocotools.coco import COCO

    data = COCO(str(out / "coco.json"))
    by_name = {image["file_name"]: image for image in data.imgs.values()}
    expect(list(by_name) == [line["file"] for line in lines], "COCO: images differ, or are in another order")
    worst, masks = 1.0, 0
    for line in lines:
        image = by_name[line["file"]]
        expect((image["width"], image["height"]) == (line["width"], line["height"]), f"COCO: size of {line['file']}")
        found = data.loadAnns(data.getAnnIds(imgIds=[image["id"]]))
        expect(len(found) == len(line["objects"]), f"COCO: objects of {line['file']}")
        for one, said in zip(found, line["objects"]):
            where = f"COCO: {line['file']}, {said['label']}"
            expect(data.cats[one["category_id"]]["name"] == said["label"] and one["score"] == said["score"] and one["iscrowd"] == 0, f"{where}: label, score or iscrowd")
            if "mask" not in said:
                continue
            pixels = np.asarray(Image.open(out / said["mask"])) >= 128
            runs = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
            iou = float(coco_mask.iou([data.annToRLE(one)], [runs], [0])[0, 0])
            worst, masks = min(worst, iou), masks + 1
            expect(iou >= (0.99 if isinstance(one["segmentation"], list) else 1), f"{where}: IoU {iou}")
            expect(one["area"] == pixels.sum() and one["bbox"] == list(coco_mask.toBbox(runs)), f"{where}: area or bbox")
    return f"pycocotools: {masks} masks, smallest IoU {worst:.4f}"


def by_supervision(out, images, lines):
    import supervision

    wanted = {line["file"]: sorted(o["label"] for o in line["objects"]) for line in lines}
    coco = supervision.DetectionDataset.from_coco(str(images), str(out / "coco.json"), force_masks=True)
    yolo = supervision.DetectionDataset.from_yolo(str(out / "images"), str(out / "labels"), str(out / "data.yaml"), force_masks=True)
    for name, data in (("COCO", coco), ("YOLO", yolo)):
        seen = {pathlib.Path(path).name: sorted(data.classes[i] for i in found.class_id) for path, _, found in data}
        for file, labels in wanted.items():
            expect(seen.get(pathlib.Path(file).name) == labels, f"supervision: {name}: {file}: {seen.get(pathlib.Path(file).name)}, wanted {labels}")
    return f"supervision: {len(coco)} and {len(yolo)} images"


def by_ultralytics(out, lines):
    from ultralytics.data.converter import convert_coco
    from ultralytics.data.utils import check_det_dataset, verify_image_label

    data = check_det_dataset(str(out / "data.yaml"), autodownload=False)
    count = 0
    for line in lines:
        stem = pathlib.Path(line["file"]).stem
        image = next((out / "images").glob(f"{stem}.*"))
        result = verify_image_label((str(image), str(out / "labels" / f"{stem}.txt"), "", False, len(data["names"]), 0, 0, False))
        labels, message = result[1], result[-1]
        expect(not message, f"ultralytics: {message}")
        expect(sorted(data["names"][int(row[0])] for row in labels) == sorted(o["label"] for o in line["objects"]), f"ultralytics: labels of {stem}")
        count += len(labels)
    with tempfile.TemporaryDirectory() as folder:
        annotations = pathlib.Path(folder) / "annotations"
        annotations.mkdir()
        shutil.copy(out / "coco.json", annotations / "instances.json")
        convert_coco(str(annotations), str(pathlib.Path(folder) / "converted"), use_segments=True, cls91to80=False)
        converted = sum(len(path.read_text().splitlines()) for path in pathlib.Path(folder).rglob("*.txt"))
        polygons = sum(isinstance(one["segmentation"], list) and bool(one["segmentation"]) for one in json.loads((out / "coco.json").read_text())["annotations"])
        expect(converted >= polygons, f"ultralytics: {converted} labels converted from {polygons} polygons")
    return f"ultralytics: {count} labels, {converted} converted from COCO"


def by_labelme(out, lines):
    others = [path.name for path in (out / "labelme").rglob("*") if path.is_file() and path.suffix != ".json"]
    expect(not others, f"labelme: other files next to its own: {others}")
    for line in lines:
        path = out / "labelme" / (line["file"].rsplit(".", 1)[0] + ".json")
        document = json.loads(path.read_text())
        expect({"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"} <= set(document), f"labelme: keys of {path.name}")
        with Image.open(path.parent / document["imagePath"]) as image:
            expect(image.size == (document["imageWidth"], document["imageHeight"]), f"labelme: size of {path.name}")
        expect([s["label"] for s in document["shapes"]] == [o["label"] for o in line["objects"]], f"labelme: shapes of {path.name}")
    return f"labelme: {len(lines)} files"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    out, images = map(pathlib.Path, sys.argv[1:])
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    print(by_pycocotools(out, lines), by_supervision(out, images, lines), by_ultralytics(out, lines), by_labelme(out, lines), sep="\n")
    print("\n".join(faults[:10] + ([f"and {len(faults) - 10} more"] if len(faults) > 10 else [])) or "no faults")
    return 1 if faults else 0


sys.exit(main())
