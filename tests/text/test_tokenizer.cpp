#include "vocabularies.hpp"

#include <pali/core/error.hpp>
#include <pali/text/tokenizer.hpp>

#include <nlohmann/json.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

using namespace pali::test;
using pali::token;
using pali::tokenizer;

namespace {

/// A folder that is removed when the test ends.
struct scratch_folder {
    std::filesystem::path path;
    explicit scratch_folder(const std::string& name)
        : path(std::filesystem::temp_directory_path() / ("pali_" + name + "_" + std::to_string(reinterpret_cast<std::uintptr_t>(this)))) {
        std::filesystem::remove_all(path);
        std::filesystem::create_directories(path);
    }
    ~scratch_folder() { std::filesystem::remove_all(path); }
    void write(const std::string& name, const std::string& contents) const { std::ofstream(path / name, std::ios::binary) << contents; }
};

/// The code and the message of the error thrown by opening a folder.
std::pair<pali::errc, std::string> refusal(const std::filesystem::path& path, std::optional<token> image = std::nullopt) {
    try {
        const tokenizer opened(path, image);
        BOOST_ERROR("nothing was thrown for " << path);
    } catch (const pali::error& e) {
        return {e.code(), e.what()};
    }
    return {};
}

const std::filesystem::path small_model = source_path("examples/models/shapes/tokenizer.model");

} // namespace

BOOST_AUTO_TEST_SUITE(tokenizer_class)

BOOST_AUTO_TEST_CASE(texts_become_the_reference_ids_and_come_back) {
    for (const vocabulary& v : vocabularies()) {
        const tokenizer text(v.model);
        BOOST_TEST(v.golden["texts"].size() >= 200u);
        for (const auto& c : v.golden["texts"]) {
            const std::string written = c["text"];
            const auto ids = text.encode(written);
            BOOST_TEST(ids == ids_of(c["ids"]), v.name << ": " << c["text"].dump() << " gave " << shown(ids));
            BOOST_TEST(text.decode(ids) == c["decoded"].get<std::string>(), v.name << ": " << c["text"].dump());
        }
    }
}

BOOST_AUTO_TEST_CASE(ids_are_found) {
    for (const vocabulary& v : vocabularies()) {
        const tokenizer text(v.model, 300000);
        BOOST_TEST(text.bos() == v.golden["bos"].get<token>());
        BOOST_TEST(text.eos() == v.golden["eos"].get<token>());
        BOOST_TEST(text.pad() == v.golden["pad"].get<token>());
        BOOST_TEST(text.newline() == v.golden["newline"].get<token>());
        BOOST_TEST(text.image() == 300000);
        BOOST_TEST(text.piece(300000) == "<image>");
        BOOST_TEST(*text.id("<image>") == 300000);
        BOOST_TEST(text.size() == 300001u);
        BOOST_TEST(tokenizer(v.model).size() == v.golden["size"].get<std::size_t>());
        BOOST_TEST(*text.loc(0) == *text.id("<loc0000>"));
        BOOST_TEST(*text.loc(1023) == *text.id("<loc1023>"));
        BOOST_TEST(*text.seg(127) == *text.id("<seg127>"));
        BOOST_TEST(!text.loc(1024));
        BOOST_TEST(!text.seg(128));
        BOOST_TEST(*text.loc_number(*text.loc(77)) == 77u);
        BOOST_TEST(*text.seg_number(*text.seg(5)) == 5u);
        BOOST_TEST(!text.loc_number(*text.seg(0)));
        BOOST_TEST(!text.seg_number(*text.loc(1023)));
        BOOST_TEST(!text.loc_number(-1));
        BOOST_TEST(!text.id("no such piece"));
        BOOST_TEST(text.piece(-1).empty());
        BOOST_TEST(text.piece(299999).empty());
        BOOST_TEST((text.kind(299999) == pali::piece_kind::hidden));
    }
}

// An error of earlier ports: "<loc0123>" is split into its characters (transformers #30824, #41870).
BOOST_AUTO_TEST_CASE(places_are_one_token_wherever_they_stand) {
    for (const vocabulary& v : vocabularies()) {
        const tokenizer text(v.model);
        for (std::size_t i = 0; i < 1024; ++i) {
            const std::string piece = std::string("<loc") + std::to_string(10000 + i).substr(1) + ">";
            if (text.encode(piece) != std::vector<token>{*text.loc(i)}) BOOST_ERROR(v.name << ": " << piece);
        }
        const auto inside = text.encode("a<loc0003><seg127>b");
        BOOST_TEST(inside == (std::vector<token>{text.encode("a")[0], *text.loc(3), *text.seg(127), text.encode("b")[0]}), shown(inside));
    }
}

