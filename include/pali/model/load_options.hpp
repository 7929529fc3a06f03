// Options of loading a checkpoint.
#pragma once

#include <pali/core/progress.hpp>
#include <pali/decoder/kv_type.hpp>
#include <pali/weights/residency.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Options of loading a checkpoint.
struct load_options {
    std::size_t threads = 0;  ///< number of threads, the caller's included; 0: one per processor
    bool pin_threads = false; ///< pins each thread except the caller's to its own processor; best on a machine without other load (Linux;
                              ///< untested on Windows)
    pali::residency residency = residency::mapped; ///< where the weights are read from
    kv_type kv_cache = kv_type::f32;               ///< element type of the KV cache
    std::filesystem::path mask_decoder{};          ///< vae-oid.npz for segment; if empty, the first use looks in the checkpoint folder
    progress_callback on_progress{};               ///< stage "load"; returning false throws errc::cancelled
    bool strict = false;                           ///< treats unused tensors, and an index that differs from its shards, as errors
    /// Receives notices. Each notice is one line with the folder and at most ten names. There is at most one notice for tokens without an
    /// embedding row and, unless `strict` is set, at most one for unused tensors and one for differences between index and shards.
    std::function<void(std::string_view)> on_notice{};
};

}} // namespace pali::PALI_ABI
