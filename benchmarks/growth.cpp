// growth: how time and memory scale with image size, number of images and context length. Each FOLDER, and each number of images in a
// prompt, is measured in its own process. Each time is reported with the fraction of the machine limit measured in the same process, so a
// step that scales worse than its operation or byte count is visible.
//
// usage: growth FOLDER... [--images 1] [--weights bf16] [--residency mapped] [--tokens 16] [--threads 0] [--repetitions 3] [--json]
//
// Pass the 224, 448 and 896 px checkpoints of a model as three folders. `--images 1 4 16` with the 224 px checkpoint gives prompts with the
// same numbers of image tokens.
#include "limits.hpp"
#include "work.hpp"

#include <pali/pali.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using json = nlohmann::ordered_json;
using steady = std::chrono::steady_clock;

struct settings {
    std::vector<std::string> folders;
    std::vector<std::size_t> images{1};
    std::string weights = "bf16", residency = "mapped", kv_cache = "f32";
    std::size_t tokens = 16, threads = 0, repetitions = 3;
    bool as_json = false;
};

double seconds_since(steady::time_point start) { return std::chrono::duration<double>(steady::now() - start).count(); }

/// Reads the weights once to bring them into the page cache.
void warm(const std::filesystem::path& folder) {
    std::vector<char> piece(std::size_t{1} << 22);
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".safetensors") continue;
        std::ifstream in(entry.path(), std::ios::binary);
        while (in.read(piece.data(), static_cast<std::streamsize>(piece.size()))) {}
    }
}

/// One cold start: seconds for load, image, prefill and until the first token; anonymous memory in bytes after loading and with the image.
struct beginning {
    double load_s = 0, image_s = 0, prefill_s = 0, s = 0;
    std::size_t weights = 0, with_image = 0;
};

