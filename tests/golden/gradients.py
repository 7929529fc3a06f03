#!/usr/bin/env python3
"""Writes tests/data/train: gradients and AdamW steps of transformers in float64, for the tiny checkpoints and for decoder layers of real width.

usage: gradients.py [MODELS [OUT]]      default: tests/data/models tests/data/train; takes half a minute and 5 GB

The loss is transformers' own, with the labels and token types that its processor makes for training: the mean cross entropy over the suffix
and EOS. The gradients are autograd's. Central differences check three of them for each checkpoint, and each run checks that a wrong mask,
window or softcap would be noticed. tests/golden/README.md describes the files.
"""
import contextlib, json, os, re, sys
import numpy as np, torch, transformers
from PIL import Image
from safetensors.numpy import save_file
from transformers.masking_utils import create_sliding_window_causal_mask
from transformers.models.gemma2 import modeling_gemma2

import models  # one thread, deterministic, no gradients by default

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "data", "models")
OUT = sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "..", "data", "train")
EXAMPLES = dict(gemma2_window=2, gemma2_grouped=0, gemma1_half=0, gemma1_renamed=1, gemma2_untied=1, gemma1_defaults=0, gemma2_defaults=1, gemma2_head=2)  # case of cases.json
FULL = ("gemma2_window", "gemma1_renamed")  # every element of every gradient, and the optimizer
PICKED, SIGNS, SIGNS_SEED = 64, 8, 0
STEPS, ADAMW = 10, dict(lr=1e-3, betas=(.9, .999), eps=1e-8, weight_decay=0.)
NO_GRADIENT = re.compile(r"vision_tower.*k_proj\.bias")  # softmax does not depend on it; the gradient is rounding

# Decoder layers of real width. intermediate: of the 3B, and a small one for slow builds
ROWS, PREFIX, WINDOW = 284, 264, 16
LAYERS = dict(layer=9216, layer_small_mlp=512)
SHIFTS = dict(x=-1, upstream=0, norm=2, q_proj=4, k_proj=4, v_proj=5, o_proj=5, gate_proj=5, up_proj=5, down_proj=6)  # power of two: see `drawn`


# ---------------------------------------------------------------- numbers that a test in C++ can make as well
def splitmix64(seed, count):
    """Returns the first `count` outputs of splitmix64 for this seed."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def drawn(shape, seed, shift):
    """Returns odd multiples of 2^-(7 + shift) between -2^-shift and 2^-shift: exact in bf16, f16 and f32, symmetric, never 0."""
    top = (splitmix64(seed, int(np.prod(shape))) >> np.uint64(57)).astype(np.int64)
    return torch.from_numpy(((2 * top - 127) * 2. ** -(7 + shift)).reshape(shape))


def signed_sums(g):
    """Returns sum_i s_k(i) g_i for SIGNS sequences of signs. For the difference d of two tensors, the mean square of these sums estimates
    |d|^2, so they check all elements, of which few are stored."""
    g = g.reshape(-1)
    bits = splitmix64(SIGNS_SEED, g.size)
    return np.array([np.where((bits >> np.uint64(k)) & np.uint64(1), -g, g).sum() for k in range(SIGNS)])


def picked(g):
    """Returns positions in the flattened tensor: one in each of 32 equal parts, and the 32 largest of the others; all of a small tensor."""
    g = np.abs(g.reshape(-1))
    n, half = g.size, PICKED // 2
    if n <= PICKED: return np.arange(n, dtype=np.int32)
    spread = {k * n // half + int(splitmix64(k, 1)[0] % np.uint64(n // half)) for k in range(half)}
    top = np.argpartition(-g, PICKED - 1)[:PICKED]
    largest = [i for i in top[np.argsort(-g[top], kind="stable")].tolist() if i not in spread][:half]
    return np.array(sorted(spread) + sorted(largest), np.int32)


# ---------------------------------------------------------------- one training example
def published(name):
    for ours, theirs in models.LAYOUTS["published"]:
        if name.startswith(ours): return theirs + name.removeprefix(ours)
    raise KeyError(name)


def parameters(model): return {published(n): p for n, p in model.named_parameters()}


def example_of(about, folder):
    case = about["cases"][EXAMPLES[about["name"]]]
    size = about["config"]["vision"]["image_size"]
    processor = models.SiglipImageProcessorPil(image_mean=about["mean"], image_std=about["std"], size=dict(height=size, width=size))
    pixels = [processor(images=Image.open(f"{folder}/{n}").convert("RGB"), return_tensors="np")["pixel_values"] for n in case["images"]]
    return dict(prefix=case["input_ids"], suffix=case["answer"]["tokens"], pixels=torch.from_numpy(np.concatenate(pixels)).float(), case=case)


def run(model, example, causal=False):
    """Returns transformers' loss, the losses of the suffix tokens, and what enters the decoder."""
    prefix, suffix = example["prefix"], example["suffix"]
    ids = torch.tensor([prefix + suffix])
    types = torch.tensor([[1 if causal else 0] * len(prefix) + [1] * len(suffix)])
    labels = torch.tensor([[-100] * len(prefix) + suffix])
    kept = {}
    hook = model.model.language_model.register_forward_pre_hook(lambda m, a, k: kept.update(k), with_kwargs=True)
    out = model(input_ids=ids, pixel_values=example["pixels"].to(model.dtype), attention_mask=torch.ones_like(ids), token_type_ids=types, labels=labels, use_cache=False)
    hook.remove()
    assert kept["position_ids"][0, 0] == 1 and out.logits.dtype == model.dtype
    rows = out.logits[0, len(prefix) - 1:-1].log_softmax(-1)
    return out.loss, -rows[torch.arange(len(suffix)), torch.tensor(suffix)], kept["inputs_embeds"]


