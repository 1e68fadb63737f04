// One request of the HTTP API, from its head to its answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/pipeline/held_bytes.h"
#include "server/rest/answer.h"
#include "server/rest/head.h"
#include "server/rest/models.h"
#include "server/rest/work.h"
#include "server/rpc/call.h"

namespace pixpool::rest {

// What the calls of a door share. Does not own anything.
struct DoorDeps {
  CallDeps call;
  ModelSource models;
  FlagNumber max_body_bytes;
};

struct Route;

// One request: who asks, whether it may come in before its body is read, what its body costs while
// it comes, the work, and its line in the log. Its functions are called one after the other, but
// Cancel, which may come at any time, and the answer, which comes on any thread.
class Call : public std::enable_shared_from_this<Call> {
 public:
  using Done = std::function<void(Answer)>;

  // `peer` as gRPC would call it.
  Call(const DoorDeps* deps, std::string peer, RequestHead head);

  // What is answered by the head alone: refusals, and all that needs no body. nullopt: Run follows,
  // with the body if there is one.
  std::optional<Answer> Begin();

  // Counts `bytes` of the body in all, before they are kept. An answer where that is too much.
  std::optional<Answer> Hold(int64_t bytes);

  // Does the work. `done` is called once, on any thread, maybe before this returns.
  void Run(std::string body, Done done);

  // Ends the call with an error before it has run.
  Answer Fail(const absl::Status& error);
  Answer Fail(Answer answer);  // of HTTP, counted as INVALID_ARGUMENT

  void Cancel() { context_->Cancel(); }
  // The answer was not read in its time.
  void Unread(int64_t bytes) { record_.AnswerUnread(bytes); }

  const RequestHead& head() const { return head_; }
  TimePoint deadline() const { return context_->deadline(); }

 private:
  absl::Status MayArrive();
  std::optional<Answer> Admit();
  Answer End(absl::StatusOr<Answer> answer);
  absl::StatusOr<Work> ReadBody(std::shared_ptr<const std::string> body) const;
  Answer Reply(const Work& work, ExtractResult result);

  const DoorDeps& deps_;
  const RequestHead head_;
  const Route& route_;
  const absl::Status token_;
  const std::shared_ptr<CallContext> context_;
  CallRecord record_;
  bool ended_ = false;
  int64_t held_bytes_ = 0;
  ByteHold hold_;  // of the body, until the pipeline has it
};

}  // namespace pixpool::rest
