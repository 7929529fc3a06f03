// Writes objects as a COCO dataset, which pycocotools, FiftyOne, CVAT and most trainers read.
#pragma once

#include <pali/objects/image_objects.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// Format of masks in `segmentation`.
enum class coco_masks {
    automatic,   ///< one polygon per region; RLE for masks with holes, which a list of polygons cannot express
    polygons,    ///< always polygons; the regions and holes of a mask with holes are joined into one polygon
    run_lengths, ///< always RLE, in pycocotools' compressed form
};

/**
 * Collects images one by one. The document is complete after every call, and an existing dataset can be extended.
 *
 * An object with a mask gets `segmentation` (see coco_masks); `area` and `bbox` [x, y, width, height] are those of the mask's pixels. An
 * object without a mask gets an empty `segmentation`, and the area and bbox of its box, rounded to 1/100 pixel. `iscrowd` is always 0;
 * `score` is written too. Ids of images, annotations and categories start at 1 and follow the order of first appearance. Categories are
 * named by category_name(): "object" if the model gave no label. A file name that is not valid UTF-8 is written with U+FFFD, and its bytes
 * in hexadecimal as `file_name_bytes`. The document is kept in memory; coco_file writes datasets of any size.
 */
class coco_writer {
public:
    /// Creates an empty dataset.
    explicit coco_writer(coco_masks masks = coco_masks::automatic);
    ~coco_writer();
    /// A moved-from writer can only be destroyed or assigned to.
    coco_writer(coco_writer&&) noexcept;
    /// A moved-from writer can only be destroyed or assigned to.
    coco_writer& operator=(coco_writer&&) noexcept;

    /// Reads an existing dataset to extend it; unknown members are kept. Throws `cannot_open`; `malformed_file` with the reason.
    [[nodiscard]] static coco_writer read(const std::filesystem::path& path, coco_masks masks = coco_masks::automatic);

    /// Adds a category unless it exists. Declare the categories before adding images to give them the same ids in every dataset, whatever
    /// is detected.
    void declare(const std::string& label);
    /// Whether an image of this name has been added.
    [[nodiscard]] bool contains(const std::string& file) const;
    /// Number of images.
    [[nodiscard]] std::size_t size() const noexcept;

    /// Adds an image and its objects, if any. Throws `invalid_argument` if the image has no name or was added before, or if a mask differs
    /// in size from its image.
    void add(const image_objects& image);

    /// The dataset as JSON: images, annotations, categories.
    [[nodiscard]] std::string text() const;
    /// The annotations as a list of results for COCO.loadRes, for evaluation against ground truth.
    [[nodiscard]] std::string results() const;
    /// Writes text() to a file, completely or not at all. Throws `cannot_write`.
    void write(const std::filesystem::path& path) const;

private:
    struct parts; // keeps nlohmann/json out of this header
    std::unique_ptr<parts> m_parts;
};

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/impl/coco.ipp>
#endif
