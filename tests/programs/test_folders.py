#!/usr/bin/env python3
"""Tests how the program opens model folders found in practice.   usage: test_folders.py PALI [-k NAME]"""
import os
import ast
import json
import pathlib
import shutil
import struct
import sys
import time
import unittest
import zipfile

import test_pali
from test_pali import CAPTION, SHAPES, run
from test_tasks import with_folder

if __name__ == "__main__":
    test_pali.PALI = os.path.abspath(sys.argv.pop(1))

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "12" * 32 + "\nsize 4948721472\n"
EMBEDDING = "language_model.model.embed_tokens.weight"


def read_tensors():
    """Returns {name: (dtype, shape, bytes)} of the embedded model."""
    content = (SHAPES / "model.safetensors").read_bytes()
    length, = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + length])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], content[8 + length:][slice(*t["data_offsets"])]) for name, t in header.items()}


class with_checkpoint(with_folder):
    def write(self, name, tensors=None, config=None, files=None, drop=(), weights="model.safetensors"):
        """Writes a copy of the embedded model with other tensors, a config.json changed by `config`, and additional `files`."""
        to = self.folder / name
        to.mkdir(parents=True)
        for file in SHAPES.iterdir():
            if file.is_file() and file.name not in drop and file.name != "model.safetensors":
                shutil.copy(file, to)
        if config:
            read = json.loads((to / "config.json").read_text())
            config(read)
            (to / "config.json").write_text(json.dumps(read))
        header, offset = {}, 0
        tensors = read_tensors() if tensors is None else tensors
        for key, (dtype, shape, data) in tensors.items():
            header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
            offset += len(data)
        text = json.dumps(header).encode()
        (to / weights).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))
        for file, content in (files or {}).items():
            (to / file).write_text(content)
        return to

    def answers(self, folder, *words, notes=()):
        done = run("generate", "--model", folder, *words)
        self.assertEqual((done.returncode, done.stdout), (0, CAPTION + "\n"), done.stderr)
        self.assertEqual(done.stderr.count("pali: note:"), len(notes), done.stderr)
        for note in notes:
            self.assertIn(note, done.stderr)

    def refused(self, *words, code=1, says, lines=1):
        done = run(*words)
        self.assertEqual(done.returncode, code, done.stderr)
        for word in says:
            self.assertIn(word, done.stderr)
        self.assertLessEqual(done.stderr.count("\n"), lines, done.stderr)


