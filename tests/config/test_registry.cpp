// The table of variants, and the comparison of a checkpoint with a compiled variant.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <pali/config/differences.hpp>
#include <pali/config/require_fit.hpp>
#include <pali/core/error.hpp>
#include <support/data.hpp>
#include <support/temporary_folder.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <string>

namespace {

using nlohmann::json;
using pali::errc;

// Written by tests/golden/released_configs.py.
const json& released() {
    static const json all = json::parse(std::ifstream(pali::test::data_path("configs/released.json")));
    return all;
}

std::vector<std::string> released_names() {
    std::vector<std::string> names;
    for (const auto& [name, files] : released().items()) names.push_back(name);
    return names;
}

pali::checkpoint_config read(const json& files) {
    const pali::test::temporary_folder folder;
    for (const auto& [name, content] : files.items()) folder.write(name, content.dump());
    return pali::read_checkpoint_config(folder);
}

auto mismatch(std::vector<std::string> words, std::size_t fields) {
    return [=](const pali::error& e) {
        const std::string what = e.what();
        BOOST_TEST_INFO(what);
        BOOST_TEST(static_cast<int>(e.code()) == static_cast<int>(errc::config_mismatch));
        for (const std::string& word : words) {
            BOOST_TEST_INFO("looking for '" << word << "' in " << what);
            BOOST_TEST((what.find(word) != std::string::npos));
        }
        BOOST_TEST_INFO(what);
        BOOST_TEST(static_cast<std::size_t>(std::count(what.begin(), what.end(), '\n')) == fields + 1); // one line per field, and the hint
        return true;
    };
}

// A user-defined variant.
struct robot : pali::paligemma2<pali::gemma2_2b, pali::siglip_so400m_14<448>> {
    static constexpr std::size_t layers = 12;
};
static_assert(pali::model_config<robot>);

// Sizes of no released model.
struct three_kv_heads : robot {
    static constexpr std::size_t kv_heads = 3;
};
struct odd_heads : robot {
    static constexpr std::size_t head_dim = 255;
};
struct no_patches : pali::siglip_so400m_14<448> {
    static constexpr std::size_t patch_size = 0;
};
struct uneven_tower : pali::siglip_so400m_14<448> {
    static constexpr std::size_t heads = 7;
};
static_assert(!pali::decoder_config<three_kv_heads> && !pali::model_config<three_kv_heads>);
static_assert(!pali::decoder_config<odd_heads>);
static_assert(!pali::vision_config<no_patches>);
static_assert(!pali::vision_config<uneven_tower>);
static_assert(pali::model_config<pali::dynamic>, "sizes that are read when the program runs are checked then");

} // namespace

BOOST_AUTO_TEST_SUITE(registry)

BOOST_AUTO_TEST_CASE(has_the_twelve_and_the_embedded_one) {
    const auto names = pali::variant_names();
    BOOST_TEST(names.size() == 13u);
    for (const std::string& name : released_names()) BOOST_TEST((std::find(names.begin(), names.end(), name) != names.end()), name);
    BOOST_TEST(released_names().size() == 12u);
    BOOST_TEST((std::find(names.begin(), names.end(), "shapes") != names.end()));
}

BOOST_AUTO_TEST_CASE(finds_types_by_name) {
    const auto image_size = [](auto config) -> std::size_t { return config.vision.image_size; };
    BOOST_TEST(pali::with_config("paligemma2-10b-448", image_size) == 448u);
    BOOST_TEST(pali::with_config("paligemma2_10b_448", image_size) == 448u);
    BOOST_TEST(pali::with_config("shapes", image_size) == 112u);
    for (const std::string_view name : pali::variant_names()) {
        const std::string_view found = pali::with_config(name, [](auto config) { return pali::variant_name<decltype(config)>(); });
        BOOST_TEST(found == name);
    }
    static_assert(pali::variant_name<pali::dynamic>() == "dynamic" && pali::variant_name<robot>() == "custom");
}

