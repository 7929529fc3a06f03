#!/usr/bin/env python3
"""Prints the commands of README.md or CONTRIBUTING.md that follow a mark, so that CI runs what people read and nothing else.

usage: readme_command.py NAME      the fenced block after the line <!-- run: NAME -->
"""
import pathlib
import re
import sys

if len(sys.argv) != 2:
    sys.exit(__doc__)
root = pathlib.Path(__file__).resolve().parent.parent
pages = "".join((root / page).read_text(encoding="utf-8") for page in ("README.md", "CONTRIBUTING.md"))
blocks = dict(re.findall(r"<!-- run: (\w+) -->\s*```(?:sh|bash|console)\n(.*?)```", pages, flags=re.S))
if sys.argv[1] not in blocks:
    sys.exit(f"no page has commands marked <!-- run: {sys.argv[1]} -->; there are {', '.join(blocks) or 'none'}")
print(blocks[sys.argv[1]].strip())
