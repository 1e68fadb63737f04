#include "server/kserve/regions.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/pipeline/limits.h"

namespace pixpool::kserve {
namespace {

constexpr int64_t kEdges = 4;

// Rows of "regions" for each image.
absl::StatusOr<int64_t> RowsEach(const Input& regions, int64_t images) {
  const auto& shape = regions.tensor->shape();
  const int last = shape.size() - 1;
  const bool of_each = shape.size() == 3 && shape[0] == images;
  const bool of_one = shape.size() == 2 && images == 1;
  const bool good = (of_each || of_one) && shape[last] == kEdges && shape[last - 1] >= 0;
  if (good && regions.tensor->datatype() == "FP32") return shape[last - 1];
  return regions.Error(
      good ? "datatype" : "shape",
      Concat("is ", regions.TypeText(), "; for ", images, " images it must be FP32 [", images,
             ",R,4]", images == 1 ? " or [R,4]" : "",
             ": left, top, right and bottom of R regions of each image, of which \"region_count\" "
             "may say how many are meant"));
}

// The numbers of regions as sent, of one type.
template <typename T>
absl::StatusOr<std::vector<int64_t>> CountsOf(const Input& input,
                                              const google::protobuf::RepeatedField<T>& contents,
                                              int64_t images) {
  PIXPOOL_ASSIGN_OR_RETURN(const Numbers<T> numbers,
                           Numbers<T>::Of(input, contents, static_cast<double>(images)));
  std::vector<int64_t> counts;
  for (int64_t i = 0; i < images; ++i) counts.push_back(numbers[static_cast<size_t>(i)]);
  return counts;
}

absl::StatusOr<std::vector<int64_t>> ReadCounts(const Input& input, int64_t images) {
  const auto& shape = input.tensor->shape();
  const bool flat = shape.size() == 1 || (shape.size() == 2 && shape[1] == 1);
  const bool fits = flat && shape[0] == images;
  const auto& contents = input.tensor->contents();
  const std::string& type = input.tensor->datatype();
  if (fits && type == "INT32") return CountsOf(input, contents.int_contents(), images);
  if (fits && type == "INT64") return CountsOf(input, contents.int64_contents(), images);
  return input.Error(
      fits ? "datatype" : "shape",
      Concat("is ", input.TypeText(), "; for ", images, " images it must be INT32 or INT64 [",
             images, "] or [", images, ",1]: how many regions each image has"));
}

// How many regions each image has, of `rows` that are sent for each.
absl::StatusOr<std::vector<int64_t>> RegionCounts(const Inputs& inputs, int64_t images,
                                                  int64_t rows) {
  if (!inputs.region_count) return std::vector<int64_t>(static_cast<size_t>(images), rows);
  const Input& input = *inputs.region_count;
  PIXPOOL_ASSIGN_OR_RETURN(std::vector<int64_t> counts, ReadCounts(input, images));
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] >= 0 && counts[i] <= rows) continue;
    return input.ValueError(Concat("of image ", i, " is ", counts[i], "; it must be 0 to ", rows,
                                   ", for which \"regions\" has room"));
  }
  return counts;
}

}  // namespace

absl::Status SetRegions(const Inputs& inputs, const PipelineOptions& options, bool relative,
                        ExtractRequest* request) {
  if (!inputs.regions) {
    if (!inputs.region_count) return absl::OkStatus();
    return inputs.region_count->Error("name", "counts those of \"regions\", which is not sent");
  }
  const Input& input = *inputs.regions;
  const auto images = static_cast<int64_t>(request->images.size());
  PIXPOOL_ASSIGN_OR_RETURN(const int64_t rows, RowsEach(input, images));
  const double values = static_cast<double>(images) * static_cast<double>(rows) * kEdges;
  PIXPOOL_ASSIGN_OR_RETURN(
      const Numbers<float> edges,
      Numbers<float>::Of(input, input.tensor->contents().fp32_contents(), values));
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<int64_t> counts, RegionCounts(inputs, images, rows));
  if (std::all_of(counts.begin(), counts.end(), [](int64_t count) { return count == 0; })) {
    return input.Error("shape", Concat("is ", input.TypeText(),
                                       ", and no image has a region; leave the input out, and the "
                                       "heads are applied to the whole images"));
  }
  for (size_t i = 0; i < counts.size(); ++i) {
    ImageInput& image = request->images[i];
    // Before any is read: a message has room for millions.
    image.invalid = CheckRegionCount(options, static_cast<size_t>(counts[i]));
    if (!image.invalid.ok()) continue;
    const size_t first = i * static_cast<size_t>(rows);
    for (size_t row = first; row < first + static_cast<size_t>(counts[i]); ++row) {
      const size_t at = row * kEdges;
      image.regions.push_back({.id = {},
                               .box = {edges[at], edges[at + 1], edges[at + 2], edges[at + 3]},
                               .relative = relative});
    }
  }
  return absl::OkStatus();
}

}  // namespace pixpool::kserve
