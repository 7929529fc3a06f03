#!/usr/bin/env python3
"""Writes the tiny PaliGemma checkpoints of tests/data/models and the outputs of transformers for each stage.

usage: models.py OUT [NAME...]       OUT is tests/data/models; with names, only these checkpoints (cases.json keeps the others)

Weights are random and rounded to the stored dtype. Seeds are searched such that the goldens are discriminating: greedy text depends on
step, image and prompt, and each choice has a margin far above float32 rounding. transformers reads the folders back and computes in float32
on the stored values; a float64 run gives the tolerances. One thread and eager attention make the output deterministic.
"""
import contextlib, io, itertools, json, os, re, shutil, sys, zlib
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
import numpy as np, PIL, safetensors, sentencepiece as spm, torch, transformers
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
torch.set_grad_enabled(False)

PIECES = 420                      # vocabulary: 4 special pieces, "\n", 256 bytes, words
PAD, EOS, BOS = 0, 1, 2
NEW_TOKENS, BEAM_TOKENS, BEAMS = 16, 10, 3
LEAST, REPETITION = dict(min_new_tokens=10), dict(repetition_penalty=1.5)  # greedy decoding after these two processors
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
LAYOUTS = {  # tensor names in memory -> in the file
    # the published checkpoints, and transformers up to 4.51
    "published": (("model.language_model.", "language_model.model."), ("model.vision_tower.", "vision_tower.vision_model."),
                  ("model.multi_modal_projector.", "multi_modal_projector."), ("lm_head.", "language_model.lm_head.")),
    # transformers 4.52 to 4.57
    "model": (("model.vision_tower.", "model.vision_tower.vision_model."),),
    # transformers 5, the names of its modules
    "modules": (),
    # as written by save_pretrained of transformers 5.23: old decoder names, no vision_model
    "saved": (("model.language_model.", "language_model.model."), ("model.vision_tower.", "vision_tower."),
              ("model.multi_modal_projector.", "multi_modal_projector."), ("lm_head.", "language_model.lm_head.")),
}

