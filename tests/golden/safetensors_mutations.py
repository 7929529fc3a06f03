"""Writes damaged and unusual safetensors files with the verdict of the reference reader for each.

usage: safetensors_mutations.py OUT [--seed N]        writes OUT/mutations.json
Each case has the bytes of the file (base64), a kind, and either `tensors` as returned by safetensors.deserialize, or `refused`.
`stricter` lists the kinds that the reference accepts and pali rejects. If pali accepts such a file, its contents must match.
"""
import base64, json, pathlib, random, struct, sys
import safetensors

out = pathlib.Path(sys.argv[1])
random.seed(int(sys.argv[sys.argv.index("--seed") + 1]) if "--seed" in sys.argv else 7)

STRICTER = {
    "tensor as a list": "serde reads [dtype, shape, data_offsets] in place of an object; no writer makes it",
    "dtype as an object": "serde reads {\"F32\": null} in place of \"F32\"; no writer makes it",
    "33 dimensions": "32 are read",
    "space before the header": "the format says that a header begins with {, and its reader does not insist",
    "nested 100 deep": "64 levels are read, in values that the format ignores",
}
A, B = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}', '{"dtype":"BF16","shape":[1,2],"data_offsets":[4,8]}'
DATA = bytes(range(1, 9))
cases = []


def pack(header, data=DATA, length=None):
    header = header if isinstance(header, bytes) else header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def case(kind, content):
    try:
        tensors = {name: [t["dtype"], t["shape"], base64.b64encode(bytes(t["data"])).decode()] for name, t in safetensors.deserialize(content)}
        verdict = {"tensors": tensors}
    except Exception as e:  # SafetensorError, or UnicodeDecodeError
        verdict = {"refused": True}
    cases.append({"kind": kind, "file": base64.b64encode(content).decode(), **verdict})


def header(a=A, b=B, metadata='{"k":"v"}'):
    return '{"__metadata__":%s,"a":%s,"b":%s}' % (metadata, a, b)


case("as it was", pack(header()))
for metadata in ["null", "{}", "[]", "1", '"x"', "true", '{"k":null}', '{"k":1}', '{"k":"1","k":"2"}', '{"k":1,"k":"2"}', '{"k":{}}', '{"":""}', '{"k":"\\u0000"}']:
    case("metadata", pack(header(metadata=metadata)))
for first in [A, "null", "1", '{"dtype":"F99","shape":[1],"data_offsets":[0,4]}', '{"dtype":"F32","shape":[9],"data_offsets":[7,4]}', '{"shape":[1],"data_offsets":[0,4]}', "[]"]:
    case("name twice", pack('{"a":%s,"a":%s,"b":%s}' % (first, A, B)))
    case("name twice", pack('{"a":%s,"b":%s,"\\u0061":%s}' % (A, B, first)))
case("metadata twice", pack('{"__metadata__":{},"a":%s,"b":%s,"__metadata__":{}}' % (A, B)))
case("metadata twice", pack('{"__metadata__":null,"a":%s,"b":%s,"__metadata__":{}}' % (A, B)))
for field in ['"dtype":"F32"', '"shape":[1]', '"data_offsets":[0,4]']:
    case("field twice", pack(header(a=A[:-1] + "," + field + "}")))
for extra in ['"x":1', '"x":{"y":[1,{"z":null}]}', '"x":1,"x":2', '"":""', '"strides":[1]', '"Dtype":"F32"', '"x":1e999', '"x":{"dtype":1,"dtype":2}', '"x":-0', '"x":1E5']:
    case("extra field", pack(header(a=A[:-1] + "," + extra + "}")))
    case("extra name", pack("{%s,%s" % (extra, header()[1:])))
for name, text in {"tensor as a list": '["F32",[1],[0,4]]', "dtype as an object": A.replace('"F32"', '{"F32":null}'), "33 dimensions": A.replace("[1]", "[" + ",".join(["1"] * 33) + "]"),
                   "nested 100 deep": A[:-1] + ',"x":' + "[" * 98 + "]" * 98 + "}"}.items():
    case(name, pack(header(a=text)))
