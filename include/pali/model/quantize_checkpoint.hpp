// Quantizes the decoder of a checkpoint to int8 or int4; the result can be mmapped like any other checkpoint.
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/core/checkpoint_place.hpp>
#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/progress.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/files/checkpoint_files.hpp>
#include <pali/files/safetensors_writer.hpp>
#include <pali/model/check_tokens.hpp>
#include <pali/model/network.hpp>
#include <pali/objects/mask_vqvae.hpp>
#include <pali/weights/finite.hpp>
#include <pali/weights/names.hpp>
#include <pali/weights/published_tensors.hpp>
#include <pali/weights/quantize.hpp>
#include <pali/weights/storage.hpp>
#include <pali/weights/tensor_visitor.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// The storage type that a checkpoint was quantized to, "int8" or "int4"; empty if it is not quantized.
[[nodiscard]] inline std::string quantized_weights(const files::checkpoint_files& files) { return files.metadata(weights::weights_key); }

namespace model_detail {

/// The files of a folder except weights in any format: configuration, tokenizer, mask decoder. Sorted by name. Throws errc::cannot_open.
[[nodiscard]] inline std::vector<std::filesystem::path> all_but_weights(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> found;
    std::error_code failed;
    std::filesystem::directory_iterator place(folder, failed);
    for (; !failed && place != std::filesystem::directory_iterator(); place.increment(failed)) {
        const std::filesystem::directory_entry& entry = *place;
        const std::string name = entry.path().filename().string(), kind = entry.path().extension().string();
        std::error_code unknown;
        const bool weights =
            kind == ".safetensors" || name.ends_with(".index.json") || (holds_weights(kind) && kind != ".npz"); // .npz is the mask decoder
        if (!weights && entry.is_regular_file(unknown)) found.push_back(entry.path());
    }
    if (failed) throw error(errc::cannot_open, {folder.string(), ": ", failed.message()});
    std::sort(found.begin(), found.end());
    return found;
}

/// Copies the files that all_but_weights() lists from one folder to another and overwrites existing files. Throws errc::cannot_open and
/// errc::cannot_write.
inline void copy_all_but_weights(const std::filesystem::path& from, const std::filesystem::path& to) {
    for (const std::filesystem::path& file : all_but_weights(from)) {
        std::error_code failed;
        std::filesystem::copy_file(file, to / file.filename(), std::filesystem::copy_options::overwrite_existing, failed);
        if (failed) throw error(errc::cannot_write, {(to / file.filename()).string(), ": ", failed.message()});
    }
}

/// Throws errc::invalid_argument if quantize_checkpoint() would replace a file in `to` by different contents; the message names the first
/// such file.
inline void require_nothing_replaced(const std::filesystem::path& from, const std::filesystem::path& to) {
    const auto refuse = [](const std::filesystem::path& file) {
        throw error(errc::invalid_argument,
                    {file.string(), ": already exists and would be replaced; choose another folder, or set `overwrite` (--overwrite)"});
    };
    const auto content = [](const std::filesystem::path& file) {
        std::ifstream in(file, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(in), {});
    };
    std::error_code unknown;
    if (std::filesystem::exists(to / "model.safetensors", unknown)) refuse(to / "model.safetensors");
    if (!std::filesystem::is_directory(from, unknown)) return;
    for (const std::filesystem::path& file : all_but_weights(from)) {
        const std::filesystem::path there = to / file.filename();
        if (!std::filesystem::exists(there, unknown)) continue;
        const bool is_same = std::filesystem::is_regular_file(there, unknown) &&
                             std::filesystem::file_size(there, unknown) == std::filesystem::file_size(file, unknown) &&
                             content(there) == content(file);
        if (!is_same) refuse(there);
    }
}

/// Tensor names of a file.
using name_set = std::set<std::string, std::less<>>;

/// Rows [first, first + count) of a matrix.
[[nodiscard]] inline tensor_info slice_rows(const tensor_info& tensor, std::size_t first, std::size_t count) {
    const std::size_t row = tensor.shape[1] * size_of(tensor.type);
    return {tensor.type, {count, tensor.shape[1]}, tensor.bytes.subspan(first * row, count * row), tensor.file};
}

inline namespace PALI_SIMD {

/// A tensor_visitor that collects the published names of the matrices to quantize, which are those whose member is a quantized_rows. It
/// also records which of them is a vocabulary, because the last strip of a vocabulary may be padded. If the checkpoint has a head, it is
/// visited, even if it repeats the embedding.
class coded_matrices {
public:
    using names = std::map<std::string, bool, std::less<>>; ///< published name -> whether it is a vocabulary

    /// Fills `found`.
    coded_matrices(names& found, const published_tensors& there, std::string prefix = {})
        : m_found(&found), m_there(&there), m_prefix(std::move(prefix)) {}

    /// @{
    /// Operations of tensor_visitor.
    [[nodiscard]] coded_matrices operator[](const std::string& name) const { return {*m_found, *m_there, m_prefix + name + "."}; }
    template <std::size_t Bits>
    void matrix(const std::string& name, quantized_rows<Bits>&, const std::vector<std::size_t>&) const {
        m_found->emplace(m_prefix + name, false);
    }
    template <std::size_t Bits>
    void vocabulary(const std::string& name, quantized_rows<Bits>&, const std::vector<std::size_t>&) const {
        m_found->emplace(m_prefix + name, true);
    }
    template <class Element>
    void matrix(const std::string&, rows<const Element>&, const std::vector<std::size_t>&) const {}
    template <class Element>
    void vocabulary(const std::string&, rows<const Element>&, const std::vector<std::size_t>&) const {}
    void vector(const std::string&, const float*&, std::size_t) const {}
    [[nodiscard]] bool has(const std::string& name) const { return m_there->find(m_prefix + name) != nullptr; }
    [[nodiscard]] bool omits_or_repeats(const std::string& name, const std::string&) const { return !has(name); }
    /// @}

private:
    names* m_found;
    const published_tensors* m_there;
    std::string m_prefix;
};

/// The matrices that are quantized when the weights are stored as `Storage`.
template <weight_storage Storage>
[[nodiscard]] coded_matrices::names matrices_in_codes(const checkpoint_files& files, const checkpoint_config& read) {
    const published_tensors there(files.tensors());
    coded_matrices::names found;
    network_modules<dynamic, Storage>(read.sizes).bind(coded_matrices(found, there), read.tied);
    return found;
}

/// The entries of the output file: codes and scales for each matrix in `in_codes`; all other tensors unchanged. Throws
/// errc::invalid_argument for a matrix that cannot be quantized.
template <weight_storage Storage>
[[nodiscard]] std::map<std::string, safetensors_writer::entry, std::less<>> quantized_entries(const tensor_table& tensors,
                                                                                              const coded_matrices::names& in_codes) {
    using quantized_matrix = typename Storage::matrix;
    std::map<std::string, safetensors_writer::entry, std::less<>> entries;
    const tensor_names names(tensors);
    for (const auto& [name, tensor] : tensors) {
        const auto coded = in_codes.find(names.published(name));
        if (coded == in_codes.end()) {
            entries[name] = {tensor.type, tensor.shape};
            continue;
        }
        const std::size_t count = tensor.shape[0], width = tensor.shape[1];
        if (!quantized_matrix::fits(coded->second ? quantized_matrix::padded(count) : count, width))
            throw error(errc::invalid_argument, {tensor.file, ": tensor ", in_quotes(name), " is ", to_string(tensor.type),
                                                 describe_shape(tensor.shape), "; ", what_is_quantized<quantized_matrix::bits>()});
        entries[name] = {code_type<quantized_matrix::bits>, quantized_matrix::codes_shape(count, width)};
        entries[name + std::string(weights::scales_suffix)] = {dtype::bf16, quantized_matrix::scales_shape(count, width)};
    }
    return entries;
}

/// Throws what opening the checkpoint and its mask decoder would throw, without reading the weights. Returns the names of unused tensors.
[[nodiscard]] inline name_set check_folder(const checkpoint_files& files, const checkpoint_config& read) {
    const std::filesystem::path folder = folder_of_checkpoint(files.path());
    name_set unused = check_parts<bf16>(files, read);
    (void)open_tokenizer(folder, read).encode("a"); // encode() is called because sentencepiece rejects a malformed file only on first use
    if (const auto masks = find_mask_vqvae(folder)) (void)mask_vqvae(*masks);
    return unused;
}

} // namespace PALI_SIMD

} // namespace model_detail

