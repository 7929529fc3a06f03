#!/usr/bin/env python3
"""Writes the goldens of tests/data/sampling: the results of transformers' processors, warpers and beam search for given logits.

usage: sampling.py OUT      OUT is tests/data/sampling

processors.safetensors: rows of logits and the output of each processor. A warper only removes tokens, so its output is stored as a mask.
chains.json, chains.safetensors: sets of options, applied in the order of generate(), and tokens sampled from the result with the documented
random numbers (SplitMix64; the first token whose cumulative probability exceeds u times the sum).
beams.json, beams.safetensors: generate(num_beams=...) with a toy model whose logits are table[last] + 0.7 * before[one before last].
"""
import itertools, json, math, os, random, sys
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
import numpy as np, torch, transformers
from safetensors.numpy import save_file
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.generation.logits_process import (MinNewTokensLengthLogitsProcessor, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper,
                                                     TopPLogitsWarper, TypicalLogitsWarper)
from transformers.modeling_outputs import CausalLMOutput

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
torch.set_grad_enabled(False)
VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
INF = float("inf")

# torch.sort does not define which of several equal tokens top_p removes. A stable sort makes it the first ones.
unstable_sort = torch.sort
torch.sort = lambda *given, **named: unstable_sort(*given, **{**named, "stable": True})


def rows(vocabulary, seed):
    rng = np.random.default_rng(seed)
    normal = rng.normal(0, 3, vocabulary)
    holes = rng.normal(0, 3, vocabulary)
    holes[rng.random(vocabulary) < .3] = -INF
    one = np.full(vocabulary, -INF)
    one[vocabulary // 3] = 2.5
    peaked = rng.normal(0, 1, vocabulary)
    peaked[[5, 60]] = 25, 24
    extreme = rng.choice([-3e38, -1e30, -1e4, -90., -88., 0., 30., 88., 90., 1e4], vocabulary)
    found = {"normal": normal, "softcapped": 30 * np.tanh(normal / 3), "ties": np.round(rng.normal(0, 1.2, vocabulary)), "equal": np.full(vocabulary, -1.25), "holes": holes, "only": one, "peaked": peaked,
             "extreme": extreme, "large": normal * 1e4, "negative": normal - 1e3, "ascending": np.linspace(-4, 4, vocabulary), "zeros": np.where(rng.random(vocabulary) < .5, 0., -0.)}
    # Sums equal to the limit: ten tokens of 0.1; and 1/2, 1/4, 1/8, 1/8
    tenths, halves = np.full(vocabulary, -INF), np.full(vocabulary, -INF)
    tenths[3:83:8], halves[[4, 9, 11, 50]] = 1.5, np.log([.5, .25, .125, .125])
    found.update(tenths=tenths, halves=halves)
    if vocabulary > 1000: found = {k: found[k] for k in ("normal", "ties", "holes", "softcapped")}
    return {k: v.astype(np.float32) for k, v in found.items()}


WARPERS = {
    "top_k": (TopKLogitsWarper, (1, 2, 5, 50, 96, 97, 5000)),
    "top_p": (TopPLogitsWarper, (0.0, 0.1, 0.5, 0.7, 0.8, 0.9, 0.95, 0.999)),
    "min_p": (MinPLogitsWarper, (0.0, 0.02, 0.1, 0.5, 1.0)),
    "typical_p": (TypicalLogitsWarper, (0.05, 0.2, 0.25, 0.5, 0.75, 0.9, 0.99)),
}


def processors(out):
    tensors = {}
    for vocabulary in (97, 1536):
        rng = np.random.default_rng(vocabulary)
        sequence = np.concatenate([np.full(9, vocabulary - 1), np.full(3, vocabulary + 5), rng.integers(0, vocabulary, 20), [vocabulary]])  # image tokens, some outside the vocabulary
        ids = torch.tensor(sequence)[None]
        tensors[f"{vocabulary}/sequence"] = sequence.astype(np.int32)
        for name, logits in rows(vocabulary, vocabulary).items():
            base = f"{vocabulary}/{name}"
            tensors[base + "/logits"] = logits
            scores = torch.from_numpy(logits)[None]
            for warper, (make, values) in WARPERS.items():
                for value in values if vocabulary == 97 else values[2:5]:
                    warped = make(value)(ids, scores.clone())[0]
                    kept = warped > -INF
                    assert torch.equal(torch.where(kept, scores[0], -INF), warped)
                    tensors[f"{base}/{warper}/{value}"] = kept.numpy().astype(np.uint8)
            for value in (0.1, 0.7, 1.5, 100.0) if vocabulary == 97 else (0.7,): tensors[f"{base}/temperature/{value}"] = TemperatureLogitsWarper(value)(ids, scores.clone())[0].numpy()
            for value in (0.5, 1.1, 1.3, 2.0) if vocabulary == 97 else (1.3,): tensors[f"{base}/repetition_penalty/{value}"] = RepetitionPenaltyLogitsProcessor(value)(ids, scores.clone())[0].numpy()
            tensors[f"{base}/min_new_tokens/5"] = MinNewTokensLengthLogitsProcessor(len(sequence) - 2, 5, [1, 7])(ids, scores.clone())[0].numpy()
            if name != "extreme": tensors[f"{base}/log_softmax"] = torch.log_softmax(scores[0].double(), -1).float().numpy()
            tensors[f"{base}/argmax"] = np.array([int(torch.argmax(scores[0]))], np.int32)
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, f"{out}/processors.safetensors", metadata={k: str(v) for k, v in VERSIONS.items()})


