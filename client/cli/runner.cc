#include "client/cli/runner.h"

#include <map>
#include <optional>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "client/cpp/error.h"
#include "client/cpp/image.h"
#include "client/cpp/stream.h"
#include "client/cpp/values.h"

namespace pixpool::cli {
namespace {

bool IsFatal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return !client::WasShed(status);
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return true;
    default:
      return false;
  }
}

// The exit code that a failed picture alone would give.
ExitCode PictureExitCode(const ImageOutcome& outcome) {
  const bool passing =
      absl::IsUnavailable(outcome.status) || absl::IsDeadlineExceeded(outcome.status);
  // gRPC refuses the call for the size of its picture.
  const bool too_large = absl::IsResourceExhausted(outcome.status);
  return (outcome.call_failed && !too_large) || passing ? ExitCodeFor(outcome.status)
                                                        : kExitSomeFailed;
}

// Puts outcomes back in order. Put is thread-safe; everything else belongs to the thread that runs
// the job.
class Emitter {
 public:
  Emitter(size_t total, Writer& writer, Progress& progress) : writer_(writer), progress_(progress) {
    summary_.total = total;
  }

  void Put(ImageOutcome outcome) {
    absl::MutexLock lock(&mu_);
    const size_t index = outcome.index;
    ready_.emplace(index, std::move(outcome));
  }

  // Writes what is next in order; with `wait`, blocks until there is something.
  void Drain(bool wait) {
    while (std::optional<ImageOutcome> outcome = Take(wait)) {
      Emit(*outcome);
      wait = false;
    }
  }

  bool stopped() const { return !summary_.fatal.ok() || !summary_.output.ok(); }
  size_t done() const { return summary_.done; }

  // For a failure of the whole run that belongs to no picture.
  void Fail(const absl::Status& status) {
    if (summary_.fatal.ok()) summary_.fatal = status;
  }

  Summary Finish() {
    progress_.Clear();
    if (summary_.output.ok()) summary_.output = writer_.Finish();
    const size_t ok = summary_.done - summary_.failed;
    if (!summary_.output.ok()) {
      summary_.exit_code = kExitInternal;
    } else if (!summary_.fatal.ok()) {
      summary_.exit_code = ExitCodeFor(summary_.fatal);
    } else if (summary_.failed > 0) {
      summary_.exit_code = ok == 0 && same_failure_ ? *same_failure_ : kExitSomeFailed;
    }
    return std::move(summary_);
  }

 private:
  std::optional<ImageOutcome> Take(bool wait) {
    absl::MutexLock lock(&mu_);
    if (wait) mu_.Await(absl::Condition(this, &Emitter::HasNext));
    if (!HasNext()) return std::nullopt;
    return std::move(ready_.extract(ready_.begin()).mapped());
  }

  bool HasNext() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !ready_.empty() && ready_.begin()->first == next_;
  }

  void Emit(const ImageOutcome& outcome) {
    {
      absl::MutexLock lock(&mu_);
      ++next_;
    }
    ++summary_.done;
    if (!outcome.status.ok()) {
      const ExitCode code = PictureExitCode(outcome);
      if (++summary_.failed == 1) {
        same_failure_ = code;
      } else if (same_failure_ != code) {
        same_failure_.reset();
      }
      if (EndsRun(outcome)) Fail(outcome.status);
    }
    if (summary_.output.ok()) {
      progress_.Clear();
      summary_.output = writer_.Add(outcome);
    }
    progress_.Update(summary_.done, summary_.failed);
  }

  Writer& writer_;
  Progress& progress_;
  Summary summary_;
  std::optional<ExitCode> same_failure_;  // of all failed pictures so far

  absl::Mutex mu_;
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<size_t, ImageOutcome> ready_ ABSL_GUARDED_BY(mu_);
};

ImageOutcome MakeOutcome(const Job& job, size_t index) {
  ImageOutcome outcome;
  outcome.index = index;
  outcome.path = job.paths[index];
  return outcome;
}

// A picture with the regions that all have.
absl::StatusOr<v1::Image> ReadImage(const Job& job, size_t index) {
  absl::StatusOr<v1::Image> image = client::ImageFromFile(job.paths[index]);
  if (image.ok()) image->mutable_regions()->Add(job.regions.begin(), job.regions.end());
  return image;
}

