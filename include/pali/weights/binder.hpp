// Binds the tensors of a checkpoint to the members of a model. Checks names and shapes first, then fills the members.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/progress.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/short_list.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/files/mmap.hpp>
#include <pali/files/tensor_table.hpp>
#include <pali/weights/convert.hpp>
#include <pali/weights/foreign.hpp>
#include <pali/weights/names.hpp>
#include <pali/weights/placement.hpp>
#include <pali/weights/quantize.hpp>
#include <pali/weights/residency.hpp>
#include <pali/weights/storage.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace weights { inline namespace PALI_SIMD {

/// Collects the tensors that a model requests, reports all mismatches in one error, then fills the requested members. The members must not
/// move before they are filled. Usage: binder b(tensors, "folder"); module.bind(b.root()); b.check(hint); memory = b.finish(...).
class binder {
public:
    /// A node in the tree of names, as a tensor_visitor: scope["layers.0"]["mlp"] requests tensors below "layers.0.mlp.".
    class scope {
    public:
        /// `prefix` is prepended to every name: "layers.0.".
        scope(binder& owner, std::string prefix) : m_owner(owner), m_prefix(std::move(prefix)) {}
        /// @{
        /// Operations of tensor_visitor. A convolution is a matrix over patches, and may be channels-last in the file (MLX). A quantized
        /// matrix is read as stored or quantized on loading. A quantized vocabulary is zero-padded to whole strips; its count includes the
        /// padding.
        [[nodiscard]] scope operator[](const std::string& name) const { return {m_owner, m_prefix + name + "."}; }
        template <class Element>
        void matrix(const std::string& name, rows<const Element>& to, const std::vector<std::size_t>& shape) const {
            if (const tensor_info* tensor = m_owner.find(m_prefix + name, shape)) m_owner.want_matrix(*tensor, to, shape);
        }
        template <std::size_t Bits>
        void matrix(const std::string& name, quantized_rows<Bits>& to, const std::vector<std::size_t>& shape) const {
            m_owner.want_quantized(m_prefix + name, to, shape, shape[0]);
        }
        template <class Element>
        void vocabulary(const std::string& name, rows<const Element>& to, const std::vector<std::size_t>& shape) const {
            matrix(name, to, shape);
        }
        template <std::size_t Bits>
        void vocabulary(const std::string& name, quantized_rows<Bits>& to, const std::vector<std::size_t>& shape) const {
            m_owner.want_quantized(m_prefix + name, to, shape, quantized_rows<Bits>::padded(shape[0]));
        }
        [[nodiscard]] bool has(const std::string& name) const { return m_owner.look_up(m_prefix + name) != nullptr; }
        void vector(const std::string& name, const float*& to, std::size_t size) const {
            if (const tensor_info* tensor = m_owner.find(m_prefix + name, {size})) m_owner.want_vector(*tensor, to);
        }
        [[nodiscard]] bool omits_or_repeats(const std::string& name, const std::string& other) const {
            const std::string mine = m_prefix + name, its = m_prefix + other, my_scales = mine + std::string(scales_suffix),
                              its_scales = its + std::string(scales_suffix);
            if (!m_owner.look_up(mine)) return true;
            if (!m_owner.are_same(mine, its)) return false;
            if (m_owner.look_up(my_scales) || m_owner.look_up(its_scales)) { // codes are meaningless without their scales
                if (!m_owner.are_same(my_scales, its_scales)) return false;
                m_owner.m_used.insert(my_scales);
            }
            m_owner.m_used.insert(mine);
            return true;
        }
        /// @}

    private:
        binder& m_owner;
        std::string m_prefix;
    };

    /// `table` must outlive the binder. If the weights are mapped, it must also outlive the model. `source` is the name of the checkpoint
    /// in messages. Throws what refuse_foreign_format() throws.
    binder(const tensor_table& table, std::string source) : m_source(std::move(source)) {
        refuse_foreign_format(table, m_source);
        const tensor_names names(table);
        m_prefixes = names.prefixes();
        for (const auto& [name, tensor] : table) {
            const auto [at, added] = m_tensors.emplace(names.published(name), named{&tensor, &name});
            if (!added)
                tell(kind::ambiguous,
                     {"tensors ", in_quotes(name), " and ", in_quotes(*at->second.name), " both map to ", in_quotes(at->first)});
        }
    }

