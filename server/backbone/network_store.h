// The networks that an engine has compiled: who uses them, what they hold, which of them may go.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "server/backbone/network_choice.h"

namespace pixpool {

// One pass as the store sees it.
struct NetworkUse {
  int instance = 0;
  int variant = 0;            // of the network: those of a network share nothing
  int64_t network_bytes = 0;  // of the variant, whatever passes it has seen
  int64_t pass_bytes = 0;     // that this instance's largest pass leaves behind in it
};

// Holds networks of type Network by key. One is permanent; the others go when they have not been
// used for a while, or when the memory is wanted, but never while an instance uses them. What they
// hold is reckoned from their passes. Not thread-safe; what it gives up is handed to the caller,
// who destroys it without a lock.
template <typename Network>
class NetworkStore {
 public:
  using Dropped = std::vector<std::pair<NetworkKey, std::shared_ptr<Network>>>;

  // Calls of Age without a use in between after which a network goes. Large ones go sooner: they
  // hold most, and are compiled in a fraction of the time of their pass.
  static constexpr int kAges = 12;
  static constexpr int kAgesOfLarge = 2;

  explicit NetworkStore(NetworkKey permanent) : permanent_(std::move(permanent)) {}

  // The network of a key, made by `make` where there is none. The instance uses it until Release,
  // or until it takes another.
  template <typename Make>
  std::shared_ptr<Network> Take(const NetworkKey& key, const NetworkUse& use, Make make) {
    Release(use.instance);
    Entry& entry = entries_[key];
    if (entry.network == nullptr) entry.network = make();
    entry.idle_ages = 0;
    entry.last_use = ++uses_;
    entry.users[use.instance] = use;
    entry.variants[use.variant] = use.network_bytes;
    int64_t& bytes = entry.passes[{use.variant, use.instance}];
    bytes = std::max(bytes, use.pass_bytes);
    used_[use.instance] = key;
    return entry.network;
  }

  void Release(int instance) {
    const auto used = used_.find(instance);
    if (used == used_.end()) return;
    entries_.at(used->second).users.erase(instance);
    used_.erase(used);
  }

  // What all but the permanent one hold, beyond what the passes under way take anyway.
  int64_t held() const {
    int64_t bytes = 0;
    for (const auto& [key, entry] : entries_) {
      if (key != permanent_) bytes += entry.held();
    }
    return bytes;
  }

  // Gives up networks, the longest unused first, until at most `most` bytes are held or all that
  // are left are in use.
  Dropped DropTo(int64_t most) {
    Dropped dropped;
    while (held() > most) {
      auto oldest = entries_.end();
      for (auto it = entries_.begin(); it != entries_.end(); ++it) {
        if (!MayGo(*it)) continue;
        if (oldest == entries_.end() || it->second.last_use < oldest->second.last_use) oldest = it;
      }
      if (oldest == entries_.end()) break;
      Drop(oldest, &dropped);
    }
    return dropped;
  }

  // Some time has passed.
  Dropped Age() {
    Dropped dropped;
    for (auto it = entries_.begin(); it != entries_.end();) {
      const auto here = it++;
      if (!MayGo(*here)) continue;
      const int ages = here->first.large ? kAgesOfLarge : kAges;
      if (++here->second.idle_ages >= ages) Drop(here, &dropped);
    }
    return dropped;
  }

  // Gives up all that may go.
  Dropped DropAll() {
    Dropped dropped;
    for (auto it = entries_.begin(); it != entries_.end();) {
      const auto here = it++;
      if (MayGo(*here)) Drop(here, &dropped);
    }
    return dropped;
  }

 private:
  struct Entry {
    std::shared_ptr<Network> network;
    std::map<int, NetworkUse> users;  // by instance
    int idle_ages = 0;
    uint64_t last_use = 0;
    std::map<int, int64_t> variants;                // bytes of each that was used
    std::map<std::pair<int, int>, int64_t> passes;  // by variant and instance

    int64_t held() const {
      int64_t bytes = 0;
      std::map<int, int64_t> unused = variants;
      for (const auto& [instance, use] : users) {
        unused.erase(use.variant);
        bytes -= std::min(passes.at({use.variant, instance}), use.pass_bytes);
      }
      for (const auto& [variant, size] : unused) bytes += size;
      for (const auto& [place, size] : passes) bytes += size;
      return bytes;
    }
  };
  using Entries = std::map<NetworkKey, Entry>;

  bool MayGo(const typename Entries::value_type& entry) const {
    return entry.second.users.empty() && entry.first != permanent_;
  }

  void Drop(typename Entries::iterator entry, Dropped* dropped) {
    dropped->emplace_back(entry->first, std::move(entry->second.network));
    entries_.erase(entry);
  }

  const NetworkKey permanent_;
  Entries entries_;
  std::map<int, NetworkKey> used_;  // by instance
  uint64_t uses_ = 0;
};

}  // namespace pixpool
