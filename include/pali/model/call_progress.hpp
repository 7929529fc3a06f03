// The progress of one call: images, prompts and tokens on one scale.
#pragma once

#include <pali/core/progress.hpp>

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Counts the steps of a call and reports their share. A step is a layer over one image, a layer over one prompt, or one token of all
/// answers. Once the callback has returned false it is not called again.
class call_progress {
public:
    /// Reports nothing.
    call_progress() = default;
    /// Reports to `callback`, which has to outlive it, out of `steps`.
    call_progress(const progress_callback& callback, std::size_t steps)
        : m_callback(callback ? &callback : nullptr), m_steps(std::max<std::size_t>(steps, 1)) {}

    /// Reports that a stage begins. Returns whether to go on, as all that follow.
    bool begin(std::string_view stage) { return report(stage); }
    /// Reports another step of it.
    bool advance(std::string_view stage) {
        m_done = std::min(m_done + 1, m_steps);
        return report(stage);
    }
    /// Reports the end: answers may be shorter than what was allowed.
    bool complete(std::string_view stage) {
        m_done = m_steps;
        return report(stage);
    }
    /// Stops the call for another reason than the callback.
    void stop() noexcept { m_stopped = true; }
    /// Whether the call is to end.
    [[nodiscard]] bool stopped() const noexcept { return m_stopped; }

private:
    bool report(std::string_view stage) {
        if (m_callback != nullptr && !m_stopped)
            m_stopped = !(*m_callback)(stage, static_cast<double>(m_done) / static_cast<double>(m_steps));
        return !m_stopped;
    }

    const progress_callback* m_callback = nullptr;
    std::size_t m_steps = 1, m_done = 0;
    bool m_stopped = false;
};

}} // namespace pali::PALI_ABI
