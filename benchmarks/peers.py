#!/usr/bin/env python3
"""Compares pali with torch, llama.cpp and OpenVINO on the same checkpoint. Prints a table of seconds, tokens per second and ratios.

usage: peers.py CHECKPOINT [--peers torch,llama,openvino] [--whole-model build/benchmark/benchmarks/whole_model] [--threads 2] [--tokens 32] [--repetitions 2]
                [--rounds 2] [--environment DIR] [--torch-environment DIR] [--json]

CHECKPOINT is a PaliGemma folder; random weights of the real shapes take the same time as trained ones. DIR (default build/peers) receives a
virtual environment per peer, with packages from PyPI, and the converted weights of llama.cpp and OpenVINO: 10 GB each for the 3B model,
15 GB while OpenVINO's are converted, with 8 GB of memory. llama.cpp is built for this machine with the compilers in CC and CXX.
--torch-environment uses an existing environment with transformers and torch, and does not change it.

Each program runs alone. Each round runs all rows once, so that other load on the machine affects all rows; the best value of each figure is
reported. Ratios in parentheses are relative to torch. Decode of int8 and int4 is compared with llama.cpp's Q8_0 and Q4_0, whose layers have
the same number of bits per weight (the head of Q4_0 is Q6_K). If a peer fails, its row gives the reason and the others continue."""
import argparse
import functools
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys

PROGRAMS = pathlib.Path(__file__).resolve().parent / "peers"
PACKAGES = {
    "torch": ["torch==2.11.0", "transformers==5.23.0", "numpy==2.4.6", "safetensors==0.8.0", "sentencepiece==0.2.3", "pillow==13.0.0"],
    "llama": ["llama-cpp-python==0.3.36", "--no-binary=llama-cpp-python", "gguf==0.19.0", "numpy==2.4.6"],
    "openvino": ["openvino==2026.4.1", "optimum-intel==2.2.0", "transformers==5.0.0", "nncf==3.4.0", "torch==2.11.0", "numpy==2.4.6", "safetensors==0.8.0"],
}
ROWS = {
    "torch": {"transformers + torch, bf16": "bfloat16"},
    "llama": {f"llama.cpp, {name}, decoder alone": name for name in ("BF16", "Q8_0", "Q4_0")},
    "openvino": {"OpenVINO, image alone": "vision", **{f"OpenVINO, {name}, decoder alone": name for name in ("bf16", "int8", "int4")}},
}
PALI = {f"pali, {weights}, {residency}": (weights, residency) for weights, residency in
        (("bf16", "mapped"), ("bf16", "resident"), ("int8", "resident"), ("int4", "resident"))}
TORCH = "transformers + torch, bf16"
DECODE_PEERS = {"int8": "llama.cpp, Q8_0, decoder alone", "int4": "llama.cpp, Q4_0, decoder alone"}  # for the pali rows whose name contains the key
LESS_IS_BETTER = {"load_s", "image_s", "prefill_s", "peak_gb"}


class failed(Exception):
    pass


def run(*command, **variables):
    """Returns the output of a command. If it fails, prints all its output to stderr and raises `failed` with its last error line."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env={**os.environ, **variables})
    except OSError as why:
        raise failed(str(why)) from why
    if done.returncode == 0:
        return done.stdout
    print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    if done.returncode < 0:
        raise failed(f"ended by {signal.Signals(-done.returncode).name}")
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [f"ended with {done.returncode}"]
    raise failed(next((line for line in reversed(said) if line.lower().startswith("error")), said[-1]))


def environment(peer, folder):
    """Returns the Python of the peer's virtual environment. Creates it if needed; installs again if PACKAGES has changed."""
    python, filled = folder / "bin" / "python", folder / "packages.json"
    wanted = json.dumps(PACKAGES[peer])
    if not filled.exists() or filled.read_text() != wanted:
        print(f"{peer}: installing", file=sys.stderr)
        run(sys.executable, "-m", "venv", folder)
        run(python, "-m", "pip", "install", *PACKAGES[peer], CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF " + os.environ.get("CMAKE_ARGS", ""),
            CMAKE_BUILD_PARALLEL_LEVEL=os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count())))
        filled.write_text(wanted)
    return python


def key_of(checkpoint):
    """Returns a cache key for weights converted from these files."""
    files = sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in checkpoint.iterdir() if path.suffix in (".json", ".safetensors"))
    return checkpoint.name + "-" + hashlib.sha256(repr(files).encode()).hexdigest()[:8]


