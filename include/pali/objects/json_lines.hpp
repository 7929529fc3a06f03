// Writes objects as JSON Lines, one line per image, so that results can be streamed.
#pragma once

#include <pali/objects/image_objects.hpp>

#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// Returns {"file": ..., "width": ..., "height": ..., "objects": [{"label": ..., "score": ..., "box": [x0, y0, x1, y1], "mask": ...}, ...]}
/// without line breaks. Boxes are in pixels, rounded to 1/100. "mask" is the name in `image.mask_files`; "mask" and "text" are omitted if
/// empty. Invalid UTF-8 becomes U+FFFD. If the file name contains any, its bytes are also written in hexadecimal as "file_bytes". Numbers
/// that are not finite become 0. Throws `invalid_argument` if `image.mask_files` is neither empty nor one name per object.
[[nodiscard]] std::string objects_json(const image_objects& image);

/// A JSON Lines file that grows image by image and can be resumed after an interruption.
class json_lines {
public:
    /// Opens a file, which need not exist. An incomplete last line written by this class is removed. Throws `cannot_open`, `cannot_write`,
    /// and `malformed_file` with the line number if a line is not a JSON object with a "file".
    explicit json_lines(const std::filesystem::path& path);

    /// Whether a line describes this image.
    [[nodiscard]] bool contains(const std::string& file) const;
    /// Number of images in the file.
    [[nodiscard]] std::size_t size() const noexcept { return m_files.size(); }
    /// Image names, in the order of the lines.
    [[nodiscard]] const std::vector<std::string>& files() const noexcept { return m_order; }

    /// Appends a line and writes it to the file before returning. Throws `cannot_write`; `invalid_argument` as objects_json does, and if
    /// the image has no name or was added before.
    void add(const image_objects& image);

private:
    void note(const std::string& file);

    std::filesystem::path m_path;
    std::set<std::string> m_files;
    std::vector<std::string> m_order; // the same names, in file order
};

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/impl/json_lines.ipp>
#endif
