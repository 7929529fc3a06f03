"""Writes tests/data/image_variants/variants.json: every variant of the image formats in bmpsuite and the tests of Pillow and image-rs, and
damaged files.

    golden/bin/python tests/golden/image_variants.py        # the environment of README.md

The files are encoded here and stored as base64. The expected image is Pillow's exif_transpose(image).convert("RGB"); for HEIC,
pillow_heif's. Where Pillow rejects a valid file that pali reads, it is the source image of the encoder, marked "reference": "encoder". HEIC
and AVIF cases store pixels and a tolerance, because decoders differ. All other cases store a digest.
"""
import base64
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
import pillow_heif

warnings.simplefilter("ignore")
pillow_heif.register_heif_opener()
OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "image_variants"
OUT.mkdir(parents=True, exist_ok=True)
W, H = 13, 9
rng = np.random.default_rng(3)
cases = []


def photo(width=W, height=H):
    y, x = np.mgrid[0:height, 0:width].astype(float)
    out = np.stack([128 + 110 * np.sin(x / 5 + k) * np.cos(y / (3 + k)) for k in range(3)], -1)
    return np.clip(out + rng.normal(0, 5, out.shape), 0, 255).astype(np.uint8)


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array, dtype=np.uint8).tobytes()).hexdigest()


def upright(data):
    return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def case(name, data, want=None, keep=False, mean=None, most=None):
    """Adds a valid file. want: expected pixels, if Pillow cannot read the file. keep: also test without EXIF rotation. mean, most:
    tolerances."""
    entry = {"name": name, "data": base64.b64encode(data).decode()}
    if want is None:
        want = upright(data)
    else:
        try:
            assert (upright(data) == want).all(), f"{name}: Pillow reads it otherwise"
        except (OSError, ValueError, SyntaxError, KeyError):
            entry["reference"] = "encoder"
    entry.update(width=want.shape[1], height=want.shape[0])
    if mean is None:
        entry["sha256"] = sha(want)
    else:
        entry.update(pixels=base64.b64encode(np.ascontiguousarray(want).tobytes()).decode(), mean=mean, most=most)
    if keep:
        stored = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
        entry["stored"] = sha(stored)
    cases.append(entry)


def refused(name, data, code, says, pillow=True):
    """Adds a file that must be rejected with this code and a message with these words. pillow: Pillow must reject it, too."""
    if pillow:
        try:
            upright(data)
        except Exception:
            pass
        else:
            raise AssertionError(f"{name}: Pillow reads it")
    cases.append({"name": name, "data": base64.b64encode(data).decode(), "error": code, "says": says})


TOO_LARGE, MALFORMED, UNSUPPORTED = 402, 401, 403
px = photo()
im = Image.fromarray(px)
index = np.array(im.quantize(16))
colours = rng.integers(0, 256, (256, 3), dtype=np.uint8)
up = range(H - 1, -1, -1)


# ---- BMP
def bmp(bits, rows=(), palette=b"", header=40, compression=0, masks=(), gap=b"", count=0, raw=None, top_down=False, offset=None, width=W, height=H):
    data = b"".join(r + bytes(-len(r) % 4) for r in rows) if raw is None else raw
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression, len(data), 2835, 2835, count, 0)
        info += struct.pack("<" + "I" * len(masks), *masks)
        info = info[:header] + bytes(max(0, header - len(info))) + (info[header:] if header == 40 else b"")
    start = 14 + len(info) + len(palette) + len(gap)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start if offset is None else offset) + info + palette + gap + data


def packed(values, bits):
    """Packs rows of palette indices, the leftmost index in the high bits."""
    text = ["".join(format(int(v), f"0{bits}b") for v in row) for row in values]
    return [bytes(int((t + "0" * (-len(t) % 8))[i:i + 8], 2) for i in range(0, len(t), 8)) for t in text]


quads = lambda n: np.hstack([colours[:n, ::-1], np.zeros((n, 1), np.uint8)]).tobytes()
triples = lambda n: colours[:n, ::-1].tobytes()
full = (index.astype(int) * 16 + np.arange(W)[None]) % 256
for bits in (1, 4, 8):
    values = (full % (1 << bits)).astype(np.uint8)
    rows = packed(values[::-1], bits)
    for header in (40, 52, 56, 64, 108, 124):
        case(f"bmp_palette_{bits}_header_{header}.bmp", bmp(bits, rows, quads(1 << bits), header=header))
    case(f"bmp_os2_{bits}.bmp", bmp(bits, rows, triples(1 << bits), header=12))
    case(f"bmp_palette_{bits}_top_down.bmp", bmp(bits, packed(values, bits), quads(1 << bits), top_down=True))
    case(f"bmp_palette_{bits}_count.bmp", bmp(bits, rows, quads(1 << bits), count=1 << bits))
    case(f"bmp_palette_{bits}_gap.bmp", bmp(bits, rows, quads(1 << bits), gap=b"not pixels"))
    if bits > 1:
        few = (1 << bits) * 3 // 4
        case(f"bmp_palette_{bits}_outside.bmp", bmp(bits, rows, quads(few), count=few))
    case(f"bmp_palette_{bits}_without_offset.bmp", bmp(bits, rows, quads(1 << bits), offset=0))
    case(f"bmp_palette_{bits}_offset_at_palette.bmp", bmp(bits, rows, quads(1 << bits), offset=54))
    case(f"bmp_header_16_bits_{bits}.bmp", bmp(bits, rows, quads(1 << bits), header=16), want=colours[values])
