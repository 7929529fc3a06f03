#!/usr/bin/env python3
"""Writes tests/data/text/json: a tokenizer.json saved by transformers, and texts with the ids that transformers gives.

usage: tokenizer_json.py OUT SHAPES              OUT is tests/data/text/json; SHAPES is the tokenizer.model of the embedded model
       tokenizer_json.py --check PROGRAM MODEL   the same in a temporary folder for another tokenizer.model, for example PaliGemma's; PROGRAM
                                                 (build/release/tests/test_text) compares, and its output is shown
       tokenizer_json.py --words                 prints the table of include/pali/text/character_classes.hpp: the word characters of single_word

OUT/saved is saved by GemmaTokenizer after adding tokens with every flag. cases.json has texts with their ids, and 10,000 more texts as a
recipe: text fragments, concatenated by a random number generator, and a hash of the ids of each hundred texts. "model" has the ids of a
GemmaTokenizer made from tokenizer.model alone, "saved" those of OUT/saved. pali never parses <bos>, <eos>, <pad>, <unk> and <image> in a
text. Therefore these, and the <mask> that GemmaTokenizer adds if tokenizer.model has none, are first removed from the added tokens. For
texts without them, the tokenizers with and without the removal must agree. OUT/spaces is a tokenizer.model with pieces of several spaces.
"""
import json, os, random, shutil, subprocess, sys, tempfile
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
import sentencepiece, tokenizers, transformers
from tokenizers import AddedToken, Tokenizer
from transformers import GemmaTokenizer
import text as golden_text

RESERVED = ["<bos>", "<eos>", "<pad>", "<unk>", "<image>"]
ADDED = [AddedToken("<new>"), AddedToken("<act000>"), AddedToken("red tiger"), AddedToken("<raw>", normalized=False), AddedToken("two  raw", normalized=False), AddedToken("cat", single_word=True),
         AddedToken("dog", single_word=True, normalized=False), AddedToken("<l>", lstrip=True, normalized=False), AddedToken("<r>", rstrip=True, normalized=False), AddedToken("<b>", lstrip=True, rstrip=True),
         AddedToken("word", single_word=True, lstrip=True, rstrip=True, normalized=False), AddedToken("<ne", normalized=False), AddedToken("<n", normalized=True), AddedToken("▁under", normalized=True),
         AddedToken("虎", single_word=True, normalized=False), AddedToken(" <l>x"), AddedToken("<r> y", normalized=False), AddedToken("\n<b>", rstrip=True),
         AddedToken("\u2029", lstrip=True, normalized=False)]  # white space: texts in which another token strips it are chosen by hand, because transformers raises an error for most
OVERLAPPING = ["<r>\u2029", "<r> \u2029x", "x \u2029\u2029 y", "<r>x\u2029", "word\u2029", "<l>\u2029<r>\u2029<l>"]
SPECIAL = [AddedToken("<image>", normalized=False, special=True), AddedToken("<sp0>", normalized=False, special=True), AddedToken("<sp1>", normalized=True, special=True, lstrip=True)]
PARTS = [" ", "  ", "   ", " " * 7, " " * 31, " " * 32, " " * 33, " " * 70, "▁", "▁▁", "▁▁▁", "▁ ▁", "a▁b", "▁the", "\n", "\n\n", "\n" * 40, "\t", "\t\t", "\r\n", "\u00a0", "\u2003", "\u3000", "\u200d", "e\u0301", "_", "-", "0", "٣", "x", "y", "X9", "cats", "cat.",
         "tiger", "red", "the", "of", "Ünï", "日本語", "<", ">", "<0x41>", "<0x0A>", "<0x", "<mask>", "<loc0001>", "<loc1023>", "<seg127>", "<loc", "<seg00", "<unused7>", "<start_of_turn>", "0", "\U0010ffff", "\ufffd", "\x00", "🐯", "👩‍👧", "𝕳", "ﬃ", "İ"]


def states(seed):
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2 ** 64  # Knuth's MMIX
        yield seed >> 33


