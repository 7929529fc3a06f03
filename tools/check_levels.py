#!/usr/bin/env python3
"""Checks that object files compiled for one ISA level share no function with the rest of the program. Needs the standard library and nm.

usage: check_levels.py [--nm NM] OBJECT...      checks objects named *level_<LEVEL>*.o and ignores all others

Of several definitions of a weak symbol the linker keeps the first. If it kept one from an AVX-512 object, the program would crash with
SIGILL on every CPU without AVX-512. Therefore each weak or unique symbol of such an object (nm: W, V, u) must contain the namespace of its
level. Two symbols added by the compilers are exempt, because they are the same at every level: the pointer to the exception personality
routine (g++), and __clang_call_terminate, which passes nothing in a vector register.
"""
import argparse
import pathlib
import re
import subprocess
import sys

OF_THE_COMPILER = {"DW.ref.__gxx_personality_v0", "__clang_call_terminate"}


def foreign_symbols(nm, path, level):
    listed = subprocess.run([nm, "--defined-only", str(path)], check=True, capture_output=True, text=True).stdout
    own = f"{len(level)}{level}"  # the mangled namespace
    for line in listed.splitlines():
        _, kind, name = line.rsplit(maxsplit=2)
        if kind in "WVuwv" and own not in name and name not in OF_THE_COMPILER:
            yield kind, name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nm", default="nm")
    parser.add_argument("objects", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    checked = faults = 0
    for path in arguments.objects:
        match = re.search(r"level_((?:x86_64(?:_v\d)?)|baseline)\b", path.name)
        if not match:
            continue
        checked += 1
        for kind, name in foreign_symbols(arguments.nm, path, match.group(1)):
            faults += 1
            shown = subprocess.run(["c++filt", name], capture_output=True, text=True).stdout.strip() or name
            print(f"{path.name}: {kind} {shown}: the linker may use this copy for the whole program")
    if not checked:
        sys.exit("none of these files is an object of a level")
    print(f"{checked} objects, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
