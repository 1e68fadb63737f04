// C++ client of a pixpool server.
//
//   auto client = pixpool::client::Client::Create({.target = "127.0.0.1:50051"});
//   pixpool::v1::ExtractFeaturesRequest request;
//   *request.add_images() = *pixpool::client::ImageFromFile("cat.jpg");
//   *request.add_heads() = pixpool::client::Gem(3);
//   auto response = (*client)->Extract(request);
//
// Requests and responses are the messages of proto/pixpool/v1/feature_service.proto, which
// documents every field.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/access.h"
#include "client/cpp/headers.h"
#include "client/cpp/retry.h"
#include "client/cpp/timer.h"
#include "grpcpp/security/credentials.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::client {

namespace internal {
class Core;
}

struct ClientOptions {
  // Where the server is, in gRPC's name syntax: "host:port", "dns:///name:port", "unix:/path".
  std::string target = "127.0.0.1:50051";
  // Time that a call may take in all, retries and waits between them included.
  // absl::InfiniteDuration(): no limit, which leaves a call hanging when the server does.
  absl::Duration deadline = absl::Seconds(10);
  RetryPolicy retry;
  // Largest response accepted; over it the call fails with RESOURCE_EXHAUSTED. Requests are limited
  // by the server (Limits.max_message_bytes). 1 to 2^31 - 1.
  int64_t max_response_bytes = 256 << 20;
  // Spreads calls over all addresses that the target resolves to, in place of using the first that
  // answers. For several servers behind one DNS name.
  bool round_robin = false;
  // Asks the server for a sign of life after so long without one while calls are under way, and
  // gives its connection up where none comes within 10 s. Keeps the connection known to firewalls
  // and address translators in between. At least 10 s, which is what servers allow;
  // InfiniteDuration: never.
  absl::Duration keepalive = absl::Seconds(30);
  // Of requests, and of streams, that name none. Unspecified: the server's default, by which calls
  // are interactive and streams are bulk.
  v1::Priority priority = v1::PRIORITY_UNSPECIFIED;
  // Headers of every call, such as `authorization`, or `traceparent` of the trace that the caller
  // is in. Asked once per call, on the thread that makes it, so that a trace's context can be read
  // where it lives; empty: none. A header that cannot be sent fails the call with INVALID_ARGUMENT.
  std::function<Headers()> headers;
  // TLS and token. Default: no encryption, no token.
  Access access;
  // gRPC's own, in place of TLS by `access`.
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // Clock and waits; not owned, must outlive all calls. Default: Timer::Real().
  Timer* timer = nullptr;
};

// What a health check answered.
enum class Health { kServing, kNotServing, kUnknown };

// A connection to a server, or with round_robin to several.
//
// Thread-safe: any number of threads may call one Client at once, and one Client for a process is
// enough. The destructor waits until all calls in flight, retries included, have ended and their
// callbacks have returned, which their deadlines bound; so it must not run inside such a callback.
//
// Errors are absl::Status with the server's code and message; GetErrorDetails (error.h) gives the
// reason and the field at fault, Describe a text for people. A call is tried again by reason
// (IsRetryable in retry.h) as long as its deadline allows; what is returned is the last attempt's
// error. UNAVAILABLE without a reason means that no server was reached. An image that cannot be
// used does not fail the call: its ImageResult carries a status (FromRpcStatus in error.h).
class Client {
 public:
  using ExtractCallback = std::function<void(absl::StatusOr<v1::ExtractFeaturesResponse>)>;

  // Does not connect yet, so does not block; the first call does. INVALID_ARGUMENT for options out
  // of range.
  static absl::StatusOr<std::unique_ptr<Client>> Create(ClientOptions options);
  ~Client();

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Blocks until the answer is there or `timeout` (default: the client's deadline) has passed.
  absl::StatusOr<v1::ExtractFeaturesResponse> Extract(v1::ExtractFeaturesRequest request) const;
  absl::StatusOr<v1::ExtractFeaturesResponse> Extract(v1::ExtractFeaturesRequest request,
                                                      absl::Duration timeout) const;

  // Returns at once; `done` runs exactly once, on a gRPC thread, where it must not block. The
  // number of calls in flight is the caller's to bound.
  void ExtractAsync(v1::ExtractFeaturesRequest request, ExtractCallback done) const;
  void ExtractAsync(v1::ExtractFeaturesRequest request, absl::Duration timeout,
                    ExtractCallback done) const;

  // Heads applied to feature maps that the caller has. Blocks as Extract does, and retries as it
  // does.
  absl::StatusOr<v1::PoolTensorResponse> PoolTensor(v1::PoolTensorRequest request) const;
  absl::StatusOr<v1::PoolTensorResponse> PoolTensor(v1::PoolTensorRequest request,
                                                    absl::Duration timeout) const;

  // All models of the server, without labels. Blocks up to the client's deadline.
  absl::StatusOr<v1::ListModelsResponse> ListModels() const;

  // One model in full; empty name: the server's default model; empty version: its choice.
  // NOT_FOUND where unknown. Blocks up to the client's deadline.
  absl::StatusOr<v1::Model> GetModel(const std::string& name = "",
                                     const std::string& version = "") const;

  // Health of the whole server (""), or of a service or model by its name; NOT_FOUND where the name
  // is unknown. Never retries: it asks how things are now. Blocks up to the client's deadline.
  absl::StatusOr<Health> CheckHealth(const std::string& service = "") const;

  // Blocks until CheckHealth says serving, which it asks about every 0.1 to 1 s. DEADLINE_EXCEEDED
  // with the last state in the message after `timeout`; errors that waiting cannot mend, such as
  // NOT_FOUND, are returned at once.
  absl::Status WaitUntilReady(absl::Duration timeout, const std::string& service = "") const;

 private:
  friend class Stream;
  explicit Client(std::unique_ptr<internal::Core> core);

  absl::StatusOr<Health> CheckHealth(const std::string& service, absl::Duration timeout) const;

  const std::unique_ptr<internal::Core> core_;
};

}  // namespace pixpool::client
