// Many requests over one call per connection.
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "client/bench/connections.h"
#include "client/cpp/error.h"
#include "client/cpp/timer.h"
#include "grpcpp/client_context.h"

namespace pixpool::bench {
namespace {

// A stream that ended without an answer is opened anew after this time.
constexpr absl::Duration kReopen = absl::Milliseconds(100);
// How long the server may take to end a stream that has nothing left to answer.
constexpr absl::Duration kPatience = absl::Seconds(5);

// The stream of one connection; over its life several calls, one after the other.
//
// Invariant: a ticket is in pending_ until it is handed to the call, then in sent_ until `done`.
class Lane {
 public:
  Lane(const TransportOptions& options, const Workload& workload, const Transport::Done& done,
       Connection& connection)
      : options_(options), workload_(workload), done_(done), connection_(connection) {
    Open();
  }

  void Send(Ticket ticket) {
    absl::MutexLock lock(&mu_);
    pending_.push_back(std::move(ticket));
    Pump();
  }

  // Ends the call once all is answered. Nothing is sent after it.
  void Close() {
    absl::MutexLock lock(&mu_);
    closing_ = true;
    Pump();
  }

  // Whether the lane is at its end; waits for that at most kPatience.
  bool AwaitClosed() {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(&closed_), kPatience);
  }
  void AwaitClosedForever() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&closed_));
  }

  void Cancel() {
    absl::MutexLock lock(&mu_);
    if (context_) context_->TryCancel();
  }

 private:
  // An event that calls a method.
  class Step final : public Event {
   public:
    Step(Lane* lane, void (Lane::*method)(bool)) : lane_(lane), method_(method) {}
    void Proceed(bool ok) override { (lane_->*method_)(ok); }

   private:
    Lane* const lane_;
    void (Lane::*const method_)(bool);
  };

  void Open() {
    absl::MutexLock lock(&mu_);
    if (closing_) {
      closed_ = true;
      return;
    }
    context_.emplace();
    for (const auto& [name, value] : options_.headers) context_->AddMetadata(name, value);
    call_ = connection_.stub->PrepareCall(&*context_, workload_.method(), connection_.queue);
    sent_.clear();
    next_index_ = next_answer_ = 0;
    writing_ = true;
    writable_ = true;
    call_->StartCall(&started_);
  }

  void Started(bool ok) {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (!ok) {
      writable_ = false;
      events_ = 1;
      call_->Finish(&status_, &finished_);
      return;
    }
    events_ = 1;
    call_->Read(&response_, &read_);
    if (!workload_.stream_config().empty()) {
      const grpc::Slice slice = ToSlice(workload_.stream_config());
      Write(grpc::ByteBuffer(&slice, 1));
    }
    Pump();
  }

  void Written(bool ok) {
    bool last;
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
      if (!ok) writable_ = false;  // the reader learns why
      last = --events_ == 0;
      if (!last) Pump();
    }
    if (last) End();
  }

  void Read(bool ok) {
    if (!ok) {
      absl::MutexLock lock(&mu_);
      writable_ = false;
      call_->Finish(&status_, &finished_);  // in place of the read among events_
      return;
    }
    const int64_t now = NowNs();
    absl::StatusOr<Answer> answer = ReadAnswer(workload_, response_);
    std::optional<Ticket> ticket;
    {
      absl::MutexLock lock(&mu_);
      // KServe's answers come in the order of the requests, ours say which they belong to.
      const bool ordered = workload_.options().api == Api::kKserve;
      const auto found = sent_.find(ordered || !answer.ok() ? next_answer_ : answer->index);
      ++next_answer_;
      if (found != sent_.end()) {
        ticket = found->second;
        sent_.erase(found);
      }
      call_->Read(&response_, &read_);
    }
    if (!ticket) return;
    absl::Status status = answer.ok() ? answer->request : answer.status();
    if (now - ticket->sent_ns > absl::ToInt64Nanoseconds(options_.timeout)) {
      status = absl::DeadlineExceededError("answered after --timeout");
    }
    done_(*ticket, status, answer.ok() ? *answer : Answer());
  }

  void Finished(bool) {
    bool last;
    {
      absl::MutexLock lock(&mu_);
      last = --events_ == 0;
    }
    if (last) End();
  }

  // The call has no event left.
  void End() {
    std::vector<Ticket> lost;
    bool answered, closing;
    absl::Status status = client::FromGrpcStatus(status_);
    {
      absl::MutexLock lock(&mu_);
      for (const auto& [index, ticket] : sent_) lost.push_back(ticket);
      lost.insert(lost.end(), pending_.begin(), pending_.end());
      sent_.clear();
      pending_.clear();
      answered = next_answer_ > 0;
      closing = closing_;
      call_.reset();
      context_.reset();
    }
    if (status.ok()) status = absl::UnavailableError("the server ended the stream");
    for (const Ticket& ticket : lost) done_(ticket, status, Answer());
    if (answered || closing) return Open();
    client::Timer::Real()->After(kReopen, [this] { Open(); });
  }

  void Write(const grpc::ByteBuffer& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    writing_ = true;
    ++events_;
    call_->Write(message, &written_);
  }

  // Starts what can be started: gRPC takes one write at a time.
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!call_ || writing_ || !writable_) return;
    if (!pending_.empty()) {
      Ticket ticket = pending_.front();
      pending_.pop_front();
      ++ticket.attempts;
      ticket.sent_ns = NowNs();
      Write(workload_.Request(ticket.first_picture));
      sent_.emplace(next_index_++, std::move(ticket));
    } else if (closing_) {
      writing_ = true;  // and stays so: nothing may follow
      writable_ = false;
      ++events_;
      call_->WritesDone(&written_);
    }
  }

  const TransportOptions& options_;
  const Workload& workload_;
  const Transport::Done& done_;
  Connection& connection_;
  Step started_{this, &Lane::Started};
  Step written_{this, &Lane::Written};
  Step read_{this, &Lane::Read};
  Step finished_{this, &Lane::Finished};

  absl::Mutex mu_;
  std::optional<grpc::ClientContext> context_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_ ABSL_GUARDED_BY(mu_);
  std::deque<Ticket> pending_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, Ticket> sent_ ABSL_GUARDED_BY(mu_);
  int64_t next_index_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t next_answer_ ABSL_GUARDED_BY(mu_) = 0;
  int events_ ABSL_GUARDED_BY(mu_) = 0;  // that the call still owes
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool writable_ ABSL_GUARDED_BY(mu_) = false;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  // Written by gRPC, read in the event that says so.
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

