"""Writes tests/data/images: small images in every supported format, and their expected pixels by Pillow and transformers.

    golden/bin/python tests/golden/images.py        # the environment of README.md

The reference is Pillow's convert("RGB") and resize, and transformers' PaliGemma image processor; images.json records their versions.
The sources of the resizes are not stored: `pattern` below and its copy in tests/image/goldens.hpp generate them.
"""
import hashlib
import io
import json
import pathlib
import struct
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps, features
import transformers
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

warnings.simplefilter("ignore")
Image.MAX_IMAGE_PIXELS = None
OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "images"
OUT.mkdir(parents=True, exist_ok=True)
for old in OUT.iterdir():
    old.unlink()


def pattern(width, height):
    """Returns (height, width, 3): squares of noise and gradients; equal to pattern() in tests/image/goldens.hpp."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    x, y, c = (v.astype(np.uint64) for v in (x, y, c))
    m = np.uint64(0xFFFFFFFF)
    h = ((x * 73856093) ^ (y * 19349663) ^ (c * 83492791)) & m
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(0x5BD1E995)) & m
    noise = ((h ^ (h >> np.uint64(15))) >> np.uint64(8)) & np.uint64(255)
    smooth = (x * 3 + y * 5 + c * 40) & np.uint64(255)
    return np.where((x // 8 + y // 8) % 2 == 1, noise, smooth).astype(np.uint8)


def photo(width, height):
    """A synthetic photograph: smooth, with an edge and some noise, so that lossy files are small."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    rng = np.random.default_rng(width * 1000 + height)
    out = np.stack([128 + 110 * np.sin(x / 7 + k) * np.cos(y / (5 + k)) for k in range(3)], -1)
    out[(x + 2 * y) > (width + height) * 0.8] *= 0.4
    return np.clip(out + rng.normal(0, 6, out.shape), 0, 255).astype(np.uint8)


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def encode(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def rgb_of(data):
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


files = []


def add(name, data):
    pixels = rgb_of(data)
    (OUT / name).write_bytes(data)
    height, width, _ = pixels.shape
    probes = []
    for x, y in {(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1), (width // 2, height // 2)}:
        probes.append([int(x), int(y), *map(int, pixels[y, x])])
    sizes = sorted({*range(0, len(data), 97), *range(max(len(data) - 24, 0), len(data))})
    loads, changed = [], []  # changed: in a text format, a number that loses its last digits is still a number
    for size in sizes:
        try:
            (loads if sha(rgb_of(data[:size])) == sha(pixels) else changed).append(size)
        except Exception:
            pass
    files.append({"file": name, "width": width, "height": height, "sha256": sha(pixels), "probes": sorted(probes), "cut_loads": loads, "cut_changes": changed})


# ---- JPEG
im = Image.fromarray(photo(37, 29))
add("baseline_420.jpg", encode(im, "JPEG", quality=85, subsampling="4:2:0"))
add("baseline_422.jpg", encode(im, "JPEG", quality=85, subsampling="4:2:2"))
add("baseline_444.jpg", encode(im, "JPEG", quality=100, subsampling="4:4:4"))
add("optimized_low.jpg", encode(im, "JPEG", quality=8, optimize=True))
add("progressive_420.jpg", encode(im, "JPEG", quality=80, progressive=True))
add("progressive_444.jpg", encode(im, "JPEG", quality=90, progressive=True, subsampling="4:4:4"))
add("restart.jpg", encode(im, "JPEG", quality=75, restart_marker_blocks=2))
add("rgb_colours.jpg", encode(im, "JPEG", quality=90, keep_rgb=True))
add("grey.jpg", encode(im.convert("L"), "JPEG", quality=80))
add("grey_progressive.jpg", encode(im.convert("L"), "JPEG", quality=80, progressive=True))
add("one_pixel.jpg", encode(im.crop((5, 5, 6, 6)), "JPEG"))
add("wide.jpg", encode(Image.fromarray(photo(131, 3)), "JPEG", quality=85))
add("tall.jpg", encode(Image.fromarray(photo(5, 97)), "JPEG", quality=85))
add("photo.jpg", encode(Image.fromarray(photo(200, 150)), "JPEG", quality=75))
square = encode(Image.fromarray(photo(32, 32)), "JPEG", quality=85, subsampling="4:2:2")
sof = square.index(b"\xff\xc0")
assert square[sof + 11] == 0x21
add("baseline_440.jpg", square[:sof + 11] + b"\x12" + square[sof + 12:])  # the same number of blocks: a valid file with another chroma subsampling
cmyk = np.concatenate([photo(37, 29), photo(29, 37).transpose(1, 0, 2)[:, :, :1]], -1)
cmyk = encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=85)
add("cmyk.jpg", cmyk)
adobe = cmyk.index(b"Adobe")
assert cmyk[adobe + 11] == 0
add("ycck.jpg", cmyk[:adobe + 11] + b"\x02" + cmyk[adobe + 12:])  # the same data, interpreted as YCCK
with_icc = encode(im, "JPEG", quality=85, icc_profile=b"\x00" * 300, comment=b"a comment")
add("profile_and_comment.jpg", with_icc)
add("bytes_behind_end.jpg", encode(im, "JPEG") + b"something else entirely")


# ---- PNG, written here because Pillow cannot write all of these
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_rows(samples, depth):
    """Returns filtered rows of samples (h, w, channels); the filter type alternates between rows."""
    height, width, channels = samples.shape
    step = max(1, channels * depth // 8)
    out, above = b"", None
    for y in range(height):
        if depth == 16:
            row = samples[y].astype(">u2").tobytes()
        elif depth == 8:
            row = samples[y].astype(np.uint8).tobytes()
        else:
            bits = "".join(format(int(v), f"0{depth}b") for v in samples[y].ravel())
            bits += "0" * (-len(bits) % 8)
            row = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
        above = above or bytes(len(row))
        kind = y % 5
        filtered = bytearray()
        for i, value in enumerate(row):
            a = row[i - step] if i >= step else 0
            b = above[i]
            c = above[i - step] if i >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            filtered.append((value - [0, a, b, (a + b) // 2, paeth][kind]) & 255)
        out += bytes([kind]) + filtered
        above = row
    return out


def png(samples, depth, colour, interlaced=False, extra=b"", idat=1 << 30):
    height, width, _ = samples.shape
    if interlaced:
        raw = b""
        for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
            part = samples[y0::dy, x0::dx]
            if part.size:
                raw += png_rows(part, depth)
    else:
        raw = png_rows(samples, depth)
    packed = zlib.compress(raw, 9)
    data = b"".join(chunk(b"IDAT", packed[i:i + idat]) for i in range(0, len(packed), idat))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + data + chunk(b"IEND", b"")


rng = np.random.default_rng(7)
for colour, name, depths, channels in [(0, "grey", (1, 2, 4, 8, 16), 1), (2, "rgb", (8, 16), 3), (3, "palette", (1, 2, 4, 8), 1),
                                       (4, "grey_alpha", (8, 16), 2), (6, "rgba", (8, 16), 4)]:
    for depth in depths:
        for interlaced in (False, True):
            width, height = 19, 13
            base = np.concatenate([photo(width, height), photo(height, width).transpose(1, 0, 2)], -1)[..., :channels].astype(int)
            samples = base * 257 + rng.integers(0, 256, base.shape) - 128 if depth == 16 else base >> (8 - depth)
            samples = np.clip(samples, 0, (1 << depth) - 1)
            if colour == 0 and depth == 16:
                samples //= 100  # small enough that clipping does not turn everything white
            extra = chunk(b"PLTE", rng.integers(0, 256, 3 << depth, dtype=np.uint8).tobytes()) if colour == 3 else b""
            add(f"{name}_{depth}{'_interlaced' if interlaced else ''}.png", png(samples, depth, colour, interlaced, extra))
eight = photo(19, 13)
palette = chunk(b"PLTE", rng.integers(0, 256, 3 * 100, dtype=np.uint8).tobytes())
add("palette_transparent.png", png(eight[..., :1] % 100, 8, 3, extra=palette + chunk(b"tRNS", bytes(range(50)))))
add("palette_short.png", png(eight[..., :1], 8, 3, extra=palette))
add("rgb_transparent_colour.png", png(eight, 8, 2, extra=chunk(b"tRNS", struct.pack(">HHH", *map(int, eight[3, 3])))))
add("grey_transparent_colour.png", png(eight[..., :1], 8, 0, extra=chunk(b"tRNS", struct.pack(">H", int(eight[3, 3, 0])))))
add("gamma_and_background.png", png(eight, 8, 2, extra=chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sBIT", b"\5\6\5")
                                    + chunk(b"bKGD", struct.pack(">HHH", 255, 0, 0)) + chunk(b"tEXt", b"Comment\0none")))
add("split_data.png", png(eight, 8, 2, idat=50))
for size in [(1, 1), (2, 1), (1, 2), (3, 3), (5, 1), (1, 9), (8, 8), (9, 17)]:
    add(f"interlaced_{size[0]}x{size[1]}.png", png(photo(*size), 8, 2, interlaced=True))
add("pillow_rgba.png", encode(Image.fromarray(np.concatenate([photo(40, 30), photo(40, 30)[..., 1:2]], -1), "RGBA"), "PNG"))

# ---- WebP
alpha = Image.fromarray(np.concatenate([photo(37, 29), photo(37, 29)[::-1, :, :1]], -1), "RGBA")
add("lossy.webp", encode(im, "WEBP", quality=70))
add("lossy_high.webp", encode(im, "WEBP", quality=100, method=6))
add("lossy_alpha.webp", encode(alpha, "WEBP", quality=70, exact=True))
add("lossless.webp", encode(im, "WEBP", lossless=True))
add("lossless_alpha.webp", encode(alpha, "WEBP", lossless=True, exact=True))
add("lossless_palette.webp", encode(im.quantize(8).convert("RGB"), "WEBP", lossless=True))
add("one_pixel.webp", encode(im.crop((5, 5, 6, 6)), "WEBP", lossless=True))
add("with_exif.webp", encode(im, "WEBP", quality=70, exif=Image.Exif()))
frames = [Image.fromarray(photo(37, 29)[:, ::s]).resize((37, 29)) for s in (1, -1)]
add("animated.webp", encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=70))
add("animated_alpha.webp", encode(alpha, "WEBP", save_all=True, append_images=[alpha.rotate(180)], lossless=True))
still = encode(alpha.crop((0, 0, 20, 15)), "WEBP", lossless=True, exact=True)
vp8l = still[still.index(b"VP8L"):]
u24 = lambda v: struct.pack("<I", v)[:3]
frame = u24(3) + u24(2) + u24(19) + u24(14) + u24(100) + b"\0" + vp8l
anim = (b"VP8X" + struct.pack("<I", 10) + bytes([0x12, 0, 0, 0]) + u24(39) + u24(29) + b"ANIM" + struct.pack("<I", 6) + b"\xff\x80\x40\xff\0\0"
        + b"ANMF" + struct.pack("<I", len(frame)) + frame)
add("animated_part.webp", b"RIFF" + struct.pack("<I", len(anim) + 4) + b"WEBP" + anim)

# ---- GIF
few = im.quantize(32)
add("palette.gif", encode(few, "GIF"))
add("interlaced.gif", encode(few, "GIF", interlace=1))
add("grey.gif", encode(im.convert("L"), "GIF"))
add("two_colours.gif", encode(im.convert("1"), "GIF"))
add("transparent.gif", encode(few, "GIF", transparency=int(np.array(few)[14, 18])))
add("animated.gif", encode(few, "GIF", save_all=True, append_images=[few.rotate(180)], duration=100, comment=b"a comment"))
add("many_codes.gif", encode(Image.fromarray(pattern(120, 90)).quantize(256), "GIF"))
one = encode(few, "GIF", transparency=5)
at = one.index(b",", 13 + 3 * (2 << (one[10] & 7)))
placed = one[:6] + struct.pack("<HH", 50, 40) + one[10:at + 1] + struct.pack("<HH", 6, 4) + one[at + 5:]
add("part_transparent.gif", placed)
opaque = encode(few, "GIF")
at = opaque.index(b",", 13 + 3 * (2 << (opaque[10] & 7)))
start = at + 10  # start of the image data: minimum code size, then blocks
while opaque[start + 1 + opaque[start + 1] + 1]:
    start += 1 + opaque[start + 1]
tail = opaque[start + 2:start + 2 + opaque[start + 1]]
add("end_in_its_own_block.gif", opaque[:start + 1] + bytes([len(tail) - 1]) + tail[:-1] + b"\1" + tail[-1:] + b"\0;")
add("part.gif", opaque[:6] + struct.pack("<HH", 50, 40) + opaque[10:at + 1] + struct.pack("<HH", 6, 4) + opaque[at + 5:])
add("beyond_screen.gif", opaque[:6] + struct.pack("<HH", 20, 10) + opaque[10:at + 1] + struct.pack("<HH", 6, 4) + opaque[at + 5:])
table = 3 * (2 << (opaque[10] & 7))
add("no_palette.gif", opaque[:10] + b"\0" + opaque[11:13] + opaque[13 + table:])
local = opaque[:10] + b"\0" + opaque[11:13] + opaque[13 + table:]
at = local.index(b",")
add("local_palette.gif", local[:at + 9] + bytes([0x80 | (opaque[10] & 7)]) + opaque[13:13 + table] + local[at + 10:])


# ---- BMP
def bmp(bits, rows, palette=b"", header=40, compression=0, masks=b"", width=37, height=29):
    """rows: the bytes of each stored row, without padding."""
    data = b"".join(r + bytes(-len(r) % 4) for r in rows)
    offset = 14 + header + len(masks) + len(palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, abs(height), 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + masks + palette + data


px = photo(37, 29)
add("rgb.bmp", encode(im, "BMP"))
add("grey.bmp", encode(im.convert("L"), "BMP"))
add("palette.bmp", encode(im.quantize(256), "BMP"))
add("bits.bmp", encode(im.convert("1"), "BMP"))
add("rgba.bmp", encode(alpha, "BMP"))
add("top_down.bmp", bmp(24, [px[y, :, ::-1].tobytes() for y in range(29)], height=-29))
add("bottom_up_32.bmp", bmp(32, [np.dstack([px[..., ::-1], px[..., :1]])[y].tobytes() for y in range(28, -1, -1)]))
sixteen = (px[..., 0].astype(int) >> 3 << 10 | px[..., 1].astype(int) >> 3 << 5 | px[..., 2].astype(int) >> 3).astype("<u2")
add("rgb_555.bmp", bmp(16, [sixteen[y].tobytes() for y in range(28, -1, -1)]))
sixteen = (px[..., 0].astype(int) >> 3 << 11 | px[..., 1].astype(int) >> 2 << 5 | px[..., 2].astype(int) >> 3).astype("<u2")
add("rgb_565.bmp", bmp(16, [sixteen[y].tobytes() for y in range(28, -1, -1)], compression=3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)))
colours = rng.integers(0, 256, (16, 4), dtype=np.uint8)
index = np.array(im.quantize(16))
nibbles = [bytes((int(r[i]) << 4) | (int(r[i + 1]) if i + 1 < 37 else 0) for i in range(0, 37, 2)) for r in index[::-1]]
add("palette_4.bmp", bmp(4, nibbles, colours.tobytes()))
add("os2.bmp", bmp(24, [px[y, :, ::-1].tobytes() for y in range(28, -1, -1)], header=12))

# ---- TGA
for rle in (False, True):
    end = "_rle" if rle else ""
    options = {"compression": "tga_rle"} if rle else {}
    flat = Image.fromarray(np.repeat(photo(13, 29), 3, 1)[:, :37])
    add(f"rgb{end}.tga", encode(flat, "TGA", **options))
    add(f"rgba{end}.tga", encode(alpha, "TGA", **options))
    add(f"grey{end}.tga", encode(flat.convert("L"), "TGA", **options))
    add(f"grey_alpha{end}.tga", encode(alpha.convert("LA"), "TGA", **options))
    add(f"palette{end}.tga", encode(flat.quantize(200), "TGA", **options))
    add(f"top_down{end}.tga", encode(flat, "TGA", orientation=1, **options))
tga = lambda depth, flags, data: struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 37, 29, depth, flags) + data
add("right_to_left.tga", tga(24, 0x10, px[::-1, ::-1, ::-1].tobytes()))
sixteen = (px[..., 0].astype(int) >> 3 << 10 | px[..., 1].astype(int) >> 3 << 5 | px[..., 2].astype(int) >> 3).astype("<u2")
add("rgb_555.tga", tga(16, 0x20, sixteen.tobytes()))

# ---- PNM
small = photo(11, 7)
grey = small[..., 0]
text = lambda values: b"\n".join(b" ".join(b"%d" % v for v in row.ravel()) for row in values) + b"\n"
add("rgb.ppm", encode(im, "PPM"))
add("grey.pgm", encode(im.convert("L"), "PPM"))
add("bits.pbm", encode(im.convert("1"), "PPM"))
add("text.ppm", b"P3 # colours\n11 7\n# all of them\n255\n" + text(small))
add("text.pgm", b"P2\n11 7\n100\n" + text(grey.astype(int) * 100 // 255))
add("text.pbm", b"P1\n11 7\n" + b"\n".join(b"".join(b"01"[int(v) > 99:][:1] for v in row) for row in grey) + b"\n")
add("top_100.ppm", b"P6 11 7 100\n" + (small.astype(int) * 100 // 255).astype(np.uint8).tobytes())
add("top_100.pgm", b"P5 11 7 100\n" + (grey.astype(int) * 100 // 255).astype(np.uint8).tobytes())
add("wide_1000.ppm", b"P6 11 7 1000\n" + (small.astype(int) * 1000 // 255).astype(">u2").tobytes())
add("wide_65535.ppm", b"P6 11 7 65535\n" + (small.astype(int) * 257).astype(">u2").tobytes())
add("wide_65535.pgm", b"P5 11 7 65535\n" + (grey.astype(int) * 2).astype(">u2").tobytes())
add("wide_1000.pgm", b"P5 11 7 1000\n" + (grey.astype(int) // 60).astype(">u2").tobytes())

# ---- EXIF orientation in JPEG, PNG and WebP
orientations = []
for value in range(0, 10):
    exif = Image.Exif()
    exif[0x0112] = value
    exif[0x010E] = "what it shows"
    for kind, name in [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")]:
        if value in (0, 9) and kind != "JPEG":
            continue
        data = encode(Image.fromarray(photo(12, 7)), kind, exif=exif.tobytes(), **({} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}))
        file = f"orientation_{value}.{name}"
        (OUT / file).write_bytes(data)
        turned = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
        orientations.append({"file": file, "orientation": value, "width": turned.shape[1], "height": turned.shape[0],
                             "plain": sha(rgb_of(data)), "turned": sha(turned)})
big = Image.Exif()
big.endian = ">"
big[0x0112] = 6
data = encode(Image.fromarray(photo(12, 7)), "JPEG", exif=big.tobytes())
(OUT / "orientation_big_endian.jpg").write_bytes(data)
turned = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
orientations.append({"file": "orientation_big_endian.jpg", "orientation": 6, "width": turned.shape[1], "height": turned.shape[0],
                     "plain": sha(rgb_of(data)), "turned": sha(turned)})

# ---- resizes
resizes = []


def resize(source, target, which):
    out = np.array(Image.fromarray(pattern(*source)).resize(target, which))
    row = out[target[1] // 2].ravel()[:96]
    resizes.append({"source": source, "target": target, "filter": which, "sha256": sha(out), "middle_row": [int(v) for v in row]})


for which in range(6):
    for source, target in [((1, 1), (224, 224)), ((3, 5), (7, 2)), ((640, 480), (224, 224)), ((37, 29), (224, 224)), ((224, 100), (224, 31)),
                           ((100, 224), (31, 224)), ((224, 224), (224, 224)), ((10000, 3), (224, 224)), ((3, 10000), (224, 224)),
                           ((300, 200), (1, 1)), ((7, 9), (10000, 2)), ((2, 2), (3, 3)), ((50, 60), (49, 61)), ((640, 427), (448, 448)),
                           ((13, 1), (1, 13)), ((1, 300), (300, 1)), ((65, 33), (130, 66)), ((512, 384), (128, 96))]:
        resize(source, target, which)
rng2 = np.random.default_rng(11)
for i in range(160):  # random sizes to random sizes
    top = 40 if i % 2 else 400
    source, target = ([int(v) for v in rng2.integers(1, top, 2)] for _ in range(2))
    resize(source, target, int(rng2.integers(0, 6)))
resize((4000, 3000), (224, 224), 3)
resize((1200, 10000), (896, 896), 3)
resize((10000, 1200), (448, 448), 1)

# ---- pixel_values of PaliGemma's image processor
values = []


def processed(source, **options):
    options = {"size": {"height": 224, "width": 224}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, **options}
    processor = SiglipImageProcessorPil(**options)
    image = Image.fromarray(pattern(*source))
    out = processor(images=image, return_tensors="np")["pixel_values"][0].astype(np.float32)
    at = rng2.integers(0, out.size, 40)
    values.append({"source": source, "width": out.shape[2], "height": out.shape[1], "resample": int(processor.resample), "do_resize": bool(processor.do_resize),
                   "do_rescale": processor.do_rescale, "do_normalize": processor.do_normalize, "rescale_factor": processor.rescale_factor,
                   "mean": list(processor.image_mean), "std": list(processor.image_std), "sha256": sha(out),
                   "probes": [[int(i), float(out.ravel()[i])] for i in at]})


processed((320, 200))
processed((1, 1))
processed((100, 150), size={"height": 448, "width": 448})
processed((100, 150), image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711])
processed((100, 150), resample=2)
processed((100, 150), resample=0, rescale_factor=1 / 127.5, image_mean=[1.0] * 3, image_std=[1.0] * 3)
processed((100, 150), do_normalize=False)
processed((100, 150), do_rescale=False)
processed((100, 150), do_rescale=False, do_normalize=False)
processed((28, 42), do_resize=False, size={"height": 42, "width": 28})
processed((64, 48), size={"height": 30, "width": 50}, resample=1)

# ---- optional photographs next to the source tree
photographs = []
for path in sorted((OUT.parents[2].parent / "shared" / "images").glob("*.jpg")):
    pixels = rgb_of(path.read_bytes())
    photographs.append({"file": path.name, "width": pixels.shape[1], "height": pixels.shape[0], "sha256": sha(pixels),
                        "sha256_224": sha(np.array(Image.fromarray(pixels).resize((224, 224), Image.BICUBIC)))})

manifest = {"pillow": PIL.__version__, "transformers": transformers.__version__, "numpy": np.__version__,
            "libjpeg_turbo": features.version("libjpeg_turbo"), "libwebp": features.version("webp"),
            "files": files, "orientations": orientations, "resizes": resizes, "pixel_values": values, "photographs": photographs}
text_out = json.dumps(manifest).replace('{"file"', '\n{"file"').replace('{"source"', '\n{"source"')
(OUT / "images.json").write_text(text_out + "\n")
print(len(files), "files,", len(resizes), "resizes,", sum(f.stat().st_size for f in OUT.iterdir()), "bytes")
