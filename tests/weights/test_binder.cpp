// Tensors of a checkpoint joined with the members of a model: names, shapes, types, memory, and all problems in one error.
#include <pali/core/error.hpp>
#include <pali/weights/binder.hpp>

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace {

/// A table whose bytes it owns.
struct checkpoint {
    pali::tensor_table table;
    std::deque<std::vector<std::byte>> memory;

    template <class T>
    checkpoint& add(const std::string& name, pali::dtype type, std::vector<std::size_t> shape, const std::vector<T>& values, std::size_t offset = 0) {
        auto& bytes = memory.emplace_back(values.size() * sizeof(T) + offset);
        std::memcpy(bytes.data() + offset, values.data(), values.size() * sizeof(T));
        table[name] = {.type = type, .shape = std::move(shape), .bytes = std::span(bytes).subspan(offset), .file = "file"};
        return *this;
    }
    checkpoint& floats(const std::string& name, std::vector<std::size_t> shape, const std::vector<float>& values) {
        return add(name, pali::dtype::f32, std::move(shape), values);
    }
};

std::vector<pali::bfloat16> rounded(std::initializer_list<float> values) {
    std::vector<pali::bfloat16> out;
    for (const float v : values) out.emplace_back(v);
    return out;
}

pali::page_memory finish(pali::binder& names, pali::residency where = pali::residency::mapped, const pali::progress_callback& progress = {}) {
    pali::thread_pool threads(2);
    return names.finish(where, threads, progress);
}

std::string problems(const pali::binder& names) {
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
    c.add("a.weight", pali::dtype::bf16, {2, 2}, rounded({1, 2, 3, 4})).floats("a.bias", {2}, {5, 6});
    pali::binder names(c.table, "folder");
    pali::rows<const pali::bfloat16> weight;
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
    c.add("w", pali::dtype::bf16, {1, 3}, rounded({1, -2, 3})).floats("v", {2}, {5, 6});
    pali::binder names(c.table, "folder");
    pali::rows<const pali::bfloat16> w;
    const float* v = nullptr;
    names.root().matrix("w", w, {1, 3});
    names.root().vector("v", v, 2);
    std::size_t copied = 0;
    pali::thread_pool threads(2);
    const auto memory = names.finish(pali::residency::resident, threads, {}, [&](std::span<const std::byte> tensor) { copied += tensor.size(); });
    BOOST_TEST(copied == 6u); // the matrix; the vector is used where it lies
    BOOST_TEST(static_cast<const void*>(w.data) == static_cast<const void*>(memory.bytes().data()));
    BOOST_TEST(static_cast<float>(w[0][1]) == -2.f);
    BOOST_TEST(v[0] == 5.f);
}

BOOST_AUTO_TEST_CASE(other_types_are_converted_exactly_or_rounded) {
    const std::vector<std::uint16_t> halves{0x3c00, 0xc000, 0x3555}; // 1, -2, 0.33325195
    checkpoint c;
    c.add("h", pali::dtype::f16, {3, 1}, halves).floats("f", {1, 2}, {1.00390625f, 0.1f}).add("b", pali::dtype::bf16, {2}, rounded({7, 8}));
    pali::binder names(c.table, "folder");
    pali::rows<const float> h;
    pali::rows<const pali::bfloat16> f;
    const float* b = nullptr;
    names.root().matrix("h", h, {3, 1});
    names.root().matrix("f", f, {1, 2});
    names.root().vector("b", b, 2);
    const auto memory = finish(names);
    BOOST_TEST(h[0][0] == 1.f);
    BOOST_TEST(h[1][0] == -2.f);
    BOOST_TEST(h[2][0] == 0.333251953125f);
    BOOST_TEST(f[0][0].bits == 0x3f80); // half way between 1 and 1 + 2^-7: to the even one
    BOOST_TEST(f[0][1].bits == 0x3dcd);
    BOOST_TEST(b[1] == 8.f);
}

BOOST_AUTO_TEST_CASE(a_tensor_at_an_odd_address_is_copied) {
    checkpoint c;
    c.add("w", pali::dtype::bf16, {2, 1}, rounded({3, 4}), 1);
    pali::binder names(c.table, "folder");
    pali::rows<const pali::bfloat16> w;
    names.root().matrix("w", w, {2, 1});
    const auto memory = finish(names);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(w.data) % 2 == 0u);
    BOOST_TEST(static_cast<float>(w[1][0]) == 4.f);
}

