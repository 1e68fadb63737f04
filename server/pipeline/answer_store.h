// Answers that are kept for images to come. Internal to server/pipeline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/sha256.h"
#include "server/pipeline/request.h"

namespace pixpool {

// Features of an image without what is its request's own (ids and edges of its regions, the time
// that it took), and their way into another image whose key is the same. Throw std::bad_alloc,
// without effect.
std::shared_ptr<const ImageFeatures> KeptAnswer(const ImageFeatures& features);
void UseAnswer(const ImageFeatures& kept, ImageFeatures* features);

// Memory of a kept answer, with what is kept to find it.
int64_t AnswerBytes(const ImageFeatures& kept);

// Keeps the answers that were used last, in so many bytes all in all. An answer that would take
// more than a sixteenth of them is not kept, since it would cost many others.
//
// Thread-safe, never blocks for longer than a look-up takes; Forget looks at all that is kept.
class AnswerStore {
 public:
  explicit AnswerStore(int64_t most_bytes) : most_bytes_(most_bytes) {}

  // Null where nothing is kept.
  std::shared_ptr<const ImageFeatures> Find(const Sha256Digest& key);

  // Gives the number of answers that had to go for it. Throws std::bad_alloc; nothing has changed
  // then. `model` is what Forget takes.
  size_t Keep(const Sha256Digest& key, const void* model,
              std::shared_ptr<const ImageFeatures> answer);

  // Drops the answers of a model, and gives their number.
  size_t Forget(const void* model);

  struct Usage {
    int64_t bytes = 0;
    int64_t answers = 0;
  };
  Usage usage() const;

 private:
  struct Entry {
    Sha256Digest key;
    const void* model;
    std::shared_ptr<const ImageFeatures> answer;
    int64_t bytes;
  };
  using Entries = std::list<Entry>;

  // Moves an entry out of what is kept, to be destroyed when the lock is given back.
  void Drop(Entries::iterator entry, Entries* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t most_bytes_;
  mutable absl::Mutex mu_;
  Entries entries_ ABSL_GUARDED_BY(mu_);  // the one that was used last is the first
  // absl's tables do not survive a failed allocation, and an ordered one has no worst case that
  // callers could aim at.
  std::map<Sha256Digest, Entries::iterator> by_key_ ABSL_GUARDED_BY(mu_);
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pixpool
