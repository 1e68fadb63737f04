#include "server/input/picture_inputs.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "server/base/status_macros.h"
#include "server/image/rows.h"
#include "server/input/input_rows.h"

namespace pixpool {
namespace {

constexpr int kMirrored = 2;  // EXIF's orientation of that name

int64_t BytesOf(Size size) { return int64_t{3} * size.width * size.height; }

Image Mirrored(const Image& image) { return ApplyOrientation(CopyImage(image), kMirrored); }

// Makes the inputs of all scales from one picture's rows, and notes how long that takes.
class AllScales final : public RowSink {
 public:
  // `keep`, unless null, gets the rows as well. It and the clock must outlive this.
  AllScales(const PictureTask& task, const RowsSource& source, RowSink* keep, const Clock& clock)
      : keep_(keep), clock_(clock) {
    if (!task.whole) return;
    for (const double scale : task.plan.scales) {
      scales_.push_back(std::make_unique<InputRows>(ScaledPlan(task.plan, scale), source));
    }
  }

  void Begin(const Region& part, Size whole) override {
    if (keep_ != nullptr) keep_->Begin(part, whole);
  }

  void Take(const PixelRows& rows) override {
    Make(rows);
    if (keep_ != nullptr) keep_->Take(rows);
  }

  void TakeAll(Image image) override {
    Make(RowsOf(image));
    if (keep_ != nullptr) keep_->TakeAll(std::move(image));
  }

  // The inputs in the order of PassesOf, when all rows have come. Once.
  std::vector<Image> Finish(bool flip) {
    const TimePoint start = clock_.Now();
    std::vector<Image> inputs;
    for (const std::unique_ptr<InputRows>& scale : scales_) {
      inputs.push_back(scale->Finish());
      if (flip) inputs.push_back(Mirrored(inputs.back()));
    }
    time_ += clock_.Now() - start;
    return inputs;
  }

  TimeDuration time() const { return time_; }

 private:
  void Make(const PixelRows& rows) {
    const TimePoint start = clock_.Now();
    for (const std::unique_ptr<InputRows>& scale : scales_) scale->Take(rows);
    time_ += clock_.Now() - start;
  }

  std::vector<std::unique_ptr<InputRows>> scales_;
  RowSink* const keep_;
  const Clock& clock_;
  TimeDuration time_{};
};

// How a task's picture is decoded, and what comes of that.
struct Decoding {
  DecodeOptions options;
  RowsSource source;
  bool keep = false;  // whether the picture that is kept is this one
};

// Whether all of a file's picture has to be decoded.
bool NeedsPicture(const PictureTask& task) { return task.keep_picture || !task.regions.empty(); }

Decoding DecodingOf(const PictureTask& task) {
  const Size full = UprightSize(task.header, task.plan.apply_exif);
  Decoding decoding;
  DecodeOptions& options = decoding.options;
  options.apply_exif = task.plan.apply_exif;
  options.background = task.plan.background;
  options.refuse_damaged = task.refuse_damaged;
  decoding.keep = task.keep_picture;
  decoding.source = {.stored = full, .orientation = 1, .full = full};
  if (task.is_raw) return decoding;
  const Size floor = task.whole ? DecodeFloor(task.plan, full) : Size();
  options.min_width = floor.width;
  options.min_height = floor.height;
  decoding.source.stored = StoredSize(task.header, options);
  decoding.source.orientation = OrientationOf(task.header, options);
  const Size decoded = DecodedSize(task.header, options);
  decoding.keep = NeedsPicture(task) && decoded == full;
  if (!decoding.keep) options.part = NeededRegion(task.plan, decoded, full);
  return decoding;
}

PixelRows RawRows(const PictureTask& task) {
  return {.part = {0, 0, task.header.width, task.header.height},
          .data = reinterpret_cast<const uint8_t*>(task.bytes.data()),
          .readable = 0};
}

void GiveRaw(const PictureTask& task, RowSink* sink) {
  sink->Begin(RawRows(task).part, {task.header.width, task.header.height});
  sink->Take(RawRows(task));
}

// Adds the inputs of each region of a picture.
void AddRegionInputs(const PictureTask& task, const PixelRows& picture,
                     std::vector<Image>* inputs) {
  for (const Region& region : task.regions) {
    const Image crop = CropRows(picture, region);
    for (const double scale : task.plan.scales) {
      inputs->push_back(PreprocessCopy(crop, ScaledPlan(task.plan, scale)));
      if (task.plan.flip) inputs->push_back(Mirrored(inputs->back()));
    }
  }
}

}  // namespace

absl::StatusOr<PictureInputs> MakeInputs(const PictureTask& task, const Clock& clock) {
  const TimePoint start = clock.Now();
  const Decoding decoding = DecodingOf(task);
  WholePicture kept;
  AllScales scales(task, decoding.source, decoding.keep ? &kept : nullptr, clock);
  PictureInputs made;
  if (task.is_raw) {
    GiveRaw(task, &scales);
  } else {
    PIXPOOL_ASSIGN_OR_RETURN(DecodeNotes notes,
                             DecodeRows(task.bytes, task.header, decoding.options, &scales));
    made.damages = std::move(notes.damages);
    made.has_hidden_colors = notes.has_hidden_colors;
  }
  made.inputs = scales.Finish(task.plan.flip);
  if (decoding.keep) {
    made.picture = ApplyOrientation(kept.Finish(), decoding.source.orientation);
  } else if (NeedsPicture(task) && !task.is_raw) {
    DecodeOptions whole = decoding.options;
    whole.min_width = whole.min_height = 0;
    whole.part.reset();
    PIXPOOL_ASSIGN_OR_RETURN(made.picture, DecodeImage(task.bytes, task.header, whole));
  }
  const TimePoint decoded = clock.Now();
  AddRegionInputs(task, task.is_raw ? RawRows(task) : RowsOf(made.picture), &made.inputs);
  if (!task.keep_picture) made.picture = Image();
  made.preprocess_time = scales.time() + (clock.Now() - decoded);
  made.decode_time = clock.Now() - start - made.preprocess_time;
  return made;
}

int64_t MostBytes(const PictureTask& task) {
  const Decoding decoding = DecodingOf(task);
  int64_t bytes = task.header.decode_bytes;
  int64_t largest_region = 0;
  std::vector<RowsSource> sources;
  if (task.whole) sources.push_back(decoding.source);
  for (const Region& region : task.regions) {
    const Size size = {region.width, region.height};
    sources.push_back({.stored = size, .orientation = 1, .full = size});
    largest_region = std::max(largest_region, BytesOf(size));
  }
  for (const double scale : task.plan.scales) {
    const InputPlan plan = ScaledPlan(task.plan, scale);
    for (const RowsSource& source : sources) {
      bytes += InputRows::MostBytes(plan, source) * (task.plan.flip ? 2 : 1);
    }
  }
  if (task.keep_picture || (NeedsPicture(task) && !task.is_raw)) {
    const int64_t picture = BytesOf(UprightSize(task.header, task.plan.apply_exif));
    bytes += decoding.source.orientation > 1 ? 2 * picture : picture;
  }
  return bytes + largest_region;
}

}  // namespace pixpool
