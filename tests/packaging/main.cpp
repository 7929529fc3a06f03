// The consumer built by every route of tests/packaging. Prints a caption of an image.   usage: consumer MODEL_FOLDER IMAGE
#include <pali/pali.hpp>

#include <iostream>

int main(int argc, char** argv) try {
    if (argc != 3) return 2;
    pali::model<> model{argv[1]};
    const std::string caption = model.caption(pali::read_image(argv[2]));
    std::cout << caption << '\n';
    return caption.empty() ? 1 : 0;
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
