/** @file
 * C interface of pali: PaliGemma and PaliGemma 2 behind opaque handles and status codes. Link libpali; docs/c_api.md has examples.
 *
 * Errors:   a function that can fail returns a pali_status; PALI_OK is 0. pali_last_error() describes the problem and the remedy. No
 *           exception leaves the library. A null pointer for a required argument is PALI_INVALID_ARGUMENT. On failure every output is set
 *           to null or 0.
 * Lifetime: the caller owns every handle that a function returns and must close or free it. Data read from a handle (text, tokens, mask
 *           pixels) lives as long as the handle. The library keeps no argument and no callback after the call.
 * Threads:  any function may be called from any thread. Calls on one model are serialized; two models run concurrently. Images and answers
 *           are immutable, so threads may share them. The caller must not close or free a handle while another call uses it.
 * Strings:  null-terminated UTF-8, paths included.
 * Options:  structs begin with their own size and may grow at the end. A member that is 0 means its default; a null pointer instead of the
 *           struct means all defaults: pali_options options = {.size = sizeof(pali_options), .max_new_tokens = 50}. */
#pragma once

#include <pali/version.hpp> /* PALI_VERSION_MAJOR, PALI_VERSION_MINOR, PALI_VERSION_PATCH of this header */

#include <stddef.h>
#include <stdint.h>

/** @def PALI_API
 * Marks an exported function. */
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

/** Status codes. The values are stable; from 101 on they equal those of pali::errc. Later versions may add codes. */
typedef enum pali_status {
    PALI_OK = 0,                    /**< success */
    PALI_OUT_OF_MEMORY = 1,         /**< memory allocation failed; the model remains usable */
    PALI_UNKNOWN_ERROR = 2,         /**< none of the other codes; the message has the details */
    PALI_INVALID_ARGUMENT = 101,    /**< a null pointer, or a value outside the allowed range */
    PALI_UNKNOWN_VARIANT = 102,     /**< no configuration of that name; not returned by these functions */
    PALI_CAPACITY_EXCEEDED = 103,   /**< a sequence is longer than its KV cache; not returned by these functions */
    PALI_CANCELLED = 104,           /**< a callback stopped a load, or pali_find while it encoded the image */
    PALI_TOO_FEW_THREADS = 105,     /**< the operating system cannot start more threads */
    PALI_FORKED_PROCESS = 106,      /**< a model is used in a child process after fork(), where its threads do not exist */
    PALI_CANNOT_OPEN = 201,         /**< a file or folder is missing or cannot be read */
    PALI_MALFORMED_FILE = 202,      /**< the contents contradict the file's format */
    PALI_UNSUPPORTED_FORMAT = 203,  /**< a known format in an unsupported form */
    PALI_CANNOT_WRITE = 204,        /**< a file cannot be written */
    PALI_CHECKPOINT_MISMATCH = 301, /**< tensors are missing, unexpected or of the wrong shape */
    PALI_CONFIG_MISMATCH = 302,     /**< config.json differs from the compiled configuration */
    PALI_MALFORMED_CONFIG = 303,    /**< config.json is not valid JSON, lacks a field, or holds a value of the wrong type */
    PALI_UNSUPPORTED_CONFIG = 304,  /**< a valid model of a kind that is not supported */
    PALI_MALFORMED_IMAGE = 401,     /**< an image that cannot be decoded */
    PALI_IMAGE_TOO_LARGE = 402,     /**< an image that exceeds the limits on sides or pixels */
    PALI_UNSUPPORTED_IMAGE = 403,   /**< an image in a format that this build does not support */
    PALI_MALFORMED_TOKENIZER = 501, /**< tokenizer.model or tokenizer.json cannot be read */
    PALI_MISSING_TOKEN = 502,       /**< a required token has no id in the vocabulary */
    PALI_INVALID_PROMPT = 503,      /**< a prompt that cannot be turned into a token sequence */
    PALI_UNSUPPORTED_ARCH = 601     /**< PALI_ARCH forces an instruction set that this processor or build lacks */
} pali_status;

/** Returns the version of the library at run time, "major.minor.patch". */
PALI_API const char* pali_version(void);

/** Returns the message of the last failed call in this thread, "[pali.201] ...", or "" if none has failed. Never null. The string is valid
 * until the next failure in this thread. Success does not clear it: check the status first. */
PALI_API const char* pali_last_error(void);

