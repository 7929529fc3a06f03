#!/usr/bin/env python3
"""libpali exports exactly the functions declared in pali.h, and its SONAME has the ABI version.   usage: test_symbols.py LIBPALI"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


declared = set(re.findall(r"^PALI_API [^(]*?(pali_\w+)\(", (ROOT / "include/pali/pali.h").read_text(), flags=re.M))
shown = {line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", sys.argv[1]).splitlines()}
faults = [f"{name} is shown and not declared in pali.h" for name in sorted(shown - declared)]
faults += [f"{name} is declared in pali.h and not shown" for name in sorted(declared - shown)]

major, minor, _ = re.findall(r"PALI_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", (ROOT / "include/pali/version.hpp").read_text())
want = f"libpali.so.{major if major != '0' else f'0.{minor}'}"
if f"[{want}]" not in run("readelf", "-d", sys.argv[1]):
    faults.append(f"the SONAME is not {want}")

print("\n".join(faults) or f"{len(shown)} functions, {want}")
sys.exit(1 if faults or not shown else 0)
