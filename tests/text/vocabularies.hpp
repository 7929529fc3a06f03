// The vocabularies that tests of text run over, each with its golden.
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

/// A tokenizer.model and what sentencepiece and transformers make of it.
struct vocabulary {
    std::string name;
    std::filesystem::path model;
    nlohmann::json golden;
};

/// The embedded model's, and the real one when it lies beside the tree.
inline std::vector<vocabulary> vocabularies() {
    std::vector<vocabulary> out;
    out.push_back({"shapes", source_path("examples/models/shapes/tokenizer.model"), read_json(data_path("text/shapes.json"))});
    if (const auto real = shared_path("tokenizer/paligemma_tokenizer.model"))
        out.push_back({"gemma", *real, read_json(data_path("text/gemma.json"))});
    else BOOST_TEST_MESSAGE("skipped for Gemma's vocabulary: it is not beside the tree");
    return out;
}

inline std::vector<token> ids_of(const nlohmann::json& list) { return list.get<std::vector<token>>(); }

/// Ids as a message shows them.
inline std::string shown(const std::vector<token>& ids) { return nlohmann::json(ids).dump(); }

} // namespace pali::test
