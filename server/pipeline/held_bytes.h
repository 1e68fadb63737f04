// Bytes that callers make the server hold beside what is in flight.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace pixpool {

class HeldBytes;

// A share of the bytes that may be held; gives it back when destroyed. Movable. Must not outlive
// what it was taken from.
class ByteHold {
 public:
  ByteHold() = default;
  ByteHold(ByteHold&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), bytes_(other.bytes_) {}
  ByteHold& operator=(ByteHold&& other) noexcept;
  ~ByteHold() { Release(); }
  void Release();

 private:
  friend class HeldBytes;
  ByteHold(HeldBytes* owner, int64_t bytes) : owner_(owner), bytes_(bytes) {}
  HeldBytes* owner_ = nullptr;
  int64_t bytes_ = 0;
};

// Counts them and bounds their sum. What is more than may be held in all is held when nothing else
// is: how large a single one may be is decided elsewhere. Thread-safe, never blocks.
class HeldBytes {
 public:
  explicit HeldBytes(int64_t most) : most_(most) {}

  // False, without effect, where there is no room for `bytes`.
  [[nodiscard]] bool Take(int64_t bytes, ByteHold* hold);

  // What is held stays so.
  void SetMost(int64_t most) { most_.store(most); }
  int64_t bytes() const { return bytes_.load(); }

 private:
  friend class ByteHold;
  std::atomic<int64_t> most_;
  std::atomic<int64_t> bytes_{0};
};

}  // namespace pixpool