def gradients(model, example, **more):
    """Returns the loss, the losses of the tokens, and the gradients with respect to the parameters and to what enters the decoder."""
    with torch.enable_grad():
        loss, tokens, embeddings = run(model, example, **more)
        names, values = zip(*parameters(model).items())
        found = torch.autograd.grad(loss, [*values, embeddings], retain_graph=True)
        middle = len(example["suffix"]) // 2
        first, later = (torch.autograd.grad(tokens[k], embeddings, retain_graph=True)[0] for k in (0, middle))
    assert abs(float(tokens.mean() - loss)) <= 1e-6 * float(loss)
    by_name = {n: g.detach().numpy() for n, g in zip(names, found)}
    return dict(loss=float(loss), token_losses=tokens.tolist(), parameters=by_name, embeddings=found[-1][0].numpy(), first=first[0].numpy(), middle=middle, later=later[0].numpy())


def norm(g): return float(np.sqrt((g.astype(np.float64) ** 2).sum()))
def global_norm(all_of): return float(np.sqrt(sum(norm(g) ** 2 for g in all_of.values())))
def distance(a, b): return global_norm({n: a[n].astype(np.float64) - b[n] for n in b})


def check_by_differences(model, example, exact, name):
    """Compares three elements of random tensors with central differences of fourth order."""
    rng, worst = np.random.default_rng(len(name)), 0.
    named = parameters(model)
    usable = [n for n in named if not NO_GRADIENT.search(n)]
    for n in rng.choice(usable, 3, replace=False):
        g = exact["parameters"][n].reshape(-1)
        at = int(rng.choice(np.flatnonzero(np.abs(g) >= .1 * np.abs(g).max())))
        flat, h = named[n].detach().view(-1), 1e-4
        before, values = float(flat[at]), {}
        for k in (-2, -1, 1, 2):
            flat[at] = before + k * h
            values[k] = float(run(model, example)[0])
        flat[at] = before
        slope = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)
        worst = max(worst, abs(slope - g[at]) / abs(g[at]))
        assert abs(slope - g[at]) <= 1e-7 * abs(g[at]) + 1e-10, (name, n, at, slope, g[at])
    return worst


def check_mask(exact, prefix, suffix, name):
    """A suffix token influences later losses only; every token of the prefix influences each loss."""
    for key, seen in (("first", 0), ("later", exact["middle"]), ("embeddings", len(suffix) - 1)):
        moved = (exact[key] != 0).any(-1)
        assert moved[:len(prefix) + seen].all() and not moved[len(prefix) + seen:].any(), (name, key)


def check_sensitivity(model, example, exact, name):
    """Returns how far the gradients move, relative to their norm, when one rule is broken. Bounds are 1e-4."""
    text, found = model.config.text_config, {}
    def moved(**more): return distance(gradients(model, example, **more)["parameters"], exact["parameters"]) / global_norm(exact["parameters"])
    found["causal prefix"] = moved(causal=True)
    if text.model_type == "gemma2":
        kept = text.sliding_window, text.final_logit_softcapping, text.attn_logit_softcapping
        layers = [l.self_attn for l in model.model.language_model.layers]
        text.sliding_window = 4096
        found["no window"] = moved()
        text.sliding_window, text.final_logit_softcapping = kept[0], None
        found["no final softcap"] = moved()
        text.final_logit_softcapping = kept[1]
        for l in layers: l.attn_logit_softcapping = None
        found["no attention softcap"] = moved()
        for l in layers: l.attn_logit_softcapping = kept[2]
    assert all(v > 1e-2 for k, v in found.items() if k != "no window" or text.sliding_window < len(example["suffix"])), (name, found)
    return found


