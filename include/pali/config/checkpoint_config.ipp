// Body of checkpoint_config.hpp.
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/config/config_fields.hpp>
#include <pali/config/config_section.ipp>
#include <pali/core/checkpoint_place.hpp>
#include <pali/core/error.hpp>
#include <pali/core/require_path.ipp>

#include <system_error>

namespace pali { inline namespace PALI_ABI {

namespace config_detail {

inline constexpr const char* tanh_gelu = "gelu_pytorch_tanh"; // the only activation that vision tower and decoder support

/// Reads the base of RoPE from rope_scaling (oldest), rope_parameters or rope_theta, flat or nested by layer type, with the precedence of
/// transformers (modeling_rope_utils.py, convert_rope_params_to_dict).
[[nodiscard]] PALI_INLINE float read_rope_theta(const config_section& text, const char* key, float otherwise) {
    const float beside = text.number(key, otherwise, false);
    const auto holds_something = [&](const char* object) {
        const auto* value = text.find_value(object);
        return value != nullptr && !(value->is_object() && value->empty());
    };
    const char* const place = holds_something("rope_scaling") ? "rope_scaling" : "rope_parameters";
    const config_section rope = text.section(place);
    const auto read = [&](const config_section& one) {
        for (const char* type : {"rope_type", "type"}) {
            if (one.text(type, "default") != "default") one.unsupported(type, "only \"default\" is supported");
            if (one.find(type) != nullptr) break;
        }
        if (one.find("partial_rotary_factor") != nullptr && one.number("partial_rotary_factor", 1, false) != 1)
            one.unsupported("partial_rotary_factor", "only 1 is supported: RoPE rotates the whole head");
        return one.number(key, beside, false);
    };
    float theta = 0;
    bool nested = false;
    for (const char* layer_type : {"full_attention", "sliding_attention"}) {
        if (rope.find_value(layer_type) == nullptr) continue;
        const float own = read(rope.section(layer_type));
        if (nested && own != theta) text.unsupported(place, "rope_theta must be the same for all layer types");
        theta = own;
        nested = true;
    }
    return nested ? theta : read(rope);
}

/// Visitor of config_fields that reads a section. The values of the members are the defaults.
struct read_fields {
    const config_section& section;
    bool gemma2 = false;

