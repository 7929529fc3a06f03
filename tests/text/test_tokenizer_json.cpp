// tokenizer.json: ids must equal those of transformers. The file is untrusted.
#include "vocabularies.hpp"

#include <pali/core/error.hpp>
#include <pali/text/tokenizer.hpp>

#include <support/temporary_folder.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

using namespace pali::test;
using nlohmann::json;
using pali::errc;
using pali::token;
using pali::tokenizer;

namespace {

/// tests/data/text/json, or the folder given after "--" by tests/golden/tokenizer_json.py --check.
std::filesystem::path cases_folder() {
    const auto& suite = boost::unit_test::framework::master_test_suite();
    return suite.argc > 1 ? std::filesystem::path(suite.argv[1]) : data_path("text/json");
}

const json& cases() {
    static const json read = read_json(cases_folder() / "cases.json");
    return read;
}

/// Opens one of the two sources of the vocabulary, by its name in cases.json.
tokenizer open_source(const std::string& name) {
    if (name == "saved") return tokenizer(cases_folder() / "saved");
    const auto beside = cases_folder() / "tokenizer.model";
    return tokenizer(std::filesystem::exists(beside) ? beside : source_path("examples/models/shapes/tokenizer.model"));
}

/// The random number generator of tests/golden/tokenizer_json.py.
struct numbers {
    std::uint64_t state;
    std::uint64_t operator()() { return (state = state * 6364136223846793005u + 1442695040888963407u) >> 33; }
};

/// FNV-1a over the ids, with -1 after each text.
struct id_hash {
    std::uint64_t state = 0xcbf29ce484222325u;
    void add(std::vector<token> ids) {
        ids.push_back(-1);
        for (const token id : ids)
            for (unsigned shift = 0; shift < 32; shift += 8)
                state = (state ^ (static_cast<std::uint32_t>(id) >> shift & 0xff)) * 0x100000001b3u;
    }
    [[nodiscard]] std::string text() const {
        char out[17];
        std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(state));
        return out;
    }
};

/// A small valid tokenizer.json, to be changed by tests.
json small() {
    json out = json::parse(R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false},
        "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                  "vocab": {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "\n": 4, "a": 5, "b": 6, "ab": 7, "▁": 8, "▁a": 9},
                  "merges": [["a", "b"], ["▁", "a"]]}})");
    for (const char* text : {"<pad>", "<eos>", "<bos>", "<unk>", "\n"})
        out["added_tokens"].push_back({{"id", out["model"]["vocab"][text]},
                                       {"content", text},
                                       {"single_word", false},
                                       {"lstrip", false},
                                       {"rstrip", false},
                                       {"normalized", false},
                                       {"special", text[0] == '<'}});
    return out;
}

json added(const std::string& text, token id, bool special = false, bool normalized = false) {
    return {{"id", id},        {"content", text},          {"single_word", false}, {"lstrip", false},
            {"rstrip", false}, {"normalized", normalized}, {"special", special}};
}

/// A folder whose tokenizer.json is rewritten by each trial.
struct trial {
    temporary_folder folder;
    [[nodiscard]] tokenizer open(const std::string& contents, std::optional<token> image = std::nullopt) const {
        std::ofstream(folder.path() / "tokenizer.json", std::ios::binary) << contents;
        return tokenizer(folder.path(), image);
    }
    void refused(errc code, const std::string& contents, const std::string& says) const {
        try {
            (void)open(contents);
            BOOST_ERROR("nothing was thrown; wanted '" << says << "' for " << contents.substr(0, 300));
        } catch (const pali::error& e) {
            BOOST_TEST((e.code() == code && std::string(e.what()).find(says) != std::string::npos &&
                        std::string(e.what()).find("tokenizer.json") != std::string::npos),
                       "wanted '" << says << "', got '" << e.what() << "'");
        }
    }
};

} // namespace

BOOST_AUTO_TEST_SUITE(tokenizer_json)