def peer_rows(peer, options):
    """Installs the peer and converts the weights. Returns row -> a function that measures it, or the reason why it cannot be measured."""
    program, folder = PROGRAMS / f"{peer}_peer.py", options.environment / "weights" / key_of(options.checkpoint) / peer
    try:
        python = options.torch_environment / "bin" / "python" if peer == "torch" and options.torch_environment else environment(peer, options.environment / peer)
    except failed as why:
        return dict.fromkeys(ROWS[peer], str(why))

    def measure(variant):
        return json.loads(run(python, program, "time", options.checkpoint, folder, variant, options.threads, options.tokens, options.repetitions).splitlines()[-1])

    rows = {}
    for name, variant in ROWS[peer].items():
        print(f"{name}: weights", file=sys.stderr)
        try:
            run(python, program, "prepare", options.checkpoint, folder, variant)
            rows[name] = functools.partial(measure, variant)
        except failed as why:
            rows[name] = str(why)
    return rows


def pali_figures(weights, residency, options):
    said = json.loads(run(options.whole_model, options.checkpoint, "--weights", weights, "--residency", residency, "--tokens", options.tokens, "--threads", options.threads,
                          "--repetitions", options.repetitions))
    wanted = {"image_s": ("image", "s"), "prefill_s": ("prefill", "s"), "decode_tokens_per_s": ("decode", "tokens_per_s"), "peak_gb": ("memory", "peak_gb"),
              "of_bandwidth": ("decode", "of_bandwidth"), "prefill_of_peak": ("prefill", "of_peak"), "image_of_peak": ("image", "of_peak"), "batch_of_one": ("batch", "of_one")}
    figures = {name: said[part][key] for name, (part, key) in wanted.items() if key in said.get(part, {})}
    return {**figures, **{name: said[name] for name in ("load_s", "machine", "instruction_set") if name in said}}


def better(a, b):
    """Returns the better value of each figure."""
    return {k: (min if k in LESS_IS_BETTER else max)(a[k], b[k]) if isinstance(b[k], float) and k in a else b[k] for k in b}


def table(best):
    none = lambda name: "failed" in best.get(name, {"failed": ""})

    def figure(name, key, form, peer=None):
        if key not in best[name]:
            return ""
        value = best[name][key]
        return form.format(value) + (f" ({value / best[peer][key]:.2f}x)" if peer not in (None, name) and not none(peer) else "")

    yield "| | image | prefill | decode | of bandwidth | 8 together | load | peak memory |\n|---|---|---|---|---|---|---|---|"
    for name in best:
        if none(name):
            reason = best[name]["failed"].replace("|", "\\|")
            yield f"| {name} | not measured: {reason} | | | | | | |"
            continue
        width = next((width for width in DECODE_PEERS if width in name), None)
        cells = [figure(name, "image_s", "{:.2f} s", TORCH), figure(name, "prefill_s", "{:.2f} s", TORCH),
                 figure(name, "decode_tokens_per_s", "{:.2f} tok/s", DECODE_PEERS.get(width, TORCH)), figure(name, "of_bandwidth", "{:.2f}"),
                 figure(name, "batch_of_one", "{:.1f}x"), figure(name, "load_s", "{:.2f} s"), figure(name, "peak_gb", "{:.1f} GB")]
        yield f"| {name} | " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=lambda name: pathlib.Path(name).resolve())
    parser.add_argument("--peers", type=lambda names: [name for name in names.split(",") if name], default=list(PACKAGES))
    parser.add_argument("--whole-model", default="build/benchmark/benchmarks/whole_model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=2, help="per row and round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--environment", type=pathlib.Path, default=pathlib.Path("build/peers"))
    parser.add_argument("--torch-environment", type=pathlib.Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(PACKAGES):
        parser.error(f"--peers: unknown {', '.join(sorted(unknown))}; choose from {', '.join(PACKAGES)}")
    rows = {name: how for peer in options.peers for name, how in peer_rows(peer, options).items()}
    rows.update({name: functools.partial(pali_figures, *kind, options) for name, kind in PALI.items()})
    best = {name: {"failed": how} if isinstance(how, str) else {} for name, how in rows.items()}
    for i in range(options.rounds):
        for name, measure in rows.items():
            if "failed" in best[name]:
                continue
            print(f"round {i + 1}: {name}", file=sys.stderr)
            try:
                best[name] = better(best[name], measure())
            except failed as why:
                best[name] = {"failed": str(why)}
    print(json.dumps(best, indent=1) if options.json else "\n".join(table(best)))


if __name__ == "__main__":
    main()
