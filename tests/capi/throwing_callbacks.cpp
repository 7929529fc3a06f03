// Exceptions that the callbacks of a C++ program throw are returned by pali.h as a code and a message, and the model stays usable. usage:
// capi_throwing_callbacks SHAPES IMAGE
#include <pali/pali.h>

#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>

namespace {

using thrower = void (*)();

int on_text(const char*, size_t, void* user) {
    reinterpret_cast<thrower>(user)();
    return 1;
}

int on_progress(const char*, double, void* user) {
    reinterpret_cast<thrower>(user)();
    return 1;
}

struct thrown {
    thrower how;
    pali_status code;
    const char* message;
};

constexpr thrown all[] = {
    {[] { throw std::runtime_error("of the callback"); }, PALI_UNKNOWN_ERROR, "of the callback"},
    {[] { throw std::runtime_error(""); }, PALI_UNKNOWN_ERROR, "without a message"},
    {[] { throw std::bad_alloc(); }, PALI_OUT_OF_MEMORY, "out of memory"},
    {[] { throw 3; }, PALI_UNKNOWN_ERROR, "unknown type"},
};

} // namespace

int main(int argc, char** argv) try {
    if (argc != 3) return 2;
    int failures = 0;
    const auto expect = [&](bool fits, const char* what) {
        if (fits) return;
        ++failures;
        std::printf("%s   [%s]\n", what, pali_last_error());
    };
    pali_image* photo = nullptr;
    pali_model* model = nullptr;
    pali_answer* answer = nullptr;
    expect(pali_image_read(argv[2], nullptr, &photo) == PALI_OK && pali_model_open(argv[1], nullptr, &model) == PALI_OK,
           "a model and an image");
    for (const thrown& one : all) {
        const auto fails_as_thrown = [&](pali_status got) { return got == one.code && std::strstr(pali_last_error(), one.message); };
        pali_options options{};
        options.size = sizeof options;
        options.user = reinterpret_cast<void*>(one.how);
        options.on_text = on_text;
        expect(fails_as_thrown(pali_generate(model, &photo, 1, "caption en", &options, &answer)) && !answer, "while text is said");
        options.on_text = nullptr;
        options.on_progress = on_progress;
        expect(fails_as_thrown(pali_generate(model, &photo, 1, "caption en", &options, &answer)) && !answer, "while an image is seen");
        expect(fails_as_thrown(pali_find(model, photo, PALI_BOXES, "shape", &options, &answer)) && !answer, "while things are found");
        pali_model_options loading{};
        loading.size = sizeof loading;
        loading.on_progress = on_progress;
        loading.user = options.user;
        pali_model* other = nullptr;
        expect(fails_as_thrown(pali_model_open(argv[1], &loading, &other)) && !other, "while a model is loaded");
        expect(pali_generate(model, &photo, 1, "caption en", nullptr, &answer) == PALI_OK, "the model goes on");
        pali_answer_free(answer);
    }
    pali_model_close(model);
    pali_image_free(photo);
    return failures == 0 ? 0 : 1;
} catch (...) {
    std::puts("an exception left libpali");
    return 1;
}
