/* Tests of pali.h from C.   usage: test_capi SOURCE_FOLDER
 * The embedded model's answers are compared with transformers' in float32, from tests/data/scenes/scenes.json. */
#include <pali/pali.h>
#include <pali/pali.h> /* self-contained, and with an include guard */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition)                                                                                                                   \
    do {                                                                                                                                   \
        if (!(condition)) {                                                                                                                \
            ++failures;                                                                                                                    \
            printf("%s:%d: %s   [%s]\n", __FILE__, __LINE__, #condition, pali_last_error());                                               \
        }                                                                                                                                  \
    } while (0)

/* Checks that the call fails with this code and that the message begins with the code and contains the word. */
#define CHECK_FAILS(code, word, call)                                                                                                      \
    do {                                                                                                                                   \
        const pali_status got = (call);                                                                                                    \
        char begin[16];                                                                                                                    \
        sprintf(begin, "[pali.%d] ", (int)(code));                                                                                         \
        if (got != (code) || strncmp(pali_last_error(), begin, strlen(begin)) != 0 || strstr(pali_last_error(), word) == NULL) {           \
            ++failures;                                                                                                                    \
            printf("%s:%d: %s: code %d for %d, message \"%s\" without \"%s\"\n", __FILE__, __LINE__, #call, (int)got, (int)(code),         \
                   pali_last_error(), word);                                                                                               \
        }                                                                                                                                  \
    } while (0)

static const char* source;

static const char* in_source(const char* name) {
    static char path[4][1024]; /* rotating buffers: enough for one call */
    static int next = 0;
    char* out = path[next++ % 4];
    sprintf(out, "%.500s/%.500s", source, name);
    return out;
}

static const char* const caption = "a yellow cross, a green star and a blue triangle on a pink background";

static const char* text_of(const pali_answer* answer) {
    const char* text = NULL;
    CHECK(pali_answer_text(answer, &text, NULL) == PALI_OK);
    return text != NULL ? text : "";
}

static int32_t stop_of(const pali_answer* answer) {
    int32_t why = -1;
    CHECK(pali_answer_stop(answer, &why) == PALI_OK);
    return why;
}

/* What the callbacks received, and when they stop. */
typedef struct seen {
    char text[512];
    size_t pieces, progress, stop_after; /* pieces; 0: never */
    char stages[256];
    pali_model* asked_again;
    pali_status again;
} seen;

static int on_text(const char* utf8, size_t size, void* user) {
    seen* s = user;
    strncat(s->text, utf8, size);
    if (s->asked_again != NULL) {
        pali_image* dot = NULL;
        pali_answer* answer = NULL;
        const uint8_t red[3] = {255, 0, 0};
        CHECK(pali_image_from_rgb(red, 1, 1, 0, &dot) == PALI_OK);
        s->again = pali_find(s->asked_again, dot, PALI_BOXES, "shape", NULL, &answer);
        CHECK(answer == NULL);
        pali_image_free(dot);
    }
    return ++s->pieces != s->stop_after;
}

static int on_progress(const char* stage, double fraction, void* user) {
    seen* s = user;
    CHECK(fraction >= 0 && fraction <= 1);
    ++s->progress;
    if (strstr(s->stages, stage) == NULL) strcat(strcat(s->stages, stage), " ");
    return s->stop_after == 0 || s->progress != s->stop_after;
}

static void versions(void) {
    char header[32];
    sprintf(header, "%d.%d.%d", PALI_VERSION_MAJOR, PALI_VERSION_MINOR, PALI_VERSION_PATCH);
    CHECK(strcmp(pali_version(), header) == 0);
}

static void captions(pali_model* model, const pali_image* photo) {
    pali_answer* answer = NULL;
    const int32_t* tokens = NULL;
    const float* logprobs = NULL;
    size_t count = 0, size = 0;
    const char* text = NULL;
    CHECK(pali_generate(model, &photo, 1, "caption en", NULL, &answer) == PALI_OK);
    CHECK(pali_answer_text(answer, &text, &size) == PALI_OK && size == strlen(caption));
    CHECK(text != NULL && strcmp(text, caption) == 0);
    CHECK(stop_of(answer) == PALI_STOP_EOS);
    CHECK(pali_answer_tokens(answer, &tokens, &logprobs, &count) == PALI_OK && count == 50);
    CHECK(tokens != NULL && tokens[0] == 1459 && tokens[count - 1] == 1);
    CHECK(logprobs != NULL && logprobs[0] <= 0 && logprobs[0] > -1);
    CHECK(pali_answer_object_count(answer, &count) == PALI_OK && count == 0);
    pali_answer_free(answer);

    { /* options that must not change a greedy answer, then one that must */
        pali_options options = {
            .size = sizeof(pali_options), .num_beams = 2, .early_stopping = 1, .repetition_penalty = 1, .top_p = 0.5f, .seed = 7};
        CHECK(pali_generate(model, &photo, 1, "caption en", &options, &answer) == PALI_OK && strcmp(text_of(answer), caption) == 0);
        pali_answer_free(answer);
        memset(&options, 0, sizeof options);
        options.size = sizeof options;
        options.max_new_tokens = 3;
        CHECK(pali_generate(model, &photo, 1, "caption en", &options, &answer) == PALI_OK && stop_of(answer) == PALI_STOP_LENGTH);
        CHECK(pali_answer_tokens(answer, NULL, NULL, &count) == PALI_OK && count == 3);
        pali_answer_free(answer);
    }
    { /* sampling: the same seed repeats the text, another seed changes it */
        pali_options options = {
            .size = sizeof(pali_options), .temperature = 3, .top_k = 50, .top_p = 0.99f, .min_p = 0.001f, .seed = 7, .max_new_tokens = 30};
        pali_answer *same = NULL, *other = NULL;
        CHECK(pali_generate(model, &photo, 1, "caption en", &options, &answer) == PALI_OK);
        CHECK(pali_generate(model, &photo, 1, "caption en", &options, &same) == PALI_OK);
        options.seed = 8;
        CHECK(pali_generate(model, &photo, 1, "caption en", &options, &other) == PALI_OK);
        CHECK(strcmp(text_of(answer), text_of(same)) == 0 && strcmp(text_of(answer), text_of(other)) != 0);
        pali_answer_free(answer), pali_answer_free(same), pali_answer_free(other);
    }
    { /* typical sampling changes what is drawn, and a penalty of length what a beam search finds */
        pali_options options = {.size = sizeof(pali_options), .temperature = 3, .seed = 7, .max_new_tokens = 30};
        pali_answer *plain = NULL, *typical = NULL, *longer = NULL, *shorter = NULL;
        CHECK(pali_generate(model, &photo, 1, "caption en", &options, &plain) == PALI_OK);
        options.typical_p = 0.01f;
        CHECK(pali_generate(model, &photo, 1, "caption en", &options, &typical) == PALI_OK);
        CHECK(strcmp(text_of(plain), text_of(typical)) != 0);
        memset(&options, 0, sizeof options);
        options.size = sizeof options, options.num_beams = 8, options.length_penalty = 20;
        CHECK(pali_generate(model, &photo, 1, "caption en", &options, &longer) == PALI_OK);
        options.length_penalty = -20;
        CHECK(pali_generate(model, &photo, 1, "caption en", &options, &shorter) == PALI_OK);
        CHECK(strlen(text_of(longer)) > strlen(text_of(shorter)));
        pali_answer_free(plain), pali_answer_free(typical), pali_answer_free(longer), pali_answer_free(shorter);
    }
    { /* two images are not one */
        const pali_image* both[2];
        pali_image* second = NULL;
        CHECK(pali_image_read(in_source("examples/models/shapes/images/cross_and_ring.png"), NULL, &second) == PALI_OK);
        both[0] = second, both[1] = photo;
        CHECK(pali_generate(model, both, 2, "caption en", NULL, &answer) == PALI_OK && text_of(answer)[0] != '\0');
        pali_answer_free(answer);
        CHECK(pali_generate(model, both, 1, "caption en", NULL, &answer) == PALI_OK);
        CHECK(strcmp(text_of(answer), "a red cross and a yellow ring on a teal background") == 0);
        pali_answer_free(answer);
        pali_image_free(second);
    }
}

static void streams(pali_model* model, const pali_image* photo) {
    pali_answer* answer = NULL;
    seen all = {{0}, 0, 0, 0, {0}, NULL, PALI_OK}, few = all, none = all, nested = all;
    pali_options options = {.size = sizeof(pali_options), .on_text = on_text, .on_progress = on_progress, .user = &all};
    CHECK(pali_generate(model, &photo, 1, "caption en", &options, &answer) == PALI_OK);
    CHECK(strcmp(all.text, caption) == 0 && all.pieces > 5 && strcmp(all.stages, "image prefill decode ") == 0);
    pali_answer_free(answer);

    few.stop_after = 3;
    options.on_progress = NULL;
    options.user = &few;
    CHECK(pali_generate(model, &photo, 1, "caption en", &options, &answer) == PALI_OK);
    CHECK(few.pieces == 3 && stop_of(answer) == PALI_STOP_CANCELLED);
    CHECK(strlen(few.text) < strlen(caption) && strncmp(few.text, caption, strlen(few.text)) == 0 &&
          strcmp(text_of(answer), few.text) == 0);
    pali_answer_free(answer);

    none.stop_after = 1;
    options.on_text = NULL;
    options.on_progress = on_progress;
    options.user = &none;
    CHECK(pali_generate(model, &photo, 1, "caption en", &options, &answer) == PALI_OK);
    CHECK(none.progress == 1 && stop_of(answer) == PALI_STOP_CANCELLED && text_of(answer)[0] == '\0');
    pali_answer_free(answer);
    none.progress = 0;
    CHECK_FAILS(PALI_CANCELLED, "callback", pali_find(model, photo, PALI_BOXES, "shape", &options, &answer));
    CHECK(answer == NULL);

    nested.asked_again = model;
    options.on_text = on_text;
    options.on_progress = NULL;
    options.user = &nested;
    CHECK(pali_generate(model, &photo, 1, "caption en", &options, &answer) == PALI_OK && strcmp(text_of(answer), caption) == 0);
    CHECK(nested.again == PALI_INVALID_ARGUMENT);
    pali_answer_free(answer);
}

/* Checks the objects of an answer. `masks`: each must have a non-empty mask of the image's size. */
static void check_objects(const pali_answer* answer, const pali_image* photo, size_t want, const char* label, int masks) {
    size_t count = 0, width = 0, height = 0, i, p;
    CHECK(pali_image_size(photo, &width, &height) == PALI_OK && width == 112 && height == 112);
    CHECK(pali_answer_object_count(answer, &count) == PALI_OK && count == want);
    for (i = 0; i < count; ++i) {
        pali_object o;
        size_t inside = 0, outside_box = 0;
        o.size = sizeof o;
        CHECK(pali_answer_object(answer, i, &o) == PALI_OK && o.size == sizeof o);
        CHECK(i > 0 || strcmp(o.label, label) == 0);
        CHECK(o.score > 0.1f && o.score <= 1 && o.x0 >= 0 && o.x0 < o.x1 && o.x1 <= 112 && o.y0 >= 0 && o.y0 < o.y1 && o.y1 <= 112);
        CHECK((o.mask != NULL) == masks);
        if (o.mask == NULL) {
            CHECK(o.mask_width == 0 && o.mask_height == 0);
            continue;
        }
        CHECK(o.mask_width == width && o.mask_height == height);
        for (p = 0; p < width * height; ++p)
            if (o.mask[p] >= 128) {
                const float x = (float)(p % width), y = (float)(p / width);
                ++inside;
                outside_box += x + 1 < o.x0 || x > o.x1 || y + 1 < o.y0 || y > o.y1;
            }
        CHECK(inside > 50 && outside_box == 0);
    }
}

static void finds(pali_model* model, const pali_image* photo) {
    pali_answer* answer = NULL;
    pali_object o;
    pali_options options = {.size = sizeof(pali_options), .constrained = 1};
    CHECK(pali_find(model, photo, PALI_BOXES, "blue triangle", NULL, &answer) == PALI_OK);
    CHECK(strcmp(text_of(answer), "<loc0192><loc0694><loc0393><loc0886> blue triangle") == 0);
    check_objects(answer, photo, 1, "blue triangle", 0);
    o.size = sizeof o; /* transformers' coordinates, in 1/1024 of an image of 112 pixels */
    CHECK(pali_answer_object(answer, 0, &o) == PALI_OK && o.y0 == 192 * 112 / 1024.f && o.x0 == 694 * 112 / 1024.f &&
          o.y1 == 393 * 112 / 1024.f && o.x1 == 886 * 112 / 1024.f);
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "index is 1", pali_answer_object(answer, 1, &o));
    CHECK(o.size == sizeof o && o.label == NULL && o.score == 0);
    o.size = 0;
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "sizeof", pali_answer_object(answer, 0, &o));
    { /* a newer caller with a longer struct */
        struct {
            pali_object now;
            uint64_t later[2];
        } newer;
        memset(&newer, 0xff, sizeof newer);
        newer.now.size = sizeof newer;
        CHECK(pali_answer_object(answer, 0, &newer.now) == PALI_OK && newer.now.size == sizeof newer &&
              newer.now.x0 == 694 * 112 / 1024.f && newer.later[0] == 0 && newer.later[1] == 0);
    }
    pali_answer_free(answer);

    CHECK(pali_find(model, photo, PALI_BOXES, "shape", NULL, &answer) == PALI_OK);
    check_objects(answer, photo, 3, "yellow cross", 0);
    pali_answer_free(answer);

    CHECK(pali_find(model, photo, PALI_BOXES, "blue triangle", &options, &answer) == PALI_OK);
    check_objects(answer, photo, 1, "blue triangle", 0);
    pali_answer_free(answer);

    CHECK(pali_find(model, photo, PALI_MASKS, "blue triangle", NULL, &answer) == PALI_OK);
    CHECK(strncmp(text_of(answer), "<loc0192><loc0694><loc0393><loc0886><seg050><seg025>", 52) == 0);
    check_objects(answer, photo, 1, "blue triangle", 1);
    pali_answer_free(answer);
}

static void images(pali_model* model, const char* path) {
    static unsigned char bytes[1 << 16];
    static uint8_t padded[4 * 8], tight[3 * 2 * 2] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    pali_image* image = NULL;
    pali_answer* answer = NULL;
    const pali_image* one;
    size_t size, width = 1, height = 1;
    FILE* file = fopen(path, "rb");
    CHECK(file != NULL);
    size = file != NULL ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (file != NULL) fclose(file);
    CHECK(pali_image_decode(bytes, size, NULL, &image) == PALI_OK);
    one = image;
    CHECK(pali_generate(model, &one, 1, "caption en", NULL, &answer) == PALI_OK && strcmp(text_of(answer), caption) == 0);
    pali_answer_free(answer);
    pali_image_free(image);
    CHECK_FAILS(PALI_MALFORMED_IMAGE, "", pali_image_decode(bytes, size / 2, NULL, &image));
    CHECK(image == NULL);
    CHECK_FAILS(PALI_UNSUPPORTED_IMAGE, "", pali_image_decode("no image at all", 17, NULL, &image));
    CHECK_FAILS(PALI_CANNOT_OPEN, "nowhere.png", pali_image_read("nowhere.png", NULL, &image));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "null", pali_image_decode(NULL, 3, NULL, &image));
    CHECK(pali_image_decode(bytes, 0, NULL, &image) != PALI_OK && image == NULL);

    CHECK(pali_image_from_rgb(tight, 2, 2, 0, &image) == PALI_OK);
    CHECK(pali_image_size(image, &width, NULL) == PALI_OK && pali_image_size(image, NULL, &height) == PALI_OK && width == 2 && height == 2);
    pali_image_free(image);
    CHECK(pali_image_from_rgb(padded, 2, 4, 8, &image) == PALI_OK);
    pali_image_free(image);
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "row_bytes", pali_image_from_rgb(tight, 2, 2, 5, &image));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "0 x 2", pali_image_from_rgb(tight, 0, 2, 0, &image));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "pixels is null", pali_image_from_rgb(NULL, 2, 2, 0, &image));
    CHECK_FAILS(PALI_IMAGE_TOO_LARGE, "allowed", pali_image_from_rgb(tight, 50000, 50000, 0, &image));
    CHECK_FAILS(PALI_IMAGE_TOO_LARGE, "allowed", pali_image_from_rgb(tight, (size_t)-1, (size_t)-1, 0, &image));
    CHECK(image == NULL);
}

/* orientation_6.png is stored as 12 x 7 pixels. */
static void image_options(void) {
    const char* const turned = in_source("tests/data/images/orientation_6.png");
    pali_image_options options = {.size = sizeof(pali_image_options)};
    pali_image* image = NULL;
    size_t width = 0, height = 0;
    CHECK(pali_image_read(turned, NULL, &image) == PALI_OK && pali_image_size(image, &width, &height) == PALI_OK && width == 7 &&
          height == 12);
    pali_image_free(image);
    CHECK(pali_image_read(turned, &options, &image) == PALI_OK && pali_image_size(image, &width, &height) == PALI_OK && width == 7 &&
          height == 12);
    pali_image_free(image);
    options.keep_exif_orientation = 1;
    CHECK(pali_image_read(turned, &options, &image) == PALI_OK && pali_image_size(image, &width, &height) == PALI_OK && width == 12 &&
          height == 7);
    pali_image_free(image);
    options.max_side = 11;
    CHECK_FAILS(PALI_IMAGE_TOO_LARGE, "max_side", pali_image_read(turned, &options, &image));
    options.max_side = 12;
    options.max_pixels = 83;
    CHECK_FAILS(PALI_IMAGE_TOO_LARGE, "max_pixels", pali_image_read(turned, &options, &image));
    options.max_pixels = 84;
    CHECK(pali_image_read(turned, &options, &image) == PALI_OK);
    pali_image_free(image);
    { /* an image over the default limit: P5, 65501 x 1 */
        static unsigned char wide[13 + 65501 + 8];
        const size_t start = (size_t)sprintf((char*)wide, "P5 65501 1 255\n");
        memset(&options, 0, sizeof options);
        options.size = sizeof options;
        CHECK_FAILS(PALI_IMAGE_TOO_LARGE, "max_side", pali_image_decode(wide, start + 65501, NULL, &image));
        options.max_side = 65501;
        CHECK(pali_image_decode(wide, start + 65501, &options, &image) == PALI_OK && pali_image_size(image, &width, NULL) == PALI_OK &&
              width == 65501);
        pali_image_free(image);
    }
    options.reserved = 1;
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "pali_image_options", pali_image_read(turned, &options, &image));
    options.size = sizeof(void*);
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "size is 8", pali_image_read(turned, &options, &image));
}

static void models(const char* shapes, const pali_image* photo) {
    pali_model* model = NULL;
    pali_answer* answer = NULL;
    int32_t weights;
    seen loading = {{0}, 0, 0, 1, {0}, NULL, PALI_OK};
    pali_model_options options = {.size = sizeof(pali_model_options), .threads = 1, .residency = PALI_RESIDENT, .kv_cache = PALI_KV_BF16};
    for (weights = PALI_WEIGHTS_STORED; weights <= PALI_WEIGHTS_INT4; ++weights) {
        options.weights = weights;
        CHECK(pali_model_open(shapes, &options, &model) == PALI_OK);
        CHECK(pali_generate(model, &photo, 1, "caption en", NULL, &answer) == PALI_OK && strcmp(text_of(answer), caption) == 0);
        pali_answer_free(answer);
        pali_model_close(model);
    }
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "weights is 5", (options.weights = 5, pali_model_open(shapes, &options, &model)));
    CHECK(model == NULL);
    options.weights = 0;
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "residency is -1", (options.residency = -1, pali_model_open(shapes, &options, &model)));
    options.residency = 0;
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "size is 8", (options.size = sizeof(void*), pali_model_open(shapes, &options, &model)));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "sizeof", (options.size = (size_t)-1, pali_model_open(shapes, &options, &model)));
    options.size = sizeof options;
    options.on_progress = on_progress;
    options.user = &loading;
    CHECK_FAILS(PALI_CANCELLED, "", pali_model_open(shapes, &options, &model));
    CHECK(strcmp(loading.stages, "load ") == 0 && model == NULL);
    options.on_progress = NULL;
    { /* a caller with a newer pali.h: unknown fields that are zero are accepted, others are an error */
        struct {
            pali_model_options now;
            uint64_t later;
        } newer = {{0}, 0};
        newer.now.size = sizeof newer;
        CHECK(pali_model_open(shapes, &newer.now, &model) == PALI_OK);
        pali_model_close(model);
        newer.later = 1;
        CHECK_FAILS(PALI_INVALID_ARGUMENT, "does not have", pali_model_open(shapes, &newer.now, &model));
    }
    options.mask_decoder = "nowhere.npz";
    CHECK(pali_model_open(shapes, &options, &model) == PALI_OK);
    CHECK_FAILS(PALI_CANNOT_OPEN, "nowhere.npz", pali_find(model, photo, PALI_MASKS, "shape", NULL, &answer));
    pali_model_close(model);

    CHECK_FAILS(PALI_CANNOT_OPEN, "nowhere", pali_model_open("nowhere", NULL, &model));
    CHECK_FAILS(PALI_CANNOT_OPEN, "", pali_model_open("", NULL, &model));
    CHECK(pali_model_open(in_source("tests"), NULL, &model) != PALI_OK && model == NULL && pali_last_error()[0] != '\0');
}

static void nulls_and_limits(const pali_image* photo) {
    pali_model* model = NULL;
    pali_image* image = NULL;
    pali_answer* answer = NULL;
    const pali_image* none = NULL;
    const char* text = "";
    const float probability = 0, *logprobs = &probability;
    const int32_t token = 0, *tokens = &token;
    size_t count = 1;
    int32_t why = 1;
    pali_object object;
    pali_options options = {.size = sizeof(pali_options)};
    object.size = sizeof object;
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "folder is null", pali_model_open(NULL, NULL, &model));
    CHECK(model == NULL);
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "model is null", pali_model_open("x", NULL, NULL));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "path is null", pali_image_read(NULL, NULL, &image));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "image is null", pali_image_read("x", NULL, NULL));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "image is null", pali_image_decode("x", 1, NULL, NULL));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "image is null", pali_image_from_rgb((const uint8_t*)"xyz", 1, 1, 0, NULL));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "image is null", pali_image_size(NULL, &count, NULL));
    CHECK(count == 0);
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "model is null", pali_generate(NULL, &photo, 1, "caption en", NULL, &answer));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "images is null", pali_generate(NULL, NULL, 1, "caption en", NULL, &answer));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "image is null", pali_generate(NULL, &none, 1, "caption en", NULL, &answer));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "count is 0", pali_generate(NULL, &photo, 0, "caption en", NULL, &answer));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "prompt is null", pali_generate(NULL, &photo, 1, NULL, NULL, &answer));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "answer is null", pali_generate(NULL, &photo, 1, "caption en", NULL, NULL));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "model is null", pali_find(NULL, photo, PALI_BOXES, "shape", NULL, &answer));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "image is null", pali_find(NULL, NULL, PALI_BOXES, "shape", NULL, &answer));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "things is null", pali_find(NULL, photo, PALI_BOXES, NULL, NULL, &answer));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "what is 2", pali_find(NULL, photo, 2, "shape", NULL, &answer));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "answer is null", pali_find(NULL, photo, PALI_BOXES, "shape", NULL, NULL));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "answer is null", pali_answer_text(NULL, &text, NULL));
    CHECK(text == NULL && answer == NULL);
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "text is null", pali_answer_text(NULL, NULL, &count));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "answer is null", pali_answer_tokens(NULL, &tokens, &logprobs, &count));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "count is null", pali_answer_tokens(NULL, &tokens, &logprobs, NULL));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "answer is null", pali_answer_stop(NULL, &why));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "why is null", pali_answer_stop(NULL, NULL));
    CHECK(why == 0 && tokens == NULL && logprobs == NULL);
    count = 1;
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "answer is null", pali_answer_object_count(NULL, &count));
    CHECK(count == 0);
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "count is null", pali_answer_object_count(NULL, NULL));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "answer is null", pali_answer_object(NULL, 0, &object));
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "object is null", pali_answer_object(NULL, 0, NULL));
    pali_model_close(NULL), pali_image_free(NULL), pali_answer_free(NULL);

    CHECK(pali_model_open(in_source("examples/models/shapes"), NULL, &model) == PALI_OK);
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "top_p", (options.top_p = 2, pali_generate(model, &photo, 1, "caption en", &options, &answer)));
    options.top_p = 0;
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "num_beams",
                (options.num_beams = 2, options.temperature = 1, pali_generate(model, &photo, 1, "caption en", &options, &answer)));
    options.num_beams = 0, options.temperature = 0;
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "typical_p is 2",
                (options.typical_p = 2, pali_generate(model, &photo, 1, "caption en", &options, &answer)));
    /* a caller of the first version, whose struct ends before typical_p */
    options.size = offsetof(pali_options, typical_p);
    CHECK(sizeof(void*) != 8 || options.size == 96);
    CHECK(pali_generate(model, &photo, 1, "caption en", &options, &answer) == PALI_OK && strcmp(text_of(answer), caption) == 0);
    pali_answer_free(answer);
    options.size = sizeof options, options.typical_p = 0;
    CHECK_FAILS(PALI_INVALID_ARGUMENT, "max_new_tokens",
                (options.max_new_tokens = (size_t)-1, pali_generate(model, &photo, 1, "caption en", &options, &answer)));
    options.max_new_tokens = 0;
    CHECK(pali_generate(model, &photo, 1, "caption en", &options, &answer) == PALI_OK && strcmp(text_of(answer), caption) == 0);
    pali_answer_free(answer);
    pali_model_close(model);
}

int main(int count, char** words) {
    pali_model* model = NULL;
    pali_image* photo = NULL;
    const char *shapes, *image;
    if (count != 2) return printf("usage: test_capi SOURCE_FOLDER\n"), 2;
    source = words[1];
    shapes = in_source("examples/models/shapes");
    image = in_source("tests/data/scenes/000.png");
    CHECK(pali_last_error()[0] == '\0');
    versions();
    CHECK(pali_model_open(shapes, NULL, &model) == PALI_OK);
    CHECK(pali_image_read(image, NULL, &photo) == PALI_OK);
    if (failures == 0) {
        captions(model, photo);
        streams(model, photo);
        finds(model, photo);
        images(model, in_source("tests/data/scenes/000.png"));
        image_options();
        pali_model_close(model);
        models(in_source("examples/models/shapes"), photo);
        nulls_and_limits(photo);
        pali_image_free(photo);
    }
    printf(failures == 0 ? "all as it should be\n" : "%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
