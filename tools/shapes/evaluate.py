"""Runs transformers in float32 on the five prompts of each scene. Writes the answers to scenes.json, and their scores and perplexities to
transformers.json. `pali eval` must reproduce these figures.

usage: evaluate.py MODEL_FOLDER SCENES_FOLDER [--keep]       --keep prints the figures and writes nothing"""
import json
import pathlib
import re
import sys

import numpy as np
import sentencepiece
import torch
from PIL import Image
from transformers import PaliGemmaForConditionalGeneration

import vqvae

MOST_TOKENS, DIVISOR = 96, 1024
KINDS = ("captions", "answers", "detect", "segment", "detect_shape")  # kinds of the five prompts of a scene, in order


def pixels_of(images):
    """[(S, S, 3) uint8] -> (B, 3, S, S), -1 to 1."""
    return torch.from_numpy(np.stack([(p.astype(np.float32) / 255 - 0.5) / 0.5 for p in images]).transpose(0, 3, 1, 2).copy())


def ids_of(model, text, prompt):
    """Returns the prompt ids: image tokens, BOS, prompt, newline."""
    return [model.config.image_token_id] * model.config.vision_config.num_image_tokens + [text.bos_id()] + text.encode(prompt) + text.encode("\n")


def ask(model, text, pairs):
    """Returns the greedy answers to [(image (S, S, 3) uint8, prompt)] as tokens, with EOS. Batches have equal prompt lengths, so no
    padding."""
    groups, answers = {}, [None] * len(pairs)
    for i, (_, prompt) in enumerate(pairs):
        groups.setdefault(len(text.encode(prompt)), []).append(i)
    for group in groups.values():
        for at in range(0, len(group), 40):
            part = group[at:at + 40]
            pixels = pixels_of([pairs[i][0] for i in part])
            ids = torch.tensor([ids_of(model, text, pairs[i][1]) for i in part])
            made = model.generate(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), token_type_ids=torch.zeros_like(ids),
                                  max_new_tokens=MOST_TOKENS, do_sample=False)[:, ids.shape[1]:].tolist()
            for i, tokens in zip(part, made):
                answers[i] = tokens[:tokens.index(text.eos_id()) + 1] if text.eos_id() in tokens else tokens
    return answers


def perplexities(model, text, pairs, texts):
    """Returns the perplexity exp(mean(-log p)) over the tokens of all answers, with EOS, per kind of prompt and over all kinds.
    The mean is the training loss of transformers: full attention among image and prompt, causal in the answer. Batches have equal prompt
    and answer lengths."""
    groups, sums, counts = {}, dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0)
    for i, ((image, prompt), said) in enumerate(zip(pairs, texts)):
        prefix, answer = ids_of(model, text, prompt), text.encode(said) + [text.eos_id()]
        groups.setdefault((KINDS[i % len(KINDS)], len(prefix), len(answer)), []).append((image, prefix + answer))
    for (kind, before, length), group in groups.items():
        for at in range(0, len(group), 40):
            images, ids = zip(*group[at:at + 40])
            ids = torch.tensor(ids)
            types = torch.zeros_like(ids)
            types[:, before:] = 1
            loss = model(input_ids=ids, pixel_values=pixels_of(images), attention_mask=torch.ones_like(ids), token_type_ids=types, labels=ids.where(types == 1, -100)).loss
            sums[kind] += float(loss) * len(ids) * length
            counts[kind] += len(ids) * length
    sums["all"], counts["all"] = sum(sums.values()), sum(counts.values())
    return {name: round(float(np.exp(sums[name] / counts[name])), 7) for name in sums}


def spoken(answer):
    """Parses an answer. Returns [([y0, x0, y1, x1], codes or None, label)] for the well-formed objects."""
    out = []
    for part in answer.split(";"):
        locs, segs = [[int(n) for n in re.findall(f"<{kind}([0-9]{{{digits}}})>", part)] for kind, digits in (("loc", 4), ("seg", 3))]
        if len(locs) == 4 and locs[2] > locs[0] and locs[3] > locs[1]:
            out.append((locs, segs if len(segs) == 16 else None, re.sub("<[^>]*>", "", part).strip()))
    return out


