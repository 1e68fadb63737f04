#include "server/kserve/tensor_bytes.h"

#include "server/base/text.h"

namespace pixpool::kserve {
namespace {

constexpr size_t kLengthBytes = 4;

size_t ReadLength(std::string_view bytes) {
  size_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<size_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  }
  return length;
}

}  // namespace

absl::StatusOr<std::vector<std::string_view>> SplitBytes(std::string_view tensor, size_t count) {
  std::vector<std::string_view> elements;
  size_t at = 0;
  while (at < tensor.size() && elements.size() <= count) {
    const std::string_view rest = tensor.substr(at);
    if (rest.size() < kLengthBytes || rest.size() - kLengthBytes < ReadLength(rest)) {
      return absl::InvalidArgumentError(
          Concat("element ", elements.size(), " at byte ", at, " of ", tensor.size(),
                 " is longer than what follows; each element has its length in four bytes, "
                 "little-endian, before it"));
    }
    elements.push_back(rest.substr(kLengthBytes, ReadLength(rest)));
    at += kLengthBytes + elements.back().size();
  }
  if (elements.size() == count) return elements;
  return absl::InvalidArgumentError(Concat("the shape means ", count, " elements, but there are ",
                                           elements.size() > count ? "more" : "fewer"));
}

void AppendBytes(std::string_view element, std::string* tensor) {
  for (size_t i = 0; i < kLengthBytes; ++i) {
    tensor->push_back(static_cast<char>(element.size() >> (8 * i)));
  }
  tensor->append(element);
}

}  // namespace pixpool::kserve
