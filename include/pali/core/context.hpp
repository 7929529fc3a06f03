// Execution context of a forward pass: threads and scratch memory.
#pragma once

#include <pali/core/arena.hpp>
#include <pali/core/pass.hpp>
#include <pali/core/tensor.hpp>
#include <pali/core/thread_pool.hpp>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Threads and scratch memory of one model. Blocks take the context as their last argument. Only one pass may run at a time.
struct context {
    thread_pool threads;       ///< the calling thread included
    arena scratch;             ///< scratch memory of the current pass
    pass kind = pass::prefill; ///< kind of the current pass; set by pass_scope

    /// Same arguments as thread_pool: `thread_count` includes the calling thread; 0 means one per processor of the machine.
    explicit context(std::size_t thread_count = 0, bool pin_threads = false) : threads(thread_count, pin_threads) {}

    /// Takes an uninitialized (count, width) view that is valid until the current frame of `scratch` ends.
    [[nodiscard]] PALI_ALWAYS_INLINE matrix_view take(std::size_t count, std::size_t width) {
        return view_matrix(scratch.take(count * width), count, width);
    }
};

/// Sets the kind of the pass for the lifetime of this object, then restores the previous one.
class pass_scope {
public:
    pass_scope(context& ctx, pass kind) noexcept : m_at(ctx), m_before(ctx.kind) { ctx.kind = kind; } ///< sets the kind
    ~pass_scope() { m_at.kind = m_before; }
    pass_scope(const pass_scope&) = delete;
    pass_scope& operator=(const pass_scope&) = delete;

private:
    context& m_at;
    pass m_before;
};

}}} // namespace pali::PALI_ABI::core
