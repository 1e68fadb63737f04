#include "server/heads/windows.h"

#include <gtest/gtest.h>

#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

// Shapes of torch's own test_pooling_shape and of the ONNX backend tests.
TEST(WindowAxis, OutputSizesOfPublishedCases) {
  EXPECT_EQ((WindowAxis{.kernel = 1, .stride = 2, .ceil_mode = true}.OutputSize(6)), 3);
  EXPECT_EQ((WindowAxis{.kernel = 1, .stride = 2, .ceil_mode = true}.OutputSize(7)), 4);
  EXPECT_EQ((WindowAxis{.kernel = 2, .stride = 2, .padding = 1}.OutputSize(4)), 3);
  EXPECT_EQ((WindowAxis{.kernel = 2, .stride = 2, .padding = 1, .ceil_mode = true}.OutputSize(5)),
            3);
  EXPECT_EQ((WindowAxis{.kernel = 1, .stride = 2, .ceil_mode = true}.OutputSize(2)), 1);
  EXPECT_EQ((WindowAxis{.kernel = 2, .stride = 3, .ceil_mode = true}.OutputSize(7)), 3);
  EXPECT_LT((WindowAxis{.kernel = 9, .stride = 2}.OutputSize(7)), 1);
  EXPECT_EQ((WindowAxis{.kernel = 9, .stride = 9, .ceil_mode = true}.OutputSize(7)), 1);
}

// Counts positions one by one.
bool TouchesSlowly(const WindowAxis& w, int64_t input) {
  for (int64_t o = 0; o < w.OutputSize(input); ++o) {
    bool touches = false;
    for (int64_t k = 0; k < w.kernel; ++k) {
      const int64_t position = o * w.stride - w.padding + k * w.dilation;
      touches |= position >= 0 && position < input;
    }
    if (!touches) return false;
  }
  return true;
}

TEST(WindowAxis, FindsWindowsThatLieInThePadding) {
  int untouched = 0;
  for (int64_t kernel = 1; kernel <= 4; ++kernel)
    for (int64_t stride = 1; stride <= 3; ++stride)
      for (int64_t padding = 0; padding <= kernel / 2; ++padding)
        for (int64_t dilation = 1; dilation <= 4; ++dilation)
          for (bool ceil : {false, true})
            for (int64_t input = 1; input <= 9; ++input) {
              const WindowAxis w{kernel, stride, padding, dilation, ceil};
              EXPECT_EQ(w.AllWindowsTouch(input), TouchesSlowly(w, input));
              untouched += w.AllWindowsTouch(input) ? 0 : 1;
            }
  EXPECT_GT(untouched, 0);
}

TEST(CheckWindowOnMap, NamesFieldAndNumbers) {
  const HeadSpec head = MakeHead("max_pool", {{"kernel_size", std::vector<int64_t>{3, 9}}});
  EXPECT_TRUE(CheckWindowOnMap(head, 3, 9).ok());
  const absl::Status status = CheckWindowOnMap(head, 7, 8);
  EXPECT_EQ(DetailsOf(status).field, "max_pool.kernel_size");
  EXPECT_EQ(DetailsOf(status).reason, ErrorReason::kHeadInvalid);
  EXPECT_NE(status.message().find("window of 9"), status.message().npos) << status;
  EXPECT_NE(status.message().find("width of 8"), status.message().npos) << status;
}

TEST(CheckHeadOnMap, MaximumOverPaddingAloneHasNoNorm) {
  const ParamMap params = {
      {"kernel_size", int64_t{2}}, {"padding", int64_t{1}}, {"dilation", int64_t{2}}};
  EXPECT_TRUE(CheckHeadOnMap(MakeHead("max_pool", params), 1, 1).ok());
  const absl::Status status = CheckHeadOnMap(MakeHead("max_pool", params, true), 1, 1);
  EXPECT_EQ(DetailsOf(status).field, "max_pool.dilation");
}

TEST(WindowValueCount, CountsValuesAndIndices) {
  const HeadSpec plain = MakeHead("max_pool", {{"kernel_size", int64_t{2}}});
  EXPECT_EQ(WindowValueCount(plain, 10, 7, 4), 10 * 3 * 2);
  const HeadSpec indices =
      MakeHead("max_pool", {{"kernel_size", int64_t{2}}, {"return_indices", true}});
  EXPECT_EQ(WindowValueCount(indices, 10, 7, 4), 10 * 3 * 2 * 2);
  EXPECT_EQ(WindowValueCount(plain, 10, 1, 4), 0);
}

}  // namespace
}  // namespace pixpool
