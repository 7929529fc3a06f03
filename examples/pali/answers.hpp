// The answers of all processes to one question. They are stored in OUT/.pali in append-only files, one per process.
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

/// Size and time of an image file: a cheap check that it is unchanged.
struct file_mark {
    std::uint64_t size = 0;    ///< in bytes
    std::int64_t modified = 0; ///< last write time, in ticks of std::filesystem's file clock

    friend bool operator==(const file_mark&, const file_mark&) = default;
};

/**
 * Reads the files of all processes and appends to those of this process. OUT/.pali/answers has four kinds of lines, each a JSON object:
 *
 *     an answer; "rle" are the masks of its objects:
 *     {"key": KEY, "version": N, "given": NAME, "at": PLACE, "size": N, "modified": N, "hash": HEX, "stem": NAME, "answer": {...},
 *      "rle": [...]}
 *     the same image, found at another place or rewritten with the same content:
 *     {"key": KEY, "version": N, "at": PLACE, "modified": N}
 *     a finished drawing:
 *     {"key": KEY, "version": N, "drawing": NAME}
 *     an image that cannot be answered:
 *     {"key": KEY, "failed": MESSAGE}
 *
 * OUT/.pali/files has lines {"writes": [NAME, ...]}: files in OUT that the process is about to write.
 *
 * A line without a line break was cut off by a crash and is ignored. KEY identifies an image by the name of the image folder and the path
 * inside it, so it does not depend on where that folder is. PLACE is a path relative to OUT. An image that has changed is answered again
 * under the next version, which supersedes the previous one. Names that are not valid UTF-8 are stored as add_name() does.
 */
class answers {
public:
    /// Reads the folder `state`; writes nothing. Throws `cannot_open`.
    explicit answers(std::filesystem::path state);

    /// Starts appending for the process `self`. First writes the lines that add() has queued. Throws `cannot_write`.
    void join(const claims& self);

    /// Reads lines added since the last read.
    void refresh();

    [[nodiscard]] bool has_answer(const std::string& key) const;
    [[nodiscard]] bool has_failed(const std::string& key) const { return m_failed.contains(key); }
    /// Name of the drawing within OUT; empty if there is no drawing.
    [[nodiscard]] std::string drawing(const std::string& key) const;
    /// Names of the mask files within OUT.
    [[nodiscard]] std::vector<std::string> masks(const std::string& key) const;
    /// Whether any process recorded that it writes this file.
    [[nodiscard]] bool wrote(const std::string& name) const { return m_written.contains(name); }
    /// The name of an answered image as the user gave it.
    [[nodiscard]] const std::string& given(const std::string& key) const { return m_answers.at(key).given; }
    [[nodiscard]] std::uint64_t version(const std::string& key) const { return m_answers.at(key).version; }
    /// Size in bytes of the image when it was answered. hash() returns the hash of its content at that time.
    [[nodiscard]] std::uint64_t size_of_image(const std::string& key) const { return m_answers.at(key).size; }
    [[nodiscard]] const std::string& hash(const std::string& key) const { return m_answers.at(key).hash; }
    /// Places where the image has been found; the most recent one is last.
    [[nodiscard]] std::vector<std::string> places(const std::string& key) const;

    /// The image last found at a place.
    struct found {
        const std::string& key;
        file_mark mark;  ///< as recorded at that time; its size is that of the answered image
        bool is_current; ///< whether it was recorded with the latest answer or after it
    };
    [[nodiscard]] std::optional<found> at(const std::string& place) const;
    /// Makes this place the most recent one of its image, for this process.
    void prefer(const std::string& place);

    /// Keys of all answered images, sorted.
    [[nodiscard]] std::vector<std::string> keys() const;
    [[nodiscard]] std::size_t size() const noexcept { return m_count; }
    /// A string that changes with every added or replaced answer and every new place. It is equal in all processes that have read the same
    /// lines.
    [[nodiscard]] std::string state() const;

    /// The line of an answer. Throws pali::error if the file has changed since it was read.
    [[nodiscard]] nlohmann::ordered_json read(const std::string& key) const;

    /// Appends a line to this process's file before returning; before join(), the line is only queued. Throws `cannot_write`.
    void add(const nlohmann::ordered_json& line);

private:
    struct part {
        std::string name;       ///< within the state folder
        std::uint64_t read = 0; ///< bytes of complete lines
        bool ended = false;     ///< whether its process had already ended at the last read
    };
    struct entry {
        std::uint64_t version = 0, offset = 0, length = 0, size = 0, drawing_version = 0; // version 0: not answered
        std::size_t part = 0;
        std::string given, hash, stem, drawing;
        std::vector<std::uint32_t> masks; // numbers of the objects that have a mask
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
    std::map<std::string, std::size_t> m_failed; // index of the part that reports the failure
    std::set<std::string> m_written;
    std::vector<nlohmann::ordered_json> m_waiting; // lines queued until join()
    std::size_t m_count = 0;
};

/// The objects in the line of an answer; mask values are 0 and 255.
[[nodiscard]] std::vector<pali::object> objects_of(const nlohmann::ordered_json& line);

/// The masks of an answer as RLE strings; null for objects without a mask.
[[nodiscard]] nlohmann::ordered_json mask_runs(const std::vector<pali::object>& objects);
