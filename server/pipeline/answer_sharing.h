// Answers that serve more than the image they were made for: the response cache. Internal to
// server/pipeline.
#pragma once

#include <functional>

#include "server/metrics/metrics.h"
#include "server/pipeline/answer_flights.h"
#include "server/pipeline/answer_store.h"
#include "server/pipeline/options.h"
#include "server/pipeline/work.h"

namespace pixpool {

// An image whose answer is kept gets that, one whose answer is on its way waits for it, and the
// answer of what was worked on is kept and given to those who wait. An image is looked up with all
// of its heads: what a look-up saves is decoding and the pass, which one head that is not kept
// would cost as well.
//
// Only features are kept. The error of a picture that cannot be decoded goes to those who wait for
// the same one; any other end of an image is its own, and the next of those who wait is worked on.
//
// Thread-safe, never blocks. Off, it does nothing and holds nothing.
class AnswerSharing {
 public:
  struct Actions {
    // An image that was not worked on has its features, or its error. Must not throw.
    std::function<void(const ImageRef&)> settled;
    // An image that waited is to be worked on; false: that failed, and it has come to its end and
    // leads no more. Must not throw.
    std::function<bool(const ImageRef&)> take_over;
  };

  AnswerSharing(const ResponseCacheOptions& options, Metrics* metrics, const Clock* clock,
                Actions actions);

  // Notes of the good images of a planned request what they are known by, and whether their answers
  // are expected. Reads their bytes.
  void Look(RequestWork* work) const;

  enum class Answer {
    kNone,    // it is to be worked on, and then to be given to Ended
    kHere,    // it is in place
    kAwaited  // it will be settled, or taken over; by another thread, maybe by now
  };
  // Of an image of an admitted request.
  Answer Begin(const ImageRef& image);

  // Whether the answer of an image came while it waited for its turn, and is in place now.
  bool Came(const ImageRef& image);

  // An image was decoded, or could not be.
  static void Decoded(const ImageRef& image, const absl::Status& status);

  // An image that was worked on has come to its end, whichever.
  void Ended(const ImageRef& image);

  // Drops the answers of a model.
  void Forget(const Model& model);

  AnswerStore::Usage usage() const { return store_.usage(); }

 private:
  // Puts a kept answer in its place. False where there is no memory for that.
  bool Use(const std::shared_ptr<const ImageFeatures>& kept, const ImageRef& image);
  void Give(const Sha256Digest& flight, const ImageFeatures& answer);
  void Refuse(const Sha256Digest& flight, const absl::Status& undecodable);
  void HandOver(const Sha256Digest& flight);
  // Whether an image that waited is over, and then settled.
  bool SettledIfOver(const ImageRef& image);

  const bool on_;
  const bool shared_;
  Metrics* const metrics_;
  const Clock* const clock_;
  const Actions actions_;
  mutable AnswerStore store_;
  AnswerFlights flights_;
};

}  // namespace pixpool
