#!/usr/bin/env python3
"""Checks the source tree against the rules of docs/design.md. Needs only Python's standard library.

usage: check_tree.py [CHECK...] [--root DIR]      runs the named checks; without names, all
       check_tree.py --self-test                  checks that each check reports a violation, in a temporary tree
"""
import argparse
import pathlib
import re
import sys
import tempfile

MOST_LINES = 350

# Folder -> folders it may include. model.hpp and the umbrella headers, at the top of include/pali, may include every folder but train.
BLOCKS = {"core", "arch", "kernels", "config", "weights", "layers"}
MAY_SEE = {
    "core": set(),
    "arch": {"core"},
    "kernels": {"core", "arch"},
    "config": {"core"},
    "files": {"core"},
    "weights": {"core", "arch", "kernels", "config", "files"},
    "layers": BLOCKS - {"layers"},
    "image": {"core", "arch", "kernels", "config"},
    "text": {"core", "arch", "kernels"},
    "objects": {"core", "arch", "kernels", "files", "weights", "image", "text"},
    "vision": BLOCKS,
    "projector": BLOCKS,
    "decoder": BLOCKS,
    "model": BLOCKS | {"files", "vision", "projector", "decoder", "text", "image", "objects", "generate"},
    "generate": {"core", "arch", "kernels", "text"},
}
# The headers of files/ that weights/ may include: the tensor table and the memory for copies of tensors, but no reader.
FILES_FOR_WEIGHTS = {"pali/files/tensor_table.hpp", "pali/files/dtype.hpp", "pali/files/mmap.hpp"}


def code_of(text):
    """Returns the text with comments and quoted literals blanked out. Line numbers do not change."""
    def blank(match):
        found = match.group(0)
        return found if found[0] in "<" else re.sub(r"[^\n]", " ", found)
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Za-z_])\'(?:\\.|[^\'\\\n])+\'', blank, text, flags=re.S)


class tree:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.include = self.root / "include"
        self.headers = sorted(p for p in self.include.rglob("*") if p.suffix in (".hpp", ".ipp", ".h"))

    def name(self, path):
        return path.relative_to(self.root).as_posix()

    def folder(self, path):
        parts = path.relative_to(self.include / "pali").parts
        return parts[0] if len(parts) > 1 else ""

    def find(self, pattern, why, allowed=lambda path: False, comments=False):
        """Yields a fault for every match of `pattern` in the code of a header."""
        for path in self.headers:
            if allowed(path):
                continue
            text = path.read_text(encoding="utf-8")
            for number, line in enumerate((text if comments else code_of(text)).split("\n"), 1):
                for match in re.finditer(pattern, line):
                    yield f"{self.name(path)}:{number}: {match.group(0).strip()}: {why}"


def check_dependencies(t):
    for path in t.headers:
        here = t.folder(path)
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            match = re.match(r'\s*#\s*include\s*([<"])(pali/[^>"]*|[^>"]*)[>"]', line)
            if not match:
                continue
            where = f"{t.name(path)}:{number}"
            if match.group(1) == '"' and not match.group(2).endswith(".ipp"):
                yield f'{where}: "{match.group(2)}": include pali headers as <pali/...>'
            if not match.group(2).startswith("pali/"):
                continue
            target = match.group(2)
            parts = target.split("/")
            there = parts[1] if len(parts) > 2 else ""
            if target in ("pali/version.hpp",) or here == "train":
                continue
            if here == "":
                if (there == "train" and path.name != "train.hpp") or target == "pali/train.hpp":
                    yield f"{where}: <{target}>: only train.hpp may include train/, and no other header includes it"
            elif there == "":
                yield f"{where}: <{target}>: headers in folders must not include model.hpp or an umbrella header"
            elif here not in MAY_SEE:
                yield f"{where}: folder {here} is missing in the dependency rule; add it to check_tree.py and docs/design.md"
            elif there != here and there not in MAY_SEE[here]:
                yield f"{where}: <{target}>: {here} may include {', '.join(sorted(MAY_SEE[here])) or 'no other folder'}"
            elif here == "weights" and there == "files" and target not in FILES_FOR_WEIGHTS:
                yield f"{where}: <{target}>: weights may include only {', '.join(sorted(FILES_FOR_WEIGHTS))} of files"


def check_lines(t):
    for path in t.headers:
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > MOST_LINES:
            yield f"{t.name(path)}: {lines} lines; at most {MOST_LINES} are allowed. Split the header: one noun per header"
        if path.suffix != ".ipp" and "#pragma once" not in path.read_text(encoding="utf-8"):
            yield f"{t.name(path)}: no #pragma once"


