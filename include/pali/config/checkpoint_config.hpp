// config.json and its companions, read as transformers understands them.
#pragma once

#include <pali/config/dynamic.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// What is done to an image before the vision tower sees it: preprocessor_config.json, or `image_processor` in processor_config.json.
/// Defaults are those of transformers' SiglipImageProcessor.
struct image_config {
    std::size_t width = 224, height = 224; ///< pixels after resizing; without such a file, the sides that config.json says
    int resample = 3;                      ///< Pillow's number of the filter: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming
    bool do_resize = true, do_rescale = true, do_normalize = true;            ///< which steps are done, in this order
    double rescale_factor = 1.0 / 255;                                        ///< times each channel's byte
    std::array<float, 3> mean{0.5f, 0.5f, 0.5f}, deviation{0.5f, 0.5f, 0.5f}; ///< (x - mean) / deviation, red, green, blue
    std::filesystem::path file = {};                                          ///< the file, for messages; it may not be there
};

/// What the JSON files of a checkpoint say.
struct checkpoint_config {
    dynamic sizes;                     ///< of both networks
    std::int32_t image_token = 256000; ///< `image_token_id`, or `image_token_index` in older files; may lie outside the vocabulary
    std::int32_t bos = 2, pad = 0;     ///< ids: `bos_token_id`, `pad_token_id`
    std::vector<std::int32_t> eos{1};  ///< generation ends at any of these; empty: at none
    std::size_t positions = 8192;      ///< `max_position_embeddings`: most tokens of a sequence, image tokens and answer included
    bool tied = true;           ///< `tie_word_embeddings`: one matrix serves as embedding and head, where a file has only one of them
    std::string dtype;          ///< of the stored weights, "bfloat16"; empty where the file says nothing
    std::filesystem::path file; ///< config.json, for messages
    image_config image;         ///< what is done to an image
};

/// Reads config.json and, where present, generation_config.json, processor_config.json and preprocessor_config.json.
/// `folder` is the checkpoint's folder, as find_checkpoint() takes it, or a file in it. What a file leaves out has the default of
/// transformers 5.23 (models/{paligemma,gemma,gemma2,siglip}/configuration_*.py). A quantization_config is ignored: the tensors say what
/// they are. Token ids come from generation_config.json, then config.json, then its text_config. Throws what find_checkpoint() throws;
/// errc::cannot_open; errc::malformed_config for a value of the wrong kind or one that contradicts another; errc::unsupported_config for a
/// model of another kind. The problems of all files are in one message, ten at most; where both kinds occur, the code is malformed_config.
[[nodiscard]] checkpoint_config read_checkpoint_config(const std::filesystem::path& given);

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/config/checkpoint_config.ipp>
#endif
