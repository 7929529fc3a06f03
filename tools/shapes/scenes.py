"""Generates the scenes of the embedded model: images of colored shapes, with captions, questions and answers.

A scene has one to three disjoint shapes of six kinds and eight colors, on one of five backgrounds with a gradient and noise. The
distributions are those of the 200 scenes in tests/data/scenes, which are never used for training.

usage: scenes.py FOLDER SIDE SEED...       draws scenes of SIDE pixels as FOLDER/SEED.png and prints their captions"""
import dataclasses
import pathlib
import sys

import numpy as np
from PIL import Image, ImageDraw

SIDE = 112  # pixels
KINDS = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = {"red": (214, 40, 40), "green": (46, 160, 67), "blue": (38, 92, 214), "yellow": (246, 211, 45), "purple": (136, 58, 180), "orange": (247, 127, 0),
           "white": (245, 245, 245), "black": (25, 25, 25)}
GROUNDS = {"gray": (128, 128, 128), "brown": (120, 84, 52), "pink": (255, 182, 193), "teal": (0, 128, 128), "cream": (244, 232, 200)}
NUMBERS = ("zero", "one", "two", "three")
SUPERSAMPLING = 4


@dataclasses.dataclass
class Shape:
    colour: str
    kind: str
    box: tuple  # y0, x0, y1, x1 in pixels
    mask: np.ndarray = None  # (SIDE, SIDE) bool

    @property
    def name(self):
        return f"{self.colour} {self.kind}"


@dataclasses.dataclass
class Scene:
    image: np.ndarray  # (SIDE, SIDE, 3) uint8
    shapes: list         # sorted from left to right
    ground: str


def bounds(mask):
    """Returns the bounding box (y0, x0, y1, x1) of the True pixels."""
    ys, xs = np.where(mask.any(1))[0], np.where(mask.any(0))[0]
    return int(ys[0]), int(xs[0]), int(ys[-1]) + 1, int(xs[-1]) + 1


def in_order(shapes):
    return sorted(shapes, key=lambda s: s.box[1] + s.box[3])


def outline(kind, rng):
    """Returns the corners of a shape of radius 1 at a random rotation, or None for a circle or ring."""
    turn = rng.uniform(0, 2 * np.pi) if kind in ("star", "triangle") else rng.uniform(-0.35, 0.35)
    if kind == "triangle":
        angles, radii = turn + np.arange(3) * 2 * np.pi / 3, 1.0
    elif kind == "square":
        angles, radii = turn + np.pi / 4 + np.arange(4) * np.pi / 2, 1.0
    elif kind == "star":
        angles, radii = turn + np.arange(10) * np.pi / 5, np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
    elif kind == "cross":
        w = 0.32
        corners = np.array([(-w, -1), (w, -1), (w, -w), (1, -w), (1, w), (w, w), (w, 1), (-w, 1), (-w, w), (-1, w), (-1, -w), (-w, -w)])
        return corners @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    else:
        return None
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)


def coverage(kind, centre, radii, rng, side):
    """Returns the fraction of each pixel that the shape covers: (side, side) float."""
    canvas = Image.new("L", (side * SUPERSAMPLING, side * SUPERSAMPLING), 0)
    pen = ImageDraw.Draw(canvas)
    centre, radii = np.array(centre), np.array(radii)
    corners = outline(kind, rng)
    if corners is not None:
        pen.polygon([tuple(p * SUPERSAMPLING) for p in corners * radii + centre], fill=255)
    else:
        for share, value in ((1.0, 255), (0.55, 0 if kind == "ring" else 255)):
            low, high = (centre - radii * share) * SUPERSAMPLING, (centre + radii * share) * SUPERSAMPLING
            pen.ellipse([*low, *high], fill=value)
    return np.asarray(canvas.resize((side, side), Image.BOX), np.float32) / 255


def make_scene(rng, side=SIDE):
    """Returns a random scene with at least one shape. Sizes scale with `side`."""
    scale = side / SIDE
    ground = str(rng.choice(list(GROUNDS)))
    down, across = np.mgrid[0:side, 0:side] / side
    base = np.array(GROUNDS[ground], np.float32) + rng.normal(0, 8, 3)
    image = base + (rng.uniform(-30, 30) * down + rng.uniform(-30, 30) * across)[..., None] + rng.normal(0, rng.uniform(0, 10), (side, side, 1))
    shapes, wanted = [], int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    for _ in range(40):
        if len(shapes) == wanted:
            break
        kind, colour = str(rng.choice(KINDS)), str(rng.choice(list(COLOURS)))
        radius, stretch = scale * rng.uniform(12, 26 if wanted > 1 else 36), rng.uniform(0.85, 1.18)
        margin = radius * 1.2 + scale
        covered = coverage(kind, rng.uniform(margin, side - margin, 2), (radius * stretch, radius / stretch), rng, side)
        hard = covered > 0.5
        shape = Shape(colour, kind, bounds(hard), hard)
        if any((shape.mask & s.mask).any() or s.name == shape.name for s in shapes):
            continue
        paint = np.array(COLOURS[colour], np.float32) + rng.normal(0, 9, 3) + rng.normal(0, rng.uniform(0, 8), (side, side, 1))
        image = image * (1 - covered[..., None]) + paint * covered[..., None]
        shapes.append(shape)
    return Scene(np.clip(image, 0, 255).astype(np.uint8), in_order(shapes), ground)


def caption(scene):
    names = [("an " if s.colour[0] == "o" else "a ") + s.name for s in scene.shapes]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{listed} on a {scene.ground} background"


def locations(box):
    return "".join(f"<loc{min(1023, max(0, round(v / SIDE * 1023))):04d}>" for v in box)


def pointed(shapes, codes=None):
    """Returns the answer to a detect prompt or, given the mask codes of each shape, to a segment prompt."""
    parts = []
    for i, s in enumerate(shapes):
        mask = "" if codes is None else "".join(f"<seg{c:03d}>" for c in codes[i])
        parts.append(f"{locations(s.box)}{mask} {s.name}")
    return " ; ".join(parts)


def questions(scene):
    """Returns (prompt, answer) of every question with a unique answer."""
    out = [("answer en how many shapes are there?", NUMBERS[len(scene.shapes)]), ("answer en what color is the background?", scene.ground)]
    kinds, colours = [s.kind for s in scene.shapes], [s.colour for s in scene.shapes]
    for s in scene.shapes:
        if kinds.count(s.kind) == 1:
            out.append((f"answer en what color is the {s.kind}?", s.colour))
        if colours.count(s.colour) == 1:
            out.append((f"answer en what shape is {s.colour}?", s.kind))
    return out


def crop(mask, box):
    """Returns the input of the VQ-VAE for a shape: its mask cropped to its box, (64, 64) float in [0, 1]."""
    y0, x0, y1, x1 = box
    return np.asarray(Image.fromarray((mask[y0:y1, x0:x1] * 255).astype(np.uint8)).resize((64, 64), Image.BILINEAR), np.float32) / 255


if __name__ == "__main__":
    for seed in sys.argv[3:]:
        scene = make_scene(np.random.default_rng(int(seed)), int(sys.argv[2]))
        Image.fromarray(scene.image).save(pathlib.Path(sys.argv[1]) / f"{seed}.png")
        print(seed, caption(scene))
