// Body of safetensors.hpp: the header is read event by event into the table, so that nothing is built that the format does not allow.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/strict_json.ipp>
#include <pali/files/safetensors.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <utility>
#include <vector>

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and read where they lie");

namespace pali::inline PALI_ABI {

namespace detail {

/// Receives the events of nlohmann's parser. Throws at the first thing that is not a header of the format.
class safetensors_header final : public json_events {
public:
    struct entry {
        std::string name;
        std::optional<dtype> type;
        std::vector<std::size_t> shape;
        std::array<std::uint64_t, 2> offsets{}; // begin, end
        std::size_t offset_count = 0;
        bool has_shape = false, has_offsets = false;
    };

    explicit safetensors_header(std::string file) : m_file(std::move(file)) {}

    std::vector<entry> entries;
    std::map<std::string, std::string, std::less<>> metadata;

    [[noreturn]] void fail(const std::string& what) const { throw error(errc::malformed_file, m_file + ": " + what); }
    [[noreturn]] void fail_tensor(std::string_view name, const std::string& what) const { fail("tensor " + in_quotes(name) + " " + what); }

    bool null() override { unexpected("null"); }
    bool boolean(bool) override { unexpected("a boolean"); }
    bool number_integer(std::int64_t value) override { unexpected("the negative number " + std::to_string(value)); }
    bool number_float(double, const std::string& text) override { unexpected("the number " + in_quotes(text) + ", which is no integer of 64 bits"); }
    bool binary(binary_t&) override { unexpected("binary data"); }

    bool number_unsigned(std::uint64_t value) override {
        if (m_place == place::shape) {
            std::vector<std::size_t>& shape = entries.back().shape;
            if (shape.size() == most_dimensions)
                fail_tensor(m_name, "has more than " + std::to_string(most_dimensions) + " dimensions, the most that are read");
            shape.push_back(value);
        } else if (m_place == place::offsets) {
            entry& now = entries.back();
            if (now.offset_count == 2) fail_tensor(m_name, "has more than two data_offsets; they are [begin, end]");
            now.offsets[now.offset_count++] = value;
        } else {
            unexpected("the number " + std::to_string(value));
        }
        return true;
    }

    bool string(std::string& value) override {
        if (m_place == place::metadata) {
            metadata[m_key] = value;
        } else if (m_place == place::tensor && m_key == "dtype") {
            entries.back().type = find_dtype(value);
            if (!entries.back().type) fail_tensor(m_name, "has dtype " + in_quotes(value) + "; the format has " + dtype_names());
        } else {
            unexpected("a string");
        }
        return true;
    }

    bool start_object(std::size_t) override {
        if (m_place == place::outside) {
            m_place = place::root;
        } else if (m_place == place::root && m_name == "__metadata__") {
            m_place = place::metadata;
        } else if (m_place == place::root) {
            m_place = place::tensor;
            entries.emplace_back().name = m_name;
        } else {
            unexpected("an object");
        }
        return true;
    }

    bool key(std::string& key) override {
        if (m_place == place::root) {
            if (!m_names.insert(key).second)
                fail((key == "__metadata__" ? "" : "tensor ") + in_quotes(key) + " occurs twice in the header; a name is used once");
            m_name = key;
        } else if (m_place == place::metadata) {
            if (metadata.contains(key)) fail("'__metadata__' holds " + in_quotes(key) + " twice; a key is used once");
            m_key = key;
        } else { // a tensor: keys occur in objects only
            const entry& now = entries.back();
            if ((key == "dtype" && now.type) || (key == "shape" && now.has_shape) || (key == "data_offsets" && now.has_offsets))
                fail_tensor(m_name, "has " + in_quotes(key) + " twice; a key is used once");
            if (key != "dtype" && key != "shape" && key != "data_offsets")
                fail_tensor(m_name, "has the key " + in_quotes(key) + "; the format has dtype, shape and data_offsets");
            m_key = key;
        }
        return true;
    }

    bool end_object() override {
        if (m_place == place::tensor) {
            const entry& now = entries.back();
            if (!now.type) fail_tensor(m_name, "has no dtype");
            if (!now.has_shape) fail_tensor(m_name, "has no shape");
            if (!now.has_offsets) fail_tensor(m_name, "has no data_offsets");
        }
        m_place = m_place == place::root ? place::outside : place::root;
        return true;
    }

    bool start_array(std::size_t) override {
        if (m_place == place::tensor && m_key == "shape") {
            m_place = place::shape;
            entries.back().has_shape = true;
        } else if (m_place == place::tensor && m_key == "data_offsets") {
            m_place = place::offsets;
            entries.back().has_offsets = true;
        } else {
            unexpected("an array");
        }
        return true;
    }

    bool end_array() override {
        if (m_place == place::offsets && entries.back().offset_count != 2)
            fail_tensor(m_name, "has " + std::to_string(entries.back().offset_count) + " data_offsets; they are two, [begin, end]");
        m_place = place::tensor;
        return true;
    }

    // The parser's own words would quote the file.
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
        fail("the header is no valid JSON: see byte " + std::to_string(position) + " of it");
    }

private:
    enum class place { outside, root, metadata, tensor, shape, offsets };
    static constexpr std::size_t most_dimensions = 32; // torch's models have 5 at most; numpy allows 64

