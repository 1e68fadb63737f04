// What an Access comes to for one target. Internal: not part of the installed API.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/access.h"
#include "client/cpp/headers.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace pixpool::client::internal {

class TokenFile;

// INVALID_ARGUMENT where a header is a secret that others on the way to the target could read, or
// one beside the token of a file. `encrypted`: whether the way is, also where `access` does not say
// so.
absl::Status CheckSecrets(const Headers& headers, const Access& access, const std::string& target,
                          bool encrypted = false);

// Thread-safe.
class Entry {
 public:
  // `own` are credentials of the caller's in place of TLS by files; may be null. INVALID_ARGUMENT
  // naming what is wrong: a file, both kinds of credentials, a token in clear text.
  static absl::StatusOr<std::shared_ptr<const Entry>> Make(
      const Access& access, const std::string& target,
      std::shared_ptr<grpc::ChannelCredentials> own = nullptr);
  ~Entry();

  const std::shared_ptr<grpc::ChannelCredentials>& credentials() const { return credentials_; }

  // What a channel to the target needs besides: no proxy on the way to this machine among it.
  void SetArguments(grpc::ChannelArguments* arguments) const;

  // Adds the token to the headers of a call. INVALID_ARGUMENT for those that cannot be sent, and as
  // CheckSecrets.
  absl::StatusOr<Headers> Complete(Headers headers) const;

 private:
  Entry(const Access& access, const std::string& target);

  const Access access_;
  const std::string target_;
  const bool on_this_machine_;
  bool encrypted_ = false;
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::unique_ptr<TokenFile> token_;  // null: none
};

}  // namespace pixpool::client::internal