inline namespace PALI_SIMD {

/// Quantizes the Hugging Face folder `given` (see find_checkpoint()) to `Storage`, int8 or int4, and writes the folder `to` with the
/// decoder quantized, in one model.safetensors. Weights are streamed in pieces of 16 MiB, so a checkpoint of any size needs a few tens of
/// megabytes of memory. `threads` includes the caller; 0: one per processor. `progress`, stage "quantize", is called after each piece.
///
/// Checks the input first: throws what opening the folder as a model would throw, including errors in config.json and the mask decoder.
/// Throws errc::invalid_argument if the folder is already quantized, if `to` is the same folder, if a matrix is not a whole number of
/// strips and groups (the last strip of embedding and head is zero-padded), and, without `overwrite`, if a file in `to` would be replaced
/// by different contents. While quantizing, throws errc::malformed_file for weights that are not finite, errc::cannot_write, and
/// errc::cancelled. Unused tensors are copied unchanged. An existing model.safetensors in `to` is replaced on success and kept on failure.
template <weight_storage Storage>
void quantize_checkpoint(const std::filesystem::path& given, const std::filesystem::path& to, std::size_t threads = 0,
                         const progress_callback& progress = {}, bool overwrite = false) {
    using quantized_matrix = typename Storage::matrix;
    constexpr std::size_t bytes_a_piece = std::size_t{16} << 20; // of the input file
    const files::checkpoint_files files(given);
    const std::filesystem::path from = files.path();
    if (const std::string weights = quantized_weights(files); !weights.empty())
        throw error(errc::invalid_argument,
                    {from.string(), " already contains ", weights, " weights; quantize the original checkpoint instead"});
    std::error_code failed;
    const bool folder = std::filesystem::is_directory(from, failed);
    if (std::filesystem::equivalent(from, folder ? to : to / "model.safetensors", failed))
        throw error(errc::invalid_argument, {to.string(), " is the checkpoint itself; choose another folder"});

    const checkpoint_config config = read_checkpoint_config(core::folder_of_checkpoint(from));
    const model_detail::name_set unused = model_detail::check_folder(files, config);
    const model_detail::coded_matrices::names in_codes = model_detail::matrices_in_codes<Storage>(files, config);
    const auto entries = model_detail::quantized_entries<Storage>(files.tensors(), in_codes);
    const std::filesystem::path beside = core::folder_of_checkpoint(from); // the files that a model needs in addition to its weights
    if (!overwrite) model_detail::require_nothing_replaced(beside, to);
    std::filesystem::create_directories(to, failed);
    if (failed) throw error(errc::cannot_write, {to.string(), ": ", failed.message()});

    files::safetensors_writer out(to / "model.safetensors", entries,
                                  {{"format", "pt"}, {std::string(weights::weights_key), Storage::name}});
    core::thread_pool pool(threads);
    std::size_t whole = 0, done = 0; // bytes of all tensors
    for (const auto& [name, tensor] : files.tensors()) whole += tensor.bytes.size();
    const auto pass = [&](std::span<const std::byte> read) { // reports progress and releases the pages that were read
        files.forget(read);
        done += read.size();
        if (progress && !progress("quantize", static_cast<double>(done) / static_cast<double>(whole)))
            throw error(errc::cancelled, {to.string(), ": the callback stopped the quantization"});
    };
    std::vector<std::byte> memory;
    const weights::tensor_names names(files.tensors());
    for (const auto& [name, tensor] : files.tensors()) {
        if (!in_codes.contains(names.published(name))) {
            if (const auto at = unused.contains(name) ? std::nullopt : weights::find_not_finite(tensor))
                throw error(errc::malformed_file,
                            {tensor.file, ": tensor ", core::in_quotes(name), " has a value that is not finite: element ", *at});
            out.append(name, tensor.bytes);
            pass(tensor.bytes);
            continue;
        }
        const std::size_t rows = tensor.shape[0], bytes_a_row = tensor.shape[1] * size_of(tensor.type);
        const std::size_t rows_a_piece = std::max(quantized_matrix::strip, bytes_a_piece / std::max<std::size_t>(1, bytes_a_row) /
                                                                               quantized_matrix::strip * quantized_matrix::strip);
        for (std::size_t first = 0; first < rows; first += rows_a_piece) {
            const files::tensor_info piece = model_detail::slice_rows(tensor, first, std::min(rows_a_piece, rows - first));
            memory.resize(weights::quantized_bytes<quantized_matrix::bits>(piece));
            weights::quantize<quantized_matrix::bits>(piece, memory.data(), pool);
            if (const auto at = weights::find_not_finite(piece))
                throw error(errc::malformed_file, {tensor.file, ": tensor ", core::in_quotes(name),
                                                   " has a value that is not finite in row ", first + *at / tensor.shape[1]});
            const std::size_t codes = quantized_matrix::bytes_of(quantized_matrix::padded(piece.shape[0]) * piece.shape[1]);
            out.append(name, std::span(memory).first(codes));
            out.append(name + std::string(weights::scales_suffix), std::span(memory).subspan(codes));
            pass(piece.bytes);
        }
    }
    if (!std::filesystem::equivalent(beside, to, failed)) model_detail::copy_all_but_weights(beside, to);
    out.finish();
}

} // namespace PALI_SIMD

}} // namespace pali::PALI_ABI