    [[noreturn]] void unexpected(const std::string& found) const {
        switch (m_place) {
        case place::outside: fail("the header is " + found + "; it must be an object");
        case place::root: fail(in_quotes(m_name) + " is " + found + " in the header; it must be an object");
        case place::metadata: fail("'__metadata__' holds " + found + " at " + in_quotes(m_key) + "; its values are strings");
        case place::tensor:
            fail_tensor(m_name,
                        "has " + found + " as " + m_key + "; " + (m_key == "dtype" ? "a string" : "an array of integers") + " is needed");
        case place::shape: fail_tensor(m_name, "has " + found + " in its shape; integers from 0 are needed");
        case place::offsets: break;
        }
        fail_tensor(m_name, "has " + found + " in its data_offsets; integers from 0 are needed");
    }

    std::string m_file, m_name, m_key;
    std::set<std::string, std::less<>> m_names;
    place m_place = place::outside;
};

/// Bytes of a tensor; throws when they cannot be counted in 64 bits. Zeros do not hide an overflow of the other sides.
[[nodiscard]] PALI_INLINE std::uint64_t checked_bytes(const safetensors_header& header, const safetensors_header::entry& tensor) {
    std::uint64_t bits = bits_of(*tensor.type);
    bool empty = false;
    for (const std::size_t side : tensor.shape) {
        if (side == 0) empty = true;
        else if (bits > std::numeric_limits<std::uint64_t>::max() / side)
            header.fail_tensor(tensor.name, "has shape " + describe_shape(tensor.shape) + ", whose size does not fit into 64 bits");
        else bits *= side;
    }
    if (empty) return 0;
    if (bits % 8 != 0)
        header.fail_tensor(tensor.name, "has shape " + describe_shape(tensor.shape) + " of " + to_string(*tensor.type) +
                                            ", which is no whole number of bytes");
    return bits / 8;
}

} // namespace detail

PALI_INLINE safetensors_file::safetensors_file(const std::filesystem::path& path) : m_file(path) {
    const std::span<const std::byte> bytes = m_file.bytes();
    const std::string file = path.string();
    detail::safetensors_header header(file);

    if (bytes.size() < 8)
        header.fail("has " + std::to_string(bytes.size()) + " bytes; a safetensors file begins with 8 that give the length of its header");
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    if (length > safetensors_header_limit)
        header.fail("says that its header has " + std::to_string(length) + " bytes; at most " + std::to_string(safetensors_header_limit) +
                    " are read: is it a safetensors file?");
    if (length > bytes.size() - 8)
        header.fail("says that its header has " + std::to_string(length) + " bytes, but only " + std::to_string(bytes.size() - 8) +
                    " follow: was it downloaded completely?");

    const char* const begin = reinterpret_cast<const char*>(bytes.data()) + 8;
    if (length == 0 || *begin != '{') header.fail("the header must begin with '{'");
    if (std::memchr(begin, 0, length) != nullptr) header.fail("the header holds a zero byte, at which a parser could stop");
    detail::parse_json({begin, length}, header);

    const std::span<const std::byte> data = bytes.subspan(8 + length);
    using entry = detail::safetensors_header::entry;
    std::sort(header.entries.begin(), header.entries.end(), [](const entry& a, const entry& b) { return a.offsets < b.offsets; });
    std::uint64_t end_of_last = 0;
    const entry* last = nullptr;
    for (const entry& tensor : header.entries) {
        const std::uint64_t first = tensor.offsets[0], end = tensor.offsets[1];
        const std::string range = "data_offsets [" + std::to_string(first) + ", " + std::to_string(end) + "]";
        if (first > end) header.fail_tensor(tensor.name, "has " + range + ", which end before they begin");
        if (end > data.size())
            header.fail_tensor(tensor.name, "has " + range + ", but the file has " + std::to_string(data.size()) +
                                                " bytes of data: was it downloaded completely?");
        const std::uint64_t needed = detail::checked_bytes(header, tensor);
        if (end - first != needed)
            header.fail_tensor(tensor.name, "has " + range + ", " + std::to_string(end - first) + " bytes; shape " +
                                                describe_shape(tensor.shape) + " of " + to_string(*tensor.type) + " needs " +
                                                std::to_string(needed));
        if (first < end_of_last)
            header.fail_tensor(tensor.name, "has " + range + ", which overlap tensor " + in_quotes(last->name) + ", whose data end at " +
                                                std::to_string(end_of_last));
        if (first > end_of_last)
            header.fail_tensor(tensor.name, "has " + range + ", which leave a hole: the data before end at " + std::to_string(end_of_last));
        end_of_last = end;
        last = &tensor;
    }
    if (end_of_last != data.size())
        header.fail("has " + std::to_string(data.size()) + " bytes of data, of which tensors cover " + std::to_string(end_of_last) +
                    "; all must belong to a tensor");

    for (entry& tensor : header.entries) {
        const std::size_t first = tensor.offsets[0], size = tensor.offsets[1] - first;
        m_tensors.emplace(std::move(tensor.name), tensor_info{*tensor.type, std::move(tensor.shape), data.subspan(first, size), file});
    }
    m_metadata = std::move(header.metadata);
}

PALI_INLINE const tensor_info& safetensors_file::at(std::string_view name) const {
    const auto found = m_tensors.find(name);
    if (found == m_tensors.end())
        throw error(errc::checkpoint_mismatch,
                    m_file.path().string() + ": has no tensor " + in_quotes(name) + " among its " + std::to_string(m_tensors.size()));
    return found->second;
}

} // namespace pali::inline PALI_ABI
