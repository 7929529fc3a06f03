"""The mask VQ-VAE of PaliGemma, with the tensor names and shapes of vae-oid.npz (big_vision,
evaluators/proj/paligemma/transfers/segmentation.py).

usage: vqvae.py SECONDS OUT.npz       trains one on the masks of the scenes"""
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import scenes


class Residual(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, x):
        return x + self.net(x)


class VQVAE(nn.Module):
    def __init__(self):
        super().__init__()
        down = [(1, 16), (16, 32), (32, 64), (64, 128)]
        self.encoder = nn.Sequential(*[m for a, b in down for m in (nn.Conv2d(a, b, 4, 2, 1), nn.ReLU())], Residual(), Residual(), nn.Conv2d(128, 512, 1))
        up = [(128, 128), (128, 64), (64, 32), (32, 16)]
        self.decoder = nn.Sequential(nn.Conv2d(512, 128, 1), nn.ReLU(), Residual(), Residual(),
                                     *[m for a, b in up for m in (nn.ConvTranspose2d(a, b, 4, 2, 1), nn.ReLU())], nn.Conv2d(16, 1, 1))
        self.register_buffer("embedding", torch.randn(128, 512) * 0.5)
        self.register_buffer("ema_w", self.embedding.clone())
        self.register_buffer("ema_cluster_size", torch.ones(128))

    def latents(self, masks):
        """Encodes masks (B, 64, 64) in [0, 1] to latents (B * 16, 512), row-major per mask."""
        return self.encoder(2 * (masks[:, None] - 0.5)).permute(0, 2, 3, 1).reshape(-1, 512)

    def distances(self, masks):
        """Returns the distance of each latent to each code: (B, 16, 128)."""
        return torch.cdist(self.latents(masks), self.embedding).reshape(len(masks), 16, 128)

    def decode(self, codes):
        """Decodes codes (B, 16) to logits (B, 64, 64), positive inside the mask."""
        return self.decoder(self.embedding[codes].reshape(-1, 4, 4, 512).permute(0, 3, 1, 2))[:, 0]

    def move_codes(self, latents, codes):
        """Updates the codebook by an exponential moving average of the assigned latents. Unused codes restart at random latents."""
        given = F.one_hot(codes, 128).float()
        self.ema_cluster_size.mul_(0.98).add_(given.sum(0), alpha=0.02)
        self.ema_w.mul_(0.98).add_(given.t() @ latents, alpha=0.02)
        self.embedding.copy_(self.ema_w / (self.ema_cluster_size + 1e-5)[:, None])
        unused = self.ema_cluster_size < 0.3
        if unused.any():
            fresh = latents[torch.randint(len(latents), (int(unused.sum()),))]
            self.embedding[unused], self.ema_w[unused], self.ema_cluster_size[unused] = fresh, fresh, 1.0


NAMES = {"embedding": "_vq_vae._embedding", "ema_w": "_vq_vae._ema_w", "ema_cluster_size": "_vq_vae._ema_cluster_size"}


def load(path):
    model, stored = VQVAE(), np.load(path)
    model.load_state_dict({k: torch.from_numpy(stored[NAMES.get(k, k)].astype(np.float32)) for k in model.state_dict()})
    return model.eval()


def save(model, path):
    """Writes the weights rounded to bf16, as compressed float32: half the size of the published file, readable by the same code."""
    np.savez_compressed(path, **{NAMES.get(k, k): v.bfloat16().float().numpy() for k, v in model.state_dict().items()})


def train(seconds, path):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model, bank = VQVAE(), []
    while len(bank) < 12000:
        bank += [scenes.crop(s.mask, s.box) for s in scenes.make_scene(rng).shapes]
    bank = torch.from_numpy(np.stack(bank))
    held_out, bank = bank[:500], bank[500:]
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    begin, step = time.time(), 0
    while (elapsed := time.time() - begin) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 if elapsed < seconds / 2 else 3e-4
        masks = bank[torch.randint(len(bank), (64,))]
        latents = model.latents(masks)
        codes = torch.cdist(latents, model.embedding).argmin(1)
        quantized = model.embedding[codes]
        straight = (latents + (quantized - latents).detach()).reshape(-1, 4, 4, 512).permute(0, 3, 1, 2)
        loss = F.mse_loss(model.decoder(straight)[:, 0], 2 * masks - 1) + 0.25 * F.mse_loss(latents, quantized)
        with torch.no_grad():
            model.move_codes(latents, codes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 200 == 0:
            with torch.no_grad():
                said, true = model.decode(model.distances(held_out).argmin(-1)) > 0, held_out > 0.5
                iou = ((said & true).sum((1, 2)) / (said | true).sum((1, 2)).clamp(min=1)).mean()
            print(step, round(elapsed), f"loss {loss.item():.4f}, held-out IoU {iou:.3f}, codes used {int((model.ema_cluster_size > 0.5).sum())}", flush=True)
    save(model, path)


if __name__ == "__main__":
    train(float(sys.argv[1]), sys.argv[2])
