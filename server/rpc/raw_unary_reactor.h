// A unary call, from its headers on.
#pragma once

#include <atomic>
#include <memory>

#include "grpcpp/generic/async_generic_service.h"
#include "server/pipeline/admission.h"
#include "server/rpc/call.h"
#include "server/rpc/call_handle.h"
#include "server/rpc/call_watch.h"
#include "server/rpc/guard.h"

namespace pixpool {

// One unary call as bytes: asks whether it may come in before its message is read, so that a
// refusal costs next to nothing and HTTP/2 flow control holds what the client would send; reads the
// one message; and holds what the answer costs until gRPC has written it. Counts and logs the call.
//
// gRPC may call OnDone as soon as Finish is called, on another thread. So the object owns itself
// from Start to OnDone; make it with std::make_shared. A subclass says what happens between the
// message and the answer. What its functions throw ends the call and not the process.
class RawUnaryReactor : public grpc::ServerGenericBidiReactor,
                        public Watched,
                        public std::enable_shared_from_this<RawUnaryReactor> {
 public:
  RawUnaryReactor(RpcMethod method, const CallDeps& deps, grpc::CallbackServerContext* context);

  void Start() noexcept;

  void OnReadDone(bool ok) final;
  void OnCancel() final { call_->Cancel(); }
  void OnDone() final;
  void OnExpired() final;

 protected:
  // Whether the call may come in, before its message is read.
  virtual absl::Status MayStart() = 0;

  // Takes the message, and counts it until the end of Run. Errors: those of ReceiveMessage.
  virtual absl::StatusOr<ByteHold> Parse(grpc::ByteBuffer* bytes) = 0;

  // Does the work. Ends with End or Answer, once, now or later and on any thread.
  virtual void Run() = 0;

  // How urgent the call is, before it is handed to the pipeline.
  void SetPriority(Priority priority) {
    call_->set_priority(priority);
    record_.SetPriority(call_->priority());
  }

  // Each ends the call; only the first of them has an effect.
  void End(const absl::Status& status) noexcept;
  void Answer(grpc::ByteBuffer message, Permit permit, ByteHold hold) noexcept;

  // Runs `body`, which ends the call; so does what it throws.
  template <typename Body>
  void Guarded(const Body& body) noexcept {
    if (const absl::Status thrown = Guard(body); !thrown.ok()) End(thrown);
  }

  // Keeps the object alive in what is called back.
  template <typename Subclass>
  std::shared_ptr<Subclass> Keep(Subclass* subclass) {
    return std::shared_ptr<Subclass>(shared_from_this(), subclass);
  }

  const CallDeps& deps() const { return deps_; }

  grpc::CallbackServerContext* const context_;
  const std::shared_ptr<CallContext> call_;
  CallRecord record_;

 private:
  enum class Phase { kArriving, kRunning, kEnded };

  std::shared_ptr<Watched> Keep() final { return shared_from_this(); }
  void Read(bool ok);
  // Ends a call whose message did not come, or was refused: OnDone knows which, and counts it.
  void EndWithoutMessage();
  bool Leave(Phase phase, Phase next) { return phase_.compare_exchange_strong(phase, next); }

  const CallDeps deps_;
  const CallHandle handle_;
  std::shared_ptr<RawUnaryReactor> self_;  // set by Start, reset by OnDone
  grpc::ByteBuffer incoming_;              // gRPC's between StartRead and OnReadDone
  grpc::ByteBuffer answer_;
  Permit permit_;
  ByteHold hold_;
  std::atomic<Phase> phase_{Phase::kArriving};
  std::atomic<bool> too_many_{false};  // messages
  // Written before the call is finished, read in OnDone.
  bool without_message_ = false;
  int64_t answered_bytes_ = 0;
};

}  // namespace pixpool
