// The configuration of a checkpoint: config.json and its companions, with the defaults of transformers.
#pragma once

#include <pali/config/dynamic.hpp>
#include <pali/config/preprocessing.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// The contents of a checkpoint's JSON files.
struct checkpoint_config {
    dynamic sizes;                     ///< configuration of vision tower and decoder
    std::int32_t image_token = 256000; ///< `image_token_id`, or `image_token_index` in older files; may lie outside the vocabulary
    std::int32_t bos = 2;              ///< `bos_token_id`
    std::int32_t pad = 0;              ///< `pad_token_id`
    std::vector<std::int32_t> eos{1};  ///< `eos_token_id`: each of these ends generation; may be empty
    std::size_t positions = 8192;      ///< `max_position_embeddings`: maximum sequence length, image tokens and answer included
    bool tied = true;                  ///< `tie_word_embeddings`: if the file has only one of embedding and head, it serves as both
    std::string dtype;                 ///< dtype of the stored weights, "bfloat16"; empty if unspecified
    std::filesystem::path file;        ///< config.json, for messages
    preprocessing image;               ///< image preprocessing; its size is image_size of config.json unless its own file gives one
    std::filesystem::path image_file;  ///< file of `image`, for messages; may not exist
};

/// Reads config.json and, if present, generation_config.json, processor_config.json and preprocessor_config.json. `given` is a checkpoint
/// as find_checkpoint() accepts it, or a file in the checkpoint folder. Missing fields get the defaults of transformers 5.23
/// (models/{paligemma,gemma,gemma2,siglip}/configuration_*.py). A quantization_config is ignored, because the tensors themselves decide.
/// Token ids come from generation_config.json, then config.json, then its text_config. Throws what find_checkpoint() throws;
/// errc::cannot_open; errc::malformed_config for a value of the wrong type or a contradiction; errc::unsupported_config for a model of
/// another kind. One message lists at most ten problems of all files. If malformed and unsupported values both occur, the code is
/// malformed_config.
[[nodiscard]] checkpoint_config read_checkpoint_config(const std::filesystem::path& given);

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/config/checkpoint_config.ipp>
#endif