    /// The root of the tree of names.
    [[nodiscard]] scope root() { return {*this, ""}; }

    /// Descriptions of the tensors that were not requested, except buffers. Examples are value heads, heads of other tasks and counters,
    /// which are harmless.
    [[nodiscard]] short_list unused() const {
        short_list found;
        for (const auto& [published, tensor] : m_tensors)
            if (!m_used.contains(published) && !is_buffer(published)) found.add({in_quotes(*tensor.name), " ", describe(*tensor.info)});
        return found;
    }
    /// Names in the file of all tensors that were not requested, including buffers.
    [[nodiscard]] std::set<std::string, std::less<>> unused_names() const {
        std::set<std::string, std::less<>> names;
        for (const auto& [published, tensor] : m_tensors)
            if (!m_used.contains(published)) names.insert(*tensor.name);
        return names;
    }
    /// Whether a requested tensor has an unsupported dtype.
    [[nodiscard]] bool finds_unread_types() const noexcept { return !m_unread.empty(); }

    /// Throws errc::checkpoint_mismatch if tensors are missing or misshapen. Unused tensors are also an error if `strict`, or if one of
    /// them belongs to a layer. The message lists at most ten tensors of each kind, and ends with `hint`, which suggests a cause. If no
    /// requested name is found, the message is a single line.
    void check(const std::string& hint, bool strict = false) const {
        if (m_codes.count > 0)
            throw error(errc::checkpoint_mismatch,
                        {m_source, ": contains ", m_codes.weights, " weights (", m_codes.count, " matrices, the first is ",
                         in_quotes(m_codes.first), "); load it as ", m_codes.weights, ", or load the original checkpoint"});
        std::string all;
        std::size_t count = 0;
        for (const short_list& problems : m_problems) {
            all += problems.joined("\n  ");
            count += problems.size();
        }
        for (const auto& [type, names] : m_unread) {
            all += error_text{"\n  tensor",
                              names.size() == 1 ? " " : "s ",
                              names.in_a_row(3),
                              names.size() == 1 ? " is" : " are",
                              " stored as ",
                              to_string(type),
                              "; BF16, F16 and F32 are supported"}
                       .str();
            count += names.size();
        }
        if (count > 0 && std::none_of(m_tensors.begin(), m_tensors.end(), [&](const auto& one) { return m_used.contains(one.first); }))
            throw_unknown_names(hint);
        const short_list left = unused();
        const bool misses_layers = std::any_of(m_tensors.begin(), m_tensors.end(),
                                               [&](const auto& one) { return is_of_a_layer(one.first) && !m_used.contains(one.first); });
        if (count == 0 && !misses_layers && (!strict || left.empty())) return;
        if (!left.empty()) all += (left.size() == 1 ? "\n  unexpected tensor" : "\n  unexpected tensors") + left.joined("\n    ");
        count += left.size();
        throw error(errc::checkpoint_mismatch, {m_source, ": ", count, count == 1 ? " tensor does" : " tensors do",
                                                " not fit the configuration:", all, hint.empty() ? "" : "\n", hint});
    }

    /// Fills the requested members. check() must have been called. Returns the memory of the tensors that were copied or converted. Calls
    /// `copied` with the stored bytes of each such tensor, which are not read again. Reports progress, stage "load", after each copied
    /// tensor. Throws errc::cancelled if the progress callback returns false, and std::bad_alloc.
    [[nodiscard]] page_memory finish(residency where, thread_pool& threads, const progress_callback& progress,
                                     const std::function<void(std::span<const std::byte>)>& copied = {}) {
        std::size_t bytes = 0;
        for (const auto& j : m_jobs)
            if (j.copies(where)) bytes += in_cache_lines(j.bytes);
        page_memory memory(bytes);
        std::size_t used = 0;
        const auto report = [&](double fraction) {
            if (progress && !progress("load", fraction)) throw error(errc::cancelled, {m_source, ": the callback stopped loading"});
        };
        for (const auto& j : m_jobs) {
            const bool copies = j.copies(where);
            j.place(copies ? memory.bytes().data() + used : nullptr, threads);
            if (!copies) continue;
            if (copied) copied(j.tensor->bytes);
            used += in_cache_lines(j.bytes);
            report(static_cast<double>(used) / static_cast<double>(bytes));
        }
        if (bytes == 0) report(1);
        return memory;
    }

private:
    enum class kind { ambiguous, missing, shape, size };
    void tell(kind what, error_text&& problem) { m_problems[static_cast<std::size_t>(what)].add(std::move(problem)); }

