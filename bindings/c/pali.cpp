// C API: pali.h on top of the templates of the library. Any variant is a pali::dynamic model; the weight type is chosen when a model is
// opened. No exception leaves this file.
#include <pali/pali.h>

#include <pali/model/quantize_checkpoint.hpp>
#include <pali/pali.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <exception>
#include <filesystem>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace {

using any_model = std::variant<pali::model<pali::dynamic, pali::f32>, pali::model<pali::dynamic, pali::bf16>,
                               pali::model<pali::dynamic, pali::int8>, pali::model<pali::dynamic, pali::int4>>;

} // namespace

struct pali_model {
    any_model held;
    std::mutex busy{};                      // serializes calls here rather than inside the model, so that the working thread is known
    std::atomic<std::thread::id> at_work{}; // default id: idle
};

struct pali_image {
    pali::image pixels;
};

struct pali_answer {
    pali::generation said;
    std::vector<pali::object> objects{};
};

namespace {

// ---- errors

thread_local std::string last_message;         // of the last failure in this thread
thread_local const char* last_error_text = ""; // last_message, or a literal if there was no memory for it

/// Stores the message for pali_last_error and returns the code. `begin` is the prefix of the message, which pali::error already contains
/// and other exceptions lack.
pali_status fail(pali_status code, const char* begin, const char* message) noexcept {
    try {
        last_message = begin;
        last_message += message;
        last_error_text = last_message.c_str();
    } catch (...) {
        last_error_text = "[pali.1] out of memory, even for the message";
    }
    return code;
}

/// Maps to the code of pali.h. A switch, so that the compiler warns about missing codes.
pali_status status_of(pali::errc code) noexcept {
#define PALI_SAME(theirs, ours)                                                                                                            \
    case pali::errc::theirs:                                                                                                               \
        static_assert(static_cast<int>(pali::errc::theirs) == ours, "pali.h has another value");                                           \
        return ours
    switch (code) {
        PALI_SAME(invalid_argument, PALI_INVALID_ARGUMENT);
        PALI_SAME(unknown_variant, PALI_UNKNOWN_VARIANT);
        PALI_SAME(capacity_exceeded, PALI_CAPACITY_EXCEEDED);
        PALI_SAME(cancelled, PALI_CANCELLED);
        PALI_SAME(too_few_threads, PALI_TOO_FEW_THREADS);
        PALI_SAME(forked_process, PALI_FORKED_PROCESS);
        PALI_SAME(cannot_open, PALI_CANNOT_OPEN);
        PALI_SAME(malformed_file, PALI_MALFORMED_FILE);
        PALI_SAME(unsupported_format, PALI_UNSUPPORTED_FORMAT);
        PALI_SAME(cannot_write, PALI_CANNOT_WRITE);
        PALI_SAME(checkpoint_mismatch, PALI_CHECKPOINT_MISMATCH);
        PALI_SAME(config_mismatch, PALI_CONFIG_MISMATCH);
        PALI_SAME(malformed_config, PALI_MALFORMED_CONFIG);
        PALI_SAME(unsupported_config, PALI_UNSUPPORTED_CONFIG);
        PALI_SAME(malformed_image, PALI_MALFORMED_IMAGE);
        PALI_SAME(image_too_large, PALI_IMAGE_TOO_LARGE);
        PALI_SAME(unsupported_image, PALI_UNSUPPORTED_IMAGE);
        PALI_SAME(malformed_tokenizer, PALI_MALFORMED_TOKENIZER);
        PALI_SAME(missing_token, PALI_MISSING_TOKEN);
        PALI_SAME(invalid_prompt, PALI_INVALID_PROMPT);
        PALI_SAME(unsupported_arch, PALI_UNSUPPORTED_ARCH);
    }
#undef PALI_SAME
    return PALI_UNKNOWN_ERROR;
}

/// Runs `work` and converts any exception into a code and a message.
template <class Work>
pali_status attempt(Work&& work) noexcept {
    try {
        work();
        return PALI_OK;
    } catch (const pali::error& e) {
        return fail(status_of(e.code()), "", e.what());
    } catch (const std::bad_alloc&) {
        return fail(PALI_OUT_OF_MEMORY, "[pali.1] ", "out of memory");
    } catch (const std::exception& e) {
        return fail(PALI_UNKNOWN_ERROR, "[pali.2] ", e.what() && *e.what() ? e.what() : "an exception without a message");
    } catch (...) {
        return fail(PALI_UNKNOWN_ERROR, "[pali.2] ", "an exception of unknown type, perhaps from a callback");
    }
}

[[noreturn]] void refuse(pali::core::error_text&& message) { throw pali::error(pali::errc::invalid_argument, std::move(message)); }

/// Dereferences a pointer; refuses null.
template <class T>
T& need(T* pointer, const char* name) {
    if (!pointer) refuse({name, " is null"});
    return *pointer;
}
/// Dereferences an output pointer and clears the output before any work can fail.
template <class T>
T& output(T* pointer, const char* name) {
    return need(pointer, name) = T{};
}

// ---- options

/// Size of the first version of a struct; a smaller `size` is an error. No version of a struct ends with padding, so that later members do
/// not occupy former padding bytes.
template <class Struct>
constexpr std::size_t first_size = 0;
template <>
constexpr std::size_t first_size<pali_model_options> = offsetof(pali_model_options, pin_threads) + sizeof(std::int32_t);
template <>
constexpr std::size_t first_size<pali_image_options> = offsetof(pali_image_options, reserved) + sizeof(std::int32_t);
template <>
constexpr std::size_t first_size<pali_options> = offsetof(pali_options, constrained) + sizeof(std::int32_t);
template <>
constexpr std::size_t first_size<pali_object> = offsetof(pali_object, reserved) + sizeof(std::int32_t);
static_assert(first_size<pali_model_options> == sizeof(pali_model_options) &&
              first_size<pali_image_options> == sizeof(pali_image_options) &&
              offsetof(pali_options, length_penalty) + sizeof(float) == sizeof(pali_options) &&
              first_size<pali_object> == sizeof(pali_object));

template <class Struct>
std::size_t size_of(const Struct& given, const char* name) {
    constexpr std::size_t most = 4096; // upper limit for all future versions; a larger value must be uninitialized memory
    if (given.size < first_size<Struct> || given.size > most)
        refuse({name, "->size is ", given.size, "; set it to sizeof(", name, "), ", sizeof(Struct), " in pali ", pali::version});
    return given.size;
}

/// Copies options into this version's struct. Members that an older caller lacks are 0; members that only a newer caller has must be 0.
template <class Options>
Options read_sized(const Options* given, const char* name) {
    Options read{};
    if (!given) return read;
    const std::size_t size = size_of(*given, name);
    std::memcpy(&read, given, std::min(size, sizeof read));
    const auto* bytes = reinterpret_cast<const unsigned char*>(given);
    if (size > sizeof read && std::any_of(bytes + sizeof read, bytes + size, [](unsigned char byte) { return byte != 0; }))
        refuse({name, " sets a member that pali ", pali::version, " does not have"});
    return read;
}

/// The value at this index of a list; refuses an index out of range.
template <class T, std::size_t N>
T choose(const char* name, std::int32_t chosen, const T (&values)[N]) {
    if (chosen < 0 || static_cast<std::size_t>(chosen) >= N) refuse({name, " is ", chosen, "; 0 to ", N - 1, " is allowed"});
    return values[chosen];
}

/// Paths are UTF-8 on every system.
std::filesystem::path path_of(const char* utf8) { return reinterpret_cast<const char8_t*>(utf8); }

pali::read_options read_options_of(const pali_image_options& given) {
    if (given.reserved != 0) refuse({"pali_image_options sets a member that pali ", pali::version, " does not have"});
    pali::read_options read{.keep_exif_orientation = given.keep_exif_orientation != 0};
    if (given.max_side != 0) read.max_side = given.max_side;
    if (given.max_pixels != 0) read.max_pixels = given.max_pixels;
    return read;
}

pali::progress_callback progress_of(pali_on_progress call, void* user) {
    if (!call) return {};
    return [call, user](std::string_view stage, double fraction) { return call(std::string(stage).c_str(), fraction, user) != 0; };
}

pali::load_options load_options_of(const pali_model_options& given) {
    pali::load_options load{.threads = given.threads, .pin_threads = given.pin_threads != 0};
    load.residency = choose("residency", given.residency, {pali::residency::mapped, pali::residency::resident});
    load.kv_cache = choose("kv_cache", given.kv_cache, {pali::kv_type::f32, pali::kv_type::bf16});
    if (given.mask_decoder) load.mask_decoder = path_of(given.mask_decoder);
    load.on_progress = progress_of(given.on_progress, given.user);
    return load;
}

pali::generate_options generate_options_of(const pali_options& given) {
    pali::generate_options asked;
    pali::option_list::visit(
        [](const auto&, auto& member, const auto& value) {
            if (value != 0) member = static_cast<std::remove_cvref_t<decltype(member)>>(value); // 0: the default
        },
        asked, given);
    if (given.on_text)
        asked.on_text = [call = given.on_text, user = given.user](std::string_view piece) {
            return call(piece.data(), piece.size(), user) != 0;
        };
    asked.on_progress = progress_of(given.on_progress, given.user);
    return asked;
}

// ---- models

template <class Weights>
any_model open_as(const std::filesystem::path& folder, const pali::load_options& load) {
    return any_model(std::in_place_type<pali::model<pali::dynamic, Weights>>, folder, load);
}

any_model open(const std::filesystem::path& folder, std::string_view weights, const pali::load_options& load) {
    const std::string stored = weights.empty() ? pali::quantized_weights(pali::files::checkpoint_files(folder)) : std::string();
    if (weights.empty()) weights = stored;
    if (weights == pali::f32::name) return open_as<pali::f32>(folder, load);
    if (weights == pali::int8::name) return open_as<pali::int8>(folder, load);
    if (weights == pali::int4::name) return open_as<pali::int4>(folder, load);
    return open_as<pali::bf16>(folder, load);
}

/// Runs a question when the model is free. Refuses calls from a callback of the same model, which would deadlock.
template <class Question>
auto ask(pali_model& model, Question&& question) {
    if (model.at_work == std::this_thread::get_id()) refuse("a callback must not use the model that called it");
    const std::lock_guard lock(model.busy);
    struct at_work {
        std::atomic<std::thread::id>& who;
        explicit at_work(std::atomic<std::thread::id>& who) : who(who) { who = std::this_thread::get_id(); }
        ~at_work() { who = std::thread::id(); }
    } const mark(model.at_work);
    return std::visit(std::forward<Question>(question), model.held);
}

} // namespace