template <class Weights>
json measure(const settings& of, const std::string& folder, std::size_t images) {
    double bandwidth = 0, fma = 0, tile = 0;
    {
        pali::core::thread_pool threads(of.threads);
        bandwidth = read_bandwidth(threads), fma = fma_peak(threads), tile = tile_peak(threads);
    }
    warm(folder);

    std::optional<pali::model<pali::dynamic, Weights>> model;
    const pali::load_options options{.threads = of.threads, .residency = residency_of(of.residency), .kv_cache = kv_type_of(of.kv_cache)};
    std::size_t most = 0; // peak of anonymous memory, sampled after each layer
    const auto watch = [&](std::string_view, double) { return most = std::max(most, status_bytes("RssAnon")), true; };
    std::vector<steady::time_point> times; // arrival of each token
    const auto ask = [&](const pali::image_features& seen) {
        times.clear();
        const std::vector<pali::image_features> all(images, seen);
        pali::generate_options wanted{.max_new_tokens = of.tokens, .min_new_tokens = of.tokens};
        wanted.on_progress = watch;
        wanted.on_token = [&](pali::token, float) { return times.push_back(steady::now()), true; };
        return model->generate(pali::request{.images = all, .prompt = "caption en", .options = wanted});
    };
    pali::image image;
    pali::image_features seen;
    pali::generation said;
    const auto begin = [&] {
        model.reset();
        beginning one;
        const auto start = steady::now();
        model.emplace(folder, options);
        one.load_s = seconds_since(start);
        one.weights = status_bytes("RssAnon");
        image = some_image(model->config());
        seen = model->encode(image, watch);
        one.image_s = seconds_since(start) - one.load_s;
        one.with_image = most;
        said = ask(seen);
        one.prefill_s = said.timings.prefill_s;
        one.s = std::chrono::duration<double>(times.front() - start).count();
        return one;
    };
    const beginning alone = begin(); // in a fresh process, so its memory figures are exact
    const pali::dynamic c = model->config();

    double image_s = 1e30, prefill_s = 1e30, rate = 0;
    const auto later = steady::now();
    for (std::size_t i = 0; i < of.repetitions && (i == 0 || seconds_since(later) < 60);
         ++i) { // runs of minutes vary little, so they are not repeated
        image_s = std::min(image_s, seconds_of([&] { seen = model->encode(image, watch); }));
        said = ask(seen);
        prefill_s = std::min(prefill_s, said.timings.prefill_s);
        // Use the fastest token: the bandwidth is also the best of several passes, over 1 GiB, and a token reads 1.5 to 5 GiB.
        for (std::size_t t = 1; t < times.size(); ++t)
            rate = std::max(rate, 1 / std::chrono::duration<double>(times[t] - times[t - 1]).count());
    }
    const std::size_t with_answer = most, over_all = status_bytes("VmHWM");
    beginning first = alone; // best of several starts: each has one first token, which other load on the machine may delay
    const auto starts = steady::now();
    for (std::size_t i = 1; i < of.repetitions && (i == 1 || seconds_since(starts) < 60); ++i)
        if (const beginning next = begin(); next.s < first.s) first = next;
    {
        pali::core::thread_pool threads(of.threads); // measured again at the end, because the speed of a shared machine varies
        bandwidth = std::max(bandwidth, read_bandwidth(threads)), fma = std::max(fma, fma_peak(threads)),
        tile = std::max(tile, tile_peak(threads));
    }

    const double image_tokens = static_cast<double>(images * seen.values.shape(0)),
                 prompt = image_tokens + static_cast<double>(said.prompt_tokens.size());
    const double context = prompt + static_cast<double>(of.tokens) / 2, peak = std::max(fma, tile);
    const double a_token = token_weight_bytes<Weights>(c), of_cache = cache_bytes(c, kv_type_of(of.kv_cache), context, true);
    const auto over_weights = [&](std::size_t bytes) { return (static_cast<double>(bytes) - static_cast<double>(alone.weights)) / 1e6; };
    const auto step = [&](double s, double flop) {
        return json{{"s", s}, {"tflop", flop / 1e12}, {"gflop_per_s", flop / s / 1e9}, {"of_peak", flop / s / peak}};
    };
    return json{{"folder", std::filesystem::path(folder).filename().string()},
                {"weights", Weights::name},
                {"residency", of.residency},
                {"kv_cache", of.kv_cache},
                {"threads", model->threads()},
                {"instruction_set", model->arch()},
                {"machine", {{"bandwidth_gb_per_s", bandwidth / 1e9}, {"fma_gflop_per_s", fma / 1e9}, {"tile_gflop_per_s", tile / 1e9}}},
                {"image_px", c.vision.image_size},
                {"images", images},
                {"image_tokens", image_tokens},
                {"prompt_tokens", prompt},
                {"image", step(image_s, image_flop(c))},
                {"prefill", step(prefill_s, prefill_flop(c, prompt))},
                {"memory_over_weights",
                 {{"image_mb", over_weights(alone.with_image)},
                  {"answer_mb", over_weights(with_answer)},
                  {"of_cache_mb", cache_bytes(c, kv_type_of(of.kv_cache), prompt + static_cast<double>(of.tokens)) / 1e6}}},
                {"peak_gb", static_cast<double>(over_all) / 1e9},
                {"decode",
                 {{"context", context},
                  {"tokens_per_s", rate},
                  {"gb_per_token", (a_token + of_cache) / 1e9},
                  {"of_cache_gb", of_cache / 1e9},
                  {"of_bandwidth", (a_token + of_cache) * rate / bandwidth}}},
                {"first_token",
                 {{"load_s", first.load_s},
                  {"image_s", first.image_s},
                  {"prefill_s", first.prefill_s},
                  {"s", first.s},
                  {"of_later", first.s / (image_s + prefill_s)}}}};
}

json measure(const settings& of, const std::string& folder, std::size_t images) {
    return of.weights == "f32"    ? measure<pali::f32>(of, folder, images)
           : of.weights == "int8" ? measure<pali::int8>(of, folder, images)
           : of.weights == "int4" ? measure<pali::int4>(of, folder, images)
                                  : measure<pali::bf16>(of, folder, images);
}

/// Runs the measurement in a child process, so that memory figures of models do not mix. Returns null after a failure; the child has
/// printed the reason.
json apart(const settings& of, const std::string& folder, std::size_t images) {
    int ends[2];
    if (::pipe(ends) != 0) return nullptr;
    const pid_t child = ::fork();
    if (child == 0) {
        int code = 0;
        try {
            const std::string text = measure(of, folder, images).dump();
            for (std::size_t at = 0; at < text.size();) {
                const ssize_t written = ::write(ends[1], text.data() + at, text.size() - at);
                if (written <= 0) break;
                at += static_cast<std::size_t>(written);
            }
        } catch (const std::exception& e) {
            std::cerr << e.what() << '\n';
            code = 1;
        }
        ::_exit(code);
    }
    ::close(ends[1]);
    std::string text;
    char piece[4096];
    for (ssize_t size; (size = ::read(ends[0], piece, sizeof piece)) > 0;) text.append(piece, static_cast<std::size_t>(size));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) std::cerr << folder << ": ended by signal " << WTERMSIG(status) << '\n';
    return status == 0 ? json::parse(text, nullptr, false) : json(nullptr);
}

