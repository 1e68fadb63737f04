#include "server/image/tiff_directory.h"

#include <cstddef>
#include <cstdint>

namespace pixpool {
namespace {

constexpr uint64_t kBigTiff = 43;  // whose offsets have 64 bits
constexpr uint64_t kPhotometric = 262;
constexpr uint64_t kPalette = 3;

// Numbers in the file's own order; 0 beyond its end.
class Numbers {
 public:
  explicit Numbers(std::string_view bytes) : bytes_(bytes), little_(bytes.substr(0, 1) == "I") {}

  bool Has(uint64_t at, size_t size) const {
    return at <= bytes_.size() && size <= bytes_.size() - at;
  }
  uint64_t Read(uint64_t at, size_t size) const {
    uint64_t value = 0;
    for (size_t i = 0; Has(at, size) && i < size; ++i) {
      value = value << 8 | static_cast<uint8_t>(bytes_[at + (little_ ? size - 1 - i : i)]);
    }
    return value;
  }

 private:
  const std::string_view bytes_;
  const bool little_;
};

}  // namespace

bool SaysThatPixelsAreIndices(std::string_view tiff) {
  const Numbers numbers(tiff);
  const bool big = numbers.Read(2, 2) == kBigTiff;
  const size_t word = big ? 8 : 4;
  const size_t count_size = big ? 8 : 2;
  const size_t entry_size = 4 + 2 * word;  // tag, type, count, value
  const uint64_t start = numbers.Read(big ? 8 : 4, word);
  const uint64_t count = numbers.Read(start, count_size);
  uint64_t at = start + count_size;
  for (uint64_t i = 0; i < count && numbers.Has(at, entry_size); ++i, at += entry_size) {
    // A number of 16 bits, as libtiff wants it.
    if (numbers.Read(at, 2) == kPhotometric) return numbers.Read(at + 4 + word, 2) == kPalette;
  }
  return false;
}

}  // namespace pixpool
