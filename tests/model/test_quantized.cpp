// Quantized weights end to end: quantized while loading or stored in a file, their loss of accuracy, and the error messages for invalid
// files.
#include "cases.hpp"

#include <pali/config/shapes_demo.hpp>
#include <pali/image/read.hpp>
#include <pali/model.ipp>
#include <pali/model/quantize_checkpoint.hpp>

#include <support/temporary_folder.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace {

using pali::test::data_path;
using pali::test::source_path;

const std::filesystem::path& shapes_folder() {
    static const std::filesystem::path folder = source_path("examples/models/shapes");
    return folder;
}

const pali::image& image() {
    static const pali::image scene = pali::read_image(data_path("scenes/001.png"));
    return scene;
}

/// Cosine similarity of two rows of logits.
double cosine(const float* a, const float* b, std::size_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < n; ++i) ab += double(a[i]) * b[i], aa += double(a[i]) * a[i], bb += double(b[i]) * b[i];
    return ab / std::sqrt(aa * bb);
}

/// Resident anonymous memory in bytes; 0 where the system does not report it.
std::size_t anonymous_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("RssAnon:")) return std::strtoull(line.c_str() + 8, nullptr, 10) * 1024;
    return 0;
}

auto says(pali::errc code, const std::string& part) {
    return [code, part](const pali::error& e) {
        BOOST_TEST_MESSAGE(e.what());
        return e.code() == code && std::string(e.what()).find(part) != std::string::npos;
    };
}

template <class Storage>
void from_a_file_as_while_loading() {
    const pali::test::temporary_folder folder;
    pali::quantize_checkpoint<Storage>(shapes_folder(), folder.path(), 2);
    BOOST_TEST(pali::quantized_weights(pali::files::checkpoint_files(folder.path())) == Storage::name);
    pali::model<pali::shapes, Storage> rounded(shapes_folder()), mapped(folder.path()),
        resident(folder.path(), {.residency = pali::residency::resident});
    pali::model<pali::dynamic, Storage> dynamic(folder.path(), {.threads = 3});
    for (const char* prompt : {"caption en", "segment shape"}) {
        const pali::generation want = rounded.generate(image(), prompt);
        const auto same = [&](const pali::generation& got) { return got.text == want.text && got.logprobs == want.logprobs; };
        BOOST_TEST(same(mapped.generate(image(), prompt)));
        BOOST_TEST(same(resident.generate(image(), prompt)));
        BOOST_TEST(same(dynamic.generate(image(), prompt)));
    }
}

} // namespace

BOOST_AUTO_TEST_SUITE(quantized)

BOOST_AUTO_TEST_CASE(int8_from_a_file_is_int8_while_loading) { from_a_file_as_while_loading<pali::int8>(); }
BOOST_AUTO_TEST_CASE(int4_from_a_file_is_int4_while_loading) { from_a_file_as_while_loading<pali::int4>(); }

BOOST_AUTO_TEST_CASE(logits_point_where_those_of_float32_point) {
    pali::model<pali::dynamic, pali::f32> exact(shapes_folder());
    pali::model<pali::dynamic, pali::int8> eight(shapes_folder());
    pali::model<pali::dynamic, pali::int4> four(shapes_folder());
    const auto seen = exact.encode(image());
    const std::string answer = "a red cross and a yellow ring";
    const std::size_t spoken = exact.text().encode(answer).size() + 1; // logits of the prompt's last token and of each answer token
    const auto of = [&](auto& model) { return model.logits(std::span(&seen, 1), "caption en", answer); };
    const pali::matrix want = of(exact), got8 = of(eight), got4 = of(four);
    BOOST_REQUIRE((got8.shape() == want.shape() && got4.shape() == want.shape()));
    const std::size_t vocab = want.shape(1);
    for (std::size_t t = want.shape(0) - spoken; t < want.shape(0); ++t) {
        BOOST_TEST(cosine(got8.data() + t * vocab, want.data() + t * vocab, vocab) > 0.999);
        BOOST_TEST(cosine(got4.data() + t * vocab, want.data() + t * vocab, vocab) > 0.95);
    }
}

BOOST_AUTO_TEST_CASE(a_batch_is_as_each_alone) {
    pali::model<pali::dynamic, pali::int4> model(shapes_folder());
    std::vector<pali::image> images;
    for (const char* name : {"scenes/001.png", "scenes/004.png", "scenes/010.png", "scenes/012.png", "scenes/020.png"})
        images.push_back(pali::read_image(data_path(name)));
    const auto together = model.generate_each(images, "segment shape");
    for (std::size_t i = 0; i < images.size(); ++i) {
        const auto alone = model.generate(images[i], "segment shape");
        BOOST_TEST(together[i].text == alone.text);
        BOOST_TEST((together[i].logprobs == alone.logprobs));
    }
}

