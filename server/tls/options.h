#pragma once

#include <string>

#include "server/base/option.h"

namespace pixpool {

// The files of TLS, in PEM. Without a certificate the gRPC port speaks plain HTTP/2.
struct TlsOptions {
  static constexpr OptionSpec kCertificate = {
      .group = kAccessGroup,
      .place = 1,
      .flag = "--tls-cert",
      .value_name = "FILE",
      .help =
          "Certificate chain (PEM), its own certificate first: the gRPC port then speaks TLS "
          "alone. This file and the two below are read again when they change.",
      .kind = OptionKind::kText,
      .initial = "",
      .may_be_empty = true,
  };
  Option<std::string, kCertificate> certificate;

  static constexpr OptionSpec kKey = {
      .group = kAccessGroup,
      .place = 2,
      .flag = "--tls-key",
      .value_name = "FILE",
      .help = "Private key (PEM, not encrypted) of that certificate.",
      .kind = OptionKind::kText,
      .initial = "",
      .may_be_empty = true,
  };
  Option<std::string, kKey> key;

  static constexpr OptionSpec kClientCa = {
      .group = kAccessGroup,
      .place = 3,
      .flag = "--tls-client-ca",
      .value_name = "FILE",
      .help =
          "Certificates (PEM) of those who sign clients' certificates: every client then needs "
          "one (mutual TLS).",
      .kind = OptionKind::kText,
      .initial = "",
      .may_be_empty = true,
  };
  Option<std::string, kClientCa> client_ca;

  bool enabled() const { return !certificate.value().empty(); }
};

}  // namespace pixpool
