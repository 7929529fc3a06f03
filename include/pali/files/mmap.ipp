// Bodies of mmap.hpp for POSIX and Windows. The Windows code is compiled (MinGW-w64) but has never been run.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/require_path.ipp>
#include <pali/files/mmap.hpp>

#include <cstdint>
#include <functional>
#include <limits>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  ifndef WIN32_LEAN_AND_MEAN
#    define WIN32_LEAN_AND_MEAN
#  endif
#  include <windows.h>
#else
#  include <cerrno>
#  include <fcntl.h>
#  include <sys/mman.h>
#  include <sys/stat.h>
#  include <unistd.h>
#endif

namespace pali { inline namespace PALI_ABI { namespace files {

[[noreturn]] PALI_INLINE void cannot_open(const std::filesystem::path& path, error_text&& why) {
    throw error(errc::cannot_open, {path.string(), ": ", std::move(why).str()});
}

[[noreturn]] PALI_INLINE void cannot_open(const std::filesystem::path& path, error_text&& what, int system_error) {
    cannot_open(path, {std::move(what).str(), ": ", std::system_category().message(system_error)});
}

PALI_INLINE mapped_file::mapped_file(std::filesystem::path path) : m_path(std::move(path)) {
    const std::filesystem::file_status status = require_path(m_path, "file");
    if (std::filesystem::is_directory(status)) cannot_open(m_path, "is a folder; a file is needed");
    // Opening a pipe or device could block.
    if (!std::filesystem::is_regular_file(status)) cannot_open(m_path, "is not a regular file");
#if defined(_WIN32)
    const HANDLE file = CreateFileW(m_path.c_str(), GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (file == INVALID_HANDLE_VALUE) cannot_open(m_path, "cannot be read", static_cast<int>(GetLastError()));
    LARGE_INTEGER size{};
    void* view = nullptr;
    DWORD reason = 0;
    if (!GetFileSizeEx(file, &size)) {
        reason = GetLastError();
    } else if (size.QuadPart > 0) { // an empty file cannot be mapped
        const HANDLE mapping = CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr);
        if (mapping == nullptr) {
            reason = GetLastError();
        } else {
            view = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
            if (view == nullptr) reason = GetLastError();
            CloseHandle(mapping); // the view keeps the mapping alive
        }
    }
    CloseHandle(file);
    if (reason != 0) cannot_open(m_path, "cannot be mapped", static_cast<int>(reason));
    m_size = static_cast<std::size_t>(size.QuadPart);
    m_data = static_cast<const std::byte*>(view);
#else
    int file = -1;
    do file = ::open(m_path.c_str(), O_RDONLY | O_CLOEXEC);
    while (file < 0 && errno == EINTR);
    if (file < 0) cannot_open(m_path, "cannot be read", errno);
    struct stat about{};
    void* view = MAP_FAILED;
    int reason = 0;
    if (::fstat(file, &about) != 0) {
        reason = errno;
    } else if (about.st_size > 0) { // an empty file cannot be mapped
        view = ::mmap(nullptr, static_cast<std::size_t>(about.st_size), PROT_READ, MAP_SHARED, file, 0);
        if (view == MAP_FAILED) reason = errno;
    }
    ::close(file); // the mapping keeps the file alive
    if (reason == ENOMEM)
        cannot_open(m_path, {"cannot be mapped: its ", static_cast<std::uint64_t>(about.st_size),
                             " bytes do not fit into the address space of the process. Check for a limit with ulimit -v"});
    if (reason != 0) cannot_open(m_path, "cannot be mapped", reason);
    if (view != MAP_FAILED) {
        m_data = static_cast<const std::byte*>(view);
        m_size = static_cast<std::size_t>(about.st_size);
    }
#endif
}

PALI_INLINE mapped_file::~mapped_file() {
    if (m_data == nullptr) return;
#if defined(_WIN32)
    UnmapViewOfFile(m_data);
#else
    ::munmap(const_cast<std::byte*>(m_data), m_size);
#endif
}

PALI_INLINE mapped_file::mapped_file(mapped_file&& other) noexcept
    : m_path(std::move(other.m_path)), m_data(std::exchange(other.m_data, nullptr)), m_size(std::exchange(other.m_size, 0)) {}

PALI_INLINE mapped_file& mapped_file::operator=(mapped_file&& other) noexcept {
    std::swap(m_path, other.m_path);
    std::swap(m_data, other.m_data);
    std::swap(m_size, other.m_size);
    return *this;
}

PALI_INLINE void mapped_file::forget(std::span<const std::byte> part) const noexcept {
    const auto in_file = [&](const std::byte* at) { return !std::less<>()(at, m_data) && !std::less<>()(m_data + m_size, at); };
    if (part.empty() || !in_file(part.data()) || !in_file(part.data() + part.size())) return; // MADV_DONTNEED would discard other memory
#if !defined(_WIN32)                                                                          // Windows trims the working set by itself
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(part.data()) + page - 1) / page * page;
    const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(part.data() + part.size()) / page * page;
    const int saved = errno;
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    errno = saved;
#endif
}

PALI_INLINE page_memory::page_memory(std::size_t size) : m_size(size) {
    if (size == 0) return;
#if defined(_WIN32)
    m_mapping_size = size;
    m_mapping = VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (m_mapping == nullptr) throw std::bad_alloc();
    m_data = static_cast<std::byte*>(m_mapping);
#else
    constexpr std::size_t huge_page = std::size_t{2} << 20; // x86-64, and AArch64 with 4 KiB pages
    if (size > std::numeric_limits<std::size_t>::max() - 2 * huge_page) throw std::bad_alloc();
    // Reserves one huge page more, to align the start. The size is a multiple of the huge page, so no huge page is shared with another
    // mapping.
    m_mapping_size = (size + huge_page - 1) / huge_page * huge_page + huge_page;
    m_mapping = ::mmap(nullptr, m_mapping_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m_mapping == MAP_FAILED) throw std::bad_alloc();
    const auto begin = reinterpret_cast<std::uintptr_t>(m_mapping);
    m_data = reinterpret_cast<std::byte*>((begin + huge_page - 1) / huge_page * huge_page);
#  if defined(MADV_HUGEPAGE)
    ::madvise(m_data, m_mapping_size - huge_page, MADV_HUGEPAGE); // if the system refuses, ordinary pages are used
#  endif
#endif
}

PALI_INLINE page_memory::~page_memory() {
    if (m_mapping == nullptr) return;
#if defined(_WIN32)
    VirtualFree(m_mapping, 0, MEM_RELEASE);
#else
    ::munmap(m_mapping, m_mapping_size);
#endif
}

PALI_INLINE page_memory::page_memory(page_memory&& other) noexcept
    : m_data(std::exchange(other.m_data, nullptr)), m_size(std::exchange(other.m_size, 0)),
      m_mapping(std::exchange(other.m_mapping, nullptr)), m_mapping_size(std::exchange(other.m_mapping_size, 0)) {}

PALI_INLINE page_memory& page_memory::operator=(page_memory&& other) noexcept {
    std::swap(m_data, other.m_data);
    std::swap(m_size, other.m_size);
    std::swap(m_mapping, other.m_mapping);
    std::swap(m_mapping_size, other.m_mapping_size);
    return *this;
}

}}} // namespace pali::PALI_ABI::files
