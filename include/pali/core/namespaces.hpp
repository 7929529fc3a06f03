// The nested namespaces of the library, and which of them see the names of which others. Namespace pali itself holds the public names
// (docs/start.md lists them); the names below may change in any version.
#pragma once

#include <pali/version.hpp>

namespace pali { inline namespace PALI_ABI {

/// Tensors, scratch memory, threads, 16-bit floats, paths and UTF-8: the foundation of the other folders.
namespace core {
}
/// Instruction sets: those that the compiler flags allow, and those that the processor has.
namespace arch {
using namespace core;
}
/// Loops over elements, without names, files or models: products, attention, pointwise functions, resampling and convolution.
/// Preconditions are checked only by PALI_ASSERT.
namespace kernels {
using namespace core;
}
/// Checkpoint files: safetensors, npz, mappings, tensor tables.
namespace files {
using namespace core;
}
/// Comparison of configurations, and reading and writing config.json.
namespace config_detail {
using namespace core;
}
/// Tensor names, and the visitors that fill, convert and quantize weights.
namespace weights {
using namespace core;
using namespace files;
} // namespace weights
/// Layers, SigLIP, projector, Gemma, and the network made of them.
namespace nn {
using namespace weights;
}
/// Decoders and encoders of image formats, preprocessing, drawing.
namespace image_detail {
using namespace core;
}
/// Tokenizers, prompts, streams of text.
namespace text {
using namespace core;
}
/// The grammar of answers with objects, their boxes and scores, and the mask VQ-VAE.
namespace objects {
using namespace image_detail;
using namespace nn;
using namespace text;
} // namespace objects
/// Logits processors, samplers, beams.
namespace decoding {
using namespace text;
}
/// Training: the backward pass of every operation, and what is built on it.
namespace train {
using namespace core;
}
/// What the class `model` is built from.
namespace model_detail {
using namespace config_detail;
using namespace decoding;
using namespace objects;
} // namespace model_detail

}} // namespace pali::PALI_ABI
