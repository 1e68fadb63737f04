#include "client/cpp/image.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixpool::client {
namespace {

using testing::HasSubstr;

TEST(ImageTest, FileIsTakenWhole) {
  const std::string path =
      testing::TempDir() + "/" + std::to_string(getpid()) + "image_test_\n\xc3\xa4.jpg";
  const std::string bytes("\xff\xd8\0\r\n\x1a tail", 11);
  std::ofstream(path, std::ios::binary) << bytes;
  const auto image = ImageFromFile(path);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->encoded(), bytes);
  // Three bytes that a proto string or a log should not carry.
  EXPECT_THAT(image->image_id(), testing::EndsWith("image_test_???.jpg"));
  std::filesystem::remove(path);
}

TEST(ImageTest, FileErrors) {
  EXPECT_TRUE(absl::IsNotFound(ImageFromFile("/nowhere/cat.jpg").status()));
  const auto directory = ImageFromFile(testing::TempDir());
  EXPECT_THAT(std::string(directory.status().message()), HasSubstr("is a directory"));
  const std::string empty =
      testing::TempDir() + "/" + std::to_string(getpid()) + "image_test_empty.jpg";
  std::ofstream(empty).flush();
  EXPECT_THAT(std::string(ImageFromFile(empty).status().message()), HasSubstr("is empty"));
  std::filesystem::remove(empty);
}

TEST(ImageTest, WhatIsNoFileDoesNotHang) {
  const std::string fifo = testing::TempDir() + "/" + std::to_string(getpid()) + "image_test.fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(ImageFromFile(fifo).status().message(), fifo + " is a FIFO, not a picture");
  EXPECT_EQ(ImageFromFile("/dev/zero").status().message(), "/dev/zero is a device, not a picture");
  EXPECT_TRUE(absl::IsInvalidArgument(ImageFromFile(fifo).status()));
  std::filesystem::remove(fifo);
  std::filesystem::create_symlink(fifo, fifo);
  EXPECT_THAT(std::string(ImageFromFile(fifo).status().message()), HasSubstr("cannot open"));
  std::filesystem::remove(fifo);
}

TEST(ImageTest, FilesOfTheKernelSayNoSizeAndAreReadWhole) {
  const auto image = ImageFromFile("/proc/self/status");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_THAT(image->encoded(), HasSubstr("Name:"));
  EXPECT_EQ(image->encoded().back(), '\n');
}

TEST(ImageTest, Pixels) {
  const std::vector<uint8_t> pixels = {1, 2, 3, 4, 5, 6};
  const auto image = ImageFromPixels(pixels, 1, 2);
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->raw().pixels(), std::string("\1\2\3\4\5\6"));
  EXPECT_EQ(image->raw().height_px(), 1);
  EXPECT_EQ(image->raw().width_px(), 2);
  EXPECT_FALSE(ImageFromPixels(pixels, 2, 2).ok());
  EXPECT_FALSE(ImageFromPixels(pixels, -1, -2).ok());
  EXPECT_FALSE(ImageFromPixels({}, 0, 0).ok());
}

}  // namespace
}  // namespace pixpool::client
