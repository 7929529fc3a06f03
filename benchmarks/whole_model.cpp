// whole_model: the speed of a model relative to the limits of the machine. Image encoding and prefill are compute-bound; decoding is
// bandwidth-bound, because each token reads every decoder weight once. Both limits are measured in the same run with the same threads.
//
// usage: whole_model FOLDER [--weights bf16] [--residency mapped] [--tokens 32] [--batch 8] [--threads 0]      prints one JSON object
#include "limits.hpp"
#include "work.hpp"

#include <pali/pali.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

namespace {

struct settings {
    std::string folder, weights = "bf16", residency = "mapped", kv_cache = "f32";
    std::size_t tokens = 32, batch = 8, threads = 0, repetitions = 3;
};

template <class Weights>
nlohmann::ordered_json measure(const settings& of) {
    using json = nlohmann::ordered_json;
    pali::core::thread_pool threads(of.threads);
    const double before = read_bandwidth(threads), fma = fma_peak(threads), tile = tile_peak(threads);

    pali::model<pali::dynamic, Weights> model{
        of.folder, {.threads = of.threads, .residency = residency_of(of.residency), .kv_cache = kv_type_of(of.kv_cache)}};
    const pali::dynamic& c = model.config();
    const pali::image photo = some_image(c);

    double image_s = 1e30;
    pali::image_features seen = model.encode(photo); // warm-up: page faults
    for (std::size_t i = 0; i < of.repetitions; ++i) image_s = std::min(image_s, seconds_of([&] { seen = model.encode(photo); }));
    std::vector<std::chrono::steady_clock::time_point> times; // arrival of each token
    const auto ask = [&](std::size_t tokens) {
        times.clear();
        pali::generate_options options{.max_new_tokens = tokens, .min_new_tokens = tokens};
        options.on_token = [&](pali::token, float) { return times.push_back(std::chrono::steady_clock::now()), true; };
        return model.generate(seen, "caption en", options);
    };
    ask(2);
    double prefill_s = 1e30, rate = 0, best_rate = 0;
    pali::generation said;
    for (std::size_t i = 0; i < of.repetitions; ++i) {
        said = ask(of.tokens);
        prefill_s = std::min(prefill_s, said.timings.prefill_s);
        rate = std::max(rate, said.decode_tokens_per_s());
        // Use the fastest token: the bandwidth is also the best of several passes, over 1 GiB, and a token reads 1.5 to 5 GiB.
        for (std::size_t t = 1; t < times.size(); ++t)
            best_rate = std::max(best_rate, 1 / std::chrono::duration<double>(times[t] - times[t - 1]).count());
    }
    const std::size_t memory = status_bytes("RssAnon");
    // A batch of requests without images: prefills with images would take minutes, and a decode step reads the same weights.
    const auto all_rate = [&](std::size_t count) {
        const std::vector<pali::request> requests(
            count,
            pali::request{.images = {}, .prompt = "caption en", .options = {.max_new_tokens = of.tokens, .min_new_tokens = of.tokens}});
        double sum = 0;
        for (const pali::generation& one : model.generate(std::span<const pali::request>(requests))) sum += one.decode_tokens_per_s();
        return sum;
    };
    const double one_rate = all_rate(1), batch_rate = all_rate(of.batch);

    const double bandwidth = std::max(before, read_bandwidth(threads)); // measured again, because the speed of a shared machine varies
    const double a_token = token_weight_bytes<Weights>(c) +
                           cache_bytes(c, kv_type_of(of.kv_cache),
                                       static_cast<double>(seen.values.shape(0) + said.prompt_tokens.size() + of.tokens / 2), true),
                 prompt = static_cast<double>(seen.values.shape(0) + said.prompt_tokens.size());
    const double peak = std::max(fma, tile), image_rate = image_flop(c) / image_s, prefill_rate = prefill_flop(c, prompt) / prefill_s;
    return json{
        {"weights", Weights::name},
        {"residency", of.residency},
        {"kv_cache", of.kv_cache},
        {"threads", model.threads()},
        {"instruction_set", model.arch()},
        {"machine", {{"bandwidth_gb_per_s", bandwidth / 1e9}, {"fma_gflop_per_s", fma / 1e9}, {"tile_gflop_per_s", tile / 1e9}}},
        {"load_s", model.load_seconds()},
        {"image", {{"s", image_s}, {"gflop_per_s", image_rate / 1e9}, {"of_fma_peak", image_rate / fma}, {"of_peak", image_rate / peak}}},
        {"prefill",
         {{"tokens", prompt},
          {"s", prefill_s},
          {"gflop_per_s", prefill_rate / 1e9},
          {"of_fma_peak", prefill_rate / fma},
          {"of_peak", prefill_rate / peak}}},
        {"decode",
         {{"tokens", said.tokens.size()},
          {"tokens_per_s", rate},
          {"best_tokens_per_s", best_rate},
          {"gb_per_token", a_token / 1e9},
          {"of_bandwidth", a_token * best_rate / bandwidth}}},
        {"batch", {{"requests", of.batch}, {"tokens_per_s", batch_rate}, {"of_one", batch_rate / one_rate}}},
        {"memory", {{"anonymous_gb", static_cast<double>(memory) / 1e9}, {"peak_gb", static_cast<double>(status_bytes("VmHWM")) / 1e9}}}};
}

} // namespace

int main(int argc, char** argv) try {
    settings chosen;
    CLI::App program{"How near a model comes to the machine", "whole_model"};
    program.add_option("folder", chosen.folder, "Hugging Face folder")->required();
    program.add_option("--weights", chosen.weights)->check(CLI::IsMember({"f32", "bf16", "int8", "int4"}))->capture_default_str();
    program.add_option("--residency", chosen.residency)->check(CLI::IsMember({"mapped", "resident"}))->capture_default_str();
    program.add_option("--kv-cache", chosen.kv_cache)->check(CLI::IsMember({"f32", "bf16"}))->capture_default_str();
    program.add_option("--tokens", chosen.tokens, "Tokens decoded")->capture_default_str();
    program.add_option("--batch", chosen.batch, "Requests decoded together")->capture_default_str();
    program.add_option("--threads", chosen.threads, "0: all")->capture_default_str();
    program.add_option("--repetitions", chosen.repetitions, "The best of so many counts")->capture_default_str();
    CLI11_PARSE(program, argc, argv);
    const auto result = chosen.weights == "f32"    ? measure<pali::f32>(chosen)
                        : chosen.weights == "int8" ? measure<pali::int8>(chosen)
                        : chosen.weights == "int4" ? measure<pali::int4>(chosen)
                                                   : measure<pali::bf16>(chosen);
    std::cout << result.dump(2) << '\n';
    return 0;
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
