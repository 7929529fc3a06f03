// The answers that processes have given to one question, in OUT/.pali: files that only grow, one for each process.
#pragma once

#include "claims.hpp"

#include <pali/objects/object.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// How an image's file was found: what shows cheaply that it is still the same.
struct file_mark {
    std::uint64_t size = 0;    ///< bytes
    std::int64_t modified = 0; ///< when it was written last, in the units of the C++ library's file clock

    friend bool operator==(const file_mark&, const file_mark&) = default;
};

/**
 * Reads the files of all processes and appends to those of this one. OUT/.pali/answers has lines of four kinds, each a JSON object:
 *
 *     {"key": KEY, "version": N, "given": NAME, "at": PLACE, "size": N, "modified": N, "hash": HEX, "stem": NAME, "answer": {...}, "rle":
 * [...]} an answer; "rle" are the masks of its objects
 *     {"key": KEY, "version": N, "at": PLACE, "modified": N}       the same image, found at another place or written again with the same
 * content
 *     {"key": KEY, "version": N, "drawing": NAME}                  a drawing that was made
 *     {"key": KEY, "failed": MESSAGE}                              an image that cannot be answered
 *
 * OUT/.pali/files has lines {"writes": [NAME, ...]}: files in OUT that the process is about to write.
 *
 * A line without its end was cut off by a crash and does not count. KEY identifies an image: the name of the folder of images and the
 * path within it, whatever path leads to that folder. PLACE is a path from OUT. An image that has changed is answered again with the next
 * version, which replaces the one before. Names that are not UTF-8 are stored as add_name() stores them.
 */
class answers {
public:
    /// Reads what is in the folder `state`, and writes nothing. Throws `cannot_open`.
    explicit answers(std::filesystem::path state);

    /// Appends from now on, for the process `self`. What add() was given before is written now. Throws `cannot_write`.
    void join(const claims& self);

    /// Reads what was added since.
    void refresh();

    [[nodiscard]] bool has_answer(const std::string& key) const;
    [[nodiscard]] bool has_failed(const std::string& key) const { return m_failed.contains(key); }
    /// The drawing's name within OUT; empty without one.
    [[nodiscard]] std::string drawing(const std::string& key) const;
    /// The masks' names within OUT.
    [[nodiscard]] std::vector<std::string> masks(const std::string& key) const;
    /// Whether a process recorded that it writes this file.
    [[nodiscard]] bool wrote(const std::string& name) const { return m_written.contains(name); }
    /// The name that an image with an answer was given by.
    [[nodiscard]] const std::string& given(const std::string& key) const { return m_answers.at(key).given; }
    [[nodiscard]] std::uint64_t version(const std::string& key) const { return m_answers.at(key).version; }
    /// The size in bytes of the image when it was answered, and the hash of its content.
    [[nodiscard]] std::uint64_t size_of_image(const std::string& key) const { return m_answers.at(key).size; }
    [[nodiscard]] const std::string& hash(const std::string& key) const { return m_answers.at(key).hash; }
    /// Where the image has been found, the place that was noted last at the end.
    [[nodiscard]] std::vector<std::string> places(const std::string& key) const;

    /// The image that was last found at a place.
    struct found {
        const std::string& key;
        file_mark mark;  ///< as it was then; the size is that of the answered image
        bool is_current; ///< it was found so when it was answered last, or since
    };
    [[nodiscard]] std::optional<found> at(const std::string& place) const;
    /// Makes a place where the image was found the last one, for this process.
    void prefer(const std::string& place);

    /// Images with an answer, by key.
    [[nodiscard]] std::vector<std::string> keys() const;
    [[nodiscard]] std::size_t size() const noexcept { return m_count; }
    /// Changes with every answer that is added or replaced and with every place that is noted, and is the same for all processes that have
    /// read the same lines.
    [[nodiscard]] std::string state() const;

    /// The line of an answer. Throws pali::error where the file has changed since it was read.
    [[nodiscard]] nlohmann::ordered_json read(const std::string& key) const;

    /// Appends a line to this process's file; it is in the file when this returns, unless this process has yet to join. Throws
    /// `cannot_write`.
    void add(const nlohmann::ordered_json& line);

private:
    struct part {
        std::string name;       ///< within the folder of state
        std::uint64_t read = 0; ///< bytes, of whole lines
        bool ended = false;     ///< its process was gone when it was read last
    };
    struct entry {
        std::uint64_t version = 0, offset = 0, length = 0, size = 0, drawing_version = 0; // version 0: no answer
        std::size_t part = 0;
        std::string given, hash, stem, drawing;
        std::vector<std::uint32_t> masks; // their numbers: one for each object that has a mask
        std::vector<const std::string*> places;
    };
    using entries = std::map<std::string, entry>;
    struct place {
        entries::iterator of;
        std::uint64_t version = 0;
        std::int64_t modified = 0;
    };
    [[nodiscard]] part& part_of(const std::string& name);
    void read_folder(const char* folder);
    void read_lines(part& from);
    void append(const char* folder, const nlohmann::ordered_json& line);
    void note(const nlohmann::ordered_json& line, std::size_t part, std::uint64_t offset, std::uint64_t length);
    void note_place(entries::iterator of, const nlohmann::ordered_json& line, std::uint64_t version);

    std::filesystem::path m_state;
    const claims* m_self = nullptr;
    std::vector<part> m_parts;
    std::map<std::string, std::size_t> m_part_of; // by name
    entries m_answers;
    std::map<std::string, place> m_places;
    std::map<std::string, std::size_t> m_failed; // the part that says so
    std::set<std::string> m_written;
    std::vector<nlohmann::ordered_json> m_waiting; // lines for a process that has yet to join
    std::size_t m_count = 0;
};

/// The objects of an answer's line, with masks of 0 and 255.
[[nodiscard]] std::vector<pali::object> objects_of(const nlohmann::ordered_json& line);

/// What is written of masks in an answer's line.
[[nodiscard]] nlohmann::ordered_json mask_runs(const std::vector<pali::object>& objects);
