// Model folders found in practice: tied and untied heads, tensor names of wrappers, additional tensors, NaN and infinite weights. Also
// tests sequences that reach the last position.
#include "cases.hpp"

#include <pali/files/checkpoint_files.hpp>
#include <pali/files/npz.hpp>
#include <pali/files/safetensors_writer.hpp>
#include <pali/image/read.hpp>
#include <pali/image/resize.hpp>
#include <pali/model.hpp>
#include <pali/model/quantize_checkpoint.hpp>
#include <pali/objects/mask_vqvae.hpp>

#include <support/temporary_folder.hpp>

#include <algorithm>
#include <cstring>
#include <deque>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace pali::test;
using pali::errc;
using exact_model = pali::model<pali::dynamic, pali::f32>;

/// A copy of a checkpoint, whose tensors and config.json can be changed before it is written.
struct changed_folder {
    pali::test::temporary_folder folder;
    pali::files::checkpoint_files files;
    pali::files::tensor_table tensors;
    json config;
    std::deque<std::vector<std::byte>> memory;

    explicit changed_folder(const std::filesystem::path& from)
        : files(from), tensors(files.tensors()), config(json::parse(std::ifstream(from / "config.json"))) {
        pali::model_detail::copy_all_but_weights(from, folder.path());
    }
    const std::filesystem::path& write() {
        folder.write("config.json", config.dump());
        pali::files::write_safetensors(folder.path() / "model.safetensors", tensors);
        return folder.path();
    }
    /// The full name of the only tensor whose name has this ending.
    std::string named(const std::string& ending) const {
        for (const auto& [name, tensor] : tensors)
            if (name.ends_with(ending)) return name;
        throw std::runtime_error("no tensor " + ending);
    }
    /// The bytes of a tensor, to be changed.
    std::vector<std::byte>& own(const std::string& name) {
        pali::files::tensor_info& tensor = tensors.at(name);
        auto& bytes = memory.emplace_back(tensor.bytes.begin(), tensor.bytes.end());
        tensor.bytes = bytes;
        return bytes;
    }
    void add(const std::string& name, std::vector<std::size_t> shape) {
        pali::files::tensor_info tensor{.type = pali::files::dtype::bf16, .shape = std::move(shape), .bytes = {}, .file = ""};
        tensor.bytes = memory.emplace_back(tensor.count() * 2);
        tensors.emplace(name, tensor);
    }
};

std::filesystem::path shapes() { return source_path("examples/models/shapes"); }

const pali::image& image() {
    static const pali::image photo = pali::read_image(shapes() / "images" / "cross_and_ring.png");
    return photo;
}
constexpr const char* seen = "a red cross and a yellow ring on a teal background";

auto says(errc code, std::vector<std::string> words) {
    return [=](const pali::error& e) {
        for (const std::string& word : words)
            BOOST_TEST(std::string(e.what()).find(word) != std::string::npos, word << " is not in " << e.what());
        return e.code() == code;
    };
}

} // namespace

BOOST_AUTO_TEST_SUITE(folders)

BOOST_AUTO_TEST_CASE(a_head_serves_as_the_embedding) {
    changed_folder some(shapes());
    const std::string embedding = some.named("embed_tokens.weight");
    some.tensors.emplace("lm_head.weight", some.tensors.at(embedding));
    some.tensors.erase(embedding);
    BOOST_TEST(exact_model(some.write()).caption(image()) == seen);
    some.config["tie_word_embeddings"] = false;
    BOOST_CHECK_EXCEPTION(
        exact_model(some.write()), pali::error,
        says(errc::checkpoint_mismatch,
             {"1 tensor does not fit", "missing tensor 'language_model.model.embed_tokens.weight'", "sets tie_word_embeddings to false"}));
}

