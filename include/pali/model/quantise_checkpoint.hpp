// A checkpoint with the matrices of its decoder in small integers, as files that are mapped like any other.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/progress.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/files/checkpoint_files.hpp>
#include <pali/files/mmap.hpp>
#include <pali/files/safetensors_writer.hpp>
#include <pali/weights/names.hpp>
#include <pali/weights/quantise.hpp>
#include <pali/weights/storage.hpp>

#include <cstddef>
#include <deque>
#include <filesystem>
#include <string>
#include <system_error>

namespace pali::inline PALI_ABI {

/// What a checkpoint was quantised to, "int8" or "int4"; empty for one that was not.
[[nodiscard]] inline std::string quantised_weights(const checkpoint_files& files) { return files.metadata(weights_key); }

/// Whether a tensor is a matrix of the decoder, its embedding and head among them: those are quantised.
[[nodiscard]] inline bool is_decoder_matrix(const std::string& name, const tensor_info& tensor) {
    return published_name(name).starts_with("language_model.") && tensor.shape.size() == 2;
}

/// Copies all of a folder but its weights: configuration, tokenizer, mask decoder. Throws errc::cannot_write.
inline void copy_all_but_weights(const std::filesystem::path& from, const std::filesystem::path& to) {
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
        const std::string name = entry.path().filename().string();
        if (!entry.is_regular_file() || name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")) continue;
        std::error_code failed;
        std::filesystem::copy_file(entry.path(), to / name, std::filesystem::copy_options::overwrite_existing, failed);
        if (failed) throw error(errc::cannot_write, (to / name).string() + ": " + failed.message());
    }
}

/// Reads the Hugging Face folder `from` and writes `to`: the same, with the decoder in the weights of `Storage` (int8 or int4) in one model.safetensors.
/// Stage "quantize". Throws errc::invalid_argument where `from` is quantised already, is `to`, or has a matrix that does not consist of whole strips and groups;
/// errc::cannot_write; errc::cancelled; and what checkpoint_files throws. Needs the memory of the new weights.
template <weight_storage Storage>
void quantise_checkpoint(const std::filesystem::path& from, const std::filesystem::path& to, std::size_t threads = 0, const progress_callback& progress = {}) {
    using matrix = typename Storage::matrix;
    const checkpoint_files files(from);
    if (const std::string weights = quantised_weights(files); !weights.empty())
        throw error(errc::invalid_argument, from.string() + " holds " + weights + " weights already; quantise the checkpoint that they were made from");
    std::error_code failed;
    std::filesystem::create_directories(to, failed);
    if (failed) throw error(errc::cannot_write, to.string() + ": " + failed.message());
    if (std::filesystem::equivalent(from, to, failed)) throw error(errc::invalid_argument, to.string() + " is the checkpoint itself; name another folder");

    thread_pool pool(threads);
    tensor_table table;
    std::deque<page_memory> memory;
    std::size_t done = 0;
    for (const auto& [name, tensor] : files.tensors()) {
        if (progress && !progress("quantize", static_cast<double>(done++) / static_cast<double>(files.tensors().size())))
            throw error(errc::cancelled, to.string() + ": quantising was stopped by the callback");
        if (!is_decoder_matrix(name, tensor)) {
            table.emplace(name, tensor);
            continue;
        }
        const std::size_t count = tensor.shape[0], width = tensor.shape[1];
        if (!is_convertible(tensor.type) || !matrix::fits(count, width))
            throw error(errc::invalid_argument, tensor.file + ": tensor " + in_quotes(name) + " is " + to_string(tensor.type) + describe_shape(tensor.shape) +
                                                    "; " + what_is_quantised<matrix::bits>());
        const auto bytes = memory.emplace_back(quantised_bytes<matrix::bits>(tensor)).bytes();
        quantise<matrix::bits>(tensor, bytes.data(), pool);
        files.forget(tensor.bytes);
        const std::size_t codes = matrix::bytes_of(tensor.count());
        table.emplace(name, tensor_info{.type = code_type<matrix::bits>, .shape = matrix::codes_shape(count, width), .bytes = bytes.first(codes), .file = {}});
        table.emplace(name + std::string(scales_suffix),
                      tensor_info{.type = dtype::bf16, .shape = matrix::scales_shape(count, width), .bytes = bytes.subspan(codes), .file = {}});
    }
    if (std::filesystem::is_directory(from)) copy_all_but_weights(from, to);
    write_safetensors(to / "model.safetensors", table, {{"format", "pt"}, {std::string(weights_key), Storage::name}});
    if (progress) progress("quantize", 1);
}

} // namespace pali::inline PALI_ABI
