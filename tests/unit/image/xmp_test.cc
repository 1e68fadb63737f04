#include "server/image/xmp.h"

#include <gtest/gtest.h>

#include <string>

namespace pixpool {
namespace {

TEST(XmpTest, AttributeAndElement) {
  for (int n = 1; n <= 8; ++n) {
    const std::string digit = std::to_string(n);
    EXPECT_EQ(ReadXmpOrientation("<x tiff:Orientation=\"" + digit + "\"/>"), n);
    EXPECT_EQ(ReadXmpOrientation("<tiff:Orientation>" + digit + "</tiff:Orientation>"), n);
  }
}

TEST(XmpTest, TheFirstWithADigitCounts) {
  EXPECT_EQ(ReadXmpOrientation("tiff:Orientation tiff:Orientation=\"x tiff:Orientation>6 "
                               "tiff:Orientation>3"),
            6);
  EXPECT_EQ(ReadXmpOrientation("tiff:Orientation>0 tiff:Orientation>3"), 1);
  EXPECT_EQ(ReadXmpOrientation("tiff:Orientation>9 tiff:Orientation>3"), 1);
}

TEST(XmpTest, NothingSaid) {
  for (const char* text :
       {"", "tiff:Orientation", "tiff:Orientation=", "tiff:Orientation=\"", "tiff:Orientation>",
        "tiff:Orientation='6'", "exif:Orientation>6", "tiff:orientation>6"}) {
    EXPECT_EQ(ReadXmpOrientation(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace pixpool