BOOST_AUTO_TEST_CASE(without_a_tie_a_head_must_be_there) {
    changed_folder some(shapes());
    some.config["tie_word_embeddings"] = false;
    BOOST_CHECK_EXCEPTION(exact_model(some.write()), pali::error,
                          says(errc::checkpoint_mismatch,
                               {"missing tensor 'language_model.lm_head.weight' (1536, 192)", "sets tie_word_embeddings to false"}));
}

// gemma2_untied has a separate LM head; its goldens were computed with it.
BOOST_AUTO_TEST_CASE(a_head_of_its_own_makes_the_answer) {
    const tiny_model tiny("gemma2_untied");
    const json& one = tiny.cases().at(0);
    std::vector<pali::image> images;
    for (const json& path : one.at("images")) images.push_back(pali::read_image(data_path("models/" + path.get<std::string>())));
    const pali::generate_options options{.max_new_tokens = one.at("max_new_tokens").get<std::size_t>()};
    const auto answer = [&](const std::filesystem::path& folder) {
        return exact_model(folder).generate(images, one.at("prompt").get<std::string>(), options).tokens;
    };
    changed_folder some(tiny.folder());
    const std::vector<pali::token> golden = one.at("tokens");
    some.config["tie_word_embeddings"] = true; // a separate head is used even so, as in transformers 5
    BOOST_TEST((answer(some.write()) == golden));
    some.tensors.erase(some.named("lm_head.weight"));
    BOOST_TEST((answer(some.write()) != golden));
}

BOOST_AUTO_TEST_CASE(names_of_a_wrapper_are_read_and_quantized) {
    for (const bool inside : {false, true}) {
        changed_folder some(shapes());
        pali::files::tensor_table wrapped;
        for (const auto& [name, tensor] : some.tensors) {
            std::string within = name;
            if (const std::size_t at = name.find(".mlp."); at != std::string::npos)
                within.insert(at + 1, "_fsdp_wrapped_module._checkpoint_wrapped_module.");
            wrapped.emplace(inside ? within : "student.module." + name, tensor);
        }
        some.tensors = wrapped;
        BOOST_TEST(exact_model(some.write()).caption(image()) == seen);
        const pali::test::temporary_folder to;
        pali::quantize_checkpoint<pali::int8>(some.folder.path(), to.path());
        BOOST_TEST((pali::model<pali::dynamic, pali::int8>(to.path()).caption(image()) == seen));
    }
}

BOOST_AUTO_TEST_CASE(weights_of_types_that_are_not_read_are_not_quantized) {
    for (const char* const ending : {"layers.1.mlp.up_proj.weight", "encoder.layers.1.mlp.fc1.weight",
                                     "multi_modal_projector.linear.weight", "patch_embedding.weight", "model.norm.weight"}) {
        changed_folder some(shapes());
        const std::string name = some.named(ending);
        pali::files::tensor_info& tensor = some.tensors.at(name);
        tensor.type = pali::files::dtype::f8_e4m3;
        tensor.bytes = tensor.bytes.first(tensor.count());
        const auto refused = [&](errc code) {
            return says(code, {"tensor '" + name + "' is stored as F8_E4M3; BF16, F16 and F32 are supported",
                               "dtype=torch.bfloat16).save_pretrained(OUT)"});
        };
        const pali::test::temporary_folder to;
        BOOST_CHECK_EXCEPTION(pali::quantize_checkpoint<pali::int8>(some.write(), to.path()), pali::error,
                              refused(errc::checkpoint_mismatch));
        BOOST_CHECK_EXCEPTION(exact_model(some.folder.path()), pali::error, refused(errc::checkpoint_mismatch));
    }
}