/// The kernels of a decode step do not depend on the number of sequences. So with more sequences than any dispatch threshold, each sequence
/// gets the same bits as alone.
template <class Weights>
void thirty_two_are_as_each_alone() {
    pali::model<pali::dynamic, Weights> model(shapes_folder());
    const auto seen = model.encode(image());
    std::vector<std::string> prompts;
    for (std::size_t i = 0; i < 32; ++i) prompts.push_back((i % 2 == 0 ? "detect shape " : "caption en ") + std::string(i / 2, 'a'));
    std::vector<pali::request> requests;
    for (const std::string& prompt : prompts)
        requests.push_back({.images = std::span(&seen, 1), .prompt = prompt, .options = {.max_new_tokens = 5, .min_new_tokens = 5}});
    const auto together = model.generate(std::span<const pali::request>(requests));
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const auto alone = model.generate(requests[i]);
        BOOST_TEST((together[i].tokens == alone.tokens), Weights::name << ' ' << i);
        BOOST_TEST((together[i].logprobs == alone.logprobs), Weights::name << ' ' << i);
    }
}

BOOST_AUTO_TEST_CASE(a_batch_of_32_is_as_each_alone) {
    thirty_two_are_as_each_alone<pali::f32>();
    thirty_two_are_as_each_alone<pali::bf16>();
    thirty_two_are_as_each_alone<pali::int8>();
    thirty_two_are_as_each_alone<pali::int4>();
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_said) {
    const pali::test::temporary_folder folder, other;
    pali::quantize_checkpoint<pali::int4>(shapes_folder(), folder.path());
    using pali::errc;
    BOOST_CHECK_EXCEPTION((pali::model<pali::dynamic, pali::bf16>(folder.path())), pali::error,
                          says(errc::checkpoint_mismatch, "contains int4 weights (29 matrices, the first is "));
    BOOST_CHECK_EXCEPTION((pali::model<pali::dynamic, pali::int8>(folder.path())), pali::error,
                          says(errc::checkpoint_mismatch, "); load it as int4, or load the original checkpoint"));
    BOOST_CHECK_EXCEPTION(pali::quantize_checkpoint<pali::int8>(folder.path(), other.path()), pali::error,
                          says(errc::invalid_argument, "already contains int4 weights"));
    BOOST_CHECK_EXCEPTION(pali::quantize_checkpoint<pali::int8>(shapes_folder(), shapes_folder()), pali::error,
                          says(errc::invalid_argument, "is the checkpoint itself"));
    BOOST_CHECK_EXCEPTION(
        pali::quantize_checkpoint<pali::int8>(shapes_folder(), other.path(), 1, [](std::string_view, double) { return false; }),
        pali::error, says(errc::cancelled, "stopped"));
    BOOST_TEST(!std::filesystem::exists(other.path() / "model.safetensors")); // no partial output
    const pali::test::temporary_folder copy;
    std::filesystem::copy_file(shapes_folder() / "model.safetensors", copy.path() / "model.safetensors");
    BOOST_CHECK_EXCEPTION(pali::quantize_checkpoint<pali::int8>(copy.path() / "model.safetensors", copy.path()), pali::error,
                          says(errc::invalid_argument, "is the checkpoint itself"));
    BOOST_TEST(std::filesystem::file_size(copy.path() / "model.safetensors") ==
               std::filesystem::file_size(shapes_folder() / "model.safetensors"));
    const pali::test::tiny_model odd("gemma2_window"); // its rows are not multiples of a group
    BOOST_CHECK_EXCEPTION((pali::model<pali::dynamic, pali::int4>(odd.folder())), pali::error,
                          says(errc::checkpoint_mismatch, "quantization needs BF16, F16 or F32, columns in a multiple of 32 and, except "
                                                          "for embedding and head, rows in a multiple of 8"));
    BOOST_CHECK_EXCEPTION(pali::quantize_checkpoint<pali::int4>(odd.folder(), other.path()), pali::error,
                          says(errc::invalid_argument, "columns in a multiple of 32"));
}

