#!/usr/bin/env python3
"""Measures the compile time and memory of one translation unit that uses pali and, for comparison, of other libraries' headers in the same
run. Needs only Python's standard library, and Debian's libeigen3-dev for one of the comparisons.

usage: compile_time.py [--cxx g++] [--flags "-O2"] [--repetitions 1] [--only TEXT] [--json]
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


UMBRELLA = "#include <pali/pali.hpp>\nint main() {}\n"
OWN = """struct own : pali::paligemma2<pali::gemma2_2b, pali::siglip_so400m_14<448>> {
    static constexpr std::size_t layers = 13;
};
"""
TWO_FILES = ["-DSINGLE", "-DPALI_COMPILED"]

# Name -> (source, more flags, most seconds that it should take, most MB)
CASES = {
    "two files: umbrella": (UMBRELLA, TWO_FILES, 2),
    "two files: dynamic": (source("pali::dynamic"), TWO_FILES, 3),
    "two files: a variant of one's own": ("#define PALI_OWN_VARIANT\n" + source("own").replace("int main", OWN + "int main"), TWO_FILES, 10, 1000),
    "two files: pali.cpp": ("#include <pali/pali.cpp>\n", TWO_FILES, 60, 1500),
    "two files: pali.cpp, x86-64-v3": ("#include <pali/pali.cpp>\n", [*TWO_FILES, "-DPALI_LEVEL=x86_64_v3", "-march=x86-64-v3"], None),
    "empty": ("int main() {}\n", [], None),
    "umbrella, nothing used": (UMBRELLA, [], 4),
    "one variant": (source("pali::paligemma2_3b_224"), [], 12),
    "two variants": (source("pali::paligemma2_3b_224", "pali::paligemma_3b_448"), [], 13),
    "dynamic": (source("pali::dynamic"), [], None),
    "dynamic, by the single header": (source("pali::dynamic"), ["-DSINGLE"], None),
    "umbrella, pali::compiled": (UMBRELLA, ["-DPALI_COMPILED"], None),
    "dynamic, pali::compiled": (source("pali::dynamic"), ["-DPALI_COMPILED"], 2),
    "nlohmann/json: a document read": ("#include <nlohmann/json.hpp>\nint main(int, char** v) { return nlohmann::json::parse(v[1]).at(\"x\").get<int>(); }\n", [], None),
    "xtensor: a sum of two": ("#include <xtensor/xtensor.hpp>\n#include <xtensor/xrandom.hpp>\nint main() { xt::xtensor<float, 2> a = xt::random::rand<float>({9, 9}), "
                              "b = a + a; return static_cast<int>(b(1, 1)); }\n", [], None),
    "Eigen: a product of two": ("#include <Eigen/Dense>\nint main() { Eigen::MatrixXf a = Eigen::MatrixXf::Random(9, 9), b = a * a; return static_cast<int>(b(1, 1)); }\n",
                                ["-I/usr/include/eigen3"], None),
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
    parser.add_argument("--repetitions", type=int, default=1, help="the best of so many counts")
    parser.add_argument("--only", default="", metavar="TEXT", help="the cases whose names contain the text")
    parser.add_argument("--json", action="store_true", help="one object instead of a table")
    arguments = parser.parse_args()
    packages = subprocess.run(["pkg-config", "--cflags", "sentencepiece", "stb", "xtensor"], text=True, capture_output=True, check=True).stdout.split()
    readers = [f"-DPALI_WITH_{name}=1" for name in ("JPEG", "PNG", "WEBP", "HEIF", "TIFF")]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "case.cpp"
        for name, (text, more, limit, *most_mb) in CASES.items():
            if arguments.only not in name:
                continue
            path.write_text(text)
            include = ROOT / ("single_include" if "-DSINGLE" in more else "include")
            command = [arguments.cxx, "-std=c++20", *shlex.split(arguments.flags), *packages, *readers, f"-I{include}", *more, "-c", str(path), "-o",
                       str(path.with_suffix(".o"))]
            cpu, wall, memory = min(measure(command) for _ in range(arguments.repetitions))
            results[name] = {"cpu_s": round(cpu, 2), "wall_s": round(wall, 2), "peak_mb": round(memory), "object_kb": path.with_suffix(".o").stat().st_size // 1024,
                             "most_s": limit, "most_mb": most_mb[0] if most_mb else None}
            if not arguments.json:
                met = limit is None or (cpu <= limit and all(memory <= most for most in most_mb))
                target = "" if limit is None else f"  target {limit} s{''.join(f', {most} MB' for most in most_mb)}: {'met' if met else 'not met'}"
                print(f"{name:<34} {cpu:6.1f} s (wall {wall:5.1f})  {memory:6.0f} MB  object {results[name]['object_kb']:6} KB{target}", flush=True)
    if arguments.json:
        print(json.dumps({"cxx": arguments.cxx, "flags": arguments.flags, "cases": results}))


if __name__ == "__main__":
    main()