case("bmp_os2_fewer_colours.bmp", bmp(8, [r.tobytes() for r in index[::-1].astype(np.uint8)], triples(16), header=12))
case("bmp_palette_300.bmp", bmp(8, packed(full[::-1], 8), quads(256) + bytes(4 * 44), count=300), want=colours[full])
case("bmp_palette_2_bits.bmp", bmp(2, packed(full[::-1] % 4, 2), quads(4)), want=colours[full % 4])
ramp = lambda n: b"".join(bytes([i, i, i, 0]) for i in range(n))
case("bmp_grey_ramp.bmp", bmp(8, packed(full[::-1], 8), ramp(256)))
case("bmp_grey_ramp_100.bmp", bmp(8, packed(full[::-1], 8), ramp(100), count=100))
case("bmp_black_and_white.bmp", bmp(1, packed(full[::-1] % 2, 1), bytes(4) + b"\xff\xff\xff\0", count=2))
case("bmp_white_and_black.bmp", bmp(1, packed(full[::-1] % 2, 1), b"\xff\xff\xff\0" + bytes(4), count=2))
rows24 = [px[y, :, ::-1].tobytes() for y in up]
for header in (12, 40, 52, 56, 64, 108, 124):
    case(f"bmp_24_header_{header}.bmp", bmp(24, rows24, header=header))
case("bmp_24_palette.bmp", bmp(24, rows24, bytes(1024), count=256))
case("bmp_24_gap.bmp", bmp(24, rows24, gap=b"x" * 10))
case("bmp_24_top_down.bmp", bmp(24, [px[y, :, ::-1].tobytes() for y in range(H)], top_down=True))
case("bmp_24_without_offset.bmp", bmp(24, rows24, offset=0))
case("bmp_24_last_row_without_padding.bmp", bmp(24, rows24)[:-1])
case("bmp_24_masks.bmp", bmp(24, rows24, compression=3, masks=(0xFF0000, 0xFF00, 0xFF), header=56))
case("bmp_32.bmp", bmp(32, [np.dstack([px[y:y + 1, :, ::-1], px[y:y + 1, :, :1]]).tobytes() for y in up]))
random32 = rng.integers(0, 1 << 32, (H, W), dtype=np.uint32)
for name, masks in {"bgrx": (0xFF0000, 0xFF00, 0xFF, 0), "xbgr": (0xFF000000, 0xFF0000, 0xFF00, 0), "bgxr": (0xFF000000, 0xFF00, 0xFF, 0),
                    "abgr": (0xFF000000, 0xFF0000, 0xFF00, 0xFF), "rgba": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
                    "bgra": (0xFF0000, 0xFF00, 0xFF, 0xFF000000), "bgar": (0xFF000000, 0xFF00, 0xFF, 0xFF0000), "zero": (0, 0, 0, 0)}.items():
    for header in (40, 52, 56, 64, 108, 124):
        if header < 56 and masks[3]:
            continue
        case(f"bmp_32_{name}_header_{header}.bmp", bmp(32, [r.tobytes() for r in random32[::-1]], compression=3, masks=masks[:3] if header == 40 else masks, header=header))
random16 = rng.integers(0, 1 << 16, (H, W), dtype=np.uint16)
case("bmp_16.bmp", bmp(16, [r.tobytes() for r in random16[::-1]]))
for name, masks in {"565": (0xF800, 0x7E0, 0x1F), "555": (0x7C00, 0x3E0, 0x1F)}.items():
    for header in (40, 52, 56, 108, 124):
        case(f"bmp_16_{name}_header_{header}.bmp", bmp(16, [r.tobytes() for r in random16[::-1]], compression=3, masks=masks, header=header))
