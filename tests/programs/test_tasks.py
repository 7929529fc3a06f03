#!/usr/bin/env python3
"""End-to-end tests of pali detect, segment, caption, ask and eval.   usage: test_tasks.py PALI [-k NAME]"""
import base64
import json
import os
import pathlib
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

import test_pali
from test_pali import IMAGES, ROOT, SHAPES, run

if __name__ == "__main__":
    test_pali.PALI = os.path.abspath(sys.argv.pop(1))
SCENES = ROOT / "tests" / "data" / "scenes"
SAMPLE = IMAGES / "cross_and_ring.png"
PERPLEXITY_DELTA = 5e-6  # 16 times the largest difference between transformers in float32 and in float64, as in tests/golden


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


SCHEMA = json.loads((ROOT / "docs" / "results.schema.json").read_text())


def misfits(value, schema, at="$"):
    """Returns the violations of a JSON schema. Supports only the keywords that docs/results.schema.json uses."""
    assert not set(schema) - {"$schema", "title", "description", "type", "required", "additionalProperties", "properties", "items", "minItems", "maxItems", "minimum", "maximum", "enum", "pattern"}, schema
    kinds = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int}
    if "type" in schema and (not isinstance(value, kinds[schema["type"]]) or isinstance(value, bool)):
        return [f"{at}: {value!r} is no {schema['type']}"]
    wrong = []
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{at}: {value!r}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        wrong.append(f"{at}: {value!r}")
    if "minimum" in schema and value < schema["minimum"] or "maximum" in schema and value > schema["maximum"]:
        wrong.append(f"{at}: {value!r}")
    if schema.get("type") == "array":
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            wrong.append(f"{at}: {len(value)} items")
        wrong += [m for i, one in enumerate(value) for m in misfits(one, schema["items"], f"{at}[{i}]")]
    if schema.get("type") == "object":
        known = schema.get("properties", {})
        wrong += [f"{at}: no {key}" for key in schema.get("required", []) if key not in value]
        wrong += [f"{at}: {key} is unknown" for key in value if key not in known and schema.get("additionalProperties") is False]
        wrong += [m for key, one in value.items() if key in known for m in misfits(one, known[key], f"{at}.{key}")]
    return wrong


def grey(path):
    """Returns (width, height, rows) of a non-interlaced 8-bit grayscale PNG."""
    data, at, body = pathlib.Path(path).read_bytes(), 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        part = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", part[:10])
            assert (depth, colour) == (8, 0), (depth, colour)
        elif kind == b"IDAT":
            body += part
        at += 12 + size
    raw, rows = zlib.decompress(body), []
    for y in range(height):
        kind, row, above = raw[y * (width + 1)], bytearray(raw[y * (width + 1) + 1:(y + 1) * (width + 1)]), rows[-1] if rows else bytes(width)
        for x in range(width):
            a, b, c = row[x - 1] if x else 0, above[x], above[x - 1] if x else 0
            nearest = min((abs(b - c), a), (abs(a - c), b), (abs(a + b - 2 * c), c), key=lambda pair: pair[0])[1]
            row[x] = (row[x] + (0, a, b, (a + b) // 2, nearest)[kind]) % 256
        rows.append(bytes(row))
    return width, height, rows


def peak_memory(*words):
    """Returns (exit code, standard error, peak resident bytes) of the program. A small process starts it, because the peak includes that of
    the process that calls exec."""
    launch = "import os, sys; n = os.open('/dev/null', os.O_WRONLY); p = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, n, 1)]); _, s, u = os.wait4(p, 0); print(os.waitstatus_to_exitcode(s), u.ru_maxrss)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", launch, test_pali.PALI, *map(str, words)], capture_output=True, text=True, timeout=300)
    code, kilobytes = map(int, done.stdout.split())
    return code, done.stderr, kilobytes * 1024