    void operator()(const config_fields::generation&, bool&) const {} // already read, because the defaults depend on it
    void operator()(const config_fields::side& field, std::size_t& value) const {
        // transformers accepts a list of sides for SigLIP, but not for PaliGemma.
        if (const auto* given = section.find(field.key); given != nullptr && given->is_array())
            section.unsupported(field.key, "images and patches are square, so one integer is needed");
        else value = section.size(field.key, value, field.least, field.most);
    }
    void operator()(const config_fields::size& field, std::size_t& value) const {
        value = section.size(field.key, value, field.least, field.most);
    }
    void operator()(const config_fields::number& field, float& value) const {
        if (gemma2 || !field.only_gemma2) value = section.number(field.key, value, field.allow_zero);
    }
    void operator()(const config_fields::softcap& field, float& value) const {
        if (gemma2 || !field.only_gemma2) value = section.softcap(field.key, value);
    }
    void operator()(const config_fields::rope_base& field, float& value) const { value = read_rope_theta(section, field.key, value); }
};

/// Defaults of vision_config: those of SiglipVisionConfig, or of PaliGemmaConfig if the section is missing.
inline constexpr dynamic_vision siglip_defaults{
    .image_size = 224, .patch_size = 16, .hidden = 768, .layers = 12, .intermediate = 3072, .heads = 12, .norm_eps = 1e-6f};
inline constexpr dynamic_vision paligemma_vision_defaults{
    .image_size = 224, .patch_size = 14, .hidden = 1152, .layers = 27, .intermediate = 4096, .heads = 16, .norm_eps = 1e-6f};

/// Reads vision_config.
[[nodiscard]] PALI_INLINE dynamic_vision read_vision(const config_section& top) {
    const config_section vision = top.section("vision_config");
    if (top.is_broken("vision_config")) return {};
    if (vision.text("model_type", "siglip_vision_model") != "siglip_vision_model") {
        vision.unsupported("model_type", "only \"siglip_vision_model\" is supported");
        return {};
    }
    dynamic_vision out = vision.is_present() ? siglip_defaults : paligemma_vision_defaults;
    config_fields::visit_vision(read_fields{vision}, out);
    if (const std::size_t channels = vision.size("num_channels", 3, 1, config_fields::most_width); channels != 3 && channels != 0)
        vision.unsupported("num_channels", "only 3 is supported");
    if (vision.text("hidden_act", tanh_gelu) != tanh_gelu) vision.unsupported("hidden_act", {"only \"", tanh_gelu, "\" is supported"});
    // Pixels beyond the last whole patch are ignored, because SiglipVisionEmbeddings rounds down. At least one patch must fit.
    if (out.patch_size > out.image_size && out.image_size != 0)
        vision.malformed("patch_size", {"at most image_size (", out.image_size, ")"});
    if (out.heads != 0 && out.hidden % out.heads != 0)
        vision.malformed("num_attention_heads", {"a divisor of hidden_size (", out.hidden, ")"});
    return out;
}

/// Reads the sliding window of each layer: layer_types, or every second layer from the first (configuration_gemma2.py).
PALI_INLINE void read_windows(const config_section& text, dynamic& out) {
    const auto* const window_value = text.find("sliding_window");
    const bool none = window_value != nullptr && window_value->is_null();
    const std::size_t window = none ? 0 : text.size("sliding_window", 4096, 1, config_fields::most_window);
    out.windows.assign(out.layers, 0);
    if (out.layers == 0) return;
    const auto* const types = text.find_value("layer_types");
    if (types == nullptr) {
        for (std::size_t layer = 0; layer < out.layers; layer += 2) out.windows[layer] = window;
        return;
    }
    if (!types->is_array() || types->size() != out.layers)
        return text.malformed("layer_types", {"a list of ", out.layers, " strings (num_hidden_layers)"});
    for (std::size_t layer = 0; layer < out.layers; ++layer) {
        const auto& type = (*types)[layer];
        const auto* const name = type.get_ptr<const std::string*>();
        if (name == nullptr) return text.malformed("layer_types", "a list of strings");
        if (*name == "sliding_attention") out.windows[layer] = window;
        else if (*name != "full_attention" && *name != "attention") // "attention" is an older name
            return text.unsupported(
                "layer_types", {"only \"full_attention\" and \"sliding_attention\" are supported, but layer ", layer, " has another type"});
    }
}

/// Defaults of text_config: those of GemmaConfig or Gemma2Config, or of PaliGemmaConfig if the section is missing.
[[nodiscard]] PALI_INLINE dynamic decoder_defaults(bool gemma2, bool given) {
    const auto pick = [&](std::size_t second, std::size_t first, std::size_t absent) { return gemma2 ? second : given ? first : absent; };
    return {.vision = {},
            .vocab = given ? std::size_t{256000} : std::size_t{257152},
            .hidden = pick(2304, 3072, 2048),
            .layers = pick(26, 28, 18),
            .intermediate = pick(9216, 24576, 16384),
            .heads = pick(8, 16, 8),
            .kv_heads = pick(4, 16, 1),
            .head_dim = 256,
            .query_pre_attn_scalar = 256,
            .attention_softcap = gemma2 ? 50.0f : 0.0f,
            .final_softcap = gemma2 ? 30.0f : 0.0f, // PaliGemma applies the softcap with either decoder; Gemma has none by default
            .rope_theta = 10000,
            .norm_eps = 1e-6f,
            .post_norms = gemma2,
            .windows = {}};
}

/// Reads text_config.
[[nodiscard]] PALI_INLINE dynamic read_text(const config_section& top) {
    const config_section text = top.section("text_config");
    if (top.is_broken("text_config")) return {};
    const std::string type = text.text("model_type", "gemma");
    if (type != "gemma" && type != "gemma2") {
        text.unsupported("model_type", "only \"gemma\" and \"gemma2\" are supported");
        return {};
    }
    const bool second = type == "gemma2";
    dynamic out = decoder_defaults(second, text.is_present());
    config_fields::visit_decoder(read_fields{text, second}, out);
    if (second) {
        read_windows(text, out);
    } else {
        out.query_pre_attn_scalar = static_cast<float>(out.head_dim); // modeling_gemma.py: scaling = head_dim ** -0.5
        out.windows.assign(out.layers, 0);
        if (text.find_value("sliding_window") != nullptr) text.unsupported("sliding_window", "Gemma 1 has no sliding window");
    }
    // Gemma 1 reads hidden_act, where "gelu" is an old name of the tanh approximation; Gemma 2 reads hidden_activation.
    const char* const key = second ? "hidden_activation" : "hidden_act";
    const std::string activation = text.text(key, tanh_gelu);
    if (activation != tanh_gelu && (second || activation != "gelu")) text.unsupported(key, {"only \"", tanh_gelu, "\" is supported"});
    if (text.flag("attention_bias", false)) text.unsupported("attention_bias", "PaliGemma models have no attention bias");
    if (const auto* layers = text.find_value("per_layer_config"); layers != nullptr && !layers->empty())
        text.unsupported("per_layer_config", "all layers must have the same sizes");
    if (out.kv_heads != 0 && out.heads % out.kv_heads != 0)
        text.malformed("num_key_value_heads", {"a divisor of num_attention_heads (", out.heads, ")"});
    if (out.head_dim % 2 != 0) text.malformed("head_dim", "an even number");
    return out;
}

/// Reads bos, eos and pad. For each, the first file that defines it wins.
PALI_INLINE void read_ids(const config_section& generation, const config_section& top, checkpoint_config& out) {
    const config_section text = top.section("text_config");
    const auto find = [&](const char* key) -> const config_section* {
        for (const config_section* place : {&generation, &top})
            if (place->find_value(key) != nullptr) return place;
        return text.find(key) != nullptr ? &text : nullptr; // in text_config, null means that there is no such token
    };
    if (const config_section* place = find("bos_token_id")) {
        out.bos = place->id(*place->find("bos_token_id"), "bos_token_id", true);
        if (out.sizes.vocab != 0 && static_cast<std::size_t>(out.bos) >= out.sizes.vocab)
            place->malformed("bos_token_id", {"an id below vocab_size (", out.sizes.vocab, ")"});
    }
    if (const config_section* place = find("eos_token_id")) {
        out.eos.clear();
        const auto& value = *place->find("eos_token_id");
        if (value.is_array())
            for (const auto& one : value) out.eos.push_back(place->id(one, "eos_token_id", false));
        else if (!value.is_null()) out.eos.push_back(place->id(value, "eos_token_id", false));
    }
    if (const config_section* place = find("pad_token_id"))
        if (const auto* value = place->find_value("pad_token_id")) out.pad = place->id(*value, "pad_token_id", false);
}

/// Reads the image preprocessing. A step that is null or 0 is off, as in Python. The values of a step are read only if it is on; null means
/// the default.
PALI_INLINE void read_image(const config_section& file, preprocessing& out, std::size_t side) {
    const auto step = [&](const char* key, bool otherwise) {
        const auto* value = file.find(key);
        if (value != nullptr && value->is_null()) return false;
        if (value != nullptr && (*value == 0 || *value == 1)) return *value == 1;
        return file.flag(key, otherwise);
    };
    out.do_resize = step("do_resize", true);
    out.do_rescale = step("do_rescale", true);
    out.do_normalize = step("do_normalize", true);
    // Cropping or padding to the current size changes nothing. Without pad_size, images are padded to the largest of them, which changes
    // nothing either, because all have the same size after resizing.
    const auto leaves_sides = [&](const char* key) {
        const auto* sides = file.find_value(key);
        return sides != nullptr && *sides == nlohmann::json{{"height", side}, {"width", side}};
    };
    if (step("do_center_crop", false) && !leaves_sides("crop_size"))
        file.unsupported("do_center_crop",
                         {"images are resized, not cropped; only a crop_size of ", side, " x ", side, " pixels is supported"});
    if (step("do_pad", false) && file.find_value("pad_size") != nullptr && !leaves_sides("pad_size"))
        file.unsupported("do_pad", {"images are resized, not padded; only a pad_size of ", side, " x ", side, " pixels is supported"});
    if (const auto* factor = file.find_value("rescale_factor"); factor != nullptr && out.do_rescale) {
        if (factor->is_number() && factor->get<double>() > 0 && std::isfinite(factor->get<double>()))
            out.rescale_factor = factor->get<double>();
        else file.malformed("rescale_factor", "a number above 0");
    }
    for (const bool is_deviation : {false, true}) {
        const char* const key = is_deviation ? "image_std" : "image_mean";
        const auto* value = file.find_value(key);
        if (value == nullptr || !out.do_normalize) continue;
        std::array<double, 3>& channels = is_deviation ? out.std : out.mean;
        for (std::size_t c = 0; c < 3; ++c) {
            const auto* one = value->is_array() && value->size() == 3 ? &(*value)[c] : value; // a single value applies to all channels
            channels[c] = one->is_number() ? one->get<double>() : std::numeric_limits<double>::quiet_NaN();
            const auto used = static_cast<float>(channels[c]);
            if (std::isfinite(used) && (!is_deviation || used > 0)) continue;
            file.malformed(key, is_deviation ? "a list of three numbers above 0" : "a list of three numbers");
            break;
        }
    }
    if (!out.do_resize) return;
    if (file.find_value("resample") != nullptr) out.resample = static_cast<filter>(file.size("resample", 3, 0, 5));
    const auto* size = file.find_value("size");
    if (size == nullptr) return;
    const bool is_pair = size->is_array() && size->size() == 2; // (height, width)
    if (!is_pair && (!size->is_object() || !size->contains("height") || !size->contains("width")))
        return file.unsupported("size", {"{\"height\": ", side, ", \"width\": ", side, "} is needed"});
    const nlohmann::json pair = is_pair ? nlohmann::json{{"size", {{"height", (*size)[0]}, {"width", (*size)[1]}}}} : nlohmann::json();
    const config_section sides = is_pair ? file.beside(pair).section("size") : file.section("size");
    out.height = sides.size("height", side, 1, config_fields::most_pixels_a_side);
    out.width = sides.size("width", side, 1, config_fields::most_pixels_a_side);
    if (side != 0 && out.height != 0 && out.width != 0 && (out.height != side || out.width != side))
        file.malformed("size", {"the image_size of config.json (", side, " x ", side, " pixels)"});
}

} // namespace config_detail

PALI_INLINE checkpoint_config read_checkpoint_config(const std::filesystem::path& given) {
    using config_detail::config_section;
    const std::filesystem::path place = core::find_checkpoint(core::folder_of_checkpoint(given));
    checkpoint_config out;
    out.file = place / "config.json";
    core::require_path(out.file, "file", "; a checkpoint is a folder in the Hugging Face format, with config.json next to the weights");

    const auto read_optional = [&](const char* name) {
        const std::filesystem::path path = place / name;
        std::error_code ignored;
        return std::filesystem::exists(path, ignored) ? core::read_strict_json(path, errc::malformed_config) : nlohmann::json::object();
    };
    const nlohmann::json config = core::read_strict_json(out.file, errc::malformed_config);
    config_detail::config_problems problems;
    problems.folder = place;
    const config_detail::config_section top(&config, "config.json: ", problems);
    if (top.find("model_type") == nullptr || top.text("model_type", "paligemma") != "paligemma")
        top.unsupported("model_type", "only \"paligemma\" is supported (PaliGemma and PaliGemma 2), not models derived from it");
    problems.raise(); // the rest of the file would be meaningless
    // quantization_config is ignored: it may remain after the weights were saved unquantized again. The tensors decide
    // (weights/foreign.hpp).

    out.sizes = config_detail::read_text(top);
    out.positions = top.section("text_config").size("max_position_embeddings", 8192, 1, config_fields::most_tokens);
    out.tied = top.flag("tie_word_embeddings", true);
    out.sizes.vision = config_detail::read_vision(top);
    const std::size_t projection = top.size("projection_dim", 2048, 1, config_fields::most_width);
    if (out.sizes.hidden != 0 && projection != 0 && projection != out.sizes.hidden)
        top.malformed("projection_dim", {"the hidden_size of text_config (", out.sizes.hidden, ")"});
    // The newer key wins: attribute_map sets it after the fields.
    const char* const image_key = top.find("image_token_id") != nullptr ? "image_token_id" : "image_token_index";
    if (const auto* value = top.find(image_key)) out.image_token = top.id(*value, image_key, true);
    for (const char* key : {"dtype", "torch_dtype"})
        if (out.dtype.empty() && top.find_value(key) != nullptr) out.dtype = top.text(key, "");

    const nlohmann::json generation = read_optional("generation_config.json");
    config_detail::read_ids(config_detail::config_section(&generation, "generation_config.json: ", problems), top, out);

    const std::size_t side = out.sizes.vision.image_size;
    if (side != 0) out.image.width = out.image.height = side;
    const nlohmann::json processor = read_optional("processor_config.json"); // written by transformers 5, which prefers it
    if (const config_detail::config_section nested =
            config_detail::config_section(&processor, "processor_config.json: ", problems).section("image_processor");
        nested.is_present()) {
        out.image_file = place / "processor_config.json";
        config_detail::read_image(nested, out.image, side);
    } else {
        out.image_file = place / "preprocessor_config.json";
        const nlohmann::json preprocessor = read_optional("preprocessor_config.json");
        config_detail::read_image(config_detail::config_section(&preprocessor, "preprocessor_config.json: ", problems), out.image, side);
    }
    problems.raise();
    return out;
}

}} // namespace pali::PALI_ABI
