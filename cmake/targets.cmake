# The targets others link (pali::pali, pali::compiled, pali::optimize) and what our own targets share.

# The library: headers and what they need.
add_library(pali INTERFACE)
add_library(pali::pali ALIAS pali)
target_compile_features(pali INTERFACE cxx_std_20)
target_include_directories(pali INTERFACE "$<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:include>")
target_include_directories(pali SYSTEM INTERFACE "$<BUILD_INTERFACE:${PALI_STB_INCLUDE_DIR}>")
target_link_libraries(pali INTERFACE xtensor xsimd nlohmann_json::nlohmann_json PkgConfig::sentencepiece ZLIB::ZLIB Threads::Threads)

set(pali_readers "")
macro(pali_reader name found target)
  if(PALI_USE_${name} AND ${found})
    target_link_libraries(pali INTERFACE ${target})
    target_compile_definitions(pali INTERFACE PALI_WITH_${name}=1)
    list(APPEND pali_readers ${name})
  else()
    target_compile_definitions(pali INTERFACE PALI_WITH_${name}=0)
  endif()
endmacro()
pali_reader(JPEG JPEG_FOUND JPEG::JPEG)
pali_reader(PNG PNG_FOUND PNG::PNG)
pali_reader(WEBP libwebp_FOUND PkgConfig::libwebp)

# Every instruction of this machine. Programs that run elsewhere leave it out: kernels that need more than the build's flags are
# chosen when the program runs.
add_library(pali_optimize INTERFACE)
add_library(pali::optimize ALIAS pali_optimize)
target_compile_options(pali_optimize INTERFACE -march=native)

# What our own targets share: warnings are errors.
add_library(pali_own INTERFACE)
target_compile_options(pali_own INTERFACE -Wall -Wextra -Wpedantic -Wconversion $<$<BOOL:${PALI_WERROR}>:-Werror>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> # the AVX-512 headers of g++ 12 raise it from -O2 on
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>) # its own std::string does: GCC bug 105651
if(PALI_NATIVE)
  target_link_libraries(pali_own INTERFACE pali_optimize)
endif()

# Bodies compiled once instead of in every source: those that need heavy third-party headers (*.ipp), and those of `model` for each chosen variant.
set(PALI_VARIANTS "" CACHE STRING "Variants in pali::compiled besides pali::dynamic, each with its weights: paligemma2_3b_224:bf16;...")
file(GLOB_RECURSE pali_bodies CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}/include" "${CMAKE_CURRENT_SOURCE_DIR}/include/*.ipp")
list(REMOVE_ITEM pali_bodies pali/model.ipp)
list(TRANSFORM pali_bodies PREPEND "#include <")
list(TRANSFORM pali_bodies APPEND ">")
list(JOIN pali_bodies "\n" PALI_BODIES)
configure_file(cmake/compiled.cpp.in "${CMAKE_CURRENT_BINARY_DIR}/compiled.cpp" @ONLY)
set(pali_compiled_sources "${CMAKE_CURRENT_BINARY_DIR}/compiled.cpp")
foreach(pair dynamic:f32 dynamic:bf16 dynamic:int8 dynamic:int4 ${PALI_VARIANTS})
  if(NOT pair MATCHES "^([a-z0-9_]+):(f32|bf16|int8|int4)$")
    message(FATAL_ERROR "PALI_VARIANTS has \"${pair}\"; needed are pairs such as paligemma2_3b_224:bf16")
  endif()
  set(variant "${CMAKE_MATCH_1}")
  set(weights "${CMAKE_MATCH_2}")
  configure_file(cmake/variant.cpp.in "${CMAKE_CURRENT_BINARY_DIR}/${variant}_${weights}.cpp" @ONLY)
  list(APPEND pali_compiled_sources "${CMAKE_CURRENT_BINARY_DIR}/${variant}_${weights}.cpp")
endforeach()
add_library(pali_compiled STATIC EXCLUDE_FROM_ALL ${pali_compiled_sources})
add_library(pali::compiled ALIAS pali_compiled)
target_link_libraries(pali_compiled PUBLIC pali PRIVATE pali_own)
target_compile_definitions(pali_compiled PUBLIC PALI_COMPILED)
set_target_properties(pali_compiled PROPERTIES POSITION_INDEPENDENT_CODE ON) # libpali is made of it
