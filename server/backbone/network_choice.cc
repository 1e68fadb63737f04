#include "server/backbone/network_choice.h"

#include <utility>

namespace pixpool {
namespace {

// Keys whose passes are counted at one time.
constexpr size_t kMaxCounted = 256;

}  // namespace

NetworkChoice::NetworkChoice(NetworkKey usual, std::vector<int> all_layers)
    : usual_(std::move(usual)), all_layers_(std::move(all_layers)) {}

NetworkKey NetworkChoice::Choose(const std::vector<int>& layers, const std::vector<int64_t>& shape,
                                 bool large) {
  if (large) return {layers == usual_.layers ? layers : all_layers_, {}, /*large=*/true};
  NetworkKey fixed = {layers, shape};
  if (fixed == usual_ || IsDue(fixed, kPassesBeforeFixed)) return fixed;
  NetworkKey open = {layers, {}};
  if (layers == usual_.layers || layers == all_layers_ || IsDue(open, kPassesBeforeOpen)) {
    return open;
  }
  return {all_layers_, {}};
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
