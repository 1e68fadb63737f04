#include "server/backbone/network_choice.h"

#include <algorithm>
#include <utility>

namespace pixpool {
namespace {

// Keys whose passes are counted at one time.
constexpr size_t kMaxCounted = 256;

}  // namespace

NetworkChoice::NetworkChoice(NetworkKey usual, std::vector<int> all_outputs)
    : usual_(std::move(usual)), all_outputs_(std::move(all_outputs)) {}

NetworkKey NetworkChoice::Choose(const std::vector<int>& wanted, const std::vector<int64_t>& shape,
                                 bool large) {
  // Part of the usual outputs costs as much as all of them.
  const bool usual =
      std::includes(usual_.outputs.begin(), usual_.outputs.end(), wanted.begin(), wanted.end());
  const std::vector<int>& outputs = usual ? usual_.outputs : wanted;
  if (large) return {usual ? outputs : all_outputs_, {}, /*large=*/true};
  NetworkKey fixed = {outputs, shape};
  if (fixed == usual_ || IsDue(fixed, kPassesBeforeFixed)) return fixed;
  NetworkKey open = {outputs, {}};
  if (usual || outputs == all_outputs_ || IsDue(open, kPassesBeforeOpen)) {
    return open;
  }
  return {all_outputs_, {}};
}

void NetworkChoice::Forget(const NetworkKey& key) { more_.erase(key); }

bool NetworkChoice::IsDue(const NetworkKey& key, int passes) {
  if (more_.contains(key)) return true;
  if (more_.size() >= kMaxMore) return false;
  if (++passes_[key] < passes) {
    if (passes_.size() > kMaxCounted) passes_.clear();
    return false;
  }
  passes_.erase(key);
  more_.insert(key);
  return true;
}

}  // namespace pixpool
