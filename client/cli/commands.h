// The subcommands of pixpool; each is one file.
#pragma once

#include "client/cli/flags.h"
#include "client/cli/paths.h"
#include "client/cli/runner.h"

namespace pixpool::cli {

// Each adds itself to `root`. `console` must outlive the command.
Command AddExtract(CLI::App& root, const Console& console);
Command AddClassify(CLI::App& root, const Console& console);
Command AddHeatmap(CLI::App& root, const Console& console);
Command AddModels(CLI::App& root, const Console& console);
Command AddHealth(CLI::App& root, const Console& console);
Command AddBench(CLI::App& root, const Console& console);

// What extract, classify and heatmap share: connects, runs the job, reports on `console.err`,
// returns the exit code. With `list_failures`, names each failed picture there, for formats that do
// not show them.
int RunAndReport(const Console& console, const ConnectionFlags& connection, const InputFlags& input,
                 v1::StreamConfig config, Pictures pictures, Writer& writer, bool list_failures);

// Says on `console.err` what a search for pictures left out.
void ReportLeftOut(const Console& console, const LeftOut& left_out);

// The whole command, without the process: parses, runs, returns the exit code.
int Main(int argc, const char* const* argv, const Console& console);

}  // namespace pixpool::cli