/** Callbacks run in the thread that made the call. They return nonzero to continue and 0 to stop. They must not close the model or call it
 * (PALI_INVALID_ARGUMENT). `user` is the `user` member of the options. */

/** Receives the stage ("load", "image", "prefill", "decode", "search") and the fraction done, 0 to 1. */
typedef int (*pali_on_progress)(const char* stage, double fraction, void* user);
/** Receives the next `size` bytes of the answer: whole UTF-8 characters, not null-terminated. A beam search calls it only at its end. */
typedef int (*pali_on_text)(const char* utf8, size_t size, void* user);

/* ---- models ---- */

/** An open model. */
typedef struct pali_model pali_model;

/** Type of the weights in memory. STORED: int8 or int4 if the folder is quantized, bf16 otherwise. */
enum { PALI_WEIGHTS_STORED = 0, PALI_WEIGHTS_F32 = 1, PALI_WEIGHTS_BF16 = 2, PALI_WEIGHTS_INT8 = 3, PALI_WEIGHTS_INT4 = 4 };
/** Location of the weights. MAPPED: in the mmapped file; starts immediately, shared with other processes. RESIDENT: in a copy; decodes
 * faster. */
enum { PALI_MAPPED = 0, PALI_RESIDENT = 1 };
/** Element type of the KV cache. */
enum { PALI_KV_F32 = 0, PALI_KV_BF16 = 1 };

/** Options of pali_model_open. Zero means the default. */
typedef struct pali_model_options {
    size_t size;                  /**< sizeof(pali_model_options) */
    size_t threads;               /**< number of threads, including the caller's; 0: one per processor */
    const char* mask_decoder;     /**< path of vae-oid.npz, for PALI_MASKS; null: search the model's folder */
    pali_on_progress on_progress; /**< stage "load"; may be null */
    void* user;                   /**< passed to on_progress */
    int32_t weights;              /**< PALI_WEIGHTS_... */
    int32_t residency;            /**< PALI_MAPPED, PALI_RESIDENT */
    int32_t kv_cache;             /**< PALI_KV_... */
    int32_t pin_threads;          /**< nonzero: pins each thread except the caller's to its own processor */
} pali_model_options;

/** Opens a Hugging Face folder: config.json, tokenizer.model or tokenizer.json, safetensors. `options` may be null. */
PALI_API pali_status pali_model_open(const char* folder, const pali_model_options* options, pali_model** model);
/** Closes the model. No call may be using it. Accepts null, as all functions that free do. */
PALI_API void pali_model_close(pali_model* model);

/* ---- images ---- */

/** A decoded image. */
typedef struct pali_image pali_image;

/** Options of reading an image. Zero means the default. */
typedef struct pali_image_options {
    size_t size;                   /**< sizeof(pali_image_options) */
    size_t max_side;               /**< maximum width or height, pixels; 0: 65500 */
    size_t max_pixels;             /**< maximum number of pixels; 0: 178956970 */
    int32_t keep_exif_orientation; /**< nonzero: ignores the EXIF orientation of JPEG, PNG and WebP */
    int32_t reserved;              /**< must be 0 */
} pali_image_options;

/** Reads an image file; the format is detected from the content: JPEG, PNG, GIF (first frame), BMP, TGA, PNM, and, if compiled in, WebP,
 * HEIC, AVIF and TIFF. `options` may be null. */
PALI_API pali_status pali_image_read(const char* path, const pali_image_options* options, pali_image** image);
/** Decodes an image file from memory. */
PALI_API pali_status pali_image_decode(const void* bytes, size_t size, const pali_image_options* options, pali_image** image);
/** Copies 8-bit RGB pixels, row by row from the top left. Rows begin row_bytes apart; 0: width * 3. */
PALI_API pali_status pali_image_from_rgb(const uint8_t* pixels, size_t width, size_t height, size_t row_bytes, pali_image** image);
/** Returns width and height in pixels; either output may be null. */
PALI_API pali_status pali_image_size(const pali_image* image, size_t* width, size_t* height);
/** Frees the image; accepts null. */
PALI_API void pali_image_free(pali_image* image);

/* ---- questions ---- */

/** The answer of the model and the objects found. */
typedef struct pali_answer pali_answer;

