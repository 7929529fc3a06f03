#!/usr/bin/env python3
"""Draws docs/images/caption.png: what `pali generate` answers about the sample pictures, asked here and now. Needs Pillow.

usage: draw_captions.py PROGRAM      for example build/release/pali
"""
import json
import pathlib
import subprocess
import sys

from PIL import Image, ImageDraw, ImageFont

if len(sys.argv) != 2:
    sys.exit(__doc__)
root = pathlib.Path(__file__).resolve().parent.parent
pictures = sorted((root / "examples/models/shapes/pictures").glob("*.png"))
prompts = ["caption en", "answer en how many shapes are there?", "answer en what color is the background?"]
SIDE, GAP, LINE, WIDTH = 224, 24, 30, 980
font = ImageFont.load_default(19)
sheet = Image.new("RGB", (WIDTH, GAP + len(pictures) * (SIDE + GAP)), (250, 250, 248))
pen = ImageDraw.Draw(sheet)
for row, path in enumerate(pictures):
    top = GAP + row * (SIDE + GAP)
    sheet.paste(Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.LANCZOS), (GAP, top))
    for i, prompt in enumerate(prompts):
        ran = subprocess.run([sys.argv[1], "generate", "--image", str(path), "--prompt", prompt, "--json"], check=True, capture_output=True)
        y = top + 8 + i * (2 * LINE + 14)
        pen.text((GAP + SIDE + GAP, y), "> " + prompt, fill=(120, 120, 120), font=font)
        pen.text((GAP + SIDE + GAP, y + LINE), json.loads(ran.stdout)["text"], fill=(20, 20, 20), font=font)
sheet.save(root / "docs/images/caption.png", optimize=True)