field = lambda v, mask: v.astype(np.int64) * 0 if mask == 0 else ((v.astype(np.int64) & mask) // (mask & -mask)) * 255 // (mask // (mask & -mask))
for name, v, bits, masks in [("444", random16, 16, (0xF00, 0xF0, 0xF)), ("231", random16, 16, (0xE0, 0x1C, 0x3)), ("10_bits", random32, 32, (0x3FF00000, 0xFFC00, 0x3FF)),
                             ("no_blue", random16, 16, (0xF800, 0x7E0, 0))]:
    case(f"bmp_{bits}_masks_{name}.bmp", bmp(bits, [r.tobytes() for r in v[::-1]], compression=3, masks=masks, header=56), want=np.stack([field(v, m) for m in masks], -1).astype(np.uint8))


def rle(values, nibbles, absolute=False, end=b"\0\1"):
    """Run-length encodes rows of palette indices, as runs or as literals of at least three."""
    out = b""
    for row in values:
        row = [int(v) for v in row]
        i = 0
        while i < len(row):
            if absolute and len(row) - i >= 3:
                part = row[i:i + 9]
                if len(row) - i - len(part) in (1, 2):
                    part = part[:6]
                body = bytes(part) if not nibbles else bytes((a << 4) | b for a, b in zip(part[::2], part[1::2] + [0] * (len(part) % 2)))
                out += bytes([0, len(part)]) + body + bytes(len(body) % 2)
                i += len(part)
                continue
            n = 1
            while i + n < len(row) and n < 255 and (row[i + n] == row[i] if not nibbles else n < 2 or row[i + n] == row[i + n - 2]):
                n += 1
            out += bytes([n, row[i] if not nibbles else row[i] << 4 | (row[i + 1] if n > 1 else 0)])
            i += n
        out += b"\0\0"
    return out[:-2] + end


for nibbles in (False, True):
    name, bits, compression = ("rle4", 4, 2) if nibbles else ("rle8", 8, 1)
    values = index if nibbles else full
    flat = np.repeat(values[:, :5], 4, 1)[:, :W]
    palette, n = quads(1 << bits), 1 << bits
    make = lambda raw, **more: bmp(bits, raw=raw, palette=palette, compression=compression, count=n, **more)
    case(f"bmp_{name}_runs.bmp", make(rle(flat[::-1], nibbles)))
    case(f"bmp_{name}_literals.bmp", make(rle(values[::-1], nibbles, absolute=True)))
    case(f"bmp_{name}_top_down.bmp", make(rle(flat, nibbles), top_down=True))
    case(f"bmp_{name}_without_end.bmp", make(rle(flat[::-1], nibbles, end=b"\0\0")))
    case(f"bmp_{name}_delta.bmp", make(bytes([2, 0x12, 0, 2, W - 2, 1]) + rle(flat[::-1][:H - 2], nibbles)))
    case(f"bmp_{name}_run_over_the_row.bmp", make(bytes([W + 5, 0x21, 0, 0]) + rle(flat[::-1][:H - 1], nibbles)))
    early = values.astype(int).copy()
    early[: H - 3] = 0
    case(f"bmp_{name}_ends_early.bmp", make(rle(values[::-1][:3], nibbles)), want=colours[early % n])
    blank = flat.astype(int).copy()
    blank[H - 2] = 0
    case(f"bmp_{name}_blank_row.bmp", make(rle(flat[::-1][:1], nibbles, end=b"\0\0") + b"\0\0" + rle(flat[::-1][2:], nibbles)), want=colours[blank % n])
    refused(f"bmp_{name}_truncated.bmp", make(rle(flat[::-1], nibbles)[:-40]), MALFORMED, "truncated")
refused("bmp_24_truncated.bmp", bmp(24, rows24)[:-3], MALFORMED, "truncated")
refused("bmp_palette_truncated.bmp", bmp(8, packed(full[::-1], 8), quads(256))[:200], MALFORMED, "truncated")
refused("bmp_header_truncated.bmp", bmp(24, rows24)[:40], MALFORMED, "truncated")
refused("bmp_3_bits.bmp", bmp(3, rows24), MALFORMED, "3 bits per pixel")
refused("bmp_jpeg.bmp", bmp(0, raw=b"", compression=4), UNSUPPORTED, "JPEG")
refused("bmp_png.bmp", bmp(0, raw=b"", compression=5), UNSUPPORTED, "PNG")
refused("bmp_rle24.bmp", bmp(24, rows24, compression=4, header=64), UNSUPPORTED, "RLE24")
refused("bmp_huffman.bmp", bmp(1, packed(full % 2, 1), quads(2), compression=3, header=64), UNSUPPORTED, "not supported")
refused("bmp_header_20.bmp", bmp(24, rows24, header=20), UNSUPPORTED, "header of 20 bytes")
refused("bmp_split_mask.bmp", bmp(16, [r.tobytes() for r in random16], compression=3, masks=(0xF0F0, 0xF00, 0xF), header=56), UNSUPPORTED, "not adjacent")
refused("bmp_no_width.bmp", bmp(24, rows24, width=0), MALFORMED, f"0 x {H}")
refused("bmp_negative_width.bmp", bmp(24, rows24, width=-W), TOO_LARGE, "max_side")


# ---- TGA
def tga(kind, bits, data, palette=b"", first=0, count=0, palette_bits=0, flags=0, name=b""):
    return struct.pack("<BBBHHBHHHHBB", len(name), bool(palette), kind, first, count, palette_bits, 0, 0, W, H, bits, flags) + name + palette + data


def tga_rle(pixels, crossing=False):
    """Run-length encodes rows of pixels (byte strings), as runs and literals."""
    out = b""
    for row in [[p for r in pixels for p in r]] if crossing else pixels:
        i = 0
        while i < len(row):
            n = 1
            while i + n < len(row) and n < 128 and row[i + n] == row[i]:
                n += 1
            if n == 1:
                while i + n < len(row) and n < 128 and row[i + n] != row[i + n - 1]:
                    n += 1
                out += bytes([n - 1]) + b"".join(row[i:i + n])
            else:
                out += bytes([127 + n]) + row[i]
            i += n
    return out


flat = np.repeat(px[:, :5], 4, 1)[:, :W]
alpha = np.dstack([flat[..., ::-1], flat[..., :1]])
fifteen = (flat.astype(int)[..., 0] >> 3 << 10 | flat.astype(int)[..., 1] >> 3 << 5 | flat.astype(int)[..., 2] >> 3 | 0x8000).astype("<u2")
few = np.repeat(index[:, :5], 4, 1)[:, :W]
kinds = {"palette": (1, 8, few[..., None].astype(np.uint8)), "16": (2, 16, fifteen[..., None].view(np.uint8).reshape(H, W, 2)), "24": (2, 24, flat[..., ::-1]), "32": (2, 32, alpha),
         "grey": (3, 8, flat[..., :1]), "grey_alpha": (3, 16, flat[..., :2])}
for name, (kind, bits, pixels) in kinds.items():
    more = {"palette": colours[:16, ::-1].tobytes(), "count": 16, "palette_bits": 24} if kind == 1 else {}
    as_bytes = [[p.tobytes() for p in row] for row in pixels]
    for flags in (0, 0x10, 0x20, 0x30):
        case(f"tga_{name}_{flags:02x}.tga", tga(kind, bits, np.ascontiguousarray(pixels).tobytes(), flags=flags, **more))
        case(f"tga_{name}_rle_{flags:02x}.tga", tga(kind | 8, bits, tga_rle(as_bytes), flags=flags, **more))
    case(f"tga_{name}_named.tga", tga(kind, bits, np.ascontiguousarray(pixels).tobytes(), name=b"a name", **more))
    case(f"tga_{name}_footer.tga", tga(kind, bits, np.ascontiguousarray(pixels).tobytes(), **more) + struct.pack("<II", 0, 0) + b"TRUEVISION-XFILE.\0")
    refused(f"tga_{name}_truncated.tga", tga(kind, bits, np.ascontiguousarray(pixels).tobytes()[:-1], **more), MALFORMED, "truncated")
    refused(f"tga_{name}_rle_truncated.tga", tga(kind | 8, bits, tga_rle(as_bytes)[:-1], **more), MALFORMED, "truncated")
solid = np.broadcast_to(colours[7], (H, W, 3))
case("tga_rle_literals_across_rows.tga", tga(10, 24, tga_rle([[p.tobytes() for p in row] for row in px[..., ::-1]], crossing=True), flags=0x20))
case("tga_rle_runs_across_rows.tga", tga(10, 24, tga_rle([[p.tobytes() for p in row] for row in solid[..., ::-1]], crossing=True), flags=0x20), want=solid)


def map_of_16(first):
    """A map of 256 colors, with those of `fifteen` from index `first` on. Pillow cannot read 16-bit maps."""
    made = np.zeros((256, 3), np.uint8)
    for i, v in enumerate(fifteen.ravel()[:min(16, 256 - first)]):
        made[first + i] = [(int(v) >> shift & 31) * 255 // 31 for shift in (10, 5, 0)]
    return made


for bits in (16, 24, 32):
    palette = {16: fifteen.ravel()[:16].tobytes(), 24: colours[:16, ::-1].tobytes(), 32: quads(16)}[bits]
    for first, shift in ((0, 0), (0, 200), (3, 0), (3, 3), (250, 245)):
        values = ((few.astype(int) + shift) % 256).astype(np.uint8)
        case(f"tga_map_{bits}_from_{first}_indices_from_{shift}.tga", tga(1, 8, values.tobytes(), palette[:min(16, 256 - first) * bits // 8], first=first, count=min(16, 256 - first), palette_bits=bits),
             want=map_of_16(first)[values[::-1]] if bits == 16 else None)
case("tga_24_with_map.tga", tga(2, 24, flat[..., ::-1].tobytes(), colours[:16].tobytes(), count=16, palette_bits=24), want=flat[::-1])
case("tga_1_bit.tga", tga(3, 1, b"".join(packed(full % 2, 1))))
case("tga_1_bit_top_down.tga", tga(3, 1, b"".join(packed(full % 2, 1)), flags=0x20))
refused("tga_map_truncated.tga", tga(1, 8, b"", colours[:5].tobytes(), count=16, palette_bits=24), MALFORMED, "truncated")


# ---- PNG
def chunk(kind, data, crc=None):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)


png = lambda *chunks: b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
end = chunk(b"IEND", b"")
header = lambda depth=8, colour=2, interlaced=0: chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, depth, colour, 0, 0, interlaced))
raw = b"".join(b"\0" + px[y].tobytes() for y in range(H))
z = zlib.compress(raw)


def window(z, info):
    """Returns the zlib stream with another window size in its header and correct check bits."""
    cmf, flags = info << 4 | 8, z[1] & 0xE0
    return bytes([cmf, flags + 31 - (cmf * 256 + flags) % 31]) + z[2:]


case("png_plain.png", png(header(), chunk(b"IDAT", z), end))
for info in range(8):
    case(f"png_window_{256 << info}.png", png(header(), chunk(b"IDAT", window(z, info)), end))
far = rng.integers(0, 256, (14, 60 * 3), dtype=np.uint8)  # the second half repeats the data 2534 bytes earlier
far = zlib.compress(b"".join(b"\0" + row.tobytes() for row in np.vstack([far, far])))
for info in range(4):
    case(f"png_window_{256 << info}_exceeded.png", png(chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 28, 8, 2, 0, 0, 0)), chunk(b"IDAT", window(far, info)), end))
