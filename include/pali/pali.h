/** @file
 * pali in C: PaliGemma and PaliGemma 2 behind opaque handles and status codes. Link libpali; docs/c_api.md has a page of examples.
 *
 * Errors:   a function that can fail returns a pali_status, PALI_OK being 0; pali_last_error() says what was wrong and what to do.
 * Exceptions do not leave the library, and a null pointer where something is needed is PALI_INVALID_ARGUMENT. After a failure every output
 * is null or 0. Lifetime: what a function returns by a pointer to a handle belongs to the caller, who closes or frees it. What is read out
 * of a handle (text, tokens, pixels of a mask) lives as long as that handle. Arguments are not kept after the call, callbacks neither.
 * Threads:  every function may be called from any thread. Calls on one model wait for each other, two models run side by side; images and
 * answers do not change, so many threads may read one. Closing or freeing something while another call uses it is the caller's mistake.
 * Strings:  UTF-8, ended by a zero byte; paths as well.
 * Options:  structs that begin with their own size and may grow at their end; each member means its default when it is 0, and a null
 * pointer in place of the struct means all defaults: pali_options options = {.size = sizeof(pali_options), .max_new_tokens = 50}. */
#pragma once

#include <pali/version.hpp> /* PALI_VERSION_MAJOR, PALI_VERSION_MINOR, PALI_VERSION_PATCH: those of this header */

#include <stddef.h>
#include <stdint.h>

/** @def PALI_API
 * What the library exports. */
#if defined(_WIN32) && defined(PALI_BUILDS_C)
#  define PALI_API __declspec(dllexport)
#elif defined(_WIN32)
#  define PALI_API __declspec(dllimport)
#elif defined(__GNUC__)
#  define PALI_API __attribute__((visibility("default")))
#else
#  define PALI_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** What went wrong. The numbers are stable, and from 101 on those of pali::errc; later versions may have more. */
typedef enum pali_status {
    PALI_OK = 0,                    /**< nothing */
    PALI_OUT_OF_MEMORY = 1,         /**< as it says; the model goes on */
    PALI_UNKNOWN_ERROR = 2,         /**< none of the others; the message says what is known */
    PALI_INVALID_ARGUMENT = 101,    /**< null, or outside what the call allows */
    PALI_UNKNOWN_VARIANT = 102,     /**< no configuration of that name: not from these functions */
    PALI_CAPACITY_EXCEEDED = 103,   /**< a sequence is longer than its key-value cache: not from these functions */
    PALI_CANCELLED = 104,           /**< a callback stopped a load, or pali_find while it encoded the image */
    PALI_TOO_FEW_THREADS = 105,     /**< the system starts no more threads */
    PALI_CANNOT_OPEN = 201,         /**< a file or folder is missing or cannot be read */
    PALI_MALFORMED_FILE = 202,      /**< the contents contradict the file's format */
    PALI_UNSUPPORTED_FORMAT = 203,  /**< a known format in a form that is not read */
    PALI_CANNOT_WRITE = 204,        /**< a file cannot be written */
    PALI_CHECKPOINT_MISMATCH = 301, /**< tensors missing, unexpected or of another shape */
    PALI_CONFIG_MISMATCH = 302,     /**< config.json differs from what is needed */
    PALI_MALFORMED_CONFIG = 303,    /**< config.json is no JSON, lacks a field, or holds a value of the wrong kind */
    PALI_UNSUPPORTED_CONFIG = 304,  /**< a model that is valid but of a kind that is not run */
    PALI_MALFORMED_IMAGE = 401,     /**< an image that cannot be decoded */
    PALI_IMAGE_TOO_LARGE = 402,     /**< an image over the limits on sides or pixels */
    PALI_UNSUPPORTED_IMAGE = 403,   /**< an image in a format that this build cannot read */
    PALI_MALFORMED_TOKENIZER = 501, /**< tokenizer.model or tokenizer.json cannot be read */
    PALI_MISSING_TOKEN = 502,       /**< a piece that the model needs has no id */
    PALI_INVALID_PROMPT = 503,      /**< a prompt that cannot be laid out */
    PALI_UNSUPPORTED_ARCH = 601     /**< an instruction set was forced that this processor or build lacks */
} pali_status;

/** "major.minor.patch" of the library that runs. */
PALI_API const char* pali_version(void);