BOOST_AUTO_TEST_CASE(a_convolution_is_a_matrix_of_its_patches) {
    checkpoint c;
    c.floats("w", {2, 3, 1, 1}, {1, 2, 3, 4, 5, 6});
    pali::binder names(c.table, "folder");
    pali::rows<const float> w;
    names.root().matrix("w", w, {2, 3, 1, 1});
    const auto memory = finish(names);
    BOOST_TEST(w.count == 2u);
    BOOST_TEST(w.width == 3u);
    BOOST_TEST(w[1][0] == 4.f);
}

BOOST_AUTO_TEST_CASE(missing_extra_and_misshapen_tensors_come_in_one_error) {
    checkpoint c;
    c.floats("wide", {2, 3}, {1, 2, 3, 4, 5, 6}).floats("surplus", {1}, {0}).add("whole", pali::dtype::i64, {1, 1}, std::vector<std::int64_t>{1});
    c.floats("vision_tower.vision_model.embeddings.position_ids", {1}, {0}); // a buffer that old versions saved
    pali::binder names(c.table, "some-folder");
    pali::rows<const float> unused;
    names.root().matrix("wide", unused, {3, 2});
    names.root().matrix("whole", unused, {1, 1});
    names.root()["deep"]["er"].matrix("absent", unused, {4, 5});
    const std::string message = problems(names);
    for (const char* const part : {"[pali.301] some-folder: 4 tensors do not fit", "file: tensor 'wide' has shape (2, 3), the configuration needs (3, 2)",
                                   "missing tensor 'deep.er.absent' (4, 5)", "file: unexpected tensor 'surplus' F32(1)", "'whole' is stored as I64; BF16, F16 and F32 are read",
                                   "\nthe hint"})
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
    for (const auto& [given, published] : names) BOOST_TEST(pali::published_name(given) == published);
}

BOOST_AUTO_TEST_CASE(two_names_for_one_tensor_are_a_problem) {
    checkpoint c;
    c.floats("model.language_model.norm.weight", {1}, {0}).floats("language_model.model.norm.weight", {1}, {0});
    pali::binder names(c.table, "folder");
    const float* norm = nullptr;
    names.root()["language_model"]["model"]["norm"].vector("weight", norm, 1);
    BOOST_TEST(problems(names).find("both stand for 'language_model.model.norm.weight'") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_head_that_repeats_the_embedding_is_not_wanted) {
    checkpoint c;
    c.floats("embedding", {1, 2}, {1, 2}).floats("same", {1, 2}, {1, 2}).floats("other", {1, 2}, {1, 3});
    pali::binder names(c.table, "folder");
    BOOST_TEST(names.root().omits_or_repeats("absent", "embedding"));
    BOOST_TEST(names.root().omits_or_repeats("same", "embedding"));
    BOOST_TEST(!names.root().omits_or_repeats("other", "embedding"));
}

BOOST_AUTO_TEST_CASE(a_quantised_head_repeats_with_its_scales) {
    checkpoint c;
    for (const char* name : {"embedding", "same", "other", "bare"}) c.floats(name, {1, 2}, {1, 2});
    c.floats("embedding_scale", {1}, {1}).floats("same_scale", {1}, {1}).floats("other_scale", {1}, {2});
    pali::binder names(c.table, "folder");
    BOOST_TEST(names.root().omits_or_repeats("same", "embedding"));
    BOOST_TEST(!names.root().omits_or_repeats("other", "embedding"));
    BOOST_TEST(!names.root().omits_or_repeats("bare", "embedding"));
    const std::string left = problems(names);
    BOOST_TEST(left.find("'same") == std::string::npos);
    BOOST_TEST(left.find("'other_scale'") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(loading_reports_progress_and_can_be_stopped) {
    checkpoint c;
    c.floats("a", {1, 2}, {1, 2}).floats("b", {1, 2}, {1, 2});
    pali::rows<const pali::bfloat16> a, b;
    const auto load = [&](const pali::progress_callback& progress) {
        pali::binder names(c.table, "folder");
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
    BOOST_CHECK_EXCEPTION((void)load([](std::string_view, double) { return false; }), pali::error, [](const pali::error& e) { return e.code() == pali::errc::cancelled; });
}

BOOST_AUTO_TEST_SUITE_END()
