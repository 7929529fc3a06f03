// Whether the two files of one vocabulary agree, for a folder that has both.
#pragma once

#include <pali/core/macros.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// How tokenizer.model and tokenizer.json of a folder differ: pieces, merges, tokens that transformers cuts out of a text. One sentence a
/// difference, ten at most; none where the folder does not have both files. A tokenizer opens the folder regardless, as long as the added
/// tokens agree: this is for `pali inspect`.
///
/// Throws errc::cannot_open, errc::malformed_tokenizer and errc::unsupported_format as tokenizer does. Half a second for Gemma's
/// vocabulary.
[[nodiscard]] std::vector<std::string> compare_vocabularies(const std::filesystem::path& folder);

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/text/compare_vocabularies.ipp>
#endif
