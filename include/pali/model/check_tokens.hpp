// Tokens that the vocabulary has and the embedding does not: added to a tokenizer without resizing the model.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/short_list.hpp>
#include <pali/text/tokenizer.hpp>

#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>

namespace pali::inline PALI_ABI {

/// What to do about a token without a row.
inline constexpr const char* token_rows_cure = "before training, model.resize_token_embeddings(len(tokenizer)) adds the rows";

/// "2 tokens have no row in the embedding, which has 257152: '<new>' (257153), ..."; empty where each token has one. `<image>` needs none, because features of pictures take its place.
[[nodiscard]] inline std::string describe_tokens_without_rows(const tokenizer& text, std::size_t rows) {
    short_list found;
    const std::optional<token> image = text.id("<image>");
    for (std::optional<token> id = text.next_id(static_cast<token>(rows)); id; id = *id == std::numeric_limits<token>::max() ? std::nullopt : text.next_id(*id + 1))
        if (id != image) found.add({in_quotes(text.piece(*id)), " (", *id, ")"});
    if (found.empty()) return {};
    return error_text{found.size(), found.size() == 1 ? " token has" : " tokens have", " no row in the embedding, which has ", rows, ": ", found.in_a_row(), "; ", token_rows_cure}.str();
}

/// Throws errc::invalid_prompt for a text with a token that has no row.
inline void require_token_rows(const tokenizer& text, std::span<const token> ids, std::size_t rows) {
    for (const token id : ids)
        if (static_cast<std::size_t>(id) >= rows)
            throw error(errc::invalid_prompt, {"the text holds the token ", in_quotes(text.piece(id)), " with the id ", id, ", and the embedding has ", rows, " rows; leave it out, or use a model that was trained with it: ",
                                               token_rows_cure});
}

} // namespace pali::inline PALI_ABI