def recipe_texts(parts, count, seed=1):
    numbers = states(seed)
    for _ in range(count): yield "".join(parts[next(numbers) % len(parts)] for _ in range(1 + next(numbers) % 8))


def hashes(ids, each=100):
    """Returns the FNV-1a hash of the ids of each hundred texts. Each id is four bytes; -1 ends a text."""
    found = []
    for start in range(0, len(ids), each):
        h = 0xcbf29ce484222325
        for one in ids[start:start + each]:
            for byte in b"".join((i % 2 ** 32).to_bytes(4, "little") for i in one + [-1]): h = (h ^ byte) * 0x100000001b3 % 2 ** 64
        found.append(f"{h:016x}")
    return found


def reference(folder, dropped):
    """Returns a function from texts to ids: the saved tokenizer without the `dropped` tokens. Checks that it otherwise equals
    transformers'."""
    hf = GemmaTokenizer.from_pretrained(folder)
    state = json.loads(hf.backend_tokenizer.to_str())
    by_id = {t["id"]: t["content"] for t in state["added_tokens"]}
    outside = [i for i in by_id if i >= len(state["model"]["vocab"])]
    # The library renumbers the tokens outside the vocabulary. So a token dropped there keeps its id under a name that no text contains.
    state["added_tokens"] = [t if t["content"] not in dropped else {**t, "content": "\U0010fffe" + t["content"]} for t in state["added_tokens"] if t["content"] not in dropped or t["id"] in outside]
    plain = Tokenizer.from_str(json.dumps(state))
    assert all(plain.token_to_id(by_id[i]) == i for i in outside if by_id[i] not in dropped)

    def ids(texts):
        got = [e.ids for e in plain.encode_batch(texts, add_special_tokens=False)]
        some = [(t, g) for t, g in zip(texts, got) if not any(d in t for d in dropped)]
        for t, g in some[:3000]: assert hf.encode(t, add_special_tokens=False) == g, t
        assert some
        return got
    return ids


def make(out, model, count=10000, more=()):
    shutil.rmtree(f"{out}/saved", ignore_errors=True)
    with tempfile.TemporaryDirectory() as base:
        shutil.copyfile(model, f"{base}/tokenizer.model")
        hf = GemmaTokenizer.from_pretrained(base)
        had_mask = "<mask>" in json.loads(hf.backend_tokenizer.to_str())["model"]["vocab"]
        from_model = reference(base, RESERVED + ([] if had_mask else ["<mask>"]))
        hf.add_special_tokens({"extra_special_tokens": SPECIAL}, replace_extra_special_tokens=False)
        hf.add_tokens(ADDED)
        hf.save_pretrained(f"{out}/saved")
    config = json.load(open(f"{out}/saved/tokenizer_config.json"))
    for key in ("name_or_path", "vocab_file", "is_local", "local_files_only"): config.pop(key, None)
    if len(config.get("extra_special_tokens", [])) > 100: config["extra_special_tokens"] = [t for t in config["extra_special_tokens"] if not t.startswith(("<loc", "<seg"))]
    with open(f"{out}/saved/tokenizer_config.json", "w") as f: json.dump(config, f, indent=2)
    saved = reference(f"{out}/saved", RESERVED)
    words = {t["id"] for t in json.load(open(f"{out}/saved/tokenizer.json"))["added_tokens"] if t["content"] in ("cat", "dog")}
    parts = list(dict.fromkeys(PARTS + [str(t) for t in SPECIAL + ADDED[:-1]] + RESERVED + [t for t in golden_text.texts() if t] + list(more)))
    rng = random.Random(3)
    texts = [""] + parts + OVERLAPPING + ["".join(rng.choice(PARTS + [str(t) for t in SPECIAL + ADDED[:-1]] + [" ", ".", "a"]) for _ in range(rng.randint(2, 9))) for _ in range(300)]
    parts_used = [p for p in parts if len(p) < 200]
    many = list(recipe_texts(parts_used, count))
    longest = "".join(chr(97 + n % 26) for n, _ in zip(states(2), range(200000)))  # one word
    made = {"versions": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}, "parts": parts_used, "count": count}
    for name, ids in (("model", from_model), ("saved", saved)):
        got, letters = ids(many), ids([longest])[0]
        made[name] = {"ids": ids(texts), "hashes": hashes(got), "letters": {"count": len(letters), "hash": hashes([letters])[0]}}
    around = [f"cat{chr(c)}dog" for c in range(0x110000) if not 0xd800 <= c < 0xe000]  # tests every code point for being a word character
    made["around"] = hashes([[i for i in one if i in words] for one in saved(around)], 2048)
    made["texts"] = texts
    made["spaces"] = spaces(out)
    with open(f"{out}/cases.json", "w") as f: f.write(json.dumps(made, separators=(",", ":")) + "\n")