/** Generation options. Zero means the default. */
typedef struct pali_options {
    size_t size;           /**< sizeof(pali_options) */
    size_t max_new_tokens; /**< maximum number of tokens; 0: 256; at most 1048576 */
    size_t min_new_tokens; /**< the answer has at least this many tokens */
    uint64_t seed;         /**< random seed; the same seed gives the same text */
    size_t top_k;          /**< samples from the k most likely tokens; 0: all */
    size_t num_beams;      /**< beam search if greater than 1; requires temperature 0 */
    pali_on_text on_text;  /**< may be null */
    pali_on_progress
        on_progress;   /**< stages "image", "prefill" and "decode", or "search" with beams; the fraction of the whole call; may be null */
    void* user;        /**< passed to the callbacks */
    float temperature; /**< 0: greedy, always the most likely token */
    float top_p;       /**< nucleus sampling: the most likely tokens that reach this probability, at most 1; 0: all */
    float min_p;       /**< drops tokens less likely than this fraction of the most likely one, at most 1; 0: none */
    float repetition_penalty; /**< above 1: penalizes tokens already in the sequence; 0: off, same as 1 */
    int32_t early_stopping;   /**< beam search: nonzero stops as soon as num_beams answers are complete */
    int32_t constrained;      /**< pali_find: nonzero restricts the answer to well-formed objects with requested labels */
    float typical_p;          /**< typical sampling: the most typical tokens that reach this probability, at most 1; 0: all */
    float length_penalty;     /**< beam search: scores are divided by length^length_penalty; 0: 1; 1e-30 has the effect of no penalty */
} pali_options;

/** Answers a prompt, such as "caption en" or "answer en where is the cat?", about `count` images in the given order. `options` may be null.
 * If a callback stops the call, it still succeeds: the answer holds the text so far, with PALI_STOP_CANCELLED. */
PALI_API pali_status pali_generate(pali_model* model, const pali_image* const* images, size_t count, const char* prompt,
                                   const pali_options* options, pali_answer** answer);

/** What pali_find returns for each object. */
enum { PALI_BOXES = 0, PALI_MASKS = 1 };
/** Finds objects, "cat ; black dog": boxes, or boxes and masks. PALI_MASKS needs the mask decoder and returns PALI_CANNOT_OPEN without it.
 * The model's output never causes an error: anything that is not an object is skipped. */
PALI_API pali_status pali_find(pali_model* model, const pali_image* image, int32_t what, const char* things, const pali_options* options,
                               pali_answer** answer);

/* ---- answers ---- */

/** Returns the whole text, `<loc...>` and `<seg...>` included. `size`, in bytes without the terminator, may be null. */
PALI_API pali_status pali_answer_text(const pali_answer* answer, const char** text, size_t* size);
/** Returns the tokens, with the end-of-sequence token if the model produced one, and their natural log-probabilities. `tokens` or
 * `logprobs` may be null. */
PALI_API pali_status pali_answer_tokens(const pali_answer* answer, const int32_t** tokens, const float** logprobs, size_t* count);

/** Why an answer ended: end-of-sequence token, max_new_tokens reached, or a callback returned 0. */
enum { PALI_STOP_EOS = 0, PALI_STOP_LENGTH = 1, PALI_STOP_CANCELLED = 2 };
/** Returns one of PALI_STOP_... */
PALI_API pali_status pali_answer_stop(const pali_answer* answer, int32_t* why);

/** A found object. */
typedef struct pali_object {
    size_t size;         /**< sizeof(pali_object): set it before the call */
    const char* label;   /**< "" if the model gave none */
    const uint8_t* mask; /**< one byte per pixel of the image, row by row without padding, 128 or more inside; null without a mask */
    size_t mask_width;   /**< pixels; 0 without a mask */
    size_t mask_height;  /**< pixels */
    float x0;            /**< left edge, in pixels of the image */
    float y0;            /**< top edge */
    float x1;            /**< right edge */
    float y1;            /**< bottom edge */
    float score;         /**< confidence in box and label, 0 to 1 */
    int32_t reserved;    /**< 0 */
} pali_object;

/** Returns the number of objects that pali_find found; 0 for an answer of pali_generate. */
PALI_API pali_status pali_answer_object_count(const pali_answer* answer, size_t* count);
/** Returns the object at `index`, in the order of the answer. */
PALI_API pali_status pali_answer_object(const pali_answer* answer, size_t index, pali_object* object);
/** Frees the answer and all data read from it; accepts null. */
PALI_API void pali_answer_free(pali_answer* answer);

#ifdef __cplusplus
}
#endif
