// The parts of a model used by several tests, compiled once.
#include "parts.ipp"

#include <pali/image/preprocess.hpp>
#include <pali/image/read.hpp>

std::vector<float> pali::test::pixels_of(const checkpoint_config& config, const std::string& image) {
    const auto pixels = image_detail::preprocess(read_image(data_path("models/images/" + image + ".png")), config.image);
    return {pixels.data(), pixels.data() + pixels.size()};
}

template struct pali::test::parts<pali::dynamic, pali::f32>;
template struct pali::test::parts<pali::dynamic, pali::bf16>;
