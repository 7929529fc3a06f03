#include "vocabularies.hpp"

#include <pali/text/stream.hpp>

#include <boost/test/unit_test.hpp>

#include <random>
#include <string>
#include <vector>

using namespace pali::test;
using pali::token;

namespace {

/// The whole output of a stream. Checks that each piece consists of complete characters.
std::string streamed(const pali::tokenizer& text, const std::vector<token>& ids) {
    pali::text::text_stream stream(text);
    std::string out;
    for (const token id : ids) {
        const std::string_view part = stream.push(id);
        if (!pali::core::is_utf8(part)) BOOST_ERROR("not whole characters after " << out);
        out += part;
    }
    const std::string_view last = stream.finish();
    if (!pali::core::is_utf8(last)) BOOST_ERROR("not whole characters at the end");
    return out += last;
}

} // namespace

BOOST_AUTO_TEST_SUITE(stream)

BOOST_AUTO_TEST_CASE(equals_the_reference) {
    for (const vocabulary& v : vocabularies()) {
        const pali::tokenizer text(v.model);
        for (const auto& c : v.golden["tokens"])
            BOOST_TEST(streamed(text, ids_of(c["ids"])) == c["text"].get<std::string>(), v.name << ": " << c["ids"].dump());
        for (const auto& c : v.golden["texts"])
            BOOST_TEST(streamed(text, ids_of(c["ids"])) == c["decoded"].get<std::string>(), v.name << ": " << c["text"].dump());
    }
}

BOOST_AUTO_TEST_CASE(equals_decoding_all_at_once_for_any_tokens) {
    std::mt19937 random(3);
    auto all = vocabularies();
    all.push_back({"added", data_path("text/added"), {}});
    for (const vocabulary& v : all) {
        const pali::tokenizer text(v.model);
        std::vector<token> bytes, others;
        for (token id = 0; id < static_cast<token>(text.size()); ++id) {
            if (text.kind(id) == pali::piece_kind::byte) bytes.push_back(id);
            else if (id < 1000 || text.kind(id) != pali::piece_kind::text || random() % 50 == 0) others.push_back(id);
        }
        others.insert(others.end(), {-1, static_cast<token>(text.size()), 2000000000});
        BOOST_TEST(bytes.size() == 256u);
        const std::string letters[] = {"\xC3\xA9", "\xE8\x99\x8E", "\xF0\x9F\x90\xAF", "\xEF\xBF\xBD", "\xE2\x96\x81"};
        for (int n = 0; n < 2000; ++n) {
            std::vector<token> ids;
            for (std::size_t length = random() % 30; ids.size() < length;) {
                switch (random() % 4) {
                case 0:
                    ids.push_back(bytes[random() % 256]);
                    break;
                case 1: { // a character in byte pieces, sometimes truncated
                    const std::string& letter = letters[random() % 5];
                    const std::size_t keep = random() % 3 == 0 ? letter.size() - 1 : letter.size();
                    for (std::size_t i = 0; i < keep; ++i) ids.push_back(bytes[static_cast<unsigned char>(letter[i])]);
                    break;
                }
                default:
                    ids.push_back(others[random() % others.size()]);
                }
            }
            if (streamed(text, ids) != text.decode(ids)) BOOST_ERROR(v.name << ": " << shown(ids));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_character_comes_when_its_last_byte_does) {
    const pali::tokenizer text(source_path("examples/models/shapes/tokenizer.model"));
    const auto ids = text.encode("\xF0\x9F\x90\xAF"); // four byte pieces
    BOOST_REQUIRE_EQUAL(ids.size(), 4u);
    pali::text::text_stream stream(text);
    for (std::size_t i = 0; i < 3; ++i) BOOST_TEST(stream.push(ids[i]).empty());
    BOOST_TEST(stream.push(ids[3]) == "\xF0\x9F\x90\xAF");
    BOOST_TEST(stream.finish().empty());
    // Bytes that never become a character are emitted at the end, and the stream restarts.
    BOOST_TEST(stream.push(ids[0]).empty());
    BOOST_TEST(stream.finish() == "\xEF\xBF\xBD");
    BOOST_TEST(stream.push(text.encode(" a")[0]).front() == ' ');
}

BOOST_AUTO_TEST_SUITE_END()
