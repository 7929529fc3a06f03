// The folder that results are written to. Any number of processes share it, on any number of machines, and a run that was stopped goes on
// where it was.
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

/// What is written besides results.jsonl.
struct result_formats {
    bool coco = false;    ///< coco.json
    bool yolo = false;    ///< labels/, images/, data.yaml
    bool labelme = false; ///< labelme/
    bool drawn = false;   ///< NAME.drawn.png, or .jpg for a JPEG
    pali::coco_masks masks = pali::coco_masks::automatic;
};

/// An image as results know it.
struct image_name {
    std::filesystem::path path; ///< to open it
    std::string given;          ///< as the user or a folder named it
    std::string place;          ///< its path from the folder of results
    std::string name;           ///< the name of the folder of images, and its path within: the same wherever these folders are
    std::size_t ordinal = 1;    ///< among the images of one name that this run has, from 1 on
    std::optional<file_mark> mark = std::nullopt; ///< of its file; nothing where that cannot be told
    // Decided by result_folder::identify():
    std::string key;           ///< `name`, with its number where several images have one name
    std::uint64_t version = 1; ///< one more than that of the answer to what the file held before, if there is one
};

/// The name that results have for an image: its path within the one folder of images that was given, or the name that was given.
[[nodiscard]] std::string shown_name(const std::filesystem::path& image, const std::optional<std::filesystem::path>& folder);

/**
 * Results are kept in OUT/.pali as they come: the question, which every run has to share; claims; the answers of each process. What people
 * use is made from them: masks and drawings at once, by the process that answered; results.jsonl and the formats by finish(), sorted by
 * name, whatever process gave an answer.
 *
 * An image that was answered is recognised by its place, size and time; by its content where its time differs; and by its name and content
 * where it is at another place, or the folder of results is.
 *
 * Files that are there and that no process of pali wrote are not replaced. Throws pali::error.
 */
class result_folder {
public:
    /// Looks into the folder, and writes nothing. Throws `invalid_argument` where it holds answers to another question. `images` is the
    /// one folder of images that was given, if it was one.
    result_folder(std::filesystem::path folder, nlohmann::ordered_json question, const result_formats& formats,
                  const std::optional<std::filesystem::path>& images, bool overwrite);

    /// Makes the folder, or joins those that work in it. `images` will be asked about, as far as they are known. Writes nothing, and
    /// throws `invalid_argument`, where files would be replaced that pali did not write, and where images are named as others that were
    /// answered.
    void join(std::span<const std::filesystem::path> images);

    [[nodiscard]] image_name name_of(const std::filesystem::path& image) const;

    enum class step {
        done,    ///< nothing is left to do
        failed,  ///< a process of this run could not read it
        held,    ///< another process works on it
        answer,  ///< it is this process's to answer
        draw,    ///< it is answered, and this process's to draw
        restore, ///< not given out: masks are written again that were lost
    };
    /// What is to be done about an image. It is claimed where that is up to this process, until add(), draw(), fail() or release().
    [[nodiscard]] step take(image_name& image);

    /// Keeps an answer: see describe() for its form. Returns the names of the masks' files within the folder, one an object; "" for one
    /// without.
    std::vector<std::string> add(const image_name& image, const pali::image& photo, const std::vector<pali::object>& objects,
                                 nlohmann::ordered_json answer);
    /// Draws what was found before.
    void draw(const image_name& image, const pali::image& photo);
    /// Notes that an image cannot be answered.
    void fail(const image_name& image, const std::string& why);
    void release(const image_name& image);

    /// Writes results.jsonl and the formats anew, unless that was done since the last answer.
    void finish();

    /// Notes that this run is part `index` of `count`, which divide `images` among them, as far as that is known.
    void note_shard(std::size_t index, std::size_t count, std::optional<std::size_t> images);
    /// Takes over the answers, masks and drawings of another folder. Images are identified by their names in results; an answer to what a
    /// image held before is replaced. Returns how many were there already.
    std::size_t collect(const std::filesystem::path& from);
    /// Answers in the folder.
    [[nodiscard]] std::size_t size() const noexcept { return m_answers.size(); }
    /// Images that this process answered again because they had changed.
    [[nodiscard]] std::size_t changed() const noexcept { return m_changed; }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_folder; }

private:
    /// The folder of images that names in results are relative to.
    struct image_folder {
        std::string name;  ///< its last part
        std::string place; ///< from the folder of results, with '/' at the end
    };
    void check_question() const;
    [[nodiscard]] bool is_another_folder(std::span<const std::filesystem::path> images);
    void read_formats();
    void check_files(std::span<const std::filesystem::path> images);
    void number_names(std::span<const std::filesystem::path> images);
    [[nodiscard]] std::vector<std::string> files_of_formats() const;

    /// Finds the answer to an image. Returns whether there is one; `key` and `version` say which, or are those of the answer to come.
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
    /// Whether the file of this name within the folder is the image itself.
    [[nodiscard]] bool is_in_place(const std::string& name, const std::filesystem::path& image) const;
    void record(const std::vector<std::string>& names);
    void write_drawing(const image_name& image, const pali::image& photo, const nlohmann::ordered_json& line, const std::string& stem);
    void write_formats(const nlohmann::ordered_json& formats);

    std::filesystem::path m_folder, m_state;
    nlohmann::ordered_json m_question, m_kept = nlohmann::ordered_json::object(); ///< m_kept: formats.json
    result_formats m_formats;
    bool m_overwrite;
    std::optional<image_folder> m_own; ///< of this run
    bool m_is_another = false;         ///< it is not the folder that earlier runs named, though it has the same name
    mutable std::map<std::filesystem::path, std::string> m_place_of_folder;
    answers m_answers;
    std::optional<claims> m_claims;                             ///< once joined
    std::set<std::string> m_stems;                              ///< that images have by their names
    std::map<std::string, std::vector<image_name>> m_same_stem; ///< images that would get files of one name, in their order
    std::map<std::string, std::vector<image_name>> m_same_name; ///< images of this run that have one name, in their order
    std::size_t m_changed = 0;
};

/// What results call the images that have an answer, with their keys, in their order. `folder` is the name of the folder that all
/// images are in, if it is one. No two are equal.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> names_in_results(const answers& all,
                                                                                const std::optional<std::string>& folder);

/// The name of the folder of images that all runs named; nothing if they named several.
[[nodiscard]] std::optional<std::string> folder_in(const nlohmann::ordered_json& formats);

/// What shows cheaply whether a file is still the same; nothing where it cannot be told.
[[nodiscard]] std::optional<file_mark> mark_of(const std::filesystem::path& path);

/// The key of the image of this number among those of one name, and the name in a key.
[[nodiscard]] std::string key_of(const std::string& name, std::size_t number);
[[nodiscard]] std::string name_in(const std::string& key);

/// The name of the drawing of an image.
[[nodiscard]] std::string drawing_name(const std::string& stem, const std::filesystem::path& image);

/// Boxes, masks, labels and scores drawn over the image.
[[nodiscard]] pali::image draw_objects(const pali::image& photo, const std::vector<pali::object>& objects);
