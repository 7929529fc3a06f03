// Writes a COCO dataset incrementally.
#pragma once

#include <pali/objects/coco.hpp>

#include <filesystem>
#include <memory>
#include <string>

namespace pali { inline namespace PALI_ABI {

/**
 * Writes the same file as coco_writer, byte for byte, for any number of images. Keeps only the image names and the categories in memory.
 *
 * Until finish() is called, the data is in `<path>.part` and `<path>.annotations.part`. finish() creates the complete file; without
 * finish(), no file is created.
 */
class coco_file {
public:
    /// Creates the temporary files. Throws `cannot_write`.
    explicit coco_file(const std::filesystem::path& path, coco_masks masks = coco_masks::automatic);
    /// Removes the temporary files unless finish() was called.
    ~coco_file();
    /// A moved-from object can only be destroyed or assigned to.
    coco_file(coco_file&&) noexcept;
    /// A moved-from object can only be destroyed or assigned to.
    coco_file& operator=(coco_file&&) noexcept;

    /// See coco_writer::declare().
    void declare(const std::string& label);
    /// See coco_writer::add(). Write errors are reported by finish().
    void add(const image_objects& image);
    /// Completes the file; call it once, at the end. Throws `cannot_write`.
    void finish();

private:
    struct parts; // keeps nlohmann/json out of this header
    std::unique_ptr<parts> m_parts;
};

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/impl/coco_file.ipp>
#endif
