// The results folder. Any number of processes on any number of machines can share it, and an interrupted run can be resumed.
#pragma once

#include "answers.hpp"
#include "claims.hpp"

#include <pali/image/image.hpp>
#include <pali/objects/categories.hpp>
#include <pali/objects/coco.hpp>
#include <pali/objects/object.hpp>

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Output formats in addition to results.jsonl.
struct result_formats {
    bool coco = false;    ///< coco.json
    bool yolo = false;    ///< labels/, images/, data.yaml
    bool labelme = false; ///< labelme/
    bool drawn = false;   ///< NAME.drawn.png, or .jpg for a JPEG
    pali::coco_masks masks = pali::coco_masks::automatic;
};

/// Names and identity of an image in the results.
struct image_name {
    std::filesystem::path path;                   ///< path to open
    std::string given;                            ///< as given by the user or listed from a folder
    std::string place;                            ///< path relative to the results folder
    std::string name;                             ///< image folder name and path inside it; independent of where the folders are
    std::size_t ordinal = 1;                      ///< number among this run's images of the same name, from 1
    std::optional<file_mark> mark = std::nullopt; ///< size and time of its file; std::nullopt if unknown
    // Set by result_folder::identify():
    std::string key;           ///< `name`, with a number if several images have this name
    std::uint64_t version = 1; ///< one more than that of the previous answer if the content has changed
};

/// Name of an image in the output: its path relative to the image folder if exactly one was given, otherwise the name as given.
[[nodiscard]] std::string shown_name(const std::filesystem::path& image, const std::optional<std::filesystem::path>& folder);

/**
 * OUT/.pali holds the state: the question, which must be the same in all runs, the claims, and the answers of each process. The
 * user-visible files are derived from the state. The process that answers an image writes its masks and drawing immediately. finish()
 * writes results.jsonl and the other formats, sorted by name, from the answers of all processes.
 *
 * An answered image is recognized by its place, size and time. If the time differs, it is recognized by its content. If the image or the
 * results folder has moved, it is recognized by its name and content.
 *
 * Existing files that pali did not write are never overwritten. Throws pali::error.
 */
class result_folder {
public:
    /// Reads the folder; writes nothing. Throws `invalid_argument` if it holds answers to another question. `images` is the image folder if
    /// exactly one was given.
    result_folder(std::filesystem::path folder, nlohmann::ordered_json question, const result_formats& formats,
                  const std::optional<std::filesystem::path>& images, bool overwrite);

    /// Creates the folder, or joins the processes that work in it. `images` are the known inputs. Throws `invalid_argument`, before it
    /// writes anything, if files that pali did not write would be overwritten, or if an image has the name of a different image that was
    /// answered.
    void join(std::span<const std::filesystem::path> images);

    [[nodiscard]] image_name name_of(const std::filesystem::path& image) const;

    enum class step {
        done,    ///< nothing left to do
        failed,  ///< a process of this run could not read it
        held,    ///< another process works on it
        answer,  ///< claimed: this process must answer it
        draw,    ///< answered, and claimed for drawing
        restore, ///< used internally and never returned: lost masks are written again
    };
    /// The next step for an image. If this process must do the step, it holds a claim until add(), draw(), fail() or release().
    [[nodiscard]] step take(image_name& image);

    /// Stores an answer; see describe() for its format. Returns the names of the mask files within the folder, one per object; "" if it has
    /// none.
    std::vector<std::string> add(const image_name& image, const pali::image& photo, const std::vector<pali::object>& objects,
                                 nlohmann::ordered_json answer);
    /// Draws the stored objects.
    void draw(const image_name& image, const pali::image& photo);
    /// Records that an image cannot be answered.
    void fail(const image_name& image, const std::string& why);
    void release(const image_name& image);

    /// Regenerates results.jsonl and the other formats, unless they are up to date.
    void finish();

    /// Records that this run is part `index` of `count` of a job on `images` images, if their number is known.
    void note_shard(std::size_t index, std::size_t count, std::optional<std::size_t> images);
    /// Imports the answers, masks and drawings of another folder. Images are identified by their names in the results of that folder. An
    /// answer to an older content is replaced. Returns the number of answers that this folder already had.
    std::size_t collect(const std::filesystem::path& from);
    /// Number of answers in the folder.
    [[nodiscard]] std::size_t size() const noexcept { return m_answers.size(); }
    /// Number of images that this process answered again because they had changed.
    [[nodiscard]] std::size_t changed() const noexcept { return m_changed; }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_folder; }

