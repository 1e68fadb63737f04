#include "client/cpp/stream.h"

#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/core.h"
#include "client/cpp/error.h"
#include "client/cpp/retry.h"
#include "client/cpp/stream_images.h"
#include "grpcpp/client_context.h"

namespace pixpool::client {

// A thread asks the source as long as Run lasts. Each call has a thread that writes, and Run's
// reads it.
class Stream::State {
 public:
  State(internal::Core* core, StreamOptions options)
      : core_(core),
        options_(WithPriority(std::move(options), core->options.priority)),
        images_(std::make_shared<internal::StreamImages>(core, options_)) {}

  absl::Status Run(const Source& source, const Sink& sink);
  void Cancel() { images_->Cancel(); }

 private:
  using Call = grpc::ClientReaderWriter<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse>;

  static StreamOptions WithPriority(StreamOptions options, v1::Priority priority) {
    if (options.config.priority() == v1::PRIORITY_UNSPECIFIED)
      options.config.set_priority(priority);
    return options;
  }

  absl::Status Check() const;
  // One call from its beginning to its end. OK: another one may follow.
  absl::Status Converse(const Headers& headers, const Sink& sink, RetrySchedule& reopen);
  void Write(Call& call);
  // Reads until the call ends; the reason if it is on this side.
  absl::Status Read(Call& call, grpc::ClientContext& context, const Sink& sink);

  internal::Core* const core_;
  const StreamOptions options_;
  const std::shared_ptr<internal::StreamImages> images_;
};

absl::Status Stream::State::Check() const {
  if (options_.max_in_flight < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_in_flight must be at least 1, is ", options_.max_in_flight));
  }
  if (options_.max_call_age <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("max_call_age must be above 0, is ",
                                                   absl::FormatDuration(options_.max_call_age)));
  }
  return absl::OkStatus();
}

void Stream::State::Write(Call& call) {
  v1::StreamFeaturesRequest request;
  *request.mutable_config() = options_.config;
  while (const std::shared_ptr<const v1::Image> image = images_->NextToSend()) {
    *request.mutable_image() = *image;
    // A failed write means a broken stream, which the reader learns with the reason.
    if (!call.Write(request)) return;
    request.clear_config();
  }
  call.WritesDone();
}

absl::Status Stream::State::Read(Call& call, grpc::ClientContext& context, const Sink& sink) {
  absl::Status error;
  v1::StreamFeaturesResponse response;
  while (call.Read(&response)) {
    if (!error.ok()) continue;  // cancelled: what is under way is thrown away
    const auto ordinal = images_->Answered(response.result());
    if (!ordinal.ok()) {
      error = ordinal.status();
    } else if (*ordinal) {
      response.mutable_result()->set_index(**ordinal);
      if (!sink(std::move(response))) {
        error = absl::CancelledError("the receiver of the results ended the stream");
      }
      response = {};
    }
    if (!error.ok()) context.TryCancel();
  }
  return error;
}

absl::Status Stream::State::Converse(const Headers& headers, const Sink& sink,
                                     RetrySchedule& reopen) {
  const absl::StatusOr<grpc::ClientContext*> context = images_->BeginCall();
  if (!context.ok()) return context.status();
  for (const auto& [name, value] : headers) (*context)->AddMetadata(name, value);
  if (options_.timeout != absl::InfiniteDuration()) {
    // The timer's clock may be a test's, gRPC's is real: only the time left carries over.
    (*context)->set_deadline(absl::ToChronoTime(absl::Now() + images_->Remaining()));
  }
  absl::Status own_error, error;
  {
    const std::unique_ptr<Call> call = core_->features->StreamFeatures(*context);
    std::thread writer([&] { Write(*call); });
    own_error = Read(*call, **context, sink);
    images_->StopCall();
    writer.join();
    const grpc::Status status = call->Finish();
    error = core_->ErrorOf(status, (*context)->GetServerTrailingMetadata());
  }
  const absl::Status end = images_->EndCall(error);
  if (!own_error.ok()) return own_error;
  // With a reason it is the server's answer, and not a connection that was lost.
  const bool lost = end == error && IsRetryable(error) && GetErrorDetails(error).reason.empty();
  return lost ? images_->Recover(error, reopen) : end;
}

absl::Status Stream::State::Run(const Source& source, const Sink& sink) {
  if (!images_->Start()) {
    return absl::FailedPreconditionError("Stream::Run may be called only once");
  }
  if (absl::Status status = Check(); !status.ok()) return status;
  const absl::StatusOr<Headers> headers = core_->CallHeaders();
  if (!headers.ok()) return headers.status();
  std::thread feeder([&] { images_->Feed(source); });
  RetrySchedule reopen(core_->options.retry);
  absl::Status status;
  while (status.ok() && images_->AwaitNeedOfCall()) status = Converse(*headers, sink, reopen);
  images_->Stop();
  feeder.join();
  return status;
}

Stream::Stream(const Client& client, StreamOptions options)
    : state_(std::make_shared<State>(client.core_.get(), std::move(options))) {}
Stream::~Stream() = default;

absl::Status Stream::Run(Source source, Sink sink) { return state_->Run(source, sink); }
void Stream::Cancel() { state_->Cancel(); }

}  // namespace pixpool::client
