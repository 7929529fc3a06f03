# Install rules: the headers with CMake and pkg-config files, the embedded model and, if built, the program. CPack packs each component as a
# Debian package.
include(CMakePackageConfigHelpers)

set(pali_cmake_dir "${CMAKE_INSTALL_DATADIR}/cmake/pali") # share, not lib: the files are architecture-independent
set(pali_pc_dir "${CMAKE_INSTALL_DATADIR}/pkgconfig")

install(DIRECTORY include/pali DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT dev FILES_MATCHING PATTERN "*.hpp" PATTERN "*.ipp" PATTERN "*.h")
install(FILES LICENSE NOTICE README.md DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT dev)
install(DIRECTORY examples/models/ DESTINATION "${pali_models}" COMPONENT models)

# find_package(pali CONFIG)
set_target_properties(pali_optimize PROPERTIES EXPORT_NAME optimize)
install(TARGETS pali pali_optimize EXPORT paliTargets COMPONENT dev)
install(EXPORT paliTargets NAMESPACE pali:: DESTINATION "${pali_cmake_dir}" COMPONENT dev)
configure_package_config_file(cmake/paliConfig.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/paliConfig.cmake"
  INSTALL_DESTINATION "${pali_cmake_dir}" PATH_VARS pali_models CMAKE_INSTALL_INCLUDEDIR NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/paliConfigVersion.cmake" COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/paliConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/paliConfigVersion.cmake"
  cmake/dependencies.cmake cmake/compiled.cmake cmake/compiled.cpp.in cmake/level.cpp.in cmake/variant.cpp.in DESTINATION "${pali_cmake_dir}" COMPONENT dev)

# pkg-config. stb is given by its include folder: only Debian has an stb.pc, and it links a library that pali does not use.
set(pali_pc_requires ${pali_requires})
list(REMOVE_ITEM pali_pc_requires stb)
list(JOIN pali_pc_requires " " pali_pc_requires)
get_target_property(pali_pc_cflags pali INTERFACE_COMPILE_DEFINITIONS)
list(TRANSFORM pali_pc_cflags PREPEND "-D")
list(APPEND pali_pc_cflags "-isystem ${PALI_STB_INCLUDE_DIR}")
list(JOIN pali_pc_cflags " " pali_pc_cflags)
file(RELATIVE_PATH pali_up_from_pc "/${pali_pc_dir}" "/")
string(REGEX REPLACE "/$" "" pali_up_from_pc "${pali_up_from_pc}")
configure_file(cmake/pali.pc.in "${CMAKE_CURRENT_BINARY_DIR}/pali.pc" @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/pali.pc" DESTINATION "${pali_pc_dir}" COMPONENT dev)

if(PALI_BUILD_EXAMPLES)
  install(TARGETS pali_program DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program)
  install(FILES packaging/program/pali.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT program)
  install(FILES packaging/program/pali.bash DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" RENAME pali COMPONENT program)
  install(FILES packaging/program/_pali DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions" COMPONENT program)
  install(FILES packaging/program/pali.fish DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d" COMPONENT program)
endif()

if(PROJECT_IS_TOP_LEVEL)
  include(cmake/debian.cmake)
endif()
