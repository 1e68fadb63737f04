#include "server/model/golden.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
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

// What the picture must give: a head, and the file of its values.
struct Expected {
  HeadSpec head;
  std::string values_path;
};

absl::StatusOr<std::vector<Expected>> AllExpected(const GoldenInfo& golden, const Model& model) {
  std::vector<std::pair<HeadRequest, std::string>> requests;
  requests.push_back({{.kind = "global_avg", .layer = golden.layer}, golden.values_path});
  for (const GoldenInfo::Vector& vector : golden.vectors) {
    HeadRequest request{.kind = std::string(kEmbedding)};
    if (vector.name != kEmbedding) {
      request.kind = "bundle_head";
      request.params["name"] = vector.name;
    }
    requests.push_back({std::move(request), vector.values_path});
  }
  std::vector<Expected> all;
  for (auto& [request, path] : requests) {
    PIXPOOL_ASSIGN_OR_RETURN(HeadSpec head, ValidateHead(request, model.info().Scope()));
    all.push_back({std::move(head), std::move(path)});
  }
  return all;
}

// The values of each head, from one pass.
absl::StatusOr<std::vector<std::vector<float>>> GoldenValues(const Bundle& bundle, Model& model,
                                                             const std::vector<Expected>& all) {
  PIXPOOL_ASSIGN_OR_RETURN(const Image input, GoldenInput(bundle));
  std::vector<HeadSpec> heads;
  for (const Expected& expected : all) heads.push_back(expected.head);
  const ModelTask task{&input, heads};
  ModelResult result;
  ModelRunTimes times;
  model.RunBatch({}, absl::MakeConstSpan(&task, 1), absl::MakeSpan(&result, 1), &times);
  PIXPOOL_RETURN_IF_ERROR(result.status);
  std::vector<std::vector<float>> values;
  for (auto& output : result.outputs) values.push_back(std::move(output.values));
  return values;
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
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<Expected> all, AllExpected(golden, model));
  const auto got = GoldenValues(bundle, model, all);
  if (!got.ok()) return fail(Concat("cannot be computed: ", got.status().message()));
  for (size_t i = 0; i < all.size(); ++i) {
    const std::vector<float>& values = (*got)[i];
    PIXPOOL_ASSIGN_OR_RETURN(const std::vector<float> expected,
                             ReadFloats(bundle, all[i].values_path, values.size()));
    for (size_t at = 0; at < values.size(); ++at) {
      if (!std::isfinite(values[at])) {
        return fail(Concat("gives a value that is not finite in channel ", at, " of '",
                           all[i].values_path, "'"));
      }
    }
    const double cosine = Cosine(values, expected);
    // Written so that NaN fails.
    if (!(cosine >= min_cosine)) {
      return fail(Concat("has a cosine of ", cosine, " with the expected '", all[i].values_path,
                         "', the manifest asks for at least ", min_cosine));
    }
  }
  return absl::OkStatus();
}

}  // namespace pixpool
