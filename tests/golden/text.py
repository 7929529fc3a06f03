#!/usr/bin/env python3
"""Writes the goldens of tests/data/text: texts encoded and tokens decoded by sentencepiece and transformers' GemmaTokenizer.

usage: text.py OUT SHAPES [GEMMA]     OUT is tests/data/text; SHAPES and GEMMA: tokenizer.model of the embedded model and of PaliGemma

Writes shapes.json and gemma.json (texts -> ids, ids -> text, prompts -> layout), and added/: a vocabulary without <loc> and <seg> tokens,
which added_tokens.json provides, with the ids that GemmaTokenizer gives once it has those tokens. Both libraries encode every text. If they
differ, the script stops, except for the differences listed below. Texts with control pieces are stored separately with both results.
"""
import io, json, os, random, shutil, sys, tempfile
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
import sentencepiece as spm, transformers
from transformers import GemmaTokenizer

VERSIONS = {"sentencepiece": spm.__version__, "transformers": transformers.__version__}

TEXTS = """caption en|caption de|describe en|ocr|answer en what color is the circle?|answer en where is the cow standing?|detect tiger ; grass|segment the penguin on the left
question en two red squares|detect car;truck ;bus|caption|Caption en|DETECT TIGER|tiger|a|I|0|7|42|3.14159|1,000,000|-5|+49 30 123456|12:30|50%|$19.99|€5|£7|¥800|2026-01-31|#hash @at
https://example.org/a?b=c&d=%20e|user@example.org|C:\\Windows\\path|<html><b>bold</b></html>|{"json": [1, 2, null]}|def f(x): return x ** 2|if (a<b && c>d) { e(); }|`code` ```block```
The quick brown fox jumps over the lazy dog.|It's a dog's life - isn't it?|"quoted" 'single' “curly” ‘curly’|well-known; semi: colon, comma.|wait... what?!|(parenthesis) [bracket] {brace}
Straße, Äpfel, Öl, Übung|Où est la bibliothèque ? Ça va déjà.|¿Dónde está el niño? ¡Aquí!|Não há ações em São Paulo|Il perché è così|Łódź, żółć, gęślą jaźń|Příliš žluťoučký kůň|Pøl og ål på ærlig dansk
Þórður átti ýsu|Árvíztűrő tükörfúrógép|Șase țări|İstanbul'da ığdır|Trường Đại học Việt Nam|Съешь же ещё этих мягких французских булок|Україна та її їжа|България|Ελληνικά και τόνοι|ὦ ἄνδρες Ἀθηναῖοι
שלום עולם|שָׁלוֹם|مرحبا بالعالم|السَّلامُ عَلَيْكُم|سلام دنیا|اردو زبان|नमस्ते दुनिया|क्षत्रिय ज्ञान|বাংলা ভাষা|ਪੰਜਾਬੀ|ગુજરાતી|தமிழ் மொழி|తెలుగు|ಕನ್ನಡ|മലയാളം|සිංහල|ภาษาไทยไม่มีเว้นวรรค|ພາສາລາວ|မြန်မာဘာသာ
ភាសាខ្មែរ|ქართული ენა|Հայերեն|አማርኛ|བོད་སྐད|ᏣᎳᎩ|ᐃᓄᒃᑎᑐᑦ|ⵜⴰⵎⴰⵣⵉⵖⵜ|你好，世界|繁體中文測試|日本語のテキスト|カタカナ ひらがな 漢字|ｶﾀｶﾅ ﾊﾝｶｸ|한국어 문장입니다|ㄱㄴㄷ|𠀀𠀁𪛖|ꦲꦏ꧀ꦱꦫꦗꦮ|𐌰𐌱𐌲|𓀀𓀁𓂀|𝕳𝖊𝖑𝖑𝖔
😀|😀😃😄|🐯 tiger|👍🏽|👩‍👩‍👧‍👦 family|🏳️‍🌈|🇩🇪🇫🇷🇯🇵|❤️|☃ ☀ ☂|1️⃣2️⃣|🧑🏿‍🚀 in space|a😀b😀c|✂️📋|🫠🪿|®©™|←↑→↓⇒∀∃∈∉⊂∪∞≈≠≤≥|∫∑∏√∂∇|½⅓¼|x²+y³|H₂O|α β γ|µm|°C|‰ ‱|─│┌┐█▓▒░|♔♕♖|♪♫|★☆|①②③|Ⅷ
e\u0301 is not é|n\u0303|a\u0300\u0301\u0302|\ufeffbom|zero\u200bwidth\u200cjoin\u200d|soft\u00adhyphen|nbsp\u00a0here|thin\u2009space|\u3000ideographic|\u202eright to left\u202c|line\u2028sep\u2029para|\u0085next|\u0000zero|bell\u0007|\u001b[31mred|del\u007f
\ufffd|\ufffe|\U0010ffff|\ue000 private|\u2581|a\u2581b|\u2581\u2581a|a\u2581 b|<0x41>|<0x0A>|<|>|<>|<<>>|<loc|<loc0>|<loc00000>|<loc1024>|<loc9999>|<loc 0001>|<LOC0001>|<seg|<seg128>|<seg0>|<seg 001>|loc0001|<loc0001|loc0001>
<loc0000>|<loc1023>|<seg000>|<seg127>|<loc0123><loc0456><loc0789><loc1000> tiger|<loc0123><loc0456><loc0789><loc1000> tiger ; <loc0001><loc0002><loc0003><loc0004> grass|x<loc0007>y|x <loc0007> y|caption <loc0001><loc0002><loc0003><loc0004>
<loc0010><loc0020><loc0030><loc0040><seg001><seg002><seg003><seg004><seg005><seg006><seg007><seg008><seg009><seg010><seg011><seg012><seg013><seg014><seg015><seg016> a cat|<loc0001>\\n<loc0002>|<seg000>\\t<seg001>|<<loc0001>>|<loc<loc0001>>|<loc0001<loc0002>
 |  |   |    |     |      |       |        | a|  a|   a|a |a  |a   |a b|a  b|a   b|a    b|a     b|                                 wide|\\n|\\n\\n|\\n\\n\\n|\\n\\n\\n\\n\\n\\n\\n|a\\nb|a\\n\\nb|a \\n b|\\na|a\\n|\\n \\n|\\n  \\n  |\\t|\\t\\t|\\t\\t\\ta|a\\tb|a\\t\\tb|\\ta|a\\t
 \\t \\n|\\r|\\r\\n|a\\r\\nb|a\\rb|\\v\\f|Question: Which is it?\\nContext: A hint.\\nOptions: (A) one (B) two\\nAnswer:|answer en  which one? choose from: a \\t b|line one\\nline two\\n  indented\\n\\tand tabbed\\n\\n\\nend|- item\\n- item\\n  - nested
<unused0>|<start_of_turn>user\\nhi<end_of_turn>|<mask>|<2mass>|[@BOS@]|<table><tr><td>|</s><s>|[INST]|<|im_start|>|<unused99>
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|abababababababababab|AaAaAaAa|supercalifragilisticexpialidocious|pneumonoultramicroscopicsilicovolcanoconiosis|Donaudampfschifffahrtsgesellschaft|xyzzyqwrtpsdfghjklzxcvbnm|!!!!!!!!|........|--------|========|________|////////"""
CONTROL = ["<bos>", "<eos>", "<pad>", "<unk>", "<image>", "a<bos>b", "<bos>caption en", "<image><bos>caption en\n", "caption en<eos>", "x <image> y", "<eos><eos>", "ignore <image><image> this<pad>"]
EMPTY = ""


