// Implementation of coco.hpp.
#pragma once

#include <pali/core/require_path.ipp>
#include <pali/core/write_file.hpp>
#include <pali/objects/categories.hpp>
#include <pali/objects/coco.hpp>
#include <pali/objects/impl/json_values.ipp>
#include <pali/objects/polygons.hpp>
#include <pali/objects/rle.hpp>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <map>
#include <set>
#include <utility>

namespace pali { inline namespace PALI_ABI {

namespace objects {

/// Bounding rectangle (right and bottom exclusive) and number of the pixels inside.
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

/// A list of polygons, or RLE in pycocotools' compressed form.
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

/// Creates the entries of a dataset; tracks known names and the last ids.
struct coco_entries {
    using json = nlohmann::ordered_json;

    coco_masks masks = coco_masks::automatic;
    std::set<std::string> files;
    std::map<std::string, std::int64_t> categories; // name -> id
    std::int64_t last_image = 0, last_annotation = 0, last_category = 0;

    /// The id of the label's category; appends a new category to `list`.
    std::int64_t category_of(const std::string& label, json& list) {
        std::string name = category_name(label);
        const auto [found, is_new] = categories.try_emplace(name, last_category + 1);
        if (is_new) list.push_back({{"id", ++last_category}, {"name", std::move(name)}, {"supercategory", ""}});
        return found->second;
    }

    /// Creates the "images" entry; call annotation() next, for each object. Throws as coco_writer::add() does.
    [[nodiscard]] json image(const image_objects& image) {
        if (image.file.empty() || files.contains(image.file))
            throw error(errc::invalid_argument, {"coco_writer: ", in_quotes(image.file), " is empty or was added before"});
        for (const object& o : image.objects) check_mask("coco_writer", image, o);
        files.insert(image.file);
        json made = {{"id", ++last_image}};
        add_name(made, "file_name", image.file);
        made["width"] = image.width;
        made["height"] = image.height;
        return made;
    }

    /// Creates the "annotations" entry of an object in the image added last.
    [[nodiscard]] json annotation(const object& o, json& category_list) {
        const double x = to_hundredths(static_cast<double>(o.box.x0)), y = to_hundredths(static_cast<double>(o.box.y0));
        const double width = std::max(to_hundredths(static_cast<double>(o.box.x1) - x), 0.0);
        const double height = std::max(to_hundredths(static_cast<double>(o.box.y1) - y), 0.0);
        json made = {{"id", ++last_annotation}, {"image_id", last_image}, {"category_id", category_of(o.label, category_list)}};
        made["bbox"] = {x, y, width, height};
        if (o.mask.empty()) {
            made["area"] = to_hundredths(width * height);
            made["segmentation"] = json::array();
        } else {
            const mask_extent extent(o.mask);
            if (extent.pixels > 0) made["bbox"] = {extent.x0, extent.y0, extent.x1 - extent.x0, extent.y1 - extent.y0};
            made["area"] = extent.pixels;
            made["segmentation"] = coco_segmentation(o.mask, masks);
        }
        made["iscrowd"] = 0;
        made["score"] = score_value(o.score);
        return made;
    }
};

/// Serializes on one line. Values read from a file may contain invalid UTF-8, which becomes U+FFFD.
[[nodiscard]] PALI_INLINE std::string coco_text(const nlohmann::ordered_json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

[[nodiscard]] PALI_INLINE nlohmann::ordered_json coco_info() { return {{"description", "objects found by pali"}}; }

} // namespace objects

struct coco_writer::parts {
    objects::coco_entries entries;
    nlohmann::ordered_json document = {{"info", objects::coco_info()},
                                       {"images", nlohmann::ordered_json::array()},
                                       {"annotations", nlohmann::ordered_json::array()},
                                       {"categories", nlohmann::ordered_json::array()}};
};

PALI_INLINE coco_writer::coco_writer(coco_masks masks) : m_parts(std::make_unique<parts>()) { m_parts->entries.masks = masks; }
PALI_INLINE void coco_writer::declare(const std::string& label) {
    (void)m_parts->entries.category_of(label, m_parts->document["categories"]);
}
PALI_INLINE coco_writer::~coco_writer() = default;
PALI_INLINE coco_writer::coco_writer(coco_writer&&) noexcept = default;
PALI_INLINE coco_writer& coco_writer::operator=(coco_writer&&) noexcept = default;

PALI_INLINE coco_writer coco_writer::read(const std::filesystem::path& path, coco_masks masks) {
    std::ifstream in = core::open_file(path);
    const auto fail = [&](core::error_text&& what) { throw error(errc::malformed_file, {path.string(), ": ", std::move(what).str()}); };
    coco_writer made(masks);
    parts& p = *made.m_parts;
    p.document = nlohmann::ordered_json::parse(in, nullptr, false);
    if (!p.document.is_object()) fail("is not a JSON object");
    // Each entry of a list needs a unique id; new entries continue after the largest.
    const auto read_list = [&](const char* list, std::int64_t& last, auto&& entry) {
        if (!p.document.contains(list) || !p.document[list].is_array()) fail({"has no list \"", list, "\""});
        std::set<std::int64_t> ids;
        for (const auto& one : p.document[list]) {
            const auto id = one.is_object() ? one.find("id") : one.end();
            if (!one.is_object() || id == one.end() || !id->is_number_integer() || id->template get<std::int64_t>() < 0 ||
                id->template get<std::int64_t>() >= INT64_MAX / 2 || !ids.insert(id->template get<std::int64_t>()).second)
                fail({"an entry of \"", list, "\" is not an object with a unique \"id\""});
            last = std::max(last, *ids.rbegin());
            if (!entry(one, id->template get<std::int64_t>())) fail({"an entry of \"", list, "\" has no unique name"});
        }
    };
    read_list("images", p.entries.last_image, [&](const auto& one, std::int64_t) {
        const std::string file = objects::name_of(one, "file_name");
        return !file.empty() && p.entries.files.insert(file).second;
    });
    read_list("categories", p.entries.last_category, [&](const auto& one, std::int64_t id) {
        const std::string name = objects::name_of(one, "name");
        return !name.empty() && p.entries.categories.try_emplace(name, id).second;
    });
    read_list("annotations", p.entries.last_annotation, [](const auto&, std::int64_t) { return true; });
    return made;
}

PALI_INLINE bool coco_writer::contains(const std::string& file) const { return m_parts->entries.files.contains(file); }
PALI_INLINE std::size_t coco_writer::size() const noexcept { return m_parts->entries.files.size(); }

PALI_INLINE void coco_writer::add(const image_objects& image) {
    parts& p = *m_parts;
    p.document["images"].push_back(p.entries.image(image));
    for (const object& o : image.objects) p.document["annotations"].push_back(p.entries.annotation(o, p.document["categories"]));
}

PALI_INLINE std::string coco_writer::text() const { return objects::coco_text(m_parts->document) + '\n'; }

PALI_INLINE std::string coco_writer::results() const {
    auto list = nlohmann::ordered_json::array();
    for (const auto& a : m_parts->document["annotations"]) {
        nlohmann::ordered_json one;
        for (const char* key : {"image_id", "category_id", "bbox", "segmentation", "score"})
            if (a.contains(key) && !(a[key].is_array() && a[key].empty())) one[key] = a[key];
        list.push_back(std::move(one));
    }
    return objects::coco_text(list) + '\n';
}

PALI_INLINE void coco_writer::write(const std::filesystem::path& path) const { core::write_file(path, text()); }

}} // namespace pali::PALI_ABI
