// What the answer to an image is known by, for the response cache. Internal to server/pipeline.
#pragma once

#include <string>

#include "server/base/sha256.h"

namespace pixpool {

struct ImageState;
struct RequestWork;

// Images with the same keys have the same features, bit for bit.
struct AnswerKey {
  // Of the picture and all that its features follow from; of the caller too, unless answers are
  // shared.
  Sha256Digest answer;
  // The same, and who waits in which class: one who waits for another's answer has the place in
  // the queue that the other has.
  Sha256Digest flight;
};

// The keys of a request's images, which PlanRequest has settled. What is settled is what the stages
// read, so that two ways to say the same have the same keys. Each struct that is read is taken
// apart member by member: with one more it does not compile until the member is in the key, or is
// said to be none of its business.
class AnswerKeys {
 public:
  // `shared`: whether answers to one caller are for others too.
  AnswerKeys(const RequestWork& work, bool shared);

  // Of an image that is good so far. Reads all of its bytes.
  AnswerKey Of(const ImageState& image) const;

 private:
  std::string settings_;  // of all images
  std::string regions_;   // of those with regions
  std::string line_;      // where the request waits
};

}  // namespace pixpool
