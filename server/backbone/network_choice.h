// Which networks an engine compiles that can make one for a set of outputs and one input shape.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace pixpool {

// A network with these outputs of the graph. With a fixed input shape it is some 5 % faster than
// with an open one, whose every node works out its shapes in each pass.
struct NetworkKey {
  std::vector<int> outputs;    // positions in the graph, rising
  std::vector<int64_t> shape;  // of the input; empty: open, any shape
  // For passes that take much memory. An open network keeps what its largest pass took.
  bool large = false;

  auto operator<=>(const NetworkKey&) const = default;
};

// Decides by counting passes: each network costs a tenth of a second to compile and memory for its
// weights, so an odd request must not pay for one, nor a stranger's thousand sizes fill the memory.
// Not thread-safe.
class NetworkChoice {
 public:
  // Networks besides the usual one, the open one of the usual outputs, and the open one of all
  // outputs, which does for every request.
  static constexpr size_t kMaxMore = 4;
  // Passes of one shape before it gets a network, and of a set of outputs in many shapes.
  static constexpr int kPassesBeforeFixed = 8;
  static constexpr int kPassesBeforeOpen = 32;

  // `usual` is what most requests want, with its shape; it is compiled from the start.
  NetworkChoice(NetworkKey usual, std::vector<int> all_outputs);

  // The network for a pass that wants these outputs for an input of this shape; it has at least
  // those. Counts the pass. Large passes share two networks, that of the usual outputs and that
  // of all: to them a fixed shape is worth nothing, and it would keep their memory.
  NetworkKey Choose(const std::vector<int>& wanted, const std::vector<int64_t>& shape, bool large);

  // The network is gone, and another may have its place.
  void Forget(const NetworkKey& key);

 private:
  bool IsDue(const NetworkKey& key, int passes);

  const NetworkKey usual_;
  const std::vector<int> all_outputs_;
  std::set<NetworkKey> more_;
  std::map<NetworkKey, int> passes_;  // of networks that are not there
};

}  // namespace pixpool