std::string number(const json& value, int digits) {
    std::ostringstream out;
    out << std::fixed << std::setprecision(digits) << value.get<double>();
    return out.str();
}

void print_tables(const std::vector<json>& runs) {
    const json& first = runs.front();
    const auto row = [](std::initializer_list<std::string> cells) {
        for (const std::string& cell : cells) std::cout << "| " << cell << ' ';
        std::cout << "|\n";
    };
    std::cout << first["weights"].get<std::string>() << ", " << first["residency"].get<std::string>() << ", " << first["threads"]
              << " threads, " << first["instruction_set"].get<std::string>() << "\n\n";
    row({"px", "images", "prompt", "image", "Tflop", "of peak", "prefill", "Tflop", "of peak", "over the weights, image", "with answer",
         "of it cache"});
    row({"---", "---", "---", "---", "---", "---", "---", "---", "---", "---", "---", "---"});
    for (const json& r : runs)
        row({number(r["image_px"], 0), number(r["images"], 0), number(r["prompt_tokens"], 0), number(r["image"]["s"], 2) + " s",
             number(r["image"]["tflop"], 2), number(r["image"]["of_peak"], 2), number(r["prefill"]["s"], 2) + " s",
             number(r["prefill"]["tflop"], 2), number(r["prefill"]["of_peak"], 2), number(r["memory_over_weights"]["image_mb"], 0) + " MB",
             number(r["memory_over_weights"]["answer_mb"], 0) + " MB", number(r["memory_over_weights"]["of_cache_mb"], 0) + " MB"});
    std::cout << '\n';
    row({"context", "decode", "read a token", "of it cache", "of the bandwidth", "GB/s, GFLOP/s of the machine"});
    row({"---", "---", "---", "---", "---", "---"});
    for (const json& r : runs)
        row({number(r["decode"]["context"], 0), number(r["decode"]["tokens_per_s"], 2) + " tok/s",
             number(r["decode"]["gb_per_token"], 2) + " GB", number(r["decode"]["of_cache_gb"], 2) + " GB",
             number(r["decode"]["of_bandwidth"], 2),
             number(r["machine"]["bandwidth_gb_per_s"], 1) + ", " + number(r["machine"]["fma_gflop_per_s"], 0)});
    std::cout << '\n';
    row({"prompt", "load", "first image", "first prefill", "first token after", "of a later image and prefill"});
    row({"---", "---", "---", "---", "---", "---"});
    for (const json& r : runs)
        row({number(r["prompt_tokens"], 0), number(r["first_token"]["load_s"], 3) + " s", number(r["first_token"]["image_s"], 2) + " s",
             number(r["first_token"]["prefill_s"], 2) + " s", number(r["first_token"]["s"], 2) + " s",
             number(r["first_token"]["of_later"], 3)});
}

} // namespace

int main(int argc, char** argv) {
    settings chosen;
    CLI::App program{"How time and memory grow with images and contexts", "growth"};
    program.add_option("folders", chosen.folders, "Hugging Face folders")->required();
    program.add_option("--images", chosen.images, "How often the image stands before the prompt, each for a run of its own")
        ->capture_default_str();
    program.add_option("--weights", chosen.weights)->check(CLI::IsMember({"f32", "bf16", "int8", "int4"}))->capture_default_str();
    program.add_option("--residency", chosen.residency)->check(CLI::IsMember({"mapped", "resident"}))->capture_default_str();
    program.add_option("--kv-cache", chosen.kv_cache)->check(CLI::IsMember({"f32", "bf16"}))->capture_default_str();
    program.add_option("--tokens", chosen.tokens, "Tokens decoded")->check(CLI::Range(5, 1000))->capture_default_str();
    program.add_option("--threads", chosen.threads, "0: all")->capture_default_str();
    program
        .add_option("--repetitions", chosen.repetitions,
                    "The best of so many counts, of those that begin within a minute; so many starts, too")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    program.add_flag("--json", chosen.as_json, "An array of objects, one a run");
    CLI11_PARSE(program, argc, argv);
    std::vector<json> runs;
    for (const std::string& folder : chosen.folders)
        for (const std::size_t images : chosen.images) {
            const json run = apart(chosen, folder, images);
            if (!run.is_object()) return 1;
            std::cerr << folder << ", " << images << (images == 1 ? " image" : " images") << ": done\n";
            runs.push_back(run);
        }
    if (chosen.as_json) std::cout << json(runs).dump(2) << '\n';
    else print_tables(runs);
    return 0;
}
