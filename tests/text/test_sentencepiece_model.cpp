// tokenizer.model is untrusted. Whatever its contents, opening it must succeed or throw, and must not print anything.
#include "vocabularies.hpp"

#include <pali/core/error.hpp>
#include <pali/text/tokenizer.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

using namespace pali::test;

namespace {

std::string read_bytes(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// Protobuf encoding.
std::string varint(std::uint64_t value) {
    std::string out;
    for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
    return out += static_cast<char>(value);
}
std::string number(unsigned field, std::uint64_t value) { return varint(field << 3) + varint(value); }
std::string bytes(unsigned field, const std::string& value) { return varint(field << 3 | 2) + varint(value.size()) + value; }
std::string score(float value) {
    std::string out = varint(2 << 3 | 5);
    return out.append(reinterpret_cast<const char*>(&value), 4);
}
std::string piece(const std::string& text, unsigned type = 1) { return bytes(1, bytes(1, text) + score(-1) + number(3, type)); }

/// A small valid vocabulary; `trainer` and `normalizer` are additional fields of those messages.
std::string model(const std::string& more_pieces = "", const std::string& trainer = "", const std::string& normalizer = "") {
    return piece("<pad>", 3) + piece("<eos>", 3) + piece("<bos>", 3) + piece("<unk>", 2) + piece("\n", 4) + piece("a") + more_pieces +
           bytes(2, number(3, 2) + bytes(46, "<bos>") + bytes(47, "<eos>") + bytes(48, "<pad>") + trainer) +
           bytes(3, number(3, 0) + number(4, 0) + normalizer);
}

/// Writes contents to a file, opens it as a tokenizer, and captures standard error.
class trial {
public:
    trial() : m_path(std::filesystem::temp_directory_path() / ("pali_model_" + std::to_string(getpid()))), m_noise(std::tmpfile()) {}
    ~trial() {
        std::filesystem::remove(m_path);
        std::fclose(m_noise);
    }
    /// Returns "" on success, otherwise the error message.
    std::string open(const std::string& contents) {
        std::ofstream(m_path, std::ios::binary) << contents;
        std::fflush(stderr);
        const int kept = dup(2);
        dup2(fileno(m_noise), 2);
        std::string message;
        try {
            const pali::tokenizer text(m_path);
            (void)text.decode(text.encode("a caption \xF0\x9F\x90\xAF <loc0001>\n"));
        } catch (const pali::error& e) {
            message = e.what();
            code = e.code();
        } catch (const std::exception& e) {
            message = std::string("another exception: ") + e.what();
        }
        std::fflush(stderr);
        dup2(kept, 2);
        close(kept);
        return message;
    }
    [[nodiscard]] const std::filesystem::path& path() const { return m_path; }
    /// The number of bytes written to standard error.
    long noise() const { return static_cast<long>(lseek(fileno(m_noise), 0, SEEK_END)); }

    pali::errc code{};

private:
    std::filesystem::path m_path;
    std::FILE* m_noise;
};

} // namespace

BOOST_AUTO_TEST_SUITE(sentencepiece_model)

BOOST_AUTO_TEST_CASE(a_model_made_by_hand_opens) {
    trial t;
    BOOST_TEST(t.open(model()) == "");
    BOOST_TEST(t.open(model(piece("<image>", 4))) == "");
    BOOST_TEST(t.open(model("", number(99, 5) + bytes(7, "x"))) == ""); // fields of later versions
    BOOST_TEST(t.noise() == 0);
}

BOOST_AUTO_TEST_CASE(an_image_piece_of_the_model_is_not_read_from_text) {
    trial t;
    BOOST_TEST(t.open(model(piece("<image>", 4) + piece("<") + piece("i") + piece("m") + piece("g") + piece("e") + piece(">"))) == "");
    const pali::tokenizer text(t.path());
    BOOST_TEST(text.image() == 6);
    BOOST_TEST(text.encode("<image>").size() == 7u);
    BOOST_TEST(text.decode(std::vector<pali::token>{6, 5, 6}) == "a");
}

BOOST_AUTO_TEST_CASE(one_piece_that_becomes_the_image_token_is_refused) {
    trial t; // the memory layout varies between runs, and the search for the piece must terminate in each of them
    for (const char* text : {"a", "b", "c", "d", "e", "f", "g", "h"}) {
        BOOST_TEST(t.open(piece(text, 2) + bytes(2, number(3, 2)) + bytes(3, number(3, 0) + number(4, 0))) != "");
        BOOST_CHECK_THROW(pali::tokenizer(t.path(), 0), pali::error);
    }
}

BOOST_AUTO_TEST_CASE(what_sentencepiece_trusts_is_checked) {
    trial t;
    const auto expect = [&](pali::errc code, const std::string& contents, const std::string& says) {
        const std::string message = t.open(contents);
        BOOST_TEST((t.code == code && message.find(says) != std::string::npos), "wanted '" << says << "', got '" << message << "'");
        t.code = {};
    };
    using enum pali::errc;
    expect(malformed_tokenizer, "", "has no pieces");
    expect(malformed_tokenizer, "version https://git-lfs.github.com/spec/v1\n", "LFS");
    expect(malformed_tokenizer, model(bytes(1, score(0))), "is empty");
    expect(malformed_tokenizer, model(piece(std::string("a\0b", 3))), "zero byte");
    expect(malformed_tokenizer, model(piece("\xE2\x96")), "UTF-8");
    expect(malformed_tokenizer, model(piece("a")), "same as piece 5");
    expect(malformed_tokenizer, model(piece("<unk>", 2)), "same as piece 3");
    expect(malformed_tokenizer, model(piece("<unknown>", 2)), "2 unknown pieces");
    expect(malformed_tokenizer, model(piece("b", 7)), "kind 7");
    expect(malformed_tokenizer, model(piece("b", 0)), "kind 0");
    expect(malformed_tokenizer, model(piece("<0x41>", 6)), "byte_fallback is off");
    expect(malformed_tokenizer, model(piece("<0x41>", 6), number(35, 1)), "256 are needed");
    expect(malformed_tokenizer, model(piece("<0xZZ>", 6), number(35, 1)), "form <0x41>");
    expect(malformed_tokenizer, model(piece(std::string(5000, 'x'))), "5000 bytes");
    expect(malformed_tokenizer, model(bytes(1, bytes(1, "b") + score(std::numeric_limits<float>::quiet_NaN()))), "finite");
    expect(malformed_tokenizer, model(bytes(1, number(1, 5))), "wire type");
    expect(malformed_tokenizer, model() + "\x0a", "ends inside");
    expect(malformed_tokenizer, model() + "\x0b", "wire type 3");
    expect(malformed_tokenizer, model() + varint(1 << 3 | 2) + varint(1000), "before the end");
    expect(unsupported_format, model("", number(3, 1)), "model_type is 1");
    expect(unsupported_format, model("", number(24, 1)), "whitespace_as_suffix");
    expect(unsupported_format, model("", "", number(3, 1)), "add_dummy_prefix");
    expect(unsupported_format, model("", "", number(4, 1)), "remove_extra_whitespaces");
    expect(unsupported_format, model("", "", number(5, 0)), "escape_whitespaces");
    expect(unsupported_format, model("", "", bytes(2, "charsmap")), "precompiled_charsmap");
    expect(unsupported_format, model() + bytes(5, bytes(2, "charsmap")), "precompiled_charsmap");
    BOOST_TEST(t.noise() == 0);
}

BOOST_AUTO_TEST_CASE(pieces_that_every_prompt_needs) {
    trial t;
    const auto without = [&](const std::string& name) {
        std::string all = model();
        all[all.find(name) + 1] = 'X'; // the piece, not its copy in the trainer spec
        t.code = {};
        const std::string message = t.open(all);
        BOOST_TEST((t.code == pali::errc::missing_token && message.find(name) != std::string::npos), name << ": " << message);
    };
    without("<bos>");
    without("<eos>");
    t.code = {};
    const std::string message = t.open(piece("<pad>", 3) + piece("<eos>", 3) + piece("<bos>", 3) + piece("<unk>", 2) + piece("a") +
                                       bytes(2, number(3, 2)) + bytes(3, number(3, 0) + number(4, 0)));
    BOOST_TEST((t.code == pali::errc::missing_token && message.find("newline") != std::string::npos), message);
}

BOOST_AUTO_TEST_CASE(padding_is_asked_for_only_when_needed) {
    trial t;
    std::string all = model();
    all[all.find("<pad>") + 1] = 'X'; // the piece, not its copy in the trainer spec
    BOOST_TEST(t.open(all) == "");
    const pali::tokenizer text(t.path());
    BOOST_CHECK_EXCEPTION((void)text.pad(), pali::error, [](const pali::error& e) { return e.code() == pali::errc::missing_token; });
}

BOOST_AUTO_TEST_CASE(self_test_data_is_not_run) {
    // sentencepiece would log that "a" does not give "wrong".
    trial t;
    BOOST_TEST(t.open(model() + bytes(4, bytes(1, bytes(1, "a") + bytes(2, "wrong")))) == "");
    BOOST_TEST(t.noise() == 0);
}

BOOST_AUTO_TEST_CASE(cut_short_anywhere) {
    const std::string whole = model(piece("<image>", 4) + piece("\xE2\x96\x81"), bytes(44, " ? "));
    trial t;
    for (std::size_t n = 0; n < whole.size(); ++n)
        if (const std::string message = t.open(whole.substr(0, n)); message.rfind("[pali.50", 0) != 0 && message.rfind("[pali.203", 0) != 0)
            BOOST_ERROR("at " << n << ": '" << message << "'");
    const std::string shapes = read_bytes(source_path("examples/models/shapes/tokenizer.model"));
    for (std::size_t n = 0; n < shapes.size(); n += 997)
        if (const std::string message = t.open(shapes.substr(0, n)); message.rfind("[pali.", 0) != 0)
            BOOST_ERROR("at " << n << ": '" << message << "'");
    BOOST_TEST(t.noise() == 0);
}

BOOST_AUTO_TEST_CASE(bytes_changed_anywhere) {
    const std::string whole = read_bytes(data_path("text/added/tokenizer.model"));
    std::mt19937 random(1);
    trial t;
    std::size_t opened = 0, refused = 0;
    for (int n = 0; n < 1500; ++n) {
        std::string changed = whole;
        for (std::size_t changes = 1 + random() % 3; changes > 0; --changes) {
            const char other = changed[random() % changed.size()];
            changed[random() % changed.size()] = random() % 4 == 0 ? static_cast<char>(random()) : other;
        }
        const std::string message = t.open(changed);
        if (message.empty()) ++opened;
        else if (message.rfind("[pali.", 0) == 0) ++refused;
        else BOOST_ERROR(message);
    }
    BOOST_TEST(opened > 0u);
    BOOST_TEST(refused > 0u);
    BOOST_TEST(t.noise() == 0);
}

BOOST_AUTO_TEST_SUITE_END()
