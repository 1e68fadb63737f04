#include "server/input/picture_inputs.h"

#include <memory>
#include <utility>

#include "server/base/status_macros.h"
#include "server/image/rows.h"
#include "server/input/input_rows.h"

namespace pixpool {
namespace {

constexpr int kMirrored = 2;  // EXIF's orientation of that name

// Makes the inputs of all scales from one picture's rows, and notes how long that takes.
class AllScales final : public RowSink {
 public:
  // `keep`, unless null, gets the rows as well. It and the clock must outlive this.
  AllScales(const InputPlan& plan, const RowsSource& source, RowSink* keep, const Clock& clock)
      : keep_(keep), clock_(clock) {
    for (const double scale : plan.scales) {
      scales_.push_back(std::make_unique<InputRows>(ScaledPlan(plan, scale), source));
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
      if (flip) inputs.push_back(ApplyOrientation(CopyImage(inputs.back()), kMirrored));
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
  const Size floor = DecodeFloor(task.plan, full);
  options.min_width = floor.width;
  options.min_height = floor.height;
  decoding.source.stored = StoredSize(task.header, options);
  decoding.source.orientation = OrientationOf(task.header, options);
  const Size decoded = DecodedSize(task.header, options);
  decoding.keep = task.keep_picture && decoded == full;
  if (!decoding.keep) options.part = NeededRegion(task.plan, decoded, full);
  return decoding;
}

void GiveRaw(const PictureTask& task, RowSink* sink) {
  const Size size = {task.header.width, task.header.height};
  const Region all = {0, 0, size.width, size.height};
  sink->Begin(all, size);
  sink->Take(
      {.part = all, .data = reinterpret_cast<const uint8_t*>(task.bytes.data()), .readable = 0});
}

}  // namespace

absl::StatusOr<PictureInputs> MakeInputs(const PictureTask& task, const Clock& clock) {
  const TimePoint start = clock.Now();
  const Decoding decoding = DecodingOf(task);
  WholePicture kept;
  AllScales scales(task.plan, decoding.source, decoding.keep ? &kept : nullptr, clock);
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
  } else if (task.keep_picture) {
    DecodeOptions whole = decoding.options;
    whole.min_width = whole.min_height = 0;
    whole.part.reset();
    PIXPOOL_ASSIGN_OR_RETURN(made.picture, DecodeImage(task.bytes, task.header, whole));
  }
  made.preprocess_time = scales.time();
  made.decode_time = clock.Now() - start - made.preprocess_time;
  return made;
}

int64_t MostBytes(const PictureTask& task) {
  const Decoding decoding = DecodingOf(task);
  int64_t bytes = task.header.decode_bytes;
  for (const double scale : task.plan.scales) {
    const InputPlan plan = ScaledPlan(task.plan, scale);
    bytes += InputRows::MostBytes(plan, decoding.source) * (task.plan.flip ? 2 : 1);
  }
  if (task.keep_picture) {
    const Size full = UprightSize(task.header, task.plan.apply_exif);
    const int64_t picture = int64_t{3} * full.width * full.height;
    bytes += decoding.source.orientation > 1 ? 2 * picture : picture;
  }
  return bytes;
}

}  // namespace pixpool
