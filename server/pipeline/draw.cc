#include "server/pipeline/draw.h"

#include <string>

#include "server/base/error.h"
#include "server/base/guarded.h"
#include "server/base/status_macros.h"
#include "server/image/heatmap.h"
#include "server/image/rows.h"

namespace pixpool {
namespace {

constexpr char kFloats[] = "floats";
constexpr char kOverlay[] = "png_overlay";

std::string DrawPng(const ActivationView& map, const HeadSpec& head, const Image& picture,
                    Size size) {
  if (!DrawsOnPicture(head)) return EncodePng(DrawHeatmap(map, size.height, size.width));
  Image canvas = CopyImage(picture);
  LayHeatmapOver(map, canvas);
  return EncodePng(canvas);
}

}  // namespace

bool Draws(const HeadSpec& head) { return head.output() == HeadOutputKind::kActivationMap; }

bool DrawsOnPicture(const HeadSpec& head) { return Draws(head) && head.Enum("format") == kOverlay; }

namespace {

std::string NothingToShow(const HeadSpec& head) {
  return head.type->needs_classifier() ? "no cell has evidence for the class"
                                       : "no cell of the map is above 0";
}

// A picture whose maps are drawn: that of an image, or a crop of it.
struct Canvas {
  Size picture;
  Size input;
  const Image& pixels;  // empty unless a head draws on them
};

absl::Status DrawMaps(const RequestWork& work, const Canvas& canvas,
                      std::vector<HeadOutput>* outputs) {
  const Size picture = canvas.picture;
  const InputPlan plan = ScaledPlan(work.plan, work.passes.front().scale);
  for (size_t h = 0; h < outputs->size(); ++h) {
    const HeadSpec& head = (*work.result.heads)[h];
    if (!Draws(head)) continue;
    HeadOutput& output = (*outputs)[h];
    const ActivationView map = {.values = output.values,
                                .height = static_cast<int>(output.shape[0]),
                                .width = static_cast<int>(output.shape[1]),
                                .area = SeenArea(plan, picture)};
    output.box =
        EvidenceBox(map, canvas.input.height, canvas.input.width, picture.height, picture.width);
    if (output.box == Region()) output.warnings.push_back(NothingToShow(head));
    if (head.Enum("format") == kFloats) continue;
    output.png = DrawPng(map, head, canvas.pixels, picture);
    if (output.png.empty()) {
      return MakeError(ErrorReason::kOverloaded, "there is no memory for the heatmap");
    }
    output.values.clear();
    output.shape.clear();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DrawActivationMaps(const RequestWork& work, ImageState& image) {
  ImageFeatures& features = image.features;
  const Canvas whole = {features.picture, features.input, image.picture};
  PIXPOOL_RETURN_IF_ERROR(DrawMaps(work, whole, &features.outputs));
  for (size_t r = 0; r < image.crops.size(); ++r) {
    const CropState& crop = image.crops[r];
    const Image pixels =
        image.picture.empty() ? Image() : CropRows(RowsOf(image.picture), crop.part);
    const Canvas canvas = {{crop.part.width, crop.part.height}, crop.input, pixels};
    PIXPOOL_RETURN_IF_ERROR(DrawMaps(work, canvas, &features.regions[r].outputs));
  }
  return absl::OkStatus();
}

void DrawImage(const ImageWork& image, const Clock* clock) {
  const RequestWork& work = *image.work;
  const TimePoint start = clock->Now();
  FailImageUnlessOk(image, Guarded("draw_failed", "drawing a heatmap failed", [&] {
                      absl::Status status = work.context().Check(start, "draw");
                      if (status.ok()) return DrawActivationMaps(work, image.state());
                      work.metrics().Cancelled(Stage::kDraw, CancelReason(status));
                      return status;
                    }));
  const TimeDuration took = clock->Now() - start;
  StageSlot(image.state().features, Stage::kDraw) = took;
  work.metrics().StageTime(Stage::kDraw, ToSeconds(took));
}

}  // namespace pixpool