// ---- pali.h

const char* pali_version(void) { return pali::version; }

const char* pali_last_error(void) { return last_error_text; }

pali_status pali_model_open(const char* folder, const pali_model_options* options, pali_model** model) {
    return attempt([&] {
        pali_model*& out = output(model, "model");
        const pali_model_options given = read_sized(options, "pali_model_options");
        const char* const weights =
            choose("weights", given.weights, {"", pali::f32::name, pali::bf16::name, pali::int8::name, pali::int4::name});
        out = new pali_model{open(path_of(&need(folder, "folder")), weights, load_options_of(given))};
    });
}

void pali_model_close(pali_model* model) { delete model; }

pali_status pali_image_read(const char* path, const pali_image_options* options, pali_image** image) {
    return attempt([&] {
        pali_image*& out = output(image, "image");
        out = new pali_image{pali::read_image(path_of(&need(path, "path")), read_options_of(read_sized(options, "pali_image_options")))};
    });
}

pali_status pali_image_decode(const void* bytes, size_t size, const pali_image_options* options, pali_image** image) {
    return attempt([&] {
        pali_image*& out = output(image, "image");
        const auto* first = static_cast<const std::byte*>(bytes);
        out = new pali_image{
            pali::decode_image(std::span(&need(first, "bytes"), size), read_options_of(read_sized(options, "pali_image_options")))};
    });
}

