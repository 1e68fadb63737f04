// What the process says when it cannot go on.
#pragma once

#include <functional>
#include <string>

namespace pixpool {

// What the exception says that is being handled: that memory, threads or descriptors are missing
// and which limit to raise, or its own words. Call in a catch block.
std::string ExplainException();

// The same for the words of a library that caught the exception, or the words themselves.
std::string ExplainMessage(const std::string& message);

// Runs `body` and returns what it returns. Where it throws, one line on standard error says what is
// missing (memory, threads, descriptors) or what else happened, and 1 is returned.
int RunOrExplain(const std::function<int()>& body);

// From now on, what would end the process by std::terminate writes such a line first. For want of
// memory, threads or descriptors, which are nobody's bug, it ends with exit code 1; for anything
// else by SIGABRT, as before.
// Makes no use of what a library's start sets up, so it may come first.
void ExplainTermination();

}  // namespace pixpool
