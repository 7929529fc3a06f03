// several_images: asks one prompt about several images together, in one context, and then about each image separately, in one batch. usage:
// several_images MODEL_FOLDER PROMPT IMAGE IMAGE...
#include <pali/pali.hpp>

#include <iostream>
#include <vector>

int main(int argc, char** argv) try {
    if (argc < 5) {
        std::cerr << "usage: several_images MODEL_FOLDER PROMPT IMAGE IMAGE...\n";
        return 2;
    }
    pali::model<pali::dynamic> model{argv[1]};
    std::vector<pali::image> photos;
    for (int i = 3; i < argc; ++i) photos.push_back(pali::read_image(argv[i]));

    // The image tokens are concatenated in order before the prompt, as in models that were trained on pairs of images (NLVR2).
    std::cout << "all: " << model.generate(photos, argv[2]).text << '\n';

    // One answer per image, batched: each decode step reads the weights once for all requests.
    std::vector<pali::image_features> seen; // encoded once, for all later prompts
    for (const pali::image& photo : photos) seen.push_back(model.encode(photo));
    std::vector<pali::request> requests;
    for (const pali::image_features& one : seen) requests.push_back({.images = {&one, 1}, .prompt = argv[2]});
    const std::vector<pali::generation> answers = model.generate(requests);
    for (std::size_t i = 0; i < answers.size(); ++i) std::cout << argv[3 + i] << ": " << answers[i].text << '\n';
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
