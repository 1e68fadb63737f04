#include "server/rest/tls_context.h"

#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>
#include <boost/system/error_code.hpp>

namespace pixpool::rest {
namespace {

using boost::asio::ssl::context;
using boost::system::error_code;

std::shared_ptr<context> Make(const TlsFiles& files, bool mutual) {
  auto made = std::make_shared<context>(context::tls_server);
  SSL_CTX* const native = made->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // A session that is taken up again would outlive the certificates that began it.
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(native, 0);
  error_code error;
  made->use_certificate_chain(boost::asio::buffer(files.certificate), error);
  if (!error) made->use_private_key(boost::asio::buffer(files.key), context::pem, error);
  if (!error && mutual) {
    made->set_verify_mode(
        boost::asio::ssl::verify_peer | boost::asio::ssl::verify_fail_if_no_peer_cert, error);
    if (!error) made->add_certificate_authority(boost::asio::buffer(files.client_ca), error);
  }
  return error ? nullptr : made;
}

}  // namespace

std::shared_ptr<context> TlsContexts::Current() {
  const TlsStore::Serving serving = store_->serving();
  if (version_ == serving.version) return context_;
  context_ = Make(*serving.files, store_->mutual());
  version_ = serving.version;
  return context_;
}

}  // namespace pixpool::rest
