# Runs portfile.cmake without vcpkg: replaces the vcpkg functions it calls by functions that use the installed packages.
# cmake -DPORT=FOLDER -DWORK=FOLDER -DOFF=FEATURE -P stand_ins.cmake

set(CURRENT_PORT_DIR "${PORT}")
set(CURRENT_PACKAGES_DIR "${WORK}/packages")

function(vcpkg_check_features)
  cmake_parse_arguments(PARSE_ARGV 0 given "" "OUT_FEATURE_OPTIONS" "FEATURES")
  set(options "")
  while(given_FEATURES)
    list(POP_FRONT given_FEATURES feature option)
    if(feature STREQUAL OFF)
      list(APPEND options "-D${option}=OFF")
    else()
      list(APPEND options "-D${option}=ON")
    endif()
  endwhile()
  set(${given_OUT_FEATURE_OPTIONS} "${options}" PARENT_SCOPE)
endfunction()

function(vcpkg_find_acquire_program name)
  find_program(${name} pkg-config REQUIRED)
endfunction()

function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 given "" "SOURCE_PATH" "OPTIONS")
  execute_process(COMMAND "${CMAKE_COMMAND}" -S "${given_SOURCE_PATH}" -B "${WORK}/build" -G Ninja ${given_OPTIONS} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(vcpkg_cmake_install)
  execute_process(COMMAND "${CMAKE_COMMAND}" --install "${WORK}/build" --prefix "${CURRENT_PACKAGES_DIR}" COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(need path)
  if(NOT EXISTS "${path}")
    message(FATAL_ERROR "no ${path}")
  endif()
endfunction()

function(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(PARSE_ARGV 0 given "" "CONFIG_PATH" "")
  need("${CURRENT_PACKAGES_DIR}/${given_CONFIG_PATH}/paliConfig.cmake")
endfunction()

function(vcpkg_fixup_pkgconfig)
  need("${CURRENT_PACKAGES_DIR}/lib/pkgconfig/pali.pc")
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 given "" "" "FILE_LIST")
  foreach(file IN LISTS given_FILE_LIST)
    need("${file}")
  endforeach()
endfunction()

include("${PORT}/portfile.cmake")