def ten_steps(folder, example, exactly):
    """Returns the losses before each of ten AdamW steps on the same example, and the changes of the parameters."""
    model = models.read_folder(folder).train()
    with models.float64(model) if exactly else contextlib.nullcontext():
        before = {n: p.detach().double().numpy().copy() for n, p in parameters(model).items()}
        optimizer, losses = torch.optim.AdamW(model.parameters(), foreach=False, **ADAMW), []
        for _ in range(STEPS):
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = run(model, example)[0]
                loss.backward()
            optimizer.step()
            losses.append(float(loss))
        return losses, {n: p.detach().double().numpy() - before[n] for n, p in parameters(model).items()}


def summary(exact, single, file, prefix, full=False):
    """Adds the elements to `file` and returns norms. The float32 numbers are differences of transformers in float32."""
    listed = {}
    for n, g in exact.items():
        listed[n] = dict(shape=list(g.shape), norm=norm(g), float32_difference=norm(single[n].astype(np.float64) - g))
        if full: file[f"{prefix}.{n}"] = g.astype(np.float32); continue
        at = picked(g)
        file[f"{prefix}.{n}"], file[f"{prefix}.{n}.index"] = g.reshape(-1)[at].astype(np.float32), at
        if g.size > PICKED: file[f"{prefix}.{n}.signed_sums"] = signed_sums(g.astype(np.float64))
    return listed


def checkpoint(about):
    name, folder = about["name"], f"{MODELS}/{about['folder']}"
    example, file, full = example_of(about, MODELS), {}, about["name"] in FULL
    model = models.read_folder(folder).train()
    single = gradients(model, example)
    with models.float64(model):
        exact = gradients(model, example)
        by_differences = check_by_differences(model, example, exact, name)
        check_mask(exact, example["prefix"], example["suffix"], name)
        sensitivity = check_sensitivity(model, example, exact, name)
        again = gradients(model, example)
        assert all((again["parameters"][n] == g).all() for n, g in exact["parameters"].items())
    whole = global_norm(exact["parameters"])
    for n, g in exact["parameters"].items():
        assert NO_GRADIENT.search(n) or norm(g) > 1e-5 * whole, (name, n, norm(g), whole)
    entry = dict(
        checkpoint=name, golden=f"{name}.safetensors", case=EXAMPLES[name], images=example["case"]["images"], image_tokens=about["image_tokens"] * len(example["case"]["images"]),
        prefix_ids=example["prefix"], suffix_ids=example["suffix"], loss=exact["loss"], loss_float32=single["loss"], token_losses=exact["token_losses"], later_token=exact["middle"],
        global_norm=whole, full=full, tensors=summary(exact["parameters"], single["parameters"], file, "gradient", full), sensitivity=sensitivity)
    for key in ("embeddings", "first", "later"): file["embeddings" if key == "embeddings" else f"embeddings.{key}"] = exact[key].astype(np.float32)
    if full:
        losses, changes = ten_steps(folder, example, True)
        losses32, changes32 = ten_steps(folder, example, False)
        assert losses[0] == exact["loss"] and losses[-1] < .7 * losses[0], losses
        entry["adamw"] = dict(ADAMW, steps=STEPS, losses=losses, losses_float32=losses32, tensors=summary(changes, changes32, file, "change"))
    worst = max(t["float32_difference"] / (1e-4 * t["norm"] + 1e-7 * whole) for t in entry["tensors"].values())
    print(f"{name}: loss {exact['loss']:.6f}, global norm {whole:.3f}, {len(entry['tensors'])} tensors, float32 uses {worst:.3f} of the bound, central differences within"
          f" {by_differences:.0e}, moved by " + ", ".join(f"{k} {v:.1e}" for k, v in sensitivity.items()))
    if full: print("  AdamW:", " ".join(f"{l:.4f}" for l in losses))
    return entry, file