def check_macros(t):
    def foreign(path, name):
        return path.suffix == ".ipp" and name.startswith(("STB", "NOMINMAX", "WIN32_LEAN_AND_MEAN"))  # configures a third-party header
    for path in t.headers:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            match = re.match(r"\s*#\s*define\s+(\w+)", line)
            if match and not match.group(1).startswith("PALI_") and not foreign(path, match.group(1)):
                yield f"{t.name(path)}:{number}: macro {match.group(1)}: names of macros begin with PALI_"


def check_streams(t):
    yield from t.find(r"\bstd\s*::\s*(cout|cerr|clog|abort|exit|quick_exit|_Exit|terminate|puts|printf|fprintf|perror)\b|"
                      r"(?<![\w:.>])(abort|exit|_exit|printf|fprintf|puts|fputs|perror)\s*\(",
                      "the library never prints or ends the process; throw pali::error or report through a callback")


def check_intrinsics(t):
    yield from t.find(r"#\s*include\s*<(\w*mmintrin|immintrin|x86intrin|arm_neon|arm_sve|cpuid)\.h>|\b_mm\d*_\w+|\b_tile_\w+|\b__m(128|256|512)\w*",
                      "intrinsics are allowed only in arch/ and kernels/", lambda path: t.folder(path) in ("arch", "kernels"))
    yield from t.find(r"\bxsimd::fma\b", "use arch::fma(), which rounds once for 512-bit batches too", lambda path: t.folder(path) == "arch")


def check_flags(t):
    """Code that depends on the compiler's ISA flags must be in the inline namespace named after them; see arch/simd.hpp."""
    for path in t.headers:
        code = code_of(path.read_text(encoding="utf-8"))
        match = re.search(r"\barch::native\b|\barch::simd<>|\bkernels::active\(\)", code)
        if match and not re.search(r"\binline\s+(namespace\s+)?PALI_(SIMD|MODEL)\b", code):
            yield f"{t.name(path)}:{code[:match.start()].count(chr(10)) + 1}: {match.group(0)}: code that uses it must be in inline namespace PALI_SIMD"
        if match := re.search(r"\bnamespace\s+pali\s*\{\s*inline namespace PALI_ABI\s*\{\s*inline namespace PALI_SIMD\s*\{(?s:.*?)\bnamespace\s+detail\b", code):
            yield f"{t.name(path)}:{code[:match.end()].count(chr(10)) + 1}: namespace detail; name it after its folder, as core/namespaces.hpp does"


def check_system(t):
    """Headers and macros of one operating system are allowed only in the files below."""
    yield from t.find(r"#\s*include\s*<(unistd|fcntl|pthread|sched|signal|dlfcn|poll|termios|dirent|pwd|io|process|windows)\.h>|"
                      r"#\s*include\s*<(sys|linux|mach|asm|arpa|netinet)/[\w./]+>|"
                      r"\b(_WIN32|__linux__|__unix__|__APPLE__|_POSIX_VERSION)\b",
                      "code for one operating system belongs in files/mmap.ipp or core/system.ipp",
                      lambda path: (t.folder(path), path.name) in (("files", "mmap.ipp"), ("core", "system.ipp"), ("", "pali.h")))  # pali.h: DLL export macros


def check_names(t):
    yield from t.find(r"(?<![A-Za-z0-9])\w*(fast|optimi[sz]ed)(?![a-z])\w*", "a name states what the code does, not how well",
                      lambda path: False)
    for path in t.headers:
        if re.search(r"fast|optimi[sz]ed", path.name):
            yield f"{t.name(path)}: a name states what the code does, not how well"


def check_paths(t):
    pattern = re.compile(r"(^|[^A-Za-z0-9_.$}>*-])/(work|farm|root|home|Users|opt|tmp)/[A-Za-z]")
    allowed = re.compile(r"/tmp/[a-z]")
    for path in sorted(t.root.rglob("*")):
        parts = path.relative_to(t.root).parts
        if parts[0].startswith("build") or parts[0] in (".git", ".cache") or "__pycache__" in parts or not path.is_file():
            continue
        data = path.read_bytes()
        if b"\0" in data[:4096] or len(data) > 4 << 20:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
            match = pattern.search(line)
            if match and not allowed.search(match.group(0)):
                yield f"{t.name(path)}:{number}: {line.strip()[:120]}: machine-specific path"


