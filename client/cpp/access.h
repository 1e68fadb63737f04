// How a client comes in: encrypted or not, and by which token.
#pragma once

#include <string>

namespace pixpool::client {

// All files are PEM and are read by Client::Create; the token's again when it changes.
struct Access {
  // Encrypts, as does any of the four below.
  bool tls = false;
  // File of certificates of those who sign the server's. Empty: those that this system trusts.
  std::string ca;
  // Files of the client's own certificate chain and its key, where the server asks for one (mutual
  // TLS). Both or neither.
  std::string client_cert;
  std::string client_key;
  // The name that stands in the server's certificate, where the target has another, such as that of
  // a forwarded port.
  std::string server_name;

  // File of the token that every call brings: `authorization: Bearer ...`. With it a header
  // `authorization` is INVALID_ARGUMENT.
  std::string token_file;
  // A token, or a header `authorization` or `x-api-key`, does not go to another machine without
  // TLS: INVALID_ARGUMENT. This lets it, where a mesh encrypts or the network is your own.
  bool allow_plain_token = false;

  bool encrypts() const {
    return tls || !ca.empty() || !client_cert.empty() || !client_key.empty() ||
           !server_name.empty();
  }
};

}  // namespace pixpool::client