# text: keys of text_config; the sizes are odd on purpose. keys: generation of config.json ("old": torch_dtype, image_token_index,
# rope_theta; "new": dtype, image_token_id, rope_parameters, layer_types; "saved": written by transformers). score: standard deviation of
# attention scores. eos: case, step, and the EOS logit there relative to the largest (1.25: the text ends; .95: a beam ends)
CHECKPOINTS = {
    "gemma2_window": dict(  # window 5 below 9 image tokens, effective softcaps, no grouped heads
        text=dict(model_type="gemma2", vocab_size=424, hidden_size=30, num_hidden_layers=4, intermediate_size=37, num_attention_heads=3, num_key_value_heads=3, head_dim=10,
                  query_pre_attn_scalar=7, sliding_window=5, attn_logit_softcapping=3.0, final_logit_softcapping=6.0, rms_norm_eps=1e-6, rope_theta=10000.0,
                  hidden_activation="gelu_pytorch_tanh"),
        vision=dict(image_size=42, patch_size=14, hidden_size=36, num_attention_heads=3, intermediate_size=83, num_hidden_layers=3),
        image_token=420, stored="f32", shards=1, layout="published", keys="old", score=5.0, eos=(0, 6, 1.25)),
    "gemma2_grouped": dict(  # 2 heads per kv head, three shards, other RoPE base and eps
        text=dict(model_type="gemma2", vocab_size=424, hidden_size=36, num_hidden_layers=3, intermediate_size=83, num_attention_heads=4, num_key_value_heads=2, head_dim=18,
                  query_pre_attn_scalar=9, sliding_window=16, attn_logit_softcapping=50.0, final_logit_softcapping=30.0, rms_norm_eps=1e-5, rope_theta=500.0,
                  hidden_activation="gelu_pytorch_tanh"),
        vision=dict(image_size=70, patch_size=14, hidden_size=36, num_attention_heads=3, intermediate_size=61, num_hidden_layers=2),
        image_token=420, stored="bf16", shards=3, layout="published", keys="old", score=2.5, eos=(0, 3, .95)),
    "gemma1_half": dict(  # PaliGemma 1 in f16; in Gemma 1 "gelu" means the tanh approximation
        text=dict(model_type="gemma", vocab_size=424, hidden_size=44, num_hidden_layers=3, intermediate_size=37, num_attention_heads=4, num_key_value_heads=1, head_dim=48,
                  hidden_act="gelu", rms_norm_eps=1e-6, rope_theta=10000.0),
        vision=dict(image_size=42, patch_size=14, hidden_size=36, num_attention_heads=3, intermediate_size=83, num_hidden_layers=2),
        image_token=420, stored="f16", shards=1, layout="published", keys="old", score=2.5, eos=(2, 4, .95)),
    "gemma1_renamed": dict(  # PaliGemma 1, tensor names of transformers 4.52, patch size 8, two shards
        text=dict(model_type="gemma", vocab_size=421, hidden_size=33, num_hidden_layers=4, intermediate_size=50, num_attention_heads=2, num_key_value_heads=1, head_dim=10,
                  hidden_act="gelu_pytorch_tanh", rms_norm_eps=1e-6, rope_theta=2000.0),
        vision=dict(image_size=40, patch_size=8, hidden_size=20, num_attention_heads=2, intermediate_size=37, num_hidden_layers=3),
        image_token=420, stored="bf16", shards=2, layout="model", keys="new", score=2.5, eos=(1, 5, 1.25)),
    "gemma2_untied": dict(  # untied LM head, 4 heads per kv head, written by save_pretrained
        text=dict(model_type="gemma2", vocab_size=424, hidden_size=28, num_hidden_layers=3, intermediate_size=45, num_attention_heads=4, num_key_value_heads=1, head_dim=10,
                  query_pre_attn_scalar=10, sliding_window=7, attn_logit_softcapping=5.0, final_logit_softcapping=30.0, rms_norm_eps=1e-6, rope_theta=10000.0,
                  hidden_activation="gelu_pytorch_tanh"),
        vision=dict(image_size=42, patch_size=14, hidden_size=30, num_attention_heads=3, intermediate_size=41, num_hidden_layers=2),
        image_token=421, stored="f32", shards=1, layout="saved", keys="saved", score=4.0, eos=(2, 7, 1.25), untied=True),
    "gemma1_defaults": dict(  # config.json omits everything with a default in transformers: head_dim 256, image_size 224 ...
        text=dict(model_type="gemma", vocab_size=424, hidden_size=24, num_hidden_layers=2, intermediate_size=40, num_attention_heads=2, num_key_value_heads=1),
        vision=dict(patch_size=32, hidden_size=16, num_attention_heads=2, intermediate_size=24, num_hidden_layers=2),
        image_token=420, stored="bf16", shards=1, layout="published", keys="old", score=2.5, eos=None),
    "gemma2_defaults": dict(  # the same for PaliGemma 2: query scalar 256, window 4096, softcaps 50 and 30
        text=dict(model_type="gemma2", vocab_size=424, hidden_size=24, num_hidden_layers=3, intermediate_size=40, num_attention_heads=2, num_key_value_heads=1),
        vision=dict(patch_size=32, hidden_size=16, num_attention_heads=2, intermediate_size=24, num_hidden_layers=2),
        image_token=420, stored="bf16", shards=1, layout="modules", keys="old", score=4.0, eos=None),
    "gemma2_head": dict(  # tied LM head also stored; <image> outside the embedding table; other mean and std; layer types not alternating
        text=dict(model_type="gemma2", vocab_size=420, hidden_size=32, num_hidden_layers=3, intermediate_size=48, num_attention_heads=4, num_key_value_heads=4, head_dim=8,
                  query_pre_attn_scalar=12, sliding_window=6, attn_logit_softcapping=4.0, final_logit_softcapping=20.0, rms_norm_eps=1e-6, rope_theta=100.0,
                  hidden_activation="gelu_pytorch_tanh", layer_types=["full_attention", "sliding_attention", "sliding_attention"]),
        vision=dict(image_size=48, patch_size=16, hidden_size=32, num_attention_heads=4, intermediate_size=64, num_hidden_layers=2),
        image_token=420, stored="f16", shards=2, layout="model", keys="new", score=4.0, eos=None, head_in_file=True, mean=[0.48, 0.46, 0.41], std=[0.27, 0.26, 0.28]),
}
FOUND = dict(gemma2_window=2, gemma2_grouped=29, gemma1_half=72, gemma1_renamed=74, gemma2_untied=1, gemma1_defaults=190, gemma2_defaults=286,
             gemma2_head=49)  # results of the seed search from 0; tried first