class with_folder(unittest.TestCase):
    def setUp(self):
        self.holder = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.holder.name)
        self.out = self.folder / "out"

    def tearDown(self):
        self.holder.cleanup()

    def images(self, count):
        """Writes a folder with the scenes 0 to count - 1."""
        folder = self.folder / "images"
        folder.mkdir()
        for i in range(count):
            shutil.copy(SCENES / f"{i:03d}.png", folder)
        return folder


class one_image(with_folder):
    def test_without_options_the_sample_is_asked_about(self):
        for verb in ("detect", "segment"):
            done = run(verb)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"^red cross, x \d+ to \d+, y \d+ to \d+, \d+ %\n")
        self.assertEqual(run("caption").stdout, test_pali.CAPTION + "\n")
        self.assertEqual(run("ask").stdout, "two\n")
        self.assertEqual(run("ask", "--prompt", "what color is the background?").stdout, "teal\n")

    def test_the_prompt_follows_the_verb(self):
        said = lines(run("detect", "--prompt", "yellow ring", "--json"))[0]
        plain = json.loads(run("generate", "--prompt", "detect yellow ring", "--json").stdout)
        for key in ("text", "tokens", "logprobs", "prompt_tokens"):
            self.assertEqual(said[key], plain[key])
        german = json.loads(run("generate", "--prompt", "caption de", "--json").stdout)["prompt_tokens"]
        for option in ("--prompt", "--language"):
            self.assertEqual(lines(run("caption", option, "de", "--json"))[0]["prompt_tokens"], german)
        asked = lines(run("detect", "--prompt", "red cross", "--json"))[0]["prompt_tokens"]
        for written in ("detect red cross", "<image>detect red cross\n", "<bos>red cross"):
            self.assertEqual(lines(run("detect", "--prompt", written, "--json"))[0]["prompt_tokens"], asked)
        for task, written, whole in (("caption", "describe en", "describe en"), ("ask", "answer de was?", "answer de was?"), ("ask", "what?", "answer en what?")):
            self.assertEqual(lines(run(task, "--prompt", written, "--json"))[0]["prompt_tokens"], json.loads(run("generate", "--prompt", whole, "--json").stdout)["prompt_tokens"])

    def test_json_adds_objects(self):
        said = lines(run("segment", "--prompt", "red cross", "--json", "--out", self.out))[0]
        self.assertEqual(said["file"], str(SAMPLE))
        self.assertEqual(said["skipped"], 0)
        [o] = said["objects"]
        self.assertEqual((o["label"], list(o)), ("red cross", ["label", "score", "box", "mask"]))
        self.assertTrue(0 < o["score"] <= 1)
        x0, y0, x1, y1 = o["box"]
        width, height, rows = grey(o["mask"])
        self.assertEqual(pathlib.Path(o["mask"]).parent, self.out)
        inside = [(x, y) for y, row in enumerate(rows) for x, value in enumerate(row) if value == 255]
        self.assertTrue(inside)
        self.assertTrue(all(x0 - 1 < x < x1 and y0 - 1 < y < y1 for x, y in inside))
        self.assertTrue(x1 <= width and y1 <= height)
        self.assertTrue(all(value in (0, 255) for row in rows for value in row))

    def test_soft_masks_have_values_between(self):
        said = lines(run("segment", "--prompt", "red cross", "--json", "--masks", "soft", "--out", self.out))[0]
        self.assertGreater(len({value for row in grey(said["objects"][0]["mask"])[2] for value in row}), 10)

    def test_constrained_answers_name_what_was_asked_for(self):
        said = lines(run("detect", "--prompt", "green star ; red cross", "--constrained", "--json"))[0]
        self.assertEqual(said["skipped"], 0)
        self.assertLessEqual({o["label"] for o in said["objects"]}, {"green star", "red cross"})

    def test_a_image_is_drawn(self):
        done = run("detect", "--draw", "--out", self.out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.out / "cross_and_ring.drawn.png").read_bytes().startswith(b"\x89PNG"))


