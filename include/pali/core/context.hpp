// What a forward pass works with: threads and scratch memory.
#pragma once

#include <pali/core/arena.hpp>
#include <pali/core/pass.hpp>
#include <pali/core/tensor.hpp>
#include <pali/core/thread_pool.hpp>

namespace pali { inline namespace PALI_ABI {

/// Threads and scratch of one model. Blocks take it as their last argument; one pass at a time.
struct context {
    thread_pool threads;       ///< the caller's among them
    arena scratch;             ///< of the pass that runs
    pass kind = pass::prefill; ///< of the pass that runs; see pass_scope

    /// As thread_pool's: `thread_count` counts the calling thread; 0: as many as the machine has.
    explicit context(std::size_t thread_count = 0, bool pin_threads = false) : threads(thread_count, pin_threads) {}

    /// An uninitialised (count, width) view that lives until the current frame of `scratch` ends.
    [[nodiscard]] matrix_view take(std::size_t count, std::size_t width) { return view_matrix(scratch.take(count * width), count, width); }
};

/// The kind of the pass that runs while this object exists.
class pass_scope {
public:
    pass_scope(context& ctx, pass kind) noexcept : m_at(ctx), m_before(ctx.kind) { ctx.kind = kind; } ///< from here on
    ~pass_scope() { m_at.kind = m_before; }
    pass_scope(const pass_scope&) = delete;
    pass_scope& operator=(const pass_scope&) = delete;

private:
    context& m_at;
    pass m_before;
};

}} // namespace pali::PALI_ABI