BOOST_AUTO_TEST_CASE(texts_become_the_ids_of_transformers) {
    for (const std::string source : {"model", "saved"}) {
        const tokenizer text = open_source(source);
        BOOST_TEST(cases()["texts"].size() >= 500u);
        for (std::size_t i = 0; i < cases()["texts"].size(); ++i) {
            const auto ids = text.encode(cases()["texts"][i].get<std::string>());
            BOOST_TEST(ids == ids_of(cases()[source]["ids"][i]), source << ": " << cases()["texts"][i].dump() << " gave " << shown(ids)
                                                                        << ", not " << cases()[source]["ids"][i].dump());
        }
    }
}

BOOST_AUTO_TEST_CASE(runs_of_spaces_become_the_ids_of_transformers) { // sentencepiece would take the longest piece first
    const tokenizer text(cases_folder() / "spaces");
    const json& spaces = cases()["spaces"];
    BOOST_TEST(spaces["texts"].size() >= 200u);
    for (std::size_t i = 0; i < spaces["texts"].size(); ++i) {
        const auto ids = text.encode(spaces["texts"][i].get<std::string>());
        BOOST_TEST(ids == ids_of(spaces["ids"][i]), spaces["texts"][i].dump()
                                                        << " gave " << shown(ids) << ", not " << spaces["ids"][i].dump());
    }
}

BOOST_AUTO_TEST_CASE(ten_thousand_texts_become_the_ids_of_transformers) {
    for (const std::string source : {"model", "saved"}) {
        const tokenizer text = open_source(source);
        const auto parts = cases()["parts"].get<std::vector<std::string>>();
        const std::size_t count = cases()["count"];
        BOOST_TEST(count == 10000u);
        numbers next{1};
        for (std::size_t start = 0; start < count; start += 100) {
            id_hash hash;
            for (std::size_t i = 0; i < 100; ++i) {
                std::string joined;
                for (auto left = 1 + next() % 8; left > 0; --left) joined += parts[next() % parts.size()];
                hash.add(text.encode(joined));
            }
            BOOST_TEST(hash.text() == cases()[source]["hashes"][start / 100].get<std::string>(), source << ": texts from " << start);
        }
        BOOST_TEST_MESSAGE(source << ": " << count << " texts compared, vocabulary of " << text.size());
    }
}

BOOST_AUTO_TEST_CASE(words_end_where_those_of_transformers_do) { // tokens with single_word: "cat" and "dog" around every code point
    const tokenizer text = open_source("saved");
    id_hash hash;
    std::size_t texts = 0;
    for (char32_t code = 0; code < 0x110000; ++code) {
        if (code >= 0xd800 && code < 0xe000) continue;
        std::string written = "cat";
        const auto low = [&](unsigned shift) { return static_cast<char>(0x80 | (code >> shift & 0x3f)); };
        if (code < 0x80) written += static_cast<char>(code);
        else if (code < 0x800) (written += static_cast<char>(0xc0 | code >> 6)) += low(0);
        else if (code < 0x10000) ((written += static_cast<char>(0xe0 | code >> 12)) += low(6)) += low(0);
        else (((written += static_cast<char>(0xf0 | code >> 18)) += low(12)) += low(6)) += low(0);
        std::vector<token> ids = text.encode(written + "dog");
        std::erase_if(ids, [&](token id) { return id != *text.id("cat") && id != *text.id("dog"); });
        hash.add(ids);
        if (++texts % 2048 != 0) continue;
        BOOST_TEST(hash.text() == cases()["around"][texts / 2048 - 1].get<std::string>(), "up to " << static_cast<std::uint32_t>(code));
        hash = {};
    }
    BOOST_TEST(texts / 2048 == cases()["around"].size());
}