/** What the last failed call in this thread has to say: "[pali.201] ..."; "" before any failed. Never null; valid until the next call that
 * fails in this thread. A call that succeeds leaves it as it is: look at the status first. */
PALI_API const char* pali_last_error(void);

/** Callbacks run in the thread that made the call, return nonzero to go on and 0 to stop, and may not call the model that calls them
 * (PALI_INVALID_ARGUMENT) or close it. `user` is the options' own. */

/** Stage ("load", "image", "prefill", "search") and the fraction done, 0 to 1. */
typedef int (*pali_on_progress)(const char* stage, double fraction, void* user);
/** The next `size` bytes of the answer, whole UTF-8 characters and no zero byte behind them. Not called by a beam search before its end. */
typedef int (*pali_on_text)(const char* utf8, size_t size, void* user);

/* ---- a model ---- */

/** A model that was opened. */
typedef struct pali_model pali_model;

/** Numbers that the weights are held in. STORED: int8 or int4 where the folder holds those, bf16 otherwise. */
enum { PALI_WEIGHTS_STORED = 0, PALI_WEIGHTS_F32 = 1, PALI_WEIGHTS_BF16 = 2, PALI_WEIGHTS_INT8 = 3, PALI_WEIGHTS_INT4 = 4 };
/** Where they are. MAPPED: in the mapped file, starts at once, shared with other processes. RESIDENT: in a copy, decodes faster. */
enum { PALI_MAPPED = 0, PALI_RESIDENT = 1 };
/** Numbers that keys and values of earlier tokens are kept in. */
enum { PALI_KV_F32 = 0, PALI_KV_BF16 = 1 };

/** How a model is opened. Zeros are the defaults. */
typedef struct pali_model_options {
    size_t size;                  /**< sizeof(pali_model_options) */
    size_t threads;               /**< of the model, the caller's included; 0: as many as the machine has */
    const char* mask_decoder;     /**< path of vae-oid.npz, for PALI_MASKS; null: found in the folder of the model */
    pali_on_progress on_progress; /**< stage "load"; may be null */
    void* user;                   /**< what on_progress is given */
    int32_t weights;              /**< PALI_WEIGHTS_... */
    int32_t residency;            /**< PALI_MAPPED, PALI_RESIDENT */
    int32_t kv_cache;             /**< PALI_KV_... */
    int32_t pin_threads;          /**< nonzero: each thread but the caller's stays on a processor of its own */
} pali_model_options;

/** Opens a Hugging Face folder: config.json, tokenizer.model or tokenizer.json, safetensors. `options` may be null. */
PALI_API pali_status pali_model_open(const char* folder, const pali_model_options* options, pali_model** model);
/** No call may be using it. Null is allowed, here and in the functions that free. */
PALI_API void pali_model_close(pali_model* model);

/* ---- an image ---- */

/** An image that was read. */
typedef struct pali_image pali_image;

/** How an image is read. Zeros are the defaults. */
typedef struct pali_image_options {
    size_t size;                   /**< sizeof(pali_image_options) */
    size_t max_side;               /**< the most pixels of a side; 0: 65500 */
    size_t max_pixels;             /**< the most pixels in all; 0: 178956970 */
    int32_t keep_exif_orientation; /**< nonzero: JPEG, PNG and WebP as stored, not turned upright as their EXIF data asks */
    int32_t reserved;              /**< 0 */
} pali_image_options;

/** From a file, recognised by its content: JPEG, PNG, GIF (first frame), BMP, TGA, PNM, and, where the library was built with them, WebP,
 * HEIC, AVIF and TIFF. `options` may be null. */
PALI_API pali_status pali_image_read(const char* path, const pali_image_options* options, pali_image** image);
/** From the bytes of such a file. */
PALI_API pali_status pali_image_decode(const void* bytes, size_t size, const pali_image_options* options, pali_image** image);
/** From red, green and blue bytes, row by row from the top left, which are copied. Rows begin row_bytes apart; 0: width * 3. */
PALI_API pali_status pali_image_from_rgb(const uint8_t* pixels, size_t width, size_t height, size_t row_bytes, pali_image** image);
/** Its pixels; either output may be null. */
PALI_API pali_status pali_image_size(const pali_image* image, size_t* width, size_t* height);
/** Frees it; null is allowed. */
PALI_API void pali_image_free(pali_image* image);

