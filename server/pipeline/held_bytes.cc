#include "server/pipeline/held_bytes.h"

#include <algorithm>

namespace pixpool {

ByteHold& ByteHold::operator=(ByteHold&& other) noexcept {
  if (this != &other) {
    Release();
    owner_ = std::exchange(other.owner_, nullptr);
    bytes_ = other.bytes_;
  }
  return *this;
}

void ByteHold::Release() {
  if (HeldBytes* owner = std::exchange(owner_, nullptr)) owner->bytes_.fetch_sub(bytes_);
}

bool HeldBytes::Take(int64_t bytes, ByteHold* hold) {
  bytes = std::max<int64_t>(bytes, 0);
  int64_t held = bytes_.load();
  do {
    if (held > 0 && bytes > most_.load() - held) return false;
  } while (!bytes_.compare_exchange_weak(held, held + bytes));
  *hold = ByteHold(this, bytes);
  return true;
}

}  // namespace pixpool
