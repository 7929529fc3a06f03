// any_checkpoint: runs any PaliGemma or PaliGemma 2 with the sizes in its config.json, scores the given answers, and then runs a beam
// search. usage: any_checkpoint MODEL_FOLDER IMAGE PROMPT ANSWER...
#include <pali/pali.hpp>

#include <iostream>
#include <span>

int main(int argc, char** argv) try {
    if (argc < 5) {
        std::cerr << "usage: any_checkpoint MODEL_FOLDER IMAGE PROMPT ANSWER...\nprints how likely the model finds each answer\n";
        return 2;
    }
    pali::model<pali::dynamic> model{argv[1]};
    const pali::dynamic& sizes = model.config();
    std::cout << (sizes.post_norms ? "PaliGemma 2" : "PaliGemma") << ": " << sizes.layers << " layers of " << sizes.hidden << ", images of "
              << sizes.vision.image_size << " px, " << model.arch() << '\n';

    const pali::image_features seen = model.encode(pali::read_image(argv[2])); // encoded once for all prompts
    for (const char* answer : std::span(argv + 4, argv + argc))
        std::cout << model.score(std::span(&seen, 1), argv[3], answer).logprob << "  " << answer << '\n';

    const pali::generation said = model.generate(seen, argv[3], {.num_beams = 3});
    std::cout << "its own: " << said.text << '\n';
    for (std::size_t i = 0; i < said.tokens.size(); ++i)
        std::cout << "  token " << said.tokens[i] << ", log-probability " << said.logprobs[i] << '\n';
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
