// The only header that depends on the xtensor version: headers are flat in 0.24 and in folders since 0.26.
#pragma once

#if __has_include(<xtensor/containers/xtensor.hpp>)
#  include <xtensor/containers/xadapt.hpp>
#  include <xtensor/containers/xtensor.hpp>
#  include <xtensor/core/xmath.hpp>
#  include <xtensor/core/xnoalias.hpp>
#  include <xtensor/misc/xmanipulation.hpp>
#  include <xtensor/misc/xsort.hpp>
#elif __has_include(<xtensor/xtensor.hpp>)
#  include <xtensor/xadapt.hpp>
#  include <xtensor/xmanipulation.hpp>
#  include <xtensor/xmath.hpp>
#  include <xtensor/xnoalias.hpp>
#  include <xtensor/xsort.hpp>
#  include <xtensor/xtensor.hpp>
#else
#  error "pali needs xtensor (Debian: libxtensor-dev)"
#endif