case("png_wrong_crc_of_data.png", png(header(), chunk(b"IDAT", z, 0), end))
case("png_wrong_crc_of_each_data.png", png(header(), chunk(b"IDAT", z[:100], 1), chunk(b"IDAT", z[100:], 2), end))
case("png_wrong_crc_of_end.png", png(header(), chunk(b"IDAT", z), chunk(b"IEND", b"", 7)))
case("png_wrong_crc_behind_data.png", png(header(), chunk(b"IDAT", z), chunk(b"tEXt", b"a\0b", 7), end))
case("png_wrong_adler.png", png(header(), chunk(b"IDAT", z[:-4]), chunk(b"IDAT", bytes(4)), end))
case("png_wrong_adler_in_one.png", png(header(), chunk(b"IDAT", z[:-4] + bytes(4)), end), want=px)
case("png_without_adler.png", png(header(), chunk(b"IDAT", z[:-4]), end))
case("png_more_data_than_pixels.png", png(header(), chunk(b"IDAT", zlib.compress(raw + bytes(99))), end))
case("png_empty_data_chunk.png", png(header(), chunk(b"IDAT", b""), chunk(b"IDAT", z), end))
case("png_stored.png", png(header(), chunk(b"IDAT", zlib.compress(raw, 0)), end))
refused("png_truncated.png", png(header(), chunk(b"IDAT", z))[:-40], MALFORMED, "truncated")
refused("png_fewer_data_than_pixels.png", png(header(), chunk(b"IDAT", zlib.compress(raw[:-30])), end), MALFORMED, "damaged")
refused("png_wrong_crc_of_header.png", png(chunk(b"IHDR", header()[8:21], 3), chunk(b"IDAT", z), end), MALFORMED, "damaged")
refused("png_wrong_crc_of_palette.png", png(header(8, 3), chunk(b"PLTE", colours.tobytes(), 3), chunk(b"IDAT", zlib.compress(bytes((W + 1) * H))), end), MALFORMED, "damaged")
refused("png_no_palette.png", png(header(8, 3), chunk(b"IDAT", zlib.compress(bytes((W + 1) * H))), end), MALFORMED, "damaged", pillow=False)
refused("png_damaged_data.png", png(header(), chunk(b"IDAT", z[:60] + b"\xff" * 30 + z[90:]), end), MALFORMED, "damaged")
refused("png_unknown_filter.png", png(header(), chunk(b"IDAT", zlib.compress(b"\x09" + raw[1:])), end), MALFORMED, "damaged")
refused("png_wrong_header_of_zlib.png", png(header(), chunk(b"IDAT", b"\x78\x9d" + z[2:]), end), MALFORMED, "damaged")


# ---- GIF
def lzw(pixels, root):
    """LZW-encodes with a minimum code size of `root` bits. Without a table, a clear code precedes each pixel."""
    out, bits, held = bytearray(), 0, 0

    def put(code, size):
        nonlocal bits, held
        bits |= code << held
        held += size
        while held >= 8:
            out.append(bits & 255)
            bits >>= 8
            held -= 8
    for p in pixels:
        put(1 << root, root + 1)
        put(int(p), root + 1)
    put((1 << root) + 1, root + 1)
    if held:
        out.append(bits & 255)
    return bytes([root]) + b"".join(bytes([len(out[i:i + 255])]) + bytes(out[i:i + 255]) for i in range(0, len(out), 255)) + b"\0"