void SetResult(v1::ImageResult result, v1::ModelReference model, ImageOutcome& outcome) {
  if (result.has_status()) {
    outcome.status = client::FromRpcStatus(result.status());
  } else if (result.has_features()) {
    outcome.features = std::move(*result.mutable_features());
    outcome.model = std::move(model);
    const auto check = [&outcome](const auto& heads) {
      for (const v1::HeadResult& head : heads) {
        outcome.status.Update(client::DecodeValues(head).status());
      }
    };
    check(outcome.features.head_results());
    for (const v1::RegionFeatures& region : outcome.features.regions()) {
      check(region.head_results());
    }
  } else {
    outcome.status = absl::InternalError("the server sent neither features nor an error");
  }
}

void StartOne(const client::Client& client, const Job& job, size_t index, Emitter& emitter) {
  ImageOutcome outcome = MakeOutcome(job, index);
  absl::StatusOr<v1::Image> image = ReadImage(job, index);
  if (!image.ok()) {
    outcome.status = image.status();
    return emitter.Put(std::move(outcome));
  }
  v1::ExtractFeaturesRequest request;
  request.set_model(job.config.model());
  request.set_model_version(job.config.model_version());
  request.set_priority(job.config.priority());
  *request.mutable_heads() = job.config.heads();
  if (job.config.has_input_options()) {
    *request.mutable_input_options() = job.config.input_options();
  }
  if (job.config.has_region_options()) {
    *request.mutable_region_options() = job.config.region_options();
  }
  *request.add_images() = *std::move(image);
  client.ExtractAsync(
      std::move(request), job.timeout,
      [outcome = std::move(outcome),
       &emitter](absl::StatusOr<v1::ExtractFeaturesResponse> response) mutable {
        if (!response.ok()) {
          outcome.status = response.status();
          outcome.call_failed = true;
        } else if (response->results_size() != 1) {
          outcome.status = absl::InternalError("the server did not send one result for one image");
        } else {
          SetResult(std::move(*response->mutable_results(0)), std::move(*response->mutable_model()),
                    outcome);
        }
        emitter.Put(std::move(outcome));
      });
}

void RunUnary(const client::Client& client, const Job& job, Emitter& emitter) {
  size_t started = 0;
  // Counting from the oldest picture without a result bounds what waits for its turn to be written,
  // too.
  while (true) {
    while (!emitter.stopped() && started < job.paths.size() &&
           started - emitter.done() < static_cast<size_t>(job.concurrency)) {
      StartOne(client, job, started++, emitter);
    }
    if (emitter.done() == started) return;
    emitter.Drain(/*wait=*/true);
  }
}

void RunStream(const client::Client& client, const Job& job, Emitter& emitter) {
  client::StreamOptions options;
  options.config = job.config;
  options.max_in_flight = job.concurrency;
  options.timeout = job.timeout * static_cast<double>(job.paths.size());

  absl::Mutex mu;
  std::map<int64_t, size_t> in_flight;  // position in the stream to position among the pictures
  int64_t sent = 0;
  size_t next = 0;

  client::Stream stream(client, options);
  const absl::Status status = stream.Run(
      [&]() -> std::optional<v1::Image> {
        while (next < job.paths.size()) {
          const size_t index = next++;
          absl::StatusOr<v1::Image> image = ReadImage(job, index);
          if (image.ok()) {
            absl::MutexLock lock(&mu);
            in_flight.emplace(sent++, index);
            return *std::move(image);
          }
          ImageOutcome outcome = MakeOutcome(job, index);
          outcome.status = image.status();
          emitter.Put(std::move(outcome));
        }
        return std::nullopt;
      },
      [&](v1::StreamFeaturesResponse response) {
        size_t index;
        {
          absl::MutexLock lock(&mu);
          index = in_flight.extract(response.result().index()).mapped();
        }
        ImageOutcome outcome = MakeOutcome(job, index);
        SetResult(std::move(*response.mutable_result()), std::move(*response.mutable_model()),
                  outcome);
        emitter.Put(std::move(outcome));
        emitter.Drain(/*wait=*/false);
        return !emitter.stopped();
      });
  // The stream is over, and with it the other thread.
  if (!status.ok()) {
    for (const auto& [position, index] : in_flight) {
      ImageOutcome outcome = MakeOutcome(job, index);
      outcome.status = status;
      outcome.call_failed = true;
      emitter.Put(std::move(outcome));
    }
    if (!emitter.stopped()) emitter.Fail(status);
  }
  emitter.Drain(/*wait=*/false);
}

}  // namespace

bool EndsRun(const ImageOutcome& outcome) { return outcome.call_failed && IsFatal(outcome.status); }

Summary Run(const client::Client& client, const Job& job, Writer& writer, Progress& progress) {
  Emitter emitter(job.paths.size(), writer, progress);
  if (job.stream) {
    RunStream(client, job, emitter);
  } else {
    RunUnary(client, job, emitter);
  }
  return emitter.Finish();
}

}  // namespace pixpool::cli
