#pragma once

#include <memory>
#include <string>

#include "grpcpp/security/server_credentials.h"
#include "server/tls/tls_store.h"

namespace pixpool {

// TLS 1.2 or later with what `store` serves at the time that a connection begins. `also_trusted`
// (PEM) joins the client CA, where there is one. The store must outlive the server.
//
// gRPC's own watcher of files (FileWatcherCertificateProvider of 1.51) is not used: it does not
// look whether key and certificate belong together, and frees what serves before it has something
// in its place. It would also poll files that we have not checked.
std::shared_ptr<grpc::ServerCredentials> TlsCredentials(const TlsStore* store,
                                                        std::string also_trusted);

}  // namespace pixpool
