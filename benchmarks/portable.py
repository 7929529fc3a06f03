#!/usr/bin/env python3
"""Measures the cost of run-time kernel selection: compares this tree, built without ISA flags, with another commit built for a fixed ISA
level. Needs only Python's standard library.

usage: portable.py CHECKPOINT [--against COMMIT] [--rounds N] [--levels native,x86-64-v3,x86-64] [--weights f32,bf16,int8,int4] [--build DIR]

CHECKPOINT is a model folder with real widths; a few layers are enough. The script builds this tree without flags, and COMMIT with
-march=native, with -march=x86-64-v3 and without flags. The programs run alternately and the smallest time of each is used. Prints the ratio
(time of this tree) / (time of COMMIT) for image, prompt and token.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent
# Level -> (flags of COMMIT, PALI_ARCH of both runs, which restricts this tree to the instructions of the level).
LEVELS = {"native": ("-march=native", ""), "x86-64-v3": ("-march=x86-64-v3", "avx2"), "x86-64": ("", "simd")}


def build(source, folder, flags):
    options = ["-DPALI_NATIVE=OFF", "-DPALI_BUILD_BENCHMARKS=ON", "-DPALI_BUILD_TESTS=OFF", "-DPALI_BUILD_EXAMPLES=OFF", "-DPALI_BUILD_C=OFF", "-DPALI_INSTALL=OFF",
               "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_CXX_FLAGS={flags}"]
    for command in (["cmake", "-S", source, "-B", folder, "-G", "Ninja", *options], ["cmake", "--build", folder, "--target", "whole_model"]):
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout[-4000:])
    return next(pathlib.Path(folder).rglob("whole_model"))


def times(program, checkpoint, weights, arch):
    environment = {**os.environ, "PALI_ARCH": arch}
    done = subprocess.run([program, checkpoint, "--weights", weights, "--tokens", "16", "--batch", "1", "--repetitions", "3"], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    said = json.loads(done.stdout)
    return {"image": said["image"]["s"], "prompt": said["prefill"]["s"], "token": 1 / said["decode"]["best_tokens_per_s"]}, said["instruction_set"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--against", default="b4b6dfa")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--levels", default=",".join(LEVELS))
    parser.add_argument("--weights", default="f32,bf16,int8,int4")
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build" / "portable")
    arguments = parser.parse_args()
    there = arguments.build / "source"
    if not there.is_dir():
        there.mkdir(parents=True)
        packed = subprocess.run(["git", "-C", SOURCE, "archive", arguments.against], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", there], input=packed, check=True)
    here = build(SOURCE, arguments.build / "here", "")
    print(f"{'level':10} {'weights':8} {'image':>7} {'prompt':>7} {'token':>7}   time here / time at {arguments.against}, best of {arguments.rounds} in turns")
    for level in arguments.levels.split(","):
        flags, arch = LEVELS[level]
        other = build(there, arguments.build / level, flags)
        for weights in arguments.weights.split(","):
            best = [{}, {}]
            names = [None, None]
            for _ in range(arguments.rounds):
                for side, program in enumerate((here, other)):
                    found, names[side] = times(program, arguments.checkpoint, weights, arch)
                    best[side] = {kind: min(value, best[side].get(kind, value)) for kind, value in found.items()}
            ratios = " ".join(f"{best[0][kind] / best[1][kind]:7.2f}" for kind in ("image", "prompt", "token"))
            print(f"{level:10} {weights:8} {ratios}   ({names[0]}; {names[1]})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
