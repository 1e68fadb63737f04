// The pipeline: requests in, features out. The one file that knows the order of the stages is
// pipeline.cc.
#pragma once

#include <memory>

#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/isolation/decode_workers.h"
#include "server/metrics/metrics.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/cold_calls.h"
#include "server/pipeline/model_registry.h"
#include "server/pipeline/options.h"
#include "server/pipeline/request.h"

namespace pixpool {

// Decodes, preprocesses, batches and runs what Extract is given.
//
// Thread-safe. Extract and Pool never block and do no work beyond validation and reading headers;
// `done` is called exactly once: on the reply pool, that of Pool on the decode pool, or on the
// calling thread when the request is refused at once. The result carries the permit of the request,
// which counts as in flight until that is released. Destructor: Drain must have been called or
// nothing be in flight.
class Pipeline {
 public:
  // Files are decoded in `workers`, or where that is null in this process.
  Pipeline(PipelineOptions options, ModelRegistry* registry, Metrics* metrics, const Clock* clock,
           DecodeWorkers* workers = nullptr);
  ~Pipeline();

  void Extract(ExtractRequest request, ExtractDone done);
  void Pool(PoolRequest request, PoolDone done);

  // Whether a call has any chance of being admitted, asked before its message is read: a refusal
  // then costs next to nothing. OK promises nothing. Errors: OVERLOADED, DRAINING,
  // DEADLINE_EXCEEDED, CANCELLED; a refusal is counted as shed.
  absl::Status MayArrive(const CallContext& call);

  // What bounds requests, messages and what is kept for clients.
  Admission* admission();

  // Calls that wait for a model that is idle.
  ColdCalls* cold_calls();

  // Shares out the memory of the process, of which `resident` bytes are taken now that the models
  // are loaded: what passes may take at a time, and lower ceilings of admission where it is short.
  // Before, nothing bounds passes; to be called again where other models are loaded.
  // FAILED_PRECONDITION, and nothing changes, where it is too little to serve.
  absl::Status BoundMemory(int64_t resident);

  // Ends the threads of a model that the registry has no more and whose calls have all ended, and
  // gives up what was learned about it. False where a thread still has something of its last call:
  // to be asked again. Until it was true, the model must live.
  bool Forget(const Model& model);

  // Refuses new requests (DRAINING) and waits for those in flight, at most `timeout`. Returns
  // whether all finished.
  bool Drain(absl::Duration timeout);

  // UNAVAILABLE where a backbone pass has taken more than `times` what it may (--hang-timeout-ms);
  // OK again once it has ended. Never waits for one.
  absl::Status Progress(double times = 1) const;

  const PipelineOptions& options() const;
  Readings Gauges() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
  ColdCalls cold_calls_;
};

}  // namespace pixpool
