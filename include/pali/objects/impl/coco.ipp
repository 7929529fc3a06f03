// Bodies of coco.hpp.
#pragma once

#include <pali/core/require_path.ipp>
#include <pali/objects/categories.hpp>
#include <pali/objects/coco.hpp>
#include <pali/objects/impl/json_values.ipp>
#include <pali/objects/polygons.hpp>
#include <pali/objects/rle.hpp>
#include <pali/core/write_file.hpp>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <map>
#include <set>
#include <utility>

namespace pali::inline PALI_ABI {

namespace object_detail {

/// The smallest rectangle around the pixels inside, right and bottom excluded, and their number.
struct mask_extent {
    std::size_t x0 = 0, y0 = 0, x1 = 0, y1 = 0, pixels = 0;

    explicit mask_extent(const mask& from) {
        for (std::size_t y = 0; y < from.height; ++y)
            for (std::size_t x = 0; x < from.width; ++x) {
                if (!from.contains(x, y)) continue;
                if (pixels++ == 0) x0 = x, y0 = y;
                x0 = std::min(x0, x), x1 = std::max(x1, x + 1), y1 = y + 1;
            }
    }
};

/// A list of polygons, or run lengths as pycocotools compresses them.
[[nodiscard]] PALI_INLINE nlohmann::ordered_json coco_segmentation(const mask& from, coco_masks form) {
    const mask_polygons borders = form == coco_masks::run_lengths ? mask_polygons() : polygons_of(from);
    if (form == coco_masks::run_lengths || borders.outlines.empty() || (form == coco_masks::automatic && !borders.holes.empty()))
        return {{"size", {from.height, from.width}}, {"counts", to_string(runs_of(from))}};
    auto list = nlohmann::ordered_json::array();
    const auto add = [&](const polygon& line) {
        auto numbers = nlohmann::ordered_json::array();
        for (const polygon_point& point : line) numbers.insert(numbers.end(), {point.x, point.y});
        list.push_back(std::move(numbers));
    };
    if (borders.holes.empty()) std::for_each(borders.outlines.begin(), borders.outlines.end(), add);
    else add(joined(borders));
    return list;
}

} // namespace object_detail

struct coco_writer::parts {
    coco_masks masks = coco_masks::automatic;
    nlohmann::ordered_json document = {{"info", {{"description", "objects found by pali"}}},
                                       {"images", nlohmann::ordered_json::array()},
                                       {"annotations", nlohmann::ordered_json::array()},
                                       {"categories", nlohmann::ordered_json::array()}};
    std::set<std::string> files;
    std::map<std::string, std::int64_t> categories;                 // name -> id
    std::int64_t last_image = 0, last_annotation = 0, last_category = 0;

