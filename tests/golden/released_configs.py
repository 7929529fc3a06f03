#!/usr/bin/env python3
"""The JSON files of the twelve released variants, as a tool that writes checkpoints of their sizes says they are.

usage: released_configs.py RANDOM_CHECKPOINT.PY [OUT]        writes tests/data/configs/released.json
The tool's own code runs up to the point where it begins with the weights, so nothing of it is repeated here.
"""
import json, os, sys, tempfile

tool = sys.argv[1]
out = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(__file__), "..", "data", "configs", "released.json")
source, weights, _ = open(tool).read().partition("\nlm, vt, mp = ")
if not weights: sys.exit(f"{tool}: the line that begins the weights is not there any more")

released = {}
for name in [f"{m}-{r}" for m in ("paligemma-3b", "paligemma2-3b", "paligemma2-10b", "paligemma2-28b") for r in (224, 448, 896)]:
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = [tool, name, folder]
        exec(compile(source, tool, "exec"), {"__name__": "__main__"})
        released[name] = {f: json.load(open(os.path.join(folder, f))) for f in sorted(os.listdir(folder)) if f != "added_tokens.json"}
with open(out, "w") as f:
    f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in released.items()) + "\n}\n")
print(len(released), "variants,", os.path.getsize(out), "bytes")
