#pragma once

#include <boost/asio/ssl/context.hpp>
#include <cstdint>
#include <memory>

#include "server/tls/tls_store.h"

namespace pixpool::rest {

// What handshakes are made with: of the files that serve now. One thread at a time.
class TlsContexts {
 public:
  explicit TlsContexts(const TlsStore* store) : store_(store) {}

  // Null where OpenSSL takes no such files, which the store has checked.
  std::shared_ptr<boost::asio::ssl::context> Current();

 private:
  const TlsStore* const store_;
  int64_t version_ = 0;  // of `context_`
  std::shared_ptr<boost::asio::ssl::context> context_;
};

}  // namespace pixpool::rest
