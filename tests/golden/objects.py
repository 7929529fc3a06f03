"""Writes tests/data/objects/{masks.safetensors,placements.json,rle.json}: decoded masks placed in an image, and RLE.

    golden/bin/python tests/golden/objects.py        # the environment of README.md

The reference is Pillow's resize, called as in big_vision's evaluator and in the Hugging Face Space, and pycocotools. The files record their
versions. answers.json in the same folder is written by hand.
"""
import hashlib
import json
import pathlib

import numpy as np
import PIL
from PIL import Image
from importlib.metadata import version
from pycocotools import mask as coco
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "objects"
OUT.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(5)


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


# ---- decoded masks: a blob as from the decoder, noise that changes sign everywhere, and values far outside [-1, 1]
y, x = np.mgrid[0:64, 0:64].astype(np.float64)
blob = np.tanh((22 + 5 * np.sin(np.arctan2(y - 30, x - 33) * 5) - np.hypot(y - 30, x - 33)) / 3) + rng.normal(0, 0.05, (64, 64))
masks = {"blob": blob, "noise": rng.normal(0, 1, (64, 64)), "far": rng.normal(0.3, 40, (64, 64))}
masks["balanced"] = np.where((x // 4 + y // 4) % 2 < 1, 0.7, -0.7)  # sums near 0, whose sign depends on the rounding of each product
masks = {name: values.astype(np.float32) for name, values in masks.items()}
save_file(masks, OUT / "masks.safetensors", {"made by": "tests/golden/objects.py", "numpy": np.__version__})
(OUT / "masks.safetensors").chmod(0o644)


def hard(m64, loc, width, height, divisor):
    """Places a mask as in big_vision, evaluators/proj/paligemma/transfers/segmentation.py."""
    y1, x1, y2, x2 = np.array(loc, np.int32) / divisor
    y1, x1, y2, x2 = map(int, (y1 * height, x1 * width, y2 * height, x2 * width))
    out = np.zeros((height, width), np.uint8)
    if x2 > x1 and y2 > y1:
        out[y1:y2, x1:x2] = np.where(np.asarray(Image.fromarray(m64).resize([x2 - x1, y2 - y1], resample=Image.BILINEAR)) > 0.0, 255, 0)
    return out


def soft(m64, loc, width, height, divisor):
    """Places a mask as in paligemma_parse.py of huggingface.co/spaces/big-vision/paligemma, as bytes."""
    y1, x1, y2, x2 = [int(v) / divisor for v in loc]
    y1, x1, y2, x2 = map(round, (y1 * height, x1 * width, y2 * height, x2 * width))
    m64 = np.clip(np.array(m64) * 0.5 + 0.5, 0, 1)
    m64 = Image.fromarray((m64 * 255).astype("uint8"))
    out = np.zeros((height, width), np.uint8)
    if y2 > y1 and x2 > x1:
        out[y1:y2, x1:x2] = np.array(m64.resize([x2 - x1, y2 - y1]))
    return out


placements = []


def place(name, loc, width, height, style, divisor):
    out = {"hard": hard, "soft": soft}[style](masks[name], loc, width, height, divisor)
    case = {"mask": name, "loc": [int(v) for v in loc], "width": width, "height": height, "style": style, "divisor": divisor,
            "sum": int(out.sum(dtype=np.int64)), "sha256": sha(out)}
    if style == "hard" and name == "blob" and width < 500:
        case["rle"] = coco.encode(np.asfortranarray(out > 0).astype(np.uint8))["counts"].decode()
    placements.append(case)


sizes = [(224, 224), (640, 480), (480, 640), (300, 200), (1, 1), (37, 29), (64, 64), (1023, 1024), (1280, 720), (3, 500)]
for style in ("hard", "soft"):
    for divisor in (1023, 1024):
        for width, height in sizes:
            place("blob", (0, 0, 1023, 1023), width, height, style, divisor)
            place("noise", (341, 0, 682, 1023), width, height, style, divisor)  # one third: y * h is close to an integer
            place("noise", (500, 500, 501, 501), width, height, style, divisor)  # often empty
        place("far", (128, 128, 256, 256), 512, 512, style, divisor)  # exactly 64 x 64 with divisor 1024
        place("noise", (0, 0, 512, 1023), 128, 128, style, divisor)
        for _ in range(60):
            width, height = (int(v) for v in rng.integers(1, 700, 2))
            a, b = rng.integers(0, 1024, (2, 2))
            loc = [*np.minimum(a, b), *np.maximum(a, b)]
            if loc[0] == loc[2] or loc[1] == loc[3]:
                continue
            place(["blob", "noise", "far"][int(rng.integers(3))], loc, width, height, style, divisor)
        place("blob", (3, 5, 1019, 1001), 1600, 1200, style, divisor)

for width, height in [(5, 5), (6, 6), (7, 7), (9, 9), (13, 13), (21, 21), (21, 64), (7, 90), (37, 41), (85, 53), (150, 110), (600, 450)]:
    place("balanced", (0, 0, 1023, 1023), width, height, "hard", 1023)
for at, side in [(279, 110), (143, 93), (693, 155), (87, 341), (561, 341)]:  # at / 1023 * side is just below an integer
    place("noise", (at, at, 1023, 1023), side, side, "hard", 1023)
    place("noise", (0, 0, at, at), side, side, "hard", 1023)

# ---- the floats before thresholding, bit for bit
floats = []
for width, height in [(64, 64), (1, 1), (64, 10), (10, 64), (63, 65), (200, 31), (31, 200), (60, 50), (50, 60), (20, 3), (3, 20), (63, 1), (500, 333)]:
    out = np.asarray(Image.fromarray(masks["noise"]).resize([width, height], resample=Image.BILINEAR))
    floats.append({"width": width, "height": height, "sha256": sha(out)})

doc = {"pillow": PIL.__version__, "numpy": np.__version__, "pycocotools": version("pycocotools"), "placements": placements, "floats": floats}
(OUT / "placements.json").write_text(json.dumps(doc).replace('{"mask"', '\n{"mask"').replace('{"width"', '\n{"width"') + "\n")

# ---- RLE: rows of 0 and 1, the compressed string, the counts
runs = []


def run(bits):
    bits = np.asarray(bits, np.uint8)
    packed = coco.encode(np.asfortranarray(bits))
    flat = bits.ravel(order="F")  # column-major
    counts, last, n = [], 0, 0
    for v in flat:
        if v != last:
            counts.append(n)
            last, n = v, 0
        n += 1
    counts.append(n)
    assert coco.frPyObjects({"size": list(bits.shape), "counts": counts}, *bits.shape) == packed
    runs.append({"rows": ["".join(map(str, r)) for r in bits.tolist()], "counts": counts, "string": packed["counts"].decode(), "area": int(coco.area(packed))})


run([[0]])
run([[1]])
run([[0, 0, 0], [0, 0, 0]])
run([[1, 1, 1], [1, 1, 1]])
run([[0, 1], [1, 0]])
run([[1, 0], [0, 1]])
run([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]])
run([[1, 0, 0, 0, 0, 0, 1]])
run(rng.integers(0, 2, (9, 13)))
run(rng.random((40, 3)) < 0.05)
long = np.zeros((30, 40), np.uint8)  # counts of one, two and three characters, negative differences
long[3:5, 1] = 1
long[0:29, 20:39] = 1
run(long)
big = np.zeros((200, 90), np.uint8)
big[150:152, 40] = 1
big[0:200, 60:89] = 1
run(big)
doc = {"pycocotools": version("pycocotools"), "masks": runs}
(OUT / "rle.json").write_text(json.dumps(doc).replace('{"rows"', '\n{"rows"') + "\n")
print(len(placements), "placements,", len(runs), "run lengths,", sum(f.stat().st_size for f in OUT.iterdir()), "bytes")
