// A source like that of a user: it includes the umbrella header and instantiates what a program uses. It is compiled with pali's headers
// under -I, so that the compiler shows every warning in them.
#include <pali/pali.hpp>

#include <iostream>
#include <string_view>

int main(int argc, char** argv) try {
    if (argc != 4) return 2;
    const pali::image photo = pali::read_image(argv[2]);

    pali::model<pali::paligemma2_3b_224> released{argv[1]};
    std::cout << released.generate(photo, argv[3]).text << '\n';

    pali::model<pali::dynamic, pali::int8> any{argv[1]};
    any.generate(photo, argv[3], {.max_new_tokens = 10, .on_text = [](std::string_view piece) {
                                      std::cout << piece << std::flush;
                                      return true;
                                  }});
    for (const pali::object& found : any.segment(photo, "cat")) std::cout << found.label << '\n';
} catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
