#!/usr/bin/env python3
"""Uses pali from another project by one ROUTE: builds the consumer in a new folder and checks its output for an image.

usage: check.py ROUTE [BUILD]      the environment variable CXX selects the compiler
BUILD is a build folder of this tree. The routes c and deb_programs need it.
Exit status 77: a tool that the route needs is not installed.
"""
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import list_dependencies

SOURCE = pathlib.Path(__file__).resolve().parents[2]
HERE = SOURCE / "tests" / "packaging"
SAID = "a red cross and a yellow ring on a teal background"
VERSION = ".".join(re.findall(r"PALI_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", (SOURCE / "include/pali/version.hpp").read_text(encoding="utf-8")))
CXX = os.environ.setdefault("CXX", "c++")
FLAGS = "-O1"       # shortest total time to build and run


def run(*command, fails=False, cwd=None, **environment):
    """Runs a command and returns its output. Ends the test if the command fails or, with `fails`, if it succeeds."""
    words = [str(word) for word in command]
    print("+", *words, flush=True)
    done = subprocess.run(words, cwd=cwd, env=os.environ | {k: str(v) for k, v in environment.items()}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if (done.returncode != 0) != fails:
        print(done.stdout[-8000:])
        sys.exit(f"exit status {done.returncode}" + (", but it should have been refused" if fails else ""))
    return done.stdout


def expect(fact, otherwise):
    if not fact:
        sys.exit(otherwise)


def caption(program, models):
    said = run(program, models / "shapes", models / "shapes/images/cross_and_ring.png").strip()
    expect(said == SAID, f"it says {said!r} instead of {SAID!r}")
    print(said)


def cmake(source, build, *options, **how):
    return run("cmake", "-S", source, "-B", build, "-G", "Ninja", *options, **how)


def project(route, work):
    """Copies the project of a route out of the source tree and returns its folder."""
    shutil.copy(HERE / "main.cpp", work)
    return shutil.copytree(HERE / route, work / route)


def consumer(route, work, *options):
    """Builds the CMake project of a route. Returns the output of the configure step."""
    text = cmake(project(route, work), work / "consumer", f"-DCMAKE_CXX_FLAGS={FLAGS}", "-DPALI_VARIANTS=dynamic:bf16", *options)
    run("cmake", "--build", work / "consumer")
    return text


def cmake_library(work, *options, **how):
    """Configures pali without its programs and tests, as packagers do."""
    return cmake(SOURCE, work / "pali", "-DPALI_BUILD_EXAMPLES=OFF", "-DPALI_BUILD_C=OFF", "-DPALI_BUILD_TESTS=OFF", *options, **how)


def copied(to):
    """Copies the tree without tests and build folders."""
    shutil.copytree(SOURCE, to, ignore=lambda folder, names: [name for name in names if name in (".git", ".cache", "tests") or name.startswith("build")])
    return to


def installed(work):
    cmake_library(work)
    run("cmake", "--install", work / "pali", "--prefix", work / "prefix")
    return work / "prefix"


def route_cmake_install(work):
    prefix = installed(work)
    said = consumer("find_package", work, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCONSUMED=pali::compiled")
    expect(f"found pali {VERSION}" in said, f"its version should be {VERSION}")
    caption(work / "consumer/consumer", prefix / "share/pali/models")


def route_cmake_subdirectory(work):
    """The first program of docs/start.md, unchanged except for options that shorten the build."""
    (work / "pali").symlink_to(SOURCE)
    (work / "CMakeLists.txt").write_text(block("docs/start.md", "cmake"), encoding="utf-8")
    (work / "look.cpp").write_text(block("docs/start.md", "cpp"), encoding="utf-8")
    said = ""
    for line in block("docs/start.md", "sh").splitlines():
        said = run("sh", "-ec", line.replace("-G Ninja", f"-G Ninja -DPALI_VARIANTS=dynamic:bf16 '-DCMAKE_CXX_FLAGS_RELEASE={FLAGS} -DNDEBUG'"), cwd=work)
    expect(said.startswith(SAID + "\nred cross 0."), f"it says {said!r}")


def route_cmake_fetch(work):
    clone = copied(work / "clone")
    git = ["git", "-C", clone, "-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    run("git", "init", "--quiet", "--initial-branch=main", clone)
    run(*git, "add", "--all")
    run(*git, "commit", "--quiet", "--message=all")
    consumer("cmake_fetch", work, f"-DPALI_CLONE=file://{clone}", "-DPALI_WITH_WEBP=OFF")
    linked = run("readelf", "-d", work / "consumer/consumer")
    expect("libpng" in linked and "libwebp" not in linked, f"PALI_WITH_WEBP=OFF, and it links\n{linked}")
    caption(work / "consumer/consumer", work / "consumer/_deps/pali-src/examples/models")


def meson_consumer(work, *options, **environment):
    """Builds the meson project, with pali in subprojects/ if it is there, otherwise with pkg-config."""
    run("meson", "setup", work / "consumer", work / "meson", "--buildtype=plain", f"-Dcpp_args={FLAGS}", *options, **environment)
    run("meson", "compile", "-C", work / "consumer")


def meson_installed(work):
    run("meson", "setup", work / "pali-meson", SOURCE, "-Dprogram=false", "-Dc=false", "-Dtests=false", f"--prefix={work}/by-meson")
    run("meson", "install", "-C", work / "pali-meson")
    return work / "by-meson"


def route_meson_subproject(work):
    copied(project("meson", work) / "subprojects/pali")
    meson_consumer(work, "-Dconsumed=pali-compiled", "-Dpali:variants=dynamic:bf16")
    caption(work / "consumer/consumer", SOURCE / "examples/models")


def route_meson_pkg_config(work):
    project("meson", work)
    prefix = meson_installed(work)
    meson_consumer(work, PKG_CONFIG_PATH=prefix / "share/pkgconfig")
    caption(work / "consumer/consumer", prefix / "share/pali/models")


def route_pkg_config(work):
    prefix = installed(work)
    ours = {"PKG_CONFIG_PATH": prefix / "share/pkgconfig"}
    run("sh", "build.sh", work / "consumer", cwd=project("pkg_config", work), CXX=f"{os.environ.get('CMAKE_CXX_COMPILER_LAUNCHER', '')} {CXX}", CXXFLAGS=FLAGS, **ours)
    caption(work / "consumer", prefix / "share/pali/models")

    # meson must install the same files and an equivalent pali.pc.
    other = meson_installed(work)
    for question in (["--modversion"], ["--print-requires"], ["--cflags", "--libs"]):
        by_cmake = run("pkg-config", *question, "pali", **ours)
        by_meson = run("pkg-config", *question, "pali", PKG_CONFIG_PATH=other / "share/pkgconfig").replace(str(other), str(prefix))
        expect(by_cmake == by_meson, f"pali.pc by CMake says\n{by_cmake}and by meson\n{by_meson}")
    expect(files(prefix) - files(other) == files(prefix / "share/cmake", prefix) and files(other) <= files(prefix), "CMake and meson install other files: "
           + ", ".join(sorted(files(prefix) ^ files(other) ^ files(prefix / "share/cmake", prefix))))


def route_two_files(work):
    """Builds with the Makefile of docs/embedding.md and checks the levels and a model type of its own; then the same with the CMakeLists.txt."""
    need("make")
    if platform.machine() != "x86_64":
        print("the levels that the page names are those of x86-64")
        sys.exit(77)
    for name in ("pali.hpp", "pali.cpp"):
        shutil.copy(SOURCE / "single_include/pali" / name, work)
    shutil.copy(HERE / "two_files/look.cpp", work)
    (work / "Makefile").write_text(block("docs/embedding.md", "make"), encoding="utf-8")
    launcher = os.environ.get("CMAKE_CXX_COMPILER_LAUNCHER", "")
    warnings = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
    run("make", "-j2", f"CXX={launcher} {CXX} {warnings}".strip(), cwd=work)
    levels = [shutil.copy(path, work / path.name.replace("pali", "level")) for path in work.glob("pali_x86_64_v*.o")]
    run(sys.executable, SOURCE / "tools/check_levels.py", *levels)

    def looks(program, level):
        """Returns the answer of `program` with the kernels of a level, or of the highest one."""
        arguments = (program, SOURCE / "examples/models/shapes", SOURCE / "examples/models/shapes/images/cross_and_ring.png")
        environment = os.environ | ({"PALI_ARCH": level} if level else {})
        done = subprocess.run([str(word) for word in arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode and level and "which this processor does not have" in done.stdout:
            return print(f"{level}: passed over")
        print(done.stdout, end="")
        answer, own, levels, arch = (done.stdout.splitlines() + 4 * [""])[:4]
        expect(done.returncode == 0 and answer == SAID and own == SAID, f"with {level or 'no level'} it says\n{done.stdout}")
        expect(levels == "x86-64 x86-64-v3 x86-64-v4", f"its levels are {levels}")
        expect(arch.split()[0] in ((level,) if level else levels.split()), f"with {level or 'no level'} it uses {arch}")

    for level in (None, "x86-64", "x86-64-v3", "x86-64-v4"):
        looks(work / "look", level)
    without = run("sh", "-c", f"{CXX} -std=c++20 -c pali.cpp 2>&1", cwd=work, fails=True)
    expect("define PALI_COMPILED for every source" in without, without)

    (work / "CMakeLists.txt").write_text(block("docs/embedding.md", "cmake"), encoding="utf-8")
    cmake(work, work / "build", "-DCMAKE_CXX_FLAGS=-O0", "-DCMAKE_BUILD_TYPE=")  # of levels, -O2 as there
    run("cmake", "--build", work / "build")
    looks(work / "build/look", None)


def files(folder, top=None):
    return {path.relative_to(top or folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def route_deb(work):
    need("dpkg-deb")
    cmake_library(work)
    run("cpack", "-G", "DEB", "-B", work, cwd=work / "pali")
    packages = sorted(work.glob("*.deb"))
    expect([p.name for p in packages] == [f"libpali-dev_{VERSION}_all.deb", f"pali-models_{VERSION}_all.deb"], f"cpack makes {[p.name for p in packages]}")
    depends = set(run("dpkg-deb", "-f", packages[0], "Depends").strip().split(", "))
    needed = {row[3] for row in dependencies()} | {"pkg-config"}
    expect(depends == needed, f"it depends on {sorted(depends)} instead of {sorted(needed)}")
    for package in packages:
        run("dpkg-deb", "-x", package, work / "root")
    consumer("find_package", work, f"-DCMAKE_PREFIX_PATH={work}/root/usr")
    caption(work / "consumer/consumer", work / "root/usr/share/pali/models")


def block(page, language):
    """Returns the first code block of a page in the given language."""
    return re.search(rf"^```{language}\n(.*?)^```$", (SOURCE / page).read_text(encoding="utf-8"), flags=re.M | re.S).group(1)


def asks_in_c(program, models, **environment):
    said = run(program, models / "shapes", models / "shapes/images/cross_and_ring.png", "caption en", **environment).strip()
    expect(said == SAID, f"it says {said!r} instead of {SAID!r}")
    print(said)


def c_by_pkg_config(work, prefix):
    (work / "ask.c").write_text(block("docs/c_api.md", "c"), encoding="utf-8")
    run("sh", "build.sh", work / "ask", cwd=project("c", work), PKG_CONFIG_PATH=prefix / "lib/pkgconfig", CC=os.environ.get("CC", "cc"))
    asks_in_c(work / "ask", SOURCE / "examples/models", LD_LIBRARY_PATH=prefix / "lib")


def route_c(work):
    """Builds the program of docs/c_api.md with an installed libpali: by pkg-config, meson, and CMake in a C-only project."""
    for component in ("c", "c_dev", "dev"):
        run("cmake", "--install", built(), "--prefix", work / "prefix", "--component", component)
    c_by_pkg_config(work, work / "prefix")
    run("meson", "setup", work / "by-meson", work / "c", PKG_CONFIG_PATH=work / "prefix/lib/pkgconfig")
    run("meson", "compile", "-C", work / "by-meson")
    asks_in_c(work / "by-meson/ask", SOURCE / "examples/models", LD_LIBRARY_PATH=work / "prefix/lib")
    said = cmake(work / "c", work / "consumer", f"-DCMAKE_PREFIX_PATH={work}/prefix", "-DCMAKE_DISABLE_FIND_PACKAGE_xtensor=ON")
    expect(f"found pali {VERSION}" in said, f"its version should be {VERSION}")
    run("cmake", "--build", work / "consumer")
    asks_in_c(work / "consumer/ask", SOURCE / "examples/models")


def route_deb_programs(work):
    """The Debian packages of the program and libpali, made from the given build."""
    need("dpkg-shlibdeps")
    need("file")
    run("cpack", "-G", "DEB", "-B", work, "-D", "CPACK_COMPONENTS_ALL=dev;models;program;c;c_dev", cwd=built())
    abi = ".".join(VERSION.split(".")[:2 if VERSION.startswith("0.") else 1])
    depends = {}
    for package in work.glob("*.deb"):
        depends[run("dpkg-deb", "-f", package, "Package").strip()] = run("dpkg-deb", "-f", package, "Depends")
        run("dpkg-deb", "-x", package, work / "root")
    expect(set(depends) == {"pali", "pali-models", "libpali-dev", f"libpali{abi}", "libpali-c-dev"}, f"cpack makes {sorted(depends)}")
    for package, needed in (("pali", "pali-models"), ("pali", "libsentencepiece0"), (f"libpali{abi}", "libsentencepiece0"), ("libpali-c-dev", f"libpali{abi} (= {VERSION})")):
        expect(needed in depends[package], f"{package} does not depend on {needed} but on {depends[package]}")
    said = run(work / "root/usr/bin/pali", "generate", "--prompt", "caption en").strip()
    expect(said == SAID, f"it says {said!r} instead of {SAID!r}")
    c_by_pkg_config(work, work / "root/usr")


def route_missing(work):
    """Checks the messages for missing packages (pali, an installed pali, meson) and the warning for a build without optimization."""
    names(cmake_library(work, "-DCMAKE_DISABLE_FIND_PACKAGE_xtensor=ON", fails=True), "libxtensor-dev")
    prefix = installed(work / "sound")
    source = project("find_package", work)
    for name, package in (("xtensor", "libxtensor-dev"), ("JPEG", "libjpeg-dev")):      # JPEG, since this pali was built with it
        without = f"-DCMAKE_DISABLE_FIND_PACKAGE_{name}=ON"
        names(cmake(source, work / f"without-{name}", f"-DCMAKE_PREFIX_PATH={prefix}", without, fails=True), package)
    for how, warned in (((), True), (("-DCMAKE_BUILD_TYPE=Release",), False), ((f"-DCMAKE_CXX_FLAGS={FLAGS}",), False)):
        said = cmake(source, work / ("flags" + "".join(how)), f"-DCMAKE_PREFIX_PATH={prefix}", *how)
        expect(("CMAKE_BUILD_TYPE is not set" in said) == warned, f"with {how or 'no flags'} it says\n{said}")
    (work / "empty").mkdir()
    names(run("meson", "setup", work / "by-meson", SOURCE, "-Dprogram=false", "-Dc=false", "-Dtests=false", fails=True, PKG_CONFIG_LIBDIR=work / "empty"), "libsentencepiece-dev")


def route_vcpkg(work):
    """Checks the vcpkg port: its dependencies match cmake/dependencies.cmake, and portfile.cmake works with stand-ins for vcpkg's
    functions. vcpkg itself is not run."""
    port = SOURCE / "packaging/vcpkg/ports/pali"
    said = json.loads((port / "vcpkg.json").read_text(encoding="utf-8"))
    expect(said["version"] == VERSION, f"vcpkg.json says version {said['version']}, version.hpp {VERSION}")
    listed = {item for item in said["dependencies"] if isinstance(item, str)}
    expect(listed == {row[1].replace("_", "-") for row in dependencies() if row[0] == "dependency"}, f"vcpkg.json lists other dependencies: {sorted(listed)}")
    readers = {row[1].lower() for row in dependencies() if row[0] == "reader"}
    expect(set(said["features"]) == set(said["default-features"]) == readers, f"vcpkg.json has other features than {sorted(readers)}")
    run("cmake", f"-DPORT={port}", f"-DWORK={work}", "-DOFF=webp", "-P", HERE / "vcpkg/stand_ins.cmake")
    expect("-DPALI_WITH_PNG=1 -DPALI_WITH_WEBP=0" in (work / "packages/lib/pkgconfig/pali.pc").read_text(), "a feature that was left out is there")


def route_conan(work):
    """Runs `conan create` with system packages, because no remote may provide all of them."""
    need("conan")
    recipe = copied(work / "recipe")
    shutil.copytree(HERE, recipe / "tests/packaging")
    home = {"CONAN_HOME": work / "home"}
    run("conan", "profile", "detect", **home)
    said = json.loads(run("conan", "inspect", recipe, "--format=json", **home))
    expect((said["name"], said["version"]) == ("pali", VERSION), f"conan reads {said['name']} {said['version']}")
    made = run("conan", "create", recipe, "--no-remote", "--build=missing", "--options=pali/*:system=True", "--settings=compiler.cppstd=20",
               "--conf=tools.cmake.cmaketoolchain:generator=Ninja", **home)
    expect(SAID in made, made)
    print(SAID)


def names(text, package):
    expect(re.search(rf"apt-get install( [\w-]+)* {package}\b", text), f"{package} is not named in:\n{text}")


def dependencies():
    return list(list_dependencies.rows((SOURCE / "cmake/dependencies.cmake").read_text(encoding="utf-8")))


def built():
    if len(sys.argv) != 3:
        sys.exit(f"{sys.argv[1]} needs the folder of a build")
    return pathlib.Path(sys.argv[2]).resolve()


def need(tool):
    if not shutil.which(tool):
        print(f"{tool} is not installed")
        sys.exit(77)


ROUTES = {name[6:]: f for name, f in list(globals().items()) if name.startswith("route_")}


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in ROUTES:
        sys.exit(f"{__doc__}\nROUTE: {', '.join(ROUTES)}")
    with tempfile.TemporaryDirectory(prefix="pali-") as folder:
        if shutil.which("ccache"):
            os.environ["CMAKE_CXX_COMPILER_LAUNCHER"] = "ccache"
            os.environ["CCACHE_BASEDIR"] = folder       # so that the random folder name does not cause cache misses
        ROUTES[sys.argv[1]](pathlib.Path(folder).resolve())


if __name__ == "__main__":
    main()
