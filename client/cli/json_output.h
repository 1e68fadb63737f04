// JSON lines: one object per picture.
#pragma once

#include <memory>
#include <ostream>
#include <string>

#include "client/cli/writer.h"

namespace pixpool::cli {

// One line of JSON without a newline: {"index", "path", "ok", ...}. Bytes of a path that are not
// UTF-8 become U+FFFD; numbers that are not finite become null. Values are decoded, with "encoding"
// where they did not travel as float32; of a PNG there is the size.
std::string OutcomeJson(const ImageOutcome& outcome);

// `out` is not owned; errors call it `name`.
std::unique_ptr<Writer> NewJsonWriter(std::ostream& out, std::string name = "standard output");

}  // namespace pixpool::cli
