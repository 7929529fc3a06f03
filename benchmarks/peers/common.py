"""What the peers' programs share. Each runs in its own environment, started by ../peers.py:

  PROGRAM prepare CHECKPOINT FOLDER VARIANT                            writes the weights of a variant into FOLDER, where they are not there yet
  PROGRAM time CHECKPOINT FOLDER VARIANT THREADS TOKENS REPETITIONS    prints one JSON line of figures

Variants are prepared in the order of the table, each in a process of its own: later ones are made of earlier ones."""
import contextlib
import json
import os
import pathlib
import shutil
import sys
import time


def vision(checkpoint):
    """Side of the image and the number of its tokens, as the checkpoint says or as PaliGemma 224 has them."""
    said = json.loads((pathlib.Path(checkpoint) / "config.json").read_text())["vision_config"]
    side = said.get("image_size", 224)
    return side, (side // said.get("patch_size", 14)) ** 2


def prompt_tokens(checkpoint):
    """An image's tokens and 8 of text."""
    return vision(checkpoint)[1] + 8


def seconds(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def decoder_figures(prefill, step, tokens, repetitions):
    """The best of the repetitions: prefill() answers the first token, step(i, token) the one after it. The mean over a run's tokens, as pali counts them."""
    first, rate = [], []
    for _ in range(repetitions):
        begun = time.perf_counter()
        token = prefill()
        came = time.perf_counter()
        for i in range(tokens):
            token = step(i, token)
        first.append(came - begun)
        rate.append(tokens / (time.perf_counter() - came))
    return {"prefill_s": min(first), "decode_tokens_per_s": max(rate)}


@contextlib.contextmanager
def made_whole(path):
    """A name to write under; what is there takes the name PATH only when all is written, so that a broken conversion is made again."""
    part = path.with_name("part-" + path.name)
    shutil.rmtree(part, ignore_errors=True)
    part.unlink(missing_ok=True)
    yield part
    os.replace(part, path)


def run(prepare, measure):
    what, checkpoint, folder, variant, *numbers = sys.argv[1:]
    folder = pathlib.Path(folder)
    if what == "prepare":
        folder.mkdir(parents=True, exist_ok=True)
        prepare(checkpoint, folder, variant)
        return
    figures = measure(checkpoint, folder, variant, *map(int, numbers))
    peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(json.dumps({**figures, "peak_gb": peak / 1e9}))
