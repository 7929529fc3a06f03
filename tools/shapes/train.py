"""Trains the embedded model: first the vision tower alone, on patch labels; then the decoder on the features of the frozen tower.

usage: train.py STAGE SECONDS STATE.pt --bank BANK.npz... --held-out BANK.npz --text tokenizer.model [--workers N] [--rate X] [--begin model.safetensors]

STAGE is vision or decoder. STATE.pt is read if it exists, and written every few minutes and at the end. Each worker is a process with one
thread and its own bank; gradients are averaged.

Lessons: trained jointly from scratch, the decoder ignores the image. A tower that is trained alone and then frozen lets the decoder ground
its words. Rows with one image and many questions cost a third of rows with one question. In them the image does not attend to the prompt;
the model loses nothing by that."""
import argparse
import math
import os
import time

import numpy as np
import safetensors.torch
import sentencepiece
import torch
import torch.distributed
import torch.multiprocessing
import torch.nn as nn
import torch.nn.functional as F

import network
import questions
import scenes
from muon import Muon

TEXT_ROOM = 144     # text tokens per row
IMAGES = 32         # images per worker and step, stage vision
ROWS = 12           # rows per worker and step, stage decoder
NEIGHBOUR = 0.2     # label smoothing: target probability of each of the two adjacent pixels of a coordinate
CODE_WEIGHT = 0.4   # loss weight of mask codes relative to words: they are noisy and would dominate the loss


class Heads(nn.Module):
    """Linear probes on each patch, for training the vision tower."""

    def __init__(self, width):
        super().__init__()
        sizes = {"kind": 7, "colour": 9, "rank": 4, "edges": 4, "box": 4 * (scenes.SIDE + 1), "codes": 16 * 128, "ground": 5, "count": 3}
        self.maps = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})

    def loss(self, features, labels):
        """Returns the sum of all losses and the accuracy of each probe."""
        said = lambda name, x: self.maps[name](x)
        mean, on = features.mean(1), labels["rank"] > 0
        x, box, codes = features[on], labels["box"][on], labels["codes"][on]
        loss, right = 0, {}
        for name, logits, target in [(n, said(n, features), labels[n]) for n in ("kind", "colour", "rank")] + [(n, said(n, mean), labels[n]) for n in ("ground", "count")]:
            loss = loss + F.cross_entropy(logits.flatten(0, -2), target.flatten())
            seen = target > 0 if name in ("kind", "colour", "rank") else target >= 0
            right[name] = (logits.argmax(-1) == target)[seen].float().mean()
        edges = said("edges", x)
        logits = said("box", x).unflatten(-1, (4, -1))
        loss = loss + 8 * (edges - box / scenes.SIDE).abs().mean() + 0.5 * F.cross_entropy(logits.flatten(0, 1), box.flatten())
        right["edge px"], right["box px"] = (edges * scenes.SIDE - box).abs().mean(), (logits.argmax(-1) - box).abs().float().mean()
        logits = said("codes", x).unflatten(-1, (16, -1))
        loss = loss + 0.5 * F.cross_entropy(logits.flatten(0, 1), codes.flatten())
        right["codes"] = (logits.argmax(-1) == codes).float().mean()
        return loss, right


