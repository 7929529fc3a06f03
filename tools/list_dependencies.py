#!/usr/bin/env python3
"""Prints what the library needs, a line each, from the rows of cmake/dependencies.cmake, for meson and Conan.

A line: dependency|reader, name, its name in pkg-config, Debian's package. A reader of images may be left out.
"""
import pathlib
import re


def rows(text):
    """(kind, name, pkg-config's name, Debian's package) of each row."""
    for kind, words in re.findall(r"^pali_(dependency|reader)\((.*)\)$", text, flags=re.M):
        name, _found, _target, pkg_config, debian = words.split()
        yield kind, name, pkg_config, debian


if __name__ == "__main__":
    for row in rows((pathlib.Path(__file__).resolve().parent.parent / "cmake" / "dependencies.cmake").read_text(encoding="utf-8")):
        print(*row)
