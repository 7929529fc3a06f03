// Body of safetensors.hpp: parses the header, builds the table, and checks the data offsets.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/lfs_pointer.hpp>
#include <pali/core/strict_json.ipp>
#include <pali/files/safetensors.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and read in place");

namespace pali { inline namespace PALI_ABI { namespace files {

/// Parses the header of one file. Throws at the first violation of the format.
class safetensors_header {
public:
    using json = nlohmann::json;

    /// A tensor without its bytes, and its offsets in the data section.
    struct entry {
        const std::string* name;
        tensor_info* tensor;
        std::uint64_t begin, end;
    };

    explicit safetensors_header(std::string file) : m_file(std::move(file)) {}

    [[noreturn]] void fail(error_text&& what) const { throw error(errc::malformed_file, {m_file, ": ", std::move(what).str()}); }
    [[noreturn]] void fail_tensor(std::string_view name, error_text&& what) const {
        fail({"tensor ", in_quotes(name), " ", std::move(what).str()});
    }

    [[nodiscard]] std::map<std::string, std::string, std::less<>> read_metadata(const json& value) const {
        std::map<std::string, std::string, std::less<>> out;
        if (value.is_null()) return out;
        if (!value.is_object()) fail({"'__metadata__' is ", describe_json(value), "; it must be an object"});
        for (const auto& [key, text] : value.get_ref<const json::object_t&>()) {
            if (!text.is_string()) fail_text(key, text);
            out.emplace(key, text.get_ref<const std::string&>());
        }
        return out;
    }

    /// Adds the tensor to `table`.
    [[nodiscard]] entry read_tensor(const std::string& name, const json& value, tensor_table& table) const {
        if (!value.is_object()) fail_tensor(name, {"is ", describe_json(value), "; it must be an object"});
        const json& type_name = at(name, value, "dtype");
        if (!type_name.is_string()) fail_tensor(name, {"has dtype ", describe_json(type_name), "; a string is needed"});
        const std::optional<dtype> type = find_dtype(type_name.get_ref<const std::string&>());
        if (!type)
            fail_tensor(name, {"has dtype ", in_quotes(type_name.get_ref<const std::string&>()), "; the format defines ", dtype_names()});
        std::vector<std::size_t> shape = integers(name, value, "shape");
        if (shape.size() > most_dimensions) fail_tensor(name, {"has more than ", most_dimensions, " dimensions, the supported maximum"});
        const std::vector<std::size_t> offsets = integers(name, value, "data_offsets");
        if (offsets.size() != 2) fail_tensor(name, {"has ", offsets.size(), " data_offsets; two are needed, [begin, end]"});
        const auto [at, is_new] = table.emplace(name, tensor_info{*type, std::move(shape), {}, m_file});
        return {&at->first, &at->second, offsets[0], offsets[1]};
    }

    /// Checks a value that a later value with the same key replaces. As in the format's own reader (serde), if the name of a tensor or a
    /// key of `__metadata__` occurs twice, the last value counts, and the earlier values must be valid. A duplicate of a fixed field is an
    /// error.
    void check_replaced(const std::vector<std::string_view>& path, const json& value) const {
        const bool metadata = path[0] == "__metadata__";
        if (path.size() == 1 && !metadata) {
            tensor_table dropped;
            (void)read_tensor(std::string(path[0]), value, dropped);
        } else if (path.size() == 1) {
            fail("the header has '__metadata__' twice");
        } else if (path.size() == 2 && metadata) {
            if (!value.is_string()) fail_text(path[1], value);
        } else if (path.size() == 2 && (path[1] == "dtype" || path[1] == "shape" || path[1] == "data_offsets")) {
            fail_tensor(path[0], {"has ", path[1], " twice"});
        }
    }

private:
    static constexpr std::size_t most_dimensions = 32; // torch's models have at most 5; numpy allows 64

    [[noreturn]] void fail_text(std::string_view key, const json& value) const {
        fail({"'__metadata__' has ", describe_json(value), " at ", in_quotes(key), "; its values must be strings"});
    }

    [[nodiscard]] const json& at(const std::string& name, const json& tensor, const char* key) const {
        const auto found = tensor.find(key);
        if (found == tensor.end()) fail_tensor(name, std::string("has no ") + key);
        return *found;
    }
    [[nodiscard]] std::vector<std::size_t> integers(const std::string& name, const json& tensor, const char* key) const {
        const json& list = at(name, tensor, key);
        std::vector<std::size_t> out;
        if (list.is_array())
            for (const json& value : list.get_ref<const json::array_t&>())
                if (value.is_number_unsigned()) out.push_back(value.get<std::size_t>());
        if (!list.is_array() || out.size() != list.size())
            fail_tensor(name, {"has ", key, " ", describe_json(list), "; an array of integers of 0 or more is needed"});
        return out;
    }