def gif(body, width=W, height=H, screen=None, control=b""):
    screen = screen or (width, height)
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0x82, 0, 0) + colours[:8].tobytes() + control + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + body + b";"


for root in range(0, 13):
    case(f"gif_code_size_{root}.gif", gif(lzw(index.ravel() % min(8, 1 << root), root)))
refused("gif_code_size_13.gif", gif(bytes([13]) + lzw(index.ravel() % 8, 3)[1:]), MALFORMED, "13 bits")
refused("gif_wide.gif", gif(lzw(index.ravel() % 8, 3), width=65535, height=1), TOO_LARGE, "max_side", pillow=False)
refused("gif_wide_screen.gif", gif(lzw(index.ravel() % 8, 3), screen=(65535, 65535)), TOO_LARGE, "max_side", pillow=False)
refused("gif_ends_early.gif", gif(lzw(index.ravel()[:50] % 8, 3)), MALFORMED, "damaged")
refused("gif_truncated.gif", gif(lzw(index.ravel() % 8, 3))[:-60], MALFORMED, "truncated")


# ---- JPEG
def encode(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


jpeg = encode(im, "JPEG", quality=90)
sof = jpeg.index(b"\xff\xc0")
patched = lambda at, byte: jpeg[:at] + bytes([byte]) + jpeg[at + 1:]
refused("jpeg_12_bits.jpg", patched(sof + 4, 12), UNSUPPORTED, "not supported")
for marker, what in ((0xC3, "lossless"), (0xC7, "lossless"), (0xCB, "lossless"), (0xC5, "hierarchical"), (0xF7, "JPEG-LS")):
    refused(f"jpeg_process_{marker:02x}.jpg", patched(sof + 1, marker), UNSUPPORTED, what, pillow=False)
refused("jpeg_truncated.jpg", jpeg[:-60], MALFORMED, "truncated")

# ---- WebP and PNM
webp = encode(im, "WEBP", lossless=True)
refused("webp_truncated.webp", webp[:-50], MALFORMED, "truncated")
refused("webp_damaged.webp", webp[:30] + b"\xff" * (len(webp) - 30), MALFORMED, "damaged")
refused("ppm_truncated.ppm", encode(im, "PPM")[:-9], MALFORMED, "truncated")
refused("ppm_no_number.ppm", b"P3 1 1 255 1 x 3", MALFORMED, "damaged")

# ---- orientation
oblong = Image.fromarray(photo(11, 7))
formats = [("JPEG", "jpg", {}), ("PNG", "png", {}), ("WEBP", "webp", {"lossless": True})]


def exif_block(value, kind=3, big=False, count=1, before=(), magic=None, start=8):
    """Returns a TIFF directory with the orientation tag. kind: 1 BYTE, 3 SHORT, 4 LONG, 9 SLONG."""
    e = ">" if big else "<"
    size = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}[kind]
    held = struct.pack(e + size, value)
    entries = list(before) + [struct.pack(e + "HHI", 0x0112, kind, count) + held + bytes(4 - len(held))]
    head = magic or (b"MM\0*" if big else b"II*\0")
    return head + struct.pack(e + "I", start) + bytes(start - 8) + struct.pack(e + "H", len(entries)) + b"".join(entries) + bytes(4)


def with_exif(kind, block, **options):
    return encode(oblong, kind, exif=b"Exif\0\0" + block, **options)


for kind, ending, options in formats:
    for value in range(1, 9):
        for big in (False, True):
            case(f"exif_{value}_{'big' if big else 'little'}.{ending}", with_exif(kind, exif_block(value, big=big), **options), keep=True)
    outside = struct.pack("<HHII", 0x0100, 5, 1, 5000)  # a RATIONAL whose offset is past the end
    entry = lambda value, kind=3, count=1: struct.pack("<HHIHH", 0x0112, kind, count, value, 0)
    for name, block in {"of_two_the_first": exif_block(6, before=[entry(3)]), "of_two_the_readable": exif_block(6, before=[entry(3, count=0), entry(3, kind=99)]),
                        "two_values": exif_block(6, count=2), "bytes": exif_block(6, before=[entry(6, kind=7)]), "behind_data_outside": exif_block(6, before=[outside]),
                        "before_data_outside": exif_block(6, before=[entry(3), outside]), "zero": exif_block(0), "nine": exif_block(9), "300": exif_block(300), "long": exif_block(6, 4), "slong": exif_block(8, 9), "long_big": exif_block(3, 4, big=True),
                        "late_directory": exif_block(6, start=40), "other_tags_before": exif_block(6, before=[struct.pack("<HHII", 0x0100, 4, 1, 5)]),
                        "directory_outside": exif_block(6)[:4] + struct.pack("<I", 5000) + exif_block(6)[8:],
                        "more_entries_than_data": exif_block(6)[:8] + struct.pack("<H", 900) + exif_block(6)[10:], "cut": exif_block(6)[:16],
                        "other_magic": exif_block(6, magic=b"II\0*"), "big_wrong_magic": exif_block(6, big=True, magic=b"MM*\0")}.items():
        data = with_exif(kind, block, **options)
        try:
            upright(data)
        except Exception:  # if Pillow raises, the image is not rotated
            case(f"exif_invalid_{name}.{ending}", data, want=np.array(Image.open(io.BytesIO(data)).convert("RGB")))
        else:
            case(f"exif_{name}.{ending}", data, keep=True)


def segment(marker, body):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


plain = encode(oblong, "JPEG", quality=90)
xmp = lambda inner: b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description ' + inner + b"</rdf:RDF></x:xmpmeta>"
attribute = lambda v: xmp(b'tiff:Orientation="%d"/>' % v)
element = lambda v: xmp(b"><tiff:Orientation>%d</tiff:Orientation></rdf:Description>" % v)
ns = b"http://ns.adobe.com/xap/1.0/\0"
for value in (0, 1, 3, 6, 9):
    for name, text in (("attribute", attribute(value)), ("element", element(value))):
        case(f"xmp_{name}_{value}.jpg", plain[:2] + segment(0xE1, ns + text) + plain[2:], keep=True)
        case(f"xmp_{name}_{value}.webp", encode(oblong, "WEBP", lossless=True, xmp=text), keep=True)
