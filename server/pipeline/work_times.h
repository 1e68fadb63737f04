// What work is predicted to take, by what such work took. Internal to server/pipeline.
#pragma once

#include "absl/types/span.h"
#include "server/base/clock.h"
#include "server/pipeline/service_times.h"
#include "server/pipeline/work.h"

namespace pixpool {

// From when on a piece of work is long, where it is dear: it leaves a thread to those that are not.
inline constexpr double kLongSeconds = 0.25;
// From when on as few dear passes as possible are queued behind others.
inline constexpr double kHeavySeconds = 0.1;

// Map values that the heads read in a pass over an image with an input of this size, roughly.
double OperationsOfPass(const RequestWork& work, const ImageState& image,
                        absl::Span<const LayerInfo> layers, Size input);

// Seconds on one thread. Decoding goes by the picture's format and pixels, the backbone by the
// input's, heads by the map values that they read: dear ones do not make others look dear.
// Thread-safe.
class WorkTimes {
 public:
  // Notes in an image of a request, whose header was read, what it will take.
  void Predict(const RequestWork& work, ImageState* image) const;
  // One pass over an image with an input of this size.
  double PredictPass(const RequestWork& work, const ImageState& image, Size input) const;
  // Whether a pass of so many seconds takes several times what the model's usual ones do. Where
  // cores are short all passes take longer, and that makes none of them dear.
  bool IsDear(const RequestWork& work, double pass_seconds) const;

  // A picture was decoded and preprocessed.
  void Decoded(const RequestWork& work, const ImageState& image, TimeDuration took);
  // A pass has ended well.
  void PassEnded(const ImageWork& pass);

  // Gives up what was learned of a model that no request has any more.
  void Forget(const Model& model);

  // PoolTensor's heads: values that come, go and are read.
  double PredictPooling(double values) const;
  void Pooled(double values, double seconds);

 private:
  static constexpr char kHeads = 0;  // kinds of ServiceTimes, by their addresses
  static constexpr char kPooling = 0;

  ServiceTimes times_;
};

}  // namespace pixpool
