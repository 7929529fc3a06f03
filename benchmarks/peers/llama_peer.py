"""llama.cpp through llama-cpp-python's low-level calls: the checkpoint's Gemma decoder alone, as GGUF in BF16, Q8_0 and Q4_0 (usage: common.py).

The prompt consists of token ids, so the vocabulary has placeholder names. The prefill is causal, which takes no less work."""
import ctypes
import json
import pathlib
import time

import common
import gguf
import llama_cpp
import numpy

QUANTIZED = {"Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0}
MATRICES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
            "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
NORMS = {"gemma": {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"},
         "gemma2": {"attn_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
                    "post_ffw_norm": "post_feedforward_layernorm"}}


class decoder_tensors:
    """The decoder's tensors in the safetensors files of a checkpoint. Names are relative to the decoder."""

    def __init__(self, checkpoint):
        found = {}
        for path in sorted(pathlib.Path(checkpoint).glob("*.safetensors")):
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size))
            header.pop("__metadata__", None)
            data = numpy.memmap(path, mode="r", offset=8 + size)
            found.update({name: (data, told) for name, told in header.items()})
        prefix = next(name for name in found if name.endswith("embed_tokens.weight")).removesuffix("embed_tokens.weight")
        self.found = {name.removeprefix(prefix): held for name, held in found.items() if name.startswith(prefix)}

    def shape(self, name):
        return self.found[name][1]["shape"]

    def float32(self, name):
        data, told = self.found[name]
        raw = data[slice(*told["data_offsets"])]
        if told["dtype"] == "BF16":
            return (raw.view(numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32).reshape(told["shape"])
        return raw.view({"F16": numpy.float16, "F32": numpy.float32}[told["dtype"]]).astype(numpy.float32).reshape(told["shape"])

    def bf16(self, name):
        """Returns the tensor as bf16 bytes, one row per matrix row."""
        data, told = self.found[name]
        if told["dtype"] == "BF16":
            return data[slice(*told["data_offsets"])].reshape(told["shape"][0], -1)
        return gguf.quants.quantize(self.float32(name), gguf.GGMLQuantizationType.BF16)


def write_bf16(checkpoint, path):
    tensors = decoder_tensors(checkpoint)
    text = json.loads((pathlib.Path(checkpoint) / "config.json").read_text())["text_config"]
    norms, head = NORMS[text["model_type"]], text.get("head_dim", 256)
    vocab, width = tensors.shape("embed_tokens.weight")
    layers = sum(name.endswith("self_attn.q_proj.weight") for name in tensors.found)
    out = gguf.GGUFWriter(path, text["model_type"])
    out.add_context_length(8192)
    out.add_embedding_length(width)
    out.add_block_count(layers)
    out.add_feed_forward_length(tensors.shape("layers.0.mlp.gate_proj.weight")[0])
    out.add_head_count(tensors.shape("layers.0.self_attn.q_proj.weight")[0] // head)
    out.add_head_count_kv(tensors.shape("layers.0.self_attn.k_proj.weight")[0] // head)
    out.add_key_length(head)
    out.add_value_length(head)
    out.add_layer_norm_rms_eps(1e-6)
    if text["model_type"] == "gemma2":
        out.add_attn_logit_softcapping(50.0)
        out.add_final_logit_softcapping(30.0)
        out.add_sliding_window(4096)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    out.add_tokenizer_model("llama")
    out.add_tokenizer_pre("default")
    special = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{i:02X}>" for i in range(256)]
    kinds = gguf.TokenType
    out.add_token_list(special + [f"t{i}" for i in range(vocab - len(special))])
    out.add_token_scores([-float(i) for i in range(vocab)])
    out.add_token_types([kinds.CONTROL] * 3 + [kinds.UNKNOWN] + [kinds.BYTE] * 256 + [kinds.NORMAL] * (vocab - len(special)))
    out.add_pad_token_id(0)
    out.add_eos_token_id(1)
    out.add_bos_token_id(2)
    out.add_unk_token_id(3)

    def matrix(name, source):
        out.add_tensor(name + ".weight", tensors.bf16(source + ".weight"), raw_dtype=gguf.GGMLQuantizationType.BF16)

    def norm(name, source):
        out.add_tensor(name + ".weight", tensors.float32(source + ".weight") + 1)  # Gemma stores scale - 1

    matrix("token_embd", "embed_tokens")
    norm("output_norm", "norm")
    for i in range(layers):
        for name, source in MATRICES.items():
            matrix(f"blk.{i}.{name}", f"layers.{i}.{source}")
        for name, source in norms.items():
            norm(f"blk.{i}.{name}", f"layers.{i}.{source}")
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def prepare(checkpoint, folder, variant):
    if (folder / f"{variant}.gguf").exists():
        return
    with common.made_whole(folder / f"{variant}.gguf") as path:
        if variant not in QUANTIZED:
            write_bf16(checkpoint, path)
            return
        wanted = llama_cpp.llama_model_quantize_default_params()
        wanted.ftype = QUANTIZED[variant]
        if failed := llama_cpp.llama_model_quantize(str(folder / "BF16.gguf").encode(), str(path).encode(), ctypes.byref(wanted)):
            raise RuntimeError(f"llama_model_quantize to {variant} answers {failed}")


def measure(checkpoint, folder, variant, threads, tokens, repetitions):
    llama_cpp.llama_backend_init()
    length = common.prompt_tokens(checkpoint)
    begun = time.perf_counter()
    wanted = llama_cpp.llama_model_default_params()
    wanted.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(str(folder / f"{variant}.gguf").encode(), wanted)
    wanted = llama_cpp.llama_context_default_params()
    wanted.n_ctx = -(-(length + tokens) // 256) * 256
    wanted.n_batch = wanted.n_ubatch = wanted.n_ctx  # process the prompt as one batch
    wanted.n_threads = wanted.n_threads_batch = threads
    context = llama_cpp.llama_init_from_model(model, wanted) if model else None
    if not context:
        raise RuntimeError(f"llama.cpp does not load {variant}.gguf")
    load = time.perf_counter() - begun
    vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))

    def decode(ids):
        """Feeds the tokens and returns the most likely next one. Computes logits only for the last."""
        held = (llama_cpp.llama_token * len(ids))(*ids)
        if failed := llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(held, len(ids))):
            raise RuntimeError(f"llama_decode answers {failed}")
        return int(numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, -1), (vocab,)).argmax())

    prompt = numpy.random.default_rng(0).integers(300, 1000, length).tolist()

    def prefill():
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        return decode(prompt)

    decode(prompt[:8])  # warm-up: page faults
    return {"load_s": load, **common.decoder_figures(prefill, lambda i, token: decode([token]), tokens, repetitions)}


common.run(prepare, measure)
