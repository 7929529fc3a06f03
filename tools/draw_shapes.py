#!/usr/bin/env python3
"""Draws pictures of coloured shapes: what the embedded model was trained to look at. Needs numpy and Pillow.

usage: draw_shapes.py OUT SEED [SEED...] [--size PIXELS]      writes OUT/<seed>.png and prints what is on it
"""
import argparse
import math
import pathlib

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {"red": (214, 40, 40), "green": (46, 160, 67), "blue": (38, 92, 214), "yellow": (246, 211, 45), "purple": (136, 58, 180),
           "orange": (247, 127, 0), "white": (245, 245, 245), "black": (25, 25, 25)}
GROUNDS = {"gray": (128, 128, 128), "brown": (120, 84, 52), "pink": (255, 182, 193), "teal": (0, 128, 128), "cream": (244, 232, 200)}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
SMOOTH = 4  # drawn this many times larger, then averaged


def outline(shape, turn):
    """Corners around (0, 0), the farthest at distance 1."""
    def at(angle, radius=1.0):
        return radius * math.cos(turn + angle), radius * math.sin(turn + angle)
    if shape == "triangle":
        return [at(i * math.tau / 3) for i in range(3)]
    if shape == "square":
        return [at(math.pi / 4 + i * math.pi / 2) for i in range(4)]
    if shape == "star":
        return [at(i * math.pi / 5, 1.0 if i % 2 == 0 else 0.45) for i in range(10)]
    arm = 0.32  # a cross: half the width of an arm
    corners = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm), (arm, 1), (-arm, 1), (-arm, arm), (-1, arm), (-1, -arm), (-arm, -arm)]
    return [(x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)) for x, y in corners]


def coverage(shape, x, y, rx, ry, turn, size):
    """(size, size) in 0..1: how much of each pixel the shape covers. Lengths are fractions of the side."""
    scale = size * SMOOTH
    canvas = Image.new("L", (scale, scale), 0)
    draw = ImageDraw.Draw(canvas)
    if shape in ("circle", "ring"):
        draw.ellipse([(x - rx) * scale, (y - ry) * scale, (x + rx) * scale, (y + ry) * scale], fill=255)
        if shape == "ring":
            draw.ellipse([(x - rx * 0.55) * scale, (y - ry * 0.55) * scale, (x + rx * 0.55) * scale, (y + ry * 0.55) * scale], fill=0)
    else:
        draw.polygon([((x + px * rx) * scale, (y + py * ry) * scale) for px, py in outline(shape, turn)], fill=255)
    return np.asarray(canvas.resize((size, size), Image.BOX), np.float32) / 255


def scene(seed, size):
    """A picture (size, size, 3) of bytes and its caption: one to three shapes that do not touch, named from left to right."""
    rng = np.random.default_rng(seed)
    ground = str(rng.choice(list(GROUNDS)))
    down, across = np.mgrid[0:size, 0:size] / size
    picture = np.array(GROUNDS[ground], np.float32) + rng.normal(0, 6, 3)
    picture = picture + (rng.uniform(-25, 25) * down + rng.uniform(-25, 25) * across)[..., None] + rng.normal(0, 4, (size, size, 1))
    placed = []
    wanted = int(rng.choice([1, 2, 3], p=[0.3, 0.4, 0.3]))
    for _ in range(60):
        if len(placed) == wanted:
            break
        shape, colour = str(rng.choice(SHAPES)), str(rng.choice(list(COLOURS)))
        radius, stretch = rng.uniform(0.12, 0.23 if wanted > 1 else 0.32), rng.uniform(0.88, 1.14)
        margin = radius * 1.2 + 0.01
        x, y = rng.uniform(margin, 1 - margin, 2)
        turn = rng.uniform(0, math.tau) if shape in ("star", "triangle") else rng.uniform(-0.35, 0.35)
        cover = coverage(shape, x, y, radius * stretch, radius / stretch, turn, size)
        if any(((cover > 0.5) & (other > 0.5)).any() or name == (colour, shape) for name, other, _ in placed):
            continue
        paint = np.array(COLOURS[colour], np.float32) + rng.normal(0, 7, 3)
        picture = picture * (1 - cover[..., None]) + (paint + rng.normal(0, 3, (size, size, 1))) * cover[..., None]
        columns = np.where((cover > 0.5).any(0))[0]
        placed.append(((colour, shape), cover, columns[0] + columns[-1]))
    placed.sort(key=lambda one: one[2])
    names = [f"{'an' if colour[0] == 'o' else 'a'} {colour} {shape}" for (colour, shape), _, _ in placed]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return np.clip(picture, 0, 255).astype(np.uint8), f"{listed} on a {ground} background"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("seeds", nargs="+", type=int)
    parser.add_argument("--size", type=int, default=224)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        picture, caption = scene(seed, arguments.size)
        path = arguments.out / f"{seed}.png"
        Image.fromarray(picture).save(path, optimize=True)
        print(f"{path}: {caption}")


if __name__ == "__main__":
    main()