BOOST_AUTO_TEST_CASE(hands_on_what_the_function_returns) {
    std::size_t counted = 0;
    pali::with_config("shapes", [&](auto) { ++counted; }); // returns void
    BOOST_TEST(counted == 1u);
    std::size_t& same = pali::with_config("shapes", [&](auto) -> std::size_t& { return counted; });
    BOOST_TEST(&same == &counted);
}

BOOST_DATA_TEST_CASE(refuses_other_names,
                     boost::unit_test::data::make({"", "paligemma-3b", "paligemma2-3b-224-", "Paligemma2-3b-224", "dynamic"}), name) {
    BOOST_CHECK_EXCEPTION(pali::with_config(name, [](auto) {}), pali::error, [](const pali::error& e) {
        const std::string what = e.what();
        return e.code() == errc::unknown_variant && what.find("paligemma2-28b-896") != std::string::npos &&
               what.find("shapes") != std::string::npos;
    });
}

BOOST_DATA_TEST_CASE(a_released_config_fits_its_type_and_no_other, boost::unit_test::data::make(released_names()), name) {
    const pali::checkpoint_config config = read(released().at(name));
    BOOST_TEST(pali::matching_variant(config.sizes).value_or("none") == name);
    for (const std::string_view other : pali::variant_names())
        pali::with_config(other, [&](auto compiled) {
            if (other == name) BOOST_CHECK_NO_THROW(pali::config_detail::require_fit(compiled, config));
            else
                BOOST_CHECK_EXCEPTION(pali::config_detail::require_fit(compiled, config), pali::error, ([&](const pali::error& e) {
                                          return e.code() == errc::config_mismatch &&
                                                 std::string(e.what()).find("Use the variant that fits, " + name) != std::string::npos;
                                      }));
        });
    BOOST_TEST(config.dtype == "bfloat16");
    BOOST_TEST(config.image_token == 257152);
    BOOST_TEST((config.image.resample == pali::filter::bicubic));
    BOOST_CHECK_NO_THROW(pali::config_detail::require_fit(pali::dynamic{}, config));
    BOOST_TEST(pali::config_detail::differences(pali::config_detail::make_config<pali::dynamic>(config), config.sizes).empty());
}

BOOST_AUTO_TEST_CASE(the_embedded_model_is_shapes) {
    const pali::checkpoint_config config = pali::read_checkpoint_config(pali::test::source_path("examples/models/shapes"));
    BOOST_TEST(pali::matching_variant(config.sizes).value_or("none") == "shapes");
    BOOST_CHECK_NO_THROW((void)pali::config_detail::make_config<pali::shapes>(config));
    const std::size_t count =
        pali::config_detail::differences(config.sizes, pali::config_detail::sizes_of(pali::paligemma_3b_224{})).size();
    BOOST_TEST(count > 11u);
    BOOST_CHECK_EXCEPTION(
        (void)pali::config_detail::make_config<pali::paligemma_3b_224>(config), pali::error,
        mismatch({"text_config.model_type is gemma2", "and " + std::to_string(count - 10) + " more\nUse the variant that fits, shapes"},
                 11));
}

// In another port, a checkpoint of one generation gave garbage with the code of the other, without an error (hkproj/pytorch-paligemma #6).
BOOST_AUTO_TEST_CASE(paligemma_1_code_refuses_paligemma_2_weights) {
    const pali::checkpoint_config config = read(released().at("paligemma2-3b-224"));
    BOOST_CHECK_EXCEPTION(
        pali::config_detail::require_fit(pali::paligemma_3b_224{}, config), pali::error,
        mismatch({"config.json", "paligemma-3b-224", "text_config.model_type is gemma2 in the checkpoint but gemma in the type",
                  "text_config.hidden_size is 2304 in the checkpoint but 2048 in the type", "num_hidden_layers is 26",
                  "intermediate_size is 9216", "num_key_value_heads is 4", "attn_logit_softcapping is 50", "final_logit_softcapping is 30",
                  "Use the variant that fits, paligemma2-3b-224"},
                 7));
}