// A single word, because the text is not split before the merges. Searching the whole text for each merge would take an hour.
BOOST_AUTO_TEST_CASE(two_hundred_thousand_letters_become_the_ids_of_transformers) {
    std::string letters;
    numbers next{2};
    for (int i = 0; i < 200000; ++i) letters += static_cast<char>('a' + next() % 26);
    for (const std::string source : {"model", "saved"}) {
        const tokenizer text = open_source(source);
        const auto ids = text.encode(letters);
        id_hash hash;
        hash.add(ids);
        BOOST_TEST(ids.size() == cases()[source]["letters"]["count"].get<std::size_t>());
        BOOST_TEST(hash.text() == cases()[source]["letters"]["hash"].get<std::string>());
    }
}
BOOST_AUTO_TEST_CASE(millions_of_equal_letters_take_no_hours) {
    for (const std::string source : {"model", "saved"}) {
        const tokenizer text = open_source(source);
        for (const std::string one : {"a", "an", " ", "re"}) {
            std::string many;
            for (std::size_t i = 0; i < 2000000; ++i) many += one;
            BOOST_TEST((text.decode(text.encode(many)) == many), source << ": " << one);
        }
    }
}

BOOST_AUTO_TEST_CASE(both_sources_are_one_vocabulary) {
    const tokenizer model = open_source("model"), saved = open_source("saved");
    for (token id = 0; id < static_cast<token>(model.size()); ++id) {
        if (model.piece(id) != saved.piece(id) || model.kind(id) != saved.kind(id) || model.byte(id) != saved.byte(id))
            BOOST_ERROR("id " << id << ": " << model.piece(id));
    }
    BOOST_TEST(saved.bos() == model.bos());
    BOOST_TEST(saved.eos() == model.eos());
    BOOST_TEST(saved.pad() == model.pad());
    BOOST_TEST(saved.newline() == model.newline());
    BOOST_TEST(*saved.loc(1023) == *model.loc(1023));
    BOOST_TEST(*saved.seg(127) == *model.seg(127));
    BOOST_TEST(saved.unknown_text() == model.unknown_text());
    BOOST_TEST(saved.image() == *saved.id("<image>"));
    BOOST_TEST((saved.kind(*saved.id("<sp0>")) == pali::piece_kind::hidden)); // special
    BOOST_TEST((saved.kind(*saved.id("<new>")) == pali::piece_kind::text));
    BOOST_TEST(saved.decode(saved.encode("a <new><sp0> red tiger")) == "a <new> red tiger");
}

BOOST_AUTO_TEST_CASE(no_text_becomes_a_control_piece) {
    const tokenizer text(data_path("text/json/saved"));
    for (const std::string written : {"<bos>", "<eos>", "<pad>", "<unk>", "<image>", "a<bos><image> b<eos>"}) {
        for (const token id : text.encode(written))
            BOOST_TEST((id != text.bos() && id != text.eos() && id != text.pad() && id != text.image() && id != *text.id("<unk>")),
                       written);
        BOOST_TEST(text.decode(text.encode(written)) == written);
    }
}

BOOST_AUTO_TEST_CASE(the_order_and_form_of_the_file_do_not_matter) {
    const trial t;
    const auto ids = [&](const std::string& contents) { return t.open(contents).encode("ab ab"); };
    BOOST_TEST(ids(small().dump()) == (std::vector<token>{7, 8, 7}));
    json file = small();
    file["model"]["merges"] = json::parse(R"([["▁", "a"], ["a", "b"]])"); // other ranks
    BOOST_TEST(ids(file.dump()) == (std::vector<token>{7, 9, 6}));
    file["model"]["merges"] = json::array({"▁ a", "a b"});
    BOOST_TEST(ids(file.dump(4)) == (std::vector<token>{7, 9, 6}));
    file["model"]["merges"] = json::array({"a b", "▁ a", "a b"}); // of two equal merges, the later one counts
    BOOST_TEST(ids(file.dump()) == (std::vector<token>{7, 9, 6}));
    file["pre_tokenizer"] = nullptr;
    BOOST_TEST(ids(file.dump()) == (std::vector<token>{7, 9, 6}));
    // nlohmann::json sorts keys, so merges came before vocab above. This is the order that transformers writes.
    std::string written = small().dump();
    const std::size_t merges = written.find("\"merges\":"), next = written.find(",\"type\":\"BPE\"");
    const std::string part = written.substr(merges, next - merges);
    written.erase(merges, next - merges + 1);
    written.insert(written.find("}}", written.find("\"vocab\"")) + 1, "," + part);
    BOOST_TEST_REQUIRE(json::parse(written) == small());
    BOOST_TEST(ids(written) == (std::vector<token>{7, 8, 7}));
}