    [[noreturn]] void throw_unknown_names(const std::string& hint) const {
        short_list found;
        for (const auto& [published, tensor] : m_tensors) found.add(in_quotes(*tensor.name));
        throw error(errc::checkpoint_mismatch,
                    {m_source, ": no tensor has an expected name. ", describe_unknown_names(found, m_used, m_prefixes), ". ", hint});
    }

    [[nodiscard]] static std::string describe(const tensor_info& tensor) { return to_string(tensor.type) + describe_shape(tensor.shape); }
    [[nodiscard]] const tensor_info* look_up(const std::string& name) const {
        const auto at = m_tensors.find(name);
        return at == m_tensors.end() ? nullptr : at->second.info;
    }
    [[nodiscard]] const std::string& name_in_file(const std::string& published) const {
        const auto at = m_tensors.find(published);
        return at == m_tensors.end() ? published : *at->second.name;
    }
    [[nodiscard]] bool are_same(const std::string& name, const std::string& other) const {
        const tensor_info *const a = look_up(name), *const b = look_up(other);
        return a && b && a->type == b->type && a->shape == b->shape && std::equal(a->bytes.begin(), a->bytes.end(), b->bytes.begin());
    }

    [[nodiscard]] const tensor_info* find(const std::string& name, const std::vector<std::size_t>& shape) {
        m_used.insert(name);
        const tensor_info* const found = look_up(name);
        if (!found) {
            tell(kind::missing, {"missing tensor ", in_quotes(name), " ", describe_shape(shape)});
            return nullptr;
        }
        const tensor_info& tensor = *found;
        const std::string& written = name_in_file(name);
        if (const char* const weights = quantized_as(name)) {
            m_used.insert(name + std::string(scales_suffix));
            if (m_codes.count++ == 0) m_codes.weights = weights, m_codes.first = written;
            return nullptr;
        }
        if (tensor.shape != shape && !is_channels_last(tensor, shape)) {
            tell(kind::shape, {tensor.file, ": tensor ", in_quotes(written), " has shape ", describe_shape(tensor.shape),
                               "; the configuration needs ", describe_shape(shape)});
            return nullptr;
        }
        if (!is_convertible(tensor.type)) {
            m_unread[tensor.type].add(in_quotes(written));
            return nullptr;
        }
        return &tensor;
    }

    template <class Element>
    void want(const tensor_info& tensor, bool small, std::function<void(const Element*)> set) {
        const std::size_t bytes = tensor.count() * sizeof(Element);
        if (tensor.type == (std::is_same_v<Element, float> ? dtype::f32 : dtype::bf16)) {
            m_jobs.push_back({&tensor, bytes, small,
                              as_stored{[set = std::move(set)](const std::byte* at) { set(reinterpret_cast<const Element*>(at)); }}});
            return;
        }
        m_jobs.push_back({&tensor, bytes, small, converted{[&tensor, set = std::move(set)](std::byte* memory, thread_pool& threads) {
                              auto* const to = reinterpret_cast<Element*>(memory);
                              constexpr std::size_t piece = std::size_t{1} << 18;
                              threads.run_blocks(tensor.count(), piece,
                                                 [&](std::size_t first, std::size_t n) { convert(tensor, first, n, to + first); });
                              set(to);
                          }}});
    }
    template <class Element>
    void want_matrix(const tensor_info& tensor, rows<const Element>& to, const std::vector<std::size_t>& shape) {
        const std::size_t count = tensor.shape[0], width = count == 0 ? 0 : tensor.count() / count;
        if (is_channels_last(tensor, shape)) return want_transposed(tensor, to, width, shape[1]);
        want<Element>(tensor, false, [&to, count, width](const Element* data) { to = rows<const Element>(data, count, width); });
    }
    template <class Element>
    void want_transposed(const tensor_info& tensor, rows<const Element>& to, std::size_t width, std::size_t channels) {
        m_jobs.push_back({&tensor, tensor.count() * sizeof(Element), false,
                          converted{[&tensor, &to, width, channels](std::byte* memory, thread_pool& threads) {
                              auto* const values = reinterpret_cast<Element*>(memory);
                              threads.run(tensor.shape[0], [&](std::size_t row) { // channels-last in the file, channels-first in memory
                                  for (std::size_t pixel = 0; pixel < width / channels; ++pixel)
                                      for (std::size_t channel = 0; channel < channels; ++channel)
                                          convert(tensor, row * width + pixel * channels + channel, 1,
                                                  values + row * width + channel * (width / channels) + pixel);
                              });
                              to = rows<const Element>(values, tensor.shape[0], width);
                          }}});
    }

