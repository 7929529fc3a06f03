// A COCO data set that is written as images come.
#pragma once

#include <pali/objects/coco.hpp>

#include <filesystem>
#include <memory>
#include <string>

namespace pali { inline namespace PALI_ABI {

/**
 * Writes the file that coco_writer writes, to the byte, of any number of images: memory holds their names and the categories.
 *
 * The file appears whole, by finish(), or not at all. Until then there are `<path>.part` and `<path>.annotations.part`.
 */
class coco_file {
public:
    /// Begins a file. Throws `cannot_write`.
    explicit coco_file(const std::filesystem::path& path, coco_masks masks = coco_masks::automatic);
    /// Removes what was written unless it is finished.
    ~coco_file();
    /// What is moved from can only be destroyed or assigned to.
    coco_file(coco_file&&) noexcept;
    /// The same.
    coco_file& operator=(coco_file&&) noexcept;

    /// As coco_writer::declare().
    void declare(const std::string& label);
    /// As coco_writer::add(). Failures to write are reported by finish().
    void add(const image_objects& image);
    /// Completes the file. To be called once, at the end. Throws `cannot_write`.
    void finish();

private:
    struct parts; // keeps nlohmann/json out of this header
    std::unique_ptr<parts> m_parts;
};

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/impl/coco_file.ipp>
#endif
