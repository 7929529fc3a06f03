// The tiny checkpoints of tests/data/models and transformers' results for them. tests/golden/models.py wrote both.
#pragma once

#include <pali/text/token.hpp>
#include <support/data.hpp>
#include <support/golden.hpp>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <ostream>
#include <span>
#include <string>
#include <vector>

namespace pali::test {

using nlohmann::json;

/// cases.json
inline const json& all_models() {
    static const json all = json::parse(std::ifstream(data_path("models/cases.json")));
    return all;
}

/// The names of the checkpoints.
inline std::vector<std::string> model_names() {
    std::vector<std::string> names;
    for (const json& one : all_models().at("checkpoints")) names.push_back(one.at("name"));
    return names;
}

/// One checkpoint: its entry in cases.json, and its goldens.
struct tiny_model {
    const json& about;
    golden goldens;

    explicit tiny_model(const std::string& name)
        : about(find(name)), goldens(data_path("models/" + about.at("golden").get<std::string>())) {}

    [[nodiscard]] std::filesystem::path folder() const { return data_path("models/" + about.at("folder").get<std::string>()); }
    [[nodiscard]] const json& cases() const { return about.at("cases"); }
    /// The absolute tolerance of a stage.
    [[nodiscard]] double tolerance(const std::string& stage) const { return about.at("tolerances").at(stage); }
    /// The number of tokens of one image.
    [[nodiscard]] std::size_t image_tokens() const { return about.at("image_tokens"); }

    static const json& find(const std::string& name) {
        const json& all = all_models().at("checkpoints");
        return *std::find_if(all.begin(), all.end(), [&](const json& one) { return one.at("name") == name; });
    }
};

/// "images/wide.png" -> "wide": the image's name in the goldens.
inline std::string image_name(const json& path) { return std::filesystem::path(path.get<std::string>()).stem().string(); }

/// Compares values with a golden, or with its last rows.
inline void check_close(std::span<const float> got, std::span<const float> want, double tolerance, const std::string& what) {
    BOOST_REQUIRE_MESSAGE(got.size() == want.size(), what << ": got " << got.size() << " numbers, want " << want.size());
    const difference d = worst_difference(got, want);
    BOOST_CHECK_MESSAGE(d.absolute <= tolerance, what << ": " << d << "; tolerance " << tolerance);
}

/// Checkpoints x prompts: one data-driven test each.
struct model_case {
    std::string model;
    std::size_t number;
    friend std::ostream& operator<<(std::ostream& out, const model_case& c) { return out << c.model << ", case " << c.number; }
};
inline std::vector<model_case> model_cases() {
    std::vector<model_case> all;
    for (const json& one : all_models().at("checkpoints"))
        for (std::size_t i = 0; i < one.at("cases").size(); ++i) all.push_back({one.at("name"), i});
    return all;
}

} // namespace pali::test
