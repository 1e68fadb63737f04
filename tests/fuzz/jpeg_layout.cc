// The walk over the markers of a JPEG.
#include "server/image/jpeg_layout.h"

#include "server/base/error.h"
#include "tests/fuzz/require.h"

namespace pixpool {
namespace {

using testing::Require;

void Try(std::string_view bytes) {
  const absl::StatusOr<JpegLayout> layout = ReadJpegFrame(bytes);
  if (!layout.ok()) {
    return Require(GetErrorDetails(layout.status()).has_value(), "every error has a reason");
  }
  Require(layout->width >= 1 && layout->height >= 1, "a picture has pixels");
  Require(layout->width <= 65535 && layout->height <= 65535, "a JPEG has sides of 16 bits");
  Require(layout->components == 1 || layout->components == 3 || layout->components == 4,
          "a JPEG has 1, 3 or 4 components");
  Require(layout->orientation >= 1 && layout->orientation <= 8, "an orientation is 1 to 8");
}

}  // namespace
}  // namespace pixpool

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pixpool::Try(pixpool::testing::AsText(data, size));
  return 0;
}