    [[nodiscard]] const char* quantized_as(const std::string& name) const { // null if the file does not store it quantized
        if (!look_up(name + std::string(scales_suffix))) return nullptr;
        return look_up(name)->type == code_type<8> ? int8::name : int4::name;
    }

    template <std::size_t Bits>
    void want_quantized(const std::string& name, quantized_rows<Bits>& to, const std::vector<std::size_t>& shape, std::size_t count) {
        using layout = quantized_rows<Bits>;
        const std::size_t width = shape[1];
        m_used.insert(name);
        if (!layout::fits(count, width)) // `count` includes the padding rows, which the file may omit
            return tell(kind::size,
                        {"tensor ", in_quotes(name_in_file(name)), " is ", describe_shape(shape), "; ", what_is_quantized<Bits>()});
        const std::string scales = name + std::string(scales_suffix);
        if (!look_up(name) || quantized_as(name) != (Bits == 8 ? int8::name : int4::name)) {
            if (const tensor_info* const tensor = find(name, shape)) want_rounded(*tensor, to);
            return;
        }
        const auto stored = [&](const std::string& part, dtype type, const std::vector<std::size_t>& needed) -> const tensor_info* {
            m_used.insert(part);
            const tensor_info& tensor = *look_up(part);
            if (tensor.type == type && tensor.shape == needed) return &tensor;
            tell(kind::shape, {tensor.file, ": tensor ", in_quotes(name_in_file(part)), " is ", describe(tensor),
                               "; the configuration needs ", to_string(type), describe_shape(needed)});
            return nullptr;
        };
        const tensor_info* const codes = stored(name, code_type<Bits>, layout::codes_shape(count, width));
        const tensor_info* const scale = stored(scales, dtype::bf16, layout::scales_shape(count, width));
        if (!codes || !scale) return;
        to.count = count;
        to.width = width;
        want_bytes(*codes, [&to](const std::byte* at) { to.codes = reinterpret_cast<const std::uint8_t*>(at); });
        want_bytes(*scale, [&to](const std::byte* at) { to.scales = reinterpret_cast<const bfloat16*>(at); });
    }

    void want_bytes(const tensor_info& tensor, std::function<void(const std::byte*)> set) {
        m_jobs.push_back({&tensor, tensor.bytes.size(), false, as_stored{std::move(set)}});
    }
    template <std::size_t Bits>
    void want_rounded(const tensor_info& tensor, quantized_rows<Bits>& to) {
        m_jobs.push_back({&tensor, quantized_bytes<Bits>(tensor), false, converted{[&tensor, &to](std::byte* memory, thread_pool& threads) {
                              to = quantize<Bits>(tensor, memory, threads);
                          }}});
    }
    void want_vector(const tensor_info& tensor, const float*& to) {
        want<float>(tensor, true, [&to](const float* data) { to = data; });
    }

    struct named {
        const tensor_info* info;
        const std::string* name; // in the file
    };
    struct other_codes { // matrices that the file stores quantized, but not as requested
        std::size_t count = 0;
        const char* weights = "";
        std::string first{};
    };

    std::string m_source;
    std::map<std::string, named, std::less<>> m_tensors; // by published name
    std::set<std::string, std::less<>> m_used;
    std::array<short_list, 4> m_problems; // by kind
    std::map<dtype, short_list> m_unread; // names of tensors with an unsupported dtype
    other_codes m_codes;
    std::set<std::string> m_prefixes; // see tensor_names
    std::vector<placed_tensor> m_jobs;
};

}}}} // namespace pali::PALI_ABI::weights::PALI_SIMD