def texts():
    found = [t.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r").replace("\\v", "\v").replace("\\f", "\f").replace("\\\\", "\\") for line in TEXTS.split("\n") for t in line.split("|")]
    rng = random.Random(7)
    atoms = ["<loc%04d>" % i for i in (0, 1, 9, 511, 512, 1023)] + ["<seg%03d>" % i for i in (0, 64, 127)] + [" ", "  ", "\n", "\t", "\n\n", " ; ", "tiger", "a", "ß", "é", "虎", "🐯", "<", ">", "0", "▁", "é", "👩‍👧"]
    found += ["".join(rng.choice(atoms) for _ in range(rng.randint(2, 14))) for _ in range(80)]
    for low, high in ((0x20, 0x7e), (0xa0, 0x17f), (0x370, 0x5ff), (0x900, 0xdff), (0x4e00, 0x9fff), (0x1f300, 0x1faff), (0x10000, 0x10ffff)):
        found += ["".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 12))) for _ in range(6)]
    return [EMPTY] + list(dict.fromkeys(t for t in found if t))


PROMPTS = ["caption en", "detect tiger ; grass", "", " leading", "trailing ", "two  spaces", "answer en what?", "tab\there", "Question: q\nContext: c\nOptions: a b\nAnswer:", "segment <loc0001>", "日本語 🐯"]


def load_hf(model, folder):
    shutil.copy(model, f"{folder}/tokenizer.model")
    return GemmaTokenizer.from_pretrained(folder)


