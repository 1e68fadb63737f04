// One call per request.
#include <optional>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "client/bench/connections.h"
#include "client/cpp/error.h"
#include "client/cpp/retry.h"
#include "client/cpp/timer.h"
#include "grpcpp/client_context.h"

namespace pixpool::bench {
namespace {

class UnaryTransport final : public Transport {
 public:
  UnaryTransport(const TransportOptions& options, const Workload& workload, Done done)
      : options_(options), workload_(workload), done_(std::move(done)), connections_(options) {}

  // Until every call is gone: a retry may still wait for its timer.
  ~UnaryTransport() override {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &UnaryTransport::Idle));
  }

  void Send(Ticket ticket) override;
  // Every call ends by its deadline.
  void Cancel() override {}

 private:
  class Call;

  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return calls_ == 0; }
  void CallEnded() {
    absl::MutexLock lock(&mu_);
    --calls_;
  }

  const TransportOptions options_;
  const Workload& workload_;
  const Done done_;
  absl::Mutex mu_;
  size_t next_connection_ ABSL_GUARDED_BY(mu_) = 0;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  Connections connections_;  // the last one: its threads use all of the above
};

// Owns itself from Start to its end. One attempt at a time.
class UnaryTransport::Call final : public Event {
 public:
  Call(UnaryTransport& transport, Connection& connection, const Ticket& ticket)
      : transport_(transport),
        connection_(connection),
        ticket_(ticket),
        deadline_(absl::Now() + transport.options_.timeout) {
    if (transport.options_.retry) retry_.emplace(client::RetryPolicy());
  }

  void Start() {
    ++ticket_.attempts;
    reader_.reset();  // it lives in the call that the context holds
    response_.Clear();
    context_.emplace();
    context_->set_deadline(absl::ToChronoTime(deadline_));
    for (const auto& [name, value] : transport_.options_.headers) {
      context_->AddMetadata(name, value);
    }
    reader_ = connection_.stub->PrepareUnaryCall(
        &*context_, transport_.workload_.method(),
        transport_.workload_.Request(ticket_.first_picture), connection_.queue);
    reader_->StartCall();
    reader_->Finish(&response_, &status_, this);
  }

  void Proceed(bool) override {
    Answer answer;
    absl::Status status;
    if (status_.ok()) {
      absl::StatusOr<Answer> read = ReadAnswer(transport_.workload_, response_);
      status = read.status();
      if (read.ok()) answer = *std::move(read);
    } else {
      status = client::FromGrpcStatus(status_, &context_->GetServerTrailingMetadata());
      if (retry_) {
        const auto delay = retry_->Next(status, deadline_ - absl::Now(), client::RandomUnit());
        if (delay) {
          client::Timer::Real()->After(*delay, [this] { Start(); });
          return;
        }
      }
    }
    UnaryTransport& transport = transport_;
    const Ticket ticket = ticket_;
    delete this;
    transport.done_(ticket, status, answer);
    transport.CallEnded();
  }

 private:
  UnaryTransport& transport_;
  Connection& connection_;
  Ticket ticket_;
  const absl::Time deadline_;
  std::optional<client::RetrySchedule> retry_;
  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

void UnaryTransport::Send(Ticket ticket) {
  size_t connection;
  {
    absl::MutexLock lock(&mu_);
    connection = next_connection_++;
    ++calls_;
  }
  ticket.sent_ns = NowNs();
  (new Call(*this, connections_.at(connection), ticket))->Start();
}

}  // namespace

std::unique_ptr<Transport> NewUnaryTransport(const TransportOptions& options,
                                             const Workload& workload, Transport::Done done) {
  return std::make_unique<UnaryTransport>(options, workload, std::move(done));
}

}  // namespace pixpool::bench
