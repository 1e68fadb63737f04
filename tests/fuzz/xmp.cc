// Orientation from an XMP packet.
#include "server/image/xmp.h"

#include <optional>

#include "server/image/metadata.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view xmp = pixpool::testing::AsText(data, size);
  const std::optional<int> orientation = pixpool::ReadXmpOrientation(xmp);
  pixpool::testing::Require(!orientation || (*orientation >= 1 && *orientation <= 8),
                            "an orientation is 1 to 8");
  pixpool::testing::Require(pixpool::ReadOrientation("", xmp) == orientation.value_or(1),
                            "XMP alone decides");
  return 0;
}
