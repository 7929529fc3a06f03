#!/usr/bin/env python3
"""End-to-end tests of the pali program: standard output, standard error and exit codes.   usage: test_pali.py PALI [-k NAME]"""
import json
import os
import pathlib
import platform
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHAPES = ROOT / "examples" / "models" / "shapes"
IMAGES = SHAPES / "images"
CAPTION = "a red cross and a yellow ring on a teal background"  # transformers' greedy answer in float32
PALI = os.path.abspath(sys.argv.pop(1)) if __name__ == "__main__" else "pali"


def run(*words, stdin="", **more):
    return subprocess.run([PALI, *map(str, words)], input=stdin, capture_output=True, text=True, timeout=300, **more)


def ask(*words):
    done = run("generate", "--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class generate(unittest.TestCase):
    def test_without_options_it_captions_the_sample(self):
        done = run("generate")
        self.assertEqual((done.returncode, done.stdout), (0, CAPTION + "\n"))

    def test_nothing_goes_to_standard_error_without_a_terminal(self):
        self.assertEqual(run("generate").stderr, "")

    def test_json_is_one_object_and_nothing_else(self):
        done = run("generate", "--json")
        said = json.loads(done.stdout)
        self.assertEqual(done.stdout.count("\n"), 1)
        self.assertEqual(list(said), ["text", "tokens", "logprobs", "prompt_tokens", "finish_reason", "model", "timings", "memory"])
        self.assertEqual(said["text"], CAPTION)
        self.assertEqual(said["finish_reason"], "eos")
        self.assertEqual(len(said["tokens"]), len(said["logprobs"]))
        self.assertTrue(all(p <= 0 for p in said["logprobs"]))
        self.assertEqual(said["tokens"][-1], 1)
        self.assertEqual(said["prompt_tokens"][0], 2)
        self.assertEqual((said["model"]["variant"], said["model"]["weights"]), ("shapes", "bf16"))
        self.assertTrue(said["model"]["instruction_set"])
        self.assertEqual(set(said["timings"]), {"load_s", "image_s", "prefill_s", "decode_tokens_per_s"})
        self.assertTrue(all(value > 0 for value in said["timings"].values()))
        self.assertGreater(said["memory"]["peak_rss_bytes"], 6_000_000)

    def test_dynamic_equals_compiled(self):
        compiled, dynamic = ask("--weights", "bf16"), ask("--weights", "bf16", "--variant", "dynamic")
        self.assertEqual((compiled["model"]["variant"], dynamic["model"]["variant"]), ("shapes", "dynamic"))
        self.assertEqual((compiled["tokens"], compiled["logprobs"]), (dynamic["tokens"], dynamic["logprobs"]))
        exact = ask("--weights", "f32")  # f32 is compiled only for pali::dynamic, like the quantized weights
        self.assertEqual((exact["text"], exact["model"]["variant"], exact["model"]["weights"]), (CAPTION, "dynamic", "f32"))
        refused = run("generate", "--weights", "f32", "--variant", "paligemma-3b-224")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("is not a paligemma-3b-224 but shapes", refused.stderr)

    def test_every_option_of_the_c_library_is_one_of_the_program(self):
        struct = re.search(r"typedef struct pali_options \{(.*?)\} pali_options;", (ROOT / "include/pali/pali.h").read_text(), re.S).group(1)
        members = set(re.findall(r"(\w+);", re.sub(r"/\*.*?\*/", "", struct, flags=re.S)))
        options = members - {"size", "on_text", "on_progress", "user", "constrained"}  # the struct, callbacks, and an option of pali_find
        self.assertGreaterEqual(options, {"max_new_tokens", "top_p", "typical_p", "length_penalty", "early_stopping"})
        for command in ("generate", "ask", "caption", "detect", "segment"):
            offered = set(re.findall(r"^\s+(--[a-z-]+)", run(command, "--help").stdout, re.M))
            self.assertLessEqual({"--" + name.replace("_new_", "_").replace("_", "-") for name in options}, offered, command)

    def test_threads_and_residency_change_nothing(self):
        one = ask("--threads", 1)
        for other in (ask("--threads", 2), ask("--threads", 5), ask("--threads", 2, "--pin-threads"), ask("--residency", "resident")):
            self.assertEqual((one["tokens"], one["logprobs"]), (other["tokens"], other["logprobs"]))

    def test_a_bf16_cache_changes_probabilities_and_not_this_answer(self):
        whole, half = ask("--kv-cache", "f32"), ask("--kv-cache", "bf16")
        self.assertEqual(whole["tokens"], half["tokens"])
        self.assertNotEqual(whole["logprobs"], half["logprobs"])

    def test_several_images_come_in_their_order(self):
        a, b = IMAGES / "cross_and_ring.png", IMAGES / "cross_circle_star.png"
        self.assertNotEqual(ask("--image", a, b)["logprobs"], ask("--image", b, a)["logprobs"])
        self.assertEqual(ask("--image", a, b)["logprobs"], ask("--image", a, "--image", b)["logprobs"])

    def test_limits_on_tokens(self):
        cut = ask("--max-tokens", 3)
        self.assertEqual((len(cut["tokens"]), cut["finish_reason"]), (3, "length"))
        self.assertGreaterEqual(len(ask("--min-tokens", 30, "--max-tokens", 40)["tokens"]), 30)

    def test_a_seed_gives_the_same_answer_again(self):
        answers = [ask("--temperature", 3, "--seed", seed, "--max-tokens", 20)["tokens"] for seed in (1, 1, 2, 3)]
        self.assertEqual(answers[0], answers[1])
        self.assertNotEqual(answers[0], answers[2])
        self.assertNotEqual(answers[2], answers[3])

    def test_log_probabilities_are_the_models_own(self):
        plain, warm = ask("--max-tokens", 1), ask("--max-tokens", 1, "--temperature", 0.01, "--top-k", 1)
        self.assertEqual(plain["tokens"], warm["tokens"])
        self.assertEqual(plain["logprobs"], warm["logprobs"])

    def test_prompts_as_people_write_them(self):
        plain = ask("--prompt", "caption en")
        for prompt in ("caption en\n", "<image>caption en", "<image> caption en\n"):
            self.assertEqual(ask("--prompt", prompt)["prompt_tokens"], plain["prompt_tokens"], prompt)

    def test_a_folder_named_as_a_type_is_checked(self):
        done = run("generate", "--variant", "paligemma2-3b-224")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("hidden_size", done.stderr)
        self.assertIn("shapes", done.stderr)


class quantize(unittest.TestCase):
    def test_a_quantized_folder_is_used_like_any_other(self):
        for weights, most in (("int8", 0.75), ("int4", 0.6)):  # of the file size: the vision tower is not quantized
            with tempfile.TemporaryDirectory() as folder:
                out = pathlib.Path(folder) / "new"
                done = run("quantize", SHAPES, out, "--weights", weights)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn(weights, done.stdout)
                self.assertLess((out / "model.safetensors").stat().st_size, most * (SHAPES / "model.safetensors").stat().st_size)
                said = ask("--model", out, "--image", IMAGES / "cross_and_ring.png")
                self.assertEqual((said["text"], said["model"]["weights"], said["model"]["variant"]), (CAPTION, weights, "dynamic"))
                self.assertEqual(said["logprobs"], ask("--weights", weights)["logprobs"])  # quantized while loading
                refused = run("generate", "--model", out, "--weights", "bf16")
                self.assertEqual(refused.returncode, 1)
                self.assertIn(f"load it as {weights}", refused.stderr)
                shown = run("inspect", out)
                self.assertEqual(shown.returncode, 0, shown.stdout + shown.stderr)
                self.assertIn(f"quantized: {weights}", shown.stdout)
                again = run("quantize", out, pathlib.Path(folder) / "twice")
                self.assertEqual(again.returncode, 2)
                self.assertIn(f"already contains {weights} weights", again.stderr)

    def test_a_variant_that_it_is_not_is_refused(self):
        done = run("generate", "--weights", "int4", "--variant", "paligemma2-3b-224")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is not a paligemma2", done.stderr)


class arch(unittest.TestCase):
    def test_an_instruction_set_can_be_forced(self):
        plain = ask()
        for level in ("simd", "x86-64", "x86-64-v3", "x86-64-v4", "neon", "avx2", "vnni", "bf16", "amx"):
            done = run("generate", "--json", env={**os.environ, "PALI_ARCH": level})
            if done.returncode == 0:
                self.assertEqual(json.loads(done.stdout)["text"], plain["text"])
            else:
                self.assertEqual(done.returncode, 2)
                self.assertRegex(done.stderr, f'"{level}", which (this processor does not have|is another architecture)')

    def test_levels_are_listed(self):
        lines = run("inspect", "--arch").stdout.splitlines()
        compiled, has, extensions, active = [line.split(": ")[1].split() for line in lines[:3]] + [lines[3].split(", ")[0].split()[1:]]
        self.assertEqual(lines[2].split(":")[0], "extensions of this processor")
        self.assertEqual(compiled, ["x86-64", "x86-64-v3", "x86-64-v4"] if platform.machine() == "x86_64" else compiled[:1])
        self.assertEqual(has, compiled[:len(has)])
        self.assertEqual(active, has[-1:])
        for level in has:
            shown = run("inspect", "--arch", env={**os.environ, "PALI_ARCH": level}).stdout
            self.assertIn(f"\nactive: {level}, extensions: ", shown)
        self.assertEqual(run("inspect", "--arch", env={**os.environ, "PALI_ARCH": "mmx"}).returncode, 2)
        self.assertEqual(run("inspect", "--arch", SHAPES).returncode, 2)

    def test_an_unknown_one_is_refused(self):
        done = run("generate", env={**os.environ, "PALI_ARCH": "mmx"})
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("the valid names are x86-64, x86-64-v3, x86-64-v4, neon, simd, avx2, vnni, bf16 and amx; see pali generate --help\n", done.stderr)


class wrong_use(unittest.TestCase):
    def refuse(self, *words, says):
        done = run(*words)
        self.assertEqual((done.returncode, done.stdout), (2, ""), words)
        self.assertRegex(done.stderr, r"^pali: .*; see pali ([a-z]+ )?--help\n$", words)  # one line
        for part in says:
            self.assertIn(part, done.stderr, words)

    def test_what_the_library_refuses_ends_in_the_same_words(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            self.refuse("generate", "--temperature", "1", "--num-beams", "3", says=["[pali.101]", "num_beams"])
            self.refuse("generate", "--prompt", "x" * 3000, says=["[pali.503]", "512 positions"])
            self.assertEqual(run("quantize", SHAPES, folder / "int4").returncode, 0)
            self.refuse("quantize", folder / "int4", folder / "twice", says=["[pali.101]", "already contains int4 weights"])
            self.assertEqual(run("detect", "--out", folder / "out").returncode, 0)
            self.refuse("detect", "--prompt", "red cross", "--max-tokens", "7", "--out", folder / "out",
                        says=['prompt is "detect shape" instead of "detect red cross"', "max_tokens is the default instead of 7"])
            for part, prompt in (("a", "shape"), ("b", "circle")):
                self.assertEqual(run("detect", "--prompt", prompt, "--out", folder / part).returncode, 0)
            self.refuse("collect", folder / "a", folder / "b", "--out", folder / "whole", says=['prompt is "detect circle" instead of "detect shape"'])
            (folder / "own").mkdir()
            for name in ("results.jsonl", "coco.json"):
                (folder / "own" / name).write_text("mine")
            self.refuse("detect", "--format", "coco", "--out", folder / "own", says=["own/results.jsonl, ", "own/coco.json; choose another --out folder"])

    def test_variables_of_the_environment(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out"
            part = pathlib.Path(folder) / "part"
            self.assertEqual(run("detect", "--out", part).returncode, 0)
            for words in (["detect"], ["collect", part]):
                for value in ("abc", "0", "-3", "nan", "inf", "3 s", "0x3", "1e9", "1e-300"):
                    done = run(*words, "--out", out, env={**os.environ, "PALI_LEASE_SECONDS": value})
                    self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n"), out.exists()), (2, "", 1, False), (words, value, done.stderr))
                    self.assertIn(f"PALI_LEASE_SECONDS is '{value}'", done.stderr)
                    self.assertIn(f"; see pali {words[0]} --help", done.stderr)
            for value in ("", "0.5", "3", "1e3"):
                done = run("detect", "--out", out, env={**os.environ, "PALI_LEASE_SECONDS": value})
                self.assertEqual((done.returncode, done.stderr), (0, ""), value)
            for words in (["generate"], ["inspect"], ["chat"], ["detect"]):
                done = run(*words, env={**os.environ, "PALI_MODELS": folder})
                self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1), done.stderr)
                self.assertIn(f"PALI_MODELS is '{folder}'", done.stderr)
            self.assertEqual(run("generate", env={**os.environ, "PALI_MODELS": str(SHAPES.parent)}).returncode, 0)

    def test_what_is_wrong_and_what_is_allowed(self):
        self.refuse(says=["detect", "segment", "caption", "ask", "generate", "chat", "inspect", "eval", "quantize"])
        self.refuse("paint", says=["paint", "generate", "chat", "inspect"])
        self.refuse("generate", "--weigths", "f32", says=["--weigths", "--weights"])
        self.refuse("generate", "--weights", "int3", says=["int3", "f32", "bf16"])
        self.refuse("generate", "--residency", "cloud", says=["cloud", "mapped", "resident"])
        self.refuse("generate", "--variant", "paligemma9", says=["paligemma9", "dynamic", "paligemma2-3b-224"])
        self.refuse("generate", "--max-tokens", "0", says=["--max-tokens", "1"])
        self.refuse("generate", "--max-tokens", "many", says=["--max-tokens", "many"])
        self.refuse("generate", "--min-tokens", "9", "--max-tokens", "3", says=["--min-tokens 9", "--max-tokens 3"])
        self.refuse("generate", "--temperature", "-1", says=["--temperature"])
        self.refuse("generate", "--top-p", "1.5", says=["--top-p"])
        self.refuse("generate", "--image", says=["--image"])
        self.refuse("generate", "--seed", "x", says=["--seed"])
        self.refuse("chat", "--do_sample", "maybe", says=["--do_sample", "true", "false"])
        self.refuse("chat", "--model_type", "gemma", says=["gemma", "paligemma2"])
        self.refuse("chat", "--model_type", "paligemma", says=["paligemma2"])
        self.refuse("inspect", "a", "b", says=["b"])

    def test_help_and_version_are_no_errors(self):
        for words in (["--help"], ["generate", "--help"], ["chat", "--help"], ["inspect", "--help"], ["--version"]):
            done = run(*words)
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)
            self.assertTrue(done.stdout)


