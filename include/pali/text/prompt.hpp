// The sequence a model is given: image tokens, BOS, the prompt, a newline.
#pragma once

#include <pali/text/tokenizer.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pali::inline PALI_ABI {

/// What is encoded of a prompt as people write it: without what the layout adds by itself, leading "<image>" and "<bos>" in any number, with the
/// white space before and after each of them, and one trailing "\n" or "\r\n". All else stays as it is, as in transformers: other spaces at either end, newlines inside, and markers
/// further on, which are ordinary text (see tokenizer).
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

/// Tokens of a whole prompt.
struct prompt_layout {
    std::vector<token> tokens;    ///< `image_tokens` times `<image>`, BOS, the prompt, "\n"
    std::size_t image_tokens = 0; ///< of all pictures together
};

/// Lays out a prompt, cleaned by read_prompt. The newline is tokenised apart, as in training: a prompt that ends with one more does not merge
/// with it. `image_token_count` is that of all pictures. Throws errc::missing_token when image tokens are asked for and `<image>` has no id, and what
/// tokenizer::encode throws.
[[nodiscard]] inline prompt_layout layout_prompt(const tokenizer& text, std::string_view prompt, std::size_t image_token_count) {
    prompt_layout out{{}, image_token_count};
    const std::vector<token> words = text.encode(read_prompt(prompt));
    out.tokens.reserve(image_token_count + words.size() + 2);
    if (image_token_count > 0) out.tokens.assign(image_token_count, text.image());
    out.tokens.push_back(text.bos());
    out.tokens.insert(out.tokens.end(), words.begin(), words.end());
    out.tokens.push_back(text.newline());
    return out;
}

/// "caption en", as PaliGemma was trained with it (big_vision, configs/proj/paligemma/transfers); `language` is "en", "de", ...
[[nodiscard]] inline std::string caption_prompt(std::string_view language) { return "caption " + std::string(language); }
/// "answer en where is the cat?", from the same.
[[nodiscard]] inline std::string answer_prompt(std::string_view question, std::string_view language) {
    return "answer " + std::string(language) + ' ' + std::string(question);
}

/// Tokens of an answer, to be scored or learned: the text as it is, and EOS.
[[nodiscard]] inline std::vector<token> encode_answer(const tokenizer& text, std::string_view answer) {
    std::vector<token> out = text.encode(answer);
    out.push_back(text.eos());
    return out;
}

} // namespace pali::inline PALI_ABI
