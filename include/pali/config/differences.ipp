// Body of differences.hpp.
#pragma once

#include <pali/config/config_fields.hpp>
#include <pali/config/differences.hpp>
#include <pali/core/decimal.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace config_detail {

/// Visitor of config_fields that records a difference between its second and third argument. `section` is the prefix of the field's name:
/// "text_config.".
struct note_differences {
    std::vector<config_difference>& out;
    std::string section;

    void operator()(const config_fields::generation& field, bool first, bool second) const {
        const auto name = [](bool post_norms) { return post_norms ? "gemma2" : "gemma"; };
        if (first != second) out.push_back({section + field.key, name(first), name(second)});
    }
    void operator()(const auto& field, std::size_t first, std::size_t second) const {
        if (first != second) out.push_back({section + field.key, std::to_string(first), std::to_string(second)});
    }
    void operator()(const auto& field, float first, float second) const {
        if (first != second) out.push_back({section + field.key, in_decimal(first), in_decimal(second)});
    }
};

PALI_INLINE std::vector<config_difference> differences(const dynamic& a, const dynamic& b) {
    std::vector<config_difference> out;
    config_fields::visit_decoder(note_differences{out, "text_config."}, a, b);
    if (a.layers == b.layers) // with different depths, layers cannot be compared one by one
        for (std::size_t layer = 0; layer < a.layers; ++layer) {
            const std::size_t first = a.window(layer), second = b.window(layer);
            if (first == second) continue;
            out.push_back({"text_config.sliding_window of layer " + std::to_string(layer), std::to_string(first), std::to_string(second)});
            break; // one layer is enough to report the difference
        }
    config_fields::visit_vision(note_differences{out, "vision_config."}, a.vision, b.vision);
    return out;
}

}}} // namespace pali::PALI_ABI::config_detail