BOOST_AUTO_TEST_CASE(unknown_characters_are_one_piece) {
    const trial t;
    const tokenizer text = t.open(small().dump());
    BOOST_TEST(text.encode("a\xF0\x9F\x90\xAF\xF0\x9F\x90\xAFzab") == (std::vector<token>{5, 3, 7}));
    BOOST_TEST(text.decode(std::vector<token>{5, 3}) == "a \xE2\x81\x87 ");
}

BOOST_AUTO_TEST_CASE(names_of_special_tokens_come_from_the_files_beside_it) {
    const trial t;
    json file = small();
    for (const char* text : {"<s>", "</s>"}) file["added_tokens"].push_back(added(text, static_cast<token>(10 + (text[1] == '/')), true));
    BOOST_TEST(t.open(file.dump()).bos() == 2);
    std::ofstream(t.folder.path() / "special_tokens_map.json") << R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>"})";
    BOOST_TEST(t.open(file.dump()).bos() == 10);
    BOOST_TEST(t.open(file.dump()).eos() == 11);
    std::ofstream(t.folder.path() / "tokenizer_config.json") << R"({"bos_token": "<bos>", "pad_token": null})";
    const tokenizer text = t.open(file.dump());
    BOOST_TEST(text.bos() == 2);
    BOOST_TEST(text.eos() == 11);
    BOOST_TEST((text.kind(11) == pali::piece_kind::hidden));
    for (const token id : text.encode("a</s>")) BOOST_TEST(id != 11);
    BOOST_TEST(text.encode("a<s>") == (std::vector<token>{5, 10})); // a special token, handled like any other here
    std::ofstream(t.folder.path() / "tokenizer_config.json") << R"({"bos_token": 5})";
    BOOST_CHECK_EXCEPTION((void)t.open(file.dump()), pali::error, [](const pali::error& e) {
        return e.code() == errc::malformed_tokenizer && std::string(e.what()).find("tokenizer_config.json") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(padding_is_asked_for_only_when_needed) {
    const trial t;
    json file = small();
    file["added_tokens"].erase(0);
    file["model"]["vocab"].erase("<pad>");
    file["model"]["vocab"]["x"] = 0;
    const tokenizer text = t.open(file.dump());
    BOOST_CHECK_EXCEPTION((void)text.pad(), pali::error, [](const pali::error& e) { return e.code() == errc::missing_token; });
    file["model"]["vocab"].erase("<bos>");
    file["model"]["vocab"]["y"] = 2;
    file["added_tokens"].erase(1);
    t.refused(errc::missing_token, file.dump(), "<bos>");
}

BOOST_AUTO_TEST_CASE(the_id_of_the_image_decides_over_an_added_token) {
    const trial t; // GemmaTokenizer gives <mask> the id that config.json of the embedded model gives <image>
    json file = small();
    file["added_tokens"].push_back(added("<mask>", 10, true));
    BOOST_TEST(t.open(file.dump()).encode("<mask>") == std::vector<token>{10});
    const tokenizer text = t.open(file.dump(), 10);
    BOOST_TEST(text.image() == 10);
    BOOST_TEST(text.piece(10) == "<image>");
    for (const token id : text.encode("<mask><image>")) BOOST_TEST(id != 10);
}

BOOST_AUTO_TEST_CASE(beside_a_model_only_the_added_tokens_are_read) {
    const trial t;
    std::filesystem::copy_file(source_path("examples/models/shapes/tokenizer.model"), t.folder.path() / "tokenizer.model");
    const auto open = [&](const json& tokens, const std::string& behind = R"(, "model": {"vocab": [)") {
        return t.open(R"({"version": "1.0", "added_tokens": )" + tokens.dump() + behind);
    };
    const tokenizer text = open(json::array({added("<bos>", 2, true), added("<new>", 1480, false, true), added("red tiger", 1481)}));
    BOOST_TEST(text.encode("<new>") == std::vector<token>{1480});
    BOOST_TEST(text.encode("red tiger").size() == 1u);
    BOOST_TEST(text.encode("<bos>").size() > 1u);
    BOOST_TEST(text.size() == 1482u);
    const auto refused = [&](const json& tokens, const std::string& says) {
        try {
            (void)open(tokens);
            BOOST_ERROR("nothing was thrown; wanted " << says);
        } catch (const pali::error& e) {
            const std::string message = e.what();
            BOOST_TEST((e.code() == errc::malformed_tokenizer && message.find(says) != std::string::npos &&
                        message.find("tokenizer.json") != std::string::npos && message.find("tokenizer.model") != std::string::npos),
                       message);
        }
    };
    refused(json::array({added("<bos>", 5)}), "'<bos>' the id 5");
    refused(json::array({added("<new>", 5)}), "'<new>' the id 5");
    std::ofstream(t.folder.path() / "added_tokens.json") << R"({"<new>": 1480})";
    BOOST_TEST(open(json::array({added("<new>", 1480)})).encode("<new>") == std::vector<token>{1480});
    const auto contradicts = [&](const json& tokens) {
        BOOST_CHECK_EXCEPTION((void)open(tokens), pali::error, [](const pali::error& e) {
            const std::string message = e.what();
            return e.code() == errc::malformed_tokenizer && message.find("added_tokens.json") != std::string::npos &&
                   message.find("tokenizer.json") != std::string::npos;
        });
    };
    contradicts(json::array({added("<new>", 1481)}));
    contradicts(json::array({added("<old>", 1480)}));
}

BOOST_AUTO_TEST_CASE(what_is_not_supported_is_named) {
    const trial t;
    const auto with = [&](const char* pointer, const json& value, const std::string& says) {
        json file = small();
        file[json::json_pointer(pointer)] = value;
        t.refused(errc::unsupported_format, file.dump(), says);
    };
    with("/model/type", "WordPiece", "model.type is \"WordPiece\"");
    with("/model/type", nullptr, "model.type is null");
    with("/model/dropout", 0.1, "model.dropout is 0.1");
    with("/model/fuse_unk", false, "model.fuse_unk is false");
    with("/model/byte_fallback", false, "model.byte_fallback is false");
    with("/model/ignore_merges", true, "model.ignore_merges is true");
    json backend = small(); // what AutoTokenizer of transformers 5 saves for a tokenizer.model
    backend["model"]["ignore_merges"] = true;
    backend["normalizer"] = {{"type", "Sequence"}, {"normalizers", {backend["normalizer"]}}};
    backend["pre_tokenizer"] = json::parse(
        R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "<loc0000>|\\\n"}, "behavior": "Isolated", "invert": false}]})");
    t.refused(errc::unsupported_format, backend.dump(),
              "tokenizer.json: model.ignore_merges is true; false is needed; files of transformers' GemmaTokenizer are supported (BPE with "
              "byte fallback over unmodified text), those of TokenizersBackend are not: replace tokenizer.json in the folder by the "
              "tokenizer.model of the base model");
    with("/model/continuing_subword_prefix", "##", "model.continuing_subword_prefix is \"##\"");
    with("/model/end_of_word_suffix", "</w>", "model.end_of_word_suffix is \"</w>\"");
    with("/model/unk_id", 3, "model.unk_id is 3");
    with("/normalizer", {{"type", "NFKC"}}, "normalizer.type is \"NFKC\"");
    with("/normalizer", nullptr, "normalizer.type is absent");
    with("/normalizer", json::parse(R"({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Lowercase"}]})"),
         "normalizer.type is \"Sequence\"");
    with("/normalizer/content", "_", "normalizer.content is \"_\"");
    with("/normalizer/pattern", {{"Regex", " "}}, "normalizer.pattern.String is absent");
    with("/pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}, "pre_tokenizer.type is \"ByteLevel\"");
    with("/pre_tokenizer", json::parse(R"({"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "Split"}]})"),
         "pre_tokenizer.type is \"Sequence\"");
    with("/pre_tokenizer/pattern", {{"String", "a"}}, "pre_tokenizer.pattern.String is \"a\"");
    with("/pre_tokenizer/invert", true, "pre_tokenizer.invert is true");
    with("/added_tokens/0/later", true, "'added_tokens[0].later' is unknown");
    with("/rewriter", {{"type", "x"}}, "rewriter is ");
    with("/model/type", "Unigram", "model.type is \"Unigram\"");
    json file = small();
    file["model"] = {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", json::parse(R"([["<unk>", 0.0]])")}};
    t.refused(errc::malformed_tokenizer, file.dump(), "model.vocab");
}