VALUES = ["null", "true", "0", "1", "2", "4", "-1", "-0", "1.0", "1e0", "18446744073709551615", "18446744073709551616", "4611686018427387905", '"1"', "[]", "{}", "[1]", "[0]", "[0,4]", "[4,0]", "[0,4,8]",
          "[4,8]", "[0,0]", "[null]", "[1.0]", "[-1]", '["1"]', "[[1]]", "[2]", "[1,1]", "[0,18446744073709551615]", "[4294967296,4294967296]", "[0,4611686018427387904,4]", '"F32"', '"f32"', '"BF16"', '"I8"', '"F64"',
          '"F8_E4M3"', '"F4"', '"BOOL"', '"C64"', '"I32"', '"U16"', '"F16"', '""', '"F32 "']
for field, old in (("dtype", '"F32"'), ("shape", "[1]"), ("data_offsets", "[0,4]")):
    for value in VALUES:
        case(field, pack(header(a=A.replace('"%s":%s' % (field, old), '"%s":%s' % (field, value)))))
    case("field missing", pack(header(a=A.replace('"%s":%s,' % (field, old), "").replace(',"%s":%s' % (field, old), ""))))
for value in ["null", "[]", "1", '"x"', "{}", "true"]:
    case("tensor", pack(header(a=value)))
case("space before the header", pack(" " + header()))
for text in [header().encode() + b"  ", header().encode() + b"\n", header().encode() + b"\0", header().encode() + b"x", header().encode() + b"{}", b"\xef\xbb\xbf" + header().encode(), b"[]", b"null",
             b"{}", b"", header().replace('"a"', '"a\\ud800"').encode(), header().replace('"a"', '"\\ud83d\\ude00"').encode(), header().encode().replace(b'"a"', b'"\xff"'), header().encode().replace(b'"a"', b'"\xc3\xa9"'),
             header().replace(",", " , ").encode(), header().replace(":", ":\t").encode(), header().replace("{", "{/**/").encode(), header().replace("}", ",}").encode(), header().replace('"a"', "'a'").encode(),
             header().replace('"a"', '"a\n"').encode(), header().replace('"a"', '""').encode(), header().replace('"a"', '"\\u0000"').encode(), header().encode().replace(b"]", b"\0]")]:
    case("text", pack(text))
case("no tensors", pack("{}", b""))
for a, b in (((0, 0), (0, 8)), ((0, 8), (8, 8)), ((4, 4), (0, 8)), ((8, 8), (0, 8)), ((9, 9), (0, 8)), ((0, 8), (0, 8)), ((0, 4), (2, 6)), ((4, 8), (0, 4)), ((0, 4), (5, 9)), ((1, 5), (5, 9))):
    shape = lambda x: '{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}' % (x[1] - x[0], *x)
    case("places", pack('{"a":%s,"b":%s}' % (shape(a), shape(b)), bytes(8))); case("places", pack('{"a":%s,"b":%s}' % (shape(a), shape(b)), bytes(9)))
whole = pack(header())
for length in (0, 1, len(whole) - 17, len(whole) - 16 + 1, len(whole) - 8, len(whole) - 7, 100_000_000, 100_000_001, 2 ** 63, 2 ** 64 - 1, 2 ** 64 - 8):
    case("length", pack(header(), length=length))
while len(cases) < 420:
    b = bytearray(whole); at = random.randrange(len(b)); b[at] = random.choice([0, 1, 0x20, 0x22, 0x2c, 0x30, 0x39, 0x5b, 0x5d, 0x7b, 0x7d, 0x7f, 0x80, 0xff, b[at] ^ 1]); case("a byte", bytes(b))
while len(cases) < 500: case("cut", whole[:random.randrange(len(whole))])
while len(cases) < 570:
    b = bytearray(whole); at = random.randrange(8, len(b) - 8); del b[at:at + random.randrange(1, 4)]; case("bytes taken out", struct.pack("<Q", len(b) - 16) + bytes(b[8:]))
while len(cases) < 650:
    b = bytearray(whole); at = random.randrange(8, len(b) - 8); part = bytes(b[at:at + random.randrange(1, 30)]); b[at:at] = part; case("bytes twice", struct.pack("<Q", len(b) - 16) + bytes(b[8:]))
accepted = sum("tensors" in c for c in cases)
assert accepted >= 60 and len(cases) - accepted >= 300, accepted  # both verdicts must occur often
assert all(any(c["kind"] == kind and "tensors" in c for c in cases) for kind in STRICTER), "the reference refuses what is listed as stricter"
lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
(out / "mutations.json").write_text('{"versions":%s,"stricter":%s,"cases":[\n%s\n]}\n' % (json.dumps({"safetensors": safetensors.__version__}), json.dumps(STRICTER), lines))
print(len(cases), "cases,", accepted, "accepted by the reference")