def golden(model, name, folder):
    sp = spm.SentencePieceProcessor(model_file=model)
    hf = load_hf(model, folder)
    same = lambda text: hf.encode(text, add_special_tokens=False)
    cases = []
    for text in texts():
        ids = sp.encode(text)
        other = same(text)
        # Two known differences. GemmaTokenizer adds a <mask> token if the vocabulary has none; pali does not. It merges spaces like
        # letters, while sentencepiece takes the longest piece; they differ for more than 31 spaces, the longest piece. pali follows
        # GemmaTokenizer.
        assert ids == other or (sp.piece_to_id("<mask>") == sp.unk_id() and "<mask>" in text) or " " * 32 in text, (name, text, ids, other)
        ids = other if " " * 32 in text else ids
        cases.append({"text": text, "ids": ids, "decoded": sp.decode(ids)})
    control = []
    for text in CONTROL:
        control.append({"text": text, "ids": sp.encode(text), "transformers": same(text)})
    invalid = []
    for raw in (b"\xff", b"a\xc3", b"\xe2\x96", b"\xf0\x9f\x90", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok\x80\x81ok", b"\xe2\x28\xa1", b"\xfe\xff"):
        invalid.append({"bytes": list(raw), "ids": sp.encode(raw)})
    rng = random.Random(11)
    byte = [i for i in range(sp.vocab_size()) if sp.is_byte(i)]
    user = sp.encode("\n<loc0007><seg001>")
    words = [i for i in range(sp.vocab_size()) if not (sp.is_byte(i) or sp.is_control(i))][-3000:]
    bytes_of = lambda text: [byte[b] for b in text.encode()]
    decoded = []
    for n in range(200):
        ids = []
        while len(ids) < rng.randint(1, 24):
            kind = rng.random()
            if kind < .3: ids += [rng.choice(byte)]
            elif kind < .45: ids += bytes_of(rng.choice("é虎🐯▁ß€𠀀\ufffd"))
            elif kind < .55: ids += bytes_of(rng.choice("é虎🐯▁ß€𠀀"))[:-1]
            elif kind < .7: ids += [rng.choice([sp.bos_id(), sp.eos_id(), sp.pad_id(), sp.unk_id()])]
            elif kind < .8: ids += [rng.choice(user)]
            else: ids += [rng.choice(words)]
        decoded.append({"ids": ids, "text": sp.decode(ids)})
    prompts = [{"prompt": p, "ids": same("<bos>" + p + "\n")} for p in PROMPTS]
    return {"versions": VERSIONS, "size": sp.vocab_size(), "bos": sp.bos_id(), "eos": sp.eos_id(), "pad": sp.pad_id(), "newline": sp.encode("\n")[0], "texts": cases, "control": control,
            "invalid": invalid, "tokens": decoded, "prompts": prompts}


def write(path, value):
    with open(path, "w") as out:
        json.dump(value, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


def added(folder):
    """Writes a vocabulary without <loc> and <seg>. added_tokens.json has them with gaps, and a token of two words, one that is a prefix of
    another, and <image>."""
    os.makedirs(folder, exist_ok=True)
    lines = ["caption en a red tiger on the grass", "detect tiger ; grass", "answer en what is it?", "two dogs and a cat near the tree"] * 20
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, vocab_size=320, model_type="bpe", byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>",
                                   eos_piece="<eos>", bos_piece="<bos>", normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, user_defined_symbols=["\n"],
                                   minloglevel=2, num_threads=1, hard_vocab_limit=False)
    with open(f"{folder}/tokenizer.model", "wb") as f: f.write(out.getvalue())
    sp = spm.SentencePieceProcessor(model_proto=out.getvalue())
    with tempfile.TemporaryDirectory() as place:
        hf = load_hf(f"{folder}/tokenizer.model", place)
    extra = [f"<loc{i:04d}>" for i in range(1024)] + [f"<seg{i:03d}>" for i in range(128)] + ["<image>", "red tiger", "<loc", "<loc0001>x", "新しい", "two  spaces", "<table>"]
    hf.add_tokens([transformers.AddedToken(t, normalized=False) for t in extra])
    ids = {t: hf.convert_tokens_to_ids(t) for t in extra}
    write(f"{folder}/added_tokens.json", ids)
    rng = random.Random(5)
    atoms = ["<loc0000>", "<loc0001>", "<loc0001>x", "<loc1023>", "<seg127>", "<loc", "<seg", "red tiger", "red", " tiger", "red tige", "新しい", "新し", "two  spaces", "two spaces", " ", "\n", "x", "é", "🐯", "detect", "0001>"]
    cases = ["", "caption en", "a red tiger", "red tigers", "<loc0001>xy", "<loc00011>", "<<loc0001>", "<seg000><loc0000>"] + ["".join(rng.choice(atoms) for _ in range(rng.randint(1, 9))) for _ in range(120)]
    made = [{"text": t, "ids": hf.encode(t, add_special_tokens=False), "decoded": t} for t in dict.fromkeys(cases)]
    for case in made: assert hf.decode(case["ids"]) == case["text"], case
    write(f"{folder}.json", {"versions": VERSIONS, "model_size": sp.vocab_size(), "image": ids["<image>"], "loc0": ids["<loc0000>"], "seg0": ids["<seg000>"], "size": max(ids.values()) + 1, "texts": made})


def main(out, models):
    os.makedirs(out, exist_ok=True)
    for name, model in zip(("shapes", "gemma"), models):
        with tempfile.TemporaryDirectory() as folder:
            write(f"{out}/{name}.json", golden(model, name, folder))
    added(f"{out}/added")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4): sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