    std::int64_t category_of(const std::string& label) {
        std::string name = category_name(label);
        const auto [found, is_new] = categories.try_emplace(name, last_category + 1);
        if (is_new) document["categories"].push_back({{"id", ++last_category}, {"name", std::move(name)}, {"supercategory", ""}});
        return found->second;
    }
};

PALI_INLINE coco_writer::coco_writer(coco_masks masks) : m_parts(std::make_unique<parts>()) { m_parts->masks = masks; }
PALI_INLINE void coco_writer::declare(const std::string& label) { m_parts->category_of(label); }
PALI_INLINE coco_writer::~coco_writer() = default;
PALI_INLINE coco_writer::coco_writer(coco_writer&&) noexcept = default;
PALI_INLINE coco_writer& coco_writer::operator=(coco_writer&&) noexcept = default;

PALI_INLINE coco_writer coco_writer::read(const std::filesystem::path& path, coco_masks masks) {
    std::ifstream in = detail::open_file(path);
    const auto fail = [&](const error_text& what) { throw error(errc::malformed_file, {path.string(), ": ", what}); };
    coco_writer made(masks);
    parts& p = *made.m_parts;
    p.document = nlohmann::ordered_json::parse(in, nullptr, false);
    if (!p.document.is_object()) fail("is no JSON object");
    // Each entry of a list has an id of its own, from 1 on: what is added later goes on behind the last.
    const auto read_list = [&](const char* list, std::int64_t& last, auto&& entry) {
        if (!p.document.contains(list) || !p.document[list].is_array()) fail({"has no list \"", list, "\""});
        std::set<std::int64_t> ids;
        for (const auto& one : p.document[list]) {
            const auto id = one.is_object() ? one.find("id") : one.end();
            if (!one.is_object() || id == one.end() || !id->is_number_integer() || id->template get<std::int64_t>() < 0 ||
                id->template get<std::int64_t>() >= INT64_MAX / 2 || !ids.insert(id->template get<std::int64_t>()).second)
                fail({"an entry of \"", list, "\" is no object with an \"id\" of its own"});
            last = std::max(last, *ids.rbegin());
            if (!entry(one, id->template get<std::int64_t>())) fail({"an entry of \"", list, "\" has no name of its own"});
        }
    };
    read_list("images", p.last_image, [&](const auto& one, std::int64_t) {
        const std::string file = object_detail::name_of(one, "file_name");
        return !file.empty() && p.files.insert(file).second;
    });
    read_list("categories", p.last_category, [&](const auto& one, std::int64_t id) {
        const std::string name = object_detail::name_of(one, "name");
        return !name.empty() && p.categories.try_emplace(name, id).second;
    });
    read_list("annotations", p.last_annotation, [](const auto&, std::int64_t) { return true; });
    return made;
}

PALI_INLINE bool coco_writer::contains(const std::string& file) const { return m_parts->files.contains(file); }
PALI_INLINE std::size_t coco_writer::size() const noexcept { return m_parts->files.size(); }

PALI_INLINE void coco_writer::add(const picture_objects& picture) {
    using object_detail::to_hundredths;
    const std::string& file = picture.file;
    if (file.empty() || contains(file)) throw error(errc::invalid_argument, {"coco_writer: ", in_quotes(file), " is no name, or has been added before"});
    for (const object& o : picture.objects) object_detail::check_mask("coco_writer", picture, o);
    parts& p = *m_parts;
    p.files.insert(file);
    nlohmann::ordered_json image = {{"id", ++p.last_image}};
    object_detail::add_name(image, "file_name", file);
    image["width"] = picture.width;
    image["height"] = picture.height;
    p.document["images"].push_back(std::move(image));
    for (const object& o : picture.objects) {
        const double x = to_hundredths(static_cast<double>(o.box.x0)), y = to_hundredths(static_cast<double>(o.box.y0));
        const double width = std::max(to_hundredths(static_cast<double>(o.box.x1) - x), 0.0);
        const double height = std::max(to_hundredths(static_cast<double>(o.box.y1) - y), 0.0);
        nlohmann::ordered_json made = {{"id", ++p.last_annotation}, {"image_id", p.last_image}, {"category_id", p.category_of(o.label)}};
        made["bbox"] = {x, y, width, height};
        if (o.mask.empty()) {
            made["area"] = to_hundredths(width * height);
            made["segmentation"] = nlohmann::ordered_json::array();
        } else {
            const object_detail::mask_extent extent(o.mask);
            if (extent.pixels > 0) made["bbox"] = {extent.x0, extent.y0, extent.x1 - extent.x0, extent.y1 - extent.y0};
            made["area"] = extent.pixels;
            made["segmentation"] = object_detail::coco_segmentation(o.mask, p.masks);
        }
        made["iscrowd"] = 0;
        made["score"] = object_detail::score_value(o.score);
        p.document["annotations"].push_back(std::move(made));
    }
}

PALI_INLINE std::string coco_writer::text() const {
    return m_parts->document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n'; // replace: what was read may hold anything
}

PALI_INLINE std::string coco_writer::results() const {
    auto list = nlohmann::ordered_json::array();
    for (const auto& a : m_parts->document["annotations"]) {
        nlohmann::ordered_json one;
        for (const char* key : {"image_id", "category_id", "bbox", "segmentation", "score"})
            if (a.contains(key) && !(a[key].is_array() && a[key].empty())) one[key] = a[key];
        list.push_back(std::move(one));
    }
    return list.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

PALI_INLINE void coco_writer::write(const std::filesystem::path& path) const { write_file(path, text()); }

} // namespace pali::inline PALI_ABI
