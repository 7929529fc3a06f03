#!/usr/bin/env python3
"""Checks links and command lines in the documentation. Needs only Python's standard library.

usage: check_docs.py [CHECK...] [--root DIR]      runs the named checks; without names, all
       check_docs.py --self-test

links     a link to a file of the tree leads to one, and its #anchor to a heading there; docs/start.md names every page of docs
options   subcommands and options of pali exist in examples/pali or option_list.hpp; options of other programs occur in their source
"""
import argparse
import pathlib
import re
import sys
import tempfile

BUILD_TOOLS = {"--preset", "--build", "--target", "--help", "--version", "--self-test", "--check"}  # cmake, ctest, our scripts


def pages_of(root):
    for path in sorted(root.rglob("*.md")):
        parts = path.relative_to(root).parts
        if not (parts[0].startswith("build") or parts[0] in (".git", ".cache", "subprojects", "shared")):
            yield path


def without_code(text):
    """Returns the text with fenced blocks and inline code blanked out. Line numbers do not change."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    text = re.sub(r"^[ ]*(```+)[^\n]*\n.*?^[ ]*\1[ ]*$", blank, text, flags=re.M | re.S)
    return re.sub(r"(`+)[^`].*?\1", blank, text, flags=re.S)


def anchors_of(text):
    """Returns the anchors of all headings, formed as GitHub and GitLab do."""
    text = re.sub(r"^[ ]*(```+)[^\n]*\n.*?^[ ]*\1[ ]*$", "", text, flags=re.M | re.S)
    seen, anchors = {}, set()
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", text, flags=re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.add(slug if slug not in seen else f"{slug}-{seen[slug]}")
        seen[slug] = seen.get(slug, 0) + 1
    return anchors


def links_of(text):
    text = without_code(text)
    for match in re.finditer(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)", text):
        yield text.count("\n", 0, match.start()) + 1, match.group(1)


def check_links(root):
    linked = set()
    for path in pages_of(root):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root).as_posix()
        for line, target in links_of(text):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            where = f"{name}:{line}: {target}"
            file, _, anchor = target.partition("#")
            there = (path.parent / file).resolve() if file else path.resolve()
            if not there.is_relative_to(root.resolve()) or not there.exists():
                yield f"{where}: no such file"
                continue
            if name == "docs/start.md":
                linked.add(there)
            if anchor and (there.suffix != ".md" or anchor not in anchors_of(there.read_text(encoding="utf-8"))):
                yield f"{where}: no such heading"
    for path in sorted((root / "docs").glob("*.md")):
        if path.name != "start.md" and path.resolve() not in linked:
            yield f"docs/start.md: {path.name} is not linked"


def options_in(paths):
    found = set()
    for path in paths:
        for literal in re.findall(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', path.read_text(encoding="utf-8")):
            found.update(re.findall(r"--[a-z][\w-]*", literal))
    return found


def code_of(text):
    """Yields (line number, code) for each line of a shell block and for each inline code span."""
    blocks = list(re.finditer(r"^```(\w*)\n(.*?)^```", text, flags=re.M | re.S))
    blocks += list(re.finditer(r"(?<=\n)\n()((?:    [^\n]*\n)+)", text))  # indented code blocks
    for match in blocks:
        if match.group(1) not in ("sh", ""):
            continue
        first = text.count("\n", 0, match.start(2)) + 1
        for number, line in enumerate(match.group(2).split("\n")):
            yield first + number, re.sub(r"(^|\s)#.*", "", line)
    outside = re.sub(r"^```[^\n]*\n.*?^```", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.M | re.S)
    for match in re.finditer(r"`([^`\n]+)`", outside):
        yield outside.count("\n", 0, match.start()) + 1, match.group(1)


def check_options(root):
    program = sorted((root / "examples" / "pali").glob("*.cpp")) + sorted((root / "include" / "pali" / "generate").glob("option_list.hpp"))
    own = options_in(program) | BUILD_TOOLS
    others = own | options_in(sorted((root / "benchmarks").rglob("*.cpp")) + sorted((root / "benchmarks").rglob("*.py")) +
                              sorted((root / "tools").rglob("*.py")) + sorted((root / "tests").rglob("*.py")))
    main = root / "examples" / "pali" / "main.cpp"
    subcommands = set(re.findall(r'\{"(\w+)", add_\w+\(program\)\}', main.read_text(encoding="utf-8"))) if main.is_file() else set()
    for path in pages_of(root):
        name = path.relative_to(root).as_posix()
        for line, code in code_of(path.read_text(encoding="utf-8")):
            for match in re.finditer(r"(?:^\s*|[|&;]\s*|/)pali ([a-z]\w*)([^|&;]*)", code):
                if match.group(1) not in subcommands:
                    yield f"{name}:{line}: pali {match.group(1)}: no such subcommand"
                for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", match.group(2)):
                    if option not in own:
                        yield f"{name}:{line}: pali {match.group(1)} {option}: no such option"
            if code.startswith("--"):
                for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", code):
                    if option not in others:
                        yield f"{name}:{line}: {option}: no program has such an option"


CHECKS = {name[6:]: f for name, f in list(globals().items()) if name.startswith("check_")}

SOUND = {"docs/start.md": "# Start\n\n[one](one.md), [two](one.md#a-heading-of-two), [up](../README.md#pali--more), [out](https://example.org)\n`[x](no.md)`\n",
         "docs/one.md": "## A heading, of `two`\n\n```sh\n# ## No heading\npali ask --model DIR | pali ask --json   # --no-option\n```\n\n`--model`, `pali ask`, `pali::ask`\n",
         "README.md": "# pali & more\n\n    pali ask --model DIR\n",
         "examples/pali/main.cpp": '{"ask", add_ask(program)}\n', "examples/pali/ask.cpp": 'add_option("-m,--model"); add_flag("--json")\n'}
BROKEN = {"links": [("docs/one.md", "[x](none.md)"), ("docs/one.md", "[x](#none)"), ("docs/one.md", "[x](../README.md#none)"), ("docs/two.md", "not linked"),
                    ("docs/one.md", "![x](images/none.png)"), ("docs/one.md", "[x](../../outside.md)")],
          "options": [("docs/one.md", "`pali asks`"), ("docs/one.md", "```sh\ncat x | pali ask --modell DIR\n```\n"), ("docs/one.md", "`--modell`"),
                      ("README.md", "text\n\n    build/pali ask --modell DIR\n")]}


def self_test():
    faults = []

    def run(files, check):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = pathlib.Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return list(CHECKS[check](pathlib.Path(folder)))
    for check in CHECKS:
        faults += [f"{check} reports a fault in correct pages: {line}" for line in run(SOUND, check)]
        for name, text in BROKEN[check]:
            if not run({**SOUND, name: SOUND.get(name, "") + "\n" + text + "\n"}, check):
                faults.append(f"{check} reports no fault in {name}: {text!r}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parent.parent, type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    for check in arguments.checks:
        if check not in CHECKS:
            parser.error(f"no check named {check!r}; choose from {', '.join(CHECKS)}")
    faults = self_test() if arguments.self_test else [line for check in arguments.checks or CHECKS for line in CHECKS[check](arguments.root)]
    print("\n".join(faults) if faults else "no faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
