#!/usr/bin/env python3
"""Generates single_include/pali/pali.hpp, all public headers and bodies in one file, and pali.cpp, which compiles the bodies once. Needs only
Python's standard library.

usage: single_header.py [--check]      --check writes nothing and fails if a file is out of date
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include"
OUTPUT = ROOT / "single_include" / "pali"
FIRST = "pali/pali.hpp"  # followed by all other public headers
NOT_PUBLIC = re.compile(r"/impl/|pali/kernels/reference\.hpp")  # files of impl/ are added where a public header includes them
APPLICATIONS = re.compile(r"pali/(arch|config|image|objects)/")  # what they use beside the umbrella,
HEAVY = re.compile(r"pali/(kernels|layers)/|pali/core/compat_xsimd\.hpp|pali/arch/(level|prefetch|tiles)\.hpp")  # unless it needs one of these

OURS = re.compile(r"\s*#\s*include\s*<(pali/[^>]+)>")
SYSTEM = re.compile(r"#\s*include\s*<([^>]+)>\s*$")
BODIES = re.compile(r"#\s*ifndef PALI_COMPILED\s*$")

# Parts of the file, and the kinds of sources that get each: one with headers alone (h), one with PALI_COMPILED (c) and PALI_OWN_VARIANT
# (o), pali.cpp (b) and pali.cpp for one level (l). HEAD says the same to the compiler.
PARTS = {"DECLARATIONS": set("hcobl"), "ENTRY_POINTS": set("hobl"), "KERNELS": set("hbl"), "NETWORKS": set("hob"), "REST": set("ho"), "BODIES": set("hb")}
# Bodies that only pali.cpp has: header-only programs have a single level.
OF_EVERY_LEVEL = ["pali/arch/dispatch.ipp", "pali/kernels/active.ipp"]
LEVEL = "pali/kernels/level_object.ipp"

HEAD = """\
// pali in one file, written by tools/single_header.py from include/pali. Apache License 2.0: LICENSE beside the sources.
// Needs xtensor, xsimd, nlohmann/json, sentencepiece, stb and zlib; reads JPEG, PNG, WebP, HEIC and AVIF, and TIFF with libjpeg,
// libpng, libwebp, libheif and libtiff where it finds them.
//
// A source gets:
// - everything, if it includes this file and nothing else is said
// - declarations, with PALI_COMPILED: define it for every source, and compile pali.cpp, which has the bodies and model<dynamic>
// - also the networks, with PALI_COMPILED and PALI_OWN_VARIANT: for a model type of its own. Included again with PALI_OWN_VARIANT, this
//   file adds them.
#if !defined(PALI_SINGLE_HEADER) || (defined(PALI_OWN_VARIANT) && !PALI_PART_NETWORKS)