BOOST_AUTO_TEST_CASE(tensors_of_others_are_told_once_or_refused) {
    changed_folder some(shapes());
    for (int i = 0; i < 12; ++i) some.add("v_head." + std::to_string(i), {1, 2});
    std::vector<std::string> notices;
    pali::load_options options;
    options.on_notice = [&](std::string_view notice) { notices.emplace_back(notice); };
    BOOST_TEST(exact_model(some.write(), options).caption(image()) == seen);
    BOOST_REQUIRE(notices.size() == 1u);
    for (const char* word : {": 12 tensors are not used: 'v_head.0' BF16(1, 2), 'v_head.1'", "and 2 more"})
        BOOST_TEST(notices[0].find(word) != std::string::npos, notices[0]);
    options.strict = true;
    BOOST_CHECK_EXCEPTION(exact_model(some.write(), options), pali::error,
                          says(errc::checkpoint_mismatch, {"12 tensors do not fit", "unexpected tensors", "'v_head.0'", "and 2 more"}));
}

BOOST_AUTO_TEST_CASE(an_index_that_differs_is_told_once_or_refused) {
    changed_folder some(shapes());
    const std::filesystem::path folder = some.write();
    std::filesystem::rename(folder / "model.safetensors", folder / "a.safetensors");
    json index;
    for (const auto& [name, tensor] : some.tensors) index["weight_map"][name] = "a.safetensors";
    index["weight_map"]["counter"] = "a.safetensors";
    some.folder.write("model.safetensors.index.json", index.dump());
    std::vector<std::string> notices;
    pali::load_options options;
    options.on_notice = [&](std::string_view notice) { notices.emplace_back(notice); };
    BOOST_TEST(exact_model(folder, options).caption(image()) == seen);
    BOOST_REQUIRE(notices.size() == 1u);
    BOOST_TEST(
        notices[0].find("the index and the shards differ; the tensors are used as found in the shards: 'counter' is not in any shard") !=
            std::string::npos,
        notices[0]);
    options.strict = true;
    BOOST_CHECK_EXCEPTION(exact_model(folder, options), pali::error,
                          says(errc::checkpoint_mismatch, {"the index and the shards differ", "'counter' is not in any shard"}));
}

// Padding rows in the last strip of a vocabulary are not tokens, and they do not change the logits of the other rows.
template <class Storage>
void one_row_more() {
    changed_folder some(shapes());
    const std::string name = some.named("embed_tokens.weight");
    const std::vector<std::byte> row(some.tensors.at(name).bytes.begin(), some.tensors.at(name).bytes.begin() + 192 * 2);
    auto& bytes = some.own(name);
    bytes.insert(bytes.end(), row.begin(), row.end());
    some.tensors.at(name).bytes = bytes;
    some.tensors.at(name).shape[0] = 1537;
    some.config["text_config"]["vocab_size"] = 1537;
    using small = pali::model<pali::dynamic, Storage>;
    small before(shapes()), after(some.write());
    const pali::test::temporary_folder to;
    pali::quantize_checkpoint<Storage>(some.folder.path(), to.path());
    small from_file(to.path());
    const auto logits = [&](small& model) {
        const pali::image_features features = model.encode(image());
        return model.logits(std::span(&features, 1), "caption en", "a red cross");
    };
    const auto want = logits(before), loaded = logits(after), read = logits(from_file);
    BOOST_REQUIRE(loaded.shape(1) == 1537u);
    BOOST_TEST(std::equal(loaded.begin(), loaded.end(), read.begin(), read.end()));
    for (std::size_t i = 0; i < want.shape(0); ++i) {
        BOOST_TEST(std::equal(want.data() + i * 1536, want.data() + (i + 1) * 1536, loaded.data() + i * 1537));
        BOOST_TEST(loaded(i, 1536) == loaded(i, 0));
    }
    BOOST_TEST(after.caption(image()) == seen);
}
BOOST_AUTO_TEST_CASE(a_vocabulary_of_1537_in_8_bits) { one_row_more<pali::int8>(); }
BOOST_AUTO_TEST_CASE(a_vocabulary_of_1537_in_4_bits) { one_row_more<pali::int4>(); }

