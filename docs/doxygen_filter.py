"""What Doxygen reads of a header, made from the header: `doxygen_filter.py FILE`. Lines stay where they are, so that warnings name the right ones.

- The first line, which says what the header holds, becomes the documentation of the file.
- The inline namespaces, which name a version and an instruction set, go; nobody writes them.
- Comparisons that are defaulted go; there is nothing to say of them.
- A comment on a line that declares several variables is for each of them.
"""
import re
import sys

VARIABLES = re.compile(r"^(?P<indent>\s*)(?!using\b|return\b|friend\b|template\b|struct\b|class\b|enum\b|for\b|if\b|#|//|/\*)(?P<all>[^;()]*?[^;]*);(?P<rest>\s*(///<.*)?)$")
FIRST = re.compile(r"^(?P<type>[^=({]*?[\s*&>])(?P<name>\w+\s*(=.*|\{.*\}|\[.*\])?)$")
NEXT = re.compile(r"^\w+\s*(=.*|\{.*\}|\[.*\])?$")


def pieces(text):
    """Splits at the commas that are in no brackets."""
    depth, piece = 0, ""
    for c in text:
        depth += (c in "<([{") - (c in ">)]}")
        if c == "," and depth == 0:
            yield piece.strip()
            piece = ""
        else:
            piece += c
    yield piece.strip()


def split(line, above):
    """One declaration for each variable, each with the comment beside the line, or else with the one above it."""
    found = VARIABLES.match(line)
    if not found:
        return line
    names = list(pieces(found["all"]))
    first = FIRST.match(names[0])
    if len(names) < 2 or not first or not all(NEXT.match(name) for name in names[1:]):
        return line
    declarations = [names[0]] + [first["type"] + name for name in names[1:]]
    if found["rest"].strip():
        return found["indent"] + " ".join(f"{d}; /**{found['rest'].strip()[3:]} */" for d in declarations)
    return found["indent"] + " ".join((f"/** {above} */ " if i and above else "") + d + ";" for i, d in enumerate(declarations))


def main(path):
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    if lines[0].startswith("// ") and lines[1] == "#pragma once":
        lines[:2] = ["/// @file", "/// " + lines[0][3:]]
    above = ""
    for i, line in enumerate(lines):
        line = re.sub(r"::inline PALI_\w+", "", line)
        if re.match(r"inline namespace PALI_SIMD \{|\} // (inline )?namespace PALI_SIMD$", line) or re.match(r"\s*friend .* operator\S+\(.* = default;$", line):
            line = ""
        lines[i] = split(line, above)
        comment = re.match(r"\s*///(?!<) ?(.*)", line)
        above = f"{above} {comment[1]}".strip() if comment else ""
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write("\n".join(lines))


main(sys.argv[1])
