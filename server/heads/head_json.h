// The table of heads for people and programs outside of the server.
#pragma once

#include <string>

namespace pixpool {

// The table as JSON, in the order of the API: of each head its name, description, use, reference,
// shape of the values, kind of output, what it reads, cost and parameters; of each parameter its
// name, type, help, default (null: none), default_rule, whether it is required, range, and what
// else bounds it. Ends with a line break. Clients, docs and exporter are made from it
// (scripts/make_heads.py).
std::string HeadsJson();

}  // namespace pixpool
