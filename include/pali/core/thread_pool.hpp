// Thread pool of one model. Threads spin briefly between kernels and sleep when idle. Results do not depend on the number of threads.
#pragma once

#include <pali/core/macros.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Runs numbered tasks on a fixed set of threads, the calling thread included. If tasks do not depend on the thread that runs them, results
/// are bit-identical for any number of threads. Only one thread may use a pool at a time.
class thread_pool {
public:
    /// Starts `threads` - 1 threads, because the caller counts as one; 0 means one thread per processor of the machine. `pin` pins each
    /// started thread to one of the processors that the process may run on, beginning with the second. The caller may pin itself to the
    /// first. Throws errc::invalid_argument for more than `most_threads`, and errc::too_few_threads if the system starts fewer.
    explicit thread_pool(std::size_t threads = 0, bool pin = false);
    ~thread_pool();

    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;

    static constexpr std::size_t most_threads = 4096; ///< upper limit of the `threads` argument

    /// Number of threads, the caller included.
    [[nodiscard]] std::size_t size() const noexcept { return m_workers.size() + 1; }

    /// Throws errc::forked_process in a child of the process that started the threads. fork() does not copy threads, so run() would wait
    /// forever in the child. Costs one system call, so call it once before a series of runs.
    void require_own_process() const;

    /// Calls task(i), or task(i, thread) with thread < size(), for every i in [0, count), and returns when all are done. `thread` serves to
    /// select scratch memory. A thread takes several consecutive tasks at a time, and fewer towards the end, so neighboring tasks should
    /// read neighboring memory. A task must not throw.
    template <class Task>
    void run(std::size_t count, Task&& task) {
        using task_type = std::remove_reference_t<Task>;
        static_assert(std::is_invocable_v<Task&, std::size_t> || std::is_invocable_v<Task&, std::size_t, std::size_t>,
                      "a task is called with its index, or with its index and its thread's index");
        m_call = [](void* t, std::size_t i, std::size_t thread) {
            if constexpr (std::is_invocable_v<Task&, std::size_t>) (*static_cast<task_type*>(t))(i);
            else (*static_cast<task_type*>(t))(i, thread);
        };
        m_task = const_cast<void*>(static_cast<const void*>(std::addressof(task)));
        run_tasks(count);
    }

    /// Calls task(first, count), or task(first, count, thread), for blocks that cover [0, n); each but the last has `block` elements.
    template <class Task>
    void run_blocks(std::size_t n, std::size_t block, Task&& task) {
        run((n + block - 1) / block, [&](std::size_t i, std::size_t thread) {
            const std::size_t first = i * block, count = std::min(block, n - first);
            if constexpr (std::is_invocable_v<Task&, std::size_t, std::size_t>) task(first, count);
            else task(first, count, thread);
        });
    }

private:
    void end() noexcept;
    void run_tasks(std::size_t count) noexcept;
    void take_tasks(std::size_t thread) noexcept;
    void work(std::size_t thread) noexcept;
    static void pause(std::size_t spins) noexcept;

    static constexpr std::size_t spins_before_sleep = 4000; // some 50 microseconds: longer than the gap between two kernels
    static constexpr std::size_t yield_every = 512;

    long m_process; // the process that started the workers
    std::vector<std::thread> m_workers;
    void (*m_call)(void*, std::size_t, std::size_t) = nullptr;
    void* m_task = nullptr;
    std::size_t m_count = 0;
    alignas(64) std::atomic<std::uint32_t> m_round{0};
    alignas(64) std::atomic<std::size_t> m_next{0};
    alignas(64) std::atomic<std::size_t> m_busy{0};
    std::atomic<bool> m_stop{false};
};

}}} // namespace pali::PALI_ABI::core

#ifndef PALI_COMPILED
#  include <pali/core/thread_pool.ipp>
#endif
