"""Test package of `conan create`: builds the consumer with the new package and runs it on the embedded model."""
import os

from conan import ConanFile
from conan.tools.cmake import CMake, cmake_layout


class Consumer(ConanFile):
    settings = "os", "arch", "compiler", "build_type"
    generators = "CMakeToolchain", "CMakeDeps", "PkgConfigDeps", "VirtualRunEnv"

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        cmake_layout(self)

    def build(self):
        cmake = CMake(self)
        cmake.configure(build_script_folder="../find_package")
        cmake.build()

    def test(self):
        shapes = os.path.join(self.dependencies["pali"].package_folder, "share/pali/models/shapes")
        self.run(f'"{self.cpp.build.bindir}/consumer" "{shapes}" "{shapes}/images/cross_and_ring.png"', env="conanrun")
