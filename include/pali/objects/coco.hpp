// Objects as a COCO data set, which pycocotools, FiftyOne, CVAT and most trainers read.
#pragma once

#include <pali/objects/image_objects.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// The form of masks in `segmentation`.
enum class coco_masks {
    automatic,   ///< one polygon for each region; run lengths for masks with holes, which a list of polygons cannot express
    polygons,    ///< always polygons; regions and holes of a mask with holes are joined into one
    run_lengths, ///< always run lengths, as pycocotools compresses them
};

/**
 * Collects images one by one; the document is complete at any time, and an earlier one can be gone on with.
 *
 * An annotation of an object with a mask has `segmentation` (see coco_masks), and `area` and `bbox` [x, y, width, height] of the mask's
 * pixels. One without has
 * [], and area and bbox of its box, to a hundredth of a pixel. `iscrowd` is 0; `score` is there too. Ids of images, annotations and
 * categories begin at 1 and follow first appearance. Categories are named by category_name(): "object" where a model gave no label. A file
 * name that is not UTF-8 is written with U+FFFD, and its bytes in hexadecimal as `file_name_bytes`. The document is in memory; coco_file
 * writes one of any size.
 */
class coco_writer {
public:
    /// Without images.
    explicit coco_writer(coco_masks masks = coco_masks::automatic);
    ~coco_writer();
    /// What is moved from can only be destroyed or assigned to.
    coco_writer(coco_writer&&) noexcept;
    /// The same.
    coco_writer& operator=(coco_writer&&) noexcept;

    /// What a file holds, to be gone on with; anything else in it is kept. Throws `cannot_open`; `malformed_file` with what is wrong.
    [[nodiscard]] static coco_writer read(const std::filesystem::path& path, coco_masks masks = coco_masks::automatic);

    /// Adds a category, unless it is there: categories that are declared first have the same ids whatever is found.
    void declare(const std::string& label);
    /// Whether an image of this name has been added.
    [[nodiscard]] bool contains(const std::string& file) const;
    /// Images added.
    [[nodiscard]] std::size_t size() const noexcept;

    /// Adds an image, with objects or without. Throws `invalid_argument` for one that is there or has no name, and a mask of another size
    /// than its image.
    void add(const image_objects& image);

    /// The data set: images, annotations, categories.
    [[nodiscard]] std::string text() const;
    /// The same annotations as a list of results for COCO.loadRes, which an evaluation against true boxes takes.
    [[nodiscard]] std::string results() const;
    /// text() to a file, whole or not at all. Throws `cannot_write`.
    void write(const std::filesystem::path& path) const;

private:
    struct parts; // keeps nlohmann/json out of this header
    std::unique_ptr<parts> m_parts;
};

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/impl/coco.ipp>
#endif