/* ---- asking ---- */

/** What the model said, and what it found. */
typedef struct pali_answer pali_answer;

/** How an answer is made. Zeros are the defaults. */
typedef struct pali_options {
    size_t size;           /**< sizeof(pali_options) */
    size_t max_new_tokens; /**< 0: 256; 1048576 at most */
    size_t min_new_tokens; /**< the answer does not end before this many */
    uint64_t seed;         /**< of sampling: the same seed gives the same text */
    size_t top_k;          /**< sampling among the k likeliest tokens; 0: all */
    size_t num_beams;      /**< beam search, if more than 1; needs temperature 0 */
    pali_on_text on_text;  /**< may be null */
    pali_on_progress
        on_progress;          /**< stages "image", "prefill" and "decode", with beams "search": the share of the whole call; may be null */
    void* user;               /**< what the callbacks are given */
    float temperature;        /**< 0: always the likeliest token */
    float top_p;              /**< sampling among the likeliest that make up this probability, up to 1; 0: all */
    float min_p;              /**< drops what is less likely than this fraction of the likeliest, up to 1; 0: nothing */
    float repetition_penalty; /**< above 1 what was said becomes less likely; 0: off, as 1 */
    int32_t early_stopping;   /**< beams: nonzero ends as soon as there are num_beams answers */
    int32_t constrained;      /**< pali_find: nonzero holds the answer to well-formed objects of the things asked for */
} pali_options;

/** Answers a prompt, such as "caption en" or "answer en where is the cat?", about `count` images, seen in that order. `options` may be
 * null. Stopped by a callback it succeeds: the answer has what there is, and PALI_STOP_CANCELLED. */
PALI_API pali_status pali_generate(pali_model* model, const pali_image* const* images, size_t count, const char* prompt,
                                   const pali_options* options, pali_answer** answer);

/** What pali_find is to find. */
enum { PALI_BOXES = 0, PALI_MASKS = 1 };
/** Finds things, "cat ; black dog", and their boxes, or boxes and masks. PALI_MASKS needs the mask decoder; without one it is
 * PALI_CANNOT_OPEN. What the model says is never an error: what is no object is left out. */
PALI_API pali_status pali_find(pali_model* model, const pali_image* image, int32_t what, const char* things, const pali_options* options,
                               pali_answer** answer);

/* ---- answers ---- */

/** All that was said, `<loc...>` and `<seg...>` included. `size`, in bytes and without the ending zero, may be null. */
PALI_API pali_status pali_answer_text(const pali_answer* answer, const char** text, size_t* size);
/** The tokens, with the end-of-sequence token where the model said it, and the natural logarithm of each one's probability. `tokens` or
 * `logprobs` may be null. */
PALI_API pali_status pali_answer_tokens(const pali_answer* answer, const int32_t** tokens, const float** logprobs, size_t* count);

/** Why an answer ended: the model said so, max_new_tokens were reached, a callback returned 0. */
enum { PALI_STOP_EOS = 0, PALI_STOP_LENGTH = 1, PALI_STOP_CANCELLED = 2 };
/** Which of these it was. */
PALI_API pali_status pali_answer_stop(const pali_answer* answer, int32_t* why);

/** Something that was found. */
typedef struct pali_object {
    size_t size;         /**< sizeof(pali_object): set it before the call */
    const char* label;   /**< "" where the model gave none */
    const uint8_t* mask; /**< a byte a pixel of the image, row by row without padding, 128 and more inside; null without a mask */
    size_t mask_width;   /**< pixels; 0 without a mask */
    size_t mask_height;  /**< pixels */
    float x0;            /**< left edge, pixels of the image */
    float y0;            /**< upper edge */
    float x1;            /**< right edge */
    float y1;            /**< lower edge */
    float score;         /**< 0 to 1: how sure the model was of box and label */
    int32_t reserved;    /**< 0 */
} pali_object;

/** How many objects pali_find found; 0 for an answer of pali_generate. */
PALI_API pali_status pali_answer_object_count(const pali_answer* answer, size_t* count);
/** The one at `index`, in the order of the answer. */
PALI_API pali_status pali_answer_object(const pali_answer* answer, size_t index, pali_object* object);
/** Frees it and all that was read out of it; null is allowed. */
PALI_API void pali_answer_free(pali_answer* answer);

#ifdef __cplusplus
}
#endif