def spaces(out):
    """Writes a vocabulary with pieces of up to seven spaces (Gemma: up to 31), for which sentencepiece and transformers differ."""
    os.makedirs(f"{out}/spaces", exist_ok=True)
    lines = ["def f(x): return  x", "    if a:   b", "the aaa bbbb of the"] * 20
    with open(f"{out}/spaces/tokenizer.model", "wb") as model:
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, vocab_size=330, model_type="bpe", byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>",
                                                 eos_piece="<eos>", bos_piece="<bos>", normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
                                                 user_defined_symbols=["<mask>", "\n"] + ["▁" * n for n in range(2, 8)], minloglevel=2, num_threads=1, hard_vocab_limit=False)
    rng = random.Random(6)
    texts = [" " * n for n in range(1, 40)] + ["a" * n for n in range(1, 20)] + ["".join(rng.choice([" " * rng.randint(1, 20), "▁" * rng.randint(1, 9), "the", "aa", "b", "x", "\n"]) for _ in range(rng.randint(2, 9))) for _ in range(200)]
    ids = reference(f"{out}/spaces", RESERVED)(texts)
    sp = sentencepiece.SentencePieceProcessor(model_file=f"{out}/spaces/tokenizer.model")
    assert sum(sp.encode(t) != i for t, i in zip(texts, ids)) > 50
    return {"texts": texts, "ids": ids}


def word_ranges():
    words = Tokenizer(tokenizers.models.BPE(vocab={"<unk>": 0}, merges=[], unk_token="<unk>", fuse_unk=True))
    words.add_tokens([AddedToken("@@", single_word=True, normalized=False)])
    token, found = words.token_to_id("@@"), []
    codes = [c for c in range(0x110000) if not 0xd800 <= c < 0xe000 and chr(c) != "@"]
    for start in range(0, len(codes), 100000):
        part = codes[start:start + 100000]
        for c, e in zip(part, words.encode_batch([chr(c) + "@@" for c in part])):
            if token in e.ids: continue
            if found and found[-1][1] == c - 1: found[-1][1] = c
            else: found.append([c, c])
    return found


def main(arguments):
    if arguments == ["--words"]:
        line = "   "
        for row in (f" {{0x{first:04x}, 0x{last:04x}}}," for first, last in word_ranges()):
            if len(line + row) > 138: print(line); line = "   "
            line += row
        print(line)
    elif len(arguments) == 3 and arguments[0] == "--check":
        with tempfile.TemporaryDirectory() as out:
            shutil.copyfile(arguments[2], f"{out}/tokenizer.model")
            vocabulary = [t for t in json.loads(GemmaTokenizer.from_pretrained(out).backend_tokenizer.to_str())["model"]["vocab"] if "<" not in t]
            make(out, arguments[2], more=random.Random(4).sample(vocabulary, min(3000, len(vocabulary))))
            sys.exit(subprocess.run([arguments[1], "--run_test=tokenizer_json/*transformers*", "--log_level=message", "--", out]).returncode)
    elif len(arguments) == 2:
        os.makedirs(arguments[0], exist_ok=True)
        make(*arguments)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
