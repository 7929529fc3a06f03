// Distributes images among processes that share a results folder, on one or many machines.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

/// Converts any bytes to a file name: letters, digits, '-', '_' and '.' are kept, other bytes become %XX. A long name is truncated and ends
/// in a hash of the whole name.
[[nodiscard]] std::string file_name_of(std::string_view name);

/**
 * Represents this process among those that share a folder `state`. A process is alive while it keeps renewing its file in
 * `state/processes`. After a `lease` without renewal, it counts as dead and its claims expire. On the same machine, the end of a process is
 * detected immediately.
 *
 * A claim is a file in `state/claims` that exactly one process can create. An expired claim is taken over by creating the next generation
 * of the file, never by removing it, so that no two processes can take over the same one. All ages are computed as differences of file
 * system times.
 *
 * All members throw pali::error if the folder cannot be written to. Not thread-safe.
 */
class claims {
public:
    explicit claims(std::filesystem::path state);
    /// Releases all claims and removes this process's file.
    ~claims();
    claims(const claims&) = delete;
    claims& operator=(const claims&) = delete;

    /// Unique id: host name, process id, random number.
    [[nodiscard]] const std::string& id() const noexcept { return m_id; }

    /// Claims `name`: true if it was free or its holder is dead.
    [[nodiscard]] bool take(const std::string& name);
    /// Whether the claim is still held: if this process is suspended for longer than a lease, another one takes over.
    [[nodiscard]] bool holds(const std::string& name) const;
    /// Releases the claim.
    void release(const std::string& name);

    /// Whether the process with this id is alive.
    [[nodiscard]] bool is_alive(const std::string& id) const;

    /// Whether any other process of the folder is alive.
    [[nodiscard]] bool has_company() const;

    /// Removes the files of dead processes and the claims that they left. Call it under the lock.
    void forget_the_dead();

    /// Lock across all processes; the constructor waits, the destructor releases. Recursive within a process.
    class lock {
    public:
        explicit lock(claims& from);
        ~lock() {
            if (--m_from.m_locks == 0) m_from.release(name);
        }
        lock(const lock&) = delete;
        lock& operator=(const lock&) = delete;

    private:
        static constexpr const char* name = "=lock"; // file_name_of() never returns this
        claims& m_from;
    };

    /// 60 s, or $PALI_LEASE_SECONDS. Throws `invalid_argument` if that is not a valid number of seconds.
    [[nodiscard]] static std::chrono::milliseconds lease();

private:
    [[nodiscard]] std::filesystem::path claim(const std::string& name, std::size_t generation) const;
    [[nodiscard]] bool is_held(const std::filesystem::path& claim) const;
    [[nodiscard]] std::chrono::milliseconds age(const std::filesystem::path& path) const;
    void renew();

    std::filesystem::path m_state;
    std::string m_id, m_about;
    std::chrono::milliseconds m_lease = lease();
    std::map<std::string, std::size_t> m_held;            // name -> generation
    std::size_t m_locks = 0;                              // number of live lock objects
    mutable std::mutex m_clock;                           // guards the two below
    std::filesystem::file_time_type m_renewed{};          // in file system time
    std::chrono::steady_clock::time_point m_renewed_at{}; // in steady_clock time
    std::mutex m_waiting;                                 // guards m_stop
    bool m_stop = false;
    std::condition_variable m_stopped;
    std::thread m_renewing; // joined by the destructor, before the members that it uses are destroyed
};
