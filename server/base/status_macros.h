// Early return on error for absl::Status and absl::StatusOr (absl has no such macros in 20220623).
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define PIXPOOL_CONCAT_INNER(a, b) a##b
#define PIXPOOL_CONCAT(a, b) PIXPOOL_CONCAT_INNER(a, b)

// Returns the status from the enclosing function unless it is OK.
#define PIXPOOL_RETURN_IF_ERROR(expr)                                                      \
  do {                                                                                     \
    if (absl::Status pixpool_status = (expr); !pixpool_status.ok()) return pixpool_status; \
  } while (false)

// PIXPOOL_ASSIGN_OR_RETURN(auto x, F()): returns the status unless it is OK, else moves the value
// into x.
#define PIXPOOL_ASSIGN_OR_RETURN(lhs, expr) \
  PIXPOOL_ASSIGN_OR_RETURN_IMPL(PIXPOOL_CONCAT(pixpool_or_, __LINE__), lhs, expr)
#define PIXPOOL_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                  \
  if (!tmp.ok()) return std::move(tmp).status();      \
  lhs = *std::move(tmp)
