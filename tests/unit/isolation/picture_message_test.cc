#include "server/isolation/picture_message.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>

#include "server/base/error.h"
#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

PictureTask TaskOf(std::string_view bytes) {
  PictureTask task;
  task.bytes = bytes;
  auto header = ReadImageHeader(bytes, {});
  EXPECT_TRUE(header.ok()) << header.status();
  if (header.ok()) task.header = *header;
  return task;
}

// Memory that holds a task's file, with room for what comes of it.
SharedBytes MemoryFor(const PictureTask& task) {
  SharedBytes memory = *SharedBytes::Make();
  EXPECT_TRUE(memory.Grow(LayOut(task)->end).ok());
  std::memcpy(memory.data(), task.bytes.data(), task.bytes.size());
  return memory;
}

TEST(PictureMessageTest, ATaskArrivesAsItWas) {
  PictureTask task;
  const std::string bytes = "a file";
  task.bytes = bytes;
  task.header = {.format = ImageFormat::kTiff,
                 .width = 30,
                 .height = 20,
                 .orientation = 6,
                 .decode_bytes = int64_t{5} << 32,
                 .decoded = {40, 50},
                 .is_always_turned = true};
  task.refuse_damaged = true;
  task.keep_picture = true;
  task.plan.resize = ResizeMode::kExact;
  task.plan.resize_size = 31;
  task.plan.interpolation = Interpolation::kBilinear;
  task.plan.crop = CropMode::kNone;
  task.plan.height = 17;
  task.plan.width = 18;
  task.plan.exact_height = 21;
  task.plan.exact_width = 22;
  task.plan.apply_exif = false;
  task.plan.scaled_decode = true;
  task.plan.background = {1, 2, 255};
  task.plan.scales = {0.5, 1, 2};
  task.plan.flip = true;
  task.plan.min_side = 12;
  task.plan.sizes = {.only = {{17, 18}, {34, 36}}, .multiple = 1};
  task.plan.scale = 0.25;
  task.regions = {{0, 0, 1, 2}, {3, 4, 17, 26}};  // of 20 x 30 pixels, since it is always turned
  task.whole = false;
  const auto read =
      ReadTask(WriteTask(task), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->bytes, task.bytes);
  EXPECT_EQ(read->header.format, task.header.format);
  EXPECT_EQ(read->header.width, 30);
  EXPECT_EQ(read->header.height, 20);
  EXPECT_EQ(read->header.orientation, 6);
  EXPECT_EQ(read->header.decode_bytes, int64_t{5} << 32);
  EXPECT_EQ(read->header.decoded, (Size{40, 50}));
  EXPECT_TRUE(read->header.is_always_turned);
  EXPECT_FALSE(read->is_raw);
  EXPECT_TRUE(read->refuse_damaged);
  EXPECT_TRUE(read->keep_picture);
  EXPECT_EQ(read->plan.Canonical(), task.plan.Canonical());
  EXPECT_EQ(read->plan.min_side, 12);
  EXPECT_EQ(read->plan.sizes, task.plan.sizes);
  EXPECT_EQ(read->plan.scale, 0.25);
  EXPECT_EQ(read->regions, task.regions);
  EXPECT_FALSE(read->whole);

  task.plan.background.reset();
  const auto plain = ReadTask(WriteTask(task), nullptr, bytes.size());
  ASSERT_TRUE(plain.has_value());
  EXPECT_FALSE(plain->plan.background.has_value());
  EXPECT_FALSE(ReadTask(WriteTask(task), nullptr, bytes.size() - 1).has_value());
}

// Upright, the picture is 20 x 30 pixels (width x height).
TEST(PictureMessageTest, RegionsBesideThePictureAreNoTask) {
  PictureTask task;
  task.header = {.width = 30, .height = 20, .orientation = 6};
  const auto taken = [&task](const Region& region) {
    task.regions = {{0, 0, 20, 30}, region};
    return ReadTask(WriteTask(task), nullptr, 0).has_value();
  };
  EXPECT_TRUE(taken({19, 29, 1, 1}));
  EXPECT_FALSE(taken({-1, 0, 5, 5}));
  EXPECT_FALSE(taken({0, -1, 5, 5}));
  EXPECT_FALSE(taken({0, 0, 0, 5}));
  EXPECT_FALSE(taken({0, 0, 5, -5}));
  EXPECT_FALSE(taken({0, 0, 21, 5}));
  EXPECT_FALSE(taken({0, 29, 5, 2}));
  EXPECT_FALSE(taken({std::numeric_limits<int>::max(), 0, 5, 5}));
}

