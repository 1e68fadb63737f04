#include "server/kserve/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixpool::kserve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(TensorBytes, GoesBothWays) {
  std::string tensor;
  const std::string long_one(70'000, 'x');
  for (const std::string_view element :
       {std::string_view("ab"), std::string_view(""), std::string_view(long_one)}) {
    AppendBytes(element, &tensor);
  }
  EXPECT_EQ(tensor.substr(0, 10), std::string("\2\0\0\0ab\0\0\0\0", 10));
  const auto elements = SplitBytes(tensor, 3);
  ASSERT_TRUE(elements.ok()) << elements.status();
  EXPECT_THAT(*elements, ElementsAre("ab", "", long_one));
  EXPECT_EQ((*elements)[0].data(), tensor.data() + 4);  // a view
}

TEST(TensorBytes, EveryCutIsNoticed) {
  std::string tensor;
  AppendBytes("abc", &tensor);
  AppendBytes("defgh", &tensor);
  for (size_t cut = 0; cut < tensor.size(); ++cut) {
    EXPECT_FALSE(SplitBytes(std::string_view(tensor).substr(0, cut), 2).ok()) << cut;
  }
  EXPECT_TRUE(SplitBytes(tensor, 2).ok());
  EXPECT_FALSE(SplitBytes(tensor, 1).ok());
  EXPECT_FALSE(SplitBytes(tensor, 3).ok());
  EXPECT_THAT(std::string(SplitBytes("\xff\xff\xff\xff", 1).status().message()),
              HasSubstr("element 0 at byte 0"));
}

TEST(TensorBytes, MoreElementsThanWantedAreNotCollected) {
  const std::string tensor(4'000'000, '\0');  // a million empty elements
  EXPECT_THAT(std::string(SplitBytes(tensor, 2).status().message()), HasSubstr("more"));
}

}  // namespace
}  // namespace pixpool::kserve
