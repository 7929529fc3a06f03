#!/usr/bin/env python3
"""Tests many images, many processes, interruptions and failures.   usage: test_many.py PALI [-k NAME]"""
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest
import zlib

import test_pali
import test_tasks
from test_pali import run
from test_tasks import SCENES, with_folder

if __name__ == "__main__":
    test_pali.PALI = os.path.abspath(sys.argv.pop(1))
LEASE = 3  # seconds; the default of a minute would slow the tests down
INTERRUPTED_RUNS = int(os.environ.get("PALI_TEST_INTERRUPTED_RUNS", 12))  # for each of three signals


def files_in(folder):
    """Returns the contents of all result files, without the state in .pali."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and ".pali" not in p.parts}


def answers_in(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


class with_many(with_folder):
    def many(self, count, name="images"):
        folder = self.folder / name
        folder.mkdir()
        for i in range(count):
            os.link(SCENES / f"{i % 200:03d}.png", folder / f"{i:05d}.png") if os.stat(SCENES).st_dev == os.stat(folder).st_dev else shutil.copy(SCENES / f"{i % 200:03d}.png", folder / f"{i:05d}.png")
        return folder

    def start(self, *words, **environment):
        return subprocess.Popen([test_pali.PALI, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "PALI_LEASE_SECONDS": str(LEASE), **environment})

    def succeeds(self, *words, **more):
        done = run(*words, errors="surrogateescape", **more)
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        return done


class one_folder(with_many):
    def test_eight_processes_killed_and_stopped_give_what_one_gives(self):
        images = self.many(2000)
        words = ["detect", "--prompt", "red cross ; yellow ring", "--image", images, "--format", "coco", "--threads", "1"]
        self.succeeds(*words, "--out", self.folder / "alone")
        order = random.Random(5)
        shared = [*words, "--out", self.out]
        processes = [self.start(*shared) for _ in range(8)]
        time.sleep(1)
        stopped = processes.pop()
        stopped.send_signal(signal.SIGSTOP)
        since = time.monotonic()
        killed = 0
        while time.monotonic() - since < 2 * LEASE or killed < 8:
            time.sleep(order.uniform(0.1, 1))
            victim = order.choice(processes)
            if victim.poll() is None:
                victim.kill()
                victim.communicate()
                processes.remove(victim)
                processes.append(self.start(*shared))
            killed += 1
        stopped.send_signal(signal.SIGCONT)
        for process in [*processes, stopped]:
            errors = process.communicate(timeout=300)[1]
            self.assertEqual((process.returncode, errors), (0, ""))
        found = answers_in(self.out)
        self.assertEqual((len(found), len({one["file"] for one in found})), (2000, 2000))
        self.assertEqual(files_in(self.out), files_in(self.folder / "alone"))
        self.assertEqual((list((self.out / ".pali" / "claims").iterdir()), list((self.out / ".pali" / "processes").iterdir())), ([], []))

    def test_claims_that_dead_processes_left_are_removed(self):
        images = self.many(3)
        long = "image-" + "x" * 200 + ".png"  # its claim has a hash
        shutil.copy(SCENES / "007.png", images / long)
        words = ["detect", "--prompt", "shape", "--image", images, "--out", self.out]
        self.succeeds(*words)
        claims = self.out / ".pali" / "claims"
        for name in ("images%2F00000.png", "images%2F00001.png", "images%2F00001.png~1", "images%2F00001.png~2", "images%2F" + "x" * 170 + "~0123456789012345"):
            (claims / name).write_text("another-machine-1-0123456789abcdef")  # recorded an answer, and was killed
        (self.out / ".pali" / "written").unlink()
        self.succeeds(*words)
        self.assertEqual(list(claims.iterdir()), [])
        self.assertEqual(len(answers_in(self.out)), 4)

    def test_memory_does_not_grow_with_answers(self):
        images = self.many(6)
        words = ["segment", "--prompt", "shape", "--image", images, "--out", self.out, "--format", "coco"]
        self.succeeds(*words)
        [file] = (self.out / ".pali" / "answers").iterdir()
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        answers = [line for line in lines if "answer" in line]

        def peak(count):
            with open(file, "w") as to:
                for line in [*(line for line in lines if "answer" not in line), *({**answers[i % 6], "key": f"images/{i:05d}.png", "at": f"../images/{i:05d}.png", "given": f"{i:05d}.png"} for i in range(count))]:
                    to.write(json.dumps(line, separators=(",", ":")) + "\n")
            (self.out / ".pali" / "written").unlink()
            code, errors, most = test_tasks.peak_memory(*words)
            self.assertEqual((code, errors), (0, ""))
            coco = json.loads((self.out / "coco.json").read_text())
            self.assertEqual((len(answers_in(self.out)), len(coco["images"]), len(coco["annotations"])), (count, count, count // 6 * sum(len(one["answer"]["objects"]) for one in answers)))
            return most

        few, many = peak(6), peak(18_000)
        self.assertLess(many - few, 18_000 * 1000)  # names and ids; was 10 KB per answer when coco.json was built in memory

    def test_a_process_waits_for_what_another_holds_and_takes_over_what_the_dead_held(self):
        images = self.many(2)
        words = ["detect", "--prompt", "shape", "--image", images, "--out", self.out]
        state = self.out / ".pali"
        for folder in ("claims", "processes"):
            (state / folder).mkdir(parents=True)
        (state / "processes" / "elsewhere-1-0").write_text("another machine\n")  # counts as alive: written just now
        (state / "claims" / "images%2F00000.png").write_text("elsewhere-1-0")
        began = time.monotonic()
        process = self.start(*words)
        self.assertEqual(process.communicate(timeout=60)[1], "")
        self.assertEqual(process.returncode, 0)
        self.assertGreater(time.monotonic() - began, LEASE * 0.8)
        self.assertEqual(len(answers_in(self.out)), 2)

    def test_interrupted_runs_end_as_one_that_was_not(self):
        images = self.many(60)
        words = ["segment", "--prompt", "shape", "--image", images, "--format", "coco,yolo,labelme", "--draw", "--threads", "1"]
        self.succeeds(*words, "--out", self.folder / "alone")
        whole = files_in(self.folder / "alone")
        order = random.Random(7)
        for signal_sent in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
            out = self.folder / signal_sent.name
            for _ in range(INTERRUPTED_RUNS):
                process = self.start(*words, "--out", out)
                time.sleep(order.uniform(0, 0.25))
                process.send_signal(signal_sent)
                process.communicate(timeout=60)
            self.succeeds(*words, "--out", out)
            there = files_in(out)
            there["data.yaml"] = there["data.yaml"].replace(bytes(out), bytes(self.folder / "alone"))
            self.assertEqual(there, whole, signal_sent)

    def test_another_format_and_drawings_are_made_from_answers(self):
        images = self.many(5)
        words = ["segment", "--prompt", "shape", "--image", images]
        everything = ["--format", "coco", "--format", "yolo,labelme", "--draw"]
        self.succeeds(*words, *everything, "--out", self.folder / "together")
        self.succeeds(*words, "--out", self.out)
        for more in everything[:2], everything[2:4], everything[4:]:
            self.assertEqual(self.succeeds(*words, *more, "--out", self.out).stdout, "", "no model is asked")
        there, together = files_in(self.out), files_in(self.folder / "together")
        there["data.yaml"] = there["data.yaml"].replace(bytes(self.out), bytes(self.folder / "together"))
        self.assertEqual(there, together)
        (self.out / "00003.drawn.png").unlink()
        self.succeeds(*words, "--draw", "--out", self.out)
        self.assertEqual((self.out / "00003.drawn.png").read_bytes(), together["00003.drawn.png"])

    def test_images_that_come_later_are_added(self):
        images = self.many(3)
        words = ["detect", "--prompt", "shape", "--image", images, "--format", "coco", "--out", self.out]
        self.succeeds(*words)
        shutil.copy(SCENES / "100.png", images / "00000b.png")
        self.succeeds(*words[:-4], "--out", self.out)  # coco.json is kept up to date even if not requested again
        self.assertEqual([one["file"] for one in answers_in(self.out)], ["00000.png", "00000b.png", "00001.png", "00002.png"])
        self.assertEqual([one["file_name"] for one in json.loads((self.out / "coco.json").read_text())["images"]], ["00000.png", "00000b.png", "00001.png", "00002.png"])

    def test_a_image_that_fails_is_named_once_and_tried_again_in_the_next_run(self):
        images = self.many(3)
        whole = (images / "00001.png").read_bytes()
        (images / "00001.png").unlink()
        (images / "00001.png").write_bytes(whole[:200])
        words = ["caption", "--image", images, "--out", self.out]
        for _ in range(2):
            done = run(*words)
            self.assertEqual((done.returncode, done.stderr.count("00001.png")), (1, 1))
        self.assertEqual(len(answers_in(self.out)), 2)
        (images / "00001.png").write_bytes(whole)
        self.succeeds(*words)
        self.assertEqual(len(answers_in(self.out)), 3)


class moved(with_many):
    """Tests of results and image folders that were moved."""

    def setUp(self):
        super().setUp()
        self.words = ["segment", "--prompt", "shape", "--format", "coco,yolo,labelme", "--draw", "--threads", "1"]

    def runs(self, *words, answering=0, code=0, stderr=""):
        done = run(*words)
        self.assertEqual((done.returncode, done.stderr), (code, stderr))
        self.assertEqual(len({line.split(": ")[0] for line in done.stdout.splitlines()}), answering, done.stdout)

    def check(self, out, files):
        """Checks that each image occurs once in every file and that no link is broken."""
        self.assertEqual([one["file"] for one in answers_in(out)], files)
        self.assertEqual([one["file_name"] for one in json.loads((out / "coco.json").read_text())["images"]], files)
        for link in (out / "images").rglob("*.*"):
            self.assertTrue(link.exists(), link)

    def test_results_and_images_may_be_moved(self):
        images = self.many(5)
        names = [f"{i:05d}.png" for i in range(5)]
        self.runs(*self.words, "--image", images, "--out", self.out, answering=5)
        whole = {name: data for name, data in files_in(self.out).items() if name.endswith((".png", "jsonl", "coco.json", ".txt"))}
        deep = self.folder / "a" / "b"
        deep.mkdir(parents=True)
        self.out.rename(deep / "out")
        self.runs(*self.words, "--image", images, "--out", deep / "out")
        self.check(deep / "out", names)
        (self.folder / "mnt").mkdir()
        images.rename(self.folder / "mnt" / "images")
        self.runs(*self.words, "--image", self.folder / "mnt" / "images", "--out", deep / "out")
        self.check(deep / "out", names)
        shutil.copytree(self.folder / "mnt" / "images", images)  # without the times, next to the original: the same folder as seen by another machine
        for place in (images, self.folder / "mnt" / "images", images):
            self.runs(*self.words, "--image", place, "--out", deep / "out")
            self.check(deep / "out", names)
        shutil.copy(SCENES / "020.png", images / "00009.png")
        self.runs(*self.words, "--image", images, "--out", deep / "out", answering=1)
        self.check(deep / "out", [*names, "00009.png"])
        self.assertEqual({name: data for name, data in files_in(deep / "out").items() if name in whole and "/" not in name and name.endswith(".png")}, {name: data for name, data in whole.items() if "/" not in name and name.endswith(".png")})

    def test_two_machines_that_see_the_images_at_other_paths_work_together(self):
        images = self.many(60)
        shutil.copytree(images, self.folder / "mnt" / "images", copy_function=shutil.copy2)
        places = [images, self.folder / "mnt" / "images"]
        words = ["segment", "--prompt", "shape", "--threads", "1", "--format", "coco", "--draw"]
        self.succeeds(*words, "--image", images, "--out", self.folder / "alone")
        processes = [self.start(*words, "--image", places[i % 2], "--out", self.out) for i in range(4)]
        self.assertEqual([(p.communicate(timeout=120)[1], p.returncode) for p in processes], [("", 0)] * 4)
        self.assertEqual(files_in(self.out), files_in(self.folder / "alone"))
        lines = [json.loads(line) for file in (self.out / ".pali" / "answers").iterdir() for line in file.read_text().splitlines()]
        self.assertEqual(len([line for line in lines if "answer" in line]), 60)

    def test_another_folder_of_the_same_name_is_not_taken_for_it(self):
        side = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 24, 0, 192, 0, 0, 0, 0)
        def bmp(path, colour):  # same file size for any color
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"BM" + struct.pack("<IHHI", 246, 0, 0, 54) + side + bytes(colour) * 64)
        train, val = self.folder / "train" / "img", self.folder / "val" / "img"
        for i in range(3):
            bmp(train / f"{i}.bmp", [i, 0, 0])
            bmp(val / f"{i}.bmp", [0, 9, i])
        bmp(val / "2.bmp", [2, 0, 0])  # identical to the one in train
        os.utime(val / "1.bmp", ns=(os.stat(train / "1.bmp").st_atime_ns, os.stat(train / "1.bmp").st_mtime_ns))
        words = ["caption", "--out", self.out]
        both = [f"{folder}/{i}.bmp" for folder in (train, val) for i in range(3)]
        for order in ([train, val], [val, train]):  # in one run they stay separate, in either order
            out = self.folder / f"first {order[0].parent.name}"
            images = [word for folder in order for word in ("--image", folder)]
            self.runs("caption", *images, "--out", out, answering=6)
            self.runs("caption", *images, "--out", out)
            (out / "deep").mkdir()
            out.rename(self.folder / "moved")
            self.runs("caption", *images[2:], *images[:2], "--out", self.folder / "moved")
            self.assertEqual([one["file"] for one in answers_in(self.folder / "moved")], both)
            (self.folder / "x").mkdir(exist_ok=True)
            (self.folder / "moved").rename(self.folder / "x" / out.name)
            self.runs("caption", *images[2:], *images[:2], "--out", self.folder / "x" / out.name)
            self.assertEqual([one["file"] for one in answers_in(self.folder / "x" / out.name)], both)
        self.runs(*words, "--image", train, answering=3)
        bmp(val / "2.bmp", [3, 3, 3])
        self.runs(*words, "--image", val, answering=3)  # both folders exist, so these are other images
        self.assertEqual([one["file"] for one in answers_in(self.out)], both)
        shutil.rmtree(self.out)
        self.runs(*words, "--image", train, answering=3)
        before = files_in(self.folder)
        train.parent.rename(self.folder / "gone")
        done = run(*words, "--image", val)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn(str(val / "0.bmp"), done.stderr)
        self.assertIn(str(train / "0.bmp"), done.stderr)
        (self.folder / "gone").rename(train.parent)
        self.assertEqual(files_in(self.folder), before)

    def test_a_image_that_has_changed_is_answered_anew(self):
        images = self.many(4)
        for image in images.iterdir():  # they may be links to test data
            data = image.read_bytes()
            image.unlink()
            image.write_bytes(data)
        self.runs(*self.words, "--image", images, "--out", self.out, answering=4)
        other = next(i for i in range(4, 200) if len(test_tasks.lines(run("detect", "--json", "--prompt", "shape", "--image", SCENES / f"{i:03d}.png"))[0]["objects"]) == 1)
        (images / "00000.png").write_bytes((SCENES / f"{other:03d}.png").read_bytes())
        os.utime(images / "00001.png")  # new time, same content
        self.runs(*self.words, "--image", images, "--out", self.out, answering=1, stderr="pali: note: 1 image had changed since the last answer; new answers replace the old ones\n")
        self.runs(*self.words, "--image", images, "--out", self.out)
        self.check(self.out, [f"{i:05d}.png" for i in range(4)])
        self.succeeds(*self.words, "--image", images, "--out", self.folder / "alone")
        there, alone = files_in(self.out), files_in(self.folder / "alone")
        there["data.yaml"] = there["data.yaml"].replace(bytes(self.out), bytes(self.folder / "alone"))
        self.assertEqual(there, alone)


class restored(with_many):
    def test_masks_and_drawings_that_are_lost_are_made_again(self):
        images = self.many(5)
        for how in ("hard", "soft"):
            out = self.folder / how
            words = ["segment", "--prompt", "shape", "--image", images, "--out", out, "--masks", how]
            self.succeeds(*words, "--draw", "--format", "coco,yolo,labelme")
            whole = files_in(out)
            (out / "00001.mask1.png").unlink()
            (out / "00002.drawn.png").unlink()
            (out / "00003.mask1.png").write_bytes(b"")
            (out / "00004.drawn.png").write_bytes(b"")
            (out / "coco.json").write_bytes(b"")
            done = self.succeeds(*words)
            self.assertEqual(len({line.split(": ")[0] for line in done.stdout.splitlines()}), 0 if how == "hard" else 2)
            self.assertEqual(files_in(out), whole)

    def test_a_record_that_is_cut_off_does_not_make_files_the_users(self):
        images = self.many(5)
        words = ["segment", "--prompt", "shape", "--image", images, "--out", self.out, "--draw", "--format", "coco,yolo,labelme"]
        self.succeeds(*words)
        whole = files_in(self.out)
        for folders in (["answers"], ["files"], ["answers", "files"]):
            for folder in folders:
                for file in (self.out / ".pali" / folder).iterdir():
                    os.truncate(file, max(0, file.stat().st_size - 30))
            self.succeeds(*words)
            self.assertEqual(files_in(self.out), whole)

    def test_a_refused_run_leaves_nothing(self):
        images = self.many(2)
        (self.out / "labels").mkdir(parents=True)
        (self.out / "labels" / "00001.txt").write_text("mine")
        words = ["detect", "--image", images, "--out", self.out]
        done = run(*words, "--prompt", "shape", "--format", "yolo")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(sorted(p.name for p in self.out.rglob("*")), ["00001.txt", "labels"])
        self.succeeds(*words, "--prompt", "red cross")
        self.assertEqual(len(answers_in(self.out)), 2)
        shutil.copy(SCENES / "150.png", images / "00009.png")
        shutil.rmtree(self.out / "labels")
        self.succeeds(*words, "--prompt", "red cross", "--format", "yolo")
        shutil.copy(SCENES / "151.png", images / "00010.png")
        (self.out / "labels" / "00010.txt").write_text("mine")
        done = run(*words, "--prompt", "red cross")  # label files are kept up to date
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("labels/00010.txt", done.stderr)

    def test_a_folder_without_answers_may_be_asked_another_question(self):
        images = self.many(1)
        (images / "00000.png").unlink()
        (images / "00000.png").write_bytes(b"no image")
        words = ["detect", "--image", images, "--out", self.out]
        self.assertEqual(run(*words, "--prompt", "shape").returncode, 1)
        (images / "00000.png").write_bytes((SCENES / "000.png").read_bytes())
        self.succeeds(*words, "--prompt", "red cross")
        done = run(*words, "--prompt", "shape")
        self.assertEqual(done.returncode, 2)
        self.assertIn("another question", done.stderr)


class names(with_many):
    def test_names_that_are_equal_but_for_the_extension_get_the_same_files_from_any_number_of_processes(self):
        folder = self.folder / "images"
        folder.mkdir()
        for i, name in enumerate(["a.PNG", "a.png", "a.bmp", "a.jpg", "a-2.png", "b.png", "b.PNG", "b-2.png", "b-3.png", "L" * 246 + ".png", "\u00fc" * 124 + ".png"]):
            shutil.copy(SCENES / f"{i:03d}.png", folder / name)
        words = ["segment", "--prompt", "shape", "--image", folder, "--threads", "1", "--draw", "--format", "coco,labelme"]
        self.succeeds(*words, "--out", self.folder / "alone")
        alone = files_in(self.folder / "alone")
        self.assertEqual(len([name for name in alone if ".drawn." in name]), 11)
        for k in range(4):
            out = self.folder / f"out{k}"
            processes = [self.start(*words, "--out", out) for _ in range(4)]
            self.assertEqual([(p.communicate(timeout=60)[1], p.returncode) for p in processes], [("", 0)] * 4)
            self.assertEqual(files_in(out), alone)

    def test_names_that_end_with_a_zero_byte_are_refused(self):
        done = run("detect", "--prompt", "shape", "--image", "-", stdin=f"{SCENES}/000.png\0{SCENES}/001.png\0")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("print0", done.stderr)

    def test_names_that_differ_in_bytes_that_are_no_text_are_two(self):
        folder = self.folder / "images"
        folder.mkdir()
        raw = [b"a\xff.png", b"a\xfe.png"]
        for i, name in enumerate(raw):
            shutil.copy(SCENES / f"{i:03d}.png", os.fsencode(folder) + b"/" + name)
        words = ["segment", "--prompt", "shape", "--image", folder, "--out", self.out, "--format", "coco"]
        first = subprocess.run([test_pali.PALI, *map(str, words[:3]), b"--image", os.fsencode(folder) + b"/" + raw[0], *map(str, words[5:])], capture_output=True)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(len(answers_in(self.out)), 1)
        self.succeeds(*words)
        for found, key in ((answers_in(self.out), "file"), (json.loads((self.out / "coco.json").read_text())["images"], "file_name")):
            self.assertEqual([one[key] for one in found], ["a\ufffd.png"] * 2)
            self.assertEqual([bytes.fromhex(one[key + "_bytes"]) for one in found], sorted(raw))
        self.assertEqual({os.fsencode(p.name) for p in self.out.iterdir() if p.suffix == ".png"}, {b"a\xff.mask1.png", b"a\xfe.mask1.png"} | {os.fsencode(p.name) for p in self.out.glob("*.mask[2-9].png")})

    def test_nothing_but_text_reaches_a_terminal(self):
        folder = self.folder / "images"
        folder.mkdir()
        shutil.copy(SCENES / "000.png", folder / "red\x1b[31m\x9b.png")
        (folder / "bad\x1b]0;title\x07.png").write_bytes(b"")
        for stream in ("stdout", "stderr"):
            shown = test_tasks.on_a_terminal("detect", "--prompt", "shape", "--image", folder, stream=stream, code=1)
            self.assertIn(".png", shown)
            self.assertFalse([c for c in shown if ord(c) < 32 and c not in "\r\n\t"] or [c for c in shown if 127 <= ord(c) < 160], repr(shown))


class files_of_the_user(with_many):
    def refuses(self, *words, naming):
        done = run(*words)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertIn(str(naming), done.stderr)

    def test_they_are_not_replaced(self):
        images = self.many(3)
        words = ["segment", "--prompt", "shape", "--image", images, "--out", self.out, "--format", "coco,yolo,labelme", "--draw"]
        mine = ["results.jsonl", "coco.json", "data.yaml", "labels/00001.txt", "images/00002.png", "labelme/00002.json", "00000.mask1.png", "00001.drawn.png"]
        for name in mine:
            path = self.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine")
            self.refuses(*words, naming=path)
            self.assertEqual(path.read_text(), "mine")
            path.unlink()
        for name in ("labels", "images", "labelme"):
            shutil.rmtree(self.out / name)
            (self.out / name).write_text("mine")
            self.refuses(*words, naming=self.out / name)
            (self.out / name).unlink()
        self.succeeds(*words)
        (self.out / "labelme" / "00001.json").write_text("corrected by hand")
        self.succeeds(*words)
        shutil.copy(SCENES / "150.png", images / "00009.png")
        self.succeeds(*words)
        self.assertEqual((self.out / "labelme" / "00001.json").read_text(), "corrected by hand")
        (self.out / ".pali").rename(self.folder / "state")
        self.refuses(*words, naming=self.out / "results.jsonl")
        (self.out / "00002.mask1.png").write_text("mine")
        self.succeeds(*words, "--overwrite")
        self.assertTrue((self.out / "00002.mask1.png").read_bytes().startswith(b"\x89PNG"))

    def test_a_folder_of_images_that_holds_the_images_needs_no_links(self):
        data = self.folder / "data"
        data.mkdir()
        (data / "images").symlink_to(self.many(3))
        for folder in (data / "images", self.folder / "images"):
            self.succeeds("detect", "--prompt", "shape", "--image", folder, "--out", data, "--format", "yolo")
        self.assertEqual(sorted(p.name for p in (data / "labels").iterdir()), ["00000.txt", "00001.txt", "00002.txt"])
        self.assertFalse([p for p in (data / "images").iterdir() if p.is_symlink()])

    def test_drawings_of_an_earlier_run_are_not_images_to_ask_about(self):
        images = self.many(2)
        for _ in range(2):
            self.succeeds("segment", "--prompt", "shape", "--image", images, "--out", images, "--draw")
        self.assertEqual([one["file"] for one in answers_in(images)], ["00000.png", "00001.png"])
        for _ in range(2):  # also not those of another run in a subfolder
            self.succeeds("segment", "--prompt", "shape", "--image", images, "--out", images / "found", "--draw", "--format", "yolo", "--recursive")
        self.assertEqual([one["file"] for one in answers_in(images / "found")], ["00000.png", "00001.png"])

    def test_pipes_and_folders_in_place_of_files_are_errors(self):
        images = self.many(1)
        for make in (os.mkfifo, os.mkdir):
            for name in ("results.jsonl", "coco.json"):
                out = self.folder / f"{make.__name__}_{name}"
                out.mkdir()
                make(out / name)
                words = ["detect", "--prompt", "shape", "--image", images, "--out", out, "--format", "coco"]
                self.refuses(*words, naming=out / name)
                self.refuses(*words, "--overwrite", naming=out / name)
                done = run(*words)
                self.assertRegex(done.stderr, "is a folder" if make is os.mkdir else "is a pipe")
                self.assertNotIn("--overwrite", done.stderr)
                self.assertEqual([p.name for p in out.iterdir()], [name])

    def test_quantize_replaces_nothing(self):
        self.out.mkdir()
        (self.out / "README.md").write_text("mine")
        self.refuses("quantize", test_pali.SHAPES, self.out, naming=self.out / "README.md")
        self.assertEqual([p.name for p in self.out.iterdir()], ["README.md"])
        self.succeeds("quantize", test_pali.SHAPES, self.out, "--overwrite")
        self.assertNotEqual((self.out / "README.md").read_text(), "mine")
        by_file = self.folder / "by file"  # a weights file stands for its folder
        self.succeeds("quantize", test_pali.SHAPES / "model.safetensors", by_file)
        self.assertEqual({p.name for p in by_file.iterdir()}, {p.name for p in self.out.iterdir()})
        self.assertEqual(self.succeeds("caption", "--model", by_file, "--image", SCENES / "000.png").stdout, self.succeeds("caption", "--model", self.out, "--image", SCENES / "000.png").stdout)


class parts(with_many):
    def shards(self, folder, variables):
        """Runs `--shard auto` once per environment in `variables`. Returns the result folders."""
        words = ["segment", "--prompt", "red cross", "--image", folder, "--threads", "1"]
        outs = []
        for i, one in enumerate(variables):
            outs.append(self.folder / f"part{i}")
            process = self.start(*words, "--out", outs[-1], "--shard", "auto", "--draw", **one)
            self.assertEqual(process.communicate(timeout=60)[1], "")
            self.assertEqual(process.returncode, 0)
        return outs

    def test_parts_are_collected(self):
        folder = self.many(11)
        formats = ["--format", "coco,yolo,labelme"]
        self.succeeds("segment", "--prompt", "red cross", "--image", folder, "--threads", "1", "--out", self.folder / "alone", "--draw", *formats)
        whole = files_in(self.folder / "alone")
        schedulers = {
            "slurm_array": [{"SLURM_ARRAY_TASK_ID": str(5 + 2 * i), "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_MAX": "9", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"} for i in range(3)],
            "srun": [{"SLURM_PROCID": str(i), "SLURM_NTASKS": "3", "SLURM_STEP_ID": "0"} for i in range(3)],
            "openmpi": [{"OMPI_COMM_WORLD_RANK": str(i), "OMPI_COMM_WORLD_SIZE": "3", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"} for i in range(3)],
            "pmi": [{"PMI_RANK": str(i), "PMI_SIZE": "3"} for i in range(3)],
            "array of steps": [{"SLURM_ARRAY_TASK_ID": str(i), "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_PROCID": str(j), "SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"} for i in range(2) for j in range(2)],
        }
        for name, variables in schedulers.items():
            outs = self.shards(folder, variables)
            self.assertEqual(sum(len(answers_in(out)) for out in outs), 11, name)
            out = self.folder / name
            self.succeeds("collect", *outs, "--out", out, *formats)
            there = files_in(out)
            there["data.yaml"] = there["data.yaml"].replace(bytes(out), bytes(self.folder / "alone"))
            self.assertEqual(there, whole, name)
            done = run("collect", *outs[:-1], "--out", self.folder / f"less {name}")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"of {len(outs)}: {len(outs) - 1}", done.stderr)
            for one in outs:
                shutil.rmtree(one)

    def test_a_complete_folder_misses_no_parts(self):
        folder = self.many(5)
        words = ["detect", "--prompt", "shape", "--image", folder]
        self.succeeds(*words, "--out", self.folder / "whole")
        self.succeeds(*words, "--out", self.folder / "part0", "--shard", "0/3")
        done = self.succeeds("collect", self.folder / "whole", self.folder / "part0", "--out", self.out)
        self.assertIn("5 images; 2 were in several parts", done.stdout)

    def test_different_images_of_one_name_are_not_collected_as_one(self):
        for i in range(2):
            (self.folder / f"{i}" / "img").mkdir(parents=True)
            shutil.copy(SCENES / f"{i:03d}.png", self.folder / f"{i}" / "img" / "a.png")
            self.succeeds("caption", "--image", self.folder / f"{i}" / "img", "--out", self.folder / f"part{i}")
        done = run("collect", self.folder / "part0", self.folder / "part1", "--out", self.out)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("a.png", done.stderr)
        self.assertFalse(self.out.exists())

    def test_variables_of_a_scheduler_change_nothing_unless_they_are_asked_for(self):
        folder = self.many(3)
        process = self.start("caption", "--image", folder, "--out", self.out, SLURM_ARRAY_TASK_ID="1", SLURM_ARRAY_TASK_COUNT="2", OMPI_COMM_WORLD_RANK="1", OMPI_COMM_WORLD_SIZE="2", PMI_RANK="x")
        self.assertEqual(process.communicate(timeout=60)[1], "")
        self.assertEqual(len(answers_in(self.out)), 3)

    def test_what_is_wrong_with_a_part_is_said(self):
        for part, says in (("3/3", "0"), ("1", "INDEX/COUNT"), ("a/2", "INDEX/COUNT"), ("0/0", "0"), ("-1/2", "INDEX/COUNT"), ("auto", "SLURM_ARRAY_TASK_ID")):
            done = run("detect", f"--shard={part}")
            self.assertEqual((done.returncode, done.stdout), (2, ""), part)
            self.assertIn(says, done.stderr)
        process = self.start("detect", "--shard", "auto", PMI_RANK="x", PMI_SIZE="2")
        self.assertIn("PMI_RANK", process.communicate(timeout=60)[1])
        self.assertEqual(process.returncode, 2)


class documented(with_many):
    """Runs the commands of docs/many_images.md whose programs are installed."""

    def commands(self, name):
        page = (test_pali.ROOT / "docs" / "many_images.md").read_text()
        return page.split(f"<!-- runs: {name} -->\n```sh\n")[1].split("```")[0]

    def runs(self, name):
        self.many(20, "photos")
        programs = self.folder / "programs"
        programs.mkdir()
        (programs / "pali").symlink_to(pathlib.Path(test_pali.PALI).resolve())
        done = subprocess.run(["bash", "-euc", self.commands(name)], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(self.folder)})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.succeeds("detect", "--threads", "1", "--image", self.folder / "photos", "--prompt", "shape", "--out", self.folder / "alone", "--format", "coco")
        for file in ("results.jsonl", "coco.json"):
            self.assertEqual((self.folder / "found" / file).read_bytes(), (self.folder / "alone" / file).read_bytes())

    @unittest.skipUnless(shutil.which("parallel"), "GNU parallel is not installed")
    def test_parallel(self):
        self.runs("parallel")

    @unittest.skipUnless(shutil.which("mpirun"), "mpirun is not installed")
    def test_mpirun(self):
        self.runs("mpirun")

    def test_collect(self):
        self.runs("collect")

    def test_slurm(self):
        script = self.commands("slurm").replace('--model "$HOME/paligemma2-3b-mix-224" ', "").replace('"cat ; dog"', "shape")  # sbatch runs it once per array index
        self.many(20, "photos")
        processes = [subprocess.Popen(["bash", "-euc", script], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      env={**os.environ, "HOME": str(self.folder), "PATH": f"{pathlib.Path(test_pali.PALI).resolve().parent}:{os.environ['PATH']}",
                                           "SLURM_ARRAY_TASK_ID": str(i), "SLURM_ARRAY_TASK_COUNT": "2"}) for i in range(2)]
        self.assertEqual([p.wait(60) for p in processes], [0, 0])
        self.assertEqual(len(answers_in(self.folder / "found")), 20)


class accidents(with_many):
    COMMANDS = (["generate"], ["caption"], ["ask"], ["detect"], ["segment", "--json"], ["inspect"], ["chat", "--prompt", "caption en"], ["eval", SCENES], ["--help"], ["--version"])

    def test_output_that_cannot_be_written_is_an_error(self):
        for words in [*self.COMMANDS, ["detect", "--image", self.many(50)], ["quantize", test_pali.SHAPES, self.out]]:
            with open("/dev/full", "w") as full:
                done = subprocess.run([test_pali.PALI, *map(str, words)], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), (words, done.stderr))
            self.assertIn("No space left", done.stderr, words)
            shutil.rmtree(self.out, ignore_errors=True)
            closed = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", test_pali.PALI, *map(str, words)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=300)
            self.assertEqual(closed.returncode, 1, words)
            self.assertIn("standard output", closed.stderr, words)
            shutil.rmtree(self.out, ignore_errors=True)

    def test_results_do_not_land_in_a_stream_that_was_closed(self):
        subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", test_pali.PALI, "detect", "--image", str(self.many(2)), "--prompt", "shape", "--out", str(self.out)], timeout=300)
        found = [sorted(one) for one in answers_in(self.out)]
        self.assertTrue(found)
        self.assertEqual(found, [["file", "finish_reason", "height", "objects", "skipped", "text", "width"]] * len(found))

    def test_a_reader_that_has_gone_ends_it(self):
        process = subprocess.Popen([test_pali.PALI, "caption", "--image", self.many(200)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, restore_signals=True)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual((process.stderr.read(), process.wait(60)), (b"", -signal.SIGPIPE))
        process.stderr.close()

    def test_the_chat_ends_at_whatever_moment_it_is_interrupted(self):
        order = random.Random(3)
        for _ in range(60):
            process = subprocess.Popen([test_pali.PALI, "chat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            time.sleep(order.uniform(0, 0.03))
            process.send_signal(signal.SIGINT)
            try:
                self.assertIn(process.wait(5), (130, -signal.SIGINT))
            finally:
                process.kill()
                process.communicate()

    def test_limits_on_memory_and_threads_are_named(self):
        def limit(kind, amount):
            return lambda: resource.setrlimit(kind, (amount, amount))
        for kilobytes in (20000, 30000, 40000, 60000):
            done = subprocess.run([test_pali.PALI, "caption"], capture_output=True, text=True, preexec_fn=limit(resource.RLIMIT_AS, kilobytes * 1024), timeout=60)
            self.assertIn(done.returncode, (0, 1, 127), (kilobytes, done.stderr))  # 127: the dynamic loader failed before the program started
            if done.returncode == 1:
                self.assertRegex(done.stderr, "memory|ulimit|cannot allocate", kilobytes)

    def test_a_image_that_memory_does_not_suffice_for_fails_alone(self):
        folder = self.many(3)
        side = 16000  # 768 MB of pixels in a file of a few hundred KB
        row = zlib.compressobj(9)
        data = b"".join(row.compress(bytes(side + 1)) for _ in range(side)) + row.flush()
        chunk = lambda kind, content: struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        (folder / "00001b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) + chunk(b"IDAT", data) + chunk(b"IEND", b""))

        def little():
            resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))
        for batch in (1, 4):
            done = subprocess.run([test_pali.PALI, "caption", "--image", folder, "--out", self.folder / f"by {batch}", "--batch", str(batch), "--max-pixels", "400000000", "--max-side", "20000"], capture_output=True, text=True, preexec_fn=little, timeout=120)
            self.assertEqual((done.returncode, done.stdout.count("\n"), done.stderr.count("\n")), (1, 3, 1), done.stderr)
            self.assertRegex(done.stderr, "00001b.png: .*memory")
            self.assertEqual([one["file"] for one in answers_in(self.folder / f"by {batch}")], ["00000.png", "00001.png", "00002.png"])

    @unittest.skipIf(os.geteuid() != 0, "only root can become nobody")
    def test_a_limit_on_threads_is_named(self):
        def nobody():
            os.setgid(65534)
            resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
            os.setuid(65534)
        self.folder.chmod(0o755)
        program = self.folder / "pali"
        shutil.copy(test_pali.PALI, program)
        shutil.copytree(test_pali.SHAPES, self.folder / "models" / "shapes")
        done = subprocess.run([program, "caption"], capture_output=True, text=True, preexec_fn=nobody, env={**os.environ, "PALI_MODELS": str(self.folder / "models")}, timeout=60)
        self.assertIn("thread", done.stderr)
        self.assertIn("ulimit -u", done.stderr)
        self.assertEqual(done.returncode, 1)

    def test_a_full_disk_leaves_no_half_files(self):
        folder = self.many(40)
        def small():
            resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        done = subprocess.run([test_pali.PALI, "segment", "--prompt", "shape", "--image", folder, "--out", self.out, "--draw", "--format", "coco"], capture_output=True, text=True, preexec_fn=small, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("cannot be written", done.stderr)
        self.assertEqual({name: size for name, size in ((p.name, p.stat().st_size) for p in self.out.iterdir() if p.is_file()) if (size == 0 and name != "results.jsonl") or name.endswith(".part")}, {})
        words = ["segment", "--prompt", "shape", "--image", folder, "--out", self.out, "--draw", "--format", "coco"]
        self.succeeds(*words)
        self.assertEqual(len(answers_in(self.out)), 40)
        whole = (self.out / "coco.json").read_bytes()
        self.assertGreater(len(whole), (self.out / "results.jsonl").stat().st_size + 1000)
        (self.out / ".pali" / "written").unlink()
        def room_for_results():
            limit = (self.out / "results.jsonl").stat().st_size + 1000
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        done = subprocess.run([test_pali.PALI, *map(str, words)], capture_output=True, text=True, preexec_fn=room_for_results, timeout=60)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
        self.assertIn("coco.json: cannot be written", done.stderr)
        self.assertEqual((self.out / "coco.json").read_bytes(), whole)
        self.assertEqual([p.name for p in self.out.iterdir() if p.name.endswith(".part")], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
