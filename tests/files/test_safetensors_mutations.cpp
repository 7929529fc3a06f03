// Compares the reading of 650 damaged and unusual files with the reference reader, and measures the time to read a header with many
// tensors.
#include <boost/test/unit_test.hpp>

#include <pali/core/error.hpp>
#include <pali/files/safetensors.hpp>
#include <support/data.hpp>
#include <support/temporary_folder.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

using nlohmann::json;

std::string from_base64(const std::string& text) {
    static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    unsigned bits = 0, held = 0;
    for (const char c : text) {
        if (c == '=') break;
        bits = bits << 6 | static_cast<unsigned>(digits.find(c));
        if ((held += 6) >= 8) out += static_cast<char>(bits >> (held -= 8) & 0xff);
    }
    return out;
}

/// What pali reads, in the format of the golden; empty if the file is rejected.
json read(const std::filesystem::path& path) {
    try {
        const pali::files::safetensors_file opened(path);
        json tensors = json::object();
        for (const auto& [name, tensor] : opened.tensors())
            tensors[name] = {to_string(tensor.type), tensor.shape,
                             std::string(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size())};
        return tensors;
    } catch (const pali::error& e) {
        BOOST_TEST((e.code() == pali::errc::malformed_file));
        return {};
    }
}

} // namespace

BOOST_AUTO_TEST_SUITE(safetensors_mutations)

BOOST_AUTO_TEST_CASE(files_are_read_and_refused_as_the_reference_does) {
    const json golden = json::parse(std::ifstream(pali::test::data_path("files/mutations.json")));
    const pali::test::temporary_folder folder;
    BOOST_TEST(golden.at("cases").size() == 650u);
    for (const json& one : golden.at("cases")) BOOST_TEST_CONTEXT(one.at("kind") << ": " << from_base64(one.at("file"))) {
            json want;
            if (one.contains("tensors"))
                for (const auto& [name, tensor] : one.at("tensors").items()) want[name] = {tensor[0], tensor[1], from_base64(tensor[2])};
            if (one.contains("tensors") && want.is_null()) want = json::object();
            const json found = read(folder.write("mutated.safetensors", from_base64(one.at("file"))));
            if (golden.at("stricter").contains(one.at("kind").get<std::string>())) BOOST_TEST((found.is_null() && !want.is_null()));
            else BOOST_TEST((found == want));
        }
}

// A parser that compares each name with all earlier names takes half a minute.
BOOST_AUTO_TEST_CASE(a_header_with_40000_tensors_is_read_at_once) {
    std::string header = "{";
    for (int i = 0; i < 40000; ++i)
        header += (i == 0 ? "" : ",") + std::string("\"a.tensor.with.a.long.name.") + std::to_string(i) +
                  R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + std::to_string(i) + "," + std::to_string(i + 1) + "]}";
    header += "}";
    std::string bytes(8, '\0');
    const std::uint64_t length = header.size();
    std::memcpy(bytes.data(), &length, 8);
    const pali::test::temporary_folder folder;
    const auto path = folder.write("many.safetensors", bytes + header + std::string(40000, 'x'));
    double fastest = 1e9;
    for (int i = 0; i < 3; ++i) {
        const auto start = std::chrono::steady_clock::now();
        BOOST_TEST(pali::files::safetensors_file(path).tensors().size() == 40000u);
        fastest = std::min(fastest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    BOOST_TEST_MESSAGE(fastest << " s");
    BOOST_TEST(fastest < 3); // typically a tenth of that; the machine may be busy or the build not optimized
}

BOOST_AUTO_TEST_SUITE_END()
