#include "server/tls/probe_identity.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <array>

#include "tests/unit/tls/certificates.h"

namespace pixpool {
namespace {

// The other end of a wire: a server that wants a certificate, and trusts one alone.
class Server {
 public:
  explicit Server(const std::string& trusted) : context_(SSL_CTX_new(TLS_server_method())) {
    const std::string certificate = CertificatePath("server.pem");
    const std::string key = CertificatePath("server.key");
    EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context_, certificate.c_str()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context_, key.c_str(), SSL_FILETYPE_PEM), 1);
    BIO* const text = BIO_new_mem_buf(trusted.data(), static_cast<int>(trusted.size()));
    X509* const client = PEM_read_bio_X509(text, nullptr, nullptr, nullptr);
    BIO_free(text);
    EXPECT_EQ(X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), client), 1);
    X509_free(client);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    ssl_ = SSL_new(context_);
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_accept_state(ssl_);
  }
  ~Server() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }

  // Takes bytes, answers words with "yes", and returns the bytes to send.
  std::string Hear(std::string_view bytes) {
    if (!bytes.empty()) BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
    std::array<char, 100> words;
    const int count = SSL_read(ssl_, words.data(), words.size());
    if (count > 0) {
      heard.append(words.data(), static_cast<size_t>(count));
      SSL_write(ssl_, "yes", 3);
    }
    std::string reply(BIO_ctrl_pending(out_), '\0');
    if (!reply.empty()) BIO_read(out_, reply.data(), static_cast<int>(reply.size()));
    return reply;
  }

  std::string heard;

 private:
  SSL_CTX* const context_;
  SSL* ssl_ = nullptr;
  BIO* const in_ = BIO_new(BIO_s_mem());
  BIO* const out_ = BIO_new(BIO_s_mem());
};

// Says "well?" and passes bytes to and fro until nothing more comes; what was heard.
std::string Talk(ProbeWire* wire, Server* server) {
  std::string heard;
  for (std::string bytes = wire->Say("well?"); wire->good() && !bytes.empty();) {
    bytes = wire->Hear(server->Hear(bytes), &heard);
  }
  return heard;
}

TEST(ProbeIdentityTest, AServerThatTrustsItAnswers) {
  const auto identity = ProbeIdentity::Make();
  ASSERT_TRUE(identity.ok()) << identity.status();
  Server server((*identity)->certificate());
  const auto wire = (*identity)->NewWire();
  EXPECT_EQ(Talk(wire.get(), &server), "yes");
  EXPECT_EQ(server.heard, "well?");
}

TEST(ProbeIdentityTest, AnotherOneIsNotTaken) {
  const auto identity = ProbeIdentity::Make();
  const auto other = ProbeIdentity::Make();
  ASSERT_TRUE(identity.ok() && other.ok());
  Server server((*other)->certificate());
  const auto wire = (*identity)->NewWire();
  EXPECT_EQ(Talk(wire.get(), &server), "");
  EXPECT_EQ(server.heard, "");
  EXPECT_FALSE(wire->good());
}

TEST(ProbeIdentityTest, OtherBytesEndIt) {
  const auto identity = ProbeIdentity::Make();
  ASSERT_TRUE(identity.ok());
  const auto wire = (*identity)->NewWire();
  EXPECT_FALSE(wire->Say("well?").empty());
  std::string heard;
  wire->Hear("HTTP/1.1 400 Bad Request\r\n\r\n", &heard);
  EXPECT_FALSE(wire->good());
  EXPECT_EQ(heard, "");
}

}  // namespace
}  // namespace pixpool
