// The answers of tests/data/objects/answers.json, with their shorthand expanded.
#pragma once

#include <pali/objects/grammar.hpp>

#include <support/data.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace pali::test {

inline nlohmann::json read_json(const std::filesystem::path& path) {
    std::ifstream in(path);
    if (!in) throw std::runtime_error("cannot read " + path.string());
    return nlohmann::json::parse(in);
}

/// The expected properties of one object of an answer.
struct wanted_object {
    std::string label;
    std::array<std::uint16_t, 4> loc{};
    std::optional<std::array<std::uint8_t, 16>> seg;
};

struct answer_case {
    std::string why, answer;
    std::vector<wanted_object> objects;
    std::size_t skipped = 0;
    std::string text;
    friend std::ostream& operator<<(std::ostream& out, const answer_case& c) { return out << c.why; }
};

/// Expands %B, %C, %M, %N, %9 and %xHH as described in the file.
inline std::string written_out(const std::string& text, const nlohmann::json& shorthand) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') out += text[i];
        else if (text.at(i + 1) == 'x') {
            out += static_cast<char>(std::stoi(text.substr(i + 2, 2), nullptr, 16));
            i += 3;
        } else out += shorthand.at(text.substr(i++, 2)).get<std::string>();
    }
    return out;
}

inline const std::vector<answer_case>& answer_cases() {
    static const std::vector<answer_case> cases = [] {
        const nlohmann::json file = read_json(data_path("objects/answers.json"));
        std::vector<answer_case> out;
        for (const auto& c : file.at("answers")) {
            answer_case made{c.at("why"),
                             written_out(c.at("answer"), file.at("shorthand")),
                             {},
                             c.value("skipped", std::size_t{0}),
                             c.value("text", "")};
            for (const auto& o : c.at("objects")) {
                wanted_object want{o.at(0), (o.at(1).is_string() ? file.at("boxes").at(o.at(1).get<std::string>()) : o.at(1)), {}};
                if (!o.at(2).is_null()) {
                    want.seg.emplace();
                    for (std::size_t i = 0; i < 16; ++i) want.seg->at(i) = static_cast<std::uint8_t>(o.at(2) == "M" ? i : 127 - i);
                }
                made.objects.push_back(want);
            }
            out.push_back(made);
        }
        return out;
    }();
    return cases;
}

} // namespace pali::test
