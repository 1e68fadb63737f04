#include "server/pipeline/answer_store.h"

#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace pixpool {
namespace {

// An answer may take one part in so many of what there is.
constexpr int64_t kLargestPart = 16;

// Of the heap, for a block of this size: malloc has a head of its own, and gives whole pages for
// large ones.
int64_t BlockBytes(size_t size) {
  constexpr int64_t kHead = 8, kStep = 16, kLeast = 32;
  constexpr int64_t kLarge = 128 << 10, kPage = 4096;
  const auto bytes = static_cast<int64_t>(size);
  if (bytes == 0) return 0;
  if (bytes >= kLarge) return (bytes + 2 * kHead + kPage - 1) / kPage * kPage;
  return std::max(kLeast, (bytes + kHead + kStep - 1) / kStep * kStep);
}

// Nodes of a list and of a map have two and four words beside the value, and an answer shares its
// block with two counters and a table.
constexpr int64_t kWord = sizeof(void*);

int64_t TextBytes(const std::string& text) {
  return text.capacity() <= std::string().capacity() ? 0 : BlockBytes(text.capacity() + 1);
}

template <typename T>
int64_t BlockOf(const std::vector<T>& values) {
  return BlockBytes(values.capacity() * sizeof(T));
}

int64_t TextsBytes(const std::vector<std::string>& texts) {
  int64_t bytes = BlockOf(texts);
  for (const std::string& text : texts) bytes += TextBytes(text);
  return bytes;
}

int64_t OutputsBytes(const std::vector<HeadOutput>& outputs) {
  int64_t bytes = BlockOf(outputs);
  for (const HeadOutput& output : outputs) {
    const auto& [shape, values, indices, scores, packed, scale, warnings, box, png] = output;
    bytes += BlockOf(shape) + BlockOf(values) + BlockOf(indices) + BlockOf(scores) +
             TextBytes(packed) + TextsBytes(warnings) + TextBytes(png);
  }
  return bytes;
}

}  // namespace

std::shared_ptr<const ImageFeatures> KeptAnswer(const ImageFeatures& features) {
  auto kept = std::make_shared<ImageFeatures>();
  const auto& [status, outputs, regions, warnings, picture, input, times, cached] = features;
  kept->outputs = outputs;
  kept->regions.reserve(regions.size());
  for (const RegionFeatures& region : regions) {
    kept->regions.push_back({.id = "", .box = {}, .outputs = region.outputs});
  }
  kept->warnings = warnings;
  kept->picture = picture;
  kept->input = input;
  return kept;
}

void UseAnswer(const ImageFeatures& kept, ImageFeatures* features) {
  ImageFeatures copy = kept;
  auto& [status, outputs, regions, warnings, picture, input, times, cached] = copy;
  features->outputs = std::move(outputs);
  for (size_t r = 0; r < regions.size(); ++r) {
    features->regions[r].outputs = std::move(regions[r].outputs);
  }
  features->warnings = std::move(warnings);
  features->picture = picture;
  features->input = input;
  features->cached = true;
}

int64_t AnswerBytes(const ImageFeatures& kept) {
  constexpr size_t kEntry = sizeof(Sha256Digest) + sizeof(void*) + 2 * sizeof(void*) + kWord;
  constexpr size_t kFound = sizeof(Sha256Digest) + sizeof(void*);
  int64_t bytes = BlockBytes(kEntry + 2 * kWord) + BlockBytes(kFound + 4 * kWord) +
                  BlockBytes(sizeof(ImageFeatures) + 2 * kWord) + OutputsBytes(kept.outputs) +
                  BlockOf(kept.regions) + TextsBytes(kept.warnings);
  for (const RegionFeatures& region : kept.regions) {
    bytes += TextBytes(region.id) + OutputsBytes(region.outputs);
  }
  return bytes;
}

std::shared_ptr<const ImageFeatures> AnswerStore::Find(const Sha256Digest& key) {
  absl::MutexLock lock(&mu_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->answer;
}

size_t AnswerStore::Keep(const Sha256Digest& key, const void* model,
                         std::shared_ptr<const ImageFeatures> answer) {
  const int64_t bytes = AnswerBytes(*answer);
  if (bytes > most_bytes_ / kLargestPart) return 0;
  Entries kept;
  kept.push_back({key, model, std::move(answer), bytes});
  Entries dropped;
  absl::MutexLock lock(&mu_);
  const auto [at, is_new] = by_key_.try_emplace(key, kept.begin());
  if (!is_new) {  // two callers have had the same one made
    entries_.splice(entries_.begin(), entries_, at->second);
    return 0;
  }
  entries_.splice(entries_.begin(), kept);
  bytes_ += bytes;
  while (bytes_ > most_bytes_) Drop(std::prev(entries_.end()), &dropped);
  return dropped.size();
}

size_t AnswerStore::Forget(const void* model) {
  Entries dropped;
  absl::MutexLock lock(&mu_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->model == model) Drop(entry, &dropped);
    entry = next;
  }
  return dropped.size();
}

AnswerStore::Usage AnswerStore::usage() const {
  absl::MutexLock lock(&mu_);
  return {.bytes = bytes_, .answers = static_cast<int64_t>(by_key_.size())};
}

void AnswerStore::Drop(Entries::iterator entry, Entries* dropped) {
  bytes_ -= entry->bytes;
  by_key_.erase(entry->key);
  dropped->splice(dropped->end(), entries_, entry);
}

}  // namespace pixpool
