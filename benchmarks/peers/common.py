"""Shared code of the peer programs. ../peers.py runs each in its own environment:

  PROGRAM prepare CHECKPOINT FOLDER VARIANT                            writes the weights of a variant to FOLDER, unless they exist
  PROGRAM time CHECKPOINT FOLDER VARIANT THREADS TOKENS REPETITIONS    prints one JSON line of figures

Variants are prepared in the order of the table, each in its own process, because later ones are converted from earlier ones."""
import contextlib
import json
import os
import pathlib
import shutil
import sys
import time


def vision(checkpoint):
    """Returns the image side in pixels and the number of image tokens. Defaults of a missing key: PaliGemma 224."""
    said = json.loads((pathlib.Path(checkpoint) / "config.json").read_text())["vision_config"]
    side = said.get("image_size", 224)
    return side, (side // said.get("patch_size", 14)) ** 2


def prompt_tokens(checkpoint):
    """Returns the prompt length: the image tokens and 8 text tokens."""
    return vision(checkpoint)[1] + 8


def seconds(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def decoder_figures(prefill, step, tokens, repetitions):
    """Returns the best prefill time and the best decode rate of all repetitions. prefill() returns the first token, step(i, token) the next
    one. The rate of a run is the mean over its tokens, as in pali."""
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
    """Yields a temporary name and renames it to `path` at the end, so that an interrupted conversion is repeated."""
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
