# The targets others link (pali::pali, pali::compiled, pali::optimize) and what our own targets share.

# The library: headers and what they need.
add_library(pali INTERFACE)
add_library(pali::pali ALIAS pali)
target_compile_features(pali INTERFACE cxx_std_20)
target_include_directories(pali INTERFACE "$<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
target_link_libraries(pali INTERFACE ${pali_links} Threads::Threads)
foreach(reader JPEG PNG WEBP HEIF TIFF)
  if(reader IN_LIST pali_readers)
    target_compile_definitions(pali INTERFACE PALI_WITH_${reader}=1)
  else()
    target_compile_definitions(pali INTERFACE PALI_WITH_${reader}=0)
  endif()
endforeach()

# Every instruction of this machine, for headers alone: their kernels follow the flags of the source. pali::compiled needs no such flag.
add_library(pali_optimize INTERFACE)
add_library(pali::optimize ALIAS pali_optimize)
target_compile_options(pali_optimize INTERFACE -march=native)

# What our own targets share: warnings are errors.
add_library(pali_own INTERFACE)
target_compile_options(pali_own INTERFACE -Wall -Wextra -Wpedantic -Wconversion $<$<BOOL:${PALI_WERROR}>:-Werror>
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>) # its own std::string does: GCC bug 105651

# The same for sources that compile kernels themselves: headers alone, tests, benchmarks. Everything else runs on any processor, and selects kernels when it starts.
add_library(pali_own_kernels INTERFACE)
target_link_libraries(pali_own_kernels INTERFACE pali_own)
if(PALI_NATIVE)
  target_link_libraries(pali_own_kernels INTERFACE pali_optimize)
endif()

include("${CMAKE_CURRENT_LIST_DIR}/compiled.cmake")
pali_add_compiled(pali "${CMAKE_CURRENT_SOURCE_DIR}/include")
target_link_libraries(pali_compiled PRIVATE pali_own)
set_target_properties(pali_compiled PROPERTIES POSITION_INDEPENDENT_CODE ON) # libpali is made of it
