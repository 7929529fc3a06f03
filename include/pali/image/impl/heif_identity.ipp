// Y, Cb and Cr of a HEIC or AVIF. Up to version 1.18, libheif returns only RGB, in which chroma is lost where a value is clipped to 0 or
// 255. With the color profile of the identity matrix it copies: Cr to red, Y to green and Cb to blue.
#pragma once

#include <pali/image/impl/heif_bytes.ipp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

PALI_INLINE void append_number(std::string& out, std::uint64_t value, std::size_t bytes) {
    while (bytes-- > 0) out += static_cast<char>(value >> 8 * bytes & 0xff);
}

PALI_INLINE void append_box(std::string& out, std::string_view type, std::string_view content) {
    append_number(out, content.size() + 8, 4);
    out.append(type).append(content);
}

/// Appends the boxes of `from`. `replaced` appends another box and returns true, or returns false for a box to be copied.
template <class Replaced>
void append_boxes(std::string& out, heif_bytes from, const Replaced& replaced) {
    while (true) {
        const std::string_view before = from.left;
        const auto [type, content] = from.box();
        if (type.empty()) return;
        if (!replaced(type, content)) out += before.substr(0, before.size() - from.left.size());
    }
}

/// The associations of items with properties (ipma), and `added` as the first property of each item.
PALI_INLINE std::string with_property(heif_bytes associations, std::size_t added) {
    const std::uint64_t version_and_flags = associations.number(4), items = associations.number(4);
    const bool is_long = (version_and_flags & 1) != 0;
    std::string made;
    append_number(made, version_and_flags | 1, 4);
    append_number(made, items, 4);
    for (std::uint64_t i = 0; i < items && !associations.left.empty(); ++i) {
        const std::size_t bytes = version_and_flags >> 24 == 0 ? 2 : 4;
        append_number(made, associations.number(bytes), bytes);
        std::uint64_t count = std::min<std::uint64_t>(associations.number(1), 254);
        append_number(made, count + 1, 1);
        append_number(made, added, 2);
        for (; count > 0; --count) {
            const std::uint64_t index = associations.number(is_long ? 2 : 1);
            append_number(made, is_long ? index : (index & 0x80) << 8 | (index & 0x7f), 2);
        }
    }
    return made;
}

/// The properties (iprp), in which every color profile, and one more, which is of all items, is the identity matrix with full range.
PALI_INLINE std::string with_identity_profiles(heif_bytes properties) {
    static constexpr std::string_view profile("nclx\0\2\0\2\0\0\x80", 11);
    std::string all, made;
    std::size_t count = 1;
    append_boxes(all, properties.find("ipco"), [&](std::string_view type, heif_bytes) {
        ++count;
        if (type == "colr") append_box(all, type, profile);
        return type == "colr";
    });
    append_box(all, "colr", profile);
    append_boxes(made, properties, [&](std::string_view type, heif_bytes content) {
        if (type == "ipco") append_box(made, type, all);
        if (type == "ipma") append_box(made, type, with_property(content, count));
        return type == "ipco" || type == "ipma";
    });
    return made;
}

/// The references between items (iref) without those of auxiliary images. libheif does not read an image whose alpha it rotates alone.
PALI_INLINE std::string without_alpha(heif_bytes references) {
    std::string made;
    append_number(made, references.number(4), 4);
    append_boxes(made, references, [](std::string_view type, heif_bytes) { return type == "auxl"; });
    return made;
}

/// A copy of the file for which libheif returns Cr, Y and Cb as red, green and blue. The changed metadata is at the end, so that all
/// offsets remain valid; in a truncated file they would refer to it. Empty if there is no metadata, or if it has RGB images or composes
/// images in RGB.
PALI_INLINE std::string with_identity_matrix(const source& from) {
    const std::string_view all(reinterpret_cast<const char*>(from.data()), from.size());
    std::string made(all), meta;
    for (heif_bytes boxes{all}; !boxes.left.empty();) {
        const std::size_t at = all.size() - boxes.left.size();
        auto [type, children] = boxes.box();
        if (type == "meta" && meta.empty()) {
            if (children.left.find("iovl") != all.npos || children.left.find("uncC") != all.npos) return {};
            append_number(meta, children.number(4), 4);
            append_boxes(meta, children, [&](std::string_view child, heif_bytes content) {
                if (child == "iprp") append_box(meta, child, with_identity_profiles(content));
                if (child == "iref") append_box(meta, child, without_alpha(content));
                return child == "iprp" || child == "iref";
            });
            made.replace(at + 4, 4, "free");
        }
        // The last box may extend to the end of the file (size 0). The metadata follows it.
        if (type.empty() || heif_bytes{all.substr(at)}.number(4) == 0) {
            std::string size;
            append_number(size, all.size() - at, 4);
            made.replace(at, 4, size);
        }
    }
    if (meta.empty()) return {};
    append_box(made, "meta", meta);
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail
