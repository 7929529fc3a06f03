// Images for terminals: their output, decoded by independent decoders, and the detection of what a terminal supports.
#include "goldens.hpp"

#include "../support/base64.hpp"

#include <pali/image/read.hpp>
#include <pali/image/terminal.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string_view>

using namespace pali::test;
using pali::errc;
using pali::image;
using pali::terminal_graphics;

BOOST_AUTO_TEST_SUITE(image_terminal)

namespace {

constexpr pali::terminal_size large{.columns = 200, .rows = 100, .cell_width = 10, .cell_height = 20};
constexpr std::string_view half_block = "\xE2\x96\x80";

/// Parses a text from the front; throws if an expectation fails.
struct reader {
    std::string_view left;

    bool take(std::string_view text) {
        if (!left.starts_with(text)) return false;
        left.remove_prefix(text.size());
        return true;
    }
    void need(std::string_view text) {
        if (!take(text)) throw std::runtime_error("no '" + std::string(text) + "' before: " + std::string(left.substr(0, 20)));
    }
    int number() {
        int value = 0;
        if (left.empty() || left[0] < '0' || left[0] > '9')
            throw std::runtime_error("no number before: " + std::string(left.substr(0, 20)));
        for (; !left.empty() && left[0] >= '0' && left[0] <= '9'; left.remove_prefix(1)) value = value * 10 + (left[0] - '0');
        return value;
    }
};

struct kitty_image {
    pali::image image;
    int columns = 0;
    std::size_t chunks = 0;
};

/// Decodes the kitty protocol: base64 of a PNG in chunks of at most 4096 digits, each but the last a multiple of 4.
kitty_image decode_kitty(std::string_view text) {
    reader in{text};
    kitty_image made;
    std::string digits;
    for (bool more = true; more; ++made.chunks) {
        in.need("\x1b_G");
        if (made.chunks == 0) {
            in.need("a=T,f=100,q=2,c=");
            made.columns = in.number();
            in.need(",m=");
        } else {
            in.need("q=2,m=");
        }
        more = in.number() == 1;
        in.need(";");
        const std::size_t end = in.left.find('\x1b');
        if (end == in.left.npos || end > 4096 || (more && end % 4 != 0)) throw std::runtime_error("a chunk of " + std::to_string(end));
        digits += in.left.substr(0, end);
        in.left.remove_prefix(end);
        in.need("\x1b\\");
    }
    in.need("\n");
    if (!in.left.empty()) throw std::runtime_error("something follows");
    made.image = pali::decode_image(from_base64(digits));
    return made;
}

struct sixel_image {
    pali::image image;
    std::size_t colours = 0;
};

/// Decodes sixels. Every pixel must be painted exactly once, within the declared size.
sixel_image decode_sixel(std::string_view text) {
    reader in{text};
    in.need("\x1bP0;1q\"1;1;");
    const auto width = static_cast<std::size_t>(in.number());
    in.need(";");
    const auto height = static_cast<std::size_t>(in.number());
    sixel_image made{.image = image(width, height)};
    std::vector<int> painted(width * height);
    std::vector<std::array<int, 3>> palette(256, {-1, -1, -1});
    std::size_t x = 0, y = 0, colour = 0;
    while (!in.take("\x1b\\")) {
        if (in.take("#")) {
            colour = static_cast<std::size_t>(in.number());
            if (in.take(";2;")) {
                std::array<int, 3>& c = palette.at(colour);
                c[0] = in.number(), in.need(";"), c[1] = in.number(), in.need(";"), c[2] = in.number();
                for (const int v : c)
                    if (v > 100) throw std::runtime_error("over 100 percent");
                ++made.colours;
            }
        } else if (in.take("$")) {
            x = 0;
        } else if (in.take("-")) {
            x = 0, y += 6;
        } else {
            const int count = in.take("!") ? in.number() : 1;
            const char c = in.left.empty() ? '\0' : in.left[0];
            if (c < '?' || c > '~') throw std::runtime_error("no sixel");
            in.left.remove_prefix(1);
            for (int i = 0; i < count; ++i, ++x)
                for (std::size_t k = 0; k < 6; ++k)
                    if (((c - '?') >> k & 1) != 0) {
                        if (x >= width || y + k >= height) throw std::runtime_error("painted beyond its size");
                        ++painted[(y + k) * width + x];
                        for (std::size_t n = 0; n < 3; ++n)
                            made.image.at(x, y + k)[n] = static_cast<std::uint8_t>(std::lround(palette.at(colour)[n] * 2.55));
                    }
        }
    }
    in.need("\n");
    if (!in.left.empty()) throw std::runtime_error("something follows");
    for (const int times : painted)
        if (times != 1) throw std::runtime_error("a pixel painted " + std::to_string(times) + " times");
    return made;
}

/// RGB of xterm's color i, as defined in its 256colres.pl.
std::array<int, 3> xterm_colour(int i) {
    if (i >= 232) return {8 + 10 * (i - 232), 8 + 10 * (i - 232), 8 + 10 * (i - 232)};
    const auto step = [](int v) { return v == 0 ? 0 : 55 + 40 * v; };
    return {step((i - 16) / 36), step((i - 16) / 6 % 6), step((i - 16) % 6)};
}

/// Decodes half blocks: two pixels per character; a missing bottom row is black.
image decode_half_blocks(std::string_view text, std::size_t& odd) {
    reader in{text};
    std::vector<std::vector<std::array<int, 3>>> rows;
    odd = 0;
    while (!in.left.empty()) {
        std::array<int, 3> upper{-1, -1, -1}, lower{-1, -1, -1};
        rows.resize(rows.size() + 2);
        while (!in.take("\x1b[0m\n")) {
            if (in.take(half_block)) {
                rows[rows.size() - 2].push_back(upper);
                rows.back().push_back(lower);
                continue;
            }
            const bool is_upper = in.take("\x1b[38;");
            if (!is_upper) in.need("\x1b[48;");
            std::array<int, 3>& c = is_upper ? upper : lower;
            if (in.take("5;")) c = xterm_colour(in.number());
            else in.need("2;"), c[0] = in.number(), in.need(";"), c[1] = in.number(), in.need(";"), c[2] = in.number();
            in.need("m");
        }
    }
    pali::image made(rows.at(0).size(), rows.size());
    for (std::size_t y = 0; y < rows.size(); ++y) {
        if (rows[y].size() != made.width) throw std::runtime_error("rows of several lengths");
        for (std::size_t x = 0; x < made.width; ++x) {
            odd += rows[y][x][0] < 0;
            for (std::size_t c = 0; c < 3; ++c) made.at(x, y)[c] = static_cast<std::uint8_t>(std::max(rows[y][x][c], 0));
        }
    }
    return made;
}

pali::image decode_half_blocks(std::string_view text) {
    std::size_t odd = 0;
    return decode_half_blocks(text, odd);
}

int farthest(const image& a, const image& b) {
    int worst = a.pixels.size() == b.pixels.size() ? 0 : 999;
    for (std::size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); ++i)
        worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
    return worst;
}

pali::image slopes(std::size_t width, std::size_t height) {
    pali::image made(width, height);
    for (std::size_t y = 0; y < height; ++y)
        for (std::size_t x = 0; x < width; ++x) {
            made.at(x, y)[0] = static_cast<std::uint8_t>(x * 255 / width);
            made.at(x, y)[1] = static_cast<std::uint8_t>(y * 255 / height);
            made.at(x, y)[2] = static_cast<std::uint8_t>(255 - (x + y) * 255 / (width + height));
        }
    return made;
}

constexpr terminal_graphics all_kinds[] = {terminal_graphics::kitty, terminal_graphics::sixel, terminal_graphics::half_blocks,
                                           terminal_graphics::half_blocks_256};

pali::image decode(terminal_graphics kind, std::string_view text) {
    if (kind == terminal_graphics::kitty) return decode_kitty(text).image;
    return kind == terminal_graphics::sixel ? decode_sixel(text).image : decode_half_blocks(text);
}

} // namespace

BOOST_AUTO_TEST_CASE(kitty_gets_every_pixel) {
    for (const auto& [width, height] : {std::pair<std::size_t, std::size_t>{1, 1}, {37, 29}, {300, 200}, {1, 90}, {400, 1}}) {
        const pali::image image = pattern(width, height);
        const kitty_image read = decode_kitty(pali::to_terminal(image, terminal_graphics::kitty, large));
        BOOST_TEST((read.image == image));
        BOOST_TEST(static_cast<std::size_t>(read.columns) == (width + 9) / 10);
    }
    BOOST_TEST(decode_kitty(pali::to_terminal(pattern(300, 200), terminal_graphics::kitty, large)).chunks > 2u);
}

BOOST_AUTO_TEST_CASE(sixel_keeps_up_to_256_colours) {
    for (const auto& [width, height] : {std::pair<std::size_t, std::size_t>{1, 1}, {5, 6}, {7, 7}, {64, 4}, {33, 12}, {400, 1}, {1, 77}}) {
        pali::image image(width, height);
        for (std::size_t i = 0; i < width * height; ++i) {
            const auto v = static_cast<std::uint8_t>(i % 256);
            image.pixels[i * 3] = v;
            image.pixels[i * 3 + 1] = static_cast<std::uint8_t>(v * 7);
            image.pixels[i * 3 + 2] = static_cast<std::uint8_t>(255 - v);
        }
        const sixel_image read = decode_sixel(pali::to_terminal(image, terminal_graphics::sixel, large));
        BOOST_TEST((read.image.width == width && read.image.height == height));
        BOOST_TEST(read.colours <= std::min<std::size_t>(256, width * height));
        BOOST_TEST(farthest(read.image, image) <= 2); // one percent is 2.55 levels
    }
    pali::image close(16, 16); // colors that differ by one percent
    for (std::size_t i = 0; i < 256; ++i) {
        close.pixels[i * 3] = static_cast<std::uint8_t>(100 + i % 16 * 3);
        close.pixels[i * 3 + 1] = static_cast<std::uint8_t>(100 + i / 16 * 3);
    }
    BOOST_TEST(farthest(decode_sixel(pali::to_terminal(close, terminal_graphics::sixel)).image, close) <= 2);
    // Long runs are encoded compactly.
    BOOST_TEST(pali::to_terminal(image(1000, 600), terminal_graphics::sixel, large).size() < 1500u);
}

BOOST_AUTO_TEST_CASE(sixel_is_near_with_more_colours) {
    const pali::image image = slopes(256, 180);
    const sixel_image read = decode_sixel(pali::to_terminal(image, terminal_graphics::sixel, large));
    BOOST_TEST_REQUIRE((read.image.width == 256 && read.image.height == 180));
    BOOST_TEST(read.colours == 256u);
    double sum = 0, worst = 0, all = 0;
    for (std::size_t i = 0; i < image.pixels.size(); ++i) sum += std::abs(read.image.pixels[i] - image.pixels[i]);
    BOOST_TEST(sum / static_cast<double>(image.pixels.size()) < 12); // 256 colors for a gradient in two directions: 16 steps each
    for (std::size_t top = 0; top + 12 <= 180; top += 12)            // the averages of areas are closer
        for (std::size_t left = 0; left + 16 <= 256; left += 16)
            for (std::size_t c = 0; c < 3; ++c) {
                double off = 0;
                for (std::size_t y = top; y < top + 12; ++y)
                    for (std::size_t x = left; x < left + 16; ++x) off += read.image.at(x, y)[c] - image.at(x, y)[c];
                worst = std::max(worst, std::abs(off) / (12 * 16));
                all += std::abs(off) / (12 * 16);
            }
    BOOST_TEST(worst < 4.2);
    BOOST_TEST(all / (15 * 16 * 3) < 0.55);
    const pali::image noise = pattern(200, 160);
    BOOST_TEST(decode_sixel(pali::to_terminal(noise, terminal_graphics::sixel, large)).colours == 256u);
}

BOOST_AUTO_TEST_CASE(half_blocks_are_two_pixels_a_character) {
    // Cells are twice as high as wide, so half blocks are square and small images are not resized.
    for (const auto& [width, height] : {std::pair<std::size_t, std::size_t>{1, 2}, {37, 28}, {80, 48}, {1, 1}, {9, 7}}) {
        const pali::image image = pattern(width, height);
        const std::string text = pali::to_terminal(image, terminal_graphics::half_blocks);
        std::size_t missing = 0, cells = 0;
        pali::image read = decode_half_blocks(text, missing);
        for (std::size_t at = text.find(half_block); at != text.npos; at = text.find(half_block, at + 1)) ++cells;
        BOOST_TEST(cells == width * ((height + 1) / 2));
        BOOST_TEST(missing == (height % 2 == 0 ? 0 : width)); // these pixels show the background of the terminal
        read.height = height;
        read.pixels.resize(width * height * 3);
        BOOST_TEST((read == image));
    }
    // A color is emitted only where it changes.
    const std::string plain = pali::to_terminal(image(80, 2), terminal_graphics::half_blocks);
    BOOST_TEST(plain.size() == 80 * half_block.size() + std::string_view("\x1b[38;2;0;0;0m\x1b[48;2;0;0;0m\x1b[0m\n").size());
}

BOOST_AUTO_TEST_CASE(half_blocks_in_256_colours_are_the_nearest) {
    const pali::image image = slopes(80, 48);
    const pali::image read = decode_half_blocks(pali::to_terminal(image, terminal_graphics::half_blocks_256));
    BOOST_TEST_REQUIRE((read.width == 80 && read.height == 48));
    for (std::size_t i = 0; i < 80 * 48; ++i) {
        const auto distance = [&](const std::array<int, 3>& c) {
            int sum = 0;
            for (std::size_t k = 0; k < 3; ++k) sum += (c[k] - image.pixels[i * 3 + k]) * (c[k] - image.pixels[i * 3 + k]);
            return sum;
        };
        int least = std::numeric_limits<int>::max();
        for (int c = 16; c < 256; ++c) least = std::min(least, distance(xterm_colour(c)));
        BOOST_TEST_REQUIRE(distance({read.pixels[i * 3], read.pixels[i * 3 + 1], read.pixels[i * 3 + 2]}) == least);
    }
}

BOOST_AUTO_TEST_CASE(images_fit_and_keep_their_shape) {
    const pali::terminal_size sizes[] = {
        {}, {.columns = 40, .rows = 30, .cell_width = 9, .cell_height = 19}, {1, 1, 8, 16}, {3, 50, 7, 30}};
    for (const auto& [width, height] :
         {std::pair<std::size_t, std::size_t>{1000, 700}, {300, 1200}, {3000, 2}, {2, 3000}, {640, 384}, {30, 20}})
        for (const pali::terminal_size& size : sizes) {
            const pali::image image = slopes(width, height);
            for (const terminal_graphics kind : all_kinds) {
                const bool blocks = kind == terminal_graphics::half_blocks || kind == terminal_graphics::half_blocks_256;
                const std::string text = pali::to_terminal(image, kind, size);
                const pali::image read = decode(kind, text);
                BOOST_TEST(read.width <= (blocks ? size.columns : size.columns * size.cell_width));
                BOOST_TEST(read.height <= (blocks ? size.rows * 2 : size.rows * size.cell_height));
                BOOST_TEST((read.width <= width && read.height <= height + 1));
                if (kind == terminal_graphics::kitty) BOOST_TEST(static_cast<std::size_t>(decode_kitty(text).columns) <= size.columns);
                // The aspect ratio is exact to half a pixel in each direction.
                const double stretch = blocks ? static_cast<double>(size.cell_height) / 2 / static_cast<double>(size.cell_width) : 1;
                const double w = static_cast<double>(read.width), h = static_cast<double>(read.height) * stretch;
                const double want = static_cast<double>(width) / static_cast<double>(height);
                const double slack = stretch * (blocks ? 1.5 : 0.5); // an odd last row is doubled
                if (read.width > 1 && read.height > (blocks ? 2u : 1u))
                    BOOST_TEST(((w + 0.5) / (h - slack) >= want && (w - 0.5) / (h + slack) <= want),
                               width << " x " << height << " as " << w << " x " << h);
            }
        }
}

BOOST_AUTO_TEST_CASE(nothing_but_pixels_gets_into_the_text) {
    for (const terminal_graphics kind : all_kinds) {
        const std::string text = pali::to_terminal(pattern(120, 90), kind);
        BOOST_TEST(text.ends_with('\n'));
        BOOST_TEST((text == pali::to_terminal(pattern(120, 90), kind)));
        for (std::size_t i = 0; i < text.size(); ++i) {
            const auto c = static_cast<unsigned char>(text[i]);
            const bool is_block = text.substr(i, 3) == half_block;
            if (is_block) i += 2;
            BOOST_TEST_REQUIRE((is_block || c == '\n' || c == 0x1b || (c >= 0x20 && c < 0x7f)));
            if (c == 0x1b) BOOST_TEST_REQUIRE((text[i + 1] == '[' || text[i + 1] == '_' || text[i + 1] == 'P' || text[i + 1] == '\\'));
        }
    }
}

BOOST_AUTO_TEST_CASE(sizes_out_of_range_say_so) {
    const int invalid = number(errc::invalid_argument);
    pali::image short_of_bytes(4, 4);
    short_of_bytes.pixels.pop_back();
    for (const terminal_graphics kind : all_kinds) {
        BOOST_TEST(error_of([&] { (void)pali::to_terminal(image(), kind); }) == invalid);
        BOOST_TEST(error_of([&] { (void)pali::to_terminal(short_of_bytes, kind); }) == invalid);
        for (const pali::terminal_size& size :
             {pali::terminal_size{0, 24, 8, 16}, {80, 0, 8, 16}, {80, 24, 0, 16}, {80, 24, 8, 0}, {1001, 24, 8, 16}, {80, 24, 101, 16}})
            BOOST_TEST(error_of([&] { (void)pali::to_terminal(image(4, 4), kind, size); }) == invalid);
    }
}

