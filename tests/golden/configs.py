#!/usr/bin/env python3
"""How transformers interprets many config.json files: old and new keys, missing keys, nulls, layer types, every spelling of RoPE.

usage: configs.py [OUT]        writes tests/data/configs/cases.json; needs transformers 5.23 and torch
Each case contains the files of a folder and either the interpretation by transformers or its error. Values are read from the modules that
transformers builds on the meta device; the configuration object is used only for values that no module holds.
"""
import copy, json, os, sys, tempfile
import numpy, torch, transformers
from PIL import Image
from transformers import GenerationConfig, PaliGemmaConfig, PaliGemmaForConditionalGeneration
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

transformers.logging.set_verbosity_error()
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "data", "configs", "cases.json")

TEXT = dict(hidden_size=64, num_hidden_layers=4, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2, head_dim=16, vocab_size=300)
VISION = dict(model_type="siglip_vision_model", hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=3, patch_size=14, image_size=56)
GENERATION = dict(bos_token_id=2, eos_token_id=1, pad_token_id=0)
PREPROCESSOR = dict(image_processor_type="SiglipImageProcessor", do_resize=True, resample=3, do_rescale=True, rescale_factor=1 / 255, do_normalize=True,
                    image_mean=[.5] * 3, image_std=[.5] * 3, size=dict(height=56, width=56))
DROP = object()


def merged(base, change):
    out = copy.deepcopy(base)
    for k, v in (change or {}).items():
        if v is DROP: out.pop(k, None)
        else: out[k] = v
    return out


CASES = []


def case(name, family="gemma2", top=None, text=None, vision=None, **files):
    """`files`: dicts with the keys generation, preprocessor, processor."""
    config = dict(model_type="paligemma", image_token_index=299, projection_dim=64, bos_token_id=2, eos_token_id=1, pad_token_id=0,
                  text_config=merged(dict(TEXT, model_type=family), text), vision_config=merged(VISION, vision))
    config = merged(config, top)
    names = dict(generation="generation_config.json", preprocessor="preprocessor_config.json", processor="processor_config.json")
    CASES.append(dict(name=name, files={"config.json": config, **{names[k]: v for k, v in files.items()}}))


# both generations of files, all keys present
case("gemma 2"); case("gemma 1", "gemma")
case("with companions", generation=GENERATION, preprocessor=PREPROCESSOR)
# missing keys: defaults of transformers
for family in ("gemma", "gemma2"):
    for key in list(TEXT):
        small = {"hidden_size": dict(projection_dim={"gemma": 3072, "gemma2": 2304}[family])}.get(key)
        case(f"{family} without {key}", family, top=small, text={key: DROP, **({"num_attention_heads": 16} if key == "num_key_value_heads" else {})})
    case(f"{family} by default", family, top=dict(projection_dim={"gemma": 3072, "gemma2": 2304}[family]), text={k: DROP for k in TEXT})