class many_images(with_folder):
    def test_files_folders_and_standard_input(self):
        folder = self.images(3)
        by_folder = lines(run("detect", "--prompt", "shape", "--image", folder, "--json"))
        self.assertEqual([one["file"] for one in by_folder], ["000.png", "001.png", "002.png"], "paths within the folder")
        self.assertEqual([one["file"] for one in lines(run("detect", "--prompt", "shape", "--image", folder / "000.png", folder, "--json"))],
                         [str(folder / "000.png"), *(str(folder / f"{i:03d}.png") for i in range(3))], "paths as they are given")
        names = [str(folder / f"{i:03d}.png") for i in range(3)]
        by_input = lines(run("detect", "--prompt", "shape", "--image", "-", "--json", stdin="\n".join(names) + "\n"))
        by_name = lines(run("detect", "--prompt", "shape", "--image", names[0], "--image", *names[1:], "--json"))
        together = lines(run("detect", "--prompt", "shape", "--image", folder, "--json", "--batch", 2))
        for other in (by_input, by_name, together):
            self.assertEqual([(pathlib.Path(o["file"]).name, o["tokens"], o["logprobs"], o["objects"]) for o in other], [(o["file"], o["tokens"], o["logprobs"], o["objects"]) for o in by_folder])
        self.assertTrue(run("caption", "--image", folder).stdout.startswith(f"{names[0]}: "))

    def test_what_is_skipped_in_a_folder_is_counted(self):
        folder = self.images(2)
        clean = run("caption", "--image", folder)
        self.assertEqual(clean.stderr, "")
        (folder / "notes.txt").write_text("none")
        (folder / "Thumbs.db").write_text("none")
        (folder / "._000.png").write_text("macOS's data about 000.png")
        (folder / "more" / "deep").mkdir(parents=True)
        shutil.copy(SCENES / "002.png", folder / "more" / "deep" / "UPPER.PNG")
        done = run("caption", "--image", folder)
        self.assertEqual((done.returncode, done.stdout), (0, clean.stdout))
        self.assertEqual(done.stderr, f"pali: {folder}: 2 images; skipped 2 other files, 1 macOS metadata file (._*) and 1 subfolder (--recursive reads subfolders)\n")
        deep = run("caption", "--image", folder, "--recursive")
        self.assertEqual([pathlib.Path(line.split(": ")[0]).name for line in deep.stdout.splitlines()], ["000.png", "001.png", "UPPER.PNG"])
        self.assertEqual(deep.stderr, f"pali: {folder}: 3 images; skipped 2 other files and 1 macOS metadata file (._*)\n")
        none = run("caption", "--image", folder / "more")
        self.assertEqual(none.returncode, 1)
        self.assertIn("without images; it contains 1 subfolder (--recursive", none.stderr)

    def test_what_a_folder_has_besides_readable_images_is_called_what_it_is(self):
        folder = self.images(1)
        os.mkfifo(folder / "pipe.png")
        (folder / "sub").mkdir()
        shutil.copy(SCENES / "002.png", folder / "sub")
        (folder / "linked").symlink_to(folder / "sub")
        besides = "1 pipe or device with an image file name", "1 link to a folder (not followed: pass the target folder)"
        done = run("caption", "--image", folder, "--recursive")
        self.assertEqual((done.returncode, done.stdout.count("\n"), done.stderr), (0, 2, f"pali: {folder}: 2 images; skipped {besides[0]} and {besides[1]}\n"))
        done = run("caption", "--image", folder)
        self.assertEqual(done.stderr, f"pali: {folder}: 1 image; skipped {besides[0]}, 1 subfolder (--recursive reads subfolders) and {besides[1]}\n")
        (folder / "pipe.png").unlink()
        (folder / "linked").unlink()
        shutil.rmtree(folder / "sub")
        (folder / "gone.png").symlink_to("/mnt/gone/001.png")
        for more in ([], ["--out", self.out], ["--out", self.out]):
            done = run("caption", "--image", folder, *more)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
            self.assertIn(f"{folder}/gone.png", done.stderr)

    def test_prompts_that_name_nothing_are_refused_and_verbs_are_understood(self):
        for verb in ("detect", "segment"):
            for prompt in (f"{verb} ", f"{verb.title()} ;", " ; ", "<image>", " "):
                done = run(verb, "--prompt", prompt)
                self.assertEqual((done.returncode, done.stdout), (2, ""), prompt)
                self.assertIn("has no label", done.stderr)
            plain = run(verb, "--prompt", "red cross").stdout
            for prompt in (f" {verb} red cross", f"{verb.title()} red cross", "red cross "):
                self.assertEqual(run(verb, "--prompt", prompt).stdout, plain, prompt)

    def test_a_missing_mask_decoder_is_asked_for_by_the_option(self):
        folder = self.folder / "model"
        shutil.copytree(SHAPES, folder, ignore=shutil.ignore_patterns("*.npz"))
        self.assertIn("--mask-decoder", run("segment", "--model", folder, "--prompt", "shape", "--image", SCENES / "000.png").stderr)

    def test_wrong_words_are_named_as_in_the_usage_line(self):
        for words, says in ((["collect"], "PARTS is required"), (["quantize"], "FROM is required"), (["eval"], "FOLDER is required")):
            self.assertIn(says, run(*words).stderr)
            self.assertIn(says.split()[0], run(*words, "--help").stdout.split("\n")[1])
        for word, meant in (("--temp", "--temperature"), ("--weigths", "--weights"), ("--hlep", None), ("--zzzz", None), ("--promt", "--prompt")):
            done = run("generate", word)
            self.assertEqual(done.returncode, 2)
            if meant is None:
                self.assertNotIn("did you mean", done.stderr)
            else:
                self.assertIn(f"did you mean {meant}?", done.stderr)

    @unittest.skipIf(os.geteuid() != 0, "only root can become nobody")
    def test_a_subfolder_that_cannot_be_read_is_passed_over(self):
        folder = self.images(2)
        for name in ("a/closed", "b"):
            (folder / name).mkdir(parents=True)
            shutil.copy(SCENES / "002.png", folder / name / "inner.png")
        for path in [self.folder, *self.folder.rglob("*")]:
            path.chmod(0o755)
        program = self.folder / "pali"
        shutil.copy(test_pali.PALI, program)
        shutil.copytree(SHAPES, self.folder / "models" / "shapes")

        def nobody():
            os.setgid(65534)
            os.setuid(65534)

        def asked(*words):
            self.out.mkdir(exist_ok=True)
            self.out.chmod(0o777)
            return subprocess.run([program, "caption", "--image", *map(str, words)], capture_output=True, text=True, preexec_fn=nobody, timeout=60,
                                  env={**os.environ, "PALI_MODELS": str(self.folder / "models")})

        whole = asked(folder, "--recursive")
        self.assertEqual((whole.returncode, whole.stderr, whole.stdout.count("\n")), (0, "", 4))
        (folder / "a" / "closed").chmod(0)
        done = asked(folder, "--recursive", "--out", self.out)
        (folder / "a" / "closed").chmod(0o755)
        self.assertEqual(done.returncode, 1, "an image is missing")
        self.assertEqual(done.stdout.splitlines(), [line for line in whole.stdout.splitlines() if "closed" not in line])
        self.assertEqual(done.stderr, f"pali: {folder}/a/closed: the folder cannot be read: Permission denied\npali: {folder}: 3 images; skipped 1 unreadable subfolder\n")
        self.assertEqual((self.out / "results.jsonl").read_text().count("\n"), 3)
        folder.chmod(0)
        done = asked(folder, "--recursive")
        folder.chmod(0o755)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
        self.assertIn(f"'{folder}': Permission denied", done.stderr)

    def test_results_are_those_of_the_upright_image(self):
        turned = ROOT / "tests" / "data" / "images" / "orientation_6.png"  # stored as 12 x 7
        for more, size in (([], (7, 12)), (["--keep-exif-orientation"], (12, 7))):
            out = self.folder / f"of {len(more)}"
            done = run("detect", "--prompt", "shape", "--image", turned, "--out", out, "--format", "coco", "labelme", "--draw", *more)
            self.assertEqual(done.returncode, 0, done.stderr)
            [image] = json.loads((out / "coco.json").read_text())["images"]
            self.assertEqual((image["width"], image["height"]), size)
            labelme = json.loads((out / "labelme" / "orientation_6.json").read_text())
            self.assertEqual((labelme["imageWidth"], labelme["imageHeight"]), size)
            [drawn] = [p for p in out.iterdir() if p.suffix == ".png"]
            self.assertEqual(struct.unpack(">II", drawn.read_bytes()[16:24]), size)
        kept = run("detect", "--prompt", "shape", "--image", turned, "--out", self.folder / "of 0")
        self.assertEqual(kept.returncode, 0)
        self.assertEqual(run("detect", "--prompt", "shape", "--image", turned, "--out", self.folder / "of 0", "--keep-exif-orientation").returncode, 2)

    def test_limits_are_raised_by_the_option_that_the_error_names(self):
        wide = self.folder / "wide.pgm"
        wide.write_bytes(b"P5 65501 1 255\n" + bytes(65501))
        done = run("caption", "--image", wide)
        self.assertEqual(done.returncode, 1)
        self.assertIn("a side may have at most 65500: raise --max-side", done.stderr)
        self.assertEqual(run("caption", "--image", wide, "--max-side", 65501).returncode, 0)
        done = run("generate", "--image", wide, "--max-side", 65501, "--max-pixels", 65500)
        self.assertEqual(done.returncode, 1)
        self.assertIn("raise --max-pixels", done.stderr)

    def test_a_wide_gif_is_refused_before_memory_is_taken(self):
        def gif(width, height):
            path = self.folder / f"{width}.gif"
            path.write_bytes(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff\xff\xff" + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00;")
            return path

        def peak(path, *more):  # images are read before the model is opened
            code, errors, most = peak_memory("generate", "--image", path, "--model", self.folder / "none", *more)
            self.assertEqual((code, errors.count("\n")), (1, 1), errors)
            return errors, most

        wide = gif(65535, 1500)
        read, least = peak(gif(1, 1))
        self.assertIn("none: no such", read)
        refused, most = peak(wide)
        self.assertIn("a side may have at most 65500: raise --max-side", refused)
        self.assertLess(most - least, 10e6)
        _, decoded = peak(wide, "--max-side", 65535, "--max-pixels", 65535 * 1500)
        self.assertGreater(decoded - least, 65535 * 1500, "the measure shows what decoding takes")

    def test_nothing_but_our_error_is_printed_about_a_damaged_avif(self):
        if "libaom" not in subprocess.run(["ldd", test_pali.PALI], capture_output=True, text=True).stdout:
            self.skipTest("libheif has no libaom here; dav1d prints")
        cases = {one["name"]: base64.b64decode(one["data"]) for one in json.loads((ROOT / "tests" / "data" / "image_variants" / "variants.json").read_text())["cases"]}
        order, refused = random.Random(2), 0
        cases["brand.heic"] = cases["avif.avif"].replace(b"avif", b"heic", 2)  # the brands
        for name in ("avif.avif", "avif_444.avif", "avif_400.avif", "brand.heic"):
            whole = cases[name]
            start = whole.index(b"mdat") + 4
            for turn in range(40):
                damaged = bytearray(whole)
                damaged[order.randrange(start, len(whole) if turn % 2 == 0 else start + 12)] = order.randrange(256)
                (self.folder / name).write_bytes(damaged)
                done = run("generate", "--image", self.folder / name, "--model", self.folder / "none")
                self.assertRegex(done.stderr, r"^pali: [^\n]*\n$")
                refused += "[pali.401]" in done.stderr
        self.assertGreater(refused, 10)

    def test_clipped_grey_is_reported(self):
        bright = self.folder / "bright.pgm"
        bright.write_bytes(b"P5 8 8 65535\n" + bytes(range(128)))
        done = run("caption", "--image", bright)
        self.assertEqual(done.returncode, 0)
        self.assertIn("clipped", done.stderr)

    def test_a_broken_image_is_said_and_passed_over(self):
        folder = self.images(2)
        (folder / "000.png").write_bytes((folder / "000.png").read_bytes()[:500])
        done = run("detect", "--prompt", "shape", "--image", folder, self.folder / "none.png", "--json")
        self.assertEqual((done.returncode, [pathlib.Path(o["file"]).name for o in lines(done)]), (1, ["001.png"]))
        self.assertIn("000.png", done.stderr)
        self.assertIn("none.png", done.stderr)

    def test_results_are_kept_and_gone_on_with(self):
        folder = self.images(4)
        words = ["segment", "--prompt", "shape", "--image", folder, "--out", self.out, "--format", "coco", "--format", "yolo", "labelme"]
        whole = run(*words)
        self.assertEqual((whole.returncode, whole.stderr), (0, ""))
        def files():
            return {p.relative_to(self.out).as_posix(): p.read_bytes() for p in self.out.rglob("*") if p.is_file() and ".pali" not in p.parts}

        kept = files()
        self.assertLessEqual({"results.jsonl", "coco.json", "data.yaml", "labels/000.txt", "images/001.png", "labelme/003.json", "002.mask1.png"}, set(kept))
        self.assertEqual(run(*words).stdout, "")  # nothing left to do
        self.assertEqual(files(), kept)

        shutil.rmtree(self.out)  # as if stopped after two images, in the middle of a line
        self.assertEqual(run(*words[:4], folder / "000.png", folder / "001.png", *words[5:]).returncode, 0)
        with open(next((self.out / ".pali" / "answers").iterdir()), "a") as file:
            file.write('{"key": "cut o')
        self.assertEqual(run(*words).returncode, 0)
        self.assertEqual(files(), kept)

        for other in (["--max-tokens", "7"], ["--num-beams", "2"], ["--temperature", "1", "--seed", "5"], ["--kv-cache", "bf16"]):
            self.assertEqual(run(*words, *other).returncode, 2, other)

        other = run("segment", "--prompt", "circle", *words[3:])
        self.assertEqual(other.returncode, 2)
        self.assertIn("another", other.stderr)

    def test_images_of_one_name_keep_their_files_from_run_to_run(self):
        folders = [self.folder / "a", self.folder / "b", self.folder / "c"]
        for i, folder in enumerate(folders):
            folder.mkdir()
            shutil.copy(SCENES / f"{i:03d}.png", folder / "one.png")
        shutil.copy(SCENES / "003.png", folders[2] / "classes.png")
        words = ["detect", "--prompt", "shape", "--out", self.out, "--format", "yolo", "--image"]
        self.assertEqual(run(*words, folders[0]).returncode, 0)
        def boxes():
            names = (self.out / "data.yaml").read_text().split("names:\n")[1].splitlines()
            return [[names[int(line.split()[0])].split(": ")[1], *line.split()[1:]] for line in (self.out / "labels" / "one.txt").read_text().splitlines()]

        first = boxes()
        self.assertEqual(run(*words, folders[0], folders[1]).returncode, 0)
        self.assertEqual(run(*words, folders[1], folders[2]).returncode, 0)
        self.assertEqual(boxes(), first, "classes are numbered anew, by all images; the names stay")
        self.assertEqual({p.relative_to(self.out).as_posix() for p in self.out.rglob("*") if p.is_file() and ".pali" not in p.parts},
                         {"results.jsonl", "data.yaml", *(f"labels/{name}.txt" for name in ("one", "one-2", "one-3", "classes")), *(f"images/{name}.png" for name in ("one", "one-2", "one-3", "classes"))})

    def test_files_hold_what_was_said(self):
        folder = self.images(3)
        said = lines(run("segment", "--prompt", "shape", "--image", folder, "--out", self.out, "--format", "coco", "yolo", "--json"))
        kept = [json.loads(line) for line in (self.out / "results.jsonl").read_text().splitlines()]
        coco = json.loads((self.out / "coco.json").read_text())
        self.assertEqual([o["file"] for o in kept], [o["file"] for o in said])
        self.assertEqual([o["file_name"] for o in coco["images"]], [o["file"] for o in said])
        self.assertEqual(len(coco["annotations"]), sum(len(o["objects"]) for o in said))
        for a, b in zip(kept, said):
            self.assertEqual([o["label"] for o in a["objects"]], [o["label"] for o in b["objects"]])
            self.assertEqual(len((self.out / "labels" / (pathlib.Path(b["file"]).stem + ".txt")).read_text().splitlines()), len(b["objects"]))

    def test_printed_and_kept_answers_have_the_schema_that_is_documented(self):
        folder = self.images(3)
        for task in (["detect", "--prompt", "shape"], ["segment", "--prompt", "shape"], ["caption"], ["ask", "--prompt", "how many shapes are there?"], ["detect", "--max-tokens", "3"]):
            out = self.folder / " ".join(task)
            said = lines(run(*task, "--image", folder, "--out", out, "--json"))
            kept = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
            self.assertEqual([m for one in said + kept for m in misfits(one, SCHEMA)], [])
            self.assertEqual((len(said), len(kept)), (3, 3))
            for a, b in zip(said, kept):
                for o in a.get("objects", []):
                    if "mask" in o:
                        o["mask"] = os.path.relpath(o["mask"], out)
                self.assertEqual({key: a[key] for key in b}, b)
        self.assertTrue(misfits({"file": 1, "width": 0, "extra": 2}, SCHEMA))

    def test_captions_are_kept_too(self):
        folder = self.images(2)
        said = lines(run("caption", "--image", folder, "--out", self.out, "--json"))
        self.assertEqual([json.loads(line)["text"] for line in (self.out / "results.jsonl").read_text().splitlines()], [o["text"] for o in said])

    def test_an_interrupt_leaves_whole_lines(self):
        process = subprocess.Popen([test_pali.PALI, "segment", "--prompt", "shape", "--image", self.images(200), "--out", self.out, "--format", "coco"], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        kept = [json.loads(line) for line in (self.out / "results.jsonl").read_text().splitlines()]
        self.assertTrue(0 < len(kept) < 200)
        self.assertEqual(len(json.loads((self.out / "coco.json").read_text())["images"]), len(kept))


def on_a_terminal(*words, stream, code=0, **environment):
    """Returns the program's output to a pseudo-terminal that is its standard output or standard error."""
    ours, theirs = pty.openpty()
    other = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: theirs}
    process = subprocess.Popen([test_pali.PALI, *map(str, words)], stdin=subprocess.DEVNULL, env={**os.environ, "TMUX": "", **environment}, **other)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:  # Linux reports the end of a pseudo-terminal as EIO
        pass
    os.close(ours)
    assert process.wait() == code
    return shown.decode()


