// Makes each allocation in libpali fail in turn. The call must return PALI_OUT_OF_MEMORY, and the model must stay usable. usage:
// capi_failing_allocations SHAPES IMAGE Excludes allocations in third-party code that does not survive a failure: sentencepiece leaves a
// partial text, and nlohmann::json, which is used to open a model, allocates in a destructor.
#include <pali/pali.h>

#include <dlfcn.h>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

std::atomic<long> left{-1}; // allocations that succeed before one fails; negative: none fails
std::atomic<bool> failed{false};

bool is_of_libpali(void* caller) {
    Dl_info at{};
    return dladdr(caller, &at) != 0 && at.dli_fname && std::strstr(at.dli_fname, "libpali");
}

void* take(void* caller, std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
    if (left >= 0 && is_of_libpali(caller) && left-- == 0) {
        failed = true;
        throw std::bad_alloc();
    }
    if (void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)) return memory;
    throw std::bad_alloc();
}

/// Runs the call with allocation 0, step, 2 step, ... failing, until none fails. Returns the number of calls with a wrong status.
template <class Call, class Free>
int fail_each(const char* name, long step, Call&& call, Free&& free) {
    int faults = 0;
    long n = 0;
    for (failed = true; failed; n += step) {
        failed = false;
        left = n;
        const pali_status got = call();
        left = -1;
        if (got == (failed ? PALI_OUT_OF_MEMORY : PALI_OK) && (!failed || std::strcmp(pali_last_error(), "[pali.1] out of memory") == 0)) {
            if (got == PALI_OK) free();
            continue;
        }
        ++faults;
        std::printf("%s: allocation %ld %s: code %d, %s\n", name, n, failed ? "failed" : "was none", static_cast<int>(got),
                    pali_last_error());
    }
    std::printf("%s: about %ld allocations\n", name, n);
    return faults + (n < 3 * step);
}

} // namespace

void* operator new(std::size_t size) { return take(__builtin_return_address(0), size); }
void* operator new[](std::size_t size) { return take(__builtin_return_address(0), size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return take(__builtin_return_address(0), size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return take(__builtin_return_address(0), size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    pali_model_options options{};
    options.size = sizeof options;
    options.threads = 2;
    pali_image* photo = nullptr;
    pali_model* model = nullptr;
    pali_answer* answer = nullptr;
    int faults = 0;
    faults += fail_each("pali_image_read", 1, [&] { return pali_image_read(argv[2], nullptr, &photo); }, [&] { pali_image_free(photo); });
    if (pali_image_read(argv[2], nullptr, &photo) != PALI_OK || pali_model_open(argv[1], &options, &model) != PALI_OK) return 1;
    if (pali_generate(model, &photo, 1, "caption en", nullptr, &answer) != PALI_OK) return 1; // initializes sentencepiece
    pali_answer_free(answer);
    faults += fail_each(
        "pali_generate", 5, [&] { return pali_generate(model, &photo, 1, "caption en", nullptr, &answer); },
        [&] { pali_answer_free(answer); });
    faults += fail_each(
        "pali_find", 17, [&] { return pali_find(model, photo, PALI_MASKS, "red cross", nullptr, &answer); },
        [&] { pali_answer_free(answer); });
    pali_model_close(model);
    pali_image_free(photo);
    return faults == 0 ? 0 : 1;
}