#ifdef PALI_SINGLE_HEADER
#  undef PALI_PART_DECLARATIONS
#  undef PALI_PART_ENTRY_POINTS
#  undef PALI_PART_NETWORKS
#  undef PALI_PART_REST
#  define PALI_PART_DECLARATIONS 0
#  define PALI_PART_ENTRY_POINTS 1
#  define PALI_PART_NETWORKS 1
#  define PALI_PART_REST 1
#else
#  define PALI_SINGLE_HEADER
#  define PALI_PART_DECLARATIONS 1
#  if !defined(PALI_COMPILED) || (defined(PALI_COMPILES_BODIES) && !defined(PALI_LEVEL))
#    define PALI_PART_BODIES 1
#  else
#    define PALI_PART_BODIES 0
#  endif
#  if !defined(PALI_COMPILED) || defined(PALI_COMPILES_BODIES)
#    define PALI_PART_KERNELS 1
#  else
#    define PALI_PART_KERNELS 0
#  endif
#  if !defined(PALI_COMPILED) || (defined(PALI_OWN_VARIANT) && !defined(PALI_COMPILES_BODIES))
#    define PALI_PART_REST 1
#  else
#    define PALI_PART_REST 0
#  endif
#  define PALI_PART_NETWORKS (PALI_PART_REST || PALI_PART_BODIES)
#  define PALI_PART_ENTRY_POINTS (PALI_PART_NETWORKS || PALI_PART_KERNELS)
#endif
"""

SOURCE = """\
// The bodies of pali, compiled once; written by tools/single_header.py. Apache License 2.0: LICENSE beside the sources.
//
// Compile it with the program, every source of which defines PALI_COMPILED. Its kernels follow its flags. Compiled again with
// -DPALI_LEVEL=x86_64_v3 -march=x86-64-v3, or x86_64_v4, it is the kernels of that level, and the program selects the highest level that
// the processor has. Link such objects themselves, not an archive of them, from which the linker takes only what is named.
#ifndef PALI_COMPILED
#  error "pali.cpp is for programs that define PALI_COMPILED for every source; without it, pali.hpp has the bodies"
#endif
#if defined(PALI_LEVEL) && (defined(__GNUC__) || defined(__clang__)) && !defined(__OPTIMIZE__)
#  error "a level is compiled with -O2 or -O3: without inlining its object has functions that other objects would use"
#endif
#define PALI_COMPILES_BODIES
#include "pali.hpp"
"""

MODELS = """\
template class pali::model<pali::dynamic, pali::f32>;
template class pali::model<pali::dynamic, pali::bf16>;
template class pali::model<pali::dynamic, pali::int8>;
template class pali::model<pali::dynamic, pali::int4>;
"""


def lines_of(name):
    return (INCLUDE / name).read_text(encoding="utf-8").split("\n")


def includes(name):
    """(conditions that it stands under, name) of the headers of ours; bodies after the text, under "#ifndef PALI_COMPILED", are left out."""
    conditions = []
    for line in lines_of(name):
        if re.match(r"\s*#\s*if", line):
            conditions.append(line.strip())
        elif re.match(r"\s*#\s*el", line):
            conditions[-1] += " " + line.strip()
        elif re.match(r"\s*#\s*endif", line):
            conditions.pop()
        elif (match := OURS.match(line)) and not any(map(BODIES.match, conditions)):
            yield list(conditions), match.group(1)


def bodies(name):
    """What stands under "#ifndef PALI_COMPILED"."""
    inside = False
    for line in lines_of(name):
        inside = bool(BODIES.match(line)) or inside and not re.match(r"\s*#\s*endif", line)
        if inside and (match := OURS.match(line)):
            yield match.group(1)


def needed(*names):
    """What the headers include, and they themselves, where PALI_COMPILED is defined."""
    found = {}
    def visit(name):
        if name not in found:
            found[name] = None
            for conditions, other in includes(name):
                if not any(re.match(r"#\s*ifdef PALI_COMPILED #\s*else", condition) for condition in conditions):
                    visit(other)
    for name in names:
        visit(name)
    return set(found)


class file_of_parts:
    def __init__(self, part_of=lambda name: None, done=(), system=()):
        self.part_of, self.done = part_of, set(done)
        self.system = {None: set(system)}  # part -> headers that it has
        self.lines, self.part, self.later = [], None, []

    def add(self, name):
        """The file, after what it includes; once. Bodies come later."""
        if name in self.done:
            return
        self.done.add(name)
        for conditions, other in includes(name):
            self.hoist(other) if conditions else self.add(other)
        self.enter(self.part_of(name))
        self.put(name)

    def hoist(self, name):
        """A header as a whole; of a body only what it includes, for the body itself stands where its condition is."""
        if name.endswith(".hpp"):
            return self.add(name)
        for conditions, other in includes(name):
            self.hoist(other) if conditions else self.add(other)

    def enter(self, part):
        if part != self.part:
            if self.part:
                self.lines += [f"#endif // PALI_PART_{self.part}", ""]
            if part:
                self.lines += ["", f"#if PALI_PART_{part}", ""]
            self.part = part

    def has(self, header):
        """Whether each kind of source that gets this part has the header from what stands before."""
        return any(header in headers and (part is None or PARTS[part] >= PARTS[self.part]) for part, headers in self.system.items())

    def put(self, name):
        depth, lines, at = 0, lines_of(name), 0
        while at < len(lines):
            line = lines[at]
            if BODIES.match(line):  # here bodies always follow their declarations
                while not re.match(r"\s*#\s*endif", lines[at]):
                    at += 1
            elif match := OURS.match(line):
                other = match.group(1)
                if depth and other.endswith(".ipp") and other not in self.done:
                    self.done.add(other)
                    self.put(other)
            elif match := SYSTEM.match(line):
                if depth or not self.has(match.group(1)):
                    self.lines.append(line)
                if not depth:
                    self.system.setdefault(self.part, set()).add(match.group(1))
            elif line.strip() != "#pragma once":
                depth += bool(re.match(r"\s*#\s*if", line)) - bool(re.match(r"\s*#\s*endif", line))
                self.lines.append(line)
            at += 1
        self.later += bodies(name)

    def add_bodies(self):
        """Those of all files so far, and of the files that they include."""
        while self.later:
            self.add(self.later.pop(0))

    def text(self):
        self.enter(None)
        return "\n".join(self.lines)


def tidy(text):
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def header():
    public = [FIRST] + [name for name in sorted(path.relative_to(INCLUDE).as_posix() for path in INCLUDE.rglob("*.hpp")) if not NOT_PUBLIC.search(name)]
    light = [name for name in public if name == FIRST or APPLICATIONS.match(name) and not any(map(HEAVY.match, needed(name)))]
    all_bodies = [path.relative_to(INCLUDE).as_posix() for path in INCLUDE.rglob("*.ipp")]
    declared, networks, kernels = needed(*light), needed("pali/model.ipp"), needed(LEVEL)
    compiled = needed(*(name for name in all_bodies if name != LEVEL))
    def part_of(name):
        if name in declared:
            return "DECLARATIONS"
        if name in networks:
            return "ENTRY_POINTS" if name in kernels else "NETWORKS"
        if needed(name) & kernels - networks - declared:
            return "KERNELS"
        if name not in public:
            return "BODIES"
        return "NETWORKS" if name in compiled else "REST"
    out = file_of_parts(part_of)
    for name in [*light, "pali/kernels/own_level.hpp", *sorted(["pali/model.ipp", *public], key=lambda name: [*PARTS].index(part_of(name)))]:
        out.add(name)
    out.add_bodies()
    return tidy(HEAD + out.text() + "\n#endif // PALI_SINGLE_HEADER"), out


def source(after):
    base, level = file_of_parts(done=after.done), file_of_parts(done=after.done)
    for name in OF_EVERY_LEVEL:
        base.add(name)
    level.add(LEVEL)
    return tidy("\n".join([SOURCE, level.text(), "#ifndef PALI_LEVEL", base.text(), MODELS, "#endif // PALI_LEVEL"]))


def main():
    text, done = header()
    stale = 0
    for name, text in (("pali.hpp", text), ("pali.cpp", source(done))):
        path = OUTPUT / name
        if "--check" in sys.argv:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                print(f"{path.relative_to(ROOT)} is out of date; run tools/single_header.py")
                stale = 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
    if "--check" in sys.argv and not stale:
        print("up to date")
    return stale


if __name__ == "__main__":
    sys.exit(main())
