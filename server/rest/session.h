// One connection of the HTTP API.
#pragma once

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/rest/call.h"
#include "server/rest/wire.h"
#include "server/rpc/call_watch.h"

namespace pixpool::rest {

// What the connections of a server share.
struct Shared {
  DoorDeps deps;
  std::chrono::seconds max_age;  // after which clients are asked to connect anew
  std::atomic<bool> drains{false};
};

// Reads one request after the other, each when the one before is answered, and answers it. What
// the client sends too slowly, or in a form that two servers could understand differently, ends the
// connection. A client that closes its side ends the work of its request.
//
// All but its constructor runs on the strand of its wire; the work's result comes back to it. Kept
// alive by what it has started.
class Session final : public Watched, public std::enable_shared_from_this<Session> {
 public:
  // `place` is given up when all else of the session is gone. `peer` as gRPC would call it.
  Session(Shared* shared, std::unique_ptr<Wire> wire, std::string peer,
          std::shared_ptr<void> place);

  void Start();
  // From any thread. Ends when the request under way is answered; or at once, with its work.
  void Finish();
  void Abort();

 private:
  enum class State { kOpening, kIdle, kHead, kBody, kWorking, kWriting, kEnding, kClosed };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  // Watched: the answer was not read in its time.
  void OnExpired() override;
  std::shared_ptr<Watched> Keep() override { return shared_from_this(); }

  // Runs `body` on the strand; what it throws ends the connection.
  template <typename Body>
  void Dispatch(Body body);
  template <typename Body>
  void Guarded(const Body& body) noexcept;

  void Arm(std::chrono::steady_clock::duration time);
  void Disarm();
  void OnTimeout();

  void Read();
  void OnRead(Wire::Error error, size_t bytes);
  void OnEnd();
  void NextRequest();
  void ReadHeadBytes();
  void OnHead(std::string_view bytes);
  void TakeBody();
  void Run(std::string body);
  void OnAnswer(Answer answer);
  void Send(Answer answer, bool keep);
  void OnWritten(Wire::Error error, bool keep);
  void End();
  void Close();

  std::string HeadText(const Answer& answer, bool keep) const;

  const std::shared_ptr<void> place_;  // first: the last to go
  Shared* const shared_;
  const std::unique_ptr<Wire> wire_;
  const std::string peer_;
  const std::chrono::steady_clock::time_point begun_;
  boost::asio::steady_timer timer_;
  State state_ = State::kOpening;
  bool reading_ = false;
  bool client_left_ = false;
  bool finishing_ = false;
  // A read under way writes there, so that what has come may be taken meanwhile.
  std::vector<char> incoming_;
  boost::beast::flat_buffer buffer_;  // what has come
  size_t scanned_ = 0;                // of it, for the end of a head
  std::optional<Parser> parser_;
  std::shared_ptr<Call> call_;  // of the request under way
  bool head_only_ = false;      // it was HEAD
  Answer answer_;               // while it is written
  std::string answer_head_;
};

}  // namespace pixpool::rest
