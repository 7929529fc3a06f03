#!/usr/bin/env python3
"""Writes single_include/pali/pali.hpp: every public header, and the bodies, in one file. Python's standard library alone.

usage: single_header.py [--check]      --check compares instead, and fails where the file is stale
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include"
OUTPUT = ROOT / "single_include" / "pali" / "pali.hpp"
FIRST = "pali/pali.hpp"  # then all others that are public
NOT_PUBLIC = re.compile(r"/impl/|pali/kernels/reference\.hpp")  # what public headers need of impl/ comes with them

OURS = re.compile(r"\s*#\s*include\s*<(pali/[^>]+)>")
SYSTEM = re.compile(r"#\s*include\s*<([^>]+)>\s*$")
BODIES = re.compile(r"#\s*ifndef PALI_COMPILED\s*$")


class single:
    def __init__(self):
        self.done, self.system, self.lines = set(), set(), []

    def add(self, name):
        """The file, after what it includes; once."""
        if name in self.done:
            return
        self.done.add(name)
        lines = (INCLUDE / name).read_text(encoding="utf-8").split("\n")
        for depth, match in self.includes(lines):
            if depth == 0:
                self.add(match)
            else:  # under a condition: what others may need as well comes before it
                self.hoist(match)
        self.put(lines)

    def hoist(self, name):
        """A header as a whole; of a body only what it includes, for the body itself stands where its condition is."""
        if name.endswith(".hpp"):
            return self.add(name)
        for depth, match in self.includes((INCLUDE / name).read_text(encoding="utf-8").split("\n")):
            self.hoist(match) if depth else self.add(match)

    @staticmethod
    def includes(lines):
        """(how many conditions it stands under, name) of our headers; those after the text, under "#ifndef PALI_COMPILED", are left out."""
        depth, bodies = 0, None
        for line in lines:
            if re.match(r"\s*#\s*if", line):
                depth += 1
                bodies = depth if BODIES.match(line) else bodies
            elif re.match(r"\s*#\s*endif", line):
                bodies = None if bodies == depth else bodies
                depth -= 1
            elif (match := OURS.match(line)) and bodies is None:
                yield depth, match.group(1)

    def put(self, lines):
        depth, at = 0, 0
        while at < len(lines):
            line = lines[at]
            if BODIES.match(line):  # here bodies always follow their declarations
                at += 1
                while not re.match(r"\s*#\s*endif", lines[at]):
                    self.add(OURS.match(lines[at]).group(1))
                    at += 1
            elif match := OURS.match(line):
                name = match.group(1)
                if depth and name.endswith(".ipp") and name not in self.done:
                    self.done.add(name)
                    self.put((INCLUDE / name).read_text(encoding="utf-8").split("\n"))
            elif match := SYSTEM.match(line):
                if depth or match.group(1) not in self.system:
                    self.lines.append(line)
                if not depth:
                    self.system.add(match.group(1))
            elif line.strip() != "#pragma once":
                depth += bool(re.match(r"\s*#\s*if", line)) - bool(re.match(r"\s*#\s*endif", line))
                self.lines.append(line)
            at += 1

    def text(self):
        out = ["// pali in one file, written by tools/single_header.py from include/pali. Apache License 2.0: LICENSE beside the sources.",
               "// Needs xtensor, xsimd, nlohmann/json, sentencepiece, stb and zlib; reads JPEG, PNG, WebP, HEIC and AVIF, and TIFF with libjpeg,",
               "// libpng, libwebp, libheif and libtiff where it finds them.",
               "#pragma once", "", "#if defined(PALI_COMPILED)", '#  error "the single header holds all bodies; PALI_COMPILED is for the headers of include/"', "#endif", ""]
        self.add(FIRST)
        for path in sorted(INCLUDE.rglob("*.hpp")):
            name = path.relative_to(INCLUDE).as_posix()
            if not NOT_PUBLIC.search(name):
                self.add(name)
        return re.sub(r"\n{3,}", "\n\n", "\n".join(out + self.lines)).rstrip() + "\n"


def main():
    text = single().text()
    if "--check" in sys.argv:
        if not OUTPUT.exists() or OUTPUT.read_text(encoding="utf-8") != text:
            print(f"{OUTPUT.relative_to(ROOT)} is stale; run tools/single_header.py")
            return 1
        print("up to date")
        return 0
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(text, encoding="utf-8")
    print(f"{OUTPUT.relative_to(ROOT)}: {text.count(chr(10))} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
