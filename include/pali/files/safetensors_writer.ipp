// Body of safetensors_writer.hpp.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/files/safetensors_writer.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <fstream>
#include <limits>
#include <system_error>
#include <vector>

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and written as the numbers lie");

namespace pali::inline PALI_ABI {

PALI_INLINE void write_safetensors(const std::filesystem::path& path, const tensor_table& tensors,
                                   const std::map<std::string, std::string, std::less<>>& metadata) {
    std::vector<const tensor_table::value_type*> order;
    for (const auto& entry : tensors) order.push_back(&entry);
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
        return a->second.type != b->second.type ? a->second.type > b->second.type : a->first < b->first;
    });

    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::uint64_t at = 0;
    for (const auto* entry : order) {
        const auto& [name, tensor] = *entry;
        const auto refuse = [&](const std::string& why) {
            throw error(errc::invalid_argument, path.string() + ": tensor " + in_quotes(name) + " " + why);
        };
        if (name == "__metadata__") refuse("has a name that the format keeps for itself");
        std::uint64_t bits = bits_of(tensor.type);
        for (const std::size_t side : tensor.shape) {
            if (side != 0 && bits > std::numeric_limits<std::uint64_t>::max() / side)
                refuse("has shape " + describe_shape(tensor.shape) + ", whose size does not fit into 64 bits");
            bits *= side;
        }
        if (bits % 8 != 0 || bits / 8 != tensor.bytes.size())
            refuse("has " + std::to_string(tensor.bytes.size()) + " bytes; shape " + describe_shape(tensor.shape) + " of " +
                   to_string(tensor.type) + " needs " + std::to_string(bits) + " bits");
        header[name] = {{"dtype", to_string(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {at, at + tensor.bytes.size()}}};
        at += tensor.bytes.size();
    }
    std::string text;
    try {
        text = header.dump();
    } catch (const nlohmann::json::exception&) {
        throw error(errc::invalid_argument, path.string() + ": a name or an entry of the metadata is no UTF-8");
    }
    text.append((8 - text.size() % 8) % 8, ' ');

    std::filesystem::path unfinished = path;
    unfinished += ".unfinished";
    const auto fail = [&](const std::string& why) {
        std::error_code ignored;
        std::filesystem::remove(unfinished, ignored);
        throw error(errc::cannot_write, path.string() + ": " + why);
    };
    {
        std::ofstream out(unfinished, std::ios::binary | std::ios::trunc);
        if (!out) fail("cannot be created: is the folder there, and writable?");
        const std::uint64_t length = text.size();
        out.write(reinterpret_cast<const char*>(&length), 8);
        out.write(text.data(), static_cast<std::streamsize>(text.size()));
        for (const auto* entry : order)
            out.write(reinterpret_cast<const char*>(entry->second.bytes.data()), static_cast<std::streamsize>(entry->second.bytes.size()));
        out.close();
        if (!out) fail("cannot be written: is the disk full? " + std::to_string(8 + text.size() + at) + " bytes are needed");
    }
    std::error_code failure;
    std::filesystem::rename(unfinished, path, failure);
    if (failure) fail("cannot be replaced: " + failure.message());
}

} // namespace pali::inline PALI_ABI
