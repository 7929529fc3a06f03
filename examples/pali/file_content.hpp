// Helpers to read whole files, create folders, and hash contents.
#pragma once

#include <pali/core/error.hpp>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

/// The bytes of a file; empty if it cannot be read. Opening a file makes a network file system revalidate its cache.
[[nodiscard]] inline std::string content_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// Creates the folder and its parents if needed, and returns it. Throws `cannot_write`.
inline const std::filesystem::path& made(const std::filesystem::path& folder) {
    std::error_code failed, unknown;
    std::filesystem::create_directories(folder, failed);
    if (std::filesystem::is_directory(folder, unknown)) return folder;
    if (!failed) failed = std::make_error_code(std::errc::not_a_directory);
    throw pali::error(pali::errc::cannot_write, {folder.string(), ": is not a folder and cannot be created: ", failed.message()});
}

/// Formats as 16 hexadecimal digits.
[[nodiscard]] inline std::string hexadecimal(std::uint64_t number) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
    return text;
}

/// 64-bit FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv. Distinguishes files and names; not collision-resistant against an adversary.
class fnv1a {
public:
    void add(std::string_view bytes) noexcept {
        for (const char c : bytes) m_hash = (m_hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    [[nodiscard]] std::string digits() const { return hexadecimal(m_hash); }

private:
    std::uint64_t m_hash = 0xcbf29ce484222325;
};

/// Hash of a file's content as digits; empty if it cannot be read.
[[nodiscard]] inline std::string hash_of_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return {};
    fnv1a hash;
    std::string piece(std::size_t{1} << 16, '\0');
    while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0)
        hash.add({piece.data(), static_cast<std::size_t>(file.gcount())});
    return file.bad() ? std::string() : hash.digits();
}
