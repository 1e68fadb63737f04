// Features of many images over one call, with a bound on how many are under way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cpp/client.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::client {

struct StreamOptions {
  // Model, heads and input options of all images.
  v1::StreamConfig config;
  // Images sent and not answered yet, at least 1; bounds memory here and there.
  int max_in_flight = 16;
  // Time for the whole stream. A stream has no limit unless it is given one: it may be as long as
  // its source.
  absl::Duration timeout = absl::InfiniteDuration();
};

// A StreamFeatures call.
//
// Run may be called once; Cancel from any thread at any time. Images that the server sheds
// (UNAVAILABLE, OVERLOADED) are sent again by the client's retry policy before they count as
// failed; such an image keeps its place among those in flight. A broken stream is not resumed: Run
// returns its error, and the images without a result are the caller's.
class Stream {
 public:
  // Gives the next image, or nullopt at the end. Called on a thread of the stream, one call at a
  // time; may block.
  using Source = std::function<std::optional<v1::Image>()>;
  // Takes a result, in the order in which images finish; result().index() is the position in the
  // source, from 0. Called on Run's thread; while it blocks, nothing more is read. False cancels
  // the stream.
  using Sink = std::function<bool(v1::StreamFeaturesResponse)>;

  // `client` must outlive the stream.
  Stream(const Client& client, StreamOptions options);
  ~Stream();

  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Blocks until every image of `source` has had its result, or the stream broke; then, too, it
  // first waits for a call of `source` to return. OK; CANCELLED after Cancel or a false from
  // `sink`; the stream's error else.
  absl::Status Run(Source source, Sink sink);

  // Ends the stream soon.
  void Cancel();

 private:
  class State;
  const std::shared_ptr<State> state_;
};

}  // namespace pixpool::client
