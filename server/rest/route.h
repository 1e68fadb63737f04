// Paths and methods of the HTTP API.
#pragma once

#include <string>
#include <string_view>

#include "server/metrics/metrics.h"

namespace pixpool::rest {

struct Route {
  std::string_view path;     // ends with '/': what follows is a name
  std::string_view methods;  // as Allow has them; empty: there is no such path
  RpcMethod counted;         // under which it counts
};

// The route of a path; one without methods where there is none.
const Route& FindRoute(std::string_view path);

// Whether it takes a method: GET takes HEAD.
bool Takes(const Route& route, std::string_view method);

// All paths, for those who asked for another one.
std::string RoutesText();

}  // namespace pixpool::rest
