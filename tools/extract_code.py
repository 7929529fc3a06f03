#!/usr/bin/env python3
"""Collects the C++ blocks of the documentation in one source file, so that the build compiles them. Needs only Python's standard library.

usage: extract_code.py OUT.cpp PAGE...             writes OUT.cpp
       extract_code.py --check OUT.cpp PAGE...     lists what is compiled; reports wrong marks and an OUT.cpp that does not match the pages
       extract_code.py --self-test

A ```cpp block becomes the body of a function, in one namespace per page. A mark, an HTML comment before the block, changes that:

    <!-- code: declarations -->               the block is put into the namespace itself; later blocks of the page can use it
    <!-- code: continues -->                  the block continues the previous one and sees its variables
    <!-- code: not compiled, because ... -->  the block is left out

#include lines, and structs that start in column 1, are moved before the function. Compiler messages refer to the lines of the page.
"""
import pathlib
import re
import sys

PRELUDE = ["<pali/pali.hpp>", "<concepts>", "<filesystem>", "<iostream>", "<span>", "<string>", "<string_view>", "<thread>", "<vector>"]
MARK = re.compile(r"<!-- code: (.*?) -->")
NOT_COMPILED = re.compile(r"not compiled, because \S.*")
STRUCT = re.compile(r"^(?:template [^\n]*\n)?(?:struct|class|enum) [^\n;]*\{(?:[^\n]*\};|[^\n]*\n.*?^\};)[^\n]*$", flags=re.M | re.S)
LOOKS_LIKE_CPP = re.compile(r"#\s*include\s*<|\bpali::\w+[<({&* ]")


class block:
    def __init__(self, page, line, text, mark):
        self.page, self.line, self.text, self.mark = page, line, text, mark  # `line`: the first line of code

    @property
    def where(self):
        return f"{self.page}:{self.line}"


def read_page(page, text):
    """Returns the C++ blocks of a page and the faults of its marks."""
    blocks, faults = [], []
    lines = text.split("\n")
    mark = mark_line = None
    at = 0
    while at < len(lines):
        line = lines[at]
        fence = re.match(r"(\s*)(```+)\s*([^`\s]*)\s*$", line)
        if fence:
            indent, ticks, language = fence.groups()
            end = at + 1
            while end < len(lines) and lines[end].strip() != ticks:
                end += 1
            code = "\n".join(lines[at + 1:end]) + "\n"
            where = f"{page}:{at + 1}"
            if end == len(lines):
                faults.append(f"{where}: a block without an end")
            if language == "cpp":
                if indent:
                    faults.append(f"{where}: a block of C++ begins at the left margin")
                blocks.append(block(page, at + 2, code, mark))
                mark = None
            elif language.lower() in ("c++", "cxx", "cc", "hpp") or (language == "" and LOOKS_LIKE_CPP.search(code)):
                faults.append(f"{where}: a block of C++ is marked ```cpp")
            at = end + 1
        else:
            found = MARK.fullmatch(line.strip())
            if mark is not None and line.strip():
                faults.append(f"{page}:{mark_line}: <!-- code: {mark} --> stands before no block of C++")
                mark = None
            if found:
                mark, mark_line = found.group(1), at + 1
            at += 1
            continue
        if mark is not None:
            faults.append(f"{page}:{mark_line}: <!-- code: {mark} --> stands before no block of C++")
            mark = None
    if mark is not None:
        faults.append(f"{page}:{mark_line}: <!-- code: {mark} --> stands before no block of C++")
    open_function = False
    for one in blocks:
        if one.mark in (None, "continues"):
            if one.mark and not open_function:
                faults.append(f"{one.where}: there is no block to continue")
            open_function = True
        elif one.mark == "declarations":
            open_function = False
        elif not NOT_COMPILED.fullmatch(one.mark):
            faults.append(f"{one.where}: <!-- code: {one.mark} -->: declarations, continues, or not compiled, because ...")
    return blocks, faults


def name_of(page):
    return "docs_" + re.sub(r"\W", "_", re.sub(r"\.md$", "", page)).strip("_").lower()


