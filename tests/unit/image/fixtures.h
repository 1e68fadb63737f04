// The pictures that tests/support/make_images.py wrote, and the checks that several tests share.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/image/decode.h"

namespace pixpool::testing {

struct Fixture {
  std::string name;
  std::string bytes;
  std::string reason;    // empty if the picture decodes
  std::string expected;  // RGB
  int width = 0;
  int height = 0;
  DecodeOptions options;
  std::string damages;  // the names of their kinds, with commas
};

// The pictures whose names start with `prefix`, in the order of the index. Aborts if the index
// cannot be read.
std::vector<Fixture> LoadFixtures(std::string_view prefix);

// The picture that stands for a format. Aborts where make_images.py has none of that name.
Fixture LoadSample(std::string_view format);

// The bytes of one picture.
std::string LoadPicture(std::string_view name);

// ReadImageHeader and DecodeImage, with sides up to 65500.
absl::StatusOr<Image> Decode(std::string_view bytes, const DecodeOptions& options = {});

// Decodes a picture and checks pixels and damages, or the reason of the error. One with damages
// must fail where those are refused.
void CheckFixture(const Fixture& fixture);

// The name of the reason of an error that MakeError made, else the status as text.
std::string ReasonOf(const absl::Status& status);

// The names of the kinds of an image's damages, with commas.
std::string DamagesOf(const Image& image);

// Cuts the bytes at every point and checks that no cut before `end` yields a picture, neither on
// its own nor with the header of the whole file, and that one behind yields none but the whole.
void CheckEveryCutFails(std::string_view bytes, size_t end);

// Decodes `count` copies, each with a few random bytes changed: whatever comes out is an error that
// a client can understand, or a picture of the header's size.
void CheckDamagedCopies(std::string_view bytes, int count, uint32_t seed);

}  // namespace pixpool::testing
