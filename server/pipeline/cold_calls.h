// Calls whose model is idle.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/base/clock.h"
#include "server/base/ticker.h"
#include "server/metrics/metrics.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/model_registry.h"
#include "server/pipeline/request.h"

namespace pixpool {

// Keeps calls from the moment that they find their model idle until somebody has loaded it, once
// for all of them; then each goes on as if it had just come. They hold nothing that calls for other
// models need: at most a quarter of the requests and an eighth of the bytes that may be in flight
// wait, beside what is in flight.
//
// Thread-safe, never blocks. `done` is called on the thread that waits with the calls, or on the
// calling thread.
class ColdCalls {
 public:
  using Extract = std::function<void(ExtractRequest, ExtractDone)>;

  // Hands calls to `extract`, which must not throw. What it is given must outlive it.
  ColdCalls(const ModelRegistry* registry, Admission* admission, Metrics* metrics,
            const Clock* clock, Extract extract);
  ~ColdCalls();

  // Gives the request its model, and hands it on as soon as that is loaded. Ends a call that waits
  // with DEADLINE_EXCEEDED or CANCELLED when it is over, with OVERLOADED at once where too many
  // wait, and with DRAINING after Close. Whatever else may come of the load, the registry says.
  void Take(ExtractRequest request, ExtractDone done);

  // What calls wait for, but for what was told before and is not Loaded.
  std::vector<ModelKey> TakeWanted();
  // A load is over, well or not.
  void Loaded(const ModelKey& model);

  // None waits from here on.
  void Close();

  int waiting() const;

 private:
  struct Call {
    ExtractRequest request;
    ExtractDone done;
    int64_t bytes = 0;
    ByteHold hold;
    TimePoint since;
  };
  struct Waiting {
    std::vector<Call> calls;
    TimePoint since;    // of the first of them
    bool told = false;  // by TakeWanted
  };

  // Moves both, unless it fails.
  absl::Status Park(const ModelKey& model, ExtractRequest* request, ExtractDone* done);
  // Ends what is over and hands on what is loaded.
  void Look();
  void Resume(Call call);
  static void End(Call call, absl::Status status);

  const ModelRegistry* const registry_;
  Admission* const admission_;
  Metrics* const metrics_;
  const Clock* const clock_;
  const Extract extract_;

  mutable absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::map<ModelKey, Waiting> waiting_ ABSL_GUARDED_BY(mu_);
  std::vector<Call> loaded_ ABSL_GUARDED_BY(mu_);
  int count_ ABSL_GUARDED_BY(mu_) = 0;  // of both
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;

  std::optional<Ticker> ticker_;  // last: it uses everything above; from the first call on
};

}  // namespace pixpool
