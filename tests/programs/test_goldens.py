#!/usr/bin/env python3
"""Compares `pali generate --json` on every tiny checkpoint with transformers: tests/data/models/cases.json, written by
tests/golden/models.py.

usage: test_goldens.py PALI
"""
import json
import pathlib
import subprocess
import sys

MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"
BEAM_OPTIONS = {"num_beams": "--num-beams", "length_penalty": "--length-penalty", "early_stopping": "--early-stopping", "max_new_tokens": "--max-tokens"}
OTHER_OPTIONS = {"min_new_tokens": "--min-tokens", "repetition_penalty": "--repetition-penalty"}


def ask(pali, checkpoint, case, more=()):
    images = [part for name in case["images"] for part in ("--image", str(MODELS / name))]
    command = [pali, "generate", "--json", "--weights", "f32", "--model", str(MODELS / checkpoint["folder"]), "--prompt", case["prompt"], *images, *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return None, f"exit code {done.returncode}: {done.stderr.strip()}"
    return json.loads(done.stdout), ""


def options(row, known):
    words = []
    for key, option in known.items():
        if key in row and row[key] is not False:
            words += [option] if row[key] is True else [option, str(row[key])]
    return words


def main():
    pali, faults, asked = sys.argv[1], [], 0
    for checkpoint in json.loads((MODELS / "cases.json").read_text())["checkpoints"]:
        for case in checkpoint["cases"]:
            where = f"{checkpoint['name']}, {case['prompt']!r}"

            def compare(what, got, want):
                if got != want:
                    faults.append(f"{where}: {what}: got {got}, transformers {want}")

            limit = ["--max-tokens", str(case["max_new_tokens"])]
            said, fault = ask(pali, checkpoint, case, limit)
            asked += 1
            if said is None:
                faults.append(f"{where}: {fault}")
                continue
            compare("tokens", said["tokens"], case["tokens"])
            compare("text", said["text"], case["text"])
            compare("prompt_tokens", said["prompt_tokens"], case["prompt_tokens"])
            compare("finish_reason", said["finish_reason"], case["finish_reason"])
            apart = max((abs(a - b) for a, b in zip(said["logprobs"], case["logprobs"])), default=0)
            if len(said["logprobs"]) != len(case["logprobs"]) or apart > checkpoint["tolerances"]["logprob"]:
                faults.append(f"{where}: log-probabilities are {apart} apart, allowed {checkpoint['tolerances']['logprob']}")
            for known, rows in ((BEAM_OPTIONS, case["beams"]), (OTHER_OPTIONS, case["processed"])):
                for row in rows:
                    more = options(row, known)
                    said, fault = ask(pali, checkpoint, case, more if "--max-tokens" in more else limit + more)
                    asked += 1
                    compare(f"tokens with {' '.join(more)}", said["tokens"] if said else fault, row["tokens"])
    print("\n".join(faults) or f"{asked} answers are transformers'")
    return 1 if faults or asked == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
