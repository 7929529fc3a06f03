#!/usr/bin/env python3
"""Checks that objects which are compiled with different flags share no function that contains vector code. Python's standard library, nm and objdump.

usage: check_flags.py [--nm NM] [--objdump OBJDUMP] PLAIN OBJECT

PLAIN is compiled for any x86-64 processor, OBJECT from the same source with flags such as -mavx2. Of a weak symbol that both define the linker keeps one copy. If it keeps OBJECT's, the program
ends on a processor without AVX. So no function that both define may contain an instruction with a VEX or EVEX prefix in OBJECT. Passed over: functions of the standard library (any program of such
sources shares them), and those around a forward pass that headers alone define inline (ELSEWHERE).
"""
import argparse
import re
import subprocess
import sys

# std:: and __gnu_cxx::, as mangled: members, functions, virtual tables.
STANDARD = re.compile(r"_ZN?K?(?:S[tsaiod]|9__gnu_cxx)|_ZN9__gnu_cxx")
# What pali::compiled has out of line and headers alone have inline: messages of errors, scratch memory, threads, the value of PALI_ARCH.
ELSEWHERE = re.compile(r"^pali::\w+::(error::|core::(error_text::|arena::|thread_pool::thread_pool\()|arch::limited_to\()")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def weak(nm, path):
    fields = (line.split() for line in output(nm, "--defined-only", path).splitlines())
    return {of[-1] for of in fields if of[-2] in "WVu"}


def with_vector_code(objdump, path):
    found, function = {}, ""
    for line in output(objdump, "-d", "--no-show-raw-insn", path).splitlines():
        if match := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            function = match.group(1)
        elif match := re.match(r"\s+[0-9a-f]+:\s+(v[a-z0-9]+)\b", line):
            if match.group(1) not in ("verr", "verw", "vmcall", "vmfunc"):
                found.setdefault(function, match.group(1))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("plain")
    parser.add_argument("object")
    arguments = parser.parse_args()
    instructions = with_vector_code(arguments.objdump, arguments.object)
    if not instructions:
        sys.exit(f"{arguments.object} has no vector code")
    shared = weak(arguments.nm, arguments.plain) & weak(arguments.nm, arguments.object)
    if not shared:
        sys.exit("the objects share no symbol at all: are they compiled from one source?")
    faults = 0
    for name in sorted(shared & instructions.keys()):
        shown = output("c++filt", name).strip()
        if STANDARD.match(name) or ELSEWHERE.match(shown):
            continue
        faults += 1
        print(f"{shown}: contains {instructions[name]}, and may become the copy that the whole program uses")
    print(f"{len(shared)} shared symbols, {faults} with vector code")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