case("xmp_beside_exif.jpg", plain[:2] + segment(0xE1, ns + attribute(8)) + segment(0xE1, b"Exif\0\0" + exif_block(6)) + plain[2:], keep=True)
case("xmp_beside_exif_upright.jpg", plain[:2] + segment(0xE1, ns + attribute(8)) + segment(0xE1, b"Exif\0\0" + exif_block(1)) + plain[2:], keep=True)
other = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0100, 4, 1, 5) + bytes(4)
case("xmp_beside_exif_without.jpg", plain[:2] + segment(0xE1, b"Exif\0\0" + other) + segment(0xE1, ns + attribute(8)) + plain[2:], keep=True)
case("exif_in_two_segments.jpg", plain[:2] + segment(0xE1, b"Exif\0\0" + exif_block(6)[:14]) + segment(0xE1, b"Exif\0\0" + exif_block(6)[14:]) + plain[2:], keep=True)
case("exif_mark_repeated.jpg", plain[:2] + segment(0xE1, b"Exif\0\0Exif\0\0" + exif_block(6)) + plain[2:], keep=True)
case("exif_behind_other_segments.jpg", plain[:2] + segment(0xE1, b"http://else/\0") + b"\xff\xff" + segment(0xE1, b"Exif\0\0" + exif_block(5)) + plain[2:], keep=True)
mpo = encode(oblong, "MPO", save_all=True, append_images=[oblong.rotate(180)], exif=b"Exif\0\0" + exif_block(6))
case("exif_6.mpo", mpo, keep=True)
still = encode(oblong, "PNG")
at = still.index(b"IDAT") - 4
itxt = lambda text, packed: chunk(b"iTXt", b"XML:com.adobe.xmp\0" + (b"\1\0" if packed else b"\0\0") + b"\0\0" + (zlib.compress(text) if packed else text))
profile = lambda v: b"\nexif\n%8d\n" % (6 + len(exif_block(v))) + (b"Exif\0\0" + exif_block(v)).hex().encode() + b"\n"
for name, extra in {"xmp_plain": itxt(attribute(6), False), "xmp_packed": itxt(element(8), True), "raw_profile": chunk(b"tEXt", b"Raw profile type exif\0" + profile(6)),
                    "raw_profile_packed": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile(5))),
                    "exif_and_raw_profile": chunk(b"eXIf", exif_block(3)) + chunk(b"tEXt", b"Raw profile type exif\0" + profile(6)),
                    "exif_twice": chunk(b"eXIf", exif_block(3)) + chunk(b"eXIf", exif_block(6))}.items():
    case(f"{name}.png", still[:at] + extra + still[at:], keep=True)
case("exif_behind_data.png", still[:-12] + chunk(b"eXIf", exif_block(6)) + still[-12:])


# ---- TIFF, written here except the compressed files
def tiff(samples, photometric, bits=8, big=False, planar=1, form=1, extra=(), palette=b"", orientation=None, rows_per_strip=5, tile=None, fill=1, compression=1, pack=lambda b: b, bigtiff=False):
    """Writes samples (h, w, n) as a TIFF with strips or with square tiles."""
    e = ">" if big else "<"
    height, width, n = samples.shape

    def packed_rows(block):
        if bits < 8:
            return b"".join(packed(block.reshape(block.shape[0], -1), bits))
        kind = {(8, 1): "u1", (8, 2): "i1", (16, 1): "u2", (16, 2): "i2", (32, 1): "u4", (32, 2): "i4", (32, 3): "f4"}[bits, form]
        return np.ascontiguousarray(block).astype(e + kind).tobytes()
    planes = [samples] if planar == 1 else [samples[..., i:i + 1] for i in range(n)]
    pieces = []
    for plane in planes:
        if tile is None:
            pieces += [packed_rows(plane[y:y + rows_per_strip]) for y in range(0, height, rows_per_strip)]
        else:
            padded = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, plane.shape[2]), plane.dtype)
            padded[:height, :width] = plane
            pieces += [packed_rows(padded[y:y + tile, x:x + tile]) for y in range(0, height, tile) for x in range(0, width, tile)]
    if fill == 2:
        pieces = [bytes(int(format(b, "08b")[::-1], 2) for b in p) for p in pieces]
    pieces = [pack(p) for p in pieces]
    head = 16 if bigtiff else 8
    offsets, at = [], head
    for p in pieces:
        offsets.append(at)
        at += len(p)
    body = b"".join(pieces)
    tags = {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * n), 259: ("H", [compression]), 262: ("H", [photometric]), 277: ("H", [n]), 284: ("H", [planar])}
    if tile is None:
        tags.update({273: ("I", offsets), 278: ("I", [rows_per_strip]), 279: ("I", [len(p) for p in pieces])})
    else:
        tags.update({322: ("I", [tile]), 323: ("I", [tile]), 324: ("I", offsets), 325: ("I", [len(p) for p in pieces])})
    if form != 1:
        tags[339] = ("H", [form] * n)
    if fill != 1:
        tags[266] = ("H", [fill])
    if extra:
        tags[338] = ("H", list(extra))
    if len(palette):
        tags[320] = ("H", [int(v) for v in palette])
    if orientation is not None:
        tags[274] = ("H", [orientation])
    late, entries = b"", b""
    directory = at + at % 2
    body += bytes(at % 2)
    room = 8 if bigtiff else 4
    size = (8 + 20 * len(tags) + 8) if bigtiff else (2 + 12 * len(tags) + 4)
    for tag, (kind, values) in sorted(tags.items()):
        held = struct.pack(e + kind * len(values), *values)
        entries += struct.pack(e + ("HHQ" if bigtiff else "HHI"), tag, 4 if kind == "I" else 3, len(values))
        if len(held) <= room:
            entries += held + bytes(room - len(held))
        else:
            entries += struct.pack(e + ("Q" if bigtiff else "I"), directory + size + len(late))
            late += held + bytes(len(held) % 2)
    order = b"MM" if big else b"II"
    start = order + (struct.pack(e + "HHHQ", 43, 8, 0, directory) if bigtiff else struct.pack(e + "HI", 42, directory))
    return start + body + struct.pack(e + ("Q" if bigtiff else "H"), len(tags)) + entries + bytes(room) + late


