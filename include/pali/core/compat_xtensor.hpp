// The only header that knows which xtensor is installed: 0.24 has flat headers, 0.26 and later have folders.
#pragma once

#if __has_include(<xtensor/containers/xtensor.hpp>)
#  include <xtensor/containers/xadapt.hpp>
#  include <xtensor/containers/xtensor.hpp>
#  include <xtensor/core/xnoalias.hpp>
#elif __has_include(<xtensor/xtensor.hpp>)
#  include <xtensor/xadapt.hpp>
#  include <xtensor/xnoalias.hpp>
#  include <xtensor/xtensor.hpp>
#else
#  error "pali needs xtensor (Debian: libxtensor-dev)"
#endif
