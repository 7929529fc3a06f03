// hello: captions an image.   usage: hello MODEL_FOLDER IMAGE [PROMPT]
#include <pali/pali.hpp>

#include <iostream>

int main(int argc, char** argv) try {
    if (argc < 3) {
        std::cerr
            << "usage: hello MODEL_FOLDER IMAGE [PROMPT]\nMODEL_FOLDER is a PaliGemma 2 3B of 224 px, as downloaded from Hugging Face.\n";
        return 2;
    }
    pali::model<pali::paligemma2_3b_224> model{argv[1]};
    const pali::image photo = pali::read_image(argv[2]);
    std::cout << model.generate(photo, argc > 3 ? argv[3] : "caption en").text << '\n';
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
