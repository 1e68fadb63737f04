// From one picture's bytes to what the network gets of it: decode, resize and crop, for all passes.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/image/decode.h"
#include "server/input/preprocess.h"

namespace pixpool {

struct PictureTask {
  std::string_view bytes;  // a file, or where is_raw the RGB pixels of the header's size
  ImageHeader header;      // of a file, read from these bytes
  bool is_raw = false;
  InputPlan plan;
  bool refuse_damaged = false;  // whether a damaged picture is an error
  bool keep_picture = false;    // whether the picture itself is wanted as well
  // Parts of the picture, upright and in full, each of which is a picture of its own.
  std::vector<Region> regions = {};
  bool whole = true;  // whether the picture as a whole has inputs
};

struct PictureInputs {
  // In the order of PassesOf(plan): of the whole picture, where it has any, then of each region.
  std::vector<Image> inputs;
  Image picture;       // upright and in full; empty unless it was to be kept
  DamageList damages;  // what was wrong with the file
  // Whether alpha was dropped although hidden colours matter (Image::has_hidden_colors).
  bool has_hidden_colors = false;
  TimeDuration decode_time{};
  TimeDuration preprocess_time{};
};

// Resizes while it decodes, so that of most formats no more is held than a window of rows
// (image/row_resizer.h). Decodes at a reduced scale where the plan allows it, and no more of the
// picture than the passes read. A picture that is kept is decoded in full as well, so that neither
// the inputs nor what is drawn on it depend on the other. The inputs of a region are those of the
// pixels that it cuts out of the picture in full. The times are what each took of the
// whole. Errors: DecodeRows'. Thread-safe, single-threaded; the same task always gives the same
// pixels.
absl::StatusOr<PictureInputs> MakeInputs(const PictureTask& task, const Clock& clock);

// Bytes that MakeInputs and its result hold at most, beside the task's.
int64_t MostBytes(const PictureTask& task);

}  // namespace pixpool