grey = px[..., :1]
rgba = np.dstack([px, photo()[..., :1]])
cmyk = np.dstack([px, photo()[..., 1:2]])
wide = px.astype(int) * 257 - 99
lot = rng.integers(0, 65536, (1 << 8) * 3)
for big in (False, True):
    o = "big" if big else "little"
    for photometric, name in ((0, "white_is_zero"), (1, "black_is_zero")):
        for bits in (1, 2, 4, 8):
            case(f"tiff_{o}_grey_{bits}_{name}.tif", tiff(grey >> (8 - bits), photometric, bits, big))
    case(f"tiff_{o}_grey_16.tif", tiff(grey.astype(int) * 3, 1, 16, big))
    case(f"tiff_{o}_grey_16_signed.tif", tiff(grey.astype(int) * 3 - 200, 1, 16, big, form=2))
    case(f"tiff_{o}_grey_32_signed.tif", tiff(grey.astype(int) * 3 - 200, 1, 32, big, form=2))
    case(f"tiff_{o}_grey_float.tif", tiff(grey * 1.7 - 60, 1, 32, big, form=3))
    case(f"tiff_{o}_grey_alpha.tif", tiff(rgba[..., 2:], 1, 8, big, extra=(2,)))
    case(f"tiff_{o}_rgb.tif", tiff(px, 2, 8, big))
    case(f"tiff_{o}_rgb_16.tif", tiff(wide, 2, 16, big))
    case(f"tiff_{o}_rgba.tif", tiff(rgba, 2, 8, big, extra=(2,)))
    case(f"tiff_{o}_rgb_and_more.tif", tiff(np.dstack([rgba, grey]), 2, 8, big, extra=(0, 0)))
    case(f"tiff_{o}_rgba_associated.tif", tiff(rgba, 2, 8, big, extra=(1,)))
    case(f"tiff_{o}_rgba_16.tif", tiff(rgba.astype(int) * 257, 2, 16, big, extra=(2,)))
    case(f"tiff_{o}_cmyk.tif", tiff(cmyk, 5, 8, big))
    case(f"tiff_{o}_cmyk_16.tif", tiff(cmyk.astype(int) * 257, 5, 16, big))
    for bits in (1, 2, 4, 8):
        case(f"tiff_{o}_palette_{bits}.tif", tiff((full % (1 << bits))[..., None], 3, bits, big, palette=lot[:3 << bits]))
    case(f"tiff_{o}_planes.tif", tiff(px, 2, 8, big, planar=2))
    case(f"tiff_{o}_tiles.tif", tiff(px, 2, 8, big, tile=16))
    case(f"tiff_{o}_tiles_of_planes.tif", tiff(px, 2, 8, big, tile=16, planar=2))
    case(f"tiff_{o}_bigtiff.tif", tiff(px, 2, 8, big, bigtiff=True), want=px)
    case(f"tiff_{o}_deflate.tif", tiff(px, 2, 8, big, compression=8, pack=zlib.compress))
    for bits in (1, 4, 8):
        case(f"tiff_{o}_bits_reversed_{bits}.tif", tiff(grey >> (8 - bits), 1, bits, big, fill=2))
for value in range(0, 10):
    case(f"tiff_orientation_{value}.tif", tiff(photo(11, 7), 2, orientation=value))
    case(f"tiff_orientation_{value}_deflate.tif", tiff(photo(11, 7), 2, orientation=value, compression=8, pack=zlib.compress))
for compression in ("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "raw"):
    for mode in ("RGB", "L", "CMYK"):
        case(f"tiff_{compression}_{mode.lower()}.tif", encode(im.convert(mode), "TIFF", compression=compression))
for compression in ("group3", "group4", "tiff_ccitt"):
    case(f"tiff_{compression}.tif", encode(im.convert("1"), "TIFF", compression=compression))
for mode in ("RGB", "L", "CMYK"):
    case(f"tiff_jpeg_{mode.lower()}.tif", encode(im.convert(mode), "TIFF", compression="jpeg"))
case("tiff_ycbcr_lzw.tif", encode(im.convert("YCbCr"), "TIFF", compression="tiff_lzw"))
case("tiff_lzw_predictor.tif", encode(im, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}))
case("tiff_pages.tif", encode(im, "TIFF", save_all=True, append_images=[im.rotate(180)]))
refused("tiff_truncated.tif", encode(im, "TIFF")[:-300], MALFORMED, "truncated")
late = tiff(px, 2)
refused("tiff_directory_outside.tif", late[:300], MALFORMED, "truncated")
refused("tiff_damaged.tif", tiff(px, 2, compression=8, pack=lambda b: zlib.compress(b)[:10] + b"\xff" * 60), MALFORMED, "damaged")
refused("tiff_lab.tif", tiff(px, 8), UNSUPPORTED, "not supported", pillow=False)
refused("tiff_64_bits.tif", tiff(grey, 1, 8).replace(struct.pack("<HHIHH", 258, 3, 1, 8, 0), struct.pack("<HHIHH", 258, 3, 1, 64, 0)), UNSUPPORTED, "64 bits")

