// The parts of a model used by several tests, compiled once.
#include "parts.ipp"

#include <pali/image/preprocess.hpp>
#include <pali/image/read.hpp>

std::vector<float> pali::test::pixels_of(const checkpoint_config& config, const std::string& image) {
    const image_config& p = config.image;
    const preprocessing how{.width = p.width,
                            .height = p.height,
                            .rescale_factor = p.rescale_factor,
                            .mean = {p.mean[0], p.mean[1], p.mean[2]},
                            .std = {p.deviation[0], p.deviation[1], p.deviation[2]}};
    const auto pixels = preprocess(read_image(data_path("models/images/" + image + ".png")), how);
    return {pixels.data(), pixels.data() + pixels.size()};
}

template struct pali::test::parts<pali::dynamic, pali::f32>;
template struct pali::test::parts<pali::dynamic, pali::bf16>;
