// The threads of one model: they spin briefly between kernels, sleep when idle, and never decide a result.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/macros.hpp>
#include <pali/core/system.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

namespace pali::inline PALI_ABI {

/// Runs numbered tasks on a fixed set of threads; the calling thread is one of them. Tasks must not depend on which thread runs
/// them, which keeps results the same, to the bit, for any number of threads. One caller at a time.
class thread_pool {
public:
    /// `threads` counts the caller; 0 means as many as the machine has. `pin` keeps each but the caller's on a processor: the second of those that the process may
    /// run on, the third, ...; whoever calls may want to stay on the first.
    /// Throws errc::invalid_argument for more than `most_threads`, and errc::too_few_threads where the system starts fewer.
    explicit thread_pool(std::size_t threads = 0, bool pin = false) {
        if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
        if (threads > most_threads) throw error(errc::invalid_argument, {"threads is ", threads, "; at most ", most_threads, " are started"});
        m_workers.reserve(threads - 1);
        try {
            for (std::size_t i = 1; i < threads; ++i) m_workers.emplace_back([this, i, pin] {
                    if (pin) pin_this_thread(i);
                    work(i);
                });
        } catch (const std::system_error& e) {
            const std::size_t started = size();
            end();
            throw error(errc::too_few_threads, {"of ", threads, " threads the system started ", started, ": ", e.what(),
                                                ". Ask for fewer (load_options::threads, --threads), or raise the limit on processes (ulimit -u) or on memory (ulimit -v)"});
        }
    }

    ~thread_pool() { end(); }

    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;

    static constexpr std::size_t most_threads = 4096; ///< that can be asked for

    /// Threads that take part, the caller included.
    [[nodiscard]] std::size_t size() const noexcept { return m_workers.size() + 1; }

    /// Calls task(i), or task(i, thread) with thread < size(), for every i in [0, count) and returns when all are done. The number
    /// of the thread is for finding scratch memory. A thread takes consecutive tasks, fewer at a time as fewer are left: what neighbours
    /// read should lie side by side. A task must not throw.
    template <class Task>
    void run(std::size_t count, Task&& task) {
        using task_type = std::remove_reference_t<Task>;
        static_assert(std::is_invocable_v<Task&, std::size_t> || std::is_invocable_v<Task&, std::size_t, std::size_t>,
                      "a task is called with its number, or with its number and that of its thread");
        m_call = [](void* t, std::size_t i, std::size_t thread) {
            if constexpr (std::is_invocable_v<Task&, std::size_t>) (*static_cast<task_type*>(t))(i);
            else (*static_cast<task_type*>(t))(i, thread);
        };
        m_task = const_cast<void*>(static_cast<const void*>(std::addressof(task)));
        run_tasks(count);
    }

    /// Calls task(first, count), or task(first, count, thread), for blocks that together are [0, n); each but the last has `block`.
    template <class Task>
    void run_blocks(std::size_t n, std::size_t block, Task&& task) {
        run((n + block - 1) / block, [&](std::size_t i, std::size_t thread) {
            const std::size_t first = i * block, count = std::min(block, n - first);
            if constexpr (std::is_invocable_v<Task&, std::size_t, std::size_t>) task(first, count);
            else task(first, count, thread);
        });
    }

private:
    void end() noexcept {
        m_stop.store(true, std::memory_order_relaxed);
        m_round.fetch_add(1, std::memory_order_release);
        m_round.notify_all();
        for (std::thread& worker : m_workers) worker.join();
    }

    void run_tasks(std::size_t count) {
        m_count = count;
        if (m_workers.empty() || count <= 1) {
            for (std::size_t i = 0; i < count; ++i) m_call(m_task, i, 0);
            return;
        }
        m_next.store(0, std::memory_order_relaxed);
        m_busy.store(m_workers.size(), std::memory_order_relaxed);
        m_round.fetch_add(1, std::memory_order_release);
        m_round.notify_all();
        take_tasks(0);
        for (std::size_t spins = 0; m_busy.load(std::memory_order_acquire) != 0; ++spins) pause(spins);
    }

    void take_tasks(std::size_t thread) noexcept {
        const std::size_t shares = 2 * size(); // of what is left, so that a thread that is half as quick ends with the others
        for (std::size_t i = m_next.load(std::memory_order_relaxed); i < m_count;) {
            const std::size_t end = i + std::max<std::size_t>(1, (m_count - i) / shares);
            if (!m_next.compare_exchange_weak(i, end, std::memory_order_relaxed)) continue; // i is what another thread made it
            for (; i < end; ++i) m_call(m_task, i, thread);
            i = m_next.load(std::memory_order_relaxed);
        }
    }

    void work(std::size_t thread) noexcept {
        for (std::uint32_t seen = 0;;) {
            std::size_t spins = 0;
            while (m_round.load(std::memory_order_acquire) == seen) {
                if (++spins < spins_before_sleep) pause(spins);
                else m_round.wait(seen, std::memory_order_acquire);
            }
            ++seen;
            if (m_stop.load(std::memory_order_relaxed)) return;
            take_tasks(thread);
            m_busy.fetch_sub(1, std::memory_order_release);
        }
    }

    static void pause(std::size_t spins) noexcept {
        if (spins % yield_every == yield_every - 1) std::this_thread::yield(); // somebody else may own the core
#if defined(__x86_64__)
        else __builtin_ia32_pause(); // the instruction alone: its header belongs to the kernels
#endif
    }

    static constexpr std::size_t spins_before_sleep = 4000; // some 50 microseconds: longer than the gap between two kernels
    static constexpr std::size_t yield_every = 512;

    std::vector<std::thread> m_workers;
    void (*m_call)(void*, std::size_t, std::size_t) = nullptr;
    void* m_task = nullptr;
    std::size_t m_count = 0;
    alignas(64) std::atomic<std::uint32_t> m_round{0};
    alignas(64) std::atomic<std::size_t> m_next{0};
    alignas(64) std::atomic<std::size_t> m_busy{0};
    std::atomic<bool> m_stop{false};
};

} // namespace pali::inline PALI_ABI