def source_of(blocks):
    """Returns the text of one source file with all blocks that are compiled."""
    includes, body = [f"#include {name}\n" for name in PRELUDE], []
    page = None
    depth = 0  # number of open braces: a function and the blocks that continue it

    def close():
        nonlocal depth
        if depth:
            body.append("}" * depth + "\n\n")
        depth = 0

    for one in blocks:
        if one.mark and NOT_COMPILED.fullmatch(one.mark):
            continue
        at = f'#line {one.line} "{one.page}"\n'

        def include(match):
            includes.append(f'#line {one.line + one.text.count(chr(10), 0, match.start())} "{one.page}"\n{match.group(0)}\n')
            return ""
        text = re.sub(r"^#include [^\n]*$", include, one.text, flags=re.M)
        if page != one.page:
            close()
            body.append(f"}} // namespace {name_of(page)}\n\n" if page else "")
            body.append(f"namespace {name_of(one.page)} {{\n\n")
            page = one.page
        if one.mark == "declarations":
            close()
            body.append(at + text + "\n")
            continue

        structs = []

        def struct(match):
            structs.append(f'#line {one.line + text.count(chr(10), 0, match.start())} "{one.page}"\n{match.group(0)}\n')
            return "\n" * match.group(0).count("\n")
        statements = STRUCT.sub(struct, text)
        if one.mark != "continues":
            close()
            body += structs
            body.append(f"void block_{one.line}([[maybe_unused]] int argc, [[maybe_unused]] char** argv) {{\n")
        else:
            body += structs  # local structs here, so they cannot have static data members
            body.append("{\n")
        depth += 1
        body.append(at + statements)
    close()
    if page:
        body.append(f"}} // namespace {name_of(page)}\n")
    head = ("// The C++ blocks of the documentation. Generated by tools/extract_code.py; edit the pages instead.\n"
            '#pragma GCC diagnostic ignored "-Wunused-variable" // an example may end before it uses a variable\n')
    # This source is compiled but never linked, so model types need no bodies, even those that a page uses header-only.
    bodies = ("#ifdef PALI_COMPILED\nnamespace pali {\ntemplate <class Config, class Weights>\n    requires(model_config<Config> && !std::same_as<Config, dynamic>)\n"
              "struct model_bodies<Config, Weights> {\n    static constexpr bool available = true;\n};\n} // namespace pali\n#endif\n")
    return head + "".join(includes) + "\n" + bodies + "\n" + "".join(body)


def read(pages):
    blocks, faults = [], []
    for page in pages:
        found, wrong = read_page(*page)
        blocks += found
        faults += wrong
    return blocks, faults


def self_test():
    faults = []

    def expect(text, what, fault=None, holds=()):
        blocks, found = read_page("docs/page.md", text)
        if fault is None and found:
            faults.append(f"{what}: {found}")
        if fault is not None and not any(fault in one for one in found):
            faults.append(f"{what}: not seen, but {found}")
        source = source_of(blocks) if not found else ""
        for part in holds:
            if part not in source:
                faults.append(f"{what}: {part!r} is not in\n{source}")
    cpp = "```cpp\nint x = 1;\n```\n"
    expect("text\n\n" + cpp, "a block is a function", holds=["namespace docs_docs_page {", "void block_4(", '#line 4 "docs/page.md"\nint x = 1;\n}'])
    expect(cpp + "\n<!-- code: continues -->\n" + cpp, "a block goes on", holds=["int x = 1;\n{\n#line 7", "int x = 1;\n}}"])
    expect("<!-- code: declarations -->\n```cpp\nint f();\n```\n", "declarations are no function", holds=['{\n\n#line 3 "docs/page.md"\nint f();\n'])
    expect("<!-- code: not compiled, because it is a sketch -->\n" + cpp, "a block with a reason")
    expect("```cpp\n#include <map>\nint x;\nstruct a : b { // c\n    int c;\n};\nint y;\n```\n", "includes and structs come first",
           holds=['#line 2 "docs/page.md"\n#include <map>\n', '#line 4 "docs/page.md"\nstruct a : b { // c\n    int c;\n};\nvoid', "\nint x;\n\n\n\nint y;\n"])
    expect("<!-- code: not compiled -->\n" + cpp, "a block without a reason", fault="not compiled, because")
    expect("<!-- code: declaration -->\n" + cpp, "a word that is no mark", fault="declarations, continues")
    expect("<!-- code: continues -->\n" + cpp, "nothing to continue", fault="no block to continue")
    expect("<!-- code: declarations -->\ntext\n" + cpp, "a mark before a text", fault="before no block")
    expect("<!-- code: declarations -->\n```sh\nls\n```\n", "a mark before a shell block", fault="before no block")
    expect("```\npali::model<> model{\"x\"};\n```\n", "C++ without its name", fault="is marked ```cpp")
    expect("```c++\nint x;\n```\n", "C++ by another name", fault="is marked ```cpp")
    expect("- a\n\n  ```cpp\n  int x;\n  ```\n", "an indented block", fault="left margin")
    expect("```cpp\nint x;\n", "a block without an end", fault="without an end")
    return faults


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        faults = self_test()
        print("\n".join(faults) if faults else "no faults")
        return 1 if faults else 0
    check = arguments[:1] == ["--check"]
    if check:
        arguments.pop(0)
    if len(arguments) < 2 or arguments[0].startswith("-"):
        sys.exit(__doc__)
    root = pathlib.Path(__file__).resolve().parent.parent
    out = pathlib.Path(arguments[0])
    paths = [pathlib.Path(page).resolve() for page in arguments[1:]]
    blocks, faults = read([(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths])
    source = source_of(blocks)
    old = out.read_text(encoding="utf-8") if out.is_file() else None
    if check:
        if old != source:
            faults.append(f"{out.name} does not match the pages: build pali_docs_code")
        left = [one for one in blocks if one.mark and NOT_COMPILED.fullmatch(one.mark)]
        print(f"{len(blocks) - len(left)} of {len(blocks)} C++ blocks in {len({one.page for one in blocks})} pages are compiled")
        for one in left:
            print(f"{one.where}: {one.mark}")
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(source, encoding="utf-8")
    if faults:
        print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
