// Encodes with sentencepiece if its ids are known to equal those of transformers. Implementation header.
#pragma once

#include <pali/core/error.hpp>
#include <pali/text/sentencepiece_model.ipp>
#include <pali/text/token.hpp>

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace text {

/// Builds sentencepiece's tables on a background thread: Gemma's take 0.1 s, and the image is usually processed before any text is encoded.
class sentencepiece_encoder {
public:
    /// `model` and `file` (for messages) must outlive the encoder.
    sentencepiece_encoder(const sentencepiece_model& model, const std::string& file)
        : m_file(file), m_usable(gives_ids_of_transformers(model)) {
        m_loading = std::thread([this, &model] {
            try {
                if (const auto status = m_processor.LoadFromSerializedProto(write_sentencepiece_model(model)); !status.ok())
                    m_refusal = status.ToString();
            } catch (const std::bad_alloc&) {
                m_out_of_memory = true;
            } catch (const std::exception& e) { // sentencepiece's trie throws, for example
                m_refusal = e.what();
            }
        });
    }

    ~sentencepiece_encoder() {
        if (m_loading.joinable()) m_loading.join();
    }
    sentencepiece_encoder(const sentencepiece_encoder&) = delete;
    sentencepiece_encoder& operator=(const sentencepiece_encoder&) = delete;

    /// Appends the ids of a text with U+2581 for spaces. Returns false if the ids may differ from those of transformers, because
    /// sentencepiece prefers the longest piece of several spaces and never forms a byte piece. Also returns false for long texts, for which
    /// piece_merger is twice as fast. Waits for the background thread. Throws errc::malformed_tokenizer, errc::invalid_prompt,
    /// std::bad_alloc.
    bool encode(std::string_view text, std::vector<token>& out) const {
        std::call_once(m_waited, [this] { m_loading.join(); });
        if (m_out_of_memory) throw std::bad_alloc();
        if (!m_refusal.empty()) throw error(errc::malformed_tokenizer, {m_file, ": sentencepiece rejects it: ", m_refusal});
        constexpr std::size_t longest = 16384;
        if (!m_usable || text.size() > longest || text.find("\xE2\x96\x81\xE2\x96\x81") != std::string_view::npos ||
            text.find("<0x") != std::string_view::npos)
            return false;
        std::vector<int> ids;
        if (const auto status = m_processor.Encode(text, &ids); !status.ok())
            throw error(errc::invalid_prompt, {"a text of ", text.size(), " bytes cannot be encoded: ", status.ToString()});
        out.insert(out.end(), ids.begin(), ids.end());
        return true;
    }

private:
    /// Whether sentencepiece gives the ids of transformers for this model. transformers ranks a merge by the id of its result,
    /// sentencepiece by the score of its result. The order is the same if scores strictly decrease with increasing ids. The order among
    /// merges with the same result does not matter: a piece is always formed from the same two parts, because no earlier merge crosses its
    /// ends. There are two more differences: only sentencepiece splits unused pieces, and only sentencepiece keeps user-defined pieces
    /// whole if they contain spaces.
    [[nodiscard]] static bool gives_ids_of_transformers(const sentencepiece_model& model) {
        constexpr std::string_view space = "\xE2\x96\x81";
        const model_piece* before = nullptr;
        for (const model_piece& p : model.pieces) {
            if (p.type == piece_type::unused) return false;
            if (p.type == piece_type::user_defined && p.text.find(space) != std::string_view::npos) {
                std::string_view rest = p.text;
                while (rest.starts_with(space)) rest.remove_prefix(space.size());
                if (!rest.empty() || p.text == space) return false;
            }
            if (p.type != piece_type::normal) continue;
            if (before != nullptr && !(p.score < before->score)) return false;
            before = &p;
        }
        return true;
    }

    const std::string& m_file;
    bool m_usable;
    sentencepiece::SentencePieceProcessor m_processor;
    mutable std::once_flag m_waited;
    std::string m_refusal;
    bool m_out_of_memory = false;
    mutable std::thread m_loading; // not std::jthread, which is only experimental in libc++ 19
};

}}} // namespace pali::PALI_ABI::text
