#!/usr/bin/env python3
"""Writes tests/data/masks: the layer outputs of the embedded model's mask network in PyTorch, in float32.

usage: masks.py [NETWORK [OUT]]      default: examples/models/shapes/mask_vqvae.npz tests/data/masks; takes some seconds

The architecture is an independent PyTorch module, filled by load_state_dict; no code of pali is used. A float64 run gives the tolerances.
The codes must be nearest by a clear margin, see `encoded`.
"""
import hashlib, os, sys
import numpy as np, torch, torch.nn as nn
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
NETWORK = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "examples", "models", "shapes", "mask_vqvae.npz")
OUT = sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "..", "data", "masks")
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
torch.set_grad_enabled(False)
STAGES_LEFT_OUT = {"decoder.8", "decoder.10", "encoder.0", "decoder.12"}  # large, and covered by later layers; the last is decode.masks


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 1))

    def forward(self, x): return x + self.net(x)


class Network(nn.Module):
    """The network of big_vision, evaluators/proj/paligemma/transfers/segmentation.py and pp/proj/paligemma/segmentation.py. Flax's padding
    SAME and ConvTranspose correspond to padding 1 in PyTorch."""
    def __init__(self):
        super().__init__()
        down = lambda i, o: [nn.Conv2d(i, o, 4, stride=2, padding=1), nn.ReLU()]
        up = lambda i, o: [nn.ConvTranspose2d(i, o, 4, stride=2, padding=1), nn.ReLU()]
        self.encoder = nn.Sequential(*down(1, 16), *down(16, 32), *down(32, 64), *down(64, 128), Residual(128), Residual(128), nn.Conv2d(128, 512, 1))
        self.decoder = nn.Sequential(nn.Conv2d(512, 128, 1), nn.ReLU(), Residual(128), Residual(128), *up(128, 128), *up(128, 64), *up(64, 32), *up(32, 16), nn.Conv2d(16, 1, 1))
        self.codebook = nn.Parameter(torch.zeros(128, 512))

    def run(self, name, x, kept):
        """Runs one Sequential. Keeps the output of each convolution or block, after its ReLU, as (H, W, C) of the first image."""
        layers = list(getattr(self, name))
        for i, layer in enumerate(layers):
            x = layer(x)
            if not isinstance(layer, nn.ReLU): at = i
            if i + 1 == len(layers) or not isinstance(layers[i + 1], nn.ReLU): kept[f"{name}.{at}"] = x[0].permute(1, 2, 0).contiguous()
        return x

    def decode(self, codes, kept):
        entries = self.codebook[codes.reshape(-1)].reshape(-1, 4, 4, 512).permute(0, 3, 1, 2)
        return self.run("decoder", entries, kept)[:, 0]

    def encoded(self, masks, kept):
        """Returns the codes and their margins: the relative difference of the squared distances to the nearest and second-nearest entry."""
        z = self.run("encoder", 2 * (masks[:, None] - .5), kept).permute(0, 2, 3, 1).reshape(-1, 1, 512)
        distance = ((z - self.codebook) ** 2).sum(-1)
        two = distance.topk(2, largest=False)
        return two.indices[:, 0].reshape(-1, 16), ((two.values[:, 1] - two.values[:, 0]) / two.values[:, 1]).reshape(-1, 16)


def images():
    """Returns test masks, (N, 64, 64) uint8: hard and soft edges, empty, full, and one that is not an object mask."""
    y, x = np.mgrid[0:64, 0:64] / 63.
    r = np.hypot(x - .5, y - .5)
    soft = np.clip((.45 - np.hypot(x - .4, (y - .55) * 1.4)) * 20, 0, 1)
    made = [r < .5, (r < .5) & (r > .25), np.abs(x - .5) < y / 2, soft, x * y, (np.abs(x - .5) < .17) | (np.abs(y - .5) < .17), np.zeros_like(x), np.ones_like(x)]
    return np.round(np.stack(made).astype(np.float64) * 255).astype(np.uint8)


def main():
    stored = dict(np.load(NETWORK))
    network = Network()
    weights = {k: torch.from_numpy(v) for k, v in stored.items() if not k.startswith("_vq_vae.")}
    weights["codebook"] = torch.from_numpy(stored["_vq_vae._embedding"])
    network.load_state_dict(weights)

    masks = torch.from_numpy(images())
    rng = np.random.default_rng(3)
    results = []
    for dtype in (torch.float32, torch.float64):
        network.to(dtype)
        kept = {}
        found, margin = network.encoded(masks.to(dtype) / 255, kept)
        others = torch.from_numpy(rng.integers(0, 128, (2, 16)) if not results else results[0]["decode.codes"][-2:].numpy().astype(np.int64))
        codes = torch.cat([found[:4], others])
        kept = {k: v for k, v in kept.items() if k not in STAGES_LEFT_OUT}
        decoded = network.decode(codes, kept)
        kept = {k: v for k, v in kept.items() if k not in STAGES_LEFT_OUT}
        results.append({"encode.masks": masks, "encode.codes": found.to(torch.uint8), "decode.codes": codes.to(torch.uint8), "decode.masks": decoded, **kept})
        # float32 rounding (about 1e-6 of a distance) must not decide a code
        assert float(margin.min()) > 1e-4, f"a code is nearest by {float(margin.min()):.1e} of its distance alone"
    single, double = results
    assert torch.equal(single["encode.codes"], double["encode.codes"])
    seen = single["decode.masks"]
    assert all(float(m.std()) > .2 for m in seen) and all(float((seen[i] - seen[j]).abs().max()) > .5 for i in range(len(seen)) for j in range(i)), "masks that prove little"
    inside = (seen[:4] > 0) == (masks[:4] > 127)
    assert float(inside.float().mean()) > .9, "the network does not know these masks"

    tolerances = {f"tolerance.{k}": torch.tensor(max(16 * float((v.double() - double[k]).abs().max()), 4e-6 * float(v.abs().max())), dtype=torch.float64)
                  for k, v in single.items() if v.dtype == torch.float32}
    os.makedirs(OUT, exist_ok=True)
    path = os.path.join(OUT, "shapes.safetensors")
    made = f"network {hashlib.sha256(open(NETWORK, 'rb').read()).hexdigest()}, torch {torch.__version__}, numpy {np.__version__}"
    save_file({k: v.contiguous() for k, v in (single | tolerances).items()}, path, metadata=dict(made=made))  # one entry: the package writes several in random order
    os.chmod(path, 0o644)  # the package creates it with mode 0600
    print(os.path.getsize(path), "bytes;", {k: float(v) for k, v in tolerances.items()})


if __name__ == "__main__":
    main()
