// How many images to have with a server at once. Internal: not part of the installed API.
#pragma once

#include <cstdint>

namespace pixpool::client::internal {

// Finds the number by itself, below a bound: each loss of room (an image that was shed) takes three
// tenths off, each window full of answers adds one. So a caller that waits for its answers follows
// the server's rate, in place of being shed again and again. Not thread-safe.
class Window {
 public:
  // `most` is at least 1 and where it begins.
  explicit Window(int most) : most_(most), size_(most) {}

  int size() const { return static_cast<int>(size_); }

  // An image is sent; gives what Shed is to be told about it.
  int64_t Sent() { return sent_++; }
  // An image was answered, with features or not.
  void Answered();
  // The image of Sent's number was shed. Those that were on their way when the last one was shed
  // tell nothing new.
  void Shed(int64_t number);

 private:
  const int most_;
  double size_;
  int64_t sent_ = 0;
  int64_t told_ = 0;  // numbers below this one were sent before the last cut
};

}  // namespace pixpool::client::internal
