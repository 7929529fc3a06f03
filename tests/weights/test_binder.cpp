// Binding the tensors of a checkpoint to the members of a model: names, shapes, dtypes and memory. One error must report all problems.
#include <pali/core/error.hpp>
#include <pali/kernels/product/quantize_strip.hpp>
#include <pali/weights/binder.hpp>
#include <pali/weights/finite.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <string>
#include <vector>

namespace {

/// A tensor table that owns its bytes.
struct checkpoint {
    pali::files::tensor_table table;
    std::deque<std::vector<std::byte>> memory;

    template <class T>
    checkpoint& add(const std::string& name, pali::files::dtype type, std::vector<std::size_t> shape, const std::vector<T>& values,
                    std::size_t offset = 0) {
        auto& bytes = memory.emplace_back(values.size() * sizeof(T) + offset);
        std::memcpy(bytes.data() + offset, values.data(), values.size() * sizeof(T));
        table[name] = {.type = type, .shape = std::move(shape), .bytes = std::span(bytes).subspan(offset), .file = "file"};
        return *this;
    }
    checkpoint& floats(const std::string& name, std::vector<std::size_t> shape, const std::vector<float>& values) {
        return add(name, pali::files::dtype::f32, std::move(shape), values);
    }
};

std::vector<pali::core::bfloat16> rounded(std::initializer_list<float> values) {
    std::vector<pali::core::bfloat16> out;
    for (const float v : values) out.emplace_back(v);
    return out;
}

pali::files::page_memory finish(pali::weights::binder& names, pali::residency where = pali::residency::mapped,
                                const pali::progress_callback& progress = {}) {
    pali::core::thread_pool threads(2);
    return names.finish(where, threads, progress);
}

std::string problems(const pali::weights::binder& names) {
    try {
        names.check("the hint");
    } catch (const pali::error& e) {
        BOOST_TEST((e.code() == pali::errc::checkpoint_mismatch));
        return e.what();
    }
    return "";
}

} // namespace

BOOST_AUTO_TEST_SUITE(binder)

BOOST_AUTO_TEST_CASE(bfloat16_is_used_where_it_lies) {
    checkpoint c;
    c.add("a.weight", pali::files::dtype::bf16, {2, 2}, rounded({1, 2, 3, 4})).floats("a.bias", {2}, {5, 6});
    pali::weights::binder names(c.table, "folder");
    pali::core::rows<const pali::core::bfloat16> weight;
    const float* bias = nullptr;
    names.root()["a"].matrix("weight", weight, {2, 2});
    names.root()["a"].vector("bias", bias, 2);
    names.check("");
    const auto memory = finish(names);
    BOOST_TEST(memory.bytes().empty());
    BOOST_TEST(static_cast<const void*>(weight.data) == static_cast<const void*>(c.table["a.weight"].bytes.data()));
    BOOST_TEST(weight.count == 2u);
    BOOST_TEST(weight.width == 2u);
    BOOST_TEST(static_cast<float>(weight[1][0]) == 3.f);
    BOOST_TEST(bias[1] == 6.f);
}

BOOST_AUTO_TEST_CASE(resident_weights_are_copies_of_the_same_numbers) {
    checkpoint c;
    c.add("w", pali::files::dtype::bf16, {1, 3}, rounded({1, -2, 3})).floats("v", {2}, {5, 6});
    pali::weights::binder names(c.table, "folder");
    pali::core::rows<const pali::core::bfloat16> w;
    const float* v = nullptr;
    names.root().matrix("w", w, {1, 3});
    names.root().vector("v", v, 2);
    std::size_t copied = 0;
    pali::core::thread_pool threads(2);
    const auto memory =
        names.finish(pali::residency::resident, threads, {}, [&](std::span<const std::byte> tensor) { copied += tensor.size(); });
    BOOST_TEST(copied == 6u); // the matrix; the vector is used in place
    BOOST_TEST(static_cast<const void*>(w.data) == static_cast<const void*>(memory.bytes().data()));
    BOOST_TEST(static_cast<float>(w[0][1]) == -2.f);
    BOOST_TEST(v[0] == 5.f);
}

