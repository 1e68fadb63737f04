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
// A call of this age takes no more requests, so that the server need not cut it when it ends the
// connection; as in client/cpp/stream.h.
constexpr absl::Duration kMaxCallAge = absl::Seconds(30);
// Connections that a request may be lost with, one after the other.
constexpr int kMaxAttempts = 5;

// The stream of one connection: one call after the other. An old one is answered to its end while
// the next one takes the requests.
//
// Invariant: a ticket is in pending_ until it is handed to a call, then in its `sent` until `done`,
// or back in pending_ where the connection was lost.
class Lane {
 public:
  Lane(const TransportOptions& options, const Workload& workload, const Transport::Done& done,
       Connection& connection)
      : options_(options), workload_(workload), done_(done), connection_(connection) {
    absl::MutexLock lock(&mu_);
    Open();
  }

  void Send(Ticket ticket) {
    absl::MutexLock lock(&mu_);
    pending_.push_back(std::move(ticket));
    Pump();
  }

  // Ends the calls once all is answered. Nothing is sent after it.
  void Close() {
    absl::MutexLock lock(&mu_);
    closing_ = true;
    Pump();
  }

  // Whether the lane is at its end; waits for that at most kPatience.
  bool AwaitClosed() {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(this, &Lane::Closed), kPatience);
  }
  void AwaitClosedForever() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &Lane::Closed));
  }

  void Cancel() {
    absl::MutexLock lock(&mu_);
    cancelled_ = true;
    for (const auto& [key, call] : calls_) call->context.TryCancel();
  }

 private:
  struct Call;
  // An event of a call that calls a method.
  class Step final : public Event {
   public:
    Step(Lane* lane, Call* call, void (Lane::*method)(Call&, bool))
        : lane_(lane), call_(call), method_(method) {}
    void Proceed(bool ok) override { (lane_->*method_)(*call_, ok); }

   private:
    Lane* const lane_;
    Call* const call_;
    void (Lane::*const method_)(Call&, bool);
  };

  // Everything under mu_, but `response` and `status`: gRPC writes them, the event that says so
  // reads them.
  struct Call {
    explicit Call(Lane* lane)
        : started(lane, this, &Lane::Started),
          written(lane, this, &Lane::Written),
          read(lane, this, &Lane::Read),
          finished(lane, this, &Lane::Finished) {}

    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream;
    const int64_t opened_ns = NowNs();
    std::map<int64_t, Ticket> sent;
    int64_t next_index = 0;
    int64_t next_answer = 0;
    int events = 0;  // that the call still owes
    bool writing = false;
    bool writable = false;
    grpc::ByteBuffer response;
    grpc::Status status;
    Step started, written, read, finished;
  };

  bool Closed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return closing_ && calls_.empty() && !reopening_;
  }

  void Open() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    auto owned = std::make_unique<Call>(this);
    Call& call = *owned;
    calls_.emplace(&call, std::move(owned));
    current_ = &call;
    for (const auto& [name, value] : options_.headers) call.context.AddMetadata(name, value);
    call.stream =
        connection_.stub->PrepareCall(&call.context, workload_.method(), connection_.queue);
    call.writing = true;
    call.writable = true;
    call.stream->StartCall(&call.started);
  }

  void Started(Call& call, bool ok) {
    absl::MutexLock lock(&mu_);
    call.writing = false;
    call.events = 1;
    if (!ok) {
      call.writable = false;
      call.stream->Finish(&call.status, &call.finished);
      return;
    }
    call.stream->Read(&call.response, &call.read);
    if (!workload_.stream_config().empty()) {
      const grpc::Slice slice = ToSlice(workload_.stream_config());
      Write(call, grpc::ByteBuffer(&slice, 1));
    }
    Pump();
  }

  void Written(Call& call, bool ok) {
    {
      absl::MutexLock lock(&mu_);
      call.writing = false;
      if (!ok) call.writable = false;  // the reader learns why
      if (--call.events > 0) return Pump();
    }
    End(call);
  }

  void Read(Call& call, bool ok) {
    if (!ok) {
      absl::MutexLock lock(&mu_);
      call.writable = false;
      call.stream->Finish(&call.status, &call.finished);  // in place of the read among `events`
      return;
    }
    const int64_t now = NowNs();
    absl::StatusOr<Answer> answer = ReadAnswer(workload_, call.response);
    std::optional<Ticket> ticket;
    {
      absl::MutexLock lock(&mu_);
      // KServe's answers come in the order of the requests, ours say which they belong to.
      const bool ordered = workload_.options().api == Api::kKserve;
      const auto found = call.sent.find(ordered || !answer.ok() ? call.next_answer : answer->index);
      ++call.next_answer;
      if (found != call.sent.end()) {
        ticket = found->second;
        call.sent.erase(found);
      }
      call.stream->Read(&call.response, &call.read);
    }
    if (!ticket) return;
    absl::Status status = answer.ok() ? answer->request : answer.status();
    if (Late(*ticket, now)) status = absl::DeadlineExceededError("answered after --timeout");
    done_(*ticket, status, answer.ok() ? *answer : Answer());
  }

  void Finished(Call& call, bool) {
    {
      absl::MutexLock lock(&mu_);
      if (--call.events > 0) return;
    }
    End(call);
  }

  // The call has no event left.
  void End(Call& ended) {
    std::vector<Ticket> lost;
    absl::Status status = client::FromGrpcStatus(ended.status);
    bool wait;
    {
      absl::MutexLock lock(&mu_);
      const std::unique_ptr<Call> call = std::move(calls_.extract(&ended).mapped());
      const bool answered = call->next_answer > 0;
      const bool current = current_ == call.get();
      if (current) current_ = nullptr;
      // A connection that was lost, as the server's age for it brings about, is no failure of the
      // requests; where a server does not answer at all it is.
      const bool again = answered && !cancelled_ && absl::IsUnavailable(status) &&
                         client::GetErrorDetails(status).reason.empty();
      const int64_t now = NowNs();
      std::deque<Ticket> kept;
      for (const auto& [index, ticket] : call->sent) {
        const bool keep = again && ticket.attempts < kMaxAttempts && !Late(ticket, now);
        if (keep) {
          kept.push_back(ticket);
        } else {
          lost.push_back(ticket);
        }
      }
      if (current && !again) {
        lost.insert(lost.end(), pending_.begin(), pending_.end());
        pending_.clear();
      }
      pending_.insert(pending_.begin(), kept.begin(), kept.end());
      wait = reopening_ = current && !answered && !closing_;
      const bool needed = !closing_ || !pending_.empty();
      if (current_ == nullptr && !reopening_ && needed) Open();
      Pump();
    }
    if (status.ok()) status = absl::UnavailableError("the server ended the stream");
    for (const Ticket& ticket : lost) done_(ticket, status, Answer());
    if (wait) client::Timer::Real()->After(kReopen, [this] { Reopen(); });
  }

  void Reopen() {
    absl::MutexLock lock(&mu_);
    reopening_ = false;
    if (!closing_) Open();
  }

  bool Late(const Ticket& ticket, int64_t now) const {
    return now - ticket.sent_ns > absl::ToInt64Nanoseconds(options_.timeout);
  }

  void Write(Call& call, const grpc::ByteBuffer& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    call.writing = true;
    ++call.events;
    call.stream->Write(message, &call.written);
  }

  // The client's side of the call is over.
  void HalfClose(Call& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    call.writing = true;  // and stays so: nothing may follow
    call.writable = false;
    ++call.events;
    call.stream->WritesDone(&call.written);
  }

  // Starts what can be started: gRPC takes one write at a time.
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (current_ == nullptr || current_->writing || !current_->writable) return;
    Call& call = *current_;
    if (!pending_.empty()) {
      if (absl::Nanoseconds(NowNs() - call.opened_ns) > kMaxCallAge) {
        HalfClose(call);
        return Open();
      }
      Ticket ticket = pending_.front();
      pending_.pop_front();
      ++ticket.attempts;
      if (ticket.sent_ns == 0) ticket.sent_ns = NowNs();
      Write(call, workload_.Request(ticket.first_picture));
      call.sent.emplace(call.next_index++, std::move(ticket));
    } else if (closing_) {
      HalfClose(call);
    }
  }

  const TransportOptions& options_;
  const Workload& workload_;
  const Transport::Done& done_;
  Connection& connection_;

  absl::Mutex mu_;
  std::deque<Ticket> pending_ ABSL_GUARDED_BY(mu_);
  std::map<Call*, std::unique_ptr<Call>> calls_ ABSL_GUARDED_BY(mu_);
  Call* current_ ABSL_GUARDED_BY(mu_) = nullptr;  // the one that takes requests
  bool reopening_ ABSL_GUARDED_BY(mu_) = false;   // once a timer has run
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
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
