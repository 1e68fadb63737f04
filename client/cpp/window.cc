#include "client/cpp/window.h"

#include <algorithm>

namespace pixpool::client::internal {

void Window::Answered() { size_ = std::min<double>(most_, size_ + 1 / size_); }

void Window::Shed(int64_t number) {
  if (number < told_) return;
  told_ = sent_;
  size_ = std::max(1.0, size_ * 0.7);
}

}  // namespace pixpool::client::internal