# ---------------------------------------------------------------- the toy model
class ToyConfig(PretrainedConfig):
    model_type = "toy"


class Toy(PreTrainedModel, GenerationMixin):
    config_class = ToyConfig

    def __init__(self, table, before):
        super().__init__(ToyConfig(vocab_size=table.shape[0], bos_token_id=2, eos_token_id=1, pad_token_id=0))
        self.calls = 0
        self.table, self.before = torch.nn.Parameter(table, requires_grad=False), torch.nn.Parameter(before, requires_grad=False)

    def forward(self, input_ids, **unused):
        self.calls += 1
        previous = torch.nn.functional.pad(input_ids, (1, 0))[:, :-1]  # 0 precedes the first token
        return CausalLMOutput(logits=self.table[input_ids] + 0.7 * self.before[previous])

    def prepare_inputs_for_generation(self, input_ids, **unused):
        return {"input_ids": input_ids}


def tables(vocabulary, seed):
    g = torch.Generator().manual_seed(seed)
    table, before = torch.randn(vocabulary, vocabulary, generator=g) * 1.2, torch.randn(vocabulary, vocabulary, generator=g)
    table[:, 1] += 1.8                # EOS is likely enough to occur at many lengths
    table.fill_diagonal_(-3)          # no token repeats forever
    return table, before


def generation_config(**options):
    return GenerationConfig(**{"use_cache": False, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1, "top_k": 0, **options})


# ---------------------------------------------------------------- chains
def splitmix64(seed):
    mask = (1 << 64) - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield ((z ^ (z >> 31)) >> 11) * 2.0 ** -53


def draws(scores, seed, count):
    """Returns sampled tokens. Stops the script if a random number is within rounding of a boundary, because such a case tests nothing."""
    p = torch.softmax(scores.double(), -1).numpy()
    running = np.cumsum(p)
    found = []
    for u in itertools.islice(splitmix64(seed), count):
        target = u * running[-1]
        assert np.abs(running - target).min() > 1e-7 or (p > 0).sum() == 1, (seed, target)
        found.append(int(np.argmax(running > target)))
    return found


