// Objects as plain JSON, a line an image: results that are kept as they come.
#pragma once

#include <pali/objects/image_objects.hpp>

#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// {"file": ..., "width": ..., "height": ..., "objects": [{"label": ..., "score": ..., "box": [x0, y0, x1, y1], "mask": ...}, ...]} without
/// line breaks. Boxes are in pixels, to a hundredth; "mask" is a name of `image.mask_files`, and is there where there is one; so is
/// "text". Bytes that are no UTF-8 become U+FFFD; where that happens to the name, "file_bytes" has its bytes in hexadecimal. A number that
/// is not finite becomes 0. Throws `invalid_argument` when there are mask files, but not one an object.
[[nodiscard]] std::string objects_json(const image_objects& image);

/// A file of such lines that grows image by image, and goes on where an earlier run was stopped.
class json_lines {
public:
    /// Opens a file, which need not be there. A last line of ours that was cut off is taken away. Throws `cannot_open`, `cannot_write`, and
    /// `malformed_file` with the line for one that is no JSON object with a "file".
    explicit json_lines(const std::filesystem::path& path);

    /// Whether a line is about this image.
    [[nodiscard]] bool contains(const std::string& file) const;
    /// Images in the file.
    [[nodiscard]] std::size_t size() const noexcept { return m_files.size(); }
    /// Their names, in the order of the lines.
    [[nodiscard]] const std::vector<std::string>& files() const noexcept { return m_order; }

    /// Appends a line; it is in the file when this returns. Throws `cannot_write`; `invalid_argument` as objects_json does, and for a
    /// image that is there or has no name.
    void add(const image_objects& image);

private:
    void note(const std::string& file);

    std::filesystem::path m_path;
    std::set<std::string> m_files;
    std::vector<std::string> m_order; // of the same names
};

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/impl/json_lines.ipp>
#endif
