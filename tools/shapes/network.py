"""PaliGemma 2 for training: the modules of transformers (modeling_siglip.py, modeling_gemma2.py) with the parameter names of the published
checkpoints, and attention over rows with one image and several questions about it."""
import dataclasses
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclasses.dataclass
class Config:
    """The sizes of the model, as exported to config.json."""
    vocab: int = 1536
    image_token: int = 1480
    side: int = 112
    patch: int = 14
    vision_hidden: int = 160
    vision_layers: int = 5
    vision_heads: int = 4
    vision_mlp: int = 480
    hidden: int = 192
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 48
    mlp: int = 576
    attention_softcap: float = 50.0
    final_softcap: float = 30.0

    @property
    def image_tokens(self):
        return (self.side // self.patch) ** 2


class VisionBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c.vision_hidden
        self.heads = c.vision_heads
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.self_attn = nn.ModuleDict({name: nn.Linear(width, width) for name in ("q_proj", "k_proj", "v_proj", "out_proj")})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, c.vision_mlp), "fc2": nn.Linear(c.vision_mlp, width)})

    def forward(self, x):
        h = self.layer_norm1(x)
        q, k, v = (self.self_attn[name](h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in ("q_proj", "k_proj", "v_proj"))
        x = x + self.self_attn["out_proj"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.layer_norm2(x)), approximate="tanh"))


class Vision(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embeddings = nn.ModuleDict({"patch_embedding": nn.Conv2d(3, c.vision_hidden, c.patch, c.patch), "position_embedding": nn.Embedding(c.image_tokens, c.vision_hidden)})
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList([VisionBlock(c) for _ in range(c.vision_layers)])})
        self.post_layernorm = nn.LayerNorm(c.vision_hidden, eps=1e-6)

    def forward(self, pixels):
        """(B, 3, S, S), -1 to 1 -> (B, P, width)"""
        x = self.embeddings["patch_embedding"](pixels).flatten(2).transpose(1, 2) + self.embeddings["position_embedding"].weight
        for layer in self.encoder["layers"]:
            x = layer(x)
        return self.post_layernorm(x)


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], 1 + self.weight, 1e-6)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class DecoderBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        linear = lambda a, b: nn.Linear(a, b, bias=False)
        for name in ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"):
            setattr(self, name, Norm(c.hidden))
        self.self_attn = nn.ModuleDict({"q_proj": linear(c.hidden, c.heads * c.head_dim), "k_proj": linear(c.hidden, c.kv_heads * c.head_dim),
                                        "v_proj": linear(c.hidden, c.kv_heads * c.head_dim), "o_proj": linear(c.heads * c.head_dim, c.hidden)})
        self.mlp = nn.ModuleDict({"gate_proj": linear(c.hidden, c.mlp), "up_proj": linear(c.hidden, c.mlp), "down_proj": linear(c.mlp, c.hidden)})

    def forward(self, x, cos, sin, mask, first, softcap):
        """x: (B, T, hidden); mask: (B, 1, T, T), added to the scores. Returns the rows [first, T)."""
        c, split = self.c, lambda y: y.unflatten(-1, (-1, self.c.head_dim)).transpose(1, 2)
        h = self.input_layernorm(x)
        x, cos_q, sin_q, mask = x[:, first:], cos[..., first:, :], sin[..., first:, :], mask[:, :, first:]
        q = rotate(split(self.self_attn["q_proj"](h[:, first:])), cos_q, sin_q)
        k = rotate(split(self.self_attn["k_proj"](h)), cos, sin).repeat_interleave(c.heads // c.kv_heads, 1)
        v = split(self.self_attn["v_proj"](h)).repeat_interleave(c.heads // c.kv_heads, 1)
        if softcap:
            scores = q @ k.transpose(-1, -2) / math.sqrt(c.head_dim)
            y = (c.attention_softcap * torch.tanh(scores / c.attention_softcap) + mask).softmax(-1) @ v
        else:  # the scores are small compared with the cap; in training, skip it for speed
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.post_attention_layernorm(self.self_attn["o_proj"](y.transpose(1, 2).flatten(2)))
        h = self.pre_feedforward_layernorm(x)
        h = self.mlp["down_proj"](F.gelu(self.mlp["gate_proj"](h), approximate="tanh") * self.mlp["up_proj"](h))
        return x + self.post_feedforward_layernorm(h)


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.embed_tokens = nn.Embedding(c.vocab, c.hidden)
        self.layers = nn.ModuleList([DecoderBlock(c) for _ in range(c.layers)])
        self.norm = Norm(c.hidden)

    def forward(self, image, tokens, positions, mask, wanted, softcap):
        """image: (B, P, hidden); tokens after it: (B, N); positions: (B, P + N); mask: (B, P + N, P + N), True where a row attends.
        Returns the logits (M, vocab) of the M text rows where `wanted` (B, N) is True."""
        c = self.c
        x = torch.cat([image, self.embed_tokens(tokens) * math.sqrt(c.hidden)], 1)
        frequencies = 10000.0 ** (-torch.arange(0, c.head_dim, 2) / c.head_dim)
        angles = positions[:, None, :, None].float() * frequencies
        cos, sin = angles.cos(), angles.sin()
        mask = torch.zeros(mask.shape).masked_fill_(~mask, -1e9)[:, None]
        for i, layer in enumerate(self.layers):
            x = layer(x, cos, sin, mask, image.shape[1] if i + 1 == len(self.layers) else 0, softcap)
        logits = self.norm(x[wanted]) @ self.embed_tokens.weight.t()
        return c.final_softcap * torch.tanh(logits / c.final_softcap)


class PaliGemma(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.vision_tower = nn.ModuleDict({"vision_model": Vision(c)})
        self.multi_modal_projector = nn.ModuleDict({"linear": nn.Linear(c.vision_hidden, c.hidden)})
        self.language_model = nn.ModuleDict({"model": Decoder(c)})
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5 * 0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.language_model["model"].embed_tokens.weight, std=c.hidden ** -0.5)
        nn.init.normal_(self.multi_modal_projector["linear"].weight, std=c.vision_hidden ** -0.5)

    @property
    def vision(self):
        return self.vision_tower["vision_model"]

    @property
    def decoder(self):
        return self.language_model["model"]

    def see(self, features):
        return self.multi_modal_projector["linear"](features)
