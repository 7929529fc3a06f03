// How a model is held.
#pragma once

#include <pali/core/progress.hpp>
#include <pali/decoder/kv_type.hpp>
#include <pali/weights/residency.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// How a checkpoint is loaded.
struct load_options {
    std::size_t threads = 0;  ///< of the model, the caller's included; 0: as many as the machine has
    bool pin_threads = false; ///< keeps each thread but the caller's on a processor of its own, where nothing else needs them (on Linux;
                              ///< Windows has not been run)
    pali::residency residency = residency::mapped; ///< where the weights are read from
    kv_type kv_cache = kv_type::f32;               ///< numbers that keys and values of earlier tokens are kept in
    std::filesystem::path mask_decoder{}; ///< vae-oid.npz, for segment; without: found in the folder of the checkpoint when it is needed
    progress_callback on_progress{};      ///< stage "load"; false stops with errc::cancelled
    bool strict = false;                  ///< tensors that the model does not use, and an index that differs from its shards, are errors
    std::function<void(std::string_view)> on_notice{}; ///< told once about each of the two where they are no errors, and about tokens
                                                       ///< without a row in the embedding: a line with the folder and ten names at most
};

}} // namespace pali::PALI_ABI
