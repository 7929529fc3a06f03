// Checks for tokens without an embedding row. Such tokens were added to the tokenizer, but the embedding of the model was not resized.
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/lfs_pointer.hpp>
#include <pali/core/short_list.hpp>
#include <pali/text/tokenizer.hpp>

#include <cstddef>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>

namespace pali { inline namespace PALI_ABI { namespace model_detail {

/// Opens the tokenizer of a checkpoint folder. `read` is the parsed config.json of that folder. Throws what the constructor of tokenizer
/// throws. Throws errc::malformed_file if a tokenizer file is a Git LFS pointer, and errc::missing_token if BOS, EOS or the newline has no
/// embedding row.
[[nodiscard]] inline tokenizer open_tokenizer(const std::filesystem::path& folder, const checkpoint_config& read) {
    for (const char* name : {"tokenizer.model", "tokenizer.json", "added_tokens.json"}) refuse_lfs_pointer(folder / name);
    tokenizer text(folder, read.image_token);
    for (const token id : {text.bos(), text.eos(), text.newline()})
        if (static_cast<std::size_t>(id) >= read.sizes.vocab)
            throw error(errc::missing_token,
                        {folder.string(), ": the token ", in_quotes(text.decode(std::span(&id, 1))), " has the id ", id,
                         ", but the model has ", read.sizes.vocab, " tokens; does the vocabulary belong to this checkpoint?"});
    return text;
}

/// Advice for a token without an embedding row.
inline constexpr const char* token_rows_cure = "to add the rows, call model.resize_token_embeddings(len(tokenizer)) before training";

/// Returns "2 tokens have no row in the embedding of 257152 rows: '<new>' (257153), ...", or "" if every token has a row. `<image>` needs
/// no row, because image features replace it.
[[nodiscard]] inline std::string describe_tokens_without_rows(const tokenizer& text, std::size_t rows) {
    short_list found;
    const std::optional<token> image = text.id("<image>");
    for (std::optional<token> id = text.next_id(static_cast<token>(rows)); id;
         id = *id == std::numeric_limits<token>::max() ? std::nullopt : text.next_id(*id + 1))
        if (id != image) found.add({in_quotes(text.piece(*id)), " (", *id, ")"});
    if (found.empty()) return {};
    return error_text{found.size(),
                      found.size() == 1 ? " token has" : " tokens have",
                      " no row in the embedding of ",
                      rows,
                      " rows: ",
                      found.in_a_row(),
                      "; ",
                      token_rows_cure}
        .str();
}

/// Throws errc::invalid_prompt if a token has no embedding row.
inline void require_token_rows(const tokenizer& text, std::span<const token> ids, std::size_t rows) {
    for (const token id : ids)
        if (static_cast<std::size_t>(id) >= rows)
            throw error(errc::invalid_prompt,
                        {"the text contains the token ", in_quotes(text.piece(id)), " with the id ", id, ", but the embedding has only ",
                         rows, " rows; remove it, or use a model that was trained with it: ", token_rows_cure});
}

}}} // namespace pali::PALI_ABI::model_detail
