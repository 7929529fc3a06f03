#include <pali/core/utf8.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <string>

BOOST_AUTO_TEST_SUITE(utf8)

namespace {

/// Follows the definition: decodes the code point and checks that this is its valid encoding.
std::size_t length_by_definition(const std::string& s) {
    const auto b = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    if (b(0) < 0x80) return 1;
    const std::size_t length = (b(0) & 0xe0) == 0xc0 ? 2 : (b(0) & 0xf0) == 0xe0 ? 3 : (b(0) & 0xf8) == 0xf0 ? 4 : 0;
    if (length == 0 || s.size() < length) return 0;
    std::uint32_t code = b(0) & (0xffu >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((b(i) & 0xc0) != 0x80) return 0;
        code = code << 6 | (b(i) & 0x3fu);
    }
    const std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    return code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : length;
}

} // namespace

BOOST_AUTO_TEST_CASE(all_leads_with_all_kinds_of_followers) {
    const unsigned char followers[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (int lead = 0; lead < 256; ++lead)
        for (const unsigned char a : followers)
            for (const unsigned char b : followers)
                for (const unsigned char c : followers) {
                    const std::string whole{static_cast<char>(lead), static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)};
                    bool could_grow = false; // whether these one to three bytes are a prefix of a character
                    for (std::size_t n = 4; n >= 1; --n) {
                        const std::string s = whole.substr(0, n);
                        const pali::core::utf8_character got = pali::core::first_character(s);
                        const std::size_t want = length_by_definition(s);
                        if (got.length != want || (could_grow && want == 0 && !got.cut_off))
                            BOOST_ERROR("lead " << lead << " followers " << int(a) << ' ' << int(b) << ' ' << int(c) << " length " << n
                                                << ": got " << got.length);
                        could_grow = could_grow || want == n;
                    }
                }
}

BOOST_AUTO_TEST_CASE(cut_off_only_while_it_can_become_a_character) {
    BOOST_TEST(pali::core::first_character("\xE2\x96").cut_off);
    BOOST_TEST(pali::core::first_character("\xF0\x9F\x90").cut_off);
    for (const char* never : {"\xC0", "\xC1", "\xF5", "\xE0\x80", "\xED\xA0", "\xF0\x8F", "\xF4\x90", "\x80", "\xE2(", "\xFF"})
        BOOST_TEST(!pali::core::first_character(never).cut_off, never);
}

BOOST_AUTO_TEST_CASE(characters_have_their_numbers) {
    BOOST_TEST((pali::core::first_character("A").code == U'A' && pali::core::first_character("\xC3\xA9z").code == U'\u00E9'));
    BOOST_TEST((pali::core::first_character("\xE2\x80\xA6").code == U'\u2026' &&
                pali::core::first_character("\xF0\x9F\x90\xAF").code == U'\U0001F42F'));
    BOOST_TEST((pali::core::first_character("\xF0\x9F\x90").code == 0 && pali::core::first_character("\xC0\xAF").code == 0 &&
                pali::core::first_character("").code == 0));
}

BOOST_AUTO_TEST_CASE(whole_texts) {
    BOOST_TEST(pali::core::is_utf8(""));
    BOOST_TEST(pali::core::is_utf8("caf\xC3\xA9 \xF0\x9F\x90\xAF"));
    BOOST_TEST(!pali::core::is_utf8("caf\xC3"));
    BOOST_TEST(!pali::core::is_utf8("a\x80z"));
}

BOOST_AUTO_TEST_SUITE_END()
