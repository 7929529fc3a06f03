// Umbrella header for training. pali.hpp does not include it.
//
// Convention of every backward function: parameter gradients accumulate (+=), activation gradients assign (=). A frozen parameter has no
// gradient: its pointer is null or its matrix is empty. Every sum has one order for any number of threads.
#pragma once

#include <pali/train/kernels/attention_gradient.hpp>
#include <pali/train/kernels/cross_entropy.hpp>
#include <pali/train/kernels/embedding_gradient.hpp>
#include <pali/train/kernels/gated_gelu_gradient.hpp>
#include <pali/train/kernels/gelu_gradient.hpp>
#include <pali/train/kernels/layer_norm_gradient.hpp>
#include <pali/train/kernels/linear_gradient.hpp>
#include <pali/train/kernels/rms_norm_gradient.hpp>
#include <pali/train/kernels/rope_gradient.hpp>
#include <pali/train/kernels/softcap_gradient.hpp>