BOOST_AUTO_TEST_CASE(other_types_are_converted_exactly_or_rounded) {
    const std::vector<std::uint16_t> halves{0x3c00, 0xc000, 0x3555}; // 1, -2, 0.33325195
    checkpoint c;
    c.add("h", pali::files::dtype::f16, {3, 1}, halves)
        .floats("f", {1, 2}, {1.00390625f, 0.1f})
        .add("b", pali::files::dtype::bf16, {2}, rounded({7, 8}));
    pali::weights::binder names(c.table, "folder");
    pali::core::rows<const float> h;
    pali::core::rows<const pali::core::bfloat16> f;
    const float* b = nullptr;
    names.root().matrix("h", h, {3, 1});
    names.root().matrix("f", f, {1, 2});
    names.root().vector("b", b, 2);
    const auto memory = finish(names);
    BOOST_TEST(h[0][0] == 1.f);
    BOOST_TEST(h[1][0] == -2.f);
    BOOST_TEST(h[2][0] == 0.333251953125f);
    BOOST_TEST(f[0][0].bits == 0x3f80); // halfway between 1 and 1 + 2^-7: ties to even
    BOOST_TEST(f[0][1].bits == 0x3dcd);
    BOOST_TEST(b[1] == 8.f);
}

BOOST_AUTO_TEST_CASE(a_tensor_at_an_odd_address_is_copied) {
    checkpoint c;
    c.add("w", pali::files::dtype::bf16, {2, 1}, rounded({3, 4}), 1);
    pali::weights::binder names(c.table, "folder");
    pali::core::rows<const pali::core::bfloat16> w;
    names.root().matrix("w", w, {2, 1});
    const auto memory = finish(names);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(w.data) % 2 == 0u);
    BOOST_TEST(static_cast<float>(w[1][0]) == 4.f);
}

BOOST_AUTO_TEST_CASE(a_convolution_is_a_matrix_of_its_patches) {
    checkpoint c;
    c.floats("w", {2, 3, 1, 1}, {1, 2, 3, 4, 5, 6});
    pali::weights::binder names(c.table, "folder");
    pali::core::rows<const float> w;
    names.root().matrix("w", w, {2, 3, 1, 1});
    const auto memory = finish(names);
    BOOST_TEST(w.count == 2u);
    BOOST_TEST(w.width == 3u);
    BOOST_TEST(w[1][0] == 4.f);
}

