// Progress of one call: images, prompts and tokens on one scale.
#pragma once

#include <pali/core/progress.hpp>

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace model_detail {

/// Counts the steps of a call and reports the fraction done. A step is one layer of one image, one layer of one prompt, or one decode step
/// of the batch. Once the callback has returned false, it is not called again.
class call_progress {
public:
    /// Reports nothing.
    call_progress() = default;
    /// Reports to `callback`, which must outlive this object, on a scale of `steps`.
    call_progress(const progress_callback& callback, std::size_t steps)
        : m_callback(callback ? &callback : nullptr), m_steps(std::max<std::size_t>(steps, 1)) {}

    /// Reports the start of a stage. Returns whether to continue, as do advance() and complete().
    bool begin(std::string_view stage) { return report(stage); }
    /// Reports one more step.
    bool advance(std::string_view stage) {
        m_done = std::min(m_done + 1, m_steps);
        return report(stage);
    }
    /// Reports completion. Answers may be shorter than allowed, so the count jumps to the end.
    bool complete(std::string_view stage) {
        m_done = m_steps;
        return report(stage);
    }
    /// Stops the call for a reason other than the progress callback.
    void stop() noexcept { m_stopped = true; }
    /// Whether the call was stopped.
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

}}} // namespace pali::PALI_ABI::model_detail