BOOST_AUTO_TEST_CASE(weights_that_are_no_numbers_are_named) {
    for (const std::uint16_t bits : std::vector<std::uint16_t>{0x7fc0, 0x7f80}) { // bfloat16 NaN and infinity
        changed_folder some(shapes());
        const std::string name = some.named("layers.2.mlp.down_proj.weight");
        std::memcpy(some.own(name).data() + 2 * (5 * 576 + 7), &bits, 2);
        some.write();
        const std::vector<std::string> words{"logits are not finite", "1 tensor is not finite",
                                             "model.safetensors: tensor '" + name + "' has " + (bits == 0x7f80 ? "inf" : "nan") +
                                                 " at (5, 7)"};
        BOOST_CHECK_EXCEPTION((void)exact_model(some.folder.path()).caption(image()), pali::error, says(errc::malformed_file, words));
        BOOST_CHECK_EXCEPTION((void)exact_model(some.folder.path()).generate(std::span(&image(), 1), "caption en", {.num_beams = 2}),
                              pali::error, says(errc::malformed_file, words));
        BOOST_CHECK_EXCEPTION((void)(pali::model<pali::dynamic, pali::int8>(some.folder.path()).caption(image())), pali::error,
                              says(errc::malformed_file, words));
        BOOST_CHECK_EXCEPTION((void)(pali::model<pali::dynamic, pali::int4>(some.folder.path()).caption(image())), pali::error,
                              says(errc::malformed_file, words));
        const pali::test::temporary_folder to;
        BOOST_CHECK_EXCEPTION(pali::quantize_checkpoint<pali::int4>(some.folder.path(), to.path()), pali::error,
                              says(errc::malformed_file, {"tensor '" + name + "' has a value that is not finite in row 5"}));
        changed_folder tower(shapes()); // its tensors are copied unchanged
        const std::string other = tower.named("layers.1.mlp.fc1.weight");
        std::memcpy(tower.own(other).data() + 2 * 9, &bits, 2);
        tower.write();
        BOOST_CHECK_EXCEPTION(pali::quantize_checkpoint<pali::int8>(tower.folder.path(), to.path()), pali::error,
                              says(errc::malformed_file, {"tensor '" + other + "' has a value that is not finite: element 9"}));
    }
}

