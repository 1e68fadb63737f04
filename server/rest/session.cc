#include "server/rest/session.h"

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <limits>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/base/error.h"
#include "server/base/text.h"
#include "server/rest/head.h"
#include "server/rpc/guard.h"

namespace pixpool::rest {
namespace {

namespace http = boost::beast::http;
using std::chrono::seconds;

constexpr seconds kHandshakeTime(10);
constexpr seconds kIdleTime(60);
constexpr seconds kHeadTime(5);
constexpr seconds kEndTime(1);
// An answer that comes at the last moment still has this long to be read.
constexpr seconds kLeastTimeToRead(1);

// What is read at a time: of heads, and of bodies.
constexpr size_t kSmallRead = 4 << 10;
constexpr size_t kLargeRead = 128 << 10;
// What may come after a request before it is answered.
constexpr size_t kMostAhead = 16 << 10;

constexpr uint64_t kNoLength = std::numeric_limits<int64_t>::max();

std::string_view Bytes(const boost::beast::flat_buffer& buffer) {
  return {static_cast<const char*>(buffer.data().data()), buffer.size()};
}

}  // namespace

Session::Session(Shared* shared, std::unique_ptr<Wire> wire, std::string peer,
                 std::shared_ptr<void> place)
    : place_(std::move(place)),
      shared_(shared),
      wire_(std::move(wire)),
      peer_(std::move(peer)),
      begun_(std::chrono::steady_clock::now()),
      timer_(wire_->socket().get_executor()) {}

template <typename Body>
void Session::Guarded(const Body& body) noexcept {
  if (!Guard(body).ok()) Close();
}

template <typename Body>
void Session::Dispatch(Body body) {
  boost::asio::dispatch(
      wire_->socket().get_executor(),
      [self = shared_from_this(), body = std::move(body)]() mutable { self->Guarded(body); });
}

void Session::Start() {
  Dispatch([this] {
    Arm(kHandshakeTime);
    wire_->Open([self = shared_from_this()](Wire::Error error, size_t) {
      self->Guarded([&] { error ? self->Close() : self->NextRequest(); });
    });
  });
}

void Session::Finish() {
  Dispatch([this] {
    finishing_ = true;
    if (state_ == State::kIdle || state_ == State::kOpening) Close();
  });
}

void Session::Abort() {
  Dispatch([this] {
    if (call_ != nullptr) call_->Cancel();
    client_left_ = true;
    if (state_ == State::kBody) {
      call_->Fail(MakeError(ErrorReason::kDraining, "the server ended before the body had come"));
    }
    if (state_ != State::kWorking) Close();
  });
}

void Session::Arm(std::chrono::steady_clock::duration time) {
  timer_.expires_after(time);
  timer_.async_wait([self = shared_from_this()](Wire::Error stopped) {
    // A timer that was set anew as it went off is not meant.
    if (stopped || self->timer_.expiry() > std::chrono::steady_clock::now()) return;
    self->Guarded([&] { self->OnTimeout(); });
  });
}

void Session::Disarm() { timer_.expires_at(std::chrono::steady_clock::time_point::max()); }

void Session::OnTimeout() {
  switch (state_) {
    case State::kHead:
      return Send(Problem(408, "the header did not come within five seconds"), false);
    case State::kBody:
      call_->Fail(
          MakeError(ErrorReason::kDeadlineInQueue, "the deadline passed before the body had come"));
      return Send(Problem(408, "the deadline passed before the body had come"), false);
    default:
      return Close();
  }
}

void Session::Read() {
  if (reading_) return;
  const size_t most = state_ == State::kBody ? kLargeRead : kSmallRead;
  if (incoming_.size() != most) incoming_ = std::vector<char>(most);
  reading_ = true;
  wire_->ReadSome(boost::asio::buffer(incoming_),
                  [self = shared_from_this()](Wire::Error error, size_t bytes) {
                    self->Guarded([&] { self->OnRead(error, bytes); });
                  });
}

void Session::OnRead(Wire::Error error, size_t bytes) {
  reading_ = false;
  if (error) return OnEnd();
  buffer_.commit(boost::asio::buffer_copy(buffer_.prepare(bytes),
                                          boost::asio::buffer(incoming_.data(), bytes)));
  switch (state_) {
    case State::kIdle:
    case State::kHead:
      return ReadHeadBytes();
    case State::kBody:
      return TakeBody();
    case State::kWorking:
    case State::kWriting:
      if (buffer_.size() < kMostAhead) Read();
      return;
    case State::kEnding:
      buffer_.consume(buffer_.size());
      return Read();
    case State::kOpening:
    case State::kClosed:
      return;
  }
}

// The client has closed its side, or is gone: of a request that it has sent in part nothing comes
// of it, and for the answer of a whole one it does not wait.
void Session::OnEnd() {
  client_left_ = true;
  if (call_ != nullptr) call_->Cancel();
  if (state_ == State::kBody) call_->Fail(MakeError(ErrorReason::kCancelled, "the client left"));
  // What is being written may still be read, and the work ends by itself.
  if (state_ != State::kWorking && state_ != State::kWriting) Close();
}

void Session::NextRequest() {
  call_.reset();
  parser_.reset();
  scanned_ = 0;
  head_only_ = false;
  state_ = State::kIdle;
  if (finishing_ || client_left_) return Close();
  Arm(kIdleTime);
  if (buffer_.size() > 0) return ReadHeadBytes();
  buffer_.shrink_to_fit();
  Read();
}

void Session::ReadHeadBytes() {
  // Line breaks before a request are allowed; some clients send them after a body.
  while (state_ == State::kIdle && Bytes(buffer_).starts_with("\r\n")) buffer_.consume(2);
  const std::string_view bytes = Bytes(buffer_);
  if (bytes.empty() || bytes == "\r") return Read();
  if (state_ == State::kIdle) {
    state_ = State::kHead;
    Arm(kHeadTime);
  }
  constexpr std::string_view kEnd = "\r\n\r\n";
  const size_t end = bytes.find(kEnd, scanned_ < kEnd.size() ? 0 : scanned_ - kEnd.size());
  if (end != bytes.npos && end + kEnd.size() <= kMaxHeadBytes) {
    return OnHead(bytes.substr(0, end + kEnd.size()));
  }
  scanned_ = bytes.size();
  if (bytes.size() < kMaxHeadBytes) return Read();
  Send(Problem(431, Concat("the header is over ", kMaxHeadBytes, " bytes")), false);
}

void Session::OnHead(std::string_view bytes) {
  RequestHead head;
  if (const auto fault = ReadHead(bytes, &head)) {
    return Send(Problem(fault->status, fault->message), false);
  }
  // Beast reads it again: only what both understand is served.
  parser_.emplace();
  parser_->header_limit(kMaxHeadBytes + 1);
  parser_->body_limit(kNoLength);  // Call::Hold has it
  parser_->eager(false);
  Wire::Error error;
  const size_t used = parser_->put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  if (error || used != bytes.size() || parser_->chunked() != head.chunked) {
    return Send(Problem(400, "the header is malformed"), false);
  }
  buffer_.consume(used);
  head_only_ = head.method == "HEAD";
  const bool has_body = head.has_body();
  const bool waits = head.expects_continue && has_body && buffer_.size() == 0;
  call_ = std::make_shared<Call>(&shared_->deps, peer_, std::move(head));
  if (auto answer = call_->Begin()) {
    const bool keep = call_->head().keep_alive && !has_body;
    return Send(*std::move(answer), keep);
  }
  if (!has_body) return Run("");
  state_ = State::kBody;
  parser_->eager(true);
  Arm(call_->deadline() - std::chrono::steady_clock::now());
  if (!waits) return TakeBody();
  wire_->Write("HTTP/1.1 100 Continue\r\n\r\n", "",
               [self = shared_from_this()](Wire::Error failed, size_t) {
                 if (self->state_ != State::kBody) return;
                 self->Guarded([&] { failed ? self->OnEnd() : self->Read(); });
               });
}

void Session::TakeBody() {
  const auto& body = parser_->get().body();
  while (buffer_.size() > 0 && !parser_->is_done()) {
    // What comes after a body is not of it.
    const uint64_t size = std::min<uint64_t>(body.size() + buffer_.size(),
                                             call_->head().content_length.value_or(kNoLength));
    if (auto refusal = call_->Hold(static_cast<int64_t>(size))) {
      return Send(*std::move(refusal), false);
    }
    Wire::Error error;
    const size_t used = parser_->put(buffer_.data(), error);
    buffer_.consume(used);
    if (error == http::error::need_more) {
      if (buffer_.size() < kLargeRead) break;
      error = http::error::bad_chunk;  // the line of one is longer than any buffer
    }
    if (error)
      return Send(call_->Fail(Problem(400, "the chunks of the body are malformed")), false);
  }
  if (parser_->is_done()) return Run(std::move(parser_->get().body()));
  Read();
}

void Session::Run(std::string body) {
  state_ = State::kWorking;
  Disarm();
  parser_.reset();
  // To see it when the client leaves.
  if (buffer_.size() < kMostAhead) Read();
  call_->Run(std::move(body), [self = shared_from_this()](Answer answer) {
    self->Dispatch([self = self.get(), kept = std::make_shared<Answer>(std::move(answer))] {
      self->OnAnswer(std::move(*kept));
    });
  });
}

void Session::OnAnswer(Answer answer) {
  if (state_ != State::kWorking || client_left_) return Close();
  const bool keep = call_->head().keep_alive;
  Send(std::move(answer), keep);
}

std::string Session::HeadText(const Answer& answer, bool keep) const {
  std::string text = Concat("HTTP/1.1 ", answer.status, " ", StatusText(answer.status), "\r\n");
  text += Concat(
      "Date: ", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()),
      "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
  for (const auto& [name, value] : answer.fields) text += Concat(name, ": ", value, "\r\n");
  if (answer.status != 204) {
    text +=
        Concat("Content-Type: ", answer.type, "\r\nContent-Length: ", answer.body.size(), "\r\n");
  }
  text += keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return text;
}

void Session::Send(Answer answer, bool keep) {
  const auto now = std::chrono::steady_clock::now();
  keep =
      keep && !answer.close && !finishing_ && !shared_->drains && now - begun_ < shared_->max_age;
  state_ = State::kWriting;
  Disarm();
  answer_ = std::move(answer);
  answer_head_ = HeadText(answer_, keep);
  const std::string_view body = head_only_ ? std::string_view() : answer_.body;
  const TimePoint deadline = call_ != nullptr ? call_->deadline() : now;
  shared_->deps.call.watch->AwaitReader(this, std::max(deadline, now + kLeastTimeToRead), 1,
                                        static_cast<int64_t>(body.size()));
  wire_->Write(answer_head_, body, [self = shared_from_this(), keep](Wire::Error error, size_t) {
    self->Guarded([&] { self->OnWritten(error, keep); });
  });
}

void Session::OnWritten(Wire::Error error, bool keep) {
  shared_->deps.call.watch->Forget(this);
  answer_ = Answer();
  answer_head_.clear();
  if (error || state_ != State::kWriting) return Close();
  keep ? NextRequest() : End();
}

void Session::OnExpired() {
  Dispatch([this] {
    if (state_ != State::kWriting) return;
    if (call_ != nullptr) call_->Unread(static_cast<int64_t>(answer_.body.size()));
    Close();
  });
}

// Closing at once would reset the connection where the client still sends, and it could lose the
// answer.
void Session::End() {
  state_ = State::kEnding;
  Arm(kEndTime);
  wire_->End([self = shared_from_this()](Wire::Error error, size_t) {
    self->Guarded([&] {
      if (self->state_ != State::kEnding) return;
      self->buffer_.consume(self->buffer_.size());
      error ? self->Close() : self->Read();
    });
  });
}

void Session::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  shared_->deps.call.watch->Forget(this);  // where a write could not be begun
  timer_.cancel();
  wire_->Close();
}

}  // namespace pixpool::rest
