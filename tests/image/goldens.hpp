// Shared code of the image tests: the manifest of tests/golden/images.py, the pattern that it resizes, and digests.
#pragma once

#include "../support/data.hpp"
#include "../support/sha256.hpp"

#include <pali/core/error.hpp>
#include <pali/image/image.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

namespace pali::test {

inline std::string sha256(const image& image) { return sha256(image.pixels.data(), image.pixels.size()); }

inline std::vector<char> read_bytes(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// tests/data/images/images.json
inline const nlohmann::json& images_manifest() {
    static const nlohmann::json manifest = nlohmann::json::parse(read_bytes(data_path("images/images.json")));
    return manifest;
}

/// One list of the manifest as a data set for BOOST_DATA_TEST_CASE; `key` names a case in messages.
struct golden_case {
    nlohmann::json value;
    friend std::ostream& operator<<(std::ostream& out, const golden_case& c) {
        if (c.value.contains("file")) return out << c.value["file"];
        return out << c.value["source"] << " to " << (c.value.contains("target") ? c.value["target"].dump() : "values") << ' '
                   << (c.value.contains("filter") ? c.value["filter"].dump() : "");
    }
};

inline std::vector<golden_case> cases_of(const char* list) {
    std::vector<golden_case> cases;
    for (const auto& value : images_manifest()[list]) cases.push_back({value});
    return cases;
}

/// The pattern that tests/golden/images.py generates by the same name: squares of noise and gradients.
inline image pattern(std::size_t width, std::size_t height) {
    image made(width, height);
    for (std::uint32_t y = 0; y < height; ++y)
        for (std::uint32_t x = 0; x < width; ++x)
            for (std::uint32_t c = 0; c < 3; ++c) {
                std::uint32_t h = x * 73856093u ^ y * 19349663u ^ c * 83492791u;
                h = (h ^ h >> 13) * 0x5bd1e995u;
                const std::uint32_t noise = (h ^ h >> 15) >> 8, smooth = x * 3 + y * 5 + c * 40;
                made.at(x, y)[c] = static_cast<std::uint8_t>((x / 8 + y / 8) % 2 == 1 ? noise : smooth);
            }
    return made;
}

/// Returns the code of the error that `call` throws; 0 if it throws none.
template <class Call>
int error_of(Call&& call) {
    try {
        call();
    } catch (const error& e) {
        return static_cast<int>(e.code());
    }
    return 0;
}

/// Returns the message of the error that `call` throws; empty if it throws none.
template <class Call>
std::string message_of(Call&& call) {
    try {
        call();
    } catch (const error& e) {
        return e.what();
    }
    return {};
}

inline int number(errc code) { return static_cast<int>(code); }

} // namespace pali::test