def names_in_pali(code):
    """Yields (name, line number) for what a header declares directly in namespace pali. Inline namespaces are transparent."""
    tokens = [(m.group(0), m.start()) for m in re.finditer(r"[A-Za-z_]\w*|::|\S", re.sub(r"(?m)^\s*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), code))]
    spaces, statement, i = [], [], 0
    def name_of(words):
        for keyword, opening, closing in (("template", "<", ">"), ("requires", "(", ")")):  # skips the parameter list, the condition
            if words[:2] == [keyword, opening]:
                depth, end = 1, 2
                while depth > 0 and end < len(words):
                    depth += {opening: 1, closing: -1}.get(words[end], 0)
                    end += 1
                return name_of(words[end:])
        if words[:1] in ([], ["static_assert"], ["extern"]):
            return None
        for kind in ("struct", "class", "enum", "union", "concept"):
            if kind in words and "(" not in words[:words.index(kind)]:
                rest = [w for w in words[words.index(kind) + 1:] if w not in ("class", "PALI_API")]
                return rest[0] if rest else None
        if words[0] == "using":
            return words[1] if words[2:3] == ["="] else None
        for end, word in enumerate(words):
            if word in ("(", "=", "{", ";", "[") and end > 0:
                name = words[end - 1]
                member = end > 1 and words[end - 2] in ("::", "~")
                return None if member or "operator" in words[:end] or not re.match(r"[A-Za-z_]\w*$", name) else name
        return None
    while i < len(tokens):
        word, at = tokens[i]
        if word == "namespace" and "using" not in [w for w, _ in statement]:
            spaces.append(None if [w for w, _ in statement][-1:] == ["inline"] else tokens[i + 1][0])
            while tokens[i][0] != "{":
                i += 1
            statement = []
        elif sum({"(": 1, ")": -1}.get(w, 0) for w, _ in statement) > 0:  # in an argument list
            statement.append((word, at))
        elif word in "{;" and [s for s in spaces if s] == ["pali"]:
            words = [w for w, _ in statement]
            words = re.sub(r"\[ \[.*?\] \] ?|decltype \( auto \)", "", " ".join(words)).split()
            if name := name_of(words + [word]):
                yield name, code[:statement[0][1]].count("\n") + 1
            statement = []
            if word == "{":  # a body: to its closing brace
                depth = 0
                while True:
                    depth += {"{": 1, "}": -1}.get(tokens[i][0], 0)
                    if depth == 0:
                        break
                    i += 1
        elif word == "{":
            spaces.append("body")
        elif word == "}":
            if spaces:
                spaces.pop()
            statement = []
        elif word == ";":
            statement = []
        else:
            statement.append((word, at))
        i += 1


def check_public(t):
    """Namespace pali holds the names that docs/start.md lists, and no others."""
    page = t.root / "docs" / "start.md"
    table = page.read_text(encoding="utf-8").split("### Public names")[-1] if page.is_file() else ""
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^\|[^|]*(\|.*)$", table)))) - {"pali"}  # the second column
    found = set()
    for path in t.headers:
        for name, number in names_in_pali(code_of(path.read_text(encoding="utf-8"))):
            found.add(name)
            if name not in listed:
                yield f"{t.name(path)}:{number}: {name} stands in namespace pali: list it as public in docs/start.md, or move it into a namespace of core/namespaces.hpp"
    for name in sorted(listed - found):
        yield f"docs/start.md: {name} is listed as public, but no header declares it in namespace pali"


def check_packages(t):
    """tools/packages.sh must install every package in cmake/dependencies.cmake."""
    script, rows = t.root / "tools" / "packages.sh", t.root / "cmake" / "dependencies.cmake"
    if not rows.is_file():
        return
    listed = set(re.split(r"[\s\"]+", script.read_text(encoding="utf-8"))) if script.is_file() else set()
    for name, package in re.findall(r"^pali_(?:dependency|reader)\(\s*(\S+).*\s(\S+)\)$", rows.read_text(encoding="utf-8"), flags=re.M):
        if package not in listed:
            yield f"tools/packages.sh: does not install {package} (for {name})"


CHECKS = {name[6:]: f for name, f in list(globals().items()) if name.startswith("check_")}

# Check -> [(file, content that violates it)].
BROKEN = {
    "dependencies": [("core/x.hpp", "#pragma once\n#include <pali/text/token.hpp>\n"), ("vision/x.hpp", "#pragma once\n#include <pali/decoder/y.hpp>\n"),
                     ("text/x.hpp", "#pragma once\n#include <pali/model.hpp>\n"), ("weights/x.hpp", "#pragma once\n#include <pali/files/safetensors.hpp>\n"),
                     ("core/y.hpp", '#pragma once\n#include "other.hpp"\n'), ("model/x.hpp", "#pragma once\n#include <pali/train/x.hpp>\n"),
                     ("pali.hpp", "#pragma once\n#include <pali/train/x.hpp>\n"), ("draw.hpp", "#pragma once\n#include <pali/train.hpp>\n"), ("decoder/x.hpp", "#pragma once\n#include <pali/train.hpp>\n"),
                     ("unknown/x.hpp", "#pragma once\n#include <pali/core/error.hpp>\n")],
    "lines": [("core/x.hpp", "#pragma once\n" + "\n" * MOST_LINES), ("core/y.hpp", "int x;\n"), ("y.h", "int x;\n")],
    "macros": [("core/x.hpp", "#pragma once\n#  define MAX 3\n"), ("x.h", "#pragma once\n#define MAX 3\n")],
    "streams": [("core/x.hpp", "#pragma once\ninline void f() { std::cout << 1; }\n"), ("core/y.hpp", "#pragma once\ninline void f() { printf(\"\"); }\n"),
                ("core/z.hpp", "#pragma once\ninline void f() { std::abort(); }\n")],
    "intrinsics": [("decoder/x.hpp", "#pragma once\n#include <immintrin.h>\n"), ("core/x.hpp", "#pragma once\ninline void f() { _mm_pause(); }\n")],
    "system": [("image/x.hpp", "#pragma once\n#include <sys/mman.h>\n"), ("files/x.hpp", "#pragma once\n#include <unistd.h>\n"),
               ("files/mmap.hpp", "#pragma once\n#include <windows.h>\n"), ("arch/x.hpp", "#pragma once\n#if defined(__linux__)\n#endif\n")],
    "flags": [("image/x.hpp", "#pragma once\nnamespace pali {\ninline void f() { kernels::gelu(arch::native, nullptr, 0); }\n}\n"),
              ("model/x.hpp", "#pragma once\nnamespace pali { inline namespace PALI_ABI { inline namespace PALI_SIMD {\nnamespace detail {\n}\n}\n")],
    "names": [("kernels/x.hpp", "#pragma once\nint dot_fast();\n"), ("kernels/fast_dot.hpp", "#pragma once\n")],
    "public": [("core/x.hpp", "#pragma once\nnamespace pali { inline namespace PALI_ABI {\nstruct stray {};\n}}\n"),
               ("core/y.hpp", "#pragma once\nnamespace pali { inline namespace PALI_ABI { inline namespace PALI_SIMD {\n[[nodiscard]] inline int stray(int x = {});\n}}}\n"),
               ("core/z.hpp", "#pragma once\nnamespace pali { inline namespace PALI_ABI {\ntemplate <class T>\n    requires(sizeof(T) > 1)\nstruct stray : T {};\n}}\n"),
               ("core/u.hpp", "#pragma once\nnamespace pali { inline namespace PALI_ABI {\ninline constexpr char stray[] = \"\";\n}}\n"),
               ("../../docs/start.md", "### Public names\n\n| Header | Names |\n|---|---|\n| `x` | `absent` |\n")],
    "packages": [("../../cmake/dependencies.cmake", "pali_reader(    PNG           PNG_FOUND            PNG::PNG                     libpng        libpng-dev)\n")],
    "paths": [("core/x.hpp", "#pragma once\n// see /" + "work/notes\n")],
}
SOUND = [("core/error.hpp", "#pragma once\n// std::cout is not used, nor exit(); fast\n#define PALI_X 1\nconst char* text = \"abort()\";\n"),
         ("kernels/dot.hpp", "#pragma once\n#include <immintrin.h>\n#include <pali/core/error.hpp>\n"),
         ("layers/norm_layer.hpp", "#pragma once\nnamespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {\ninline void f() { kernels::gelu(arch::native, nullptr, 0); }\n}\n"),
         ("files/mmap.ipp", "#pragma once\n#include <sys/mman.h>\n"),
         ("files/list.ipp", "#pragma once\n#define STB_IMAGE_STATIC\ninline void f(char* p) { std::snprintf(p, 1, \"\"); }\n"),
         ("pali.hpp", "#pragma once\n#include <pali/model.hpp>\n"), ("model.hpp", "#pragma once\n#include <pali/files/list.hpp>\n")]


def self_test():
    faults = []
    def run(files, check):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files:
                path = pathlib.Path(folder) / "include" / "pali" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return list(CHECKS[check](tree(folder)))
    for check in CHECKS:
        for line in run(SOUND, check):
            faults.append(f"{check} reports a fault in a correct tree: {line}")
        for name, text in BROKEN[check]:
            if not run([(name, text)], check):
                faults.append(f"{check} reports no fault in {name}: {text!r}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    for check in arguments.checks:
        if check not in CHECKS:
            parser.error(f"no check named {check!r}; choose from {', '.join(CHECKS)}")
    faults = self_test() if arguments.self_test else [line for check in arguments.checks or CHECKS for line in CHECKS[check](tree(arguments.root))]
    print("\n".join(faults) if faults else "no faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
