#include "report.hpp"

#include "console.hpp"

#include <pali/objects/impl/json_values.ipp>
#include <pali/objects/json_lines.hpp>

#include <cmath>

nlohmann::ordered_json describe(const pali::generation& said, const any_model& model) {
    return {{"text", said.text},
            {"tokens", said.tokens},
            {"logprobs", said.logprobs},
            {"prompt_tokens", said.prompt_tokens},
            {"finish_reason", pali::to_string(said.finish)},
            {"model", {{"variant", model.variant}, {"weights", model.weights}, {"instruction_set", model.arch()}}},
            {"timings",
             {{"load_s", model.load_seconds()},
              {"image_s", said.timings.image_s},
              {"prefill_s", said.timings.prefill_s},
              {"decode_tokens_per_s", said.decode_tokens_per_s()}}},
            {"memory", {{"peak_rss_bytes", peak_rss_bytes()}}}};
}

nlohmann::ordered_json describe(const pali::findings& found, const pali::image& photo, bool points) {
    nlohmann::ordered_json one{{"width", photo.width},
                               {"height", photo.height},
                               {"text", pali::objects::utf8_of(found.said.text)},
                               {"finish_reason", pali::to_string(found.said.finish)}};
    if (!points) return one;
    one["objects"] = nlohmann::ordered_json::parse(
                         pali::objects_json({.file = "", .width = photo.width, .height = photo.height, .objects = found.objects}))
                         .at("objects");
    one["skipped"] = found.skipped;
    return one;
}

std::string line_of(const nlohmann::ordered_json& value) {
    return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string differences(const nlohmann::ordered_json& one, const nlohmann::ordered_json& other) {
    if (!one.is_object() || !other.is_object()) return one == other ? "" : "it cannot be parsed";
    constexpr std::size_t most_named = 10;
    std::string text;
    std::size_t count = 0;
    const auto compare = [&](const std::string& key) {
        const auto word = [&](const nlohmann::ordered_json& in) {
            return in.contains(key) ? line_of(in.at(key)) : std::string("the default");
        };
        const std::string here = word(one), there = word(other);
        if (here == there || ++count > most_named) return;
        text += (text.empty() ? "" : ", ") + key + " is " + here + " instead of " + there;
    };
    for (const auto& [key, value] : one.items()) compare(key);
    for (const auto& [key, value] : other.items())
        if (!one.contains(key)) compare(key);
    return count > most_named ? text + " and " + std::to_string(count - most_named) + " more" : text;
}

std::string line_of(const pali::object& object) {
    const auto whole = [](float at) { return std::to_string(std::lround(at)); };
    return (object.label.empty() ? "object" : object.label) + ", x " + whole(object.box.x0) + " to " + whole(object.box.x1) + ", y " +
           whole(object.box.y0) + " to " + whole(object.box.y1) + ", " + whole(object.score * 100) + " %";
}

std::string trimmed(const std::string& text) {
    const auto from = text.find_first_not_of(" \t\r\n"), to = text.find_last_not_of(" \t\r\n");
    return from == std::string::npos ? std::string() : text.substr(from, to - from + 1);
}