class StreamTransport final : public Transport {
 public:
  StreamTransport(const TransportOptions& options, const Workload& workload, Done done)
      : options_(options), done_(std::move(done)), connections_(options) {
    for (size_t i = 0; i < connections_.size(); ++i) {
      lanes_.push_back(std::make_unique<Lane>(options_, workload, done_, connections_.at(i)));
    }
  }
  ~StreamTransport() override {
    for (const auto& lane : lanes_) lane->Close();
    for (const auto& lane : lanes_) {
      if (lane->AwaitClosed()) continue;
      lane->Cancel();
      lane->AwaitClosedForever();
    }
  }

  void Send(Ticket ticket) override {
    size_t lane;
    {
      absl::MutexLock lock(&mu_);
      lane = next_lane_++ % lanes_.size();
    }
    lanes_[lane]->Send(std::move(ticket));
  }

  void Cancel() override {
    for (const auto& lane : lanes_) lane->Cancel();
  }

 private:
  const TransportOptions options_;
  const Done done_;
  absl::Mutex mu_;
  size_t next_lane_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::unique_ptr<Lane>> lanes_;
  Connections connections_;  // before lanes_ to go: its threads use them
};

}  // namespace

std::unique_ptr<Transport> NewStreamTransport(const TransportOptions& options,
                                              const Workload& workload, Transport::Done done) {
  return std::make_unique<StreamTransport>(options, workload, std::move(done));
}

}  // namespace pixpool::bench
