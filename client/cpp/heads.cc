#include "client/cpp/heads.h"

#include "proto/message_text.h"

namespace pixpool::client {

v1::Head GlobalAvg() {
  v1::Head head;
  head.mutable_global_avg();
  return head;
}

v1::Head GlobalMax() {
  v1::Head head;
  head.mutable_global_max();
  return head;
}

v1::Head Gem(std::optional<float> p) {
  v1::Head head;
  v1::Gem* const gem = head.mutable_gem();
  if (p) gem->set_p(*p);
  return head;
}

v1::Head ClassScores(std::optional<int> top_k) {
  v1::Head head;
  v1::ClassScores* const scores = head.mutable_class_scores();
  if (top_k) scores->set_top_k(*top_k);
  return head;
}

std::vector<std::string> HeadKinds() { return HeadKindNames(); }

absl::StatusOr<v1::Head> ParseHead(std::string_view spec) { return HeadFromText(spec); }

}  // namespace pixpool::client
