// Prompt layout: image tokens, BOS, the prompt, a newline.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/text/tokenizer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI {

namespace text {

/// Returns the part of a user's prompt that is encoded. Removes the markers that the layout adds itself: any number of leading "<image>"
/// and "<bos>" with the white space around them, and one trailing "\n" or "\r\n". Keeps everything else, as transformers does: other spaces
/// at both ends, and newlines inside.
[[nodiscard]] inline std::string_view read_prompt(std::string_view prompt) noexcept {
    constexpr std::string_view image = "<image>", bos = "<bos>";
    std::string_view text = prompt;
    for (std::string_view rest = prompt;;) {
        const std::size_t begin = rest.find_first_not_of(" \t\r\n");
        if (begin == std::string_view::npos) break;
        rest.remove_prefix(begin);
        const std::string_view marker = rest.starts_with(image) ? image : bos;
        if (!rest.starts_with(marker)) break;
        rest.remove_prefix(marker.size());
        const std::size_t end = rest.find_first_not_of(" \t\r\n");
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end);
        text = rest;
    }
    if (text.ends_with('\n')) text.remove_suffix(text.ends_with("\r\n") ? 2 : 1);
    return text;
}

/// Tokens of a complete prompt.
struct prompt_layout {
    std::vector<token> tokens;    ///< `<image>` x image_tokens, BOS, the prompt, "\n"
    std::size_t image_tokens = 0; ///< total for all images
};

/// Lays out a prompt after read_prompt(). The newline is tokenized separately, as in training, so that it does not merge with a newline at
/// the end of the prompt. `image_token_count` is the total over all images. Throws errc::invalid_prompt if "<image>" or "<bos>" follows
/// other text, where it has no meaning; errc::missing_token if image tokens are needed and `<image>` has no id; and whatever
/// tokenizer::encode throws.
[[nodiscard]] inline prompt_layout layout_prompt(const tokenizer& text, std::string_view prompt, std::size_t image_token_count) {
    prompt_layout out{{}, image_token_count};
    const std::string_view read = read_prompt(prompt);
    for (const std::string_view marker : {"<image>", "<bos>"})
        if (const std::size_t place = read.find(marker); place != std::string_view::npos)
            throw error(errc::invalid_prompt,
                        {"the prompt has ", marker, " at byte ", place, "; the library inserts it itself; remove it"});
    const std::vector<token> words = text.encode(read);
    out.tokens.reserve(image_token_count + words.size() + 2);
    if (image_token_count > 0) out.tokens.assign(image_token_count, text.image());
    out.tokens.push_back(text.bos());
    out.tokens.insert(out.tokens.end(), words.begin(), words.end());
    out.tokens.push_back(text.newline());
    return out;
}

/// The 35 languages of COCO-35L in which PaliGemma was trained to answer (big_vision, configs/proj/paligemma/transfers/coco35l.py), and
/// "en", which other tasks use.
inline constexpr std::array<std::string_view, 36> languages{"ar", "bn", "cs",  "da", "de", "el", "en", "es", "fa", "fi", "fil", "fr",
                                                            "he", "hi", "hr",  "hu", "id", "it", "iw", "ja", "ko", "mi", "nl",  "no",
                                                            "pl", "pt", "quz", "ro", "ru", "sv", "sw", "te", "th", "tr", "uk",  "vi"};

/// Whether a word may name a language: two or three letters, optionally with a script or region, as in zh-Hans.
[[nodiscard]] inline bool is_language(std::string_view word) noexcept {
    const auto letters = [](std::string_view part, std::size_t least, std::size_t most) {
        return part.size() >= least && part.size() <= most &&
               std::all_of(part.begin(), part.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
    };
    const std::size_t dash = word.find('-');
    return letters(word.substr(0, dash), 2, 3) && (dash == std::string_view::npos || letters(word.substr(dash + 1), 2, 8));
}

/// Whether a prompt begins with `verb` and a language of the training data.
[[nodiscard]] inline bool begins_with(std::string_view prompt, std::string_view verb) noexcept {
    if (!prompt.starts_with(verb)) return false;
    prompt.remove_prefix(verb.size());
    const std::string_view word = prompt.substr(0, prompt.find(' '));
    return word == "zh" || std::find(languages.begin(), languages.end(), word) != languages.end();
}

} // namespace text

/// A caption prompt such as "caption en", in PaliGemma's training format (big_vision, configs/proj/paligemma/transfers). `language` is
/// "en", "de", ..., or a complete caption prompt: "caption en", "cap en" or "describe en", possibly with more words. Throws
/// errc::invalid_prompt for anything else.
[[nodiscard]] inline std::string caption_prompt(std::string_view language) {
    const std::string_view text = text::read_prompt(language);
    for (const std::string_view verb : {"caption ", "cap ", "describe "})
        if (text.starts_with(verb)) return std::string(text);
    if (!text::is_language(text))
        throw error(errc::invalid_prompt,
                    {core::in_quotes(text), " is neither a language (en, de, zh-Hans) nor a caption prompt (caption en, describe en)"});
    return "caption " + std::string(text);
}
/// A question prompt such as "answer en where is the cat?", in the same format. If `question` is already a complete prompt ("answer de
/// ...", "question en ..."), it is kept. Throws errc::invalid_prompt if `language` is not a language.
[[nodiscard]] inline std::string answer_prompt(std::string_view question, std::string_view language) {
    const std::string_view text = text::read_prompt(question);
    if (text::begins_with(text, "answer ") || text::begins_with(text, "question ")) return std::string(text);
    if (!text::is_language(language))
        throw error(errc::invalid_prompt, {core::in_quotes(language), " is not a language; use en, de, zh-Hans, ..."});
    return "answer " + std::string(language) + ' ' + std::string(text);
}

namespace text {

/// Tokens of an answer, for scoring or training: the unmodified text and EOS.
[[nodiscard]] inline std::vector<token> encode_answer(const tokenizer& text, std::string_view answer) {
    std::vector<token> out = text.encode(answer);
    out.push_back(text.eos());
    return out;
}

} // namespace text

}} // namespace pali::PALI_ABI