BOOST_AUTO_TEST_CASE(all_but_weights_is_copied) {
    const pali::test::temporary_folder from, to;
    std::filesystem::copy(shapes_folder(), from.path(), std::filesystem::copy_options::recursive);
    for (const char* name : {"pytorch_model-00001-of-00002.bin", "model.gguf", "pytorch_model.bin.index.json", "notes.txt"})
        std::ofstream(from.path() / name) << "x";
    pali::quantize_checkpoint<pali::int4>(from.path(), to.path());
    for (const char* name : {"config.json", "tokenizer.model", "mask_vqvae.npz", "notes.txt"})
        BOOST_TEST(std::filesystem::exists(to.path() / name), name);
    for (const char* name : {"pytorch_model-00001-of-00002.bin", "model.gguf", "pytorch_model.bin.index.json"})
        BOOST_TEST(!std::filesystem::exists(to.path() / name), name);
}

BOOST_AUTO_TEST_CASE(a_matrix_goes_to_its_file_in_pieces) {
    // The embedding has eight times the size of a piece. If its codes, which are half of that, were kept until the end, memory use would
    // show it.
    constexpr std::size_t count = 349504, width = 192; // the embedding table
    const std::string name = "language_model.model.embed_tokens.weight";
    const pali::test::temporary_folder from, to;
    {
        std::vector<pali::core::bfloat16> numbers(count * width);
        std::uint32_t bits = 1;
        for (pali::core::bfloat16& x : numbers) {
            bits = bits * 1664525 + 1013904223;
            x = pali::core::bfloat16(static_cast<float>(bits >> 8) / 8388608.f - 1.f);
        }
        const pali::files::checkpoint_files shapes(shapes_folder());
        pali::files::tensor_table tensors = shapes.tensors();
        tensors.at(name) = {pali::files::dtype::bf16, {count, width}, std::as_bytes(std::span(numbers)), ""};
        pali::model_detail::copy_all_but_weights(shapes_folder(), from.path());
        nlohmann::json config = nlohmann::json::parse(std::ifstream(shapes_folder() / "config.json"));
        config["text_config"]["vocab_size"] = count;
        from.write("config.json", config.dump());
        pali::files::write_safetensors(from.path() / "model.safetensors", tensors);
    }
    const std::size_t before = anonymous_memory();
    std::size_t most = 0, calls = 0;
    double last = 0;
    pali::quantize_checkpoint<pali::int8>(from.path(), to.path(), 2, [&](std::string_view, double fraction) {
        most = std::max(most, anonymous_memory());
        BOOST_TEST(fraction > last);
        last = fraction;
        return ++calls > 0;
    });
    BOOST_TEST(calls >= 8u);
    BOOST_TEST(last == 1.);
    if (before == 0) BOOST_TEST_MESSAGE("this system does not say how much memory is in use");
    else BOOST_TEST(most < before + (std::size_t{24} << 20)); // codes and scales: 69 MB

    const pali::files::checkpoint_files whole(from.path()), written(to.path());
    const pali::files::tensor_info& matrix = whole.at(name);
    std::vector<std::byte> memory(pali::weights::quantized_bytes<8>(matrix));
    pali::core::thread_pool threads(2);
    pali::weights::quantize<8>(matrix, memory.data(), threads);
    const auto codes = written.at(name).bytes, scales = written.at(name + "_scale").bytes;
    BOOST_REQUIRE(codes.size() + scales.size() == memory.size());
    BOOST_TEST(std::equal(codes.begin(), codes.end(), memory.begin()));
    BOOST_TEST(std::equal(scales.begin(), scales.end(), memory.begin() + static_cast<std::ptrdiff_t>(codes.size())));
}

BOOST_AUTO_TEST_CASE(scales_of_another_shape_are_said) {
    const pali::test::temporary_folder folder;
    pali::quantize_checkpoint<pali::int4>(shapes_folder(), folder.path());
    const std::string scale = "language_model.model.layers.0.mlp.up_proj.weight_scale";
    {
        const pali::files::checkpoint_files files(folder.path());
        pali::files::tensor_table changed = files.tensors();
        pali::files::tensor_info& tensor = changed.at(scale);
        tensor.shape = {tensor.shape[0] * tensor.shape[1], tensor.shape[2]};
        pali::files::write_safetensors(folder.path() / "model.safetensors", changed, {{"pali.weights", "int4"}});
    }
    BOOST_CHECK_EXCEPTION((pali::model<pali::dynamic, pali::int4>(folder.path())), pali::error,
                          says(pali::errc::checkpoint_mismatch, scale));
}

BOOST_AUTO_TEST_SUITE_END()
