#!/usr/bin/env python3
"""Checks that objects which are compiled for one level each share no function with the rest of a program. Python's standard library, and nm.

usage: check_levels.py [--nm NM] OBJECT...      objects named *level_<LEVEL>*.o are checked, others are passed over

A weak symbol that several objects define becomes whichever copy the linker finds first. A copy from an object for AVX-512 would end the program on every other processor. So a weak or unique symbol of
such an object (nm: W, V, u) must have the namespace of its level in its name. Two symbols that the compilers themselves add are the same everywhere: a pointer to the personality routine of
exceptions (g++), and a call of std::terminate (clang), which takes and returns nothing that lies in a register of any level.
"""
import argparse
import pathlib
import re
import subprocess
import sys

OF_THE_COMPILER = {"DW.ref.__gxx_personality_v0", "__clang_call_terminate"}


def foreign_symbols(nm, path, level):
    listed = subprocess.run([nm, "--defined-only", str(path)], check=True, capture_output=True, text=True).stdout
    own = f"{len(level)}{level}"  # as namespaces are mangled
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
            print(f"{path.name}: {kind} {shown}: may become the copy that the whole program uses")
    if not checked:
        sys.exit("no object of a level among these files")
    print(f"{checked} objects, {faults} symbols to object to")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
