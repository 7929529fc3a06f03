# Debian packages, made by `cpack -G DEB`: libpali-dev (headers), pali-models (the embedded model), pali (the program), libpali<version>
# (the shared library behind pali.h) and libpali-c-dev (its link library, CMake and pkg-config files).

set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL dev models)
if(PALI_BUILD_EXAMPLES OR PALI_BUILD_C)
  find_program(PALI_SHLIBDEPS dpkg-shlibdeps DOC "Finds the packages that a program depends on")
  find_program(PALI_FILE file DOC "Detects file types; CPack needs it to run dpkg-shlibdeps")
  if(NOT PALI_SHLIBDEPS OR NOT PALI_FILE)
<<<<<<< HEAD
    message(STATUS "cpack -G DEB will leave out the program and libpali: they need apt-get install dpkg-dev file")
=======
    message(STATUS "No Debian packages of the program and libpali. To enable them: apt-get install dpkg-dev file")
>>>>>>> aa109bb (Build files, CI script and packaging: comments and messages in plain technical English)
  else()
    if(PALI_BUILD_EXAMPLES)
      list(APPEND CPACK_COMPONENTS_ALL program)
    endif()
    if(PALI_BUILD_C)
      list(APPEND CPACK_COMPONENTS_ALL c c_dev)
    endif()
  endif()
endif()
set(CPACK_PACKAGE_NAME pali)
set(CPACK_PACKAGE_VENDOR pali)
set(CPACK_PACKAGE_CONTACT "the authors of pali")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE "${CMAKE_CURRENT_SOURCE_DIR}/LICENSE")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)

list(JOIN pali_debian_packages ", " pali_depends)
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libpali-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "${pali_depends}")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS pali-models)
set(CPACK_COMPONENT_DEV_DESCRIPTION "Headers, CMake package files and pkg-config file")

set(CPACK_DEBIAN_MODELS_PACKAGE_NAME pali-models)
set(CPACK_DEBIAN_MODELS_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_MODELS_PACKAGE_SECTION science)
set(CPACK_COMPONENT_MODELS_DESCRIPTION "A tiny PaliGemma 2 trained on colored shapes")

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME pali)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_DEPENDS pali-models)
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION "Image captions, answers, boxes and masks on the command line")

set(CPACK_DEBIAN_C_PACKAGE_NAME "libpali${pali_soversion}")
set(CPACK_DEBIAN_C_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_C_PACKAGE_SHLIBDEPS ON)
set(CPACK_COMPONENT_C_DESCRIPTION "Shared library with the C API of pali")

set(CPACK_DEBIAN_C_DEV_PACKAGE_NAME libpali-c-dev)
set(CPACK_DEBIAN_C_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_C_DEV_PACKAGE_DEPENDS "libpali${pali_soversion} (= ${PROJECT_VERSION}), libpali-dev (= ${PROJECT_VERSION})") # pali.h is in libpali-dev
set(CPACK_COMPONENT_C_DEV_DESCRIPTION "Development files of the C API of pali")

include(CPack)
