#include "claims.hpp"

#include "console.hpp"
#include "environment.hpp"
#include "file_content.hpp"

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/system.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <random>
#include <set>
#include <system_error>

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

[[noreturn]] void cannot_write(const fs::path& path) {
    throw pali::error(pali::errc::cannot_write, {path.string(), ": cannot be written: ", std::strerror(errno)});
}

void write(std::FILE* file, const std::string& text, const fs::path& path) {
    const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    if (std::fclose(file) != 0 || !written) cannot_write(path);
}

/// Creates the file; false if it already exists.
bool create(const fs::path& path, const std::string& text) {
    std::FILE* const file = std::fopen(path.string().c_str(), "wbx");
    if (file == nullptr && errno == EEXIST) return false;
    if (file == nullptr) cannot_write(path);
    write(file, text, path);
    return true;
}

/// The name that is claimed, given the name of the claim's file. A hash at the end of a long name has 16 digits, a generation fewer.
std::string without_generation(const std::string& file) {
    const std::size_t at = file.rfind('~');
    if (at == std::string::npos || at + 1 == file.size() || file.size() - at > 16) return file;
    return file.find_first_not_of("0123456789", at + 1) == std::string::npos ? file.substr(0, at) : file;
}

} // namespace

std::string file_name_of(std::string_view name) {
    constexpr std::size_t longest = 180; // file systems allow 255 bytes; generation and extension are appended
    constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : name) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                           (c == '.' && !out.empty());
        if (plain) out += c;
        else ((out += '%') += digits[byte >> 4]) += digits[byte & 15];
    }
    if (out.size() <= longest) return out;
    fnv1a hash;
    hash.add(name);
    return out.substr(0, longest) + "~" + hash.digits();
}

milliseconds claims::lease() {
    constexpr double least = 0.1, most = 1e6; // with a shorter lease, processes on a busy machine would count as dead
    const std::optional<std::string> text = environment("PALI_LEASE_SECONDS");
    if (!text) return milliseconds(60'000);
    double seconds = 0;
    const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), seconds);
    if (failed != std::errc() || end != text->data() + text->size() || !(seconds >= least && seconds <= most))
        throw pali::error(pali::errc::invalid_argument, {"the environment variable PALI_LEASE_SECONDS is ", pali::core::in_quotes(*text),
                                                         "; it must be a number of seconds from 0.1 to 1000000"});
    return milliseconds(static_cast<long>(seconds * 1000));
}

claims::claims(fs::path state) : m_state(std::move(state)), m_about(process_mark()) {
    std::random_device random;
    m_id = file_name_of(host_name()) + '-' + std::to_string(pali::core::process_id()) + '-' +
           hexadecimal(std::uint64_t{random()} << 32 | random());
    for (const char* folder : {"processes", "claims"}) made(m_state / folder);
    renew();
    m_renewing = std::thread([this] {
        for (std::unique_lock waiting(m_waiting); !m_stopped.wait_for(waiting, m_lease / 6, [this] { return m_stop; });) {
            try {
                renew();
            } catch (const pali::error&) { // the file system may be unavailable for a while; errors are reported when results are written
            }
        }
    });
}

claims::~claims() {
    {
        const std::scoped_lock guard(m_waiting);
        m_stop = true;
    }
    m_stopped.notify_one();
    m_renewing.join();
    while (!m_held.empty()) release(m_held.begin()->first);
    std::error_code ignored;
    fs::remove(m_state / "processes" / m_id, ignored);
}

void claims::renew() {
    const fs::path path = m_state / "processes" / m_id;
    std::FILE* file = std::fopen(path.string().c_str(), "r+b"); // overwrites the same bytes, so it needs no space on a full disk
    if (file == nullptr) file = std::fopen(path.string().c_str(), "wb");
    if (file == nullptr) cannot_write(path);
    write(file, m_about + '\n', path);
    std::error_code failed;
    const fs::file_time_type written = fs::last_write_time(path, failed);
    if (failed) return;
    const std::scoped_lock guard(m_clock);
    m_renewed = written;
    m_renewed_at = std::chrono::steady_clock::now();
}

milliseconds claims::age(const fs::path& path) const {
    std::error_code failed;
    const fs::file_time_type written = fs::last_write_time(path, failed);
    if (failed) return milliseconds::max();
    const std::scoped_lock guard(m_clock);
    return std::chrono::duration_cast<milliseconds>(m_renewed - written) +
           std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - m_renewed_at);
}

bool claims::is_alive(const std::string& id) const {
    if (id == m_id) return true;
    const fs::path path = m_state / "processes" / id;
    std::string about = content_of(path);
    if (about.ends_with('\n')) about.pop_back();
    if (about.empty() && age(path) == milliseconds::max()) return false; // that process has left
    if (has_ended(about)) return false;
    return age(path) < m_lease;
}

bool claims::has_company() const {
    std::error_code failed;
    for (fs::directory_iterator entry(m_state / "processes", failed), end; !failed && entry != end; entry.increment(failed))
        if (const std::string id = entry->path().filename().string(); id != m_id && is_alive(id)) return true;
    return false;
}

void claims::forget_the_dead() {
    std::error_code failed;
    for (fs::directory_iterator entry(m_state / "processes", failed), end; !failed && entry != end;) {
        const fs::path path = entry->path();
        entry.increment(failed);
        std::error_code ignored;
        if (!is_alive(path.filename().string())) fs::remove(path, ignored);
    }
    // A process that is killed after it has recorded an answer leaves the claim, which nobody else needs. Taking it over is the only safe
    // way to remove it.
    std::set<std::string> names;
    for (fs::directory_iterator entry(m_state / "claims", failed), end; !failed && entry != end; entry.increment(failed))
        names.insert(without_generation(entry->path().filename().string()));
    for (const std::string& name : names)
        if (!m_held.contains(name) && take(name)) release(name);
}

fs::path claims::claim(const std::string& name, std::size_t generation) const {
    return m_state / "claims" / (generation == 0 ? name : name + '~' + std::to_string(generation));
}

bool claims::is_held(const fs::path& claim) const {
    const std::string holder = content_of(claim);
    return holder.empty() ? age(claim) < m_lease : is_alive(holder); // empty while the file is being created
}

bool claims::take(const std::string& name) {
    for (std::size_t generation = 0;;) {
        const fs::path path = claim(name, generation);
        if (create(path, m_id)) {
            m_held[name] = generation;
            return true;
        }
        std::error_code unknown;
        if (!fs::exists(path, unknown)) continue; // released meanwhile
        if (is_held(path)) return false;
        ++generation;
    }
}

bool claims::holds(const std::string& name) const {
    const auto held = m_held.find(name);
    if (held == m_held.end()) return false;
    std::error_code unknown;
    return content_of(claim(name, held->second)) == m_id && !fs::exists(claim(name, held->second + 1), unknown);
}

void claims::release(const std::string& name) {
    const auto held = m_held.find(name);
    if (held == m_held.end()) return;
    std::error_code ignored;
    if (holds(name)) // newest generation first; older ones belong to dead processes
        for (std::size_t generation = held->second + 1; generation-- > 0;) fs::remove(claim(name, generation), ignored);
    m_held.erase(held);
}

claims::lock::lock(claims& from) : m_from(from) {
    constexpr milliseconds longest_wait(500);
    for (milliseconds wait(5); m_from.m_locks == 0 && !from.take(name); wait = std::min(2 * wait, longest_wait))
        std::this_thread::sleep_for(wait);
    ++m_from.m_locks;
}
