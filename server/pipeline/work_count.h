// What admission counts of the work on images. Internal to server/pipeline.
#pragma once

#include "server/pipeline/admission.h"
#include "server/pipeline/work.h"
#include "server/pipeline/work_queue.h"
#include "server/pipeline/work_times.h"

namespace pixpool {

// Thread-safe; an image is counted by one thread at a time. What it is given must outlive it.
class WorkCount {
 public:
  WorkCount(Admission* admission, const WorkTimes* times, const WorkQueue* queue)
      : admission_(admission), times_(times), queue_(queue) {}

  // Makes of the cost of a planned request's good images that of those to be worked on: an answer
  // that is expected (AnswerPlace) costs its bytes, and counts to the rate of its token.
  void Predict(RequestWork* work, AdmissionCost* cost) const;

  // An admitted image is to be worked on after all. Throws std::bad_alloc, without effect.
  void TakeOver(const ImageRef& image) const;

  // The work on an image is no longer ahead of others'. `worked`: it was done.
  void GiveBack(const ImageRef& image, bool worked) const;

 private:
  Admission* const admission_;
  const WorkTimes* const times_;
  const WorkQueue* const queue_;
};

}  // namespace pixpool
