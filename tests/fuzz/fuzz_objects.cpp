// Fuzzes the object parser for crashes and inconsistent results. With clang 19 and libclang-rt-19-dev:
//
//     cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++-19 -DPALI_BUILD_FUZZERS=ON
//     ninja -C build/fuzz fuzz_objects
//     mkdir -p build/corpus && build/fuzz/tests/fuzz/fuzz_objects build/corpus tests/fuzz/objects -dict=tests/fuzz/objects.dict
//     -max_total_time=60
#include <pali/core/utf8.hpp>
#include <pali/objects/grammar.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

void check(std::string_view answer, const pali::objects::spoken_objects& read) {
    std::size_t before = 0, labels = 0;
    for (const pali::objects::spoken_object& o : read.objects) {
        require(before <= o.bytes.begin && o.bytes.begin == o.box_bytes.begin && o.box_bytes.begin < o.box_bytes.end);
        require(o.box_bytes.end <= o.label_bytes.begin && o.label_bytes.begin <= o.label_bytes.end);
        require(o.label_bytes.end == o.bytes.end && o.bytes.end <= answer.size());
        require(o.box_bytes.size() >= 36 && o.box_bytes.of(answer).starts_with("<loc") && o.box_bytes.of(answer).ends_with('>'));
        require(o.loc[0] < o.loc[2] && o.loc[1] < o.loc[3] && o.loc[2] < 1024 && o.loc[3] < 1024);
        require(!o.seg || std::all_of(o.seg->begin(), o.seg->end(), [](int code) { return code < 128; }));
        require(pali::core::is_utf8(o.label) && o.label.find(';') == std::string::npos);
        require(!pali::core::is_utf8(o.label_bytes.of(answer)) || o.label == o.label_bytes.of(answer));
        before = o.bytes.end;
        labels += o.label.size();
    }
    // Bounds: one byte becomes at most three; an object needs 36 bytes, and a skipped object at least one.
    require(pali::core::is_utf8(read.text) && labels + read.text.size() <= 3 * answer.size());
    require(read.objects.size() * 36 + read.skipped <= answer.size());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view answer(reinterpret_cast<const char*>(data), size);
    const pali::objects::spoken_objects whole = pali::objects::read_objects(answer);
    check(answer, whole);
    // Truncates the answer at a position derived from it. The boxes found are a prefix of those of the whole answer.
    const std::string_view part = answer.substr(0, size == 0 ? 0 : (data[0] * std::size_t{257} + data[size - 1]) % size);
    const pali::objects::spoken_objects first = pali::objects::read_objects(part);
    check(part, first);
    require(first.objects.size() <= whole.objects.size());
    for (std::size_t i = 0; i < first.objects.size(); ++i) {
        require(first.objects[i].loc == whole.objects[i].loc && first.objects[i].bytes.begin == whole.objects[i].bytes.begin);
        if (first.objects[i].seg) require(first.objects[i].seg == whole.objects[i].seg);
    }
    return 0;
}
