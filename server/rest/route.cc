#include "server/rest/route.h"

#include <algorithm>
#include <array>
#include <string>

#include "server/base/text.h"
#include "server/rest/head.h"

namespace pixpool::rest {
namespace {

constexpr std::array<Route, 4> kRoutes = {{
    {"/v1/features", "POST, OPTIONS", RpcMethod::kRestFeatures},
    {"/v1/embeddings", "POST, OPTIONS", RpcMethod::kRestEmbeddings},
    {"/v1/models", "GET, HEAD, OPTIONS", RpcMethod::kRestModels},
    {"/v1/models/", "GET, HEAD, OPTIONS", RpcMethod::kRestModel},
}};

// What no client can make a series of.
constexpr Route kNone = {"", "", RpcMethod::kRestOther};

bool Matches(const Route& route, std::string_view path) {
  if (!route.path.ends_with('/')) return path == route.path;
  return path.starts_with(route.path) && path.size() > route.path.size() &&
         path.find('/', route.path.size()) == path.npos;
}

}  // namespace

const Route& FindRoute(std::string_view path) {
  for (const Route& route : kRoutes) {
    if (Matches(route, path)) return route;
  }
  return kNone;
}

bool Takes(const Route& route, std::string_view method) {
  for (const std::string& one : ListOf(route.methods)) {
    if (std::equal(one.begin(), one.end(), method.begin(), method.end(),
                   [](char lower, char c) { return lower + ('A' - 'a') == c; })) {
      return true;
    }
  }
  return false;
}

std::string RoutesText() {
  std::string text;
  for (const Route& route : kRoutes) {
    text += Concat(text.empty() ? "" : ", ", route.path, route.path.ends_with('/') ? "NAME" : "");
  }
  return text;
}

}  // namespace pixpool::rest