BOOST_AUTO_TEST_CASE(environments_are_known) {
    using enum terminal_graphics;
    struct row {
        pali::terminal_environment environment;
        std::optional<terminal_graphics> want;
    };
    const auto with = [](auto... set) {
        pali::terminal_environment e;
        (set(e), ...);
        return e;
    };
    const auto term = [](std::string_view v) { return [v](auto& e) { e.term = v; }; };
    const auto program = [](std::string_view v) { return [v](auto& e) { e.term_program = v; }; };
    const auto truecolor = [](auto& e) { e.colorterm = "truecolor"; };
    const auto kitty_window = [](auto& e) { e.kitty_window_id = "1"; };
    const auto konsole = [](std::string_view v) { return [v](auto& e) { e.konsole_version = v; }; };
    const auto windows = [](auto& e) { e.wt_session = "0b0c"; };
    const auto tmux = [](auto& e) { e.tmux = "/run/tmux,1,0"; };
    const row rows[] = {
        {with(), {}},
        {with(term("dumb"), truecolor), {}},
        {with(term("xterm-256color")), half_blocks_256},
        {with(term("xterm-256color"), truecolor), half_blocks},
        {with(term("xterm-direct")), half_blocks},
        {with(term("xterm-kitty")), kitty},
        {with(term("xterm-256color"), kitty_window), kitty},
        {with(term("xterm-ghostty")), kitty},
        {with(term("xterm-256color"), truecolor, konsole("220401")), kitty},
        {with(term("xterm-256color"), truecolor, konsole("211203")), half_blocks},
        {with(term("foot")), sixel},
        {with(term("foot-extra")), sixel},
        {with(term("mlterm")), sixel},
        {with(term("xterm-256color"), program("WezTerm")), sixel},
        {with(term("xterm-256color"), program("iTerm.app")), sixel},
        {with(term("xterm-256color"), program("Apple_Terminal")), half_blocks_256},
        {with(term("xterm-256color"), program("vscode"), truecolor), half_blocks},
        {with(windows), half_blocks},
        {with(term("alacritty")), half_blocks},
        {with(term("tmux-256color"), kitty_window), half_blocks_256},
        {with(term("screen.xterm-256color"), truecolor, kitty_window), half_blocks},
        {with(term("xterm-kitty"), kitty_window, truecolor, tmux), half_blocks},
    };
    for (const row& r : rows)
        BOOST_TEST((pali::guess_graphics(r.environment) == r.want), r.environment.term << ' ' << r.environment.term_program);
}

BOOST_AUTO_TEST_CASE(replies_are_read) {
    using enum terminal_graphics;
    struct row {
        std::string_view reply;
        std::optional<terminal_graphics> want;
        bool whole;
    };
    const row rows[] = {
        {"", {}, false},
        {"\x1b[?62;4;22c", sixel, true}, // a VT220 with sixel
        {"\x1b[?4c", sixel, true},
        {"\x1b[?62;22;4c", sixel, true},
        {"\x1b[?62;22c", {}, true},
        {"\x1b[?64;14;40c", {}, true}, // 4 is a parameter, not a digit
        {"\x1b[?62;4;22", {}, false},  // incomplete
        {"\x1b[?c", {}, true},
        {"\x1b_Gi=31;OK\x1b\\\x1b[?62;c", kitty, true},
        {"\x1b_Gi=31;OK\x1b\\\x1b[?62;4c", kitty, true},
        {"\x1b_Gi=31;OK\x1b\\", kitty, false},
        {"\x1b_Gi=31;OK", {}, false},
        {"\x1b_Gi=31;ENOENT:no\x1b\\\x1b[?62;4c", sixel, true},
        {"\x1b_Gi=3;OK\x1b\\\x1b[?62c", {}, true}, // a reply to another query
        {"\x1b_Gi=31;OKAY\x1b\\\x1b[?62c", {}, true},
        {"typed\x1b[?62;4c", sixel, true},
        {"\x1b[?62;4cq", sixel, true},
        {"\x1b[?62;4c\x1b[?2026;2$y", sixel, true}, // followed by the reply to another query
        {"4c", {}, false},
    };
    for (const row& r : rows) {
        BOOST_TEST((pali::read_reply(r.reply) == r.want), r.reply.substr(std::min<std::size_t>(1, r.reply.size())));
        BOOST_TEST(pali::is_reply_whole(r.reply) == r.whole, r.reply.substr(std::min<std::size_t>(1, r.reply.size())));
    }
    BOOST_TEST(pali::graphics_query.ends_with("\x1b[c")); // the query that every terminal answers is last
    std::mt19937 random(3);
    for (int i = 0; i < 20000; ++i) {
        std::string reply(random() % 24, ' ');
        for (char& c : reply) c = "\x1b\\[?_G=i31;OKc40\x9c"[random() % 17];
        if (pali::read_reply(reply).has_value()) BOOST_TEST_REQUIRE((pali::is_reply_whole(reply) || reply.find("OK") != reply.npos));
    }
}

BOOST_AUTO_TEST_SUITE_END()
