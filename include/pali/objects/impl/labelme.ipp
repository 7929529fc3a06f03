// Implementation of labelme.hpp.
#pragma once

#include <pali/image/impl/base64.ipp>
#include <pali/image/write.hpp>
#include <pali/objects/categories.hpp>
#include <pali/objects/impl/json_values.ipp>
#include <pali/objects/labelme.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace pali { inline namespace PALI_ABI {

namespace objects {

/// Bounding rectangle of the pixels inside (last row and column inclusive) and its content as gray bytes 0 and 255; empty if no pixel is
/// inside.
struct mask_cutout {
    std::size_t x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    std::vector<std::uint8_t> grey;

    explicit mask_cutout(const mask& from) {
        x0 = from.width, y0 = from.height;
        for (std::size_t y = 0; y < from.height; ++y)
            for (std::size_t x = 0; x < from.width; ++x)
                if (from.contains(x, y)) {
                    x0 = std::min(x0, x), x1 = std::max(x1, x);
                    y0 = std::min(y0, y), y1 = y;
                }
        for (std::size_t y = y0; y <= y1 && y < from.height; ++y)
            for (std::size_t x = x0; x <= x1; ++x) grey.push_back(from.contains(x, y) ? 255 : 0);
    }
};

} // namespace objects

PALI_INLINE std::string labelme_text(const image_objects& image) {
    using json = nlohmann::ordered_json;
    using objects::to_hundredths;
    json shapes = json::array();
    for (const object& o : image.objects) {
        objects::check_mask("labelme_text", image, o);
        const auto at = [](float v) { return objects::to_hundredths(static_cast<double>(v)); };
        json shape = {{"label", category_name(o.label)},
                      {"points", {{at(o.box.x0), at(o.box.y0)}, {at(o.box.x1), at(o.box.y1)}}},
                      {"group_id", nullptr},
                      {"description", json(objects::score_value(o.score)).dump()},
                      {"shape_type", "rectangle"},
                      {"flags", json::object()},
                      {"mask", nullptr}};
        if (const objects::mask_cutout cut(o.mask); !cut.grey.empty()) {
            shape["points"] = {{cut.x0, cut.y0}, {cut.x1, cut.y1}};
            shape["shape_type"] = "mask";
            shape["mask"] = image_detail::base64(encode_png(cut.x1 - cut.x0 + 1, cut.y1 - cut.y0 + 1, cut.grey));
        }
        shapes.push_back(std::move(shape));
    }
    const json document = {
        {"version", "5.5.0"},   {"flags", json::object()},     {"shapes", std::move(shapes)}, {"imagePath", objects::utf8_of(image.file)},
        {"imageData", nullptr}, {"imageHeight", image.height}, {"imageWidth", image.width}};
    return document.dump(2, ' ', true) + '\n'; // labelme reads files in the system encoding; ASCII is valid in all of them
}

}} // namespace pali::PALI_ABI
