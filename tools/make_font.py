#!/usr/bin/env python3
"""Writes include/pali/image/impl/font_data.ipp: the letters of Roboto Medium that labels are drawn with. Needs fontTools and the font.

usage: make_font.py [--check]      --check writes nothing; it fails when the file is not what would be written

On Debian: apt-get install fonts-roboto-unhinted python3-fonttools
"""
import base64
import io
import pathlib
import sys

from fontTools import subset
from fontTools.ttLib import TTFont

FONT = pathlib.Path("/usr/share/fonts/truetype/roboto/unhinted/RobotoTTF/Roboto-Medium.ttf")
OUT = pathlib.Path(__file__).resolve().parent.parent / "include/pali/image/impl/font_data.ipp"
LETTERS = [(0x20, 0x7e), (0xa0, 0x17f), (0x384, 0x3ce), (0x400, 0x45f)]  # Latin, Latin-1, Latin Extended-A, Greek, Cyrillic
MARKS = [0x2013, 0x2014, 0x2018, 0x2019, 0x201a, 0x201c, 0x201d, 0x201e, 0x2022, 0x2026, 0x2039, 0x203a, 0x20ac, 0x2212, 0xfffd]
WIDTH, LONGEST = 140, 65536  # letters a line; what a C++ compiler need not take more of in one literal

HEAD = """\
// The letters of labels: a part of Roboto Medium, as base64 with - and _ for its last two digits. Written by tools/make_font.py; do not edit.
//
// Roboto is Copyright 2015 Google Inc. and licensed under the Apache License, Version 2.0, a copy of which is the file LICENSE; see NOTICE.
// Changed: reduced to Latin, Greek, Cyrillic and some punctuation, without hints, kerning, layout features and names.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

inline constexpr char font_base64[] =
"""
TAIL = """
}}} // namespace pali::image_detail
"""


def part():
    """The bytes of the font, reduced. The same font and release of fontTools give the same bytes."""
    options = subset.Options(hinting=False, layout_features=[], legacy_kern=False, notdef_outline=True, glyph_names=False, name_IDs=[])
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "kern", "gasp", "LTSH", "hdmx", "VDMX"]
    font = TTFont(FONT, recalcTimestamp=False)
    taker = subset.Subsetter(options)
    taker.populate(unicodes=MARKS + [code for first, last in LETTERS for code in range(first, last + 1)])
    taker.subset(font)
    for table in ("OS/2", "post", "name"):  # stb_truetype reads none of these
        if table in font:
            del font[table]
    written = io.BytesIO()
    font.save(written, reorderTables=False)
    return written.getvalue()


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    text = base64.urlsafe_b64encode(part()).decode().rstrip("=")
    if len(text) >= LONGEST:
        sys.exit(f"{len(text)} digits are too many for one literal; leave letters out")
    lines = [f'    "{text[i:i + WIDTH]}"' for i in range(0, len(text), WIDTH)]
    made = HEAD + "\n".join(lines) + ";\n" + TAIL
    if "--check" in sys.argv:
        if not OUT.exists() or OUT.read_text(encoding="ascii") != made:
            sys.exit(f"{OUT.name} is not what make_font.py makes of {FONT.name}")
        print(f"{OUT.name} is what make_font.py makes of {FONT.name}")
    else:
        OUT.write_text(made, encoding="ascii")
        print(f"{OUT.name}: {len(text)} digits of {len(part())} bytes")


if __name__ == "__main__":
    main()