// A tensor that the model does not use may contain anything and is copied.
BOOST_AUTO_TEST_CASE(tensors_of_others_may_hold_anything) {
    changed_folder some(shapes());
    some.add("language_model.value_head.weight", {1, 192}); // has one row, which is less than a strip
    some.add("v_head.bias", {2});
    const std::uint16_t infinite = 0x7f80, not_finite = 0xffff;
    std::memcpy(some.own("v_head.bias").data(), &infinite, 2);
    BOOST_TEST(exact_model(some.write()).caption(image()) == seen);
    const pali::test::temporary_folder to;
    pali::quantize_checkpoint<pali::int4>(some.folder.path(), to.path());
    const pali::files::checkpoint_files written(to.path());
    for (const char* name : {"language_model.value_head.weight", "v_head.bias"}) {
        const pali::files::tensor_info &was = some.tensors.at(name), &is = written.at(name);
        BOOST_TEST((is.type == was.type && is.shape == was.shape &&
                    std::equal(is.bytes.begin(), is.bytes.end(), was.bytes.begin(), was.bytes.end())),
                   name);
    }
    BOOST_TEST((pali::model<pali::dynamic, pali::int4>(to.path()).caption(image()) == seen));
    const std::string name = some.named("layers.2.mlp.down_proj.weight"); // the error names this one
    std::memcpy(some.own(name).data(), &not_finite, 2);
    BOOST_CHECK_EXCEPTION((void)exact_model(some.write()).caption(image()), pali::error, [&](const pali::error& e) {
        return says(errc::malformed_file, {"1 tensor is not finite", name})(e) && std::string(e.what()).find("v_head") == std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(images_of_another_size_need_do_resize) {
    for (const json& off : {json(false), json(nullptr)}) {
        changed_folder some(shapes());
        some.folder.write("preprocessor_config.json", json{{"do_resize", off}}.dump());
        exact_model model(some.write());
        BOOST_CHECK_EXCEPTION(
            (void)model.caption(image()), pali::error,
            says(errc::unsupported_config, {"preprocessor_config.json: do_resize is off",
                                            std::to_string(image().width) + " x " + std::to_string(image().height), "112 x 112"}));
        BOOST_TEST(!model.caption(pali::image_detail::resize(image(), 112, 112, pali::filter::bicubic)).empty());
    }
}

BOOST_AUTO_TEST_CASE(a_mask_network_that_is_no_numbers_is_refused) {
    const pali::files::npz_file masks(shapes() / "mask_vqvae.npz");
    pali::files::tensor_table tensors = masks.tensors();
    const std::string name = "_vq_vae._embedding";
    std::vector<std::byte> bytes(tensors.at(name).bytes.begin(), tensors.at(name).bytes.end());
    const pali::test::temporary_folder folder;
    tensors.at(name).bytes = bytes;
    pali::files::write_safetensors(folder.path() / "masks.safetensors", tensors);
    BOOST_CHECK_NO_THROW(pali::objects::mask_vqvae(folder.path() / "masks.safetensors"));
    std::fill_n(bytes.begin(), 4, std::byte{0xff});
    pali::files::write_safetensors(folder.path() / "masks.safetensors", tensors);
    BOOST_CHECK_EXCEPTION(pali::objects::mask_vqvae(folder.path() / "masks.safetensors"), pali::error,
                          says(errc::malformed_file, {"masks.safetensors: tensor '_vq_vae._embedding' has nan at (0, 0)"}));
}

// The embedded model has 512 positions, of which an image takes 64.
BOOST_AUTO_TEST_CASE(a_sequence_ends_with_the_positions) {
    exact_model model(shapes());
    std::size_t reported = 0;
    pali::generate_options options{.max_new_tokens = 100000};
    options.on_progress = [&](std::string_view, double) { return ++reported > 0; };
    const std::string words(2000, 'x');
    const auto too_long = says(errc::invalid_prompt, {"(64 for images)", "512 positions", "max_position_embeddings"});
    BOOST_CHECK_EXCEPTION((void)model.generate(image(), words, options), pali::error, too_long);
    BOOST_CHECK_EXCEPTION((void)model.generate_each(std::span(&image(), 1), words, options), pali::error, too_long);
    pali::find_options find;
    find.generate = options;
    BOOST_CHECK_EXCEPTION((void)model.detect(image(), words, find), pali::error, too_long);
    BOOST_TEST(reported == 0u, "nothing was computed");
    const pali::image_features features = model.encode(image());
    BOOST_CHECK_EXCEPTION((void)model.score(std::span(&features, 1), "caption en", words), pali::error,
                          says(errc::invalid_prompt, {"512 positions"}));
    const pali::generation said = model.generate(image(), "caption en", options);
    BOOST_TEST(said.text == seen);
    BOOST_TEST(said.most_tokens == 512 - 64 - said.prompt_tokens.size());
    options.min_new_tokens = 1000; // EOS is suppressed
    options.on_progress = {};
    for (const std::size_t beams : {std::size_t{1}, std::size_t{2}}) {
        options.num_beams = beams;
        const pali::generation all = model.generate(image(), "caption en", options);
        BOOST_TEST(all.tokens.size() == all.most_tokens);
        BOOST_TEST((all.finish == pali::finish_reason::length));
    }
}

BOOST_AUTO_TEST_CASE(pointers_of_git_lfs_are_named) {
    changed_folder some(shapes());
    some.write();
    some.folder.write("tokenizer.model", "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 4241003\n");
    BOOST_CHECK_EXCEPTION(exact_model(some.folder.path()), pali::error,
                          says(errc::malformed_file, {"tokenizer.model: is a Git LFS pointer", "git lfs pull"}));
}

BOOST_AUTO_TEST_SUITE_END()
