#include "tests/unit/image/fixtures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <sstream>
#include <utility>

#include "server/base/error.h"
#include "server/image/codec.h"

namespace pixpool::testing {
namespace {

const ImageLimits kLimits = {10 << 20, 50'000'000, 65'500};

std::string ReadFile(std::string_view name) {
  const std::string path = std::string(PIXPOOL_TEST_IMAGES) + "/" + std::string(name);
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::cerr << "cannot read " << path << "; the ctest fixture make_images writes it\n";
    std::abort();
  }
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::optional<std::array<uint8_t, 3>> ParseColor(const std::string& text) {
  if (text == "-") return std::nullopt;
  std::istringstream in(text);
  int r = 0;
  int g = 0;
  int b = 0;
  char comma = 0;
  in >> r >> comma >> g >> comma >> b;
  return std::array<uint8_t, 3>{static_cast<uint8_t>(r), static_cast<uint8_t>(g),
                                static_cast<uint8_t>(b)};
}

// Whether a name, such as "avif_grey.avif" or "sample_avif", is of a format that this build lacks.
bool IsOfAFormatNotBuilt(std::string_view name) {
  for (const Codec* codec : kCodecs) {
    const std::string format(codec->name);
    if (codec->is_built()) continue;
    if (name.starts_with(format + "_") || name.starts_with("sample_" + format)) return true;
  }
  return false;
}

void CheckPixels(const Fixture& fixture, const Image& image) {
  ASSERT_EQ(image.width(), fixture.width);
  ASSERT_EQ(image.height(), fixture.height);
  ASSERT_EQ(image.byte_size(), fixture.expected.size());
  // Every byte; where one differs, how many do and the first of them say more than two pictures.
  size_t differing = 0;
  for (size_t i = 0; i < image.byte_size(); ++i) {
    if (image.data()[i] != static_cast<uint8_t>(fixture.expected[i]) && ++differing == 1) {
      ADD_FAILURE() << "value " << i << " is " << int{image.data()[i]} << ", wanted "
                    << int{static_cast<uint8_t>(fixture.expected[i])};
    }
  }
  EXPECT_EQ(differing, 0u);
}

}  // namespace

std::vector<Fixture> LoadFixtures(std::string_view prefix) {
  std::istringstream index(ReadFile("index.tsv"));
  std::vector<Fixture> fixtures;
  for (std::string line; std::getline(index, line);) {
    if (line.compare(0, prefix.size(), prefix) != 0 || IsOfAFormatNotBuilt(line)) continue;
    std::istringstream in(line);
    std::string file, expected, background;
    Fixture fixture;
    in >> fixture.name >> file >> fixture.reason >> expected >> fixture.width >> fixture.height >>
        background >> fixture.options.apply_exif >> fixture.damages;
    if (fixture.damages == "-") fixture.damages.clear();
    if (fixture.reason == "-") fixture.reason.clear();
    fixture.bytes = ReadFile(file);
    if (expected != "-") fixture.expected = ReadFile(expected);
    fixture.options.background = ParseColor(background);
    fixtures.push_back(std::move(fixture));
  }
  return fixtures;
}

Fixture LoadSample(std::string_view format) {
  const std::string name = "sample_" + std::string(format);
  for (Fixture& fixture : LoadFixtures(name)) {
    if (fixture.name == name) return std::move(fixture);
  }
  std::cerr << "tests/support/make_images.py has no pictures of the format " << format << "\n";
  std::abort();
}

std::string LoadPicture(std::string_view name) { return ReadFile(name); }

absl::StatusOr<Image> Decode(std::string_view bytes, const DecodeOptions& options) {
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, kLimits);
  if (!header.ok()) return header.status();
  return DecodeImage(bytes, *header, options);
}

std::string ReasonOf(const absl::Status& status) {
  const std::optional<ErrorDetails> details = GetErrorDetails(status);
  return details.has_value() ? std::string(ReasonName(details->reason)) : status.ToString();
}

void CheckFixture(const Fixture& fixture) {
  SCOPED_TRACE(fixture.name);
  const absl::StatusOr<Image> image = Decode(fixture.bytes, fixture.options);
  if (fixture.reason.empty()) {
    ASSERT_TRUE(image.ok()) << image.status();
    CheckPixels(fixture, *image);
    EXPECT_EQ(DamagesOf(*image), fixture.damages);
    DecodeOptions strict = fixture.options;
    strict.refuse_damaged = true;
    const absl::Status refusal = Decode(fixture.bytes, strict).status();
    EXPECT_EQ(refusal.ok(), fixture.damages.empty()) << refusal;
    if (!refusal.ok()) {
      EXPECT_EQ(ReasonOf(refusal), "IMAGE_UNDECODABLE");
    }
  } else {
    ASSERT_FALSE(image.ok());
    EXPECT_EQ(ReasonOf(image.status()), fixture.reason) << image.status();
    EXPECT_FALSE(image.status().message().empty());
  }
}

std::string DamagesOf(const Image& image) {
  std::string names;
  for (const Damage& damage : image.damages()) {
    if (!names.empty()) names += ',';
    names += DamageKindName(damage.kind);
  }
  return names;
}

void CheckEveryCutFails(std::string_view bytes, size_t end) {
  ASSERT_GE(end, 256u);
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, kLimits);
  ASSERT_TRUE(header.ok()) << header.status();
  const absl::StatusOr<Image> whole = Decode(bytes);
  ASSERT_TRUE(whole.ok()) << whole.status();
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    // A copy of its own, so that a read past the cut is seen by the address sanitizer.
    const std::vector<char> copy(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(cut));
    const std::string_view part(copy.data(), copy.size());
    const absl::StatusOr<Image> image = Decode(part);
    if (cut < end) {
      ASSERT_FALSE(image.ok()) << "cut after " << cut << " of " << bytes.size();
      ASSERT_FALSE(DecodeImage(part, *header, {}).ok()) << "cut after " << cut;
    } else if (image.ok()) {
      ASSERT_EQ(image->byte_size(), whole->byte_size());
      ASSERT_EQ(std::memcmp(image->data(), whole->data(), whole->byte_size()), 0) << cut;
    }
  }
}

void CheckDamagedCopies(std::string_view bytes, int count, uint32_t seed) {
  std::mt19937 random(seed);
  for (int i = 0; i < count; ++i) {
    std::string copy(bytes);
    for (uint32_t change = 0; change <= i % 8u; ++change) {
      copy[random() % copy.size()] = static_cast<char>(random());
    }
    const absl::StatusOr<ImageHeader> header = ReadImageHeader(copy, kLimits);
    const absl::StatusOr<Image> image =
        header.ok() ? DecodeImage(copy, *header, {}) : absl::StatusOr<Image>(header.status());
    if (!image.ok()) {
      EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument) << image.status();
      continue;
    }
    const bool turned = header->orientation >= 5;
    EXPECT_EQ(image->width(), turned ? header->height : header->width);
    EXPECT_EQ(image->height(), turned ? header->width : header->height);
  }
}

}  // namespace pixpool::testing
