"""Writes the tensors of the released sizes: published names and shapes, from transformers' modules on the meta device, without weights.

usage: parameters.py OUT.json      writes {variant: {"parameters": count, "tensors": {published name: shape}}} for PaliGemma 3B and PaliGemma 2 3B
"""
import json
import sys

import torch
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

VISION = {"model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16, "patch_size": 14, "image_size": 224, "vision_use_head": False}
TEXT = {
    "paligemma_3b_224": {"model_type": "gemma", "vocab_size": 257216, "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1,
                         "head_dim": 256},
    "paligemma2_3b_224": {"model_type": "gemma2", "vocab_size": 257216, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
                          "head_dim": 256},
}


def published(name):
    """Converts a tensor name of transformers 4.52 or later to that of the published checkpoints."""
    for now, then in (("model.language_model.", "language_model.model."), ("model.vision_tower.vision_model.", "vision_tower.vision_model."), ("model.vision_tower.", "vision_tower.vision_model."),
                      ("model.multi_modal_projector.", "multi_modal_projector.")):
        if name.startswith(now):
            return then + name[len(now):]
    raise SystemExit(f"what is {name}?")


def main():
    written = {}
    for variant, text in TEXT.items():
        config = PaliGemmaConfig(vision_config=VISION, text_config=text, projection_dim=text["hidden_size"], tie_word_embeddings=True)
        with torch.device("meta"):
            model = PaliGemmaForConditionalGeneration(config)
        tensors = {published(name): list(parameter.shape) for name, parameter in model.named_parameters() if name != "lm_head.weight"}  # tied weights are listed once
        written[variant] = {"parameters": sum(parameter.numel() for parameter in model.parameters()), "tensors": tensors}
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump(written, out, sort_keys=True, separators=(",", ":"))
        out.write("\n")


main()