pali_status pali_image_from_rgb(const uint8_t* pixels, size_t width, size_t height, size_t row_bytes, pali_image** image) {
    return attempt([&] {
        pali_image*& out = output(image, "image");
        need(pixels, "pixels");
        const std::string size = std::to_string(width) + " x " + std::to_string(height) + " pixels";
        if (width == 0 || height == 0) refuse({"an image of ", size, " is empty"});
        const pali::read_options most;
        if (width > most.max_side || height > most.max_side || width > most.max_pixels / height)
            throw pali::error(pali::errc::image_too_large,
                              {size, "; ", most.max_side, " a side and ", most.max_pixels, " in total are allowed"});
        if (row_bytes != 0 && row_bytes < width * 3) refuse({"row_bytes is ", row_bytes, "; ", width * 3, " or more, or 0, is needed"});
        pali::image copy(width, height);
        for (std::size_t y = 0; y < height; ++y)
            std::copy_n(pixels + y * (row_bytes == 0 ? width * 3 : row_bytes), width * 3, copy.at(0, y));
        out = new pali_image{std::move(copy)};
    });
}

pali_status pali_image_size(const pali_image* image, size_t* width, size_t* height) {
    return attempt([&] {
        if (width) *width = 0;
        if (height) *height = 0;
        const pali::image& pixels = need(image, "image").pixels;
        if (width) *width = pixels.width;
        if (height) *height = pixels.height;
    });
}

