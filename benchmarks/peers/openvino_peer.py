"""OpenVINO on the CPU: the checkpoint's Gemma decoder alone as a stateful model, converted with optimum-intel, in bf16, int8 and int4
(symmetric, groups of 64), and SigLIP with the projector as a second model (usage: common.py). Execution precision, KV cache type and dynamic
quantization are the CPU plugin's defaults."""
import shutil
import time

import common
import numpy
import openvino

QUANTIZED = {"int8": {"bits": 8}, "int4": {"bits": 4, "sym": True, "group_size": 64, "ratio": 1.0}}


def load_checkpoint(checkpoint):
    import torch
    from transformers import PaliGemmaForConditionalGeneration

    return PaliGemmaForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.bfloat16, attn_implementation="sdpa").model


def write_vision(checkpoint, path):
    import torch

    class encoder(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.tower, self.projector = model.vision_tower.float(), model.multi_modal_projector.float()

        def forward(self, pixels):
            return self.projector(self.tower(pixel_values=pixels).last_hidden_state)

    side = common.vision(checkpoint)[0]
    shape = [1, 3, side, side]
    whole = encoder(load_checkpoint(checkpoint)).eval()
    path.mkdir()
    openvino.save_model(openvino.convert_model(whole, example_input=torch.randn(shape), input=shape), path / "openvino_model.xml", compress_to_fp16=True)


def write_text(checkpoint, path):
    """Saves the decoder as a separate checkpoint, which optimum-intel can convert."""
    import torch
    from transformers import AutoModelForCausalLM

    model = load_checkpoint(checkpoint)
    config = model.config.text_config
    config.tie_word_embeddings, config.dtype = True, model.dtype
    with torch.device("meta"):
        text = AutoModelForCausalLM.from_config(config)
    weights = {"model." + name: held for name, held in model.language_model.state_dict().items()}
    text.load_state_dict({**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}, assign=True)
    text.tie_weights()
    text.save_pretrained(path)


def write_decoder(checkpoint, variant, path):
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig

    if variant in QUANTIZED:
        quantized = OVWeightQuantizationConfig(**QUANTIZED[variant])
        OVModelForCausalLM.from_pretrained(path.parent / "bf16", quantization_config=quantized, compile=False).save_pretrained(path)
        return
    text = path.parent / "text"
    write_text(checkpoint, text)
    OVModelForCausalLM.from_pretrained(text, export=True, load_in_8bit=False, compile=False, dtype="bfloat16").save_pretrained(path)
    shutil.rmtree(text)


def prepare(checkpoint, folder, variant):
    if (folder / variant).exists():
        return
    with common.made_whole(folder / variant) as path:
        if variant == "vision":
            write_vision(checkpoint, path)
        else:
            write_decoder(checkpoint, variant, path)


def last_logits_alone(model):
    """Changes the model to compute logits only for the last token, as openvino-genai does."""
    node = model.outputs[0].node
    while node.get_type_name() != "MatMul":
        node = node.input(0).get_source_output().get_node()
    hidden = node.input(0)
    last = openvino.opset13.gather(hidden.get_source_output(), openvino.opset13.constant([-1], dtype=numpy.int64), openvino.opset13.constant(1, dtype=numpy.int64))
    hidden.replace_source_output(last.output(0))
    model.validate_nodes_and_infer_types()


def measure(checkpoint, folder, variant, threads, tokens, repetitions):
    begun = time.perf_counter()
    core = openvino.Core()
    model = core.read_model(folder / variant / "openvino_model.xml")
    if variant != "vision":
        last_logits_alone(model)
    request = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
    load = time.perf_counter() - begun
    numbers = numpy.random.default_rng(0)
    if variant == "vision":
        side = common.vision(checkpoint)[0]
        pixels = numbers.standard_normal((1, 3, side, side)).astype(numpy.float32)
        request.infer([pixels])
        return {"load_s": load, "image_s": min(common.seconds(lambda: request.infer([pixels])) for _ in range(repetitions))}
    length = common.prompt_tokens(checkpoint)
    prompt = numbers.integers(300, 1000, length).tolist()
    known = {held.get_any_name() for held in model.inputs}

    def pass_of(ids, past):
        count = len(ids)
        given = {"input_ids": numpy.array([ids], numpy.int64), "attention_mask": numpy.ones((1, past + count), numpy.int64),
                 "position_ids": numpy.arange(past, past + count, dtype=numpy.int64)[None], "beam_idx": numpy.zeros(1, numpy.int32)}
        said = request.infer({name: held for name, held in given.items() if name in known})
        return int(said[0][0, -1].argmax())

    def prefill():
        request.reset_state()
        return pass_of(prompt, 0)

    pass_of(prompt[:8], 0)
    return {"load_s": load, **common.decoder_figures(prefill, lambda i, token: pass_of([token], length + i), tokens, repetitions)}


common.run(prepare, measure)
