// The report of pixpool bench for a terminal.
#pragma once

#include <string>

#include "client/bench/report.h"
#include "client/cli/text.h"

namespace pixpool::cli {

// The runs, then stages, failures and remarks of the report's main run.
std::string BenchText(const bench::Report& report, Style style);

}  // namespace pixpool::cli
