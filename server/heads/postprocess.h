// What happens to a head's values after pooling: L2, projection, encoding. Plain loops in a fixed
// order, so that a vector comes out the same bit for bit whatever shared its batch. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"

namespace pixpool {

// How values travel (pixpool.v1.Encoding).
enum class Encoding { kFloat32, kFloat16, kInt8, kBinary };

std::string_view EncodingName(Encoding encoding);  // "float32"

// A PCA-whitening of a bundle: matrix * (x - mean), for L2-normalised x. Constant after loading.
struct Projection {
  std::string name;
  std::string layer;         // empty: of a vector of the graph
  std::string vector;        // empty: of a layer
  std::string head_kind;     // that it was fitted on
  std::string head_pooling;  // that head as HeadSpec::pooling; empty: only the kind is known
  int64_t input_dimensions = 0;
  int64_t output_dimensions = 0;
  int64_t pictures = 0;
  double explained_variance = 0;
  std::string sha256;          // of mean and matrix
  std::vector<float> mean;     // [input]
  std::vector<float> columns;  // [input, output]: the matrix's columns one after another
};

struct PostProcessing {
  bool l2_normalized = false;
  std::shared_ptr<const Projection> projection;  // null: none
  int64_t dimensions = 0;                        // kept of the projection
  Encoding encoding = Encoding::kFloat32;

  // The part that decides the vector space, as text: ";l2_normalized=true". FLOAT16 and INT8 round
  // the same vectors and do not show.
  std::string Canonical() const;
};

// Divides by the L2 norm, at least 1e-12, as torch.nn.functional.normalize.
void L2Normalize(absl::Span<float> values);

// The post-processing of a single pass of the network over a picture: L2.
void FinishPass(const PostProcessing& post, std::vector<float>& values);

// The sum of the vectors of several passes, L2-normalised. All have the same length.
std::vector<float> SumPasses(absl::Span<const std::vector<float>* const> passes);

// What follows the last pass: the projection, with its own L2 step behind it. `values` is what
// FinishPass or SumPasses left, as long as the projection's input.
void FinishVector(const PostProcessing& post, std::vector<float>& values);

// Values in an encoding other than float32, little-endian; sets `scale` for int8. See the proto
// file for each.
std::string Encode(absl::Span<const float> values, Encoding encoding, float& scale);

// The projection of one L2-normalised vector, first `dimensions` values.
std::vector<float> Project(const Projection& projection, absl::Span<const float> values,
                           int64_t dimensions);

}  // namespace pixpool
