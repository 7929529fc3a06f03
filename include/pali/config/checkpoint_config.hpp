// The configuration of a checkpoint: config.json and its companions, with the defaults of transformers.
#pragma once

#include <pali/config/dynamic.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// Image preprocessing: preprocessor_config.json, or `image_processor` in processor_config.json. Defaults are those of transformers'
/// SiglipImageProcessor.
struct image_config {
    /// @{
    /// Size after resizing, pixels; default: image_size of config.json.
    std::size_t width = 224, height = 224;
    /// @}
    int resample = 3; ///< Pillow's filter number: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming
    /// @{
    /// Whether a step is applied; the order is resize, rescale, normalize.
    bool do_resize = true, do_rescale = true, do_normalize = true;
    /// @}
    double rescale_factor = 1.0 / 255; ///< factor of each channel value, 0 to 255
    /// @{
    /// Normalization per channel, red, green, blue: (x - mean) / deviation.
    std::array<float, 3> mean{0.5f, 0.5f, 0.5f}, deviation{0.5f, 0.5f, 0.5f};
    /// @}
    std::filesystem::path file = {}; ///< the file, for messages; may not exist
};

/// The contents of a checkpoint's JSON files.
struct checkpoint_config {
    dynamic sizes;                     ///< configuration of vision tower and decoder
    std::int32_t image_token = 256000; ///< `image_token_id`, or `image_token_index` in older files; may lie outside the vocabulary
    std::int32_t bos = 2;              ///< `bos_token_id`
    std::int32_t pad = 0;              ///< `pad_token_id`
    std::vector<std::int32_t> eos{1};  ///< `eos_token_id`: each of these ends generation; may be empty
    std::size_t positions = 8192;      ///< `max_position_embeddings`: maximum sequence length, image tokens and answer included
    bool tied = true;                  ///< `tie_word_embeddings`: one matrix is embedding and head, if the file has only one of them
    std::string dtype;                 ///< dtype of the stored weights, "bfloat16"; empty if unspecified
    std::filesystem::path file;        ///< config.json, for messages
    image_config image;                ///< image preprocessing
};

/// Reads config.json and, if present, generation_config.json, processor_config.json and preprocessor_config.json.
/// `given` is the checkpoint folder, as find_checkpoint() takes it, or a file in it. Missing fields get the defaults of transformers 5.23
/// (models/{paligemma,gemma,gemma2,siglip}/configuration_*.py). A quantization_config is ignored, because the tensors themselves decide.
/// Token ids come from generation_config.json, then config.json, then its text_config. Throws what find_checkpoint() throws;
/// errc::cannot_open; errc::malformed_config for a value of the wrong type or a contradiction; errc::unsupported_config for a model of
/// another kind. One message lists the problems of all files, at most ten; if both kinds occur, the code is malformed_config.
[[nodiscard]] checkpoint_config read_checkpoint_config(const std::filesystem::path& given);

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/config/checkpoint_config.ipp>
#endif
