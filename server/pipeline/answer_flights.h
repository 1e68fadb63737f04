// Images whose answer is on its way, and those that wait for the same one. Internal to
// server/pipeline.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/sha256.h"
#include "server/pipeline/work.h"

namespace pixpool {

// Of images with the same key one leads, which is worked on, and the others follow. Holds no more
// than the requests that were admitted. Thread-safe, never blocks.
class AnswerFlights {
 public:
  // Whether the image is the first and so leads; if not, it is kept until End or Next gives it.
  // Throws std::bad_alloc; nothing has changed then.
  bool Join(const Sha256Digest& key, const ImageRef& image);

  bool IsOut(const Sha256Digest& key) const;

  // The answer is here: those who followed, in the order in which they came.
  std::vector<ImageRef> End(const Sha256Digest& key);

  // The leader has none: who leads from now on, or nobody, and then the flight has ended.
  std::optional<ImageRef> Next(const Sha256Digest& key);

 private:
  mutable absl::Mutex mu_;
  std::map<Sha256Digest, std::vector<ImageRef>> followers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