    std::string m_file;
};

/// Size of a tensor in bytes. Throws if it overflows 64 bits, even if another dimension is 0.
[[nodiscard]] PALI_INLINE std::uint64_t checked_bytes(const safetensors_header& header, const std::string& name,
                                                      const tensor_info& tensor) {
    const std::optional<std::uint64_t> bits = checked_size(bits_of(tensor.type), tensor.shape);
    if (!bits) header.fail_tensor(name, {"has shape ", describe_shape(tensor.shape), ", whose size does not fit into 64 bits"});
    if (*bits % 8 != 0)
        header.fail_tensor(
            name, {"has shape ", describe_shape(tensor.shape), " of ", to_string(tensor.type), ", which is not a whole number of bytes"});
    return *bits / 8;
}

PALI_INLINE safetensors_file::safetensors_file(const std::filesystem::path& path) : m_file(path) {
    const std::span<const std::byte> bytes = m_file.bytes();
    const safetensors_header header(path.string());

    if (is_lfs_pointer({reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 64)}))
        throw error(errc::malformed_file, {path.string(), lfs_pointer_words});
    if (bytes.size() < 8) header.fail({"has ", bytes.size(), " bytes; a safetensors file begins with the length of its header, 8 bytes"});
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    if (length > safetensors_header_limit)
        header.fail(
            {"declares a header of ", length, " bytes; at most ", safetensors_header_limit, " are supported: is it a safetensors file?"});
    if (length > bytes.size() - 8)
        header.fail({"declares a header of ", length, " bytes, but only ", bytes.size() - 8, " follow: was it downloaded completely?"});

    const char* const begin = reinterpret_cast<const char*>(bytes.data()) + 8;
    if (length == 0 || *begin != '{') header.fail("the header must begin with '{'");
    if (std::memchr(begin, 0, length) != nullptr) header.fail("the header contains a zero byte, at which a parser could stop");
    const nlohmann::json document = parse_json(
        {begin, length}, [&](error_text&& what) { header.fail({"the header ", std::move(what).str()}); },
        [&](const std::vector<std::string_view>& place, const nlohmann::json& value) { header.check_replaced(place, value); });

    using entry = safetensors_header::entry;
    std::vector<entry> entries;
    for (const auto& [name, value] : document.get_ref<const nlohmann::json::object_t&>()) {
        if (name == "__metadata__") m_metadata = header.read_metadata(value);
        else entries.push_back(header.read_tensor(name, value, m_tensors));
    }

    const std::span<const std::byte> data = bytes.subspan(8 + length);
    std::sort(entries.begin(), entries.end(),
              [](const entry& a, const entry& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
    std::uint64_t end_of_last = 0;
    const entry* last = nullptr;
    for (const entry& now : entries) {
        const auto fail = [&](error_text&& what) {
            header.fail_tensor(*now.name, {"has data_offsets [", now.begin, ", ", now.end, "], ", std::move(what).str()});
        };
        if (now.begin > now.end) fail("which end before they begin");
        if (now.end > data.size()) fail({"but the file has ", data.size(), " bytes of data: was it downloaded completely?"});
        const std::uint64_t needed = checked_bytes(header, *now.name, *now.tensor);
        if (now.end - now.begin != needed)
            fail({now.end - now.begin, " bytes; shape ", describe_shape(now.tensor->shape), " of ", to_string(now.tensor->type), " needs ",
                  needed});
        if (now.begin < end_of_last) fail({"which overlap tensor ", in_quotes(*last->name), ", whose data ends at ", end_of_last});
        if (now.begin > end_of_last) fail({"which leave a gap: the preceding data ends at ", end_of_last});
        now.tensor->bytes = data.subspan(now.begin, needed);
        end_of_last = now.end;
        last = &now;
    }
    if (end_of_last != data.size())
        header.fail({"has ", data.size(), " bytes of data, of which tensors cover ", end_of_last, "; every byte must belong to a tensor"});
}

PALI_INLINE const tensor_info& safetensors_file::at(std::string_view name) const { return tensor_of(m_tensors, name, m_file.path()); }

}}} // namespace pali::PALI_ABI::files
