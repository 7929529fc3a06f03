#!/usr/bin/env python3
"""Prints the dependencies of the library, one per line, from the rows of cmake/dependencies.cmake. For meson and Conan.

Line format: dependency|reader NAME PKG_CONFIG_MODULE DEBIAN_PACKAGE. A reader is an optional image library.
"""
import pathlib
import re


def rows(text):
    """Yields (kind, name, pkg-config module, Debian package) for each row."""
    for kind, words in re.findall(r"^pali_(dependency|reader)\((.*)\)$", text, flags=re.M):
        name, _found, _target, pkg_config, debian = words.split()
        yield kind, name, pkg_config, debian


if __name__ == "__main__":
    for row in rows((pathlib.Path(__file__).resolve().parent.parent / "cmake" / "dependencies.cmake").read_text(encoding="utf-8")):
        print(*row)