def sine_positions(cells, width):
    """Returns a smooth initial encoding of row and column. Training starts three times as fast as from noise."""
    rates = torch.exp(torch.linspace(0, -5, width // 4)) * 1.5
    ys, xs = torch.meshgrid(torch.arange(cells).float(), torch.arange(cells).float(), indexing="ij")
    return torch.cat([f(t.reshape(-1, 1) * rates) for t in (ys, xs) for f in (torch.sin, torch.cos)], 1)


def sine_numbers(count, width, generator):
    """Returns smooth initial embeddings of the location tokens, because coordinates are ordered. Random projection to the width."""
    rates = torch.exp(torch.linspace(0, 6, 48))
    angles = torch.linspace(0, 1, count)[:, None] * rates
    mixed = torch.cat([angles.sin(), angles.cos()], 1) @ torch.randn(96, width, generator=generator)
    return mixed / mixed.std()


def begin(model, text):
    with torch.no_grad():
        c = model.c
        model.vision.embeddings["position_embedding"].weight.copy_(0.35 * sine_positions(c.side // c.patch, c.vision_hidden))
        table = model.decoder.embed_tokens.weight
        first = text.piece_to_id("<loc0000>")
        table[first:first + 1024] = sine_numbers(1024, c.hidden, torch.Generator().manual_seed(3)) * c.hidden ** -0.5


def optimizers(modules, muon_rate, adam_rate):
    """Returns Muon for the matrices of the blocks and AdamW for all other parameters."""
    matrices, others = [], []
    for module in modules:
        for name, p in module.named_parameters():
            if p.requires_grad:
                (matrices if p.dim() == 2 and ".layers." in "." + name and "embed" not in name else others).append(p)
    return Muon(matrices, muon_rate), torch.optim.AdamW(others, adam_rate, betas=(0.9, 0.98), weight_decay=0.0)


def learn(loss, steppers, share, warm, lowest=0.02):
    """Runs one optimizer step. Learning rate schedule: warm-up over the first steps, then half a cosine over the elapsed time."""
    for optimizer in steppers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    params = [p for o in steppers for g in o.param_groups for p in g["params"] if p.grad is not None]
    flat = torch.cat([p.grad.flatten() for p in params])
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(flat)
        flat /= torch.distributed.get_world_size()
    flat *= min(1.0, 1.0 / (float(flat.norm()) + 1e-6))
    for p, g in zip(params, flat.split([p.numel() for p in params])):
        p.grad.copy_(g.view_as(p))
    for optimizer in steppers:
        for group in optimizer.param_groups:
            group.setdefault("peak", group["lr"])
            group["lr"] = group["peak"] * warm * (lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * min(1, share))))
        optimizer.step()


class Clock:
    """The elapsed fraction of the training time, the same for all workers."""

    def __init__(self, seconds):
        self.seconds, self.begun, self.steps = seconds, time.time(), 0

    def share(self):
        share = torch.tensor((time.time() - self.begun) / self.seconds)
        if torch.distributed.is_initialized():
            torch.distributed.broadcast(share, 0)
        return float(share)


def answer_loss(logits, targets, rows, asker):
    """Returns the sum over rows of the mean cross entropy of a row's tokens, and {kind of token: accuracy}. The mean per row gives short
    answers the weight of long ones (big_vision, trainers/proj/paligemma/train.py). Coordinates have smoothed labels; see NEIGHBOUR. `rows`:
    the row of each token."""
    lines = logits.log_softmax(-1)
    own = lines.gather(1, targets[:, None])[:, 0]
    is_loc, is_seg = (targets >= asker.loc) & (targets < asker.loc + 1024), (targets >= asker.seg) & (targets < asker.seg + 128)
    pixel = torch.searchsorted(asker.locs, targets[is_loc])
    low, high = asker.locs[(pixel - 1).clamp(min=0)], asker.locs[(pixel + 1).clamp(max=scenes.SIDE)]
    beside = lines[is_loc].gather(1, torch.stack([low, high], 1)).sum(1)
    soft = own.clone()
    soft[is_loc] = (1 - 2 * NEIGHBOUR) * own[is_loc] + NEIGHBOUR * beside
    weights = torch.where(is_seg, CODE_WEIGHT, 1.0)
    with torch.no_grad():
        right = logits.argmax(-1) == targets
        words = ~(is_loc | is_seg)
        said = logits[is_loc][:, asker.locs].argmax(-1)
        scores = {"words": right[words].float().mean(), "loc px": (said - pixel).abs().float().mean(), "codes": right[is_seg].float().mean()}
    count = int(rows.max()) + 1
    sums, norms = (torch.zeros(count).index_add(0, rows, x) for x in (-soft * weights, weights))
    return (sums / norms.clamp(min=1e-6)).sum(), scores


class Worker:
    def __init__(self, options, rank):
        self.options, self.rank = options, rank
        torch.manual_seed(7)
        self.text = sentencepiece.SentencePieceProcessor(model_file=options.text)
        self.model, self.heads = network.PaliGemma(network.Config()), Heads(network.Config().vision_hidden)
        begin(self.model, self.text)
        if os.path.exists(options.state):
            state = torch.load(options.state)
            self.model.load_state_dict(state["model"])
            self.heads.load_state_dict(state["heads"])
        elif options.begin:
            self.model.load_state_dict({k: w.float() for k, w in safetensors.torch.load_file(options.begin).items()})
        self.bank, self.held_out = questions.Bank(options.bank[rank]), questions.Bank(options.held_out)
        self.rng = np.random.default_rng(int(time.time()) * 17 + rank)
        self.asker = questions.Asker(self.bank, self.text, self.model.c, rank + int(time.time()))
        self.clock, self.shown, self.saved = Clock(options.seconds), None, time.time()

    def say(self, loss, scores, every):
        mean = {"loss": float(loss.detach()), **{k: float(v) for k, v in scores.items()}}
        self.shown = mean if self.shown is None else {k: v if math.isnan(mean[k]) else 0.98 * v + 0.02 * mean[k] for k, v in self.shown.items()}
        if self.rank == 0 and self.clock.steps % every == 0:
            print(self.clock.steps, round(time.time() - self.clock.begun), " ".join(f"{k} {v:.3f}" for k, v in self.shown.items()), flush=True)
        if self.rank == 0 and time.time() - self.saved > 180:
            self.save()

    def save(self):
        self.saved = time.time()
        torch.save({"model": self.model.state_dict(), "heads": self.heads.state_dict()}, self.options.state + ".new")
        os.replace(self.options.state + ".new", self.options.state)

    def vision(self):
        steppers = optimizers([self.model.vision, self.heads], self.options.rate, 2e-3 * self.options.rate / 0.02)
        for p in self.model.decoder.parameters():
            p.requires_grad_(False)
        while (share := self.clock.share()) < 1:
            indices, mirrored = self.rng.integers(0, self.bank.size, IMAGES), self.rng.integers(0, 2, IMAGES)
            features = self.model.vision(self.bank.pixels(indices, mirrored))
            loss, scores = self.heads.loss(features, questions.patch_labels(self.bank, indices, mirrored))
            self.clock.steps += 1
            learn(loss, steppers, share, min(1, self.clock.steps / 100))
            self.say(loss.detach(), scores, 100)
            if self.clock.steps % 1000 == 0:
                self.check_vision()
        self.check_vision()

    def check_vision(self):
        if self.rank == 0:
            with torch.no_grad():
                some, flat = np.arange(self.held_out.size), np.zeros(self.held_out.size, int)
                loss, scores = self.heads.loss(self.model.vision(self.held_out.pixels(some, flat)), questions.patch_labels(self.held_out, some, flat))
            print("held out:", f"loss {float(loss):.3f}", " ".join(f"{k} {float(v):.3f}" for k, v in scores.items()), flush=True)

    def features(self, bank):
        """Returns the frozen tower's features of each image and its mirror image: (N, 2, P, width) float16."""
        out = torch.empty(bank.size, 2, self.model.c.image_tokens, self.model.c.vision_hidden, dtype=torch.float16)
        with torch.no_grad():
            for at in range(0, bank.size, 100):
                for m in (0, 1):
                    some = np.arange(at, min(at + 100, bank.size))
                    out[some, m] = self.model.vision(bank.pixels(some, np.full(len(some), m))).half()
        return out

    def decoder(self):
        for p in self.model.vision.parameters():
            p.requires_grad_(False)
        seen = self.features(self.bank)
        steppers = optimizers([self.model.decoder, self.model.multi_modal_projector], self.options.rate, 2e-3 * self.options.rate / 0.02)
        while (share := self.clock.share()) < 1:
            indices, mirrored = self.rng.integers(0, self.bank.size, ROWS), self.rng.integers(0, 2, ROWS)
            rows = [self.asker.row(i, m, TEXT_ROOM) for i, m in zip(indices, mirrored)]
            tokens, positions, mask, targets = self.asker.batch(rows, TEXT_ROOM, joined=False)
            wanted = targets >= 0
            logits = self.model.decoder(self.model.see(seen[indices, mirrored].float()), tokens, positions, mask, wanted, softcap=False)
            loss, scores = answer_loss(logits, targets[wanted], wanted.nonzero()[:, 0], self.asker)
            self.clock.steps += 1
            learn(loss / ROWS, steppers, share, min(1, self.clock.steps / 200))
            self.say(loss.detach() / ROWS, scores, 50)
            if self.clock.steps % 500 == 0:
                self.check_answers()
        self.check_answers()

    def check_answers(self):
        """Prints loss and accuracy on the held-out scenes, one question per row as at run time, with teacher forcing."""
        if self.rank > 0:
            return
        asker, n = questions.Asker(self.held_out, self.text, self.model.c, 5), 120
        with torch.no_grad():
            seen = self.model.see(self.model.vision(self.held_out.pixels(np.arange(n), np.zeros(n, int))))
            for kind in ("caption", "answer", "detect", "segment", "detect all"):
                rows, places = [], []
                for i in range(n):
                    for k, prompt, answer in reversed(asker.questions(i, 0)):
                        if k == kind and (not places or places[-1] != i):
                            rows.append([asker.tokens(prompt, answer)])
                            places.append(i)
                tokens, positions, mask, targets = asker.batch(rows, max(len(a) + len(b) for [(a, b)] in rows), True)
                wanted = targets >= 0
                logits = self.model.decoder(seen[places], tokens, positions, mask, wanted, True)
                loss, scores = answer_loss(logits, targets[wanted], wanted.nonzero()[:, 0], asker)
                wrong = torch.zeros(len(rows)).index_add_(0, wanted.nonzero()[:, 0], (logits.argmax(-1) != targets[wanted]).float())
                print(f"held out, {kind}: loss {float(loss) / len(rows):.3f} exact {float((wrong == 0).float().mean()):.3f}", " ".join(f"{k} {float(v):.3f}" for k, v in scores.items()), flush=True)


def work(rank, options):
    torch.set_num_threads(1)
    if options.workers > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(options.port))
        torch.distributed.init_process_group("gloo", rank=rank, world_size=options.workers)
    worker = Worker(options, rank)
    getattr(worker, options.stage)()
    if rank == 0:
        worker.save()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("vision", "decoder"))
    parser.add_argument("seconds", type=float)
    parser.add_argument("state")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--begin", help="initial model.safetensors if there is no STATE.pt; the probes of the tower start from scratch")
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--port", type=int, default=29511)
    parser.add_argument("--bank", nargs="+", required=True)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--text", required=True)
    options = parser.parse_args()
    torch.multiprocessing.spawn(work, (options,), nprocs=options.workers)
