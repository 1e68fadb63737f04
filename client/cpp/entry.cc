#include "client/cpp/entry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/pem.h"
#include "client/cpp/proxy.h"
#include "client/cpp/token_file.h"

namespace pixpool::client::internal {
namespace {

// Headers that let whoever reads them call as if he were their owner.
constexpr char kTokenHeader[] = "authorization";
constexpr const char* kSecrets[] = {kTokenHeader, "x-api-key"};

absl::Status InClearText(const std::string& what, const std::string& target) {
  return absl::InvalidArgumentError(absl::StrCat(
      what, " would go to ", target, " in clear text: use TLS (tls, ca), or allow_plain_token ",
      "where the way there is safe"));
}

}  // namespace

absl::Status CheckSecrets(const Headers& headers, const Access& access, const std::string& target,
                          bool encrypted) {
  const bool safe =
      encrypted || access.encrypts() || access.allow_plain_token || IsOnThisMachine(target);
  for (const auto& [name, value] : headers) {
    if (name == kTokenHeader && !access.token_file.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "token_file and the header ", name, " both say by whose right a call comes: give one"));
    }
    for (const char* const secret : kSecrets) {
      if (name == secret && !safe) return InClearText(absl::StrCat("the header ", name), target);
    }
  }
  return absl::OkStatus();
}

Entry::Entry(const Access& access, const std::string& target)
    : access_(access), target_(target), on_this_machine_(IsOnThisMachine(target)) {}

Entry::~Entry() = default;

absl::StatusOr<std::shared_ptr<const Entry>> Entry::Make(
    const Access& access, const std::string& target,
    std::shared_ptr<grpc::ChannelCredentials> own) {
  std::shared_ptr<Entry> entry(new Entry(access, target));
  if (access.client_cert.empty() != access.client_key.empty()) {
    return absl::InvalidArgumentError(
        "client_cert and client_key need each other: one is not given");
  }
  if (access.encrypts() && own != nullptr) {
    return absl::InvalidArgumentError("tls and credentials both say how to encrypt: give one");
  }
  entry->encrypted_ = access.encrypts() || own != nullptr;
  entry->credentials_ = own != nullptr ? std::move(own) : grpc::InsecureChannelCredentials();
  if (access.encrypts()) {
    absl::StatusOr<PemFiles> files = ReadPemFiles(access);
    if (!files.ok()) return files.status();
    entry->credentials_ = grpc::SslCredentials(
        {std::move(files->ca), std::move(files->client_key), std::move(files->client_cert)});
  }
  if (!access.token_file.empty()) {
    const bool safe = entry->encrypted_ || entry->on_this_machine_ || access.allow_plain_token;
    if (!safe) return InClearText("the token", target);
    absl::StatusOr<std::unique_ptr<TokenFile>> token = TokenFile::Open(access.token_file);
    if (!token.ok()) return token.status();
    entry->token_ = *std::move(token);
  }
  return std::shared_ptr<const Entry>(std::move(entry));
}

void Entry::SetArguments(grpc::ChannelArguments* arguments) const {
  arguments->SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, on_this_machine_ ? 0 : 1);
  if (!access_.server_name.empty()) arguments->SetSslTargetNameOverride(access_.server_name);
}

absl::StatusOr<Headers> Entry::Complete(Headers headers) const {
  if (absl::Status status = CheckHeaders(headers); !status.ok()) return status;
  if (absl::Status status = CheckSecrets(headers, access_, target_, encrypted_); !status.ok()) {
    return status;
  }
  if (token_ != nullptr) headers.emplace_back(kTokenHeader, "Bearer " + token_->Get());
  return headers;
}

}  // namespace pixpool::client::internal