class bad_files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.copy = pathlib.Path(self.folder.name) / "model"
        shutil.copytree(SHAPES, self.copy, ignore=shutil.ignore_patterns("*.npz", "images"))
        self.copy.chmod(0o755)

    def tearDown(self):
        self.folder.cleanup()

    def refuse(self, *words, says):
        done = run(*words)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        for part in says:
            self.assertIn(part, done.stderr)

    def test_what_is_missing_is_named(self):
        self.refuse("generate", "--image", "no_such.png", says=["no_such.png"])
        self.refuse("generate", "--model", "no_such_folder", says=["no_such_folder"])
        for name in ("config.json", "tokenizer.model", "model.safetensors"):
            (self.copy / name).rename(self.copy / "aside")
            self.refuse("generate", "--model", self.copy, says=[name.split(".")[0]])
            (self.copy / "aside").rename(self.copy / name)
        self.assertEqual(ask("--model", self.copy)["text"], "a red cross and a yellow ring on a teal background")

    def test_a_path_that_is_too_long_is_named_with_the_cause(self):
        name = "x" * 5000
        for words in (["detect", "--out", name], ["detect", "--image", name], ["generate", "--image", name], ["detect", "--out", name, "--image", IMAGES], ["inspect", name],
                      ["generate", "--model", name], ["quantize", SHAPES, name]):
            done = run(*words)
            said = done.stderr.replace(name, "NAME")
            self.assertEqual((done.returncode, done.stdout, said.count("\n")), (1, "", 1), said)
            self.assertRegex(said, "NAME: .*File name too long")
            self.assertNotIn("filesystem error", said)

    def test_what_is_damaged_is_named(self):
        self.refuse("generate", "--image", SHAPES / "config.json", says=["config.json"])
        weights = (self.copy / "model.safetensors").read_bytes()
        (self.copy / "model.safetensors").write_bytes(weights[:-1000])
        self.refuse("generate", "--model", self.copy, says=["model.safetensors"])
        self.refuse("generate", "--json", "--model", self.copy, says=["model.safetensors"])
        (self.copy / "config.json").write_text("{")
        self.refuse("generate", "--model", self.copy, says=["config.json"])


