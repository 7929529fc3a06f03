"""Training batches: patch labels for the vision tower, and rows of one image with several questions for the decoder."""
import numpy as np
import torch

import scenes

KINDS, COLOURS, GROUNDS = list(scenes.KINDS), list(scenes.COLOURS), list(scenes.GROUNDS)
NO_LABEL = -100
# Sampling weight of each kind of question. A row has room for most questions of a scene.
IN_ROWS = {"caption": 1.0, "answer": 1.5, "detect": 0.7, "segment": 1.2, "detect all": 1.0, "segment all": 0.35}


class Bank:
    """The arrays written by bank.py. Scenes can be read mirrored."""

    def __init__(self, path):
        self.arrays = {name: array for name, array in np.load(path).items()}
        self.size = len(self.arrays["count"])

    def pixels(self, indices, mirrored):
        """(B, 3, S, S), -1 to 1."""
        images = self.arrays["image"][indices]
        images = np.where(np.asarray(mirrored)[:, None, None, None] > 0, images[:, :, ::-1], images)
        return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 127.5 - 1

    def shapes(self, index, mirrored):
        """Returns [(kind, colour, box, codes (16), cover)] of the shapes of a scene, from left to right."""
        a, out = self.arrays, []
        for j in range(a["count"][index]):
            box, cover = a["box"][index, j].astype(int), a["cover"][index, j]
            if mirrored:
                box, cover = np.array([box[0], scenes.SIDE - box[3], box[2], scenes.SIDE - box[1]]), cover[:, ::-1]
            out.append((int(a["kind"][index, j]), int(a["colour"][index, j]), box, a["codes"][index, j, mirrored], cover))
        return sorted(out, key=lambda s: s[2][1] + s[2][3])


def patch_labels(bank, indices, mirrored):
    """Returns the labels of each patch: kind, color and rank from the left of the shape (0: background), its box and codes; and the labels
    of each image: background and number of shapes."""
    n, cells = len(indices), bank.arrays["cover"].shape[-1] ** 2
    out = {name: np.zeros((n, cells), np.int64) for name in ("kind", "colour", "rank")}
    out.update(box=np.full((n, cells, 4), NO_LABEL, np.int64), codes=np.full((n, cells, 16), NO_LABEL, np.int64))
    for i, (index, m) in enumerate(zip(indices, mirrored)):
        found = bank.shapes(index, m)
        cover = np.stack([s[4].reshape(-1).astype(np.float32) for s in found])
        most = cover.argmax(0)
        for j, (kind, colour, box, codes, _) in enumerate(found):
            here = (most == j) & (cover[j] > 0.12)
            out["kind"][i, here], out["colour"][i, here], out["rank"][i, here] = kind + 1, colour + 1, j + 1
            out["box"][i, here], out["codes"][i, here] = box, codes
    out = {name: torch.from_numpy(array) for name, array in out.items()}
    out["ground"] = torch.from_numpy(bank.arrays["ground"][indices].astype(np.int64))
    out["count"] = torch.from_numpy(bank.arrays["count"][indices].astype(np.int64) - 1)
    return out


class Asker:
    """Builds rows of questions about the scenes of a bank."""

    def __init__(self, bank, text, config, seed):
        self.bank, self.text, self.config, self.rng = bank, text, config, np.random.default_rng(seed)
        self.loc, self.seg, self.cache = text.piece_to_id("<loc0000>"), text.piece_to_id("<seg000>"), {}
        self.locs = torch.tensor([self.loc + round(v / scenes.SIDE * 1023) for v in range(scenes.SIDE + 1)])  # ids of the 113 locations that occur

    def encode(self, words):
        if words not in self.cache:
            self.cache[words] = self.text.encode(words)
        return self.cache[words]

    def questions(self, index, mirrored):
        """Returns [(kind of question, prompt, answer)] of a scene."""
        found = self.bank.shapes(index, mirrored)
        shapes = [scenes.Shape(COLOURS[colour], KINDS[kind], tuple(box)) for kind, colour, box, _, _ in found]
        codes = [s[3] for s in found]
        scene = scenes.Scene(None, shapes, GROUNDS[self.bank.arrays["ground"][index]])
        out = [("caption", "caption en", scenes.caption(scene))]
        out += [("answer", p, a) for p, a in scenes.questions(scene)]
        for s, c in zip(shapes, codes):
            out += [("detect", f"detect {s.name}", scenes.pointed([s])), ("segment", f"segment {s.name}", scenes.pointed([s], [c]))]
        return out + [("detect all", "detect shape", scenes.pointed(shapes)), ("segment all", "segment shape", scenes.pointed(shapes, codes))]

    def tokens(self, prompt, answer):
        """Returns (prefix, suffix) as ids. Prefix: BOS, prompt, newline. Suffix: answer, EOS."""
        return [self.text.bos_id()] + self.encode(prompt) + self.encode("\n"), self.text.encode(answer) + [self.text.eos_id()]

    def row(self, index, mirrored, room):
        """Returns (prefix, suffix) of as many random questions of a scene as fit into `room` tokens."""
        asked = self.questions(index, mirrored)
        order = np.argsort(self.rng.exponential(size=len(asked)) / np.array([IN_ROWS[kind] for kind, _, _ in asked]))
        out = []
        for i in order:
            prefix, suffix = self.tokens(*asked[i][1:])
            if len(prefix) + len(suffix) <= room:
                out.append((prefix, suffix))
                room -= len(prefix) + len(suffix)
        return out

    def batch(self, rows, length, joined):
        """Packs rows [[(prefix, suffix)]] into tokens (B, N), positions (B, P + N), mask (B, P + N, P + N) and targets (B, N).
        With `joined` a row has one question and the image tokens attend to its prompt, as in PaliGemma. Otherwise they attend to
        themselves."""
        b, p = len(rows), self.config.image_tokens
        tokens, targets = np.zeros((b, length), np.int64), np.full((b, length), NO_LABEL, np.int64)
        positions, segment = np.zeros((b, p + length), np.int64), np.full((b, p + length), -1, np.int64)
        order = np.zeros((b, p + length), np.int64)  # 0 in the prefix; 1, 2, ... in the suffix
        positions[:, :p], segment[:, :p] = np.arange(p), 0
        for i, row in enumerate(rows):
            at = 0
            for j, (prefix, suffix) in enumerate(row):
                n, m = len(prefix), len(suffix)
                tokens[i, at:at + n + m] = prefix + suffix
                targets[i, at + n - 1:at + n + m - 1] = suffix
                here = slice(p + at, p + at + n + m)
                positions[i, here], segment[i, here] = np.arange(p, p + n + m), j + 1
                order[i, p + at + n:p + at + n + m] = np.arange(1, m + 1)
                at += n + m
        q, k = segment[:, :, None], segment[:, None, :]
        mask = (k == 0) | ((q == k) & (order[:, None, :] <= order[:, :, None]))
        if joined:
            mask |= (q == 0) & (k == 1) & (order[:, None, :] == 0)
        else:
            mask &= (q != 0) | (k == 0)
        mask &= k >= 0
        mask[:, :, 0] = True  # so that padding rows attend to something
        return [torch.from_numpy(a) for a in (tokens, positions, mask, targets)]

