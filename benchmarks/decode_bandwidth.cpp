// decode_bandwidth: how near decoding comes to the machine's memory. Every token reads every weight of the decoder once, so its limit is
// the bandwidth, which is measured here by a reader of its own, in the same run with the same threads.
//
// usage: decode_bandwidth MODEL_FOLDER [mapped|resident] [TOKENS] [THREADS]      prints one JSON object; exit code 3 under 60 %
#include <pali/pali.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace {

constexpr double least_ratio = 0.60;

double seconds_of(auto&& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Bytes a second of the best of some passes over `memory`. Each thread reads blocks of 1 MiB as they come.
double read_bandwidth(std::span<const std::byte> memory, pali::thread_pool& threads) {
    constexpr std::size_t block = 1 << 20;
    const std::size_t blocks = memory.size() / block;
    std::vector<std::uint64_t> sums(blocks);
    double best = 0;
    for (int pass = 0; pass < 6; ++pass) {
        const double took = seconds_of([&] {
            threads.run(blocks, [&](std::size_t i) {
                const auto* numbers = reinterpret_cast<const std::uint64_t*>(memory.data() + i * block);
                std::uint64_t lanes[32] = {}; // four registers of the widest vectors, so that loads do not wait for sums
                for (std::size_t at = 0; at < block / 8; at += 32)
                    for (std::size_t lane = 0; lane < 32; ++lane) lanes[lane] ^= numbers[at + lane];
                for (const std::uint64_t lane : lanes) sums[i] ^= lane;
            });
        });
        best = std::max(best, static_cast<double>(blocks * block) / took);
    }
    volatile std::uint64_t kept = 0; // or the reads are for nothing and are left out
    for (const std::uint64_t sum : sums) kept = kept ^ sum;
    return best;
}

/// Bytes that one token reads: all matrices of the decoder in the type they are held in. The embedding table counts once, as the head.
std::size_t bytes_of_a_token(const std::string& folder) {
    std::size_t bytes = 0;
    const pali::checkpoint_files files{folder};
    for (const auto& [name, tensor] : files.tensors())
        if (pali::published_name(name).starts_with("language_model.model.") && tensor.shape.size() == 2) bytes += tensor.count() * 2;
    return bytes;
}

std::size_t peak_rss_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
    return 0;
}

} // namespace

int main(int argc, char** argv) try {
    if (argc < 2) {
        std::cerr << "usage: decode_bandwidth MODEL_FOLDER [mapped|resident] [TOKENS] [THREADS]\n";
        return 2;
    }
    const bool resident = argc > 2 && std::string(argv[2]) == "resident";
    const std::size_t tokens = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 32;
    const std::size_t thread_count = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 0;

    double bandwidth = 0;
    const auto measure = [&] {
        pali::thread_pool threads(thread_count);
        pali::page_memory memory(std::size_t{1} << 30);
        std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{1});
        bandwidth = std::max(bandwidth, read_bandwidth(memory.bytes(), threads));
    };
    measure();

    pali::generation said;
    double load_s = 0;
    {
        pali::model<pali::dynamic> model{argv[1], {.threads = thread_count, .residency = resident ? pali::residency::resident : pali::residency::mapped}};
        load_s = model.load_seconds();
        pali::image photo(model.config().vision.image_size, model.config().vision.image_size);
        for (std::size_t i = 0; i < photo.pixels.size(); ++i) photo.pixels[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
        model.generate(photo, "caption en", {.max_new_tokens = 2, .min_new_tokens = 2}); // pages come in
        said = model.generate(photo, "caption en", {.max_new_tokens = tokens, .min_new_tokens = tokens});
    }
    measure(); // again: a machine that is shared changes while one looks

    const double a_token = static_cast<double>(bytes_of_a_token(argv[1])), rate = said.decode_tokens_per_s(), ratio = a_token * rate / bandwidth;
    std::cout << "{\"residency\": \"" << (resident ? "resident" : "mapped") << "\", \"tokens\": " << said.tokens.size() << ", \"bandwidth_gb_per_s\": " << bandwidth / 1e9
              << ", \"gb_per_token\": " << a_token / 1e9 << ", \"decode_tokens_per_s\": " << rate << ", \"ratio\": " << ratio << ", \"least_ratio\": " << least_ratio
              << ", \"load_s\": " << load_s << ", \"image_s\": " << said.timings.image_s << ", \"prefill_s\": " << said.timings.prefill_s
              << ", \"peak_rss_gb\": " << static_cast<double>(peak_rss_bytes()) / 1e9 << "}\n";
    return ratio >= least_ratio ? 0 : 3;
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
