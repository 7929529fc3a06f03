// Writes a model to a safetensors file, with the tensor names and dtypes of its checkpoint.
#pragma once

#include <pali/core/bfloat16.hpp>
#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/files/checkpoint_files.hpp>
#include <pali/files/safetensors_writer.hpp>
#include <pali/model/network.hpp>
#include <pali/weights/names.hpp>
#include <pali/weights/published_tensors.hpp>
#include <pali/weights/storage.hpp>
#include <pali/weights/tensor_visitor.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI {

namespace model_detail { inline namespace PALI_SIMD {

/// Appends `count` elements to tensor `name`, converted to `type` in pieces.
template <class Element>
void append_as(safetensors_writer& out, const std::string& name, dtype type, const Element* values, std::size_t count) {
    constexpr std::size_t piece = std::size_t{1} << 16;
    const auto append = [&]<class To>(To (*convert)(float)) {
        std::vector<To> converted(std::min(piece, count));
        for (std::size_t first = 0; first < count; first += piece) {
            const std::size_t n = std::min(piece, count - first);
            for (std::size_t i = 0; i < n; ++i) converted[i] = convert(static_cast<float>(values[first + i]));
            out.append(name, std::as_bytes(std::span(converted).first(n)));
        }
    };
    if (type == dtype::f32) append(+[](float x) { return x; });
    else if (type == dtype::bf16) append(+[](float x) { return bfloat16(x); });
    else append(+[](float x) { return float16(x); });
}

/// A tensor_visitor that collects, by published name, how each tensor of the modules is written.
class collected {
public:
    struct tensor {
        std::vector<std::size_t> shape; ///< published shape
        std::function<void(safetensors_writer& out, const std::string& name, const tensor_info&)>
            append; ///< writes the tensor in the dtype and layout of the original
    };
    using tensors = std::map<std::string, tensor, std::less<>>;

    collected(tensors& to, const published_tensors& there, std::string prefix = {})
        : m_to(&to), m_there(&there), m_prefix(std::move(prefix)) {}
    [[nodiscard]] collected operator[](const std::string& name) const { return {*m_to, *m_there, m_prefix + name + "."}; }

    template <class Element>
    void matrix(const std::string& name, rows<const Element>& from, const std::vector<std::size_t>& shape) const {
        (*m_to)[m_prefix + name] = {shape,
                                    [&from, shape](safetensors_writer& out, const std::string& written, const tensor_info& original) {
                                        if (original.shape == shape)
                                            return append_as(out, written, original.type, from.data, from.count * from.width);
                                        std::vector<Element> turned; // channels-last, as the file stores this convolution
                                        turned.reserve(from.count * from.width);
                                        const std::size_t channels = shape[1], pixels = from.width / channels;
                                        for (std::size_t row = 0; row < from.count; ++row)
                                            for (std::size_t pixel = 0; pixel < pixels; ++pixel)
                                                for (std::size_t channel = 0; channel < channels; ++channel)
                                                    turned.push_back(from[row][channel * pixels + pixel]);
                                        append_as(out, written, original.type, turned.data(), turned.size());
                                    }};
    }
    template <std::size_t Bits>
    void matrix(const std::string& name, quantized_rows<Bits>& from, const std::vector<std::size_t>& shape) const {
        (*m_to)[m_prefix + name] = {shape, [&from](safetensors_writer& out, const std::string& written, const tensor_info&) {
                                        const std::size_t elements = from.count * from.width;
                                        out.append(written, std::as_bytes(std::span(from.codes, quantized_rows<Bits>::bytes_of(elements))));
                                        out.append(written + std::string(scales_suffix),
                                                   std::as_bytes(std::span(from.scales, elements / quantized_rows<Bits>::group)));
                                    }};
    }
    template <class Matrix>
    void vocabulary(const std::string& name, Matrix& from, const std::vector<std::size_t>& shape) const {
        matrix(name, from, shape);
    }
    void vector(const std::string& name, const float*& from, std::size_t size) const {
        (*m_to)[m_prefix + name] = {{size},
                                    [&from, size](safetensors_writer& out, const std::string& written, const tensor_info& original) {
                                        append_as(out, written, original.type, from, size);
                                    }};
    }
    [[nodiscard]] bool has(const std::string& name) const { return m_there->find(m_prefix + name) != nullptr; }
    /// Same condition as in binder: a head that differs from the embedding is visited, a copy of the embedding is not.
    [[nodiscard]] bool omits_or_repeats(const std::string& name, const std::string& other) const {
        return m_there->omits_or_repeats(m_prefix + name, m_prefix + other);
    }

private:
    tensors* m_to;
    const published_tensors* m_there;
    std::string m_prefix;
};

}} // namespace model_detail::PALI_SIMD

inline namespace PALI_SIMD {

/// Writes the tensors of a model to `to`, each with the name, dtype and layout of the checkpoint that the model was loaded from. Unused
/// tensors, including a repeated head, are copied. If the storage represents the checkpoint exactly (f32, or the dtype of the file), the
/// file equals the checkpoint tensor by tensor; a quantized checkpoint is reproduced byte for byte. Throws errc::invalid_argument if the
/// model's storage is quantized differently from the file, and errc::cannot_write.
template <class Network>
void write_checkpoint(Network& net, const std::filesystem::path& to) {
    const files::tensor_table& table = net.files().tensors();
    const weights::tensor_names names(table);
    const weights::published_tensors there(table);
    model_detail::collected::tensors tensors;
    net.bind(model_detail::collected(tensors, there), net.tied());

    std::map<std::string, files::safetensors_writer::entry, std::less<>> entries;
    for (const auto& [name, tensor] : table) entries[name] = {tensor.type, tensor.shape};
    files::safetensors_writer out(to, entries, net.files().metadata());
    for (const auto& [name, tensor] : table) {
        if (out.missing(name) == 0) continue; // scales, written together with their codes
        const auto held = tensors.find(names.published(name));
        if (held == tensors.end()) {
            if (!name.ends_with(weights::scales_suffix) ||
                !tensors.contains(names.published(name.substr(0, name.size() - weights::scales_suffix.size()))))
                out.append(name, tensor.bytes);
            continue;
        }
        held->second.append(out, name, tensor);
    }
    out.finish();
}

} // namespace PALI_SIMD

}} // namespace pali::PALI_ABI
