// Implementation of coco_file.hpp.
#pragma once

#include <pali/core/write_file.hpp>
#include <pali/objects/coco_file.hpp>
#include <pali/objects/impl/coco.ipp>

#include <array>
#include <cstddef>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

namespace pali { inline namespace PALI_ABI {

struct coco_file::parts {
    core::file_writer file;      // receives the images first
    std::filesystem::path aside; // annotations, which follow all images in the file
    std::fstream annotations;
    objects::coco_entries entries;
    nlohmann::ordered_json categories = nlohmann::ordered_json::array();

    explicit parts(const std::filesystem::path& path) : file(path), aside(path) {
        aside += ".annotations.part";
        annotations.open(aside, std::ios::in | std::ios::out | std::ios::binary | std::ios::trunc);
        if (!annotations) file.fail();
    }
    ~parts() {
        std::error_code ignored;
        annotations.close();
        std::filesystem::remove(aside, ignored);
    }
    parts(const parts&) = delete;
    parts& operator=(const parts&) = delete;
};

PALI_INLINE coco_file::coco_file(const std::filesystem::path& path, coco_masks masks) : m_parts(std::make_unique<parts>(path)) {
    m_parts->entries.masks = masks;
    m_parts->file.write("{\"info\":" + objects::coco_text(objects::coco_info()) + ",\"images\":[");
}
PALI_INLINE coco_file::~coco_file() = default;
PALI_INLINE coco_file::coco_file(coco_file&&) noexcept = default;
PALI_INLINE coco_file& coco_file::operator=(coco_file&&) noexcept = default;

PALI_INLINE void coco_file::declare(const std::string& label) { (void)m_parts->entries.category_of(label, m_parts->categories); }

PALI_INLINE void coco_file::add(const image_objects& image) {
    parts& p = *m_parts;
    const nlohmann::ordered_json entry = p.entries.image(image);
    p.file.write((p.entries.last_image > 1 ? "," : "") + objects::coco_text(entry));
    for (const object& o : image.objects) {
        const nlohmann::ordered_json made = p.entries.annotation(o, p.categories);
        p.annotations << (p.entries.last_annotation > 1 ? "," : "") << objects::coco_text(made);
    }
}

PALI_INLINE void coco_file::finish() {
    parts& p = *m_parts;
    p.file.write("],\"annotations\":[");
    p.annotations.flush();
    p.annotations.seekg(0);
    if (!p.annotations) p.file.fail();
    std::array<char, std::size_t{1} << 16> bytes;
    while (p.annotations.read(bytes.data(), bytes.size()), p.annotations.gcount() > 0)
        p.file.write(std::string_view(bytes.data(), static_cast<std::size_t>(p.annotations.gcount())));
    if (p.annotations.bad()) p.file.fail();
    p.file.write("],\"categories\":" + objects::coco_text(p.categories) + "}\n");
    p.file.finish();
}

}} // namespace pali::PALI_ABI