# ---------------------------------------------------------------- layers of real width
def wide_layer(name, intermediate):
    config = transformers.Gemma2Config(vocab_size=8, hidden_size=2304, num_hidden_layers=1, intermediate_size=intermediate, num_attention_heads=8, num_key_value_heads=4, head_dim=256,
                                       query_pre_attn_scalar=256, sliding_window=WINDOW, attn_logit_softcapping=50.0, layer_types=["sliding_attention"], attn_implementation="eager")
    layer, rotary = modeling_gemma2.Gemma2DecoderLayer(config, 0), modeling_gemma2.Gemma2RotaryEmbedding(config)
    made, seed = {}, 0
    def make(n, shape, kind):
        nonlocal seed
        seed += 1
        made[n] = dict(shape=list(shape), seed=seed, shift=SHIFTS[kind])
        return drawn(shape, seed, SHIFTS[kind])
    x, upstream = make("x", (ROWS, 2304), "x"), make("upstream", (ROWS, 2304), "upstream")
    for n, p in sorted(layer.named_parameters()):
        p.data = make(n, p.shape, "norm" if "norm" in n else n.split(".")[-2]).float()
    positions = torch.arange(1, ROWS + 1)[None]
    types = torch.tensor([[0] * PREFIX + [-1] * (ROWS - PREFIX)])
    def passed(dtype, window=WINDOW, softcap=50.0):
        rows = x.to(dtype)[None].clone().requires_grad_()
        config.sliding_window, layer.self_attn.attn_logit_softcapping = window, softcap
        mask = create_sliding_window_causal_mask(config, rows, torch.ones_like(positions), None, positions, block_sequence_ids=types)
        q, k = torch.arange(ROWS)[:, None], torch.arange(ROWS)[None]
        assert ((mask[0, 0] == 0) == ((k <= q) & (k > q - window) | (q < PREFIX) & (k < PREFIX))).all()
        with torch.enable_grad():
            y = layer(rows, position_embeddings=rotary(rows, positions), attention_mask=mask, position_ids=positions)
            names, values = zip(*layer.named_parameters())
            found = torch.autograd.grad((y * upstream.to(dtype)).sum(), [rows, *values])
        return y[0].detach().numpy(), {n: g.numpy() for n, g in zip(("x", *names), (found[0][0], *found[1:]))}
    y32, single = passed(torch.float32)
    with models.float64(layer): y, exact = passed(torch.float64)
    sensitivity = {what: distance(passed(torch.float32, **more)[1], exact) / global_norm(exact) for what, more in
                   (("no window", dict(window=4096)), ("window of 15", dict(window=15)), ("no attention softcap", dict(softcap=None)))}
    assert min(sensitivity.values()) > 3e-3, sensitivity
    file = {}
    whole = global_norm(exact)
    entry = dict(name=name, golden="layers.safetensors", hidden=2304, intermediate=intermediate, heads=8, kv_heads=4, head_dim=256, query_pre_attn_scalar=256, attention_softcap=50.0,
                 window=WINDOW, norm_eps=config.rms_norm_eps, rope_theta=config.rope_parameters["rope_theta"], rows=ROWS, prefix=PREFIX, first_position=1, inputs=made, global_norm=whole,
                 output=summary({"y": y}, {"y": y32}, file, f"{name}.output")["y"], tensors=summary(exact, single, file, f"{name}.gradient"),
                 sensitivity=sensitivity)
    worst = max(t["float32_difference"] / (1e-4 * t["norm"] + 1e-7 * whole) for t in entry["tensors"].values())
    print(f"{name}: global norm {whole:.3f}, float32 uses {worst:.3f} of the bound, moved by " + ", ".join(f"{k} {v:.1e}" for k, v in sensitivity.items()))
    return entry, file


def main():
    os.makedirs(OUT, exist_ok=True)
    made = dict(made=f"transformers {transformers.__version__}, torch {torch.__version__}")
    listed, layers, layers_file = [], [], {}
    def write(file, name):
        save_file({k: np.ascontiguousarray(v) for k, v in file.items()}, f"{OUT}/{name}", metadata=made)
        os.chmod(f"{OUT}/{name}", 0o644)
    for about in json.load(open(f"{MODELS}/cases.json"))["checkpoints"]:
        entry, file = checkpoint(about)
        write(file, entry["golden"])
        listed.append(entry)
    for name, intermediate in LAYERS.items():
        entry, file = wide_layer(name, intermediate)
        layers.append(entry)
        layers_file.update(file)
    write(layers_file, "layers.safetensors")
    text = json.dumps(dict(
        about="made by tests/golden/gradients.py; transformers in float64, eager attention, no dropout",
        versions={m.__name__: m.__version__ for m in (transformers, torch, np)}, signs=dict(count=SIGNS, seed=SIGNS_SEED), examples=listed, layers=layers), indent=1)
    text = re.sub(r"\[[-\d\s.,e]*\]|\{[^{}]*\}", lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]").replace("{ ", "{").replace(" }", "}"), text)
    open(f"{OUT}/gradients.json", "w").write(text + "\n")


if __name__ == "__main__": main()