for key in VISION: case(f"vision without {key}", vision={key: DROP, **({"hidden_size": 48} if key == "num_attention_heads" else {})})
case("vision by default", vision={k: DROP for k in VISION if k != "model_type"})
case("no vision_config", top=dict(vision_config=DROP)); case("vision_config null", top=dict(vision_config=None))
case("no text_config", top=dict(text_config=DROP, projection_dim=DROP)); case("text_config null", top=dict(text_config=None, projection_dim=DROP))
case("text without model_type", text=dict(model_type=DROP))
case("no projection_dim", text=dict(hidden_size=2048), top=dict(projection_dim=DROP))
case("no image token", top=dict(image_token_index=DROP))
# two names for one key
case("image_token_id", top=dict(image_token_index=DROP, image_token_id=298)); case("both image tokens", top=dict(image_token_id=298))
case("image token outside", top=dict(image_token_index=257152))
case("torch_dtype", top=dict(torch_dtype="bfloat16")); case("dtype", top=dict(dtype="float16")); case("both dtypes", top=dict(dtype="float16", torch_dtype="bfloat16"))
case("dtype null", top=dict(dtype=None, torch_dtype="float32"))
# RoPE
case("rope_theta", text=dict(rope_theta=5000.0)); case("rope_theta integer", text=dict(rope_theta=1000000))
case("rope_parameters", text=dict(rope_parameters=dict(rope_type="default", rope_theta=123.0)))
case("rope_parameters before rope_theta", text=dict(rope_theta=7.0, rope_parameters=dict(rope_type="default", rope_theta=123.0)))
case("rope_parameters without theta", text=dict(rope_theta=7.0, rope_parameters=dict(rope_type="default")))
case("rope_parameters empty", text=dict(rope_theta=7.0, rope_parameters={})); case("rope_parameters null", text=dict(rope_theta=7.0, rope_parameters=None))
case("rope_scaling null", "gemma", text=dict(rope_theta=7.0, rope_scaling=None)); case("rope_scaling default", text=dict(rope_theta=55.0, rope_scaling=dict(type="default")))
case("rope_scaling before rope_parameters", text=dict(rope_scaling=dict(rope_theta=1.5), rope_parameters=dict(rope_theta=2.5)))
case("gemma rope_parameters", "gemma", text=dict(rope_parameters=dict(rope_type="default", rope_theta=99.5)))
# windows
case("window", text=dict(sliding_window=8)); case("odd layers", text=dict(num_hidden_layers=5))
case("layer_types", text=dict(sliding_window=8, layer_types=["full_attention", "sliding_attention", "sliding_attention", "full_attention"]))
case("layer_types null", text=dict(layer_types=None)); case("layer_types full", text=dict(layer_types=["full_attention"] * 4))
case("layer_types older", text=dict(sliding_window=3, layer_types=["attention", "sliding_attention"] * 2))
case("window null, layers full", text=dict(sliding_window=None, layer_types=["full_attention"] * 4))
case("gemma layer_types", "gemma", text=dict(layer_types=["sliding_attention"] * 4))
# scales and softcaps
case("query_pre_attn_scalar", text=dict(query_pre_attn_scalar=144)); case("gemma query_pre_attn_scalar", "gemma", text=dict(query_pre_attn_scalar=144))
case("no softcaps", text=dict(attn_logit_softcapping=None, final_logit_softcapping=None)); case("softcaps", text=dict(attn_logit_softcapping=20.0, final_logit_softcapping=12.5))
case("gemma softcaps", "gemma", text=dict(attn_logit_softcapping=20.0, final_logit_softcapping=12.5))
case("epsilons", text=dict(rms_norm_eps=1e-5), vision=dict(layer_norm_eps=1e-12))
# activations
case("gemma gelu", "gemma", text=dict(hidden_act="gelu")); case("gemma hidden_activation", "gemma", text=dict(hidden_activation="relu"))
case("gemma 2 hidden_act", text=dict(hidden_act="relu"))
# the image
case("odd image", vision=dict(image_size=60)); case("head", vision=dict(vision_use_head=True))
case("vision projection_dim", vision=dict(projection_dim=7)); case("top hidden_size", top=dict(hidden_size=4))
P = lambda **k: merged(PREPROCESSOR, k)
case("preprocessor by default", preprocessor={"image_processor_type": "SiglipImageProcessor"}, vision=dict(image_size=224))
case("preprocessor says other things", preprocessor=P(resample=2, image_mean=[.1, .2, .3], image_std=[.4, .5, .6], rescale_factor=.25))
case("preprocessor off", preprocessor=P(do_rescale=False, do_normalize=False)); case("preprocessor nulls", preprocessor=P(image_mean=None, image_std=None, do_normalize=None, rescale_factor=None, do_rescale=None, do_resize=None))
# preprocessing steps that do not change an image of the model's size
SAME = {"padded": dict(do_pad=True), "padded to its size": dict(do_pad=True, pad_size=dict(height=56, width=56)), "cut to its size": dict(do_center_crop=True, crop_size=dict(height=56, width=56))}
for name, change in SAME.items(): case(name, preprocessor=P(**change))
case("processor nested", processor=dict(processor_class="PaliGemmaProcessor", image_processor=P(resample=1)), preprocessor=P(resample=0))
case("processor without", processor=dict(processor_class="PaliGemmaProcessor"), preprocessor=P(resample=0))
# ids
case("eos list", generation=dict(GENERATION, eos_token_id=[1, 107])); case("ids of generation", generation=dict(bos_token_id=5, eos_token_id=6, pad_token_id=7))
case("ids of text", top=dict(bos_token_id=DROP, eos_token_id=DROP, pad_token_id=DROP), text=dict(bos_token_id=11, eos_token_id=[12, 13], pad_token_id=14))
case("ids of both", top=dict(bos_token_id=21, eos_token_id=22, pad_token_id=23), text=dict(bos_token_id=11, eos_token_id=12, pad_token_id=14))
case("ids by default", top=dict(bos_token_id=DROP, eos_token_id=DROP, pad_token_id=DROP)); case("no eos", top=dict(eos_token_id=DROP), text=dict(eos_token_id=None))
# rejected by transformers
for name, change in {"float for integer": dict(hidden_size=64.0), "string for integer": dict(hidden_size="64"), "null size": dict(hidden_size=None),
                     "boolean for integer": dict(num_hidden_layers=True), "null head_dim": dict(head_dim=None), "null epsilon": dict(rms_norm_eps=None),
                     "string for number": dict(rms_norm_eps="1e-6"), "null scalar": dict(query_pre_attn_scalar=None), "few layer_types": dict(layer_types=["full_attention"]),
                     "unknown layer_types": dict(layer_types=["x"] * 4), "null model_type": dict(model_type=None), "null activation": dict(hidden_activation=None),
                     "odd head_dim": dict(head_dim=7), "float window": dict(sliding_window=4.0), "null bias": dict(attention_bias=None), "integer bias": dict(attention_bias=1),
                     "string softcap": dict(final_logit_softcapping="30"), "string layer_types": dict(layer_types="full_attention"), "other rope": dict(rope_parameters="default")}.items():
    case("refused: " + name, text=change)
