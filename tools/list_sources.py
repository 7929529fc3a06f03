#!/usr/bin/env python3
"""Prints the files of a folder that match a glob pattern, sorted, one per line. For meson, which has no glob.

usage: list_sources.py FOLDER PATTERN [--include]      --include prints #include lines instead of paths
"""
import pathlib
import sys

folder, pattern = pathlib.Path(sys.argv[1]), sys.argv[2]
for path in sorted(folder.glob(pattern)):
    name = path.relative_to(folder).as_posix()
    print(f"#include <{name}>" if "--include" in sys.argv else f"{folder.as_posix()}/{name}")
