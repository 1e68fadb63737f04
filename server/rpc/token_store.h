#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/base/settling.h"
#include "server/metrics/metrics.h"
#include "server/rpc/options.h"
#include "server/rpc/tokens.h"

namespace pixpool {

// The tokens that let calls in, which follow their file. One that cannot be read leaves those
// before it in force, and log and metrics say why. Thread-safe.
class TokenStore {
 public:
  // Reads the file of the options; null where they name none: all calls may come in. `metrics` must
  // outlive the store.
  static absl::StatusOr<std::unique_ptr<TokenStore>> Open(const RpcOptions& options,
                                                          Metrics* metrics);

  // Looks whether the file has changed. Call every second or so, from one thread.
  void Look();

  std::shared_ptr<const Tokens> tokens() const;

 private:
  TokenStore(std::string path, Metrics* metrics) : path_(std::move(path)), metrics_(metrics) {}

  // Has `text` in force from here on. INVALID_ARGUMENT naming option, file and line.
  absl::Status Take(const std::string& text);

  const std::string path_;
  Metrics* const metrics_;
  // Of the thread that looks.
  std::string text_;  // what is in force
  Settling<std::string> settling_;

  mutable absl::Mutex mu_;
  std::shared_ptr<const Tokens> tokens_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
