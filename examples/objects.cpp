// objects: segments things in an image, prints them, and draws boxes, masks and labels.
#include <pali/draw.hpp>
#include <pali/pali.hpp>

#include <iostream>

int main(int argc, char** argv) try {
    if (argc != 4) {
        std::cerr << "usage: objects <model folder> <image> <things, \"cat ; dog\">       writes objects.png\n";
        return 2;
    }
    pali::model<pali::dynamic> model{argv[1]}; // needs vae-oid.npz in its folder
    const auto image = pali::read_image(argv[2]);
    std::vector<pali::mark> marks;
    const pali::findings found = model.segment(image, argv[3]);
    for (const pali::segment& s : found) {
        marks.push_back({.label = s.label, .where = s.box, .inside = &s.mask, .score = s.score});
        std::cout << s.label << ' ' << s.score << ' ' << s.box << ' ' << s.mask.area() << " pixels\n";
    }
    if (found.skipped > 0) std::cout << found.skipped << " malformed objects skipped\n";
    pali::write_png("objects.png", pali::draw(image, marks));
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
