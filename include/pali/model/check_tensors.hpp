// Checks the tensors of a checkpoint: mismatches, unused tensors, weights that are not finite.
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/core/checkpoint_place.hpp>
#include <pali/core/error.hpp>
#include <pali/core/short_list.hpp>
#include <pali/files/checkpoint_files.hpp>
#include <pali/weights/binder.hpp>
#include <pali/weights/convert.hpp>
#include <pali/weights/finite.hpp>

#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace model_detail {

/// Throws errc::checkpoint_mismatch with the missing and misshapen tensors. If `strict`, unused tensors and differences between index and
/// shards are errors as well; otherwise `on_notice` gets at most one line for each of the two.
inline void check_tensors(const checkpoint_files& files, const binder& names, const checkpoint_config& read, bool strict,
                          const std::function<void(std::string_view)>& on_notice) {
    const std::string source = files.path().string();
    std::string hint =
        "The configuration comes from " + read.file.string() + "; is the checkpoint complete, and does it belong to this model?";
    if (!read.tied) hint += " It sets tie_word_embeddings to false: the embedding and the head are separate matrices, and both are needed.";
    if (files.is_shard())
        hint +=
            " The file is one of several shards: pass the folder, " + folder_of_checkpoint(files.path()).string() + ", to use them all.";
    if (names.finds_unread_types()) hint.insert(0, std::string(conversion_cure) + "\n");
    const short_list& differences = files.differences();
    if (!differences.empty()) hint += "\nThe index and the shards differ; are they from the same download?" + differences.joined("\n  ");
    names.check(hint, strict);
    if (strict && !differences.empty())
        throw error(errc::checkpoint_mismatch,
                    {source, ": the index and the shards differ; are they from the same download?", differences.joined("\n  ")});
    if (!on_notice) return;
    if (!differences.empty())
        on_notice(source + ": the index and the shards differ; the tensors are used as found in the shards: " + differences.in_a_row());
    if (const short_list unused = names.unused(); !unused.empty())
        on_notice(source + ": " + std::to_string(unused.size()) + (unused.size() == 1 ? " tensor is" : " tensors are") +
                  " not used: " + unused.in_a_row());
}

/// Throws errc::malformed_file for logits that are not finite. The message lists the tensors that contain NaN or infinity. `unused` holds
/// the names of the tensors that the model does not use; they are not searched.
[[noreturn]] inline void throw_not_finite(const checkpoint_files& files, const std::set<std::string, std::less<>>& unused) {
    const short_list broken = describe_not_finite(files.tensors(), unused);
    if (broken.empty())
        throw error(errc::malformed_file,
                    {files.path().string(),
                     ": the logits are not finite although all weights are: an intermediate value overflowed; load the weights as f32"});
    throw error(errc::malformed_file, {files.path().string(), ": the logits are not finite because ", broken.size(),
                                       broken.size() == 1 ? " tensor is not finite:" : " tensors are not finite:", broken.joined("\n  "),
                                       "\nDownload the checkpoint again, or save it from a training run that did not diverge"});
}

}}} // namespace pali::PALI_ABI::model_detail