for name, change in {"two sides": dict(image_size=[56, 56]), "null patch": dict(patch_size=None), "string epsilon": dict(layer_norm_eps="x"), "no divisor": dict(num_attention_heads=5)}.items():
    case("refused: vision " + name, vision=change)
for name, change in {"null image token": dict(image_token_index=None), "null projection": dict(projection_dim=None), "text list": dict(text_config=[1]), "vision string": dict(vision_config="siglip")}.items():
    case("refused: " + name, top=change)


def understood(folder, files):
    c = PaliGemmaConfig.from_pretrained(folder)
    with torch.device("meta"): m = PaliGemmaForConditionalGeneration(c)
    lm, vt = m.model.language_model, m.model.vision_tower
    a, v = lm.layers[0].self_attn, vt.encoder.layers[0].self_attn
    t = c.text_config
    second = hasattr(lm.layers[0], "pre_feedforward_layernorm")
    if m.model.multi_modal_projector.linear.out_features != lm.embed_tokens.embedding_dim: raise ValueError("projector and decoder do not fit")
    # scaling is x ** -0.5; inverting it is exact enough for integers
    out = dict(vocab=lm.embed_tokens.num_embeddings, hidden=lm.embed_tokens.embedding_dim, layers=len(lm.layers), intermediate=lm.layers[0].mlp.gate_proj.out_features,
               heads=a.q_proj.out_features // a.head_dim, kv_heads=a.k_proj.out_features // a.head_dim, head_dim=a.head_dim, query_pre_attn_scalar=round(a.scaling ** -2, 3),
               attention_softcap=(a.attn_logit_softcapping or 0) if second else 0, final_softcap=getattr(t, "final_logit_softcapping", None) or 0, rope_theta=t.rope_parameters["rope_theta"],
               norm_eps=lm.norm.eps, post_norms=second, windows=[(getattr(l.self_attn, "sliding_window", None) or 0) for l in lm.layers],
               vision=dict(image_size=vt.embeddings.image_size, patch_size=vt.embeddings.patch_size, patches=vt.embeddings.num_patches, hidden=vt.embeddings.embed_dim, layers=len(vt.encoder.layers),
                           intermediate=vt.encoder.layers[0].mlp.fc1.out_features, heads=v.num_heads, norm_eps=vt.post_layernorm.eps),
               image_token=c.image_token_id, dtype=str(c.dtype).removeprefix("torch.") if c.dtype else "")
    # generation_config.json takes precedence if present; otherwise the values come from the model config
    g = GenerationConfig.from_pretrained(folder) if "generation_config.json" in files else GenerationConfig.from_model_config(c)
    eos = g.eos_token_id
    out.update(bos=g.bos_token_id, pad=g.pad_token_id, eos=eos if isinstance(eos, list) else [] if eos is None else [eos])
    if "preprocessor_config.json" in files or "processor_config.json" in files:
        p = SiglipImageProcessorPil.from_pretrained(folder)
        if getattr(p, "do_pad", None) or getattr(p, "do_center_crop", None):
            for height, width in ((56, 56), (90, 40), (31, 200)):
                photo = Image.fromarray(numpy.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=numpy.uint8))
                plain, same = p(images=photo, do_pad=False, do_center_crop=False).pixel_values[0], p(images=photo).pixel_values[0]
                if plain.shape != same.shape or (plain != same).any(): raise ValueError("an image is not left as it is")
        out["image"] = dict(width=p.size["width"], height=p.size["height"], resample=int(p.resample), do_resize=p.do_resize, do_rescale=p.do_rescale, do_normalize=p.do_normalize,
                              rescale_factor=p.rescale_factor, **(dict(mean=list(p.image_mean), deviation=list(p.image_std)) if p.do_normalize else {}))
        out["image"] = {k: False if v is None else v for k, v in out["image"].items()}
        if not p.do_rescale: del out["image"]["rescale_factor"]
    return out


for c in CASES:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in c["files"].items(): json.dump(content, open(os.path.join(folder, name), "w"))
        try: c["understood"] = understood(folder, c["files"])
        except Exception as e: c["refused"] = type(e).__name__
    expected = c["name"].startswith("refused: ")
    if expected != ("refused" in c): raise SystemExit(f"{c['name']}: {c.get('refused', 'not refused')}")

os.makedirs(os.path.dirname(OUT), exist_ok=True)
with open(OUT, "w") as f:
    f.write('{"transformers": "%s", "torch": "%s", "cases": [\n' % (transformers.__version__, torch.__version__.split("+")[0]))
    f.write(",\n".join(json.dumps(c) for c in CASES)); f.write("\n]}\n")
print(len(CASES), "cases;", sum("refused" in c for c in CASES), "refused;", os.path.getsize(OUT), "bytes")
