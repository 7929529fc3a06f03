// Reads tokenizer.json and checks that its settings are those of Gemma. Implementation header.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/strict_json.ipp>
#include <pali/text/tokenizer_json_handler.ipp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace pali { inline namespace PALI_ABI { namespace text {

/// Accepts only the configuration of transformers' GemmaTokenizer.
PALI_INLINE void check_settings(const tokenizer_json_handler& read) {
    const auto& settings = read.settings();
    const auto expect = [&](std::string_view name, const nlohmann::json& wanted, bool may_be_absent = false) {
        const auto found = settings.find(name);
        if (found == settings.end() ? !may_be_absent : found->second != wanted)
            read.refuse({name, " is ", found == settings.end() ? std::string("absent") : describe_json(found->second), "; ",
                         describe_json(wanted), " is needed"});
    };
    const auto is_null = [&](std::string_view name) {
        const auto found = settings.find(name);
        return found == settings.end() || found->second.is_null();
    };
    expect("model.type", "BPE");
    expect("model.byte_fallback", true);
    expect("model.fuse_unk", true);
    expect("model.ignore_merges", false, true);
    for (const std::string_view name : {"model.dropout", "model.continuing_subword_prefix", "model.end_of_word_suffix"})
        if (!is_null(name)) expect(name, nullptr);
    expect("normalizer.type", "Replace");
    expect("normalizer.pattern.String", " ");
    expect("normalizer.content", "\xE2\x96\x81");
    if (!is_null("pre_tokenizer")) { // has no effect: the normalizer has replaced all spaces
        expect("pre_tokenizer.type", "Split");
        expect("pre_tokenizer.pattern.String", " ");
        expect("pre_tokenizer.invert", false, true);
    }
    // All other settings are refused, because they might have an effect.
    constexpr std::string_view known[] = {"version",
                                          "truncation",
                                          "padding",
                                          "added_tokens",
                                          "normalizer",
                                          "pre_tokenizer",
                                          "post_processor",
                                          "decoder",
                                          "model",
                                          "model.type",
                                          "model.dropout",
                                          "model.unk_token",
                                          "model.continuing_subword_prefix",
                                          "model.end_of_word_suffix",
                                          "model.fuse_unk",
                                          "model.byte_fallback",
                                          "model.ignore_merges",
                                          "model.vocab",
                                          "model.merges",
                                          "normalizer.type",
                                          "normalizer.pattern.String",
                                          "normalizer.content",
                                          "pre_tokenizer.type",
                                          "pre_tokenizer.pattern.String",
                                          "pre_tokenizer.behavior",
                                          "pre_tokenizer.invert"};
    for (const auto& [name, value] : settings)
        if (std::find(std::begin(known), std::end(known), name) == std::end(known))
            read.refuse({name, " is ", describe_json(value), ", which is not supported"});
}

/// Reads a tokenizer.json; with `added_only`, only `added_tokens`. Throws errc::cannot_open, errc::malformed_tokenizer, or
/// errc::unsupported_format with the name of the unsupported setting.
[[nodiscard]] PALI_INLINE tokenizer_json read_tokenizer_json(const std::filesystem::path& path, bool added_only) {
    const std::string file = path.string();
    tokenizer_json out;
    tokenizer_json_handler read(file, out, added_only);
    const auto pass = [&] {
        file_bytes::source bytes{.in = open_file(path)};
        nlohmann::json::sax_parse(file_bytes(bytes), file_bytes(), &read);
        if (bytes.in.bad()) throw error(errc::cannot_open, {file, ": cannot be read to the end"});
    };
    pass();
    if (!read.has_added()) read.fail("has no added_tokens; is it complete?");
    if (added_only) return out;
    if (!read.has_vocabulary() || !read.has_merges())
        check_settings(read), read.fail({"has no model.", read.has_vocabulary() ? "merges" : "vocab", "; is it complete?"});
    check_settings(read);
    vocabulary& words = out.words;
    const auto unknown = read.settings().find("model.unk_token");
    const bool named = unknown != read.settings().end() && unknown->second.is_string();
    const auto found = named ? words.find(unknown->second.get_ref<const std::string&>()) : std::nullopt;
    if (!found) read.fail({"model.unk_token is ", named ? describe_json(unknown->second) : "absent", "; a piece of model.vocab is needed"});
    out.unknown = static_cast<token>(*found);
    words.pieces[*found].type = piece_type::unknown;
    if (read.begin_again()) pass();
    return out;
}

}}} // namespace pali::PALI_ABI::text
