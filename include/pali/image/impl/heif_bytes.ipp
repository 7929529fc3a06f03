// Boxes and properties of a HEIC or AVIF file.
#pragma once

#include <pali/image/impl/source.ipp>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Big-endian reader of the bytes of a HEIF file. At the end it returns 0 or an empty result.
struct heif_bytes {
    std::string_view left;

    std::uint64_t number(std::size_t bytes) {
        std::uint64_t value = 0;
        if (left.size() < bytes) left = {};
        for (std::size_t i = 0; i < bytes && !left.empty(); ++i) {
            value = value << 8 | static_cast<unsigned char>(left.front());
            left.remove_prefix(1);
        }
        return value;
    }
    /// Type and content of the next box; the type is empty if there is none.
    std::pair<std::string_view, heif_bytes> box() {
        const std::string_view whole = left;
        std::uint64_t size = number(4);
        const std::string_view type = left.substr(0, 4);
        number(4);
        if (size == 1) size = number(8);
        if (size == 0) size = whole.size(); // up to the end
        const std::size_t header = whole.size() - left.size();
        if (type.size() < 4 || size < header || size > whole.size()) return {left = {}, {}};
        left = whole.substr(static_cast<std::size_t>(size));
        return {type, {whole.substr(header, static_cast<std::size_t>(size) - header)}};
    }
    /// Content of the first box of this type; empty if there is none.
    [[nodiscard]] heif_bytes find(std::string_view type) const {
        heif_bytes boxes = *this;
        while (true)
            if (const auto [found, content] = boxes.box(); found.empty() || found == type) return content;
    }
};

/// The properties of all items and those of the primary image, in the order of the container.
struct heif_properties {
    std::vector<std::pair<std::string_view, heif_bytes>> all, primary;
};

PALI_INLINE heif_properties find_heif_properties(const source& from) {
    heif_bytes meta = heif_bytes{{reinterpret_cast<const char*>(from.data()), from.size()}}.find("meta");
    meta.number(4); // version and flags
    heif_bytes primary = meta.find("pitm");
    const std::uint64_t item = primary.number(primary.number(4) >> 24 == 0 ? 2 : 4);
    const heif_bytes properties = meta.find("iprp");

    heif_properties made;
    for (heif_bytes boxes = properties.find("ipco"); !boxes.left.empty();) made.all.push_back(boxes.box());

    heif_bytes associations = properties.find("ipma");
    const std::uint64_t version_and_flags = associations.number(4), items = associations.number(4);
    const bool is_long = (version_and_flags & 1) != 0;
    for (std::uint64_t i = 0; i < items && !associations.left.empty(); ++i) {
        const bool is_primary = associations.number(version_and_flags >> 24 == 0 ? 2 : 4) == item;
        for (std::uint64_t count = associations.number(1); count > 0; --count) {
            const std::uint64_t index = associations.number(is_long ? 2 : 1) & (is_long ? 0x7fff : 0x7f); // without the bit "essential"
            if (is_primary && index > 0 && index <= made.all.size()) made.primary.push_back(made.all[static_cast<std::size_t>(index) - 1]);
        }
        if (is_primary) break;
    }
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail
