// Compares the reading of config.json and its companion files with transformers, and tests which files are rejected.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <pali/config/checkpoint_config.hpp>
#include <pali/config/siglip_config.hpp>
#include <pali/core/error.hpp>
#include <support/data.hpp>
#include <support/temporary_folder.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

namespace {

using nlohmann::json;
using pali::errc;

// Written by tests/golden/configs.py.
const json& golden_cases() {
    static const json all = json::parse(std::ifstream(pali::test::data_path("configs/cases.json")));
    return all.at("cases");
}

std::vector<std::string> case_names(bool refused) {
    std::vector<std::string> names;
    for (const json& one : golden_cases())
        if (one.contains("refused") == refused) names.push_back(one.at("name"));
    return names;
}

const json& golden_case(const std::string& name) {
    for (const json& one : golden_cases())
        if (one.at("name") == name) return one;
    throw std::runtime_error("no case " + name);
}

pali::checkpoint_config read(const json& files) {
    const pali::test::temporary_folder folder;
    for (const auto& [name, content] : files.items()) folder.write(name, content.is_string() ? content.get<std::string>() : content.dump());
    return pali::read_checkpoint_config(folder);
}

// The files of a small model with all keys present.
json files() {
    return {{"config.json", json::parse(R"({"model_type": "paligemma", "image_token_index": 299, "projection_dim": 64,
        "text_config": {"model_type": "gemma2", "hidden_size": 64, "num_hidden_layers": 4, "intermediate_size": 96, "num_attention_heads": 4,
                        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300},
        "vision_config": {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 3, "patch_size": 14,
                          "image_size": 56}})")}};
}

struct refusal {
    std::string pointer; // JSON pointer into files()
    json value;
    errc code;
    std::vector<std::string> words; // expected in the message
};
std::ostream& operator<<(std::ostream& out, const refusal& r) { return out << r.pointer << " = " << r.value; }

const std::vector<refusal> refusals{
    {"/config.json/model_type", "colpali", errc::unsupported_config, {"config.json", "model_type", "colpali", "paligemma"}},
    {"/config.json/model_type", "gemma2", errc::unsupported_config, {"model_type", "gemma2"}},
    {"/config.json/model_type", nullptr, errc::malformed_config, {"model_type", "null"}},
    {"/config.json/text_config/model_type", "gemma3_text", errc::unsupported_config, {"text_config.model_type", "gemma3_text", "gemma2"}},
    {"/config.json/vision_config/model_type",
     "clip_vision_model",
     errc::unsupported_config,
     {"vision_config.model_type", "clip_vision_model"}},
    {"/config.json/tie_word_embeddings", nullptr, errc::malformed_config, {"tie_word_embeddings is null", "true or false"}},
    {"/config.json/text_config/max_position_embeddings", 0, errc::malformed_config, {"text_config.max_position_embeddings is 0"}},
    {"/preprocessor_config.json", {{"size", {56, 57}}}, errc::malformed_config, {"size is [56,57]", "56 x 56"}},
    {"/preprocessor_config.json", {{"do_resize", 2}}, errc::malformed_config, {"do_resize is 2"}},
    {"/config.json/text_config/hidden_activation",
     "gelu",
     errc::unsupported_config,
     {"text_config.hidden_activation", "\"gelu\"", "gelu_pytorch_tanh"}},
    {"/config.json/vision_config/hidden_act", "gelu", errc::unsupported_config, {"vision_config.hidden_act", "gelu_pytorch_tanh"}},
    {"/config.json/text_config/model_type", nullptr, errc::malformed_config, {"text_config.model_type is null"}},
    {"/config.json/text_config/num_attention_heads", 0, errc::malformed_config, {"text_config.num_attention_heads is 0"}},
    {"/config.json/vision_config/num_attention_heads", 0, errc::malformed_config, {"vision_config.num_attention_heads is 0"}},
    {"/config.json/vision_config/image_size", 0, errc::malformed_config, {"image_size is 0"}},
    {"/config.json/vision_config/num_channels", 1, errc::unsupported_config, {"num_channels is 1"}},
    {"/config.json/vision_config/image_size", {56, 56}, errc::unsupported_config, {"image_size is [56,56]", "square"}},
    {"/config.json/vision_config/patch_size", 57, errc::malformed_config, {"patch_size is 57", "image_size (56)"}},
    {"/config.json/vision_config/num_attention_heads", 5, errc::malformed_config, {"vision_config.num_attention_heads is 5", "48"}},
    {"/config.json/text_config/attention_bias", true, errc::unsupported_config, {"attention_bias"}},
    {"/config.json/text_config/per_layer_config", {{"0", {{"head_dim", 8}}}}, errc::unsupported_config, {"per_layer_config"}},
    {"/config.json/text_config/rope_scaling",
     {{"type", "linear"}, {"factor", 2.0}},
     errc::unsupported_config,
     {"text_config.rope_scaling.type", "linear", "default"}},
    {"/config.json/text_config/rope_parameters",
     {{"rope_type", "yarn"}, {"rope_theta", 10000.0}},
     errc::unsupported_config,
     {"rope_parameters.rope_type", "yarn"}},
    {"/config.json/text_config/rope_parameters",
     {{"partial_rotary_factor", 0.5}},
     errc::unsupported_config,
     {"partial_rotary_factor is 0.5"}},
    {"/config.json/text_config/rope_parameters",
     {{"full_attention", {{"rope_theta", 1e6}}}, {"sliding_attention", {{"rope_theta", 1e4}}}},
     errc::unsupported_config,
     {"text_config.rope_parameters", "rope_theta must be the same"}},
    {"/config.json/text_config/rope_theta", nullptr, errc::malformed_config, {"rope_theta is null"}},
    {"/config.json/text_config/rope_theta", 0, errc::malformed_config, {"rope_theta is 0", "above 0"}},
    {"/config.json/text_config/rope_theta", 1e39, errc::malformed_config, {"rope_theta"}},
    {"/config.json/text_config/num_key_value_heads", 3, errc::malformed_config, {"num_key_value_heads is 3", "num_attention_heads (4)"}},
    {"/config.json/text_config/num_key_value_heads", 0, errc::malformed_config, {"num_key_value_heads is 0"}},
    {"/config.json/text_config/head_dim", 15, errc::malformed_config, {"head_dim is 15", "even"}},
    {"/config.json/text_config/hidden_size", -64, errc::malformed_config, {"hidden_size is -64", "an integer from 1"}},
    {"/config.json/text_config/hidden_size", 4'000'000'000'000u, errc::malformed_config, {"hidden_size is 4000000000000"}},
    {"/config.json/text_config/num_hidden_layers", 1'000'000'000, errc::malformed_config, {"num_hidden_layers is 1000000000", "4096"}},
    {"/config.json/text_config/vocab_size", 0xffffffffu, errc::malformed_config, {"vocab_size is 4294967295"}},
    {"/config.json/text_config/layer_types", {"full_attention"}, errc::malformed_config, {"layer_types", "a list of 4 strings"}},
    {"/config.json/text_config/layer_types", {1, 2, 3, 4}, errc::malformed_config, {"layer_types", "strings"}},
    {"/config.json/text_config/layer_types",
     {"full_attention", "full_attention", "chunked_attention", "full_attention"},
     errc::unsupported_config,
     {"layer_types", "chunked_attention", "layer 2"}},
    {"/config.json/text_config/sliding_window", 0, errc::malformed_config, {"sliding_window is 0"}},
    {"/config.json/text_config/query_pre_attn_scalar", 0, errc::malformed_config, {"query_pre_attn_scalar is 0"}},
    {"/config.json/text_config/attn_logit_softcapping", -50.0, errc::malformed_config, {"attn_logit_softcapping is -50"}},
    {"/config.json/text_config", "gemma2", errc::malformed_config, {"text_config is \"gemma2\"", "an object"}},
    {"/config.json/vision_config", {1, 2}, errc::malformed_config, {"vision_config is [1,2]", "an object"}},
    {"/config.json/projection_dim", 32, errc::malformed_config, {"projection_dim is 32", "hidden_size of text_config (64)"}},
    {"/config.json/image_token_index", -1, errc::malformed_config, {"image_token_index is -1"}},
    {"/config.json/image_token_index", 4294967296, errc::malformed_config, {"image_token_index"}},
    {"/config.json/bos_token_id", 300, errc::malformed_config, {"bos_token_id is 300", "vocab_size (300)"}},
    {"/config.json/eos_token_id", "<eos>", errc::malformed_config, {"eos_token_id is \"<eos>\""}},
    {"/config.json/eos_token_id", {1, 2.5}, errc::malformed_config, {"eos_token_id is [1,2.5]"}},
    {"/config.json/text_config/bos_token_id", nullptr, errc::malformed_config, {"bos_token_id is null"}},
    {"/generation_config.json", {{"eos_token_id", "x"}}, errc::malformed_config, {"generation_config.json: eos_token_id"}},
    {"/generation_config.json", "no JSON", errc::malformed_config, {"generation_config.json", "JSON", "byte"}},
    {"/preprocessor_config.json",
     {{"size", {{"height", 224}, {"width", 224}}}},
     errc::malformed_config,
     {"preprocessor_config.json: size", "image_size", "56 x 56"}},
    {"/preprocessor_config.json",
     {{"size", {{"shortest_edge", 56}}}},
     errc::unsupported_config,
     {"preprocessor_config.json: size", "height"}},
    {"/preprocessor_config.json", {{"size", 56}}, errc::unsupported_config, {"size is 56"}},
    {"/preprocessor_config.json", {{"resample", 6}}, errc::malformed_config, {"resample is 6"}},
    {"/preprocessor_config.json",
     {{"resample", "bicubic"}},
     errc::malformed_config,
     {"resample is \"bicubic\""}}, // transformers treats any string as bilinear
    {"/preprocessor_config.json", {{"do_center_crop", true}}, errc::unsupported_config, {"do_center_crop", "crop_size of 56 x 56"}},
    {"/preprocessor_config.json",
     {{"do_center_crop", true}, {"crop_size", {{"height", 56}, {"width", 55}}}},
     errc::unsupported_config,
     {"do_center_crop"}},
    {"/preprocessor_config.json",
     {{"do_pad", true}, {"pad_size", {{"height", 80}, {"width", 80}}}},
     errc::unsupported_config,
     {"do_pad", "pad_size of 56 x 56"}},
    {"/preprocessor_config.json", {{"image_std", {0.5, 0.5, 0}}}, errc::malformed_config, {"image_std", "above 0"}},
    {"/preprocessor_config.json", {{"image_mean", {0.5, 0.5}}}, errc::malformed_config, {"image_mean is [0.5,0.5]"}},
    {"/preprocessor_config.json", {{"rescale_factor", 0}}, errc::malformed_config, {"rescale_factor is 0"}},
    {"/processor_config.json",
     {{"image_processor", {{"do_pad", true}, {"pad_size", 56}}}},
     errc::unsupported_config,
     {"processor_config.json: image_processor.do_pad"}},
    {"/config.json", "[1]", errc::malformed_config, {"config.json", "is array"}},
    {"/config.json", "", errc::malformed_config, {"config.json", "empty"}},
    {"/config.json",
     R"({"model_type": "paligemma", "text_config": {"hidden_size": 1, "hidden_size": 2}})",
     errc::malformed_config,
     {"'text_config.hidden_size' twice"}},
    {"/config.json", R"({"model_type": "paligemma", "hidden_size": NaN})", errc::malformed_config, {"not valid JSON"}},
    {"/config.json", std::string(100, '['), errc::malformed_config, {"nested more than 64 deep"}},
};

} // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_config)

BOOST_DATA_TEST_CASE(is_what_transformers_understands, boost::unit_test::data::make(case_names(false)), name) {
    const json& one = golden_case(name);
    const json& want = one.at("understood");
    const pali::checkpoint_config got = read(one.at("files"));
    const pali::dynamic& s = got.sizes;
    const auto number = [&](const char* key) { return want.at(key).get<float>(); };
    BOOST_TEST(s.vocab == want.at("vocab").get<std::size_t>());
    BOOST_TEST(s.hidden == want.at("hidden").get<std::size_t>());
    BOOST_TEST(s.layers == want.at("layers").get<std::size_t>());
    BOOST_TEST(s.intermediate == want.at("intermediate").get<std::size_t>());
    BOOST_TEST(s.heads == want.at("heads").get<std::size_t>());
    BOOST_TEST(s.kv_heads == want.at("kv_heads").get<std::size_t>());
    BOOST_TEST(s.head_dim == want.at("head_dim").get<std::size_t>());
    BOOST_TEST(s.query_pre_attn_scalar == number("query_pre_attn_scalar"));
    BOOST_TEST(s.attention_softcap == number("attention_softcap"));
    BOOST_TEST(s.final_softcap == number("final_softcap"));
    BOOST_TEST(s.rope_theta == number("rope_theta"));
    BOOST_TEST(s.norm_eps == number("norm_eps"));
    BOOST_TEST(s.post_norms == want.at("post_norms").get<bool>());
    BOOST_TEST(s.windows == want.at("windows").get<std::vector<std::size_t>>(), boost::test_tools::per_element());
    const json& vision = want.at("vision");
    BOOST_TEST(s.vision.image_size == vision.at("image_size").get<std::size_t>());
    BOOST_TEST(s.vision.patch_size == vision.at("patch_size").get<std::size_t>());
    BOOST_TEST(patch_count(s.vision) == vision.at("patches").get<std::size_t>());
    BOOST_TEST(s.vision.hidden == vision.at("hidden").get<std::size_t>());
    BOOST_TEST(s.vision.layers == vision.at("layers").get<std::size_t>());
    BOOST_TEST(s.vision.intermediate == vision.at("intermediate").get<std::size_t>());
    BOOST_TEST(s.vision.heads == vision.at("heads").get<std::size_t>());
    BOOST_TEST(s.vision.norm_eps == vision.at("norm_eps").get<float>());
    BOOST_TEST(got.image_token == want.at("image_token").get<std::int32_t>());
    BOOST_TEST(got.bos == want.at("bos").get<std::int32_t>());
    BOOST_TEST(got.pad == want.at("pad").get<std::int32_t>());
    BOOST_TEST(got.eos == want.at("eos").get<std::vector<std::int32_t>>(), boost::test_tools::per_element());
    BOOST_TEST(got.dtype == want.at("dtype").get<std::string>());

    const pali::preprocessing& p = got.image;
    if (!want.contains("image")) { // transformers needs the file; pali uses the image size of the model
        BOOST_TEST(p.width == s.vision.image_size);
        BOOST_TEST(p.height == s.vision.image_size);
        return;
    }
    const json& image = want.at("image");
    BOOST_TEST(p.width == image.at("width").get<std::size_t>());
    BOOST_TEST(p.height == image.at("height").get<std::size_t>());
    BOOST_TEST(static_cast<int>(p.resample) == image.at("resample").get<int>());
    BOOST_TEST(p.do_resize == image.at("do_resize").get<bool>());
    BOOST_TEST(p.do_rescale == image.at("do_rescale").get<bool>());
    BOOST_TEST(p.do_normalize == image.at("do_normalize").get<bool>());
    if (p.do_rescale) BOOST_TEST(p.rescale_factor == image.at("rescale_factor").get<double>());
    if (!p.do_normalize) return;
    BOOST_TEST(p.mean == (image.at("mean").get<std::array<double, 3>>()), boost::test_tools::per_element());
    BOOST_TEST(p.std == (image.at("deviation").get<std::array<double, 3>>()), boost::test_tools::per_element());
}

BOOST_DATA_TEST_CASE(refuses_what_transformers_refuses, boost::unit_test::data::make(case_names(true)), name) {
    BOOST_CHECK_EXCEPTION(read(golden_case(name).at("files")), pali::error,
                          [](const pali::error& e) { return e.code() == errc::malformed_config || e.code() == errc::unsupported_config; });
}

BOOST_DATA_TEST_CASE(says_why_it_refuses, boost::unit_test::data::make(refusals), one) {
    json changed = files();
    BOOST_REQUIRE_NO_THROW(read(changed));
    changed[json::json_pointer(one.pointer)] = one.value;
    try {
        read(changed);
        BOOST_ERROR("was read");
    } catch (const pali::error& e) {
        BOOST_TEST_INFO(e.what());
        BOOST_TEST(static_cast<int>(e.code()) == static_cast<int>(one.code));
        for (const std::string& word : one.words) {
            BOOST_TEST_INFO("looking for: " << word << "\nin: " << e.what());
            BOOST_TEST((std::string(e.what()).find(word) != std::string::npos));
        }
        BOOST_TEST_INFO(e.what());
        BOOST_TEST((std::string(e.what()).find("problems") == std::string::npos)); // one change must cause a single problem
        const std::string file = one.pointer.substr(1, one.pointer.find(".json") + 4);
        BOOST_TEST((std::string(e.what()).find(".json") ==
                    std::string(e.what()).find(file) + file.size() - 5)); // the message begins with the changed file
    }
}

BOOST_AUTO_TEST_CASE(tells_all_problems_at_once) {
    json all = files();
    all["config.json"]["text_config"]["head_dim"] = 15;
    all["config.json"]["text_config"]["attention_bias"] = true;
    all["config.json"]["vision_config"]["hidden_act"] = "relu";
    all["config.json"]["projection_dim"] = 63;
    all["generation_config.json"] = {{"bos_token_id", -2}};
    all["preprocessor_config.json"] = {{"resample", "bicubic"}};
    BOOST_CHECK_EXCEPTION(read(all), pali::error, [](const pali::error& e) {
        const std::string what = e.what();
        BOOST_TEST_MESSAGE(what);
        for (const char* field : {"6 problems", "head_dim", "attention_bias", "hidden_act", "projection_dim", "bos_token_id", "resample"})
            BOOST_TEST(what.find(field) != std::string::npos, field);
        for (const char* name : {"\n  config.json: text_config.head_dim", "\n  generation_config.json: bos_token_id",
                                 "\n  preprocessor_config.json: resample"})
            BOOST_TEST(what.find(name) != std::string::npos, name);
        return e.code() == errc::malformed_config;
    });
    for (const char* key :
         {"rope_theta", "num_hidden_layers", "intermediate_size", "num_attention_heads", "num_key_value_heads", "vocab_size"})
        all["config.json"]["text_config"][key] = 0;
    BOOST_CHECK_EXCEPTION(read(all), pali::error, [](const pali::error& e) {
        const std::string what = e.what();
        return what.find("12 problems") != std::string::npos && std::count(what.begin(), what.end(), '\n') == 11 &&
               what.ends_with("and 2 more");
    });
}

BOOST_AUTO_TEST_CASE(missing_files_are_named) {
    const pali::test::temporary_folder folder;
    const auto says = [](const std::string& word) {
        return
            [word](const pali::error& e) { return e.code() == errc::cannot_open && std::string(e.what()).find(word) != std::string::npos; };
    };
    BOOST_CHECK_EXCEPTION((void)pali::read_checkpoint_config(folder), pali::error, says("config.json"));
    BOOST_CHECK_EXCEPTION((void)pali::read_checkpoint_config(folder.path() / "absent"), pali::error, says("absent: no such folder"));
}

BOOST_AUTO_TEST_CASE(a_file_of_the_folder_stands_for_it) {
    const pali::test::temporary_folder folder;
    const auto config = folder.write("config.json", files().at("config.json").dump());
    BOOST_TEST(pali::read_checkpoint_config(config).sizes.hidden == 64u);
    BOOST_TEST(pali::read_checkpoint_config(folder.write("model.safetensors", "")).file == config);
}

// transformers 5.23 rejects these by type; pali accepts them, because the meaning is clear.
BOOST_AUTO_TEST_CASE(an_integer_is_a_number_too) {
    json all = files();
    all["config.json"]["text_config"]["final_logit_softcapping"] = 30;
    all["config.json"]["text_config"]["query_pre_attn_scalar"] = 144.5;
    BOOST_TEST(read(all).sizes.final_softcap == 30);
    BOOST_TEST(read(all).sizes.query_pre_attn_scalar == 144.5f);
}

// Means no window. Valid in transformers' configuration class, although its Gemma 2 cannot be built from it.
BOOST_AUTO_TEST_CASE(a_window_of_null_is_none) {
    json all = files();
    all["config.json"]["text_config"]["sliding_window"] = nullptr;
    BOOST_TEST(read(all).sizes.windows == std::vector<std::size_t>(4, 0), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(rope_nested_by_layer_type) {
    json all = files();
    all["config.json"]["text_config"]["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 500.0}}},
                                                            {"sliding_attention", {{"rope_theta", 500.0}}}};
    BOOST_TEST(read(all).sizes.rope_theta == 500.0f);
}

// Keys that transformers treats as absent if they are null, and numbers that Python accepts as booleans.
BOOST_AUTO_TEST_CASE(null_is_a_default_and_numbers_are_flags) {
    json some = files();
    some["preprocessor_config.json"] =
        json::parse(R"({"resample": null, "size": null, "rescale_factor": null, "image_mean": null, "image_std": null, "do_resize": 1})");
    const pali::preprocessing image = read(some).image;
    BOOST_TEST((image.resample == pali::filter::bicubic));
    BOOST_TEST(image.width == 56u);
    BOOST_TEST(image.rescale_factor == 1.0 / 255);
    BOOST_TEST(image.mean[1] == 0.5);
    BOOST_TEST(image.std[1] == 0.5);
    BOOST_TEST(image.do_resize);
    some["preprocessor_config.json"] = json::parse(R"({"size": [56, 56], "do_normalize": 0, "do_rescale": 0})");
    BOOST_TEST(read(some).image.height == 56u);
    BOOST_TEST(!read(some).image.do_normalize);
    BOOST_TEST(!read(some).image.do_rescale);
}

BOOST_AUTO_TEST_CASE(ties_positions_and_what_is_left_of_quantizing) {
    json some = files();
    BOOST_TEST(read(some).positions == 8192u);
    BOOST_TEST(read(some).tied);
    some["config.json"]["quantization_config"] = {{"quant_method", "bitsandbytes"}};
    some["config.json"]["tie_word_embeddings"] = false;
    some["config.json"]["text_config"]["max_position_embeddings"] = 100;
    BOOST_TEST(read(some).positions == 100u);
    BOOST_TEST(!read(some).tied);
}

BOOST_AUTO_TEST_SUITE_END()
