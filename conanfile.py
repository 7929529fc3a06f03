"""Conan's recipe: `conan create .` packs the headers and the embedded model, and builds tests/packaging/conan with the package.

Conan Center has no sentencepiece. With `-o "pali/*:system=True"` every dependency is the system's (on Debian its packages are checked for, or
installed with `-c tools.system.package_manager:mode=install`); without it, a recipe for sentencepiece has to be in a remote of your own.
A CMake project finds the package by find_package(pali CONFIG), others by its share/pkgconfig/pali.pc.
"""
import importlib.util
import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load
from conan.tools.gnu import PkgConfigDeps
from conan.tools.system.package_manager import Apt

# Name in cmake/dependencies.cmake -> Conan's package.
REFERENCES = {
    "xtensor": "xtensor/[>=0.24 <1]",
    "xsimd": "xsimd/[>=8.1]",
    "nlohmann_json": "nlohmann_json/[>=3.9 <4]",
    "sentencepiece": "sentencepiece/[>=0.1.97 <1]",
    "zlib": "zlib/[>=1.2.11 <2]",
    "stb": "stb/cci.20240213",
    "JPEG": "libjpeg-turbo/[>=2 <4]",
    "PNG": "libpng/[>=1.6 <2]",
    "WEBP": "libwebp/[>=1.2 <2]",
    "HEIF": "libheif/[>=1.13 <2]",
    "TIFF": "libtiff/[>=4.5 <5]",
}


class PaliRecipe(ConanFile):
    name = "pali"
    description = "PaliGemma and PaliGemma 2 on CPUs, header only"
    license = "Apache-2.0"
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"system": [True, False], "jpeg": [True, False], "png": [True, False], "webp": [True, False], "heif": [True, False],
               "tiff": [True, False]}
    default_options = {"system": False, "jpeg": True, "png": True, "webp": True, "heif": True, "tiff": True}
    exports = "cmake/dependencies.cmake", "include/pali/version.hpp", "tools/list_dependencies.py"
    exports_sources = "CMakeLists.txt", "cmake/*", "include/*", "examples/models/*", "LICENSE", "NOTICE", "README.md"
    test_package_folder = "tests/packaging/conan"

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, "include/pali/version.hpp"))
        self.version = ".".join(re.findall(r"PALI_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text))

    def _dependencies(self):
        """(name in cmake/dependencies.cmake, Debian's package) of each that the options ask for."""
        spec = importlib.util.spec_from_file_location("list_dependencies", os.path.join(self.recipe_folder, "tools/list_dependencies.py"))
        listed = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(listed)
        for kind, name, _, debian in listed.rows(load(self, os.path.join(self.recipe_folder, "cmake/dependencies.cmake"))):
            if kind == "dependency" or self.options.get_safe(name.lower()):
                yield name, debian

    def requirements(self):
        if not self.options.system:
            for name, _ in self._dependencies():
                self.requires(REFERENCES[name], transitive_headers=True, transitive_libs=True)

    def system_requirements(self):
        if self.options.system:
            Apt(self).install([debian for _, debian in self._dependencies()], check=True)

    def validate(self):
        check_min_cppstd(self, 20)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        PkgConfigDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables.update({"PALI_BUILD_EXAMPLES": False, "PALI_BUILD_C": False, "PALI_BUILD_TESTS": False})
        for reader in ("jpeg", "png", "webp", "heif", "tiff"):
            toolchain.cache_variables[f"PALI_WITH_{reader.upper()}"] = bool(self.options.get_safe(reader))
        toolchain.generate()

    def build(self):
        CMake(self).configure()

    def package(self):
        CMake(self).install()
        for text in ("LICENSE", "NOTICE"):
            copy(self, text, self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_id(self):
        self.info.settings.clear()

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.builddirs = ["share/cmake/pali"]      # our own paliConfig.cmake, not one of Conan's making
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.set_property("pkg_config_name", "none")
        self.buildenv_info.append_path("PKG_CONFIG_PATH", os.path.join(self.package_folder, "share/pkgconfig"))
