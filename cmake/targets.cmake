# The public targets (pali::pali, pali::compiled, pali::optimize) and the settings shared by our own targets.

# The header-only library and its dependencies.
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

# -march=native, for header-only use: there the kernels are compiled for the flags of the including source. pali::compiled does not need it;
# it contains the kernels of all levels.
add_library(pali_optimize INTERFACE)
add_library(pali::optimize ALIAS pali_optimize)
target_compile_options(pali_optimize INTERFACE -march=native)

# Warnings for our own targets; with PALI_WERROR they are errors.
add_library(pali_own INTERFACE)
target_compile_options(pali_own INTERFACE -Wall -Wextra -Wpedantic -Wconversion $<$<BOOL:${PALI_WERROR}>:-Werror>
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>) # false positive in std::string: GCC bug 105651

# The same for sources that compile kernels themselves (header-only examples, tests, benchmarks): adds -march=native if PALI_NATIVE is set.
# All other targets run on any CPU and select kernels at startup.
add_library(pali_own_kernels INTERFACE)
target_link_libraries(pali_own_kernels INTERFACE pali_own)
if(PALI_NATIVE)
  target_link_libraries(pali_own_kernels INTERFACE pali_optimize)
endif()

include("${CMAKE_CURRENT_LIST_DIR}/compiled.cmake")
pali_add_compiled(pali "${CMAKE_CURRENT_SOURCE_DIR}/include")
target_link_libraries(pali_compiled PRIVATE pali_own)
set_target_properties(pali_compiled PROPERTIES POSITION_INDEPENDENT_CODE ON) # linked into libpali, a shared library
