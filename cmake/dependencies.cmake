# Finds the dependencies of the library. Used to build pali and, installed next to paliConfig.cmake, by projects that use pali. Collects
# everything missing, with its Debian package, in pali_missing and as a message in pali_missing_text. The including file reports it.
#
# The rows pali_dependency and pali_reader are the only list of dependencies. Linking, pali.pc, the Depends of the Debian package,
# meson.build and conanfile.py all use it; the last two read the rows with tools/list_dependencies.py.

set(pali_missing "")
set(pali_missing_packages "")
set(pali_missing_text "")
set(pali_links "")           # CMake targets
set(pali_requires "")        # pkg-config modules
set(pali_debian_packages pkg-config)
set(pali_readers "")         # image formats read by a third-party library

# Appends to pali_missing unless the variable `found` is true. pali_missing_text is then the complete message for all missing dependencies.
macro(pali_need found name package)
  if(NOT ${found})
    string(APPEND pali_missing "\n  ${name}  (Debian: ${package})")
    list(APPEND pali_missing_packages ${package})
    list(JOIN pali_missing_packages " " pali_missing_text)
    string(CONCAT pali_missing_text "pali: missing dependencies:${pali_missing}\n"
      "On Debian or Ubuntu:\n  apt-get install ${pali_missing_text}\n"
      "Elsewhere: add their installation prefixes to CMAKE_PREFIX_PATH.")
  endif()
endmacro()

macro(pali_dependency name found target pkg_config package)
  pali_need(${found} ${name} ${package})
  list(APPEND pali_links ${target})
  list(APPEND pali_requires ${pkg_config})
  list(APPEND pali_debian_packages ${package})
endmacro()

# An optional dependency. When pali is built: skipped if not found or switched off. For an installed pali: required if it was built with it.
macro(pali_reader name found target pkg_config package)
  if(DEFINED pali_readers_needed)
    list(FIND pali_readers_needed ${name} pali_used)
  elseif(PALI_WITH_${name} AND ${found})
    set(pali_used 0)
  else()
    set(pali_used -1)
  endif()
  if(NOT pali_used EQUAL -1)
    list(APPEND pali_readers ${name})
    pali_dependency(${name} ${found} ${target} ${pkg_config} ${package})
  endif()
endmacro()

find_package(Threads REQUIRED)
find_package(PkgConfig QUIET)
find_package(xtensor CONFIG QUIET)
find_package(xsimd CONFIG QUIET)
find_package(nlohmann_json CONFIG QUIET)
find_package(ZLIB QUIET)
find_package(JPEG QUIET)
find_package(PNG QUIET)
if(PKG_CONFIG_FOUND)
  pkg_check_modules(sentencepiece QUIET IMPORTED_TARGET sentencepiece)
  pkg_check_modules(libwebp QUIET IMPORTED_TARGET libwebp)
  pkg_check_modules(libheif QUIET IMPORTED_TARGET libheif)
  pkg_check_modules(libtiff QUIET IMPORTED_TARGET libtiff-4>=4.5) # 4.5 introduced per-file error handlers
endif()
find_path(PALI_STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb DOC "Folder of stb_image.h")
if(PALI_STB_INCLUDE_DIR AND NOT TARGET pali::stb)
  add_library(pali::stb INTERFACE IMPORTED)
  set_target_properties(pali::stb PROPERTIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${PALI_STB_INCLUDE_DIR}" INTERFACE_INCLUDE_DIRECTORIES "${PALI_STB_INCLUDE_DIR}")
endif()

pali_need(PKG_CONFIG_FOUND pkg-config pkg-config)
#               name          found variable       target                       pkg-config    Debian package
pali_dependency(xtensor       xtensor_FOUND        xtensor                      xtensor       libxtensor-dev)
pali_dependency(xsimd         xsimd_FOUND          xsimd                        xsimd         libxsimd-dev)
pali_dependency(nlohmann_json nlohmann_json_FOUND  nlohmann_json::nlohmann_json nlohmann_json nlohmann-json3-dev)
pali_dependency(sentencepiece sentencepiece_FOUND  PkgConfig::sentencepiece     sentencepiece libsentencepiece-dev)
pali_dependency(zlib          ZLIB_FOUND           ZLIB::ZLIB                   zlib          zlib1g-dev)
pali_dependency(stb           PALI_STB_INCLUDE_DIR pali::stb                    stb           libstb-dev)
pali_reader(    JPEG          JPEG_FOUND           JPEG::JPEG                   libjpeg       libjpeg-dev)
pali_reader(    PNG           PNG_FOUND            PNG::PNG                     libpng        libpng-dev)
pali_reader(    WEBP          libwebp_FOUND        PkgConfig::libwebp           libwebp       libwebp-dev)
pali_reader(    HEIF          libheif_FOUND        PkgConfig::libheif           libheif       libheif-dev)
pali_reader(    TIFF          libtiff_FOUND        PkgConfig::libtiff           libtiff-4     libtiff-dev)
