// The folder that results are written to: one line a picture as it comes, and the formats asked for. A run that was stopped is gone on with.
#pragma once

#include <pali/image/image.hpp>
#include <pali/objects/categories.hpp>
#include <pali/objects/coco.hpp>
#include <pali/objects/json_lines.hpp>
#include <pali/objects/object.hpp>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// What can be asked for besides results.jsonl.
struct result_formats {
    bool coco = false;    ///< coco.json
    bool yolo = false;    ///< NAME.txt, classes.txt
    bool labelme = false; ///< NAME.json
    bool drawn = false;   ///< NAME.drawn.png, or .jpg for a JPEG
};

class result_folder {
public:
    /// Makes the folder, or goes on with what is in it, if `asked` - the prompt, and what else decides the answers - was the same then. Throws pali::error.
    result_folder(std::filesystem::path folder, const std::string& asked, const result_formats& formats);

    /// Whether an earlier run has done this picture.
    [[nodiscard]] bool has(const std::filesystem::path& picture) const;

    /// Writes all that belongs to a picture; `text` is what was said besides objects. Returns the names of the masks' files, within the folder, one an
    /// object; "" for one without.
    std::vector<std::string> add(const std::filesystem::path& picture, const pali::image& photo, const std::vector<pali::object>& objects, const std::string& text);

    /// Writes what is one file for all pictures.
    void finish();

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_folder; }

private:
    /// What its files are called. In the order of results.jsonl, so that a run that goes on calls them as the one before.
    const std::string& stem_of(const std::filesystem::path& picture);

    std::filesystem::path m_folder;
    result_formats m_formats;
    pali::json_lines m_lines;
    std::optional<pali::coco_writer> m_coco;
    pali::category_list m_categories;
    std::map<std::string, std::string> m_stem_of; ///< by picture
    std::set<std::string> m_stems{"asked", "classes", "coco", "results"}; ///< that are taken: files of ours have these
    std::chrono::steady_clock::time_point m_written = std::chrono::steady_clock::now();
};

/// Boxes, masks, labels and scores drawn over the picture.
[[nodiscard]] pali::image draw_objects(const pali::image& photo, const std::vector<pali::object>& objects);
