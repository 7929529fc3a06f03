// Tensor names of published checkpoints, and the variations that newer programs write.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/macros.hpp>
#include <pali/core/short_list.hpp>
#include <pali/files/tensor_table.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace weights {

/// Converts a tensor name to that of the published checkpoints. Since 4.52, transformers prepends "model.", drops the decoder's inner
/// "model." and moves the head to the top level. Version 5 also drops "vision_model.", and its saved files mix old and new names. A model
/// saved without its head (PaliGemmaModel) has no "model." at all.
[[nodiscard]] inline std::string published_name(std::string_view name) {
    struct renamed {
        std::string_view now, published;
    };
    static constexpr renamed prefixes[] = {
        {"model.language_model.", "language_model.model."},
        {"language_model.layers.", "language_model.model.layers."},
        {"language_model.embed_tokens.", "language_model.model.embed_tokens."},
        {"language_model.norm.", "language_model.model.norm."},
        {"model.vision_tower.vision_model.", "vision_tower.vision_model."},
        {"model.vision_tower.", "vision_tower.vision_model."},
        {"vision_tower.vision_model.", "vision_tower.vision_model."},
        {"vision_tower.", "vision_tower.vision_model."},
        {"model.multi_modal_projector.", "multi_modal_projector."},
        {"lm_head.", "language_model.lm_head."},
    };
    for (const renamed& prefix : prefixes)
        if (name.starts_with(prefix.now)) return std::string(prefix.published) + std::string(name.substr(prefix.now.size()));
    return std::string(name);
}

/// Removes the segments that torch.compile, FSDP and activation checkpointing insert anywhere in a name.
[[nodiscard]] inline std::string without_wrappers(std::string_view name) {
    static constexpr std::string_view wrappers[] = {"_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."};
    std::string out;
    while (!name.empty()) {
        const std::size_t segment = std::min(name.find('.'), name.size() - 1) + 1;
        if (std::find(std::begin(wrappers), std::end(wrappers), name.substr(0, segment)) == std::end(wrappers))
            out += name.substr(0, segment);
        name.remove_prefix(segment);
    }
    return out;
}

/// The prefix before the published or newer name of a decoder layer, embedding or final norm; std::nullopt for other tensors.
[[nodiscard]] inline std::optional<std::string_view> prefix_of_decoder(std::string_view name) {
    constexpr std::string_view decoder = "language_model.", inner = "model.";
    for (std::size_t at = 0; (at = name.find(decoder, at)) != std::string_view::npos; ++at) {
        std::string_view before = name.substr(0, at), rest = name.substr(at + decoder.size());
        if (!before.empty() && before.back() != '.') continue;
        const bool old = rest.starts_with(inner);
        if (old) rest.remove_prefix(inner.size());
        if (!rest.starts_with("layers.") && !rest.starts_with("embed_tokens.") && !rest.starts_with("norm.")) continue;
        const bool newer =
            !old && before.ends_with(inner) && (before.size() == inner.size() || before[before.size() - inner.size() - 1] == '.');
        return newer ? before.substr(0, before.size() - inner.size()) : before;
    }
    return std::nullopt;
}

/// Published names of a checkpoint's tensors, which a wrapper or a training program may have renamed. Segments of wrappers are removed
/// wherever they occur. A prefix ("module.", "base_model.model.", "student.") is removed if all decoder tensors have it, even if other
/// tensors lack it.
class tensor_names {
public:
    /// Reads only the names.
    explicit tensor_names(const tensor_table& tensors) {
        for (const auto& [name, tensor] : tensors)
            if (const std::string plain = without_wrappers(name); const auto prefix = prefix_of_decoder(plain)) m_prefixes.emplace(*prefix);
    }

    /// The published name of the tensor `name` of the file. An unknown name is returned unchanged, or without its prefix and wrappers.
    [[nodiscard]] std::string published(std::string_view name) const {
        const std::string plain = without_wrappers(name);
        const std::string_view prefix = m_prefixes.size() == 1 ? std::string_view(*m_prefixes.begin()) : std::string_view();
        return published_name(plain.starts_with(prefix) ? std::string_view(plain).substr(prefix.size()) : std::string_view(plain));
    }

    /// The prefixes of the decoder tensors. If there are several, the file holds several models or several parts of one model, and no
    /// prefix is removed.
    [[nodiscard]] const std::set<std::string>& prefixes() const noexcept { return m_prefixes; }

private:
    std::set<std::string> m_prefixes;
};

/// Message for a file without any known name: "Found: 'a.w', 'b.w', and 3 more; expected: names that begin with 'language_model.'".
/// `asked` holds the requested names, and `prefixes` is tensor_names::prefixes().
[[nodiscard]] inline std::string describe_unknown_names(const short_list& found, const std::set<std::string, std::less<>>& asked,
                                                        const std::set<std::string>& prefixes) {
    short_list expected, decoders;
    std::string_view last;
    for (const std::string& name : asked) { // sorted, so equal beginnings are adjacent
        const std::string_view beginning = std::string_view(name).substr(0, name.find('.') + 1);
        if (beginning != last) expected.add(in_quotes(last = beginning));
    }
    for (const std::string& one : prefixes) decoders.add(in_quotes(one));
    const bool several = decoders.size() > 1;
    return error_text{"Found: ",
                      found.empty() ? "none" : found.in_a_row(3),
                      "; expected: names that begin with ",
                      expected.in_a_row(),
                      several ? ". The file has several decoders, with the prefixes " : "",
                      several ? decoders.in_a_row() : "",
                      several ? "; save one model only" : ""}
        .str();
}

/// Whether a tensor is a weight of a decoder or vision layer. If the configuration has no place for such a tensor, the checkpoint belongs
/// to another model, and the answers would be wrong.
[[nodiscard]] inline bool is_of_a_layer(std::string_view published) noexcept {
    return (published.starts_with("language_model.model.layers.") || published.starts_with("vision_tower.vision_model.encoder.layers.")) &&
           (published.ends_with(".weight") || published.ends_with(".bias"));
}

/// Whether a tensor is a buffer that old versions of transformers saved, and not a parameter.
[[nodiscard]] inline bool is_buffer(std::string_view published) noexcept {
    return published.ends_with(".position_ids") || published.ends_with(".rotary_emb.inv_freq");
}

}}} // namespace pali::PALI_ABI::weights
