// Channels and the threads that serve them. Internal to client/bench.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "client/bench/transport.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"

namespace pixpool::bench {

// What a completion queue's tag points to. `Proceed` runs on the queue's thread.
class Event {
 public:
  virtual ~Event() = default;
  virtual void Proceed(bool ok) = 0;
};

// A connection: a stub of its own socket and the queue that its calls use.
struct Connection {
  std::unique_ptr<grpc::GenericStub> stub;
  grpc::CompletionQueue* queue;
};

// `options.connections` connections over at most as many queues, each with a thread, as the machine
// has cores: further threads would only take turns. The destructor waits for the threads, which end
// when every event has proceeded.
class Connections {
 public:
  explicit Connections(const TransportOptions& options);
  ~Connections();

  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  Connection& at(size_t i) { return connections_[i % connections_.size()]; }
  size_t size() const { return connections_.size(); }

 private:
  std::vector<std::unique_ptr<grpc::CompletionQueue>> queues_;
  std::vector<Connection> connections_;
  std::vector<std::thread> threads_;
};

}  // namespace pixpool::bench