class terminal(with_folder):
    def test_how_far_it_is_and_how_long_it_will_take(self):
        shown = on_a_terminal("detect", "--prompt", "shape", "--image", self.images(4), stream="stderr")
        self.assertIn("0 of 4 images\r", shown)
        self.assertRegex(shown, r"3 of 4 images, 0 min \d+ s left\r")
        self.assertTrue(shown.endswith(" \r"), "it erases itself")

    def test_a_image_is_shown_in_what_the_terminal_has(self):
        blocks = on_a_terminal("detect", "--draw", stream="stdout", TERM="xterm-256color", COLORTERM="truecolor")
        self.assertIn("red cross, x ", blocks)
        self.assertIn("\x1b[38;2;", blocks)
        self.assertIn("\u2580", blocks)
        self.assertIn("\x1b_Ga=T", on_a_terminal("detect", "--draw", stream="stdout", TERM="xterm-kitty"))
        self.assertIn("\x1bP", on_a_terminal("detect", "--draw", stream="stdout", TERM="foot"))


class wrong_use(with_folder):
    def refuse(self, *words, says, code=2):
        done = run(*words)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (code, "", 1), (words, done.stderr))
        for part in says:
            self.assertIn(part, done.stderr, words)

    def test_what_is_wrong_is_said(self):
        self.refuse("detect", "--model", SHAPES, says=["--prompt"])
        self.refuse("detect", "--format", "coco", says=["--out"])
        self.refuse("detect", "--format", "voc", "--out", self.out, says=["voc", "coco", "yolo", "labelme"])
        self.refuse("detect", "--draw", says=["--draw", "--out"])
        self.refuse("detect", "--merge", "2", says=["--merge"])
        self.refuse("detect", "--loc-divisor", "1000", says=["1000", "1023"])
        for option in ("--model", "--prompt", "--out", "--shard", "--image"):
            self.refuse("detect", option, "", says=[f"{option} is empty"])
        self.refuse("detect", "--prompt", "segment cat", says=["segment cat"])
        self.refuse("detect", "--prompt", "cat <image>", says=["<image>"])
        self.refuse("caption", "--prompt", "a cat", says=["a cat", "caption en"])
        for option, value in (("--seed", "-1"), ("--seed", "18446744073709551616"), ("--seed", "0x10"), ("--max-tokens", "1e2"), ("--max-tokens", "7 "), ("--temperature", "nan"), ("--temperature", "1e-39"), ("--temperature", "inf"),
                              ("--top-p", "0x1p-1"), ("--threads", "-1"), ("--batch", "0"), ("--merge", "nan"), ("--loc-divisor", "02000")):
            self.refuse("detect", f"{option}={value}", says=[option, value])
            self.assertEqual(run("detect", f"{option}={value}").stderr.count("\n"), 1)
        self.assertEqual(lines(run("detect", "--max-tokens", "010", "--json"))[0]["finish_reason"], "length", "ten, not eight")
        self.assertEqual(len(lines(run("detect", "--max-tokens", "010", "--json"))[0]["tokens"]), 10)
        self.refuse("detect", "--prompt", " ; ", "--constrained", says=["has no label"])
        self.refuse("segment", "--masks", "none", says=["none", "hard", "soft"])
        self.refuse("segment", "--mask-decoder", "none.npz", says=["none.npz"], code=1)
        self.refuse("detect", "--image", self.folder, says=["without images"], code=1)
        self.refuse("eval", says=["FOLDER"])
        self.refuse("eval", self.folder, says=["scenes.json"], code=1)

    def test_the_size_of_a_scene_is_that_of_its_image(self):
        scenes = json.loads((SCENES / "scenes.json").read_text())[:2]
        for one in scenes:
            shutil.copy(SCENES / one["image"], self.folder)
        for size, said in ((111, "001.png: is 112 x 112 pixels, but its size in scenes.json is 111"), (0, "scenes.json: scene 2 (counting from 1) has the size 0"), (-112, "has the size -112"), (112.5, "has the size 112.5"),
                           ("112", 'has the size "112"'), (10 ** 9, "has the size 1000000000"), (112, None)):
            scenes[1].update(size=size, mask=[1, 2])
            (self.folder / "scenes.json").write_text(json.dumps(scenes))
            if said:
                self.refuse("eval", self.folder, says=[said], code=1)
            else:
                self.assertEqual(run("eval", self.folder).returncode, 0)


class eval_figures(unittest.TestCase):
    """`pali eval` on the embedded model gives the scores of transformers with the same weights."""

    def test_they_are_those_of_transformers(self):
        figures = json.loads(run("eval", SCENES, "--json", "--perplexity", "--weights", "f32").stdout)
        want = json.loads((SCENES / "transformers.json").read_text())
        perplexity = want.pop("perplexity")
        for name, value in want.items():
            self.assertAlmostEqual(figures[name], value, delta=0.005, msg=name)
        self.assertEqual((figures["scenes"], figures["same_answers"]), (200, 1))
        self.assertEqual(list(figures["perplexity"]), list(perplexity))
        for name, value in perplexity.items():
            self.assertAlmostEqual(figures["perplexity"][name], value, delta=PERPLEXITY_DELTA, msg=name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
