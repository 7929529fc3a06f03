// Which process works on which image, where any number of them share a folder of results, on one machine or on many.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

/// A name of any bytes as the name of one file: letters, digits, '-', '_' and '.' stay, other bytes become %XX; a long one ends in a hash
/// of the whole.
[[nodiscard]] std::string file_name_of(std::string_view name);

/**
 * This process among those that share a folder `state`. It is alive while its file in `state/processes` is written to every `renewal`; one
 * that was not for a `lease` is taken for dead, and what it had claimed is free again. On the same machine a process that has ended is
 * noticed at once.
 *
 * A claim is a file in `state/claims` that exactly one process creates. Claims that expire are taken over by creating the next generation
 * of the file, never by removing it, so that two processes cannot take over the same one. All ages are differences between times that the
 * file system noted.
 *
 * All members throw pali::error where the folder cannot be written to. One thread at a time.
 */
class claims {
public:
    explicit claims(std::filesystem::path state);
    /// Releases what is held, and leaves.
    ~claims();
    claims(const claims&) = delete;
    claims& operator=(const claims&) = delete;

    /// Unlike that of any other process at any time: host, process id, a random number.
    [[nodiscard]] const std::string& id() const noexcept { return m_id; }

    /// Whether the thing of this name is now this process's to work on: it was free, or its holder is dead.
    [[nodiscard]] bool take(const std::string& name);
    /// Whether it still is: another process takes over what is held by one that was stopped for longer than a lease.
    [[nodiscard]] bool holds(const std::string& name) const;
    /// Gives it back.
    void release(const std::string& name);

    /// Whether the process that calls itself `id` is alive.
    [[nodiscard]] bool is_alive(const std::string& id) const;

    /// Whether any other process of the folder is alive.
    [[nodiscard]] bool has_company() const;

    /// Removes what processes left that have died. Under the lock.
    void forget_the_dead();

    /// Held by one process at a time; waits for it. Released by the destructor. A process that holds it may take it again.
    class lock {
    public:
        explicit lock(claims& from);
        ~lock() {
            if (--m_from.m_locks == 0) m_from.release(name);
        }
        lock(const lock&) = delete;
        lock& operator=(const lock&) = delete;

    private:
        static constexpr const char* name = "=lock"; // no file_name_of() gives this
        claims& m_from;
    };

    /// 60 s, or $PALI_LEASE_SECONDS. Throws `invalid_argument` where that is not a number of seconds.
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
    std::size_t m_locks = 0;                              // locks that are alive
    mutable std::mutex m_clock;                           // guards the two below
    std::filesystem::file_time_type m_renewed{};          // by the file system's clock
    std::chrono::steady_clock::time_point m_renewed_at{}; // by this process's
    std::mutex m_waiting;
    std::condition_variable_any m_stopped;
    std::jthread m_renewing; // the last member: ends first
};