BOOST_AUTO_TEST_CASE(what_contradicts_itself_is_named) {
    const trial t;
    const auto with = [&](const char* pointer, const json& value, const std::string& says) {
        json file = small();
        file[json::json_pointer(pointer)] = value;
        t.refused(errc::malformed_tokenizer, file.dump(), says);
    };
    with("/model/vocab/a", 99, "'a' has the id 99, but there are only 10 pieces");
    with("/model/vocab/new", 11, "'new' has the id 11"); // a gap
    with("/model/vocab/a", 6, "same id 6");
    with("/model/vocab/a", -1, "'a' has the id -1");
    with("/model/vocab/a", 5.5, "'a' has the id 5.5");
    with("/model/vocab/a", "5", "'a' has the id \"5\"");
    with("/model/vocab/a", json::array(), "'a' has the id []");
    with("/model/vocab/a", 4294967301u, "too large");
    with("/model/vocab/", 10, "piece 10 is empty");
    with("/model/vocab", json::array(), "'model.vocab' is an array");
    with("/model/vocab", 5, "no model.vocab");
    with("/model/merges", nullptr, "no model.merges");
    with("/model/merges", json::object(), "'model.merges' is an object");
    with("/model/merges/1", "b ab", "model.merges[1] joins 'b' and 'ab', and 'bab' is not in model.vocab");
    with("/model/merges/0", "x b", "model.merges[0] joins 'x' and 'b', and 'x' is not");
    with("/model/merges/0", "ab", "model.merges[0] is 'ab'");
    with("/model/merges/0", "a b c", "model.merges[0] is 'a b c'");
    with("/model/merges/0", 5, "model.merges[0] is number");
    with("/model/merges/0", json::array({"a"}), "model.merges[0] has 1 pieces");
    with("/model/merges/0", json::array({"a", "b", "c"}), "model.merges[0] has 3 pieces");
    with("/model/merges/0", json::array({"a", 5}), "model.merges[0] contains number");
    with("/model/merges/0", json::array({"a", json::array()}), "model.merges[0] contains array");
    with("/model/merges/0", json::object(), "model.merges[0] is an object");
    with("/model/unk_token", nullptr, "model.unk_token is absent");
    with("/model/unk_token", "<none>", "model.unk_token is \"<none>\"");
    with("/model", json::array(), "'model' is an array");
    with("/added_tokens", json::object(), "'added_tokens' is an object");
    with("/added_tokens/0", 5, "added_tokens[0] is number");
    with("/added_tokens/0", json::array(), "added_tokens[0] is an array");
    with("/added_tokens/1/id", -1, "'added_tokens[1].id' is -1");
    with("/added_tokens/1/id", 1e30, "'added_tokens[1].id' is");
    with("/added_tokens/1/id", 5, "'<eos>' the id 5");
    with("/added_tokens/1/content", "", "'added_tokens[1].content' is \"\"");
    with("/added_tokens/1/content", "other", "'other' the id 1");
    with("/added_tokens/1/special", 1, "'added_tokens[1].special' is 1");
    with("/added_tokens/1/lstrip", json::array(), "'added_tokens[1].lstrip' is []");
    with("/added_tokens/5", added("far", 50), "the added token 'far' the id 50");
    with("/added_tokens/5", {{"id", 10}, {"content", "x"}}, "added_tokens[5] has no 'special'");
    json file = small();
    file["added_tokens"].push_back(added("x", 10));
    file["added_tokens"].push_back(added("y", 10));
    t.refused(errc::malformed_tokenizer, file.dump(), "'y' the id 10, which 'x' has");
    file["added_tokens"].back() = added("x", 10);
    t.refused(errc::malformed_tokenizer, file.dump(), "'x' twice");
    file.erase("added_tokens");
    t.refused(errc::malformed_tokenizer, file.dump(), "no added_tokens");
    file.erase("model");
    t.refused(errc::malformed_tokenizer, file.dump(), "no added_tokens");
}

