#!/usr/bin/env python3
"""pali beside transformers + torch on the same checkpoint, in one run, each alone on the machine: a table of seconds, tokens a second and ratios.

usage: peers.py CHECKPOINT [--whole-model build/benchmark/benchmarks/whole_model] [--threads 2] [--tokens 32] [--rounds 2] [--environment DIR] [--json]

CHECKPOINT is a PaliGemma folder; random weights of the real size time like real ones. DIR is where a virtual environment with torch and transformers is made,
or is found; without: build/peers. The rounds alternate between the two, and the best of each counts: what else the machine does falls on both."""
import argparse
import json
import pathlib
import subprocess
import sys

PACKAGES = ["torch==2.11.0", "transformers==5.23.0", "numpy==2.4.6", "safetensors==0.8.0", "sentencepiece==0.2.3", "pillow==13.0.0"]

# What runs in that environment: seconds of one picture, of the decoder's prefill of 256 image tokens and 8 of text, and of a token.
TORCH = r'''
import json, sys, time
import torch
from transformers import DynamicCache, PaliGemmaForConditionalGeneration

folder, threads, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.set_grad_enabled(False)
begun = time.perf_counter()
model = PaliGemmaForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16).eval()
load = time.perf_counter() - begun
config = model.config
side, patches = config.vision_config.image_size, config.vision_config.num_image_tokens
torch.manual_seed(0)
pixels = torch.randn(1, 3, side, side).to(model.dtype)
ids = torch.cat([torch.full((1, patches), config.image_token_id), torch.randint(5, 250000, (1, 8))], 1)

def features():
    out = model.model.get_image_features(pixels)
    return out if torch.is_tensor(out) else out.pooler_output if getattr(out, "pooler_output", None) is not None else out[0]

decoder = model.model.language_model
embedded = torch.cat([features().reshape(1, patches, -1), decoder.embed_tokens(ids[:, patches:])], 1).to(model.dtype)

def prefill(cache):
    length = ids.shape[1]
    mask = torch.zeros(1, 1, length, length, dtype=model.dtype)  # all see each other
    if config.text_config.model_type == "gemma2":
        mask = {"full_attention": mask, "sliding_attention": mask}
    hidden = decoder(inputs_embeds=embedded, attention_mask=mask, position_ids=torch.arange(length)[None], past_key_values=cache, use_cache=True).last_hidden_state
    return model.lm_head(hidden[:, -1:])

def best(work, runs=2):
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)

features()
image = best(features)
new_cache = lambda: DynamicCache(config=config.get_text_config())
prefill(new_cache())
first = best(lambda: prefill(new_cache()))
cache = new_cache()
word = prefill(cache)[:, -1].argmax(-1, keepdim=True)
times = []
for i in range(tokens):
    begun = time.perf_counter()
    out = model(input_ids=word, past_key_values=cache, position_ids=torch.tensor([[ids.shape[1] + i]]), use_cache=True, logits_to_keep=1)
    word = out.logits[:, -1].argmax(-1, keepdim=True)
    times.append(time.perf_counter() - begun)
peak = [int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
print(json.dumps({"load_s": load, "image_s": image, "prefill_s": first, "decode_tokens_per_s": 1 / sorted(times)[len(times) // 2], "peak_gb": peak / 1e9}))
'''


def environment(folder):
    """The Python of a virtual environment with the packages; made where there is none."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def torch_figures(python, options):
    done = subprocess.run([python, "-c", TORCH, options.checkpoint, str(options.threads), str(options.tokens)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def pali_figures(weights, residency, options):
    done = subprocess.run([options.whole_model, options.checkpoint, "--weights", weights, "--residency", residency, "--tokens", str(options.tokens), "--threads", str(options.threads)],
                          check=True, capture_output=True, text=True)
    said = json.loads(done.stdout)
    return {"load_s": said["load_s"], "image_s": said["image"]["s"], "prefill_s": said["prefill"]["s"], "decode_tokens_per_s": said["decode"]["tokens_per_s"],
            "peak_gb": said["memory"]["peak_gb"], "of_bandwidth": said["decode"]["of_bandwidth"], "prefill_of_peak": said["prefill"]["of_peak"],
            "image_of_peak": said["image"]["of_peak"], "batch_of_one": said["batch"]["of_one"], "machine": said["machine"], "instruction_set": said["instruction_set"]}


def better(a, b):
    """The best of two rounds, figure by figure."""
    if a is None:
        return b
    lower = {"load_s", "image_s", "prefill_s", "peak_gb"}
    return {k: (min(a[k], b[k]) if k in lower else max(a[k], b[k])) if isinstance(b[k], float) else b[k] for k in b}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--whole-model", default="build/benchmark/benchmarks/whole_model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--environment", type=pathlib.Path, default=pathlib.Path("build/peers"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    python = environment(options.environment)
    rows = {"transformers + torch, bf16": lambda: torch_figures(python, options)}
    for weights, residency in (("bf16", "mapped"), ("bf16", "resident"), ("int8", "resident"), ("int4", "resident")):
        rows[f"pali, {weights}, {residency}"] = lambda weights=weights, residency=residency: pali_figures(weights, residency, options)
    best = dict.fromkeys(rows)
    for _ in range(options.rounds):
        for name, measure in rows.items():
            best[name] = better(best[name], measure())
    if options.json:
        print(json.dumps(best, indent=1))
        return
    torch = best["transformers + torch, bf16"]
    print("| | image | prefill | decode | of bandwidth | 8 together | load | peak memory |\n|---|---|---|---|---|---|---|---|")
    for name, row in best.items():
        ratio = "" if row is torch else " ({:.2f}x)"
        of = lambda key, form: form.format(row[key]) + ratio.format(row[key] / torch[key]) if ratio else form.format(row[key])
        share = f"{row['of_bandwidth']:.2f}" if "of_bandwidth" in row else ""
        together = f"{row['batch_of_one']:.1f}x" if "batch_of_one" in row else ""
        print(f"| {name} | {of('image_s', '{:.2f} s')} | {of('prefill_s', '{:.2f} s')} | {of('decode_tokens_per_s', '{:.2f} tok/s')} | {share} | {together} | {row['load_s']:.2f} s | {row['peak_gb']:.1f} GB |")


if __name__ == "__main__":
    main()
