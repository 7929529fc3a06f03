"""Exports a training state as a Hugging Face model folder in bf16, with the file and tensor names of the published checkpoints.

usage: export.py STATE.pt tokenizer.model FOLDER"""
import json
import pathlib
import re
import shutil
import sys

import safetensors.torch
import sentencepiece
import torch

import network


def main(state, tokenizer, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = torch.load(state)["model"]
    c = network.Config()
    safetensors.torch.save_file({name: w.bfloat16().contiguous() for name, w in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    text = {"model_type": "gemma2", "vocab_size": c.vocab, "hidden_size": c.hidden, "num_hidden_layers": c.layers, "num_attention_heads": c.heads,
            "num_key_value_heads": c.kv_heads, "head_dim": c.head_dim, "intermediate_size": c.mlp, "sliding_window": 4096, "query_pre_attn_scalar": c.head_dim,
            "attn_logit_softcapping": c.attention_softcap, "final_logit_softcapping": c.final_softcap, "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0, "hidden_activation": "gelu_pytorch_tanh", "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "tie_word_embeddings": True}
    vision = {"model_type": "siglip_vision_model", "hidden_size": c.vision_hidden, "num_hidden_layers": c.vision_layers, "num_attention_heads": c.vision_heads,
              "intermediate_size": c.vision_mlp, "image_size": c.side, "patch_size": c.patch, "layer_norm_eps": 1e-6, "hidden_act": "gelu_pytorch_tanh",
              "vision_use_head": False, "projection_dim": c.hidden, "num_image_tokens": c.image_tokens}
    files = {
        "config.json": {"architectures": ["PaliGemmaForConditionalGeneration"], "model_type": "paligemma", "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0,
                        "image_token_index": c.image_token, "projection_dim": c.hidden, "hidden_size": c.hidden, "torch_dtype": "bfloat16", "text_config": text, "vision_config": vision},
        "preprocessor_config.json": {"image_processor_type": "SiglipImageProcessor", "do_resize": True, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255,
                                     "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": c.side, "width": c.side}, "image_seq_length": c.image_tokens},
        "added_tokens.json": {"<image>": c.image_token},
        "generation_config.json": {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0},
    }
    # transformers 5 reads the tokenizer class from here; without it, it saves a tokenizer.json of another class. Pieces that are not listed
    # as added tokens are split when they occur in a text.
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    added = {i: pieces.id_to_piece(i) for i in range(pieces.get_piece_size())}
    added = {i: piece for i, piece in added.items() if pieces.is_control(i) or pieces.is_unknown(i) or re.fullmatch(r"<(loc\d{4}|seg\d{3})>", piece)}
    special = lambda i: {"special": True} if i == c.image_token or not re.match("<(loc|seg)", added[i]) else {}
    added[c.image_token] = "<image>"
    files["tokenizer_config.json"] = {
        "tokenizer_class": "GemmaTokenizer", "processor_class": "PaliGemmaProcessor", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": None,
        "additional_special_tokens": ["<image>"], "added_tokens_decoder": {str(i): {"content": piece, "normalized": False, **special(i)} for i, piece in sorted(added.items())}}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1 if name == "config.json" else None))
    if pathlib.Path(tokenizer).resolve() != (folder / "tokenizer.model").resolve():
        shutil.copy(tokenizer, folder / "tokenizer.model")
    print(sum(w.numel() for w in weights.values()), "parameters")


if __name__ == "__main__":
    main(*sys.argv[1:])