BOOST_AUTO_TEST_CASE(what_is_no_json_is_refused) {
    const trial t;
    for (const std::string bad : {"", "{", "[]", "3", "null", "\"x\"", "{} x", "{\"a\": 1e999}", "{\"version\": \"\xff\"}"}) {
        try {
            (void)t.open(bad);
            BOOST_ERROR("nothing was thrown for " << bad);
        } catch (const pali::error& e) {
            BOOST_TEST((e.code() == errc::malformed_tokenizer), bad << ": " << e.what());
        }
    }
    const std::string whole = small().dump();
    t.refused(errc::malformed_tokenizer, R"({"decoder": )" + std::string(100000, '['), "nested more than 64 deep");
    t.refused(errc::malformed_tokenizer, R"({"version": "1", "version": "1")" + whole.substr(1), "'version' twice");
    t.refused(errc::malformed_tokenizer, R"({"added_tokens": [], )" + whole.substr(1), "'added_tokens' twice");
    std::string twice = whole;
    twice.insert(twice.find("\"ab\":"), "\"ab\":10,");
    t.refused(errc::malformed_tokenizer, twice, "piece 10 is the same as piece 7");
    std::size_t refused = 0;
    for (std::size_t n = 0; n < whole.size(); n += 3) {
        try {
            (void)t.open(whole.substr(0, n));
        } catch (const pali::error& e) {
            refused += e.code() == errc::malformed_tokenizer;
        }
    }
    BOOST_TEST(refused == (whole.size() + 2) / 3);
}

BOOST_AUTO_TEST_CASE(bytes_changed_anywhere) {
    const trial t;
    const std::string whole = small().dump();
    numbers random{5};
    std::size_t opened = 0, refused = 0;
    for (int n = 0; n < 3000; ++n) {
        std::string changed = whole;
        for (auto changes = 1 + random() % 3; changes > 0; --changes) {
            const char other = changed[random() % changed.size()];
            changed[random() % changed.size()] = other;
        }
        try {
            const tokenizer text = t.open(changed);
            (void)text.decode(text.encode("a caption \xF0\x9F\x90\xAF <loc0001>\n"));
            ++opened;
        } catch (const pali::error&) {
            ++refused;
        }
    }
    BOOST_TEST(opened > 0u);
    BOOST_TEST(refused > 0u);
}

BOOST_AUTO_TEST_SUITE_END()
