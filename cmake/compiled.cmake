# pali::compiled: the bodies (*.ipp) that need heavy third-party headers, and pali::model for each chosen variant, compiled once instead of
# in every source. This file is installed too: a project that links pali::compiled builds it with its own compiler and flags.

set(PALI_VARIANTS dynamic:f32 dynamic:bf16 dynamic:int8 dynamic:int4
  CACHE STRING "Models in pali::compiled, as VARIANT:WEIGHTS pairs: dynamic:bf16;paligemma2_3b_224:int4;...")

# The headers and pali::compiled use the flags of the consuming project. Without a build type CMake passes no -O at all.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES AND NOT CMAKE_CXX_FLAGS MATCHES "-O")
  message(WARNING "pali: CMAKE_BUILD_TYPE is not set, so the build is not optimized and inference is about 100 times slower. \
Configure with -DCMAKE_BUILD_TYPE=Release")
endif()

# arch/level.hpp rejects these flags with #error, too. This check comes earlier and names the flag.
string(TOUPPER "${CMAKE_BUILD_TYPE}" pali_build_type)
get_directory_property(pali_options COMPILE_OPTIONS)
if("${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${pali_build_type}} ${pali_options}" MATCHES "-Ofast|-ffast-math|-ffinite-math-only|-fassociative-math")
  message(FATAL_ERROR "pali cannot be compiled with ${CMAKE_MATCH_0}: masks are infinities and the order of sums is fixed. Use -O2 or -O3")
endif()

# The ISA levels that kernels are compiled for, named as their namespaces. The program selects one at startup.
function(pali_levels levels)
  if(NOT MSVC AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    set(${levels} x86_64 x86_64_v3 x86_64_v4 PARENT_SCOPE)
  else()
    set(${levels} baseline PARENT_SCOPE)
  endif()
endfunction()

# The compiler flags of a level. They follow the flags of the build and so override them in a Debug build and under -march=native. -fno-lto:
# otherwise an inline function compiled for AVX-512 could become the copy that the whole program calls. -O3: encoding an image in bf16 takes
# 1.07 times as long at -O2 (Zen 4).
function(pali_level_options options level)
  set(flags "")
  if(NOT MSVC)
    list(APPEND flags -O3 -fno-lto)
    if(level MATCHES "^x86_64")
      string(REPLACE "_" "-" march "${level}")
      list(APPEND flags "-march=${march}")
    endif()
  endif()
  set(${options} "${flags}" PARENT_SCOPE)
endfunction()

function(pali_add_compiled pali include) # pali: the header target; include: the folder that contains pali/
  file(GLOB_RECURSE bodies CONFIGURE_DEPENDS RELATIVE "${include}" "${include}/pali/*.ipp")
  list(REMOVE_ITEM bodies pali/model.ipp pali/kernels/level_object.ipp)
  list(TRANSFORM bodies PREPEND "#include <")
  list(TRANSFORM bodies APPEND ">")
  list(JOIN bodies "\n" PALI_BODIES)
  pali_levels(levels)
  set(PALI_LEVEL_OBJECTS "")
  set(sources "${CMAKE_CURRENT_BINARY_DIR}/pali_compiled.cpp")
  foreach(level IN LISTS levels)
    set(source "${CMAKE_CURRENT_BINARY_DIR}/pali_level_${level}.cpp")
    configure_file("${CMAKE_CURRENT_FUNCTION_LIST_DIR}/level.cpp.in" "${source}" @ONLY)
    pali_level_options(options "${level}")
    set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS "${options}" COMPILE_DEFINITIONS "PALI_LEVEL=${level}")
    list(APPEND sources "${source}")
    string(APPEND PALI_LEVEL_OBJECTS "PALI_LEVEL_OBJECT(${level})\n")
  endforeach()
  configure_file("${CMAKE_CURRENT_FUNCTION_LIST_DIR}/compiled.cpp.in" "${CMAKE_CURRENT_BINARY_DIR}/pali_compiled.cpp" @ONLY)
  foreach(pair IN LISTS PALI_VARIANTS)
    if(NOT pair MATCHES "^([a-z0-9_]+):(f32|bf16|int8|int4)$")
      message(FATAL_ERROR "PALI_VARIANTS contains \"${pair}\"; expected VARIANT:WEIGHTS, for example paligemma2_3b_224:bf16")
    endif()
    set(variant "${CMAKE_MATCH_1}")
    set(weights "${CMAKE_MATCH_2}")
    set(source "${CMAKE_CURRENT_BINARY_DIR}/pali_${variant}_${weights}.cpp")
    configure_file("${CMAKE_CURRENT_FUNCTION_LIST_DIR}/variant.cpp.in" "${source}" @ONLY)
    list(APPEND sources "${source}")
    if(NOT variant STREQUAL "dynamic")
      string(APPEND compiled_variants "PALI_VARIANT(${variant},${weights})")
    endif()
  endforeach()
  add_library(pali_compiled STATIC EXCLUDE_FROM_ALL ${sources})
  add_library(pali::compiled ALIAS pali_compiled)
  target_link_libraries(pali_compiled PUBLIC ${pali})
  # PUBLIC: every source that links this target has the same PALI_CHECKED, whatever its NDEBUG.
  target_compile_definitions(pali_compiled PUBLIC PALI_COMPILED PALI_CHECKED=$<IF:$<CONFIG:Debug>,1,0>)
  if(compiled_variants) # model.hpp declares them extern
    target_compile_definitions(pali_compiled PUBLIC "PALI_COMPILED_VARIANTS=${compiled_variants}")
  endif()
endfunction()
