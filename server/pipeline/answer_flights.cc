#include "server/pipeline/answer_flights.h"

#include <utility>

namespace pixpool {

bool AnswerFlights::Join(const Sha256Digest& key, const ImageRef& image) {
  absl::MutexLock lock(&mu_);
  const auto [flight, leads] = followers_.try_emplace(key);
  if (!leads) flight->second.push_back(image);
  return leads;
}

bool AnswerFlights::IsOut(const Sha256Digest& key) const {
  absl::MutexLock lock(&mu_);
  return followers_.count(key) > 0;
}

std::vector<ImageRef> AnswerFlights::End(const Sha256Digest& key) {
  absl::MutexLock lock(&mu_);
  auto flight = followers_.extract(key);
  return flight.empty() ? std::vector<ImageRef>() : std::move(flight.mapped());
}

std::optional<ImageRef> AnswerFlights::Next(const Sha256Digest& key) {
  absl::MutexLock lock(&mu_);
  const auto flight = followers_.find(key);
  if (flight == followers_.end()) return std::nullopt;
  if (flight->second.empty()) {
    followers_.erase(flight);
    return std::nullopt;
  }
  ImageRef next = std::move(flight->second.front());
  flight->second.erase(flight->second.begin());
  return next;
}

}  // namespace pixpool