def box_iou(loc, true, side):
    """Returns the IoU of a box in location tokens (y0 x0 y1 x1) and a true box in pixels (x0 y0 x1 y1)."""
    y0, x0, y1, x1 = [v / DIVISOR * side for v in loc]
    width, height = min(x1, true[2]) - max(x0, true[0]), min(y1, true[3]) - max(y0, true[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((x1 - x0) * (y1 - y0) + (true[2] - true[0]) * (true[3] - true[1]) - shared)


def placed(masks, loc, codes, side):
    """Returns the mask in the image as big_vision places it: corners truncated to pixels, bilinear resize, threshold 0."""
    out = np.zeros((side, side), bool)
    y0, x0, y1, x1 = [int(v / DIVISOR * side) for v in loc]
    if codes is not None and y1 > y0 and x1 > x0:
        mask = masks.decode(torch.tensor([codes]))[0].numpy()
        out[y0:y1, x0:x1] = np.asarray(Image.fromarray(mask).resize((x1 - x0, y1 - y0), Image.BILINEAR)) > 0
    return out


def score(scenes, answers, masks):
    """Returns the mean of each metric. `answers`: the five answers of each scene."""
    figures = {name: [] for name in ("captions", "answers", "labels", "box_iou", "mask_iou", "all_boxes_iou")}
    for scene, (caption, answer, detect, segment, detect_all) in zip(scenes, answers):
        side, boxes = scene["size"], {o["name"]: o["box"] for o in scene["objects"]}
        true = np.zeros(side * side, bool)
        true[scene["mask"]] = True
        true = true.reshape(side, side)
        figures["captions"].append(caption.strip() == scene["caption"])
        figures["answers"].append(answer.strip() == scene["question"][1])
        found = spoken(detect)
        figures["labels"].append(bool(found) and found[0][2] == scene["asked"])
        figures["box_iou"].append(max((box_iou(loc, boxes[label], side) for loc, _, label in found if label == scene["asked"]), default=0))
        guesses = [placed(masks, loc, codes, side) for loc, codes, label in spoken(segment) if label == scene["asked"]]
        figures["mask_iou"].append(max(((g & true).sum() / (g | true).sum() for g in guesses), default=0))
        found = spoken(detect_all)
        figures["all_boxes_iou"].append(np.mean([max((box_iou(loc, box, side) for loc, _, label in found if label == name), default=0) for name, box in boxes.items()]))
    return {name: round(float(np.mean(values)), 4) for name, values in figures.items()}


def main(folder, scenes_folder, keep):
    torch.set_grad_enabled(False)
    folder, scenes_folder = pathlib.Path(folder), pathlib.Path(scenes_folder)
    model = PaliGemmaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    text, masks = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model")), vqvae.load(folder / "mask_vqvae.npz")
    scenes = json.loads((scenes_folder / "scenes.json").read_text())
    pairs = [(np.asarray(Image.open(scenes_folder / s["image"]).convert("RGB")), one["prompt"]) for s in scenes for one in s["transformers"]]
    tokens = ask(model, text, pairs)
    said = [text.decode([t for t in answer if t != text.eos_id()]) for answer in tokens]
    figures = score(scenes, [said[5 * i:5 * i + 5] for i in range(len(scenes))], masks)
    figures["perplexity"] = perplexities(model, text, pairs, said)
    print(figures)
    if not keep:
        for i, one in enumerate([one for s in scenes for one in s["transformers"]]):
            one["tokens"], one["text"] = tokens[i], said[i]
        (scenes_folder / "scenes.json").write_text(json.dumps(scenes))
        (scenes_folder / "transformers.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], "--keep" in sys.argv[3:])
