// streaming: prints progress, then an answer while it is generated, and stops it by a condition of the program. usage: streaming
// MODEL_FOLDER IMAGE PROMPT [SENTENCES]
#include <pali/pali.hpp>

#include <cstdlib>
#include <iostream>
#include <utility>

int main(int argc, char** argv) try {
    if (argc < 4) {
        std::cerr << "usage: streaming MODEL_FOLDER IMAGE PROMPT [SENTENCES]\n";
        return 2;
    }
    bool answering = false;
    const auto show = [&](std::string_view stage, double done) {
        if (!answering) std::cerr << '\r' << stage << ' ' << static_cast<int>(done * 100) << " %   ";
        return true; // false would cancel the load or the call
    };
    pali::model<pali::dynamic> model{argv[1], {.on_progress = show}};
    const pali::image photo = pali::read_image(argv[2]);

    int sentences = argc > 4 ? std::atoi(argv[4]) : 3;
    const pali::generation answer = model.generate(photo, argv[3],
                                                   {.max_new_tokens = 200,
                                                    .sampling = {.temperature = 0.7f, .top_p = 0.9f, .seed = 1},
                                                    .on_text =
                                                        [&](std::string_view piece) { // complete UTF-8 characters, spaces included
                                                            if (!std::exchange(answering, true)) std::cerr << '\r';
                                                            std::cout << piece << std::flush;
                                                            return piece.find('.') == piece.npos || --sentences > 0; // false stops the call
                                                        },
                                                    .on_progress = show});

    std::cout << "\n[" << pali::to_string(answer.finish) << ", " << answer.tokens.size() << " tokens, " << answer.decode_tokens_per_s()
              << " a second]\n";
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