void pali_image_free(pali_image* image) { delete image; }

pali_status pali_generate(pali_model* model, const pali_image* const* images, size_t count, const char* prompt, const pali_options* options,
                          pali_answer** answer) {
    return attempt([&] {
        pali_answer*& out = output(answer, "answer");
        const pali::generate_options asked = generate_options_of(read_sized(options, "pali_options"));
        if (count == 0) refuse("count is 0; at least one image is needed");
        need(images, "images");
        std::vector<pali::image> copies; // several images must be contiguous
        for (const pali_image* image : std::span(images, count)) {
            const pali::image& pixels = need(image, "an image").pixels;
            if (count > 1) copies.push_back(pixels);
        }
        const std::span<const pali::image> seen = count > 1 ? std::span<const pali::image>(copies) : std::span(&images[0]->pixels, 1);
        const std::string_view words = &need(prompt, "prompt");
        out = new pali_answer{ask(need(model, "model"), [&](auto& one) { return one.generate(seen, words, asked); })};
    });
}

pali_status pali_find(pali_model* model, const pali_image* image, int32_t what, const char* things, const pali_options* options,
                      pali_answer** answer) {
    return attempt([&] {
        pali_answer*& out = output(answer, "answer");
        const pali_options given = read_sized(options, "pali_options");
        const pali::find_options asked{.generate = generate_options_of(given), .constrained = given.constrained != 0};
        const bool masks = choose("what", what, {false, true});
        const pali::image& pixels = need(image, "image").pixels;
        const std::string_view words = &need(things, "things");
        pali::findings found = ask(need(model, "model"),
                                   [&](auto& one) { return masks ? one.segment(pixels, words, asked) : one.detect(pixels, words, asked); });
        out = new pali_answer{std::move(found.said), std::move(found.objects)};
    });
}

pali_status pali_answer_text(const pali_answer* answer, const char** text, size_t* size) {
    return attempt([&] {
        if (size) *size = 0;
        const char*& out = output(text, "text");
        const std::string& said = need(answer, "answer").said.text;
        out = said.c_str();
        if (size) *size = said.size();
    });
}

pali_status pali_answer_tokens(const pali_answer* answer, const int32_t** tokens, const float** logprobs, size_t* count) {
    static_assert(std::is_same_v<pali::token, int32_t>);
    return attempt([&] {
        if (tokens) *tokens = nullptr;
        if (logprobs) *logprobs = nullptr;
        size_t& out = output(count, "count");
        const pali::generation& said = need(answer, "answer").said;
        out = said.tokens.size();
        if (tokens) *tokens = said.tokens.data();
        if (logprobs) *logprobs = said.logprobs.data();
    });
}

pali_status pali_answer_stop(const pali_answer* answer, int32_t* why) {
    static_assert(PALI_STOP_EOS == static_cast<int>(pali::finish_reason::eos) &&
                  PALI_STOP_LENGTH == static_cast<int>(pali::finish_reason::length) &&
                  PALI_STOP_CANCELLED == static_cast<int>(pali::finish_reason::cancelled));
    return attempt([&] {
        int32_t& out = output(why, "why");
        out = static_cast<int32_t>(need(answer, "answer").said.finish);
    });
}

pali_status pali_answer_object_count(const pali_answer* answer, size_t* count) {
    return attempt([&] {
        size_t& out = output(count, "count");
        out = need(answer, "answer").objects.size();
    });
}

pali_status pali_answer_object(const pali_answer* answer, size_t index, pali_object* object) {
    return attempt([&] {
        const std::size_t size = size_of(need(object, "object"), "pali_object");
        std::memset(object, 0, size);
        object->size = size;
        const std::vector<pali::object>& objects = need(answer, "answer").objects;
        if (index >= objects.size()) refuse({"index is ", index, ", but there are ", objects.size(), " objects"});
        const pali::object& found = objects[index];
        const pali_object seen{.size = size,
                               .label = found.label.c_str(),
                               .mask = found.mask.empty() ? nullptr : found.mask.values.data(),
                               .mask_width = found.mask.width,
                               .mask_height = found.mask.height,
                               .x0 = found.box.x0,
                               .y0 = found.box.y0,
                               .x1 = found.box.x1,
                               .y1 = found.box.y1,
                               .score = found.score,
                               .reserved = 0};
        std::memcpy(object, &seen, std::min(size, sizeof seen));
    });
}

void pali_answer_free(pali_answer* answer) { delete answer; }
