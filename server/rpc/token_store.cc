#include "server/rpc/token_store.h"

#include <utility>

#include "server/base/log.h"
#include "server/base/named_file.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

absl::Status Wrong(const std::string& path, const absl::Status& why) {
  return absl::InvalidArgumentError(
      Concat(RpcOptions::kTokens.flag, " ", path, ": ", ToStd(why.message())));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenStore>> TokenStore::Open(const RpcOptions& options,
                                                             Metrics* metrics) {
  if (options.tokens.value().empty()) return std::unique_ptr<TokenStore>();
  std::unique_ptr<TokenStore> store(new TokenStore(options.tokens, metrics));
  const absl::StatusOr<std::string> text = ReadNamedFile(store->path_);
  if (!text.ok()) return Wrong(store->path_, text.status());
  PIXPOOL_RETURN_IF_ERROR(store->Take(*text));
  return store;
}

std::shared_ptr<const Tokens> TokenStore::tokens() const {
  absl::MutexLock lock(&mu_);
  return tokens_;
}

void TokenStore::Look() {
  using News = Settling<std::string>::News;
  const absl::StatusOr<std::string> now = ReadNamedFile(path_);
  switch (settling_.Look(now, text_)) {
    case News::kNone:
      return;
    case News::kAgain:
      return metrics_->TokensRefused(false);
    case News::kSettled:
      break;
  }
  const absl::Status status = now.ok() ? Take(*now) : Wrong(path_, now.status());
  metrics_->TokensRefused(!status.ok());
  if (status.ok()) return settling_.Taken();
  Log(LogLevel::kWarning, "tokens_refused", {{"message", ToStd(status.message())}});
}

absl::Status TokenStore::Take(const std::string& text) {
  absl::StatusOr<Tokens> tokens = Tokens::Parse(text);
  if (!tokens.ok()) return Wrong(path_, tokens.status());
  const std::vector<std::string> names = tokens->Names();
  metrics_->DeclareTokens(names);
  Log(LogLevel::kInfo, "tokens", {{"file", path_}, {"names", names.size()}});
  text_ = text;
  absl::MutexLock lock(&mu_);
  tokens_ = std::make_shared<const Tokens>(*std::move(tokens));
  return absl::OkStatus();
}

}  // namespace pixpool
