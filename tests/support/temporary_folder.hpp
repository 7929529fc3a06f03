// A temporary folder that is removed when the test ends.
#pragma once

#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace pali::test {

class temporary_folder {
public:
    temporary_folder() {
        std::random_device seed;
        m_path = std::filesystem::temp_directory_path() / ("pali-test-" + std::to_string(seed()) + "-" + std::to_string(seed()));
        if (!std::filesystem::create_directories(m_path)) throw std::runtime_error("cannot create " + m_path.string());
    }
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(m_path, ignored);
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_path; }
    operator const std::filesystem::path&() const noexcept { return m_path; }

    /// Writes `content` to a file with this name and returns its path.
    std::filesystem::path write(const std::string& name, std::string_view content) const {
        const std::filesystem::path path = m_path / name;
        std::ofstream out(path, std::ios::binary);
        out.write(content.data(), static_cast<std::streamsize>(content.size()));
        if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
        return path;
    }

private:
    std::filesystem::path m_path;
};

} // namespace pali::test
