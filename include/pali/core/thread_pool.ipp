// Bodies of thread_pool.hpp.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/system.hpp>
#include <pali/core/thread_pool.hpp>

#include <system_error>

namespace pali { inline namespace PALI_ABI { namespace core {

PALI_INLINE thread_pool::thread_pool(std::size_t threads, bool pin) : m_process(process_id()) {
    if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
    if (threads > most_threads) throw error(errc::invalid_argument, {"threads is ", threads, "; at most ", most_threads, " are allowed"});
    m_workers.reserve(threads - 1);
    try {
        for (std::size_t i = 1; i < threads; ++i)
            m_workers.emplace_back([this, i, pin] {
                if (pin) pin_this_thread(i);
                work(i);
            });
    } catch (const std::system_error& e) {
        const std::size_t started = size();
        end();
        throw error(
            errc::too_few_threads,
            {"the system started only ", started, " of ", threads, " threads: ", e.what(),
             ". Use fewer (load_options::threads, --threads), or raise the limit on processes (ulimit -u) or on memory (ulimit -v)"});
    }
}

PALI_INLINE thread_pool::~thread_pool() { end(); }

PALI_INLINE void thread_pool::require_own_process() const {
    if (process_id() != m_process)
        throw error(errc::forked_process,
                    "a model that was loaded before fork() cannot be used in the child process, where its threads do not exist: "
                    "load the model after fork(), or start the child with exec()");
}

PALI_INLINE void thread_pool::end() noexcept {
    if (process_id() != m_process) { // in a child after fork(), there are no threads to join
        for (std::thread& worker : m_workers) worker.detach();
        return;
    }
    m_stop.store(true, std::memory_order_relaxed);
    m_round.fetch_add(1, std::memory_order_release);
    m_round.notify_all();
    for (std::thread& worker : m_workers) worker.join();
}

PALI_INLINE void thread_pool::run_tasks(std::size_t count) noexcept {
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

PALI_INLINE void thread_pool::take_tasks(std::size_t thread) noexcept {
    const std::size_t shares = 2 * size(); // takes 1 / shares of the rest at a time, so a thread of half the speed ends with the others
    for (std::size_t i = m_next.load(std::memory_order_relaxed); i < m_count;) {
        const std::size_t end = i + std::max<std::size_t>(1, (m_count - i) / shares);
        if (!m_next.compare_exchange_weak(i, end, std::memory_order_relaxed)) continue; // i was reloaded: another thread has taken tasks
        for (; i < end; ++i) m_call(m_task, i, thread);
        i = m_next.load(std::memory_order_relaxed);
    }
}

PALI_INLINE void thread_pool::work(std::size_t thread) noexcept {
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

PALI_INLINE void thread_pool::pause(std::size_t spins) noexcept {
    if (spins % yield_every == yield_every - 1) std::this_thread::yield(); // another process may need the core
#if defined(__x86_64__)
    else __builtin_ia32_pause(); // the builtin is used because only kernels may include the intrinsics header
#endif
}

}}} // namespace pali::PALI_ABI::core