BOOST_AUTO_TEST_CASE(no_text_becomes_a_control_piece) {
    for (const vocabulary& v : vocabularies()) {
        const tokenizer text(v.model, 300000);
        for (const auto& c : v.golden["control"]) {
            const auto ids = text.encode(c["text"].get<std::string>());
            BOOST_TEST(ids == ids_of(c["ids"]), v.name << ": " << c["text"].dump());
            for (const token id : ids) BOOST_TEST((text.kind(id) != pali::piece_kind::hidden), c["text"].dump());
        }
    }
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_utf8_are_replaced) {
    for (const vocabulary& v : vocabularies()) {
        const tokenizer text(v.model);
        for (const auto& c : v.golden["invalid"]) {
            const auto bytes = c["bytes"].get<std::vector<unsigned char>>();
            const auto ids = text.encode(std::string(bytes.begin(), bytes.end()));
            BOOST_TEST(ids == ids_of(c["ids"]), v.name << ": " << c["bytes"].dump() << " gave " << shown(ids));
        }
    }
}

BOOST_AUTO_TEST_CASE(any_tokens_decode_as_in_the_reference) {
    for (const vocabulary& v : vocabularies()) {
        const tokenizer text(v.model);
        for (const auto& c : v.golden["tokens"])
            BOOST_TEST(text.decode(ids_of(c["ids"])) == c["text"].get<std::string>(), v.name << ": " << c["ids"].dump());
    }
}

// An error of earlier ports: decoding one id at a time drops the leading space of a piece.
BOOST_AUTO_TEST_CASE(leading_spaces_stay) {
    for (const vocabulary& v : vocabularies()) {
        const tokenizer text(v.model);
        BOOST_TEST(text.decode(text.encode(" a")) == " a");
        BOOST_TEST(text.decode(text.encode("   a")) == "   a");
    }
}

BOOST_AUTO_TEST_CASE(added_tokens_are_cut_out_first) {
    const auto golden = read_json(data_path("text/added.json"));
    const tokenizer text(data_path("text/added"));
    BOOST_TEST(text.image() == golden["image"].get<token>());
    BOOST_TEST(*text.loc(0) == golden["loc0"].get<token>());
    BOOST_TEST(*text.loc(1023) == golden["loc0"].get<token>() + 1023);
    BOOST_TEST(*text.seg(0) == golden["seg0"].get<token>());
    BOOST_TEST(*text.loc_number(*text.loc(1000)) == 1000u);
    BOOST_TEST(text.size() == golden["size"].get<std::size_t>());
    BOOST_TEST(text.piece(*text.loc(12)) == "<loc0012>");
    const auto size = static_cast<token>(text.size()), pieces = golden["model_size"].get<token>();
    BOOST_TEST((text.next_id(-1) == 0 && text.next_id(pieces - 1) == pieces - 1 &&
                text.next_id(pieces) == *text.loc(0))); // no piece has the id in between
    BOOST_TEST((text.next_id(size - 1) == size - 1 && !text.next_id(size) && !text.next_id(0x7fffffff)));
    for (const auto& c : golden["texts"]) {
        const auto ids = text.encode(c["text"].get<std::string>());
        BOOST_TEST(ids == ids_of(c["ids"]), c["text"].dump() << " gave " << shown(ids));
        BOOST_TEST(text.decode(ids) == c["decoded"].get<std::string>(), c["text"].dump());
    }
    for (const token id : text.encode("<image> a<image><image>b")) BOOST_TEST(id != text.image());
    BOOST_TEST(text.decode(std::vector<token>{text.image(), *text.id("red tiger"), text.image(), -5, 1000000, *text.loc(3)}) ==
               "red tiger<loc0003>");
}

BOOST_AUTO_TEST_CASE(the_vocabulary_decides_before_the_fallback) {
    const token written = read_json(data_path("text/added.json"))["image"];
    BOOST_TEST(tokenizer(data_path("text/added"), 5).image() == written);
    // An image token id inside the vocabulary replaces its piece.
    const tokenizer inside(small_model, tokenizer(small_model).encode("a")[0]);
    BOOST_TEST((inside.kind(inside.image()) == pali::piece_kind::hidden));
    BOOST_TEST(inside.piece(inside.image()) == "<image>");
    BOOST_TEST(inside.decode(inside.encode("a caption")) == "a caption"); // by its bytes
    for (const token id : inside.encode("a caption")) BOOST_TEST(id != inside.image());
}

