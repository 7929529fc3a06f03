// Choosing tokens must not allocate. This file replaces the program's operator new to count allocations.
#include <pali/generate/sampler.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstdlib>
#include <new>
#include <random>
#include <vector>

namespace {

std::atomic<std::size_t> taken = 0;

void* take(std::size_t bytes) {
    ++taken;
    if (void* const memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
    throw std::bad_alloc();
}

} // namespace

void* operator new(std::size_t bytes) { return take(bytes); }
void* operator new[](std::size_t bytes) { return take(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

BOOST_AUTO_TEST_SUITE(allocations)

BOOST_AUTO_TEST_CASE(a_sampler_allocates_nothing_per_token) {
    (void)pali::kernels::active(); // kernels are selected on first use; a model does this before its first token
    std::mt19937 random(1);
    std::vector<float> base(5000), logits(5000);
    for (float& x : base) x = static_cast<float>(random() % 2000) / 100.f;
    const std::vector<pali::token> sequence{1, 5, 5, 4999, 1}, suppressed{1};
    const pali::sampling_options all{
        .temperature = 0.7f, .top_k = 900, .top_p = 0.95f, .min_p = 0.01f, .typical_p = 0.9f, .repetition_penalty = 1.2f};
    for (const pali::sampling_options& options : {pali::sampling_options{}, all}) {
        pali::decoding::sampler sampler(options, base.size());
        const std::size_t before = taken;
        for (int i = 0; i < 20; ++i) {
            std::copy(base.begin(), base.end(), logits.begin());
            (void)pali::decoding::log_softmax_at(logits, 3);
            (void)sampler.next(logits, sequence, suppressed);
        }
        BOOST_TEST(taken - before == 0u);
    }
    const std::size_t before = taken;
    BOOST_TEST(std::vector<int>(3).size() == 3u);
    BOOST_TEST(taken > before); // checks that the counter works
}

BOOST_AUTO_TEST_SUITE_END()
