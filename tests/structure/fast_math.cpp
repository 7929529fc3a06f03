// A source that is compiled with -ffast-math and linked to bodies that were compiled without it.
#include <pali/image/read.hpp>
#include <pali/model.hpp>

#include <filesystem>
#include <iostream>

int main(int, char** argv) {
    const std::filesystem::path folder = argv[1];
    pali::model<pali::dynamic> model{folder};
    std::cout << model.caption(pali::read_image(folder / "images" / "cross_and_ring.png")) << '\n';
}