class inspect(unittest.TestCase):
    def test_the_embedded_model_is_complete(self):
        done = run("inspect")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for part in ("model.safetensors", "PaliGemma 2", "shapes fits", "112 px", "133 tensors", "BF16", "problems: none"):
            self.assertIn(part, done.stdout)
        self.assertEqual(run("inspect", SHAPES).stdout, run("inspect", "--model", SHAPES).stdout)

    def test_what_is_missing_is_said(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("config.json", "model.safetensors"):
                shutil.copy(SHAPES / name, folder)
            done = run("inspect", folder)
            self.assertEqual(done.returncode, 1)
            self.assertIn("tokenizer.model", done.stdout.split("problems:")[1])
            config = json.loads((SHAPES / "config.json").read_text())
            config["text_config"]["num_hidden_layers"] = 5
            (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
            done = run("inspect", folder)
            self.assertIn("dynamic", done.stdout)
            self.assertIn("layers.4.mlp.gate_proj.weight", done.stdout.split("problems:")[1])

    def test_both_files_of_a_vocabulary_are_compared(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("config.json", "model.safetensors", "tokenizer.model"):
                shutil.copy(SHAPES / name, folder)
            saved = pathlib.Path(folder) / "tokenizer.json"
            vocabulary = json.loads((ROOT / "tests" / "data" / "text" / "json" / "saved" / "tokenizer.json").read_text())
            saved.write_text(json.dumps(vocabulary))
            done = run("inspect", folder)
            self.assertIn("tokenizer.json", done.stdout.split("model:")[0])
            self.assertIn("problems: none", done.stdout)

            def problems(change):
                changed = json.loads(json.dumps(vocabulary))
                change(changed)
                saved.write_text(json.dumps(changed))
                return run("inspect", folder).stdout.split("problems:")[1]

            def swap(changed):
                ids = changed["model"]["vocab"]
                ids["▁the"], ids["▁s"] = ids["▁s"], ids["▁the"]
            self.assertIn("'▁s'", problems(swap))
            self.assertIn("before", problems(lambda changed: changed["model"]["merges"].reverse()))
            self.assertIn("42 merges; its pieces imply 43", problems(lambda changed: changed["model"]["merges"].pop()))
            self.assertIn("'<loc0001>' among its added_tokens", problems(lambda changed: changed["added_tokens"].pop(6)))
            self.assertEqual(problems(lambda changed: changed["model"].update(type="WordPiece")), " none\n")  # only the added tokens are used
            self.assertIn("tokenizer.json cannot be compared with it: [pali.203] " + str(saved) + ": model.type", run("inspect", folder).stdout.split("notes:")[1])
            saved.write_text(json.dumps(vocabulary))
            (pathlib.Path(folder) / "tokenizer.model").unlink()
            done = run("inspect", folder)
            self.assertNotIn("  tokenizer.model", done.stdout)
            self.assertIn("problems: none", done.stdout)

    def test_a_vocabulary_saved_by_transformers_answers_as_the_original(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("config.json", "model.safetensors", "generation_config.json", "preprocessor_config.json"):
                shutil.copy(SHAPES / name, folder)
            saved = json.loads((ROOT / "tests" / "data" / "text" / "json" / "saved" / "tokenizer.json").read_text())
            saved["added_tokens"] = [t for t in saved["added_tokens"] if t["content"] != "<image>" and t["id"] <= 1480]  # id 1480 is <mask> here and <image> in config.json
            (pathlib.Path(folder) / "tokenizer.json").write_text(json.dumps(saved))
            for prompt in ("detect red circle", "caption en", "answer en what shape is it?  "):
                asked = ("generate", "--prompt", prompt, "--image", IMAGES / "cross_and_ring.png")
                done = run(*asked, "--model", folder)
                self.assertEqual((done.returncode, done.stdout), (0, run(*asked).stdout), done.stderr)

    def test_a_folder_that_is_none(self):
        done = run("inspect", "no_such_folder")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no_such_folder", done.stderr)


class chat(unittest.TestCase):
    def test_prompts_are_answered_until_exit(self):
        done = run("chat", stdin="caption en\n\nanswer en how many shapes are there?\n EXIT \ncaption en\n")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("> Model: PaliGemma 2", done.stdout)
        self.assertEqual(done.stdout.count("> Output: "), 2)
        self.assertIn(f"> Output: {CAPTION}\n> Speed: ", done.stdout)
        self.assertIn("> Output: two\n", done.stdout)
        self.assertRegex(done.stdout, r"> Speed: \d+\.\d\d tokens/sec\n-{55}\n> Input: ")

    def test_options_of_mini_paligemma2(self):
        words = ["chat", "--model_type", "paligemma2", "--model_path", SHAPES, "--prompt", "detect red cross", "--image_file_path", IMAGES / "cross_and_ring.png",
                 "--max_tokens_to_generate", 20, "--temperature", 0.8, "--top_p", 0.9, "--do_sample", "False", "--only_cpu", "False"]
        shown, hidden = run(*words, "--detection", "True"), run(*words, "--detection", "False")
        self.assertEqual((shown.returncode, hidden.returncode), (0, 0), shown.stderr)
        self.assertRegex(shown.stdout, r"> Output: <loc\d{4}><loc\d{4}><loc\d{4}><loc\d{4}> red cross\n")
        self.assertRegex(shown.stdout, r"> Detection: red cross, x \d+ to \d+, y \d+ to \d+, \d+ %\n")
        self.assertNotIn("> Detection", hidden.stdout)

    def test_what_an_answer_points_at_is_listed_with_or_without_a_mask_decoder(self):
        def asked(*words):
            done = run("chat", *words, stdin="segment red cross\n")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"> Output: (<loc\d{4}>){4}(<seg\d{3}>){16} red cross\n")
            self.assertIn("> Detection: red cross, x ", done.stdout)

        asked()
        with tempfile.TemporaryDirectory() as folder:
            for name in SHAPES.iterdir():
                if name.is_file() and name.suffix != ".npz":
                    shutil.copy(name, folder)
            asked("--model", folder, "--image", IMAGES / "cross_and_ring.png")

    def test_sampling_is_off_unless_asked_for(self):
        plain = run("chat", stdin="caption en\n").stdout
        self.assertIn(CAPTION, plain)
        self.assertIn(CAPTION, run("chat", "--do_sample", "False", "--temperature", "9", stdin="caption en\n").stdout)
        self.assertNotIn(CAPTION, run("chat", "--do_sample", "True", "--temperature", "9", "--top_p", "1", stdin="caption en\n").stdout)


def on_terminal(*words, typed=b""):
    """Runs a command in a pseudo-terminal. Returns the exit code and the lines of standard output and standard error that it shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([PALI, *map(str, words)], stdin=subprocess.PIPE, stdout=theirs, stderr=theirs)
    os.close(theirs)
    process.stdin.write(typed)
    process.stdin.close()
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:  # Linux reports the end of a pseudo-terminal as EIO
        pass
    os.close(ours)
    lines = []
    for line in shown.decode().split("\n"):
        cells = ""
        for part in line.split("\r"):
            cells = part + cells[len(part):]
        lines.append(cells.rstrip())
    return process.wait(60), lines


class job:
    """A program in the foreground of a pseudo-terminal, under a process that acts like a shell: it continues a stopped program, and sets
    its own terminal modes meanwhile."""

    def __init__(self, *words, **environment):
        self.events, report = os.pipe()
        orders, self.orders = os.pipe()
        shell, self.terminal = pty.fork()
        if shell == 0:
            self.be_the_shell([PALI, *map(str, words)], {**os.environ, **environment}, report, orders)
        self.shell = shell
        os.close(report)
        os.close(orders)
        self.shown = ""
        self.pid = self.event()[0]

    @staticmethod
    def be_the_shell(words, environment, report, orders):
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        sane = termios.tcgetattr(0)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os.tcsetpgrp(0, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.execve(words[0], words, environment)
        os.write(report, json.dumps([pid]).encode() + b"\n")
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            local = termios.tcgetattr(0)[3]
            usual = bool(local & termios.ICANON and local & termios.ECHO)
            os.tcsetpgrp(0, os.getpgrp())
            termios.tcsetattr(0, termios.TCSADRAIN, sane)
            os.write(report, json.dumps([os.WIFSTOPPED(status) and os.WSTOPSIG(status), os.WIFSIGNALED(status) and os.WTERMSIG(status), usual]).encode() + b"\n")
            if not os.WIFSTOPPED(status):
                os._exit(0)
            os.read(orders, 1)
            os.tcsetpgrp(0, pid)
            os.kill(pid, signal.SIGCONT)

    def event(self):
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.events, self.terminal], [], [], 30)
            assert ready, self.shown
            if self.terminal in ready:  # drain the output, otherwise the program may block in a write
                self.read_some()
            if self.events in ready:
                line += os.read(self.events, 1)
        return json.loads(line)

    def read_some(self):
        try:
            self.shown += os.read(self.terminal, 1 << 12).decode(errors="replace")
        except OSError:  # Linux reports the end of a pseudo-terminal as EIO
            pass

    def until(self, text):
        """Returns the output up to this text and removes both from the buffer."""
        while text not in self.shown:
            ready, _, _ = select.select([self.terminal], [], [], 30)
            assert ready, (text, self.shown)
            self.read_some()
        before, self.shown = self.shown.split(text, 1)
        return before

    def until_edited(self):
        """Waits until the prompt is shown and the terminal is in non-canonical mode."""
        self.until("> Input: ")
        began = time.monotonic()
        while termios.tcgetattr(self.terminal)[3] & termios.ICANON:
            assert time.monotonic() - began < 30
            time.sleep(0.001)

    def type(self, text):
        os.write(self.terminal, text.encode())

    def go_on(self):
        os.write(self.orders, b"c")

    def close(self):
        for one in (self.pid, self.shell):
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass
        os.waitpid(self.shell, 0)
        for one in (self.events, self.orders, self.terminal):
            os.close(one)


class signals(unittest.TestCase):
    def start(self, *words, **environment):
        started = job(*words, HOME="/nonexistent", **environment)
        self.addCleanup(started.close)
        return started

    @unittest.skipIf(os.environ.get("PALI_TEST_EDITED_LINES") == "0", "built without libedit")
    def test_a_signal_ends_the_chat_with_the_terminal_as_it_was(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
            chat = self.start("chat", TERM="xterm")
            chat.until_edited()
            chat.type("cap")
            chat.until("cap")
            os.kill(chat.pid, number)
            self.assertEqual(chat.event(), [False, number, True])
        chat = self.start("chat", TERM="xterm")
        chat.until_edited()
        chat.type("\x1c")  # Ctrl-\\
        self.assertEqual(chat.event(), [False, signal.SIGQUIT, True])

    @unittest.skipIf(os.environ.get("PALI_TEST_EDITED_LINES") == "0", "built without libedit")
    def test_a_chat_that_was_stopped_shows_its_line_again(self):
        chat = self.start("chat", TERM="xterm")
        chat.until_edited()
        for stop in (lambda: chat.type("\x1a"), lambda: os.kill(chat.pid, signal.SIGTSTP), lambda: os.kill(chat.pid, signal.SIGSTOP)):  # \x1a: Ctrl-Z
            chat.type("capt")
            chat.until("capt")
            stop()
            stopped, _, usual = chat.event()
            self.assertIn((stopped, usual), ((signal.SIGTSTP, True), (signal.SIGSTOP, False)))
            chat.go_on()
            self.assertIn("> Input: ", chat.until("capt"))
            chat.type("ion en\r")
            chat.until("> Output: " + CAPTION)
            chat.until_edited()
        chat.type("\x1a")
        self.assertEqual(chat.event(), [signal.SIGTSTP, False, True])
        os.kill(chat.pid, signal.SIGTERM)
        chat.go_on()
        self.assertEqual(chat.event(), [False, signal.SIGTERM, True])

    def test_a_signal_while_the_terminal_is_asked_what_it_shows(self):
        asked = self.start("detect", "--draw", TERM="xterm-256color", COLORTERM="truecolor", TMUX="", TERM_PROGRAM="", KITTY_WINDOW_ID="", KONSOLE_VERSION="", WT_SESSION="")
        asked.until("\x1b[c")
        os.kill(asked.pid, signal.SIGTERM)
        self.assertEqual(asked.event(), [False, signal.SIGTERM, True])


class terminal(unittest.TestCase):
    def test_the_note_on_fewer_tokens_comes_before_the_answer_on_a_line_of_its_own(self):
        note = "pali: note: --max-tokens 100000 exceeds what the model's 512 positions allow: the answer can have at most {} tokens after this prompt".format
        image = IMAGES / "cross_and_ring.png"
        for words in (["generate"], ["generate", "--num-beams", "2"], ["caption"]):
            self.assertEqual(on_terminal(*words, "--max-tokens", "100000"), (0, [note(438), CAPTION, ""]))
        for words in (["detect", "--prompt", "red cross"], ["detect", "--prompt", "red cross", "--batch", "2"]):
            code, lines = on_terminal(*words, "--max-tokens", "100000", "--image", image, image)
            self.assertEqual((code, lines.count(note(438)), sum("red cross, x" in line for line in lines)), (0, 1, 2), lines)
            self.assertLess(lines.index(note(438)), next(i for i, line in enumerate(lines) if "red cross, x" in line))
        code, lines = on_terminal("chat", "--max-tokens", "100000", typed=b"caption en\ncaption en\n")
        self.assertEqual((code, lines.count(note(438)), lines.count("> Output: " + CAPTION)), (0, 1, 2), lines)
        self.assertLess(lines.index(note(438)), lines.index("> Output: " + CAPTION))

    def start(self, *words, **more):
        return subprocess.Popen([PALI, *map(str, words)], stdout=subprocess.PIPE, text=True, **more)

    def test_a_bar_on_a_terminal(self):
        ours, theirs = pty.openpty()
        done = subprocess.run([PALI, "generate"], stdout=subprocess.PIPE, stderr=theirs, text=True)
        os.close(theirs)
        shown = ""
        try:
            while piece := os.read(ours, 1 << 16):
                shown += piece.decode()
        except OSError:  # Linux reports the end of a pseudo-terminal as EIO
            pass
        os.close(ours)
        self.assertEqual(done.stdout, CAPTION + "\n")
        self.assertIn("load ", shown)
        self.assertTrue(shown.endswith("\r"), "the bar erases itself")

    def many_positions(self):
        """Writes the embedded model with a larger max_position_embeddings, for long answers."""
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        folder = pathlib.Path(holder.name)
        for file in SHAPES.iterdir():
            (folder / file.name).symlink_to(file)
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["max_position_embeddings"] = 8192
        (folder / "config.json").unlink()
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def test_an_interrupt_ends_the_answer_in_order(self):
        process = self.start("generate", "--model", self.many_positions(), "--min-tokens", 4000, "--max-tokens", 4000, stderr=subprocess.PIPE)
        begun = process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, errors), (130, ""))
        self.assertTrue((begun + rest).startswith(CAPTION[:20]) and rest.endswith("\n"))

    def test_an_interrupt_leaves_whole_json(self):
        process = self.start("generate", "--model", self.many_positions(), "--json", "--threads", 1, "--min-tokens", 6000, "--max-tokens", 6000)
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        said = json.loads(process.communicate(timeout=60)[0])
        self.assertEqual((process.returncode, said["finish_reason"]), (130, "cancelled"))
        self.assertEqual(len(said["tokens"]), len(said["logprobs"]))

    def test_a_vocabulary_beyond_the_models_is_refused(self):
        def field(number, contents):
            size, head = len(contents), bytes([number << 3 | 2])
            while size > 127:
                head, size = head + bytes([size & 127 | 128]), size >> 7
            return head + bytes([size]) + contents

        def piece(text, kind):
            return field(1, field(1, text.encode()) + b"\x15\0\0\x80\xbf" + bytes([3 << 3, kind]))

        pieces = [("<pad>", 3), ("<eos>", 3), ("<bos>", 3), ("<unk>", 2), ("<image>", 4), *((f"x{i}", 1) for i in range(3000)), ("\n", 4)]
        trainer = bytes([3 << 3, 2])
        for number, text in ((46, "<bos>"), (47, "<eos>"), (48, "<pad>")):
            tag = number << 3 | 2
            trainer += bytes([tag & 127 | 128, tag >> 7, len(text)]) + text.encode()
        with tempfile.TemporaryDirectory() as folder:
            for file in SHAPES.iterdir():
                if file.is_file():
                    shutil.copy(file, folder)
            (pathlib.Path(folder) / "added_tokens.json").unlink(missing_ok=True)
            (pathlib.Path(folder) / "tokenizer.model").write_bytes(b"".join(piece(*one) for one in pieces) + field(2, trainer) + field(3, bytes([3 << 3, 0, 4 << 3, 0])))
            done = subprocess.run([PALI, "generate", "--model", folder, "--image", IMAGES / "cross_and_ring.png"], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("has the id 3005", done.stderr)

    def test_an_interrupt_ends_an_evaluation(self):
        process = self.start("eval", ROOT / "tests" / "data" / "scenes", "--threads", 1, stderr=subprocess.PIPE)
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, said, errors), (130, "", ""), "no figures of some scenes only")

    def test_an_interrupt_ends_the_chat(self):
        process = self.start("chat", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        shown = ""
        while not shown.endswith("> Input: "):
            shown += process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, rest, errors), (130, "\nExiting...\n", ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
