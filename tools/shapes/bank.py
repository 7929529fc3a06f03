"""Generates a bank of training scenes: images, shapes and their VQ-VAE mask codes. Generated once and reused in many batches.

usage: bank.py COUNT SEED VQVAE.npz OUT.npz"""
import sys

import numpy as np
import torch

import scenes
import vqvae

CELLS = scenes.SIDE // 14  # patches per side


def make(count, seed, model):
    """Returns the arrays of `count` scenes. Mask codes are also computed for the mirrored scene (third index; 0: original, 1: mirrored)."""
    rng = np.random.default_rng(seed)
    bank = {"image": np.zeros((count, scenes.SIDE, scenes.SIDE, 3), np.uint8), "ground": np.zeros(count, np.int8), "count": np.zeros(count, np.int8),
            "kind": np.full((count, 3), -1, np.int8), "colour": np.full((count, 3), -1, np.int8), "box": np.zeros((count, 3, 4), np.int16),
            "cover": np.zeros((count, 3, CELLS, CELLS), np.float16), "codes": np.zeros((count, 3, 2, 16), np.uint8)}
    waiting, places = [], []

    def flush():
        with torch.no_grad():
            nearest = model.distances(torch.from_numpy(np.stack(waiting))).argmin(-1).numpy()
        for place, codes in zip(places, nearest):
            bank["codes"][place] = codes
        waiting.clear()
        places.clear()

    for i in range(count):
        scene = scenes.make_scene(rng)
        bank["image"][i], bank["ground"][i], bank["count"][i] = scene.image, list(scenes.GROUNDS).index(scene.ground), len(scene.shapes)
        for j, s in enumerate(scene.shapes):
            bank["kind"][i, j], bank["colour"][i, j], bank["box"][i, j] = scenes.KINDS.index(s.kind), list(scenes.COLOURS).index(s.colour), s.box
            bank["cover"][i, j] = s.mask.reshape(CELLS, 14, CELLS, 14).mean((1, 3))
            crop = scenes.crop(s.mask, s.box)
            for mirrored, mask in enumerate((crop, crop[:, ::-1].copy())):
                waiting.append(mask)
                places.append((i, j, mirrored))
        if len(waiting) >= 256:
            flush()
        if i % 1000 == 0:
            print(i, flush=True)
    if waiting:
        flush()
    return bank


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.savez(sys.argv[4], **make(int(sys.argv[1]), int(sys.argv[2]), vqvae.load(sys.argv[3])))
