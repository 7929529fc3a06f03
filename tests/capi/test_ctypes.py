#!/usr/bin/env python3
"""Tests libpali from Python with ctypes: the example of docs/c_api.md, and answers against transformers.   usage: test_ctypes.py LIBPALI"""
import concurrent.futures
import contextlib
import ctypes as c
import io
import json
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODELS = ROOT / "tests" / "data" / "models"
LIBRARY = str(pathlib.Path(sys.argv[1]).resolve())
faults = []

# The example must run in the source folder with this library and print what the page says.
os.chdir(ROOT)
page = (ROOT / "docs" / "c_api.md").read_text()
lines = re.search(r"```python\n(.*?)```", page, flags=re.S).group(1)
printed = io.StringIO()
assert '"libpali.so"' in lines
names = {}
with contextlib.redirect_stdout(printed):
    exec(lines.replace('"libpali.so"', repr(LIBRARY)), names)
promised = "".join(line.partition("# ")[2] + "\n" for line in lines.splitlines() if "print(" in line)
if printed.getvalue() != promised:
    faults.append(f"docs/c_api.md says that its lines print {promised!r}; they print {printed.getvalue()!r}")
call = names["call"]
try:
    call("image_read", b"nowhere.png", None, c.byref(c.c_void_p()))
    faults.append("a missing file raised nothing")
except RuntimeError as e:
    if not str(e).startswith("[pali.201] ") or "nowhere.png" not in str(e):
        faults.append(f"a missing file raised {e}")


# Several threads use one model. Each must get its own answer and its own error.
def in_a_thread(model, number):
    photo, answer, text = c.c_void_p(), c.c_void_p(), c.c_char_p()
    prompt, want = (b"caption en", "a red cross and a yellow ring on a teal background") if number % 2 else (b"answer en what shape is red?", "cross")
    for _ in range(5):
        try:
            call("image_read", b"nowhere/%d.png" % number, None, c.byref(photo))
        except RuntimeError as e:
            if f"nowhere/{number}.png" not in str(e):
                faults.append(f"thread {number} was told {e}")
        call("image_read", b"examples/models/shapes/images/cross_and_ring.png", None, c.byref(photo))
        call("generate", model, c.byref(photo), c.c_size_t(1), prompt, None, c.byref(answer))
        call("answer_text", answer, c.byref(text), None)
        if text.value.decode() != want:
            faults.append(f"thread {number} was answered {text.value}")
        names["pali"].pali_answer_free(answer)
        names["pali"].pali_image_free(photo)


shared = c.c_void_p()
call("model_open", b"examples/models/shapes", None, c.byref(shared))
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for done in [pool.submit(in_a_thread, shared, number) for number in range(4)]:
        done.result()
names["pali"].pali_model_close(shared)


# All greedy answers of all tiny checkpoints in float32.
class model_options(c.Structure):
    _fields_ = [("size", c.c_size_t), ("threads", c.c_size_t), ("mask_decoder", c.c_char_p), ("on_progress", c.c_void_p), ("user", c.c_void_p),
                ("weights", c.c_int32), ("residency", c.c_int32), ("kv_cache", c.c_int32), ("pin_threads", c.c_int32)]


class options(c.Structure):
    _fields_ = [("size", c.c_size_t), ("max_new_tokens", c.c_size_t), ("rest", c.c_uint8 * 80)]


asked = 0
for checkpoint in json.loads((MODELS / "cases.json").read_text())["checkpoints"]:
    model = c.c_void_p()
    call("model_open", bytes(MODELS / checkpoint["folder"]), c.byref(model_options(size=c.sizeof(model_options), weights=1)), c.byref(model))
    for case in checkpoint["cases"]:
        images = (c.c_void_p * len(case["images"]))()
        for i, name in enumerate(case["images"]):
            one = c.c_void_p()
            call("image_read", bytes(MODELS / name), None, c.byref(one))
            images[i] = one
        answer, text, tokens, count = c.c_void_p(), c.c_char_p(), c.POINTER(c.c_int32)(), c.c_size_t()
        call("generate", model, images, c.c_size_t(len(images)), case["prompt"].encode(),
            c.byref(options(size=c.sizeof(options), max_new_tokens=case["max_new_tokens"])), c.byref(answer))
        call("answer_text", answer, c.byref(text), None)
        call("answer_tokens", answer, c.byref(tokens), None, c.byref(count))
        said = (text.value.decode(), tokens[:count.value])
        if said != (case["text"], case["tokens"]):
            faults.append(f"{checkpoint['name']}, {case['prompt']!r}: got {said}, transformers {case['text'], case['tokens']}")
        names["pali"].pali_answer_free(answer)
        for one in images:
            names["pali"].pali_image_free(c.c_void_p(one))
        asked += 1
    names["pali"].pali_model_close(model)

print("\n".join(faults) or f"the lines of docs/c_api.md, and {asked} answers as transformers")
sys.exit(1 if faults or asked == 0 else 0)
