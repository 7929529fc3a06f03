#!/usr/bin/env python3
"""Uses pali as another project does, by one ROUTE, in a new folder: builds the consumer and sees what it says about a picture.

usage: check.py ROUTE      the compiler is that of the environment variable CXX
Exit status 77: a tool that the route needs is not there.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
HERE = SOURCE / "tests" / "packaging"
SAID = "a red cross and a yellow ring on a teal background"
VERSION = ".".join(re.findall(r"PALI_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", (SOURCE / "include/pali/version.hpp").read_text(encoding="utf-8")))
CXX = os.environ.setdefault("CXX", "c++")
FLAGS = "-O1"       # builds and runs in the least time together


def run(*command, fails=False, cwd=None, **environment):
    """What the command prints. Ends the test when it fails, or with `fails` when it does not."""
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
    said = run(program, models / "shapes", models / "shapes/pictures/cross_and_ring.png").strip()
    expect(said == SAID, f"it says {said!r} instead of {SAID!r}")
    print(said)


def cmake(source, build, *options, **how):
    return run("cmake", "-S", source, "-B", build, "-G", "Ninja", *options, **how)


def project(route, work):
    """The files of a route's project, away from the tree."""
    shutil.copy(HERE / "main.cpp", work)
    return shutil.copytree(HERE / route, work / route)


def consumer(route, work, *options):
    """Builds the CMake project of a route. What the configuration printed."""
    text = cmake(project(route, work), work / "consumer", f"-DCMAKE_CXX_FLAGS={FLAGS}", *options)
    run("cmake", "--build", work / "consumer")
    return text


def cmake_library(work, *options):
    """Configures pali without its programs and tests, as packagers do."""
    return cmake(SOURCE, work / "pali", "-DPALI_BUILD_EXAMPLES=OFF", "-DPALI_BUILD_TESTS=OFF", *options)


def copied(to):
    """The tree without its tests and what was built in it."""
    shutil.copytree(SOURCE, to, ignore=lambda folder, names: [name for name in names if name in (".git", ".cache", "tests") or name.startswith("build")])
    return to


def installed(work):
    cmake_library(work)
    run("cmake", "--install", work / "pali", "--prefix", work / "prefix")
    return work / "prefix"


def cmake_install(work):
    prefix = installed(work)
    said = consumer("cmake_install", work, f"-DCMAKE_PREFIX_PATH={prefix}")
    expect(f"found pali {VERSION}" in said, f"its version should be {VERSION}")
    caption(work / "consumer/consumer", prefix / "share/pali/models")


def cmake_subdirectory(work):
    consumer("cmake_subdirectory", work, f"-DPALI_SOURCE={SOURCE}")
    caption(work / "consumer/consumer", SOURCE / "examples/models")


def cmake_fetch(work):
    clone = copied(work / "clone")
    git = ["git", "-C", clone, "-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    run("git", "init", "--quiet", "--initial-branch=main", clone)
    run(*git, "add", "--all")
    run(*git, "commit", "--quiet", "--message=all")
    consumer("cmake_fetch", work, f"-DPALI_CLONE=file://{clone}")
    caption(work / "consumer/consumer", work / "consumer/_deps/pali-src/examples/models")


ROUTES = {name: f for name, f in list(globals().items()) if name in ("cmake_install", "cmake_subdirectory", "cmake_fetch")}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in ROUTES:
        sys.exit(f"{__doc__}\nROUTE: {', '.join(ROUTES)}")
    with tempfile.TemporaryDirectory(prefix="pali-") as folder:
        if shutil.which("ccache"):
            os.environ["CMAKE_CXX_COMPILER_LAUNCHER"] = "ccache"
            os.environ["CCACHE_BASEDIR"] = folder       # so that the folder's name, new each time, does not matter
        ROUTES[sys.argv[1]](pathlib.Path(folder).resolve())


if __name__ == "__main__":
    main()
