#!/usr/bin/env python3
"""Measures what it costs to compile pali: seconds and memory of one translation unit. Python's standard library alone.

usage: compile_time.py [--cxx g++] [--flags "-O2"] [--json]
The limit holds for one variant: 30 s and 1.5 GB. Exit code 3 above it.
"""
import argparse
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

LIMIT_SECONDS, LIMIT_MEGABYTES = 30, 1500
ROOT = pathlib.Path(__file__).resolve().parent.parent

MAIN = """#include <pali/pali.hpp>
#include <iostream>
int main(int argc, char** argv) {{
    if (argc < 3) return 2;
{uses}
}}
"""
USE = """    pali::model<{type}> model_{number}{{argv[1]}};
    std::cout << model_{number}.generate(pali::read_image(argv[2]), "caption en").text << '\\n';"""


def source(*types):
    return MAIN.format(uses="\n".join(USE.format(type=t, number=i) for i, t in enumerate(types)))


CASES = {
    "empty": ("int main() {}\n", ""),
    "umbrella, nothing used": ("#include <pali/pali.hpp>\nint main() {}\n", ""),
    "one variant": (source("pali::paligemma2_3b_224"), ""),
    "two variants": (source("pali::paligemma2_3b_224", "pali::paligemma_3b_448"), ""),
    "dynamic": (source("pali::dynamic"), ""),
    "one variant, bodies compiled elsewhere": (source("pali::paligemma2_3b_224"), "-DPALI_COMPILED"),
}


def measure(command):
    start = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"failed: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - start, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cxx", default="g++")
    parser.add_argument("--flags", default="-O2")
    parser.add_argument("--json", action="store_true", help="one object instead of a table")
    arguments = parser.parse_args()
    packages = subprocess.run(["pkg-config", "--cflags", "sentencepiece", "stb", "xtensor"], text=True, capture_output=True, check=True).stdout.split()
    readers = [f"-DPALI_WITH_{name}=1" for name in ("JPEG", "PNG", "WEBP")]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (text, more) in CASES.items():
            path = pathlib.Path(folder) / "case.cpp"
            path.write_text(text)
            command = [arguments.cxx, "-std=c++20", *shlex.split(arguments.flags), *packages, *readers, f"-I{ROOT / 'include'}", *shlex.split(more), "-c", str(path),
                       "-o", str(path.with_suffix(".o"))]
            cpu, wall, memory = measure(command)
            results[name] = {"cpu_s": round(cpu, 2), "wall_s": round(wall, 2), "peak_mb": round(memory), "object_kb": path.with_suffix(".o").stat().st_size // 1024}
            if not arguments.json:
                print(f"{name:<40} {cpu:6.1f} s (wall {wall:5.1f})  {memory:6.0f} MB  object {results[name]['object_kb']:6} KB", flush=True)
    one = results["one variant"]
    met = one["cpu_s"] <= LIMIT_SECONDS and one["peak_mb"] <= LIMIT_MEGABYTES
    if arguments.json:
        print(json.dumps({"cxx": arguments.cxx, "flags": arguments.flags, "cases": results, "limit_met": met}))
    else:
        print(f"limit for one variant: {LIMIT_SECONDS} s and {LIMIT_MEGABYTES} MB: {'met' if met else 'NOT met'}")
    return 0 if met else 3


if __name__ == "__main__":
    sys.exit(main())
