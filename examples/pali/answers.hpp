// The answers that processes have given to one question, in OUT/.pali: files that only grow, one for each process.
#pragma once

#include "claims.hpp"

#include <pali/objects/object.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

/**
 * Reads the files of all processes and appends to that of this one. Its lines are JSON objects of four kinds:
 *
 *     {"writes": [NAME, ...]}                                     files in OUT that the process is about to write
 *     {"key": KEY, "given": NAME, "answer": {...}, "rle": [...]}   an answer; "rle" are the masks of its objects
 *     {"key": KEY, "drawing": NAME}                                a drawing that was made
 *     {"key": KEY, "failed": MESSAGE}                              a picture that cannot be answered
 *
 * A line without its end was cut off by a crash and does not count. KEY is where the picture is, as a path from OUT: it is the same however the picture was
 * named, from whatever folder, on whatever machine. Names that are not UTF-8 are stored as add_name() stores them.
 */
class answers {
public:
    /// Of the processes that work in the folder `state`; `self` is this one, or null where answers are read alone. Throws `cannot_open`, `cannot_write`.
    answers(std::filesystem::path state, const claims* self);

    /// Reads what was added since.
    void refresh();

    [[nodiscard]] bool has_answer(const std::string& key) const { return m_answers.contains(key); }
    [[nodiscard]] bool has_failed(const std::string& key) const { return m_failed.contains(key); }
    /// The drawing's name within OUT; empty without one.
    [[nodiscard]] std::string drawing(const std::string& key) const;
    /// Whether a process recorded that it writes this file.
    [[nodiscard]] bool wrote(const std::string& name) const { return m_written.contains(name); }
    /// The name that a picture with an answer was given by.
    [[nodiscard]] const std::string& given(const std::string& key) const { return m_answers.at(key).given; }
    /// Pictures with an answer, by key.
    [[nodiscard]] std::vector<std::string> keys() const;
    [[nodiscard]] std::size_t size() const noexcept { return m_answers.size(); }

    /// The line of an answer. Throws pali::error where the file has changed since it was read.
    [[nodiscard]] nlohmann::ordered_json read(const std::string& key) const;

    /// Appends a line to this process's file; it is in the file when this returns. Throws `cannot_write`.
    void add(const nlohmann::ordered_json& line);

private:
    struct part {
        std::uint64_t read = 0; ///< bytes, of whole lines
        bool ended = false;     ///< its process was gone when it was read last
    };
    struct place {
        std::string part;
        std::uint64_t offset = 0;
        std::size_t length = 0;
        std::string given;
    };
    void read_lines(const std::string& name, part& from, bool take_failures);
    void note(const nlohmann::ordered_json& line, place where, bool take_failures);

    std::filesystem::path m_folder;
    const claims* m_self;
    std::map<std::string, part> m_parts;
    std::map<std::string, place> m_answers;
    std::map<std::string, std::string> m_drawings;
    std::set<std::string> m_failed, m_written;
    bool m_first = true; ///< nothing was read yet
};

/// The objects of an answer's line, with masks of 0 and 255.
[[nodiscard]] std::vector<pali::object> objects_of(const nlohmann::ordered_json& line);

/// What is written of masks in an answer's line.
[[nodiscard]] nlohmann::ordered_json mask_runs(const std::vector<pali::object>& objects);
