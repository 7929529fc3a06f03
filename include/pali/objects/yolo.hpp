// Writes objects in YOLO's training format: one text file per image.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/objects/categories.hpp>
#include <pali/objects/image_objects.hpp>
#include <pali/objects/polygons.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// Content of the lines.
enum class yolo_form {
    boxes,    ///< "class center-x center-y width height": detection datasets
    polygons, ///< "class x y x y ...": segmentation datasets; the border of the mask, or the corners of the box if there is no mask
};

/// Returns one line per object. Coordinates are fractions of the image size, 0 to 1, with six decimals. The decimal separator is a point in
/// every locale. New labels get new numbers in `categories`. Boxes are clipped to the image; those without area are dropped. A mask of
/// several regions or with holes becomes one polygon: see joined(). The format has no scores.
[[nodiscard]] inline std::string yolo_text(const image_objects& image, category_list& categories, yolo_form form = yolo_form::boxes) {
    const auto share = [](double part) {
        const auto millionths = static_cast<std::uint64_t>(std::llround(part * 1e6));
        const std::string digits = std::to_string(millionths % 1'000'000);
        return ' ' + std::to_string(millionths / 1'000'000) + '.' + std::string(6 - digits.size(), '0') + digits;
    };
    const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
    std::string out;
    for (const object& o : image.objects) {
        if (const polygon border = form == yolo_form::polygons && o.mask.width == image.width && o.mask.height == image.height
                                       ? joined(polygons_of(o.mask))
                                       : polygon();
            !border.empty()) {
            out += std::to_string(categories.number_of(o.label));
            for (const polygon_point& point : border)
                out += share(static_cast<double>(point.x) / width) + share(static_cast<double>(point.y) / height);
            out += '\n';
            continue;
        }
        const auto cut = [](float at, double side) { return std::clamp(static_cast<double>(at), 0.0, side) / side; };
        const double x0 = cut(o.box.x0, width), x1 = cut(o.box.x1, width), y0 = cut(o.box.y0, height), y1 = cut(o.box.y1, height);
        if (!(x1 > x0 && y1 > y0)) continue; // also drops NaN
        out += std::to_string(categories.number_of(o.label));
        if (form == yolo_form::boxes) out += share((x0 + x1) / 2) + share((y0 + y1) / 2) + share(x1 - x0) + share(y1 - y0);
        else out += share(x0) + share(y0) + share(x1) + share(y0) + share(x1) + share(y1) + share(x0) + share(y1);
        out += '\n';
    }
    return out;
}

}} // namespace pali::PALI_ABI
