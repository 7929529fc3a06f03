// The folder that results are written to. Any number of processes share it, on any number of machines, and a run that was stopped goes on where it was.
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
#include <vector>

/// What is written besides results.jsonl.
struct result_formats {
    bool coco = false;    ///< coco.json
    bool yolo = false;    ///< labels/, images/, data.yaml
    bool labelme = false; ///< labelme/
    bool drawn = false;   ///< NAME.drawn.png, or .jpg for a JPEG
    pali::coco_masks masks = pali::coco_masks::automatic;
};

/// A picture as results name it.
struct picture_name {
    std::filesystem::path path; ///< to open it
    std::string given;          ///< as the user or a folder named it
    std::string key;            ///< its path from the folder of results: the same for every process
};

/// The name that results have for a picture: its path within the one folder of pictures that was given, or the name that was given.
[[nodiscard]] std::string shown_name(const std::filesystem::path& picture, const std::optional<std::filesystem::path>& folder);

/**
 * Results are kept in OUT/.pali as they come: the question, which every run has to share; claims; the answers of each process. What people use is made from them:
 * masks and drawings at once, by the process that answered; results.jsonl and the formats by finish(), sorted by name, whatever process gave an answer.
 *
 * Files that are there and that no process of pali wrote are not replaced. Throws pali::error.
 */
class result_folder {
public:
    /// Makes the folder, or joins those that work in it. Throws `invalid_argument` where it holds answers to another question. `pictures` is the one folder of
    /// pictures that was given, if it was one.
    result_folder(std::filesystem::path folder, const nlohmann::ordered_json& question, const result_formats& formats,
                  const std::optional<std::filesystem::path>& pictures, bool overwrite);

    /// Names the pictures that will be asked about, as far as they are known. Throws `invalid_argument` naming the files that would be replaced.
    void expect(std::span<const std::filesystem::path> pictures);

    [[nodiscard]] picture_name name_of(const std::filesystem::path& picture) const;

    enum class step {
        done,   ///< nothing is left to do
        failed, ///< a process of this run could not read it
        held,   ///< another process works on it
        answer, ///< it is this process's to answer
        draw,   ///< it is answered, and this process's to draw
    };
    /// What is to be done about a picture. It is claimed where that is up to this process, until add(), draw(), fail() or release().
    [[nodiscard]] step take(const picture_name& picture);

    /// Keeps an answer: see describe() for its form. Returns the names of the masks' files within the folder, one an object; "" for one without.
    std::vector<std::string> add(const picture_name& picture, const pali::image& photo, const std::vector<pali::object>& objects, nlohmann::ordered_json answer);
    /// Draws what was found before.
    void draw(const picture_name& picture, const pali::image& photo);
    /// Notes that a picture cannot be answered.
    void fail(const picture_name& picture, const std::string& why);
    void release(const picture_name& picture);

    /// Writes results.jsonl and the formats anew, unless that was done since the last answer.
    void finish();

    /// Notes that this run is part `index` of `count`, which divide `pictures` among them, as far as that is known.
    void note_shard(std::size_t index, std::size_t count, std::optional<std::size_t> pictures);
    /// Takes over the answers, masks and drawings of another folder. Pictures are identified by their names in results. Returns how many were there already.
    std::size_t collect(const std::filesystem::path& from);
    /// Answers in the folder.
    [[nodiscard]] std::size_t size() const noexcept { return m_answers.size(); }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_folder; }

private:
    [[nodiscard]] step left_to_do(const picture_name& picture) const;
    [[nodiscard]] std::string file_of(const std::string& key) const;
    [[nodiscard]] std::string preferred_stem(const picture_name& picture) const;
    [[nodiscard]] std::string stem_of(const picture_name& picture);
    [[nodiscard]] std::string register_stem(const picture_name& picture);
    [[nodiscard]] bool may_write(const std::string& name);
    /// Whether the file of this name within the folder is the picture itself.
    [[nodiscard]] bool is_in_place(const std::string& name, const std::filesystem::path& picture) const;
    void record(const std::vector<std::string>& names);
    void write_drawing(const picture_name& picture, const pali::image& photo, const nlohmann::ordered_json& line, const std::string& stem);
    void write_formats(const nlohmann::ordered_json& formats);

    std::filesystem::path m_folder, m_state;
    nlohmann::ordered_json m_question;
    result_formats m_formats;
    bool m_overwrite;
    std::optional<std::string> m_root; ///< what the keys of pictures in the one folder of pictures begin with
    mutable std::map<std::filesystem::path, std::string> m_key_of_folder;
    claims m_claims;
    answers m_answers;
    std::set<std::string> m_stems; ///< that pictures have by their names
    std::map<std::string, std::vector<picture_name>> m_same_stem; ///< pictures that would get files of one name, in their order
};

/// Boxes, masks, labels and scores drawn over the picture.
[[nodiscard]] pali::image draw_objects(const pali::image& photo, const std::vector<pali::object>& objects);