// Every field of the concept is compared: a variant that differs only in one field is rejected, and the error names the field.
BOOST_AUTO_TEST_CASE(every_field_is_compared) {
    const pali::checkpoint_config config = read(released().at("paligemma2-3b-448"));
    BOOST_TEST(pali::matching_variant(config.sizes).value_or("none") == "paligemma2-3b-448");
    const auto check = [&](const std::string& field, auto change) {
        pali::checkpoint_config changed = config;
        change(changed.sizes);
        BOOST_TEST_CONTEXT(field) {
            BOOST_TEST(!pali::matching_variant(changed.sizes).has_value());
            BOOST_CHECK_EXCEPTION((void)pali::config_detail::make_config<pali::paligemma2_3b_448>(changed), pali::error,
                                  mismatch({field, "No shipped variant fits"}, 1));
        }
    };
    using pali::dynamic;
    check("text_config.model_type", [](dynamic& d) { d.post_norms = false; });
    check("text_config.vocab_size", [](dynamic& d) { ++d.vocab; });
    check("text_config.hidden_size", [](dynamic& d) { ++d.hidden; });
    check("text_config.num_hidden_layers", [](dynamic& d) { ++d.layers; });
    check("text_config.intermediate_size", [](dynamic& d) { ++d.intermediate; });
    check("text_config.num_attention_heads", [](dynamic& d) { ++d.heads; });
    check("text_config.num_key_value_heads", [](dynamic& d) { ++d.kv_heads; });
    check("text_config.head_dim", [](dynamic& d) { ++d.head_dim; });
    check("text_config.query_pre_attn_scalar", [](dynamic& d) { ++d.query_pre_attn_scalar; });
    check("text_config.attn_logit_softcapping", [](dynamic& d) { ++d.attention_softcap; });
    check("text_config.final_logit_softcapping", [](dynamic& d) { ++d.final_softcap; });
    check("text_config.rope_theta", [](dynamic& d) { ++d.rope_theta; });
    check("text_config.rms_norm_eps", [](dynamic& d) { d.norm_eps *= 2; });
    check("text_config.sliding_window of layer 0", [](dynamic& d) { d.windows[0] = 0; });
    check("text_config.sliding_window of layer 25", [](dynamic& d) { d.windows[25] = 4096; });
    check("vision_config.image_size", [](dynamic& d) { ++d.vision.image_size; });
    check("vision_config.patch_size", [](dynamic& d) { ++d.vision.patch_size; });
    check("vision_config.hidden_size", [](dynamic& d) { ++d.vision.hidden; });
    check("vision_config.num_hidden_layers", [](dynamic& d) { ++d.vision.layers; });
    check("vision_config.intermediate_size", [](dynamic& d) { ++d.vision.intermediate; });
    check("vision_config.num_attention_heads", [](dynamic& d) { ++d.vision.heads; });
    check("vision_config.layer_norm_eps", [](dynamic& d) { d.vision.norm_eps *= 2; });
}

BOOST_AUTO_TEST_CASE(a_type_of_ones_own_is_checked_too) {
    json files = released().at("paligemma2-3b-448");
    BOOST_CHECK_EXCEPTION((void)pali::config_detail::make_config<robot>(read(files)), pali::error,
                          mismatch({"num_hidden_layers is 26 in the checkpoint but 12 in the type", "paligemma2-3b-448"}, 1));
    files["config.json"]["text_config"]["num_hidden_layers"] = 12;
    BOOST_CHECK_NO_THROW((void)pali::config_detail::make_config<robot>(read(files)));
    BOOST_TEST(!pali::matching_variant(read(files).sizes).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
