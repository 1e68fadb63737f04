#include "server/model/golden.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/bundle/bundle_data.h"
#include "server/image/decode.h"
#include "server/input/preprocess.h"

namespace pixpool {
namespace {

constexpr int kMaxGoldenSide = 16'384;

// NaN where either vector is zero or holds NaN.
double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double dot = 0;
  double aa = 0;
  double bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return dot / std::sqrt(aa * bb);
}

absl::StatusOr<Image> GoldenInput(const Bundle& bundle) {
  PIXPOOL_ASSIGN_OR_RETURN(const std::string bytes,
                           ReadBytes(bundle, bundle.manifest.golden.image_path));
  PIXPOOL_ASSIGN_OR_RETURN(const ImageHeader header, ReadImageHeader(bytes, ImageLimits()));
  PIXPOOL_ASSIGN_OR_RETURN(Image picture, DecodeImage(bytes, header, DecodeOptions()));
  PIXPOOL_ASSIGN_OR_RETURN(const InputPlan plan,
                           MakeInputPlan(bundle.manifest.input, InputOptions(), kMaxGoldenSide));
  return Preprocess(std::move(picture), plan);
}

absl::StatusOr<std::vector<float>> GoldenVector(const Bundle& bundle, Model& model) {
  PIXPOOL_ASSIGN_OR_RETURN(const Image input, GoldenInput(bundle));
  HeadRequest request;
  request.kind = "global_avg";
  request.layer = bundle.manifest.golden.layer;
  PIXPOOL_ASSIGN_OR_RETURN(const HeadSpec head, ValidateHead(request, model.info().Scope()));
  const ModelTask task{&input, absl::MakeConstSpan(&head, 1)};
  ModelResult result;
  ModelRunTimes times;
  model.RunBatch({}, absl::MakeConstSpan(&task, 1), absl::MakeSpan(&result, 1), &times);
  PIXPOOL_RETURN_IF_ERROR(result.status);
  return std::move(result.outputs[0].values);
}

}  // namespace

absl::Status CheckGolden(const Bundle& bundle, Model& model, double min_cosine) {
  if (!bundle.manifest.has_golden) return absl::OkStatus();
  const GoldenInfo& golden = bundle.manifest.golden;
  const auto fail = [&](std::string_view what) {
    return absl::FailedPreconditionError(
        Concat("bundle ", bundle.dir, ": the golden picture '", golden.image_path, "' ", what,
               "; the model would give wrong features, so it is not served"));
  };
  const absl::StatusOr<std::vector<float>> got = GoldenVector(bundle, model);
  if (!got.ok()) return fail(Concat("cannot be computed: ", got.status().message()));
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<float> expected,
                           ReadFloats(bundle, golden.values_path, got->size()));
  for (size_t i = 0; i < got->size(); ++i) {
    if (!std::isfinite((*got)[i])) {
      return fail(Concat("gives a value that is not finite in channel ", i));
    }
  }
  const double cosine = Cosine(*got, expected);
  // Written so that NaN fails.
  if (!(cosine >= min_cosine)) {
    return fail(Concat("has a cosine of ", cosine, " with the expected '", golden.values_path,
                       "', the manifest asks for at least ", min_cosine));
  }
  return absl::OkStatus();
}

}  // namespace pixpool
