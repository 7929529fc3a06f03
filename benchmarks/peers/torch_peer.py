"""transformers + torch: image encoding, prefill and decode with the checkpoint's own classes (usage: common.py)."""
import time

import common
import torch
from transformers import DynamicCache, PaliGemmaForConditionalGeneration


def prepare(checkpoint, folder, variant):
    pass  # transformers reads the checkpoint itself


def measure(checkpoint, folder, variant, threads, tokens, repetitions):
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    begun = time.perf_counter()
    model = PaliGemmaForConditionalGeneration.from_pretrained(checkpoint, dtype=getattr(torch, variant)).eval()
    load = time.perf_counter() - begun
    config = model.config
    side, patches = common.vision(checkpoint)
    torch.manual_seed(0)
    pixels = torch.randn(1, 3, side, side).to(model.dtype)
    text = torch.randint(300, 1000, (1, 8))

    def features():
        out = model.model.get_image_features(pixels)
        return out if torch.is_tensor(out) else out.pooler_output if getattr(out, "pooler_output", None) is not None else out[0]

    decoder = model.model.language_model
    embedded = torch.cat([features().reshape(1, patches, -1), decoder.embed_tokens(text)], 1).to(model.dtype)  # also a warm-up: page faults
    length = embedded.shape[1]
    image = min(common.seconds(features) for _ in range(repetitions))
    mask = torch.zeros(1, 1, length, length, dtype=model.dtype)  # full attention
    if config.text_config.model_type == "gemma2":
        mask = {"full_attention": mask, "sliding_attention": mask}
    new_cache = lambda: DynamicCache(config=config.get_text_config())
    cache = new_cache()

    def prefill():
        nonlocal cache
        cache = new_cache()
        hidden = decoder(inputs_embeds=embedded, attention_mask=mask, position_ids=torch.arange(length)[None], past_key_values=cache, use_cache=True).last_hidden_state
        return model.lm_head(hidden[:, -1:])[:, -1].argmax(-1, keepdim=True)

    def step(i, token):
        out = model(input_ids=token, past_key_values=cache, position_ids=torch.tensor([[length + i]]), use_cache=True, logits_to_keep=1)
        return out.logits[:, -1].argmax(-1, keepdim=True)

    step(0, text[:, :1])  # warm-up of the decoder
    return {"load_s": load, "image_s": image, **common.decoder_figures(prefill, step, tokens, repetitions)}


common.run(prepare, measure)
