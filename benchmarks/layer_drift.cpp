// layer_drift: how far the decoder's hidden states drift between two weight types of one checkpoint, layer by layer, and how far the logits
// of the first answer token do. Each model encodes the image itself. The models are loaded one after the other; only the compared values
// of the first are kept.
//
// usage: layer_drift FOLDER --weights int4 [--against bf16] [--image FILE] [--prompt "caption en"] [--threads 0]      prints tables
#include <pali/pali.hpp>

#include <pali/generate/log_softmax.hpp>
#include <pali/image/preprocess.hpp>
#include <pali/model/network.hpp>
#include <pali/model/prefill.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

namespace {

struct settings {
    std::string folder, weights, against = "bf16", image, prompt = "caption en";
    std::size_t threads = 0;
};

/// The recorded values of one prefill.
struct trace {
    std::size_t image_tokens = 0;
    std::vector<pali::matrix> states; ///< (T, hidden) each: the decoder's input, then the output of every layer
    std::vector<float> logits;        ///< (vocabulary), for the last token
};

/// The image given by --image, or noise.
pali::image image_for(const settings& of, const pali::dynamic& config) {
    if (!of.image.empty()) return pali::read_image(of.image);
    pali::image noise(config.vision.image_size, config.vision.image_size);
    for (std::size_t i = 0; i < noise.pixels.size(); ++i) noise.pixels[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
    return noise;
}

template <class Weights>
trace run(const settings& of) {
    const pali::checkpoint_config read = pali::read_checkpoint_config(of.folder);
    pali::core::context ctx(of.threads);
    const pali::tokenizer text(of.folder, read.image_token);
    pali::nn::network<pali::dynamic, Weights> net(of.folder, read, pali::load_options{}, ctx);
    const pali::core::arena::frame frame(ctx.scratch);

    const pali::image image = image_for(of, net.config);
    const pali::tensor<3> pixels = pali::image_detail::preprocess(image, read.image);
    const auto patches = net.vision(pixels.data(), ctx, [](std::size_t, const pali::matrix_view&) { return true; });
    const pali::image_features seen{pali::matrix(net.project(patches, ctx)), image.width, image.height};
    const std::span<const pali::image_features> images(&seen, 1);

    const pali::text::prompt_layout layout = pali::model_detail::lay_out(net, text, images, of.prompt);
    const std::size_t count = layout.tokens.size();
    pali::matrix_view x = pali::model_detail::embed(net, images, std::span(layout.tokens).subspan(layout.image_tokens), ctx);
    trace out{.image_tokens = layout.image_tokens, .states = {}, .logits = {}};
    out.states.emplace_back(x);
    pali::nn::kv_cache cache(net.config, count);
    net.decoder.extend(count);
    cache.start(count);
    const pali::nn::sequence whole{.cache = &cache, .first = 0, .count = count};
    net.decoder(x, std::span(&whole, 1), pali::core::pass::prefill, ctx, [&](std::size_t, const pali::matrix_view& y) {
        out.states.emplace_back(y);
        return true;
    });
    const auto logits = net.logits(net.decoder.normalise(pali::core::slice(x, count - 1, 1), ctx), ctx);
    out.logits.assign(logits.data(), logits.data() + logits.size());
    return out;
}

trace run(const settings& of, const std::string& weights) {
    return weights == "f32"    ? run<pali::f32>(of)
           : weights == "int8" ? run<pali::int8>(of)
           : weights == "int4" ? run<pali::int4>(of)
                               : run<pali::bf16>(of);
}

/// Cosine similarity of two rows of `width` elements.
double cosine(const float* a, const float* b, std::size_t width) {
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < width; ++i) {
        const double p = a[i], q = b[i];
        ab += p * q, aa += p * p, bb += q * q;
    }
    return ab / std::sqrt(aa * bb);
}

struct spread {
    double mean = 0, smallest = 1;
};

/// Cosine similarities of the rows [first, last) of two (T, D) matrices.
spread cosines(const pali::matrix& a, const pali::matrix& b, std::size_t first, std::size_t last) {
    spread out;
    const std::size_t width = a.shape(1);
    for (std::size_t t = first; t < last; ++t) {
        const double here = cosine(a.data() + t * width, b.data() + t * width, width);
        out.mean += here / static_cast<double>(last - first);
        out.smallest = std::min(out.smallest, here);
    }
    return out;
}

/// KL divergence in nats: the sum of p (log p - log q) over the vocabulary; p and q are the softmax of `of` and `from`.
double divergence(std::span<const float> of, std::span<const float> from) {
    const double of_sum = pali::decoding::log_sum_exp(of), from_sum = pali::decoding::log_sum_exp(from);
    double sum = 0;
    for (std::size_t i = 0; i < of.size(); ++i) {
        const double log_p = of[i] - of_sum, log_q = from[i] - from_sum;
        sum += std::exp(log_p) * (log_p - log_q);
    }
    return sum;
}

} // namespace

int main(int argc, char** argv) try {
    settings chosen;
    CLI::App program{"How far hidden states and logits drift from those of other weights", "layer_drift"};
    const CLI::IsMember types({"f32", "bf16", "int8", "int4"});
    program.add_option("folder", chosen.folder, "Hugging Face folder")->required();
    program.add_option("--weights", chosen.weights)->check(types)->required();
    program.add_option("--against", chosen.against)->check(types)->capture_default_str();
    program.add_option("--image", chosen.image, "An image; without: noise");
    program.add_option("--prompt", chosen.prompt)->capture_default_str();
    program.add_option("--threads", chosen.threads, "0: all")->capture_default_str();
    CLI11_PARSE(program, argc, argv);

    const trace want = run(chosen, chosen.against), got = run(chosen, chosen.weights);
    const std::size_t tokens = want.states.front().shape(0), image = want.image_tokens;
    std::printf("| %s against %s, cosines | image, mean | least of %zu | text, mean | least of %zu |\n|---|---|---|---|---|\n",
                chosen.weights.c_str(), chosen.against.c_str(), image, tokens - image);
    for (std::size_t i = 0; i < want.states.size(); ++i) {
        const spread seen = cosines(want.states[i], got.states[i], 0, image), said = cosines(want.states[i], got.states[i], image, tokens);
        const std::string name = i == 0 ? "embeddings" : "layer " + std::to_string(i - 1);
        std::printf("| %s | %.6f | %.6f | %.6f | %.6f |\n", name.c_str(), seen.mean, seen.smallest, said.mean, said.smallest);
    }
    std::printf("\n| logits of the last token | |\n|---|---|\n| cosine | %.6f |\n| KL(%s, %s), nats | %.3e |\n",
                cosine(want.logits.data(), got.logits.data(), want.logits.size()), chosen.against.c_str(), chosen.weights.c_str(),
                divergence(want.logits, got.logits));
    return 0;
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