CASES = [  # images, prompt, answer to score
    (["wide"], "caption en", "a cow on the beach"),
    (["tall"], "answer en where is the cow?", "the cow is on the grass"),
    (["wide", "small"], "detect cat ; dog", "two cats and a dog"),
]
WORDS = """caption en answer where is the cow what in image detect cat dog tiger ; segment tree car a an of on and with red green blue white black small large
two three four cats dogs people man woman standing sitting running next to grass water sky house street table plate food sun moon hill beach bird boat train
road sign clock tower bridge horse sheep zebra bear under over near left right top bottom question describe ocr yes no many color are there"""


# ---------------------------------------------------------------- vocabulary and images
def make_tokenizer():
    """Returns a small byte-fallback BPE vocabulary with the flags and special ids of Gemma's."""
    rng = np.random.default_rng(1)
    words = WORDS.split()
    lines = [" ".join(rng.choice(words, 8)) + rng.choice(["", "?", ",", "."]) for _ in range(400)]
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, vocab_size=PIECES, model_type="bpe", byte_fallback=True, pad_id=PAD, eos_id=EOS, bos_id=BOS, unk_id=3,
        pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>", normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
        user_defined_symbols=["\n"], minloglevel=2, num_threads=1)
    return out.getvalue()


def make_images(folder):
    """Returns images of shapes on a noisy color ramp: larger and smaller than the models' inputs, wide and tall."""
    os.makedirs(folder, exist_ok=True)
    rng, made = np.random.default_rng(2), {}
    for name, (width, height) in {"wide": (61, 45), "tall": (30, 90), "small": (17, 13)}.items():
        y, x = np.mgrid[0:height, 0:width] / max(width, height)
        image = rng.uniform(0, 255, 3) * (1 - x)[..., None] + rng.uniform(0, 255, 3) * y[..., None]
        for _ in range(4):
            cy, cx, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(.1, .35)
            image[(y * max(width, height) / height - cy) ** 2 + (x * max(width, height) / width - cx) ** 2 < r * r] = rng.uniform(0, 255, 3)
        made[name] = Image.fromarray((image + rng.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8))
        made[name].save(f"{folder}/{name}.png", optimize=True)
    return made


# ---------------------------------------------------------------- checkpoints
def make_config(spec):
    text, vision = dict(spec["text"]), dict(spec["vision"], model_type="siglip_vision_model", vision_use_head=False)
    return PaliGemmaConfig(text_config=text, vision_config=vision, image_token_index=spec["image_token"], projection_dim=text["hidden_size"], hidden_size=text["hidden_size"],
                           tie_word_embeddings=not spec.get("untied", False), attn_implementation="eager")


def fill(model, spec, seed):
    """Fills the model with random weights such that each block changes the residual stream, attention is peaked, norms and biases
    matter."""
    text = model.config.text_config
    scalar = text.query_pre_attn_scalar if text.model_type == "gemma2" else text.head_dim
    gain = (spec["score"] / (text.head_dim ** .5 * scalar ** -.5)) ** .5
    for name, p in model.named_parameters():
        g = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))
        n = torch.randn(p.shape, generator=g, dtype=torch.float32)
        decoder = "language_model" in name
        if name == "lm_head.weight" or name.endswith("embed_tokens.weight"):
            w = n * .5 / p.shape[1] ** .5
            w[5:261] *= .3      # byte pieces are generated rarely
            w[PIECES:] *= .1    # ids without a piece are never generated; published tables are padded as well
        elif "norm" in name and decoder:
            w = 5 + n if name.endswith("language_model.norm.weight") else .3 * n
        elif "norm" in name:
            w = 1 + .3 * n if name.endswith("weight") else .3 * n
        elif name.endswith("bias"):
            w = .3 * n
        elif "position_embedding" in name:
            w = .5 * n
        else:
            fan = p[0].numel()
            scale = 2. if "patch_embedding" in name else 1.5 if "down_proj" in name or "fc2" in name or "o_proj" in name or "out_proj" in name else 1.
            if "q_proj" in name or "k_proj" in name: scale = gain if decoder else 2.5 ** .5
            w = n * scale / fan ** .5
        p.copy_(w.to(DTYPES[spec["stored"]]).float())


