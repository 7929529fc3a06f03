// Body of safetensors_writer.hpp.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/files/safetensors_writer.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and written from memory as stored");

namespace pali { inline namespace PALI_ABI { namespace files {

PALI_INLINE safetensors_writer::safetensors_writer(std::filesystem::path path, const std::map<std::string, entry, std::less<>>& entries,
                                                   const safetensors_metadata& metadata)
    : m_path(std::move(path)) {
    std::vector<const std::pair<const std::string, entry>*> order;
    order.reserve(entries.size());
    for (const auto& one : entries) order.push_back(&one);
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
        return a->second.type != b->second.type ? a->second.type > b->second.type : a->first < b->first;
    });

    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::uint64_t at = 0;
    for (const auto* one : order) {
        const auto& [name, tensor] = *one;
        if (name == "__metadata__") refuse(name, "has a name that the format reserves");
        const std::optional<std::uint64_t> size = checked_size(bits_of(tensor.type), tensor.shape);
        if (!size) refuse(name, {"has shape ", describe_shape(tensor.shape), ", whose size does not fit into 64 bits"});
        const std::uint64_t bits = *size;
        if (bits % 8 != 0)
            refuse(name, {"has shape ", describe_shape(tensor.shape), " of ", to_string(tensor.type), ", ", bits,
                          " bits; whole bytes are needed"});
        header[name] = {{"dtype", to_string(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {at, at + bits / 8}}};
        m_places.emplace(name, place{at, at + bits / 8});
        at += bits / 8;
    }
    std::string text;
    try {
        text = header.dump();
    } catch (const nlohmann::json::exception&) {
        throw error(errc::invalid_argument, {m_path.string(), ": a name or a metadata entry is not UTF-8"});
    }
    text.append((8 - text.size() % 8) % 8, ' ');
    const std::uint64_t length = text.size();
    for (auto& [name, where] : m_places) {
        where.next += 8 + length;
        where.end += 8 + length;
    }
    m_size = at + 8 + length;

    m_out.emplace(m_path, file_writer::link::replaced);
    m_out->write({reinterpret_cast<const char*>(&length), 8});
    m_out->write(text);
    m_at = 8 + length;
}

PALI_INLINE void safetensors_writer::append(std::string_view name, std::span<const std::byte> bytes) {
    const std::uint64_t room = missing(name);
    if (bytes.size() > room) refuse(name, {"has ", bytes.size() - room, " bytes more than its shape needs"});
    if (bytes.empty()) return;
    std::uint64_t& next = m_places.find(name)->second.next;
    if (m_at != next) m_out->seek(next);
    m_out->write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    require_written();
    m_at = next += bytes.size();
}

PALI_INLINE std::uint64_t safetensors_writer::missing(std::string_view name) const {
    const auto found = m_places.find(name);
    if (found == m_places.end()) refuse(name, "is not in the header");
    return found->second.end - found->second.next;
}

PALI_INLINE void safetensors_writer::finish() {
    for (const auto& [name, where] : m_places)
        if (where.next != where.end) refuse(name, {"lacks ", where.end - where.next, " of the bytes that its shape needs"});
    m_out->flush();
    require_written();
    m_out->finish();
}

PALI_INLINE void safetensors_writer::refuse(std::string_view name, error_text&& why) const {
    throw error(errc::invalid_argument, {m_path.string(), ": tensor ", in_quotes(name), " ", std::move(why).str()});
}

PALI_INLINE void safetensors_writer::require_written() {
    if (!m_out->good()) m_out->fail({"cannot be written: is the disk full? ", m_size, " bytes are needed"});
}

PALI_INLINE void write_safetensors(const std::filesystem::path& path, const tensor_table& tensors, const safetensors_metadata& metadata) {
    std::map<std::string, safetensors_writer::entry, std::less<>> entries;
    for (const auto& [name, tensor] : tensors) entries.emplace(name, safetensors_writer::entry{tensor.type, tensor.shape});
    safetensors_writer out(path, entries, metadata);
    for (const auto& [name, tensor] : tensors) // checks all sizes before any data are written
        if (const std::uint64_t needed = out.missing(name); needed != tensor.bytes.size())
            throw error(errc::invalid_argument,
                        {path.string(), ": tensor ", in_quotes(name), " has ", tensor.bytes.size(), " bytes; shape ",
                         describe_shape(tensor.shape), " of ", to_string(tensor.type), " needs ", needed});
    for (const auto& [name, tensor] : tensors) out.append(name, tensor.bytes);
    out.finish();
}

}}} // namespace pali::PALI_ABI::files
