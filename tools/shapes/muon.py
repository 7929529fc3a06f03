"""The Muon optimizer (https://kellerjordan.github.io/posts/muon) for hidden matrices: orthogonalizes the momentum. Works in float32. Matrices
of one shape are batched, and the workers share the orthogonalization."""
import torch
import torch.distributed


def orthogonal(g, steps=5):
    """Returns approximately the nearest semi-orthogonal matrices of g (N, R, C). Quintic Newton-Schulz iteration, coefficients of the
    post."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = g.shape[1] > g.shape[2]
    x = g.transpose(1, 2) if wide else g
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        y = x @ x.transpose(1, 2)
        x = a * x + (b * y + c * (y @ y)) @ x
    return x.transpose(1, 2) if wide else x


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        world, rank = (torch.distributed.get_world_size(), torch.distributed.get_rank()) if torch.distributed.is_initialized() else (1, 0)
        for group in self.param_groups:
            shapes = {}
            for i, p in enumerate(group["params"]):
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                if i % world == rank:  # each worker orthogonalizes its share
                    shapes.setdefault(p.shape, []).append(p)
            updates = {}
            for params in shapes.values():
                made = orthogonal(torch.stack([p.grad.lerp(self.state[p]["mean"], group["momentum"]) for p in params]))
                updates.update(zip(params, made))
            flat = torch.cat([updates[p].flatten() if p in updates else torch.zeros(p.numel()) for p in group["params"]])
            if world > 1:
                torch.distributed.all_reduce(flat)
            for p, update in zip(group["params"], flat.split([p.numel() for p in group["params"]])):
                scale = group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.view_as(p), alpha=-scale)