BOOST_AUTO_TEST_CASE(missing_extra_and_misshapen_tensors_come_in_one_error) {
    checkpoint c;
    c.floats("wide", {2, 3}, {1, 2, 3, 4, 5, 6})
        .floats("surplus", {1}, {0})
        .add("whole", pali::files::dtype::i64, {1, 1}, std::vector<std::int64_t>{1});
    c.floats("vision_tower.vision_model.embeddings.position_ids", {1}, {0}); // a buffer saved by old versions
    pali::weights::binder names(c.table, "some-folder");
    pali::core::rows<const float> unused;
    names.root().matrix("wide", unused, {3, 2});
    names.root().matrix("whole", unused, {1, 1});
    names.root()["deep"]["er"].matrix("absent", unused, {4, 5});
    const std::string message = problems(names);
    for (const char* const part :
         {"[pali.301] some-folder: 4 tensors do not fit", "file: tensor 'wide' has shape (2, 3); the configuration needs (3, 2)",
          "missing tensor 'deep.er.absent' (4, 5)", "unexpected tensor\n    'surplus' F32(1)",
          "'whole' is stored as I64; BF16, F16 and F32 are supported", "\nthe hint"})
        BOOST_TEST(message.find(part) != std::string::npos, part << " is not in " << message);
    BOOST_TEST(message.find("position_ids") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(every_generation_of_names_is_one) {
    const std::pair<const char*, const char*> names[] = {
        {"language_model.model.norm.weight", "language_model.model.norm.weight"},
        {"model.language_model.norm.weight", "language_model.model.norm.weight"},
        {"vision_tower.vision_model.post_layernorm.bias", "vision_tower.vision_model.post_layernorm.bias"},
        {"vision_tower.post_layernorm.bias", "vision_tower.vision_model.post_layernorm.bias"},
        {"model.vision_tower.post_layernorm.bias", "vision_tower.vision_model.post_layernorm.bias"},
        {"model.vision_tower.vision_model.post_layernorm.bias", "vision_tower.vision_model.post_layernorm.bias"},
        {"model.multi_modal_projector.linear.bias", "multi_modal_projector.linear.bias"},
        {"multi_modal_projector.linear.bias", "multi_modal_projector.linear.bias"},
        {"lm_head.weight", "language_model.lm_head.weight"},
        {"language_model.lm_head.weight", "language_model.lm_head.weight"},
        {"something.else", "something.else"},
    };
    for (const auto& [given, published] : names) BOOST_TEST(pali::weights::published_name(given) == published);
}

BOOST_AUTO_TEST_CASE(two_names_for_one_tensor_are_a_problem) {
    checkpoint c;
    c.floats("model.language_model.norm.weight", {1}, {0}).floats("language_model.model.norm.weight", {1}, {0});
    pali::weights::binder names(c.table, "folder");
    const float* norm = nullptr;
    names.root()["language_model"]["model"]["norm"].vector("weight", norm, 1);
    BOOST_TEST(problems(names).find("both map to 'language_model.model.norm.weight'") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_head_that_repeats_the_embedding_is_not_wanted) {
    checkpoint c;
    c.floats("embedding", {1, 2}, {1, 2}).floats("same", {1, 2}, {1, 2}).floats("other", {1, 2}, {1, 3});
    pali::weights::binder names(c.table, "folder");
    BOOST_TEST(names.root().omits_or_repeats("absent", "embedding"));
    BOOST_TEST(names.root().omits_or_repeats("same", "embedding"));
    BOOST_TEST(!names.root().omits_or_repeats("other", "embedding"));
}

BOOST_AUTO_TEST_CASE(a_quantized_head_repeats_with_its_scales) {
    checkpoint c;
    for (const char* name : {"embedding", "same", "other", "bare"}) c.floats(name, {1, 2}, {1, 2});
    c.floats("embedding_scale", {1}, {1}).floats("same_scale", {1}, {1}).floats("other_scale", {1}, {2});
    pali::weights::binder names(c.table, "folder");
    BOOST_TEST(names.root().omits_or_repeats("same", "embedding"));
    BOOST_TEST(!names.root().omits_or_repeats("other", "embedding"));
    BOOST_TEST(!names.root().omits_or_repeats("bare", "embedding"));
    const std::string left = names.unused().in_a_row();
    BOOST_TEST(left.find("'same") == std::string::npos);
    BOOST_TEST(left.find("'other_scale'") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(tensors_that_nobody_asks_for_are_told_and_no_error) {
    checkpoint c;
    c.floats("language_model.model.norm.weight", {1}, {0})
        .floats("v_head.summary.weight", {1, 2}, {1, 2})
        .floats("language_model.model.layers.0.self_attn.rotary_emb.inv_freq", {1}, {0});
    pali::weights::binder names(c.table, "folder");
    const float* norm = nullptr;
    names.root()["language_model"]["model"]["norm"].vector("weight", norm, 1);
    BOOST_TEST(problems(names).empty());
    BOOST_TEST(names.unused().in_a_row() == "'v_head.summary.weight' F32(1, 2)");
    BOOST_CHECK_EXCEPTION(names.check("", true), pali::error, [](const pali::error& e) {
        return std::string(e.what()).find("1 tensor does not fit the configuration:\n  unexpected tensor\n    'v_head") !=
               std::string::npos;
    });
}

// A weight of a layer beyond the configured number of layers would change the answer, so it is an error.
BOOST_AUTO_TEST_CASE(weights_of_layers_are_not_left_over) {
    const std::pair<const char*, bool> all[] = {{"model.language_model.layers.3.post_feedforward_layernorm.weight", true},
                                                {"vision_tower.encoder.layers.27.mlp.fc1.bias", true},
                                                {"language_model.model.layers.0.self_attn.counter", false},
                                                {"v_head.layers.0.weight", false}};
    for (const auto& [name, refused] : all) {
        checkpoint c;
        c.floats(name, {1}, {0});
        BOOST_TEST(problems(pali::weights::binder(c.table, "folder")).empty() != refused, name);
    }
}

BOOST_AUTO_TEST_CASE(ten_of_a_kind_are_told) {
    checkpoint c;
    for (int i = 0; i < 268; ++i) c.floats("other." + std::to_string(i), {1}, {0});
    c.floats("absent.129", {1}, {0}); // this one is present
    pali::weights::binder names(c.table, "folder");
    std::vector<const float*> vectors(130);
    for (int i = 0; i < 130; ++i) names.root()["absent"].vector(std::to_string(i), vectors[static_cast<std::size_t>(i)], 1);
    const std::string message = problems(names);
    BOOST_TEST(std::count(message.begin(), message.end(), '\n') == 24); // twice 10 tensors and a count, a heading and the hint
    for (const char* const part : {"397 tensors do not fit", "and 119 more", "and 258 more"})
        BOOST_TEST(message.find(part) != std::string::npos, part << " is not in " << message);
}

// Each decoder name in its own file, and the published name that it must map to.
BOOST_AUTO_TEST_CASE(one_prefix_before_the_decoder_is_removed_and_wrappers_are_removed_anywhere) {
    const std::pair<const char*, const char*> all[] = {
        {"module._orig_mod.model.language_model.norm.weight", "norm.weight"},
        {"student.language_model.model.norm.weight", "norm.weight"},
        {"model.module.language_model.model.norm.weight", "norm.weight"},
        {"model.language_model.model.norm.weight", "norm.weight"},
        {"base_model.model.model.language_model.norm.weight", "norm.weight"},
        {"language_model.norm.weight", "norm.weight"}, // PaliGemmaModel, which has no LM head
        {"_fsdp_wrapped_module.model.language_model.layers.3._fsdp_wrapped_module._checkpoint_wrapped_module.mlp.up_proj.weight",
         "layers.3.mlp.up_proj.weight"},
        {"language_model.model.layers.0._orig_mod.mlp.up_proj.weight", "layers.0.mlp.up_proj.weight"},
        {"big_language_model.language_model.model.embed_tokens.weight", "embed_tokens.weight"},
    };
    for (const auto& [name, published] : all) {
        checkpoint c;
        c.floats(name, {1}, {0});
        BOOST_TEST(pali::weights::tensor_names(c.table).published(name) == "language_model.model." + std::string(published));
    }
}

BOOST_AUTO_TEST_CASE(tensors_beside_the_decoder_lose_its_prefix) {
    checkpoint c;
    for (const char* const name : {"run.model.language_model.norm.weight", "run.lm_head.weight", "run.model.vision_tower.embeddings.w",
                                   "run.model.multi_modal_projector.linear.weight", "run.v_head.weight", "other.weight", "run",
                                   "run.big_language_model.norm.weight"})
        c.floats(name, {1}, {0});
    const pali::weights::tensor_names names(c.table);
    BOOST_TEST(names.published("run.lm_head.weight") == "language_model.lm_head.weight");
    BOOST_TEST(names.published("run.model.vision_tower.embeddings.w") == "vision_tower.vision_model.embeddings.w");
    BOOST_TEST(names.published("run.model.multi_modal_projector.linear.weight") == "multi_modal_projector.linear.weight");
    BOOST_TEST(names.published("run.v_head.weight") == "v_head.weight");
    BOOST_TEST(names.published("other.weight") == "other.weight");
    BOOST_TEST(names.published("run") == "run");
    BOOST_TEST(names.published("run.big_language_model.norm.weight") == "big_language_model.norm.weight");
    pali::weights::binder b(c.table, "folder");
    BOOST_TEST(b.root()["language_model"].has("lm_head.weight"));
    const float* norm = nullptr;
    b.root()["language_model"]["model"]["norm"].vector("weight", norm, 2);
    const std::string message = problems(b); // reports the name in the file
    BOOST_TEST(message.find("tensor 'run.model.language_model.norm.weight' has shape (1)") != std::string::npos, message);
}

BOOST_AUTO_TEST_CASE(two_prefixes_are_two_models) {
    checkpoint c, with_draft;
    for (const char* const name : {"student.language_model.model.norm.weight", "teacher.language_model.model.norm.weight"})
        c.floats(name, {1}, {0});
    BOOST_TEST(pali::weights::tensor_names(c.table).published("student.language_model.model.norm.weight") ==
               "student.language_model.model.norm.weight");
    pali::weights::binder b(c.table, "folder");
    const float* norm = nullptr;
    b.root()["language_model"]["model"]["norm"].vector("weight", norm, 1);
    BOOST_TEST(problems(b) ==
               "[pali.301] folder: no tensor has an expected name. Found: 'student.language_model.model.norm.weight', "
               "'teacher.language_model.model.norm.weight'; expected: names that begin with "
               "'language_model.'. The file has several decoders, with the prefixes 'student.', 'teacher.'; save one model only. the hint");
    with_draft.floats("language_model.model.norm.weight", {1}, {0}).floats("draft.language_model.model.norm.weight", {1}, {0});
    BOOST_TEST(pali::weights::tensor_names(with_draft.table).published("language_model.model.norm.weight") ==
               "language_model.model.norm.weight");
    BOOST_TEST(pali::weights::tensor_names(with_draft.table).published("draft.language_model.model.norm.weight") ==
               "draft.language_model.model.norm.weight");
}

BOOST_AUTO_TEST_CASE(unknown_names_are_one_line) {
    checkpoint c;
    for (int i = 0; i < 268; ++i) c.floats("other." + std::to_string(i), {1}, {0});
    const auto message = [](const pali::files::tensor_table& table) {
        pali::weights::binder names(table, "folder");
        const float* vector = nullptr;
        for (const char* const name : {"a", "b"}) names.root()[name].vector("weight", vector, 1);
        return problems(names);
    };
    BOOST_TEST(message(c.table) == "[pali.301] folder: no tensor has an expected name. Found: 'other.0', 'other.1', 'other.10', and 265 "
                                   "more; expected: names that begin with 'a.', 'b.'. the hint");
    BOOST_TEST(message({}).find("Found: none; expected") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(types_that_are_not_read_are_one_line_each) {
    checkpoint c;
    c.add("f8", pali::files::dtype::f8_e4m3, {1}, std::vector<std::uint8_t>(1));
    for (const char* const name : {"a", "b", "c", "d", "e"}) c.add(name, pali::files::dtype::f64, {1}, std::vector<double>(1));
    pali::weights::binder names(c.table, "folder");
    BOOST_TEST(!names.finds_unread_types());
    const float* vector = nullptr;
    for (const char* const name : {"f8", "a", "b", "c", "d", "e"}) names.root().vector(name, vector, 1);
    BOOST_TEST(names.finds_unread_types());
    BOOST_TEST(
        problems(names) ==
        "[pali.301] folder: 6 tensors do not fit the configuration:\n  tensor 'f8' is stored as F8_E4M3; BF16, F16 and F32 are supported"
        "\n  tensors 'a', 'b', 'c', and 2 more are stored as F64; BF16, F16 and F32 are supported\nthe hint");
}

BOOST_AUTO_TEST_CASE(an_adapter_that_is_not_merged_is_named) {
    for (const char* const name : {"base_model.model.language_model.model.layers.0.self_attn.q_proj.base_layer.weight",
                                   "model.language_model.layers.0.mlp.up_proj.lora_A.default.weight", "x.lora_B.weight",
                                   "base_model.model.lm_head.modules_to_save.default.weight", "x.lora_embedding_A"}) {
        checkpoint c;
        c.floats(name, {1}, {0});
        BOOST_CHECK_EXCEPTION(pali::weights::binder(c.table, "some-folder"), pali::error, [&](const pali::error& e) {
            return e.code() == pali::errc::unsupported_format &&
                   std::string(e.what()).find("some-folder: contains a PEFT adapter that is not merged into its base model: tensor '" +
                                              std::string(name) + "'") != std::string::npos &&
                   std::string(e.what()).find("merge_and_unload()") != std::string::npos;
        });
    }
    checkpoint c;
    c.floats("colora_A.weight", {1}, {0});
    BOOST_CHECK_NO_THROW(pali::weights::binder(c.table, "some-folder"));
}

// MLX stores convolution weights channels-last: (out, height, width, channels).
BOOST_AUTO_TEST_CASE(channels_that_come_last_are_put_first) {
    checkpoint c;
    std::vector<float> last(2 * 2 * 2 * 3);
    for (std::size_t i = 0; i < last.size(); ++i) last[i] = static_cast<float>(i);
    c.floats("w", {2, 2, 2, 3}, last);
    pali::weights::binder names(c.table, "folder");
    pali::core::rows<const float> w;
    names.root().matrix("w", w, {2, 3, 2, 2});
    BOOST_TEST(problems(names).empty());
    const auto memory = finish(names);
    BOOST_TEST(w.width == 12u);
    for (std::size_t out = 0; out < 2; ++out)
        for (std::size_t channel = 0; channel < 3; ++channel)
            for (std::size_t pixel = 0; pixel < 4; ++pixel)
                BOOST_TEST(w[out][channel * 4 + pixel] == last[(out * 4 + pixel) * 3 + channel]);
    pali::weights::binder other(c.table, "folder");
    other.root().matrix("w", w, {2, 4, 3, 2});
    BOOST_TEST(problems(other).find("has shape (2, 2, 2, 3); the configuration needs (2, 4, 3, 2)") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_vocabulary_may_end_within_a_strip) {
    checkpoint c;
    std::vector<float> numbers(11 * 64);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i % 13) - 6;
    c.floats("tokens", {11, 64}, numbers).floats("matrix", {11, 64}, numbers);
    pali::weights::binder names(c.table, "folder");
    pali::core::quantized_rows<8> tokens;
    names.root().vocabulary("tokens", tokens, {11, 64});
    BOOST_TEST(problems(names).empty());
    const auto memory = finish(names);
    BOOST_TEST(tokens.count == 16u);
    for (std::size_t row = 0; row < 16; ++row)
        for (std::size_t k = 0; k < 64; ++k)
            BOOST_TEST(std::abs(static_cast<float>(tokens.code(row, k)) * tokens.scale(row, k) - (row < 11 ? numbers[row * 64 + k] : 0)) <
                       0.04f);
    pali::weights::binder other(c.table, "folder");
    other.root().matrix("matrix", tokens, {11, 64});
    BOOST_TEST(problems(other).find("except for embedding and head") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(codes_of_another_width_are_one_line) {
    checkpoint c;
    for (const char* const name : {"a", "b"}) {
        c.add(name, pali::weights::code_type<4>, {1, 2, 128}, std::vector<std::uint8_t>(256))
            .add(std::string(name) + "_scale", pali::files::dtype::bf16, {1, 2, 8}, std::vector<std::uint16_t>(16));
    }
    pali::weights::binder names(c.table, "folder");
    pali::core::quantized_rows<8> a, b;
    pali::core::rows<const float> absent;
    names.root().matrix("a", a, {8, 64});
    names.root().matrix("b", b, {8, 64});
    names.root().matrix("absent", absent, {8, 64});
    BOOST_TEST(problems(names) == "[pali.301] folder: contains int4 weights (2 matrices, the first is 'a'); load it as int4, or load the "
                                  "original checkpoint");
}

BOOST_AUTO_TEST_CASE(formats_of_others_are_named) {
    const auto named = [](std::initializer_list<std::pair<const char*, std::vector<std::size_t>>> tensors) {
        pali::files::tensor_table table;
        for (const auto& [name, shape] : tensors)
            table[name] = {.type = pali::files::dtype::i32, .shape = shape, .bytes = {}, .file = "file"};
        return std::string(pali::weights::foreign_format(table));
    };
    BOOST_TEST(named({{"q.qweight", {64, 8}}, {"q.qzeros", {1, 8}}, {"q.scales", {1, 64}}}) == "AWQ");
    BOOST_TEST(named({{"q.qweight", {8, 64}}, {"q.qzeros", {1, 8}}, {"q.scales", {1, 64}}}) == "GPTQ");
    BOOST_TEST(named({{"q.qweight", {64, 8}}, {"q.g_idx", {64}}, {"q.scales", {1, 64}}}) == "GPTQ");
    BOOST_TEST(named({{"q.weight", {64, 8}}, {"q.scales", {64, 1}}, {"q.biases", {64, 1}}}) == "MLX");
    BOOST_TEST(named({{"q.weight", {64, 1}}, {"q.weight.absmax", {8}}}) == "bitsandbytes");
    BOOST_TEST(named({{"q.weight", {64, 1}}, {"q.SCB", {8}}}) == "bitsandbytes");
    BOOST_TEST(named({{"q.weight_packed", {64, 1}}, {"q.weight_scale", {8}}}) == "compressed-tensors");
    BOOST_TEST(named({{"q.weight", {64, 1}}, {"q.weight_scale_inv", {8}}}) == "FP8 with scales");
    BOOST_TEST(named({{"q.weight", {64, 1}}, {"q.weight_scale", {8}}, {"q.bias", {8}}}).empty());
    pali::files::tensor_table rows;
    rows["q.weight"] = {.type = pali::files::dtype::f8_e4m3, .shape = {64, 64}, .bytes = {}, .file = "file"};
    for (const std::vector<std::size_t>& shape : std::vector<std::vector<std::size_t>>{{}, {1}, {64, 1}}) {
        rows["q.weight_scale"] = {.type = pali::files::dtype::bf16, .shape = shape, .bytes = {}, .file = "file"};
        BOOST_TEST(pali::weights::foreign_format(rows) == "FP8 with scales");
    }
    rows["q.weight"].type = pali::files::dtype::i8;
    BOOST_TEST(pali::weights::foreign_format(rows) == "compressed-tensors");
    rows["q.weight_scale"].shape = {8, 1, 8}; // pali's own format
    BOOST_TEST(pali::weights::foreign_format(rows).empty());
    pali::files::tensor_table table;
    table["q.weight.absmax"] = {};
    BOOST_CHECK_EXCEPTION(pali::weights::binder(table, "some-folder"), pali::error, [](const pali::error& e) {
        return e.code() == pali::errc::unsupported_format &&
               std::string(e.what()).find("some-folder: contains weights in the quantized format of bitsandbytes") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(numbers_that_are_not_finite_are_found) {
    std::vector<float> numbers(3 * 5000, 1.f);
    checkpoint c;
    c.floats("good", {3, 5000}, numbers);
    numbers[2 * 5000 + 7] = std::numeric_limits<float>::quiet_NaN();
    c.floats("nan", {3, 5000}, numbers)
        .add("inf", pali::files::dtype::f16, {2}, std::vector<std::uint16_t>{0, 0xfc00})
        .add("codes", pali::files::dtype::i8, {1}, std::vector<std::int8_t>{-1});
    c.add("large", pali::files::dtype::bf16, {1}, std::vector<std::uint16_t>{0x7f7f});
    BOOST_TEST(pali::weights::describe_not_finite(c.table).in_a_row() ==
               "file: tensor 'inf' has -inf at (1), file: tensor 'nan' has nan at (2, 7)");
}

// A group with an element that is not finite gets a scale that is not finite, so that the results show it.
BOOST_AUTO_TEST_CASE(rounding_keeps_what_is_not_finite) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        std::vector<float> strip(8 * 64, 1.f);
        strip[3 * 64 + 5] = bad;
        std::vector<std::uint8_t> codes(8 * 64);
        std::vector<pali::core::bfloat16> scales(16);
        pali::kernels::quantize_strip<8>(strip.data(), 64, codes.data(), scales.data());
        BOOST_TEST(std::isnan(static_cast<float>(scales[3])));
        BOOST_TEST(static_cast<float>(scales[2]) > 0);
        pali::kernels::quantize_strip<4>(strip.data(), 64, codes.data(), scales.data());
        BOOST_TEST(std::isnan(static_cast<float>(scales[3])));
        BOOST_TEST(!std::isnan(static_cast<float>(scales[8 + 3])));
    }
}

BOOST_AUTO_TEST_CASE(loading_reports_progress_and_can_be_stopped) {
    checkpoint c;
    c.floats("a", {1, 2}, {1, 2}).floats("b", {1, 2}, {1, 2});
    pali::core::rows<const pali::core::bfloat16> a, b;
    const auto load = [&](const pali::progress_callback& progress) {
        pali::weights::binder names(c.table, "folder");
        names.root().matrix("a", a, {1, 2});
        names.root().matrix("b", b, {1, 2});
        return finish(names, pali::residency::mapped, progress);
    };
    std::vector<double> seen;
    (void)load([&](std::string_view stage, double fraction) {
        BOOST_TEST(stage == "load");
        seen.push_back(fraction);
        return true;
    });
    BOOST_TEST((seen == std::vector<double>{0.5, 1}));
    BOOST_CHECK_EXCEPTION((void)load([](std::string_view, double) { return false; }), pali::error,
                          [](const pali::error& e) { return e.code() == pali::errc::cancelled; });
}

BOOST_AUTO_TEST_SUITE_END()
