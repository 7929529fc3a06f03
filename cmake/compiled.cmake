# pali::compiled: bodies compiled once instead of in every source, those that need heavy third-party headers (*.ipp) and those of `model` for each
# chosen variant. Installed, too: whoever links it compiles it, by the flags and the compiler of the rest of the program.

set(PALI_VARIANTS dynamic:f32 dynamic:bf16 dynamic:int8 dynamic:int4
  CACHE STRING "Variants in pali::compiled, each with its weights: those of pali::dynamic, or paligemma2_3b_224:bf16;...")

# Headers and pali::compiled take the flags of the program that uses them, and CMake gives none by itself.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES AND NOT CMAKE_CXX_FLAGS MATCHES "-O")
  message(WARNING "pali: CMAKE_BUILD_TYPE is not set, so nothing is optimised and an answer takes a hundred times as long. Configure with -DCMAKE_BUILD_TYPE=Release")
endif()

# Refused by an #error as well, which names no place where the flag comes from.
string(TOUPPER "${CMAKE_BUILD_TYPE}" pali_build_type)
get_directory_property(pali_options COMPILE_OPTIONS)
if("${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${pali_build_type}} ${pali_options}" MATCHES "-Ofast|-ffast-math|-ffinite-math-only|-fassociative-math")
  message(FATAL_ERROR "pali cannot be compiled with ${CMAKE_MATCH_0}: masks are infinities and the order of sums is fixed. Use -O2 or -O3")
endif()

function(pali_add_compiled pali include) # the target of the headers, the folder that holds pali/
  file(GLOB_RECURSE bodies CONFIGURE_DEPENDS RELATIVE "${include}" "${include}/pali/*.ipp")
  list(REMOVE_ITEM bodies pali/model.ipp)
  list(TRANSFORM bodies PREPEND "#include <")
  list(TRANSFORM bodies APPEND ">")
  list(JOIN bodies "\n" PALI_BODIES)
  set(sources "${CMAKE_CURRENT_BINARY_DIR}/pali_compiled.cpp")
  configure_file("${CMAKE_CURRENT_FUNCTION_LIST_DIR}/compiled.cpp.in" "${sources}" @ONLY)
  foreach(pair IN LISTS PALI_VARIANTS)
    if(NOT pair MATCHES "^([a-z0-9_]+):(f32|bf16|int8|int4)$")
      message(FATAL_ERROR "PALI_VARIANTS has \"${pair}\"; needed are pairs such as paligemma2_3b_224:bf16")
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
  target_compile_definitions(pali_compiled PUBLIC PALI_COMPILED PALI_CHECKED=$<IF:$<CONFIG:Debug>,1,0>) # the same in every source, whatever its NDEBUG
  if(compiled_variants) # model.hpp declares them
    target_compile_definitions(pali_compiled PUBLIC "PALI_COMPILED_VARIANTS=${compiled_variants}")
  endif()
  if(PALI_NATIVE) # the bodies of models: flags of the sources that use them do not matter
    target_link_libraries(pali_compiled PRIVATE pali::optimize)
  endif()
endfunction()