TEST(PictureMessageTest, EachRegionHasAPlaceForEachPass) {
  PictureTask task;
  task.header = {.width = 300, .height = 200};
  task.plan.resize = ResizeMode::kNone;
  task.plan.crop = CropMode::kNone;
  task.plan.flip = true;
  task.regions = {{0, 0, 50, 40}, {10, 10, 60, 70}};
  const auto layout = LayOut(task);
  ASSERT_TRUE(layout.ok()) << layout.status();
  ASSERT_EQ(layout->inputs.size(), 6u);
  EXPECT_EQ(layout->inputs[1].size, (Size{300, 200}));
  EXPECT_EQ(layout->inputs[3].size, (Size{50, 40}));
  EXPECT_EQ(layout->inputs[4].size, (Size{60, 70}));
  task.whole = false;
  EXPECT_EQ(LayOut(task)->inputs.size(), 4u);
}

TEST(PictureMessageTest, PlacesDoNotOverlap) {
  PictureTask task;
  task.bytes = "12345";
  task.header = {.width = 300, .height = 200, .orientation = 6};
  task.plan.scales = {1, 2};
  task.plan.flip = true;
  task.keep_picture = true;
  const auto layout = LayOut(task);
  ASSERT_TRUE(layout.ok()) << layout.status();
  ASSERT_EQ(layout->inputs.size(), 4u);
  std::vector<PictureLayout::Place> places = layout->inputs;
  places.push_back(*layout->picture);
  size_t end = task.bytes.size();
  for (const auto& place : places) {
    EXPECT_GE(place.offset, end);
    end = place.offset + static_cast<size_t>(place.size.width * place.size.height * 3);
  }
  EXPECT_EQ(layout->end, end);
  EXPECT_EQ(layout->inputs[2].size, (Size{448, 448}));
  EXPECT_EQ(layout->picture->size, (Size{200, 300}));
}

TEST(PictureMessageTest, AnErrorArrivesAsItWas) {
  const std::string bytes = testing::LoadSample("png").bytes;
  PictureTask task = TaskOf(bytes);
  task.bytes = std::string_view(bytes).substr(0, bytes.size() / 2);
  SharedBytes memory = MemoryFor(task);
  const absl::Status here = MakeInputs(task, *Clock::Real()).status();
  const auto there = ReadReply(AnswerPicture(WriteTask(task), &memory), *LayOut(task), &memory);
  ASSERT_FALSE(here.ok());
  ASSERT_TRUE(there.has_value());
  EXPECT_EQ(there->status(), here);  // its details among it
}

TEST(PictureMessageTest, NoMemoryIsOverloaded) {
  PictureTask task;
  task.header = {.width = 30, .height = 20};
  SharedBytes memory = MemoryFor(task);
  const auto reply = ReadReply(AnswerNoMemory(), *LayOut(task), &memory);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(GetErrorDetails(reply->status())->reason, ErrorReason::kOverloaded);
}

// A worker that is not itself any more may say what it likes.
TEST(PictureMessageTest, AnyBytesAreSafeAsAReply) {
  const std::string bytes = testing::LoadSample("jpeg").bytes;
  PictureTask task = TaskOf(bytes);
  SharedBytes memory = MemoryFor(task);
  const PictureLayout layout = *LayOut(task);
  const std::string good = AnswerPicture(WriteTask(task), &memory);
  ASSERT_TRUE(ReadReply(good, layout, &memory).has_value());
  task.bytes = task.bytes.substr(0, 100);
  const std::string bad = AnswerPicture(WriteTask(task), &memory);
  ASSERT_TRUE(ReadReply(bad, layout, &memory).has_value());
  std::mt19937 rng(1);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string reply = i % 2 == 0 ? good : bad;
    if (i % 3 == 0) reply.resize(rng() % reply.size());
    for (int k = 0; k < 3 && !reply.empty(); ++k) {
      reply[rng() % reply.size()] = static_cast<char>(rng());
    }
    const auto read = ReadReply(reply, layout, &memory);
    if (!read) {
      ++refused;
      continue;
    }
    if (read->ok()) {
      ASSERT_EQ((*read)->inputs.size(), 1u);
      continue;
    }
    for (const char c : read->status().message()) ASSERT_TRUE(c >= 0x20 && c < 0x7f);
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace pixpool
