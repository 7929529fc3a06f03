// The vocabularies used by the text tests, each with its golden.
#pragma once

#include <pali/text/tokenizer.hpp>

#include <support/data.hpp>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace pali::test {

inline nlohmann::json read_json(const std::filesystem::path& path) {
    std::ifstream in(path);
    BOOST_REQUIRE_MESSAGE(in, "cannot read " << path);
    return nlohmann::json::parse(in);
}

/// A tokenizer.model, and the results of sentencepiece and transformers for it.
struct vocabulary {
    std::string name;
    std::filesystem::path model;
    nlohmann::json golden;
};

/// The embedded model's vocabulary, and PaliGemma's if it is available next to the source tree.
inline std::vector<vocabulary> vocabularies() {
    std::vector<vocabulary> out;
    out.push_back({"shapes", source_path("examples/models/shapes/tokenizer.model"), read_json(data_path("text/shapes.json"))});
    if (const auto real = shared_path("tokenizer/paligemma_tokenizer.model"))
        out.push_back({"gemma", *real, read_json(data_path("text/gemma.json"))});
    else BOOST_TEST_MESSAGE("skipped for Gemma's vocabulary: it is not beside the tree");
    return out;
}

inline std::vector<token> ids_of(const nlohmann::json& list) { return list.get<std::vector<token>>(); }

/// Formats ids for a message.
inline std::string shown(const std::vector<token>& ids) { return nlohmann::json(ids).dump(); }

} // namespace pali::test
