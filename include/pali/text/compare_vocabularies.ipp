// Implementation of compare_vocabularies.hpp.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error_text.hpp>
#include <pali/core/utf8.hpp>
#include <pali/text/byte_pair_merges.ipp>
#include <pali/text/compare_vocabularies.hpp>
#include <pali/text/sentencepiece_model.ipp>
#include <pali/text/tokenizer_files.ipp>
#include <pali/text/tokenizer_json.ipp>
#include <pali/text/vocabulary.ipp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

namespace pali { inline namespace PALI_ABI { namespace text {

/// Number of ways to split pieces into two pieces, which is the number of merges that transformers derives from a tokenizer.model.
[[nodiscard]] PALI_INLINE std::size_t count_merges(const vocabulary& words) {
    std::size_t merges = 0;
    for (const model_piece& piece : words.pieces)
        for (std::size_t at = first_character(piece.text).length; at < piece.text.size();
             at += first_character(piece.text.substr(at)).length)
            merges += words.find(piece.text.substr(0, at)) && words.find(piece.text.substr(at));
    return merges;
}

PALI_INLINE std::vector<std::string> compare_vocabularies(const std::filesystem::path& folder) {
    const std::filesystem::path model_file = folder / "tokenizer.model", json_file = folder / "tokenizer.json";
    std::error_code failure;
    if (!std::filesystem::exists(model_file, failure) || !std::filesystem::exists(json_file, failure)) return {};
    const std::string bytes = read_whole_file(model_file);
    const sentencepiece_model model = read_sentencepiece_model(bytes, model_file.string());
    const tokenizer_json json = read_tokenizer_json(json_file, false);

    constexpr std::size_t most = 10;
    std::vector<std::string> out;
    std::size_t more = 0;
    const auto report = [&](error_text&& what) {
        if (out.size() + 1 < most) out.push_back(json_file.string() + ": " + std::move(what).str());
        else ++more;
    };
    const auto& ours = model.pieces;
    const auto& theirs = json.words.pieces;
    if (ours.size() != theirs.size()) report({"has ", theirs.size(), " pieces, but tokenizer.model has ", ours.size()});
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
        const int byte = byte_of_piece(ours[i].text); // transformers 4 wrote a literal tab for <0x09>
        const bool same_byte = byte >= 0 && theirs[i].text.size() == 1 && static_cast<unsigned char>(theirs[i].text[0]) == byte;
        if (ours[i].text != theirs[i].text && !same_byte)
            report({"has the piece ", in_quotes(theirs[i].text), " at id ", i, ", but tokenizer.model has ", in_quotes(ours[i].text)});
    }
    const auto falls = [](const piece_merge& a, const piece_merge& b) { return a.result > b.result; };
    if (const auto at = std::adjacent_find(json.merges.begin(), json.merges.end(), falls); at != json.merges.end())
        report({"forms the piece ", in_quotes(theirs[at->result].text), " before ", in_quotes(theirs[(at + 1)->result].text),
                ", but tokenizer.model forms it after that piece"});
    if (const std::size_t all = count_merges(json.words); all != json.merges.size())
        report({"has ", json.merges.size(), " merges; its pieces imply ", all});
    std::map<std::string_view, const added_token*> added;
    for (const added_token& one : json.added) added.emplace(one.text, &one);
    for (std::size_t i = 0; i < ours.size(); ++i)
        if ((ours[i].type == piece_type::control || ours[i].type == piece_type::user_defined) && !added.contains(ours[i].text))
            report({"does not have ", in_quotes(ours[i].text), " among its added_tokens, but tokenizer.model never splits it"});
    if (more > 0) out.push_back(json_file.string() + ": " + error_text({more, " more differences from tokenizer.model"}).str());
    return out;
}

}}} // namespace pali::PALI_ABI::text