private:
    /// The image folder that names in results are relative to.
    struct image_folder {
        std::string name;  ///< last component of its path
        std::string place; ///< relative to the results folder, with a trailing '/'
    };
    void check_question() const;
    [[nodiscard]] bool is_another_folder(std::span<const std::filesystem::path> images);
    void read_formats();
    void check_files(std::span<const std::filesystem::path> images);
    void number_names(std::span<const std::filesystem::path> images);
    [[nodiscard]] std::vector<std::string> files_of_formats() const;

    /// Looks up the answer to an image and returns whether there is one. Sets `key` and `version` to those of that answer, or to those of
    /// the answer to be written.
    bool identify(image_name& image);
    bool identify_by_place(image_name& image, const answers::found& there);
    [[nodiscard]] bool is_of_another(const std::string& key, const image_name& image, bool equal) const;
    [[nodiscard]] bool has_content_of(const image_name& image, const std::string& key) const;
    void note_place(const image_name& image);

    [[nodiscard]] step left_to_do(image_name& image);
    [[nodiscard]] bool is_lost(const std::string& name) const;
    void restore_masks(const std::string& key);
    void remove_stale(const std::vector<std::string>& before, const std::vector<std::string>& now, const image_name& image);
    [[nodiscard]] std::string place_of_folder(const std::filesystem::path& folder) const;
    [[nodiscard]] std::string place_now(const std::string& key) const;
    [[nodiscard]] std::string preferred_stem(const image_name& image) const;
    [[nodiscard]] std::string stem_of(const image_name& image);
    [[nodiscard]] std::string register_stem(const image_name& image);
    [[nodiscard]] bool may_write(const std::string& name);
    /// Whether the file of this name in the folder is the image itself.
    [[nodiscard]] bool is_in_place(const std::string& name, const std::filesystem::path& image) const;
    void record(const std::vector<std::string>& names);
    void write_drawing(const image_name& image, const pali::image& photo, const nlohmann::ordered_json& line, const std::string& stem);
    void write_formats(const nlohmann::ordered_json& formats);

    std::filesystem::path m_folder, m_state;
    nlohmann::ordered_json m_question, m_kept = nlohmann::ordered_json::object(); ///< m_kept: formats.json
    result_formats m_formats;
    bool m_overwrite;
    std::optional<image_folder> m_own; ///< of this run
    bool m_is_another = false;         ///< whether it is a different folder than in earlier runs, with the same name
    mutable std::map<std::filesystem::path, std::string> m_place_of_folder;
    answers m_answers;
    std::optional<claims> m_claims;                             ///< set by join()
    std::set<std::string> m_stems;                              ///< stems preferred by images
    std::map<std::string, std::vector<image_name>> m_same_stem; ///< images that prefer the same stem, in order
    std::map<std::string, std::vector<image_name>> m_same_name; ///< images of this run that share a name, in order
    std::size_t m_changed = 0;
};

/// Names in results and keys of all answered images, sorted and unique. `folder` is the name of the common image folder, if there is one.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> names_in_results(const answers& all,
                                                                                const std::optional<std::string>& folder);

/// Name of the image folder that all runs used; std::nullopt if there were several.
[[nodiscard]] std::optional<std::string> folder_in(const nlohmann::ordered_json& formats);

/// Size and time of a file, to detect changes cheaply; std::nullopt if unknown.
[[nodiscard]] std::optional<file_mark> mark_of(const std::filesystem::path& path);

/// Key of image `number` among the images with this name. name_in() is the inverse and returns the name in a key.
[[nodiscard]] std::string key_of(const std::string& name, std::size_t number);
[[nodiscard]] std::string name_in(const std::string& key);

/// File name of the drawing of an image.
[[nodiscard]] std::string drawing_name(const std::string& stem, const std::filesystem::path& image);

/// Draws boxes, masks, labels and scores on the image.
[[nodiscard]] pali::image draw_objects(const pali::image& photo, const std::vector<pali::object>& objects);