BOOST_AUTO_TEST_CASE(image_is_asked_for_only_when_needed) {
    const tokenizer text(small_model);
    BOOST_CHECK_EXCEPTION((void)text.image(), pali::error, [](const pali::error& e) {
        return e.code() == pali::errc::missing_token && std::string(e.what()).find("<image>") != std::string::npos;
    });
    BOOST_TEST((refusal(small_model, -3).first == pali::errc::invalid_argument));
}

BOOST_AUTO_TEST_CASE(a_file_that_is_not_there) {
    const scratch_folder folder("empty");
    const auto [code, message] = refusal(folder.path);
    BOOST_TEST((code == pali::errc::cannot_open));
    BOOST_TEST(message.find("tokenizer.model") != std::string::npos);
    BOOST_TEST((refusal(folder.path / "none.model").first == pali::errc::cannot_open));
}

BOOST_AUTO_TEST_CASE(added_tokens_that_contradict) {
    const scratch_folder folder("added");
    std::filesystem::copy_file(small_model, folder.path / "tokenizer.model");
    for (const char* bad : {"", "{", "[]", "[1]", "3", "{\"a\": -1}", "{\"a\": 1.5}", "{\"a\": \"1\"}", "{\"a\": {}}", "{\"a\": [2000]}",
                            "{\"a\": null}", "{\"a\": 99999999999}", "{\"\": 2000}", "{\"a b\": 2000, \"a b\": 2001}",
                            "{\"a b\": 2000, \"c d\": 2000}", "{\"<bos>\": 5}", "{\"new\": 5}", "{\"<loc0000>\": 2000}", "{} x"}) {
        folder.write("added_tokens.json", bad);
        const auto [code, message] = refusal(folder.path);
        BOOST_TEST((code == pali::errc::malformed_tokenizer), bad);
        BOOST_TEST(message.find("added_tokens.json") != std::string::npos, message);
    }
    // Entries already in the model are allowed. A letter may become atomic; a control piece must not be parsed from text.
    folder.write("added_tokens.json", R"({"<bos>": 2, "<loc0000>": 5, "<image>": 1480, "far": 5000})");
    const tokenizer text(folder.path);
    BOOST_TEST(text.image() == 1480);
    BOOST_TEST(text.size() == 5001u);
    BOOST_TEST(text.encode("<bos>").size() > 1u);
    BOOST_TEST(text.encode("far").front() == 5000);
    BOOST_TEST(text.encode("<loc0000>") == std::vector<token>{5});
}

BOOST_AUTO_TEST_CASE(many_threads_may_encode) {
    const tokenizer text(small_model);
    const auto want = text.encode("detect red circle ; \xF0\x9F\x90\xAF <loc0001>");
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 200; ++i) wrong += text.encode("detect red circle ; \xF0\x9F\x90\xAF <loc0001>") != want;
        });
    for (std::thread& t : threads) t.join();
    BOOST_TEST(wrong == 0);
}

// Without it transformers saves a tokenizer.json of a class that pali does not read, and splits <loc> and <seg> in training texts.
BOOST_AUTO_TEST_CASE(the_embedded_model_names_its_tokens_to_transformers) {
    const std::filesystem::path folder = source_path("examples/models/shapes");
    const nlohmann::json config = nlohmann::json::parse(std::ifstream(folder / "tokenizer_config.json"));
    BOOST_TEST(config.at("tokenizer_class") == "GemmaTokenizer");
    const tokenizer text(folder);
    const nlohmann::json& added = config.at("added_tokens_decoder");
    BOOST_TEST(added.size() == 1024u + 128u + 5u); // <loc>, <seg>, and <pad>, <eos>, <bos>, <unk>, <image>
    for (const auto& [id, one] : added.items()) {
        const std::string piece = one.at("content");
        BOOST_TEST(text.piece(std::stoi(id)) == piece);
        BOOST_TEST(one.value("special", false) == !(piece.starts_with("<loc") || piece.starts_with("<seg")), piece);
    }
}

BOOST_AUTO_TEST_SUITE_END()