class folders(with_checkpoint):
    def test_a_head_without_an_embedding(self):
        tensors = {("lm_head.weight" if name == EMBEDDING else name): t for name, t in read_tensors().items()}
        self.answers(self.write("head", tensors))

    def test_inspect_lists_the_tensors_of_the_model(self):
        def listed(folder):
            said = run("inspect", "--tensors", folder).stdout
            rows = said.split("tensors:\n")[1].split("masks:")[0].splitlines()
            return [row.split(maxsplit=1) for row in rows], int(said.split("parameters: ")[1].split("\n")[0])
        tensors = read_tensors()
        as_text = {name: dtype + " (" + ", ".join(map(str, shape)) + ")" for name, (dtype, shape, _) in tensors.items()}
        rows, parameters = listed(SHAPES)
        self.assertEqual(dict(rows), as_text)
        self.assertEqual(len(rows), len(as_text))
        self.assertEqual(parameters, sum(len(data) // 2 for _, _, data in tensors.values()))  # all are BF16
        # Another spelling of the names, an unused tensor, and a head that differs from the embedding.
        renamed = {name.replace("language_model.model.", "model.language_model."): t for name, t in tensors.items()}
        dtype, shape, data = tensors[EMBEDDING]
        renamed["lm_head.weight"] = (dtype, shape, data[:-2] + b"\x00\x3c")
        renamed["v_head.summary.weight"] = ("BF16", [1, 192], bytes(384))
        rows, parameters_with_head = listed(self.write("renamed", renamed))
        self.assertEqual(dict(rows), {**as_text, "language_model.lm_head.weight": as_text[EMBEDDING]})
        self.assertEqual(parameters_with_head, parameters + len(data) // 2)

    def test_tensors_that_are_not_used_are_told_once(self):
        tensors = {**read_tensors(), "v_head.summary.weight": ("BF16", [1, 192], bytes(384))}
        folder = self.write("value_head", tensors)
        self.answers(folder, notes=["1 tensor is not used: 'v_head.summary.weight' BF16(1, 192)"])
        self.refused("generate", "--strict", "--model", folder, says=["[pali.301]", "'v_head.summary.weight'"], lines=5)
        inspected = run("inspect", folder)
        self.assertEqual(inspected.returncode, 0)
        self.assertIn("notes:\n", inspected.stdout)
        self.assertIn("'v_head.summary.weight'", inspected.stdout)
        many = run("detect", "--model", folder, "--image", SHAPES / "images", "--prompt", "shape", "--out", self.out)
        self.assertEqual((many.returncode, many.stderr.count("not used")), (0, 1), many.stderr)

    def test_the_pooling_head_of_siglip(self):
        tensors = {**read_tensors(), "vision_tower.vision_model.head.probe": ("BF16", [1, 1, 160], bytes(320))}
        folder = self.write("pooling", tensors, config=lambda c: c["vision_config"].update(vision_use_head=True))
        self.answers(folder, notes=["'vision_tower.vision_model.head.probe'"])

    def test_a_vocabulary_of_any_size_in_few_bits(self):
        tensors = read_tensors()
        dtype, (rows, width), data = tensors[EMBEDDING]
        tensors[EMBEDDING] = dtype, [rows + 1, width], data + data[:2 * width]
        folder = self.write("one_more", tensors, config=lambda c: c["text_config"].update(vocab_size=rows + 1))
        for weights in ("f32", "bf16", "int8", "int4"):
            self.answers(folder, "--weights", weights)
        for weights in ("int8", "int4"):
            self.assertEqual(run("quantize", folder, self.folder / weights, "--weights", weights).returncode, 0)
            self.answers(self.folder / weights)

    def test_names_with_the_prefix_of_a_wrapper(self):
        for prefix in ("_orig_mod.", "module.", "base_model.model.", "module._orig_mod.", "student.", "_fsdp_wrapped_module.", "model.module."):
            self.answers(self.write("wrapped" + prefix, {prefix + name: t for name, t in read_tensors().items()}))
        folder = self.write("student", {**{"student." + name: t for name, t in read_tensors().items()}, "v_head.weight": ("BF16", [1, 192], bytes(384))})
        self.answers(folder, notes=["1 tensor is not used: 'v_head.weight'"])

    def test_names_with_wrappers_of_layers(self):
        inside = {name.replace(".self_attn.", "._fsdp_wrapped_module._checkpoint_wrapped_module.self_attn._orig_mod."): t for name, t in read_tensors().items()}
        self.assertNotEqual(set(inside), set(read_tensors()))
        folder = self.write("layers", inside)
        self.answers(folder)
        self.assertEqual(run("inspect", folder).returncode, 0)
        self.assertEqual(run("quantize", folder, self.folder / "int4").returncode, 0)
        self.answers(self.folder / "int4")

    def test_adapters_are_named_with_their_base(self):
        config = {"adapter_config.json": json.dumps({"peft_type": "LORA", "r": 8, "base_model_name_or_path": "google/paligemma2-3b-pt-448"})}
        tensors = {"base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight": ("F32", [8, 192], bytes(32 * 192))}
        alone = self.write("lora", tensors, drop=("config.json",), weights="adapter_model.safetensors", files=config)
        beside = self.write("lora_beside", files=config)  # transformers would apply it
        for folder in (alone, beside):
            for verb in ("generate", "inspect"):
                self.refused(verb, "--model", folder, says=["an adapter (LORA) for 'google/paligemma2-3b-pt-448'", "merge_and_unload()"])
            self.refused("quantize", folder, self.folder / "to", says=["merge_and_unload()"])
        for verb in ("generate", "inspect", "detect"):
            self.refused(verb, "--model", beside / "model.safetensors", *(["--prompt", "shape"] if verb == "detect" else []), says=["an adapter (LORA) for", "merge_and_unload()"])
        self.refused("quantize", beside / "model.safetensors", self.folder / "to", says=["merge_and_unload()"])
        self.assertFalse((self.folder / "to").exists())

    def test_what_cannot_be_opened_is_not_quantized(self):
        def spoilt(name, width):
            tensors = read_tensors()
            name = next(n for n in tensors if n.endswith(name))
            _, shape, data = tensors[name]
            tensors[name] = {8: "F64", 1: "F8_E4M3"}[width], shape, bytes(len(data) // 2 * width)
            return tensors

        masks = (SHAPES / "mask_vqvae.npz").read_bytes()
        nan_masks = self.folder / "nan_masks"
        nan_masks.mkdir()
        with zipfile.ZipFile(SHAPES / "mask_vqvae.npz") as read, zipfile.ZipFile(nan_masks / "mask_vqvae.npz", "w") as written:
            for name in read.namelist():
                content = read.read(name)
                written.writestr(name, content[:-4] + struct.pack("<f", float("nan")) if name.startswith("decoder") else content)
        for number, (says, how) in enumerate([
                ("config.json: no such file", dict(drop=("config.json",))),
                ("config.json: is not valid JSON", dict(files={"config.json": "{"})),
                ("model_type is \"gemma2\"", dict(files={"config.json": '{"model_type": "gemma2"}'})),
                ("tokenizer.model: no such file", dict(drop=("tokenizer.model",))),
                ("tokenizer.model: is a Git LFS pointer", dict(files={"tokenizer.model": POINTER})),
                ("mask_vqvae.npz: is a Git LFS pointer", dict(files={"mask_vqvae.npz": POINTER})),
                ("missing tensor 'language_model.lm_head.weight'", dict(config=lambda c: c.update(tie_word_embeddings=False))),
                ("missing tensor 'vision_tower.", dict(tensors={("module." if "vision" in name else "") + name: t for name, t in read_tensors().items()})),
                ("save one model only", dict(tensors={prefix + name: t for prefix in ("student.", "teacher.") for name, t in read_tensors().items()})),
                ("F64; BF16, F16 and F32 are supported", dict(tensors=spoilt("multi_modal_projector.linear.weight", 8))),
                ("F8_E4M3; BF16, F16 and F32 are supported", dict(tensors=spoilt("patch_embedding.weight", 1))),
                ("F64; BF16, F16 and F32 are supported", dict(tensors=spoilt("language_model.model.norm.weight", 8))),
                ("mask_vqvae.npz: ", dict(drop=("mask_vqvae.npz",))),
                ("not finite", dict(drop=("mask_vqvae.npz",)))]):
            folder = self.write(f"bad{number}", **how)
            if says == "mask_vqvae.npz: ":
                (folder / "mask_vqvae.npz").write_bytes(masks[:100_000])
            if says == "not finite":
                shutil.copy(nan_masks / "mask_vqvae.npz", folder)
            with self.subTest(says):
                self.assertEqual(run("inspect", folder).returncode, 1)
                self.refused("quantize", folder, self.folder / "out", says=[says], lines=40)
                self.assertFalse((self.folder / "out").exists())

    def test_a_image_is_resized_unless_the_folder_says_otherwise(self):
        for off in (False, None):
            folder = self.write(f"resize{off}", files={"preprocessor_config.json": json.dumps({"do_resize": off})})
            self.refused("detect", "--prompt", "shape", "--model", folder, says=["[pali.304]", "preprocessor_config.json: do_resize is off", "set do_resize to true"])
            self.assertIn("do_resize is off, so only images of 112 x 112 pixels are accepted", run("inspect", folder).stdout)

    def test_one_shard_of_several(self):
        tensors = list(read_tensors().items())
        folder = self.write("shards", dict(tensors[:50]), weights="model-00001-of-00002.safetensors")
        for verb in ("generate", "inspect"):
            done = run(verb, "--model", folder / "model-00001-of-00002.safetensors")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"one of several shards: pass the folder, {folder}, to use them all", done.stderr + done.stdout)

    def test_a_tokenizer_json_that_is_not_read(self):
        content = {"version": "1.0", "added_tokens": [{"id": 1480, "content": "<image>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}], "normalizer": None,
                   "model": {"type": "BPE", "ignore_merges": True, "vocab": {}, "merges": []}}
        folder = self.write("backend", files={"tokenizer.json": json.dumps(content)})
        self.answers(folder)
        inspected = run("inspect", folder)
        self.assertEqual(inspected.returncode, 0, inspected.stdout)
        self.assertIn("notes:\n  tokenizer.model is used; tokenizer.json cannot be compared with it: ", inspected.stdout)
        (folder / "tokenizer.model").unlink()
        self.refused("generate", "--model", folder, says=["tokenizer.json: "])
        self.assertEqual(run("inspect", folder).returncode, 1)

    def test_numbers_of_tensors_that_are_not_used(self):
        folder = self.write("infinite", {**read_tensors(), "v_head.weight": ("F32", [2], struct.pack("<ff", float("inf"), 1))})
        self.answers(folder, notes=["v_head.weight"])
        inspected = run("inspect", "--numbers", folder)
        self.assertEqual(inspected.returncode, 0, inspected.stdout)
        self.assertIn("values that are not finite, in unused tensors: ", inspected.stdout)
        self.assertEqual(run("quantize", folder, self.folder / "int4").returncode, 0)
        self.answers(self.folder / "int4", notes=["v_head.weight"])

    def test_pointers_of_git_lfs(self):
        for file in ("model.safetensors", "tokenizer.model"):
            folder = self.write("pointer_" + file, files={file: POINTER})
            self.refused("generate", "--model", folder, says=[file + ": is a Git LFS pointer", "git lfs pull"])
            inspected = run("inspect", "--numbers", folder)
            self.assertEqual((inspected.returncode, inspected.stdout.count("git lfs pull")), (1, 1), inspected.stdout)
        folder = self.write("pointer_masks", drop=("mask_vqvae.npz",), files={"mask_vqvae.npz": POINTER})
        self.refused("segment", "--prompt", "shape", "--model", folder, says=["mask_vqvae.npz: is a Git LFS pointer"])
        inspected = run("inspect", folder)
        self.assertEqual((inspected.returncode, inspected.stdout.count("git lfs pull")), (1, 1), inspected.stdout)
        both = run("inspect", self.write("pointers", files={"tokenizer.model": POINTER, "tokenizer.json": POINTER, "config.json": POINTER})).stdout
        for file in ("tokenizer.model", "tokenizer.json", "config.json"):
            self.assertEqual(both.count(file + ": is a Git LFS pointer"), 1, both)

    def test_what_is_left_of_quantizing(self):
        folder = self.write("leftover", config=lambda c: c.update(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}))
        self.answers(folder)

    def test_patches_in_the_layout_of_mlx(self):
        tensors = read_tensors()
        name = next(n for n in tensors if n.endswith("patch_embedding.weight"))
        dtype, (out, channels, height, width), data = tensors[name]
        pixels = height * width
        last = b"".join(data[2 * ((o * channels + c) * pixels + p):][:2] for o in range(out) for p in range(pixels) for c in range(channels))
        tensors[name] = dtype, [out, height, width, channels], last
        self.answers(self.write("mlx", tensors))
        self.answers(self.folder / "mlx", "--weights", "f32")

    def test_formats_of_other_programs(self):
        q = "language_model.model.layers.0.self_attn.q_proj."
        for format, names in {"AWQ": {"qweight": [192, 24], "qzeros": [3, 24], "scales": [3, 192]}, "GPTQ": {"qweight": [24, 192], "g_idx": [192], "scales": [3, 192]},
                              "MLX": {"weight": [192, 24], "scales": [192, 3], "biases": [192, 3]}, "bitsandbytes": {"weight": [18432, 1], "weight.absmax": [576]}}.items():
            tensors = {n: t for n, t in read_tensors().items() if n != q + "weight"}
            for name, shape in names.items():
                size = 4
                for side in shape:
                    size *= side
                tensors[q + name] = "I32", shape, bytes(size)
            folder = self.write(format, tensors, config=lambda c: c.update(quantization_config={"quant_method": format.lower()}))
            self.refused("generate", "--model", folder, says=["in the quantized format of " + format, "BF16, F16 or F32"])
            self.refused("quantize", folder, self.folder / "to", says=["in the quantized format of " + format])

    def test_a_folder_of_the_hubs_cache(self):
        cache = self.folder / "models--someone--shapes"
        self.write("models--someone--shapes/snapshots/0123456789abcdef")
        self.answers(cache)
        self.assertEqual(run("inspect", cache).returncode, 0)
        (cache / "snapshots" / "fedcba9876543210").mkdir()
        self.refused("generate", "--model", cache, says=["with 2 snapshots", "'0123456789abcdef', 'fedcba9876543210'"])

    def test_the_name_of_a_repository(self):
        for verb in ("generate", "inspect"):
            self.refused(verb, "--model", "google/paligemma2-3b-mix-224", says=[": no such folder", "hf download google/paligemma2-3b-mix-224"])

    def test_int4_as_int8_is_one_line(self):
        self.assertEqual(run("quantize", SHAPES, self.folder / "int4").returncode, 0)
        self.refused("generate", "--model", self.folder / "int4", "--weights", "int8", says=["contains int4 weights (29 matrices", "load it as int4"])

    def test_names_of_another_model_are_one_line(self):
        folder = self.write("other", {name.replace("language_model", "llm").replace("vision_tower", "vit").replace("multi_modal_projector", "mlp1"): t for name, t in read_tensors().items()})
        says = ["no tensor has an expected name. Found: 'llm.", "and 130 more; expected: names that begin with 'language_model.', 'multi_modal_projector.', 'vision_tower.'"]
        self.refused("generate", "--model", folder, says=says)
        inspected = run("inspect", folder)
        self.assertEqual(inspected.returncode, 1)
        self.assertIn(says[0], inspected.stdout)

    def test_one_of_two_models_is_saved_alone(self):
        folder = self.write("two", {prefix + name: t for prefix in ("student.", "teacher.") for name, t in read_tensors().items()})
        self.refused("generate", "--model", folder, says=["several decoders, with the prefixes 'student.', 'teacher.'; save one model only"])

    def test_shards_without_an_index(self):
        tensors = list(read_tensors().items())
        folder = self.write("shards", dict(tensors[:50]), weights="model-00001-of-00002.safetensors")
        self.refused("generate", "--model", folder, says=["has no model.safetensors.index.json, and only 1 of the 2 shards; missing: 00002"])
        shutil.copy(self.write("second", dict(tensors[50:])) / "model.safetensors", folder / "model-00002-of-00002.safetensors")
        self.answers(folder)
        inspected = run("inspect", "--numbers", folder)
        self.assertEqual((inspected.returncode, "133 tensors" in inspected.stdout), (0, True), inspected.stdout)
        self.assertEqual(run("quantize", folder, self.folder / "int8", "--weights", "int8").returncode, 0)
        self.answers(self.folder / "int8")

    def test_types_that_are_not_read(self):
        for dtype, width in (("F64", 8), ("F8_E4M3", 1)):
            folder = self.write(dtype, {name: (dtype, shape, bytes(len(data) // 2 * width)) for name, (_, shape, data) in read_tensors().items()})
            says = [f" stored as {dtype}; BF16, F16 and F32 are supported", "from_pretrained(DIR, dtype=torch.bfloat16).save_pretrained(OUT)"]
            self.refused("generate", "--model", folder, says=says + ["and 130 more are"], lines=4)
            self.refused("quantize", folder, self.folder / ("to" + dtype), says=says, lines=4)
            masks = self.write("masks" + dtype, {"_vq_vae._embedding": (dtype, [128, 512], bytes(128 * 512 * width))}, weights="mask_vqvae.safetensors", drop=("mask_vqvae.npz",))
            shutil.copy(SHAPES / "model.safetensors", masks)
            shown = run("inspect", masks).stdout
            self.assertIn(f"tensor '_vq_vae._embedding' is stored as {dtype}; BF16, F16 and F32 are supported", shown)
            self.assertNotIn("from_pretrained", shown)  # transformers has no mask network

    def test_an_adapter_that_was_saved_without_merging(self):
        q = "language_model.model.layers.0.self_attn.q_proj."
        tensors = {"base_model.model." + (q + "base_layer.weight" if name == q + "weight" else name): t for name, t in read_tensors().items()}
        for part in ("A", "B"):
            tensors[f"base_model.model.{q}lora_{part}.default.weight"] = "F32", [8, 192], bytes(4 * 8 * 192)
        folder = self.write("unmerged", tensors)
        says = ["contains a PEFT adapter that is not merged into its base model", q + "base_layer.weight", "model.merge_and_unload().save_pretrained(OUT)"]
        self.refused("generate", "--model", folder, says=says)
        self.refused("quantize", folder, self.folder / "to", says=says)
        self.assertIn(says[0], run("inspect", folder).stdout)

    def test_one_of_two_matrices_is_missing(self):
        folder = self.write("untied", config=lambda c: c.update(tie_word_embeddings=False))
        self.refused("generate", "--model", folder, says=["missing tensor 'language_model.lm_head.weight'", "sets tie_word_embeddings to false"], lines=3)

    def test_weights_that_are_no_numbers(self):
        tensors = read_tensors()
        name = next(n for n in tensors if n.endswith("layers.1.mlp.up_proj.weight"))
        dtype, shape, data = tensors[name]
        tensors[name] = dtype, shape, data[:-2] + b"\xc0\x7f"
        folder = self.write("nan", tensors)
        place = f"model.safetensors: tensor '{name}' has nan at ({shape[0] - 1}, {shape[1] - 1})"
        self.refused("generate", "--model", folder, says=["not finite", place], lines=4)
        self.refused("detect", "--prompt", "shape", "--model", folder, says=["not finite", place], lines=4)
        self.assertEqual(run("inspect", folder).returncode, 0)
        looked = run("inspect", "--numbers", folder)
        self.assertEqual(looked.returncode, 1)
        self.assertIn(place, looked.stdout)
        self.assertIn("all finite", run("inspect", "--numbers").stdout)

    def test_a_mask_decoder_is_listed_and_read(self):
        shown = run("inspect", "--numbers").stdout
        self.assertIn("masks: mask_vqvae.npz, 49 tensors, 2.1 million elements, 8.5 MB\n  F32  49 tensors, 8.5 MB\n", shown)
        arrays = {}
        with zipfile.ZipFile(SHAPES / "mask_vqvae.npz") as archive:
            for name in archive.namelist():
                content = archive.read(name)
                length, = struct.unpack("<H", content[8:10])
                arrays[name.removesuffix(".npy")] = "F32", list(ast.literal_eval(content[10:10 + length].decode())["shape"]), content[10 + length:]
        good = self.write("masks", arrays, weights="mask_vqvae.safetensors", drop=("mask_vqvae.npz",))
        shutil.copy(SHAPES / "model.safetensors", good)
        inspected = run("inspect", "--numbers", good)
        self.assertEqual(inspected.returncode, 0, inspected.stdout)
        self.assertIn("masks: mask_vqvae.safetensors, 49 tensors", inspected.stdout)
        dtype, shape, data = arrays["_vq_vae._embedding"]
        bad = self.write("bad_masks", {**arrays, "_vq_vae._embedding": (dtype, shape, data[:-4] + struct.pack("<f", float("nan")))}, weights="mask_vqvae.safetensors", drop=("mask_vqvae.npz",))
        shutil.copy(SHAPES / "model.safetensors", bad)
        inspected = run("inspect", "--numbers", bad)
        self.assertEqual(inspected.returncode, 1)
        self.assertIn(f"mask_vqvae.safetensors: tensor '_vq_vae._embedding' has nan at ({shape[0] - 1}, {shape[1] - 1})", inspected.stdout)
        none = run("inspect", self.write("no_masks", drop=("mask_vqvae.npz",)))
        self.assertEqual((none.returncode, "masks: no decoder" in none.stdout), (0, True))

    def test_one_file_of_weights_is_inspected(self):
        folder = self.write("single", {**read_tensors(), "v_head.weight": ("BF16", [1, 192], bytes(384))}, weights="other.safetensors")
        shutil.copy(SHAPES / "model.safetensors", folder)
        inspected = run("inspect", "--numbers", folder / "other.safetensors")
        self.assertEqual(inspected.returncode, 0, inspected.stdout)
        for words in ("weights: 134 tensors", "'v_head.weight'", "  other.safetensors", "model: PaliGemma 2", "all finite"):
            self.assertIn(words, inspected.stdout)
        self.assertNotIn("  model.safetensors", inspected.stdout)
        self.assertIn("weights: 133 tensors", run("inspect", "model.safetensors", cwd=folder).stdout)
        for verb in ("inspect", "generate", "detect"):
            for wrong, says in ((folder / "config.json", "is neither a folder nor a .safetensors file"), (folder / "absent.safetensors", "no such folder or file"),
                                (SHAPES / "images" / "cross_and_ring.png", "is neither a folder nor a .safetensors file")):
                words = ["--prompt", "shape"] if verb == "detect" else []
                self.refused(verb, "--model", wrong, *words, says=[f"{wrong.name}: {says}; pass a folder with config.json and *.safetensors, or one of its .safetensors files"])

    def test_tokens_without_a_row(self):
        rows = read_tensors()[EMBEDDING][1][0]
        added = json.loads((SHAPES / "added_tokens.json").read_text())
        folder = self.write("tokens", files={"added_tokens.json": json.dumps({**added, "<new>": rows, "<newer>": rows + 1})})
        said = f"2 tokens have no row in the embedding of {rows} rows: '<new>' ({rows}), '<newer>' ({rows + 1}); to add the rows, call model.resize_token_embeddings(len(tokenizer)) before training"
        self.answers(folder, notes=[said])
        inspected = run("inspect", folder)
        self.assertEqual((inspected.returncode, inspected.stdout.count(said)), (1, 1), inspected.stdout)
        self.refused("generate", "--model", folder, "--prompt", "caption <newer>", code=2, says=["the token '<newer>' with the id %d" % (rows + 1), "resize_token_embeddings"], lines=2)
        outside = self.write("image_outside", files={"added_tokens.json": json.dumps({"<image>": rows})}, config=lambda c: c.update(image_token_index=rows))
        self.answers(outside)  # image features replace its embedding
        self.assertEqual(run("inspect", outside).returncode, 0)

    def test_a_prompt_that_is_longer_than_the_positions(self):
        started = time.monotonic()
        self.refused("generate", "--prompt", "x" * 100_000, code=2, says=["512 positions", "max_position_embeddings"])
        self.assertLess(time.monotonic() - started, 10)
        self.answers(SHAPES, "--max-tokens", "100000", notes=["--max-tokens 100000 exceeds what the model's 512 positions allow"])

    def test_a_header_of_many_tensors(self):
        tensors = {**read_tensors(), **{f"counter.{i}": ("U8", [0], b"") for i in range(40_000)}}
        folder = self.write("many", tensors)
        started = time.monotonic()
        self.answers(folder, notes=["40000 tensors are not used: 'counter.0' U8(0)"])
        self.assertLess(time.monotonic() - started, 10)  # took 28 s when each name was compared with all earlier ones


if __name__ == "__main__":
    unittest.main()