# ---- HEIC and AVIF
smooth = Image.fromarray(np.asarray(Image.fromarray(photo(6, 5)).resize((32, 24), Image.BICUBIC)))
edges = np.full((24, 32, 3), 110)
edges[:, 5::9] += np.array([130, -60, 0])
edges[:, 6::9] += np.array([130, -60, 0])
edges[7::5] += np.array([-60, 0, 120])
edges = Image.fromarray(np.clip(edges, 0, 255).astype(np.uint8))
turn = Image.Exif()
turn[0x112] = 6
for kind, ending, options in (("HEIF", "heic", [{}, {"chroma": 444}]), ("AVIF", "avif", [{}, {"subsampling": "4:4:4"}, {"subsampling": "4:2:2"}, {"subsampling": "4:0:0"}, {"range": "limited"}])):
    for more in options:
        case("_".join([ending] + [str(v).replace(":", "") for v in more.values()]) + f".{ending}", encode(smooth, kind, quality=80, **more), mean=2, most=16)
    case(f"{ending}_grey.{ending}", encode(smooth.convert("L"), kind, quality=80), mean=2, most=16)
    case(f"{ending}_alpha.{ending}", encode(smooth.convert("RGBA"), kind, quality=80), mean=2, most=16)
    case(f"{ending}_odd.{ending}", encode(smooth.crop((0, 0, 31, 23)), kind, quality=80), mean=2, most=16)
    for value in range(1, 9):
        exif = Image.Exif()
        exif[0x112] = value
        case(f"{ending}_orientation_{value}.{ending}", encode(smooth, kind, quality=80, exif=exif.tobytes()), mean=2, most=16)
    case(f"{ending}_colour_edges.{ending}", encode(edges, kind, quality=80), mean=2, most=16)
    # An odd side that moves to the front splits a block of subsampled chroma; a quarter turn of 4:2:2 makes rows of pairs of columns.
    for name, more in (("420", {}), ("422", {"chroma": 422} if kind == "HEIF" else {"subsampling": "4:2:2"})):
        for width, height in ((W, H), (W, H + 1), (W - 1, H)):
            for value in range(1, 9):
                if kind == "HEIF" and name == "422" and value == 3 and height != H:
                    continue  # pillow_heif shifts the chroma by a pixel: libheif looks at the height there, and the width counts
                exif = Image.Exif()
                exif[0x112] = value
                data = encode(edges.crop((0, 0, width, height)), kind, quality=80, exif=exif.tobytes(), **more)
                case(f"{ending}_{name}_{width}x{height}_orientation_{value}.{ending}", data, mean=2, most=16)
    case(f"{ending}_alpha_odd_turned.{ending}", encode(smooth.crop((0, 0, 31, 23)).convert("RGBA"), kind, quality=80, exif=turn.tobytes()), mean=2, most=16)
    whole = encode(smooth, kind, quality=80)
    refused(f"{ending}_truncated.{ending}", whole[:-200], MALFORMED, "truncated")
data = encode(edges.crop((0, 0, 31, 23)), "HEIF", quality=80, exif=turn.tobytes())  # stored with 64 x 64 pixels
clap, irot = data.index(b"clap") + 4, data.index(b"irot") + 4
for left, top in ((2, 2), (3, 2), (2, 3), (3, 3)):
    for angle in range(4):
        crop = struct.pack(">IIIIiIiI", W, 1, H, 1, 2 * left + W - 64, 2, 2 * top + H - 64, 2)
        turned = bytearray(data)
        turned[clap:clap + 32], turned[irot] = crop, angle
        case(f"heic_cropped_at_{left}_{top}_turned_{angle}.heic", bytes(turned), mean=2, most=16)
# Fully saturated colours: RGB is clipped there, so chroma has to be interpolated before the conversion to RGB. Both smooth and hard edges.
small = np.random.default_rng(0).integers(0, 2, (6, 8, 3)).astype(np.uint8) * 255
saturated = {"smooth": Image.fromarray(small).resize((24, 18), Image.BICUBIC), "hard": Image.fromarray(np.repeat(np.repeat(small, 3, 0), 3, 1))}
saturated = {k: v.crop((0, 0, 23, 17)) for k, v in saturated.items()}
for edge, picture in saturated.items():
    for value in (1, 6):
        exif = Image.Exif()
        exif[0x112] = value
        for name, more in (("420", {}), ("422", {"chroma": 422})):
            case(f"heic_{name}_saturated_{edge}_{value}.heic", encode(picture, "HEIF", quality=80, exif=exif.tobytes(), **more), mean=2, most=16)
        for name, more in (("420", {}), ("422", {"subsampling": "4:2:2"}), ("limited", {"range": "limited"})):
            case(f"avif_{name}_saturated_{edge}_{value}.avif", encode(picture, "AVIF", quality=80, exif=exif.tobytes(), **more), mean=2, most=16)
# The colour profile: other matrices and ranges, and none, so that the bitstream's is used.
for name, more in (("420", {}), ("444", {"subsampling": "4:4:4"})):
    data = encode(saturated["smooth"], "AVIF", quality=80, **more)
    at = data.index(b"nclx") + 8
    for matrix in (0, 1, 2, 4, 7, 8, 9, 12):
        for flag in (0, 0x80):
            if (matrix == 0 and name == "420") or (matrix == 8 and flag == 0):
                continue  # libavif refuses these
            case(f"avif_{name}_matrix_{matrix}_{'full' if flag else 'limited'}.avif", data[:at] + bytes([0, matrix, flag]) + data[at + 3:], mean=2, most=16)
for name, more in (("full", {}), ("limited", {"range": "limited"}), ("422", {"range": "limited", "subsampling": "4:2:2"})):
    data = encode(saturated["smooth"], "AVIF", quality=80, exif=turn.tobytes(), **more)
    case(f"avif_without_profile_{name}.avif", data.replace(b"colr", b"free", 1), mean=2, most=16)
case("avif_grey_limited.avif", encode(smooth.convert("L"), "AVIF", quality=80, range="limited"), mean=2, most=16)
ten = pillow_heif.from_bytes("RGB;16", smooth.size, (np.asarray(smooth).astype(np.uint16) * 257).tobytes())
data = io.BytesIO()
ten.save(data, quality=80)
case("heic_10_bits.heic", data.getvalue(), mean=2, most=16)

manifest = {"pillow": PIL.__version__, "pillow_heif": pillow_heif.__version__, "libheif": pillow_heif.libheif_version(), "libavif": features.version("avif"),
            "libtiff": features.version("libtiff"), "cases": cases}
(OUT / "variants.json").write_text(json.dumps(manifest).replace('{"name"', '\n{"name"') + "\n")
print(len(cases), "cases,", (OUT / "variants.json").stat().st_size, "bytes")