def chains(out):
    rng = random.Random(1)
    model = Toy(*tables(97, 3))
    sets = [{}, {"temperature": 0.7}, {"top_k": 10}, {"top_p": 0.9}, {"min_p": 0.1}, {"typical_p": 0.8}, {"repetition_penalty": 1.3}, {"temperature": 1.4, "top_k": 40, "top_p": 0.95},
            {"temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.2}, {"temperature": 2.0, "min_p": 0.05, "typical_p": 0.9}]
    for _ in range(40):
        o = {}
        if rng.random() < .6: o["temperature"] = rng.choice([0.3, 0.7, 1.5, 2.5])
        if rng.random() < .5: o["top_k"] = rng.choice([3, 20, 60])
        if rng.random() < .5: o["top_p"] = rng.choice([0.5, 0.8, 0.95])
        if rng.random() < .4: o["min_p"] = rng.choice([0.01, 0.1])
        if rng.random() < .4: o["typical_p"] = rng.choice([0.3, 0.7, 0.95])
        if rng.random() < .4: o["repetition_penalty"] = rng.choice([0.8, 1.2, 2.0])
        if rng.random() < .3: o["min_new_tokens"] = 4
        sets.append(o)
    cases, tensors = [], {}
    all_rows = {v: rows(v, v + 1) for v in (97, 1536)}
    for n, options in enumerate(sets):
        vocabulary = 1536 if n % 5 == 4 else 97
        name = ("normal", "softcapped", "holes", "ties")[n % 4]
        logits = torch.from_numpy(all_rows[vocabulary][name])[None]
        sequence = [vocabulary - 1] * 6 + [rng.randrange(vocabulary) for _ in range(12)]
        for sampled in (True, False):
            if not sampled and n % 5: continue
            config = generation_config(do_sample=sampled, max_new_tokens=20, **options)
            model._prepare_special_tokens(config)
            chain = model._get_logits_processor(config, input_ids_seq_length=len(sequence) - 2)  # the last two tokens count as generated
            scores = chain(torch.tensor(sequence)[None], logits.clone())[0]
            case = {"logits": f"{vocabulary}/{name}", "options": options, "sequence": sequence, "sampled": sampled, "suppressed": [1] if options.get("min_new_tokens", 0) > 2 else []}
            if sampled:
                case["seed"] = rng.choice([0, 1, 42, 2 ** 64 - 1, rng.getrandbits(64)])
                case["draws"] = draws(scores, case["seed"], 40)
            else:
                case["draws"] = [int(torch.argmax(scores))] * 3
            tensors[f"{len(cases)}/scores"] = scores.numpy()
            cases.append(case)
    for v in all_rows:
        for name in ("normal", "softcapped", "holes", "ties"): tensors[f"{v}/{name}"] = all_rows[v][name]
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, f"{out}/chains.safetensors", metadata={k: str(v) for k, v in VERSIONS.items()})
    write(f"{out}/chains.json", {"versions": VERSIONS, "cases": cases})


# ---------------------------------------------------------------- beams
def beams(out):
    table, before = tables(41, 9)
    model = Toy(table, before).eval()
    rng = random.Random(2)
    settings = list(itertools.product((2, 3, 4, 5, 8), (-1.0, 0.0, 0.6, 1.0, 2.5), (False, True), (1, 2, 7, 24), (1.0, 1.3), (0, 4)))
    rng.shuffle(settings)
    cases = []
    for count, penalty, early, longest, repetition, shortest in settings[:240]:
        prompt = [40, 40, 2] + [rng.randrange(3, 41) for _ in range(rng.randint(0, 3))]
        eos = rng.choice([1, 1, 1, [1, 7], [1, 7, 12]])
        if shortest >= longest: shortest = 0
        config = generation_config(num_beams=count, length_penalty=penalty, early_stopping=early, max_new_tokens=longest, repetition_penalty=repetition, min_new_tokens=shortest or None, eos_token_id=eos,
                                   num_return_sequences=count, do_sample=False, output_scores=True, return_dict_in_generate=True)
        model.calls = 0
        made = model.generate(torch.tensor([prompt]), generation_config=config)
        ends = eos if isinstance(eos, list) else [eos]
        found = []
        for ids, score in zip(made.sequences[:, len(prompt):].tolist(), made.sequences_scores.tolist()):
            end = next((i + 1 for i, t in enumerate(ids) if t in ends), len(ids))
            assert all(t in (0, ends[0]) for t in ids[end:])  # padding
            found.append({"tokens": ids[:end], "score": score})
        cases.append({"prompt": prompt, "num_beams": count, "length_penalty": penalty, "early_stopping": early, "max_new_tokens": longest, "repetition_penalty": repetition, "min_new_tokens": shortest,
                      "eos": ends, "rounds": model.calls, "found": found})
    print("beams: lengths", sorted({len(f["tokens"]) for c in cases for f in c["found"]}), "best ends early", sum(len(c["found"][0]["tokens"]) < c["max_new_tokens"] for c in cases), "of", len(cases))
    save_file({"table": table.numpy(), "before": before.numpy()}, f"{out}/beams.safetensors", metadata={k: str(v) for k, v in VERSIONS.items()})
    write(f"{out}/beams.json", {"versions": VERSIONS, "cases": cases})


def write(path, value):
    with open(path, "w") as f:
        json.dump(value, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    if len(sys.argv) != 2: sys.exit(__doc__)
    os.makedirs(sys.argv[1], exist_ok=True)
    for make in (processors, chains, beams): make(sys.argv[1])
