#include "server/rpc/tls_credentials.h"

#include <atomic>
#include <utility>

#include "grpc/grpc.h"
#include "grpc/grpc_security.h"

namespace pixpool {
namespace {

class StoreCredentials final : public grpc::ServerCredentials {
 public:
  StoreCredentials(const TlsStore* store, std::string also_trusted)
      : store_(store), also_trusted_(std::move(also_trusted)) {
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            store->mutual() ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                            : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            &StoreCredentials::Fetch, this));
  }
  ~StoreCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // gRPC asks before each handshake, one at a time.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<StoreCredentials*>(self)->Fetch(config);
  }

  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    const TlsStore::Serving serving = store_->serving();
    if (version_.exchange(serving.version) == serving.version) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    const TlsFiles& files = *serving.files;
    const grpc_ssl_pem_key_cert_pair pair = {.private_key = files.key.c_str(),
                                             .cert_chain = files.certificate.c_str()};
    // gRPC 1.51 aborts where there are none, also where it asks no client for a certificate.
    const std::string client_ca = files.client_ca + "\n" + also_trusted_;
    *config = grpc_ssl_server_certificate_config_create(client_ca.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const TlsStore* const store_;
  const std::string also_trusted_;
  std::atomic<int64_t> version_{0};  // what gRPC has
  grpc_server_credentials* credentials_ = nullptr;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> TlsCredentials(const TlsStore* store,
                                                        std::string also_trusted) {
  return std::make_shared<StoreCredentials>(store, std::move(also_trusted));
}

}  // namespace pixpool