def write_folder(folder, model, spec):
    """Writes a Hugging Face model folder with the same files as a published one."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    text, vision = dict(spec["text"]), dict(spec["vision"], model_type="siglip_vision_model")
    c, stored = model.config, str(DTYPES[spec["stored"]]).removeprefix("torch.")
    patches = (c.vision_config.image_size // c.vision_config.patch_size) ** 2
    if spec["keys"] == "saved":
        model.to(DTYPES[spec["stored"]]).save_pretrained(folder)
        model.float()
    else:
        vision.update(projection_dim=c.projection_dim, num_image_tokens=patches, vision_use_head=False)
        top = dict(architectures=["PaliGemmaForConditionalGeneration"], model_type="paligemma", bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD, projection_dim=c.projection_dim)
        if spec["keys"] == "old":  # as published: also a top-level hidden_size, which is not the decoder's
            text.update(torch_dtype=stored, num_image_tokens=patches)
            top.update(image_token_index=spec["image_token"], hidden_size=2048, torch_dtype=stored, transformers_version="4.41.0.dev0")
        else:
            text["rope_parameters"] = dict(rope_theta=text.pop("rope_theta"), rope_type="default")
            text.update(dtype=stored)
            if text["model_type"] == "gemma2": text.setdefault("layer_types", c.text_config.layer_types)
            top.update(image_token_id=spec["image_token"], dtype=stored, tie_word_embeddings=True)
        top.update(text_config=text, vision_config=vision)
        json.dump(top, open(f"{folder}/config.json", "w"), indent=1)
        tensors = {}
        for name, p in model.state_dict().items():
            if name == "lm_head.weight" and not spec.get("head_in_file"): continue
            for ours, theirs in LAYOUTS[spec["layout"]]:
                if name.startswith(ours): name = theirs + name.removeprefix(ours); break
            tensors[name] = p.detach().to(DTYPES[spec["stored"]]).clone().contiguous()
        shards = spec["shards"]
        if shards == 1:
            save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})
        else:
            names, where = list(tensors), {}
            for k in range(shards):
                part, file = names[k * len(names) // shards:(k + 1) * len(names) // shards], f"model-{k + 1:05d}-of-{shards:05d}.safetensors"
                save_file({n: tensors[n] for n in part}, f"{folder}/{file}", metadata={"format": "pt"})
                where.update({n: file for n in part})
            json.dump(dict(metadata=dict(total_size=sum(t.numel() * t.element_size() for t in tensors.values())), weight_map=where),
                      open(f"{folder}/model.safetensors.index.json", "w"), indent=1)
    size = c.vision_config.image_size
    json.dump(dict(do_convert_rgb=None, do_normalize=True, do_rescale=True, do_resize=True, image_mean=spec.get("mean", [.5] * 3), image_processor_type="SiglipImageProcessor",
                   image_seq_length=patches, image_std=spec.get("std", [.5] * 3), resample=3, rescale_factor=0.00392156862745098, size=dict(height=size, width=size)),
              open(f"{folder}/preprocessor_config.json", "w"), indent=1)
    if spec["keys"] == "old": json.dump({"<image>": spec["image_token"]}, open(f"{folder}/added_tokens.json", "w"))
    json.dump(dict(_from_model_config=True, bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD), open(f"{folder}/generation_config.json", "w"))
    open(f"{folder}/tokenizer.model", "wb").write(make_tokenizer())


def read_folder(folder):
    """Loads the folder with transformers in float32. Every tensor must be used and none missing."""
    model, info = PaliGemmaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return model.eval()


# ---------------------------------------------------------------- what transformers computes
@contextlib.contextmanager
def float64(model):
    """Computes in float64, also where the modules cast to float32."""
    to_float, softmax = torch.Tensor.float, F.softmax
    torch.Tensor.float = lambda self, *a: self if self.dtype == torch.float64 else to_float(self, *a)
    F.softmax = lambda x, dim=None, dtype=None, **k: softmax(x, dim=dim, dtype=torch.float64 if x.dtype == torch.float64 else dtype)
    model.double()
    try: yield
    finally:
        torch.Tensor.float, F.softmax = to_float, softmax
        model.float()


@contextlib.contextmanager
def bf16_products(model):
    """Computes in float32 with both operands of every linear layer rounded to bf16: the largest error allowed with bf16 weights."""
    kept = {n: p.clone() for n, p in model.named_parameters()}
    hooks = []
    for m in model.modules():
        if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d)):
            hooks.append(m.register_forward_pre_hook(lambda _, a: (a[0].bfloat16().float(),)))
            m.weight.copy_(m.weight.bfloat16().float())
    model.get_input_embeddings().weight.copy_(model.get_input_embeddings().weight.bfloat16().float())
    try: yield
    finally:
        for h in hooks: h.remove()
        for n, p in model.named_parameters(): p.copy_(kept[n])


def prompt_tokens(sp, prompt):
    return [BOS] + sp.encode(prompt) + sp.encode("\n")  # the newline is tokenized separately, as in training


def forward(model, pixels, ids, suffix=(), **more):
    """Runs the model without a KV cache. The prefix (type 0) has full attention, the suffix (type 1) is causal."""
    all_ids = torch.tensor([list(ids) + list(suffix)])
    types = torch.tensor([[0] * len(ids) + [1] * len(suffix)])
    return model(input_ids=all_ids, pixel_values=pixels, attention_mask=torch.ones_like(all_ids), token_type_ids=types, use_cache=False, **more).logits[0]


def greedy(model, pixels, ids, count=NEW_TOKENS):
    """Decodes greedily without a KV cache, as the reference for cached decoding. Returns tokens, log-probabilities and logit margins."""
    out, logprobs, margins = [], [], []
    while len(out) < count and EOS not in out:
        row = forward(model, pixels, ids, out)[-1]
        top = row.topk(2)
        out.append(int(top.indices[0]))
        logprobs.append(float(row.log_softmax(-1)[out[-1]]))
        margins.append(float(top.values[0] - top.values[1]))
    return out, logprobs, margins


def generate(model, pixels, ids, count=NEW_TOKENS, **more):
    t = torch.tensor([ids])
    return model.generate(input_ids=t, pixel_values=pixels, attention_mask=torch.ones_like(t), token_type_ids=torch.zeros_like(t), max_new_tokens=count, do_sample=False,
                          pad_token_id=PAD, eos_token_id=EOS, return_dict_in_generate=True, output_scores=True, **more)


def generated(model, pixels, ids, **more):
    tokens = generate(model, pixels, ids, **more).sequences[0, len(ids):].tolist()
    return tokens[:tokens.index(EOS) + 1] if EOS in tokens else tokens


def beams(model, pixels, ids, length_penalty, early_stopping, **more):
    g = generate(model, pixels, ids, BEAM_TOKENS, num_beams=BEAMS, length_penalty=length_penalty, early_stopping=early_stopping, **more)
    tokens = g.sequences[0, len(ids):].tolist()
    return tokens[:tokens.index(EOS) + 1] if EOS in tokens else tokens, float(g.sequences_scores[0])


def score(model, pixels, ids, answer):
    logits = forward(model, pixels, ids, answer[:-1])[len(ids) - 1:]
    return [float(r.log_softmax(-1)[t]) for r, t in zip(logits, answer)]


def record(model, pixels, ids, suffix=()):
    """Records the outputs of the modules with forward hooks."""
    kept, hooks = {}, []
    def keep(module, name): hooks.append(module.register_forward_hook(lambda m, a, o: kept.__setitem__(name, (o[0] if isinstance(o, tuple) else o).detach().clone())))
    inner = model.model
    keep(inner.vision_tower.embeddings, "patch_embeddings")
    for i, layer in enumerate(inner.vision_tower.encoder.layers): keep(layer, f"vision_layer.{i}")
    keep(inner.vision_tower.post_layernorm, "vision_norm")
    keep(inner.multi_modal_projector, "projected")
    hooks.append(inner.language_model.register_forward_pre_hook(lambda m, a, k: kept.__setitem__("embeddings", k["inputs_embeds"].detach().clone()), with_kwargs=True))
    for i, layer in enumerate(inner.language_model.layers): keep(layer, f"layer.{i}")
    keep(inner.language_model.norm, "norm")
    hooks.append(inner.language_model.register_forward_pre_hook(lambda m, a, k: kept.__setitem__("position_ids", k["position_ids"].clone()), with_kwargs=True))
    kept["logits"] = forward(model, pixels, ids, suffix)[None]
    for h in hooks: h.remove()
    return kept


VISION = ("patch_embeddings", "vision_layer", "vision_norm", "projected")


def examine(model, spec, images, sp, processor):
    """Returns all goldens of one checkpoint. Raises ValueError with the reason if this seed is not discriminating enough."""
    def need(condition, why):
        if not condition: raise ValueError(why)
    vision = model.config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    pixels = {n: torch.from_numpy(np.ascontiguousarray(processor(images=p, return_tensors="np")["pixel_values"])).float() for n, p in images.items()}
    cases, golden, tolerance = [], {}, {}
    ids_of = lambda names, prompt: [spec["image_token"]] * patches * len(names) + prompt_tokens(sp, prompt)
    batch = lambda names, dtype=torch.float32: torch.cat([pixels[n] for n in names]).to(dtype)
    finished = 0
    for number, (names, prompt, answer) in enumerate(CASES):
        ids, px = ids_of(names, prompt), batch(names)
        tokens, logprobs, margins = greedy(model, px, ids)
        need(len(set(tokens[:12])) >= min(5, len(tokens) - 1), "text does not vary")
        need(all(3 < t < PIECES or t == EOS for t in tokens), "said an id that is no text")
        need("\ufffd" not in sp.decode([t for t in tokens if t != EOS]), "text is not UTF-8")
        need(len(tokens) >= 4, "ends too early")
        finished += tokens[-1] == EOS
        others = [(n, q) for n, q, _ in CASES]
        for other_names, other_prompt in ((others[(number + 1) % 3][0], prompt), (names, others[(number + 1) % 3][1])):
            need(greedy(model, batch(other_names), ids_of(other_names, other_prompt), 6)[0] != tokens[:6], "does not depend on image or prompt")
        answer_tokens = sp.encode(answer) + [EOS]
        kept = record(model, px, ids)
        after = record(model, px, ids, tokens[:-1])  # the reference rows for the cached decoder
        need(float(after["position_ids"][0, 0]) == 1, "positions begin at 1")
        with float64(model):
            exact, exact_after = record(model, px.double(), ids), record(model, px.double(), ids, tokens[:-1])
            exact_beams = [beams(model, px.double(), ids, penalty, early)[0] for penalty, early in ((1., False), (.6, False), (1., True))]
            need(greedy(model, px.double(), ids)[0] == tokens, "float64 says something else")
            exact_least, exact_repetition = (generated(model, px.double(), ids, **o) for o in (LEAST, REPETITION))
            exact_score = score(model, px.double(), ids, answer_tokens)
        with bf16_products(model):
            rounded = record(model, px, ids, tokens[:-1])["logits"]
        for name, value in kept.items():
            if name == "position_ids": continue
            stage = name.split(".")[0]
            difference = float((value.double() - exact[name].double()).abs().max())
            if stage in ("norm", "logits", "layer"): difference = max(difference, float((after[name].double() - exact_after[name].double()).abs().max()))
            largest = float(exact[name].abs().max())
            tolerance[stage] = max(tolerance.get(stage, 0), 16 * difference, 4e-6 * largest)
        largest = float(kept["logits"].abs().max())
        need(tolerance["logits"] <= 1e-4 * largest, f"float32 is too rough: {tolerance['logits']:.1e} of {largest:.1f}")
        need(min(margins) > 1e-3 * largest and min(margins) > 10 * tolerance["logits"], f"a margin of {min(margins):.1e}")
        # transformers with its KV cache must agree with transformers without
        cached = generate(model, px, ids, use_cache=True)
        plain = generate(model, px, ids, use_cache=False)
        cached_tokens, plain_tokens = cached.sequences[0, len(ids):].tolist(), plain.sequences[0, len(ids):].tolist()
        steps = torch.cat(cached.scores)
        cache_difference = float((steps - after["logits"][0, len(ids) - 1:][:len(steps)]).abs().max()) if cached_tokens == tokens else float("inf")
        searched = []
        for k, (penalty, early) in enumerate(((1., False), (.6, False), (1., True))):
            found, value = beams(model, px, ids, penalty, early)
            need(found == exact_beams[k], "beams are not robust")
            searched.append(dict(num_beams=BEAMS, length_penalty=penalty, early_stopping=early, max_new_tokens=BEAM_TOKENS, tokens=found, score=value))
        least, repetition = (generated(model, px, ids, **o) for o in (LEAST, REPETITION))
        need(least == exact_least and repetition == exact_repetition, "processed logits are not robust")
        logged = score(model, px, ids, answer_tokens)
        tolerance["logprob"] = max(tolerance.get("logprob", 0), 2 * tolerance["logits"], 16 * max(abs(a - b) for a, b in zip(logged, exact_score)))
        key = f"case.{number}."
        for name, value in kept.items():
            if name == "position_ids" or name.split(".")[0] in VISION: continue
            if number == 2 and name.startswith("layer."): continue  # two images: only the decoder's input and output
            golden[key + name] = value[0]
        golden[key + "decode_norm"] = after["norm"][0, len(ids) - 1:]
        if number == 0: golden[key + "decode_logits"] = after["logits"][0, len(ids) - 1:]
        golden[key + "logits"] = golden[key + "logits"][-20 if number == 0 else -1:]  # only the last positions
        cases.append(dict(
            images=[f"images/{n}.png" for n in names], prompt=prompt, input_ids=ids, prompt_tokens=ids[patches * len(names):], max_new_tokens=NEW_TOKENS, tokens=tokens,
            text=sp.decode([t for t in tokens if t != EOS]), finish_reason="eos" if tokens[-1] == EOS else "length", logprobs=logprobs, margins=margins, beams=searched,
            processed=[dict(o, tokens=t, logprobs=score(model, px, ids, t)) for o, t in ((LEAST, least), (REPETITION, repetition))],
            answer=dict(text=answer, tokens=answer_tokens, logprobs=logged, logprob=sum(logged)),
            bf16_logits_difference=float((rounded - after["logits"]).abs().max()),
            transformers=dict(cached_equals_recomputed=cached_tokens == tokens, generate_without_cache_equals_recomputed=plain_tokens == tokens, largest_logit_difference=cache_difference)))
    need(len({tuple(c["tokens"][:6]) for c in cases}) == len(cases), "cases do not differ")
    ends = spec["eos"] is not None
    need(finished == (ends and spec["eos"][2] > 1), f"{finished} sequences end by EOS")
    need(not ends or spec["eos"][2] > 1 or any(b["tokens"][-1] == EOS for c in cases for b in c["beams"]), "no beam ends by EOS")
    for name in images:  # the vision tower processes one image at a time
        kept = record(model, pixels[name], ids_of([name], "a"))
        if pixels[name].numel() <= 3 * (70 if name == "tall" else 48) ** 2: golden[f"image.{name}.pixel_values"] = pixels[name][0]
        for stage, value in kept.items():
            if name == "small" and stage != "projected": continue
            if stage.split(".")[0] in VISION: golden[f"image.{name}.{stage}"] = value[0]
    tolerance["pixel_values"] = 1e-6
    return cases, {k: v.contiguous().float() for k, v in golden.items()}, tolerance, patches


def say_eos(model, spec, images, sp, processor):
    """Sets the LM head's EOS row along the hidden state of the step at which the case shall end."""
    if spec["eos"] is None: return
    number, step, factor = spec["eos"]
    names, prompt, _ = CASES[number]
    vision = model.config.vision_config
    ids = [spec["image_token"]] * ((vision.image_size // vision.patch_size) ** 2 * len(names)) + prompt_tokens(sp, prompt)
    px = torch.cat([torch.from_numpy(np.ascontiguousarray(processor(images=images[n], return_tensors="np")["pixel_values"])).float() for n in names])
    tokens, _, _ = greedy(model, px, ids, step + 1)
    if EOS in tokens[:step]: return
    kept = record(model, px, ids, tokens[:step])
    hidden = kept["norm"][0, -1]
    row = kept["logits"][0, -1]
    cap = getattr(model.config.text_config, "final_logit_softcapping", None)
    top = float(row.max())
    if cap: top = cap * float(np.arctanh(min(top / cap, .999)))
    weight = model.lm_head.weight
    weight[EOS] = (hidden * (factor * top / float(hidden @ hidden))).to(DTYPES[spec["stored"]]).float()


def resolved(config):
    """Returns the config as transformers resolves it, with all defaults filled in."""
    t, v = config.text_config, config.vision_config
    two = t.model_type == "gemma2"
    return dict(
        vision=dict(image_size=v.image_size, patch_size=v.patch_size, hidden=v.hidden_size, layers=v.num_hidden_layers, intermediate=v.intermediate_size, heads=v.num_attention_heads,
                    norm_eps=v.layer_norm_eps),
        vocab=t.vocab_size, hidden=t.hidden_size, layers=t.num_hidden_layers, intermediate=t.intermediate_size, heads=t.num_attention_heads, kv_heads=t.num_key_value_heads,
        head_dim=t.head_dim, query_pre_attn_scalar=t.query_pre_attn_scalar if two else t.head_dim, attention_softcap=t.attn_logit_softcapping if two else 0,
        final_softcap=t.final_logit_softcapping if two else 0, rope_theta=t.rope_parameters["rope_theta"], norm_eps=t.rms_norm_eps, post_norms=two,
        windows=[t.sliding_window if kind == "sliding_attention" else 0 for kind in t.layer_types] if two else [0] * t.num_hidden_layers)


def main(out, wanted):
    images = make_images(f"{out}/images")
    sp = spm.SentencePieceProcessor(model_proto=make_tokenizer())
    assert sp.vocab_size() == PIECES, sp.vocab_size()
    os.makedirs(f"{out}/goldens", exist_ok=True)
    listed = {}
    if wanted and os.path.exists(f"{out}/cases.json"): listed = {c["name"]: c for c in json.load(open(f"{out}/cases.json"))["checkpoints"]}
    for name, spec in CHECKPOINTS.items():
        if wanted and name not in wanted: continue
        model = PaliGemmaForConditionalGeneration(make_config(spec)).eval()
        assert model.config.text_config._attn_implementation == "eager"
        size = model.config.vision_config.image_size
        processor = SiglipImageProcessorPil(image_mean=spec.get("mean", [.5] * 3), image_std=spec.get("std", [.5] * 3), size=dict(height=size, width=size))
        for seed in itertools.chain([FOUND[name]] if name in FOUND else [], range(1000)):
            fill(model, spec, seed)
            say_eos(model, spec, images, sp, processor)
            try: examine(model, spec, images, sp, processor)
            except ValueError as why: print(f"{name}: seed {seed}: {why}", file=sys.stderr); continue
            break
        else: sys.exit(f"{name}: no seed will do")
        folder = f"{out}/{name}"
        write_folder(folder, model, spec)
        read = read_folder(folder)
        for (key, a), (_, b) in zip(sorted(model.state_dict().items()), sorted(read.state_dict().items())): assert torch.equal(a, b), key
        cases, golden, tolerance, patches = examine(read, spec, images, sp, processor)
        save_file(golden, f"{out}/goldens/{name}.safetensors", metadata=dict(made=f"seed {seed}, transformers {transformers.__version__}, torch {torch.__version__}"))
        for file in [f"{out}/goldens/{name}.safetensors", *(f"{folder}/{f}" for f in os.listdir(folder))]: os.chmod(file, 0o644)
        listed[name] = dict(name=name, folder=name, golden=f"goldens/{name}.safetensors", family=spec["text"]["model_type"], seed=seed, stored=spec["stored"], shards=spec["shards"],
                            layout=spec["layout"], keys=spec["keys"], tied=not spec.get("untied", False), image_token=spec["image_token"], image_tokens=patches,
                            mean=spec.get("mean", [.5] * 3), std=spec.get("std", [.5] * 3), config=resolved(read.config), tolerances=tolerance, cases=cases)
        print(f"{name}: seed {seed}, logits within {tolerance['logits']:.1e}", [(c["text"], c["finish_reason"]) for c in cases])
    text = json.dumps(dict(
        about="made by tests/golden/models.py; transformers in float32, recomputed in full for each token, eager attention, one thread",
        versions={m.__name__: m.__version__ for m in (transformers, torch, PIL, spm, np, safetensors)},
        tolerances="absolute, by stage: 16 times the largest difference between float32 and float64, at least 4e-6 of the largest value; logprob: twice the logits'",
        checkpoints=[listed[n] for n in CHECKPOINTS if n in listed]), indent=1)
    text = re.sub(r"\[[-\d\s.,e]*\]", lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text)  # number lists on one line
    open(f"{out}/cases.json", "w").write(text + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 2 or any(n not in CHECKPOINTS for n in sys.argv[2:]): sys.exit(f"{__doc__}\nnames: {' '.join(CHECKPOINTS)}")
    main(sys.argv[1], sys.argv[2:])
