#include "client/cpp/entry.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/proxy.h"
#include "client/cpp/token_file.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace pixpool::client::internal {
namespace {

// Headers that let whoever reads them call as if he were their owner.
constexpr const char* kSecrets[] = {"authorization", "x-api-key"};

// A file of PEM that holds `what`; nothing where no file is named.
absl::StatusOr<std::string> ReadPem(const char* option, const std::string& path,
                                    const std::string& what) {
  if (path.empty()) return std::string();
  absl::StatusOr<std::string> text = ReadText(path);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, " ", path, ": ", text.status().message()));
  }
  if (!absl::StrContains(*text, absl::StrCat(what, "-----"))) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, " ", path, ": holds no ", what, " in PEM"));
  }
  if (absl::StrContains(*text, "ENCRYPTED")) {
    return absl::InvalidArgumentError(absl::StrCat(
        option, " ", path, ": is encrypted; decrypt it (openssl pkey -in FILE -out FILE)"));
  }
  return text;
}

absl::Status InClearText(const std::string& what, const std::string& target) {
  return absl::InvalidArgumentError(absl::StrCat(
      what, " would go to ", target, " in clear text: use TLS (tls, ca), or allow_plain_token ",
      "where the way there is safe"));
}

}  // namespace

absl::Status CheckSecrets(const Headers& headers, const Access& access, const std::string& target) {
  if (access.encrypts() || access.allow_plain_token || IsOnThisMachine(target)) {
    return absl::OkStatus();
  }
  for (const auto& header : headers) {
    for (const char* const secret : kSecrets) {
      if (header.first == secret) {
        return InClearText(absl::StrCat("the header ", header.first), target);
      }
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
    grpc::SslCredentialsOptions files;
    for (const auto& [text, option, path, what] :
         {std::tuple(&files.pem_root_certs, "ca", &access.ca, "CERTIFICATE"),
          std::tuple(&files.pem_cert_chain, "client_cert", &access.client_cert, "CERTIFICATE"),
          std::tuple(&files.pem_private_key, "client_key", &access.client_key, "PRIVATE KEY")}) {
      absl::StatusOr<std::string> read = ReadPem(option, *path, what);
      if (!read.ok()) return read.status();
      *text = *std::move(read);
    }
    entry->credentials_ = grpc::SslCredentials(files);
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
  if (!encrypted_) {
    if (absl::Status status = CheckSecrets(headers, access_, target_); !status.ok()) return status;
  }
  if (token_ != nullptr) headers.emplace_back("authorization", "Bearer " + token_->Get());
  return headers;
}

}  // namespace pixpool::client::internal
