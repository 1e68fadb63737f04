#include "client/cli/region_flags.h"

#include <array>
#include <cmath>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pixpool::cli {
namespace {

// "10,20,110,220", or "5%,10%,50%,90%".
std::optional<v1::Region> ParseBox(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  std::array<float, 4> edges;
  if (parts.size() != edges.size()) return std::nullopt;
  size_t shares = 0;
  for (size_t i = 0; i < edges.size(); ++i) {
    absl::string_view number = parts[i];
    const bool share = absl::ConsumeSuffix(&number, "%");
    shares += share ? 1 : 0;
    if (!absl::SimpleAtof(number, &edges[i]) || !std::isfinite(edges[i])) return std::nullopt;
    if (share) edges[i] /= 100;
  }
  if (shares != 0 && shares != edges.size()) return std::nullopt;
  v1::Region region;
  region.set_left(edges[0]);
  region.set_top(edges[1]);
  region.set_right(edges[2]);
  region.set_bottom(edges[3]);
  region.set_relative(shares > 0);
  return region;
}

}  // namespace

void RegionFlags::Add(CLI::App& app) {
  app.add_option("--box", boxes,
                 "Region of every picture: left, top, right and bottom in pixels of it upright, or "
                 "with % in shares, such as 0%,0%,50%,100%; repeatable. Each has every head's "
                 "result, in place of the picture")
      ->type_name("L,T,R,B")
      ->allow_extra_args(false)  // what follows its value is a path
      ->group("Regions");
  app.add_option("--box-mode", mode,
                 "map: one pass over the picture, whose map is pooled under each box; crop: a pass "
                 "for each box, as if it had been cut out and sent; default: map")
      ->check(CLI::IsMember({"map", "crop"}).description(""))
      ->type_name("map|crop")
      ->group("Regions");
  app.add_option("--box-pooling", pooling, "How a map is pooled under a box; default: roi_align")
      ->check(CLI::IsMember({"roi_align", "roi_pool"}).description(""))
      ->type_name("roi_align|roi_pool")
      ->group("Regions");
  app.add_option("--box-size", size, "Cells of a box's map, or N for both sides; default: 7")
      ->type_name("HxW")
      ->group("Regions");
  app.add_flag("--with-picture", include_image, "Results of the whole picture as well")
      ->group("Regions");
}

absl::StatusOr<std::vector<v1::Region>> RegionFlags::Regions() const {
  std::vector<v1::Region> regions;
  for (const std::string& text : boxes) {
    const std::optional<v1::Region> region = ParseBox(text);
    if (!region) {
      return absl::InvalidArgumentError(
          absl::StrCat("--box must be left,top,right,bottom, such as 10,20,110,220 in pixels or "
                       "0%,0%,50%,100%, not ",
                       text));
    }
    regions.push_back(*region);
  }
  return regions;
}

absl::Status RegionFlags::Apply(v1::StreamConfig& config) const {
  const bool any = !mode.empty() || !pooling.empty() || !size.empty() || include_image;
  if (!any) return absl::OkStatus();
  if (boxes.empty()) {
    return absl::InvalidArgumentError(
        "--box-mode, --box-pooling, --box-size and --with-picture say what becomes of boxes; name "
        "some with --box");
  }
  v1::RegionOptions& options = *config.mutable_region_options();
  if (mode == "map") options.set_mode(v1::REGION_MODE_MAP);
  if (mode == "crop") options.set_mode(v1::REGION_MODE_CROP);
  if (pooling == "roi_align") options.set_pooling(v1::REGION_POOLING_ROI_ALIGN);
  if (pooling == "roi_pool") options.set_pooling(v1::REGION_POOLING_ROI_POOL);
  options.set_include_image(include_image);
  if (size.empty()) return absl::OkStatus();
  for (const absl::string_view part : absl::StrSplit(size, absl::ByAnyChar("xX"))) {
    int side;
    if (!absl::SimpleAtoi(part, &side) || options.output_size_size() == 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("--box-size must be HxW or N, such as 7 or 3x5, not ", size));
    }
    options.add_output_size(side);
  }
  return absl::OkStatus();
}

}  // namespace pixpool::cli
